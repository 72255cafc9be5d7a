//! Reading a bundle piece by piece.

use alloc::vec::Vec;

use super::checkpoint::{self, CheckpointError};
use super::header::Header;
use super::scan::{Head, HeadScan, ItemScan};
use crate::block::{Block, BlockFlags, BlockKind, PAYLOAD_NUMBER};
use crate::bundle::DecodeError;
use crate::cbor::{ARRAY, BREAK, BYTES, CborError, Reader};
use crate::crc::CrcType;
use crate::primary::Primary;
use crate::rules::BlockCount;
use crate::view::{BlockView, PrimaryView};

const CHECKPOINT_VERSION: u64 = 1;

/// What can follow after a payload: a checksum with its head, and two end marks.
const TAIL_BYTES_MAX: u64 = 7;

/// What a node is ready to take of a bundle that it does not hold in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Most bytes before the payload. They are held in memory, encoded and decoded.
    pub header_bytes_max: usize,
    /// Longest payload.
    pub payload_bytes_max: u64,
    /// Most blocks after the primary block, counted as in [`Limits::blocks_max`](crate::Limits::blocks_max).
    pub blocks_max: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { header_bytes_max: 64 << 10, payload_bytes_max: 1 << 40, blocks_max: 32 }
    }
}

/// Why a stream is not a bundle that this node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A rule is broken.
    #[error(transparent)]
    Bundle(#[from] DecodeError),
    /// More than [`StreamLimits::header_bytes_max`] before the payload.
    #[error("the blocks before the payload have more than {bytes_max} bytes")]
    HeaderTooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// A payload longer than [`StreamLimits::payload_bytes_max`].
    #[error("the payload has more than {bytes_max} bytes")]
    PayloadTooLarge {
        /// The limit.
        bytes_max: u64,
    },
}

impl From<CborError> for StreamError {
    fn from(error: CborError) -> Self {
        Self::Bundle(error.into())
    }
}

