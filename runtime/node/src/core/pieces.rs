//! Bundles in pieces: cut for contacts that are too short, put together where they were going.

use std::collections::{BTreeMap, BTreeSet};

use cairn_bundle::reassembly::{Inserted, Now, Origin, Reassembly, Whole, WholeId};
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
}

impl Pieces {
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
        tx.delete(Table::Bundles, record.place.to_be_bytes());
        tx.delete(Table::Index, *id.as_bytes());
        self.past.note_gone(&mut tx, &id);
        self.unwritten.note(id, None);
        tx.then(After::Written { id });
        tx.then(After::Replaced { gone: vec![(id, record)], carried });
        self.commits.own(tx);
    }

    /// A fragment for this node: it is kept until its whole is here.
    pub(super) fn deliver_piece(&mut self, ticket: Ticket, peer: NodeId, id: Digest, bundle: &Bundle) {
        let whole = WholeId::of(bundle.primary());
        if self.past.is_delivered(&bundle.id().name()) {
            self.count("second copies of delivered bundles");
            self.engine(Event::Taken { ticket, outcome: Ok(()) });
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
        let now = self.now_for_pieces();
        match self.pieces.reassembly.insert(bundle.clone(), origin(Some(&peer)), now) {
            Ok(Inserted::Stored(progress)) => {
                if progress.conflict.is_some() {
                    self.count("fragments that contradict each other");
                }
                let mut tx = Tx::default();
                let record = self.put_bundle(&mut tx, id, record, bytes);
                self.pieces.note(whole, id, record.clone());
                tx.then(After::Piece { ticket, id, record });
                self.commit_foreign(tx);
                self.pieces.ready.extend(progress.whole.map(|whole| *whole));
            }
            Ok(Inserted::Late | Inserted::Duplicate) => {
                self.count("fragments that brought nothing");
                self.engine(Event::Taken { ticket, outcome: Ok(()) });
            }
            Err(_) => {
                self.count("fragments refused");
                self.engine(Event::Taken { ticket, outcome: Err(RefuseReason::Full) });
            }
        }
    }

    /// Reads back a fragment for this node.
    pub(super) fn restore_piece(&mut self, id: Digest, record: &BundleRecord, bundle: Bundle) {
        let whole = WholeId::of(bundle.primary());
        self.pieces.note(whole, id, record.clone());
        let now = self.now_for_pieces();
        if let Ok(Inserted::Stored(progress)) =
            self.pieces.reassembly.insert(bundle, origin(record.neighbour.as_ref()), now)
        {
            self.pieces.ready.extend(progress.whole.map(|whole| *whole));
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
            let ids: Vec<Digest> = pieces.iter().map(|(id, _)| *id).collect();
            self.write_notices(&mut tx, &name, &ids);
        }
        for (id, row) in &pieces {
            tx.delete(Table::Bundles, row.place.to_be_bytes());
            tx.delete(Table::Index, *id.as_bytes());
            self.past.note_gone(&mut tx, id);
            self.unwritten.note(*id, None);
            tx.then(After::Written { id: *id });
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
