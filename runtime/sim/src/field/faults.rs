//! Everything that goes wrong in a run, drawn before it starts.

use std::collections::BTreeMap;

use crate::Dice;

/// How a neighbour lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hostile {
    /// Sends bundles that nobody wants, as fast as it can.
    Flooder,
    /// Sends what it has seen again and again.
    Replayer,
    /// Claims in reconciliation to have everything, so that nobody gives it anything, and it acknowledges all.
    HasEverything,
    /// Claims in reconciliation to have nothing, so that everything is sent to it once more.
    HasNothing,
    /// Claims to be the best way to everybody, takes what it is given, and drops it.
    BlackHole,
    /// Takes bundles and never acknowledges one.
    Silent,
    /// Sends fragments of bundles that never become whole.
    Fragmenter,
}

impl Hostile {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Flooder,
        Self::Replayer,
        Self::HasEverything,
        Self::HasNothing,
        Self::BlackHole,
        Self::Silent,
        Self::Fragmenter,
    ];
}

/// How unkind a field is: rates from which a [`FaultPlan`] is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFaults {
    /// Power cuts of each node in a day.
    pub crashes_per_day: u64,
    /// Power cuts, of a hundred, that take away what was not synced; the others end the program alone.
    pub unsynced_lost_percent: u64,
    /// Longest time that a batch takes to become durable, in milliseconds.
    pub sync_ms_max: u64,
    /// Nodes, of a hundred, whose disk is full for a while.
    pub disk_full_percent: u64,
    /// Nodes, of a hundred, whose wall clock jumps by up to fifty years, back or forth.
    pub clock_jump_percent: u64,
    /// Times in which the field is cut in two halves that do not hear each other.
    pub partitions: u64,
    /// Contacts, of a hundred, in which one end alone is heard.
    pub one_way_percent: u64,
    /// Frames damaged on the way, of a hundred thousand; on a link that repairs nothing the meet breaks off.
    pub corrupt_per_100k: u64,
    /// Frames that arrive twice, of a hundred thousand.
    pub twice_per_100k: u64,
    /// Frames that overtake the one before, of a hundred thousand.
    pub overtake_per_100k: u64,
    /// Nodes, of a hundred, that are hostile.
    pub hostile_percent: u64,
    /// Control: those who would be hostile are switched off instead, so that what their lies cost can be told from what
    /// it costs that they do not help.
    pub hostile_off: bool,
    /// Of which kind all hostile nodes are; `None` for each by chance.
    pub hostile_kind: Option<Hostile>,
    /// Negative control: nodes are told that a batch is durable before it is. The checks must notice.
    pub believes_too_early: bool,
    /// Negative control: nodes forget at a restart what they have seen. The checks must notice.
    pub forgets_seen: bool,
}

impl FieldFaults {
    /// Nothing goes wrong but what the links lose.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            crashes_per_day: 0,
            unsynced_lost_percent: 0,
            sync_ms_max: 20,
            disk_full_percent: 0,
            clock_jump_percent: 0,
            partitions: 0,
            one_way_percent: 0,
            corrupt_per_100k: 0,
            twice_per_100k: 0,
            overtake_per_100k: 0,
            hostile_percent: 0,
            hostile_off: false,
            hostile_kind: None,
            believes_too_early: false,
            forgets_seen: false,
        }
    }

    /// Some of everything, as much as the dice say: the mix of random seeds.
    #[must_use]
    pub fn mixed(dice: &mut Dice) -> Self {
        Self {
            crashes_per_day: dice.pick(0..30),
            unsynced_lost_percent: dice.pick(0..101),
            sync_ms_max: dice.pick(1..5_000),
            disk_full_percent: dice.pick(0..40),
            clock_jump_percent: dice.pick(0..60),
            partitions: dice.pick(0..4),
            one_way_percent: dice.pick(0..15),
            corrupt_per_100k: dice.pick(0..500),
            twice_per_100k: dice.pick(0..200),
            overtake_per_100k: dice.pick(0..200),
            hostile_percent: dice.pick(0..25),
            hostile_off: false,
            hostile_kind: None,
            believes_too_early: false,
            forgets_seen: false,
        }
    }
}

impl Default for FieldFaults {
    fn default() -> Self {
        Self::none()
    }
}

/// Something that goes wrong at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A node is down for a while.
    Crash {
        /// Which one.
        node: usize,
        /// How long, in milliseconds.
        down_ms: u64,
        /// Whether what was not synced is gone.
        unsynced_lost: bool,
    },
    /// A disk takes nothing any more.
    DiskFull {
        /// Whose.
        node: usize,
    },
    /// A disk has room again.
    DiskFree {
        /// Whose.
        node: usize,
    },
    /// A wall clock jumps.
    ClockJump {
        /// Whose.
        node: usize,
        /// How far, in seconds; negative is back.
        by_s: i64,
    },
    /// Nodes of different sides do not hear each other any more: those whose number, divided by this, is even, and
    /// the others.
    Partition {
        /// How many neighbouring numbers are on one side.
        group: usize,
    },
    /// The partition is over.
    Healed,
}

