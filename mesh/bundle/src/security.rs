//! The rules of RFC 9172 on who may cover whom, checked without any key.

use crate::block::{BlockFlags, BlockKind};
use crate::bundle::DecodeError;
use crate::cbor::Reader;
use crate::view::BlockView;

/// What the security blocks of a bundle cover, in bits by a block's place.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cover {
    /// The blocks that are encrypted.
    pub(crate) encrypted: u64,
    /// The blocks that a readable security block covers in any way.
    pub(crate) blocks: u64,
    /// Whether an integrity block covers the primary block, as far as anybody without keys can tell.
    pub(crate) primary: bool,
}

/// Checks all security blocks; `integrity` and `confidentiality` say which ones those are.
///
/// No block is covered twice in the same way, so the targets of all of them together are no more
/// than the blocks before a rule is broken. That bounds the work on a hostile list.
pub(crate) fn check_targets<'a, I>(
    blocks: &I,
    integrity: u64,
    confidentiality: u64,
) -> Result<Cover, DecodeError>
where
    I: Iterator<Item = BlockView<'a>> + Clone,
{
    let mut cover = Cover::default();
    if integrity | confidentiality == 0 {
        return Ok(cover);
    }
    for block in of_kind(blocks, BlockKind::Confidentiality) {
        let wrong = DecodeError::SecurityTargets(block.number);
        // RFC 9172 section 3.8: removing the block would leave its targets unreadable for ever.
        if block.flags.contains(BlockFlags::DISCARD) {
            return Err(wrong);
        }
        each_target(&block, |number| {
            let (bit, kind) = find(blocks, number).ok_or(wrong)?;
            let replicated = block.flags.contains(BlockFlags::REPLICATE);
            let allowed = match kind {
                BlockKind::Confidentiality => false,
                BlockKind::Payload => replicated,
                _ => true,
            };
            if !allowed || cover.encrypted & bit != 0 {
                return Err(wrong);
            }
            cover.encrypted |= bit;
            Ok(())
        })?;
    }
    let mut signed = 0;
    for block in of_kind(blocks, BlockKind::Integrity) {
        let wrong = DecodeError::SecurityTargets(block.number);
        if find(blocks, block.number).is_some_and(|(bit, _)| cover.encrypted & bit != 0) {
            continue;
        }
        each_target(&block, |number| {
            if number == 0 {
                let twice = core::mem::replace(&mut cover.primary, true);
                return if twice { Err(wrong) } else { Ok(()) };
            }
            let (bit, kind) = find(blocks, number).ok_or(wrong)?;
            // A readable signature over something encrypted would help to guess it.
            if kind.is_security() || (cover.encrypted | signed) & bit != 0 {
                return Err(wrong);
            }
            signed |= bit;
            Ok(())
        })?;
    }
    cover.blocks = cover.encrypted | signed;
    // Nobody without the key knows what an encrypted signature covers.
    cover.primary |= integrity & cover.encrypted != 0;
    Ok(cover)
}

fn of_kind<'a, I>(blocks: &I, kind: BlockKind) -> impl Iterator<Item = BlockView<'a>> + use<'a, I>
where
    I: Iterator<Item = BlockView<'a>> + Clone,
{
    blocks.clone().filter(move |block| block.kind == kind)
}

/// The bit and the kind of the block with a number.
fn find<'a, I>(blocks: &I, number: u64) -> Option<(u64, BlockKind)>
where
    I: Iterator<Item = BlockView<'a>> + Clone,
{
    let (place, block) = blocks.clone().enumerate().find(|(_, block)| block.number == number)?;
    Some((1 << place, block.kind))
}

/// Goes through the targets that an abstract security block starts with (RFC 9172 section 3.6).
///
/// Its other fields belong to the security context; whoever knows that reads them.
pub(crate) fn each_target(
    block: &BlockView<'_>,
    mut check: impl FnMut(u64) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(block.data);
    let mut elements = reader.array()?;
    let mut empty = true;
    while elements.more(&mut reader) {
        empty = false;
        check(reader.uint()?)?;
    }
    if empty { Err(DecodeError::SecurityTargets(block.number)) } else { Ok(()) }
}
