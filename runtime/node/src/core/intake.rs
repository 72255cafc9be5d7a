//! What peers send: checked here, stored by the driver, and only then counted and acknowledged.

use cairn_bundle::{Bundle, Digest, NodeId, OpenError, Opened, open};
use cairn_engine::quota::Amount;
use cairn_engine::{Event, Scope, Ticket};
use cairn_ledger::VerifiedEntry;
use cairn_link::{Item, RefuseReason, Topic};
use cairn_store::Table;

use super::commit::{After, Tx};
use super::wire::{SERVICE_INBOX, SERVICE_LEDGER};
use super::{Core, Output};

/// Blobs that came by a drop before the job that names them, waiting for what is being stored.
const EARLY_BLOBS_MAX: usize = 64;

/// A blob that came before it was known to be wanted.
#[derive(Debug)]
pub(crate) struct EarlyBlob {
    ticket: Ticket,
    id: Digest,
    bytes: Vec<u8>,
}

impl Core {
    pub(super) fn take(&mut self, ticket: Ticket, peer: NodeId, item: Item, bytes: Vec<u8>) {
        let result = match item.topic {
            Topic::Ledger => self.take_entry(ticket, peer, item, &bytes),
            Topic::Board => self.take_change(ticket, item, bytes),
            Topic::Blob => self.take_blob(ticket, item, bytes, true),
            Topic::Notice => self.take_notice(ticket, &peer, item, bytes),
            Topic::Bundle => Err(RefuseReason::Invalid),
        };
        if let Err(reason) = result {
            self.refuse(ticket, reason);
        }
    }

    fn refuse(&mut self, ticket: Ticket, reason: RefuseReason) {
        self.engine(Event::Taken { ticket, outcome: Err(reason) });
    }

    pub(super) fn commit_foreign(&mut self, tx: Tx) {
        let (commit, batch) = self.commits.foreign(tx);
        self.outputs.push_back(Output::Commit { commit, batch, own: false });
    }

    fn take_entry(
        &mut self,
        ticket: Ticket,
        peer: NodeId,
        item: Item,
        bytes: &[u8],
    ) -> Result<(), RefuseReason> {
        let entry = VerifiedEntry::decode(bytes).ok().filter(|entry| entry.id() == item.id);
        let Some(entry) = entry else {
            self.count("ledger entries refused: not valid");
            return Err(RefuseReason::Invalid);
        };
        if !self.concerns_edge(&entry, &peer) {
            self.count("ledger entries refused: not for this edge");
            return Err(RefuseReason::NotWanted);
        }
        if self.ledger.check_room(&entry).is_err() {
            self.count("ledger entries refused: no room");
            return Err(RefuseReason::Full);
        }
        let mut tx = Tx::default();
        tx.put(Table::Ledger, *item.id.as_bytes(), bytes);
        tx.then(After::Entry { ticket, entry: Box::new(entry) });
        self.commit_foreign(tx);
        Ok(())
    }

    fn take_change(&mut self, ticket: Ticket, item: Item, bytes: Vec<u8>) -> Result<(), RefuseReason> {
        if Digest::of(&bytes) != item.id {
            self.count("board changes refused: not valid");
            return Err(RefuseReason::Invalid);
        }
        let checked = self.boards.iter().find_map(|slot| Some((slot.group, slot.board.check(&bytes).ok()?)));
        let Some((group, change)) = checked else {
            self.count("board changes refused: not valid on any board here");
            return Err(RefuseReason::Invalid);
        };
        // It may count before it is durable, since it is only acknowledged and passed on afterwards, and
        // own changes that build on it reach the disk behind it.
        self.apply_change(group, change)?;
        let place = self.boards.group(group).and_then(|slot| slot.place_of(&bytes));
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut tx = Tx::default();
        tx.put(Table::Changes, *item.id.as_bytes(), bytes);
        tx.then(After::Change { ticket, group, item, bytes: length, place });
        self.commit_foreign(tx);
        Ok(())
    }

