//! Whole networks of routers over given contacts, next to epidemic routing over the same contacts.
//!
//! Links here have no rate and no loss, so that what is compared is routing alone. The simulator of the runtime does
//! it with everything else.

mod scenes;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cairn_bundle::{Class, Identity, NodeId};

use super::{ContactPlan, Decision, LinkProperties, Question, Router, RoutingLimits};
use crate::Instant;

/// SplitMix64.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn node(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap())).unwrap()
    }
}

/// A link comes up or goes down at a second.
pub(super) type Contact = (u64, usize, usize, bool);

#[derive(Debug, Clone, Copy)]
pub(super) struct Mail {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) at_s: u64,
    pub(super) life_s: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Epidemic,
    Routed { copies: u8 },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) mails: usize,
    pub(super) delivered: usize,
    pub(super) transmissions: usize,
    pub(super) delay_s: u64,
}

struct Node {
    router: Router,
    /// Tokens by mail.
    carried: BTreeMap<usize, u8>,
    /// Since when.
    since: BTreeMap<usize, u64>,
    /// What is known to have arrived.
    arrived: BTreeSet<usize>,
    links: BTreeSet<usize>,
    /// The last claims that the neighbours were told.
    told: u64,
}

pub(super) struct World<'a> {
    mails: &'a [Mail],
    how: How,
    wall: bool,
    ids: Vec<NodeId>,
    nodes: Vec<Node>,
    now_s: u64,
    outcome: Outcome,
    pub(super) liars: BTreeSet<usize>,
}

pub(super) fn ids(nodes: usize) -> Vec<NodeId> {
    let seed = |node: usize| -> [u8; 32] { core::array::from_fn(|at| node.to_le_bytes()[at % 8]) };
    (0..nodes).map(|node| Identity::from_seed(&seed(node)).node_id()).collect()
}

impl<'a> World<'a> {
    pub(super) fn new(nodes: usize, mails: &'a [Mail], how: How, wall: bool) -> Self {
        let ids = ids(nodes);
        let node = |id: &NodeId| Node {
            router: Router::new(*id, RoutingLimits::default()),
            carried: BTreeMap::new(),
            since: BTreeMap::new(),
            arrived: BTreeSet::new(),
            links: BTreeSet::new(),
            told: 0,
        };
        let nodes = ids.iter().map(node).collect();
        let outcome = Outcome { mails: mails.len(), ..Outcome::default() };
        Self { mails, how, wall, ids, nodes, now_s: 0, outcome, liars: BTreeSet::new() }
    }

    pub(super) fn plan(&mut self, plan: &ContactPlan) {
        self.nodes.iter_mut().for_each(|node| node.router.set_plan(plan.clone()));
    }

    fn now(&self) -> Instant {
        Instant::from_ms(self.now_s * 1_000)
    }

    fn wall_s(&self) -> Option<u64> {
        self.wall.then_some(self.now_s + 200_000_000)
    }

    pub(super) fn run(mut self, contacts: &[Contact]) -> Outcome {
        let mut order: Vec<usize> = (0..self.mails.len()).collect();
        order.sort_by_key(|&mail| self.mails[mail].at_s);
        let mut order = order.into_iter().peekable();
        let mut tick_s = 0;
        for &(at_s, a, b, up) in contacts {
            while let Some(mail) = order.next_if(|&mail| self.mails[mail].at_s <= at_s) {
                self.now_s = self.now_s.max(self.mails[mail].at_s);
                let copies = match self.how {
                    How::Epidemic => 0,
                    How::Routed { copies } => copies,
                };
                self.arrive(self.mails[mail].from, mail, copies);
            }
            while tick_s + 300 <= at_s {
                tick_s += 300;
                self.now_s = self.now_s.max(tick_s);
                self.tick();
            }
            self.now_s = at_s;
            if up { self.up(a, b) } else { self.down(a, b) }
        }
        self.outcome
    }

    fn up(&mut self, a: usize, b: usize) {
        let (now, wall_s) = (self.now(), self.wall_s());
        for (x, y) in [(a, b), (b, a)] {
            let peer = self.ids[y];
            self.nodes[x].links.insert(y);
            if self.how != How::Epidemic {
                self.nodes[x].router.link_up(now, wall_s, peer, &LinkProperties::default());
            }
        }
        for (x, y) in [(a, b), (b, a)] {
            self.tell(x, y);
        }
        self.meet(a, b);
    }

