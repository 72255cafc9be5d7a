//! Durable before acknowledged: the store of a node, on redb.

mod memory;
mod op;

pub use memory::MemoryDisk;
pub use op::{
    Batch, CommitError, FullCause, KEY_BYTES_MAX, Limits, Op, Priority, Read, ReadError, Table, TableUsage,
    Usage, VALUE_BYTES_MAX,
};
