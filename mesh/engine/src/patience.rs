//! For how long to wait for an acknowledgement that is carried back, before pushing the same again.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use cairn_bundle::NodeId;

/// Peers whose delays are remembered; the one that was heard of longest ago is forgotten.
const PEERS_MAX: usize = 256;
/// Delays that are remembered of a peer, the oldest forgotten first.
const DELAYS_MAX: usize = 16;
/// How many median absolute deviations above the median are still patience: with delays that scatter evenly, fewer than
/// one in a hundred comes later.
const DEVIATIONS: u64 = 4;
/// Shortest wait: an hour. Nobody carries a stick back and forth faster.
const WAIT_MS_MIN: u64 = 3_600_000;
/// Longest wait: thirty days.
const WAIT_MS_MAX: u64 = 30 * 86_400_000;
/// The wait while no delay of a peer is known: a day.
const WAIT_MS_FIRST: u64 = 86_400_000;

/// How long acknowledgements of each peer took. A fixed time is wrong in both directions: for the courier who comes
/// every hour, and for the bus that comes every week.
///
/// The wait is the median of the last delays and four times their median absolute deviation, no less than an eighth of
/// the median, and doubles each time that it passes in vain.
#[derive(Debug, Default)]
pub struct Patience {
    peers: BTreeMap<NodeId, Peer>,
    /// Grows with every note, so that the peer with the least is the one to forget.
    clock: u64,
}

#[derive(Debug, Default)]
struct Peer {
    delays_ms: VecDeque<u64>,
    /// How often in a row the wait passed in vain.
    in_vain: u32,
    noted: u64,
}

impl Patience {
    /// An acknowledgement came so many milliseconds after its bundle was pushed.
    pub fn note_ack(&mut self, peer: &NodeId, delay_ms: u64) {
        let peer = self.peer(peer);
        peer.in_vain = 0;
        if peer.delays_ms.len() >= DELAYS_MAX {
            peer.delays_ms.pop_front();
        }
        peer.delays_ms.push_back(delay_ms.min(WAIT_MS_MAX));
    }

    /// The wait has passed without an acknowledgement, and everything is pushed again.
    pub fn note_in_vain(&mut self, peer: &NodeId) {
        let peer = self.peer(peer);
        peer.in_vain = peer.in_vain.saturating_add(1);
    }

    /// How many milliseconds after a push to push again, from an hour to thirty days.
    #[must_use]
    pub fn wait_ms(&self, peer: &NodeId) -> u64 {
        let Some(peer) = self.peers.get(peer) else { return WAIT_MS_FIRST };
        let usual = match median(peer.delays_ms.iter().copied()) {
            Some(middle) => {
                let deviation =
                    median(peer.delays_ms.iter().map(|delay| delay.abs_diff(middle))).unwrap_or(0);
                middle.saturating_add(DEVIATIONS.saturating_mul(deviation).max(middle / 8))
            }
            None => WAIT_MS_FIRST,
        };
        // Ten doublings exceed the longest wait, whatever the shortest.
        usual.max(WAIT_MS_MIN).saturating_mul(1 << peer.in_vain.min(10)).min(WAIT_MS_MAX)
    }

    fn peer(&mut self, node: &NodeId) -> &mut Peer {
        self.clock = self.clock.saturating_add(1);
        if !self.peers.contains_key(node) && self.peers.len() >= PEERS_MAX {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.noted).map(|(node, _)| *node);
            if let Some(oldest) = oldest {
                self.peers.remove(&oldest);
            }
        }
        let peer = self.peers.entry(*node).or_default();
        peer.noted = self.clock;
        peer
    }
}

/// The middle value; of an even number, the upper of the two.
fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::node;
    use proptest::prelude::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn the_wait_follows_the_courier() {
        let (mut patience, bus, courier) = (Patience::default(), node(1), node(2));
        assert_eq!(patience.wait_ms(&bus), 24 * HOUR);
        for _ in 0..5 {
            patience.note_ack(&bus, 168 * HOUR);
            patience.note_ack(&courier, 2 * HOUR);
        }
        assert_eq!(patience.wait_ms(&bus), 189 * HOUR);
        assert_eq!(patience.wait_ms(&courier), 2 * HOUR + HOUR / 4);
        // One that was late once changes nothing; when it is often late, patience grows.
        patience.note_ack(&courier, 500 * HOUR);
        assert_eq!(patience.wait_ms(&courier), 2 * HOUR + HOUR / 4);
        for hours in [4, 6, 8, 10, 12] {
            patience.note_ack(&courier, hours * HOUR);
        }
        assert!(patience.wait_ms(&courier) > 4 * HOUR);
    }

    #[test]
    fn a_wait_in_vain_doubles_the_next_one_until_an_answer_comes() {
        let (mut patience, peer) = (Patience::default(), node(1));
        patience.note_in_vain(&peer);
        assert_eq!(patience.wait_ms(&peer), 48 * HOUR);
        for _ in 0..100 {
            patience.note_in_vain(&peer);
        }
        assert_eq!(patience.wait_ms(&peer), WAIT_MS_MAX);
        patience.note_ack(&peer, HOUR);
        assert_eq!(patience.wait_ms(&peer), HOUR + HOUR / 8);
    }

    #[test]
    fn the_peer_that_was_silent_for_longest_is_forgotten_first() {
        let mut patience = Patience::default();
        let peer = |n: usize| {
            NodeId::from_stored(
                [u8::try_from(n % 256).unwrap(), u8::try_from(n / 256).unwrap()]
                    .repeat(16)
                    .try_into()
                    .unwrap(),
            )
        };
        for n in 0..=PEERS_MAX {
            patience.note_ack(&peer(n), 5 * HOUR);
        }
        assert_eq!(patience.peers.len(), PEERS_MAX);
        assert_eq!(patience.wait_ms(&peer(0)), WAIT_MS_FIRST);
        assert_ne!(patience.wait_ms(&peer(1)), WAIT_MS_FIRST);
    }

    proptest! {
        #[test]
        fn the_wait_stays_within_its_bounds(delays in proptest::collection::vec(proptest::option::of(any::<u64>()), 0..40)) {
            let (mut patience, peer) = (Patience::default(), node(1));
            for delay in delays {
                match delay {
                    Some(delay) => patience.note_ack(&peer, delay >> 20),
                    None => patience.note_in_vain(&peer),
                }
                prop_assert!((WAIT_MS_MIN..=WAIT_MS_MAX).contains(&patience.wait_ms(&peer)));
            }
        }
    }
}
