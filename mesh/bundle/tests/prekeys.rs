//! Prekeys: made anew in time, forgotten in time, and never early because of a clock.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

mod common;

use cairn_bundle::prekey::{PREKEY_VALID_MAX_S, PREKEYS_BYTES_MAX, PREKEYS_ERASED_MAX, PREKEYS_HELD_MAX};
use cairn_bundle::{
    Bundle, Identity, OpenError, PrekeyTimes, Prekeys, PrekeysError, SealedTo, SealingKey, open, seal,
};
use common::{Seeded, draft, recipient, sender};
use proptest::prelude::*;

const DAY: u64 = 86_400;
const NOON: u64 = 2_500 * DAY + DAY / 2;

fn rotate(ring: &mut Prekeys, wall_s: Option<u64>, rng: &mut Seeded) -> SealingKey {
    ring.rotate(wall_s, &recipient(), rng);
    ring.announcement(wall_s).unwrap().key
}

/// A ring that was rotated so often, and its keys from the oldest on.
fn rotated(times: PrekeyTimes, rotations: usize) -> (Prekeys, Vec<SealingKey>) {
    let (mut ring, mut rng) = (Prekeys::new(times), Seeded(1));
    let keys = (0..rotations).map(|_| rotate(&mut ring, None, &mut rng)).collect();
    (ring, keys)
}

fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}

/// The current secret, found where it is written: right behind the numbers and the head of its array.
fn current_secret(ring: &Prekeys) -> Vec<u8> {
    let bytes = ring.encode();
    let heads = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&[0x58, 32]));
    let at = heads.min().unwrap() + 2;
    bytes[at..at + 32].to_vec()
}

#[test]
fn a_key_is_current_for_a_day_and_held_for_fourteen_more() {
    let (ring, keys) = rotated(PrekeyTimes::default(), 21);
    // On day 20 the key of day 5 has been retired for fourteen days.
    assert_eq!(ring.len(), 15);
    for (day, key) in keys.iter().enumerate() {
        let since = 20 - day;
        assert_eq!(ring.rotations_since(key), (day > 5).then_some(since), "key of day {day}");
    }
}

#[test]
fn an_erased_secret_is_in_no_byte_of_the_ring() {
    let (mut ring, mut rng) = (Prekeys::default(), Seeded(1));
    let mut secrets = Vec::new();
    for _day in 0..=20 {
        rotate(&mut ring, None, &mut rng);
        secrets.push(current_secret(&ring));
    }
    let bytes = ring.encode();
    for (day, secret) in secrets.iter().enumerate() {
        assert_eq!(holds(&bytes, secret), day > 5, "secret of day {day}");
    }
}

fn sealed_to(key: &SealingKey) -> Bundle {
    seal(&draft(b"stones"), &sender(), key, &mut Seeded(1)).unwrap()
}

/// The promise of the design: every secret of day 20, and the mail of the days before.
#[test]
fn whoever_takes_the_node_on_day_20_cannot_read_what_came_before_day_5() {
    let (mut ring, mut rng) = (Prekeys::default(), Seeded(1));
    let mail: Vec<Bundle> =
        (0..=20).map(|_day| sealed_to(&rotate(&mut ring, Some(NOON), &mut rng))).collect();
    let taken = Prekeys::decode(&ring.encode()).unwrap();
    for (day, bundle) in mail.iter().enumerate() {
        match open(bundle, &recipient(), &taken) {
            Ok(opened) => {
                assert!(day > 5, "mail of day {day}");
                assert_eq!((opened.sealed_to, &opened.payload[..]), (SealedTo::Prekey, &b"stones"[..]));
            }
            Err(error) => assert_eq!((day <= 5, error), (true, OpenError::ErasedKey), "mail of day {day}"),
        }
    }
    let fallback = sealed_to(&recipient().sealing_key());
    assert_eq!(open(&fallback, &recipient(), &taken).unwrap().sealed_to, SealedTo::LongTerm);
    assert_eq!(open(&mail[20], &recipient(), &Prekeys::default()), Err(OpenError::OtherKey));
}

#[test]
fn a_rotation_is_due_at_the_start_and_after_a_day_of_running() {
    let mut ring = Prekeys::default();
    assert!(ring.is_due(None) && ring.is_empty());
    assert_eq!((ring.due_in_s(), ring.announcement(Some(NOON))), (0, None));
    rotate(&mut ring, None, &mut Seeded(1));
    assert!(!ring.is_due(None));
    ring.pass(DAY - 1);
    assert!(!ring.is_due(None));
    assert_eq!((ring.due_in_s(), ring.ran_s()), (1, DAY - 1));
    // The time that a node ran survives its end.
    let mut ring = Prekeys::decode(&ring.encode()).unwrap();
    ring.pass(1);
    assert!(ring.is_due(None));
    ring.pass(u64::MAX);
    assert!(ring.is_due(Some(0)));
}

#[test]
fn a_node_that_was_switched_off_rotates_once_by_its_wall_clock() {
    let mut ring = Prekeys::default();
    rotate(&mut ring, Some(NOON), &mut Seeded(1));
    assert!(!ring.is_due(Some(NOON + DAY - 1)));
    assert!(ring.is_due(Some(NOON + DAY)) && ring.is_due(Some(NOON + 40 * DAY)));
    rotate(&mut ring, Some(NOON + 40 * DAY), &mut Seeded(2));
    assert!(!ring.is_due(Some(NOON + 40 * DAY)));
    assert_eq!(ring.len(), 2, "forty days switched off erase nothing");
}

