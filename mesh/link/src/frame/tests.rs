//! Frames there and back, and what is not one.

use super::*;
use crate::hello::{BOARDS_MAX, CARD_BYTES_MAX};
use alloc::vec;
use cairn_bundle::Identity;

fn hello() -> Hello {
    Hello {
        version: 1,
        node: Identity::from_seed(&[1; 32]).node_id(),
        card: vec![7; 3],
        item_bytes_max: 500,
        boards: vec![[9; 16]],
        wall_time: None,
    }
}

fn item() -> Item {
    Item::new(Topic::Bundle, Digest([0xab; 32]))
}

fn claims() -> Vec<u8> {
    lists::claim_bytes(&[1, 2].map(|n| RouteClaim { node: [n; 16], delay_s: 3_600 }))
}

fn heights() -> Vec<u8> {
    lists::height_bytes([1, 2].map(|n| (Digest([n; 32]), u64::from(n) << 40)).into_iter())
}

/// A frame of the other kinds, from its bytes.
fn decoded(frame: &[u8]) -> Frame<'_> {
    match decode(body(frame)) {
        Ok(Decoded::Frame(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

fn all() -> [Frame<'static>; 12] {
    const IDS: &[[u8; 32]] = &[[1; 32], [2; 32]];
    let topic = Topic::Board;
    [
        Frame::Hello(hello()),
        Frame::Hello(Hello { wall_time: Some(u64::MAX), card: vec![], boards: vec![], ..hello() }),
        Frame::Have { topic, ids: Ids(IDS) },
        Frame::Want { topic, ids: Ids(IDS) },
        Frame::Chunk { item: item(), total: 70_000, offset: 65_536, bytes: b"stone" },
        Frame::Ack { topic, ids: Ids(IDS) },
        Frame::Refuse { item: item(), reason: RefuseReason::Gone },
        Frame::Bye,
        Frame::Reconcile { topic: Topic::Bundle, message: b"range" },
        Frame::Room { bytes: u64::MAX },
        Frame::Copies { item: item(), copies: 0 },
        Frame::Copies { item: item(), copies: u8::MAX },
    ]
}

fn body(frame: &[u8]) -> &[u8] {
    &frame[PREFIX_BYTES..]
}

#[test]
fn every_frame_comes_back_as_it_was() {
    for frame in all() {
        let bytes = frame.encode();
        assert_eq!(bytes[..4], u32::try_from(bytes.len() - 4).unwrap().to_be_bytes());
        assert_eq!(decode(body(&bytes)), Ok(Decoded::Frame(frame)));
    }
}

#[test]
fn lists_come_back_as_they_were() {
    for bytes in [
        encode_routes(&claims()),
        encode_routes(&[]),
        encode_heights(Topic::Ledger, &heights()),
        encode_heights(Topic::Board, &[]),
    ] {
        let frame = decoded(&bytes);
        assert_eq!(frame.encode(), bytes);
        for cut in PREFIX_BYTES..bytes.len() {
            assert!(decode(&bytes[PREFIX_BYTES..cut]).is_err(), "{frame:?} cut to {cut} bytes");
        }
    }
}

#[test]
fn a_message_has_between_one_and_reconcile_bytes_max_bytes() {
    let outcome = |len: usize| {
        let frame = encode_reconcile(Topic::Bundle, &vec![0; len]);
        decode(body(&frame)).map(|_| ())
    };
    assert_eq!(outcome(1), Ok(()));
    assert_eq!(outcome(RECONCILE_BYTES_MAX), Ok(()));
    for len in [0, RECONCILE_BYTES_MAX + 1] {
        assert_eq!(outcome(len), Err(FrameError::Message(len)));
    }
    assert_eq!(decode(&[0x84, 10, 2, 0x40, 1]), Err(FrameError::Malformed), "an id of no bytes");
    let mut copies = encode_copies(item(), 24)[PREFIX_BYTES..].to_vec();
    let end = copies.len() - 2;
    copies.splice(end.., [0x19, 1, 0]);
    assert_eq!(decode(&copies), Err(FrameError::Malformed), "256 copies");
}

#[test]
fn the_bytes_on_the_wire_do_not_change_by_accident() {
    assert_eq!(Frame::Bye.encode(), [0, 0, 0, 2, 0x81, 6]);
    let refuse = Frame::Refuse { item: item(), reason: RefuseReason::TooLarge }.encode();
    assert_eq!(refuse[..9], [0, 0, 0, 38, 0x84, 5, 2, 0x58, 32]);
    assert_eq!(refuse[9..], [[0xab; 32].as_slice(), &[2]].concat());
    let chunk = encode_chunk(item(), 300, 295, b"stone");
    assert_eq!(chunk[4..9], [0x86, 3, 2, 0x58, 32]);
    assert_eq!(chunk[41..], [0x19, 1, 44, 0x19, 1, 39, 0x45, b's', b't', b'o', b'n', b'e']);
    let have = Frame::Have { topic: Topic::Ledger, ids: Ids(&[[3; 32]]) }.encode();
    assert_eq!(have[4..9], [0x83, 1, 1, 0x58, 32]);
    let message = Frame::Reconcile { topic: Topic::Bundle, message: b"abc" };
    assert_eq!(message.encode(), [0, 0, 0, 7, 0x83, 7, 2, 0x43, b'a', b'b', b'c']);
    assert_eq!(Frame::Room { bytes: 500 }.encode(), [0, 0, 0, 5, 0x82, 8, 0x19, 1, 244]);
    let routes = encode_routes(&claims());
    assert_eq!(routes[4..8], [0x82, 9, 0x58, 40]);
    assert_eq!(routes[8..28], [[1; 16].as_slice(), &[0, 0, 14, 16]].concat());
    let copies = Frame::Copies { item: item(), copies: 7 }.encode();
    assert_eq!(copies[4..9], [0x84, 10, 2, 0x58, 32]);
    assert_eq!(copies[9..], [[0xab; 32].as_slice(), &[7]].concat());
    let heights = encode_heights(Topic::Board, &heights());
    assert_eq!(heights[4..9], [0x83, 11, 3, 0x58, 80]);
    assert_eq!(heights[9..49], [[1; 32].as_slice(), &[0, 0, 1, 0, 0, 0, 0, 0]].concat());
}

#[test]
fn no_frame_survives_a_cut_or_a_byte_too_many() {
    for frame in all() {
        let bytes = frame.encode();
        let body = body(&bytes);
        for cut in 0..body.len() {
            assert!(decode(&body[..cut]).is_err(), "{frame:?} cut to {cut} bytes");
        }
        let longer = [body, &[0]].concat();
        assert_eq!(decode(&longer), Err(FrameError::Malformed), "{frame:?}");
    }
}

#[test]
fn other_spellings_of_a_frame_are_refused() {
    for bad in [
        &[0x9f, 6, 0xff][..],            // array of indefinite length
        &[0x98, 1, 6],                   // array head too long
        &[0x81, 0x18, 6],                // number too long
        &[0x82, 6, 0],                   // a field too many
        &[0x82, 8, 0x18, 9],             // room too long
        &[0x80],                         // no type
        &[0xa0],                         // a map
        &[0x81, 0x26],                   // a negative type
        &[0x83, 1, 1, 0x40],             // no ids
        &[0x83, 1, 1, 0x41, 0],          // ids that are not 32 bytes long
        &[0x83, 1, 1, 0x5f, 0x40, 0xff], // bytes of indefinite length
        &[0x83, 1, 1, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // longer than memory
    ] {
        assert!(decode(bad).is_err(), "{bad:x?}");
    }
}

#[test]
fn types_and_topics_of_the_future_are_told_apart_from_nonsense() {
    assert_eq!(decode(&[0x82, 12, 0xff]), Ok(Decoded::UnknownType(12)));
    assert_eq!(decode(&[0x81, 0x19, 1, 44]), Ok(Decoded::UnknownType(300)));
    assert_eq!(decode(&[0x83, 1, 6, 0]), Ok(Decoded::UnknownTopic(6)));
    assert_eq!(decode(&[0x83, 7, 6, 0]), Ok(Decoded::UnknownTopic(6)));
    assert_eq!(decode(&[0x83, 1, 0, 0]), Ok(Decoded::UnknownTopic(0)));
}

#[test]
fn a_list_has_between_one_and_ids_max_ids() {
    let ids = vec![[0; 32]; IDS_MAX + 1];
    let frame = encode_have(Topic::Blob, &ids[..IDS_MAX]);
    assert!(frame.len() <= FRAME_BYTES_MAX);
    assert!(
        matches!(decode(body(&frame)), Ok(Decoded::Frame(Frame::Have { ids, .. })) if ids.len() == IDS_MAX)
    );
    for len in [0, IDS_MAX + 1] {
        let frame = encode_have(Topic::Blob, &ids[..len]);
        assert_eq!(decode(body(&frame)), Err(FrameError::Ids(len)));
    }
}

#[test]
fn a_chunk_lies_within_its_item_and_is_no_larger_than_chunk_bytes_max() {
    let chunk = |total, offset, len: usize| {
        let frame = encode_chunk(item(), total, offset, &vec![0; len]);
        decode(body(&frame)).map(|_| ())
    };
    assert_eq!(chunk(0, 0, 0), Ok(()));
    assert_eq!(chunk(10, 9, 1), Ok(()));
    assert_eq!(chunk(10, 9, 2), Err(FrameError::Chunk));
    assert_eq!(chunk(10, 10, 0), Err(FrameError::Chunk));
    assert_eq!(chunk(u64::MAX, u64::MAX, 1), Err(FrameError::Chunk));
    assert_eq!(chunk(u64::MAX, 0, CHUNK_BYTES_MAX), Ok(()));
    assert_eq!(chunk(u64::MAX, 0, CHUNK_BYTES_MAX + 1), Err(FrameError::Chunk));
    let largest = encode_chunk(item(), u64::MAX, u64::MAX - 70_000, &vec![0; CHUNK_BYTES_MAX]);
    assert!(body(&largest).len() <= FRAME_BYTES_MAX);
}

#[test]
fn a_hello_has_limits_and_a_key() {
    let outcome = |hello: &Hello| decode(body(&encode_hello(hello))).map(|_| ());
    assert_eq!(outcome(&Hello { card: vec![0; CARD_BYTES_MAX], ..hello() }), Ok(()));
    let long = Hello { card: vec![0; CARD_BYTES_MAX + 1], ..hello() };
    assert_eq!(outcome(&long), Err(FrameError::CardTooLong));
    assert_eq!(outcome(&Hello { boards: vec![[0; 16]; BOARDS_MAX], ..hello() }), Ok(()));
    let many = Hello { boards: vec![[0; 16]; BOARDS_MAX + 1], ..hello() };
    assert_eq!(outcome(&many), Err(FrameError::TooManyBoards));
    assert_eq!(outcome(&Hello { version: 0, ..hello() }), Err(FrameError::Version));
    let mut bytes = encode_hello(&hello());
    bytes[9..41].fill(0);
    assert_eq!(decode(body(&bytes)), Err(FrameError::Node));
}

#[test]
fn a_later_version_may_add_to_its_hello_and_this_one_may_not() {
    let add = |version| {
        let mut bytes = encode_hello(&Hello { version, ..hello() });
        bytes[4] += 1;
        bytes.push(0xf5);
        decode(body(&bytes)).map(|_| ())
    };
    assert_eq!(add(2), Ok(()));
    assert_eq!(add(1), Err(FrameError::Malformed));
}
