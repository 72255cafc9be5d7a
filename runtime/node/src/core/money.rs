//! The ledger's place in the node: entries in, entries out, never before they are durable.

use cairn_bundle::{Class, Digest, NodeId};
use cairn_engine::{Event, Place, Scope};
use cairn_ledger::{Author, AuthorError, Inserted, Kid, LockStatus, LockView, PayId, Record, VerifiedEntry};
use cairn_link::{Item, Topic};
use cairn_store::Table;

use super::Core;
use super::commit::{After, Tx};
use super::wire::{SERVICE_LEDGER, encode_entries};

const STRANGE_OWN_ENTRY: &str = "a peer has entries signed with this node's identity that this node does not know: \
     the identity is used elsewhere, or the store was restored from an old backup";

impl Core {
    /// Locks on edges of this node, in either direction, for one payment of one payer.
    pub(super) fn locks_for(&self, payer: &NodeId, payment: &PayId) -> Vec<LockView> {
        let kid = Kid::of(payer);
        let peers = self.ledger.admitted().copied().collect::<Vec<_>>();
        let both = peers.iter().flat_map(|peer| {
            self.ledger.locks_between(&self.me, peer).chain(self.ledger.locks_between(peer, &self.me))
        });
        both.filter(|lock| lock.terms.pay_id == *payment && lock.terms.payer == kid).collect()
    }

    /// Whether an entry may come over the edge with this peer: it stands on the edge, or frees a lock of this node.
    pub(super) fn concerns_edge(&self, entry: &VerifiedEntry, peer: &NodeId) -> bool {
        let (author, me) = (entry.author(), self.me);
        (author == *peer && entry.is_to(&me))
            || (author == me && entry.is_to(peer))
            || self.is_evidence(entry)
    }

    /// Whether an entry may come in a bundle: it is addressed to this node, or frees a lock of it.
    pub(super) fn concerns_me(&self, entry: &VerifiedEntry) -> bool {
        (entry.author() != self.me && entry.is_to(&self.me)) || self.is_evidence(entry)
    }

    fn is_evidence(&self, entry: &VerifiedEntry) -> bool {
        let Record::Accept(accept) = entry.record() else { return false };
        !self.locks_for(&entry.author(), &accept.pay_id).is_empty()
    }

    /// Tells the engine what each contact is to this node: its quota grows with what was settled between the two.
    pub(super) fn refresh_standing(&mut self) {
        if !core::mem::take(&mut self.standing_due) {
            return;
        }
        let nodes: Vec<NodeId> = self.contacts.iter().map(|(node, _)| *node).collect();
        for node in nodes {
            let both =
                self.ledger.locks_between(&self.me, &node).chain(self.ledger.locks_between(&node, &self.me));
            let settled = both.filter(|lock| lock.status == LockStatus::Settled);
            let earned = settled.fold(0_u64, |sum, lock| sum.saturating_add(lock.terms.amount));
            let community = self.groups_of(&node).first().copied();
            self.engine(Event::Standing { node, community, earned });
        }
    }

    /// Counts entries that are durable now.
    pub(super) fn insert_entries(&mut self, entries: impl IntoIterator<Item = VerifiedEntry>) {
        self.standing_due = true;
        for entry in entries {
            if entry.author() == self.me && self.ledger.entry(&entry.id()).is_none() {
                self.count("own entries that came from elsewhere");
                self.warnings.insert(STRANGE_OWN_ENTRY.to_owned());
            }
            match self.ledger.insert(entry.clone()) {
                Ok(Inserted::New | Inserted::Known) => {}
                Ok(Inserted::Fork(_)) => self.note_fork(&entry.author()),
                Err(error) => {
                    self.count("ledger entries that found no room");
                    self.say(format!("a ledger entry does not count: {error}"));
                    continue;
                }
            }
            self.offer_entry(&entry);
            self.dirty = true;
        }
    }

