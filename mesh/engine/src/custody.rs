//! Tokens that are under way: promised to a peer together with a bundle, and not yet its own.
//!
//! A bundle starts with a number of copies, and each time it is given to a carrier some of them go with it. Until the
//! peer has the bundle durably they are neither here nor there: they may not be promised twice, and they come back when
//! the link breaks. Should the acknowledgement be lost, the peer has them and this node has them too: a bundle may
//! gain copies by that, never lose one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cairn_bundle::Digest;

use crate::event::LinkId;

/// Promises that are remembered in all.
const PROMISES_MAX: usize = 65_536;

/// What is promised on which link.
#[derive(Debug, Default)]
pub struct Custody {
    /// By bundle and link, so that the promises of one bundle lie together.
    promises: BTreeMap<(Digest, LinkId), u8>,
    links: BTreeSet<(LinkId, Digest)>,
}

impl Custody {
    /// Promises up to `copies` of a bundle that has `held` of them on a link; says how many. They are less if others are
    /// promised elsewhere, and none if too many promises are open. What was promised before on the same link is
    /// replaced.
    pub fn promise(&mut self, link: LinkId, id: &Digest, copies: u8, held: u8) -> u8 {
        self.take(link, id);
        let free = held.saturating_sub(self.promised(id));
        let granted = copies.min(free);
        if granted == 0 || self.promises.len() >= PROMISES_MAX {
            return 0;
        }
        self.promises.insert((*id, link), granted);
        self.links.insert((link, *id));
        granted
    }

    /// The peer has answered: says how many tokens left for good. Without acceptance they stay here.
    pub fn settle(&mut self, link: LinkId, id: &Digest, accepted: bool) -> u8 {
        let promised = self.take(link, id);
        if accepted { promised } else { 0 }
    }

    /// A link is gone: what was promised on it and not answered stays here.
    pub fn link_down(&mut self, link: LinkId) {
        let first = (link, Digest([0; 32]));
        while let Some((_, id)) = self.links.range(first..).next().copied().filter(|(of, _)| *of == link) {
            self.take(link, &id);
        }
    }

    /// A bundle is gone from here, with all that was promised of it.
    pub fn forget(&mut self, id: &Digest) {
        let links: Vec<LinkId> = self.open(id).map(|((_, link), _)| *link).collect();
        for link in links {
            self.take(link, id);
        }
    }

    /// How many tokens of a bundle are under way.
    #[must_use]
    pub fn promised(&self, id: &Digest) -> u8 {
        self.open(id).fold(0, |sum, (_, copies)| sum.saturating_add(*copies))
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

    fn open(&self, id: &Digest) -> impl Iterator<Item = (&(Digest, LinkId), &u8)> {
        self.promises.range((*id, LinkId::MIN)..=(*id, LinkId::MAX))
    }

    fn take(&mut self, link: LinkId, id: &Digest) -> u8 {
        self.links.remove(&(link, *id));
        self.promises.remove(&(*id, link)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: Digest = Digest([7; 32]);

    #[test]
    fn tokens_leave_only_when_the_peer_has_accepted() {
        let mut custody = Custody::default();
        assert_eq!(custody.promise(1, &ID, 4, 8), 4);
        assert_eq!(custody.promise(2, &ID, 4, 8), 4);
        assert_eq!(custody.promise(3, &ID, 4, 8), 0);
        assert_eq!(custody.settle(1, &ID, true), 4);
        assert_eq!(custody.settle(1, &ID, true), 0, "settled once");
        assert_eq!(custody.settle(2, &ID, false), 0);
        assert_eq!(custody.promise(3, &ID, 4, 4), 4);
        custody.link_down(3);
        assert!(custody.is_empty() && custody.links.is_empty());
    }

    #[test]
    fn what_is_offered_again_on_a_link_is_promised_once() {
        let mut custody = Custody::default();
        assert_eq!(custody.promise(1, &ID, 4, 4), 4);
        assert_eq!(custody.promise(1, &ID, 2, 4), 2);
        assert_eq!((custody.promised(&ID), custody.len()), (2, 1));
        custody.forget(&ID);
        assert_eq!((custody.settle(1, &ID, true), custody.links.len()), (0, 0));
    }

    #[test]
    fn open_promises_are_bounded() {
        let mut custody = Custody::default();
        let id = |n: usize| Digest::of(&n.to_be_bytes());
        for n in 0..PROMISES_MAX {
            assert_eq!(custody.promise(1, &id(n), 1, 1), 1);
        }
        assert_eq!(custody.promise(1, &id(PROMISES_MAX), 1, 1), 0);
        assert_eq!((custody.len(), custody.links.len()), (PROMISES_MAX, PROMISES_MAX));
        custody.link_down(1);
        assert_eq!(custody.promise(1, &id(PROMISES_MAX), 1, 1), 1);
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
                        let granted = custody.promise(link, &Digest([n; 32]), copies, held[usize::from(n)]);
                        prop_assert_eq!(granted, copies.min(free));
                        if granted > 0 {
                            open.insert((link, n), granted);
                        }
                    }
                    Step::Settle(link, n, accepted) => {
                        let left = custody.settle(link, &Digest([n; 32]), accepted);
                        let promised = open.remove(&(link, n)).unwrap_or(0);
                        prop_assert_eq!(left, if accepted { promised } else { 0 });
                        held[usize::from(n)] -= left;
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
                    prop_assert_eq!(custody.promised(&Digest([n; 32])), sum(&open, n));
                    prop_assert!(custody.promised(&Digest([n; 32])) <= held[usize::from(n)]);
                }
            }
        }
    }
}
