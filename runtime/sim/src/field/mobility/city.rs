//! A city of straight streets, and people who walk in it.
//!
//! Everybody has a home, a sector to work in, and a shift of twelve hours out of twenty-four, about half of them by
//! day. On duty they walk along the streets from task to task in their sector, and now and then to one of the hubs
//! that all share (an aid station, a market); off duty they rest at home. Houses stand between the streets: two
//! people see each other along a street and around a corner, not through a block.

use std::collections::VecDeque;

use super::{Leg, Movement, Point};
use crate::Dice;

/// An hour in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// How far around a corner people see each other, in centimetres.
const CORNER_CM: u64 = 1_000;

/// Streets of a city.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streets {
    /// Blocks in each direction.
    pub blocks: i64,
    /// From one street to the next, in centimetres.
    pub block_cm: i64,
}

impl Streets {
    const fn side_cm(&self) -> i64 {
        self.blocks * self.block_cm
    }

    /// A place on some street, within so many blocks of a crossing.
    fn anywhere(&self, around: Point, reach_blocks: i64, dice: &mut Dice) -> Point {
        let cross = |at: i64, dice: &mut Dice| {
            let middle = at / self.block_cm.max(1);
            let low = (middle - reach_blocks).max(0);
            low + super::along((middle + reach_blocks).min(self.blocks) - low, dice)
        };
        let (column, row) = (cross(around.x_cm, dice), cross(around.y_cm, dice));
        let crossing = Point { x_cm: column * self.block_cm, y_cm: row * self.block_cm };
        let along = super::along(self.block_cm, dice);
        if dice.percent(50) {
            Point { x_cm: (crossing.x_cm + along).min(self.side_cm()), ..crossing }
        } else {
            Point { y_cm: (crossing.y_cm + along).min(self.side_cm()), ..crossing }
        }
    }

    /// The nearest crossing.
    fn crossing(&self, at: Point) -> Point {
        let near = |along: i64| (along + self.block_cm / 2) / self.block_cm.max(1) * self.block_cm;
        Point { x_cm: near(at.x_cm), y_cm: near(at.y_cm) }
    }

    /// The corners of a way along the streets.
    fn way(&self, from: Point, to: Point, east_first: bool) -> VecDeque<Point> {
        let (first, last) = (self.crossing(from), self.crossing(to));
        let corner = if east_first {
            Point { x_cm: last.x_cm, y_cm: first.y_cm }
        } else {
            Point { x_cm: first.x_cm, y_cm: last.y_cm }
        };
        let mut way: VecDeque<Point> = VecDeque::new();
        for stop in [first, corner, last, to] {
            if way.back().copied().unwrap_or(from) != stop {
                way.push_back(stop);
            }
        }
        way
    }
}

#[derive(Debug, Clone, Default)]
struct Person {
    home: Point,
    sector: Point,
    /// Hour of the day at which the shift begins.
    shift: u64,
    way: VecDeque<Point>,
    speed_cm_s: u64,
}

/// People in a city.
#[derive(Debug, Clone)]
pub struct City {
    streets: Streets,
    hubs: Vec<Point>,
    people: Vec<Person>,
}

impl City {
    /// How many blocks around their sector's middle people work.
    const SECTOR_BLOCKS: i64 = 3;

    /// So many people, and so many hubs that all of them visit now and then.
    #[must_use]
    pub fn new(people: usize, hubs: usize, streets: Streets, dice: &mut Dice) -> Self {
        let middle = Point { x_cm: streets.side_cm() / 2, y_cm: streets.side_cm() / 2 };
        let hubs =
            (0..hubs).map(|_| streets.crossing(streets.anywhere(middle, streets.blocks, dice))).collect();
        let person = |dice: &mut Dice| {
            let home = streets.anywhere(middle, streets.blocks, dice);
            let sector = streets.anywhere(middle, streets.blocks, dice);
            let day = dice.percent(60);
            let shift = if day { dice.pick(6..9) } else { dice.pick(18..21) };
            Person { home, sector, shift, way: VecDeque::new(), speed_cm_s: dice.pick(110..150) }
        };
        let people = (0..people).map(|_| person(dice)).collect();
        Self { streets, hubs, people }
    }

