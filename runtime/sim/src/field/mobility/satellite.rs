//! Ground stations that see a satellite now and then, each with a few users on a cable.

use crate::Dice;
use crate::field::contact::{Contact, ContactTrace, LinkModel};
use crate::field::mobility::village::Scheduled;

/// One orbit, in milliseconds.
const ORBIT_MS: u64 = 95 * 60_000;

/// Stations, satellites and users. Nodes: stations first, then satellites, then the users of each station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Satellites {
    /// Ground stations.
    pub stations: usize,
    /// Satellites.
    pub satellites: usize,
    /// Users at each station.
    pub users: usize,
}

impl Satellites {
    /// How many nodes that makes.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.stations + self.satellites + self.stations * self.users
    }

    /// Passes of 5 to 10 minutes in about a third of the orbits, at moments that each station knows beforehand.
    #[must_use]
    pub fn schedule(&self, end_ms: u64, dice: &mut Dice) -> Scheduled {
        let mut contacts = Vec::new();
        for satellite in 0..self.satellites {
            let phase_ms = dice.pick(0..ORBIT_MS);
            for station in 0..self.stations {
                let offset_ms = phase_ms + dice.pick(0..ORBIT_MS);
                let mut orbit_ms = 0;
                while orbit_ms < end_ms {
                    let start_ms = orbit_ms + offset_ms;
                    if dice.percent(35) {
                        let end_ms = start_ms + dice.pick(300_000..600_000);
                        let (a, b) = (station, self.stations + satellite);
                        contacts.push(Contact { start_ms, end_ms, a, b, link: 1 });
                    }
                    orbit_ms += ORBIT_MS;
                }
            }
        }
        let planned = ContactTrace::new(
            self.nodes(),
            end_ms,
            vec![LinkModel::LAN, LinkModel::SATELLITE],
            contacts.clone(),
        );
        let first_user = self.stations + self.satellites;
        for user in 0..self.stations * self.users {
            let station = user / self.users.max(1);
            contacts.push(Contact { start_ms: 0, end_ms, a: station, b: first_user + user, link: 0 });
        }
        let trace =
            ContactTrace::new(self.nodes(), end_ms, vec![LinkModel::LAN, LinkModel::SATELLITE], contacts);
        Scheduled { trace, planned: planned.contacts().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_planned_and_cables_are_always_there() {
        let field = Satellites { stations: 4, satellites: 2, users: 3 };
        let scheduled = field.schedule(86_400_000, &mut Dice::new(8));
        assert_eq!(scheduled.trace.nodes(), 18);
        let cables = scheduled.trace.contacts().iter().filter(|contact| contact.link == 0).count();
        assert_eq!(cables, 12);
        assert_eq!(scheduled.trace.contacts().len(), cables + scheduled.planned.len());
        for pass in &scheduled.planned {
            assert!(pass.a < 4 && (4..6).contains(&pass.b) && pass.end_ms - pass.start_ms <= 600_000);
        }
        // Each station has between two and eight passes of each satellite a day, by and large.
        assert!((20..70).contains(&scheduled.planned.len()), "{}", scheduled.planned.len());
    }
}
