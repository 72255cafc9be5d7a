//! What besides its target a security operation authenticates: the AAD scope parameter.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::CoseError;
use crate::cbor::{Reader, Write};

/// Most blocks in one scope.
pub const SCOPE_BLOCKS_MAX: usize = 256;

const TARGET: i64 = -1;
const SECURITY: i64 = -2;

/// The AAD scope: which parts of which blocks are authenticated together with the target.
///
/// Flags are those of the draft's registry; bits that are not assigned change nothing but the
/// authenticated bytes of the scope itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AadScope {
    blocks: BTreeMap<u64, u64>,
    /// Zero where the scope does not have the key.
    target: u64,
    security: u64,
}

impl Default for AadScope {
    /// What holds without the parameter: the primary block, and the metadata of the target and of
    /// the security block.
    fn default() -> Self {
        let blocks = BTreeMap::from([(0, Self::METADATA)]);
        Self { blocks, target: Self::METADATA, security: Self::METADATA }
    }
}

impl AadScope {
    /// Type, number and flags of a block; of block 0 all there is.
    pub const METADATA: u64 = 1;
    /// The contents of a block.
    pub const CONTENTS: u64 = 2;

    /// A scope that covers nothing but the target's contents.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { blocks: BTreeMap::new(), target: 0, security: 0 }
    }

    /// Adds the primary block.
    #[must_use]
    pub fn with_primary(self) -> Self {
        self.with_block(0, Self::METADATA)
    }

    /// Adds a block by its number.
    #[must_use]
    pub fn with_block(mut self, number: u64, flags: u64) -> Self {
        self.blocks.insert(number, flags);
        self
    }

    /// Adds the metadata of the target.
    #[must_use]
    pub const fn with_target(mut self) -> Self {
        self.target = Self::METADATA;
        self
    }

    /// Adds the metadata of the security block.
    #[must_use]
    pub const fn with_security_block(mut self) -> Self {
        self.security = Self::METADATA;
        self
    }

    /// Reads the parameter's value.
    ///
    /// # Errors
    /// If it is no map of this kind, or has a special key that is not known.
    pub fn decode(item: &[u8]) -> Result<Self, CoseError> {
        let mut reader = Reader::new(item);
        let mut elements = reader.map()?;
        let mut scope = Self::nothing();
        while elements.more(&mut reader) {
            let key = reader.item()?;
            let flags = reader.uint()?;
            // No flag at all says that a block is not there, for which there is a shorter way.
            if flags == 0 {
                return Err(CoseError::Scope);
            }
            let mut key = Reader::new(key);
            let before = match key.uint() {
                Ok(number) => scope.blocks.insert(number, flags).unwrap_or_default(),
                Err(_) => match key.int()? {
                    TARGET => core::mem::replace(&mut scope.target, flags),
                    SECURITY => core::mem::replace(&mut scope.security, flags),
                    _ => return Err(CoseError::Scope),
                },
            };
            if before != 0 || scope.blocks.len() > SCOPE_BLOCKS_MAX {
                return Err(CoseError::Scope);
            }
        }
        reader.end()?;
        Ok(scope)
    }

    /// The value in its one deterministic form, which is authenticated as well.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let special = [(0, self.target), (1, self.security)];
        let special = special.iter().filter(|(_, flags)| *flags != 0);
        let mut out = Vec::new();
        let entries = self.blocks.len() + special.clone().count();
        out.put_map(u64::try_from(entries).unwrap_or(u64::MAX));
        for (number, flags) in &self.blocks {
            out.put_uint(*number);
            out.put_uint(*flags);
        }
        for (key, flags) in special {
            out.put_nint(*key);
            out.put_uint(*flags);
        }
        out
    }

    /// Blocks by number, in ascending order, with their flags.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u64, u64)> {
        self.blocks.iter().map(|(number, flags)| (*number, *flags))
    }

    /// The flags of the target and of the security block.
    pub(super) const fn special(&self) -> (u64, u64) {
        (self.target, self.security)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_that_of_the_draft() {
        assert_eq!(AadScope::default().encode(), [0xa3, 0, 1, 0x20, 1, 0x21, 1]);
        let example = AadScope::nothing().with_primary().with_block(1, 3).with_target();
        assert_eq!(example.encode(), [0xa3, 0, 1, 1, 3, 0x20, 1]);
        assert_eq!(AadScope::decode(&example.encode()), Ok(example));
    }

    #[test]
    fn another_order_is_read_and_written_in_the_one_order() {
        let scope = AadScope::decode(&[0xbf, 0x21, 1, 5, 6, 0, 1, 0xff]).unwrap();
        assert_eq!(scope.encode(), [0xa3, 0, 1, 5, 6, 0x21, 1]);
    }

    #[test]
    fn unknown_keys_double_keys_and_empty_flags_are_refused() {
        for wrong in [
            &[0xa1, 0x22, 1][..],
            &[0xa1, 0, 0],
            &[0xa2, 0, 1, 0, 1],
            &[0xa2, 0x20, 1, 0x20, 1],
            &[0xa1, 0x61, b'a', 1],
            &[0xa1, 0, 0x20],
            &[0x80],
            &[0xa0, 0],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(AadScope::decode(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn as_many_blocks_as_the_limit_says_are_taken_and_one_more_is_not() {
        let with = |count| {
            let blocks = (0..count).fold(AadScope::nothing(), |scope, number| scope.with_block(number, 1));
            AadScope::decode(&blocks.encode())
        };
        let most = u64::try_from(SCOPE_BLOCKS_MAX).unwrap();
        assert!(with(most).is_ok());
        assert_eq!(with(most + 1), Err(CoseError::Scope));
    }
}
