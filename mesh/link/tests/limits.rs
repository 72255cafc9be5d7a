//! Each limit, hit by a peer that does not keep it.

mod common;

use cairn_link::frame::{IDS_MAX, Ids};
use cairn_link::{
    Counters, Frame, Item, Meet, MeetError, MeetEvent, MeetLimits, Mode, RefuseReason, Topic, Transmit,
    encode_chunk,
};
use common::{item, met};

fn limits() -> MeetLimits {
    MeetLimits::default()
}

fn ids(items: &[Item]) -> Vec<[u8; 32]> {
    items.iter().map(|item| item.id.0).collect()
}

fn have(items: &[Item]) -> Vec<u8> {
    Frame::Have { topic: Topic::Blob, ids: Ids::new(&ids(items)) }.encode()
}

fn want(items: &[Item]) -> Vec<u8> {
    Frame::Want { topic: Topic::Blob, ids: Ids::new(&ids(items)) }.encode()
}

fn blobs(n: u32) -> Vec<Item> {
    (0..n).map(|n| item(Topic::Blob, n)).collect()
}

fn events(meet: &mut Meet) -> Vec<MeetEvent> {
    core::iter::from_fn(|| meet.poll_event()).collect()
}

fn frames(meet: &mut Meet) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(transmit) = meet.poll_transmit() {
        let Transmit::Frame(frame) = transmit else { continue };
        frames.push(frame);
    }
    frames
}

fn refuse(item: Item, reason: RefuseReason) -> Vec<u8> {
    Frame::Refuse { item, reason }.encode()
}

/// A live meet that waits for these items.
fn waiting(items: &[Item], limits: MeetLimits) -> Meet {
    let mut meet = met(Mode::Live, limits);
    meet.handle_bytes(&have(items)).expect("the peer may offer");
    assert_eq!(events(&mut meet).len(), items.len());
    for item in items {
        meet.request(*item);
    }
    assert!(!frames(&mut meet).is_empty());
    meet
}

#[test]
fn item_bytes_max_refuses_a_larger_item_at_its_first_chunk() {
    let blobs = blobs(2);
    let mut meet = waiting(&blobs, MeetLimits { item_bytes_max: 100, ..limits() });
    meet.handle_bytes(&encode_chunk(blobs[0], 101, 0, &[0; 50])).unwrap();
    meet.handle_bytes(&encode_chunk(blobs[0], 101, 50, &[0; 51])).unwrap();
    meet.handle_bytes(&encode_chunk(blobs[1], 100, 0, &[0; 100])).unwrap();
    assert!(matches!(events(&mut meet)[..], [MeetEvent::Received { item, .. }] if item == blobs[1]));
    assert_eq!(frames(&mut meet), [refuse(blobs[0], RefuseReason::TooLarge)]);
    assert_eq!((meet.counters().too_large, meet.counters().chunks_ignored), (1, 1));
    assert!(!meet.offer(item(Topic::Blob, 9), 101));
    assert!(meet.offer(item(Topic::Blob, 9), 100));
    assert_eq!(meet.counters().own_offers_dropped, 1);
}

#[test]
fn an_item_too_large_for_the_peer_is_not_sent_even_if_it_asks() {
    let mut meet = met(Mode::Live, MeetLimits { item_bytes_max: u64::MAX, ..limits() });
    let blob = item(Topic::Blob, 1);
    meet.offer(blob, limits().item_bytes_max + 1);
    assert_eq!(frames(&mut meet).len(), 1);
    meet.handle_bytes(&want(&[blob])).unwrap();
    assert_eq!(events(&mut meet), [MeetEvent::Refused { item: blob, reason: RefuseReason::TooLarge }]);
    assert_eq!(frames(&mut meet), [refuse(blob, RefuseReason::TooLarge)]);
}

