//! A queue of items: by topic first, then in the order in which they were queued; each item once.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::item::{Item, Topic};

#[derive(Debug, Default)]
pub(crate) struct Queue {
    order: BTreeMap<(Topic, u64), Item>,
    places: BTreeMap<Item, u64>,
    next: u64,
}

impl Queue {
    /// Queues an item; one that waits already keeps its place.
    pub(crate) fn push(&mut self, item: Item) {
        if self.places.contains_key(&item) {
            return;
        }
        self.order.insert((item.topic, self.next), item);
        self.places.insert(item, self.next);
        self.next = self.next.wrapping_add(1);
    }

    pub(crate) fn remove(&mut self, item: Item) {
        if let Some(place) = self.places.remove(&item) {
            self.order.remove(&(item.topic, place));
        }
    }

    pub(crate) fn pop(&mut self, topic: Topic) -> Option<Item> {
        let item = *self.order.range((topic, 0)..=(topic, u64::MAX)).next()?.1;
        self.remove(item);
        Some(item)
    }

    /// Up to `max` items, all of one topic: the most urgent that waits.
    pub(crate) fn pop_run(&mut self, max: usize) -> Option<(Topic, Vec<Item>)> {
        let topic = self.first_topic()?;
        let mut run = Vec::new();
        while run.len() < max {
            let Some(item) = self.pop(topic) else { break };
            run.push(item);
        }
        (!run.is_empty()).then_some((topic, run))
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
