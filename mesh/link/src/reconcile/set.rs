//! What is reconciled: a set of ids that can be asked for parts of itself.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::prefix::Prefix;
use super::summary::Summary;
use super::tree::SumTree;

/// A set of ids as its holder can answer for it. Between two calls it may change.
pub trait IdSet {
    /// The summary of the ids in a range. Asked for deeper ranges than [`TREE_DEPTH`](super::TREE_DEPTH) only if ids
    /// crowd together; then it is the sum of what [`IdSet::ids`] lists.
    fn summary(&self, prefix: &Prefix) -> Summary;

    /// Up to `max` ids of a range, ascending from the lowest.
    fn ids(&self, prefix: &Prefix, max: usize) -> Vec<[u8; 32]>;
}

/// A set in memory: for small nodes, the simulator and tests.
#[derive(Debug, Clone, Default)]
pub struct MemorySet {
    ids: BTreeSet<[u8; 32]>,
    tree: SumTree,
}

impl MemorySet {
    /// Adds an id. False if it was there.
    pub fn insert(&mut self, id: [u8; 32]) -> bool {
        let new = self.ids.insert(id);
        if new {
            self.tree.insert(&id);
        }
        new
    }

    /// Takes away an id. False if it was not there.
    pub fn remove(&mut self, id: &[u8; 32]) -> bool {
        let known = self.ids.remove(id);
        if known {
            self.tree.remove(id);
        }
        known
    }

    /// Whether an id is in the set.
    #[must_use]
    pub fn contains(&self, id: &[u8; 32]) -> bool {
        self.ids.contains(id)
    }

    /// The ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.ids.iter()
    }

    /// How many ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl IdSet for MemorySet {
    fn summary(&self, prefix: &Prefix) -> Summary {
        self.tree
            .summary(prefix)
            .unwrap_or_else(|| Summary::of(self.ids.range(prefix.first()..=prefix.last()).copied()))
    }

    fn ids(&self, prefix: &Prefix, max: usize) -> Vec<[u8; 32]> {
        self.ids.range(prefix.first()..=prefix.last()).take(max).copied().collect()
    }
}

impl FromIterator<[u8; 32]> for MemorySet {
    fn from_iter<I: IntoIterator<Item = [u8; 32]>>(ids: I) -> Self {
        let mut set = Self::default();
        for id in ids {
            set.insert(id);
        }
        set
    }
}
