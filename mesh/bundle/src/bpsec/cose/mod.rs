//! The COSE security context (id 3) of draft-ietf-dtn-bpsec-cose-17.
//!
//! [`add_integrity`] and [`add_confidentiality`] make security blocks, [`verify`] and [`decrypt`]
//! check them with the keys at hand, and [`structures`] shows the bytes that are authenticated.
//! All of them work on a [`RawBundle`](crate::raw::RawBundle), so also on one that breaks a rule, and
//! change nothing when they fail. [`Cose`] offers the same to the processing of RFC 9172.
//!
//! ```
//! use cairn_bundle::bpsec::cose::{self, Algorithm, Curve, Integrity, Key, Plan};
//! # use cairn_bundle::raw::RawBundle;
//! # use cairn_bundle::{Block, BlockFlags, BlockKind, BundleFlags, CrcType, CreationTimestamp, Eid, Primary};
//! # use core::convert::Infallible;
//! # struct Dice;
//! # impl rand_core::TryRng for Dice {
//! #     type Error = Infallible;
//! #     fn try_next_u32(&mut self) -> Result<u32, Infallible> { Ok(4) }
//! #     fn try_next_u64(&mut self) -> Result<u64, Infallible> { Ok(4) }
//! #     fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> { Ok(out.fill(4)) }
//! # }
//! # impl rand_core::TryCryptoRng for Dice {}
//! # let alice = Eid::dtn("alice", "")?;
//! # let primary = Primary {
//! #     flags: BundleFlags(0), crc: CrcType::Crc32, destination: Eid::dtn("bob", "inbox")?,
//! #     source: alice.clone(), report_to: Eid::None,
//! #     created: CreationTimestamp { time_ms: 1, seq: 0 }, lifetime_ms: 1000, fragment: None,
//! # };
//! # let payload = Block {
//! #     kind: BlockKind::Payload, number: 1, flags: BlockFlags(0), crc: CrcType::Crc32, data: b"stone".to_vec(),
//! # };
//! # let mut bundle = RawBundle { primary, blocks: vec![payload] };
//! let key = Key::secret(Algorithm::Esp384, Curve::P384, &[7; 48])?.with_id(b"alice-1");
//! let plan = Plan::new(alice.clone(), &[0, 1]);
//! let number = cose::add_integrity(&mut bundle, &plan, &Integrity::Sign1(&key), &mut Dice)?;
//!
//! // Others have the public half, and know whose it is.
//! let known = [key.public_half().expect("it is a pair").owned_by(alice)];
//! let checked = cose::verify(&bundle, number, &known)?;
//! assert_eq!((checked[0].target, checked[1].target), (0, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not do
//! - RSA, which needs a crate that leaks timing; P-521, AES-192 and truncated HMAC tags.
//! - Certificates: their headers are passed over, and refused where they are critical. Who owns a
//!   key is told by [`Key::owned_by`].
//! - More than two layers; text labels other than to pass over them.
//! - Tags over key agreement (COSE_Mac with ECDH): everybody can make them, so they prove nothing.
//! - It does not count how often a key is used, and does not choose the order of several blocks.
mod alg;
mod asymmetric;
mod context;
mod crypto;
mod header;
mod key;
mod message;
mod read;
mod scene;
mod scope;
mod write;

use alloc::vec::Vec;

pub use alg::{Algorithm, Curve};
pub use context::Cose;
pub use header::HEADERS_MAX;
pub use key::{Key, KeyError};
pub use message::PARTS_MAX;
pub use read::{TRIES_MAX, decrypt, plaintexts, structures, verify};
pub use scene::CONTEXT_COSE;
pub use scope::{AadScope, SCOPE_BLOCKS_MAX};
pub use write::{Confidentiality, Integrity, Plan, Recipient, add_confidentiality, add_integrity};

use super::asb::AsbError;
use super::rules::Conflict;
use crate::cbor::CborError;

/// One operation that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The block that it covers.
    pub target: u64,
    /// The places of the keys that proved it, in the keys that were given.
    pub keys: Vec<usize>,
}

/// The bytes that one operation authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structures {
    /// The block that it covers.
    pub target: u64,
    /// What the security block adds: source, scope, blocks in scope, additional headers.
    pub external_aad: Vec<u8>,
    /// `MAC_structure`, `Enc_structure`, or one `Sig_structure` for each signature.
    pub authenticated: Vec<Vec<u8>>,
    /// One `COSE_KDF_Context` for each recipient that derives a key.
    pub kdf_contexts: Vec<Vec<u8>>,
}

