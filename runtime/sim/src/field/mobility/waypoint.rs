//! Random waypoint: everybody walks to some place, rests a little, and walks on.

use super::{Leg, Movement, Point};
use crate::Dice;

/// Longest rest, in milliseconds.
const REST_MS_MAX: u64 = 600_000;

/// Nodes that walk about in a square.
#[derive(Debug, Clone)]
pub struct Waypoint {
    nodes: usize,
    side_cm: i64,
    speed_cm_s: u64,
}

impl Waypoint {
    /// So many nodes in a square of so many centimetres, at up to this speed and at least half of it (a slower one
    /// would make the average speed fall for ever).
    #[must_use]
    pub const fn new(nodes: usize, side_cm: i64, speed_cm_s: u64) -> Self {
        Self { nodes, side_cm, speed_cm_s }
    }
}

impl Movement for Waypoint {
    fn nodes(&self) -> usize {
        self.nodes
    }

    fn extent_cm(&self) -> (i64, i64) {
        (self.side_cm, self.side_cm)
    }

    fn next_leg(&mut self, _: usize, done: Option<&Leg>, dice: &mut Dice) -> Leg {
        let Some(done) = done else {
            return Leg::rest(0, Point::anywhere(self.side_cm, dice), dice.pick(0..REST_MS_MAX));
        };
        if done.is_rest() {
            let speed_cm_s = dice.pick(self.speed_cm_s / 2..self.speed_cm_s + 1);
            return Leg::walk(done.end_ms, done.to, Point::anywhere(self.side_cm, dice), speed_cm_s);
        }
        Leg::rest(done.end_ms, done.to, done.end_ms + dice.pick(0..REST_MS_MAX))
    }
}
