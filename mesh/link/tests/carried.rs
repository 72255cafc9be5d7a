//! A directory that is carried there and back.

mod common;

use cairn_link::frame::Ids;
use cairn_link::parcel::{PARCEL_BYTES_MAX, bytes_hard_max};
use cairn_link::{
    CHUNK_BYTES_MAX, Frame, Item, Meet, MeetEvent, MeetLimits, Mode, ParcelError, RefuseReason, Topic,
    Transmit, encode_chunk, pump_carried, unpack_carried,
};
use common::{Dice, Node, hello, item, met, stone};

fn pump(node: &Node, meet: &mut Meet) -> Vec<Vec<u8>> {
    let mut parcels = Vec::new();
    let mut read = |item, offset, len| node.read(item, offset, len);
    pump_carried(meet, &mut read, &mut |parcel| parcels.push(parcel));
    assert!(meet.is_idle());
    parcels
}

/// Reads a parcel into a node, and returns the items that it owes an acknowledgement for.
fn unpack(node: &mut Node, parcel: &[u8]) -> Vec<Item> {
    let mut meet = Meet::new(Mode::Carried, hello(node.seed), MeetLimits::default());
    let mut owed = Vec::new();
    let mut on = |event| {
        if let MeetEvent::Received { item, .. } = &event {
            owed.push(*item);
        }
        node.handle(event);
    };
    unpack_carried(&mut meet, parcel, &mut on).expect("it was written by our own writer");
    owed
}

fn stones() -> Node {
    let sizes = [0, 1, 500, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 5_000_000, 3_000_000, 3_000_000];
    Node::new(1, (0..).zip(sizes).map(|(n, size)| stone(n, size)))
}

#[test]
fn items_go_there_and_acknowledgements_come_back() {
    let (mut a, mut b) = (stones(), Node::new(2, []));
    let back = (item(Topic::Ledger, 77), vec![7; 20]);
    b.disk.insert(back.0, back.1.clone());
    let mut outgoing = a.meet(Mode::Carried);
    let there = pump(&a, &mut outgoing);
    assert!(there.len() >= 3, "{} parcels", there.len());
    let mut reply = b.meet(Mode::Carried);
    // In any order, and one of them twice.
    for parcel in there.iter().rev().chain(&there[..1]) {
        for item in unpack(&mut b, parcel) {
            reply.ack(item);
        }
    }
    assert!(a.disk.iter().all(|(item, bytes)| b.disk.get(item) == Some(bytes)));
    for parcel in pump(&b, &mut reply) {
        unpack(&mut a, &parcel);
    }
    assert_eq!(a.disk.get(&back.0), Some(&back.1));
    assert!(b.received.len() >= 8);
    let unacked: Vec<_> = a.disk.keys().filter(|item| !a.acked.contains(item)).collect();
    assert_eq!(unacked, [&back.0], "only what came from there");
    assert_eq!(
        pump(&a, &mut {
            let mut meet = a.clone().meet(Mode::Carried);
            meet.withdraw(back.0);
            meet
        }),
        Vec::<Vec<u8>>::new(),
        "nothing acknowledged is carried again"
    );
}

#[test]
fn each_parcel_stands_alone_and_keeps_its_bounds() {
    let mut a = stones();
    let mut meet = a.meet(Mode::Carried);
    let mut found = 0;
    let limits = MeetLimits::default();
    for parcel in pump(&a, &mut meet) {
        let mut b = Node::new(2, []);
        found += unpack(&mut b, &parcel).len();
        assert_eq!(b.peer.map(|hello| hello.node), Some(hello(1).node));
        assert!(common::len(&parcel) <= bytes_hard_max(limits.item_bytes_max));
        assert!(parcel.len() <= PARCEL_BYTES_MAX || b.disk.len() == 1);
    }
    assert_eq!(found, a.disk.len());
}

#[test]
fn the_largest_item_fits_the_hard_limit_of_a_parcel() {
    let max = MeetLimits::default().item_bytes_max;
    let large = (item(Topic::Blob, 1), vec![1; usize::try_from(max).unwrap()]);
    let mut a = Node::new(1, [large]);
    let mut meet = a.meet(Mode::Carried);
    let parcels = pump(&a, &mut meet);
    assert_eq!(parcels.len(), 1);
    assert!(common::len(&parcels[0]) <= bytes_hard_max(max));
    assert_eq!(unpack(&mut Node::new(2, []), &parcels[0]).len(), 1);
}

