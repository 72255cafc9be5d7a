//! Own ids that the peer lacks in a part of the space, found a few at a time.

use alloc::vec::Vec;

use super::prefix::Prefix;
use super::set::IdSet;
use super::summary::{Salt, short_id};

/// Ranges of which the peer has told all that it has.
#[derive(Debug)]
pub(super) struct Gap {
    /// What is left to look through, the next range last.
    ranges: Vec<Prefix>,
    /// The peer's ids by their short names, ascending, and whether this side has each.
    theirs: Vec<([u8; 8], bool)>,
    /// Most ids at a time.
    step_ids_max: usize,
}

/// How a [`Gap`] came on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is looked through.
    Through,
    /// The step is full.
    Full,
}

impl Gap {
    /// Ranges in ascending order, and the short names of all that the peer has in them.
    pub(super) fn new(mut ranges: Vec<Prefix>, theirs: &[[u8; 8]], step_ids_max: usize) -> Self {
        ranges.reverse();
        Self { ranges, theirs: theirs.iter().map(|short| (*short, false)).collect(), step_ids_max }
    }

    /// Looks through own ids and puts those that the peer lacks into `found`, which was empty when the step began.
    pub(super) fn advance(&mut self, set: &dyn IdSet, salt: &Salt, found: &mut Vec<[u8; 32]>) -> Progress {
        while let Some(range) = self.ranges.pop() {
            let room = self.step_ids_max.saturating_sub(found.len());
            let count = usize::try_from(set.summary(&range).count()).unwrap_or(usize::MAX);
            if count == 0 {
                continue;
            }
            if count > self.step_ids_max && range.child(0).is_some() {
                self.ranges.extend(range.children().rev());
                continue;
            }
            // What is looked at may turn out to be known, but no more than fits is looked at.
            if count > room {
                self.ranges.push(range);
                return Progress::Full;
            }
            for id in set.ids(&range, room) {
                if !self.is_known(salt, &id) {
                    found.push(id);
                }
            }
        }
        Progress::Through
    }

    /// The peer's ids in their order: whether this side lacks each. Known once the gap is looked through.
    pub(super) fn lacked_here(&self) -> impl Iterator<Item = bool> {
        self.theirs.iter().map(|(_, here)| !here)
    }

    fn is_known(&mut self, salt: &Salt, id: &[u8; 32]) -> bool {
        if self.theirs.is_empty() {
            return false;
        }
        let short = short_id(salt, id);
        let Ok(at) = self.theirs.binary_search_by_key(&short, |(short, _)| *short) else { return false };
        if let Some((_, here)) = self.theirs.get_mut(at) {
            *here = true;
        }
        true
    }
}
