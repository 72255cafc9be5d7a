//! A bundle as its bytes say, before anybody asks whether it may be one.

use alloc::vec::Vec;

use crate::block::{Block, BlockKind};
use crate::bundle::{Bundle, DecodeError, Limits};
use crate::cbor::{Reader, Write};
use crate::primary::Primary;
use crate::rules::BlockCount;
use crate::view::BlockView;

/// A bundle whose bytes are well-formed and whose checksums hold, and nothing more.
///
/// For looking at bundles that break a rule of RFC 9171, and for adding and removing security
/// blocks. Whatever is delivered or forwarded becomes a [`Bundle`] first, which checks the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBundle {
    /// The primary block.
    pub primary: Primary,
    /// All other blocks, in the order in which they travel.
    pub blocks: Vec<Block>,
}

impl RawBundle {
    /// Reads a bundle that fills the bytes; checksums are verified, rules are not.
    ///
    /// # Errors
    /// If the bytes are not well-formed, damaged, or more than the limits allow.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        if bytes.len() > limits.bundle_bytes_max {
            let (bytes, bytes_max) = (bytes.len(), limits.bundle_bytes_max);
            return Err(DecodeError::TooLarge { bytes, bytes_max });
        }
        let mut reader = Reader::new(bytes);
        let mut elements = reader.array_indefinite()?;
        elements.next(&mut reader)?;
        let primary = Primary::read(&mut reader)?;
        let mut blocks = Vec::new();
        let mut count = BlockCount::new(limits.blocks_max);
        while elements.more(&mut reader) {
            let block = BlockView::read(&mut reader, true)?;
            count.add(block.kind)?;
            blocks.push(block.to_block());
        }
        reader.end()?;
        Ok(Self { primary, blocks })
    }

    /// The bundle in its one deterministic form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let data: usize = self.blocks.iter().map(|block| block.data.len() + 32).sum();
        let mut out = Vec::with_capacity(data + 512);
        out.put_array_indefinite();
        self.primary.write(&mut out);
        self.blocks.iter().for_each(|block| block.write(&mut out));
        out.put_break();
        out
    }

    /// The first block with a number.
    #[must_use]
    pub fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.iter().find(|block| block.number == number)
    }

    /// The first block with a number, to be changed.
    pub fn block_mut(&mut self, number: u64) -> Option<&mut Block> {
        self.blocks.iter_mut().find(|block| block.number == number)
    }

    /// The payload block, wherever it stands.
    #[must_use]
    pub fn payload(&self) -> Option<&Block> {
        self.blocks.iter().find(|block| block.kind == BlockKind::Payload)
    }
}

impl From<Bundle> for RawBundle {
    fn from(bundle: Bundle) -> Self {
        let (primary, blocks) = bundle.into_parts();
        Self { primary, blocks }
    }
}

impl TryFrom<RawBundle> for Bundle {
    type Error = DecodeError;

    fn try_from(raw: RawBundle) -> Result<Self, DecodeError> {
        Self::new(raw.primary, raw.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockFlags;
    use crate::crc::CrcType;
    use crate::eid::Eid;
    use crate::primary::{BundleFlags, CreationTimestamp};
    use alloc::vec;

    fn raw() -> RawBundle {
        let primary = Primary {
            flags: BundleFlags(0),
            crc: CrcType::Crc32,
            destination: Eid::ipn(0, 1, 2),
            source: Eid::ipn(0, 2, 1),
            report_to: Eid::None,
            created: CreationTimestamp { time_ms: 0, seq: 40 },
            lifetime_ms: 1000,
            fragment: None,
        };
        let payload = Block::new(BlockKind::Payload, 1, CrcType::Crc16, vec![1, 2]);
        let age = Block::age(2, 5);
        RawBundle { primary, blocks: vec![payload, age] }
    }

    #[test]
    fn a_bundle_that_breaks_a_rule_is_read_and_written_as_it_is() {
        let bytes = raw().encode();
        let read = RawBundle::decode(&bytes, &Limits::default()).unwrap();
        assert_eq!(read, raw());
        assert_eq!(read.encode(), bytes);
        assert_eq!(Bundle::decode(&bytes, &Limits::default()), Err(DecodeError::PayloadPlace));
        assert_eq!(Bundle::try_from(read), Err(DecodeError::PayloadPlace));
    }

    #[test]
    fn a_bundle_and_its_raw_form_have_the_same_bytes() {
        let mut raw = raw();
        raw.blocks.reverse();
        let bundle = Bundle::try_from(raw.clone()).unwrap();
        assert_eq!(bundle.encode(), raw.encode());
        assert_eq!(RawBundle::from(bundle), raw);
    }

    #[test]
    fn damage_is_found_in_a_raw_bundle_as_well() {
        let bytes = raw().encode();
        let limits = Limits::default();
        for cut in 0..bytes.len() {
            assert!(RawBundle::decode(&bytes[..cut], &limits).is_err(), "cut at {cut}");
        }
        let damaged = bytes.len() - 8;
        let mut bytes = bytes;
        bytes[damaged] ^= 1;
        assert!(RawBundle::decode(&bytes, &limits).is_err());
    }

    #[test]
    fn limits_hold_for_raw_bundles() {
        let bytes = raw().encode();
        // The age does not count.
        let tight = Limits { blocks_max: 1, bundle_bytes_max: bytes.len() };
        assert!(RawBundle::decode(&bytes, &tight).is_ok());
        let blocks = Limits { blocks_max: 0, ..tight };
        assert_eq!(RawBundle::decode(&bytes, &blocks), Err(DecodeError::TooManyBlocks { blocks_max: 0 }));
        let twice = RawBundle { blocks: [raw().blocks, vec![Block::age(3, 5)]].concat(), ..raw() }.encode();
        let roomy = Limits { bundle_bytes_max: twice.len(), ..tight };
        assert_eq!(RawBundle::decode(&twice, &roomy), Err(DecodeError::TooManyBlocks { blocks_max: 1 }));
        assert!(RawBundle::decode(&twice, &Limits { blocks_max: 2, ..roomy }).is_ok());
        let short = Limits { bundle_bytes_max: bytes.len() - 1, ..tight };
        assert!(matches!(RawBundle::decode(&bytes, &short), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn blocks_are_found_by_number() {
        let mut raw = raw();
        assert_eq!(raw.payload().map(|block| block.number), Some(1));
        raw.block_mut(2).unwrap().flags = BlockFlags::REPORT;
        assert_eq!(raw.block(2).unwrap().flags, BlockFlags::REPORT);
        assert_eq!(raw.block(3), None);
    }
}