#[test]
fn offers_max_bounds_what_is_remembered_of_a_flood_of_haves() {
    let all = blobs(3_000);
    let mut meet = met(Mode::Live, MeetLimits { offers_max: 1_500, ..limits() });
    let mut offered = Vec::new();
    for _ in 0..3 {
        for run in all.chunks(IDS_MAX) {
            meet.handle_bytes(&have(run)).unwrap();
            offered.extend(events(&mut meet));
        }
    }
    assert_eq!(offered.len(), 1_500);
    assert_eq!(meet.counters().offers_dropped, 3 * 1_500);
    meet.accepted(all[0]);
    meet.handle_bytes(&have(&all[1_500..1_501])).unwrap();
    assert_eq!(events(&mut meet).len(), 1, "an answer makes room");
}

#[test]
fn offers_max_bounds_own_offers_and_acknowledgements() {
    let mut meet = met(Mode::Live, MeetLimits { offers_max: 2, ..limits() });
    let all = blobs(4);
    let taken: Vec<_> = all.iter().map(|item| meet.offer(*item, 1)).collect();
    assert_eq!(taken, [true, true, false, false]);
    assert!(meet.offer(all[0], 1), "offered twice is offered once");
    for item in &all {
        meet.ack(*item);
        meet.ack(all[0]);
    }
    let counters = meet.counters();
    assert_eq!((counters.own_offers_dropped, counters.answers_dropped), (2, 2));
}

#[test]
fn inflight_items_max_holds_requests_back_until_others_arrived() {
    let blobs = blobs(5);
    let mut meet = met(Mode::Live, MeetLimits { inflight_items_max: 2, ..limits() });
    meet.handle_bytes(&have(&blobs)).unwrap();
    blobs.iter().for_each(|item| meet.request(*item));
    blobs.iter().for_each(|item| meet.request(*item));
    assert_eq!(frames(&mut meet), [want(&blobs[..2])]);
    meet.handle_bytes(&encode_chunk(blobs[0], 2, 0, &[0])).unwrap();
    assert_eq!(frames(&mut meet), Vec::<Vec<u8>>::new(), "half an item makes no room");
    meet.handle_bytes(&encode_chunk(blobs[0], 2, 1, &[0])).unwrap();
    assert_eq!(frames(&mut meet), [want(&blobs[2..3])]);
    meet.handle_bytes(&refuse(blobs[1], RefuseReason::Gone)).unwrap();
    assert_eq!(frames(&mut meet), [want(&blobs[3..4])]);
    meet.refused(blobs[2], RefuseReason::NotWanted);
    assert_eq!(frames(&mut meet), [refuse(blobs[2], RefuseReason::NotWanted), want(&blobs[4..5])]);
}

#[test]
fn inflight_items_max_bounds_the_incomplete_items_of_a_parcel() {
    let blobs = blobs(3);
    let mut meet = met(Mode::Carried, MeetLimits { inflight_items_max: 2, ..limits() });
    for item in &blobs {
        meet.handle_bytes(&encode_chunk(*item, 2, 0, &[1])).unwrap();
    }
    for item in &blobs {
        meet.handle_bytes(&encode_chunk(*item, 2, 1, &[1])).unwrap();
    }
    assert_eq!(events(&mut meet).len(), 2);
    assert_eq!(frames(&mut meet), [refuse(blobs[2], RefuseReason::Full)]);
    assert_eq!((meet.counters().full, meet.counters().chunks_ignored), (1, 1));
}

#[test]
fn partial_bytes_max_bounds_what_is_held_by_announced_length() {
    let blobs = blobs(4);
    let mut meet = waiting(&blobs, MeetLimits { partial_bytes_max: 100, ..limits() });
    meet.handle_bytes(&encode_chunk(blobs[0], 60, 0, &[0])).unwrap();
    meet.handle_bytes(&encode_chunk(blobs[1], 41, 0, &[0])).unwrap();
    meet.handle_bytes(&encode_chunk(blobs[2], 40, 0, &[0; 40])).unwrap();
    assert_eq!(frames(&mut meet), [refuse(blobs[1], RefuseReason::Full)]);
    meet.handle_bytes(&encode_chunk(blobs[3], 1, 0, &[0])).unwrap();
    assert_eq!(frames(&mut meet), [refuse(blobs[3], RefuseReason::Full)], "received and not polled counts");
    assert_eq!(events(&mut meet).len(), 1);
    meet.handle_bytes(&have(&blobs[3..])).unwrap();
    meet.request(blobs[3]);
    meet.handle_bytes(&encode_chunk(blobs[3], 40, 0, &[0; 40])).unwrap();
    assert_eq!(events(&mut meet).len(), 2, "polling made room");
}

