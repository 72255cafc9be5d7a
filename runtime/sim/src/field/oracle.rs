//! The physical limit: when each message could have arrived at the earliest.
//!
//! Somebody who knows all contacts beforehand and has links of unlimited bandwidth delivers a message at its earliest
//! arrival: the shortest path by time (Dijkstra) over contacts, where each hop costs the link's latency and waits until
//! its contact begins. No strategy can deliver more, or earlier.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use super::contact::ContactTrace;
use super::traffic::Message;

/// A span in which one node hears another.
#[derive(Debug, Clone, Copy)]
struct Span {
    start_ms: u64,
    end_ms: u64,
    latency_ms: u64,
}

/// The future of all contacts, in the order in which a search needs it.
#[derive(Debug)]
pub struct Oracle {
    /// For each node, those that hear it, and when: spans that do not overlap, in order.
    hearers: Vec<Vec<(usize, Vec<Span>)>>,
    /// Earliest arrival at each node in the search that runs, and the search to which that belongs.
    best: Vec<(u64, u64)>,
    search: u64,
}

impl Oracle {
    /// Reads a trace.
    #[must_use]
    pub fn new(trace: &ContactTrace) -> Self {
        let mut pairs = Vec::with_capacity(trace.contacts().len() * 2);
        for contact in trace.contacts() {
            let model = trace.model(contact.link);
            let span =
                Span { start_ms: contact.start_ms, end_ms: contact.end_ms, latency_ms: model.latency_ms };
            // Spans of different latency may overlap, so each kind of link counts as a hearer of its own.
            pairs.push(((contact.a, contact.b, contact.link), span));
            if !model.one_way {
                pairs.push(((contact.b, contact.a, contact.link), span));
            }
        }
        pairs.sort_by_key(|(key, span)| (*key, span.start_ms));
        let mut hearers: Vec<Vec<(usize, Vec<Span>)>> = vec![Vec::new(); trace.nodes()];
        let mut last = None;
        for (key, span) in pairs {
            let Some(of_node) = hearers.get_mut(key.0) else { continue };
            match of_node.last_mut().filter(|_| last == Some(key)) {
                Some((_, spans)) => spans.push(span),
                None => of_node.push((key.1, vec![span])),
            }
            last = Some(key);
        }
        Self { best: vec![(0, 0); trace.nodes()], hearers, search: 0 }
    }

    /// When a message arrives at the earliest, in milliseconds from the start of the run; `None` if it cannot arrive
    /// within its lifetime.
    pub fn arrival_ms(&mut self, message: &Message) -> Option<u64> {
        self.search += 1;
        let mut deadline_ms = message.at_ms.saturating_add(message.lifetime_ms);
        let mut open = BinaryHeap::new();
        open.push(Reverse((message.at_ms, message.from)));
        while let Some(Reverse((at_ms, node))) = open.pop() {
            if node == message.to {
                return Some(at_ms);
            }
            if self.best.get(node).is_some_and(|(search, best)| *search == self.search && *best < at_ms) {
                continue;
            }
            let Some(hearers) = self.hearers.get(node) else { continue };
            for (hearer, spans) in hearers {
                let Some(arrives_ms) = arrival_over(spans, at_ms).filter(|ms| *ms <= deadline_ms) else {
                    continue;
                };
                let Some(best) = self.best.get_mut(*hearer) else { continue };
                if best.0 == self.search && best.1 <= arrives_ms {
                    continue;
                }
                *best = (self.search, arrives_ms);
                if *hearer == message.to {
                    deadline_ms = arrives_ms;
                }
                open.push(Reverse((arrives_ms, *hearer)));
            }
        }
        None
    }
}

/// How often each message has to be handed over at least.
///
/// Rounds over the number of hops: after so many of them the earliest arrival at each node over at most as many hops is
/// known, and who is there earlier with as many hops can do all that who comes later can. A search by arrival alone would
/// not do, since the earliest way often has more hops than needed.
impl Oracle {
    /// Fewest hops on which a message arrives within its lifetime; `None` if it cannot.
    pub fn hops_min(&mut self, message: &Message) -> Option<u64> {
        if message.from == message.to {
            return Some(0);
        }
        self.search += 1;
        let deadline_ms = message.at_ms.saturating_add(message.lifetime_ms);
        let mut reached = vec![(message.from, message.at_ms)];
        for hops in 1.. {
            // The last hop is looked up alone, which spares the largest round.
            if reached.iter().any(|(node, at_ms)| {
                self.arrival_at(*node, message.to, *at_ms).is_some_and(|ms| ms <= deadline_ms)
            }) {
                return Some(hops);
            }
            reached = self.spread(&reached, deadline_ms);
            if reached.is_empty() {
                return None;
            }
        }
        None
    }

