//! What one session has still to give of the bundles that its peer lacks.

use alloc::collections::{BTreeMap, BTreeSet};

use cairn_bundle::Digest;

/// Bundles that wait to be offered, best first; more are found again by the next comparison.
const READY_MAX: usize = 8_192;
/// Bundles that were held back and are looked at again when something changes.
const HELD_MAX: usize = 8_192;
/// Offers that the peer has not answered; further bundles wait, so that what is better still overtakes.
const UNANSWERED_MAX: usize = 2_048;

/// Bundles for one peer in three states: ready, held back, offered.
#[derive(Debug, Default)]
pub(crate) struct Giving {
    ready: BTreeSet<(u64, Digest)>,
    ranks: BTreeMap<Digest, u64>,
    held: BTreeSet<Digest>,
    /// With the bytes that were promised.
    unanswered: BTreeMap<Digest, u64>,
    paused: bool,
    /// Where the walk through everything that is carried goes on, for a peer that cannot answer.
    walk: Option<Digest>,
}

impl Giving {
    /// Begins a walk through everything that is carried.
    pub(crate) fn walk(&mut self) {
        self.walk = Some(Digest([0; 32]));
    }

    /// Where the walk goes on, unless enough is ready.
    pub(crate) fn walk_from(&self) -> Option<Digest> {
        self.walk.filter(|_| self.takes_more())
    }

    /// How far the walk came; `None` at its end.
    pub(crate) fn walked(&mut self, next: Option<Digest>) {
        self.walk = next;
    }

    /// A bundle that should go to this peer.
    pub(crate) fn want(&mut self, rank: u64, id: Digest) {
        if self.unanswered.contains_key(&id)
            || (self.ready.len() >= READY_MAX && !self.ranks.contains_key(&id))
        {
            return;
        }
        self.held.remove(&id);
        if let Some(old) = self.ranks.insert(id, rank) {
            self.ready.remove(&(old, id));
        }
        self.ready.insert((rank, id));
        self.paused = false;
    }

    /// A bundle that should not go to this peer now.
    pub(crate) fn hold(&mut self, id: Digest) {
        if self.held.len() < HELD_MAX {
            self.held.insert(id);
        }
    }

    /// The best bundle, if another offer may be made.
    pub(crate) fn next(&mut self) -> Option<(u64, Digest)> {
        if self.unanswered.len() >= UNANSWERED_MAX || self.paused {
            return None;
        }
        let (rank, id) = self.ready.pop_first()?;
        self.ranks.remove(&id);
        Some((rank, id))
    }

    /// The peer has no room: what is ready waits.
    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// Whether what is ready waits for room at the peer.
    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// The peer may have room again.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
    }

    pub(crate) fn offered(&mut self, id: Digest, bytes: u64) {
        self.unanswered.insert(id, bytes);
    }

    /// The peer has answered; the bytes that were promised to it.
    pub(crate) fn answered(&mut self, id: &Digest) -> Option<u64> {
        self.unanswered.remove(id)
    }

    /// The bundle is gone from here.
    pub(crate) fn forget(&mut self, id: &Digest) {
        if let Some(rank) = self.ranks.remove(id) {
            self.ready.remove(&(rank, *id));
        }
        self.held.remove(id);
        self.unanswered.remove(id);
    }

    /// What was held back, to be looked at again.
    pub(crate) fn take_held(&mut self) -> BTreeSet<Digest> {
        core::mem::take(&mut self.held)
    }

    /// Whether there is room for what another message of the comparison may bring.
    pub(crate) fn takes_more(&self) -> bool {
        self.ready.len() <= READY_MAX / 2
    }

    /// Whether something was offered and is not answered, or is about to be offered.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.unanswered.is_empty() || self.is_pressing()
    }

    /// Whether something is about to be offered.
    pub(crate) fn is_pressing(&self) -> bool {
        !self.paused && (self.walk.is_some() || !self.ready.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_goes_first_and_a_new_rank_replaces_the_old() {
        let mut giving = Giving::default();
        let (a, b) = (Digest([1; 32]), Digest([2; 32]));
        giving.want(5, a);
        giving.want(3, b);
        giving.want(1, a);
        assert_eq!(giving.next(), Some((1, a)));
        giving.offered(a, 10);
        giving.want(0, a);
        assert_eq!(giving.next(), Some((3, b)), "what is offered is not offered again");
        assert_eq!(giving.next(), None);
        assert_eq!(giving.answered(&a), Some(10));
        assert_eq!(giving.answered(&a), None);
    }

    #[test]
    fn offers_and_queues_are_bounded() {
        let mut giving = Giving::default();
        let id = |n: u32| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            Digest(id)
        };
        for n in 0..20_000 {
            giving.want(1, id(n));
            giving.hold(id(n + 100_000));
        }
        assert!(!giving.takes_more());
        let mut offers = 0;
        while let Some((_, id)) = giving.next() {
            giving.offered(id, 1);
            offers += 1;
        }
        assert_eq!(
            (offers, giving.ready.len(), giving.held.len()),
            (UNANSWERED_MAX, READY_MAX - UNANSWERED_MAX, HELD_MAX)
        );
        assert!(giving.is_pressing());
        giving.pause();
        assert!(!giving.is_pressing());
    }

    #[test]
    fn what_is_gone_is_not_offered() {
        let mut giving = Giving::default();
        let a = Digest([1; 32]);
        giving.want(1, a);
        giving.forget(&a);
        assert_eq!(giving.next(), None);
        giving.hold(a);
        assert!(giving.take_held().contains(&a) && giving.take_held().is_empty());
    }
}
