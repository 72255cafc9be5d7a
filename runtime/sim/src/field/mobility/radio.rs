//! From places to contacts.

use super::grid::Grid;
use super::{Leg, Movement, Point};
use crate::Dice;
use crate::field::contact::{Contact, ContactTrace, LinkModel};

/// The radios of all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Radio {
    /// How far they reach, in centimetres.
    pub range_cm: u64,
    /// Links that a node keeps up at one time; whoever comes later waits until one is free.
    pub links_max: usize,
    /// How often everybody looks around, in milliseconds: contacts begin and end at a multiple of it.
    pub step_ms: u64,
    /// What a link can do.
    pub model: LinkModel,
}

impl Radio {
    /// Phones on foot: 60 m, 8 links, a look around every 5 seconds.
    pub const ON_FOOT: Self = Self { range_cm: 6_000, links_max: 8, step_ms: 5_000, model: LinkModel::WIFI };
}

/// The contacts of nodes that move, until `end_ms`.
#[must_use]
pub fn contacts_of(movement: &mut dyn Movement, radio: &Radio, end_ms: u64, dice: &mut Dice) -> ContactTrace {
    let mut walk = Walk::new(movement, radio, dice);
    let mut now_ms = 0;
    while now_ms < end_ms {
        walk.step(now_ms, dice);
        now_ms += radio.step_ms.max(1);
    }
    walk.finish(end_ms)
}

#[derive(Debug, Clone)]
struct Walker {
    leg: Leg,
    here: Point,
    square: usize,
    moved: bool,
    /// Found somebody in reach when one of the two had no link left.
    waits: bool,
    /// Who is linked since when.
    linked: Vec<(usize, u64)>,
}

