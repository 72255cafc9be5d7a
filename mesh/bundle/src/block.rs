//! Canonical blocks (RFC 9171 section 4.3.2) and what the known kinds hold.

use alloc::vec::Vec;

use crate::bundle::DecodeError;
use crate::cbor::{Reader, Write};
use crate::crc::CrcType;
use crate::eid::Eid;

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
    const fn from_code(code: u64) -> Self {
        match code {
            1 => Self::Payload,
            6 => Self::PreviousNode,
            7 => Self::Age,
            10 => Self::HopCount,
            11 => Self::Integrity,
            12 => Self::Confidentiality,
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

    /// The first three fields, as they enter the authenticated data of a security block.
    pub(crate) fn write_metadata(&self, out: &mut Vec<u8>) {
        out.put_uint(self.kind.code());
        out.put_uint(self.number);
        out.put_uint(self.flags.0);
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_array(5 + self.crc.elements());
        self.write_metadata(out);
        out.put_uint(self.crc.code());
        out.put_bytes(&self.data);
        self.crc.write(out, start);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = reader.position();
        let mut elements = reader.array()?;
        elements.next(reader)?;
        let kind = BlockKind::from_code(reader.uint()?);
        elements.next(reader)?;
        let number = reader.uint()?;
        elements.next(reader)?;
        let flags = BlockFlags(reader.uint()?);
        elements.next(reader)?;
        let code = reader.uint()?;
        let crc = CrcType::from_code(code).ok_or(DecodeError::CrcType { block: number, code })?;
        elements.next(reader)?;
        // Section 4.3.2: the one place where an indefinite length is ruled out.
        let data = reader.bytes_definite()?;
        crc.read(reader, elements, start, number)?;
        Ok(Self { kind, number, flags, crc, data: data.to_vec() })
    }

    pub(crate) fn read_age(&self) -> Result<u64, DecodeError> {
        let mut reader = Reader::new(&self.data);
        let age_ms = reader.uint()?;
        reader.end()?;
        Ok(age_ms)
    }

    pub(crate) fn read_hop_count(&self) -> Result<HopCount, DecodeError> {
        let mut reader = Reader::new(&self.data);
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
