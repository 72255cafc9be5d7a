//! A digest of a set for one frame of a radio link: fingerprints of some ranges, as long as fits.

use alloc::vec::Vec;

use super::prefix::{Prefix, key_bytes};
use super::set::IdSet;
use super::summary::Salt;

/// Bits of a fingerprint below which fewer ranges with longer fingerprints are better: a difference is overlooked
/// once in 64 digests.
const BITS_MIN: usize = 6;
/// Longest fingerprint in bits.
const BITS_MAX: usize = 64;
/// Bytes before the fingerprints, without the key of the range.
const HEAD_BYTES: usize = 6;

/// Why bytes are not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not the fields of a digest.
    #[error("a digest is malformed")]
    Malformed,
}

/// A digest of the ids in a range, at most `bytes_max` bytes; `None` if not even one short fingerprint fits, which
/// needs 7 bytes for the whole set and up to 32 more for a deep range.
///
/// It has the fingerprints of 256 parts of the range where there is room for 6 bits each (198 bytes for the whole set),
/// else of its 16 parts (18 bytes), else of the range itself. What differs may look alike by chance; with another salt in
/// the next digest it will not.
///
/// ```text
/// levels (2 bits: 1, 16 or 256 parts), bits of a fingerprint less one (6 bits), depth (1), key, salt (4),
/// fingerprints side by side, the first in the highest bits, zero bits at the end
/// ```
#[must_use]
pub fn digest(set: &dyn IdSet, range: &Prefix, salt: [u8; 4], bytes_max: usize) -> Option<Vec<u8>> {
    let room = bytes_max.checked_sub(HEAD_BYTES)?.checked_sub(range.key().len())?.checked_mul(8)?;
    let (levels, bits) = [(2, room / 256), (1, room / 16), (0, room)]
        .into_iter()
        .find(|(levels, bits)| *bits >= BITS_MIN && range.depth() <= 64 - levels)?;
    let bits = bits.min(BITS_MAX);
    let mut bytes = Vec::from([(levels << 6) | u8::try_from(bits.checked_sub(1)?).ok()?, range.depth()]);
    bytes.extend_from_slice(range.key());
    bytes.extend_from_slice(&salt);
    let mut packed = Packed::default();
    for part in parts(*range, levels) {
        packed.push(fingerprint(set, &part, salt), bits);
    }
    bytes.extend(packed.finish());
    Some(bytes)
}

/// The ranges in which a set differs from what a digest is of, ascending; none if no difference shows.
///
/// # Errors
/// [`DigestError`] if the bytes are no digest.
pub fn compare(set: &dyn IdSet, digest: &[u8]) -> Result<Vec<Prefix>, DigestError> {
    let Parsed { range, levels, bits, salt, fingerprints } = parse(digest).ok_or(DigestError::Malformed)?;
    let mut packed = Packed::default();
    let mut differing = Vec::new();
    let mut reader = BitReader { bytes: fingerprints, at: 0 };
    for part in parts(range, levels) {
        let theirs = reader.next(bits).ok_or(DigestError::Malformed)?;
        packed.push(theirs, bits);
        let shift = BITS_MAX.saturating_sub(bits);
        if fingerprint(set, &part, salt) >> shift != theirs >> shift {
            differing.push(part);
        }
    }
    // One spelling: nothing behind the fingerprints, and zeros in the last byte.
    if packed.finish() == fingerprints { Ok(differing) } else { Err(DigestError::Malformed) }
}

/// A digest whose fields were told apart.
struct Parsed<'a> {
    range: Prefix,
    levels: u8,
    bits: usize,
    salt: [u8; 4],
    fingerprints: &'a [u8],
}

fn parse(digest: &[u8]) -> Option<Parsed<'_>> {
    let ([head, depth], rest) = digest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(key_bytes(*depth))?;
    let range = Prefix::from_key(*depth, key)?;
    let (salt, fingerprints) = rest.split_first_chunk()?;
    let levels = head >> 6;
    let bits = usize::from(head & 0x3f).saturating_add(1);
    let parts = match levels {
        0 => 1_usize,
        1 => 16,
        2 => 256,
        _ => return None,
    };
    let whole = parts.checked_mul(bits)?.div_ceil(8);
    let fits = *depth <= 64 - levels && fingerprints.len() == whole;
    fits.then_some(Parsed { range, levels, bits, salt: *salt, fingerprints })
}

fn parts(range: Prefix, levels: u8) -> Vec<Prefix> {
    let mut parts = Vec::from([range]);
    for _ in 0..levels {
        parts = parts.iter().flat_map(Prefix::children).collect();
    }
    parts
}

