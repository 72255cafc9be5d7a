//! Live meets: offers, custody, delivery once, quotas, expiry.

use cairn_bundle::{Digest, Identity};
use cairn_engine::quota::Amount;
use cairn_engine::{Event, Gone, Instant, Limits, Scope};
use cairn_link::frame::encode_hello;
use cairn_link::{Item, Mode, RefuseReason, Topic, encode_chunk};

use crate::host::{Host, bundle_item, connect, disconnect, meet, record, talk, written};

#[test]
fn each_peer_is_offered_what_its_scope_allows() {
    let (mut a, mut b, mut c) = (Host::new(1), Host::new(2), Host::new(3));
    let entry = a.hold(Topic::Ledger, b"entry", Scope::Peer(b.me));
    let change = a.hold(Topic::Board, b"change", Scope::Group(7));
    meet(&mut a, &mut b, 1, &[]);
    assert!(b.disk.contains_key(&entry) && !b.disk.contains_key(&change));
    meet(&mut a, &mut c, 2, &[7]);
    assert!(!c.disk.contains_key(&entry) && c.disk.contains_key(&change));
}

#[test]
fn what_is_held_later_or_seen_later_is_offered_on_the_open_link() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    connect(&mut a, &mut b, 1, &[]);
    talk(&mut a, &mut b, 1);
    assert!(a.engine.is_idle(1) && b.engine.is_idle(1));
    let entry = a.hold(Topic::Ledger, b"late", Scope::Peer(b.me));
    let change = a.hold(Topic::Board, b"late change", Scope::Group(3));
    talk(&mut a, &mut b, 1);
    assert!(b.disk.contains_key(&entry) && !b.disk.contains_key(&change));
    a.handle(Event::Groups { peer: b.me, groups: [3].into() });
    let bundle = a.send(b.me, b"hello");
    talk(&mut a, &mut b, 1);
    assert!(b.disk.contains_key(&change));
    assert_eq!(b.delivered, [bundle.id]);
}

#[test]
fn nothing_is_acknowledged_before_it_is_durable() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    b.stores = false;
    let bundle = a.send(b.me, b"hello");
    connect(&mut a, &mut b, 1, &[]);
    talk(&mut a, &mut b, 1);
    assert_eq!(b.waiting.len(), 1);
    assert!(!b.engine.has_taken_all(1) && !b.engine.is_idle(1));
    assert_eq!(a.engine.bundles_carried(), 1, "the sender must keep it");
    assert!(a.forgotten.is_empty() && a.peer_has.is_empty());
    b.store_all();
    talk(&mut a, &mut b, 1);
    assert_eq!(a.forgotten, [(bundle.id, Gone::Delivered)]);
    assert_eq!(a.engine.bundles_carried(), 0);
    assert!(a.engine.is_idle(1) && b.engine.is_idle(1));
}

#[test]
fn what_the_store_refused_comes_again_at_the_next_meet() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    b.stores = false;
    let bundle = a.send(b.me, b"hello");
    connect(&mut a, &mut b, 1, &[]);
    talk(&mut a, &mut b, 1);
    b.refuse_all(RefuseReason::Full);
    talk(&mut a, &mut b, 1);
    assert_eq!((a.engine.bundles_carried(), b.engine.refused(1)), (1, 1));
    assert_eq!(a.counter("refused by a peer: it is full"), 1);
    disconnect(&mut a, &mut b, 1);
    b.stores = true;
    meet(&mut a, &mut b, 2, &[]);
    assert_eq!(b.delivered, [bundle.id]);
}

