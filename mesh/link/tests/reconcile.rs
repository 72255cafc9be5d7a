//! Two sets are compared: afterwards each side knows what the other lacks, whatever happened under way.
#![expect(clippy::indexing_slicing, reason = "two sides, and turns between them")]

mod common;

use std::collections::BTreeSet;

use cairn_bundle::Digest;
use cairn_link::frame::RECONCILE_BYTES_MAX;
use cairn_link::reconcile::{
    IdSet, MESSAGE_BYTES_MIN, MemorySet, Prefix, ReconcileLimits, Reconciler, Step, Summary,
};
use common::Dice;
use proptest::prelude::*;

type Id = [u8; 32];

fn id(n: u32) -> Id {
    Digest::of(&n.to_be_bytes()).0
}

fn ids(range: core::ops::Range<u32>) -> MemorySet {
    range.map(id).collect()
}

/// What a conversation found, and what it cost.
#[derive(Debug, Default)]
struct Outcome {
    /// Own ids that the other side lacks, of the first and of the second side.
    lacked: [Vec<Id>; 2],
    messages: Vec<usize>,
    steps_max: usize,
}

impl Outcome {
    fn bytes(&self) -> usize {
        self.messages.iter().sum()
    }
}

/// Lets two sides talk to the end; `change` may change both sets before each step.
fn converse(
    sets: &mut [MemorySet; 2],
    limits: [ReconcileLimits; 2],
    salt: u64,
    change: &mut dyn FnMut(&mut [MemorySet; 2]),
) -> Outcome {
    let (first, start) = Reconciler::start(&sets[0], salt.to_be_bytes(), limits[0]);
    assert_eq!(start.len(), 31);
    assert!(Reconciler::is_start(&start));
    let mut sides = [first, Reconciler::respond(limits[1])];
    let mut outcome = Outcome { messages: vec![start.len()], ..Outcome::default() };
    let mut done = [false; 2];
    let mut message = start;
    let mut turn = 1;
    loop {
        change(sets);
        let mut step = sides[turn].handle(&sets[turn], &message).expect("both are honest");
        loop {
            let Step { reply, peer_lacks, done: over } = step;
            assert!(peer_lacks.len() <= limits[turn].step_ids_max);
            outcome.steps_max = outcome.steps_max.max(peer_lacks.len());
            outcome.lacked[turn].extend(peer_lacks);
            done[turn] = over;
            if let Some(reply) = reply {
                let max = limits[0].message_bytes_max.min(limits[1].message_bytes_max);
                assert!(reply.len() <= max.max(MESSAGE_BYTES_MIN), "{} bytes", reply.len());
                outcome.messages.push(reply.len());
                message = reply;
                break;
            }
            if over {
                assert_eq!(done, [true; 2], "both know that it is over");
                return outcome;
            }
            change(sets);
            step = sides[turn].proceed(&sets[turn]).expect("there is more to tell");
        }
        turn = 1 - turn;
    }
}

fn quietly(sets: [MemorySet; 2], limits: ReconcileLimits, salt: u64) -> Outcome {
    let mut sets = sets;
    let outcome = converse(&mut sets, [limits; 2], salt, &mut |_| ());
    let [a, b] = &sets;
    for (lacked, mine, theirs) in [(&outcome.lacked[0], a, b), (&outcome.lacked[1], b, a)] {
        let told: BTreeSet<_> = lacked.iter().copied().collect();
        assert_eq!(told.len(), lacked.len(), "each is told once");
        let expected: BTreeSet<_> = mine.iter().filter(|id| !theirs.contains(id)).copied().collect();
        assert_eq!(told, expected);
    }
    outcome
}

fn small() -> ReconcileLimits {
    ReconcileLimits { message_bytes_max: MESSAGE_BYTES_MIN, list_ids_max: 7, step_ids_max: 10 }
}