fn fingerprint(set: &dyn IdSet, part: &Prefix, [a, b, c, d]: [u8; 4]) -> u64 {
    let salt: Salt = [a, b, c, d, 0, 0, 0, 0];
    let [a, b, c, d, e, f, g, h, ..] = set.summary(part).fingerprint(&salt, part);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Bits side by side.
#[derive(Default)]
struct Packed {
    bytes: Vec<u8>,
    open: u8,
    used: u8,
}

impl Packed {
    /// Adds the highest bits of a number.
    fn push(&mut self, number: u64, bits: usize) {
        let mut number = number;
        for _ in 0..bits {
            self.open = (self.open << 1) | u8::from(number >> 63 == 1);
            number <<= 1;
            self.used = self.used.saturating_add(1);
            if self.used == 8 {
                self.bytes.push(self.open);
                (self.open, self.used) = (0, 0);
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.used > 0 {
            self.bytes.push(self.open << 8_u8.saturating_sub(self.used));
        }
        self.bytes
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    /// The next bits, as the highest ones of a number.
    fn next(&mut self, bits: usize) -> Option<u64> {
        let mut number = 0;
        for place in 0..bits {
            let byte = self.bytes.get(self.at / 8)?;
            let bit = (byte >> (7 - self.at % 8)) & 1;
            number |= u64::from(bit) << (63_usize.saturating_sub(place));
            self.at = self.at.saturating_add(1);
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::MemorySet;
    use cairn_bundle::Digest;

    fn id(n: u32) -> [u8; 32] {
        Digest::of(&n.to_be_bytes()).0
    }

    fn set(count: u32) -> MemorySet {
        (0..count).map(id).collect()
    }

    #[test]
    fn a_digest_fits_and_shows_which_ranges_differ() {
        let mine = set(5_000);
        let mut theirs = mine.clone();
        for n in [3, 900, 77_777] {
            if !theirs.remove(&id(n)) {
                theirs.insert(id(n));
            }
        }
        for (bytes_max, depth) in
            [(7, 0), (17, 0), (18, 1), (50, 1), (197, 1), (198, 2), (230, 2), (1_000, 2), (9_000, 2)]
        {
            let bytes = digest(&theirs, &Prefix::ROOT, [1, 2, 3, 4], bytes_max).unwrap();
            assert!(bytes.len() <= bytes_max && bytes.len() <= 6 + 256 * 8);
            assert_eq!(compare(&theirs, &bytes), Ok(alloc::vec![]));
            let differing = compare(&mine, &bytes).unwrap();
            assert!(differing.iter().all(|range| range.depth() == depth), "{bytes_max} bytes");
            assert!(differing.is_sorted());
            for range in &differing {
                assert!([3, 900, 77_777].iter().any(|n| range.contains(&id(*n))));
            }
            assert!(!differing.is_empty());
        }
        assert_eq!(digest(&mine, &Prefix::ROOT, [0; 4], 6), None);
        assert_eq!(digest(&mine, &Prefix::ROOT, [0; 4], 5), None);
    }

    #[test]
    fn what_is_overlooked_by_chance_shows_with_another_salt() {
        let (mine, theirs) = (set(1_000), set(1_001));
        let shown = (0..=255)
            .filter(|salt| {
                let bytes = digest(&theirs, &Prefix::ROOT, [*salt; 4], 198).unwrap();
                !compare(&mine, &bytes).unwrap().is_empty()
            })
            .count();
        assert!((240..256).contains(&shown), "{shown} of 256 with 6 bits");
    }

    #[test]
    fn a_digest_of_a_deep_range_speaks_of_that_range_only() {
        let mine = set(3_000);
        let mut theirs = mine.clone();
        let odd = id(9);
        theirs.remove(&odd);
        for depth in [1, 2, 3, 5, 30, 62, 63, 64] {
            let range = Prefix::of(&odd, depth);
            let bytes = digest(&theirs, &range, [9; 4], 300).unwrap();
            assert!(bytes.len() <= 300);
            let differing = compare(&mine, &bytes).unwrap();
            assert_eq!(differing, [Prefix::of(&odd, (depth + 2).min(if depth == 63 { 64 } else { 66 }))]);
            let elsewhere = Prefix::of(&id(10), depth);
            if elsewhere != range {
                let bytes = digest(&theirs, &elsewhere, [9; 4], 300).unwrap();
                assert_eq!(compare(&mine, &bytes), Ok(alloc::vec![]));
            }
        }
    }

    #[test]
    fn other_spellings_of_a_digest_are_refused() {
        let mine = set(100);
        for bytes_max in [18, 50, 230] {
            let bytes = digest(&mine, &Prefix::of(&id(1), 3), [1; 4], bytes_max).unwrap();
            for cut in 0..bytes.len() {
                assert_eq!(compare(&mine, &bytes[..cut]), Err(DigestError::Malformed));
            }
            assert_eq!(compare(&mine, &[&bytes[..], &[0]].concat()), Err(DigestError::Malformed));
            for at in 0..4 {
                for bit in 0..8 {
                    let mut bad = bytes.clone();
                    bad[at] ^= 1 << bit;
                    let _ = compare(&mine, &bad);
                }
            }
        }
        // Ten bits of one fingerprint leave six that must be zero.
        let mut bytes = digest(&mine, &Prefix::ROOT, [1; 4], 8).unwrap();
        bytes[0] = 9;
        bytes[7] |= 1;
        assert_eq!(compare(&mine, &bytes), Err(DigestError::Malformed));
        bytes[7] &= 0xc0;
        assert!(compare(&mine, &bytes).is_ok());
        bytes[0] |= 0xc0;
        assert_eq!(compare(&mine, &bytes), Err(DigestError::Malformed), "a third level");
    }
}
