//! CBOR that arrives in pieces: heads, and where items end.
//!
//! Only as much is checked as is needed to find ends; what an item means is read when it is complete.

use alloc::vec::Vec;

use crate::cbor::{ARRAY, BYTES, CborError, TEXT, UINT};

/// Longest head: one byte and eight of argument.
pub(super) const HEAD_BYTES_MAX: usize = 9;

/// Deepest nesting: an endpoint id in the primary block has four levels.
const DEPTH_MAX: usize = 8;

/// The start of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// An item with its argument.
    Definite {
        /// Major type.
        major: u8,
        /// Number or length.
        argument: u64,
    },
    /// An item that lasts until a break.
    Indefinite {
        /// Major type.
        major: u8,
    },
    /// The end of such an item.
    Break,
}

/// A head of which perhaps not all bytes are here.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HeadScan {
    bytes: [u8; HEAD_BYTES_MAX],
    len: usize,
}

impl HeadScan {
    /// The bytes that are here.
    pub(super) fn partial(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Takes the next byte; gives the head if it is complete, and is then ready for another.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<Head>, CborError> {
        *self.bytes.get_mut(self.len).ok_or(CborError::Type)? = byte;
        self.len += 1;
        let first = self.bytes.first().copied().unwrap_or_default();
        let (major, info) = (first >> 5, first & 0x1f);
        let (width, least) = match info {
            0..=23 => (0, 0),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            31 => (0, 0),
            _ => return Err(CborError::Type),
        };
        if self.len <= width {
            return Ok(None);
        }
        let argument = match info {
            0..=23 => u64::from(info),
            _ => {
                let bytes = self.bytes.get(1..self.len).unwrap_or_default();
                bytes.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte))
            }
        };
        self.len = 0;
        match info {
            31 if major == 7 => Ok(Some(Head::Break)),
            31 => Ok(Some(Head::Indefinite { major })),
            _ if argument < least => Err(CborError::NotShortest),
            _ => Ok(Some(Head::Definite { major, argument })),
        }
    }
}

/// An item that is not over.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// So many items are left.
    Items(u64),
    /// Items until a break.
    UntilBreak,
    /// Pieces of a string until a break.
    Chunks(u8),
}

/// Finds the end of some items.
#[derive(Debug, Clone)]
pub(super) struct ItemScan {
    head: HeadScan,
    open: Vec<Open>,
    /// Bytes of a string that are still to come.
    skip: u64,
}

impl ItemScan {
    /// Scans so many items, at least one.
    pub(super) fn items(count: u64) -> Self {
        Self { head: HeadScan::default(), open: Vec::from([Open::Items(count)]), skip: 0 }
    }

    /// Scans up to the break of an array of indefinite length that has begun.
    pub(super) fn until_break() -> Self {
        Self { head: HeadScan::default(), open: Vec::from([Open::UntilBreak]), skip: 0 }
    }

    /// Takes the next byte; true if it is the last one.
    pub(super) fn push(&mut self, byte: u8) -> Result<bool, CborError> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(self.skip == 0 && self.string_over());
        }
        let Some(head) = self.head.push(byte)? else { return Ok(false) };
        if let Some(Open::Chunks(major)) = self.open.last().copied() {
            return self.chunk(head, major);
        }
        match head {
            Head::Definite { major: UINT, .. } => Ok(self.item_over()),
            Head::Definite { major: BYTES | TEXT, argument } => {
                self.skip = argument;
                Ok(argument == 0 && self.string_over())
            }
            Head::Definite { major: ARRAY, argument: 0 } => Ok(self.item_over()),
            Head::Definite { major: ARRAY, argument } => self.push_open(Open::Items(argument)),
            Head::Indefinite { major: major @ (BYTES | TEXT) } => self.push_open(Open::Chunks(major)),
            Head::Indefinite { major: ARRAY } => self.push_open(Open::UntilBreak),
            Head::Break if matches!(self.open.last(), Some(Open::UntilBreak)) => {
                self.open.pop();
                Ok(self.item_over())
            }
            Head::Break => Err(CborError::Count),
            Head::Definite { .. } | Head::Indefinite { .. } => Err(CborError::Type),
        }
    }

    fn chunk(&mut self, head: Head, string: u8) -> Result<bool, CborError> {
        match head {
            Head::Break => {
                self.open.pop();
                Ok(self.item_over())
            }
            Head::Definite { major, argument } if major == string => {
                self.skip = argument;
                Ok(false)
            }
            Head::Indefinite { major } if major == string => Err(CborError::Indefinite),
            Head::Definite { .. } | Head::Indefinite { .. } => Err(CborError::Type),
        }
    }

    fn push_open(&mut self, open: Open) -> Result<bool, CborError> {
        if self.open.len() == DEPTH_MAX {
            return Err(CborError::Type);
        }
        self.open.push(open);
        Ok(false)
    }

    /// A string is over, and with it an item, unless it was a piece of one.
    fn string_over(&mut self) -> bool {
        if matches!(self.open.last(), Some(Open::Chunks(_))) { false } else { self.item_over() }
    }

    /// An item is over, and with it every array whose last one it was. True if nothing is open then.
    fn item_over(&mut self) -> bool {
        while let Some(Open::Items(left)) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        self.open.is_empty()
    }
}
