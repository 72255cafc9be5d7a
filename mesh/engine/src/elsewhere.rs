//! Items that peers are known to have, so that they stay out of the next drop.

use alloc::collections::{BTreeMap, BTreeSet};

use cairn_bundle::NodeId;
use cairn_link::Item;

/// Peers that are remembered; the one that showed nothing for longest is forgotten.
const PEERS_MAX: usize = 256;
/// All peers together may have so many times as many items as one.
const SHARES: usize = 4;

/// Items by peer. It saves effort and decides nothing: what is forgotten is written once more.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    peers: BTreeMap<NodeId, Peer>,
    items_max: usize,
    items: usize,
    /// Grows with every note, so that the peer with the least is the one to forget.
    clock: u64,
}

#[derive(Debug, Default)]
struct Peer {
    items: BTreeSet<Item>,
    noted: u64,
}

impl Elsewhere {
    /// A memory for so many items of one peer.
    pub(crate) const fn new(items_max: usize) -> Self {
        Self { peers: BTreeMap::new(), items_max, items: 0, clock: 0 }
    }

    /// A peer has an item; whether that is news, and there is room for it.
    pub(crate) fn note(&mut self, peer: NodeId, item: Item) -> bool {
        self.clock = self.clock.saturating_add(1);
        let known = self.peers.entry(peer).or_default();
        known.noted = self.clock;
        let new = known.items.len() < self.items_max && known.items.insert(item);
        self.items = self.items.saturating_add(usize::from(new));
        while self.peers.len() > PEERS_MAX || self.items > self.items_max.saturating_mul(SHARES) {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.noted).map(|(node, _)| *node);
            let Some(gone) = oldest.and_then(|oldest| self.peers.remove(&oldest)) else { break };
            self.items = self.items.saturating_sub(gone.items.len());
        }
        new
    }

    pub(crate) fn has(&self, peer: &NodeId, item: &Item) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.items.contains(item))
    }

    /// This node does not hold an item any more: who has it matters no more.
    pub(crate) fn forget(&mut self, item: &Item) {
        for peer in self.peers.values_mut() {
            if peer.items.remove(item) {
                self.items = self.items.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::node;
    use cairn_bundle::Digest;
    use cairn_link::Topic;

    fn item(n: u32) -> Item {
        Item { topic: Topic::Notice, id: Digest::of(&n.to_be_bytes()) }
    }

    #[test]
    fn neither_many_items_nor_many_peers_fill_the_memory() {
        let mut elsewhere = Elsewhere::new(10);
        for n in 0..20 {
            assert_eq!(elsewhere.note(node(1), item(n)), n < 10);
        }
        assert!(elsewhere.has(&node(1), &item(9)) && !elsewhere.has(&node(1), &item(10)));
        elsewhere.forget(&item(0));
        assert!(elsewhere.note(node(1), item(10)) && !elsewhere.note(node(1), item(10)));
        for n in 0..1_000_u32 {
            let peer = NodeId::from_stored(*Digest::of(&n.to_be_bytes()).as_bytes());
            elsewhere.note(peer, item(n % 20));
        }
        assert_eq!((elsewhere.items, elsewhere.peers.len()), (40, 40));
        let sum: usize = elsewhere.peers.values().map(|peer| peer.items.len()).sum();
        assert_eq!(sum, elsewhere.items);
        let mut roomy = Elsewhere::new(1_000);
        for n in 0..1_000_u32 {
            roomy.note(NodeId::from_stored(*Digest::of(&n.to_be_bytes()).as_bytes()), item(n));
        }
        assert_eq!((roomy.peers.len(), roomy.items), (PEERS_MAX, PEERS_MAX));
    }
}