#[test]
fn a_bundle_that_comes_over_two_links_at_once_is_delivered_once_and_acknowledged_to_both() {
    let (mut a, mut b, mut c) = (Host::new(1), Host::new(2), Host::new(3));
    let author = Identity::from_seed(&[9; 32]);
    let bundle = written(&author, c.me, b"twice", 1_000_000);
    for carrier in [&mut a, &mut b] {
        carrier.carry(&bundle);
    }
    c.stores = false;
    connect(&mut a, &mut c, 1, &[]);
    connect(&mut b, &mut c, 2, &[]);
    talk(&mut a, &mut c, 1);
    talk(&mut b, &mut c, 2);
    assert_eq!(c.waiting.len(), 1);
    c.store_all();
    talk(&mut a, &mut c, 1);
    talk(&mut b, &mut c, 2);
    assert_eq!(c.delivered, [bundle.content_id()]);
    for carrier in [&a, &b] {
        assert_eq!(carrier.forgotten, [(bundle.content_id(), Gone::Delivered)]);
    }
}

#[test]
fn a_delivered_bundle_is_not_delivered_again_after_a_restart() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let bundle = a.send(b.me, b"once");
    let copy = a.disk[&bundle].clone();
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!(b.delivered, [bundle.id]);
    b.restart();
    let parsed = cairn_bundle::Bundle::decode(&copy, &cairn_bundle::Limits::default()).unwrap();
    let mut replayer = Host::new(3);
    replayer.carry(&parsed);
    meet(&mut replayer, &mut b, 2, &[]);
    assert_eq!(b.delivered, [bundle.id]);
    assert!(replayer.sent.is_empty(), "it need not even be sent");
}

#[test]
fn a_bundle_hops_to_its_destination_and_custody_ends_there() {
    let (mut a, mut b, mut c) = (Host::new(1), Host::new(2), Host::new(3));
    let bundle = a.send(c.me, b"over a hop");
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!((a.engine.bundles_carried(), b.engine.bundles_carried()), (1, 1));
    b.restart();
    meet(&mut b, &mut c, 2, &[]);
    assert_eq!(c.delivered, [bundle.id]);
    assert_eq!(b.engine.bundles_carried(), 0);
    meet(&mut a, &mut b, 3, &[]);
    assert_eq!(b.engine.bundles_carried(), 0, "what was handed over does not come back");
}

#[test]
fn a_neighbour_cannot_fill_more_than_its_quota_and_others_still_have_room() {
    let author = Identity::from_seed(&[9; 32]);
    let far = Identity::from_seed(&[8; 32]).node_id();
    let sample = written(&author, far, &[0; 100], 1_000_000);
    // What counts is what is stored: with a hop counted and the carrier named.
    let via = cairn_bundle::Eid::node(&Host::new(2).me, "meet").unwrap();
    let size = sample.forwarded_by(&via, 0).unwrap().encode().len() as u64;
    let amount = |bundles: u64| Amount { bytes: bundles * size, bundles: 1_000 };
    let mut limits = Limits::default();
    limits.quota.total = amount(3);
    limits.quota.reserve = Amount { bytes: 0, bundles: 0 };
    limits.quota.neighbour = amount(2);
    let mut b = Host::with(2, limits);
    let (mut a, mut c) = (Host::new(1), Host::new(3));
    for (carrier, first) in [(&mut a, 0), (&mut c, 10)] {
        for n in first..first + 3 {
            let bundle = written(&author, far, &[n; 100], 1_000_000);
            carrier.carry(&bundle);
        }
    }
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!(b.engine.bundles_carried(), 2);
    assert_eq!(a.sent.len(), 2, "it was told how much room there is, and sent no more");
    meet(&mut c, &mut b, 2, &[]);
    assert_eq!((b.engine.bundles_carried(), c.sent.len()), (3, 1));
}

/// One bundle that a peer would give: the length, an array of three, type 1, topic 2, and the id as bytes.
fn have(id: [u8; 32]) -> Vec<u8> {
    [&[0, 0, 0, 37, 0x83, 1, 2, 0x58, 32], id.as_slice()].concat()
}

