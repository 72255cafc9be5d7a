//! The two checksums of RFC 9171 section 4.2.1.
//!
//! With the feature `std` they use the instructions that the CPU turns out to have, else small tables.

use alloc::vec::Vec;

use crc::{CRC_16_IBM_SDLC, CRC_32_ISCSI, Crc};

use crate::bundle::DecodeError;
use crate::cbor::{Elements, Reader, Write, head_len};

static X25: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);
static CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

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

    /// How many bytes the checksum has, without the head of its field.
    pub(crate) const fn width(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Crc16 => 2,
            Self::Crc32 => 4,
        }
    }

    const fn zeros(self) -> &'static [u8] {
        match self {
            Self::None => &[],
            Self::Crc16 => &[0; 2],
            Self::Crc32 => &[0; 4],
        }
    }

    /// How many bytes the checksum adds to its block.
    pub(crate) const fn encoded_len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc16 | Self::Crc32 => head_len(4) + self.zeros().len(),
        }
    }

    /// The checksum of some bytes.
    fn sum(self, bytes: &[u8]) -> u32 {
        match self {
            Self::None => 0,
            Self::Crc16 => fast::x25(bytes).into(),
            Self::Crc32 => fast::castagnoli(bytes),
        }
    }

    /// How the checksum of a message changes when `difference` is XORed onto its end.
    fn change(self, difference: &[u8]) -> u32 {
        // Sums are linear but for their constants, which are the same on both sides: a register
        // that starts from zero sees the difference alone.
        match self {
            Self::None => 0,
            Self::Crc16 => (!table::x25_after(0, difference)).into(),
            Self::Crc32 => !table::castagnoli_after(0, difference),
        }
    }

    /// The checksum of some bytes that follow after others whose checksum is `sum`; it starts from 0.
    ///
    /// The sum so far is the whole state, so a transfer that was cut goes on from these bits.
    pub(crate) fn extend(self, sum: u32, bytes: &[u8]) -> u32 {
        // The register after the earlier bytes is their sum without its last step.
        match self {
            Self::None => 0,
            Self::Crc16 => fast::x25_after(!u16::try_from(sum & 0xffff).unwrap_or_default(), bytes).into(),
            Self::Crc32 => fast::castagnoli_after(!sum, bytes),
        }
    }

    /// Appends the checksum of the block that starts at `start` and lacks only that.
    pub(crate) fn write(self, out: &mut Vec<u8>, start: usize) {
        if self == Self::None {
            return;
        }
        // The checksum is taken with its own field present and zero.
        self.write_field(out, 0);
        let sum = self.sum(out.get(start..).unwrap_or_default());
        out.truncate(out.len() - self.encoded_len());
        self.write_field(out, sum);
    }

    fn write_field(self, out: &mut Vec<u8>, sum: u32) {
        let [a, b, c, d] = sum.to_be_bytes();
        match self {
            Self::None => {}
            Self::Crc16 => out.raw(&[0x42, c, d]),
            Self::Crc32 => out.raw(&[0x44, a, b, c, d]),
        }
    }

    /// Appends the checksum of a block that lacks only that and whose checksum so far is `sum`.
    pub(crate) fn write_after(self, out: &mut Vec<u8>, sum: u32) {
        if self == Self::None {
            return;
        }
        let start = out.len();
        self.write_field(out, 0);
        let sum = self.extend(sum, out.get(start..).unwrap_or_default());
        out.truncate(start);
        self.write_field(out, sum);
    }

    /// Reads and checks the checksum of the block that starts at `start`, and its end.
    pub(crate) fn read(
        self,
        reader: &mut Reader<'_>,
        elements: Elements,
        start: usize,
        block: u64,
    ) -> Result<(), DecodeError> {
        let (found, after) = self.pass(reader, elements, block)?;
        if self == Self::None {
            return Ok(());
        }
        let whole = reader.since(start);
        // The field counts as zero: what it adds to the sum is taken out again. What can follow is the
        // end mark of an indefinite block, which stays as it is.
        let marks = reader.position() - after;
        let change = if marks == 0 {
            self.change(found)
        } else {
            let mut field = [0; 5];
            field.iter_mut().zip(found).for_each(|(to, from)| *to = *from);
            self.change(field.get(..found.len() + marks).unwrap_or_default())
        };
        let found = found.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
        if self.sum(whole) ^ change == found { Ok(()) } else { Err(DecodeError::Crc { block }) }
    }

    /// Reads the checksum and the end of a block without looking whether it is right.
    /// Gives the checksum and the position after it.
    pub(crate) fn pass<'a>(
        self,
        reader: &mut Reader<'a>,
        mut elements: Elements,
        block: u64,
    ) -> Result<(&'a [u8], usize), DecodeError> {
        let mut found = &[][..];
        if self != Self::None {
            elements.next(reader)?;
            found = reader.bytes_definite()?;
            if found.len() != self.zeros().len() {
                return Err(DecodeError::CrcLength { block });
            }
        }
        let after = reader.position();
        elements.finish(reader)?;
        Ok((found, after))
    }
}

