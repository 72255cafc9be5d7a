//! Whatever arrives, a meet does not panic, does not run for ever, and keeps its bounds.

mod common;

use cairn_bundle::Digest;
use cairn_link::frame::encode_hello;
use cairn_link::{Meet, MeetLimits, Mode, RouteClaim, Topic};
use common::{Dice, Node, hello, item, stone};
use proptest::prelude::*;

fn limits() -> MeetLimits {
    MeetLimits {
        item_bytes_max: 1_000,
        offers_max: 50,
        inflight_items_max: 8,
        partial_bytes_max: 3_000,
        refusals_max: 30,
        control_bytes_max: 20_000,
        events_max: 2_000,
    }
}

/// A node that answers everything meets a peer that says this, in pieces of random size.
fn endure(mode: Mode, stream: &[u8], dice: &mut Dice) {
    let mut node = Node::new(1, (0..5).map(|n| stone(n, 30)));
    let mut meet = Meet::new(mode, hello(1), limits());
    for (item, bytes) in &node.disk {
        meet.offer(*item, common::len(bytes));
    }
    let mut rest = stream;
    let mut over = None;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(1 + dice.below(rest.len()));
        rest = behind;
        let result = meet.handle_bytes(piece);
        if let Some(error) = over {
            assert_eq!(result, Err(error), "over is over");
        }
        over = result.err();
        let (mut events, mut bytes) = (0, 0);
        while let Some(event) = meet.poll_event() {
            if let cairn_link::MeetEvent::Received { bytes: item, .. } = &event {
                bytes += item.len();
            }
            if let Some(answer) = node.handle(event) {
                common::apply(&mut meet, answer);
            }
            events += 1;
        }
        assert!(events <= 3_000 && bytes <= stream.len());
        let mut sent = 0;
        while meet.poll_transmit().is_some() {
            sent += 1;
        }
        // Hello, refusals, and an acknowledgement, a Want, a Have and a chunk for each item at most.
        assert!(sent <= 1 + 30 + 4 * 50, "{sent} frames at once");
    }
    assert!(over.is_none() || meet.is_idle());
}

/// What an honest peer says: items of every topic, requests, acknowledgements.
fn honest(mode: Mode) -> Vec<u8> {
    let mut peer = Node::new(2, (3..12).map(|n| stone(n, 30)));
    let mut other = Node::new(1, (0..5).map(|n| stone(n, 30)));
    let (mut at_peer, mut at_other) = (peer.meet(mode), other.meet(mode));
    at_peer.offer_ranked(item(Topic::Bundle, 99), 0, 1 << 60, 3);
    peer.disk.insert(item(Topic::Bundle, 99), Vec::new());
    at_peer.say_room(1_000_000);
    at_peer.say_routes(&[RouteClaim { node: [7; 16], delay_s: 60 }]);
    at_peer.say_reconcile(Topic::Bundle, vec![5; 90]);
    at_peer.say_heights(Topic::Board, vec![(Digest::of(b"a"), 1), (Digest::of(b"b"), 2)]);
    let mut stream = Vec::new();
    for _ in 0..40 {
        while let Some(frame) = peer.transmit(&mut at_peer) {
            at_other.handle_bytes(&frame).expect("both keep the protocol");
            stream.extend(frame);
        }
        other.settle(&mut at_other);
        while let Some(frame) = other.transmit(&mut at_other) {
            at_peer.handle_bytes(&frame).expect("both keep the protocol");
        }
        peer.settle(&mut at_peer);
    }
    stream
}

fn mutate(stream: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(stream.len());
        let end = (at + dice.below(64)).min(stream.len());
        match dice.below(7) {
            0 => stream.truncate(at),
            1 => drop(stream.drain(at..end)),
            2 => {
                let again: Vec<u8> = stream.get(at..end).unwrap_or_default().to_vec();
                stream.splice(at..at, again);
            }
            3 => stream.insert(at, dice.roll().to_be_bytes()[0]),
            4 => stream.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            5 => {
                if let Some(byte) = stream.get_mut(at) {
                    *byte = dice.roll().to_be_bytes()[0];
                }
            }
            _ => {
                if let Some(byte) = stream.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
}

#[test]
fn ten_thousand_mutated_conversations_are_endured() {
    for mode in [Mode::Live, Mode::Carried] {
        let honest = honest(mode);
        assert!(honest.len() > 500);
        for seed in 0..5_000 {
            let mut dice = Dice(seed);
            let mut stream = honest.clone();
            mutate(&mut stream, &mut dice);
            endure(mode, &stream, &mut dice);
        }
    }
}

/// Whole frames, so that their content is reached: shuffled, repeated, left out.
#[test]
fn true_frames_in_any_order_are_endured() {
    for mode in [Mode::Live, Mode::Carried] {
        let stream = honest(mode);
        let mut frames = Vec::new();
        let mut rest = stream.as_slice();
        while let Some((prefix, behind)) = rest.split_first_chunk::<4>() {
            let len = 4 + usize::try_from(u32::from_be_bytes(*prefix)).unwrap();
            frames.push(&rest[..len]);
            rest = &behind[len - 4..];
        }
        for seed in 0..2_000 {
            let mut dice = Dice(seed);
            let mut stream = encode_hello(&hello(2));
            for _ in 0..dice.below(60) {
                stream.extend_from_slice(frames[1 + dice.below(frames.len() - 1)]);
            }
            endure(mode, &stream, &mut dice);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_are_endured(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), seed: u64) {
        for mode in [Mode::Live, Mode::Carried] {
            endure(mode, &bytes, &mut Dice(seed));
        }
    }

    #[test]
    fn random_bodies_after_a_hello_are_endured(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..80), 0..20),
        seed: u64,
    ) {
        let mut stream = encode_hello(&hello(2));
        for body in bodies {
            stream.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
            stream.extend(body);
        }
        for mode in [Mode::Live, Mode::Carried] {
            endure(mode, &stream, &mut Dice(seed));
        }
    }
}