#[test]
fn equal_sets_are_equal_after_one_short_message_each_way() {
    for count in [0, 1, 50, 5_000] {
        let outcome = quietly([ids(0..count), ids(0..count)], ReconcileLimits::default(), 1);
        assert_eq!(outcome.messages, [31, 5]);
    }
}

#[test]
fn a_small_set_is_listed_at_once() {
    let outcome = quietly([ids(0..45), ids(5..50)], ReconcileLimits::default(), 1);
    assert_eq!(outcome.messages.len(), 3);
    assert_eq!(outcome.messages[1], 5 + 2 + 45 * 8);
    assert!(outcome.messages[2] < 12, "an answer takes a bit for each id");
}

#[test]
fn an_empty_side_costs_next_to_nothing_whatever_the_other_holds() {
    for sets in [[ids(0..20_000), ids(0..0)], [ids(0..0), ids(0..20_000)]] {
        let outcome = quietly(sets, ReconcileLimits::default(), 1);
        assert!(outcome.bytes() < 60, "{:?}", outcome.messages);
        assert!((1..=2_000).contains(&outcome.steps_max));
    }
}

#[test]
fn a_few_ids_against_many_cost_by_the_few() {
    let outcome = quietly([ids(0..30_000), ids(29_990..30_020)], ReconcileLimits::default(), 1);
    assert!(outcome.bytes() < 600, "{:?}", outcome.messages);
}

#[test]
fn the_cost_grows_with_the_difference_and_hardly_with_the_sets() {
    let mut last = 0;
    for count in [1_000, 10_000, 100_000] {
        let outcome = quietly([ids(0..count), ids(5..count + 5)], ReconcileLimits::default(), 1);
        assert!(outcome.bytes() < 8_000, "{count} ids: {:?}", outcome.messages);
        assert!(outcome.messages.len() <= 8);
        last = outcome.bytes();
    }
    let outcome = quietly([ids(0..100_000), ids(50..100_050)], ReconcileLimits::default(), 1);
    assert!(outcome.bytes() > last && outcome.bytes() < 10 * last);
}

#[test]
fn sets_without_a_common_id_cost_little_more_than_the_short_names_of_one() {
    let outcome = quietly([ids(0..20_000), ids(20_000..40_000)], ReconcileLimits::default(), 1);
    assert!(outcome.bytes() < 20_000 * 12, "{}", outcome.bytes());
    assert!(outcome.messages.iter().all(|len| *len <= RECONCILE_BYTES_MAX));
}

#[test]
fn the_smallest_messages_do_as_well() {
    for sets in [
        [ids(0..3_000), ids(2_000..5_000)],
        [ids(0..3_000), ids(3_000..6_000)],
        [ids(0..3_000), ids(0..0)],
        [ids(0..3_000), ids(0..2_999)],
    ] {
        quietly(sets, small(), 1);
    }
}

#[test]
fn two_sides_may_have_different_limits() {
    let wide = ReconcileLimits { list_ids_max: 255, ..ReconcileLimits::default() };
    for limits in [[small(), wide], [wide, small()]] {
        let mut sets = [ids(0..4_000), ids(1_000..5_000)];
        let outcome = converse(&mut sets, limits, 9, &mut |_| ());
        assert_eq!(outcome.lacked.map(|lacked| lacked.len()), [1_000, 1_000]);
    }
}

/// Ids that share their first bytes, as somebody would make them who tries many.
fn crowd(n: u16, shared: usize) -> Id {
    let mut id = id(u32::from(n));
    id.iter_mut().take(shared).for_each(|byte| *byte = 0x5a);
    id
}

#[test]
fn crowded_ids_are_told_apart_to_the_last_bit() {
    for shared in [0, 1, 2, 3, 15, 27] {
        let both = (0..500).chain(600..900);
        let a: MemorySet = both.clone().chain(500..550).map(|n| crowd(n, shared)).collect();
        let b: MemorySet = both.chain(550..600).map(|n| crowd(n, shared)).collect();
        let outcome = quietly([a.clone(), b.clone()], ReconcileLimits::default(), 1);
        assert!(outcome.bytes() < 10_000, "{:?}", outcome.messages);
        quietly([a, b], small(), 1);
    }
}

