//! Carried meets: pushed without being asked for, acknowledged with the return trip.

use cairn_engine::{CloseReason, Event, Scope};
use cairn_link::frame::encode_hello;
use cairn_link::{Mode, Topic};

use crate::host::{Host, export, import, meet};

#[test]
fn a_drop_delivers_and_the_return_trip_acknowledges() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let bundle = a.send(b.me, b"by hand");
    let entry = a.hold(Topic::Ledger, b"entry", Scope::Peer(b.me));
    let (payloads, items) = export(&mut a, b.me, 1, &[]);
    assert_eq!(items, 2);
    import(&mut b, a.me, &payloads, 2);
    assert_eq!(b.delivered, [bundle.id]);
    assert_eq!(b.owed, [entry, bundle].into());
    assert_eq!(a.engine.bundles_carried(), 1, "nothing is acknowledged yet");
    let (payloads, items) = export(&mut b, a.me, 3, &[]);
    assert_eq!(items, 0, "acknowledgements only");
    import(&mut a, b.me, &payloads, 4);
    assert_eq!(a.engine.bundles_carried(), 0);
    assert!(a.peer_has.contains(&(b.me, entry)));
    assert_eq!(export(&mut a, b.me, 5, &[]).1, 0);
}

#[test]
fn what_the_peer_is_known_to_have_stays_out_of_the_next_drop() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let known = a.hold(Topic::Board, b"known", Scope::Group(1));
    let news = a.hold(Topic::Board, b"news", Scope::Group(1));
    a.handle(Event::PeerHas { peer: b.me, item: known });
    let (payloads, items) = export(&mut a, b.me, 1, &[1]);
    assert_eq!(items, 1);
    import(&mut b, a.me, &payloads, 2);
    assert!(b.disk.contains_key(&news) && !b.disk.contains_key(&known));
    // A live meet still offers everything: what was thought to be there may be lost.
    meet(&mut a, &mut b, 3, &[1]);
    assert!(b.disk.contains_key(&known));
}

#[test]
fn a_lost_drop_is_written_again_and_a_second_copy_changes_nothing() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let bundle = a.send(b.me, b"by hand");
    let (lost, _) = export(&mut a, b.me, 1, &[]);
    let (again, items) = export(&mut a, b.me, 2, &[]);
    assert_eq!(items, 1);
    for payloads in [&again, &lost, &again] {
        import(&mut b, a.me, payloads, 3);
    }
    assert_eq!(b.delivered, [bundle.id]);
    assert_eq!(b.counter("second copies"), 2);
    assert_eq!(b.owed.len(), 1, "each copy is owed its acknowledgement, since the first may be lost");
}

#[test]
fn lost_acknowledgements_are_owed_again_with_the_next_copy() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    a.send(b.me, b"by hand");
    let (payloads, _) = export(&mut a, b.me, 1, &[]);
    import(&mut b, a.me, &payloads, 2);
    let _lost = export(&mut b, a.me, 3, &[]);
    assert!(b.owed.is_empty());
    let (payloads, items) = export(&mut a, b.me, 4, &[]);
    assert_eq!(items, 1);
    import(&mut b, a.me, &payloads, 5);
    let (payloads, _) = export(&mut b, a.me, 6, &[]);
    import(&mut a, b.me, &payloads, 7);
    assert_eq!((b.delivered.len(), a.engine.bundles_carried()), (1, 0));
}

#[test]
fn a_parcel_of_somebody_else_is_closed_at_its_hello() {
    let (mut a, b, c) = (Host::new(1), Host::new(2), Host::new(3));
    a.up(1, b.me, Mode::Carried, &[]);
    a.handle(Event::Bytes { link: 1, bytes: encode_hello(&c.hello()) });
    assert_eq!(a.closed, [(1, CloseReason::WrongNode)]);
}

#[test]
fn an_acknowledgement_for_what_was_never_here_is_not_remembered() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let strange = cairn_link::Item { topic: Topic::Ledger, id: cairn_bundle::Digest::of(b"strange") };
    b.owed.insert(strange);
    let (payloads, _) = export(&mut b, a.me, 1, &[]);
    import(&mut a, b.me, &payloads, 2);
    assert!(a.peer_has.is_empty());
}
