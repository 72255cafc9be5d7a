//! Tokens that are under way: promised to a peer together with a bundle, and not yet its own.
//!
//! A bundle starts with a number of copies, and each time it is given to a carrier some of them go with it. Until the
//! peer has the bundle durably they are neither here nor there: they may not be promised twice, and they come back when
//! the link breaks, or when the peer does not answer for ten minutes: one that never does cannot keep them. Should the acknowledgement be lost, the peer has them and this node has them too: a bundle may
//! gain copies by that, never lose one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cairn_bundle::Digest;

use crate::event::LinkId;
use crate::time::Instant;

/// Promises that are remembered in all.
const PROMISES_MAX: usize = 65_536;

/// After so many milliseconds without an answer, promised tokens may be promised to others.
const PATIENCE_MS: u64 = 10 * 60_000;

#[derive(Debug, Clone, Copy)]
struct Promise {
    copies: u8,
    until: Instant,
}

/// What is promised on which link.
#[derive(Debug, Default)]
pub struct Custody {
    /// By bundle and link, so that the promises of one bundle lie together.
    promises: BTreeMap<(Digest, LinkId), Promise>,
    links: BTreeSet<(LinkId, Digest)>,
}

impl Custody {
    /// Promises up to `copies` of a bundle that has `held` of them on a link; says how many. They are less if others are
    /// promised elsewhere, and none if too many promises are open. What was promised before on the same link is
    /// replaced.
    pub fn promise(&mut self, now: Instant, link: LinkId, id: &Digest, copies: u8, held: u8) -> u8 {
        self.take(link, id);
        let free = held.saturating_sub(self.promised(now, id));
        let granted = copies.min(free);
        if granted == 0 || self.promises.len() >= PROMISES_MAX {
            return 0;
        }
        self.promises.insert((*id, link), Promise { copies: granted, until: now.plus_ms(PATIENCE_MS) });
        self.links.insert((link, *id));
        granted
    }

    /// The peer has answered, and the promise is closed: says how many tokens it was for. They have left for good if the peer
    /// got the bundle with them, and stay here otherwise.
    pub fn settle(&mut self, link: LinkId, id: &Digest) -> u8 {
        self.take(link, id)
    }

    /// A link is gone: what was promised on it and not answered stays here. Whether something was.
    pub fn link_down(&mut self, link: LinkId) -> bool {
        let mut some = false;
        let first = (link, Digest([0; 32]));
        while let Some((_, id)) = self.links.range(first..).next().copied().filter(|(of, _)| *of == link) {
            self.take(link, &id);
            some = true;
        }
        some
    }

    /// A bundle is gone from here, with all that was promised of it.
    pub fn forget(&mut self, id: &Digest) {
        if self.promises.is_empty() {
            return;
        }
        let links: Vec<LinkId> = self.open(id).map(|((_, link), _)| *link).collect();
        for link in links {
            self.take(link, id);
        }
    }

    /// How many tokens of a bundle are under way.
    #[must_use]
    pub fn promised(&self, now: Instant, id: &Digest) -> u8 {
        let open = self.open(id).filter(|(_, promise)| promise.until > now);
        open.fold(0, |sum, (_, promise)| sum.saturating_add(promise.copies))
    }

