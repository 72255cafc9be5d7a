//! Where people are, and which contacts follow from it.
//!
//! A [`Movement`] says for each node one straight leg after the other. [`contacts_of`] walks all nodes through time in
//! steps and keeps a grid of squares as wide as a radio reaches, so that only neighbours in space are compared, and
//! of those only pairs of which one has moved. Positions are whole centimetres: the same on every machine.

pub mod camps;
pub mod censored;
pub mod chain;
pub mod city;
pub mod crowd;
pub mod satellite;
pub mod village;
pub mod waypoint;

mod grid;
mod radio;

pub use radio::{Radio, contacts_of};

use crate::Dice;

/// A place on a plane, in centimetres from a corner; never negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Centimetres to the east.
    pub x_cm: i64,
    /// Centimetres to the north.
    pub y_cm: i64,
}

impl Point {
    /// A place of the square whose sides are `side_cm`.
    #[must_use]
    pub fn anywhere(side_cm: i64, dice: &mut Dice) -> Self {
        Self { x_cm: along(side_cm, dice), y_cm: along(side_cm, dice) }
    }

    /// How far it is, in centimetres, as the crow flies; rounded down.
    #[must_use]
    pub fn distance_cm(self, other: Self) -> u64 {
        self.square_cm(other).isqrt()
    }

    /// The square of the distance.
    #[must_use]
    pub const fn square_cm(self, other: Self) -> u64 {
        let (dx, dy) = (self.x_cm.abs_diff(other.x_cm), self.y_cm.abs_diff(other.y_cm));
        dx.saturating_mul(dx).saturating_add(dy.saturating_mul(dy))
    }
}

/// A number from zero to `side`.
fn along(side: i64, dice: &mut Dice) -> i64 {
    let side = u64::try_from(side).unwrap_or(0);
    i64::try_from(dice.pick(0..side + 1)).unwrap_or(0)
}

/// A stretch of somebody's way: from a place to another in a straight line, or a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// When it begins, in milliseconds.
    pub start_ms: u64,
    /// When it is over.
    pub end_ms: u64,
    /// Where it begins.
    pub from: Point,
    /// Where it ends.
    pub to: Point,
}

impl Leg {
    /// A walk at a steady speed.
    #[must_use]
    pub fn walk(start_ms: u64, from: Point, to: Point, speed_cm_s: u64) -> Self {
        let takes_ms = from.distance_cm(to).saturating_mul(1_000) / speed_cm_s.max(1);
        Self { start_ms, end_ms: start_ms + takes_ms.max(1), from, to }
    }

    /// A rest until a moment.
    #[must_use]
    pub fn rest(start_ms: u64, at: Point, end_ms: u64) -> Self {
        Self { start_ms, end_ms: end_ms.max(start_ms + 1), from: at, to: at }
    }

    /// Whether anybody moves.
    #[must_use]
    pub fn is_rest(&self) -> bool {
        self.from == self.to
    }

    /// The place at a moment of it.
    #[must_use]
    pub fn at(&self, now_ms: u64) -> Point {
        let whole = self.end_ms.saturating_sub(self.start_ms).max(1);
        let done = now_ms.saturating_sub(self.start_ms).min(whole);
        let between = |from: i64, to: i64| match (i64::try_from(done), i64::try_from(whole)) {
            (Ok(done), Ok(whole)) => from + (to - from).saturating_mul(done) / whole,
            _ => from,
        };
        Point { x_cm: between(self.from.x_cm, self.to.x_cm), y_cm: between(self.from.y_cm, self.to.y_cm) }
    }
}

/// How a set of nodes moves.
pub trait Movement {
    /// How many nodes there are.
    fn nodes(&self) -> usize;
    /// Width and height of the field, in centimetres.
    fn extent_cm(&self) -> (i64, i64);
    /// What a node does after `done`, or first of all. It begins where and when `done` ended.
    fn next_leg(&mut self, node: usize, done: Option<&Leg>, dice: &mut Dice) -> Leg;
    /// Whether two places that are close enough see each other.
    fn in_sight(&self, one: Point, other: Point) -> bool {
        let _ = (one, other);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_takes_its_time_and_ends_where_it_should() {
        let (from, to) = (Point { x_cm: 100, y_cm: 0 }, Point { x_cm: 100, y_cm: 1_300 });
        let walk = Leg::walk(5_000, from, to, 130);
        assert_eq!((walk.start_ms, walk.end_ms), (5_000, 15_000));
        assert_eq!(walk.at(10_000), Point { x_cm: 100, y_cm: 650 });
        assert_eq!((walk.at(0), walk.at(99_000)), (from, to));
        assert!(!walk.is_rest() && Leg::rest(0, from, 10).is_rest());
    }

    #[test]
    fn legs_are_never_empty() {
        let here = Point::default();
        assert_eq!(Leg::walk(7, here, here, 130).end_ms, 8);
        assert_eq!(Leg::rest(7, here, 3).end_ms, 8);
    }
}