/// The faults of a run, in order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// When what goes wrong, in milliseconds from the start of the run.
    pub events: Vec<(u64, Fault)>,
    /// Who is hostile.
    pub hostile: BTreeMap<usize, Hostile>,
}

/// Fifty years, in seconds.
const FIFTY_YEARS_S: u64 = 50 * 31_557_600;
/// A day in milliseconds.
const DAY_MS: u64 = 86_400_000;

impl FaultPlan {
    /// Draws what happens to `nodes` nodes until `end_ms`, when everything is whole again.
    #[must_use]
    pub fn draw(faults: &FieldFaults, nodes: usize, end_ms: u64, dice: &mut Dice) -> Self {
        let mut plan = Self::default();
        for node in 0..nodes {
            if dice.percent(faults.hostile_percent) {
                let drawn = Hostile::ALL.get(dice.index(Hostile::ALL.len())).copied();
                let kind = faults.hostile_kind.or(drawn);
                plan.hostile.extend(kind.map(|kind| (node, kind)));
            }
            plan.draw_node(faults, node, end_ms, dice);
        }
        for _ in 0..faults.partitions {
            let group = dice.index(nodes.div_ceil(2)) + 1;
            plan.span(end_ms, dice, Fault::Partition { group }, Fault::Healed);
        }
        plan.events.sort_unstable();
        plan
    }

    fn draw_node(&mut self, faults: &FieldFaults, node: usize, end_ms: u64, dice: &mut Dice) {
        // So many in a day, by and large, also where the run is shorter than one.
        let expected = faults.crashes_per_day.saturating_mul(end_ms).saturating_mul(1_000) / DAY_MS;
        let crashes = expected / 1_000 + u64::from(dice.pick(0..1_000) < expected % 1_000);
        for _ in 0..crashes {
            let down_ms = dice.pick(1_000..600_000).min(end_ms / 10 + 1);
            let at_ms = dice.pick(0..end_ms.saturating_sub(down_ms));
            let unsynced_lost = dice.percent(faults.unsynced_lost_percent);
            self.events.push((at_ms, Fault::Crash { node, down_ms, unsynced_lost }));
        }
        if dice.percent(faults.disk_full_percent) {
            self.span(end_ms, dice, Fault::DiskFull { node }, Fault::DiskFree { node });
        }
        if dice.percent(faults.clock_jump_percent) {
            let by_s = i64::try_from(dice.pick(0..FIFTY_YEARS_S)).unwrap_or(0);
            let by_s = if dice.percent(50) { by_s } else { -by_s };
            self.events.push((dice.pick(0..end_ms), Fault::ClockJump { node, by_s }));
        }
    }

    fn span(&mut self, end_ms: u64, dice: &mut Dice, begin: Fault, over: Fault) {
        let from_ms = dice.pick(0..end_ms);
        let until_ms = dice.pick(from_ms..end_ms);
        self.events.extend([(from_ms, begin), (until_ms, over)]);
    }
}

/// Whether two nodes hear each other in a partition, see [`Fault::Partition`].
#[must_use]
pub const fn same_side(group: usize, one: usize, other: usize) -> bool {
    let group = if group == 0 { 1 } else { group };
    (one / group).is_multiple_of(2) == (other / group).is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_of_a_seed_is_always_the_same_and_ends_in_time() {
        let mut wild = FieldFaults::mixed(&mut Dice::new(4));
        (wild.hostile_percent, wild.disk_full_percent, wild.crashes_per_day, wild.partitions) =
            (40, 50, 10, 2);
        let end_ms = DAY_MS;
        let plan = FaultPlan::draw(&wild, 50, end_ms, &mut Dice::new(4));
        assert_eq!(plan, FaultPlan::draw(&wild, 50, end_ms, &mut Dice::new(4)));
        assert!(plan.events.is_sorted());
        let last = |(at_ms, fault): &(u64, Fault)| match fault {
            Fault::Crash { down_ms, .. } => at_ms + down_ms,
            _ => *at_ms,
        };
        assert!(plan.events.iter().all(|event| last(event) <= end_ms));
        let crashes = plan.events.iter().filter(|(_, fault)| matches!(fault, Fault::Crash { .. })).count();
        assert_eq!(crashes, 500);
        assert!((8..35).contains(&plan.hostile.len()));
        let count = |kind: fn(&Fault) -> bool| plan.events.iter().filter(|(_, fault)| kind(fault)).count();
        assert_eq!(
            count(|f| matches!(f, Fault::DiskFull { .. })),
            count(|f| matches!(f, Fault::DiskFree { .. }))
        );
        assert_eq!(count(|f| *f == Fault::Healed), 2);
    }

    #[test]
    fn nothing_is_planned_where_nothing_goes_wrong() {
        assert_eq!(
            FaultPlan::draw(&FieldFaults::none(), 99, DAY_MS, &mut Dice::new(1)),
            FaultPlan::default()
        );
    }

    #[test]
    fn a_partition_has_two_sides() {
        let sides: Vec<bool> = (0..6).map(|node| same_side(2, 0, node)).collect();
        assert_eq!(sides, [true, true, false, false, true, true]);
        assert!(same_side(0, 0, 2) && !same_side(0, 0, 1));
    }
}
