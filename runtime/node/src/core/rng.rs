//! Randomness that comes in once, as a seed: the same seed gives the same node.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use zeroize::{Zeroize, Zeroizing};

/// Bytes that BLAKE3 makes of a seed: as unpredictable as the seed is.
///
/// Every use replaces the seed and overwrites it, so that whoever takes the memory of a node cannot compute
/// what came out before: keys that were erased would come back that way.
pub struct SeedRng(Zeroizing<[u8; 32]>);

impl SeedRng {
    /// Starts the stream of a 32-byte seed.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*seed))
    }

    fn fill(&mut self, out: &mut [u8]) {
        let mut hasher = blake3::Hasher::new_derive_key("cairn 2026-11 node randomness");
        let mut stream = hasher.update(self.0.as_slice()).finalize_xof();
        stream.fill(self.0.as_mut_slice());
        stream.fill(out);
        stream.zeroize();
        hasher.zeroize();
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl core::fmt::Debug for SeedRng {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SeedRng")
    }
}

impl TryRng for SeedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.fill(dst);
        Ok(())
    }
}

impl TryCryptoRng for SeedRng {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_stream() {
        let (mut a, mut b, mut c) = (SeedRng::new(&[1; 32]), SeedRng::new(&[1; 32]), SeedRng::new(&[2; 32]));
        let first: [u8; 16] = a.bytes();
        assert_eq!(first, b.bytes());
        assert_ne!(first, c.bytes());
        assert_ne!(first, a.bytes());
    }

    #[test]
    fn what_came_out_cannot_be_computed_from_what_is_left() {
        let mut rng = SeedRng::new(&[1; 32]);
        let first: [u8; 32] = rng.bytes();
        let left = *rng.0;
        assert_ne!(left, [1; 32]);
        assert_ne!(first, left);
        let again: [u8; 32] = SeedRng::new(&left).bytes();
        assert_ne!(first, again);
    }
}
