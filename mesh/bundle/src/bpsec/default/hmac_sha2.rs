//! BIB-HMAC-SHA2 (RFC 9173 section 3).

use alloc::vec::Vec;

use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};

use super::{Scope, byte_string, uint, whole};
use crate::block::Block;
use crate::bpsec::asb::SecurityBlock;
use crate::bpsec::context::{Operation, OperationError};
use crate::bpsec::key::SymmetricKey;
use crate::cbor::Write;
use crate::primary::Primary;

/// The id of this context for integrity blocks.
pub const CONTEXT: i64 = 1;

const PARAMETER_VARIANT: u64 = 1;
const PARAMETER_WRAPPED_KEY: u64 = 2;
const PARAMETER_SCOPE: u64 = 3;
const RESULT_HMAC: u64 = 1;

/// Which hash is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ShaVariant {
    /// HMAC with SHA-256.
    Sha256,
    /// HMAC with SHA-384: the default.
    #[default]
    Sha384,
    /// HMAC with SHA-512.
    Sha512,
}

/// The parameters of an integrity block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    /// Which hash is used.
    pub variant: ShaVariant,
    /// The key, wrapped, if it goes along.
    pub wrapped_key: Option<Vec<u8>>,
    /// What is signed besides the target's data.
    pub scope: Scope,
}

impl ShaVariant {
    const fn from_code(code: u64) -> Option<Self> {
        match code {
            5 => Some(Self::Sha256),
            6 => Some(Self::Sha384),
            7 => Some(Self::Sha512),
            _ => None,
        }
    }

    const fn code(self) -> u64 {
        match self {
            Self::Sha256 => 5,
            Self::Sha384 => 6,
            Self::Sha512 => 7,
        }
    }

    /// Length of the hash, and of a key for it.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl Parameters {
    /// Reads the parameters; those that are missing have their default.
    ///
    /// # Errors
    /// If one is unknown or has no valid value.
    pub fn read(asb: &SecurityBlock) -> Result<Self, OperationError> {
        let mut parameters = Self::default();
        for (id, value) in &asb.parameters {
            let wrong = OperationError::Parameter(*id);
            match *id {
                PARAMETER_VARIANT => {
                    let code = whole(value, |reader| reader.uint()).ok_or(wrong)?;
                    let unknown = OperationError::UnknownAlgorithm(code.try_into().unwrap_or(i64::MAX));
                    parameters.variant = ShaVariant::from_code(code).ok_or(unknown)?;
                }
                PARAMETER_WRAPPED_KEY => {
                    let wrapped = whole(value, |reader| reader.bytes_definite()).ok_or(wrong)?;
                    parameters.wrapped_key = Some(wrapped.to_vec());
                }
                PARAMETER_SCOPE => parameters.scope = whole(value, Scope::read).ok_or(wrong)?,
                other => return Err(OperationError::UnknownParameter(other)),
            }
        }
        Ok(parameters)
    }

    /// The parameters as a security block has them, defaults included: another node may have others.
    #[must_use]
    pub fn write(&self) -> Vec<(u64, Vec<u8>)> {
        let mut pairs = alloc::vec![(PARAMETER_VARIANT, uint(self.variant.code()))];
        pairs.extend(self.wrapped_key.as_deref().map(|key| (PARAMETER_WRAPPED_KEY, byte_string(key))));
        let mut scope = Vec::new();
        self.scope.write(&mut scope);
        pairs.push((PARAMETER_SCOPE, scope));
        pairs
    }
}

/// The results for one target, which is `None` for the primary block.
pub(crate) fn sign(
    parameters: &Parameters,
    key: &SymmetricKey,
    primary: &Primary,
    target: Option<&Block>,
    security: &Block,
) -> Result<Vec<(u64, Vec<u8>)>, OperationError> {
    let tag = match parameters.variant {
        ShaVariant::Sha256 => tag::<Sha256>(parameters.scope, key, primary, target, security),
        ShaVariant::Sha384 => tag::<Sha384>(parameters.scope, key, primary, target, security),
        ShaVariant::Sha512 => tag::<Sha512>(parameters.scope, key, primary, target, security),
    }?;
    Ok(alloc::vec![(RESULT_HMAC, byte_string(&tag))])
}

fn tag<D: EagerHash>(
    scope: Scope,
    key: &SymmetricKey,
    primary: &Primary,
    target: Option<&Block>,
    security: &Block,
) -> Result<Vec<u8>, OperationError> {
    Ok(mac::<D>(scope, key, primary, target, security)?.finalize().into_bytes().to_vec())
}

/// Feeds the plaintext of RFC 9173 section 3.7 to the hash, without a copy of the target's data.
fn mac<D: EagerHash>(
    scope: Scope,
    key: &SymmetricKey,
    primary: &Primary,
    target: Option<&Block>,
    security: &Block,
) -> Result<Hmac<D>, OperationError> {
    let mut mac = Hmac::<D>::new_from_slice(key.bytes()).map_err(|_| OperationError::KeyLength)?;
    let mut head = scope.authenticated(primary, target, security);
    // The primary block is wrapped in a byte string as if it were the data of a block: the text of
    // the RFC does not say so, its appendix A.3.3.1 does.
    let encoded;
    let data = match target {
        Some(target) => &target.data,
        None => {
            encoded = primary.encode();
            &encoded
        }
    };
    head.put_bytes_head(data.len());
    mac.update(&head);
    mac.update(data);
    Ok(mac)
}

pub(super) fn verify(
    operation: &Operation<'_>,
    parameters: &Parameters,
    key: &SymmetricKey,
) -> Result<(), OperationError> {
    let results = operation.asb.results_of(operation.target).ok_or(OperationError::Results)?;
    let [(id, value)] = results else { return Err(OperationError::Results) };
    if *id != RESULT_HMAC {
        return Err(OperationError::UnknownResult(*id));
    }
    let expected = whole(value, |reader| reader.bytes_definite()).ok_or(OperationError::Results)?;
    if expected.len() != parameters.variant.bytes() {
        return Err(OperationError::Results);
    }
    let target = operation.target_block();
    if target.is_none() && operation.target != 0 {
        return Err(OperationError::NoTarget);
    }
    let (primary, security, scope) = (&operation.bundle.primary, operation.block, parameters.scope);
    // `verify_slice` compares in constant time.
    let verdict = match parameters.variant {
        ShaVariant::Sha256 => mac::<Sha256>(scope, key, primary, target, security)?.verify_slice(expected),
        ShaVariant::Sha384 => mac::<Sha384>(scope, key, primary, target, security)?.verify_slice(expected),
        ShaVariant::Sha512 => mac::<Sha512>(scope, key, primary, target, security)?.verify_slice(expected),
    };
    verdict.map_err(|_| OperationError::Failed)
}
