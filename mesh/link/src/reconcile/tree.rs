//! Summaries of a changing set, ready for every range of up to four half bytes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::prefix::Prefix;
use super::summary::Summary;

/// Deepest ranges of which a [`SumTree`] keeps the sum, in half bytes: 65,536 of them.
pub const TREE_DEPTH: u8 = 4;

/// The sums of a set of ids by their first two bytes. It holds no ids.
///
/// Sums are kept where ids are, so a small set costs little, and any set at most 37 bytes for each of 65,536 ranges. A
/// change touches two sums; a question adds up at most 256.
#[derive(Debug, Clone, Default)]
pub struct SumTree {
    branches: BTreeMap<u8, Branch>,
}

/// The ids that share their first byte, by their second.
#[derive(Debug, Clone, Default)]
struct Branch {
    total: Summary,
    /// Ascending, beside `sums`: apart from each other, both without padding.
    keys: Vec<u8>,
    sums: Vec<Summary>,
}

impl SumTree {
    /// Adds an id. The caller makes sure that it was not in the set.
    pub fn insert(&mut self, id: &[u8; 32]) {
        let [first, second, ..] = *id;
        let branch = self.branches.entry(first).or_default();
        branch.total.insert(id);
        match branch.keys.binary_search(&second) {
            Ok(at) => {
                if let Some(sum) = branch.sums.get_mut(at) {
                    sum.insert(id);
                }
            }
            Err(at) => {
                branch.keys.insert(at, second);
                branch.sums.insert(at, Summary::of([*id]));
            }
        }
    }

    /// Takes away an id. The caller makes sure that it was in the set.
    pub fn remove(&mut self, id: &[u8; 32]) {
        let [first, second, ..] = *id;
        let Some(branch) = self.branches.get_mut(&first) else { return };
        let Ok(at) = branch.keys.binary_search(&second) else { return };
        let Some(sum) = branch.sums.get_mut(at) else { return };
        branch.total.remove(id);
        sum.remove(id);
        if sum.count() == 0 {
            branch.keys.remove(at);
            branch.sums.remove(at);
        }
        if branch.keys.is_empty() {
            self.branches.remove(&first);
        }
    }

    /// The summary of the ids in a range; `None` for a range deeper than [`TREE_DEPTH`].
    #[must_use]
    pub fn summary(&self, prefix: &Prefix) -> Option<Summary> {
        let ([first, second, ..], [last, beyond, ..]) = (prefix.first(), prefix.last());
        if prefix.depth() > TREE_DEPTH {
            return None;
        }
        let mut summary = Summary::default();
        if prefix.depth() <= 2 {
            for branch in self.branches.range(first..=last).map(|(_, branch)| branch) {
                summary.merge(&branch.total);
            }
        } else if let Some(branch) = self.branches.get(&first) {
            let from = branch.keys.partition_point(|key| *key < second);
            let to = branch.keys.partition_point(|key| *key <= beyond);
            for sum in branch.sums.get(from..to).unwrap_or_default() {
                summary.merge(sum);
            }
        }
        Some(summary)
    }

    /// How many ids are in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.branches.values().fold(0, |count, branch| count.wrapping_add(branch.total.count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    /// Ids that share their first bytes often.
    fn ids() -> impl Strategy<Value = Vec<[u8; 32]>> {
        let id = (0..4_u8, 0..4_u8, any::<[u8; 30]>()).prop_map(|(first, second, rest)| {
            core::array::from_fn(|at| match at {
                0 => first * 0x11,
                1 => second * 0x30,
                _ => rest[at - 2],
            })
        });
        proptest::collection::vec(id, 0..60)
    }

    proptest! {
        #[test]
        fn a_tree_knows_the_sums_of_a_set_that_changes(coming in ids(), going in ids(), odd: prop::sample::Index) {
            let mut tree = SumTree::default();
            let mut set = BTreeSet::new();
            for id in coming.iter().chain(&going) {
                if set.insert(*id) {
                    tree.insert(id);
                }
            }
            for id in going.iter().chain(coming.iter().take(odd.index(60))) {
                if set.remove(id) {
                    tree.remove(id);
                }
            }
            prop_assert_eq!(usize::try_from(tree.count()), Ok(set.len()));
            for id in coming.iter().chain(&going).take(20) {
                for depth in 0..=TREE_DEPTH {
                    let prefix = Prefix::of(id, depth);
                    let expected = Summary::of(set.range(prefix.first()..=prefix.last()).copied());
                    prop_assert_eq!(tree.summary(&prefix), Some(expected));
                }
                prop_assert_eq!(tree.summary(&Prefix::of(id, TREE_DEPTH + 1)), None);
            }
            for id in &set {
                tree.remove(id);
            }
            prop_assert!(tree.branches.is_empty(), "an empty set costs nothing");
        }
    }

    #[test]
    fn a_full_tree_fits_into_its_announced_memory() {
        assert_eq!(size_of::<Summary>(), 36);
        let mut tree = SumTree::default();
        for n in 0..=u16::MAX {
            let mut id = [7; 32];
            id[..2].copy_from_slice(&n.to_be_bytes());
            tree.insert(&id);
        }
        let bytes: usize =
            tree.branches.values().map(|branch| branch.keys.capacity() + 36 * branch.sums.capacity()).sum();
        assert_eq!(bytes, 37 * 65_536);
    }
}