#[test]
fn a_partial_item_that_is_dropped_makes_room() {
    let blobs = blobs(4);
    let limits = MeetLimits { partial_bytes_max: 100, ..limits() };
    let mut meet = waiting(&blobs, limits);
    let first = |n: usize| encode_chunk(blobs[n], 100, 0, &[0]);
    meet.handle_bytes(&first(0)).unwrap();
    meet.refused(blobs[0], RefuseReason::Full);
    meet.handle_bytes(&first(1)).unwrap();
    meet.accepted(blobs[1]);
    meet.handle_bytes(&first(2)).unwrap();
    meet.handle_bytes(&refuse(blobs[2], RefuseReason::Gone)).unwrap();
    meet.handle_bytes(&first(3)).unwrap();
    assert_eq!(meet.counters().full, 0);
}

#[test]
fn an_item_accepted_after_all_is_acknowledged_and_not_refused() {
    let blobs = blobs(1);
    let mut meet = met(Mode::Live, limits());
    meet.refused(blobs[0], RefuseReason::Full);
    meet.accepted(blobs[0]);
    let ack = Frame::Ack { topic: Topic::Blob, ids: Ids::new(&ids(&blobs)) }.encode();
    assert_eq!(frames(&mut meet), [ack]);
}

#[test]
fn refusals_max_bounds_the_answers_to_a_flood_of_wants() {
    let all = blobs(2_000);
    let mut meet = met(Mode::Live, MeetLimits { refusals_max: 300, ..limits() });
    for run in all.chunks(IDS_MAX) {
        meet.handle_bytes(&want(run)).unwrap();
    }
    assert_eq!(frames(&mut meet).len(), 300);
    assert_eq!(meet.counters().answers_dropped, 1_700);
}

#[test]
fn events_max_ends_a_meet_whose_driver_does_not_poll() {
    let all = blobs(3_000);
    let mut meet = met(Mode::Live, MeetLimits { events_max: 1_000, ..limits() });
    assert_eq!(meet.handle_bytes(&have(&all[..1_000])), Ok(()));
    assert_eq!(meet.handle_bytes(&have(&all[1_000..2_000])), Err(MeetError::Backlog));
    assert_eq!(meet.handle_bytes(&have(&all[2_000..])), Err(MeetError::Backlog));
    assert_eq!(events(&mut meet).len(), 2_000, "what arrived can still be read");
}

#[test]
fn the_default_limits_never_back_up_a_driver_that_polls() {
    // The most events that 64 KiB and a frame held back can make: ids of 32 bytes.
    let mut meet = met(Mode::Live, limits());
    let stream: Vec<u8> = blobs(20_000).chunks(IDS_MAX).flat_map(have).collect();
    let mut seen = 0;
    for piece in stream.chunks(64 * 1024) {
        meet.handle_bytes(piece).unwrap();
        seen += events(&mut meet).len();
    }
    assert_eq!(seen, 20_000);
}

#[test]
fn unrequested_items_are_refused_once_and_not_buffered() {
    let mut meet = met(Mode::Live, limits());
    let (stranger, offered) = (item(Topic::Blob, 1), item(Topic::Blob, 2));
    meet.handle_bytes(&have(&[offered])).unwrap();
    events(&mut meet);
    for item in [stranger, offered] {
        for offset in 0..4 {
            meet.handle_bytes(&encode_chunk(item, 5, offset, &[0])).unwrap();
        }
    }
    assert_eq!(events(&mut meet), []);
    let mut refusals = [stranger, offered].map(|item| (item, refuse(item, RefuseReason::NotWanted)));
    refusals.sort();
    assert_eq!(frames(&mut meet), refusals.map(|(_, frame)| frame));
    assert_eq!(meet.counters().chunks_ignored, 8);
    meet.request(offered);
    meet.request(stranger);
    assert!(meet.is_idle(), "a request without an offer has no effect");
}

