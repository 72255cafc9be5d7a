//! Which bundles were here before: a bounded memory that outlives them, and a restart.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};

use cairn_bundle::Digest;

use crate::record::id_prefix;

/// The memory keeps up to one part in so many more than asked, because it forgets that much at once.
const PARTS: usize = 8;

/// Bundles that were carried or delivered, oldest forgotten first.
///
/// Of an id only the first 64 bits are kept. A new bundle is taken for an old one with a probability of n / 2^64, which
/// is less than 2^-44 at 500,000 ids, because ids are BLAKE3 digests. Whoever wants to keep a certain bundle away needs
/// another one with the same 64 bits, and that before the bundle is first seen: 2^64 attempts for an id that nobody
/// knows yet. To find two bundles of one's own that collide (2^32 attempts) harms their author only.
///
/// Recent ids lie in a tree, older ones in sorted runs of 8 bytes an id, so that 500,000 take about 6 MB.
#[derive(Debug)]
pub struct Seen {
    ids_max: usize,
    recent: BTreeSet<u64>,
    runs: VecDeque<Run>,
    /// The counter of the next id.
    next: u64,
    /// The oldest counter whose row the host still has.
    oldest: u64,
}

/// Ids that were inserted one after the other, sorted.
#[derive(Debug)]
struct Run {
    prefixes: Box<[u64]>,
    /// The counter of the one that came last.
    last: u64,
}

/// An id that is new: what the host writes down, and what it may delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// Where it stands in the order of insertion: the key of its row.
    pub counter: u64,
    /// The first eight bytes of the id: its row.
    pub prefix: u64,
    /// Every row up to and with this counter is forgotten.
    pub forgotten: Option<u64>,
}

impl Seen {
    /// A memory for so many ids, at least one.
    #[must_use]
    pub fn new(ids_max: usize) -> Self {
        Self { ids_max: ids_max.max(1), recent: BTreeSet::new(), runs: VecDeque::new(), next: 0, oldest: 0 }
    }

    /// Takes a row back in at start. Rows come in the order of their counters.
    pub fn restore(&mut self, counter: u64, prefix: u64) {
        if self.recent.is_empty() && self.runs.is_empty() {
            self.oldest = counter;
        }
        self.next = self.next.max(counter.saturating_add(1));
        if !self.knows(prefix) {
            self.recent.insert(prefix);
            self.close_run();
        }
    }

    /// Remembers an id; `None` if it is remembered already.
    pub fn insert(&mut self, id: &Digest) -> Option<Remembered> {
        let prefix = id_prefix(id);
        if self.knows(prefix) {
            return None;
        }
        let counter = self.next;
        self.next = counter.saturating_add(1);
        self.recent.insert(prefix);
        self.close_run();
        let ids_max = u64::try_from(self.ids_max).unwrap_or(u64::MAX);
        let keep_from = self.next.saturating_sub(ids_max);
        let forgotten = (keep_from > self.oldest).then(|| keep_from.saturating_sub(1));
        self.oldest = self.oldest.max(keep_from);
        while self.runs.front().is_some_and(|run| run.last < self.oldest) {
            self.runs.pop_front();
        }
        Some(Remembered { counter, prefix, forgotten })
    }

    /// Whether an id is remembered.
    #[must_use]
    pub fn contains(&self, id: &Digest) -> bool {
        self.knows(id_prefix(id))
    }

    /// How many ids are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.iter().map(|run| run.prefixes.len()).sum::<usize>().saturating_add(self.recent.len())
    }

    /// Whether no id is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.runs.is_empty()
    }

    fn knows(&self, prefix: u64) -> bool {
        self.recent.contains(&prefix)
            || self.runs.iter().any(|run| run.prefixes.binary_search(&prefix).is_ok())
    }

    fn close_run(&mut self) {
        if self.recent.len() >= (self.ids_max / PARTS).max(1) {
            let prefixes = core::mem::take(&mut self.recent).into_iter().collect();
            self.runs.push_back(Run { prefixes, last: self.next.saturating_sub(1) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn id(n: u64) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    #[test]
    fn the_oldest_id_makes_room_for_one_too_many() {
        let mut seen = Seen::new(2);
        for n in 0..3 {
            let remembered = seen.insert(&id(n)).unwrap();
            assert_eq!(remembered.counter, n);
            assert_eq!(remembered.forgotten, n.checked_sub(2));
            assert_eq!(seen.insert(&id(n)), None);
        }
        assert!(!seen.contains(&id(0)) && seen.contains(&id(1)) && seen.contains(&id(2)));
    }

    #[test]
    fn a_smaller_memory_after_a_restart_forgets_what_is_too_much() {
        let mut seen = Seen::new(10);
        for counter in 100..150 {
            seen.restore(counter, id_prefix(&id(counter)));
        }
        assert!(seen.contains(&id(100)));
        assert_eq!(
            seen.insert(&id(1)),
            Some(Remembered { counter: 150, prefix: id_prefix(&id(1)), forgotten: Some(140) })
        );
        assert!(!seen.contains(&id(140)) && seen.contains(&id(141)));
    }

    #[test]
    fn an_id_takes_little_more_than_eight_bytes() {
        let ids_max = 20_000;
        let mut seen = Seen::new(ids_max);
        for n in 0..50_000 {
            seen.insert(&id(n));
        }
        assert!(seen.len() >= ids_max && seen.len() <= ids_max + ids_max / PARTS);
        assert!(seen.runs.len() <= PARTS + 1);
        let runs: usize = seen.runs.iter().map(|run| 8 * run.prefixes.len()).sum();
        // A tree of numbers takes less than 24 bytes for each.
        assert!(runs + 24 * (ids_max / PARTS) <= ids_max * 12);
    }

    proptest! {
        #[test]
        fn the_last_ids_are_remembered_and_the_rows_are_theirs(
            ids_max in 1_usize..40,
            ids in proptest::collection::vec(0_u64..120, 0..300),
            restart_at in 0_usize..300,
        ) {
            let mut seen = Seen::new(ids_max);
            let mut rows: BTreeMap<u64, u64> = BTreeMap::new();
            let mut order: Vec<u64> = Vec::new();
            for (at, n) in ids.into_iter().enumerate() {
                if at == restart_at {
                    seen = Seen::new(ids_max);
                    for (counter, prefix) in &rows {
                        seen.restore(*counter, *prefix);
                    }
                }
                let before = seen.contains(&id(n));
                let remembered = seen.insert(&id(n));
                prop_assert_eq!(remembered.is_none(), before);
                if let Some(Remembered { counter, prefix, forgotten }) = remembered {
                    order.push(n);
                    prop_assert!(rows.insert(counter, prefix).is_none());
                    if let Some(forgotten) = forgotten {
                        rows = rows.split_off(&(forgotten + 1));
                    }
                }
                prop_assert_eq!(rows.len(), order.len().min(ids_max));
                for n in order.iter().rev().take(ids_max) {
                    prop_assert!(seen.contains(&id(*n)));
                }
                prop_assert!(seen.len() <= ids_max + (ids_max / PARTS).max(1));
            }
        }
    }
}