    /// Stores a blob that a job names. One that nobody names yet waits (`may_wait`) until what came
    /// with it has been stored, since a drop brings jobs and their blobs together.
    fn take_blob(
        &mut self,
        ticket: Ticket,
        item: Item,
        bytes: Vec<u8>,
        may_wait: bool,
    ) -> Result<(), RefuseReason> {
        if Digest::of(&bytes) != item.id {
            self.count("blobs refused: not valid");
            return Err(RefuseReason::Invalid);
        }
        if !self.wanted_blobs.contains(&item.id) {
            let soon = !self.commits.foreign_is_empty() || self.dirty;
            if may_wait && soon && self.early_blobs.len() < EARLY_BLOBS_MAX {
                self.early_blobs.push(EarlyBlob { ticket, id: item.id, bytes });
                return Ok(());
            }
            self.count("blobs refused: nobody asked for them");
            return Err(RefuseReason::NotWanted);
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut tx = Tx::default();
        tx.put(Table::Blobs, *item.id.as_bytes(), bytes);
        tx.then(After::Blob { ticket, id: item.id, bytes: length });
        self.commit_foreign(tx);
        Ok(())
    }

    /// Looks again at blobs that came early, once nothing is under way that could name them.
    pub(super) fn early_blobs_again(&mut self) {
        if self.early_blobs.is_empty() || !self.commits.foreign_is_empty() {
            return;
        }
        self.settle();
        for EarlyBlob { ticket, id, bytes } in core::mem::take(&mut self.early_blobs) {
            let item = Item { topic: Topic::Blob, id };
            if let Err(reason) = self.take_blob(ticket, item, bytes, false) {
                self.refuse(ticket, reason);
            }
        }
    }

    pub(super) fn deliver(&mut self, ticket: Ticket, peer: NodeId, id: Digest, bundle: &Bundle) {
        if bundle.primary().fragment.is_some() {
            self.deliver_piece(ticket, peer, id, bundle);
            return;
        }
        let opened = match open(bundle, &self.identity, &self.keys.prekeys) {
            Ok(opened) => opened,
            Err(error) => {
                self.note_unopened(bundle, error);
                self.refuse(ticket, RefuseReason::Invalid);
                return;
            }
        };
        let mut tx = Tx::default();
        self.past.note_gone(&mut tx, &id);
        // A carrier can make a second content id by adding a block: what counts is the signed name.
        let name = opened.id.name();
        if self.past.is_delivered(&name) {
            self.count("second copies of delivered bundles");
            tx.then(After::Taken { ticket });
            self.commit_foreign(tx);
            return;
        }
        if self.deliver_opened(&mut tx, Some(ticket), &opened).is_none() {
            self.count("bundles for this node refused: no such service, or not valid");
            self.refuse(ticket, RefuseReason::Invalid);
            return;
        }
        self.past.note_delivered(&mut tx, &name);
        self.write_notices(&mut tx, &name, &[id]);
        self.delivering.insert(ticket, name);
        self.commit_foreign(tx);
    }

    fn note_unopened(&mut self, bundle: &Bundle, error: OpenError) {
        self.count("bundles for this node refused: they do not open");
        if error == OpenError::ErasedKey
            && let Some(from) = bundle.source().node_id()
        {
            let who = self.contacts.name(&from);
            self.count("bundles that came after their prekey was erased");
            self.warnings.insert(format!(
                "something from {who} was on its way for so long that nobody can open it any more: ask for it again"
            ));
        }
        self.say(format!("a bundle for this node was refused: {error}"));
    }

    /// Puts what was opened into the batch of its service; `None` if there is no such service, or it refuses.
    pub(super) fn deliver_opened(
        &mut self,
        tx: &mut Tx,
        ticket: Option<Ticket>,
        opened: &Opened,
    ) -> Option<()> {
        match opened.destination_service.as_str() {
            SERVICE_INBOX => self.deliver_message(tx, ticket, opened),
            SERVICE_LEDGER => self.deliver_entries(tx, ticket, &opened.payload),
            _ => None,
        }
    }

    /// A delivery could not be stored: the bundle may come again.
    pub(super) fn undeliver(&mut self, ticket: Ticket) {
        self.pieces.brought(ticket);
        if let Some(name) = self.delivering.remove(&ticket) {
            self.past.undeliver(&name);
        }
    }

    fn deliver_entries(&self, tx: &mut Tx, ticket: Option<Ticket>, payload: &[u8]) -> Option<()> {
        let mut entries = Vec::new();
        for bytes in super::wire::decode_entries(payload)? {
            let entry = VerifiedEntry::decode(&bytes).ok()?;
            if !self.concerns_me(&entry) || self.ledger.check_room(&entry).is_err() {
                return None;
            }
            tx.put(Table::Ledger, *entry.id().as_bytes(), bytes);
            entries.push(entry);
        }
        tx.then(After::Entries { ticket, entries });
        Some(())
    }

    fn taken(&mut self, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            self.engine(Event::Taken { ticket, outcome: Ok(()) });
        }
    }

