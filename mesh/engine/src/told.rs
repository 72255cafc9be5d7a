//! What peers said they have or do not want: it is not offered to them again and again.

use alloc::collections::BTreeMap;

use cairn_bundle::{Digest, NodeId};

use crate::seen::Seen;
use crate::time::Instant;

/// Peers that are remembered; the one that said nothing for longest is forgotten.
const PEERS_MAX: usize = 256;
/// Ids that are remembered of each peer and period, the oldest forgotten first.
const IDS_MAX: usize = 2_048;
/// What a peer said is believed for one to two of these periods: 3 hours. A peer that had a bundle may have evicted it
/// since, and nobody tells.
const PERIOD_MS: u64 = 3 * 3_600_000;

/// Ids by peer, at most 256 × 2 × 2,048: about 12 MB when every peer has used its share.
///
/// It saves effort and decides nothing: what is forgotten is offered once more, and a bundle that is taken for another
/// one (2^-52 for each look) goes to that peer by another way, or some hours later.
#[derive(Debug, Default)]
pub struct Told {
    peers: BTreeMap<NodeId, Peer>,
    /// Grows with every note, so that the peer with the least is the one to forget.
    clock: u64,
}

#[derive(Debug)]
struct Peer {
    ids: Seen,
    /// Those of the period before.
    older: Option<Seen>,
    /// When the period began.
    since: Instant,
    noted: u64,
}

impl Told {
    /// A peer has a bundle, or does not want it.
    pub fn note(&mut self, now: Instant, peer: &NodeId, id: &Digest) {
        self.clock = self.clock.saturating_add(1);
        if !self.peers.contains_key(peer) && self.peers.len() >= PEERS_MAX {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.noted).map(|(node, _)| *node);
            if let Some(oldest) = oldest {
                self.peers.remove(&oldest);
            }
        }
        let peer = self.peers.entry(*peer).or_insert_with(|| Peer::new(now));
        peer.noted = self.clock;
        let age_ms = now - peer.since;
        if age_ms >= PERIOD_MS {
            let ids = core::mem::replace(&mut peer.ids, Seen::new(IDS_MAX));
            peer.older = (age_ms < 2 * PERIOD_MS).then_some(ids);
            peer.since = now;
        }
        peer.ids.insert(id);
    }

    /// Whether a bundle need not be offered to a peer.
    #[must_use]
    pub fn knows(&self, now: Instant, peer: &NodeId, id: &Digest) -> bool {
        let Some(peer) = self.peers.get(peer) else { return false };
        let age_ms = now - peer.since;
        let older = || peer.older.as_ref().is_some_and(|older| age_ms < PERIOD_MS && older.contains(id));
        (age_ms < 2 * PERIOD_MS && peer.ids.contains(id)) || older()
    }

    /// A peer is met anew: what it had it may have lost since.
    pub fn forget_peer(&mut self, peer: &NodeId) {
        self.peers.remove(peer);
    }
}

impl Peer {
    fn new(now: Instant) -> Self {
        Self { ids: Seen::new(IDS_MAX), older: None, since: now, noted: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::node;

    const NOW: Instant = Instant::ZERO;

    fn id(n: usize) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    #[test]
    fn each_peer_has_its_own_memory_and_the_oldest_id_goes_first() {
        let mut told = Told::default();
        let (a, b) = (node(1), node(2));
        told.note(NOW, &b, &id(0));
        for n in 0..2 * IDS_MAX {
            told.note(NOW, &a, &id(n));
            told.note(NOW, &a, &id(n));
        }
        assert!(!told.knows(NOW, &a, &id(0)) && (IDS_MAX..2 * IDS_MAX).all(|n| told.knows(NOW, &a, &id(n))));
        assert!(told.knows(NOW, &b, &id(0)) && !told.knows(NOW, &b, &id(1)));
        told.forget_peer(&b);
        assert!(!told.knows(NOW, &b, &id(0)));
    }

    #[test]
    fn the_peer_that_was_silent_for_longest_is_forgotten_first() {
        let mut told = Told::default();
        let peer = |n: usize| NodeId::from_stored(*id(n).as_bytes());
        for n in 0..PEERS_MAX {
            told.note(NOW, &peer(n), &id(n));
        }
        told.note(NOW, &peer(0), &id(7));
        told.note(NOW, &peer(PEERS_MAX), &id(7));
        assert_eq!(told.peers.len(), PEERS_MAX);
        assert!(told.knows(NOW, &peer(0), &id(0)) && !told.knows(NOW, &peer(1), &id(1)));
    }

    #[test]
    fn what_a_peer_said_is_believed_for_some_hours() {
        let mut told = Told::default();
        let at = |periods: u64| Instant::from_ms(periods * PERIOD_MS);
        told.note(NOW, &node(1), &id(1));
        assert!(told.knows(at(1), &node(1), &id(1)));
        told.note(at(1), &node(1), &id(2));
        assert!(told.knows(at(1), &node(1), &id(1)) && told.knows(at(2), &node(1), &id(2)));
        assert!(!told.knows(at(2), &node(1), &id(1)) && !told.knows(at(3), &node(1), &id(2)));
        told.note(at(9), &node(1), &id(3));
        assert!(!told.knows(at(9), &node(1), &id(2)), "a long silence leaves nothing");
    }
}
