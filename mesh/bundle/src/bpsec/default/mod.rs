//! The default security contexts of RFC 9173: BIB-HMAC-SHA2 and BCB-AES-GCM.

pub mod aes_gcm;
pub mod hmac_sha2;
mod wrap;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::BitOr;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::block::{Block, BlockKind};
use crate::bpsec::context::{Operation, OperationError, SecurityContext};
use crate::bpsec::key::{Keys, Purpose, SymmetricKey};
use crate::cbor::{CborError, Reader, Write};
use crate::eid::Eid;
use crate::primary::Primary;

/// The bits of block processing control flags that RFC 9171 assigns. The others may change on the
/// way, so they are zero in what is authenticated (RFC 9172 section 4).
const ASSIGNED_BLOCK_FLAGS: u64 = 0x17;

/// What is authenticated besides the target's own data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(u16);

/// Which key lengths are accepted for HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyLengths {
    /// Only the length of the hash, as RFC 9173 section 3.5 demands.
    #[default]
    Exact,
    /// Any length. The examples in appendix A of RFC 9173 need it: their keys have 16 bytes.
    Any,
}

/// Both contexts of RFC 9173, for verifiers and acceptors.
#[derive(Debug)]
pub struct DefaultContexts<'a, K: ?Sized> {
    keys: &'a K,
    lengths: KeyLengths,
}

/// Where a security source has the key from.
#[derive(Debug, Clone, Copy)]
pub enum SourceKey<'a> {
    /// The acceptor has the same key already.
    Shared(&'a SymmetricKey),
    /// A fresh key goes along, wrapped with this one.
    Wrapped(&'a SymmetricKey),
}

impl Scope {
    /// Only the target's data.
    pub const NONE: Self = Self(0);
    /// The primary block: binds the target to its bundle.
    pub const PRIMARY: Self = Self(1);
    /// The target's type, number and flags.
    pub const TARGET_HEADER: Self = Self(2);
    /// The security block's type, number and flags.
    pub const SECURITY_HEADER: Self = Self(4);
    /// All of them: the default of RFC 9173.
    pub const ALL: Self = Self(7);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Reserved bits are ignored: they are zero in what is authenticated.
    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let bits = u16::try_from(reader.uint()?).map_err(|_| CborError::Type)?;
        Ok(Self(bits & Self::ALL.0))
    }

    fn write(self, out: &mut Vec<u8>) {
        out.put_uint(self.0.into());
    }

    /// The part that both contexts put in front; `target` is `None` for the primary block.
    fn authenticated(self, primary: &Primary, target: Option<&Block>, security: &Block) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        if let Some(target) = target {
            if self.contains(Self::PRIMARY) {
                primary.write(&mut out);
            }
            if self.contains(Self::TARGET_HEADER) {
                write_header(target, &mut out);
            }
        }
        if self.contains(Self::SECURITY_HEADER) {
            write_header(security, &mut out);
        }
        out
    }
}

impl BitOr for Scope {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::ALL
    }
}

fn write_header(block: &Block, out: &mut Vec<u8>) {
    out.put_uint(block.kind.code());
    out.put_uint(block.number);
    out.put_uint(block.flags.0 & ASSIGNED_BLOCK_FLAGS);
}

impl<'a, K: Keys + ?Sized> DefaultContexts<'a, K> {
    /// Both contexts with the keys that a node has.
    #[must_use]
    pub const fn new(keys: &'a K) -> Self {
        Self { keys, lengths: KeyLengths::Exact }
    }

    /// Both contexts, with a choice of key lengths.
    #[must_use]
    pub const fn with_key_lengths(keys: &'a K, lengths: KeyLengths) -> Self {
        Self { keys, lengths }
    }

    /// The key of an operation: from the block, unwrapped, or the one that is shared with its source.
    fn key(
        &self,
        source: &Eid,
        wrapped: Option<&[u8]>,
        [direct, wrap]: [Purpose; 2],
    ) -> Result<Cow<'a, SymmetricKey>, OperationError> {
        match wrapped {
            None => self.keys.key(source, direct).map(Cow::Borrowed).ok_or(OperationError::NoKey),
            Some(wrapped) => {
                let kek = self.keys.key(source, wrap).ok_or(OperationError::NoKey)?;
                wrap::unwrap(kek, wrapped).map(Cow::Owned)
            }
        }
    }
}

impl<K: Keys + ?Sized> SecurityContext for DefaultContexts<'_, K> {
    fn knows(&self, kind: BlockKind, context: i64) -> bool {
        match kind {
            BlockKind::Integrity => context == hmac_sha2::CONTEXT,
            BlockKind::Confidentiality => context == aes_gcm::CONTEXT,
            _ => false,
        }
    }

    fn verify(&self, operation: &Operation<'_>) -> Result<(), OperationError> {
        if !self.knows(BlockKind::Integrity, operation.asb.context) {
            return Err(OperationError::UnknownContext(operation.asb.context));
        }
        let parameters = hmac_sha2::Parameters::read(operation.asb)?;
        let purposes = [Purpose::Integrity, Purpose::WrapIntegrity];
        let key = self.key(&operation.asb.source, parameters.wrapped_key.as_deref(), purposes)?;
        if self.lengths == KeyLengths::Exact && key.bytes().len() != parameters.variant.bytes() {
            return Err(OperationError::KeyLength);
        }
        hmac_sha2::verify(operation, &parameters, &key)
    }

    fn decrypt(&self, operation: &Operation<'_>) -> Result<Zeroizing<Vec<u8>>, OperationError> {
        if !self.knows(BlockKind::Confidentiality, operation.asb.context) {
            return Err(OperationError::UnknownContext(operation.asb.context));
        }
        let parameters = aes_gcm::Parameters::read(operation.asb)?;
        let purposes = [Purpose::Confidentiality, Purpose::WrapConfidentiality];
        let key = self.key(&operation.asb.source, parameters.wrapped_key.as_deref(), purposes)?;
        aes_gcm::decrypt(operation, &parameters, &key)
    }
}

/// Reads a value that fills its bytes.
fn whole<'a, T>(bytes: &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Result<T, CborError>) -> Option<T> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

/// A byte string as an encoded item.
fn byte_string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 9);
    out.put_bytes(bytes);
    out
}

fn uint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_uint(value);
    out
}

/// The key that a source uses, and its wrapped form if it goes along.
pub(crate) fn fresh_key<'a>(
    key: SourceKey<'a>,
    bytes: usize,
    rng: &mut dyn CryptoRng,
) -> Result<(Cow<'a, SymmetricKey>, Option<Vec<u8>>), OperationError> {
    match key {
        SourceKey::Shared(key) => Ok((Cow::Borrowed(key), None)),
        SourceKey::Wrapped(kek) => {
            let key = SymmetricKey::random(bytes, rng);
            let wrapped = wrap::wrap(kek, &key)?;
            Ok((Cow::Owned(key), Some(wrapped)))
        }
    }
}
