//! How urgent a bundle is, as its source says.

use alloc::vec::Vec;
use core::fmt;

use crate::cbor::{Reader, Write};

/// How urgent a bundle is; the order is that of transfer, the most urgent first.
///
/// It travels in a block of type 193, which RFC 9171 leaves to private use: one CBOR number, 0 for alerts, 1 for
/// normal bundles and 2 for bulk. A bundle without the block is normal. A value that is not known, or that cannot be
/// read, counts as bulk: nobody gains from making one up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Class {
    /// Somebody is in danger: small, rare and first.
    Alert,
    /// Everything else that people and nodes send.
    #[default]
    Normal,
    /// What can wait until there is nothing else to do.
    Bulk,
}

impl Class {
    /// The number that stands for the class in a bundle.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Alert => 0,
            Self::Normal => 1,
            Self::Bulk => 2,
        }
    }

    /// The class with a number; a number that nobody knows yet is bulk.
    #[must_use]
    pub const fn from_code(code: u64) -> Self {
        match code {
            0 => Self::Alert,
            1 => Self::Normal,
            _ => Self::Bulk,
        }
    }

    /// What the one class block of a bundle says.
    pub(crate) fn read(data: &[u8]) -> Self {
        let mut reader = Reader::new(data);
        match (reader.uint(), reader.end()) {
            (Ok(code), Ok(())) => Self::from_code(code),
            // The type is for private use: another stack's block of this type says nothing here.
            (Ok(_) | Err(_), _) => Self::Bulk,
        }
    }

    /// What a class block holds: one byte.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1);
        out.put_uint(self.code());
        out
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alert => "alert",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_bulk() {
        for class in [Class::Alert, Class::Normal, Class::Bulk] {
            assert_eq!(Class::read(&class.encode()), class);
            assert_eq!(Class::from_code(class.code()), class);
        }
        for data in [
            &b""[..],
            &[3],
            &[0x20],
            &[0x18, 0],
            &[0, 0],
            &[0x18],
            &[0x1b, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert_eq!(Class::read(data), Class::Bulk, "{data:x?}");
        }
        assert!(Class::Alert < Class::Normal && Class::Normal < Class::Bulk);
    }
}
