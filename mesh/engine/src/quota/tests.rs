use super::*;
use crate::record::tests::{node, record};
use crate::time::Instant;
use alloc::vec::Vec;
use proptest::prelude::*;

fn limits() -> QuotaLimits {
    QuotaLimits::for_amount(Amount { bytes: 16_000, bundles: 160 })
}

fn from(neighbour: u8, source: Option<u8>, bytes: u64) -> BundleRecord {
    BundleRecord { neighbour: Some(node(neighbour)), source: source.map(node), bytes, ..record() }
}

/// Adds copies of a record until one is refused: how many, and why no more.
fn fill(quotas: &mut Quotas, record: &BundleRecord) -> (u64, Exceeded) {
    let mut count = 0;
    loop {
        if let Err(exceeded) = quotas.check(record) {
            return (count, exceeded);
        }
        quotas.add(record);
        count += 1;
    }
}

#[test]
fn each_quota_refuses_what_exceeds_it() {
    // A stranger has an eighth, by bytes or by count.
    assert_eq!(fill(&mut Quotas::new(limits()), &from(1, Some(5), 100)), (20, Exceeded::Source));
    assert_eq!(fill(&mut Quotas::new(limits()), &from(1, Some(5), 1)), (20, Exceeded::Source));
    assert_eq!(fill(&mut Quotas::new(limits()), &from(1, None, 100)), (20, Exceeded::Unsigned));
    // Many sources through one neighbour have its half.
    let mut quotas = Quotas::new(limits());
    for source in 10..13 {
        assert_eq!(fill(&mut quotas, &from(1, Some(source), 100)), (20, Exceeded::Source));
    }
    assert_eq!(fill(&mut quotas, &from(1, Some(13), 100)), (20, Exceeded::Neighbour));
    assert_eq!(quotas.room_for_neighbour(&node(1)), 0);
    // Through another one, three quarters together.
    for source in 15..17 {
        assert_eq!(fill(&mut quotas, &from(2, Some(source), 100)), (20, Exceeded::Source));
    }
    assert_eq!(fill(&mut quotas, &from(2, Some(17), 100)), (0, Exceeded::Strangers));
    // Members find room, up to the reserve; half of that is for alerts, all of it for this node.
    let mut free = 15_000 - quotas.used().bytes;
    assert_eq!(quotas.room_for_neighbour(&node(2)), free);
    for source in 18..20 {
        quotas.standing(node(source), Some(source.into()), 1);
        let (count, why) = fill(&mut quotas, &from(2, Some(source), 100));
        free -= count * 100;
        assert_eq!(why, if free == 0 { Exceeded::Reserve } else { Exceeded::Source });
    }
    assert_eq!(free, 0);
    quotas.standing(node(20), None, 1);
    let alert = BundleRecord { class: Class::Alert, ..from(2, Some(20), 100) };
    assert_eq!(fill(&mut quotas, &alert), (5, Exceeded::Reserve));
    let own = BundleRecord { neighbour: None, ..from(1, Some(9), 100) };
    assert_eq!(fill(&mut quotas, &own), (5, Exceeded::Total));
}

#[test]
fn a_source_earns_more_by_settled_receipts_up_to_a_cap() {
    let mut quotas = Quotas::new(limits());
    quotas.standing(node(5), None, 1);
    assert_eq!(fill(&mut quotas, &from(1, Some(5), 100)), (40, Exceeded::Source));
    quotas.standing(node(5), None, 1_000_000);
    assert_eq!(quotas.check(&from(1, Some(5), 100)), Err(Exceeded::Source));
    assert_eq!(quotas.over(&from(1, Some(5), 100)), None);
    // What it lost by losing its standing it may keep until something else needs the room.
    quotas.standing(node(5), None, 0);
    assert_eq!(quotas.over(&from(1, Some(5), 100)), Some(Exceeded::Source));
}