    fn task(&self, person: &Person, dice: &mut Dice) -> Point {
        let hub = self.hubs.get(dice.index(self.hubs.len())).copied();
        match hub {
            Some(hub) if dice.percent(15) => hub,
            _ => self.streets.anywhere(person.sector, Self::SECTOR_BLOCKS, dice),
        }
    }
}

impl Movement for City {
    fn nodes(&self) -> usize {
        self.people.len()
    }

    fn extent_cm(&self) -> (i64, i64) {
        (self.streets.side_cm(), self.streets.side_cm())
    }

    fn next_leg(&mut self, node: usize, done: Option<&Leg>, dice: &mut Dice) -> Leg {
        let Some(person) = self.people.get(node).cloned() else {
            return Leg::rest(0, Point::default(), u64::MAX);
        };
        let (now_ms, here) = done.map_or((0, person.home), |done| (done.end_ms, done.to));
        let rests = done.is_none_or(Leg::is_rest);
        let mut way = person.way.clone();
        let on_duty = (now_ms / HOUR_MS + 24 - person.shift) % 24 < 12;
        if way.is_empty() && rests && (on_duty || here != person.home) {
            let goal = if on_duty { self.task(&person, dice) } else { person.home };
            way = self.streets.way(here, goal, dice.percent(50));
        }
        let next = way.pop_front();
        if let Some(person) = self.people.get_mut(node) {
            person.way = way;
        }
        match next {
            Some(stop) => Leg::walk(now_ms, here, stop, person.speed_cm_s),
            None if on_duty => Leg::rest(now_ms, here, now_ms + dice.pick(300_000..1_800_000)),
            None if here != person.home => Leg::rest(now_ms, here, now_ms + dice.pick(60_000..300_000)),
            None => Leg::rest(now_ms, here, (now_ms / HOUR_MS + 1) * HOUR_MS),
        }
    }

    fn in_sight(&self, one: Point, other: Point) -> bool {
        one.x_cm.abs_diff(other.x_cm) <= CORNER_CM || one.y_cm.abs_diff(other.y_cm) <= CORNER_CM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Streets = Streets { blocks: 10, block_cm: 20_000 };

    #[test]
    fn people_keep_to_the_streets_and_to_their_speed() {
        let mut dice = Dice::new(9);
        let mut city = City::new(20, 3, SMALL, &mut dice);
        for node in 0..20 {
            let mut leg = city.next_leg(node, None, &mut dice);
            let mut walked = 0;
            while leg.end_ms < 24 * HOUR_MS {
                for at in [leg.from, leg.to] {
                    assert!(at.x_cm % SMALL.block_cm == 0 || at.y_cm % SMALL.block_cm == 0, "{leg:?}");
                    assert!(
                        (0..=SMALL.side_cm()).contains(&at.x_cm) && (0..=SMALL.side_cm()).contains(&at.y_cm)
                    );
                }
                assert!(
                    leg.from.x_cm == leg.to.x_cm || leg.from.y_cm == leg.to.y_cm,
                    "across a block: {leg:?}"
                );
                let speed = leg.from.distance_cm(leg.to) * 1_000 / (leg.end_ms - leg.start_ms);
                assert!(
                    leg.is_rest() || (100..151).contains(&speed) || leg.end_ms - leg.start_ms < 100,
                    "{leg:?}"
                );
                walked += leg.from.distance_cm(leg.to);
                let next = city.next_leg(node, Some(&leg), &mut dice);
                assert_eq!((next.start_ms, next.from), (leg.end_ms, leg.to));
                leg = next;
            }
            // Somebody who is on duty for half a day walks between 2 and 60 km.
            assert!((200_000..6_000_000).contains(&walked), "{walked}");
        }
    }

    #[test]
    fn nobody_sees_through_a_block() {
        let city = City::new(1, 1, SMALL, &mut Dice::new(1));
        let on_one_street = Point { x_cm: 5_000, y_cm: 20_000 };
        assert!(city.in_sight(on_one_street, Point { x_cm: 9_000, y_cm: 20_000 }));
        assert!(!city.in_sight(on_one_street, Point { x_cm: 0, y_cm: 23_000 }));
    }
}