/// From tables, which every target has room for.
mod table {
    use super::{CASTAGNOLI, X25};

    pub(super) fn x25_after(register: u16, bytes: &[u8]) -> u16 {
        // The crate takes the register as it would stand in a sum that is not reflected.
        let mut digest = X25.digest_with_initial(register.reverse_bits());
        digest.update(bytes);
        digest.finalize()
    }

    pub(super) fn castagnoli_after(register: u32, bytes: &[u8]) -> u32 {
        let mut digest = CASTAGNOLI.digest_with_initial(register.reverse_bits());
        digest.update(bytes);
        digest.finalize()
    }
}

/// Without the standard library nobody says what the CPU can do.
#[cfg(not(feature = "std"))]
mod fast {
    pub(super) use super::table::{castagnoli_after, x25_after};

    pub(super) fn x25(bytes: &[u8]) -> u16 {
        super::X25.checksum(bytes)
    }

    pub(super) fn castagnoli(bytes: &[u8]) -> u32 {
        super::CASTAGNOLI.checksum(bytes)
    }
}

/// With the CPU's own instructions where it has them.
#[cfg(feature = "std")]
mod fast {
    use crc::{Algorithm, CRC_16_IBM_SDLC, Crc, Table};
    use crc_fast::CrcAlgorithm::{Crc16IbmSdlc, Crc32Iscsi};
    use crc_fast::{CrcAlgorithm, Digest, checksum};

    /// Up to this many bytes a table is faster than the preparations for wide instructions.
    const SHORT_BYTES_MAX: usize = 32;
    const HALF: usize = SHORT_BYTES_MAX / 2;

    const FROM_ZERO: Algorithm<u16> = Algorithm { init: 0, ..CRC_16_IBM_SDLC };
    /// Takes sixteen bytes in one step.
    static WIDE_TABLE: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&FROM_ZERO);

    pub(super) fn x25(bytes: &[u8]) -> u16 {
        match bytes.len() {
            0 | 1 => super::X25.checksum(bytes),
            len if len <= HALF => WIDE_TABLE.checksum(&padded::<HALF>(bytes)),
            len if len <= SHORT_BYTES_MAX => WIDE_TABLE.checksum(&padded::<SHORT_BYTES_MAX>(bytes)),
            _ => low16(checksum(Crc16IbmSdlc, bytes)),
        }
    }

    /// The bytes at the end of `N`. A register of zero stays zero over leading zeros, and starting from
    /// ones is the same as starting from zero with the first two bytes inverted.
    fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
        let mut out = [0; N];
        if let Some(end) = out.len().checked_sub(bytes.len()).and_then(|at| out.get_mut(at..)) {
            end.copy_from_slice(bytes);
            end.iter_mut().take(2).for_each(|byte| *byte = !*byte);
        }
        out
    }

    pub(super) fn castagnoli(bytes: &[u8]) -> u32 {
        low32(checksum(Crc32Iscsi, bytes))
    }

    pub(super) fn x25_after(register: u16, bytes: &[u8]) -> u16 {
        low16(after(Crc16IbmSdlc, register.into(), bytes))
    }

    pub(super) fn castagnoli_after(register: u32, bytes: &[u8]) -> u32 {
        low32(after(Crc32Iscsi, register.into(), bytes))
    }

    fn after(algorithm: CrcAlgorithm, register: u64, bytes: &[u8]) -> u64 {
        let mut digest = Digest::new_with_init_state(algorithm, register);
        digest.update(bytes);
        digest.finalize()
    }

    fn low16(sum: u64) -> u16 {
        u16::try_from(sum).expect("a CRC-16 has 16 bits")
    }

    fn low32(sum: u64) -> u32 {
        u32::try_from(sum).expect("a CRC-32 has 32 bits")
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
    fn fast_sums_are_those_of_the_plain_table_at_every_length() {
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(700).collect();
        for len in 0..bytes.len() {
            let bytes = &bytes[..len];
            assert_eq!(CrcType::Crc16.sum(bytes), X25.checksum(bytes).into(), "{len}");
            assert_eq!(CrcType::Crc32.sum(bytes), CASTAGNOLI.checksum(bytes), "{len}");
        }
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