    /// Nodes that are reached earlier than before over one hop more.
    fn spread(&mut self, from: &[(usize, u64)], deadline_ms: u64) -> Vec<(usize, u64)> {
        let mut improved = Vec::new();
        for (node, at_ms) in from {
            let Some(hearers) = self.hearers.get(*node) else { continue };
            for (hearer, spans) in hearers {
                let Some(arrives_ms) = arrival_over(spans, *at_ms).filter(|ms| *ms <= deadline_ms) else {
                    continue;
                };
                let Some(best) = self.best.get_mut(*hearer) else { continue };
                if best.0 != self.search || arrives_ms < best.1 {
                    *best = (self.search, arrives_ms);
                    improved.push((*hearer, arrives_ms));
                }
            }
        }
        // Of one node only the earliest counts.
        improved.retain(|(node, at_ms)| self.best.get(*node).is_some_and(|(_, best)| best == at_ms));
        improved
    }

    fn arrival_at(&self, node: usize, hearer: usize, at_ms: u64) -> Option<u64> {
        let hearers = self.hearers.get(node)?;
        let first = hearers.partition_point(|(other, _)| *other < hearer);
        let ways = hearers.get(first..)?.iter().take_while(|(other, _)| *other == hearer);
        ways.filter_map(|(_, spans)| arrival_over(spans, at_ms)).min()
    }
}

/// When something that is there at `at_ms` has been heard over the first span that still lasts long enough.
fn arrival_over(spans: &[Span], at_ms: u64) -> Option<u64> {
    let first = spans.partition_point(|span| span.end_ms <= at_ms);
    let rest = spans.get(first..)?;
    let arrives = |span: &Span| (at_ms.max(span.start_ms) + span.latency_ms, span.end_ms);
    rest.iter()
        .map(arrives)
        .find(|(arrives_ms, end_ms)| arrives_ms <= end_ms)
        .map(|(arrives_ms, _)| arrives_ms)
}

#[cfg(test)]
mod tests {
    use cairn_bundle::Class;
    use proptest::prelude::*;

    use super::*;
    use crate::field::contact::{Contact, LinkModel};

    const fn message(at_ms: u64, from: usize, to: usize, lifetime_ms: u64) -> Message {
        Message { at_ms, from, to, bytes: 1, class: Class::Normal, lifetime_ms }
    }

    const fn contact(start_ms: u64, end_ms: u64, a: usize, b: usize) -> Contact {
        Contact { start_ms, end_ms, a, b, link: 0 }
    }

    #[test]
    fn waiting_for_a_later_contact_can_be_faster() {
        // 0 - 1 - 3 is slow because 1 meets 3 late; 0 meets 2 later, but 2 meets 3 soon.
        let contacts = vec![
            contact(0, 100, 0, 1),
            contact(5_000, 6_000, 1, 3),
            contact(500, 600, 0, 2),
            contact(700, 800, 2, 3),
        ];
        let trace = ContactTrace::new(4, 10_000, vec![LinkModel::WIFI], contacts);
        let mut oracle = Oracle::new(&trace);
        assert_eq!(oracle.arrival_ms(&message(0, 0, 3, 10_000)), Some(710));
        assert_eq!(oracle.arrival_ms(&message(595, 0, 3, 10_000)), None);
        assert_eq!(oracle.arrival_ms(&message(0, 0, 3, 709)), None);
        assert_eq!(oracle.arrival_ms(&message(0, 3, 0, 10_000)), None);
        assert_eq!(oracle.arrival_ms(&message(50, 1, 0, 10)), Some(60));
    }

    #[test]
    fn nobody_hears_backwards_on_a_one_way_link() {
        let model = LinkModel { one_way: true, ..LinkModel::WIFI };
        let mut oracle = Oracle::new(&ContactTrace::new(2, 1_000, vec![model], vec![contact(0, 900, 1, 0)]));
        assert_eq!(oracle.arrival_ms(&message(0, 1, 0, 1_000)), Some(10));
        assert_eq!(oracle.arrival_ms(&message(0, 0, 1, 1_000)), None);
    }

