//! Which bundles were here before: a bounded memory that outlives them.

use alloc::collections::{BTreeSet, VecDeque};

use cairn_bundle::Digest;

/// Ids of bundles that were carried or delivered, oldest forgotten first.
#[derive(Debug)]
pub(crate) struct Seen {
    ids: BTreeSet<Digest>,
    order: VecDeque<Digest>,
    ids_max: usize,
}

impl Seen {
    pub(crate) fn new(ids_max: usize) -> Self {
        Self { ids: BTreeSet::new(), order: VecDeque::new(), ids_max: ids_max.max(1) }
    }

    pub(crate) fn insert(&mut self, id: Digest) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.ids_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    pub(crate) fn contains(&self, id: &Digest) -> bool {
        self.ids.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_id_makes_room_for_one_too_many() {
        let mut seen = Seen::new(2);
        let ids = [Digest([1; 32]), Digest([2; 32]), Digest([3; 32])];
        for id in ids {
            seen.insert(id);
            seen.insert(id);
        }
        assert!(!seen.contains(&ids[0]));
        assert!(seen.contains(&ids[1]) && seen.contains(&ids[2]));
    }
}
