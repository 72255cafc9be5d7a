//! What the peer may speak of: the ranges in which it was asked for differences.

use alloc::collections::BTreeMap;

use super::prefix::Prefix;

/// Ranges whose sums were sent and whose answer may still come.
///
/// Each range is asked about once, and each may be answered once. So what a peer says, and what it makes this side do,
/// is bounded by the ranges of the own set, however it lies.
#[derive(Debug, Default)]
pub(super) struct Asked {
    ranges: BTreeMap<Prefix, Question>,
}

#[derive(Debug)]
struct Question {
    /// The parts that may be answered.
    mask: u16,
    /// No part was answered, so that all of it may be.
    whole: bool,
}

impl Asked {
    /// The sums of some parts of a range were sent, or, without parts, of the range itself.
    pub(super) fn ask(&mut self, range: Prefix, mask: u16) {
        self.ranges.insert(range, Question { mask, whole: true });
    }

    /// The peer speaks of a range. False if it was not asked to, or has done so already.
    pub(super) fn answer(&mut self, range: &Prefix) -> bool {
        if self.ranges.get(range).is_some_and(|question| question.whole) {
            self.ranges.remove(range);
            return true;
        }
        let Some((parent, nibble)) = range.parent() else { return false };
        let Some(question) = self.ranges.get_mut(&parent) else { return false };
        let bit = 1_u16.checked_shl(u32::from(nibble)).unwrap_or(0);
        if question.mask & bit == 0 {
            return false;
        }
        question.mask &= !bit;
        question.whole = false;
        if question.mask == 0 {
            self.ranges.remove(&parent);
        }
        true
    }

    /// The peer has no more to say: whatever it did not speak of is the same there.
    pub(super) fn settle(&mut self) {
        self.ranges.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_answered_once_as_a_whole_or_in_its_parts() {
        let range = Prefix::of(&[0x77; 32], 5);
        let part = |nibble| range.child(nibble).unwrap();
        let mut asked = Asked::default();
        assert!(!asked.answer(&Prefix::ROOT));
        asked.ask(Prefix::ROOT, 0);
        assert!(!asked.answer(&part(1)));
        assert!(!asked.answer(&Prefix::of(&[0; 32], 1)), "only the whole was asked about");
        assert!(asked.answer(&Prefix::ROOT));
        assert!(!asked.answer(&Prefix::ROOT));
        asked.ask(range, 0b1010);
        assert!(!asked.answer(&part(0)), "an empty part is an answer in itself");
        assert!(asked.answer(&part(3)));
        assert!(!asked.answer(&part(3)) && !asked.answer(&range));
        assert!(asked.answer(&part(1)));
        assert!(asked.ranges.is_empty());
        asked.ask(range, 1);
        assert!(asked.answer(&range));
        assert!(!asked.answer(&part(0)));
        asked.ask(range, 1);
        asked.settle();
        assert!(!asked.answer(&part(0)) && !asked.answer(&range));
    }
}
