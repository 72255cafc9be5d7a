//! Full stores: what gives way, who is told to stop, and when it goes on.

use cairn_bundle::{Bundle, Class, CreationTimestamp, Draft, Eid, Identity, NodeId, plain};
use cairn_engine::quota::Amount;
use cairn_engine::{Event, Gone, Instant, Limits};
use cairn_link::{RefuseReason, Topic};

use crate::host::{Host, bundle_item, connect, disconnect, meet, record, talk, written};

fn far() -> NodeId {
    Identity::from_seed(&[99; 32]).node_id()
}

pub(crate) fn classed(from: &Identity, to: NodeId, class: Class, text: &[u8]) -> Bundle {
    let draft = Draft {
        destination: Eid::node(&to, "inbox").unwrap(),
        source_service: "inbox",
        creation: CreationTimestamp { time_ms: 0, seq: 1 },
        lifetime_ms: 1_000_000_000,
        hop_limit: 8,
        class,
        age_ms: Some(0),
        may_fragment: true,
        admin_record: false,
        payload: text,
    };
    plain(&draft, from).unwrap()
}

/// Room for so many bundles of this test.
fn room_for(bundles: u64) -> Limits {
    let mut limits = Limits::default();
    let amount = |bundles: u64| Amount { bytes: bundles * 1_000, bundles };
    limits.quota.total = amount(bundles + 1);
    limits.quota.reserve = amount(1);
    limits
}

/// A carrier that is full of bundles of others in this class, with so many tokens each.
fn full(bundles: u8, class: Class, copies: u8) -> Host {
    let mut host = Host::with(2, room_for(bundles.into()));
    let author = Identity::from_seed(&[50; 32]);
    for n in 0..bundles {
        let bundle = classed(&author, far(), class, &[n; 8]);
        let mut record = record(&bundle, 1_000, Instant::ZERO);
        record.neighbour = Some(Identity::from_seed(&[51; 32]).node_id());
        (record.copies, record.handed_at) = (copies, (copies == 0).then_some(Instant::ZERO));
        host.carry_as(bundle_item(bundle.content_id()), record, bundle.encode());
    }
    host
}

#[test]
fn what_was_handed_on_gives_way_to_news_and_this_is_offered() {
    let (mut a, mut b) = (Host::new(1), full(4, Class::Alert, 0));
    let item = a.send(far(), b"news");
    meet(&mut a, &mut b, 1, &[]);
    assert!(b.index.0.contains_key(&item.id));
    assert_eq!((b.forgotten.len(), b.index.0.len()), (1, 5 - 1));
    assert_eq!(b.forgotten[0].1, Gone::Evicted);
}

#[test]
fn a_small_alert_is_taken_by_a_store_full_of_bulk_and_nothing_normal_is() {
    let (mut a, mut b) = (Host::new(1), full(4, Class::Bulk, 4));
    let normal = a.send(far(), b"normal");
    let alert = classed(&a.identity, far(), Class::Alert, b"fire");
    a.carry(&alert);
    meet(&mut a, &mut b, 1, &[]);
    assert!(b.index.0.contains_key(&alert.content_id()) && !b.index.0.contains_key(&normal.id));
    assert_eq!(a.sent, [bundle_item(alert.content_id())]);
    // What is written here never gives way.
    let mut own = Host::with(3, room_for(1));
    let (first, second) = (own.send(far(), b"mine"), own.send(far(), b"mine too"));
    meet(&mut a, &mut own, 2, &[]);
    assert!(own.index.0.contains_key(&first.id) && own.index.0.contains_key(&second.id));
}

#[test]
fn a_full_store_still_takes_what_is_for_itself() {
    let (mut a, mut b) = (Host::new(1), full(4, Class::Alert, 8));
    let other = a.send(far(), b"for somebody else");
    let mine = a.send(b.me, b"for you");
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!(b.delivered, [mine.id]);
    assert_eq!((a.sent.len(), a.index.0.contains_key(&other.id)), (1, true));
}

