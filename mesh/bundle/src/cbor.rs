//! The part of CBOR that bundles and cards need.
//!
//! RFC 9171 section 4.1 asks for the core deterministic encoding and makes one exception:
//! indefinite lengths are allowed on input. The reader draws exactly that line, and it never
//! allocates more than it was given.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

pub(crate) const UINT: u8 = 0;
const NINT: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;
const FALSE: u64 = 20;
const TRUE: u64 = 21;
pub(crate) const BREAK: u8 = 0xff;

/// How deep an item of any type may nest.
const ITEM_DEPTH_MAX: u8 = 16;

/// What is wrong with a CBOR item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The input ends inside an item.
    #[error("the data ends in the middle of an item")]
    Truncated,
    /// A number is not written in its shortest form.
    #[error("a number is not in its shortest form")]
    NotShortest,
    /// An item of another type stands here.
    #[error("an item of another type is expected")]
    Type,
    /// An indefinite length where only a definite one is allowed.
    #[error("an indefinite length is not allowed here")]
    Indefinite,
    /// An array has more or fewer elements than its type has.
    #[error("an array has the wrong number of elements")]
    Count,
    /// A text string is not UTF-8.
    #[error("a text string is not UTF-8")]
    Utf8,
    /// Bytes follow after the last item.
    #[error("bytes follow after the end")]
    Trailing,
    /// Items nest deeper than this node follows.
    #[error("items are nested too deeply")]
    Depth,
}

/// Reads items one after the other from borrowed bytes.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
    loose: bool,
}

