//! What a reader or writer needs to go on after a restart, as bytes.

use alloc::vec::Vec;

use crate::cbor::{CborError, Reader, Write};
use crate::crc::CrcType;

use super::reader::StreamError;

/// A checksum at the end finds damage; it does not keep out a liar, and need not: a checkpoint is
/// written and read by the same node.
const CHECKSUM_BYTES: usize = 4;

/// Why some bytes are not a checkpoint that can be resumed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The bytes were damaged or cut off.
    #[error("the checkpoint is damaged")]
    Damaged,
    /// Written by another version.
    #[error("checkpoints of version {0} are not known")]
    Version(u64),
    /// Not well-formed.
    #[error("the checkpoint is not well-formed: {0}")]
    Cbor(#[from] CborError),
    /// Its numbers contradict each other.
    #[error("the checkpoint contradicts itself")]
    Contradiction,
    /// The header in it is not accepted, for example because limits are lower than they were.
    #[error("the header in the checkpoint is refused: {0}")]
    Header(#[from] StreamError),
}

/// Writes `[kind and version, numbers, bytes, bytes]` and a checksum.
pub(super) fn write(version: u64, numbers: &[u64], strings: [&[u8]; 2]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_array(2 + u64::try_from(numbers.len()).unwrap_or_default() + 1);
    out.put_uint(version);
    numbers.iter().for_each(|number| out.put_uint(*number));
    strings.iter().for_each(|string| out.put_bytes(string));
    let sum = CrcType::Crc32.extend(0, &out);
    out.extend_from_slice(&sum.to_be_bytes());
    out
}

/// Reads what [`write()`] wrote.
pub(super) fn read<const N: usize>(
    bytes: &[u8],
    version: u64,
) -> Result<([u64; N], [Vec<u8>; 2]), CheckpointError> {
    let end = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(CheckpointError::Damaged)?;
    let (body, sum) = bytes.split_at_checked(end).ok_or(CheckpointError::Damaged)?;
    if CrcType::Crc32.extend(0, body).to_be_bytes() != sum {
        return Err(CheckpointError::Damaged);
    }
    let mut reader = Reader::new(body);
    let mut elements = reader.array()?;
    elements.next(&mut reader)?;
    let found = reader.uint()?;
    if found != version {
        return Err(CheckpointError::Version(found));
    }
    let mut numbers = [0; N];
    for number in &mut numbers {
        elements.next(&mut reader)?;
        *number = reader.uint()?;
    }
    let mut strings = [Vec::new(), Vec::new()];
    for string in &mut strings {
        elements.next(&mut reader)?;
        *string = reader.bytes_definite()?.to_vec();
    }
    elements.finish(&mut reader)?;
    reader.end()?;
    Ok((numbers, strings))
}
