//! How often the same bundle is offered to the same peer: less and less often, and never without end.

use alloc::collections::{BTreeMap, BTreeSet};

use cairn_bundle::{Digest, NodeId};

use crate::record::id_prefix;
use crate::time::Instant;

/// Pairs of peer and bundle that are remembered; the one that may be offered soonest is forgotten first.
const PAIRS_MAX: usize = 16_384;
/// First pause, in milliseconds, before the third time: the second time needs none, because what found no room at one
/// contact may find some at the next.
const PAUSE_FIRST_MS: u64 = 10_000;
/// Each further pause is so many times as long.
const PAUSE_GROWS: u64 = 4;
/// Longest pause: a peer that has room again, or lost its disk, gets everything after ten minutes at the latest.
const PAUSE_MS_MAX: u64 = 600_000;
/// A pair that was left alone for so long after its pause begins anew.
const FORGET_MS: u64 = 3_600_000;

/// Bundles that a peer has refused for want of room, or taken, each with the time before which it is not offered to that peer
/// again.
///
/// A peer that takes a bundle may evict it and show at the next contact that it lacks it; one that is full for a certain
/// bundle may announce room for others. Without this memory both get the bundle again each time. With it a bundle goes
/// over one pair at most six times in the first quarter of an hour and then once in ten minutes, whatever the peer says.
/// It is kept by peer, because one that refuses, or that brings the bundle of another where there is no room for it, says
/// nothing about what others may have. At most 16,384 pairs: about 2 MB.
#[derive(Debug, Default)]
pub struct Repeats {
    pauses: BTreeMap<Pair, Pause>,
    by_end: BTreeSet<(Instant, Pair)>,
}

/// The beginnings of the names of peer and bundle.
type Pair = (u64, u64);

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    ms: u64,
}

impl Repeats {
    /// A bundle was given to a peer, or the peer had no room for it: when it may be offered to it again.
    pub fn note(&mut self, now: Instant, peer: &NodeId, id: &Digest) -> Instant {
        let pair = pair(peer, id);
        let before = self.pauses.get(&pair).copied();
        let ms = match before {
            Some(Pause { until, ms }) if now <= until.plus_ms(FORGET_MS) => {
                ms.saturating_mul(PAUSE_GROWS).clamp(PAUSE_FIRST_MS, PAUSE_MS_MAX)
            }
            Some(_) | None => 0,
        };
        let until = now.plus_ms(ms);
        if let Some(before) = before {
            self.by_end.remove(&(before.until, pair));
        }
        self.by_end.insert((until, pair));
        self.pauses.insert(pair, Pause { until, ms });
        if self.pauses.len() > PAIRS_MAX
            && let Some((_, soonest)) = self.by_end.pop_first()
        {
            self.pauses.remove(&soonest);
        }
        until
    }

    /// When a bundle may be offered to a peer, if that is not yet.
    #[must_use]
    pub fn waits_until(&self, now: Instant, peer: &NodeId, id: &Digest) -> Option<Instant> {
        let pause = self.pauses.get(&pair(peer, id))?;
        (pause.until > now).then_some(pause.until)
    }
}

fn pair(peer: &NodeId, id: &Digest) -> Pair {
    let peer = peer.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    (peer, id_prefix(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::node;

    #[test]
    fn a_bundle_goes_to_the_same_peer_less_and_less_often() {
        let (mut repeats, peer, id) = (Repeats::default(), node(1), Digest([7; 32]));
        let mut now = Instant::ZERO;
        let mut pauses = alloc::vec::Vec::new();
        for _ in 0..6 {
            assert_eq!(repeats.waits_until(now, &peer, &id), None);
            let until = repeats.note(now, &peer, &id);
            pauses.push((until - now) / 1_000);
            assert_eq!(repeats.waits_until(now, &peer, &id), (until > now).then_some(until));
            now = until;
        }
        assert_eq!(pauses, [0, 10, 40, 160, 600, 600]);
        assert_eq!(repeats.waits_until(now, &node(2), &id), None, "what one peer refuses another may get");
        let later = now.plus_ms(FORGET_MS + 1);
        assert_eq!(repeats.note(later, &peer, &id), later, "it begins anew");
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_waits_longest() {
        let (mut repeats, often) = (Repeats::default(), Digest([7; 32]));
        for _ in 0..3 {
            repeats.note(Instant::ZERO, &node(1), &often);
        }
        for n in 0..PAIRS_MAX {
            repeats.note(Instant::ZERO, &node(1), &Digest::of(&n.to_be_bytes()));
        }
        assert_eq!((repeats.pauses.len(), repeats.by_end.len()), (PAIRS_MAX, PAIRS_MAX));
        assert!(repeats.waits_until(Instant::ZERO, &node(1), &often).is_some());
    }
}
