//! A range of the space of ids: all that begin with the same half bytes.

/// Half bytes in an id.
const DEPTH_MAX: u8 = 64;

/// The ids that begin with some half bytes: the whole space with none of them, one id with 64.
///
/// Ordered by the first id; of two ranges that begin alike the wider one comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// What is beyond the depth is zero.
    bytes: [u8; 32],
    depth: u8,
}

impl Prefix {
    /// All ids.
    pub const ROOT: Self = Self { bytes: [0; 32], depth: 0 };

    /// The range of this depth, at most 64, that an id lies in.
    #[must_use]
    pub fn of(id: &[u8; 32], depth: u8) -> Self {
        let depth = depth.min(DEPTH_MAX);
        let mut bytes = *id;
        let mut left = depth;
        for byte in &mut bytes {
            match left {
                0 => *byte = 0,
                1 => *byte &= 0xf0,
                _ => {}
            }
            left = left.saturating_sub(2);
        }
        Self { bytes, depth }
    }

    /// How many half bytes the ids share.
    #[must_use]
    pub const fn depth(&self) -> u8 {
        self.depth
    }

    /// Whether an id lies in the range.
    #[must_use]
    pub fn contains(&self, id: &[u8; 32]) -> bool {
        Self::of(id, self.depth).bytes == self.bytes
    }

    /// The lowest id of the range.
    #[must_use]
    pub const fn first(&self) -> [u8; 32] {
        self.bytes
    }

    /// The highest id of the range.
    #[must_use]
    pub fn last(&self) -> [u8; 32] {
        let mut last = self.bytes;
        let mut left = self.depth;
        for byte in &mut last {
            match left {
                0 => *byte = 0xff,
                1 => *byte |= 0x0f,
                _ => {}
            }
            left = left.saturating_sub(2);
        }
        last
    }

    /// One of the sixteen parts of the range, by its next half byte; `None` beyond 15, or if the range is one id.
    #[must_use]
    pub fn child(&self, nibble: u8) -> Option<Self> {
        if nibble > 15 || self.depth >= DEPTH_MAX {
            return None;
        }
        let mut bytes = self.bytes;
        let byte = bytes.get_mut(usize::from(self.depth / 2))?;
        *byte |= if self.depth.is_multiple_of(2) { nibble << 4 } else { nibble };
        Some(Self { bytes, depth: self.depth.saturating_add(1) })
    }

    /// The range that this one is a part of, and its half byte there; `None` for the whole space.
    pub(crate) fn parent(&self) -> Option<(Self, u8)> {
        let parent = Self::of(&self.bytes, self.depth.checked_sub(1)?);
        Some((parent, u8::try_from(parent.next_nibble(&self.bytes)).ok()?))
    }

    /// The sixteen parts of the range in order; none if the range is one id.
    pub fn children(&self) -> impl DoubleEndedIterator<Item = Self> + use<> {
        let parent = *self;
        (0..16).filter_map(move |nibble| parent.child(nibble))
    }

    /// The half byte of an id that follows those of this range.
    pub(crate) fn next_nibble(&self, id: &[u8; 32]) -> usize {
        let byte = id.get(usize::from(self.depth / 2)).copied().unwrap_or(0);
        usize::from(if self.depth.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
    }

    /// The bytes that name the range beside its depth; half a byte of the last one may be unused.
    pub(crate) fn key(&self) -> &[u8] {
        self.bytes.get(..key_bytes(self.depth)).unwrap_or_default()
    }

    /// The inverse of [`Prefix::key`]; `None` unless it is the one spelling of the range.
    pub(crate) fn from_key(depth: u8, key: &[u8]) -> Option<Self> {
        if depth > DEPTH_MAX || key.len() != key_bytes(depth) {
            return None;
        }
        let mut bytes = [0; 32];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        let prefix = Self { bytes, depth };
        (Self::of(&bytes, depth) == prefix).then_some(prefix)
    }
}

/// Length of [`Prefix::key`].
pub(crate) fn key_bytes(depth: u8) -> usize {
    usize::from(depth.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_range_holds_what_begins_with_it_and_its_parts_share_it_out() {
        let id = core::array::from_fn(|at| u8::try_from(at * 7 + 0x31).unwrap_or(9));
        let mut prefix = Prefix::ROOT;
        for depth in 0..=64 {
            assert_eq!(prefix, Prefix::of(&id, depth));
            assert_eq!(prefix.depth(), depth);
            assert!(prefix.contains(&id) && prefix.first() <= id && id <= prefix.last());
            let parts: Vec<_> = prefix.children().collect();
            assert!((0..).zip(&parts).all(|(nibble, part)| part.parent() == Some((prefix, nibble))));
            assert_eq!(parts.len(), if depth == 64 { 0 } else { 16 });
            assert_eq!(parts.iter().filter(|part| part.contains(&id)).count(), usize::from(depth < 64));
            assert!(parts.is_sorted());
            assert!(parts.windows(2).all(|pair| pair[0].last() < pair[1].first()));
            if let (Some(first), Some(last)) = (parts.first(), parts.last()) {
                assert_eq!((first.first(), last.last()), (prefix.first(), prefix.last()));
                prefix = parts[prefix.next_nibble(&id)];
            }
        }
        assert_eq!((prefix.first(), prefix.last()), (id, id));
        assert_eq!(Prefix::of(&id, 65), prefix);
        assert_eq!((Prefix::ROOT.child(16), Prefix::ROOT.parent()), (None, None));
    }

    #[test]
    fn a_range_has_one_spelling() {
        let id = [0xab; 32];
        for depth in 0..=64 {
            let prefix = Prefix::of(&id, depth);
            assert_eq!(Prefix::from_key(depth, prefix.key()), Some(prefix));
        }
        assert_eq!(Prefix::from_key(3, &[0xab, 0xab]), None, "half a byte too many");
        assert_eq!(Prefix::from_key(4, &[0xab]), None);
        assert_eq!(Prefix::from_key(2, &[0xab, 0xab]), None);
        assert_eq!(Prefix::from_key(65, &[0xab; 33]), None);
        assert!(Prefix::ROOT < Prefix::of(&[0; 32], 1));
    }
}
