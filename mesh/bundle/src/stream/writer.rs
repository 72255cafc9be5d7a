//! Writing a bundle piece by piece.

use alloc::vec::Vec;

use super::checkpoint::{self, CheckpointError};
use crate::block::{Block, BlockFlags, BlockKind, PAYLOAD_NUMBER};
use crate::bundle::{Bundle, DecodeError};
use crate::cbor::{BYTES, Write};
use crate::crc::CrcType;
use crate::primary::Primary;

/// Differs from the reader's, so that neither takes the other's.
const CHECKPOINT_VERSION: u64 = 2;

/// How the payload block is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadForm {
    /// What to do with the block on the way.
    pub flags: BlockFlags,
    /// Its checksum.
    pub crc: CrcType,
    /// Length of the payload. RFC 9171 section 4.3.2 wants it in advance: who does not know it has to
    /// collect the payload first.
    pub bytes: u64,
}

/// Why something cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The bundle would not be valid.
    #[error("the bundle would not be valid: {0}")]
    Invalid(#[from] DecodeError),
    /// More or less payload than was announced.
    #[error("{bytes} bytes of payload were announced, {found} are there")]
    Length {
        /// The announced length.
        bytes: u64,
        /// What would be written.
        found: u64,
    },
    /// The bundle was finished before.
    #[error("the bundle is finished")]
    Finished,
}

/// Says what to write around the payload, which passes by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleWriter {
    crc: CrcType,
    sum: u32,
    payload_bytes_announced: u64,
    payload_bytes: u64,
    written_bytes: u64,
    finished: bool,
}

impl BundleWriter {
    /// A writer, and the bytes to write before the payload. `blocks` does not contain the payload.
    ///
    /// # Errors
    /// If the bundle would not be valid.
    pub fn new(
        primary: &Primary,
        blocks: &[Block],
        form: PayloadForm,
    ) -> Result<(Self, Vec<u8>), WriteError> {
        let (kind, number) = (BlockKind::Payload, PAYLOAD_NUMBER);
        let payload = Block { kind, number, flags: form.flags, crc: form.crc, data: Vec::new() };
        let mut all = blocks.to_vec();
        all.push(payload.clone());
        let bundle = Bundle::new(primary.clone(), all)?;
        if let Some(fragment) = primary.fragment {
            let end = fragment.offset.checked_add(form.bytes);
            end.filter(|end| *end <= fragment.total_bytes).ok_or(DecodeError::FragmentRange)?;
        }

        let mut out = Vec::new();
        out.put_array_indefinite();
        bundle.primary().write(&mut out);
        blocks.iter().for_each(|block| block.write(&mut out));
        let start = out.len();
        out.put_array(5 + form.crc.elements());
        payload.write_metadata(&mut out);
        out.put_uint(form.crc.code());
        out.head(BYTES, form.bytes);
        let writer = Self {
            crc: form.crc,
            sum: form.crc.extend(0, out.get(start..).unwrap_or_default()),
            payload_bytes_announced: form.bytes,
            payload_bytes: 0,
            written_bytes: u64::try_from(out.len()).unwrap_or(u64::MAX),
            finished: false,
        };
        Ok((writer, out))
    }

    /// Notes the next bytes of the payload, which the caller writes.
    ///
    /// # Errors
    /// If there is more payload than was announced; nothing has changed then.
    pub fn payload(&mut self, payload: &[u8]) -> Result<(), WriteError> {
        if self.finished {
            return Err(WriteError::Finished);
        }
        let bytes = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let found = self.payload_bytes.saturating_add(bytes);
        if found > self.payload_bytes_announced {
            return Err(WriteError::Length { bytes: self.payload_bytes_announced, found });
        }
        self.sum = self.crc.extend(self.sum, payload);
        self.payload_bytes = found;
        self.written_bytes = self.written_bytes.saturating_add(bytes);
        Ok(())
    }

    /// What to write after the payload.
    ///
    /// # Errors
    /// If there was less payload than announced; nothing has changed then, more payload can follow.
    pub fn finish(&mut self) -> Result<Vec<u8>, WriteError> {
        if self.finished {
            return Err(WriteError::Finished);
        }
        let (bytes, found) = (self.payload_bytes_announced, self.payload_bytes);
        if found != bytes {
            return Err(WriteError::Length { bytes, found });
        }
        let mut out = Vec::new();
        self.crc.write_after(&mut out, self.sum);
        out.put_break();
        self.written_bytes = self.written_bytes.saturating_add(u64::try_from(out.len()).unwrap_or(u64::MAX));
        self.finished = true;
        Ok(out)
    }

    /// How many bytes of the bundle were given out so far, payload included.
    #[must_use]
    pub const fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// How many bytes of payload were noted so far.
    #[must_use]
    pub const fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Everything that is needed to go on after [`BundleWriter::written_bytes`] bytes of output.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let numbers = [
            self.crc.code(),
            self.sum.into(),
            self.payload_bytes_announced,
            self.payload_bytes,
            self.written_bytes,
            self.finished.into(),
        ];
        checkpoint::write(CHECKPOINT_VERSION, &numbers, [&[], &[]])
    }

    /// A writer that goes on where [`BundleWriter::checkpoint`] was called.
    ///
    /// # Errors
    /// If the checkpoint is damaged or not one of a writer.
    pub fn resume(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::Contradiction;
        let (numbers, _) = checkpoint::read::<6>(bytes, CHECKPOINT_VERSION)?;
        let [code, sum, payload_bytes_announced, payload_bytes, written_bytes, finished] = numbers;
        let complete = payload_bytes == payload_bytes_announced;
        let possible = payload_bytes <= payload_bytes_announced && payload_bytes <= written_bytes;
        if !possible || finished > 1 || (finished == 1 && !complete) {
            return Err(wrong);
        }
        Ok(Self {
            crc: CrcType::from_code(code).ok_or(wrong)?,
            sum: u32::try_from(sum).map_err(|_| wrong)?,
            payload_bytes_announced,
            payload_bytes,
            written_bytes,
            finished: finished == 1,
        })
    }
}
