//! Earliest arrival over planned contacts.
//!
//! A Dijkstra over nodes, labelled with arrival times, as in Schedule-Aware Bundle Routing (CCSDS 734.3-B-1). That is
//! enough, because who arrives earlier can always wait: a later arrival at a node never leads to an earlier one
//! elsewhere. One search answers for all destinations and is kept for a while.

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::cmp::Reverse;

use crate::routing::plan::{ContactPlan, PlanClock, PlannedContact};
use crate::routing::question::Question;
use crate::routing::strategy::{Forecast, Half, Moment, Strategy, StrategyName, Way, half};

/// A search is used again within this time, unless a contact begins or ends meanwhile.
const FRESH_MS: i64 = 30_000;
/// Most searches that are kept: one for each node they start from and each class of size.
const TREES_MAX: usize = 64;

/// One way between two nodes, as the search sees it. Times in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Hop {
    to: usize,
    clock: PlanClock,
    start_ms: i64,
    end_ms: i64,
    every_ms: Option<i64>,
    rate_bytes_s: Option<u64>,
    delay_ms: i64,
}

/// When and how a node is reached; times are milliseconds after the search.
#[derive(Debug, Clone, Copy)]
struct Reached {
    at_ms: i64,
    hops: u32,
    /// The first node after the root.
    first: usize,
}

/// The outcome of one search.
#[derive(Debug, Clone)]
struct Tree {
    moment: Moment,
    /// How long it holds.
    fresh_ms: i64,
    reached: Vec<Option<Reached>>,
}

/// Forecasts from a contact plan.
///
/// A plan says when contacts will be, and is believed: the host takes it from its operator only. Whether a bundle fits
/// is judged by the rate and what is left of the contact, for each bundle alone; other bundles that want the same
/// contact are not counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlanRoutes {
    me: Half,
    origin_ms: i64,
    /// The nodes of the plan and their places in `hops`.
    places: BTreeMap<Half, usize>,
    names: Vec<Half>,
    hops: Vec<Vec<Hop>>,
    trees: RefCell<BTreeMap<(usize, u8), Tree>>,
}

/// A time of a plan; [`ContactPlan`] keeps them so small that nothing is lost.
fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds).map_or(i64::MAX / 4, |seconds| seconds.saturating_mul(1_000).min(i64::MAX / 4))
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

impl PlanRoutes {
    pub(crate) fn new(me: Half, plan: ContactPlan) -> Self {
        let mut routes = Self { me, origin_ms: signed(plan.origin().as_ms()), ..Self::default() };
        for contact in plan.into_contacts() {
            let from = routes.place(half(&contact.from));
            let to = routes.place(half(&contact.to));
            if let Some(hops) = routes.hops.get_mut(from) {
                hops.push(Hop::new(to, &contact));
            }
        }
        routes
    }

    /// Whether there is nothing in it.
    pub(crate) const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn place(&mut self, node: Half) -> usize {
        let next = self.names.len();
        let place = *self.places.entry(node).or_insert(next);
        if place == next {
            self.names.push(node);
            self.hops.push(Vec::new());
        }
        place
    }

    /// All nodes of the plan that are reached from here other than through `except`, each with the milliseconds that
    /// a small bundle needs.
    pub(crate) fn reachable(&self, moment: Moment, except: Option<&Half>) -> Vec<(Half, u64)> {
        let route = |target: &Half| self.route(moment, &self.me, target, 1);
        let known = self.names.iter().filter_map(|target| Some((*target, route(target)?)));
        let others = known.filter(|(_, route)| Some(&route.next) != except);
        others.map(|(target, route)| (target, route.delay_ms)).collect()
    }

    /// With how many nodes `node` has planned contacts.
    pub(crate) fn reach(&self, node: &Half) -> usize {
        let hops = self.places.get(node).and_then(|place| self.hops.get(*place));
        hops.map_or(0, |hops| hops.iter().map(|hop| hop.to).collect::<BTreeSet<_>>().len())
    }

    /// Seconds until a small bundle can be at `node`, if the plan leads there.
    pub(crate) fn meets_s(&self, moment: Moment, node: &Half) -> Option<u64> {
        self.route(moment, &self.me, node, 1).map(|route| route.delay_ms.div_ceil(1_000))
    }