#[test]
fn nothing_is_evicted_for_what_is_refused_after_all() {
    // The newcomer is larger than all that would give way.
    let (mut a, mut b) = (Host::new(1), full(4, Class::Normal, 8));
    let bulk = classed(&Identity::from_seed(&[50; 32]), far(), Class::Bulk, b"one");
    b.now = Instant::from_ms(1);
    let alert = classed(&a.identity, far(), Class::Alert, &[7; 9_000]);
    a.carry(&alert);
    a.carry(&bulk);
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!((b.index.0.len(), b.forgotten.len()), (4, 0));
    // The source has used its share.
    let mut limits = room_for(4);
    limits.quota.source_first = Amount { bytes: 100, bundles: 1 };
    let mut c = full(4, Class::Bulk, 8);
    c.limits = limits;
    c.restart();
    let small = classed(&a.identity, far(), Class::Alert, b"over its share");
    a.carry(&small);
    meet(&mut a, &mut c, 2, &[]);
    assert_eq!((c.index.0.len(), c.forgotten.len()), (4, 0));
    assert!(c.counter("bundles refused: quota of the source") > 0);
}

#[test]
fn a_stopped_peer_goes_on_a_second_after_room_was_made() {
    let (mut a, mut b) = (Host::new(1), full(4, Class::Alert, 8));
    let item = a.send(far(), b"later");
    connect(&mut a, &mut b, 1, &[]);
    talk(&mut a, &mut b, 1);
    assert!(a.sent.is_empty() && a.engine.is_idle(1) && b.engine.is_idle(1));
    let ids: Vec<_> = b.index.0.keys().copied().collect();
    b.handle(Event::Noticed { by: far(), ids });
    talk(&mut a, &mut b, 1);
    assert!(a.sent.is_empty());
    assert_eq!(b.engine.poll_timeout(), Some(Instant::from_ms(1_000)));
    b.now = Instant::from_ms(1_000);
    b.handle(Event::Tick);
    talk(&mut a, &mut b, 1);
    assert_eq!(a.sent, [item]);
}

#[test]
fn a_pause_after_refusals_ends_when_its_time_is_over() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    b.stores = false;
    let items: Vec<_> = (0..12_u8).map(|n| a.send(far(), &[n])).collect();
    connect(&mut a, &mut b, 1, &[]);
    talk(&mut a, &mut b, 1);
    b.refuse_all(RefuseReason::Full);
    talk(&mut a, &mut b, 1);
    assert!(b.index.0.is_empty());
    b.stores = true;
    let due = a.engine.poll_timeout().unwrap();
    assert_eq!(due, Instant::from_ms(5_000), "and not at the next review");
    a.now = due;
    a.handle(Event::Tick);
    talk(&mut a, &mut b, 1);
    assert_eq!(b.index.0.len(), items.len());
}

#[test]
fn one_refusal_does_not_hold_up_the_rest() {
    let mut limits = Limits::default();
    limits.quota.source_first = Amount { bytes: 1_000_000, bundles: 1 };
    let (mut a, mut b) = (Host::new(1), Host::with(2, limits));
    for seed in 50..60 {
        let author = Identity::from_seed(&[seed; 32]);
        for n in 0..2_u8 {
            a.carry(&classed(&author, far(), Class::Normal, &[n]));
        }
    }
    meet(&mut a, &mut b, 1, &[]);
    assert!(b.index.0.len() >= 8, "{}", b.index.0.len());
}

#[test]
fn offers_that_are_withdrawn_give_their_room_back() {
    let (mut a, mut b) = (Host::new(1), Host::with(2, room_for(3)));
    connect(&mut a, &mut b, 1, &[]);
    talk(&mut a, &mut b, 1);
    for n in 0..20_u8 {
        let item = a.send(far(), &[n]);
        // The offer is out, and the bundle expires or cannot be read before it is answered.
        while a.transmit(1).is_some() {}
        if n % 2 == 0 {
            let record = a.index.0.remove(&item.id).unwrap();
            a.handle(Event::Gone { id: item.id, record });
        } else {
            a.handle(Event::Withdraw { link: 1, item });
        }
    }
    let item = a.send(far(), b"after all");
    while a.transmit(1).is_some() {}
    assert!(!a.engine.is_idle(1), "it is offered");
    assert_eq!(item.topic, Topic::Bundle);
}

#[test]
fn more_than_fits_in_line_for_a_full_peer_is_compared_and_idle() {
    let (mut a, mut b) = (Host::new(1), full(2, Class::Alert, 8));
    for n in 0..6_000_u32 {
        let bundle = classed(&Identity::from_seed(&[60; 32]), far(), Class::Normal, &n.to_be_bytes());
        let record = record(&bundle, 1_000, Instant::ZERO);
        a.carry_as(bundle_item(bundle.content_id()), record, bundle.encode());
    }
    connect(&mut a, &mut b, 1, &[]);
    talk(&mut a, &mut b, 1);
    assert_eq!(a.sent, []);
    assert!(a.engine.is_idle(1));
    assert!(b.engine.is_idle(1));
    disconnect(&mut a, &mut b, 1);
}

