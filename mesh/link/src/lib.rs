//! What is spoken on a link: the meet protocol and the drop format.
#![no_std]

extern crate alloc;

mod cbor;
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

pub use frame::{CHUNK_BYTES_MAX, FRAME_BYTES_MAX, Frame, FrameError, RefuseReason, encode_chunk};
pub use hello::Hello;
pub use item::{Item, Topic};
pub use limits::{Counters, MeetLimits};
pub use meet::{Meet, MeetError, MeetEvent, Mode, Transmit};
pub use parcel::{ParcelError, ParcelWriter, parcel_frames, pump_carried, unpack_carried};
