//! What a security context has to offer to those who process security blocks.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::block::{Block, BlockKind};
use crate::bpsec::asb::SecurityBlock;
use crate::raw::RawBundle;

/// One security operation: a security block applied to one of its targets.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    /// The bundle, as it is now.
    pub bundle: &'a RawBundle,
    /// The security block: its header enters what is authenticated.
    pub block: &'a Block,
    /// What the security block holds.
    pub asb: &'a SecurityBlock,
    /// The number of the block that is covered; 0 is the primary block.
    pub target: u64,
}

/// Why a security operation does not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// No context with this id is known for this kind of block.
    #[error("the security context {0} is not known")]
    UnknownContext(i64),
    /// A parameter that the context does not define.
    #[error("the parameter {0} is not known in this security context")]
    UnknownParameter(u64),
    /// A parameter has a wrong type or an impossible value.
    #[error("the value of parameter {0} is not valid")]
    Parameter(u64),
    /// A parameter that is needed is missing.
    #[error("the parameter {0} is missing")]
    MissingParameter(u64),
    /// An algorithm that the context does not define.
    #[error("the algorithm {0} is not known in this security context")]
    UnknownAlgorithm(i64),
    /// A result that the context does not define.
    #[error("the result {0} is not known in this security context")]
    UnknownResult(u64),
    /// The results for the target are missing, or of a wrong type or length.
    #[error("the results for the target are not valid")]
    Results,
    /// The target does not exist.
    #[error("the target does not exist")]
    NoTarget,
    /// This node has no key for it.
    #[error("this node has no key for it")]
    NoKey,
    /// The key does not have the length that the algorithm asks for.
    #[error("the key has a length that the algorithm does not take")]
    KeyLength,
    /// A wrapped key does not unwrap: damaged, or wrapped with another key.
    #[error("the wrapped key does not unwrap")]
    Unwrap,
    /// The check failed: damaged, forged, or made with another key.
    #[error("the check failed")]
    Failed,
}

/// A security context, with the keys that this node has for it.
pub trait SecurityContext {
    /// Whether the context applies to security blocks of a kind with an id.
    fn knows(&self, kind: BlockKind, context: i64) -> bool;

    /// Verifies an integrity operation.
    ///
    /// # Errors
    /// If the target is not proven to be what its security source signed.
    fn verify(&self, operation: &Operation<'_>) -> Result<(), OperationError>;

    /// Decrypts the target of a confidentiality operation.
    ///
    /// # Errors
    /// If it does not decrypt; then nothing of it is known.
    fn decrypt(&self, operation: &Operation<'_>) -> Result<Zeroizing<Vec<u8>>, OperationError>;
}

impl Operation<'_> {
    /// The block that is covered; `None` for the primary block and for missing ones.
    #[must_use]
    pub fn target_block(&self) -> Option<&Block> {
        if self.target == 0 { None } else { self.bundle.block(self.target) }
    }
}

impl OperationError {
    /// Whether the operation was not understood, rather than tried and failed.
    #[must_use]
    pub const fn is_unknown(self) -> bool {
        matches!(
            self,
            Self::UnknownContext(_)
                | Self::UnknownParameter(_)
                | Self::UnknownAlgorithm(_)
                | Self::UnknownResult(_)
                | Self::NoKey
        )
    }
}