#[test]
fn a_neighbour_that_does_not_heed_the_room_it_is_told_of_is_refused() {
    let author = Identity::from_seed(&[9; 32]);
    let far = Identity::from_seed(&[8; 32]).node_id();
    let bundles: Vec<_> = (0..4).map(|n| written(&author, far, &[n; 100], 1_000_000)).collect();
    let mut limits = Limits::default();
    limits.quota.neighbour = Amount { bytes: 1_000_000, bundles: 2 };
    let (mut b, liar) = (Host::with(2, limits), Host::new(1));
    b.up(1, liar.me, Mode::Live, &[]);
    b.handle(Event::Bytes { link: 1, bytes: encode_hello(&liar.hello()) });
    while b.transmit(1).is_some() {}
    for bundle in &bundles {
        let (id, bytes) = (bundle.content_id().0, bundle.encode());
        b.handle(Event::Bytes { link: 1, bytes: have(id) });
        while b.transmit(1).is_some() {}
        let item = bundle_item(Digest(id));
        b.handle(Event::Bytes { link: 1, bytes: encode_chunk(item, bytes.len() as u64, 0, &bytes) });
        while b.transmit(1).is_some() {}
    }
    assert_eq!((b.engine.bundles_carried(), b.engine.refused(1)), (2, 2));
    assert!(b.closed.is_empty());
}

#[test]
fn an_expired_bundle_is_forgotten_withdrawn_and_not_taken_again() {
    let (mut a, mut b, far) = (Host::new(1), Host::new(2), Identity::from_seed(&[8; 32]).node_id());
    let bundle = written(&a.identity, far, b"short", 1_000);
    let id = bundle.content_id();
    a.carry(&bundle);
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!(b.engine.bundles_carried(), 1);
    assert_eq!(b.engine.poll_timeout(), Some(Instant::from_ms(1_000)));
    b.now = Instant::from_ms(1_000);
    b.handle(Event::Tick);
    assert_eq!(b.forgotten, [(id, Gone::Expired)]);
    assert_eq!(b.engine.poll_timeout(), None);
    meet(&mut a, &mut b, 2, &[]);
    assert_eq!(b.engine.bundles_carried(), 0);
}

#[test]
fn what_expired_while_the_node_was_off_leaves_the_books_right() {
    let (mut a, mut b, far) = (Host::new(1), Host::new(2), Identity::from_seed(&[8; 32]).node_id());
    for n in 0..40 {
        a.carry(&written(
            &Identity::from_seed(&[n; 32]),
            far,
            b"text",
            if n % 2 == 0 { 1_000 } else { 1_000_000 },
        ));
    }
    a.now = Instant::from_ms(5_000);
    a.restart();
    assert_eq!(a.engine.bundles_carried(), 40);
    a.handle(Event::Tick);
    assert_eq!((a.engine.bundles_carried(), a.index.0.len()), (20, 20));
    // A peer that has the same finds no difference: the sums are those of what is there.
    b.now = a.now;
    meet(&mut a, &mut b, 1, &[]);
    let sent = a.sent.len();
    meet(&mut a, &mut b, 2, &[]);
    assert_eq!((b.engine.bundles_carried(), a.sent.len()), (20, sent));
    assert!(a.counter("comparisons given up") == 0 && b.counter("comparisons given up") == 0);
}

#[test]
fn a_bundle_leaves_with_the_age_that_it_gained_where_it_was_carried() {
    let (mut a, mut b, far) = (Host::new(1), Host::new(2), Identity::from_seed(&[8; 32]).node_id());
    let bundle = a.send(far, b"old");
    a.now = Instant::from_ms(70_000);
    meet(&mut a, &mut b, 1, &[]);
    let carried = cairn_bundle::Bundle::decode(&b.disk[&bundle], &cairn_bundle::Limits::default()).unwrap();
    assert_eq!(carried.age_ms(), Some(70_000));
    assert_eq!(b.engine.poll_timeout(), Some(Instant::from_ms(1_000_000 - 70_000)));
}

