//! Credit lines, locks and receipts: a fold over signed facts.
#![no_std]

extern crate alloc;

mod author;
mod cbor;
mod duties;
mod entry;
mod equiv;
mod fold;
mod ids;
mod ledger;
mod offer;
mod receipt;
mod record;

pub use author::{Author, AuthorError, Order, Promise};
pub use duties::{Forward, Refusal};
pub use entry::{
    CORE_BYTES, Draft, ENTRY_BYTES_MAX, Entry, EntryError, Place, SessionContext, VerifiedEntry,
};
pub use equiv::{EQUIV_BYTES, EQUIV_KEY_BYTES, EquivError, EquivProof};
pub use fold::{EdgeView, LockStatus, LockView};
pub use ids::{Kid, LockId, PayId, StreamId, pay_id};
pub use ledger::{AuthorsFull, InsertError, Inserted, Ledger, Limits};
pub use receipt::{RECEIPT_BYTES_MAX, Receipt, ReceiptError, ReceiptView};
pub use record::{Accept, Contract, LOCKS_PER_ENTRY_MAX, Line, Lock, Pay, Record, Release, TaskResult, kind};