    /// How a bundle of this size gets from `root` to `target`.
    fn route(&self, moment: Moment, root: &Half, target: &Half, bytes: u64) -> Option<Forecast> {
        let (&root, &target) = (self.places.get(root)?, self.places.get(target)?);
        // Sizes are told apart by powers of 4, and each counts as the largest of its class.
        let class = u8::try_from(bytes.max(1).ilog2() / 2).unwrap_or(u8::MAX);
        let largest = 4_u64.checked_pow(u32::from(class).saturating_add(1)).unwrap_or(u64::MAX);
        let mut trees = self.trees.borrow_mut();
        let age_ms = match trees.get(&(root, class)).and_then(|tree| tree.age_ms(moment)) {
            Some(age_ms) => age_ms,
            None => {
                if trees.len() >= TREES_MAX {
                    trees.clear();
                }
                trees.insert((root, class), self.search(moment, root, largest));
                0
            }
        };
        let reached = (*trees.get(&(root, class))?.reached.get(target)?)?;
        let next = *self.names.get(reached.first)?;
        let delay_ms = u64::try_from(reached.at_ms.saturating_sub(age_ms)).unwrap_or(0);
        Some(Forecast { delay_ms, transmissions: reached.hops, next })
    }

    fn search(&self, moment: Moment, root: usize, bytes: u64) -> Tree {
        let mut reached: Vec<Option<Reached>> = vec![None; self.names.len()];
        let mut done = vec![false; self.names.len()];
        if let Some(start) = reached.get_mut(root) {
            *start = Some(Reached { at_ms: 0, hops: 0, first: root });
        }
        let mut queue = BinaryHeap::from([Reverse((0_i64, 0_u32, root))]);
        while let Some(Reverse((at_ms, count, node))) = queue.pop() {
            if done.get(node).copied().unwrap_or(true) {
                continue;
            }
            if let Some(done) = done.get_mut(node) {
                *done = true;
            }
            let first = reached.get(node).copied().flatten().map_or(root, |reached| reached.first);
            for hop in self.hops.get(node).into_iter().flatten() {
                let Some(arrival_ms) =
                    self.zero_ms(moment, hop.clock).and_then(|zero| hop.arrival(at_ms, zero, bytes))
                else {
                    continue;
                };
                let count = count.saturating_add(1);
                let first = if node == root { hop.to } else { first };
                let Some(known) = reached.get_mut(hop.to) else { continue };
                if known.is_none_or(|known| (arrival_ms, count) < (known.at_ms, known.hops)) {
                    *known = Some(Reached { at_ms: arrival_ms, hops: count, first });
                    queue.push(Reverse((arrival_ms, count, hop.to)));
                }
            }
        }
        Tree { moment, fresh_ms: self.fresh_ms(moment), reached }
    }

    /// Until when a search at `moment` holds: until some contact begins or ends, but not for long.
    fn fresh_ms(&self, moment: Moment) -> i64 {
        let hops = self.hops.iter().flatten();
        let borders = hops.filter_map(|hop| {
            let (start_ms, end_ms) = hop.window(0, self.zero_ms(moment, hop.clock)?)?;
            Some(if start_ms > 0 { start_ms } else { end_ms })
        });
        borders.fold(FRESH_MS, i64::min)
    }

    /// Where a clock of the plan began, in milliseconds after `moment` (so mostly negative).
    fn zero_ms(&self, moment: Moment, clock: PlanClock) -> Option<i64> {
        match clock {
            PlanClock::Wall => moment.wall_s.map(|wall_s| -ms(wall_s)),
            PlanClock::Plan => Some(self.origin_ms.saturating_sub(signed(moment.now.as_ms()))),
        }
    }
}

impl Tree {
    /// Milliseconds since the search; `None` if it does not hold any more.
    fn age_ms(&self, moment: Moment) -> Option<i64> {
        let age_ms = signed(moment.now.as_ms().checked_sub(self.moment.now.as_ms())?);
        let wall_moved_ms = match (self.moment.wall_s, moment.wall_s) {
            (None, None) => age_ms,
            (Some(then), Some(now)) => ms(now).saturating_sub(ms(then)),
            (None, Some(_)) | (Some(_), None) => return None,
        };
        let steady = wall_moved_ms.abs_diff(age_ms) <= 2_000;
        (steady && age_ms < self.fresh_ms).then_some(age_ms)
    }
}

impl Hop {
    fn new(to: usize, contact: &PlannedContact) -> Self {
        Self {
            to,
            clock: contact.clock,
            start_ms: ms(contact.start_s),
            end_ms: ms(contact.end_s),
            every_ms: contact.every_s.map(ms),
            rate_bytes_s: contact.rate_bytes_s,
            delay_ms: signed(contact.delay_ms),
        }
    }

