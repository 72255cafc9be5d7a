//! Bundles in pieces: cut for contacts that are too short, put together where they were going.

use std::collections::{BTreeMap, BTreeSet};

use cairn_bundle::reassembly::{Inserted, Now, Origin, Reassembly, ReassemblyLimits, Whole, WholeId};
use cairn_bundle::{Bundle, Digest, NodeId, open};
use cairn_engine::{BundleRecord, Catalogue as _, Event, Ticket};
use cairn_link::RefuseReason;
use cairn_store::{Read, Table};

use super::Core;
use super::catalogue::DiskIndex;
use super::commit::{After, Tx};

/// Fragments that are here for this node, until their whole is.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    reassembly: Reassembly,
    rows: BTreeMap<WholeId, BTreeMap<Digest, BundleRecord>>,
    /// Wholes that can be tried.
    ready: Vec<Whole>,
    /// Fragments for others that peers brought, and those that were cut here, on their way to the disk.
    brought: BTreeMap<Ticket, Digest>,
    cut: BTreeSet<Digest>,
    /// When fragments that waited too long are looked for next, in node time.
    expire_at_ms: u64,
}

/// Fragments that waited too long are looked for so often.
const EXPIRE_EVERY_MS: u64 = 60_000;
/// Fragments for this node may take up this share of a store.
const STORE_SHARE: u64 = 4;
/// Wholes in progress, and those that one neighbour began: nobody can check a fragment before the rest is here, so it
/// takes some neighbours together to keep the wholes of others out.
const WHOLES_MAX: usize = 4_096;
const NEIGHBOUR_WHOLES_MAX: usize = 512;

impl Pieces {
    /// Nothing yet, in a store that may hold so many bytes of bundles.
    pub(crate) fn new(store_bytes: u64) -> Self {
        let usual = ReassemblyLimits::default();
        let share = usize::try_from(store_bytes / STORE_SHARE).unwrap_or(usize::MAX);
        let limits = ReassemblyLimits {
            bytes_max: usual.bytes_max.min(share),
            origin_bytes_max: usual.origin_bytes_max.min(share / 2),
            wholes_max: WHOLES_MAX,
            origin_wholes_max: NEIGHBOUR_WHOLES_MAX,
            ..usual
        };
        Self { reassembly: Reassembly::new(limits), ..Self::default() }
    }

    /// A peer's fragment is on its way to the disk.
    pub(crate) fn note_brought(&mut self, ticket: Ticket, id: Digest) {
        self.brought.insert(ticket, id);
    }

    /// What a peer brought is durable, or was refused.
    pub(crate) fn brought(&mut self, ticket: Ticket) {
        self.brought.remove(&ticket);
    }

    /// Whether the same fragment was cut here and is not durable yet.
    pub(crate) fn is_being_cut(&self, id: &Digest) -> bool {
        self.cut.contains(id)
    }

    /// Fragments that were cut here are durable.
    pub(crate) fn cut_durable(&mut self, ids: impl Iterator<Item = Digest>) {
        for id in ids {
            self.cut.remove(&id);
        }
    }

    fn note(&mut self, whole: WholeId, id: Digest, record: BundleRecord) {
        self.rows.entry(whole).or_default().insert(id, record);
    }

    /// A piece is gone.
    pub(crate) fn forget(&mut self, id: &Digest) {
        self.rows.retain(|_, pieces| {
            pieces.remove(id);
            !pieces.is_empty()
        });
    }
}

/// A neighbour as reassembly counts it.
fn origin(neighbour: Option<&NodeId>) -> Origin {
    let first = neighbour.and_then(|node| node.as_bytes().first_chunk::<8>().copied());
    Origin(first.map_or(0, u64::from_be_bytes))
}

impl Core {
    fn now_for_pieces(&self) -> Now {
        Now { monotonic_ms: self.clock.now.as_ms(), wall_ms: self.clock.wall.map(|_| self.clock.dtn_ms()) }
    }

    /// Cuts what the engine asked to be cut.
    pub(super) fn cut_bundles(&mut self, disk: &dyn Read) {
        for (id, piece_bytes) in core::mem::take(&mut self.cutting) {
            let Some((record, pieces)) = self.pieces_of(id, piece_bytes, disk) else {
                self.count("bundles that could not be cut");
                self.engine(Event::Whole { id });
                continue;
            };
            // A peer is bringing the very same piece: two of them would have two rows and be counted twice.
            if pieces.iter().any(|(id, _)| self.pieces.brought.values().any(|brought| brought == id)) {
                self.cutting.push((id, piece_bytes));
                continue;
            }
            self.replace_by_pieces(id, record, pieces, disk);
        }
    }

