//! Cutting a bundle into fragments (RFC 9171 section 5.8).
//!
//! Only the payload is cut. What goes where:
//! - The piece that starts where the bundle's payload starts gets every block.
//! - Every piece gets the blocks that ask for it, and age, hop count and previous node: without an
//!   age a piece of a bundle that has no creation time would never expire, and without a hop
//!   count it could go round for ever.
//! - A security block that goes to every piece takes its targets along, and a block that goes to
//!   every piece takes along the block that encrypts it: a piece is a bundle and obeys RFC 9172
//!   by itself. Nothing is signed or encrypted anew, because that is forbidden on fragments
//!   (RFC 9172 section 5.2).
//! - A piece whose primary block has no checksum and is not signed either gets a CRC-32C.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::iter::once;

use crate::block::{Block, BlockFlags, BlockKind, PAYLOAD_NUMBER};
use crate::bundle::{Bundle, DecodeError};
use crate::crc::CrcType;
use crate::primary::{BundleFlags, Fragment, Primary};
use crate::rules::PLACES;
use crate::security::each_target;

/// Most pieces that one call makes.
pub const FRAGMENTS_MAX: usize = 1 << 16;

/// Most bytes that the pieces of one call repeat, all pieces but the first together. Who makes a bundle decides
/// how large the blocks are that go into every piece, and they are not to fill the memory of who cuts it.
pub const REPEATED_BYTES_MAX: usize = 64 << 20;

/// Why a bundle cannot be cut so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// The source forbids it, as it must if it is anonymous.
    #[error("the source of the bundle forbids to fragment it")]
    Forbidden,
    /// A cut is not inside the payload, or not behind the cut before it.
    #[error("a cut at byte {at} does not leave payload on both sides")]
    Cut {
        /// Where the cut was asked for.
        at: usize,
    },
    /// A piece cannot be so small.
    #[error("a fragment needs at least {bytes_min} bytes, {bytes_max} are allowed")]
    TooSmall {
        /// Bytes of a piece with one byte of payload.
        bytes_min: usize,
        /// What was asked for.
        bytes_max: usize,
    },
    /// More pieces than [`FRAGMENTS_MAX`].
    #[error("the bundle would fall into more than {FRAGMENTS_MAX} fragments")]
    TooMany,
    /// The blocks that go into every piece would take more than [`REPEATED_BYTES_MAX`].
    #[error("what every fragment repeats would take more than {REPEATED_BYTES_MAX} bytes")]
    TooMuchRepeated,
    /// A piece would break a rule that the bundle keeps.
    #[error("a fragment would not be valid: {0}")]
    Invalid(#[from] DecodeError),
}

impl Bundle {
    /// Cuts the bundle so that each fragment has at most `payload_bytes_max` bytes of payload.
    ///
    /// A bundle that needs no cut comes back as it is. A fragment may be cut again; its pieces are
    /// fragments of the same whole.
    ///
    /// # Errors
    /// If the bundle must not be cut, or not so small.
    pub fn fragment(&self, payload_bytes_max: usize) -> Result<Vec<Self>, FragmentError> {
        let payload_bytes = self.payload().len();
        if payload_bytes <= payload_bytes_max {
            return Ok(Vec::from([self.clone()]));
        }
        if payload_bytes_max == 0 {
            return Err(FragmentError::TooSmall { bytes_min: 1, bytes_max: 0 });
        }
        if payload_bytes.div_ceil(payload_bytes_max) > FRAGMENTS_MAX {
            return Err(FragmentError::TooMany);
        }
        let cuts: Vec<usize> = (payload_bytes_max..payload_bytes).step_by(payload_bytes_max).collect();
        self.fragment_at(&cuts)
    }

    /// Cuts the bundle at these offsets into its payload; they ascend and leave no piece empty.
    ///
    /// # Errors
    /// If the bundle must not be cut, or not there.
    pub fn fragment_at(&self, cuts: &[usize]) -> Result<Vec<Self>, FragmentError> {
        if cuts.is_empty() {
            return Ok(Vec::from([self.clone()]));
        }
        if cuts.len() >= FRAGMENTS_MAX {
            return Err(FragmentError::TooMany);
        }
        let pattern = Pattern::new(self)?;
        let payload = self.payload();
        let mut pieces = Pieces::default();
        let mut start = 0;
        for end in cuts.iter().copied().chain(once(payload.len())) {
            let last = pieces.made.len() == cuts.len();
            if end <= start || (end >= payload.len() && !last) {
                return Err(FragmentError::Cut { at: if last { start } else { end } });
            }
            pieces.push(pattern.piece(start, payload.get(start..end).unwrap_or_default())?)?;
            start = end;
        }
        Ok(pieces.made)
    }

    /// Cuts the bundle so that each encoded fragment has at most `encoded_bytes_max` bytes: what
    /// a frame of a link holds, or what is left of a contact.
    ///
    /// # Errors
    /// If the bundle must not be cut, or a piece does not fit even with one byte of payload.
    pub fn fragment_to_fit(&self, encoded_bytes_max: usize) -> Result<Vec<Self>, FragmentError> {
        if self.encode().len() <= encoded_bytes_max {
            return Ok(Vec::from([self.clone()]));
        }
        let pattern = Pattern::new(self)?;
        let payload = self.payload();
        let mut pieces = Pieces::default();
        let mut start = 0;
        while start < payload.len() {
            if pieces.made.len() == FRAGMENTS_MAX {
                return Err(FragmentError::TooMany);
            }
            // An empty payload has a head of one byte, which the room for the payload includes.
            let around = pattern.piece(start, &[])?.encode().len() - 1;
            let bytes = payload_that_fits(encoded_bytes_max.saturating_sub(around));
            if bytes == 0 {
                return Err(FragmentError::TooSmall { bytes_min: around + 2, bytes_max: encoded_bytes_max });
            }
            let end = start.saturating_add(bytes).min(payload.len());
            pieces.push(pattern.piece(start, payload.get(start..end).unwrap_or_default())?)?;
            start = end;
        }
        match pieces.made.len() {
            // Nothing to cut off: the payload is empty or has one byte.
            0 | 1 => {
                let bytes_min = self.encode().len();
                Err(FragmentError::TooSmall { bytes_min, bytes_max: encoded_bytes_max })
            }
            _ => Ok(pieces.made),
        }
    }
}

