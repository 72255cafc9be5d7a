//! Finds out what each of two nodes lacks of the other's set, at a cost that grows with the difference.
//!
//! The space of ids is a tree of ranges, each with sixteen parts ([`Prefix`]). Both nodes keep the count and the sum of
//! their ids in the upper ranges ([`SumTree`]). They compare fingerprints of these, go down where they differ, and
//! list ids where few are left. A [`Reconciler`] is one side of one such conversation. It holds no ids but those that it
//! listed in its last message, and asks an [`IdSet`] for the rest.
//!
//! # Messages
//! They alternate; one is under way at a time. Numbers are big endian. `bytes_max` is the longest message that the
//! sender takes; neither side sends more than the smaller of both.
//!
//! ```text
//! Start:    1, salt (8), bytes_max (2), count of the set (4), fingerprint of the set (16)
//! Next:     2, or 3 if the sender has more ranges waiting; bytes_max (2), length of the answer (2), answer, elements
//! Answer:   a bit for each id that was listed in the message before, first id in the highest bit: 1 if it is lacked.
//!           Zero bytes at the end are left out.
//! Element:  Split: depth (1), key, mask of the parts that are not empty (2), fingerprint of each of them (8 each)
//!           List:  128 + depth (1), key, count (1), short ids (8 each, ascending)
//! ```
//! The key of a range is its half bytes, two in a byte. Elements are about ranges that do not overlap, in ascending order.
//!
//! A Split says: these are my sums, where do yours differ? The answer is a Split or a List for each part that differs.
//! A List says: this is all that I have here. Whoever reads it knows what of its own is lacking there, and answers which
//! of the listed ids it lacks. A part that is absent from the mask is an empty list of that part.
//!
//! # Chance and lies
//! Ids must be digests, or something as random: sums of ids that somebody can choose are worth nothing. Fingerprints and short ids are salted for each conversation. Where two happen to be equal, a difference is
//! found in the next conversation. A peer that lies delays only what concerns itself. It may speak of ranges that it was
//! asked about, once of each, so a conversation ends however it lies: each range of the own set is split at most once and
//! listed at most once, and each own id is told at most once.
//!
//! ```
//! use cairn_bundle::Digest;
//! use cairn_link::reconcile::{MemorySet, ReconcileError, ReconcileLimits, Reconciler};
//!
//! let id = |n: u8| Digest::of(&[n]).0;
//! let mine: MemorySet = (0..100).map(id).collect();
//! let theirs: MemorySet = (3..105).map(id).collect();
//! let limits = ReconcileLimits::default();
//! let (mut a, mut message) = Reconciler::start(&mine, *b"a number", limits);
//! let mut b = Reconciler::respond(limits);
//! let (mut lacking_there, mut lacking_here) = (vec![], vec![]);
//! loop {
//!     let step = b.handle(&theirs, &message)?;
//!     lacking_here.extend(step.peer_lacks);
//!     let Some(reply) = step.reply else { break };
//!     let step = a.handle(&mine, &reply)?;
//!     lacking_there.extend(step.peer_lacks);
//!     let Some(reply) = step.reply else { break };
//!     message = reply;
//! }
//! assert!(lacking_there.len() == 3 && (0..3).all(|n| lacking_there.contains(&id(n))));
//! assert!(lacking_here.len() == 5 && (100..105).all(|n| lacking_here.contains(&id(n))));
//! # Ok::<(), ReconcileError>(())
//! ```

mod asked;
mod digest;
mod gap;
mod message;
mod prefix;
mod reconciler;
mod set;
mod summary;
mod tree;

pub use digest::{DigestError, compare, digest};
pub use prefix::Prefix;
pub use reconciler::{Reconciler, Step};
pub use set::{IdSet, MemorySet};
pub use summary::{Salt, Summary};
pub use tree::{SumTree, TREE_DEPTH};

/// Shortest limit of a message that makes a conversation possible.
pub const MESSAGE_BYTES_MIN: usize = 256;

/// What one conversation may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileLimits {
    /// Longest message that is sent or taken: [`MESSAGE_BYTES_MIN`] to
    /// [`RECONCILE_BYTES_MAX`](crate::frame::RECONCILE_BYTES_MAX); what is beyond counts as these.
    pub message_bytes_max: usize,
    /// A range with so many own ids or fewer is listed, a larger one is split. At 8 bytes an id and 8 bytes for the
    /// fingerprint of each part, splitting pays for a single difference from about twenty ids on, and each split
    /// takes another message.
    pub list_ids_max: u8,
    /// Most ids in one [`Step`]; at least 1.
    pub step_ids_max: usize,
}

impl Default for ReconcileLimits {
    fn default() -> Self {
        Self { message_bytes_max: crate::frame::RECONCILE_BYTES_MAX, list_ids_max: 48, step_ids_max: 2_000 }
    }
}

/// Why a conversation is over before its end. What was found until then stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The peer's fault: not a message of a reconciliation.
    #[error("a message is malformed")]
    Malformed,
    /// The peer's fault: longer than it may be.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// The peer's fault, or a message of an earlier conversation: not what can come now.
    #[error("a message came out of turn")]
    OutOfTurn,
    /// The peer's fault: it speaks of a range that it was not asked about, or for a second time.
    #[error("a message is about ranges that were not asked about")]
    Unasked,
}
