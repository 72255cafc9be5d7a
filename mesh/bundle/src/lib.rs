//! Identities, cards and BPv7 bundles, signed and sealed.
#![no_std]

extern crate alloc;

pub mod block;
pub mod bundle;
pub mod card;
mod cbor;
mod cose;
pub mod crc;
pub mod digest;
pub mod eid;
pub mod identity;
mod padding;
pub mod primary;
pub mod seal;
mod security;

pub use block::{Block, BlockFlags, BlockKind, HopCount};
pub use bundle::{Bundle, BundleId, DecodeError, HopLimitExceeded, Limits};
pub use card::{Card, CardError, SignedCard};
pub use cbor::CborError;
pub use crc::CrcType;
pub use digest::{Digest, DigestError};
pub use eid::{DtnEid, EID_BYTES_MAX, Eid, EidError, IpnEid};
pub use identity::{BadSignature, Identity, NodeId, NodeIdError, SealingKey, Signature, verify};
pub use primary::{BundleFlags, CreationTimestamp, Fragment, Primary};
pub use seal::{Draft, OpenError, Opened, PAYLOAD_BYTES_MAX, SealError, open, plain, seal, seal_unpadded};