    /// The same by flooding in small steps of time.
    fn flooded(trace: &ContactTrace, message: &Message) -> Option<u64> {
        let mut arrives = vec![u64::MAX; trace.nodes()];
        arrives[message.from] = message.at_ms;
        loop {
            let before = arrives.clone();
            for contact in trace.contacts() {
                for (a, b) in [(contact.a, contact.b), (contact.b, contact.a)] {
                    let latency_ms = trace.model(contact.link).latency_ms;
                    let at_ms = arrives[a].max(contact.start_ms).saturating_add(latency_ms);
                    if at_ms <= contact.end_ms {
                        arrives[b] = arrives[b].min(at_ms);
                    }
                }
            }
            if before == arrives {
                let at_ms = arrives[message.to];
                return (at_ms <= message.at_ms + message.lifetime_ms).then_some(at_ms);
            }
        }
    }

    #[test]
    fn the_earliest_way_may_have_more_hops_than_needed() {
        let contacts = vec![
            contact(0, 100, 0, 1),
            contact(200, 300, 1, 2),
            contact(400, 500, 2, 3),
            contact(900, 950, 0, 3),
        ];
        let mut oracle = Oracle::new(&ContactTrace::new(4, 10_000, vec![LinkModel::WIFI], contacts));
        assert_eq!(oracle.arrival_ms(&message(0, 0, 3, 10_000)), Some(410));
        assert_eq!(oracle.hops_min(&message(0, 0, 3, 10_000)), Some(1));
        assert_eq!(oracle.hops_min(&message(0, 0, 3, 800)), Some(3), "in time only over the others");
        assert_eq!(oracle.hops_min(&message(0, 0, 3, 300)), None);
        assert_eq!(oracle.hops_min(&message(0, 3, 1, 10_000)), None);
    }

    /// All ways by brute force: how few hops bring a message to its destination in time.
    fn hops_slowly(
        trace: &ContactTrace,
        message: &Message,
        node: usize,
        at_ms: u64,
        left: u64,
    ) -> Option<u64> {
        if node == message.to {
            return Some(0);
        }
        let deadline_ms = message.at_ms + message.lifetime_ms;
        let mut fewest = None;
        for contact in trace.contacts().iter().filter(|_| left > 0) {
            for (a, b) in [(contact.a, contact.b), (contact.b, contact.a)] {
                let arrives_ms = at_ms.max(contact.start_ms) + trace.model(contact.link).latency_ms;
                if a == node && arrives_ms <= contact.end_ms && arrives_ms <= deadline_ms {
                    let rest = hops_slowly(trace, message, b, arrives_ms, left - 1).map(|rest| rest + 1);
                    fewest = [fewest, rest].into_iter().flatten().min();
                }
            }
        }
        fewest
    }

    proptest! {
        #[test]
        fn the_fewest_hops_are_those_of_all_ways(
            contacts in proptest::collection::vec((0_u64..500, 1_u64..200, 0_usize..6, 0_usize..6), 0..8),
            at_ms in 0_u64..300, lifetime_ms in 0_u64..700,
        ) {
            let contacts = contacts.into_iter().map(|(start_ms, long, a, b)| contact(start_ms, start_ms + long, a, b));
            let trace = ContactTrace::new(6, 1_200, vec![LinkModel::WIFI], contacts.collect());
            let mut oracle = Oracle::new(&trace);
            for to in 1..6 {
                let message = message(at_ms, 0, to, lifetime_ms);
                let slowly = hops_slowly(&trace, &message, 0, at_ms, 5);
                prop_assert_eq!(oracle.hops_min(&message), slowly);
                prop_assert_eq!(slowly.is_some(), oracle.arrival_ms(&message).is_some());
            }
        }

        #[test]
        fn it_agrees_with_flooding(
            contacts in proptest::collection::vec((0_u64..1_000, 1_u64..200, 0_usize..8, 0_usize..8, 0_usize..2), 0..60),
            at_ms in 0_u64..500, lifetime_ms in 0_u64..1_000,
        ) {
            let contacts = contacts.into_iter().map(|(start_ms, long, a, b, link)| Contact { start_ms, end_ms: start_ms + long, a, b, link });
            let trace = ContactTrace::new(8, 1_200, vec![LinkModel::WIFI, LinkModel::LOSSY], contacts.collect());
            let mut oracle = Oracle::new(&trace);
            for to in 1..8 {
                let message = message(at_ms, 0, to, lifetime_ms);
                prop_assert_eq!(oracle.arrival_ms(&message), flooded(&trace, &message));
            }
        }
    }
}
