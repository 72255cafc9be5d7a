//! Whatever a peer says about its set, it costs no more than the own set and its own words are worth.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test that overruns is to fail")]

mod common;

use cairn_bundle::Digest;
use cairn_link::frame::RECONCILE_BYTES_MAX;
use cairn_link::reconcile::{
    MESSAGE_BYTES_MIN, MemorySet, Prefix, ReconcileError, ReconcileLimits, Reconciler, Step, compare,
};
use common::{Dice, len};
use proptest::prelude::*;

/// The longest message that the liar takes: 32 KiB.
const MAX: [u8; 2] = [0x80, 0];

fn ids(range: core::ops::Range<u32>) -> MemorySet {
    range.map(|n| Digest::of(&n.to_be_bytes()).0).collect()
}

fn start(count: u32, fingerprint: u8) -> Vec<u8> {
    [[1].as_slice(), &[7; 8], &MAX, &count.to_be_bytes(), &[fingerprint; 16]].concat()
}

fn next(more: bool, answer: &[u8], elements: &[u8]) -> Vec<u8> {
    let len = u16::try_from(answer.len()).expect("an answer is short").to_be_bytes();
    [&[2 + u8::from(more)], MAX.as_slice(), &len, answer, elements].concat()
}

/// A Split of a range of up to four half bytes, with fingerprints that nothing has.
fn split(key: u16, depth: u8, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = vec![depth];
    let key = (key << (16 - 4 * depth.clamp(1, 4))).to_be_bytes();
    bytes.extend(key.iter().take(usize::from(depth.div_ceil(2))));
    bytes.extend([0xff, 0xff]);
    for _ in 0..16 {
        bytes.extend(dice.roll().to_be_bytes());
    }
    bytes
}

/// What one side did while a liar talked to it.
#[derive(Debug, Default)]
struct Cost {
    heard: u64,
    said: u64,
    told: u64,
    rounds: u64,
    error: Option<ReconcileError>,
}

/// Lets a liar answer an honest side until that is through with it.
fn endure(set: &MemorySet, first: &[u8], lie: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Cost {
    let limits = ReconcileLimits::default();
    let mut side = Reconciler::respond(limits);
    let mut cost = Cost::default();
    let mut message = first.to_vec();
    while cost.rounds < 10_000 {
        cost.rounds += 1;
        cost.heard += len(&message);
        let mut outcome = side.handle(set, &message);
        loop {
            let Step { reply, peer_lacks, done } = match outcome {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(side.handle(set, &message), Err(error), "over is over");
                    cost.error = Some(error);
                    return cost;
                }
            };
            assert!(peer_lacks.len() <= limits.step_ids_max);
            assert!(peer_lacks.iter().all(|id| set.contains(id)));
            cost.told += u64::try_from(peer_lacks.len()).expect("it is small");
            if let Some(reply) = reply {
                assert!(reply.len() <= RECONCILE_BYTES_MAX);
                cost.said += len(&reply);
                if done {
                    return cost;
                }
                message = lie(&reply);
                break;
            }
            if done {
                return cost;
            }
            outcome = side.proceed(set);
        }
    }
    panic!("no end: {cost:?}");
}

/// The costs that a set of evenly spread ids can be made to cause.
fn within_bounds(set: &MemorySet, cost: &Cost) {
    let own = u64::try_from(set.len()).expect("a set is small");
    assert!(cost.rounds < 20 + own / 4, "{cost:?}");
    assert!(cost.said < 4_096 + 16 * own + cost.heard / 64, "{cost:?}");
    assert!(cost.told <= own, "{cost:?}");
}

#[test]
fn sums_that_never_agree_come_to_an_end() {
    let set = ids(0..5_000);
    let mut dice = Dice(1);
    // The whole range again and again, which may be answered once.
    let cost = endure(&set, &start(5_000, 1), &mut |_| next(false, &[], &split(0, 0, &mut dice)));
    assert_eq!((cost.rounds, cost.error), (3, Some(ReconcileError::Unasked)));
    // Ranges that nobody asked about.
    for depth in 2..=3 {
        let cost = endure(&set, &start(5_000, 1), &mut |_| next(true, &[], &split(7, depth, &mut dice)));
        assert_eq!((cost.rounds, cost.error), (2, Some(ReconcileError::Unasked)));
    }
    // Every range that it is asked about differs in every part.
    for more in [false, true] {
        let cost = endure(&set, &start(5_000, 1), &mut |reply| {
            let elements: Vec<u8> = splits(reply)
                .iter()
                .flat_map(|(key, depth)| {
                    (0..16)
                        .flat_map(|part| split((key << 4) | part, depth + 1, &mut dice))
                        .collect::<Vec<_>>()
                })
                .collect();
            next(more && !elements.is_empty(), &[], &elements)
        });
        within_bounds(&set, &cost);
        assert!(cost.rounds > 2, "{cost:?}");
    }
}

