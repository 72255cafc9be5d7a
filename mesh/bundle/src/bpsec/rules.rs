//! Who covers whom in a bundle, and whether RFC 9172 allows it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::block::{Block, BlockFlags, BlockKind};
use crate::bpsec::asb::{AsbError, SecurityBlock};
use crate::raw::RawBundle;

/// Why the security blocks of a bundle contradict RFC 9172, or one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Two blocks have one number: a target would be ambiguous.
    #[error("two blocks have the number {0}, so that a target would be ambiguous")]
    DuplicateNumber(u64),
    /// A security block is not well-formed.
    #[error("security block {block} is wrong: {error}")]
    Asb {
        /// Its number.
        block: u64,
        /// What is wrong.
        error: AsbError,
    },
    /// A confidentiality block may be removed by those who do not know it (section 3.8).
    #[error("confidentiality block {0} may be discarded, and its targets would be unreadable for ever")]
    Discardable(u64),
    /// A confidentiality block over the payload is not in every fragment (section 3.8).
    #[error("confidentiality block {0} covers the payload and is not replicated in fragments")]
    NotReplicated(u64),
    /// A target does not exist, or is of a kind that the security block must not cover.
    #[error("security block {block} must not cover block {target}")]
    Target {
        /// The security block's number.
        block: u64,
        /// The target's number.
        target: u64,
    },
    /// Two blocks give the same service to one target (section 3.2).
    #[error("block {target} is covered twice in the same way, the second time by block {block}")]
    Twice {
        /// The second security block's number.
        block: u64,
        /// The target's number.
        target: u64,
    },
    /// A readable signature covers something encrypted (section 3.9).
    #[error("integrity block {block} is readable and covers block {target}, which is encrypted")]
    ReadableOverEncrypted {
        /// The integrity block's number.
        block: u64,
        /// The target's number.
        target: u64,
    },
}

/// The security blocks of a bundle that can be read, in the order in which they travel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Integrity blocks that are not encrypted: their numbers and what they hold.
    pub integrity: Vec<(u64, SecurityBlock)>,
    /// Confidentiality blocks.
    pub confidentiality: Vec<(u64, SecurityBlock)>,
    encrypted: BTreeSet<u64>,
    /// Targets of readable integrity blocks, with the block.
    signed: BTreeMap<u64, u64>,
}

impl Coverage {
    /// Reads all security blocks of a bundle.
    ///
    /// # Errors
    /// The first rule of RFC 9172 that they break.
    pub fn read(bundle: &RawBundle) -> Result<Self, Conflict> {
        let mut kinds: BTreeMap<u64, BlockKind> = BTreeMap::new();
        for block in &bundle.blocks {
            if block.number == 0 || kinds.insert(block.number, block.kind).is_some() {
                return Err(Conflict::DuplicateNumber(block.number));
            }
        }
        let mut coverage = Self::default();
        for block in bundle.blocks.iter().filter(|block| block.kind == BlockKind::Confidentiality) {
            coverage.add_confidentiality(block, &kinds)?;
        }
        for block in bundle.blocks.iter().filter(|block| block.kind == BlockKind::Integrity) {
            if !coverage.is_encrypted(block.number) {
                coverage.add_integrity(block, &kinds)?;
            }
        }
        Ok(coverage)
    }

    fn add_confidentiality(
        &mut self,
        block: &Block,
        kinds: &BTreeMap<u64, BlockKind>,
    ) -> Result<(), Conflict> {
        let number = block.number;
        if block.flags.contains(BlockFlags::DISCARD) {
            return Err(Conflict::Discardable(number));
        }
        let asb = read_asb(block)?;
        for target in &asb.targets {
            match kinds.get(target) {
                None | Some(BlockKind::Confidentiality) => {
                    return Err(Conflict::Target { block: number, target: *target });
                }
                Some(BlockKind::Payload) if !block.flags.contains(BlockFlags::REPLICATE) => {
                    return Err(Conflict::NotReplicated(number));
                }
                Some(_) => {}
            }
            if !self.encrypted.insert(*target) {
                return Err(Conflict::Twice { block: number, target: *target });
            }
        }
        self.confidentiality.push((number, asb));
        Ok(())
    }

    fn add_integrity(&mut self, block: &Block, kinds: &BTreeMap<u64, BlockKind>) -> Result<(), Conflict> {
        let number = block.number;
        let asb = read_asb(block)?;
        for target in &asb.targets {
            let allowed = *target == 0 || kinds.get(target).is_some_and(|kind| !kind.is_security());
            if !allowed {
                return Err(Conflict::Target { block: number, target: *target });
            }
            if self.is_encrypted(*target) {
                return Err(Conflict::ReadableOverEncrypted { block: number, target: *target });
            }
            if self.signed.insert(*target, number).is_some() {
                return Err(Conflict::Twice { block: number, target: *target });
            }
        }
        self.integrity.push((number, asb));
        Ok(())
    }

    /// Whether a block is encrypted.
    #[must_use]
    pub fn is_encrypted(&self, number: u64) -> bool {
        self.encrypted.contains(&number)
    }

    /// The readable integrity block that covers a block; 0 is the primary block.
    #[must_use]
    pub fn signed_by(&self, number: u64) -> Option<u64> {
        self.signed.get(&number).copied()
    }

    /// Whether the bundle has no security block that can be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.integrity.is_empty() && self.confidentiality.is_empty()
    }
}

fn read_asb(block: &Block) -> Result<SecurityBlock, Conflict> {
    SecurityBlock::decode(&block.data).map_err(|error| Conflict::Asb { block: block.number, error })
}