    /// Does what was waiting for a batch to be durable.
    pub(super) fn happen(&mut self, after: After) {
        if let Some(ticket) = after.ticket() {
            self.delivering.remove(&ticket);
            self.pieces.brought(ticket);
        }
        match after {
            After::Entry { ticket, entry } => {
                self.insert_entries([*entry]);
                self.engine(Event::Taken { ticket, outcome: Ok(()) });
            }
            After::Entries { ticket, entries } => {
                self.insert_entries(entries);
                self.taken(ticket);
            }
            After::Change { ticket, group, item, bytes, place } => {
                self.engine(Event::Hold { item, bytes, scope: Scope::Group(group), place });
                self.engine(Event::Taken { ticket, outcome: Ok(()) });
            }
            After::Blob { ticket, id, bytes } => {
                self.have_blob(id, bytes);
                self.engine(Event::Taken { ticket, outcome: Ok(()) });
            }
            After::Taken { ticket } => self.engine(Event::Taken { ticket, outcome: Ok(()) }),
            After::Kept { ticket, id } => self.engine_shows(id, Event::Taken { ticket, outcome: Ok(()) }),
            After::Message { ticket, number, entry } => {
                self.inbox.remember(number, *entry);
                self.say("a message arrived: read it with cairn inbox");
                self.taken(ticket);
            }
            After::Notice { ticket, by, ids } => {
                self.engine(Event::Taken { ticket, outcome: Ok(()) });
                self.engine(Event::Noticed { by, ids });
            }
            After::Piece { ticket, id, record, bundle } => {
                self.piece_is_durable(ticket, id, record, *bundle);
            }
            After::Replaced { gone, carried } => {
                self.pieces.cut_durable(carried.iter().map(|(id, _)| *id));
                for (id, record) in gone {
                    self.engine(Event::Gone { id, record });
                }
                for (id, record) in carried {
                    self.engine_shows(id, Event::Carry { id, record });
                }
            }
            After::Past { id } => self.engine(Event::Seen { id }),
            After::Written { id } => self.unwritten.shown(&id),
            After::OwnEntry { id, to } => self.own_entry_durable(id, to),
            After::Hold { item, bytes, scope, place } => {
                self.engine(Event::Hold { item, bytes, scope, place });
            }
            After::Carry { id, record } => {
                self.own_waiting = self.own_waiting.minus(Amount::one(record.bytes));
                self.engine_shows(id, Event::Carry { id, record });
            }
            After::OwnBlob { id, bytes } => self.have_blob(id, bytes),
            After::OwnCard { card } => self.card_is_durable(*card),
            After::Renew => self.engine(Event::Renew),
            After::Reply { request, response } => self.reply(request, response),
        }
    }
}