#[test]
fn a_community_has_a_share_together() {
    let mut quotas = Quotas::new(limits());
    for member in 10..14 {
        quotas.standing(node(member), Some(7), 100);
        let (count, why) = fill(&mut quotas, &from(member % 2, Some(member), 100));
        match member {
            10 | 11 => assert_eq!((count, why), (40, Exceeded::Source)),
            _ => assert_eq!((count, why), (0, Exceeded::Community)),
        }
    }
    quotas.standing(node(10), Some(8), 100);
    assert_eq!(fill(&mut quotas, &from(3, Some(12), 100)).0, 40);
}

#[test]
fn a_flood_of_sources_does_not_crowd_out_a_source_of_standing() {
    let few = QuotaLimits { strangers_tracked_max: 2, known_tracked_max: 1, ..limits() };
    let mut quotas = Quotas::new(few);
    for source in 10..13 {
        quotas.add(&from(1, Some(source), 100));
    }
    // The third shares an account, and so does everybody who comes while it is in use.
    assert_eq!((quotas.sources.len(), quotas.sources.shared()), (2, Amount::one(100)));
    quotas.standing(node(20), None, 1);
    let later = BundleRecord { kept_since: Instant::from_ms(101), ..from(1, Some(20), 100) };
    quotas.add(&later);
    assert_eq!(quotas.sources.account(&node(20)).unwrap().used, Amount::one(100));
    // A second one of standing is one too many.
    quotas.standing(node(21), None, 1);
    assert!(!quotas.sources.has_standing(&node(21)));
    quotas.remove(&later);
    for source in 10..13 {
        quotas.remove(&from(1, Some(source), 100));
    }
    assert_eq!(
        (quotas.used(), quotas.sources.len(), quotas.sources.shared()),
        (Amount::ZERO, 1, Amount::ZERO)
    );
}

#[test]
fn a_share_never_shrinks_by_earning() {
    let limits = QuotaLimits::default();
    let mut last = Amount::ZERO;
    for earned in [0, 1, 2, 10, 1_000, u64::MAX] {
        let share = limits.source_share(earned);
        assert!(last.is_within(share) && share.is_within(limits.source_most));
        last = share;
    }
    assert_eq!(limits.source_share(0), Amount { bytes: 4 << 20, bundles: 1_000 });
    assert_eq!(last, limits.source_most);
}

#[derive(Debug, Clone)]
enum Step {
    Add(BundleRecord),
    Remove(usize),
    Standing(u8, Option<u32>, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let fields = (0_u8..5, proptest::option::of(10_u8..16), 1_u64..600, 0_u64..60, 0_u8..10);
    let any_record = fields.prop_map(|(neighbour, source, bytes, kept, kind)| BundleRecord {
        neighbour: (neighbour > 0).then(|| node(neighbour)),
        source: source.map(node),
        bytes,
        class: if kind == 0 { Class::Alert } else { Class::Normal },
        kept_since: Instant::from_ms(kept),
        ..record()
    });
    let standing = (10_u8..16, proptest::option::of(0_u32..2), 0_u64..3);
    prop_oneof![
        6 => any_record.prop_map(Step::Add),
        3 => any::<usize>().prop_map(Step::Remove),
        1 => standing.prop_map(|(node, community, earned)| Step::Standing(node, community, earned)),
    ]
}

fn sum<'a>(kept: &'a [BundleRecord], of: impl Fn(&BundleRecord) -> bool + 'a) -> Amount {
    kept.iter()
        .filter(|record| of(record))
        .fold(Amount::ZERO, |sum, record| sum.plus(Amount::one(record.bytes)))
}

