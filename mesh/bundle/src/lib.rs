//! Identities, cards and BPv7 bundles, signed and sealed.
#![no_std]

extern crate alloc;

pub mod digest;
pub mod identity;

pub use digest::{Digest, DigestError};
pub use identity::{BadSignature, Identity, NodeId, NodeIdError, SealingKey, Signature, verify};