/// The elements of an array that is being read.
#[derive(Debug)]
pub(crate) struct Elements {
    /// `None` for an array of indefinite length.
    left: Option<u64>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, rest: bytes, loose: false }
    }

    /// How many bytes were read so far.
    pub(crate) const fn position(&self) -> usize {
        // The rest is always a suffix of the bytes.
        self.bytes.len().wrapping_sub(self.rest.len())
    }

    /// The bytes from `start` up to the present position.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.position()).unwrap_or_default()
    }

    pub(crate) const fn end(&self) -> Result<(), CborError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CborError::Trailing) }
    }

    #[inline]
    fn take(&mut self, count: u64) -> Result<&'a [u8], CborError> {
        let count = usize::try_from(count).map_err(|_| CborError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads a head of one type: its argument, or `None` for an indefinite length. Nothing is
    /// consumed if another type stands here.
    #[inline]
    fn head_of(&mut self, major: u8) -> Result<Option<u64>, CborError> {
        let (&first, rest) = self.rest.split_first().ok_or(CborError::Truncated)?;
        let info = first.wrapping_sub(major << 5);
        if info < 24 {
            self.rest = rest;
            return Ok(Some(u64::from(info)));
        }
        self.long_head_of(major)
    }

    /// As [`Reader::head_of`], for all heads but those of one byte.
    fn long_head_of(&mut self, major: u8) -> Result<Option<u64>, CborError> {
        let (&first, rest) = self.rest.split_first().ok_or(CborError::Truncated)?;
        let (value, least, rest) = match first & 0x1f {
            info @ 0..=23 => (u64::from(info), 0, rest),
            24 => {
                let ([value], rest) = rest.split_first_chunk().ok_or(CborError::Truncated)?;
                (u64::from(*value), 24, rest)
            }
            25 => {
                let (value, rest) = rest.split_first_chunk().ok_or(CborError::Truncated)?;
                (u64::from(u16::from_be_bytes(*value)), 0x100, rest)
            }
            26 => {
                let (value, rest) = rest.split_first_chunk().ok_or(CborError::Truncated)?;
                (u64::from(u32::from_be_bytes(*value)), 0x1_0000, rest)
            }
            27 => {
                let (value, rest) = rest.split_first_chunk().ok_or(CborError::Truncated)?;
                (u64::from_be_bytes(*value), 0x1_0000_0000, rest)
            }
            31 if first >> 5 == major => {
                self.rest = rest;
                self.loose = true;
                return Ok(None);
            }
            _ => return Err(CborError::Type),
        };
        if value < least {
            return Err(CborError::NotShortest);
        }
        if first >> 5 != major {
            return Err(CborError::Type);
        }
        self.rest = rest;
        Ok(Some(value))
    }

    #[inline]
    pub(crate) fn uint(&mut self) -> Result<u64, CborError> {
        self.head_of(UINT)?.ok_or(CborError::Type)
    }

    fn string(&mut self, major: u8) -> Result<Cow<'a, [u8]>, CborError> {
        if let Some(len) = self.head_of(major)? {
            return self.take(len).map(Cow::Borrowed);
        }
        // The chunks of an indefinite string lie in the input, so their sum is bounded by it.
        let mut whole = Vec::new();
        while !self.at_break() {
            let len = self.head_of(major)?.ok_or(CborError::Indefinite)?;
            whole.extend_from_slice(self.take(len)?);
        }
        Ok(Cow::Owned(whole))
    }

    /// A byte string that must have a definite length.
    #[inline]
    pub(crate) fn bytes_definite(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.head_of(BYTES)?.ok_or(CborError::Indefinite)?;
        self.take(len)
    }

    /// A text in one piece, without looking at its letters; `None` if it comes in several.
    #[inline]
    pub(crate) fn text_in_one(&mut self) -> Result<Option<&'a [u8]>, CborError> {
        let before = self.clone();
        match self.head_of(TEXT)? {
            Some(len) => self.take(len).map(Some),
            None => {
                *self = before;
                Ok(None)
            }
        }
    }

    /// Whether a number stands here.
    #[inline]
    pub(crate) fn at_uint(&self) -> bool {
        self.rest.first().is_some_and(|first| first >> 5 == UINT)
    }

    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, CborError> {
        match self.string(TEXT)? {
            Cow::Borrowed(bytes) => {
                core::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| CborError::Utf8)
            }
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| CborError::Utf8),
        }
    }

    #[inline]
    pub(crate) fn array(&mut self) -> Result<Elements, CborError> {
        Ok(Elements { left: self.head_of(ARRAY)? })
    }

    /// Starts an array that must have an indefinite length.
    pub(crate) fn array_indefinite(&mut self) -> Result<Elements, CborError> {
        match self.head_of(ARRAY)? {
            None => Ok(Elements { left: None }),
            Some(_) => Err(CborError::Count),
        }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, CborError> {
        match self.head_of(SIMPLE)? {
            Some(FALSE) => Ok(false),
            Some(TRUE) => Ok(true),
            Some(_) | None => Err(CborError::Type),
        }
    }

    /// Consumes the end of an indefinite item if it stands here.
    #[inline]
    fn at_break(&mut self) -> bool {
        match self.rest.split_first() {
            Some((&BREAK, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Goes on in the middle of the bytes; at their end if there is no such position.
    pub(crate) fn starting_at(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, rest: bytes.get(position..).unwrap_or_default(), loose: false }
    }

    /// Whether anything of indefinite length was read since this was asked last.
    ///
    /// That is the only freedom that the encoding leaves: without it there is one form only.
    pub(crate) const fn take_loose(&mut self) -> bool {
        core::mem::replace(&mut self.loose, false)
    }

    /// A number of either sign that fits 64 bits with it.
    pub(crate) fn int(&mut self) -> Result<i64, CborError> {
        let (argument, negative) = match self.head_of(NINT) {
            Ok(argument) => (argument, true),
            Err(CborError::Type) => (self.head_of(UINT)?, false),
            Err(error) => return Err(error),
        };
        let value = argument.and_then(|value| i64::try_from(value).ok()).ok_or(CborError::Type)?;
        // -1 - n is !n.
        Ok(if negative { !value } else { value })
    }

    /// A byte string; chunks are joined.
    pub(crate) fn bytes(&mut self) -> Result<Cow<'a, [u8]>, CborError> {
        self.string(BYTES)
    }

    /// Starts a map; its elements are pairs.
    pub(crate) fn map(&mut self) -> Result<Elements, CborError> {
        Ok(Elements { left: self.head_of(MAP)? })
    }

    /// A text string that must have a definite length.
    pub(crate) fn text_definite(&mut self) -> Result<&'a str, CborError> {
        let len = self.head_of(TEXT)?.ok_or(CborError::Indefinite)?;
        core::str::from_utf8(self.take(len)?).map_err(|_| CborError::Utf8)
    }

    /// One item of any type, as its bytes.
    pub(crate) fn item(&mut self) -> Result<&'a [u8], CborError> {
        let start = self.position();
        self.skip(ITEM_DEPTH_MAX)?;
        Ok(self.since(start))
    }

    /// Each step takes at least one byte of the input, and `depth_left` bounds the recursion.
    fn skip(&mut self, depth_left: u8) -> Result<(), CborError> {
        let depth_left = depth_left.checked_sub(1).ok_or(CborError::Depth)?;
        let first = self.rest.first().copied().ok_or(CborError::Truncated)?;
        match first >> 5 {
            major @ (UINT | NINT) => self.head_of(major)?.map(|_| ()).ok_or(CborError::Type),
            major @ (BYTES | TEXT) => {
                let string = self.string(major)?;
                let valid = major == BYTES || core::str::from_utf8(&string).is_ok();
                if valid { Ok(()) } else { Err(CborError::Utf8) }
            }
            major @ (ARRAY | MAP) => {
                let mut elements = Elements { left: self.head_of(major)? };
                while elements.more(self) {
                    self.skip(depth_left)?;
                    if major == MAP {
                        self.skip(depth_left)?;
                    }
                }
                Ok(())
            }
            TAG => {
                self.head_of(TAG)?.ok_or(CborError::Type)?;
                self.skip(depth_left)
            }
            _ => self.skip_simple(first & 0x1f),
        }
    }

    /// Simple values and floats: the bytes after the head are no number that could be too long.
    fn skip_simple(&mut self, info: u8) -> Result<(), CborError> {
        let width = match info {
            0..=23 => 0,
            24..=27 => 1_u64 << (info - 24),
            _ => return Err(CborError::Type),
        };
        let after = self.take(1 + width)?;
        // Of the values with one byte more, those below 32 would have a shorter form.
        if info == 24 && after.last().is_some_and(|value| *value < 32) {
            return Err(CborError::NotShortest);
        }
        Ok(())
    }
}

