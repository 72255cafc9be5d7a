//! All chance of a run, out of one number.

use core::ops::Range;

/// A small generator (SplitMix64): fast, the same everywhere, and good enough for faults. It protects nothing.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range; its start if the range is empty.
    pub const fn pick(&mut self, range: Range<u64>) -> u64 {
        let width = range.end.saturating_sub(range.start);
        if width == 0 { range.start } else { range.start + self.roll() % width }
    }

    /// An index below `len`; zero if there is none.
    pub fn index(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.pick(0..len)).unwrap_or(0)
    }

    /// True in so many of a hundred cases.
    pub const fn percent(&mut self, chance: u64) -> bool {
        self.pick(0..100) < chance
    }

    /// Thirty-two bytes: the seed of a node.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for eight in seed.chunks_mut(8) {
            eight.copy_from_slice(&self.roll().to_le_bytes());
        }
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_and_numbers_stay_in_their_range() {
        let (mut a, mut b) = (Dice::new(7), Dice::new(7));
        for _ in 0..1_000 {
            assert_eq!(a.seed(), b.seed());
            assert!((3..9).contains(&a.pick(3..9)));
            b.roll();
        }
        assert_eq!(Dice::new(1).pick(5..5), 5);
        assert_eq!(Dice::new(1).index(0), 0);
        assert!(!a.percent(0) && a.percent(100));
    }
}
