//! What to keep, whom to give it, when to forget.
//!
//! The engine is a state machine without I/O. It owns one [meet](cairn_link::Meet) per link, compares what both ends
//! hold, and decides at the last moment which bundle goes to which peer. What is carried is read through a
//! [`Catalogue`]; the engine itself keeps sums and counts of it, never a record for each bundle. What arrives goes in
//! through [`Engine::handle`]; what is to be done comes out of [`Engine::poll_action`] and [`Engine::poll_transmit`]. It
//! opens nothing, sleeps never and draws no randomness, so that the daemon, the simulator and a microcontroller run the
//! same code.
//!
//! Nothing is acknowledged to a peer before the caller has said, with [`Event::Taken`], that it is durable. A copy is
//! given up only when its destination has the bundle, when it expires, or when its room is needed.
//!
//! It does not read or open sealed payloads, does not check signatures, and does not know boards or ledgers.
//!
//! ```
//! use cairn_bundle::{Digest, Identity};
//! use cairn_engine::{BundleRecord, Catalogue, Engine, Event, Instant, Limits};
//!
//! /// A node that carries nothing.
//! struct Empty;
//!
//! impl Catalogue for Empty {
//!     fn record(&self, _id: &Digest) -> Option<BundleRecord> {
//!         None
//!     }
//!     fn scan(&self, _start: &Digest, _max: usize) -> Vec<(Digest, BundleRecord)> {
//!         Vec::new()
//!     }
//! }
//!
//! let me = Identity::from_seed(&[1; 32]).node_id();
//! let mut engine = Engine::new(me, Limits::default());
//! // The loop, the same in every host: feed events, then drain.
//! engine.handle(Instant::ZERO, Event::Tick, &Empty);
//! while let Some(_action) = engine.poll_action() {}
//! assert_eq!(engine.poll_timeout(), None);
//! ```
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod alerts;
mod catalogue;
pub mod copies;
pub mod custody;
mod elsewhere;
mod engine;
mod event;
pub mod eviction;
mod giving;
mod holdings;
mod limits;
mod names;
mod noticed;
mod overlay;
mod pace;
pub mod pieces;
pub mod quota;
pub mod record;
pub mod repeats;
pub mod room;
pub mod routing;
pub mod seen;
mod session;
mod sessions;
mod streams;
pub mod sweep;
mod time;
pub mod told;

pub use catalogue::Catalogue;
pub use engine::Engine;
pub use event::{Action, CloseReason, Event, Gone, LinkId, Scope, Ticket};
pub use limits::Limits;
pub use overlay::{Overlaid, Overlay};
pub use record::BundleRecord;
pub use routing::LinkProperties;
pub use streams::Place;
pub use time::Instant;