/// The ranges that a message splits.
fn splits(message: &[u8]) -> Vec<(u16, u8)> {
    let answer = usize::from(u16::from_be_bytes([message[3], message[4]]));
    let mut rest = &message[5 + answer..];
    let mut found = Vec::new();
    while let Some((head, behind)) = rest.split_first() {
        let depth = head & 0x7f;
        let (key, behind) = behind.split_at(usize::from(depth.div_ceil(2)));
        let body = if head & 0x80 == 0 {
            let key = key.iter().fold(0_u32, |key, byte| (key << 8) | u32::from(*byte));
            found.push((u16::try_from(key >> (4 * (depth % 2))).expect("it is not deep"), depth));
            2 + 8 * usize::try_from((u16::from_be_bytes([behind[0], behind[1]])).count_ones())
                .expect("16 at most")
        } else {
            1 + 8 * usize::from(behind[0])
        };
        rest = &behind[body..];
    }
    found
}

#[test]
fn who_claims_to_have_nothing_is_told_of_every_id_once() {
    let set = ids(0..5_000);
    let all = (5_000, None);
    let nothing = next(false, &[], &[0x80, 0]);
    let cost = endure(&set, &start(0, 1), &mut |_| nothing.clone());
    assert_eq!((cost.told, cost.error), all, "that is what an empty store is told");
    let cost = endure(&set, &start(1, 1), &mut |_| nothing.clone());
    assert_eq!((cost.told, cost.error), all);
    let cost = endure(&set, &start(1, 1), &mut |_| next(true, &[], &[0x80, 0]));
    assert_eq!((cost.told, cost.error), (5_000, Some(ReconcileError::Unasked)));
    within_bounds(&set, &cost);
}

#[test]
fn who_claims_to_have_everything_wastes_its_own_words() {
    let set = ids(0..5_000);
    let mut dice = Dice(4);
    let cost = endure(&set, &start(u32::MAX, 1), &mut |_| {
        let mut ids: Vec<_> = (0..255).map(|_| dice.roll().to_be_bytes()).collect();
        ids.sort_unstable();
        next(true, &[], &[[0x80, 255].as_slice(), ids.as_flattened()].concat())
    });
    assert_eq!((cost.rounds, cost.error), (3, Some(ReconcileError::Unasked)));
    within_bounds(&set, &cost);
    assert!(cost.said < cost.heard);
}

#[test]
fn who_lacks_all_that_is_listed_is_told_no_more_than_that() {
    let set = ids(0..30);
    let cost = endure(&set, &start(7, 1), &mut |reply| {
        assert_eq!(reply.len(), 5 + 2 + 30 * 8);
        next(false, &[0xff, 0xff, 0xff, 0xfc], &[])
    });
    assert_eq!((cost.told, cost.error), (30, None));
    for answer in [[0xff, 0xff, 0xff, 0xfe].as_slice(), &[0, 0, 0, 0, 1]] {
        let cost = endure(&set, &start(7, 1), &mut |_| next(false, answer, &[]));
        assert_eq!(cost.error, Some(ReconcileError::Malformed), "more answers than ids");
    }
}

#[test]
fn a_promise_of_more_without_a_word_is_no_message() {
    for count in [0, 100, 5_000] {
        let set = ids(0..count);
        let cost = endure(&set, &start(3, 1), &mut |_| next(true, &[], &[]));
        assert!(matches!(cost.error, Some(ReconcileError::Malformed)) || count == 0);
        within_bounds(&set, &cost);
    }
}

