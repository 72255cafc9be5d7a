//! How tokens of bundles are split, kept, gained and renewed.

use cairn_bundle::{Class, Digest, Identity, NodeId};
use cairn_engine::record::RENEW_MS_MIN;
use cairn_engine::{Event, Instant, Limits};
use cairn_link::Mode;
use cairn_link::frame::encode_hello;

use crate::host::{Host, bundle_item, connect, disconnect, meet, talk, written};
use crate::pressure::classed;

fn far() -> NodeId {
    Identity::from_seed(&[99; 32]).node_id()
}

fn copies(host: &Host, id: Digest) -> u8 {
    host.index.0[&id].copies
}

#[test]
fn each_meeting_halves_the_tokens_and_none_is_made_or_lost() {
    let mut hosts: Vec<Host> = (1..5).map(Host::new).collect();
    let id = hosts[0].send(far(), b"spray").id;
    for (n, (a, b)) in [(0, 1), (0, 2), (1, 3), (2, 3), (0, 1), (0, 3)].into_iter().enumerate() {
        let [a, b] = hosts.get_disjoint_mut([a, b]).unwrap();
        meet(a, b, n as u64, &[]);
        let sum: u8 = hosts.iter().filter_map(|host| host.index.0.get(&id)).map(|record| record.copies).sum();
        assert_eq!(sum, 8);
    }
    assert_eq!(hosts.iter().filter(|host| host.index.0.contains_key(&id)).count(), 4);
}

#[test]
fn a_peer_that_got_it_from_somebody_else_meanwhile_takes_no_tokens_away() {
    let (mut a, mut c, mut b) = (Host::new(1), Host::new(3), Host::new(2));
    let author = Identity::from_seed(&[9; 32]);
    let bundle = written(&author, far(), b"twice", 1_000_000);
    let id = bundle.content_id();
    for carrier in [&mut a, &mut c] {
        carrier.carry(&bundle);
    }
    b.stores = false;
    connect(&mut a, &mut b, 1, &[]);
    connect(&mut c, &mut b, 2, &[]);
    talk(&mut a, &mut b, 1);
    talk(&mut c, &mut b, 2);
    b.store_all();
    talk(&mut a, &mut b, 1);
    talk(&mut c, &mut b, 2);
    assert!(c.sent.is_empty(), "it was not even sent");
    assert_eq!((copies(&a, id), copies(&b, id), copies(&c, id)), (4, 4, 8));
}

#[test]
fn a_second_copy_brings_its_tokens_along() {
    let (mut a, mut c, mut b) = (Host::new(1), Host::new(3), Host::new(2));
    let author = Identity::from_seed(&[9; 32]);
    let bundle = written(&author, far(), b"twice", 1_000_000);
    let id = bundle.content_id();
    for carrier in [&mut a, &mut c] {
        carrier.carry(&bundle);
    }
    connect(&mut a, &mut b, 1, &[]);
    connect(&mut c, &mut b, 2, &[]);
    // Both were asked, and have sent, before either copy is stored.
    b.stores = false;
    for _ in 0..20 {
        for (link, peer) in [(1, &mut a), (2, &mut c)] {
            if let Some(bytes) = peer.transmit(link) {
                b.handle(Event::Bytes { link, bytes });
            }
        }
        for (link, peer) in [(1, &mut a), (2, &mut c)] {
            if let Some(bytes) = b.transmit(link) {
                peer.handle(Event::Bytes { link, bytes });
            }
        }
    }
    assert_eq!((a.sent.len(), c.sent.len(), b.waiting.len()), (1, 1, 1));
    b.store_all();
    talk(&mut a, &mut b, 1);
    talk(&mut c, &mut b, 2);
    let sum = copies(&a, id) + copies(&b, id) + copies(&c, id);
    assert_eq!(sum, 16);
}

