//! Between the engine and the store: bundles that are carried, their rows and their records.

use std::borrow::Cow;

use cairn_bundle::{Bundle, Digest, OpenError};
use cairn_engine::{BundleRecord, Catalogue as _, Event, Gone, Instant, LinkId, Ticket};
use cairn_link::{Item, RefuseReason, Topic, Transmit};
use cairn_store::{Read, Table};

use super::catalogue::DiskIndex;
use super::clock::Clock;
use super::commit::{After, Tx, table_of};
use super::{AgedBundle, Core, Output, Unchecked};

/// Bundles with their age as of a contact that are remembered between two chunks, so that links which send at the same time
/// do not make each other read a whole bundle for each chunk.
pub(super) const AGED_MAX: usize = 4;

impl Core {
    /// Queues an event for the engine.
    pub(super) fn engine(&mut self, event: Event) {
        self.to_engine.push_back((None, event));
    }

    /// The same for the event by which the engine hears of a new bundle, whose row it sees from then on and not before.
    pub(super) fn engine_shows(&mut self, id: Digest, event: Event) {
        self.to_engine.push_back((Some(id), event));
    }

    /// Hands what is queued to the engine and does what it asks for.
    pub(super) fn run_engine(&mut self, disk: &dyn Read) {
        while let Some((shown, event)) = self.to_engine.pop_front() {
            if let Some(id) = shown {
                self.unwritten.shown(&id);
            }
            self.engine.handle(self.clock.now, event, &self.unwritten.over(DiskIndex(disk)));
            self.act_for_engine();
        }
    }

    /// Does what the engine asks for; says whether there was anything.
    fn act_for_engine(&mut self) -> bool {
        let mut acted = false;
        while let Some(action) = self.engine.poll_action() {
            self.act(action);
            acted = true;
        }
        acted
    }

    /// What the engine would send next on a link; what it decides on the way is done as well.
    pub(super) fn engine_transmit(&mut self, link: LinkId, disk: &dyn Read) -> Option<Transmit> {
        let transmit = self.engine.poll_transmit(link, &self.unwritten.over(DiskIndex(disk)));
        if self.act_for_engine() {
            self.after_input(disk);
        }
        transmit
    }

    /// Node time is the caller's clock, and what earlier lives of this node have seen of it.
    pub(super) fn set_clock(&mut self, clock: Clock) {
        let now = Instant::from_ms(clock.now.as_ms().saturating_add(self.began_ms));
        self.clock = Clock { now, ..clock };
    }