#[test]
fn what_comes_out_of_turn_ends_the_conversation() {
    let set = ids(0..5_000);
    let limits = ReconcileLimits::default();
    let out_of_turn = Err(ReconcileError::OutOfTurn);
    let (mut first, hello) = Reconciler::start(&set, [1; 8], limits);
    assert_eq!(first.proceed(&set), out_of_turn);
    assert_eq!(first.handle(&set, &hello), out_of_turn, "both began");
    assert_eq!(first.handle(&set, &next(false, &[], &[])), out_of_turn, "it stays over");
    let mut second = Reconciler::respond(limits);
    assert_eq!(second.handle(&set, &next(false, &[], &[])), out_of_turn);
    let mut second = Reconciler::respond(limits);
    assert!(second.handle(&set, &start(1, 1)).is_ok());
    assert_eq!(second.handle(&set, &start(1, 1)), out_of_turn, "a second beginning");
    // The tale is not at its end, so it is not the peer's turn.
    let mut third = Reconciler::respond(limits);
    let step = third.handle(&set, &start(0, 1)).expect("an empty set is fine");
    assert_eq!((step.reply, step.done), (None, false));
    assert_eq!(third.handle(&set, &next(false, &[], &[])), out_of_turn);
    let mut done = Reconciler::respond(limits);
    assert!(done.handle(&ids(0..0), &start(0, 1)).expect("nothing is wrong").done);
    assert_eq!(done.handle(&set, &next(false, &[], &[])), out_of_turn);
}

#[test]
fn nobody_says_more_than_either_side_takes() {
    let set = ids(0..5_000);
    let limits = ReconcileLimits { message_bytes_max: 300, ..ReconcileLimits::default() };
    let mut side = Reconciler::respond(limits);
    assert_eq!(side.handle(&set, &vec![2; 301]), Err(ReconcileError::TooLong(301)));
    // A peer that takes little, and says more than that.
    let mut side = Reconciler::respond(ReconcileLimits::default());
    let mut little = start(5_000, 1);
    little[9..11].copy_from_slice(&[1, 0]);
    let step = side.handle(&set, &little).expect("256 bytes are enough");
    assert!(step.reply.is_some_and(|reply| reply.len() <= MESSAGE_BYTES_MIN));
    let mut long = next(false, &[], &[&[0x80, 40], [[0; 8]; 40].as_flattened()].concat());
    for (n, id) in long.get_mut(7..).unwrap_or_default().chunks_mut(8).enumerate() {
        id[7] = u8::try_from(n).unwrap();
    }
    long[1..3].copy_from_slice(&[1, 0]);
    assert_eq!(side.handle(&set, &long), Err(ReconcileError::TooLong(long.len())));
    let mut side = Reconciler::respond(ReconcileLimits::default());
    little[9..11].copy_from_slice(&[0, 255]);
    assert_eq!(side.handle(&set, &little), Err(ReconcileError::Malformed), "too little for any range");
}

/// All that two honest sides say, each message as it was said.
fn honest(a: &MemorySet, b: &MemorySet) -> Vec<Vec<u8>> {
    let limits = ReconcileLimits { message_bytes_max: 600, step_ids_max: 50, ..ReconcileLimits::default() };
    let (first, start) = Reconciler::start(a, [3; 8], limits);
    let mut sides = [(first, a), (Reconciler::respond(limits), b)];
    let mut said = vec![start];
    loop {
        let (side, set) = &mut sides[said.len() % 2];
        let mut step = side.handle(*set, said.last().expect("one was said")).expect("both are honest");
        while step.reply.is_none() && !step.done {
            step = side.proceed(*set).expect("both are honest");
        }
        let Some(reply) = step.reply else { return said };
        said.push(reply);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_words_are_endured(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..6),
    ) {
        let set = ids(0..300);
        let mut rest = messages.into_iter();
        let cost = endure(&set, &start(3, 1), &mut |_| {
            let elements = rest.next().unwrap_or_default();
            next(elements.len() % 2 == 0, &[], &elements)
        });
        within_bounds(&set, &cost);
        let _ = compare(&set, &start(3, 1));
    }

    /// True messages with flipped bits, so that what is behind the first checks is reached.
    #[test]
    fn mutated_conversations_are_endured(seed: u64) {
        let mut dice = Dice(seed);
        let (a, b) = (ids(0..400), ids(150..550));
        let said = honest(&a, &b);
        let mut turn = 0;
        let cost = endure(&b, &said[0], &mut |_| {
            turn += 2;
            let mut message = said[(turn + 2 * dice.below(2)) % said.len()].clone();
            for _ in 0..dice.below(3) {
                let at = dice.below(message.len());
                message[at] ^= 1 << dice.below(8);
            }
            message
        });
        within_bounds(&b, &cost);
    }

    #[test]
    fn a_digest_from_anybody_is_compared_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let set = ids(0..50);
        if let Ok(ranges) = compare(&set, &bytes) {
            prop_assert!(ranges.len() <= 256 && ranges.is_sorted());
            prop_assert!(ranges.iter().all(|range| range.depth() <= Prefix::of(&[0; 32], 64).depth()));
        }
    }
}
