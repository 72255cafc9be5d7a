//! Which bundle gives way when the store is full.

use alloc::collections::{BTreeMap, BTreeSet};

use cairn_bundle::{Class, Digest, NodeId};

use crate::record::BundleRecord;
use crate::time::Instant;

/// Candidates that are remembered; a sweep over the store finds others.
const VICTIMS_MAX: usize = 256;

/// A longer life makes no bundle more useful: a week.
const LIFE_MS_MAX: u64 = 7 * 86_400_000;

/// The kinds of bundles in the order in which they give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// It may not be delivered any more.
    Expired,
    /// All its tokens went on: others carry it.
    HandedOn,
    /// Its source, neighbour or community has more here than its share.
    OverQuota,
    /// Class bulk.
    Bulk,
    /// Class normal.
    Normal,
    /// Class alert.
    Alert,
    /// This node made it, or it is a piece of what is for this node, which its sender has given up already: nothing of
    /// others is worth it.
    Own,
}

/// What a bundle is worth here: the lowest gives way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score {
    rank: Rank,
    utility: u64,
}

/// What a bundle is worth at `now`. `over_quota` says whether it exceeds a share ([`Quotas::over`]).
///
/// Within a rank, utility is the remaining life (at most a week) times the copies that are still to be handed on and
/// the one that stays, for each byte: what expires soon, is large, or has been handed to many is worth less.
///
/// [`Quotas::over`]: crate::quota::Quotas::over
#[must_use]
pub fn score(record: &BundleRecord, me: &NodeId, now: Instant, over_quota: bool) -> Score {
    let remaining_ms = record.remaining_at(now).min(LIFE_MS_MAX);
    let rank = if remaining_ms == 0 {
        Rank::Expired
    } else if record.is_own() || record.destination.as_ref() == Some(me) {
        Rank::Own
    } else if record.copies == 0 {
        Rank::HandedOn
    } else if over_quota {
        Rank::OverQuota
    } else {
        match record.class {
            Class::Bulk => Rank::Bulk,
            Class::Normal => Rank::Normal,
            Class::Alert => Rank::Alert,
        }
    };
    // At most 2^30 ms of life, times 2^8 copies, times 2^16 so that large bundles differ as well: this fits.
    let life = remaining_ms.saturating_mul(u64::from(record.copies).saturating_add(1));
    let utility = life.saturating_mul(1 << 16) / record.bytes.max(1);
    Score { rank, utility }
}

impl Score {
    /// What kind of bundle it is.
    #[must_use]
    pub const fn rank(self) -> Rank {
        self.rank
    }

    /// Whether a bundle of this worth gives way to one of another worth: one of a lower rank does, and one of the same
    /// rank with less than half the utility, so that bundles of about the same worth do not chase each other. What is
    /// this node's own never does: its user is told instead that the store is full.
    #[must_use]
    pub fn gives_way_to(self, other: Self) -> bool {
        self.rank != Rank::Own
            && (self.rank < other.rank || (self.rank == other.rank && self.utility < other.utility / 2))
    }
}

/// The bundles of least worth that were come across.
///
/// Worth changes with time, so whoever takes one out looks at its record again.
#[derive(Debug, Default)]
pub struct Victims {
    by_score: BTreeSet<(Score, Digest)>,
    scores: BTreeMap<Digest, Score>,
}

impl Victims {
    /// Remembers a bundle with its worth at present, if it is among the worst.
    pub fn offer(&mut self, id: Digest, score: Score) {
        self.forget(&id);
        let best = self.by_score.last().filter(|_| self.scores.len() >= VICTIMS_MAX);
        if score.rank == Rank::Own || best.is_some_and(|(best, _)| score >= *best) {
            return;
        }
        self.by_score.insert((score, id));
        self.scores.insert(id, score);
        if self.scores.len() > VICTIMS_MAX
            && let Some((_, best)) = self.by_score.pop_last()
        {
            self.scores.remove(&best);
        }
    }

    /// The worst bundle, if it gives way to one of this worth; it is not remembered any more.
    pub fn pop_worse_than(&mut self, score: Score) -> Option<Digest> {
        let (worst, id) = *self.by_score.first()?;
        if !worst.gives_way_to(score) {
            return None;
        }
        self.forget(&id);
        Some(id)
    }

    /// A bundle is gone.
    pub fn forget(&mut self, id: &Digest) {
        if let Some(score) = self.scores.remove(id) {
            self.by_score.remove(&(score, *id));
        }
    }

    /// How many bundles are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const NOW: Instant = Instant::from_ms(1_100);

    fn me() -> NodeId {
        cairn_bundle::Identity::from_seed(&[77; 32]).node_id()
    }

    fn scored(record: &BundleRecord) -> Score {
        score(record, &me(), NOW, false)
    }