    fn pieces_of(
        &self,
        id: Digest,
        piece_bytes: u64,
        disk: &dyn Read,
    ) -> Option<(BundleRecord, Vec<(Digest, Bundle)>)> {
        let record = self.unwritten.over(DiskIndex(disk)).record(&id)?;
        let stored = disk.get(Table::Bundles, &record.place.to_be_bytes()).ok().flatten()?;
        let bundle = Bundle::decode(&stored, &self.settings.engine.bundle).ok()?;
        let pieces = bundle.fragment_to_fit(usize::try_from(piece_bytes).ok()?).ok()?;
        // What fits as it is comes back as its only piece.
        let pieces: Vec<_> = pieces.into_iter().map(|piece| (piece.content_id(), piece)).collect();
        (pieces.len() > 1).then_some((record, pieces))
    }

    fn replace_by_pieces(
        &mut self,
        id: Digest,
        record: BundleRecord,
        pieces: Vec<(Digest, Bundle)>,
        disk: &dyn Read,
    ) {
        let mut tx = Tx::default();
        let mut carried = Vec::new();
        for (piece_id, piece) in pieces {
            // One that is carried already stays as it is.
            if self.unwritten.over(DiskIndex(disk)).record(&piece_id).is_some() {
                continue;
            }
            let bytes = piece.encode();
            let row = BundleRecord {
                bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                fragment: true,
                age_ms: piece.age_ms(),
                ..record.clone()
            };
            self.pieces.cut.insert(piece_id);
            carried.push((piece_id, self.put_bundle(&mut tx, piece_id, row, bytes)));
        }
        self.delete_bundle(&mut tx, id, &record);
        self.past.note_gone(&mut tx, &id);
        tx.then(After::Replaced { gone: vec![(id, record)], carried });
        self.commits.own(tx);
    }

    /// A fragment for this node: it is kept until its whole is here.
    pub(super) fn deliver_piece(&mut self, ticket: Ticket, peer: NodeId, id: Digest, bundle: &Bundle) {
        let name = bundle.id().name();
        // Its whole is on its way to the disk, or the same piece was written and is being deleted: it comes again.
        if self.delivering.values().any(|under_way| *under_way == name) || self.unwritten.contains(&id) {
            self.engine(Event::Taken { ticket, outcome: Err(RefuseReason::Full) });
            return;
        }
        if self.past.is_delivered(&name) {
            self.take_late_piece(ticket, id, &name);
            return;
        }
        let bytes = bundle.encode();
        let record = BundleRecord {
            place: 0,
            destination: Some(self.me),
            source: None,
            neighbour: Some(peer),
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            class: bundle.class(),
            age_ms: bundle.age_ms(),
            remaining_ms: bundle.remaining_ms(None, 0).unwrap_or_else(|| bundle.primary().lifetime_ms),
            kept_since: self.clock.now,
            copies: 0,
            handed_at: None,
            may_fragment: false,
            fragment: true,
        };
        if self.pieces.reassembly.check(bundle, origin(Some(&peer)), self.now_for_pieces()).is_err() {
            self.count("fragments refused");
            self.engine(Event::Taken { ticket, outcome: Err(RefuseReason::Full) });
            return;
        }
        let mut tx = Tx::default();
        let record = self.put_bundle(&mut tx, id, record, bytes);
        tx.then(After::Piece { ticket, id, record, bundle: Box::new(bundle.clone()) });
        self.commit_foreign(tx);
    }