    /// Somebody has two histories; a person should know, also after a restart.
    pub(super) fn note_fork(&mut self, author: &NodeId) {
        self.count("forked streams");
        let who = self.contacts.name(author);
        self.warnings.insert(format!("{who} has signed two different entries for one place in its stream"));
    }

    /// An own entry is on disk: from now on others may get it.
    pub(super) fn own_entry_durable(&mut self, id: Digest, to: NodeId) {
        self.ledger.mark_durable(&id);
        let Some(entry) = self.ledger.entry(&id).cloned() else { return };
        self.hold_entry(&entry, to);
        self.offer_entry(&entry);
        self.dirty = true;
    }

    fn offer_entry(&mut self, entry: &VerifiedEntry) {
        let author = entry.author();
        if author != self.me {
            self.hold_entry(entry, author);
        }
        match entry.record() {
            Record::Accept(accept) => {
                for lock in self.locks_for(&author, &accept.pay_id) {
                    let other = if lock.debtor == self.me { lock.beneficiary } else { lock.debtor };
                    self.hold_entry(entry, other);
                }
            }
            Record::Lock(lock) => {
                let known = self.ledger.evidence_for(lock);
                let durable = known.filter(|accept| self.ledger.is_durable(&accept.id()));
                let evidence: Vec<VerifiedEntry> = durable.cloned().collect();
                for accept in &evidence {
                    self.offer_entry(accept);
                }
            }
            _ => {}
        }
    }

    fn hold_entry(&mut self, entry: &VerifiedEntry, peer: NodeId) {
        let item = Item { topic: Topic::Ledger, id: entry.id() };
        let bytes = u64::try_from(entry.encode().len()).unwrap_or(u64::MAX);
        let place = Some(place_of(entry));
        self.engine(Event::Hold { item, bytes, scope: Scope::Peer(peer), place });
    }

    /// Offers everything that is on disk; at start.
    pub(super) fn offer_all_entries(&mut self) {
        let peers: Vec<NodeId> = self.ledger.admitted().copied().collect();
        for peer in peers {
            let entries: Vec<VerifiedEntry> = self.ledger.concerning(&peer).cloned().collect();
            for entry in &entries {
                self.hold_entry(entry, peer);
            }
        }
    }

    /// Signs an entry: it counts here at once, and leaves only after it is durable (duty T5).
    pub(super) fn write_entry(
        &mut self,
        tx: &mut Tx,
        to: NodeId,
        make: impl FnOnce(&mut Author<'_>) -> Result<VerifiedEntry, AuthorError>,
    ) -> Result<VerifiedEntry, AuthorError> {
        let now = u32::try_from(self.clock.claim()).unwrap_or(u32::MAX);
        let mut author = Author::new(&self.identity, &mut self.ledger, now)?;
        let entry = make(&mut author)?;
        tx.put(Table::Ledger, *entry.id().as_bytes(), entry.encode());
        tx.then(After::OwnEntry { id: entry.id(), to });
        self.dirty = true;
        Ok(entry)
    }

    /// Sends own entries end to end, for a node that may never be met.
    pub(super) fn mail_entries(&mut self, tx: &mut Tx, to: &NodeId, entries: &[VerifiedEntry]) {
        for some in entries.chunks(16) {
            let encoded: Vec<Vec<u8>> = some.iter().map(VerifiedEntry::encode).collect();
            if let Err(error) =
                self.send_bundle(tx, to, SERVICE_LEDGER, Class::Normal, &encode_entries(&encoded))
            {
                let who = self.contacts.name(to);
                self.count("ledger entries that could not be mailed");
                self.say(format!("ledger entries for {who} could not be mailed: {error}"));
            }
        }
    }
}

/// Where an entry stands in its author's stream; numbers there begin with 0.
fn place_of(entry: &VerifiedEntry) -> Place {
    let at = entry.place();
    let epoch = at.epoch.to_be_bytes();
    let stream = [entry.author().as_bytes().as_slice(), &at.stream.0, &epoch].concat();
    Place { stream: Digest::of(&stream), number: u64::from(at.seq).saturating_add(1) }
}