/// Draws two sets that share some ids.
fn pair(dice: &mut Dice) -> [MemorySet; 2] {
    let shared = dice.below(800);
    let own = [dice.below(300), if dice.below(4) == 0 { 0 } else { dice.below(300) }];
    let crowded = dice.below(3) == 0;
    let mut next = 0;
    let mut draw = |count: usize, dice: &mut Dice| -> Vec<Id> {
        (0..count)
            .map(|_| {
                next += 1;
                if crowded && dice.below(2) == 0 {
                    crowd(next, 2 * dice.below(15))
                } else {
                    id(u32::from(next))
                }
            })
            .collect()
    };
    let both = draw(shared, dice);
    own.map(|count| both.iter().copied().chain(draw(count, dice)).collect())
}

fn limits(dice: &mut Dice) -> ReconcileLimits {
    ReconcileLimits {
        message_bytes_max: MESSAGE_BYTES_MIN + dice.below(600),
        list_ids_max: u8::try_from(dice.below(60)).expect("it is small"),
        step_ids_max: 1 + dice.below(100),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn afterwards_each_side_knows_exactly_what_the_other_lacks(seed: u64) {
        let mut dice = Dice(seed);
        let sets = pair(&mut dice);
        let limits = limits(&mut dice);
        quietly(sets, limits, seed);
    }

    #[test]
    fn sets_that_change_under_way_hide_nothing_and_claim_nothing_false(seed: u64) {
        let mut dice = Dice(seed);
        let mut sets = pair(&mut dice);
        let limits = [limits(&mut dice), limits(&mut dice)];
        let before = sets.clone();
        // Ids that were ever absent on a side, or ever present: only about the others anything is certain.
        let mut touched = BTreeSet::new();
        let mut fresh = 1_000_000;
        let outcome = converse(&mut sets, limits, seed, &mut |sets| {
            for set in sets {
                for _ in 0..dice.below(4) {
                    if dice.below(2) == 0 {
                        fresh += 1;
                        touched.insert(id(fresh));
                        set.insert(id(fresh));
                        continue;
                    }
                    let at = dice.below(set.len());
                    let gone = set.iter().nth(at).copied();
                    if let Some(gone) = gone {
                        touched.insert(gone);
                        set.remove(&gone);
                    }
                }
            }
        });
        let [a, b] = &before;
        for (lacked, mine, theirs) in [(&outcome.lacked[0], a, b), (&outcome.lacked[1], b, a)] {
            for id in mine.iter().filter(|id| !touched.contains(*id)) {
                prop_assert_eq!(lacked.contains(id), !theirs.contains(id));
            }
            prop_assert!(lacked.iter().all(|id| mine.contains(id) || touched.contains(id)));
        }
    }
}

/// A set whose holder fails to find any ids, as if every read had failed.
struct Unreadable(MemorySet);

impl IdSet for Unreadable {
    fn summary(&self, prefix: &Prefix) -> Summary {
        self.0.summary(prefix)
    }

    fn ids(&self, _: &Prefix, _: usize) -> Vec<Id> {
        Vec::new()
    }
}

#[test]
fn a_set_that_cannot_be_read_does_not_hold_a_conversation_up() {
    let (broken, sound) = (Unreadable(ids(0..3_000)), ids(1_000..4_000));
    let (mut a, mut message) = Reconciler::start(&broken, [1; 8], ReconcileLimits::default());
    let mut b = Reconciler::respond(ReconcileLimits::default());
    for _ in 0..50 {
        let step = b.handle(&sound, &message).expect("nothing is malformed");
        let Some(reply) = step.reply else { return };
        let step = a.handle(&broken, &reply).expect("nothing is malformed");
        let Some(reply) = step.reply else { return };
        message = reply;
    }
    panic!("no end after a hundred messages");
}
