//! What a node says that is no item: room, routes, heights, and messages of a reconciliation.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cairn_bundle::Digest;

use crate::frame::lists::{HEIGHT_BYTES, claim_bytes, height_bytes};
use crate::frame::{
    HEIGHTS_MAX, RECONCILE_BYTES_MAX, RouteClaim, encode_heights, encode_reconcile, encode_room,
    encode_routes,
};
use crate::item::Topic;

/// What waits to be said, each kind with its bound.
#[derive(Debug, Default)]
pub(crate) struct Control {
    room: Option<u64>,
    routes: Option<Vec<u8>>,
    /// One message of each topic: a reconciliation has one outstanding.
    messages: BTreeMap<Topic, Vec<u8>>,
    heights: BTreeMap<(Topic, Digest), u64>,
}

impl Control {
    pub(crate) const fn say_room(&mut self, bytes: u64) {
        self.room = Some(bytes);
    }

    pub(crate) fn say_routes(&mut self, claims: &[RouteClaim]) {
        self.routes = Some(claim_bytes(claims));
    }

    /// False if the message cannot be sent by its length.
    pub(crate) fn say_reconcile(&mut self, topic: Topic, message: Vec<u8>) -> bool {
        let fits = (1..=RECONCILE_BYTES_MAX).contains(&message.len());
        if fits {
            self.messages.insert(topic, message);
        }
        fits
    }

    /// Queues heights, of a stream that waits already the greater one. How many found no room.
    pub(crate) fn say_heights(&mut self, topic: Topic, entries: Vec<(Digest, u64)>, bytes_max: usize) -> u64 {
        let mut dropped: u64 = 0;
        for (stream, height) in entries {
            let full = self.heights.len().saturating_mul(HEIGHT_BYTES) >= bytes_max;
            match self.heights.get_mut(&(topic, stream)) {
                Some(known) => *known = height.max(*known),
                None if full => dropped = dropped.saturating_add(1),
                None => {
                    self.heights.insert((topic, stream), height);
                }
            }
        }
        dropped
    }

    /// What comes before every item.
    pub(crate) fn poll_room(&mut self) -> Option<Vec<u8>> {
        self.room.take().map(encode_room)
    }

    /// What comes before all items but notices.
    pub(crate) fn poll(&mut self) -> Option<Vec<u8>> {
        if let Some((topic, message)) = self.messages.pop_first() {
            return Some(encode_reconcile(topic, &message));
        }
        if let Some(claims) = self.routes.take() {
            return Some(encode_routes(&claims));
        }
        let ((topic, _), _) = self.heights.first_key_value()?;
        let topic = *topic;
        let mut run = Vec::new();
        while run.len() < HEIGHTS_MAX {
            let Some(entry) = self.heights.first_entry().filter(|entry| entry.key().0 == topic) else {
                break;
            };
            let ((_, stream), height) = entry.remove_entry();
            run.push((stream, height));
        }
        Some(encode_heights(topic, &height_bytes(run.into_iter())))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.room.is_none() && self.routes.is_none() && self.messages.is_empty() && self.heights.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Decoded, Frame, decode};
    use alloc::vec;

    fn streams(n: u16) -> Vec<(Digest, u64)> {
        (0..n).map(|n| (Digest::of(&n.to_be_bytes()), u64::from(n))).collect()
    }

    #[test]
    fn the_newer_replaces_the_older_and_each_is_said_once() {
        let mut control = Control::default();
        control.say_room(1);
        control.say_room(2);
        control.say_routes(&[RouteClaim { node: [1; 16], delay_s: 1 }]);
        control.say_routes(&[]);
        assert!(control.say_reconcile(Topic::Bundle, vec![1]));
        assert!(control.say_reconcile(Topic::Bundle, vec![2]));
        assert!(!control.say_reconcile(Topic::Bundle, vec![]));
        assert!(!control.say_reconcile(Topic::Bundle, vec![0; RECONCILE_BYTES_MAX + 1]));
        assert!(!control.is_empty());
        assert_eq!(control.poll_room(), Some(encode_room(2)));
        assert_eq!(control.poll_room(), None);
        assert_eq!(control.poll(), Some(encode_reconcile(Topic::Bundle, &[2])));
        assert_eq!(control.poll(), Some(encode_routes(&[])));
        assert_eq!(control.poll(), None);
        assert!(control.is_empty());
    }

    #[test]
    fn heights_are_merged_bounded_and_cut_into_frames() {
        let mut control = Control::default();
        assert_eq!(control.say_heights(Topic::Board, streams(700), 1_000 * 40), 0);
        assert_eq!(control.say_heights(Topic::Ledger, streams(400), 1_000 * 40), 100);
        let raised = streams(1).into_iter().map(|(stream, _)| (stream, 77)).collect();
        assert_eq!(control.say_heights(Topic::Board, raised, 0), 0, "it waits already");
        assert_eq!(control.say_heights(Topic::Board, streams(1), 0), 0, "a lower one changes nothing");
        let mut told = Vec::new();
        let mut frames = Vec::new();
        while let Some(frame) = control.poll() {
            let Ok(Decoded::Frame(Frame::Heights { topic, entries })) = decode(&frame[4..]) else {
                panic!("no heights");
            };
            frames.push((topic, entries.iter().count()));
            told.extend(entries.iter().map(|(stream, height)| (topic, stream, height)));
        }
        assert_eq!(frames, [(Topic::Ledger, 300), (Topic::Board, 512), (Topic::Board, 188)]);
        let first = streams(1)[0].0;
        assert!(told.contains(&(Topic::Board, first, 77)));
        assert!(control.is_empty());
    }
}
