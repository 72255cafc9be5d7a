//! From stores of the first format: bundles get their rows and records, ids of the past their short form.

use cairn_bundle::{Bundle, BundleFlags, Digest, Eid, Limits, NodeId};
use cairn_engine::{BundleRecord, Instant};
use cairn_store::{Batch, CommitError, Op, Read, ReadError, Table};

use super::commit::Tx;
use super::past::{Past, Row};

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

/// Rewrites what the first format kept by content id; returns how many rows. Each batch leaves a store in which the
/// rest is found again, so that a cut in between costs nothing.
///
/// # Errors
/// [`UpgradeError`]; what was rewritten stays so.
pub fn upgrade(
    disk: &dyn Read,
    me: &NodeId,
    limits: &Limits,
    commit: &mut dyn FnMut(Batch) -> Result<(), CommitError>,
) -> Result<u64, UpgradeError> {
    let mut done = 0;
    while let Some(batch) = next_bundles(disk, me, limits)?.or(next_ids(disk)?) {
        done += u64::try_from(batch.len()).unwrap_or(0);
        commit(batch)?;
    }
    Ok(done)
}

fn next_bundles(disk: &dyn Read, me: &NodeId, limits: &Limits) -> Result<Option<Batch>, ReadError> {
    let (mut old, mut bytes) = (Vec::new(), 0_usize);
    let mut next_place = 0_u64;
    disk.for_each_from(Table::Bundles, &[], &mut |key, value| {
        match (<[u8; 32]>::try_from(key), <[u8; 8]>::try_from(key)) {
            (Ok(id), _) => {
                bytes = bytes.saturating_add(value.len());
                old.push((Digest(id), value.to_vec()));
            }
            (_, Ok(place)) => next_place = next_place.max(u64::from_be_bytes(place).saturating_add(1)),
            _ => {}
        }
        if old.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
            core::ops::ControlFlow::Break(())
        } else {
            core::ops::ControlFlow::Continue(())
        }
    })?;
    if old.is_empty() {
        return Ok(None);
    }
    // Rows of both formats are mixed in order; the last row number may lie behind where the scan stopped.
    if let Some(last) = last_place(disk)? {
        next_place = next_place.max(last.saturating_add(1));
    }
    let mut batch = Batch::new();
    for (id, value) in old {
        batch.push(Op::delete(Table::Bundles, *id.as_bytes()));
        // What cannot be read could not be sent either.
        if let Ok(bundle) = Bundle::decode(&value, limits) {
            let record = record_of(&bundle, &value, me, next_place);
            batch.push(Op::put(Table::Index, *id.as_bytes(), record.encode()));
            batch.push(Op::put(Table::Bundles, next_place.to_be_bytes(), value));
            next_place = next_place.saturating_add(1);
        }
    }
    Ok(Some(batch))
}

fn last_place(disk: &dyn Read) -> Result<Option<u64>, ReadError> {
    let mut last = None;
    disk.for_each(Table::Index, &mut |_, value| {
        if let Ok(record) = BundleRecord::decode(value) {
            last = last.max(Some(record.place));
        }
    })?;
    Ok(last)
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

fn next_ids(disk: &dyn Read) -> Result<Option<Batch>, ReadError> {
    let (mut past, mut old) = (Past::default(), Vec::new());
    disk.for_each(Table::Seen, &mut |key, value| {
        if let Row::OldId(id) = past.restore(key, value)
            && old.len() < BATCH_ROWS
        {
            old.push(Digest(id));
        }
    })?;
    if old.is_empty() {
        return Ok(None);
    }
    let mut tx = Tx::default();
    for id in old {
        tx.delete(Table::Seen, *id.as_bytes());
        // What is still carried is known by its record.
        if disk.get(Table::Index, id.as_bytes())?.is_none() {
            past.note_gone(&mut tx, &id);
        }
    }
    Ok(Some(tx.batch))
}
