//! Heights: where both ends hold sequences of the same authors, one number for each says what the other lacks.
//!
//! The end that was asked first, and whose set differs, answers with its heights instead of with ranges. The other gives
//! what lies above them and tells its own. When nothing of it is under way any more, the sets are compared again, by
//! ranges: forks and what stands behind a gap have one height and are not the same.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cairn_bundle::Digest;
use cairn_link::frame::HEIGHTS_MAX;
use cairn_link::reconcile::{IdSet, Prefix};
use cairn_link::{Item, Topic};

use super::Engine;
use crate::event::LinkId;
use crate::session::{Comparison, Heights};
use crate::streams::Streams;

/// Items that are given by heights in one comparison at the most; ranges find the rest.
const GIVEN_MAX: usize = 8_000;
/// Heights cost 40 bytes for each stream and ranges 8 for each item that they list, at 4 to 48 a range. So they are told
/// where so many items come on a stream.
const ITEMS_PER_STREAM_MIN: usize = 16;
/// A set of so many items is listed at once.
const LISTED_MAX: usize = 48;
/// What heights promised is waited for so long.
const TRADE_MS: u64 = 30_000;

impl Engine {
    /// Answers a peer that has begun a comparison with heights, where that is cheaper; whether it was done.
    pub(super) fn tell_heights(&mut self, link: LinkId, topic: Topic, comparison: &mut Comparison) -> bool {
        let Some(session) = self.sessions.change(&link) else { return false };
        let count = self.holdings.set(topic, &session.peer, &session.groups).summary(&Prefix::ROOT).count();
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let own: Vec<&Streams> = self.holdings.streams(topic, &session.peer, &session.groups).collect();
        let told: usize = own.iter().map(|of| of.heights().len()).sum();
        if told == 0
            || told > HEIGHTS_MAX
            || count <= LISTED_MAX
            || told.saturating_mul(ITEMS_PER_STREAM_MIN) > count
        {
            return false;
        }
        session.meet.say_heights(topic, merged(&own).into_iter().collect());
        comparison.reconciler = None;
        comparison.heights = Heights::Told { answered: false };
        true
    }

    /// The peer says how far it knows some streams: all of its own in answer to the beginning of a comparison, and in answer
    /// to that those in which it is behind. It is given what lies above.
    pub(super) fn hear_heights(&mut self, link: LinkId, topic: Topic, theirs: Vec<(Digest, u64)>) {
        let Some(session) = self.sessions.change(&link) else { return };
        let Some(comparison) = session.comparisons.get_mut(&topic) else { return };
        let began = match &mut comparison.heights {
            Heights::Open => true,
            Heights::Told { answered } if !*answered => {
                *answered = true;
                false
            }
            Heights::Unsaid | Heights::Told { .. } | Heights::Traded { .. } => {
                self.count("heights out of turn");
                return;
            }
        };
        let theirs: BTreeMap<Digest, u64> = theirs.into_iter().collect();
        let own: Vec<&Streams> = self.holdings.streams(topic, &session.peer, &session.groups).collect();
        let height = |stream: &Digest| own.iter().map(|of| of.height(stream)).max().unwrap_or_default();
        // What the peer does not speak of it has nothing of, or enough.
        let lacking = if began {
            lacking(
                &own,
                merged(&own).into_keys().map(|of| (of, theirs.get(&of).copied().unwrap_or_default())),
            )
        } else {
            lacking(&own, theirs.iter().map(|(stream, height)| (*stream, *height)))
        };
        for id in lacking {
            let item = Item { topic, id };
            if let Some(bytes) = self.holdings.bytes_of(&item) {
                session.meet.offer(item, bytes);
            }
        }
        if !began {
            return;
        }
        let expected: Vec<_> =
            theirs.into_iter().filter(|(stream, theirs)| height(stream) < *theirs).collect();
        let behind: Vec<_> = expected.iter().map(|(stream, _)| (*stream, height(stream))).collect();
        comparison.reconciler = None;
        comparison.heights = Heights::Traded { expected, until: self.now.plus_ms(TRADE_MS) };
        if !behind.is_empty() {
            session.meet.say_heights(topic, behind);
        }
    }

    /// Compares ranges where everything that heights promised has come, or is not waited for any longer.
    pub(super) fn end_trades(&mut self, link: LinkId) {
        let (holdings, now) = (&self.holdings, self.now);
        // Whoever calls this compares next.
        let Some(session) = self.sessions.quietly(&link) else { return };
        for (topic, comparison) in &mut session.comparisons {
            let Heights::Traded { expected, until } = &mut comparison.heights else { continue };
            let height = |stream: &Digest| {
                let streams = holdings.streams(*topic, &session.peer, &session.groups);
                streams.map(|of| of.height(stream)).max().unwrap_or_default()
            };
            while expected.pop_if(|(stream, theirs)| height(stream) >= *theirs).is_some() {}
            if now >= *until || (expected.is_empty() && session.meet.is_settled(*topic)) {
                comparison.due = true;
            }
        }
    }
}

/// The heights of all streams, of one that is in several scopes the greatest.
fn merged(streams: &[&Streams]) -> BTreeMap<Digest, u64> {
    let mut heights = BTreeMap::new();
    for (stream, height) in streams.iter().flat_map(|of| of.heights()) {
        let known: &mut u64 = heights.entry(*stream).or_default();
        *known = (*known).max(*height);
    }
    heights
}

/// What is here of some streams above the peer's heights, by their numbers, so that what builds on another comes after it.
fn lacking(own: &[&Streams], theirs: impl Iterator<Item = (Digest, u64)>) -> Vec<Digest> {
    let mut found = Vec::new();
    for (stream, height) in theirs {
        for streams in own {
            found.extend(streams.above(&stream, height).take(GIVEN_MAX.saturating_sub(found.len())));
        }
    }
    found.sort_unstable_by_key(|(place, id)| (place.number, *id));
    found.into_iter().map(|(_, id)| id).collect()
}