#[test]
fn a_clock_that_jumps_erases_nothing_early() {
    let (mut ring, mut rng) = (Prekeys::default(), Seeded(1));
    let first = rotate(&mut ring, Some(NOON), &mut rng);
    // Into the next century and back, again and again.
    for _ in 0..100 {
        for wall_s in [NOON + 30_000 * DAY, NOON, 0, u64::MAX] {
            if ring.is_due(Some(wall_s)) {
                rotate(&mut ring, Some(wall_s), &mut rng);
            }
        }
    }
    assert_eq!(ring.len(), 3, "one more key for each new maximum of the clock");
    assert_eq!(ring.rotations_since(&first), Some(2));
}

#[test]
fn a_card_says_until_when_the_current_key_is_good() {
    let mut ring = Prekeys::default();
    rotate(&mut ring, Some(NOON), &mut Seeded(1));
    let until = |ring: &Prekeys, wall_s| ring.announcement(wall_s).unwrap().valid_until_s;
    assert_eq!(until(&ring, Some(NOON)), NOON + PREKEY_VALID_MAX_S);
    ring.pass(DAY / 2);
    assert_eq!(until(&ring, Some(NOON + DAY / 2)), NOON + PREKEY_VALID_MAX_S, "whenever it is asked");
    assert_eq!(until(&ring, None), 0, "a node without a clock names no date");
    // The clock was set right in the meantime: the date follows it.
    assert_eq!(until(&ring, Some(NOON - 900 * DAY)), NOON - 900 * DAY + PREKEY_VALID_MAX_S - DAY / 2);
    assert_eq!(until(&ring, Some(u64::MAX)), u64::MAX);
}

#[test]
fn a_key_is_valid_for_less_long_than_its_secret_is_held() {
    for times in
        [(1, 0), (1, 1), (DAY, 14 * DAY), (DAY, 0), (3_600, 1_000_000 * DAY), (0, 0), (u64::MAX, u64::MAX)]
    {
        let times = PrekeyTimes { period_s: times.0, grace_s: times.1 };
        let mut ring = Prekeys::new(times);
        let key = rotate(&mut ring, Some(NOON), &mut Seeded(1));
        let valid_s = ring.announcement(Some(NOON)).unwrap().valid_until_s - NOON;
        let mut held_s = 0_u64;
        while ring.rotations_since(&key).is_some() {
            held_s = held_s.saturating_add(times.period_s.max(1));
            rotate(&mut ring, None, &mut Seeded(held_s));
        }
        assert!(valid_s <= held_s, "{times:?}: valid for {valid_s} s, held for {held_s} s");
    }
}

#[test]
fn a_ring_never_holds_more_than_its_limits() {
    let times = PrekeyTimes { period_s: 1, grace_s: u64::MAX };
    let (ring, keys) = rotated(times, PREKEYS_HELD_MAX);
    assert_eq!((ring.len(), ring.rotations_since(&keys[0])), (PREKEYS_HELD_MAX, Some(PREKEYS_HELD_MAX - 1)));
    let (ring, keys) = rotated(times, PREKEYS_HELD_MAX + PREKEYS_ERASED_MAX + 1);
    assert_eq!((ring.len(), ring.rotations_since(&keys[PREKEYS_ERASED_MAX])), (PREKEYS_HELD_MAX, None));
    let bytes = ring.encode();
    assert!(bytes.len() <= PREKEYS_BYTES_MAX, "{} bytes", bytes.len());
    assert_eq!(*Prekeys::decode(&bytes).unwrap().encode(), *bytes);
    assert_eq!(Prekeys::decode(&vec![0; PREKEYS_BYTES_MAX + 1]).unwrap_err(), PrekeysError::TooLarge);
}

#[test]
fn no_truncation_and_no_flipped_bit_of_a_ring_gets_through() {
    let (ring, _) = rotated(PrekeyTimes::default(), 17);
    let bytes = ring.encode();
    for end in 0..bytes.len() {
        assert!(Prekeys::decode(&bytes[..end]).is_err());
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        assert_eq!(Prekeys::decode(&flipped).unwrap_err(), PrekeysError::Damaged);
    }
}

#[test]
fn nothing_secret_is_printed() {
    let (ring, _) = rotated(PrekeyTimes::default(), 3);
    assert_eq!(format!("{ring:?}"), "Prekeys(3 held after 3 rotations)");
}

#[test]
fn a_generator_that_repeats_itself_gives_other_keys_to_other_nodes_and_rotations() {
    let mut keys = Vec::new();
    for seed in [1, 2] {
        let mut ring = Prekeys::default();
        for _ in 0..2 {
            ring.rotate(None, &Identity::from_seed(&[seed; 32]), &mut Seeded(7));
            keys.push(ring.announcement(None).unwrap().key);
        }
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_ring_comes_back(
        period_s in any::<u64>(),
        grace_s in any::<u64>(),
        steps in proptest::collection::vec((any::<Option<u64>>(), any::<u64>()), 0..30),
    ) {
        let mut ring = Prekeys::new(PrekeyTimes { period_s, grace_s });
        let mut keys = Vec::new();
        for (wall_s, ran_s) in steps {
            keys.push(rotate(&mut ring, wall_s, &mut Seeded(ran_s)));
            ring.pass(ran_s);
        }
        let again = Prekeys::decode(&ring.encode()).unwrap();
        prop_assert_eq!(&*again.encode(), &*ring.encode());
        prop_assert_eq!((again.len(), again.rotations()), (ring.len(), ring.rotations()));
        for key in keys {
            prop_assert_eq!(again.rotations_since(&key), ring.rotations_since(&key));
        }
    }

    #[test]
    fn rubbish_is_no_ring(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Prekeys::decode(&bytes).is_err());
    }
}
