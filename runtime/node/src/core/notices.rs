//! Delivery notices: what this node received is purged from everybody who still carries it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cairn_bundle::notice::{DeliveryNotice, NOTICE_IDS_MAX};
use cairn_bundle::{Digest, NodeId};
use cairn_engine::{Event, Scope, Ticket};
use cairn_link::{Item, RefuseReason, Topic};
use cairn_store::{Read, ReadError, Table};

use super::Core;
use super::commit::{After, Tx};

/// Notices that are kept, of this node and of others; the oldest go first.
const NOTICES_MAX: usize = 20_000;

/// Notices that one peer brought; its oldest go first, so that a flood of one peer takes nobody else's away.
const PEER_NOTICES_MAX: usize = NOTICES_MAX / 4;
/// Peers whose notices are counted; those of others only share the whole.
const PEERS_MAX: usize = 64;

/// Notices in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    order: VecDeque<Digest>,
    held: BTreeSet<Digest>,
    by_peer: BTreeMap<NodeId, VecDeque<Digest>>,
}

impl Notices {
    /// Takes note of one; those that have to go for it.
    fn add(&mut self, id: Digest, peer: Option<&NodeId>) -> Vec<Digest> {
        let mut gone = Vec::new();
        if !self.held.insert(id) {
            return gone;
        }
        self.order.push_back(id);
        if let Some(peer) = peer
            && (self.by_peer.contains_key(peer) || self.by_peer.len() < PEERS_MAX)
        {
            let brought = self.by_peer.entry(*peer).or_default();
            brought.push_back(id);
            if brought.len() > PEER_NOTICES_MAX {
                gone.extend(brought.pop_front());
            }
        }
        while self.held.len().saturating_sub(gone.len()) > NOTICES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            gone.push(oldest);
        }
        gone.retain(|id| self.held.remove(id));
        if self.order.len() > 2 * NOTICES_MAX {
            self.order.retain(|id| self.held.contains(id));
        }
        gone
    }
}

impl Core {
    /// Writes that these content ids are this node's delivered bundle of this name.
    pub(super) fn write_notices(&mut self, tx: &mut Tx, name: &[u8; 32], ids: &[Digest]) {
        for some in ids.chunks(NOTICE_IDS_MAX) {
            if let Ok(bytes) = DeliveryNotice::sign(&self.identity, name, some) {
                self.put_notice(tx, bytes, None);
            }
        }
    }

    fn put_notice(&mut self, tx: &mut Tx, bytes: Vec<u8>, peer: Option<&NodeId>) {
        let item = Item { topic: Topic::Notice, id: Digest::of(&bytes) };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        tx.put(Table::Notices, *item.id.as_bytes(), bytes);
        tx.then(After::Hold { item, bytes: length, scope: Scope::Everyone });
        for old in self.notices.add(item.id, peer) {
            tx.delete(Table::Notices, *old.as_bytes());
            self.engine(Event::Drop { item: Item { topic: Topic::Notice, id: old } });
        }
    }

    /// A notice of another node.
    pub(super) fn take_notice(
        &mut self,
        ticket: Ticket,
        peer: &NodeId,
        item: Item,
        bytes: Vec<u8>,
    ) -> Result<(), RefuseReason> {
        let notice = DeliveryNotice::decode_verified(&bytes).ok().filter(|_| Digest::of(&bytes) == item.id);
        let Some(notice) = notice else {
            self.count("delivery notices refused: not valid");
            return Err(RefuseReason::Invalid);
        };
        let mut tx = Tx::default();
        self.put_notice(&mut tx, bytes, Some(peer));
        tx.then(After::Notice { ticket, by: notice.destination, ids: notice.ids });
        self.commit_foreign(tx);
        Ok(())
    }

    pub(super) fn restore_notices(&mut self, disk: &dyn Read) -> Result<(), ReadError> {
        let mut found = Vec::new();
        disk.for_each(Table::Notices, &mut |key, value| {
            if let Ok(id) = <[u8; 32]>::try_from(key) {
                found.push((Digest(id), value.to_vec()));
            }
        })?;
        for (id, bytes) in found {
            // Checked before it was written.
            if let Ok(notice) = DeliveryNotice::decode_stored(&bytes) {
                let item = Item { topic: Topic::Notice, id };
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                // There are no more than there were before.
                let _ = self.notices.add(id, None);
                self.engine(Event::Hold { item, bytes: length, scope: Scope::Everyone });
                self.engine(Event::Noticed { by: notice.destination, ids: notice.ids });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;

    fn id(n: usize) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    #[test]
    fn a_flood_of_one_peer_takes_only_its_own_notices_away() {
        let [liar, honest] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]).node_id());
        let mut notices = Notices::default();
        for n in 0..1_000 {
            assert!(notices.add(id(n), Some(&honest)).is_empty());
        }
        let first: BTreeSet<Digest> = (0..1_000).map(id).collect();
        for n in 10_000..60_000 {
            let gone = notices.add(id(n), Some(&liar));
            assert!(gone.iter().all(|gone| !first.contains(gone)));
        }
        assert_eq!(notices.held.len(), 1_000 + PEER_NOTICES_MAX);
        assert!(notices.order.len() <= 2 * NOTICES_MAX + 1);
        assert!(notices.add(id(0), Some(&liar)).is_empty(), "a second copy changes nothing");
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut notices = Notices::default();
        for n in 0..NOTICES_MAX {
            assert!(notices.add(id(n), None).is_empty());
        }
        assert_eq!(notices.add(id(NOTICES_MAX), None), [id(0)]);
    }
}