#[test]
fn gaps_overlaps_and_changed_lengths_end_the_meet() {
    let blobs = blobs(1);
    let after_first = |piece: &[u8]| {
        let mut meet = waiting(&blobs, limits());
        meet.handle_bytes(&encode_chunk(blobs[0], 10, 0, &[0; 4])).unwrap();
        meet.handle_bytes(piece)
    };
    assert_eq!(after_first(&encode_chunk(blobs[0], 10, 4, &[0; 4])), Ok(()));
    assert_eq!(after_first(&encode_chunk(blobs[0], 10, 5, &[0; 4])), Err(MeetError::Gap));
    assert_eq!(after_first(&encode_chunk(blobs[0], 10, 3, &[0; 4])), Err(MeetError::Gap));
    assert_eq!(after_first(&encode_chunk(blobs[0], 10, 0, &[0; 4])), Err(MeetError::Gap));
    assert_eq!(after_first(&encode_chunk(blobs[0], 11, 4, &[0; 4])), Err(MeetError::TotalChanged));
    let first = waiting(&blobs, limits()).handle_bytes(&encode_chunk(blobs[0], 10, 1, &[0]));
    assert_eq!(first, Err(MeetError::Gap));
}

#[test]
fn what_comes_twice_counts_once() {
    let blobs = blobs(2);
    let mut meet = waiting(&blobs[..1], limits());
    meet.handle_bytes(&have(&blobs[..1])).unwrap();
    let chunk = encode_chunk(blobs[0], 3, 0, &[0; 3]);
    meet.handle_bytes(&chunk).unwrap();
    meet.handle_bytes(&chunk).unwrap();
    meet.handle_bytes(&have(&blobs[..1])).unwrap();
    assert_eq!(events(&mut meet).len(), 1);
    meet.accepted(blobs[0]);
    meet.accepted(blobs[0]);
    assert_eq!(frames(&mut meet).len(), 1);
    meet.offer(blobs[1], 3);
    frames(&mut meet);
    meet.handle_bytes(&want(&[blobs[1], blobs[1]])).unwrap();
    meet.handle_bytes(&want(&[blobs[1]])).unwrap();
    assert!(matches!(meet.poll_transmit(), Some(Transmit::Chunk { len: 3, .. })));
    meet.handle_bytes(&want(&[blobs[1]])).unwrap();
    assert_eq!(meet.poll_transmit(), None);
    let ack = Frame::Ack { topic: Topic::Blob, ids: Ids::new(&[blobs[1].id.0]) }.encode();
    meet.handle_bytes(&ack).unwrap();
    meet.handle_bytes(&ack).unwrap();
    assert_eq!(events(&mut meet), [MeetEvent::Acked(blobs[1])]);
    assert!(meet.is_idle());
}

#[test]
fn answers_about_unknown_items_are_harmless_and_a_want_for_them_is_gone() {
    let mut meet = met(Mode::Live, limits());
    let stranger = item(Topic::Blob, 5);
    let ack = Frame::Ack { topic: Topic::Blob, ids: Ids::new(&[stranger.id.0]) }.encode();
    meet.handle_bytes(&ack).unwrap();
    meet.handle_bytes(&refuse(stranger, RefuseReason::Gone)).unwrap();
    assert_eq!(events(&mut meet), []);
    assert_eq!(meet.counters(), Counters { frames: 3, ids_ignored: 2, ..Counters::default() });
    meet.handle_bytes(&want(&[stranger])).unwrap();
    assert_eq!(frames(&mut meet), [refuse(stranger, RefuseReason::Gone)]);
    meet.withdraw(stranger);
    assert!(meet.is_idle());
}