/// Why a security block is not made, does not hold, or is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// No block has this number.
    #[error("the bundle has no block {0}")]
    MissingBlock(u64),
    /// The block is not a security block of the kind that was asked for.
    #[error("block {0} is not a security block of this kind")]
    NotASecurityBlock(u64),
    /// The security block is of another context.
    #[error("the security block is of context {0}, not of COSE")]
    Context(i64),
    /// The abstract security block is wrong.
    #[error(transparent)]
    Asb(#[from] AsbError),
    /// A message or a header map is not well-formed.
    #[error("the COSE message is not well-formed: {0}")]
    Cbor(#[from] CborError),
    /// A parameter that this context does not have.
    #[error("the security block has the unknown parameter {0}")]
    Parameter(u64),
    /// The scope names what it may not name, or covers what cannot be covered.
    #[error("the scope of the security block is not allowed")]
    Scope,
    /// A target has no result or several.
    #[error("target {0} does not have exactly one result")]
    Results(u64),
    /// The result is no message that this kind of block may hold.
    #[error("a result of type {0} is not allowed in this block")]
    ResultId(u64),
    /// The message carries its contents, which belong into the target.
    #[error("the message carries its contents itself")]
    Attached,
    /// Recipients of recipients.
    #[error("the message has more than two layers")]
    Layers,
    /// More than [`PARTS_MAX`] recipients or signatures.
    #[error("the message has more than {PARTS_MAX} recipients or signatures")]
    TooManyParts,
    /// No recipient or no signature where there must be one.
    #[error("the message has no recipient or signature")]
    NoParts,
    /// More than [`HEADERS_MAX`] headers in one map.
    #[error("a header map has more than {HEADERS_MAX} entries")]
    TooManyHeaders,
    /// A header occurs twice in a map, or in two maps of one layer.
    #[error("a header occurs twice")]
    DuplicateLabel,
    /// A header is critical and not understood, not there, or not protected.
    #[error("a critical header is not understood")]
    Critical,
    /// A header that this context forbids.
    #[error("the header {0} is not allowed in this context")]
    ForbiddenHeader(i64),
    /// A header holds a secret key.
    #[error("a header holds a secret key")]
    PrivateKeyInHeader,
    /// The algorithm is missing, or stands in the wrong header map.
    #[error("the algorithm is not where it has to be")]
    AlgorithmPlace,
    /// The algorithm is not known, or cannot be used for this.
    #[error("algorithm {0} cannot be used here")]
    Algorithm(i64),
    /// The initialization vector is missing, double, or of a wrong length.
    #[error("the initialization vector is missing or wrong")]
    Iv,
    /// A salt is missing where the algorithm needs one.
    #[error("the salt is missing")]
    Salt,
    /// A recipient that gives the content key itself must be the only one.
    #[error("a direct recipient must be the only one")]
    DirectNotAlone,
    /// A recipient that wraps no key carries one.
    #[error("a direct recipient carries a wrapped key")]
    ContentOfDirect,
    /// The other side's public key is missing, of another curve, or not valid.
    #[error("the public key in the message is missing or wrong")]
    PeerKey,
    /// None of the keys at hand fits.
    #[error("none of the keys fits")]
    NoKey,
    /// More than [`TRIES_MAX`] attempts to find the key.
    #[error("more than {TRIES_MAX} keys would have to be tried")]
    TooManyTries,
    /// The signature, tag or ciphertext does not hold with the key that it names.
    #[error("the signature or tag does not hold")]
    Mismatch,
    /// The key has not the half that is needed, or is for something else.
    #[error("the key cannot be used for this")]
    KeyUse,
    /// The key has the wrong length.
    #[error("the key has the wrong length")]
    KeyLength,
    /// The contents are more than the cipher can take.
    #[error("the contents are too large to be encrypted")]
    TooLarge,
    /// The bundle is a fragment, which gets no security blocks (RFC 9172 section 5.2).
    #[error("the bundle is a fragment")]
    Fragment,
    /// The number is reserved or taken.
    #[error("block number {0} is not free")]
    Number(u64),
    /// The new block would cover what it may not.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The source of random numbers gives nothing that can be used.
    #[error("the random numbers cannot be used")]
    Randomness,
}

impl CoseError {
    /// Whether another key might do better.
    const fn is_of_this_key(self) -> bool {
        matches!(self, Self::Mismatch | Self::PeerKey | Self::KeyUse | Self::NoKey | Self::Iv)
    }
}