#[test]
fn what_a_parcel_was_refused_for_comes_back_with_the_answers() {
    let (small, large) = (item(Topic::Blob, 1), item(Topic::Blob, 2));
    let mut a = Node::new(1, [(small, vec![1; 10]), (large, vec![2; 70_000])]);
    let mut meet = a.meet(Mode::Carried);
    let there = pump(&a, &mut meet);
    let limits = MeetLimits { item_bytes_max: 69_999, ..MeetLimits::default() };
    let mut reader = Meet::new(Mode::Carried, hello(2), limits);
    let mut received = Vec::new();
    unpack_carried(&mut reader, &there[0], &mut |event| received.push(event)).unwrap();
    assert!(matches!(received[..], [MeetEvent::Peer(_), MeetEvent::Received { item, .. }] if item == small));
    reader.accepted(small);
    let mut reply = Meet::new(Mode::Carried, hello(2), limits);
    reply.take_answers(&mut reader);
    let mut answers = Vec::new();
    for parcel in pump(&Node::new(2, []), &mut reply) {
        let mut meet = Meet::new(Mode::Carried, hello(1), MeetLimits::default());
        unpack_carried(&mut meet, &parcel, &mut |event| answers.push(event)).unwrap();
    }
    let refused = MeetEvent::Refused { item: large, reason: RefuseReason::TooLarge };
    assert_eq!(answers[1..], [MeetEvent::Acked(small), refused]);
}

#[test]
fn questions_mean_nothing_where_no_answer_can_come() {
    let mut meet = met(Mode::Carried, MeetLimits::default());
    let blob = item(Topic::Blob, 1);
    let ids = [blob.id.0];
    meet.offer(blob, 10);
    meet.handle_bytes(&Frame::Have { topic: Topic::Blob, ids: Ids::new(&ids) }.encode()).unwrap();
    meet.handle_bytes(&Frame::Want { topic: Topic::Blob, ids: Ids::new(&ids) }.encode()).unwrap();
    assert_eq!(meet.poll_event(), None);
    assert_eq!(meet.counters().ids_ignored, 2);
    meet.request(item(Topic::Blob, 2));
    assert_eq!(meet.poll_transmit(), Some(Transmit::Chunk { item: blob, total: 10, offset: 0, len: 10 }));
    assert!(meet.offer(blob, 10), "it was pushed once, and is not again");
    assert_eq!(meet.poll_transmit(), None);
    assert!(meet.is_idle());
}

#[test]
fn a_parcel_of_liars_is_no_conversation() {
    let (blob, limits) = (item(Topic::Blob, 1), MeetLimits::default());
    let outcome = |frames: &[Vec<u8>]| {
        let parcel = [b"CAIRN-MEET-1".to_vec(), frames.concat()].concat();
        unpack_carried(&mut Meet::new(Mode::Carried, hello(2), limits), &parcel, &mut |_| ())
    };
    let hi = cairn_link::frame::encode_hello(&hello(1));
    assert_eq!(outcome(&[]), Err(ParcelError::NoHello));
    assert_eq!(outcome(&[encode_chunk(blob, 1, 0, &[1])]), Err(ParcelError::NoHello));
    assert!(matches!(outcome(&[hi.clone(), hi.clone()]), Err(ParcelError::Meet(_))));
    assert!(matches!(outcome(&[hi.clone(), encode_chunk(blob, 2, 1, &[1])]), Err(ParcelError::Meet(_))));
    assert_eq!(outcome(&[hi, encode_chunk(blob, 2, 0, &[1])]), Ok(()), "the rest of an item may be missing");
}

#[test]
fn no_flipped_bit_in_a_parcel_makes_the_reader_panic_or_overrun() {
    let mut a = Node::new(1, (0..6).map(|n| stone(n, 40)));
    let mut meet = a.meet(Mode::Carried);
    let parcel = pump(&a, &mut meet).remove(0);
    let mut dice = Dice(1);
    for at in 0..parcel.len() {
        let mut bad = parcel.clone();
        bad[at] ^= 1 << dice.below(8);
        let mut reader = Meet::new(Mode::Carried, hello(2), MeetLimits::default());
        let mut bytes = 0;
        let _ = unpack_carried(&mut reader, &bad, &mut |event| {
            if let MeetEvent::Received { bytes: item, .. } = event {
                bytes += item.len();
            }
        });
        assert!(bytes <= parcel.len());
    }
}
