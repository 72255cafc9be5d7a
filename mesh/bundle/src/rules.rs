//! The rules that tie the blocks of a bundle together, checked while the blocks go by.
//!
//! Sets of blocks are bits by their place in the bundle, which is why no bundle has more than 64 blocks
//! ([`BLOCKS_MAX`]): nothing is allocated, and what a hostile bundle can make us do is bounded by the square of that.

use crate::block::{BlockFlags, BlockKind, HopCount, PAYLOAD_NUMBER, read_age, read_hop_count};
use crate::bundle::{BLOCKS_MAX, DecodeError};
use crate::cbor::Reader;
use crate::class::Class;
use crate::crc::CrcType;
use crate::eid_view::EidView;
use crate::primary::BundleFlags;
use crate::security::check_targets;
use crate::view::{BlockView, PrimaryView};

/// Most blocks that a bundle has altogether: those that count, and one of each kind that does not.
pub(crate) const PLACES: usize = BLOCKS_MAX + 3;

/// Counts blocks against [`Limits::blocks_max`](crate::Limits::blocks_max).
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockCount {
    blocks_max: usize,
    counted: usize,
    /// Bits of the kinds of which there was a block that does not count.
    free: u8,
}

impl BlockCount {
    pub(crate) fn new(blocks_max: usize) -> Self {
        Self { blocks_max: blocks_max.min(BLOCKS_MAX), counted: 0, free: 0 }
    }

    /// Takes note of a block. A second one of a kind that occurs once counts like any other.
    pub(crate) const fn add(&mut self, kind: BlockKind) -> Result<(), DecodeError> {
        let bit = match kind {
            BlockKind::PreviousNode => 1,
            BlockKind::Age => 2,
            BlockKind::HopCount => 4,
            BlockKind::Payload
            | BlockKind::Integrity
            | BlockKind::Confidentiality
            | BlockKind::Class
            | BlockKind::Unknown(_) => 0,
        };
        if bit & !self.free != 0 {
            self.free |= bit;
            return Ok(());
        }
        if self.counted == self.blocks_max {
            return Err(DecodeError::TooManyBlocks { blocks_max: self.blocks_max });
        }
        self.counted += 1;
        Ok(())
    }
}

/// What is known about the blocks that went by.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    count: BlockCount,
    /// How many there were; fewer than [`PLACES`] while another one is taken.
    blocks: usize,
    payload: Option<&'a [u8]>,
    previous_node: Once<'a>,
    age: Once<'a>,
    hops: Once<'a>,
    class: Once<'a>,
    /// There is more than one class block: no stack of ours made that.
    classes: bool,
    /// Bits of the numbers below 64 that occurred, and how many others did.
    small_numbers: u64,
    large_numbers: usize,
    /// Bits of the blocks of each kind.
    integrity: u64,
    confidentiality: u64,
    must_understand: u64,
    discardable: u64,
    asks_for_report: bool,
}

/// A block of a kind that occurs once: its bit, and what it holds.
type Once<'a> = Option<(u64, &'a [u8])>;

/// What follows from the blocks of a bundle that keeps the rules.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    pub(crate) blocks: usize,
    pub(crate) payload: &'a [u8],
    pub(crate) previous_node: Option<EidView<'a>>,
    pub(crate) age_ms: Option<u64>,
    pub(crate) hops: Option<HopCount>,
    pub(crate) class: Class,
    /// Whether there is a confidentiality block.
    pub(crate) sealed: bool,
    /// Bits of the blocks that nobody knows, that ask to be removed, and that nothing covers.
    pub(crate) discarded: u64,
}

impl<'a> Rules<'a> {
    pub(crate) fn new(blocks_max: usize) -> Self {
        Self {
            count: BlockCount::new(blocks_max),
            blocks: 0,
            payload: None,
            previous_node: None,
            age: None,
            hops: None,
            class: None,
            classes: false,
            small_numbers: 0,
            large_numbers: 0,
            integrity: 0,
            confidentiality: 0,
            must_understand: 0,
            discardable: 0,
            asks_for_report: false,
        }
    }

    /// Adds the next block in the order of the bundle.
    pub(crate) fn add(&mut self, block: &BlockView<'a>) -> Result<(), DecodeError> {
        self.count.add(block.kind)?;
        let index = self.blocks;
        self.blocks += 1;
        if self.payload.is_some() {
            return Err(DecodeError::PayloadPlace);
        }
        let payload = block.kind == BlockKind::Payload;
        let reserved = block.number == 0 || block.kind == BlockKind::Unknown(0);
        if reserved || payload != (block.number == PAYLOAD_NUMBER) {
            return Err(DecodeError::Number(block.number));
        }
        let bit = 1 << index;
        self.add_kind(block, bit)?;
        if block.flags.contains(BlockFlags::REPORT) {
            self.asks_for_report = true;
        }
        if block.number >= 64 {
            self.large_numbers += 1;
        } else {
            let number = 1 << block.number;
            if self.small_numbers & number != 0 {
                return Err(DecodeError::DuplicateNumber(block.number));
            }
            self.small_numbers |= number;
        }
        Ok(())
    }

