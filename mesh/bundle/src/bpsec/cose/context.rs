//! The context as RFC 9172's processing uses it.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::key::Key;
use super::read::Tries;
use super::{CONTEXT_COSE, CoseError};
use crate::block::BlockKind;
use crate::bpsec::context::{Operation, OperationError, SecurityContext};

/// The COSE context with the keys that a node has.
#[derive(Debug, Clone, Default)]
pub struct Cose {
    /// The keys that operations are tried with.
    pub keys: Vec<Key>,
}

impl SecurityContext for Cose {
    fn knows(&self, kind: BlockKind, context: i64) -> bool {
        kind.is_security() && context == CONTEXT_COSE
    }

    fn verify(&self, operation: &Operation<'_>) -> Result<(), OperationError> {
        Tries::new(&self.keys).verify(operation).map(|_| ()).map_err(CoseError::of_operation)
    }

    fn decrypt(&self, operation: &Operation<'_>) -> Result<Zeroizing<Vec<u8>>, OperationError> {
        let opened = Tries::new(&self.keys).decrypt(operation).map_err(CoseError::of_operation)?;
        Ok(opened.1)
    }
}

impl CoseError {
    /// The same in the words that all contexts share.
    fn of_operation(self) -> OperationError {
        match self {
            Self::Context(id) => OperationError::UnknownContext(id),
            Self::Parameter(id) => OperationError::UnknownParameter(id),
            Self::Scope => OperationError::Parameter(super::scene::AAD_SCOPE),
            Self::Algorithm(code) => OperationError::UnknownAlgorithm(code),
            Self::ResultId(id) => OperationError::UnknownResult(id),
            Self::MissingBlock(_) => OperationError::NoTarget,
            Self::NoKey => OperationError::NoKey,
            Self::KeyLength => OperationError::KeyLength,
            Self::Mismatch | Self::PeerKey | Self::KeyUse | Self::TooManyTries => OperationError::Failed,
            _ => OperationError::Results,
        }
    }
}
