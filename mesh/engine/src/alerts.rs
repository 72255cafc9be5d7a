//! How many alerts of nodes without standing are passed on as alerts.

use alloc::collections::BTreeMap;

use cairn_bundle::NodeId;

use crate::time::Instant;

const DAY_MS: u64 = 86_400_000;
/// Alerts of one source without standing in a day, and at once.
const SOURCE_DAILY: u64 = 16;
/// Alerts of all sources without standing that one neighbour brings in a day, and at once.
const NEIGHBOUR_DAILY: u64 = 64;
/// Sources and neighbours that are counted, of each kind.
const NODES_MAX: usize = 1_024;

/// Alerts go first and to everybody, and anybody may write one. This bounds how many of them a node spreads for those who have
/// earned no standing: 16 a day for each source, and 64 a day for each neighbour that brings them, because names cost
/// nothing. Beyond that an alert goes on as a normal bundle does: later and by fewer, not never. Each node counts for
/// itself, so a flood thins out with every hop. At most 2,048 nodes: about 160 KB.
#[derive(Debug, Default)]
pub struct Alerts {
    sources: Pace<SOURCE_DAILY>,
    neighbours: Pace<NEIGHBOUR_DAILY>,
}

/// So many events a day for each node, and as many at once after a day of silence: for each, the time at which its
/// past is worked off (the generic cell rate algorithm).
#[derive(Debug, Default)]
struct Pace<const DAILY: u64> {
    nodes: BTreeMap<NodeId, Instant>,
}

impl Alerts {
    /// A neighbour brings an alert, of this source if it says so: whether it may be passed on as one.
    ///
    /// Nothing counts before it is kept and its source turned out to be true ([`Alerts::passed_on`]): else a liar could
    /// use up the alerts of others, and a full store those of an honest neighbour.
    #[must_use]
    pub fn may_bring(&self, now: Instant, neighbour: &NodeId, source: Option<&NodeId>) -> bool {
        source.is_none_or(|source| self.sources.has_room(now, source))
            && self.neighbours.has_room(now, neighbour)
    }

    /// An alert is kept as one, of this source if somebody vouches for it. Those that were under way at once may be more
    /// than the bound by as many as there were.
    pub fn passed_on(&mut self, now: Instant, neighbour: &NodeId, source: Option<&NodeId>) {
        self.neighbours.take(now, neighbour);
        if let Some(source) = source {
            self.sources.take(now, source);
        }
    }
}

impl<const DAILY: u64> Pace<DAILY> {
    const EACH_MS: u64 = DAY_MS / DAILY;

    fn has_room(&self, now: Instant, node: &NodeId) -> bool {
        let ahead_ms = self.nodes.get(node).map_or(0, |until| *until - now);
        ahead_ms.saturating_add(Self::EACH_MS) <= DAY_MS
    }

    fn take(&mut self, now: Instant, node: &NodeId) {
        if self.nodes.len() >= NODES_MAX && !self.nodes.contains_key(node) {
            self.nodes.retain(|_, until| *until > now);
            let soonest = self.nodes.iter().min_by_key(|(_, until)| **until).map(|(node, _)| *node);
            if let Some(soonest) = soonest.filter(|_| self.nodes.len() >= NODES_MAX) {
                self.nodes.remove(&soonest);
            }
        }
        let until = self.nodes.entry(*node).or_insert(now);
        *until = (*until).max(now).plus_ms(Self::EACH_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::node;
    use cairn_bundle::Identity;

    fn named(n: usize) -> NodeId {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&n.to_be_bytes());
        Identity::from_seed(&seed).node_id()
    }

    fn at(minutes: u64) -> Instant {
        Instant::from_ms(minutes * 60_000)
    }

    #[test]
    fn a_source_has_so_many_alerts_a_day_whoever_brings_them() {
        let mut alerts = Alerts::default();
        let mut passed = 0;
        for n in 0..100 {
            if alerts.may_bring(at(0), &node(10 + n % 50), Some(&node(1))) {
                alerts.passed_on(at(0), &node(10 + n % 50), Some(&node(1)));
                passed += 1;
            }
        }
        assert_eq!(passed, SOURCE_DAILY);
        assert!(alerts.may_bring(at(0), &node(10), Some(&node(2))), "another one has its own");
        assert!(!alerts.may_bring(at(89), &node(10), Some(&node(1))));
        assert!(alerts.may_bring(at(90), &node(10), Some(&node(1))), "its past is worked off bit by bit");
    }

    #[test]
    fn names_cost_nothing_so_a_neighbour_has_a_share_for_all_that_it_brings() {
        let mut alerts = Alerts::default();
        let mut passed = 0;
        for n in 0..200 {
            if alerts.may_bring(at(0), &node(1), Some(&named(n))) {
                alerts.passed_on(at(0), &node(1), Some(&named(n)));
                passed += 1;
            }
        }
        assert_eq!(passed, NEIGHBOUR_DAILY);
        assert!(!alerts.may_bring(at(0), &node(1), None));
        assert!(alerts.may_bring(at(0), &node(2), Some(&named(201))));
        assert!(alerts.may_bring(at(23), &node(1), Some(&named(201))));
    }

    #[test]
    fn the_nodes_that_are_counted_are_bounded() {
        let mut pace: Pace<4> = Pace::default();
        let first = node(0);
        for _ in 0..4 {
            assert!(pace.has_room(at(0), &first));
            pace.take(at(0), &first);
        }
        for n in 0..NODES_MAX + 10 {
            pace.take(at(0), &named(n));
        }
        assert_eq!(pace.nodes.len(), NODES_MAX);
        assert!(!pace.has_room(at(0), &first), "who used most is remembered longest");
    }
}
