//! Sequences of items: who wrote many has numbered them, so that one number says how far somebody knows them.

use alloc::collections::{BTreeMap, BTreeSet};

use cairn_bundle::Digest;

/// Where an item stands among those of its author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Names the sequence, at all nodes alike: one author in one context.
    pub stream: Digest,
    /// Its number in the sequence, from 1. Two items with one number are a fork; both are kept.
    pub number: u64,
}

/// The numbered items of one topic and scope.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    items: BTreeSet<(Place, Digest)>,
    /// Up to which number a stream is here without a gap. Streams of which the first item is missing are not in it.
    heights: BTreeMap<Digest, u64>,
}

impl Streams {
    pub(crate) fn insert(&mut self, place: Place, id: Digest) {
        self.items.insert((place, id));
        let mut height = self.height(&place.stream);
        if place.number != height.saturating_add(1) {
            return;
        }
        // Each item is passed once for each time that it is inserted, since heights only grow here.
        while let Some(next) = height.checked_add(1)
            && self.holds(Place { stream: place.stream, number: next })
        {
            height = next;
        }
        self.heights.insert(place.stream, height);
    }

    pub(crate) fn remove(&mut self, place: Place, id: Digest) {
        self.items.remove(&(place, id));
        if place.number > self.height(&place.stream) || self.holds(place) {
            return;
        }
        match place.number {
            0 => {}
            1 => drop(self.heights.remove(&place.stream)),
            number => drop(self.heights.insert(place.stream, number.saturating_sub(1))),
        }
    }

    /// Up to which number a stream is here without a gap; 0 if its first item is missing.
    pub(crate) fn height(&self, stream: &Digest) -> u64 {
        self.heights.get(stream).copied().unwrap_or_default()
    }

    /// All streams of which the first item is here.
    pub(crate) const fn heights(&self) -> &BTreeMap<Digest, u64> {
        &self.heights
    }

    /// What of a stream is here without a gap above a number, in its order.
    pub(crate) fn above(&self, stream: &Digest, number: u64) -> impl Iterator<Item = (Place, Digest)> + '_ {
        let place = |number| Place { stream: *stream, number };
        let height = self.height(stream);
        // An empty range where there is nothing above it.
        let from = number.saturating_add(1).min(height.saturating_add(1));
        let range = (place(from), Digest([0; 32]))..(place(height.saturating_add(1)), Digest([0; 32]));
        self.items.range(range).copied()
    }

    fn holds(&self, place: Place) -> bool {
        self.items.range((place, Digest([0; 32]))..=(place, Digest([u8::MAX; 32]))).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn stream(n: u8) -> Digest {
        Digest([n; 32])
    }

    fn place(of: u8, number: u64) -> Place {
        Place { stream: stream(of), number }
    }

    fn id(n: u8) -> Digest {
        Digest([n; 32])
    }

    #[test]
    fn a_height_is_where_the_first_gap_is() {
        let mut streams = Streams::default();
        for number in [2, 5, 3] {
            streams.insert(place(1, number), id(9));
        }
        assert_eq!(streams.height(&stream(1)), 0);
        assert!(streams.heights().is_empty(), "without its first item nothing is known of it");
        streams.insert(place(1, 1), id(9));
        assert_eq!(streams.height(&stream(1)), 3);
        streams.insert(place(1, 4), id(9));
        streams.insert(place(2, 1), id(9));
        assert_eq!((streams.height(&stream(1)), streams.height(&stream(2))), (5, 1));
        streams.insert(place(1, u64::MAX), id(9));
        streams.insert(place(1, 0), id(9));
        assert_eq!(streams.height(&stream(1)), 5);
    }

    #[test]
    fn what_is_above_a_number_comes_in_its_order_with_both_of_a_fork() {
        let mut streams = Streams::default();
        for (number, n) in [(1, 1), (2, 2), (3, 3), (3, 4), (5, 5)] {
            streams.insert(place(1, number), id(n));
        }
        streams.insert(place(2, 1), id(7));
        let above = |number| streams.above(&stream(1), number).map(|(_, id)| id).collect::<Vec<_>>();
        assert_eq!(above(0), [id(1), id(2), id(3), id(4)], "what stands behind a gap does not count");
        assert_eq!(above(2), [id(3), id(4)]);
        assert!(above(3).is_empty() && above(4).is_empty() && above(u64::MAX).is_empty());
        assert_eq!(streams.above(&stream(3), 0).count(), 0);
    }

    #[test]
    fn what_is_removed_lowers_the_height_unless_a_twin_stays() {
        let mut streams = Streams::default();
        for (number, n) in [(1, 1), (2, 2), (2, 3), (3, 4)] {
            streams.insert(place(1, number), id(n));
        }
        streams.remove(place(1, 2), id(2));
        assert_eq!(streams.height(&stream(1)), 3);
        streams.remove(place(1, 2), id(3));
        assert_eq!(streams.height(&stream(1)), 1);
        streams.insert(place(1, 2), id(2));
        assert_eq!(streams.height(&stream(1)), 3);
        streams.remove(place(1, 1), id(1));
        assert!(streams.heights().is_empty());
        streams.insert(place(2, 1), id(1));
        for number in [0, 4] {
            streams.remove(place(2, number), id(1));
        }
        assert_eq!(streams.height(&stream(2)), 1);
    }
}
