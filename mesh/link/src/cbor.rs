//! A reader that takes deterministic CBOR only (RFC 8949, 4.2.1).

use minicbor::Decoder;

use crate::frame::FrameError;

/// Reads the few kinds of value that frames are made of, and refuses every other spelling of them.
pub(crate) struct Reader<'a> {
    decoder: Decoder<'a>,
}

/// How many bytes the head of a value takes in its shortest form.
pub(crate) const fn head_bytes(value: u64) -> usize {
    match value {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { decoder: Decoder::new(bytes) }
    }

    pub(crate) fn array(&mut self) -> Result<u64, FrameError> {
        let start = self.decoder.position();
        let len = self.decoder.array().map_err(|_| FrameError::Malformed)?.ok_or(FrameError::Malformed)?;
        self.shortest(start, head_bytes(len))?;
        Ok(len)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, FrameError> {
        let start = self.decoder.position();
        let value = self.decoder.u64().map_err(|_| FrameError::Malformed)?;
        self.shortest(start, head_bytes(value))?;
        Ok(value)
    }

    /// A number, or nothing (`null`).
    pub(crate) fn optional_uint(&mut self) -> Result<Option<u64>, FrameError> {
        if self.decoder.datatype().map_err(|_| FrameError::Malformed)? == minicbor::data::Type::Null {
            self.decoder.null().map_err(|_| FrameError::Malformed)?;
            return Ok(None);
        }
        self.uint().map(Some)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], FrameError> {
        let start = self.decoder.position();
        let bytes = self.decoder.bytes().map_err(|_| FrameError::Malformed)?;
        let len = u64::try_from(bytes.len()).map_err(|_| FrameError::Malformed)?;
        self.shortest(start, head_bytes(len).saturating_add(bytes.len()))?;
        Ok(bytes)
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<&'a [u8; N], FrameError> {
        self.bytes()?.try_into().map_err(|_| FrameError::Malformed)
    }

    /// Nothing may follow the value.
    pub(crate) fn end(&self) -> Result<(), FrameError> {
        if self.decoder.position() == self.decoder.input().len() {
            Ok(())
        } else {
            Err(FrameError::Malformed)
        }
    }

    fn shortest(&self, start: usize, len: usize) -> Result<(), FrameError> {
        if self.decoder.position().checked_sub(start) == Some(len) {
            Ok(())
        } else {
            Err(FrameError::Malformed)
        }
    }
}