/// The pieces that were made, and how much of them is no payload.
#[derive(Default)]
struct Pieces {
    made: Vec<Bundle>,
    repeated_bytes: usize,
}

impl Pieces {
    fn push(&mut self, piece: Bundle) -> Result<(), FragmentError> {
        // What the first piece has around its payload is there once.
        if !self.made.is_empty() {
            let around = piece.encoded_len().saturating_sub(piece.payload().len());
            self.repeated_bytes = self.repeated_bytes.saturating_add(around);
        }
        if self.repeated_bytes > REPEATED_BYTES_MAX {
            return Err(FragmentError::TooMuchRepeated);
        }
        self.made.push(piece);
        Ok(())
    }
}

/// The longest byte string that has, with its head, at most `room` bytes.
fn payload_that_fits(room: usize) -> usize {
    // Width of the head, and the longest string that has such a head.
    let heads = [(1, 23), (2, 0xff), (3, 0xffff), (5, 0xffff_ffff), (9, usize::MAX)];
    let fits = heads.iter().map(|(width, bytes_max)| room.saturating_sub(*width).min(*bytes_max));
    fits.max().unwrap_or_default()
}

/// What the pieces of one bundle have in common.
struct Pattern<'a> {
    bundle: &'a Bundle,
    /// Where the bundle's payload begins in the whole, and how long the whole is.
    whole: Fragment,
    /// The numbers of the blocks that go into every piece.
    everywhere: BTreeSet<u64>,
}

impl<'a> Pattern<'a> {
    fn new(bundle: &'a Bundle) -> Result<Self, FragmentError> {
        let primary = bundle.primary();
        if primary.flags.contains(BundleFlags::NO_FRAGMENT) || primary.source.is_none() {
            return Err(FragmentError::Forbidden);
        }
        let total_bytes = u64::try_from(bundle.payload().len()).unwrap_or(u64::MAX);
        let whole = primary.fragment.unwrap_or(Fragment { offset: 0, total_bytes });
        Ok(Self { bundle, whole, everywhere: everywhere(bundle.blocks()) })
    }

    /// The piece that holds `data`, found at `start` in the bundle's payload.
    fn piece(&self, start: usize, data: &[u8]) -> Result<Bundle, FragmentError> {
        let offset = self.whole.offset.saturating_add(u64::try_from(start).unwrap_or(u64::MAX));
        let mut blocks = Vec::new();
        for block in self.bundle.blocks() {
            if block.kind == BlockKind::Payload {
                blocks.push(Block { data: data.to_vec(), ..header_of(block) });
            } else if start == 0 || self.everywhere.contains(&block.number) {
                blocks.push(block.clone());
            }
        }
        let primary = self.bundle.primary();
        let flags = BundleFlags(primary.flags.0 | BundleFlags::FRAGMENT.0);
        let fragment = Some(Fragment { offset, ..self.whole });
        let primary = Primary { flags, fragment, ..primary.clone() };
        if primary.crc != CrcType::None {
            return Ok(Bundle::new(primary, blocks)?);
        }
        match Bundle::new(primary.clone(), blocks.clone()) {
            // The signature that replaced the checksum stays with the first piece.
            Err(DecodeError::Unprotected) => {
                Ok(Bundle::new(Primary { crc: CrcType::Crc32, ..primary }, blocks)?)
            }
            made => Ok(made?),
        }
    }
}

/// The block without its data.
const fn header_of(block: &Block) -> Block {
    Block { kind: block.kind, number: block.number, flags: block.flags, crc: block.crc, data: Vec::new() }
}

/// What a security block covers, as far as anybody without its key can tell.
fn targets(block: &Block) -> Vec<u64> {
    let mut found = Vec::new();
    // An encrypted block can look like a list of anything; no list is longer than there are blocks.
    let listed = each_target(&block.view(), |number| {
        if found.len() > PLACES {
            return Err(DecodeError::SecurityTargets(block.number));
        }
        found.push(number);
        Ok(())
    });
    if listed.is_ok() { found } else { Vec::new() }
}

/// The numbers of the blocks that every piece needs.
fn everywhere(blocks: &[Block]) -> BTreeSet<u64> {
    let asked =
        |block: &&Block| block.flags.contains(BlockFlags::REPLICATE) || block.kind.changes_on_the_way();
    let mut needed: BTreeSet<u64> = blocks.iter().filter(asked).map(|block| block.number).collect();
    let security: Vec<(&Block, Vec<u64>)> =
        blocks.iter().filter(|block| block.kind.is_security()).map(|block| (block, targets(block))).collect();
    // Each round adds a block or is the last one.
    loop {
        let before = needed.len();
        for (block, targets) in &security {
            let encrypts = block.kind == BlockKind::Confidentiality;
            let target_needed = |target: &u64| *target != PAYLOAD_NUMBER && needed.contains(target);
            if encrypts && targets.iter().any(target_needed) {
                needed.insert(block.number);
            }
            if needed.contains(&block.number) {
                needed.extend(targets.iter().copied());
            }
        }
        if needed.len() == before {
            return needed;
        }
    }
}
