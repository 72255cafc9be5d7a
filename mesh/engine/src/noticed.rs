//! Delivery notices that came before their bundles.

use alloc::collections::{BTreeSet, VecDeque};

use cairn_bundle::{Digest, NodeId};

/// Who says that it has which bundle; the oldest is forgotten first.
///
/// What a notice says is true only if its author is the destination, and that shows only with the bundle: so the two
/// are kept together until it comes. Every author has its own word: one that lies about a bundle does not unsay what its
/// destination said.
#[derive(Debug)]
pub(crate) struct Noticed {
    said: BTreeSet<(Digest, NodeId)>,
    order: VecDeque<(Digest, NodeId)>,
    max: usize,
}

impl Noticed {
    pub(crate) fn new(max: usize) -> Self {
        Self { said: BTreeSet::new(), order: VecDeque::new(), max: max.max(1) }
    }

    pub(crate) fn insert(&mut self, id: Digest, by: NodeId) {
        if !self.said.insert((id, by)) {
            return;
        }
        self.order.push_back((id, by));
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.said.remove(&oldest);
        }
    }

    /// Whether the destination of a bundle has said that it has it.
    pub(crate) fn is_delivered(&self, id: &Digest, destination: Option<&NodeId>) -> bool {
        destination.is_some_and(|destination| self.said.contains(&(*id, *destination)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;

    #[test]
    fn a_notice_counts_only_for_bundles_to_its_author_and_the_oldest_is_forgotten() {
        let (a, b) = (Identity::from_seed(&[1; 32]).node_id(), Identity::from_seed(&[2; 32]).node_id());
        let mut noticed = Noticed::new(2);
        noticed.insert(Digest([1; 32]), a);
        assert!(noticed.is_delivered(&Digest([1; 32]), Some(&a)));
        assert!(
            !noticed.is_delivered(&Digest([1; 32]), Some(&b))
                && !noticed.is_delivered(&Digest([1; 32]), None)
        );
        // A lie changes nothing of it.
        noticed.insert(Digest([1; 32]), b);
        assert!(noticed.is_delivered(&Digest([1; 32]), Some(&a)));
        noticed.insert(Digest([2; 32]), a);
        noticed.insert(Digest([3; 32]), a);
        assert!(
            !noticed.is_delivered(&Digest([1; 32]), Some(&a))
                && noticed.is_delivered(&Digest([3; 32]), Some(&a))
        );
    }
}