    /// A fragment for this node is durable. Only now does it count: what the disk refused must come again.
    pub(super) fn piece_is_durable(
        &mut self,
        ticket: Ticket,
        id: Digest,
        record: BundleRecord,
        bundle: Bundle,
    ) {
        let whole = WholeId::of(bundle.primary());
        let now = self.now_for_pieces();
        match self.pieces.reassembly.insert(bundle, origin(record.neighbour.as_ref()), now) {
            Ok(Inserted::Stored(progress)) => {
                if progress.conflict.is_some() {
                    self.count("fragments that contradict each other");
                }
                self.pieces.note(whole, id, record.clone());
                self.pieces.ready.extend(progress.whole.map(|whole| *whole));
                self.engine(Event::Taken { ticket, outcome: Ok(()) });
                self.engine_shows(id, Event::Carry { id, record });
            }
            Ok(Inserted::Late | Inserted::Duplicate) => {
                self.count("fragments that brought nothing");
                self.drop_row(id, &record);
                self.unwritten.shown(&id);
                self.engine(Event::Taken { ticket, outcome: Ok(()) });
            }
            Err(_) => {
                self.count("fragments refused");
                self.drop_row(id, &record);
                self.unwritten.shown(&id);
                self.engine(Event::Taken { ticket, outcome: Err(RefuseReason::Full) });
            }
        }
    }

    /// A fragment that was written down is not needed after all.
    fn drop_row(&mut self, id: Digest, record: &BundleRecord) {
        let mut tx = Tx::default();
        self.delete_bundle(&mut tx, id, record);
        self.commits.own(tx);
    }

    /// Forgets fragments that waited too long for the rest, so that they do not keep others out.
    pub(super) fn expire_pieces(&mut self) {
        let now_ms = self.clock.now.as_ms();
        if self.pieces.expire_at_ms > now_ms {
            return;
        }
        self.pieces.expire_at_ms = now_ms.saturating_add(EXPIRE_EVERY_MS);
        for whole in self.pieces.reassembly.expire(now_ms) {
            for (id, record) in self.pieces.rows.remove(&whole).unwrap_or_default() {
                self.count("fragments that waited too long");
                self.drop_row(id, &record);
                self.engine(Event::Gone { id, record });
            }
        }
    }

    /// Reads back a fragment for this node.
    pub(super) fn restore_piece(&mut self, id: Digest, record: &BundleRecord, bundle: Bundle) {
        let whole = WholeId::of(bundle.primary());
        let now = self.now_for_pieces();
        let inserted = self.pieces.reassembly.insert(bundle, origin(record.neighbour.as_ref()), now);
        if let Ok(Inserted::Stored(progress)) = inserted {
            self.pieces.note(whole, id, record.clone());
            self.pieces.ready.extend(progress.whole.map(|whole| *whole));
        } else {
            self.drop_row(id, record);
            self.engine(Event::Gone { id, record: record.clone() });
        }
    }

    /// Delivers what is whole.
    pub(super) fn deliver_wholes(&mut self) {
        for whole in core::mem::take(&mut self.pieces.ready) {
            let mut next = Some(whole);
            while let Some(whole) = next {
                next = match self.deliver_whole(&whole) {
                    Some(()) => None,
                    None => {
                        self.count("wholes refused: they do not open");
                        self.pieces.reassembly.refuse(&whole.id, self.clock.now.as_ms()).map(|whole| *whole)
                    }
                };
            }
        }
    }

    fn deliver_whole(&mut self, whole: &Whole) -> Option<()> {
        let opened = open(&whole.bundle, &self.identity, &self.keys.prekeys).ok()?;
        let pieces: Vec<(Digest, BundleRecord)> = self
            .pieces
            .rows
            .get(&whole.id)
            .into_iter()
            .flatten()
            .map(|(id, row)| (*id, row.clone()))
            .collect();
        let mut tx = Tx::default();
        let name = opened.id.name();
        if !self.past.is_delivered(&name) {
            self.deliver_opened(&mut tx, None, &opened)?;
            self.past.note_delivered(&mut tx, &name);
            // Its author, and others, may carry it uncut.
            let whole_id = whole.bundle.content_id();
            let ids: Vec<Digest> =
                core::iter::once(whole_id).chain(pieces.iter().map(|(id, _)| *id)).collect();
            self.write_notices(&mut tx, &name, &ids);
            self.past.note_gone(&mut tx, &whole_id);
            tx.then(After::Past { id: whole_id });
        }
        for (id, row) in &pieces {
            self.delete_bundle(&mut tx, *id, row);
            self.past.note_gone(&mut tx, id);
        }
        tx.then(After::Replaced { gone: pieces, carried: Vec::new() });
        self.commits.own(tx);
        self.pieces.rows.remove(&whole.id);
        self.pieces.reassembly.accept(&whole.id);
        Some(())
    }
}

#[cfg(test)]
mod tests;