    /// The first time span of this contact that ends after `at_ms`; all times count from the moment of the search.
    fn window(&self, at_ms: i64, zero_ms: i64) -> Option<(i64, i64)> {
        let (start_ms, end_ms) = (self.start_ms.saturating_add(zero_ms), self.end_ms.saturating_add(zero_ms));
        if at_ms < end_ms {
            return Some((start_ms, end_ms));
        }
        let every_ms = self.every_ms.filter(|&every_ms| every_ms > 0)?;
        let again = (at_ms.saturating_sub(end_ms) / every_ms).saturating_add(1).saturating_mul(every_ms);
        Some((start_ms.saturating_add(again), end_ms.saturating_add(again)))
    }

    /// When a bundle that is ready at `at_ms` arrives at the other end.
    fn arrival(&self, at_ms: i64, zero_ms: i64, bytes: u64) -> Option<i64> {
        let sending_ms =
            self.rate_bytes_s.map_or(0, |rate| signed(bytes.saturating_mul(1_000) / rate.max(1)));
        // What does not fit into the rest of one span may fit into the next, which is whole.
        let (start_ms, end_ms) = self.window(at_ms, zero_ms)?;
        let sent_ms = start_ms.max(at_ms).saturating_add(sending_ms);
        let sent_ms = if sent_ms <= end_ms {
            sent_ms
        } else {
            let (start_ms, end_ms) = self.window(end_ms, zero_ms)?;
            Some(start_ms.saturating_add(sending_ms)).filter(|&sent_ms| sent_ms <= end_ms)?
        };
        Some(sent_ms.saturating_add(self.delay_ms))
    }
}

impl Strategy for PlanRoutes {
    fn name(&self) -> StrategyName {
        StrategyName::Plan
    }

