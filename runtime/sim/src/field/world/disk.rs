//! A disk on which batches become durable after a while.

use cairn_bundle::Digest;
use cairn_engine::{BundleRecord, Ticket};

use super::shelf::Kept;

/// Something that is written, with what follows once it is durable.
#[derive(Debug)]
pub(super) enum Write {
    /// A bundle to carry: the engine's own wish, or this node's own (without a ticket).
    Keep { ticket: Option<Ticket>, id: Digest, kept: Box<Kept> },
    /// A bundle for this node. `name` is what it is known by whatever its blocks.
    Deliver { ticket: Ticket, id: Digest, name: [u8; 32], piece: Option<Piece> },
    /// A delivery notice; its bytes are the item's.
    Notice { ticket: Option<Ticket>, id: Digest, bytes: Vec<u8>, ids: Vec<Digest>, by: cairn_bundle::NodeId },
    /// A bundle gives way to its fragments.
    Cut { whole: Digest, pieces: Vec<(Digest, Box<Kept>)> },
    /// A change that the catalogue shows already. Without a sync, it shows what was before.
    Shown { id: Digest, before: Option<Box<Kept>>, past: bool },
}

/// A part of the payload of a bundle that came in fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// First byte.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) len: u64,
    /// Bytes of the whole.
    pub(super) total: u64,
}

/// What waits to be durable: one batch under way, and what comes into the next.
#[derive(Debug, Default)]
pub(super) struct Disk {
    next: Vec<Write>,
    under_way: Vec<Write>,
    syncing: bool,
    /// Nothing but deletions fits.
    pub(super) full: bool,
}

impl Disk {
    pub(super) fn write(&mut self, write: Write) {
        self.next.push(write);
    }

    /// Begins a batch, if none is under way and there is something to write.
    pub(super) fn begin(&mut self) -> bool {
        if self.syncing || self.next.is_empty() {
            return false;
        }
        self.under_way = core::mem::take(&mut self.next);
        self.syncing = true;
        true
    }

    /// The batch under way is durable.
    pub(super) fn synced(&mut self) -> Vec<Write> {
        self.syncing = false;
        core::mem::take(&mut self.under_way)
    }

    /// Power was cut: what was written in vain, the latest first.
    pub(super) fn cut(&mut self) -> impl Iterator<Item = Write> + use<> {
        self.syncing = false;
        let (first, second) = (core::mem::take(&mut self.under_way), core::mem::take(&mut self.next));
        first.into_iter().chain(second).rev()
    }
}

/// The record of a fragment of a carried bundle.
pub(super) fn piece_record(whole: &BundleRecord, bytes: u64) -> BundleRecord {
    BundleRecord { bytes, fragment: true, ..whole.clone() }
}
