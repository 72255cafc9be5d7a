//! The two checksums of RFC 9171 section 4.2.1.

use alloc::vec::Vec;

use crc::{CRC_16_IBM_SDLC, CRC_32_ISCSI, Crc};

use crate::bundle::DecodeError;
use crate::cbor::{Elements, Reader, Write};

const X25: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);
const CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Which checksum a block carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CrcType {
    /// None: something else must protect the block.
    None,
    /// CRC-16 X.25.
    Crc16,
    /// CRC-32C (Castagnoli).
    Crc32,
}

impl CrcType {
    pub(crate) const fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Crc16),
            2 => Some(Self::Crc32),
            _ => None,
        }
    }

    pub(crate) const fn code(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Crc16 => 1,
            Self::Crc32 => 2,
        }
    }

    /// How many array elements the checksum adds to its block.
    pub(crate) const fn elements(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Crc16 | Self::Crc32 => 1,
        }
    }

    const fn zeros(self) -> &'static [u8] {
        match self {
            Self::None => &[],
            Self::Crc16 => &[0; 2],
            Self::Crc32 => &[0; 4],
        }
    }

    /// The checksum of the concatenated parts, most significant byte first.
    fn sum(self, parts: &[&[u8]], out: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Crc16 => {
                let mut digest = X25.digest();
                parts.iter().for_each(|part| digest.update(part));
                out.raw(&digest.finalize().to_be_bytes());
            }
            Self::Crc32 => {
                let mut digest = CASTAGNOLI.digest();
                parts.iter().for_each(|part| digest.update(part));
                out.raw(&digest.finalize().to_be_bytes());
            }
        }
    }

    #[cfg_attr(not(test), expect(dead_code, reason = "the streaming reader and writer use it"))]
    /// The checksum of some bytes that follow after others whose checksum is `sum`; it starts from 0.
    ///
    /// The sum so far is the whole state, so a transfer that was cut goes on from these bits.
    pub(crate) fn extend(self, sum: u32, bytes: &[u8]) -> u32 {
        // The initial value is the register after the earlier bytes. The crate reflects it once more.
        match self {
            Self::None => 0,
            Self::Crc16 => {
                let before = u16::try_from(sum & 0xffff).unwrap_or_default();
                let mut digest = X25.digest_with_initial((!before).reverse_bits());
                digest.update(bytes);
                digest.finalize().into()
            }
            Self::Crc32 => {
                let mut digest = CASTAGNOLI.digest_with_initial((!sum).reverse_bits());
                digest.update(bytes);
                digest.finalize()
            }
        }
    }

    /// Appends the checksum of the block that starts at `start` and lacks only that.
    pub(crate) fn write(self, out: &mut Vec<u8>, start: usize) {
        if self == Self::None {
            return;
        }
        // The checksum is taken with its own field present and zero.
        out.put_bytes(self.zeros());
        let mut sum = Vec::new();
        self.sum(&[out.get(start..).unwrap_or_default()], &mut sum);
        out.truncate(out.len() - sum.len());
        out.raw(&sum);
    }

    /// Reads and checks the checksum of the block that starts at `start`, and its end.
    pub(crate) fn read(
        self,
        reader: &mut Reader<'_>,
        mut elements: Elements,
        start: usize,
        block: u64,
    ) -> Result<(), DecodeError> {
        if self == Self::None {
            return Ok(elements.finish(reader)?);
        }
        elements.next(reader)?;
        let found = reader.bytes_definite()?;
        if found.len() != self.zeros().len() {
            return Err(DecodeError::CrcLength { block });
        }
        let after = reader.position();
        elements.finish(reader)?;
        let whole = reader.since(start);
        let head = whole.get(..after - start - found.len()).unwrap_or_default();
        let tail = whole.get(after - start..).unwrap_or_default();
        let mut sum = Vec::new();
        self.sum(&[head, self.zeros(), tail], &mut sum);
        if sum == found { Ok(()) } else { Err(DecodeError::Crc { block }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_checksums_match_their_published_check_values() {
        assert_eq!(X25.checksum(b"123456789"), 0x906e);
        assert_eq!(CASTAGNOLI.checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_checksum_goes_on_from_where_it_was_left() {
        let bytes = b"123456789";
        for cut in 0..=bytes.len() {
            for (crc, whole) in [(CrcType::None, 0), (CrcType::Crc16, 0x906e), (CrcType::Crc32, 0xe306_9283)]
            {
                let sum = crc.extend(0, &bytes[..cut]);
                assert_eq!(crc.extend(sum, &bytes[cut..]), whole);
            }
        }
    }
}
