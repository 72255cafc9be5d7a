//! Hides the length of what is sealed: a mark, then zeros up to the next bucket.
//!
//! The buckets are Padmé's (Nikitin et al., 2019): the lowest bits of a length are rounded up, so
//! that an observer learns only about `log log` bits of it and at most 12 % are added.

use alloc::vec::Vec;

use zeroize::Zeroizing;

/// Smallest bucket, so that the many short messages of a mesh look alike.
pub(crate) const BUCKET_BYTES_MIN: usize = 256;

const MARK: u8 = 0x80;

/// The smallest bucket that holds `bytes`.
pub(crate) const fn bucket(bytes: usize) -> usize {
    if bytes <= BUCKET_BYTES_MIN {
        return BUCKET_BYTES_MIN;
    }
    let exponent = bytes.ilog2();
    let mantissa_bits = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - mantissa_bits)) - 1;
    (bytes + mask) & !mask
}

/// The payload, the mark, and zeros up to the bucket if `buckets` is set.
///
/// There is room for `tail_bytes` more, so that nothing is left behind in memory by growing.
pub(crate) fn pad(payload: &[u8], buckets: bool, tail_bytes: usize) -> Zeroizing<Vec<u8>> {
    let marked = payload.len() + 1;
    let padded = if buckets { bucket(marked) } else { marked };
    let mut out = Zeroizing::new(Vec::with_capacity(padded + tail_bytes));
    out.extend_from_slice(payload);
    out.push(MARK);
    out.resize(padded, 0);
    out
}

/// The length of the payload before its mark, or `None` if there is no mark.
pub(crate) fn unpadded_len(padded: &[u8]) -> Option<usize> {
    let last = padded.iter().rposition(|byte| *byte != 0)?;
    (padded.get(last) == Some(&MARK)).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back_and_grows_by_at_most_an_eighth() {
        for bytes in (0..5000).chain([65_535, 65_536, 1 << 20, (1 << 20) + 1]) {
            let payload = alloc::vec![MARK; bytes];
            for buckets in [false, true] {
                let padded = pad(&payload, buckets, 16);
                assert!(padded.capacity() >= padded.len() + 16);
                assert_eq!(unpadded_len(&padded), Some(bytes));
                if buckets {
                    assert!(padded.len() >= BUCKET_BYTES_MIN);
                    assert!(padded.len() <= BUCKET_BYTES_MIN.max((bytes + 1) * 9 / 8));
                }
            }
        }
        assert_eq!(bucket(257), 272);
        assert_eq!(bucket(1000), 1024);
    }

    #[test]
    fn bytes_without_a_mark_are_refused() {
        assert_eq!(unpadded_len(&[]), None);
        assert_eq!(unpadded_len(&[0, 0]), None);
        assert_eq!(unpadded_len(&[MARK, 1, 0]), None);
        assert_eq!(unpadded_len(&[MARK]), Some(0));
    }
}
