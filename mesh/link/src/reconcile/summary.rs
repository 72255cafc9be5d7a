//! What is compared instead of ids: how many there are, and their sum.

use cairn_bundle::Digest;

use super::prefix::Prefix;

/// A set of ids in short: their count, and their sum as numbers modulo 2^256. Ids come and go one by one, in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    count: u32,
    /// Little endian. Bytes, so that the whole takes no more than 36 of them.
    sum: [u8; 32],
}

/// Drawn anew for each reconciliation: what looks alike by chance once does not do so twice.
pub type Salt = [u8; 8];

impl Summary {
    /// The summary of some ids, each of which comes once.
    pub fn of(ids: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let mut summary = Self::default();
        for id in ids {
            summary.insert(&id);
        }
        summary
    }

    /// How many ids.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Adds an id that is not in the set.
    pub fn insert(&mut self, id: &[u8; 32]) {
        self.count = self.count.wrapping_add(1);
        self.sum = fold(&self.sum, id, add);
    }

    /// Takes away an id that is in the set.
    pub fn remove(&mut self, id: &[u8; 32]) {
        self.count = self.count.wrapping_sub(1);
        self.sum = fold(&self.sum, id, subtract);
    }

    /// Adds a set that shares no id with this one.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum = fold(&self.sum, &other.sum, add);
    }

    /// A fingerprint of the part of a set that lies in a range, for one reconciliation.
    #[must_use]
    pub fn fingerprint(&self, salt: &Salt, prefix: &Prefix) -> [u8; 16] {
        // 64 bytes are one block of the hash. That both sides speak of one range is clear from where they compare;
        // the first bytes of it are here so that no fingerprint is worth anything elsewhere.
        let mut block = [0; 64];
        let fields = [
            b"range".as_slice(),
            salt,
            &self.count.to_be_bytes(),
            &self.sum,
            &[prefix.depth()],
            &prefix.first(),
        ];
        for (to, from) in block.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        halve(&Digest::of(&block))
    }
}

/// A short name of an id for one reconciliation.
pub(crate) fn short_id(salt: &Salt, id: &[u8; 32]) -> [u8; 8] {
    let mut block = [0; 42];
    for (to, from) in block.iter_mut().zip([b"id".as_slice(), salt, id].into_iter().flatten()) {
        *to = *from;
    }
    halve(&Digest::of(&block))
}

/// The first bytes of a digest.
fn halve<const N: usize>(digest: &Digest) -> [u8; N] {
    let mut head = [0; N];
    for (to, from) in head.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    head
}

const fn add(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = if carry { sum.overflowing_add(1) } else { (sum, false) };
    (sum, first | second)
}

const fn subtract(a: u64, b: u64, borrow: bool) -> (u64, bool) {
    let (rest, first) = a.overflowing_sub(b);
    let (rest, second) = if borrow { rest.overflowing_sub(1) } else { (rest, false) };
    (rest, first | second)
}

/// Applies a step to the limbs of two numbers, from the lowest.
fn fold(a: &[u8; 32], b: &[u8; 32], step: fn(u64, u64, bool) -> (u64, bool)) -> [u8; 32] {
    let mut result = [0; 32];
    let mut carry = false;
    let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    for (to, (a, b)) in result.as_chunks_mut::<8>().0.iter_mut().zip(a.iter().zip(b)) {
        let (limb, next) = step(u64::from_le_bytes(*a), u64::from_le_bytes(*b), carry);
        *to = limb.to_le_bytes();
        carry = next;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn a_carry_runs_through_and_off_the_end() {
        let mut one = [0; 32];
        one[0] = 1;
        let all = [0xff; 32];
        let mut summary = Summary::of([all, one]);
        assert_eq!((summary.count, summary.sum), (2, [0; 32]));
        summary.remove(&one);
        assert_eq!(summary, Summary::of([all]));
    }

    #[test]
    fn a_fingerprint_depends_on_all_that_goes_into_it() {
        let base = Summary::of([[1; 32], [2; 32]]);
        let print = base.fingerprint(&[0; 8], &Prefix::ROOT);
        assert_ne!(print, base.fingerprint(&[1; 8], &Prefix::ROOT));
        assert_ne!(print, base.fingerprint(&[0; 8], &Prefix::of(&[0; 32], 1)));
        assert_ne!(print, Summary::of([[3; 32]]).fingerprint(&[0; 8], &Prefix::ROOT), "another count");
        assert_ne!(print, Summary::of([[1; 32], [4; 32]]).fingerprint(&[0; 8], &Prefix::ROOT));
        assert_ne!(short_id(&[0; 8], &[1; 32]), short_id(&[1; 8], &[1; 32]));
    }

    proptest! {
        #[test]
        fn the_order_of_coming_and_going_does_not_matter(ids: Vec<[u8; 32]>, cut: prop::sample::Index) {
            let whole = Summary::of(ids.iter().copied());
            prop_assert_eq!(Summary::of(ids.iter().rev().copied()), whole);
            let (mine, theirs) = ids.split_at(if ids.is_empty() { 0 } else { cut.index(ids.len()) });
            let mut merged = Summary::of(mine.iter().copied());
            merged.merge(&Summary::of(theirs.iter().copied()));
            prop_assert_eq!(merged, whole);
            for id in theirs {
                merged.remove(id);
            }
            prop_assert_eq!(merged, Summary::of(mine.iter().copied()));
        }
    }
}
