//! Deterministic CBOR: one byte string per value, checked before anything else looks at it.
//!
//! Entries are positional arrays of integers, byte strings, text, booleans, null and further arrays.
//! Maps, tags, floats and indefinite lengths do not occur in them and are refused.

use alloc::vec::Vec;

use minicbor::{Decoder, Encoder};

/// Arrays nest no deeper than this: an entry, its body, a list in it, the pairs of that list.
pub(crate) const NESTING_MAX: u8 = 6;

/// The bytes are not the one deterministic form of an item of the kinds allowed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotCanonical;

/// Checks that the bytes are exactly one item in deterministic form.
pub(crate) fn check(bytes: &[u8]) -> Result<(), NotCanonical> {
    let rest = check_item(bytes, NESTING_MAX)?;
    if rest.is_empty() { Ok(()) } else { Err(NotCanonical) }
}

fn check_item(bytes: &[u8], nesting_left: u8) -> Result<&[u8], NotCanonical> {
    let (first, _) = bytes.split_first().ok_or(NotCanonical)?;
    let (value, rest) = head(bytes)?;
    match first >> 5 {
        0 | 1 => Ok(rest),
        2 => Ok(split(rest, value)?.1),
        3 => {
            let (text, rest) = split(rest, value)?;
            core::str::from_utf8(text).map_err(|_| NotCanonical)?;
            Ok(rest)
        }
        4 => {
            let nesting_left = nesting_left.checked_sub(1).ok_or(NotCanonical)?;
            // Every item takes a byte, so a count beyond the bytes that are left ends here, not in a long loop.
            (0..value).try_fold(rest, |rest, _| check_item(rest, nesting_left))
        }
        // false, true and null; every other simple value and all floats are refused.
        7 if (20..=22).contains(&value) && *first < 0xf8 => Ok(rest),
        _ => Err(NotCanonical),
    }
}

/// Reads a head in its shortest form.
fn head(bytes: &[u8]) -> Result<(u64, &[u8]), NotCanonical> {
    let (first, rest) = bytes.split_first().ok_or(NotCanonical)?;
    let info = first & 0x1f;
    let (count, least) = match info {
        0..=23 => return Ok((u64::from(info), rest)),
        24 => (1, 24),
        25 => (2, 0x100),
        26 => (4, 0x1_0000),
        27 => (8, 0x1_0000_0000),
        _ => return Err(NotCanonical),
    };
    let (argument, rest) = split(rest, count)?;
    let value = argument.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
    if value < least { Err(NotCanonical) } else { Ok((value, rest)) }
}

fn split(bytes: &[u8], at: u64) -> Result<(&[u8], &[u8]), NotCanonical> {
    let at = usize::try_from(at).map_err(|_| NotCanonical)?;
    bytes.split_at_checked(at).ok_or(NotCanonical)
}

/// The bytes have another shape than the reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongShape;

impl From<minicbor::decode::Error> for WrongShape {
    fn from(_: minicbor::decode::Error) -> Self {
        Self
    }
}

/// Reads fields out of bytes that [`check`] has passed.
#[derive(Debug)]
pub(crate) struct Reader<'b>(Decoder<'b>);

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self(Decoder::new(bytes))
    }

    /// Enters an array and returns its length.
    pub(crate) fn array(&mut self) -> Result<u64, WrongShape> {
        self.0.array()?.ok_or(WrongShape)
    }

    /// Enters an array of a known length.
    pub(crate) fn array_of(&mut self, length: u64) -> Result<(), WrongShape> {
        if self.array()? == length { Ok(()) } else { Err(WrongShape) }
    }

    /// Reads an unsigned integer that fits `T`.
    pub(crate) fn uint<T: TryFrom<u64>>(&mut self) -> Result<T, WrongShape> {
        T::try_from(self.0.u64()?).map_err(|_| WrongShape)
    }

    /// Reads a byte string of a known length.
    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], WrongShape> {
        <[u8; N]>::try_from(self.0.bytes()?).map_err(|_| WrongShape)
    }

    /// Reads a byte string of a known length, or the integer 0 for its absence.
    pub(crate) fn bytes_or_zero<const N: usize>(&mut self) -> Result<Option<[u8; N]>, WrongShape> {
        if self.0.datatype()? == minicbor::data::Type::Bytes {
            return self.bytes().map(Some);
        }
        match self.uint::<u8>()? {
            0 => Ok(None),
            _ => Err(WrongShape),
        }
    }

    /// The bytes of the next item, whatever it is.
    pub(crate) fn raw(&mut self) -> Result<&'b [u8], WrongShape> {
        let start = self.0.position();
        self.0.skip()?;
        self.0.input().get(start..self.0.position()).ok_or(WrongShape)
    }

    /// Everything must have been read.
    pub(crate) fn end(&self) -> Result<(), WrongShape> {
        if self.0.position() == self.0.input().len() { Ok(()) } else { Err(WrongShape) }
    }
}

/// Writes deterministic CBOR into memory, which cannot fail.
#[derive(Debug)]
pub(crate) struct Writer(Encoder<Vec<u8>>);

const WRITES: &str = "writing to memory cannot fail";

impl Writer {
    pub(crate) fn array(length: u64) -> Self {
        Self(Encoder::new(Vec::new())).nested(length)
    }

    pub(crate) fn nested(mut self, length: u64) -> Self {
        self.0.array(length).expect(WRITES);
        self
    }

    pub(crate) fn uint(mut self, value: impl Into<u64>) -> Self {
        self.0.u64(value.into()).expect(WRITES);
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.bytes(bytes).expect(WRITES);
        self
    }

    pub(crate) fn raw(mut self, item: &[u8]) -> Self {
        self.0.writer_mut().extend_from_slice(item);
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.into_writer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_passes() {
        for good in [&[0x00][..], &[0x17], &[0x18, 24], &[0x19, 1, 0], &[0x80], &[0x82, 1, 0x41, 9], &[0xf6]]
        {
            assert_eq!(check(good), Ok(()), "{good:x?}");
        }
        for bad in [
            &[][..],
            &[0x18, 23],
            &[0x19, 0, 255],
            &[0x1a, 0, 0, 255, 255],
            &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
            &[0x1c],
            &[0x00, 0x00],
            &[0x9f, 0xff],
            &[0x5f, 0xff],
            &[0x42, 1],
            &[0x61, 0xff],
            &[0xa0],
            &[0xc0, 0x00],
            &[0xf9, 0, 0],
            &[0xf7],
            &[0xf8, 0x20],
            &[0xf8, 0x14],
            &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert_eq!(check(bad), Err(NotCanonical), "{bad:x?}");
        }
    }

    #[test]
    fn nesting_ends_at_its_limit() {
        let mut deep = alloc::vec![0x81; usize::from(NESTING_MAX)];
        deep.push(0);
        assert_eq!(check(&deep), Ok(()));
        deep.insert(0, 0x81);
        assert_eq!(check(&deep), Err(NotCanonical));
    }
}
