//! What one session has still to give of the bundles that its peer lacks.

use alloc::collections::{BTreeMap, BTreeSet};

use cairn_bundle::Digest;

/// Bundles that wait in each line to be offered, best first; more are found again by the next comparison.
const READY_MAX: usize = 8_192;
/// Bundles that were held back and are looked at again when something changes.
const HELD_MAX: usize = 8_192;
/// Offers that the peer has not answered; further bundles wait, so that what is better still overtakes.
const UNANSWERED_MAX: usize = 2_048;
/// Offers beyond these that are made of what needs no room at the peer.
const UNANSWERED_MORE: usize = 256;

/// What was promised to the peer with an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) bytes: u64,
    /// Whether its last byte was handed out: only then can the peer have got the tokens that go with it.
    pub(crate) sent: bool,
}

/// Bundles for one peer in three states: ready, held back, offered.
#[derive(Debug, Default)]
pub(crate) struct Giving {
    /// What takes room at the peer; waits while there is none.
    ready: BTreeSet<(u64, Digest)>,
    /// What is for the peer itself, and small alerts: a full store is no reason to keep them back.
    roomless: BTreeSet<(u64, Digest)>,
    /// Rank of what is in line, and whether it takes room.
    ranks: BTreeMap<Digest, (u64, bool)>,
    held: BTreeSet<Digest>,
    unanswered: BTreeMap<Digest, Offered>,
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

    /// A bundle that should go to this peer. The worst of a line that is full gives way.
    pub(crate) fn want(&mut self, rank: u64, id: Digest, takes_room: bool) {
        if self.unanswered.contains_key(&id) {
            return;
        }
        self.held.remove(&id);
        self.leave_line(&id);
        let line = if takes_room { &mut self.ready } else { &mut self.roomless };
        line.insert((rank, id));
        let worst = if line.len() > READY_MAX { line.pop_last() } else { None };
        self.ranks.insert(id, (rank, takes_room));
        if let Some((_, worst)) = worst {
            self.ranks.remove(&worst);
        }
    }

    /// A bundle that should not go to this peer now.
    pub(crate) fn hold(&mut self, id: Digest) {
        self.leave_line(&id);
        if self.held.len() < HELD_MAX {
            self.held.insert(id);
        }
    }

    /// The best bundle, if another offer may be made: with its rank, and whether it takes room at the peer.
    pub(crate) fn next(&mut self) -> Option<(u64, Digest, bool)> {
        let offers = self.unanswered.len();
        let ready = self.ready.first().filter(|_| !self.paused && offers < UNANSWERED_MAX);
        let roomless = self.roomless.first().filter(|_| offers < UNANSWERED_MAX + UNANSWERED_MORE);
        let (rank, id) = match (ready, roomless) {
            (Some(ready), Some(roomless)) => *ready.min(roomless),
            (Some(only), None) | (None, Some(only)) => *only,
            (None, None) => return None,
        };
        let takes_room = self.leave_line(&id)?;
        Some((rank, id, takes_room))
    }

    /// The peer has no room: what is ready and takes some waits.
    pub(crate) const fn pause(&mut self) {
        self.paused = true;
    }

    /// The peer may have room again.
    pub(crate) const fn resume(&mut self) {
        self.paused = false;
    }

    pub(crate) fn offered(&mut self, id: Digest, bytes: u64) {
        self.unanswered.insert(id, Offered { bytes, sent: false });
    }

    /// The last byte of a bundle was handed out.
    pub(crate) fn sent(&mut self, id: &Digest) {
        if let Some(offered) = self.unanswered.get_mut(id) {
            offered.sent = true;
        }
    }

    /// The peer has answered, or the offer was withdrawn: what was promised with it.
    pub(crate) fn answered(&mut self, id: &Digest) -> Option<Offered> {
        let offered = self.unanswered.remove(id);
        if offered.is_some() {
            self.resume();
        }
        offered
    }

    /// The bundle is gone from here; what was promised to the peer, if it was offered.
    pub(crate) fn forget(&mut self, id: &Digest) -> Option<Offered> {
        self.leave_line(id);
        self.held.remove(id);
        self.answered(id)
    }

    /// What was held back, to be looked at again.
    pub(crate) fn take_held(&mut self) -> BTreeSet<Digest> {
        core::mem::take(&mut self.held)
    }

    /// Whether there is room for what another message of the comparison may bring. A peer without room is compared with
    /// all the same, and what finds no place in line is found again.
    pub(crate) fn takes_more(&self) -> bool {
        self.paused || self.ready.len().max(self.roomless.len()) <= READY_MAX / 2
    }

    /// Whether something was offered and is not answered, or is about to be offered.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.unanswered.is_empty() || self.is_pressing()
    }

    /// Whether something is about to be offered.
    pub(crate) fn is_pressing(&self) -> bool {
        !self.roomless.is_empty() || (!self.paused && (self.walk.is_some() || !self.ready.is_empty()))
    }

    /// Whether it took room, if it was in line.
    fn leave_line(&mut self, id: &Digest) -> Option<bool> {
        let (rank, takes_room) = self.ranks.remove(id)?;
        let line = if takes_room { &mut self.ready } else { &mut self.roomless };
        line.remove(&(rank, *id));
        Some(takes_room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_goes_first_and_a_new_rank_replaces_the_old() {
        let mut giving = Giving::default();
        let (a, b) = (Digest([1; 32]), Digest([2; 32]));
        giving.want(5, a, true);
        giving.want(3, b, true);
        giving.want(1, a, true);
        assert_eq!(giving.next(), Some((1, a, true)));
        giving.offered(a, 10);
        giving.want(0, a, true);
        assert_eq!(giving.next(), Some((3, b, true)), "what is offered is not offered again");
        assert_eq!(giving.next(), None);
        assert_eq!(giving.answered(&a), Some(Offered { bytes: 10, sent: false }));
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
            giving.want(1, id(n), true);
            giving.hold(id(n + 100_000));
        }
        assert!(!giving.takes_more());
        let mut offers = 0;
        while let Some((_, id, _)) = giving.next() {
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
        giving.want(1, a, true);
        giving.forget(&a);
        assert_eq!(giving.next(), None);
        giving.hold(a);
        assert!(giving.take_held().contains(&a) && giving.take_held().is_empty());
    }

    #[test]
    fn what_needs_no_room_goes_on_while_the_rest_waits_and_a_full_line_keeps_the_best() {
        let mut giving = Giving::default();
        let id = |n: u16| Digest::of(&n.to_be_bytes());
        for n in 0..9_000 {
            giving.want(u64::from(9_000 - n), id(n), true);
        }
        assert_eq!((giving.ready.len(), giving.ranks.len()), (READY_MAX, READY_MAX));
        giving.want(7_000, id(9_001), false);
        giving.pause();
        assert!(giving.takes_more() && giving.is_pressing());
        assert_eq!(giving.next(), Some((7_000, id(9_001), false)));
        assert_eq!(giving.next(), None);
        giving.resume();
        assert_eq!(giving.next(), Some((1, id(8_999), true)));
        giving.offered(id(8_999), 5);
        giving.sent(&id(8_999));
        giving.pause();
        assert_eq!(giving.forget(&id(8_999)), Some(Offered { bytes: 5, sent: true }));
        assert!(giving.next().is_some(), "an answer may have made room");
    }
}
