//! Job boards that merge without a server.
//!
//! A [`Board`] is one node's replica of what a group shares: who is a member,
//! which jobs are posted, what came of them. Whoever has the board's secret is
//! a member. Replicas exchange signed changes, in any order, by any route and as
//! often as they like; nodes that hold the same changes see equal [`BoardView`]s.
//!
//! ```
//! use cairn_board::{Applied, Board, BoardSecret, Fact, Member};
//! use cairn_bundle::Identity;
//!
//! let (alice, bob) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
//! let mut here = Board::new(BoardSecret::new([7; 32]), "relief", alice.node_id(), 0)?;
//!
//! // The invitation goes from hand to hand; whoever reads it is a member.
//! let invite: cairn_board::Invite = here.invite().to_text().parse()?;
//! let mut there = Board::new(invite.secret.clone(), &invite.name, bob.node_id(), 0)?;
//!
//! let fact = Fact::Member(Member { node: alice.node_id(), card: b"card".to_vec() });
//! let doc = here.sign(&fact, 0, &alice)?;
//! let envelope = here.add(&[doc], &alice)?.expect("the document is new");
//! // Now the caller makes the envelope durable, and only then offers it.
//!
//! let checked = there.check(&envelope)?;
//! assert_eq!(there.apply(checked)?, Applied::New);
//! // And again: durable first, then acknowledged.
//! assert_eq!(there.view(), here.view());
//!
//! // After a restart the board is what was made durable.
//! let mut again = Board::new(invite.secret.clone(), &invite.name, bob.node_id(), 0)?;
//! again.restore([&envelope[..]]);
//! assert_eq!(again.view().digest(), here.view().digest());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What this crate does not do
//!
//! It opens no file and no socket, and knows no time: a document's time is what
//! its author claims. It moves no money: that a result is accepted here is what
//! the payer says, and the ledger is what proves it. It has no roles and no
//! epochs yet, and it removes nobody: a member who must go stays behind when
//! the others take a new secret. Contents of cards are opaque to it.

pub mod board;
mod cbor;
pub mod change;
pub mod doc;
pub mod envelope;
pub mod fact;
pub mod job;
pub mod projection;
pub mod secret;

#[cfg(test)]
mod hostile_tests;

pub use board::{AddError, Applied, Board, BoardStats, Limits, Restored};
pub use change::ShapeError;
pub use doc::{DocError, DocId, SignedDoc, Verified};
pub use envelope::{ChangeError, CheckedChange};
pub use fact::{Fact, FactError, Funding, JobResult, Member, Status, Verdict};
pub use job::{
    BlobRef, Bounds, Class, Engine, Items, Job, JobError, Postprocess, Preprocess, Rung, Verify, plain_text,
};
pub use projection::{BoardView, FundingView, JobState, JobView, Judgement, MemberView, ResultView};
pub use secret::{BoardId, BoardSecret, Invite, InviteError, Tag};