    /// Part of an item as it goes over a link; `None` if the store does not give exactly that.
    pub(super) fn read_item(
        &mut self,
        link: LinkId,
        item: Item,
        offset: u64,
        len: u64,
        disk: &dyn Read,
    ) -> Option<Cow<'_, [u8]>> {
        let bytes = match item.topic {
            Topic::Bundle => self.read_bundle(link, item.id, offset, len, disk)?,
            Topic::Notice | Topic::Ledger | Topic::Board | Topic::Blob => {
                disk.read_range(table_of(item.topic), item.id.as_bytes(), offset, len).ok().flatten()?.into()
            }
        };
        (u64::try_from(bytes.len()) == Ok(len)).then_some(bytes)
    }

    fn read_bundle(
        &mut self,
        link: LinkId,
        id: Digest,
        offset: u64,
        len: u64,
        disk: &dyn Read,
    ) -> Option<Cow<'_, [u8]>> {
        let catalogue = self.unwritten.over(DiskIndex(disk));
        let place = catalogue.record(&id)?.place.to_be_bytes();
        let age_add_ms = self.engine.age_to_add(link, &id, &catalogue);
        if age_add_ms == 0 {
            return disk.read_range(Table::Bundles, &place, offset, len).ok().flatten().map(Cow::from);
        }
        let known = self.aged.iter().position(|aged| (aged.link, aged.id) == (link, id));
        let aged = match known.and_then(|at| self.aged.remove(at)) {
            Some(aged) => aged,
            None => {
                let stored = disk.get(Table::Bundles, &place).ok().flatten()?;
                let bundle = Bundle::decode(&stored, &self.settings.engine.bundle).ok()?;
                AgedBundle { link, id, bytes: bundle.into_aged(age_add_ms).encode() }
            }
        };
        let (from, count) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        let end = from.checked_add(count)?;
        if end == aged.bytes.len() {
            // The last part: it is not needed again.
            let mut last = aged.bytes;
            return (from <= end).then(|| last.split_off(from).into());
        }
        self.aged.truncate(AGED_MAX - 1);
        self.aged.push_front(aged);
        self.aged.front()?.bytes.get(from..end).map(Cow::from)
    }

    /// Has the source of a bundle for somebody else checked.
    pub(super) fn check(&mut self, ticket: Ticket, unchecked: Unchecked, bundle: Box<Bundle>) {
        let is_fragment = unchecked.record.fragment;
        self.unchecked.insert(ticket, unchecked);
        if is_fragment {
            // What is signed is the whole.
            self.keep(ticket, Err(OpenError::Fragment));
        } else {
            self.outputs.push_back(Output::Check { ticket, bundle });
        }
    }

    /// Keeps a bundle for somebody else, if its source signed it or nobody says so.
    pub(super) fn keep(&mut self, ticket: Ticket, outcome: Result<(), OpenError>) {
        let Some(Unchecked { id, mut record, bytes }) = self.unchecked.remove(&ticket) else { return };
        if self.unwritten.contains(&id) || self.pieces.is_being_cut(&id) {
            // An earlier copy is being deleted, which must not take this one along; or the same piece was cut here.
            self.engine(Event::Taken { ticket, outcome: Err(RefuseReason::Full) });
            return;
        }
        match outcome {
            Ok(()) => {}
            Err(OpenError::Signature) => {
                self.count("bundles refused: forged");
                self.engine(Event::Taken { ticket, outcome: Err(RefuseReason::Invalid) });
                return;
            }
            Err(_) if self.engine.disown(ticket) => record.disown(),
            Err(_) => {
                self.engine(Event::Taken { ticket, outcome: Err(RefuseReason::Full) });
                return;
            }
        }
        if record.fragment {
            self.pieces.note_brought(ticket, id);
        }
        let mut tx = Tx::default();
        self.put_bundle(&mut tx, id, record, bytes);
        tx.then(After::Kept { ticket, id });
        self.commit_foreign(tx);
    }

    /// Writes a bundle and its record into a batch; where it lies is in the record that comes back. The disk may show the
    /// row before the engine hears of it, by [`Core::engine_shows`]; until then it is hidden.
    pub(super) fn put_bundle(
        &mut self,
        tx: &mut Tx,
        id: Digest,
        mut record: BundleRecord,
        bytes: Vec<u8>,
    ) -> BundleRecord {
        record.place = self.next_place;
        self.next_place = self.next_place.saturating_add(1);
        tx.put(Table::Bundles, record.place.to_be_bytes(), bytes);
        tx.put(Table::Index, *id.as_bytes(), record.encode());
        self.unwritten.note(id, None);
        record
    }

    /// Deletes a bundle and its record in a batch of own facts; from now on the catalogue shows neither.
    pub(super) fn delete_bundle(&mut self, tx: &mut Tx, id: Digest, record: &BundleRecord) {
        tx.delete(Table::Bundles, record.place.to_be_bytes());
        tx.delete(Table::Index, *id.as_bytes());
        self.unwritten.note(id, None);
        tx.then(After::Written { id });
    }

    /// The record of a carried bundle has changed.
    pub(super) fn update_record(&mut self, id: Digest, record: BundleRecord) {
        let mut tx = Tx::default();
        tx.put(Table::Index, *id.as_bytes(), record.encode());
        self.unwritten.note(id, Some(record));
        tx.then(After::Written { id });
        self.commits.own(tx);
    }

    /// A carried bundle is not needed any more.
    pub(super) fn forget_bundle(&mut self, id: Digest, record: &BundleRecord, why: Gone) {
        let mut tx = Tx::default();
        self.delete_bundle(&mut tx, id, record);
        match why {
            Gone::Expired | Gone::Delivered => self.past.note_gone(&mut tx, &id),
            Gone::Evicted => {}
        }
        if record.fragment {
            self.pieces.forget(&id);
        }
        self.commits.own(tx);
    }
}
