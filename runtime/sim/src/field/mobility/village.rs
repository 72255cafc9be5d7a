//! Villages without a road between them but for one bus a week.

use crate::Dice;
use crate::field::contact::{Contact, ContactTrace, LinkModel};

/// An hour in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// A day in milliseconds.
const DAY_MS: u64 = 24 * HOUR_MS;

/// Contacts, some of which everybody knew beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// What happens.
    pub trace: ContactTrace,
    /// The timetable: contacts that are part of the trace and known from the start.
    pub planned: Vec<Contact>,
}

/// Villages, each with a shop where a box always runs, and a bus. Nodes: in each village the shop first and then the
/// people; the bus is the last of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Villages {
    /// How many villages.
    pub villages: usize,
    /// People in each, without the shop.
    pub people: usize,
}

impl Villages {
    /// How many nodes that makes.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.villages * (self.people + 1) + 1
    }

    const fn shop(&self, village: usize) -> usize {
        village * (self.people + 1)
    }

    /// Once a week, on its third day, the bus goes from the first village to the last and back, an hour between two,
    /// and stops for twenty minutes: at the shop, and some people come by. Between these days it stands in a garage.
    #[must_use]
    pub fn schedule(&self, end_ms: u64, dice: &mut Dice) -> Scheduled {
        let (mut everyday, mut stops, mut planned) = (Vec::new(), Vec::new(), Vec::new());
        for day in 0..end_ms.div_ceil(DAY_MS) {
            for village in 0..self.villages {
                self.everyday(village, day * DAY_MS, dice, &mut everyday);
            }
        }
        let bus = self.nodes() - 1;
        let there = 0..self.villages;
        let route: Vec<usize> = there.clone().chain(there.rev().skip(1)).collect();
        for week in 0..end_ms.div_ceil(7 * DAY_MS) {
            let mut start_ms = (week * 7 + 2) * DAY_MS + 6 * HOUR_MS;
            for village in &route {
                let stop = Contact {
                    start_ms,
                    end_ms: start_ms + HOUR_MS / 3,
                    a: self.shop(*village),
                    b: bus,
                    link: 1,
                };
                planned.push(stop);
                stops.push(stop);
                for person in 0..self.people {
                    if dice.percent(25) {
                        let late_ms = dice.pick(0..HOUR_MS / 6);
                        let a = self.shop(*village) + 1 + person;
                        stops.push(Contact { start_ms: start_ms + late_ms, a, ..stop });
                    }
                }
                start_ms += HOUR_MS;
            }
        }
        let links = vec![LinkModel::WIFI, LinkModel::DIRECTED];
        let contacts = everyday.into_iter().chain(stops).collect();
        let planned = ContactTrace::new(self.nodes(), end_ms, links.clone(), planned);
        let trace = ContactTrace::new(self.nodes(), end_ms, links, contacts);
        Scheduled { trace, planned: planned.contacts().to_vec() }
    }

    /// A day in a village: everybody is at the shop once or twice, and meets two others.
    fn everyday(&self, village: usize, day_ms: u64, dice: &mut Dice, contacts: &mut Vec<Contact>) {
        let shop = self.shop(village);
        for person in 0..self.people {
            let a = shop + 1 + person;
            for _ in 0..dice.pick(1..3) {
                let start_ms = day_ms + dice.pick(7 * HOUR_MS..20 * HOUR_MS);
                let end_ms = start_ms + dice.pick(300_000..1_800_000);
                contacts.push(Contact { start_ms, end_ms, a, b: shop, link: 0 });
            }
            for _ in 0..2 {
                let start_ms = day_ms + dice.pick(7 * HOUR_MS..22 * HOUR_MS);
                let end_ms = start_ms + dice.pick(300_000..2_400_000);
                let b = shop + 1 + dice.index(self.people);
                contacts.push(Contact { start_ms, end_ms, a, b, link: 0 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn villages_meet_through_the_bus_alone() {
        let field = Villages { villages: 4, people: 6 };
        let scheduled = field.schedule(21 * DAY_MS, &mut Dice::new(2));
        let bus = field.nodes() - 1;
        assert_eq!(bus, 28);
        for contact in scheduled.trace.contacts() {
            assert!(contact.b == bus || contact.a / 7 == contact.b / 7, "{contact:?}");
        }
        // Three weeks, seven stops each.
        assert_eq!(scheduled.planned.len(), 21);
        for stop in &scheduled.planned {
            assert!(stop.a % 7 == 0 && stop.b == bus && scheduled.trace.contacts().contains(stop));
        }
    }
}
