//! Canonical blocks (RFC 9171 section 4.3.2) and what the known kinds hold.

use alloc::vec::Vec;

use crate::bundle::DecodeError;
use crate::cbor::{CborError, Reader, Write, head_len, len64};
use crate::class::Class;
use crate::crc::CrcType;
use crate::eid::Eid;
use crate::view::BlockView;

/// Block number of the payload.
pub const PAYLOAD_NUMBER: u64 = 1;

/// What a block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// What the bundle carries (1).
    Payload,
    /// The node that forwarded the bundle last (6).
    PreviousNode,
    /// How long the bundle exists, in milliseconds (7).
    Age,
    /// How far the bundle has come and may go (10).
    HopCount,
    /// A block integrity block of RFC 9172 (11).
    Integrity,
    /// A block confidentiality block of RFC 9172 (12).
    Confidentiality,
    /// How urgent the bundle is: see [`Class`] (193).
    Class,
    /// Any other code.
    Unknown(u64),
}

/// The processing control flags of a block (RFC 9171 section 4.2.4). Unknown bits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BlockFlags(pub u64);

/// One canonical block. What it holds is uninterpreted, because it may be encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What the block is for.
    pub kind: BlockKind,
    /// Its number, unique in the bundle; the payload's is 1.
    pub number: u64,
    /// What to do with it on the way.
    pub flags: BlockFlags,
    /// Its checksum.
    pub crc: CrcType,
    /// The block-type-specific data.
    pub data: Vec<u8>,
}

/// How far a bundle may go and has come, in hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HopCount {
    /// Most hops allowed: 1 to 255.
    pub limit: u8,
    /// Hops made so far.
    pub count: u64,
}

impl BlockKind {
    /// The kind with a block type code.
    #[must_use]
    pub const fn from_code(code: u64) -> Self {
        match code {
            1 => Self::Payload,
            6 => Self::PreviousNode,
            7 => Self::Age,
            10 => Self::HopCount,
            11 => Self::Integrity,
            12 => Self::Confidentiality,
            193 => Self::Class,
            other => Self::Unknown(other),
        }
    }

    /// The block type code.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Payload => 1,
            Self::PreviousNode => 6,
            Self::Age => 7,
            Self::HopCount => 10,
            Self::Integrity => 11,
            Self::Confidentiality => 12,
            Self::Class => 193,
            Self::Unknown(code) => code,
        }
    }

    /// Whether every forwarding node rewrites blocks of this kind.
    #[must_use]
    pub const fn changes_on_the_way(self) -> bool {
        matches!(self, Self::PreviousNode | Self::Age | Self::HopCount)
    }

    pub(crate) const fn is_security(self) -> bool {
        matches!(self, Self::Integrity | Self::Confidentiality)
    }
}

impl BlockFlags {
    /// The block goes into every fragment.
    pub const REPLICATE: Self = Self(0x01);
    /// Report when the block cannot be processed.
    pub const REPORT: Self = Self(0x02);
    /// Delete the bundle when the block cannot be processed.
    pub const DELETE_BUNDLE: Self = Self(0x04);
    /// Remove the block when it cannot be processed.
    pub const DISCARD: Self = Self(0x10);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Block {
    pub(crate) const fn new(kind: BlockKind, number: u64, crc: CrcType, data: Vec<u8>) -> Self {
        Self { kind, number, flags: BlockFlags(0), crc, data }
    }

    pub(crate) fn previous_node(number: u64, node: &Eid) -> Self {
        Self::new(BlockKind::PreviousNode, number, CrcType::Crc16, node.encode())
    }

    pub(crate) fn age(number: u64, age_ms: u64) -> Self {
        let mut data = Vec::new();
        data.put_uint(age_ms);
        Self::new(BlockKind::Age, number, CrcType::Crc16, data)
    }

    pub(crate) fn hop_count(number: u64, hops: HopCount) -> Self {
        Self::new(BlockKind::HopCount, number, CrcType::Crc16, hops.encode())
    }

    /// In every fragment: each of them is carried by itself.
    pub(crate) fn class(number: u64, crc: CrcType, class: Class) -> Self {
        Self { flags: BlockFlags::REPLICATE, ..Self::new(BlockKind::Class, number, crc, class.encode()) }
    }

    /// The first three fields, as they enter the authenticated data of a security block.
    pub(crate) fn write_metadata(&self, out: &mut Vec<u8>) {
        out.put_uint(self.kind.code());
        out.put_uint(self.number);
        out.put_uint(self.flags.0);
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.write_head(out);
        out.put_bytes(&self.data);
        self.crc.write(out, start);
    }

    /// Feeds the bytes that [`Block::write`] writes, without a copy of the data.
    pub(crate) fn hash(&self, hasher: &mut blake3::Hasher) {
        let mut head = Vec::with_capacity(48);
        self.write_head(&mut head);
        head.put_bytes_head(self.data.len());
        let sum = self.crc.extend(self.crc.extend(0, &head), &self.data);
        hasher.update(&head).update(&self.data);
        head.clear();
        self.crc.write_after(&mut head, sum);
        hasher.update(&head);
    }

    fn write_head(&self, out: &mut Vec<u8>) {
        let numbers = [5 + self.crc.elements(), self.kind.code(), self.number, self.flags.0, self.crc.code()];
        // Nearly all blocks have small numbers only: one byte each, written at once.
        if numbers.iter().all(|number| *number < 24) {
            let [[.., array], [.., kind], [.., number], [.., flags], [.., crc]] =
                numbers.map(u64::to_be_bytes);
            out.raw(&[0x80 | array, kind, number, flags, crc]);
            return;
        }
        out.put_array(5 + self.crc.elements());
        self.write_metadata(out);
        out.put_uint(self.crc.code());
    }

    /// How many bytes [`Block::write`] writes.
    pub(crate) fn encoded_len(&self) -> usize {
        let numbers = head_len(self.kind.code()) + head_len(self.number) + head_len(self.flags.0);
        // The heads of the array and of the checksum type have one byte each.
        2 + numbers + head_len(len64(self.data.len())) + self.data.len() + self.crc.encoded_len()
    }

    /// The block as the rules look at it; it lies in no input, so its places are empty.
    pub(crate) fn view(&self) -> BlockView<'_> {
        let Self { kind, number, flags, crc, ref data } = *self;
        BlockView { kind, number, flags, crc, data, span: 0..0, data_span: 0..0, loose: false }
    }
}

/// What an age block holds.
pub(crate) fn read_age(data: &[u8]) -> Result<u64, CborError> {
    let mut reader = Reader::new(data);
    let age_ms = reader.uint()?;
    reader.end()?;
    Ok(age_ms)
}

/// What a hop count block holds.
pub(crate) fn read_hop_count(data: &[u8]) -> Result<HopCount, DecodeError> {
    let mut reader = Reader::new(data);
    let mut elements = reader.array()?;
    elements.next(&mut reader)?;
    let limit = reader.uint()?;
    elements.next(&mut reader)?;
    let count = reader.uint()?;
    elements.finish(&mut reader)?;
    reader.end()?;
    match u8::try_from(limit) {
        Ok(limit @ 1..) => Ok(HopCount { limit, count }),
        Ok(0) | Err(_) => Err(DecodeError::HopLimit(limit)),
    }
}

impl HopCount {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut data = Vec::new();
        data.put_array(2);
        data.put_uint(self.limit.into());
        data.put_uint(self.count);
        data
    }
}