/// How many bytes a number, or the head of an array or a string, takes.
pub(crate) const fn head_len(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

impl Elements {
    /// Whether another element follows; takes the end mark when none does.
    #[inline]
    pub(crate) fn more(&mut self, reader: &mut Reader<'_>) -> bool {
        match &mut self.left {
            None => !reader.at_break(),
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// Demands another element.
    #[inline]
    pub(crate) fn next(&mut self, reader: &mut Reader<'_>) -> Result<(), CborError> {
        if self.more(reader) { Ok(()) } else { Err(CborError::Count) }
    }

    /// Demands that no element is left.
    #[inline]
    pub(crate) fn finish(mut self, reader: &mut Reader<'_>) -> Result<(), CborError> {
        if self.more(reader) { Err(CborError::Count) } else { Ok(()) }
    }
}

/// Appends items in their deterministic form.
pub(crate) trait Write {
    fn head(&mut self, major: u8, argument: u64);
    fn raw(&mut self, bytes: &[u8]);

    fn put_uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    /// Writes the number `-1 - value`.
    fn put_nint(&mut self, value: u64) {
        self.head(NINT, value);
    }

    /// Writes a number of either sign.
    fn put_int(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.put_uint(value),
            // -1 - n, and !n is that without overflow.
            Err(_) => self.put_nint((!value).unsigned_abs()),
        }
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, len64(bytes.len()));
        self.raw(bytes);
    }

    /// What stands before the bytes of a byte string.
    fn put_bytes_head(&mut self, bytes: usize) {
        self.head(BYTES, len64(bytes));
    }

    fn put_text(&mut self, text: &str) {
        self.head(TEXT, len64(text.len()));
        self.raw(text.as_bytes());
    }

    fn put_array(&mut self, elements: u64) {
        self.head(ARRAY, elements);
    }

    fn put_map(&mut self, pairs: u64) {
        self.head(MAP, pairs);
    }

    fn put_array_indefinite(&mut self) {
        self.raw(&[(ARRAY << 5) | 31]);
    }

    fn put_break(&mut self) {
        self.raw(&[BREAK]);
    }

    fn put_bool(&mut self, value: bool) {
        self.head(SIMPLE, if value { TRUE } else { FALSE });
    }

    fn put_null(&mut self) {
        self.raw(&[0xf6]);
    }
}

impl Write for Vec<u8> {
    fn head(&mut self, major: u8, argument: u64) {
        let first = major << 5;
        let [a, b, c, d, e, f, g, h] = argument.to_be_bytes();
        match head_len(argument) {
            1 => self.push(first | h),
            2 => self.extend_from_slice(&[first | 24, h]),
            3 => self.extend_from_slice(&[first | 25, g, h]),
            5 => self.extend_from_slice(&[first | 26, e, f, g, h]),
            _ => self.extend_from_slice(&[first | 27, a, b, c, d, e, f, g, h]),
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

pub(crate) fn len64(len: usize) -> u64 {
    u64::try_from(len).expect("no target has addresses of more than 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_exactly_one_form() {
        for value in [0, 23, 24, 255, 256, 65_535, 65_536, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
            let mut out = Vec::new();
            out.put_uint(value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.uint(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
        for long in
            [&[0x18, 23][..], &[0x19, 0, 255], &[0x1a, 0, 0, 255, 255], &[0x1b, 0, 0, 0, 0, 255, 0, 0, 0]]
        {
            assert_eq!(Reader::new(long).uint(), Err(CborError::NotShortest));
        }
        assert_eq!(Reader::new(&[0x1c]).uint(), Err(CborError::Type));
        assert_eq!(Reader::new(&[0x1f]).uint(), Err(CborError::Type));
    }

    #[test]
    fn a_length_beyond_the_input_is_refused_before_anything_is_allocated() {
        let huge = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Reader::new(&huge).bytes_definite(), Err(CborError::Truncated));
    }

    #[test]
    fn indefinite_texts_are_joined_and_do_not_nest() {
        assert_eq!(Reader::new(&[0x7f, 0x61, b'a', 0x62, b'b', b'c', 0xff]).text().unwrap(), "abc");
        assert_eq!(Reader::new(&[0x7f, 0x7f, 0xff, 0xff]).text(), Err(CborError::Indefinite));
        assert_eq!(Reader::new(&[0x7f, 0x41, b'a', 0xff]).text(), Err(CborError::Type));
        assert_eq!(Reader::new(&[0x7f, 0x61, b'a']).text(), Err(CborError::Truncated));
        assert_eq!(Reader::new(&[0x5f, 0x41, 1, 0xff]).bytes_definite(), Err(CborError::Indefinite));
    }

    #[test]
    fn arrays_are_counted() {
        for bytes in [&[0x82, 1, 2][..], &[0x9f, 1, 2, 0xff]] {
            let mut reader = Reader::new(bytes);
            let mut elements = reader.array().unwrap();
            for value in [1, 2] {
                elements.next(&mut reader).unwrap();
                assert_eq!(reader.uint(), Ok(value));
            }
            assert_eq!(elements.finish(&mut reader), Ok(()));
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn numbers_of_both_signs_are_read() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[0x20], -1),
            (&[0x38, 99], -100),
            (&[0x1b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i64::MAX),
            (&[0x3b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i64::MIN),
        ] {
            assert_eq!(Reader::new(bytes).int(), Ok(value));
        }
        for bytes in [&[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &[0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0], &[0x40]] {
            assert_eq!(Reader::new(bytes).int(), Err(CborError::Type));
        }
        assert_eq!(Reader::new(&[0x38, 1]).int(), Err(CborError::NotShortest));
    }

    #[test]
    fn an_item_of_any_type_is_passed_as_a_whole() {
        for item in [
            &[0x17][..],
            &[0x38, 99],
            &[0x42, 1, 2],
            &[0x5f, 0x41, 1, 0xff],
            &[0x62, b'h', b'i'],
            &[0x82, 1, 0x81, 2],
            &[0x9f, 1, 0xff],
            &[0xa1, 1, 0x82, 1, 2],
            &[0xbf, 1, 2, 0xff],
            &[0xc1, 0x1a, 0, 1, 0, 0],
            &[0xf6],
            &[0xf8, 32],
            &[0xf9, 0, 0],
            &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            let bytes = [item, &[1]].concat();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.item(), Ok(item));
            assert_eq!(reader.uint(), Ok(1));
            for cut in 0..item.len() {
                assert_eq!(Reader::new(&item[..cut]).item(), Err(CborError::Truncated), "{item:?} {cut}");
            }
        }
        for item in [&[0xff][..], &[0xf8, 31], &[0x61, 0xff], &[0xbf, 1, 0xff], &[0xdf], &[0x18, 1], &[0xfc]]
        {
            assert!(Reader::new(item).item().is_err(), "{item:?}");
        }
    }

    #[test]
    fn items_nest_as_deep_as_the_limit_and_no_deeper() {
        let nested = |arrays: usize| [[0x81].repeat(arrays), [0].to_vec()].concat();
        let most = usize::from(ITEM_DEPTH_MAX) - 1;
        assert!(Reader::new(&nested(most)).item().is_ok());
        assert_eq!(Reader::new(&nested(most + 1)).item(), Err(CborError::Depth));
        assert_eq!(Reader::new(&nested(100_000)).item(), Err(CborError::Depth));
    }
}
