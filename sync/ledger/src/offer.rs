//! What to offer a peer at a meet.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cairn_bundle::{Digest, NodeId};

use crate::entry::VerifiedEntry;
use crate::ledger::Ledger;

impl Ledger {
    /// The entries that concern a peer: both streams of the edge with it, then the evidence for locks on that
    /// edge, each once. Own entries that may not survive a power cut are left out (duty T5).
    ///
    /// Two peers that offer each other these and take what they lack hold the same facts about their edge.
    pub fn concerning<'a>(&'a self, peer: &NodeId) -> impl Iterator<Item = &'a VerifiedEntry> + use<'a> {
        let (me, peer) = (self.me(), *peer);
        let edge = self.statements(&me, &peer).chain(self.statements(&peer, &me));
        let locks = self.locks_between(&me, &peer).chain(self.locks_between(&peer, &me));
        let mut evidence = BTreeMap::new();
        for lock in locks {
            let found = self.evidence_for(&lock.terms).find(|accept| self.is_durable(&accept.id()));
            // What stands on the edge itself is offered with it.
            if let Some(accept) = found.filter(|accept| !accept.is_to(&me) || accept.author() != peer)
                && !(accept.author() == me && accept.is_to(&peer))
            {
                evidence.insert(accept.id(), accept);
            }
        }
        edge.chain(evidence.into_values()).filter(|entry| self.is_durable(&entry.id()))
    }

    /// The ids and the standalone bytes of the entries that concern a peer.
    pub fn relevant_to<'a>(&'a self, peer: &NodeId) -> impl Iterator<Item = (Digest, Vec<u8>)> + use<'a> {
        self.concerning(peer).map(|entry| (entry.id(), entry.encode()))
    }
}
