//! What is on its way to the disk, so that links are not read while that is much.

use std::collections::BTreeMap;

use cairn_store::{Batch, Op};

use crate::core::CommitId;

/// While so many bytes are on their way nothing more is taken from links: the queue of the store has room for twice as
/// many, and what it refused would come again late.
pub(super) const COMMITTING_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Batches that the store has and has not answered.
#[derive(Debug, Default)]
pub(super) struct Committing {
    batches: BTreeMap<CommitId, u64>,
    bytes: u64,
}

impl Committing {
    pub(super) fn begin(&mut self, commit: CommitId, batch: &Batch) {
        let bytes = batch.iter().map(bytes_of).fold(0, u64::saturating_add);
        self.batches.insert(commit, bytes);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn end(&mut self, commit: CommitId) {
        let bytes = self.batches.remove(&commit).unwrap_or(0);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether what links bring finds room in the store's queue, beside so many bytes that will come there soon.
    pub(super) const fn has_room_beside(&self, bytes: u64) -> bool {
        self.bytes.saturating_add(bytes) < COMMITTING_BYTES_MAX
    }
}

fn bytes_of(op: &Op) -> u64 {
    match op {
        Op::Put { key, value, .. } => super::count(key.len().saturating_add(value.len())),
        Op::Delete { key, .. } => super::count(key.len()),
    }
}
