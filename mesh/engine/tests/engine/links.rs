//! Links whose other end lies, babbles or is this very node.

use cairn_engine::{CloseReason, Event};
use cairn_link::frame::encode_hello;
use cairn_link::{Hello, Mode};
use proptest::prelude::*;

use crate::host::{Host, connect, talk};

#[test]
fn a_hello_of_another_node_closes_the_link() {
    let (mut a, b, c) = (Host::new(1), Host::new(2), Host::new(3));
    a.up(1, b.me, Mode::Live, &[]);
    a.handle(Event::Bytes { link: 1, bytes: encode_hello(&c.hello()) });
    assert_eq!(a.closed, [(1, CloseReason::WrongNode)]);
    assert_eq!((a.hellos, a.engine.links().count()), (0, 0));
}

#[test]
fn a_peer_that_claims_our_identity_is_a_liar_and_no_twin() {
    let (mut a, b) = (Host::new(1), Host::new(2));
    let own = a.hello();
    a.up(1, b.me, Mode::Live, &[]);
    a.handle(Event::Bytes { link: 1, bytes: encode_hello(&own) });
    assert_eq!(a.closed, [(1, CloseReason::WrongNode)]);
}

#[test]
fn two_nodes_with_one_identity_notice_each_other() {
    let (mut a, mut twin) = (Host::new(1), Host::new(1));
    connect(&mut a, &mut twin, 1, &[]);
    talk(&mut a, &mut twin, 1);
    assert_eq!(a.closed, [(1, CloseReason::OwnIdentity)]);
    // The other end may have heard its own hello as well.
    assert!(twin.closed.iter().all(|(_, reason)| *reason == CloseReason::OwnIdentity));
}

#[test]
fn a_second_hello_and_talk_before_the_first_close_the_link() {
    for hellos in [0_usize, 2] {
        let (mut a, b) = (Host::new(1), Host::new(2));
        a.up(1, b.me, Mode::Live, &[]);
        for _ in 0..hellos {
            a.handle(Event::Bytes { link: 1, bytes: encode_hello(&b.hello()) });
        }
        // A Bye without a Hello: prefix, array of one, type 7.
        a.handle(Event::Bytes { link: 1, bytes: vec![0, 0, 0, 2, 0x81, 7] });
        assert!(matches!(a.closed.as_slice(), [(1, CloseReason::Protocol(_))]), "{:?}", a.closed);
        assert_eq!(a.counter("links closed: protocol broken"), 1);
        assert!(a.transmit(1).is_none());
    }
}

#[test]
fn what_was_being_stored_when_a_link_broke_is_kept_all_the_same() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    b.stores = false;
    let bundle = a.send(b.me, b"in time");
    connect(&mut a, &mut b, 1, &[]);
    talk(&mut a, &mut b, 1);
    b.handle(Event::Bytes { link: 1, bytes: vec![0xff; 64] });
    assert_eq!(b.closed.len(), 1);
    b.store_all();
    assert_eq!(b.delivered, [bundle.id]);
    a.handle(Event::LinkDown { link: 1 });
    connect(&mut a, &mut b, 2, &[]);
    talk(&mut a, &mut b, 2);
    assert_eq!((b.delivered.len(), a.engine.bundles_carried()), (1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_after_the_hello_make_an_engine_panic_or_deliver(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
        greet in any::<bool>(),
        carried in any::<bool>(),
    ) {
        let (mut a, b) = (Host::new(1), Host::new(2));
        let mode = if carried { Mode::Carried } else { Mode::Live };
        a.up(1, b.me, mode, &[1]);
        if greet {
            let hello: Hello = b.hello();
            a.handle(Event::Bytes { link: 1, bytes: encode_hello(&hello) });
        }
        for bytes in pieces {
            a.handle(Event::Bytes { link: 1, bytes });
            while a.transmit(1).is_some() {}
        }
        prop_assert!(a.delivered.is_empty() && a.disk.is_empty());
        prop_assert!(a.closed.len() <= 1);
    }

    #[test]
    fn a_flipped_bit_on_the_way_costs_the_link_or_nothing(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let (mut a, mut b) = (Host::new(1), Host::new(2));
        let bundle = a.send(b.me, &[5; 300]);
        connect(&mut a, &mut b, 1, &[]);
        // Hello, hello, have, want: then the bytes that are damaged.
        let mut stream = Vec::new();
        for _ in 0..3 {
            while let Some(bytes) = a.transmit(1) {
                stream.extend_from_slice(&bytes);
                b.handle(Event::Bytes { link: 1, bytes });
            }
            while let Some(bytes) = b.transmit(1) {
                a.handle(Event::Bytes { link: 1, bytes });
            }
        }
        prop_assert_eq!(&b.delivered, &[bundle.id]);
        let mut fresh = Host::new(2);
        fresh.up(9, a.me, Mode::Live, &[]);
        let byte = at.index(stream.len());
        stream[byte] ^= 1 << bit;
        // The want goes out in between, as the real peer's would.
        fresh.handle(Event::Bytes { link: 9, bytes: stream });
        while fresh.transmit(9).is_some() {}
        prop_assert!(fresh.closed.len() <= 1);
        prop_assert!(fresh.delivered.is_empty() || fresh.delivered == [bundle.id]);
    }
}