#[test]
fn an_alert_overtakes_what_waits() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    for n in 0..5_u8 {
        let bundle = classed(&a.identity, far(), Class::Normal, &[n; 100]);
        a.carry(&bundle);
    }
    let alert = classed(&a.identity, far(), Class::Alert, b"first");
    let bulk = classed(&a.identity, b.me, Class::Bulk, b"last");
    a.carry(&bulk);
    a.carry(&alert);
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!(a.sent.first(), Some(&bundle_item(alert.content_id())));
    assert_eq!(a.sent.last(), Some(&bundle_item(bulk.content_id())));
}

#[test]
fn a_peer_that_announces_room_and_refuses_the_same_bundle_gets_it_less_and_less_often() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    b.stores = false;
    let item = a.carry(&written(&a.identity, far(), b"again", 100_000_000));
    let hours = 2;
    for minute in 0..hours * 60 {
        // The worst case: a new contact every minute, which tells nothing of the last one.
        (a.now, b.now) = (Instant::from_ms(minute * 60_000), Instant::from_ms(minute * 60_000));
        connect(&mut a, &mut b, minute, &[]);
        talk(&mut a, &mut b, minute);
        b.refuse_all(RefuseReason::Full);
        talk(&mut a, &mut b, minute);
        disconnect(&mut a, &mut b, minute);
    }
    let times = a.sent.iter().filter(|sent| **sent == item).count();
    assert!((5..=4 + 6 * hours as usize).contains(&times), "{times} times");
    b.stores = true;
    (a.now, b.now) = (a.now.plus_ms(600_000), b.now.plus_ms(600_000));
    meet(&mut a, &mut b, 1_000, &[]);
    assert!(b.index.0.contains_key(&item.id), "it arrives as soon as there is room");
}

#[test]
fn what_a_peer_takes_and_evicts_goes_there_less_and_less_often() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let item = a.carry(&written(&a.identity, far(), b"to and fro", 100_000_000));
    // Tokens that come back, so that only the memory of the pair holds it back.
    for minute in 0..60 {
        (a.now, b.now) = (Instant::from_ms(minute * 60_000), Instant::from_ms(minute * 60_000));
        a.index.0.get_mut(&item.id).unwrap().copies = 8;
        meet(&mut a, &mut b, minute, &[]);
        if let Some(record) = b.index.0.remove(&item.id) {
            b.handle(Event::Lost { id: item.id, record });
        }
    }
    let times = a.sent.iter().filter(|sent| **sent == item).count();
    assert!((4..=4 + 6).contains(&times), "{times} times");
}

#[test]
fn what_nobody_vouches_for_does_not_count_against_the_source_it_names() {
    let victim = Identity::from_seed(&[77; 32]);
    let mut limits = room_for(100);
    limits.quota.source_first = Amount { bytes: 1 << 20, bundles: 3 };
    limits.quota.unsigned = Amount { bytes: 1 << 20, bundles: 3 };
    let (mut liar, mut relay) = (Host::new(1), Host::with(2, limits));
    relay.vouches = false;
    for n in 0..6_u8 {
        liar.carry(&written(&victim, far(), &[n], 100_000_000));
        meet(&mut liar, &mut relay, u64::from(n), &[]);
    }
    assert_eq!(relay.index.0.len(), 3, "as many as the neighbour may bring without a source");
    relay.vouches = true;
    let mut honest = Host::new(3);
    let item = honest.carry(&written(&victim, far(), b"mine", 100_000_000));
    meet(&mut honest, &mut relay, 100, &[]);
    assert!(relay.index.0.contains_key(&item.id));
    // And what is given up is given back to whom it was counted for.
    for id in relay.index.0.keys().copied().collect::<Vec<_>>() {
        let record = relay.index.0.remove(&id).unwrap();
        relay.handle(Event::Lost { id, record });
    }
    assert_eq!(relay.engine.used(), Amount::ZERO);
    relay.vouches = false;
    liar.now = Instant::from_ms(3_600_000);
    relay.now = liar.now;
    meet(&mut liar, &mut relay, 101, &[]);
    assert_eq!(relay.index.0.len(), 3);
}
