//! What a table holds under a key: a short value itself, or where a longer one lies.

use crate::fault::{Fault, corrupt};
use crate::op::count;

/// Longer values are cut into chunks, so that a part can be read without the whole.
pub(crate) const INLINE_BYTES_MAX: usize = 8 * 1024;
/// Longer values lie in segment files: from here on they are faster than pages of redb (`docs/design/store.md`).
pub(crate) const CHUNKED_BYTES_MAX: usize = 256 * 1024;
/// With its key and redb's own bytes a chunk just fits a redb page of 64 KiB.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024 - 128;
/// A checksum of an inline value: the first bytes of a BLAKE3.
pub(crate) const SUM_BYTES: usize = 8;

/// The BLAKE3 of a value, which is also the name of a segment file.
pub(crate) type Name = [u8; 32];

// Format 1 wrote the first two, which have no checksum; they are read as long as they are there.
const INLINE_UNCHECKED: u8 = 0;
const CHUNKED_UNCHECKED: u8 = 1;
const INLINE: u8 = 2;
const CHUNKED: u8 = 3;
const FILE: u8 = 4;

/// An entry as it lies in a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry<'a> {
    /// The value itself.
    Inline { sum: Option<&'a [u8]>, value: &'a [u8] },
    /// In chunks within the redb file.
    Chunked { bytes: u64, id: u64, name: Option<Name> },
    /// In a segment file.
    File { bytes: u64, name: Name },
}

impl<'a> Entry<'a> {
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, Fault> {
        match raw.split_first() {
            Some((&INLINE_UNCHECKED, value)) => Ok(Self::Inline { sum: None, value }),
            Some((&INLINE, rest)) => {
                let (sum, value) = rest.split_at_checked(SUM_BYTES).ok_or_else(short)?;
                Ok(Self::Inline { sum: Some(sum), value })
            }
            Some((&kind @ (CHUNKED_UNCHECKED | CHUNKED), rest)) => {
                let (bytes, rest) = rest.split_at_checked(8).ok_or_else(short)?;
                let (id, name) = rest.split_at_checked(8).ok_or_else(short)?;
                let name = match kind {
                    CHUNKED => Some(name.try_into().map_err(|_| short())?),
                    _ if name.is_empty() => None,
                    _ => return Err(short()),
                };
                Ok(Self::Chunked { bytes: number(bytes)?, id: number(id)?, name })
            }
            Some((&FILE, rest)) => {
                let (bytes, name) = rest.split_at_checked(8).ok_or_else(short)?;
                Ok(Self::File { bytes: number(bytes)?, name: name.try_into().map_err(|_| short())? })
            }
            _ => Err(corrupt("an entry of unknown kind")),
        }
    }

    /// The length of the value.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Inline { value, .. } => count(value.len()),
            Self::Chunked { bytes, .. } | Self::File { bytes, .. } => *bytes,
        }
    }
}

/// Writes an entry of a short value into `out`.
pub(crate) fn encode_inline(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.clear();
    out.push(INLINE);
    out.extend_from_slice(&sum(key, value));
    out.extend_from_slice(value);
}

/// Writes an entry of a value in chunks into `out`.
pub(crate) fn encode_chunked(out: &mut Vec<u8>, bytes: usize, id: u64, name: &Name) {
    out.clear();
    out.push(CHUNKED);
    out.extend_from_slice(&count(bytes).to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(name);
}

/// Writes an entry of a value in a segment file into `out`.
pub(crate) fn encode_file(out: &mut Vec<u8>, bytes: usize, name: &Name) {
    out.clear();
    out.push(FILE);
    out.extend_from_slice(&count(bytes).to_be_bytes());
    out.extend_from_slice(name);
}

/// The checksum of a short value. The key is part of it, since a key can rot as well.
pub(crate) fn sum(key: &[u8], value: &[u8]) -> [u8; SUM_BYTES] {
    let mut sum = [0; SUM_BYTES];
    let hash = blake3::Hasher::new().update(value).update(key).finalize();
    hash.as_bytes().iter().zip(&mut sum).for_each(|(from, to)| *to = *from);
    sum
}

pub(crate) fn number(raw: &[u8]) -> Result<u64, Fault> {
    raw.try_into().map(u64::from_be_bytes).map_err(|_| corrupt("a number of the wrong length"))
}

fn short() -> Fault {
    corrupt("an entry of the wrong length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_nothing_shorter_or_longer() {
        let mut out = Vec::new();
        encode_inline(&mut out, b"key", b"value");
        let Ok(Entry::Inline { sum: Some(found), value: b"value" }) = Entry::decode(&out) else { panic!() };
        assert_eq!(found, sum(b"key", b"value"));
        assert_ne!(sum(b"key", b"value"), sum(b"kez", b"value"));
        assert!(Entry::decode(&out[..8]).is_err());
        encode_chunked(&mut out, 70_000, 7, &[9; 32]);
        assert_eq!(Entry::decode(&out), Ok(Entry::Chunked { bytes: 70_000, id: 7, name: Some([9; 32]) }));
        let old = [&[CHUNKED_UNCHECKED], &out[1..17]].concat();
        assert_eq!(Entry::decode(&old), Ok(Entry::Chunked { bytes: 70_000, id: 7, name: None }));
        encode_file(&mut out, 300_000, &[9; 32]);
        assert_eq!(Entry::decode(&out), Ok(Entry::File { bytes: 300_000, name: [9; 32] }));
        for len in 0..out.len() {
            assert!(Entry::decode(&out[..len]).is_err());
        }
        out.push(0);
        assert!(Entry::decode(&out).is_err());
        assert!(Entry::decode(&[5]).is_err());
    }
}