struct Walk<'a> {
    movement: &'a mut dyn Movement,
    radio: &'a Radio,
    grid: Grid,
    walkers: Vec<Walker>,
    contacts: Vec<Contact>,
    near: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn new(movement: &'a mut dyn Movement, radio: &'a Radio, dice: &mut Dice) -> Self {
        let reach_cm = i64::try_from(radio.range_cm).unwrap_or(i64::MAX);
        let mut grid = Grid::new(movement.extent_cm(), reach_cm);
        let mut walkers = Vec::with_capacity(movement.nodes());
        for node in 0..movement.nodes() {
            let leg = movement.next_leg(node, None, dice);
            let here = leg.from;
            let square = grid.square(here);
            grid.enter(square, node);
            walkers.push(Walker { leg, here, square, moved: true, waits: false, linked: Vec::new() });
        }
        Self { movement, radio, grid, walkers, contacts: Vec::new(), near: Vec::new() }
    }

    fn step(&mut self, now_ms: u64, dice: &mut Dice) {
        for (node, walker) in self.walkers.iter_mut().enumerate() {
            while walker.leg.end_ms <= now_ms {
                walker.leg = self.movement.next_leg(node, Some(&walker.leg), dice);
            }
            let here = walker.leg.at(now_ms);
            walker.moved = here != walker.here || now_ms == 0;
            walker.here = here;
            let square = self.grid.square(here);
            if square != walker.square {
                self.grid.leave(walker.square, node);
                self.grid.enter(square, node);
                walker.square = square;
            }
        }
        for node in 0..self.walkers.len() {
            if self.walkers.get(node).is_some_and(|walker| walker.moved) {
                self.part(node, now_ms);
            }
        }
        for node in 0..self.walkers.len() {
            if self.walkers.get(node).is_some_and(|walker| walker.moved || walker.waits) {
                self.join(node, now_ms);
            }
        }
    }

    fn sees(&self, one: Point, other: Point) -> bool {
        let range_cm = self.radio.range_cm;
        one.square_cm(other) <= range_cm.saturating_mul(range_cm) && self.movement.in_sight(one, other)
    }

    fn part(&mut self, node: usize, now_ms: u64) {
        let Some(walker) = self.walkers.get(node) else { return };
        let here = walker.here;
        let gone = |(other, _): &&(usize, u64)| {
            self.walkers.get(*other).is_none_or(|there| !self.sees(here, there.here))
        };
        let gone: Vec<(usize, u64)> = walker.linked.iter().filter(gone).copied().collect();
        for (other, since_ms) in gone {
            self.unlink(node, other);
            self.unlink(other, node);
            self.contacts.push(Contact { start_ms: since_ms, end_ms: now_ms, a: node, b: other, link: 0 });
        }
    }

    fn unlink(&mut self, node: usize, other: usize) {
        if let Some(walker) = self.walkers.get_mut(node) {
            walker.linked.retain(|(linked, _)| *linked != other);
        }
    }

    fn join(&mut self, node: usize, now_ms: u64) {
        let Some(walker) = self.walkers.get(node) else { return };
        let here = walker.here;
        let mut near = core::mem::take(&mut self.near);
        near.clear();
        near.extend(self.grid.around(here).filter(|other| *other != node));
        // The order in the squares depends on who came when; links shall not.
        near.sort_unstable();
        let mut waits = false;
        for other in &near {
            let (Some(walker), Some(there)) = (self.walkers.get(node), self.walkers.get(*other)) else {
                continue;
            };
            if walker.linked.iter().any(|(linked, _)| linked == other) || !self.sees(here, there.here) {
                continue;
            }
            let links_max = self.radio.links_max;
            if walker.linked.len() >= links_max || there.linked.len() >= links_max {
                waits = true;
                continue;
            }
            for (one, two) in [(node, *other), (*other, node)] {
                if let Some(walker) = self.walkers.get_mut(one) {
                    walker.linked.push((two, now_ms));
                }
            }
        }
        self.near = near;
        if let Some(walker) = self.walkers.get_mut(node) {
            walker.waits = waits;
        }
    }

    fn finish(mut self, end_ms: u64) -> ContactTrace {
        for (node, walker) in self.walkers.iter().enumerate() {
            let open = walker.linked.iter().filter(|(other, _)| node < *other);
            let open = open.map(|(other, since_ms)| Contact {
                start_ms: *since_ms,
                end_ms,
                a: node,
                b: *other,
                link: 0,
            });
            self.contacts.extend(open);
        }
        ContactTrace::new(self.walkers.len(), end_ms, vec![self.radio.model], self.contacts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everybody stands still but node 0, which walks past all of them.
    struct Parade {
        spacing_cm: i64,
        nodes: usize,
    }

    impl Movement for Parade {
        fn nodes(&self) -> usize {
            self.nodes
        }

        fn extent_cm(&self) -> (i64, i64) {
            (self.spacing_cm * 20, 1_000)
        }

        fn next_leg(&mut self, node: usize, done: Option<&Leg>, _: &mut Dice) -> Leg {
            let x_cm = self.spacing_cm * i64::try_from(node).unwrap();
            let (start, post) = (Point::default(), Point { x_cm, y_cm: 1_000 });
            match done {
                Some(done) => Leg::rest(done.end_ms, done.to, u64::MAX),
                None if node == 0 => Leg::walk(0, start, Point { x_cm: self.spacing_cm * 20, y_cm: 0 }, 100),
                None => Leg::rest(0, post, u64::MAX),
            }
        }
    }

    #[test]
    fn somebody_who_walks_past_meets_each_once_and_in_order() {
        let radio = Radio { range_cm: 3_000, links_max: 9, step_ms: 1_000, model: LinkModel::WIFI };
        let mut parade = Parade { spacing_cm: 10_000, nodes: 10 };
        let trace = contacts_of(&mut parade, &radio, 3_600_000, &mut Dice::new(1));
        let met: Vec<usize> = trace.contacts().iter().map(|contact| contact.b).collect();
        assert_eq!(met, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        for contact in trace.contacts() {
            // A chord of a circle of 30 m at a distance of 10 m, at 1 m/s.
            assert!((55_000..=58_000).contains(&(contact.end_ms - contact.start_ms)), "{contact:?}");
        }
    }

    #[test]
    fn contacts_are_those_of_comparing_everybody_with_everybody() {
        let radio = Radio { range_cm: 4_000, links_max: 99, step_ms: 1_000, model: LinkModel::WIFI };
        let end_ms = 300_000;
        let mut walkers = super::super::waypoint::Waypoint::new(25, 30_000, 150);
        let trace = contacts_of(&mut walkers, &radio, end_ms, &mut Dice::new(5));
        // The same walk again, looked at naively.
        let mut again = super::super::waypoint::Waypoint::new(25, 30_000, 150);
        let mut dice = Dice::new(5);
        let mut legs: Vec<Leg> = (0..25).map(|node| again.next_leg(node, None, &mut dice)).collect();
        for now_ms in (0..end_ms).step_by(1_000) {
            for (node, leg) in legs.iter_mut().enumerate() {
                while leg.end_ms <= now_ms {
                    *leg = again.next_leg(node, Some(leg), &mut dice);
                }
            }
            for a in 0..25 {
                for b in a + 1..25 {
                    let close = legs[a].at(now_ms).square_cm(legs[b].at(now_ms)) <= 4_000 * 4_000;
                    let linked = trace.contacts().iter().any(|contact| {
                        (contact.a, contact.b) == (a, b)
                            && (contact.start_ms..contact.end_ms).contains(&now_ms)
                    });
                    assert_eq!(close, linked, "{a} and {b} at {now_ms}");
                }
            }
        }
    }

    #[test]
    fn nobody_has_more_links_than_the_limit_and_a_free_one_is_taken() {
        let radio = Radio { range_cm: 100_000, links_max: 3, step_ms: 1_000, model: LinkModel::WIFI };
        let mut walkers = super::super::waypoint::Waypoint::new(30, 200_000, 130);
        let trace = contacts_of(&mut walkers, &radio, 600_000, &mut Dice::new(2));
        let mut open = [0_i32; 30];
        let mut full = 0;
        for event in trace.events() {
            for node in [event.a, event.b] {
                open[node] += if event.up { 1 } else { -1 };
                assert!(open[node] <= 3);
                full += i32::from(open[node] == 3);
            }
        }
        assert!(full > 30);
    }
}
