//! The rules of RFC 9172 on who may cover whom, checked without any key.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::block::{Block, BlockFlags, BlockKind};
use crate::bundle::DecodeError;
use crate::cbor::Reader;

/// The targets that an abstract security block starts with (RFC 9172 section 3.6).
///
/// Its other fields belong to the security context; whoever knows that reads them.
///
/// There cannot be more of them than blocks, which also bounds the work on a hostile list.
fn targets(block: &Block, targets_max: usize) -> Result<Vec<u64>, DecodeError> {
    let wrong = DecodeError::SecurityTargets(block.number);
    let mut reader = Reader::new(&block.data);
    let mut elements = reader.array()?;
    let mut targets = Vec::new();
    while elements.more(&mut reader) {
        let target = reader.uint()?;
        if targets.len() == targets_max || targets.contains(&target) {
            return Err(wrong);
        }
        targets.push(target);
    }
    if targets.is_empty() { Err(wrong) } else { Ok(targets) }
}

/// Checks all security blocks and gives the numbers of the blocks that are encrypted.
pub(crate) fn check_targets(blocks: &[Block]) -> Result<BTreeSet<u64>, DecodeError> {
    let kind = |number: u64| blocks.iter().find(|block| block.number == number).map(|block| block.kind);
    let mut encrypted = BTreeSet::new();
    for block in blocks.iter().filter(|block| block.kind == BlockKind::Confidentiality) {
        let wrong = DecodeError::SecurityTargets(block.number);
        // RFC 9172 section 3.8: removing the block would leave its targets unreadable for ever.
        if block.flags.contains(BlockFlags::DISCARD) {
            return Err(wrong);
        }
        for target in targets(block, blocks.len() + 1)? {
            match kind(target) {
                None | Some(BlockKind::Confidentiality) => return Err(wrong),
                Some(BlockKind::Payload) if !block.flags.contains(BlockFlags::REPLICATE) => {
                    return Err(wrong);
                }
                Some(_) => {}
            }
            if !encrypted.insert(target) {
                return Err(wrong);
            }
        }
    }
    let mut signed = BTreeSet::new();
    for block in blocks.iter().filter(|block| block.kind == BlockKind::Integrity) {
        if encrypted.contains(&block.number) {
            continue;
        }
        let wrong = DecodeError::SecurityTargets(block.number);
        for target in targets(block, blocks.len() + 1)? {
            let allowed = target == 0 || kind(target).is_some_and(|kind| !kind.is_security());
            // A readable signature over something encrypted would help to guess it.
            if !allowed || encrypted.contains(&target) || !signed.insert(target) {
                return Err(wrong);
            }
        }
    }
    Ok(encrypted)
}

/// The numbers of all blocks that a readable security block covers.
pub(crate) fn covered(blocks: &[Block]) -> BTreeSet<u64> {
    let security = blocks.iter().filter(|block| block.kind.is_security());
    security.filter_map(|block| targets(block, blocks.len() + 1).ok()).flatten().collect()
}