/// Runs the steps as an engine would, checking against plain sums after each; then takes everything out again.
fn run(limits: &QuotaLimits, steps: Vec<Step>, exact: bool) -> Result<(), TestCaseError> {
    let mut quotas = Quotas::new(limits.clone());
    let mut kept = Vec::new();
    for step in steps {
        match step {
            Step::Add(record) => {
                if quotas.check(&record).is_ok() {
                    quotas.add(&record);
                    kept.push(record);
                }
            }
            Step::Remove(at) if !kept.is_empty() => quotas.remove(&kept.swap_remove(at % kept.len())),
            Step::Remove(_) => {}
            Step::Standing(n, community, earned) => quotas.standing(node(n), community, earned),
        }
        prop_assert_eq!(quotas.used(), sum(&kept, |_| true));
        prop_assert!(quotas.used().is_within(limits.total));
        prop_assert_eq!(quotas.foreign, sum(&kept, |record| !record.is_own()));
        for n in 1..5 {
            let used = sum(&kept, |record| record.neighbour == Some(node(n)));
            let most = if exact { limits.neighbour } else { limits.neighbour.plus(limits.neighbours_shared) };
            prop_assert!(used.is_within(most));
        }
        let mut known = Amount::ZERO;
        for n in 10..16 {
            let used = sum(&kept, |record| !record.is_own() && record.source == Some(node(n)));
            let most =
                if exact { limits.source_most } else { limits.source_most.plus(limits.strangers_shared) };
            prop_assert!(used.is_within(most));
            let account = quotas.sources.account(&node(n));
            if exact {
                prop_assert_eq!(account.map_or(Amount::ZERO, |account| account.used), used);
            }
            if quotas.sources.has_standing(&node(n)) {
                known = known.plus(account.unwrap().used);
            }
        }
        prop_assert_eq!(quotas.sources.known_used(), known);
        for community in 0..2 {
            let of = |record: &&u8| quotas.community_of(&node(**record)) == Some(community);
            let members: Vec<u8> = (10..16).collect();
            let used = members.iter().filter(of).fold(Amount::ZERO, |sum, n| {
                sum.plus(quotas.sources.account(&node(*n)).map_or(Amount::ZERO, |account| account.used))
            });
            prop_assert_eq!(quotas.communities.get(&community).copied().unwrap_or_default(), used);
        }
        let tracked_max = limits.strangers_tracked_max + limits.known_tracked_max;
        prop_assert!(quotas.sources.len() <= tracked_max + limits.known_tracked_max);
    }
    for n in 10..16 {
        quotas.standing(node(n), None, 0);
    }
    for record in kept {
        quotas.remove(&record);
    }
    prop_assert!(quotas.used().is_zero() && quotas.foreign.is_zero() && quotas.communities.is_empty());
    for accounts in [&quotas.sources, &quotas.neighbours, &quotas.unsigned] {
        prop_assert!(accounts.len() == 0 && accounts.shared().is_zero() && accounts.known_used().is_zero());
    }
    Ok(())
}

proptest! {
    #[test]
    fn nobody_exceeds_a_share_and_everything_is_given_back(
        steps in proptest::collection::vec(step(), 0..150),
    ) {
        run(&limits(), steps, true)?;
    }

    #[test]
    fn those_beyond_the_tracked_ones_share_and_give_back_all_the_same(
        steps in proptest::collection::vec(step(), 0..150),
    ) {
        let few = QuotaLimits {
            strangers_tracked_max: 2,
            known_tracked_max: 1,
            neighbours_tracked_max: 2,
            ..limits()
        };
        run(&few, steps, false)?;
    }
}

#[test]
fn who_has_much_here_is_a_crowd_unless_it_has_standing() {
    let mut quotas = Quotas::new(QuotaLimits::for_total(1 << 30));
    let mut crowds = Vec::new();
    for count in 0..300 {
        crowds.push(quotas.crowd(&from(1, Some(5), 100)));
        assert_eq!(quotas.crowd(&from(1, None, 100)), u8::from(count > 64) + u8::from(count > 256));
        quotas.add(&from(1, Some(5), 100));
        quotas.add(&from(1, None, 100));
    }
    let steps = [1, 2].map(|crowd| crowds.iter().position(|found| *found == crowd));
    assert_eq!(steps, [Some(65), Some(257)]);
    assert_eq!((quotas.crowd(&from(1, Some(6), 100)), quotas.crowd(&from(2, None, 100))), (0, 0));
    quotas.standing(node(5), None, 1);
    assert_eq!(quotas.crowd(&from(1, Some(5), 100)), 0);
    let own = BundleRecord { neighbour: None, ..from(1, Some(5), 100) };
    assert_eq!(quotas.crowd(&own), 0);
}