    fn down(&mut self, a: usize, b: usize) {
        let (now, wall_s) = (self.now(), self.wall_s());
        for (x, y) in [(a, b), (b, a)] {
            let peer = self.ids[y];
            self.nodes[x].links.remove(&y);
            self.nodes[x].router.link_down(now, wall_s, &peer);
        }
    }

    /// Every five minutes, neighbours that stay linked are told what has changed.
    fn tick(&mut self) {
        for x in 0..self.nodes.len() {
            let revision = self.nodes[x].router.claims_revision();
            if self.nodes[x].links.is_empty() || self.nodes[x].told == revision {
                continue;
            }
            self.nodes[x].told = revision;
            for y in self.nodes[x].links.clone() {
                self.tell(x, y);
                self.meet(x, y);
            }
        }
    }

    fn tell(&mut self, x: usize, y: usize) {
        if self.how == How::Epidemic {
            return;
        }
        let peer = self.ids[y];
        let mut claims = self.nodes[x].router.claims_for(self.now(), self.wall_s(), &peer, 256);
        if self.liars.contains(&x) {
            claims = self
                .ids
                .iter()
                .map(super::strategy::half)
                .map(|node| cairn_link::RouteClaim { node, delay_s: 0 })
                .collect();
        }
        let (now, peer) = (self.now(), self.ids[x]);
        self.nodes[y].router.heard_claims(now, &peer, &claims);
    }

    fn meet(&mut self, a: usize, b: usize) {
        for (x, y) in [(a, b), (b, a)] {
            let news: Vec<usize> =
                self.nodes[x].arrived.difference(&self.nodes[y].arrived).copied().collect();
            for mail in news {
                self.nodes[y].arrived.insert(mail);
                self.nodes[y].carried.remove(&mail);
            }
        }
        for (x, y) in [(a, b), (b, a)] {
            let offers: Vec<usize> = self.nodes[x].carried.keys().copied().collect();
            for mail in offers {
                self.offer(x, y, mail);
            }
        }
    }

    fn offer(&mut self, x: usize, y: usize, mail: usize) {
        if self.liars.contains(&x) {
            return;
        }
        let Some(&copies) = self.nodes[x].carried.get(&mail) else { return };
        let Mail { from, to, at_s, life_s } = self.mails[mail];
        if self.nodes[y].carried.contains_key(&mail) || self.nodes[y].arrived.contains(&mail) {
            return;
        }
        let Some(remaining_s) = (at_s + life_s).checked_sub(self.now_s).filter(|&left_s| left_s > 0) else {
            self.nodes[x].carried.remove(&mail);
            return;
        };
        let question = Question {
            destination: Some(self.ids[to]),
            source: Some(self.ids[from]),
            class: Class::Normal,
            bytes: 1_000,
            remaining_ms: remaining_s * 1_000,
            held_ms: (self.now_s - self.nodes[x].since[&mail]) * 1_000,
            copies,
            crowd: 0,
        };
        let decision = match self.how {
            How::Epidemic => None,
            How::Routed { .. } => {
                let peer = self.ids[y];
                match self.nodes[x].router.decide(self.now(), self.wall_s(), &peer, &question) {
                    Decision::Give { copies, .. } => Some(copies),
                    Decision::Hold { .. } => return,
                }
            }
        };
        let given = decision.unwrap_or(0);
        assert!(given <= copies);
        self.outcome.transmissions += 1;
        self.nodes[x].carried.insert(mail, copies - given);
        if y == to {
            if x != from {
                let peer = self.ids[x];
                self.nodes[y].router.brought(&peer);
            }
            self.outcome.delivered += 1;
            self.outcome.delay_s += self.now_s - at_s;
            self.nodes[x].carried.remove(&mail);
            self.nodes[x].arrived.insert(mail);
            self.nodes[y].arrived.insert(mail);
        } else {
            if x != from {
                let peer = self.ids[x];
                self.nodes[y].router.brought(&peer);
            }
            self.arrive(y, mail, given);
        }
    }

    fn arrive(&mut self, node: usize, mail: usize, copies: u8) {
        self.nodes[node].carried.insert(mail, copies);
        self.nodes[node].since.insert(mail, self.now_s);
        if self.liars.contains(&node) {
            // It takes and gives nothing, under epidemic as well.
            return;
        }
        for peer in self.nodes[node].links.clone() {
            self.offer(node, peer, mail);
        }
    }
}
