//! Credit lines, locks and receipts: a fold over signed facts.
//!
//! Every fact that can lower a node's position is signed by that node; a [`Ledger`] is a set of such facts, and
//! balances are a pure function of the set. So merging is set union, and replays, reordering and partitions
//! change nothing but what is known yet. A creditor risks what it chose to grant by a [`Line`] and no more.
//!
//! This crate holds no clock and does no I/O. It does not decide when to trust, work or pay, moves no bytes, and
//! does not persist: whoever drives it stores the bytes of each entry, and calls [`Ledger::mark_durable`] for own
//! entries before they are offered to anybody. Checkpoints, epochs, custody, bonds, disputes, tokens and the
//! charter are not part of it.
//!
//! The loop of a driver, here with A promising B an amount for a job, and B doing it:
//! ```
//! use cairn_bundle::{Digest, Identity};
//! use cairn_ledger::*;
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let (a, b) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
//! let mut at_a = Ledger::new(a.node_id(), Limits::default());
//! let mut at_b = Ledger::new(b.node_id(), Limits::default());
//! // Cards were exchanged: each admits the other.
//! at_a.admit(&b.node_id())?;
//! at_b.admit(&a.node_id())?;
//!
//! // What one signs, it stores and syncs; then it may travel, and the other checks and stores it.
//! let send = |entry: VerifiedEntry, from: &mut Ledger, to: &mut Ledger| {
//!     from.mark_durable(&entry.id());
//!     from.relevant_to(&to.me()).try_for_each(|(_, bytes)| {
//!         to.insert(VerifiedEntry::decode(&bytes)?)?;
//!         Ok::<(), Box<dyn core::error::Error>>(())
//!     })
//! };
//! let now = 200_000_000;
//! let line = Line { limit: 500, hold_max: 300, unit: 0, charter: [0; 8], flags: 0 };
//! let granted = Author::new(&b, &mut at_b, now)?.grant_line(&a.node_id(), line)?;
//! send(granted, &mut at_b, &mut at_a)?;
//!
//! let (job, nonce) = (Digest::of(b"a job"), [7; 16]);
//! let payment = pay_id(&job, &a.node_id(), &nonce);
//! let promise = Promise { pay_id: payment, amount: 120, verifiers: [0; 8], hint_time: 0 };
//! let lock = Author::new(&a, &mut at_a, now)?.lock(&b.node_id(), &promise)?;
//! let lock_id = LockId::of(&lock.id());
//! send(lock, &mut at_a, &mut at_b)?;
//!
//! at_b.may_run(&lock_id)?;
//! let done = TaskResult {
//!     pay_id: payment, output: Digest::of(b"42"), fuel: 9, energy_mj: 0, wall_ms: 3, tier: 0, trace: None,
//! };
//! let result = Author::new(&b, &mut at_b, now)?.result(&a.node_id(), done)?;
//! send(result.clone(), &mut at_b, &mut at_a)?;
//!
//! let order = Order { job, tier: 0, nonces: &[nonce] };
//! let accept = Author::new(&a, &mut at_a, now)?.accept(&order, &result.id(), 120, 0)?;
//! send(accept.clone(), &mut at_a, &mut at_b)?;
//! assert_eq!(at_b.owed(&a.node_id(), &b.node_id()), 120);
//! assert_eq!(at_b.net(&b.node_id(), &a.node_id()), -at_a.net(&a.node_id(), &b.node_id()));
//!
//! // A file that anybody can check.
//! let receipt = Receipt::new(result, accept, None)?.encode();
//! assert_eq!(Receipt::verify(&receipt)?.result.output, Digest::of(b"42"));
//! # Ok(())
//! # }
//! ```
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
