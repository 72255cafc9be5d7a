//! A flash crowd: people come to a square from everywhere, stay for a while, and leave.

use super::{Leg, Movement, Point};
use crate::Dice;

/// Who comes from where, and when.
#[derive(Debug, Clone)]
pub struct Crowd {
    side_cm: i64,
    square_cm: i64,
    /// When they are called, when the last leave the square; milliseconds.
    called_ms: u64,
    over_ms: u64,
    homes: Vec<Point>,
}

impl Crowd {
    /// So many people who live in a square of `side_cm` and come to a place of `square_cm` in its middle.
    #[must_use]
    pub fn new(
        people: usize,
        side_cm: i64,
        square_cm: i64,
        (called_ms, over_ms): (u64, u64),
        dice: &mut Dice,
    ) -> Self {
        let homes = (0..people).map(|_| Point::anywhere(side_cm, dice)).collect();
        Self { side_cm, square_cm, called_ms, over_ms, homes }
    }

    fn place(&self, dice: &mut Dice) -> Point {
        let corner = (self.side_cm - self.square_cm) / 2;
        let inside = Point::anywhere(self.square_cm, dice);
        Point { x_cm: corner + inside.x_cm, y_cm: corner + inside.y_cm }
    }
}

impl Movement for Crowd {
    fn nodes(&self) -> usize {
        self.homes.len()
    }

    fn extent_cm(&self) -> (i64, i64) {
        (self.side_cm, self.side_cm)
    }

    fn next_leg(&mut self, node: usize, done: Option<&Leg>, dice: &mut Dice) -> Leg {
        let home = self.homes.get(node).copied().unwrap_or_default();
        let Some(done) = done else {
            return Leg::rest(0, home, self.called_ms + dice.pick(0..1_200_000));
        };
        let (now_ms, here) = (done.end_ms, done.to);
        let speed_cm_s = dice.pick(100..150);
        if now_ms >= self.over_ms {
            return if here == home {
                Leg::rest(now_ms, home, now_ms + 3_600_000)
            } else {
                Leg::walk(now_ms, here, home, speed_cm_s)
            };
        }
        if done.is_rest() {
            return Leg::walk(now_ms, here, self.place(dice), speed_cm_s);
        }
        Leg::rest(
            now_ms,
            here,
            (now_ms + dice.pick(300_000..1_500_000)).min(self.over_ms + dice.pick(0..600_000)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::mobility::{Radio, contacts_of};

    #[test]
    fn most_contacts_are_made_while_the_crowd_is_there() {
        let hour = 3_600_000;
        let mut dice = Dice::new(4);
        let mut crowd = Crowd::new(60, 150_000, 15_000, (hour, 3 * hour), &mut dice);
        let trace = contacts_of(&mut crowd, &Radio::ON_FOOT, 6 * hour, &mut dice);
        let during = |contact: &&crate::field::Contact| (hour..4 * hour).contains(&contact.start_ms);
        let count = trace.contacts().iter().filter(during).count();
        assert!(
            count * 10 > trace.contacts().len() * 9 && count > 200,
            "{count} of {}",
            trace.contacts().len()
        );
        let late = trace.contacts().iter().filter(|contact| contact.start_ms > 5 * hour).count();
        assert!(late < 10);
    }
}