/// What one call of [`BundleReader::feed`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed<'i> {
    /// How many bytes of the input were taken. The rest is to be fed again, or is not ours after
    /// [`Event::End`].
    pub consumed: usize,
    /// What they were.
    pub event: Event<'i>,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'i> {
    /// Nothing complete; all input was taken.
    NeedMore,
    /// Everything before the payload was read and checked; see [`BundleReader::header`].
    Header,
    /// The next bytes of the payload. Whether they are undamaged is known at the end.
    Payload(&'i [u8]),
    /// The bundle is over, and its checksums hold.
    End,
}

/// Reads one bundle from pieces of any size.
#[derive(Debug, Clone)]
pub struct BundleReader {
    limits: StreamLimits,
    /// The bytes before the payload's contents, as they came: a checkpoint has to repeat them.
    raw: Vec<u8>,
    blocks: Vec<Block>,
    count: BlockCount,
    primary: Option<Primary>,
    header: Option<Header>,
    phase: Phase,
    block_start: usize,
    payload: PayloadState,
    position: u64,
    failed: Option<StreamError>,
}

/// Where in the payload block the reader is.
#[derive(Debug, Clone, Copy)]
struct PayloadState {
    /// The checksum so far.
    sum: u32,
    crc: CrcType,
    /// The block's array has an indefinite length.
    open_array: bool,
    /// Bytes left of the payload.
    left: u64,
    delivered: u64,
    /// The checksum that was found so far, and how many of its bytes are missing.
    found: u32,
    found_left: u8,
}

#[derive(Debug, Clone)]
enum Phase {
    Start,
    Primary(ItemScan),
    /// A block or, wrongly, the end.
    Block(HeadScan),
    /// Type, number, flags and checksum type; and how many elements the block has.
    Fields(ItemScan, Option<u64>),
    /// The rest of a block that is not the payload.
    Rest(ItemScan),
    PayloadHead(HeadScan),
    Contents,
    CrcHead(HeadScan),
    CrcBytes,
    BlockBreak,
    BundleBreak,
    End,
}

impl BundleReader {
    /// Ready for the first byte.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        Self {
            limits,
            raw: Vec::new(),
            blocks: Vec::new(),
            count: BlockCount::new(limits.blocks_max),
            primary: None,
            header: None,
            phase: Phase::Start,
            block_start: 0,
            payload: PayloadState::START,
            position: 0,
            failed: None,
        }
    }

    /// Takes bytes up to the next event.
    ///
    /// # Errors
    /// The first rule that is broken. The reader then repeats that error for ever.
    pub fn feed<'i>(&mut self, input: &'i [u8]) -> Result<Fed<'i>, StreamError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let fed = self.advance(input).inspect_err(|error| self.failed = Some(*error))?;
        self.position = self.position.saturating_add(u64::try_from(fed.consumed).unwrap_or(u64::MAX));
        Ok(fed)
    }

    fn advance<'i>(&mut self, input: &'i [u8]) -> Result<Fed<'i>, StreamError> {
        let mut consumed = 0;
        loop {
            if matches!(self.phase, Phase::End) {
                return Ok(Fed { consumed, event: Event::End });
            }
            let rest = input.get(consumed..).unwrap_or_default();
            let Some((byte, _)) = rest.split_first() else {
                return Ok(Fed { consumed, event: Event::NeedMore });
            };
            if matches!(self.phase, Phase::Contents) {
                let bytes = self.contents(rest);
                return Ok(Fed { consumed: consumed + bytes.len(), event: Event::Payload(bytes) });
            }
            consumed += 1;
            if self.take(*byte)? {
                return Ok(Fed { consumed, event: Event::Header });
            }
        }
    }

    /// Passes payload through.
    fn contents<'i>(&mut self, rest: &'i [u8]) -> &'i [u8] {
        let state = &mut self.payload;
        let count = usize::try_from(state.left).unwrap_or(usize::MAX).min(rest.len());
        let bytes = rest.get(..count).unwrap_or_default();
        let taken = u64::try_from(count).unwrap_or(u64::MAX);
        state.sum = state.crc.extend(state.sum, bytes);
        state.left = state.left.saturating_sub(taken);
        state.delivered = state.delivered.saturating_add(taken);
        if state.left == 0 {
            self.phase = state.tail();
        }
        bytes
    }

    /// Takes a byte that is not payload; true if the header is complete with it.
    fn take(&mut self, byte: u8) -> Result<bool, StreamError> {
        if self.header.is_some() {
            self.take_after_header(byte)?;
            return Ok(false);
        }
        if self.raw.len() == self.limits.header_bytes_max {
            return Err(StreamError::HeaderTooLarge { bytes_max: self.limits.header_bytes_max });
        }
        self.raw.push(byte);
        match &mut self.phase {
            Phase::Start => {
                Reader::new(&[byte]).array_indefinite()?;
                self.phase = Phase::Primary(ItemScan::items(1));
            }
            Phase::Primary(scan) => {
                if scan.push(byte)? {
                    let mut reader = Reader::new(self.raw.get(1..).unwrap_or_default());
                    self.primary = Some(PrimaryView::read(&mut reader)?.to_primary());
                    self.next_block();
                }
            }
            Phase::Block(scan) => {
                if let Some(head) = scan.push(byte)? {
                    self.phase = fields(head)?;
                }
            }
            Phase::Fields(scan, count) => {
                if scan.push(byte)? {
                    let count = *count;
                    self.phase = self.after_fields(count)?;
                }
            }
            Phase::Rest(scan) => {
                if scan.push(byte)? {
                    let mut reader = Reader::new(self.raw.get(self.block_start..).unwrap_or_default());
                    self.blocks.push(BlockView::read(&mut reader, true)?.to_block());
                    self.next_block();
                }
            }
            Phase::PayloadHead(scan) => {
                if let Some(head) = scan.push(byte)? {
                    self.begin_payload(head)?;
                    return Ok(true);
                }
            }
            Phase::Contents
            | Phase::CrcHead(_)
            | Phase::CrcBytes
            | Phase::BlockBreak
            | Phase::BundleBreak
            | Phase::End => {}
        }
        Ok(false)
    }

    fn next_block(&mut self) {
        self.block_start = self.raw.len();
        self.phase = Phase::Block(HeadScan::default());
    }

    /// What follows after the first four fields of a block.
    fn after_fields(&mut self, count: Option<u64>) -> Result<Phase, StreamError> {
        let mut reader = Reader::new(self.raw.get(self.block_start..).unwrap_or_default());
        let block = read_fields(&mut reader)?;
        self.count.add(block.kind)?;
        if block.kind != BlockKind::Payload {
            let rest = count.map_or_else(ItemScan::until_break, |count| ItemScan::items(count - 4));
            return Ok(Phase::Rest(rest));
        }
        if count.is_some_and(|count| count != 5 + block.crc.elements()) {
            return Err(CborError::Count.into());
        }
        self.payload = PayloadState { crc: block.crc, open_array: count.is_none(), ..PayloadState::START };
        self.blocks.push(block);
        Ok(Phase::PayloadHead(HeadScan::default()))
    }

    /// Checks everything before the payload.
    fn begin_payload(&mut self, head: Head) -> Result<(), StreamError> {
        let payload_bytes = match head {
            Head::Definite { major: BYTES, argument } => argument,
            // Section 4.3.2: the one place where an indefinite length is ruled out.
            Head::Indefinite { major: BYTES } => return Err(CborError::Indefinite.into()),
            Head::Definite { .. } | Head::Indefinite { .. } | Head::Break => {
                return Err(CborError::Type.into());
            }
        };
        let primary = self.primary.take().ok_or(CborError::Count)?;
        let header = Header::new(&primary, &core::mem::take(&mut self.blocks), payload_bytes)?;
        let bytes_max = self.limits.payload_bytes_max;
        if payload_bytes > bytes_max {
            return Err(StreamError::PayloadTooLarge { bytes_max });
        }
        self.header = Some(header);
        let whole = self.raw.get(self.block_start..).unwrap_or_default();
        let state = &mut self.payload;
        state.sum = state.crc.extend(0, whole);
        state.left = payload_bytes;
        self.phase = if payload_bytes == 0 { state.tail() } else { Phase::Contents };
        Ok(())
    }

    /// Takes a byte around the payload.
    fn take_after_header(&mut self, byte: u8) -> Result<(), StreamError> {
        let state = &mut self.payload;
        let before = state.sum;
        state.sum = state.crc.extend(before, &[byte]);
        match &mut self.phase {
            Phase::CrcHead(scan) => {
                let Some(head) = scan.push(byte)? else { return Ok(()) };
                state.begin_crc(head)?;
                self.phase = Phase::CrcBytes;
            }
            Phase::CrcBytes => {
                // The checksum is taken over zeros in its own place.
                state.sum = state.crc.extend(before, &[0]);
                state.found = (state.found << 8) | u32::from(byte);
                state.found_left = state.found_left.saturating_sub(1);
                if state.found_left == 0 {
                    self.phase = state.after_crc()?;
                }
            }
            Phase::BlockBreak => {
                if byte != BREAK {
                    return Err(CborError::Count.into());
                }
                state.check_sum()?;
                self.phase = Phase::BundleBreak;
            }
            Phase::BundleBreak => {
                if byte != BREAK {
                    return Err(DecodeError::PayloadPlace.into());
                }
                self.phase = Phase::End;
            }
            Phase::Start
            | Phase::Primary(_)
            | Phase::Block(_)
            | Phase::Fields(..)
            | Phase::Rest(_)
            | Phase::PayloadHead(_)
            | Phase::Contents
            | Phase::End => {}
        }
        Ok(())
    }

    /// Says that no input follows.
    ///
    /// # Errors
    /// If the bundle is not complete, or was refused.
    pub fn finish(&self) -> Result<(), StreamError> {
        match (self.failed, &self.phase) {
            (Some(error), _) => Err(error),
            (None, Phase::End) => Ok(()),
            (None, _) => Err(CborError::Truncated.into()),
        }
    }

    /// What was read before the payload, after [`Event::Header`].
    #[must_use]
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// How many bytes were taken so far: where a transfer goes on.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes of payload were given out so far.
    #[must_use]
    pub const fn payload_position(&self) -> u64 {
        self.payload.delivered
    }

    /// Everything that is needed to go on at [`BundleReader::position`] after a restart. It has a
    /// few dozen bytes more than the blocks before the payload.
    ///
    /// # Errors
    /// If the bundle was refused: there is nothing to go on with.
    pub fn checkpoint(&self) -> Result<Vec<u8>, StreamError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let state = &self.payload;
        let (phase, partial) = match &self.phase {
            Phase::Contents => (1, &[][..]),
            Phase::CrcHead(scan) => (2, scan.partial()),
            Phase::CrcBytes => (3, &[][..]),
            Phase::BlockBreak => (4, &[][..]),
            Phase::BundleBreak => (5, &[][..]),
            Phase::End => (6, &[][..]),
            Phase::Start
            | Phase::Primary(_)
            | Phase::Block(_)
            | Phase::Fields(..)
            | Phase::Rest(_)
            | Phase::PayloadHead(_) => (0, &[][..]),
        };
        let numbers = [
            phase,
            self.position,
            state.delivered,
            state.left,
            state.sum.into(),
            state.found.into(),
            state.found_left.into(),
        ];
        Ok(checkpoint::write(CHECKPOINT_VERSION, &numbers, [&self.raw, partial]))
    }

    /// A reader that goes on where [`BundleReader::checkpoint`] was called.
    ///
    /// # Errors
    /// If the checkpoint is damaged, or its header is refused now.
    pub fn resume(bytes: &[u8], limits: StreamLimits) -> Result<Self, CheckpointError> {
        let ([phase, position, delivered, numbers @ ..], [raw, partial]) =
            checkpoint::read::<7>(bytes, CHECKPOINT_VERSION)?;
        let mut reader = Self::new(limits);
        let mut rest = raw.as_slice();
        while let Some((_, _)) = rest.split_first().filter(|_| reader.header.is_none()) {
            let fed = reader.feed(rest)?;
            rest = rest.get(fed.consumed..).unwrap_or_default();
        }
        let in_payload = reader.header.is_some();
        if !rest.is_empty() || in_payload != (phase != 0) || position < reader.position {
            return Err(CheckpointError::Contradiction);
        }
        if in_payload {
            let behind =
                reader.position.checked_add(delivered).and_then(|before| position.checked_sub(before));
            if behind.is_none_or(|tail| tail > TAIL_BYTES_MAX || (phase == 1 && tail > 0)) {
                return Err(CheckpointError::Contradiction);
            }
            reader.position = position;
            reader.payload.delivered = delivered;
            reader.restore(phase, numbers, &partial)?;
        } else if position != reader.position {
            return Err(CheckpointError::Contradiction);
        }
        Ok(reader)
    }

    fn restore(&mut self, phase: u64, numbers: [u64; 4], partial: &[u8]) -> Result<(), CheckpointError> {
        let wrong = CheckpointError::Contradiction;
        let [left, sum, found, found_left] = numbers;
        let declared = self.header.as_ref().map(|header| header.payload_bytes());
        let whole = declared.is_some() && self.payload.delivered.checked_add(left) == declared;
        let state = &mut self.payload;
        let missing = u8::try_from(found_left).ok().filter(|missing| *missing <= state.crc.width());
        if !whole || (left > 0) != (phase == 1) {
            return Err(wrong);
        }
        state.left = left;
        state.sum = u32::try_from(sum).map_err(|_| wrong)?;
        state.found = u32::try_from(found).map_err(|_| wrong)?;
        state.found_left = missing.ok_or(wrong)?;
        let mut scan = HeadScan::default();
        for byte in partial {
            if scan.push(*byte).map_err(|_| wrong)?.is_some() {
                return Err(wrong);
            }
        }
        self.phase = match phase {
            1 => Phase::Contents,
            2 if state.crc != CrcType::None => Phase::CrcHead(scan),
            3 if state.found_left > 0 => Phase::CrcBytes,
            4 if state.open_array => Phase::BlockBreak,
            5 => Phase::BundleBreak,
            6 => Phase::End,
            _ => return Err(wrong),
        };
        Ok(())
    }
}