    #[test]
    fn a_piece_of_what_is_for_this_node_gives_way_to_nothing() {
        let alert = BundleRecord { class: Class::Alert, bytes: 1, ..record() };
        let piece = BundleRecord { destination: Some(me()), copies: 0, fragment: true, ..record() };
        assert!(!scored(&piece).gives_way_to(scored(&alert)));
        let expired = BundleRecord { remaining_ms: 0, ..piece };
        assert!(scored(&expired).gives_way_to(scored(&alert)));
    }

    #[test]
    fn bundles_give_way_in_order_of_their_kind() {
        let normal = record();
        let expired = BundleRecord { remaining_ms: 1_000, neighbour: None, ..record() };
        let handed = BundleRecord { copies: 0, class: Class::Alert, ..record() };
        let bulk = BundleRecord { class: Class::Bulk, copies: 32, bytes: 1, ..record() };
        let alert = BundleRecord { class: Class::Alert, bytes: 1 << 40, copies: 1, ..record() };
        let own = BundleRecord { neighbour: None, copies: 0, class: Class::Bulk, ..record() };
        let over = score(&alert, &me(), NOW, true);
        let order = [
            scored(&expired),
            scored(&handed),
            over,
            scored(&bulk),
            scored(&normal),
            scored(&alert),
            scored(&own),
        ];
        for (at, low) in order.iter().enumerate() {
            for high in &order[at + 1..] {
                assert!(low < high && low.gives_way_to(*high) && !high.gives_way_to(*low));
            }
        }
        let passive = BundleRecord { copies: 0, ..record() };
        assert_eq!(scored(&passive).rank(), Rank::HandedOn);
    }

    #[test]
    fn what_is_large_late_or_well_spread_is_worth_less() {
        let long = BundleRecord { remaining_ms: LIFE_MS_MAX, ..record() };
        let base = scored(&record());
        assert!(scored(&long) > base);
        assert!(scored(&BundleRecord { bytes: 1_000, ..record() }) < base);
        assert!(scored(&BundleRecord { copies: 1, ..record() }) < base);
        // No more than a week, and no overflow.
        let endless = BundleRecord { remaining_ms: u64::MAX, bytes: 0, copies: u8::MAX, ..record() };
        let week = BundleRecord { remaining_ms: 2 * LIFE_MS_MAX, bytes: 1, copies: u8::MAX, ..record() };
        assert_eq!(scored(&endless), scored(&week));
        assert_eq!(scored(&week).utility, LIFE_MS_MAX * 256 * 65_536);
    }

    #[test]
    fn equals_do_not_chase_each_other_and_own_bundles_stay() {
        let (mut victims, id) = (Victims::default(), Digest([1; 32]));
        let base = scored(&record());
        victims.offer(id, base);
        assert_eq!(victims.pop_worse_than(base), None);
        assert_eq!(victims.pop_worse_than(scored(&BundleRecord { bytes: 51, ..record() })), None);
        assert_eq!(victims.pop_worse_than(scored(&BundleRecord { bytes: 49, ..record() })), Some(id));
        let own = scored(&BundleRecord { neighbour: None, ..record() });
        victims.offer(id, own);
        assert!(
            victims.is_empty()
                && !own.gives_way_to(scored(&BundleRecord { neighbour: None, bytes: 1, ..record() }))
        );
    }

    proptest! {
        /// Against a sort of everything that was offered.
        #[test]
        fn the_worst_are_remembered_and_come_out_first(
            offers in proptest::collection::vec((0_u16..400, 1_u64..100_000, any::<bool>()), 0..600),
        ) {
            let mut victims = Victims::default();
            let mut all: BTreeMap<Digest, Score> = BTreeMap::new();
            let mut ever_full = false;
            for (n, bytes, gone) in offers {
                let mut id = Digest([0; 32]);
                id.0[..2].copy_from_slice(&n.to_be_bytes());
                if gone {
                    victims.forget(&id);
                    all.remove(&id);
                } else {
                    let score = scored(&BundleRecord { bytes, ..record() });
                    victims.offer(id, score);
                    all.insert(id, score);
                }
                ever_full |= all.len() > VICTIMS_MAX;
                prop_assert!(victims.len() <= VICTIMS_MAX);
                prop_assert_eq!(victims.scores.len(), victims.by_score.len());
            }
            let mut sorted: Vec<(Score, Digest)> = all.iter().map(|(id, score)| (*score, *id)).collect();
            sorted.sort_unstable();
            let alert = scored(&BundleRecord { class: Class::Alert, ..record() });
            let mut last = None;
            for (_, expected) in sorted.iter().take(VICTIMS_MAX) {
                let Some(id) = victims.pop_worse_than(alert) else {
                    // Once more was offered than is remembered, what lies between may be missing.
                    prop_assert!(ever_full);
                    break;
                };
                if !ever_full {
                    prop_assert_eq!(id, *expected);
                }
                prop_assert!(last <= Some(all[&id]));
                last = Some(all[&id]);
            }
            prop_assert!(victims.is_empty());
        }
    }
}
