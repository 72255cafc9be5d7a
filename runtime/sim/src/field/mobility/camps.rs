//! Two camps out of each other's reach, and a drone that flies between them.

use super::village::Scheduled;
use super::waypoint::Waypoint;
use super::{Radio, contacts_of};
use crate::Dice;
use crate::field::contact::{Contact, ContactTrace, LinkModel};

/// How long the drone hangs over a camp, in milliseconds.
const HOVER_MS: u64 = 300_000;
/// How long it flies to the other, in milliseconds.
const FLIGHT_MS: u64 = 900_000;
/// How long its battery charges in the first camp, in milliseconds; it is switched off then.
const CHARGE_MS: u64 = 2_400_000;

/// Two camps. Nodes: in each camp its gateway first and then the people; the drone is the last of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Camps {
    /// People in each camp, without the gateway.
    pub people: usize,
    /// Sides of a camp, in centimetres.
    pub side_cm: i64,
}

impl Camps {
    /// How many nodes that makes.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        2 * (self.people + 1) + 1
    }

    /// People walk about in their camp; the drone keeps to its timetable and sees the gateway and half of the people.
    #[must_use]
    pub fn schedule(&self, end_ms: u64, dice: &mut Dice) -> Scheduled {
        let (size, drone) = (self.people + 1, self.nodes() - 1);
        let links = vec![LinkModel::WIFI, LinkModel::DIRECTED];
        let mut contacts = Vec::new();
        for camp in 0..2 {
            let mut people = Waypoint::new(size, self.side_cm, 130);
            let inside = contacts_of(&mut people, &Radio::ON_FOOT, end_ms, dice);
            let moved = |contact: &Contact| Contact {
                a: contact.a + camp * size,
                b: contact.b + camp * size,
                ..*contact
            };
            contacts.extend(inside.contacts().iter().map(moved));
        }
        let mut planned = Vec::new();
        let (mut start_ms, mut camp) = (CHARGE_MS, 0);
        while start_ms < end_ms {
            let gateway = camp * size;
            let visit = Contact { start_ms, end_ms: start_ms + HOVER_MS, a: gateway, b: drone, link: 1 };
            planned.push(visit);
            contacts.push(visit);
            for a in gateway + 1..gateway + size {
                if dice.percent(50) {
                    contacts.push(Contact { a, ..visit });
                }
            }
            start_ms += HOVER_MS + FLIGHT_MS + if camp == 0 { 0 } else { CHARGE_MS };
            camp = 1 - camp;
        }
        let planned = ContactTrace::new(self.nodes(), end_ms, links.clone(), planned);
        let trace = ContactTrace::new(self.nodes(), end_ms, links, contacts);
        Scheduled { trace, planned: planned.contacts().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn camps_meet_through_the_drone_alone() {
        let field = Camps { people: 9, side_cm: 30_000 };
        let scheduled = field.schedule(6 * 3_600_000, &mut Dice::new(2));
        assert_eq!(field.nodes(), 21);
        for contact in scheduled.trace.contacts() {
            assert!(contact.b == 20 || contact.a / 10 == contact.b / 10, "{contact:?}");
        }
        assert!(scheduled.planned.iter().any(|visit| visit.a == 10));
        assert!(scheduled.planned.len() > 6);
    }
}
