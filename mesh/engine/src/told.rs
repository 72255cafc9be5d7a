//! What peers said they have or do not want: it is not offered to them again and again.

use alloc::collections::BTreeMap;

use cairn_bundle::{Digest, NodeId};

use crate::seen::Seen;

/// Peers that are remembered; the one that said nothing for longest is forgotten.
const PEERS_MAX: usize = 256;
/// Ids that are remembered of each peer, the oldest forgotten first.
const IDS_MAX: usize = 4_096;

/// Ids by peer, at most 256 × 4,096: about 12 MB when every peer has used its share.
///
/// It saves effort and decides nothing: what is forgotten is offered once more, and a bundle that is taken for another
/// one (2^-52 for each look) goes to that peer by another way, or after the peer is forgotten.
#[derive(Debug, Default)]
pub struct Told {
    peers: BTreeMap<NodeId, Peer>,
    /// Grows with every note, so that the peer with the least is the one to forget.
    clock: u64,
}

#[derive(Debug)]
struct Peer {
    ids: Seen,
    noted: u64,
}

impl Told {
    /// A peer has a bundle, or does not want it.
    pub fn note(&mut self, peer: &NodeId, id: &Digest) {
        self.clock = self.clock.saturating_add(1);
        if !self.peers.contains_key(peer) && self.peers.len() >= PEERS_MAX {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.noted).map(|(node, _)| *node);
            if let Some(oldest) = oldest {
                self.peers.remove(&oldest);
            }
        }
        let peer = self.peers.entry(*peer).or_insert_with(|| Peer { ids: Seen::new(IDS_MAX), noted: 0 });
        peer.noted = self.clock;
        peer.ids.insert(id);
    }

    /// Whether a bundle need not be offered to a peer.
    #[must_use]
    pub fn knows(&self, peer: &NodeId, id: &Digest) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.ids.contains(id))
    }

    /// A peer asks anew, as one that lost its store.
    pub fn forget_peer(&mut self, peer: &NodeId) {
        self.peers.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::node;

    fn id(n: usize) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    #[test]
    fn each_peer_has_its_own_memory_and_the_oldest_id_goes_first() {
        let mut told = Told::default();
        let (a, b) = (node(1), node(2));
        told.note(&b, &id(0));
        for n in 0..2 * IDS_MAX {
            told.note(&a, &id(n));
            told.note(&a, &id(n));
        }
        assert!(!told.knows(&a, &id(0)) && (IDS_MAX..2 * IDS_MAX).all(|n| told.knows(&a, &id(n))));
        assert!(told.knows(&b, &id(0)) && !told.knows(&b, &id(1)));
        told.forget_peer(&b);
        assert!(!told.knows(&b, &id(0)));
    }

    #[test]
    fn the_peer_that_was_silent_for_longest_is_forgotten_first() {
        let mut told = Told::default();
        let peer = |n: usize| NodeId::from_stored(*id(n).as_bytes());
        for n in 0..PEERS_MAX {
            told.note(&peer(n), &id(n));
        }
        told.note(&peer(0), &id(7));
        told.note(&peer(PEERS_MAX), &id(7));
        assert_eq!(told.peers.len(), PEERS_MAX);
        assert!(told.knows(&peer(0), &id(0)) && !told.knows(&peer(1), &id(1)));
    }
}
