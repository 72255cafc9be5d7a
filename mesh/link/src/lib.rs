//! What is spoken on a link: the meet protocol, and its form for a directory that is carried.
//!
//! Two nodes that meet exchange *items*: notices, ledger entries, bundles, board changes, blobs. One protocol serves all of
//! them: `Have` (ids), `Want` (ids), `Chunk` (a piece of an item), `Ack` (durable here) or `Refuse`. A [`Meet`] is one such
//! conversation, a state machine that opens nothing, sleeps never and draws no randomness. It does not know what items
//! contain, does not check that bytes fit their id, does not authenticate the peer (the link does, or the seal of a
//! parcel), does not choose what to offer or to take, and has no time-outs: all that is the node's.
//!
//! No function here panics on any input. Whatever the peer sends, memory stays within [`MeetLimits`].
//!
//! # The loop
//! 1. Offer what the peer may have.
//! 2. Hand in what arrived: [`Meet::handle_bytes`], at most 64 KiB at a time.
//! 3. Drain [`Meet::poll_event`] and answer: [`Meet::request`] what is wanted, store what was received, and call
//!    [`Meet::accepted`] in the handler of the completed write, not before.
//! 4. While the link can send, ask [`Meet::poll_transmit`].
//!
//! ```
//! use cairn_bundle::{Digest, Identity};
//! use cairn_link::{Hello, Item, Meet, MeetError, MeetEvent, MeetLimits, Mode, Topic, Transmit, encode_chunk};
//!
//! fn meet(seed: u8) -> Meet {
//!     let node = Identity::from_seed(&[seed; 32]).node_id();
//!     let hello =
//!         Hello { version: 1, node, card: vec![], item_bytes_max: 0, boards: vec![], wall_time: None };
//!     Meet::new(Mode::Live, hello, MeetLimits::default())
//! }
//!
//! // What a link does: moves what one side sends to the other. The payload is read at the last moment.
//! fn carry(from: &mut Meet, to: &mut Meet, disk: &[u8]) -> Result<(), MeetError> {
//!     while let Some(transmit) = from.poll_transmit() {
//!         let frame = match transmit {
//!             Transmit::Frame(frame) => frame,
//!             Transmit::Chunk { item, total, offset, len } => {
//!                 let (start, end) = (offset as usize, (offset + len) as usize);
//!                 encode_chunk(item, total, offset, &disk[start..end])
//!             }
//!         };
//!         to.handle_bytes(&frame)?;
//!     }
//!     Ok(())
//! }
//!
//! let stone = b"a stone on the heap";
//! let item = Item::new(Topic::Blob, Digest::of(stone));
//! let (mut giver, mut taker) = (meet(1), meet(2));
//! giver.offer(item, stone.len() as u64);
//!
//! let (mut stored, mut acknowledged) = (None, false);
//! while !(giver.is_idle() && taker.is_idle()) {
//!     carry(&mut giver, &mut taker, stone)?;
//!     while let Some(event) = taker.poll_event() {
//!         match event {
//!             MeetEvent::Offered { item } => taker.request(item),
//!             MeetEvent::Received { item, bytes, .. } => {
//!                 stored = Some(bytes); // fsynced, in a real node
//!                 taker.accepted(item);
//!             }
//!             _ => {}
//!         }
//!     }
//!     carry(&mut taker, &mut giver, &[])?;
//!     while let Some(event) = giver.poll_event() {
//!         acknowledged |= event == MeetEvent::Acked(item);
//!     }
//! }
//! assert_eq!(stored.as_deref(), Some(&stone[..]));
//! assert!(acknowledged);
//! # Ok::<(), MeetError>(())
//! ```
//!
//! Where no answer can come during the contact, a [`Mode::Carried`] meet pushes its items into parcels: see
//! [`parcel`]. Why all this is so: `docs/design/link.md`.
#![no_std]

extern crate alloc;

mod cbor;
mod control;
mod event;
pub mod frame;
mod framer;
pub mod hello;
mod incoming;
mod item;
mod limits;
mod meet;
mod outgoing;
pub mod parcel;
mod queue;
pub mod reconcile;

pub use event::{MeetError, MeetEvent, Transmit};
pub use frame::{
    CHUNK_BYTES_MAX, FRAME_BYTES_MAX, Frame, FrameError, RefuseReason, RouteClaim, append_chunk, encode_chunk,
};
pub use hello::Hello;
pub use item::{Item, Topic};
pub use limits::{Counters, MeetLimits};
pub use meet::{Meet, Mode};
pub use parcel::{ParcelError, ParcelWriter, parcel_frames, pump_carried, unpack_carried};