    fn forecast(&self, moment: Moment, question: &Question, way: Way<'_>) -> Option<Forecast> {
        let target = half(question.destination.as_ref()?);
        match way {
            Way::Give { peer, transfer_ms } => {
                let peer = half(peer);
                let route = self.route(moment, &peer, &target, question.bytes)?;
                let delay_ms = route.delay_ms.saturating_add(transfer_ms);
                Some(Forecast { delay_ms, transmissions: route.transmissions.saturating_add(1), next: peer })
            }
            // The plan knows when the contact with the peer is over, and whether it comes again.
            Way::Wait { except: _ } => self.route(moment, &self.me, &target, question.bytes),
            Way::Without { peer } => {
                let route = self.route(moment, &self.me, &target, question.bytes)?;
                (route.next != half(peer)).then_some(route)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instant;
    use crate::routing::strategy::Strategy;
    use alloc::format;
    use alloc::string::String;
    use cairn_bundle::{Class, Identity, NodeId};
    use proptest::prelude::*;

    fn id(seed: u8) -> NodeId {
        Identity::from_seed(&[seed; 32]).node_id()
    }

    fn plan(lines: &str) -> PlanRoutes {
        let names: String = (0..6).map(|seed| format!("node n{seed} {}\n", id(seed))).collect();
        PlanRoutes::new(half(&id(0)), ContactPlan::parse(&(names + lines)).unwrap())
    }

    fn question(to: u8, bytes: u64) -> Question {
        let class = Class::Normal;
        Question {
            destination: Some(id(to)),
            source: None,
            class,
            bytes,
            remaining_ms: u64::MAX,
            held_ms: 0,
            copies: 1,
            crowd: 0,
        }
    }

    fn moment(s: u64) -> Moment {
        Moment { now: Instant::from_ms(s * 1_000), wall_s: None }
    }

    fn wait(routes: &PlanRoutes, s: u64, to: u8, bytes: u64) -> Option<(u64, u32, Half)> {
        let way = Way::Wait { except: None };
        routes.forecast(moment(s), &question(to, bytes), way).map(|forecast| forecast.key())
    }

    #[test]
    fn the_earliest_arrival_is_found_over_several_hops_and_not_the_first_departure() {
        let routes = plan(
            "contact n0 n1 +10 +10\ncontact n1 n3 +500 +10\ncontact n0 n2 +100 +10\ncontact n2 n3 +200 +10 delay=5\n",
        );
        assert_eq!(wait(&routes, 0, 3, 1), Some((200_005, 2, half(&id(2)))));
        assert_eq!(wait(&routes, 20, 3, 1), Some((180_005, 2, half(&id(2)))));
        assert_eq!(wait(&routes, 110, 3, 1), None, "both first hops are over");
        let way = Way::Give { peer: &id(1), transfer_ms: 7 };
        let by = routes.forecast(moment(20), &question(3, 1), way).unwrap();
        assert_eq!(by.key(), (480_007, 2, half(&id(1))));
        assert_eq!(routes.forecast(moment(20), &question(5, 1), way), None);
    }

    #[test]
    fn contacts_come_again_every_week() {
        let routes = plan("contact n0 n1 +1d +2h every=week\n");
        let day = 86_400;
        assert_eq!(wait(&routes, 2 * day, 1, 1).unwrap().0, 6 * day * 1_000);
        assert_eq!(wait(&routes, 700 * day + day + 60, 1, 1).unwrap().0, 0);
        assert_eq!(wait(&routes, 700 * day, 1, 1).unwrap().0, day * 1_000);
    }

    #[test]
    fn a_bundle_that_does_not_fit_takes_a_later_contact_or_another_way() {
        let routes = plan("contact n0 n1 +0 +100 rate=1000\ncontact n0 n1 +1000 +1000 rate=1000\n");
        assert_eq!(wait(&routes, 0, 1, 60_000).unwrap().0, 65_536);
        assert_eq!(wait(&routes, 0, 1, 100_000).unwrap().0, 1_262_144);
        assert_eq!(wait(&routes, 0, 1, 2_000_000), None);
        let daily = plan("contact n0 n1 +0 +100 rate=1000 every=day\n");
        assert_eq!(wait(&daily, 90, 1, 60_000).unwrap().0, 86_400_000 - 90_000 + 65_536);
        assert_eq!(wait(&daily, 0, 1, 1_000_000), None);
    }

    #[test]
    fn contacts_by_the_wall_need_a_clock_and_follow_it() {
        let routes = plan("contact n0 n1 2020-01-02T00:00 +1h\n");
        let asked = |s: u64, wall_s| {
            let moment = Moment { wall_s, ..moment(s) };
            routes
                .forecast(moment, &question(1, 1), Way::Wait { except: None })
                .map(|forecast| forecast.delay_ms)
        };
        assert_eq!(asked(0, None), None);
        assert_eq!(asked(0, Some(0)), Some(86_400_000));
        assert_eq!(asked(1, Some(86_000)), Some(400_000), "the clock was set");
        assert_eq!(asked(2, Some(u64::MAX)), None);
        assert_eq!(asked(3, Some(1)), Some(86_399_000));
    }

    #[test]
    fn searches_that_are_kept_are_bounded() {
        let routes = plan("contact n0 n1 +0 +100\n");
        for power in 0..64 {
            for root in 0..2 {
                let _ = routes.route(moment(0), &half(&id(root)), &half(&id(1)), 1 << power);
            }
        }
        assert!(routes.trees.borrow().len() <= TREES_MAX);
    }

    /// All ways by brute force: contacts in any order, no node twice.
    fn slowly(hops: &[Vec<Hop>], node: usize, to: usize, at_ms: i64, seen: &mut Vec<usize>) -> Option<i64> {
        if node == to {
            return Some(at_ms);
        }
        seen.push(node);
        let mut best: Option<i64> = None;
        for hop in &hops[node] {
            if !seen.contains(&hop.to)
                && let Some(arrival_ms) = hop.arrival(at_ms, 0, 4)
            {
                let found = slowly(hops, hop.to, to, arrival_ms, seen);
                best = [best, found].into_iter().flatten().min();
            }
        }
        seen.pop();
        best
    }

    proptest! {
        #[test]
        fn no_route_is_earlier_than_the_one_found(
            contacts in prop::collection::vec((0_u8..6, 0_u8..6, 0_u64..100, 1_u64..30, 0_u64..3, prop::bool::ANY), 0..14),
        ) {
            let lines: String = contacts
                .iter()
                .filter(|(from, to, ..)| from != to)
                .map(|(from, to, start, length, rate, again)| {
                    let every = if *again { " every=40" } else { "" };
                    let rate = if *rate > 0 { format!(" rate={rate}") } else { String::new() };
                    format!("contact n{from} n{to} +{start} +{length}{every}{rate}\n")
                })
                .collect();
            let routes = plan(&lines);
            for to in 1..6 {
                let fast = wait(&routes, 0, to, 1).map(|(delay_ms, _, _)| delay_ms);
                let slow = match (routes.places.get(&half(&id(0))), routes.places.get(&half(&id(to)))) {
                    (Some(&from), Some(&to)) => slowly(&routes.hops, from, to, 0, &mut Vec::new()),
                    _ => None,
                };
                prop_assert_eq!(fast, slow.map(|ms| u64::try_from(ms).unwrap()));
            }
        }
    }
}
