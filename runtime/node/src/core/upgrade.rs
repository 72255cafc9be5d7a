//! From stores of the first format: bundles get their rows and records, ids of the past their short form.

use core::ops::ControlFlow;

use cairn_bundle::{Bundle, BundleFlags, Digest, Eid, Limits, NodeId};
use cairn_engine::{BundleRecord, Instant};
use cairn_store::{Batch, CommitError, Op, Read, ReadError, Table};

use super::commit::Tx;
use super::past::Past;

/// Rows that are rewritten in one batch.
const BATCH_ROWS: usize = 256;
/// Bytes of bundles that are rewritten in one batch.
const BATCH_BYTES: usize = 4 << 20;

/// Why a store cannot be brought to the present format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// What is there cannot be read.
    #[error("the store cannot be read: {0}")]
    Read(#[from] ReadError),
    /// What would be there cannot be written.
    #[error("the store cannot be brought to the present format: {0}")]
    Commit(#[from] CommitError),
}

/// Rewrites what the first format kept by content id; returns how many rows were put or deleted. Each batch leaves a store
/// in which the rest is found again, so that a cut in between costs nothing. Each table is read once.
///
/// # Errors
/// [`UpgradeError`]; what was rewritten stays so.
pub fn upgrade(
    disk: &dyn Read,
    me: &NodeId,
    limits: &Limits,
    commit: &mut dyn FnMut(Batch) -> Result<(), CommitError>,
) -> Result<u64, UpgradeError> {
    let mut done = 0_u64;
    let mut commit = |batch: Batch| {
        done = done.saturating_add(u64::try_from(batch.len()).unwrap_or(0));
        commit(batch)
    };
    let mut bundles = OldBundles { next_place: next_place(disk)?, from: Vec::new() };
    while let Some(batch) = bundles.next(disk, me, limits)? {
        commit(batch)?;
    }
    let mut ids = OldIds::find(disk)?;
    while let Some(batch) = ids.next(disk)? {
        commit(batch)?;
    }
    Ok(done)
}

/// The first row number that no bundle has, nor a record.
fn next_place(disk: &dyn Read) -> Result<u64, ReadError> {
    let mut next = 0_u64;
    disk.for_each_key(Table::Bundles, &mut |key, _| {
        if let Ok(place) = <[u8; 8]>::try_from(key) {
            next = next.max(u64::from_be_bytes(place).saturating_add(1));
        }
    })?;
    disk.for_each(Table::Index, &mut |_, value| {
        if let Ok(record) = BundleRecord::decode(value) {
            next = next.max(record.place.saturating_add(1));
        }
    })?;
    Ok(next)
}

/// Bundles under their content ids, in the order of the ids.
struct OldBundles {
    next_place: u64,
    /// What is below was rewritten.
    from: Vec<u8>,
}

impl OldBundles {
    fn next(&mut self, disk: &dyn Read, me: &NodeId, limits: &Limits) -> Result<Option<Batch>, ReadError> {
        let (mut old, mut bytes) = (Vec::new(), 0_usize);
        disk.for_each_from(Table::Bundles, &self.from, &mut |key, value| {
            // Rows that were rewritten before a cut lie between them.
            if let Ok(id) = <[u8; 32]>::try_from(key) {
                bytes = bytes.saturating_add(value.len());
                old.push((Digest(id), value.to_vec()));
            }
            go_on(old.len() < BATCH_ROWS && bytes < BATCH_BYTES)
        })?;
        let Some((last, _)) = old.last() else { return Ok(None) };
        self.from = last.as_bytes().to_vec();
        let mut batch = Batch::new();
        for (id, value) in old {
            batch.push(Op::delete(Table::Bundles, *id.as_bytes()));
            // What cannot be read could not be sent either.
            if let Ok(bundle) = Bundle::decode(&value, limits) {
                let record = record_of(&bundle, &value, me, self.next_place);
                batch.push(Op::put(Table::Index, *id.as_bytes(), record.encode()));
                batch.push(Op::put(Table::Bundles, self.next_place.to_be_bytes(), value));
                self.next_place = self.next_place.saturating_add(1);
            }
        }
        Ok(Some(batch))
    }
}

/// Whole ids of the past, in their order.
struct OldIds {
    past: Past,
    from: Vec<u8>,
}

impl OldIds {
    /// Learns which rows of the new form there are already, so that they are numbered on.
    fn find(disk: &dyn Read) -> Result<Self, ReadError> {
        let mut past = Past::default();
        disk.for_each(Table::Seen, &mut |key, value| {
            let _ = past.restore(key, value);
        })?;
        Ok(Self { past, from: Vec::new() })
    }

    fn next(&mut self, disk: &dyn Read) -> Result<Option<Batch>, ReadError> {
        let mut old = Vec::new();
        disk.for_each_from(Table::Seen, &self.from, &mut |key, _| {
            if let Ok(id) = <[u8; 32]>::try_from(key) {
                old.push(Digest(id));
            }
            go_on(old.len() < BATCH_ROWS)
        })?;
        let Some(last) = old.last() else { return Ok(None) };
        self.from = last.as_bytes().to_vec();
        let mut tx = Tx::default();
        for id in old {
            tx.delete(Table::Seen, *id.as_bytes());
            // What is still carried is known by its record.
            if disk.get(Table::Index, id.as_bytes())?.is_none() {
                self.past.note_gone(&mut tx, &id);
            }
        }
        Ok(Some(tx.batch))
    }
}

const fn go_on(further: bool) -> ControlFlow<()> {
    if further { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

fn record_of(bundle: &Bundle, bytes: &[u8], me: &NodeId, place: u64) -> BundleRecord {
    let source = bundle.source().node_id();
    let previous = bundle.previous_node().and_then(Eid::node_id);
    BundleRecord {
        place,
        destination: bundle.destination().node_id(),
        source,
        neighbour: if source.as_ref() == Some(me) { None } else { previous.or(source) },
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        class: bundle.class(),
        age_ms: bundle.age_ms(),
        remaining_ms: bundle.remaining_ms(None, 0).unwrap_or_else(|| bundle.primary().lifetime_ms),
        kept_since: Instant::ZERO,
        copies: 1,
        handed_at: None,
        may_fragment: !bundle.primary().flags.contains(BundleFlags::NO_FRAGMENT),
        fragment: bundle.primary().fragment.is_some(),
    }
}