    /// How many promises are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.promises.len()
    }

    /// Whether no promise is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.promises.is_empty()
    }

    fn open(&self, id: &Digest) -> impl Iterator<Item = (&(Digest, LinkId), &Promise)> {
        self.promises.range((*id, LinkId::MIN)..=(*id, LinkId::MAX))
    }

    fn take(&mut self, link: LinkId, id: &Digest) -> u8 {
        self.links.remove(&(link, *id));
        self.promises.remove(&(*id, link)).map_or(0, |promise| promise.copies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Instant = Instant::ZERO;
    const ID: Digest = Digest([7; 32]);

    #[test]
    fn tokens_leave_only_when_the_peer_has_accepted() {
        let mut custody = Custody::default();
        assert_eq!(custody.promise(NOW, 1, &ID, 4, 8), 4);
        assert_eq!(custody.promise(NOW, 2, &ID, 4, 8), 4);
        assert_eq!(custody.promise(NOW, 3, &ID, 4, 8), 0);
        assert_eq!(custody.settle(1, &ID), 4);
        assert_eq!(custody.settle(1, &ID), 0, "settled once");
        assert_eq!(custody.settle(2, &ID), 4, "refused: they are free again");
        assert_eq!(custody.promise(NOW, 3, &ID, 4, 4), 4);
        custody.link_down(3);
        assert!(custody.is_empty() && custody.links.is_empty());
    }

    #[test]
    fn what_is_offered_again_on_a_link_is_promised_once() {
        let mut custody = Custody::default();
        assert_eq!(custody.promise(NOW, 1, &ID, 4, 4), 4);
        assert_eq!(custody.promise(NOW, 1, &ID, 2, 4), 2);
        assert_eq!((custody.promised(NOW, &ID), custody.len()), (2, 1));
        custody.forget(&ID);
        assert_eq!((custody.settle(1, &ID), custody.links.len()), (0, 0));
    }

    #[test]
    fn a_peer_that_never_answers_keeps_no_tokens() {
        let mut custody = Custody::default();
        assert_eq!(custody.promise(NOW, 1, &ID, 4, 4), 4);
        let later = NOW.plus_ms(PATIENCE_MS);
        assert_eq!((custody.promised(NOW, &ID), custody.promised(later, &ID)), (4, 0));
        assert_eq!(custody.promise(later, 2, &ID, 4, 4), 4);
        assert_eq!(custody.settle(1, &ID), 4, "it has them after all");
        assert!(custody.link_down(2) && !custody.link_down(1));
    }

    #[test]
    fn open_promises_are_bounded() {
        let mut custody = Custody::default();
        let id = |n: usize| Digest::of(&n.to_be_bytes());
        for n in 0..PROMISES_MAX {
            assert_eq!(custody.promise(NOW, 1, &id(n), 1, 1), 1);
        }
        assert_eq!(custody.promise(NOW, 1, &id(PROMISES_MAX), 1, 1), 0);
        assert_eq!((custody.len(), custody.links.len()), (PROMISES_MAX, PROMISES_MAX));
        custody.link_down(1);
        assert_eq!(custody.promise(NOW, 1, &id(PROMISES_MAX), 1, 1), 1);
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Promise(u64, u8, u8),
        Settle(u64, u8, bool),
        Down(u64),
        Forget(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (link, id) = (0_u64..3, 0_u8..3);
        prop_oneof![
            4 => (link.clone(), id.clone(), any::<u8>()).prop_map(|(l, i, c)| Step::Promise(l, i, c)),
            3 => (link.clone(), id.clone(), any::<bool>()).prop_map(|(l, i, a)| Step::Settle(l, i, a)),
            1 => link.prop_map(Step::Down),
            1 => id.prop_map(Step::Forget),
        ]
    }

    proptest! {
        /// Against a plain list of promises.
        #[test]
        fn no_token_is_promised_twice_or_lost(
            mut held in [0_u8..20, 0_u8..20, 0_u8..20],
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let mut custody = Custody::default();
            let mut open: BTreeMap<(u64, u8), u8> = BTreeMap::new();
            let sum = |open: &BTreeMap<(u64, u8), u8>, id: u8| -> u8 {
                open.iter().filter(|((_, of), _)| *of == id).map(|(_, copies)| *copies).sum()
            };
            for step in steps {
                match step {
                    Step::Promise(link, n, copies) => {
                        open.remove(&(link, n));
                        let free = held[usize::from(n)] - sum(&open, n);
                        let granted = custody.promise(NOW, link, &Digest([n; 32]), copies, held[usize::from(n)]);
                        prop_assert_eq!(granted, copies.min(free));
                        if granted > 0 {
                            open.insert((link, n), granted);
                        }
                    }
                    Step::Settle(link, n, accepted) => {
                        let promised = custody.settle(link, &Digest([n; 32]));
                        prop_assert_eq!(promised, open.remove(&(link, n)).unwrap_or(0));
                        held[usize::from(n)] -= if accepted { promised } else { 0 };
                    }
                    Step::Down(link) => {
                        custody.link_down(link);
                        open.retain(|(of, _), _| *of != link);
                    }
                    Step::Forget(n) => {
                        custody.forget(&Digest([n; 32]));
                        open.retain(|(_, of), _| *of != n);
                    }
                }
                prop_assert_eq!((custody.len(), custody.links.len()), (open.len(), open.len()));
                for n in 0..3 {
                    prop_assert_eq!(custody.promised(NOW, &Digest([n; 32])), sum(&open, n));
                    prop_assert!(custody.promised(NOW, &Digest([n; 32])) <= held[usize::from(n)]);
                }
            }
        }
    }
}
