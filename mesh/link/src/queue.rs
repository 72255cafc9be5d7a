//! A queue of items: by topic first, then by rank, then in the order in which they were queued; each item once.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::item::{Item, Topic};

#[derive(Debug, Default)]
pub(crate) struct Queue {
    order: BTreeMap<(Topic, Place), Item>,
    places: BTreeMap<Item, Place>,
    next: u64,
}

/// Where an item stands among those of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    rank: u64,
    turn: u64,
}

impl Place {
    const FIRST: Self = Self { rank: 0, turn: 0 };
    const LAST: Self = Self { rank: u64::MAX, turn: u64::MAX };
}

impl Queue {
    /// Queues an item behind all others of its topic.
    pub(crate) fn push(&mut self, item: Item) {
        self.push_ranked(item, 0);
    }

    /// Queues an item behind those of its topic and rank, before those of greater rank. One that waits already
    /// keeps its place.
    pub(crate) fn push_ranked(&mut self, item: Item, rank: u64) {
        if self.places.contains_key(&item) {
            return;
        }
        let place = Place { rank, turn: self.next };
        self.order.insert((item.topic, place), item);
        self.places.insert(item, place);
        self.next = self.next.wrapping_add(1);
    }

    pub(crate) fn remove(&mut self, item: Item) {
        if let Some(place) = self.places.remove(&item) {
            self.order.remove(&(item.topic, place));
        }
    }

    pub(crate) fn pop(&mut self, topic: Topic) -> Option<Item> {
        let item = *self.order.range((topic, Place::FIRST)..=(topic, Place::LAST)).next()?.1;
        self.remove(item);
        Some(item)
    }

    /// The rank of what would come next of a topic.
    pub(crate) fn first_rank(&self, topic: Topic) -> Option<u64> {
        let ((_, place), _) = self.order.range((topic, Place::FIRST)..=(topic, Place::LAST)).next()?;
        Some(place.rank)
    }

    /// Up to `max` items, all of one topic: the most urgent that waits.
    pub(crate) fn pop_run(&mut self, max: usize) -> Option<(Topic, Vec<Item>)> {
        let topic = self.first_topic()?;
        let run = self.pop_run_of(topic, max);
        (!run.is_empty()).then_some((topic, run))
    }

    /// Up to `max` items of this topic.
    pub(crate) fn pop_run_of(&mut self, topic: Topic, max: usize) -> Vec<Item> {
        let mut run = Vec::new();
        while run.len() < max {
            let Some(item) = self.pop(topic) else { break };
            run.push(item);
        }
        run
    }

    pub(crate) fn first_topic(&self) -> Option<Topic> {
        self.order.first_key_value().map(|((topic, _), _)| *topic)
    }

    pub(crate) fn contains(&self, item: Item) -> bool {
        self.places.contains_key(&item)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.order.clear();
        self.places.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use cairn_bundle::Digest;

    #[test]
    fn within_a_topic_a_lower_rank_goes_first_and_equal_ranks_keep_their_order() {
        let item = |n| Item::new(Topic::Bundle, Digest([n; 32]));
        let mut queue = Queue::default();
        for (n, rank) in [(9, 7), (1, u64::MAX), (8, 7), (3, 0), (7, 7)] {
            queue.push_ranked(item(n), rank);
        }
        queue.push_ranked(item(1), 0);
        assert_eq!(queue.first_rank(Topic::Bundle), Some(0));
        assert_eq!(queue.pop(Topic::Bundle), Some(item(3)));
        assert_eq!(queue.first_rank(Topic::Bundle), Some(7));
        assert_eq!(queue.first_rank(Topic::Blob), None);
        assert_eq!(queue.pop_run(9), Some((Topic::Bundle, vec![item(9), item(8), item(7), item(1)])));
    }

    #[test]
    fn the_urgent_topic_goes_first_and_within_it_the_one_that_came_first() {
        let item = |topic, n| Item::new(topic, Digest([n; 32]));
        let mut queue = Queue::default();
        let (blob, late, early) = (item(Topic::Blob, 0), item(Topic::Ledger, 1), item(Topic::Ledger, 2));
        for item in [blob, early, late, early] {
            queue.push(item);
        }
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.pop_run(10), Some((Topic::Ledger, vec![early, late])));
        assert_eq!(queue.first_topic(), Some(Topic::Blob));
        assert!(queue.contains(blob) && !queue.contains(early));
        assert_eq!(queue.pop_run(0), None);
        queue.remove(blob);
        queue.remove(blob);
        assert!(queue.is_empty());
        assert_eq!(queue.pop_run(1), None);
    }
}
