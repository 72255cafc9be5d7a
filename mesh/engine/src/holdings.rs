//! The index of ledger entries, board changes and blobs that this node holds.

use alloc::collections::{BTreeMap, BTreeSet};

use cairn_bundle::NodeId;
use cairn_link::Item;

use crate::event::Scope;

#[derive(Debug)]
struct Holding {
    bytes: u64,
    scopes: BTreeSet<Scope>,
}

/// Items by id, with their size and who may see them.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    items: BTreeMap<Item, Holding>,
}

impl Holdings {
    /// Adds a scope to an item; says whether that was new.
    pub(crate) fn add(&mut self, item: Item, bytes: u64, scope: Scope) -> bool {
        let holding = self.items.entry(item).or_insert_with(|| Holding { bytes, scopes: BTreeSet::new() });
        holding.scopes.insert(scope)
    }

    pub(crate) fn contains(&self, item: &Item) -> bool {
        self.items.contains_key(item)
    }

    /// Items that a peer may be offered, in order of topic and id.
    pub(crate) fn visible<'a>(
        &'a self,
        peer: &'a NodeId,
        groups: &'a BTreeSet<u32>,
    ) -> impl Iterator<Item = (Item, u64)> + 'a {
        self.items.iter().filter(|(_, holding)| may_see(holding, peer, groups)).map(|(i, h)| (*i, h.bytes))
    }

    /// Size of an item if the peer may be offered it.
    pub(crate) fn visible_to(&self, item: &Item, peer: &NodeId, groups: &BTreeSet<u32>) -> Option<u64> {
        self.items.get(item).filter(|holding| may_see(holding, peer, groups)).map(|holding| holding.bytes)
    }
}

fn may_see(holding: &Holding, peer: &NodeId, groups: &BTreeSet<u32>) -> bool {
    holding.scopes.iter().any(|scope| match scope {
        Scope::Peer(node) => node == peer,
        Scope::Group(group) => groups.contains(group),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::{Digest, Identity};
    use cairn_link::Topic;

    #[test]
    fn only_those_in_scope_are_offered_an_item() {
        let (a, b) = (Identity::from_seed(&[1; 32]).node_id(), Identity::from_seed(&[2; 32]).node_id());
        let item = Item { topic: Topic::Ledger, id: Digest([1; 32]) };
        let mut holdings = Holdings::default();
        assert!(holdings.add(item, 5, Scope::Peer(a)));
        assert!(!holdings.add(item, 5, Scope::Peer(a)));
        let none = BTreeSet::new();
        assert_eq!(holdings.visible(&a, &none).count(), 1);
        assert_eq!(holdings.visible(&b, &none).count(), 0);
        assert!(holdings.add(item, 5, Scope::Group(3)));
        assert_eq!(holdings.visible_to(&item, &b, &BTreeSet::from([3])), Some(5));
        assert_eq!(holdings.visible_to(&item, &b, &BTreeSet::from([4])), None);
    }
}
