//! How large fragments should be, when a bundle is too large for what lies ahead.
//!
//! A bundle goes whole wherever it can: fragments repeat its header, and the first one that is lost delays them all. It
//! is cut when the contact will probably end before it is through, when the frames of the link are so small that too
//! many of them would have to arrive in one contact, or when the peer takes nothing so large. What was transferred then
//! is kept by the peer, and the rest goes on at the next contact.

use crate::record::BundleRecord;

/// Smallest fragment in bytes: what every one repeats (some 300 bytes, with two endpoints and the blocks that go into
/// each) is then less than a third of it.
pub const PIECE_BYTES_MIN: u64 = 1_024;

/// Most fragments that a bundle is cut into at a time.
pub const PIECES_MAX: u64 = 4_096;

/// What every fragment repeats at most, as far as the number of fragments goes.
const REPEATED_BYTES: u64 = 512;

/// What carriers add to a bundle on its way at most: the previous node, a longer hop count, a longer age. A bundle that
/// leaves its author with so many bytes less than the largest item passes every node with that limit.
pub const CARRIED_BYTES_MAX: u64 = 256;

/// Bytes by which an age may grow while it waits for a link.
const AGED_BYTES_MAX: u64 = 8;

/// Frames that one fragment may take on a link with small frames: what is lost when the link breaks.
const FRAMES_PER_PIECE: u64 = 16;

/// A contact is cut into so many parts, so that no more than one of them is lost when it ends early.
const PIECES_PER_CONTACT: u64 = 8;

/// What lies ahead of a bundle on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// Bytes of the largest frame; `None` for a stream.
    pub mtu: Option<u32>,
    /// Bytes that will probably go through before the contact ends; `None` if there is no forecast.
    pub volume_bytes: Option<u64>,
    /// Bytes of the largest item that the peer takes.
    pub item_bytes_max: u64,
}

impl Passage {
    /// The volume of a contact that stays for `expected_ms` milliseconds more; `None` if the one or the other is not
    /// known.
    #[must_use]
    pub fn volume(rate_bytes_s: Option<u64>, expected_ms: Option<u64>) -> Option<u64> {
        let volume = u128::from(rate_bytes_s?) * u128::from(expected_ms?) / 1_000;
        Some(u64::try_from(volume).unwrap_or(u64::MAX))
    }
}

/// How many bytes the encoded fragments of a bundle should have at most; `None` if it is to be sent whole, or must not
/// be cut.
///
/// What it says is at least [`PIECE_BYTES_MIN`], less than the bundle's size, no more than the peer takes, and gives no
/// more than [`PIECES_MAX`] fragments.
#[must_use]
pub fn piece_bytes(record: &BundleRecord, passage: &Passage) -> Option<u64> {
    if !record.may_fragment {
        return None;
    }
    let bytes = record.bytes;
    let too_large = bytes.saturating_add(AGED_BYTES_MAX) > passage.item_bytes_max;
    let too_large = too_large.then(|| passage.item_bytes_max.saturating_sub(CARRIED_BYTES_MAX));
    // Forecasts are optimistic as often as not: a quarter of a contact is not counted on.
    let too_long = passage.volume_bytes.filter(|volume| bytes > volume / 4 * 3);
    let too_long = too_long.map(|volume| volume / PIECES_PER_CONTACT);
    let frames = passage.mtu.map(|mtu| u64::from(mtu).saturating_mul(FRAMES_PER_PIECE));
    let wanted = [too_large, too_long, frames].into_iter().flatten().min()?;
    let least = PIECE_BYTES_MIN.max(bytes.div_ceil(PIECES_MAX).saturating_add(REPEATED_BYTES));
    let piece = wanted.max(least);
    (piece < bytes && piece <= passage.item_bytes_max).then_some(piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use proptest::prelude::*;

    const STREAM: Passage = Passage { mtu: None, volume_bytes: None, item_bytes_max: 8 << 20 };

    fn sized(bytes: u64) -> BundleRecord {
        BundleRecord { bytes, ..record() }
    }

    #[test]
    fn a_bundle_goes_whole_wherever_it_can() {
        assert_eq!(piece_bytes(&sized((8 << 20) - AGED_BYTES_MAX), &STREAM), None);
        let contact = Passage { volume_bytes: Some(4_000_000), ..STREAM };
        assert_eq!(piece_bytes(&sized(3_000_000), &contact), None);
        let radio = Passage { mtu: Some(233), ..STREAM };
        assert_eq!(piece_bytes(&sized(3_728), &radio), None);
    }

    #[test]
    fn what_is_too_large_for_the_contact_the_frames_or_the_peer_is_cut() {
        let contact = Passage { volume_bytes: Some(4_000_000), ..STREAM };
        assert_eq!(piece_bytes(&sized(3_000_001), &contact), Some(500_000));
        let radio = Passage { mtu: Some(233), ..STREAM };
        assert_eq!(piece_bytes(&sized(3_729), &radio), Some(3_728));
        // Its pieces pass further nodes with the same limit.
        let least = (8 << 20) - AGED_BYTES_MAX + 1;
        assert_eq!(piece_bytes(&sized(least), &STREAM), Some((8 << 20) - CARRIED_BYTES_MAX));
        let forbidden = BundleRecord { may_fragment: false, ..sized(9 << 20) };
        assert_eq!(piece_bytes(&forbidden, &contact), None);
    }

    #[test]
    fn pieces_are_neither_too_small_nor_too_many() {
        let short = Passage { volume_bytes: Some(0), mtu: Some(1), ..STREAM };
        assert_eq!(piece_bytes(&sized(5_000), &short), Some(PIECE_BYTES_MIN));
        assert_eq!(piece_bytes(&sized(PIECE_BYTES_MIN), &short), None);
        assert_eq!(piece_bytes(&sized(PIECES_MAX * 10_000), &short), Some(10_512));
        // A peer that takes next to nothing gets nothing, rather than what it cannot take.
        let tiny = Passage { item_bytes_max: 100, ..STREAM };
        assert_eq!(piece_bytes(&sized(5_000), &tiny), None);
    }

    #[test]
    fn the_volume_of_a_contact_does_not_overflow() {
        assert_eq!(Passage::volume(Some(50), Some(2_500)), Some(125));
        assert_eq!(Passage::volume(Some(u64::MAX), Some(u64::MAX)), Some(u64::MAX));
        assert_eq!(Passage::volume(None, Some(1)), None);
    }

    proptest! {
        #[test]
        fn what_it_says_keeps_its_promises(
            bytes in (any::<u64>(), 0_u32..63).prop_map(|(n, shift)| n >> shift),
            mtu in proptest::option::of(any::<u32>()),
            volume_bytes in proptest::option::of((any::<u64>(), 0_u32..63).prop_map(|(n, shift)| n >> shift)),
            item_bytes_max in (any::<u64>(), 0_u32..63).prop_map(|(n, shift)| n >> shift),
        ) {
            let passage = Passage { mtu, volume_bytes, item_bytes_max };
            if let Some(piece) = piece_bytes(&sized(bytes), &passage) {
                prop_assert!((PIECE_BYTES_MIN..bytes).contains(&piece) && piece <= item_bytes_max);
                prop_assert!(bytes.div_ceil(piece - REPEATED_BYTES) <= PIECES_MAX);
            }
        }
    }
}