impl PayloadState {
    const START: Self = Self {
        sum: 0,
        crc: CrcType::None,
        open_array: false,
        left: 0,
        delivered: 0,
        found: 0,
        found_left: 0,
    };

    /// What follows after the contents.
    fn tail(&self) -> Phase {
        match (self.crc, self.open_array) {
            (CrcType::Crc16 | CrcType::Crc32, _) => Phase::CrcHead(HeadScan::default()),
            (CrcType::None, true) => Phase::BlockBreak,
            (CrcType::None, false) => Phase::BundleBreak,
        }
    }

    fn begin_crc(&mut self, head: Head) -> Result<(), StreamError> {
        let width = self.crc.width();
        match head {
            Head::Definite { major: BYTES, argument } if argument == u64::from(width) => {
                self.found_left = width;
                Ok(())
            }
            Head::Definite { major: BYTES, .. } => {
                Err(DecodeError::CrcLength { block: PAYLOAD_NUMBER }.into())
            }
            Head::Indefinite { major: BYTES } => Err(CborError::Indefinite.into()),
            Head::Break => Err(CborError::Count.into()),
            Head::Definite { .. } | Head::Indefinite { .. } => Err(CborError::Type.into()),
        }
    }

    fn after_crc(&self) -> Result<Phase, StreamError> {
        if self.open_array {
            return Ok(Phase::BlockBreak);
        }
        self.check_sum()?;
        Ok(Phase::BundleBreak)
    }