#[test]
fn two_links_share_the_tokens_that_there_are() {
    let (mut a, mut b, mut c) = (Host::new(1), Host::new(2), Host::new(3));
    let item = bundle_item(written(&a.identity, far(), b"two", 1_000_000).content_id());
    connect(&mut a, &mut b, 1, &[]);
    connect(&mut a, &mut c, 2, &[]);
    talk(&mut a, &mut b, 1);
    talk(&mut a, &mut c, 2);
    let bundle = written(&a.identity, far(), b"two", 1_000_000);
    let mut record = crate::host::record(&bundle, bundle.encode().len(), a.now);
    record.copies = 2;
    a.carry_as(item, record, bundle.encode());
    // Both links offer before either answers.
    let (one, two) = (a.transmit(1), a.transmit(2));
    assert!(one.is_some() && two.is_none(), "one token stays, and it is promised to nobody");
    b.handle(Event::Bytes { link: 1, bytes: one.unwrap() });
    talk(&mut a, &mut b, 1);
    talk(&mut a, &mut c, 2);
    assert_eq!((copies(&a, item.id), copies(&b, item.id), c.index.0.len()), (1, 1, 0));
}

#[test]
fn a_peer_that_never_answers_does_not_keep_tokens_from_others() {
    let (mut a, mut c, silent) = (Host::new(1), Host::new(3), Host::new(2));
    a.up(1, silent.me, Mode::Live, &[]);
    a.handle(Event::Bytes { link: 1, bytes: encode_hello(&silent.hello()) });
    let offers = |host: &mut Host| core::iter::from_fn(|| host.transmit(1)).count();
    // It lacks the bundle, which is written now that the sets have been compared.
    offers(&mut a);
    let id = a.send(far(), b"wait").id;
    assert!(offers(&mut a) > 0);
    for minutes in 0..12 {
        a.now = Instant::from_ms(minutes * 60_000);
        a.handle(Event::Tick);
        offers(&mut a);
    }
    c.now = a.now;
    meet(&mut a, &mut c, 2, &[]);
    assert_eq!((copies(&a, id), copies(&c, id)), (4, 4));
    assert!(!a.engine.is_idle(1));
}

#[test]
fn tokens_come_back_after_long_silence_and_the_bundle_moves_on() {
    let (mut a, mut b, mut c) = (Host::new(1), Host::new(2), Host::new(3));
    let bundle = classed(&a.identity, far(), Class::Normal, b"renewed");
    let id = a.carry(&bundle).id;
    let mut record = a.index.0[&id].clone();
    (record.copies, record.handed_at) = (0, Some(Instant::ZERO));
    // As long as a notice may take: a quarter of the lifetime, if that is long.
    let patience_ms = RENEW_MS_MIN.max(record.remaining_ms / 4);
    a.index.0.insert(id, record);
    for (link, now_ms) in [(1, 0), (2, patience_ms - 1)] {
        a.now = Instant::from_ms(now_ms);
        b.now = a.now;
        meet(&mut a, &mut b, link, &[]);
        assert!(b.index.0.is_empty(), "a passive copy waits");
    }
    for host in [&mut a, &mut b, &mut c] {
        host.now = Instant::from_ms(patience_ms);
    }
    meet(&mut a, &mut b, 3, &[]);
    assert_eq!(b.index.0.len(), 1);
}

#[test]
fn no_more_tokens_are_taken_than_a_neighbour_may_claim() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let bundle = written(&a.identity, far(), b"all", 1_000_000);
    let mut record = crate::host::record(&bundle, bundle.encode().len(), a.now);
    (record.copies, record.class) = (255, Class::Alert);
    let item = a.carry_as(bundle_item(bundle.content_id()), record, bundle.encode());
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!((copies(&a, item.id), copies(&b, item.id)), (127, 32));
}

#[test]
fn a_link_that_breaks_gives_promised_tokens_back() {
    let (mut a, mut b) = (Host::new(1), Host::with(2, Limits::default()));
    let id = a.send(far(), b"back").id;
    b.stores = false;
    connect(&mut a, &mut b, 1, &[]);
    talk(&mut a, &mut b, 1);
    disconnect(&mut a, &mut b, 1);
    assert_eq!(copies(&a, id), 8);
    let mut c = Host::new(3);
    meet(&mut a, &mut c, 2, &[]);
    assert_eq!((copies(&a, id), copies(&c, id)), (4, 4));
}
