//! The index of notices, ledger entries, board changes and blobs that this node holds.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cairn_bundle::{Digest, NodeId};
use cairn_link::reconcile::{IdSet, MemorySet, Prefix, Summary};
use cairn_link::{Item, Topic};

use crate::event::Scope;
use crate::streams::{Place, Streams};

#[derive(Debug)]
struct Holding {
    bytes: u64,
    scopes: BTreeSet<Scope>,
    place: Option<Place>,
}

/// Items by id, with their size and who may see them.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    items: BTreeMap<Item, Holding>,
    /// The same by topic and scope, with the sums by which two nodes compare them.
    sets: BTreeMap<(Topic, Scope), MemorySet>,
    /// Those that stand in the sequence of an author.
    streams: BTreeMap<(Topic, Scope), Streams>,
}

impl Holdings {
    /// Adds a scope to an item; says whether that was new. Its place is what it was said to be first.
    pub(crate) fn add(&mut self, item: Item, bytes: u64, scope: Scope, place: Option<Place>) -> bool {
        let new = || Holding { bytes, scopes: BTreeSet::new(), place };
        let holding = self.items.entry(item).or_insert_with(new);
        if !holding.scopes.insert(scope) {
            return false;
        }
        self.sets.entry((item.topic, scope)).or_default().insert(item.id.0);
        if let Some(place) = holding.place {
            self.streams.entry((item.topic, scope)).or_default().insert(place, item.id);
        }
        true
    }

    /// Forgets an item; says whether it was there.
    pub(crate) fn remove(&mut self, item: &Item) -> bool {
        let Some(holding) = self.items.remove(item) else { return false };
        for scope in holding.scopes {
            if let Some(set) = self.sets.get_mut(&(item.topic, scope)) {
                set.remove(&item.id.0);
            }
            if let Some((place, streams)) = holding.place.zip(self.streams.get_mut(&(item.topic, scope))) {
                streams.remove(place, item.id);
            }
        }
        true
    }

    /// The size of an item.
    pub(crate) fn bytes_of(&self, item: &Item) -> Option<u64> {
        self.items.get(item).map(|holding| holding.bytes)
    }

    pub(crate) fn contains(&self, item: &Item) -> bool {
        self.items.contains_key(item)
    }

    /// What a peer may be offered of a topic, as a set to be compared.
    pub(crate) fn set(&self, topic: Topic, peer: &NodeId, groups: &BTreeSet<u32>) -> VisibleSet<'_> {
        let scopes = scopes(peer, groups);
        VisibleSet { parts: scopes.filter_map(|scope| self.sets.get(&(topic, scope))).collect() }
    }

    /// Items of a topic that a peer may be offered, in the order of their ids within each scope.
    pub(crate) fn visible<'a>(
        &'a self,
        topic: Topic,
        peer: &'a NodeId,
        groups: &'a BTreeSet<u32>,
    ) -> impl Iterator<Item = (Item, u64)> + 'a {
        let sets = scopes(peer, groups).filter_map(move |scope| self.sets.get(&(topic, scope)));
        sets.flat_map(MemorySet::iter).filter_map(move |id| {
            let item = Item { topic, id: Digest(*id) };
            Some((item, self.bytes_of(&item)?))
        })
    }

    /// The sequences of a topic that a peer may be offered.
    pub(crate) fn streams<'a>(
        &'a self,
        topic: Topic,
        peer: &NodeId,
        groups: &'a BTreeSet<u32>,
    ) -> impl Iterator<Item = &'a Streams> + use<'a> {
        scopes(peer, groups).filter_map(move |scope| self.streams.get(&(topic, scope)))
    }

    /// Size of an item if the peer may be offered it.
    pub(crate) fn visible_to(&self, item: &Item, peer: &NodeId, groups: &BTreeSet<u32>) -> Option<u64> {
        let holding = self.items.get(item)?;
        scopes(peer, groups).any(|scope| holding.scopes.contains(&scope)).then_some(holding.bytes)
    }
}

/// The scopes that a peer belongs to.
fn scopes<'a>(peer: &NodeId, groups: &'a BTreeSet<u32>) -> impl Iterator<Item = Scope> + use<'a> {
    [Scope::Everyone, Scope::Peer(*peer)].into_iter().chain(groups.iter().map(|group| Scope::Group(*group)))
}

/// The union of some sets. An id in several of them is summed several times, at both ends alike: two nodes that share
/// the same groups get the same sums.
#[derive(Debug)]
pub(crate) struct VisibleSet<'a> {
    parts: Vec<&'a MemorySet>,
}

impl IdSet for VisibleSet<'_> {
    fn summary(&self, prefix: &Prefix) -> Summary {
        let mut sum = Summary::default();
        self.parts.iter().for_each(|part| sum.merge(&part.summary(prefix)));
        sum
    }

    fn ids(&self, prefix: &Prefix, max: usize) -> Vec<[u8; 32]> {
        if let [only] = self.parts.as_slice() {
            return only.ids(prefix, max);
        }
        let mut ids: Vec<[u8; 32]> = self.parts.iter().flat_map(|part| part.ids(prefix, max)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(max);
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;

    #[test]
    fn only_those_in_scope_are_offered_an_item() {
        let (a, b) = (Identity::from_seed(&[1; 32]).node_id(), Identity::from_seed(&[2; 32]).node_id());
        let item = Item { topic: Topic::Ledger, id: Digest([1; 32]) };
        let mut holdings = Holdings::default();
        assert!(holdings.add(item, 5, Scope::Peer(a), None));
        assert!(!holdings.add(item, 5, Scope::Peer(a), None));
        let none = BTreeSet::new();
        assert_eq!(holdings.visible(Topic::Ledger, &a, &none).count(), 1);
        assert_eq!(holdings.visible(Topic::Board, &a, &none).count(), 0);
        assert_eq!(holdings.visible(Topic::Ledger, &b, &none).count(), 0);
        assert!(holdings.add(item, 5, Scope::Group(3), None));
        assert_eq!(holdings.visible_to(&item, &b, &BTreeSet::from([3])), Some(5));
        assert_eq!(holdings.visible_to(&item, &b, &BTreeSet::from([4])), None);
        assert!(holdings.remove(&item) && !holdings.remove(&item));
        assert_eq!(holdings.visible(Topic::Ledger, &a, &BTreeSet::from([3])).count(), 0);
    }

    #[test]
    fn a_set_is_the_union_of_what_a_peer_may_see() {
        let peer = Identity::from_seed(&[1; 32]).node_id();
        let mut holdings = Holdings::default();
        for (n, scope) in
            [(1, Scope::Everyone), (2, Scope::Group(1)), (3, Scope::Group(2)), (4, Scope::Group(1))]
        {
            holdings.add(Item { topic: Topic::Board, id: Digest([n; 32]) }, 1, scope, None);
        }
        let groups = BTreeSet::from([1]);
        let set = holdings.set(Topic::Board, &peer, &groups);
        let whole = Prefix::of(&[0; 32], 0);
        assert_eq!(set.ids(&whole, 10), [[1; 32], [2; 32], [4; 32]]);
        assert_eq!(set.summary(&whole), Summary::of([[1; 32], [2; 32], [4; 32]]));
        assert_eq!(set.ids(&whole, 2).len(), 2);
    }
}