    fn check_sum(&self) -> Result<(), StreamError> {
        if self.crc != CrcType::None && self.found != self.sum {
            return Err(DecodeError::Crc { block: PAYLOAD_NUMBER }.into());
        }
        Ok(())
    }
}

/// What follows after the head of a block.
fn fields(head: Head) -> Result<Phase, StreamError> {
    match head {
        Head::Break => Err(DecodeError::NoPayload.into()),
        Head::Definite { major: ARRAY, argument: count @ (5 | 6) } => {
            Ok(Phase::Fields(ItemScan::items(4), Some(count)))
        }
        Head::Definite { major: ARRAY, .. } => Err(CborError::Count.into()),
        Head::Indefinite { major: ARRAY } => Ok(Phase::Fields(ItemScan::items(4), None)),
        Head::Definite { .. } | Head::Indefinite { .. } => Err(CborError::Type.into()),
    }
}

/// The first four fields of a block, without its data.
fn read_fields(reader: &mut Reader<'_>) -> Result<Block, DecodeError> {
    let mut elements = reader.array()?;
    elements.next(reader)?;
    let kind = BlockKind::from_code(reader.uint()?);
    elements.next(reader)?;
    let number = reader.uint()?;
    elements.next(reader)?;
    let flags = BlockFlags(reader.uint()?);
    elements.next(reader)?;
    let code = reader.uint()?;
    let crc = CrcType::from_code(code).ok_or(DecodeError::CrcType { block: number, code })?;
    Ok(Block { kind, number, flags, crc, data: Vec::new() })
}
