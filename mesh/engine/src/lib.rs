//! What to keep, whom to give it, when to forget.
//!
//! The engine is a state machine without I/O. It owns one [meet](cairn_link::Meet) per link and an
//! index of everything this node holds (ids and sizes, never payloads). What arrives goes in through
//! [`Engine::handle`]; what is to be done comes out of [`Engine::poll_action`] and
//! [`Engine::poll_transmit`]. It opens nothing, sleeps never and draws no randomness, so that the
//! daemon, the simulator and a microcontroller run the same code.
//!
//! Nothing is acknowledged to a peer before the caller has said, with [`Event::Taken`], that it is
//! durable.
//!
//! It does not read or open sealed payloads, does not know boards or ledgers, and does not choose
//! between routes yet: a bundle is offered to every peer that is met until it expires, or until its
//! destination has acknowledged it.
//!
//! ```
//! use cairn_bundle::Identity;
//! use cairn_engine::{Engine, Instant, Limits};
//!
//! let me = Identity::from_seed(&[1; 32]).node_id();
//! let mut engine = Engine::new(me, Limits::default());
//! // The loop, the same in every host: feed events, then drain.
//! while let Some(_action) = engine.poll_action() {}
//! assert_eq!(engine.poll_timeout(), None);
//! # let _ = Instant::ZERO;
//! ```
#![no_std]

extern crate alloc;

mod bundles;
pub mod copies;
pub mod custody;
mod engine;
mod event;
pub mod eviction;
mod holdings;
pub mod patience;
pub mod pieces;
pub mod quota;
pub mod record;
pub mod room;
pub mod routing;
pub mod seen;
mod session;
pub mod sweep;
mod time;
pub mod told;

pub use bundles::BundleRecord;
pub use engine::{Engine, Limits};
pub use event::{Action, CloseReason, Event, LinkId, Scope, Ticket};
pub use time::Instant;