#[test]
fn a_bundle_that_expires_on_its_way_to_the_disk_does_not_stay() {
    let (mut a, mut b, far) = (Host::new(1), Host::new(2), Identity::from_seed(&[8; 32]).node_id());
    b.stores = false;
    let bundle = written(&a.identity, far, b"short", 1_000);
    a.carry(&bundle);
    meet(&mut a, &mut b, 1, &[]);
    b.now = Instant::from_ms(2_000);
    b.store_all();
    b.handle(Event::Tick);
    assert_eq!((b.engine.bundles_carried(), b.forgotten.len(), b.disk.len()), (0, 1, 0));
}

#[test]
fn a_blob_is_fetched_when_it_is_wanted_and_not_before() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let blob = a.hold(Topic::Blob, &[7; 200_000], Scope::Group(1));
    connect(&mut a, &mut b, 1, &[1]);
    talk(&mut a, &mut b, 1);
    assert!(a.sent.is_empty() && b.disk.is_empty());
    b.handle(Event::WantBlob { id: blob.id });
    talk(&mut a, &mut b, 1);
    assert_eq!(b.disk.get(&blob).map(Vec::len), Some(200_000));
    assert_eq!(a.sent.len(), 4, "in chunks of 64 KiB");
    // Wanting what is being stored, or is here, asks nobody.
    b.handle(Event::Hold { item: blob, bytes: 200_000, scope: Scope::Group(1), place: None });
    b.handle(Event::WantBlob { id: blob.id });
    talk(&mut a, &mut b, 1);
    assert_eq!(a.sent.len(), 4);
}

#[test]
fn a_blob_wanted_before_the_meet_is_fetched_in_it() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let blob = a.hold(Topic::Blob, b"module", Scope::Group(1));
    b.handle(Event::WantBlob { id: blob.id });
    meet(&mut a, &mut b, 1, &[1]);
    assert!(b.disk.contains_key(&blob));
}

#[test]
fn an_item_that_cannot_be_read_is_withdrawn_and_the_rest_arrives() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let gone = a.hold(Topic::Ledger, b"gone", Scope::Peer(b.me));
    let there = a.hold(Topic::Ledger, b"there", Scope::Peer(b.me));
    a.disk.remove(&gone);
    connect(&mut a, &mut b, 1, &[]);
    talk(&mut a, &mut b, 1);
    assert!(b.disk.contains_key(&there) && !b.disk.contains_key(&gone));
    assert!(a.engine.is_idle(1) && b.engine.is_idle(1));
}

#[test]
fn a_bundle_under_a_wrong_id_and_bytes_that_are_none_are_refused_and_counted() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let real = written(&a.identity, b.me, b"real", 1_000_000);
    let lie = bundle_item(Digest::of(b"another name"));
    for (item, bytes) in
        [(lie, real.encode()), (bundle_item(Digest::of(b"no bundle")), b"no bundle".to_vec())]
    {
        a.carry_as(item, record(&real, bytes.len(), Instant::ZERO), bytes);
    }
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!(b.counter("bundles refused: not valid"), 2);
    assert_eq!(a.counter("refused by a peer: not valid"), 2);
    assert!(b.delivered.is_empty() && b.disk.is_empty() && b.closed.is_empty());
}

#[test]
fn old_answers_and_unknown_names_change_nothing() {
    let mut a = Host::new(1);
    let item = Item { topic: Topic::Ledger, id: Digest::of(b"x") };
    a.handle(Event::Taken { ticket: 99, outcome: Ok(()) });
    a.handle(Event::LinkDown { link: 5 });
    a.handle(Event::Bytes { link: 5, bytes: vec![1, 2, 3] });
    a.handle(Event::Acknowledge { link: 5, item });
    a.handle(Event::Withdraw { link: 5, item });
    assert!(!a.engine.has(&item, &a.index) && a.engine.is_idle(5) && a.engine.has_taken_all(5));
    assert!(a.engine.poll_transmit(5, &a.index).is_none() && a.closed.is_empty());
}
