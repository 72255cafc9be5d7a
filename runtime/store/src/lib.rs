//! Durable before acknowledged: the store of a node, on redb.
//!
//! Changes come in [`Batch`]es, each of which happens as a whole or not at all. One writer thread puts all batches that
//! wait into one transaction (group commit), and replies to each after the fsync. Readers see a batch once it is
//! durable, and never wait for the writer.
//!
//! ```
//! use cairn_store::{Op, Options, Read, Store, Table};
//! # let dir = tempfile::tempdir()?;
//! let store = Store::open(dir.path().join("store"), Options::default())?;
//! store.commit(vec![
//!     Op::put(Table::Inbox, *b"message", *b"the bridge is out"),
//!     Op::delete(Table::Bundles, *b"message"),
//! ])?;
//! // Power may be cut from here on.
//! assert_eq!(store.get(Table::Inbox, b"message")?.as_deref(), Some(&b"the bridge is out"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The pure core of a node and the simulator use the plain types ([`Op`], [`Read`], [`Usage`]) and [`MemoryDisk`].
//!
//! What it does not do: it knows nothing of what it stores (no expiry, no eviction, no quota per source), keeps a value
//! in memory while it is written, does not encrypt, and does not shrink its redb file when entries are deleted (their
//! room is used again; [`Store::compact`] shrinks it). Unix only, for its file permissions.

mod ahead;
mod check;
mod compact;
mod entry;
mod export;
mod fault;
mod files;
mod layout;
mod medium;
mod memory;
mod op;
mod queue;
mod reading;
mod scrub;
mod segments;
mod store;
#[cfg(test)]
mod tests;
mod upkeep;
mod writer;
mod writing;

pub use check::CheckReport;
pub use compact::CompactReport;
pub use export::ExportReport;
pub use fault::StoreError;
pub use memory::MemoryDisk;
pub use op::{
    Batch, CommitError, FullCause, KEY_BYTES_MAX, Limits, Op, Priority, Read, ReadError, Table, TableUsage,
    Usage, VALUE_BYTES_MAX, Visitor,
};
pub use queue::Reply;
pub use scrub::ScrubReport;
pub use store::{Options, Store};