    fn add_kind(&mut self, block: &BlockView<'a>, bit: u64) -> Result<(), DecodeError> {
        let once = match block.kind {
            BlockKind::Payload => {
                self.payload = Some(block.data);
                return Ok(());
            }
            BlockKind::PreviousNode => &mut self.previous_node,
            BlockKind::Age => &mut self.age,
            BlockKind::HopCount => &mut self.hops,
            BlockKind::Integrity => {
                self.integrity |= bit;
                return Ok(());
            }
            BlockKind::Confidentiality => {
                self.confidentiality |= bit;
                return Ok(());
            }
            BlockKind::Class => {
                self.classes |= self.class.replace((bit, block.data)).is_some();
                return Ok(());
            }
            BlockKind::Unknown(_) => {
                if block.flags.contains(BlockFlags::DELETE_BUNDLE) {
                    self.must_understand |= bit;
                }
                if block.flags.contains(BlockFlags::DISCARD) {
                    self.discardable |= bit;
                }
                return Ok(());
            }
        };
        if once.is_some() {
            return Err(DecodeError::DuplicateKind(block.kind.code()));
        }
        *once = Some((bit, block.data));
        Ok(())
    }

    /// Checks what only the whole shows; `blocks` are those that were added.
    pub(crate) fn finish<I>(self, primary: &PrimaryView<'a>, blocks: &I) -> Result<Facts<'a>, DecodeError>
    where
        I: Iterator<Item = BlockView<'a>> + Clone,
    {
        let payload = self.payload.ok_or(DecodeError::NoPayload)?;
        check_primary(primary, payload)?;
        if self.large_numbers > 1 {
            check_large_numbers(blocks)?;
        }
        if self.asks_for_report && !primary.may_cause_reports() {
            return Err(DecodeError::Flags);
        }
        let cover = check_targets(blocks, self.integrity, self.confidentiality)?;
        let readable =
            |once: Once<'a>| once.filter(|(bit, _)| cover.encrypted & bit == 0).map(|(_, data)| data);
        let previous_node = readable(self.previous_node).map(read_node).transpose()?;
        let age_ms = readable(self.age).map(read_age).transpose()?;
        let hops = readable(self.hops).map(read_hop_count).transpose()?;
        let class = match self.class {
            None => Class::Normal,
            Some(_) if self.classes => Class::Bulk,
            found => readable(found).map_or(Class::Bulk, Class::read),
        };
        // The type of an encrypted block can be read, and with it whether it must be understood.
        if self.must_understand != 0 {
            let place = usize::try_from(self.must_understand.trailing_zeros()).unwrap_or_default();
            let number = blocks.clone().nth(place).map(|block| block.number);
            return Err(DecodeError::MustUnderstand(number.unwrap_or_default()));
        }
        if primary.crc == CrcType::None && !cover.primary {
            return Err(DecodeError::Unprotected);
        }
        if primary.created.time_ms == 0 && self.age.is_none() {
            return Err(DecodeError::NoAge);
        }
        let discarded = self.discardable & !cover.blocks;
        let sealed = self.confidentiality != 0;
        Ok(Facts { blocks: self.blocks, payload, previous_node, age_ms, hops, class, sealed, discarded })
    }
}

/// The rules of sections 4.2.3 and 4.3.1 that tie the fields of the primary block together.
fn check_primary(primary: &PrimaryView<'_>, payload: &[u8]) -> Result<(), DecodeError> {
    let flags = primary.flags;
    if flags.contains(BundleFlags::FRAGMENT) != primary.fragment.is_some() {
        return Err(DecodeError::Flags);
    }
    let reports = flags.intersects(BundleFlags::STATUS_REPORTS);
    if reports && flags.contains(BundleFlags::ADMIN_RECORD) {
        return Err(DecodeError::Flags);
    }
    if primary.source.is_none() {
        // An anonymous bundle cannot be told from another, so it can be neither cut nor reported.
        let whole = flags.contains(BundleFlags::NO_FRAGMENT) && primary.fragment.is_none();
        if reports || !whole {
            return Err(DecodeError::Flags);
        }
    } else if !primary.source.is_singleton() {
        return Err(DecodeError::GroupSource);
    }
    let Some(fragment) = primary.fragment else { return Ok(()) };
    let payload_bytes = u64::try_from(payload.len()).unwrap_or(u64::MAX);
    match fragment.offset.checked_add(payload_bytes) {
        Some(end) if end <= fragment.total_bytes => Ok(()),
        _ => Err(DecodeError::FragmentRange),
    }
}

/// Numbers that have no bit: each is compared with those before it.
fn check_large_numbers<'a, I>(blocks: &I) -> Result<(), DecodeError>
where
    I: Iterator<Item = BlockView<'a>> + Clone,
{
    for (index, block) in blocks.clone().enumerate().filter(|(_, block)| block.number >= 64) {
        if blocks.clone().take(index).any(|earlier| earlier.number == block.number) {
            return Err(DecodeError::DuplicateNumber(block.number));
        }
    }
    Ok(())
}

/// The node that a previous node block names: section 4.4.1 asks for the id of a node, and neither
/// nobody nor a group is one (section 4.2.5.2).
fn read_node(data: &[u8]) -> Result<EidView<'_>, DecodeError> {
    let mut reader = Reader::new(data);
    let node = EidView::read(&mut reader)?;
    reader.end()?;
    if node.is_singleton() { Ok(node) } else { Err(DecodeError::PreviousNode) }
}
