//! The library of scenarios: who moves how, and who writes to whom.

use std::collections::BTreeMap;

use super::contact::{Contact, ContactTrace, LinkModel};
use super::mobility::camps::Camps;
use super::mobility::censored::Censor;
use super::mobility::chain::chain;
use super::mobility::city::{City, Streets};
use super::mobility::crowd::Crowd;
use super::mobility::satellite::Satellites;
use super::mobility::village::{Scheduled, Villages};
use super::mobility::{Radio, contacts_of};
use super::one::{self, TraceError};
use super::traffic::{Message, Traffic};
use crate::Dice;

/// An hour in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// Nodes of a scenario at most.
pub const NODES_MAX: u64 = 20_000;
/// Hours of a scenario at most: a year.
pub const HOURS_MAX: u64 = 366 * 24;
/// Messages of a scenario at most.
pub const MESSAGES_MAX: u64 = 1_000_000;
/// Villages of the village scenario.
const VILLAGES: usize = 5;

/// What kind of world it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Village,
    City,
    Camps,
    Censored,
    Chain,
    Satellite,
    Crowd,
    Trace(ContactTrace),
}

/// A scenario with its sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    name: String,
    kind: Kind,
    nodes: usize,
    span_ms: u64,
    messages: usize,
}

/// A text that names no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// The name is not known.
    #[error("there is no scenario `{0}`")]
    Unknown(String),
    /// A part behind the name is not understood.
    #[error("`{0}` is not one of nodes=N, hours=N, messages=N")]
    Option(String),
    /// A number is too small or too large.
    #[error("{what} must be between {min} and {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Smallest that is possible.
        min: u64,
        /// Largest that is possible.
        max: u64,
    },
}

/// Name, nodes, hours, messages, and one line about it.
type Default = (&'static str, usize, u64, usize, &'static str);

/// The library.
const LIBRARY: [Default; 7] = [
    ("village", 61, 21 * 24, 300, "five villages without a road, and a bus that comes once a week"),
    ("city", 1_000, 24, 2_000, "responders on foot in the streets of a city, in two shifts"),
    ("camps", 41, 24, 400, "two camps out of each other's reach, and a drone between them"),
    ("censored", 300, 48, 600, "a city in which one node of ten is seized and links are jammed for hours"),
    ("chain", 64, 12, 200, "64 nodes in a line, 30 of a hundred frames lost on each hop"),
    ("satellite", 34, 48, 300, "ground stations with users, and two satellites that pass now and then"),
    ("crowd", 200, 8, 600, "people come to a square, all write at once, and leave"),
];

/// What a scenario turns into for one seed: everything that is decided before nodes do anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Who can talk to whom.
    pub trace: ContactTrace,
    /// Contacts that everybody knows beforehand: a timetable.
    pub planned: Vec<Contact>,
    /// Who sends what to whom, in order of time.
    pub messages: Vec<Message>,
    /// Nodes that vanish for good, and when, in milliseconds.
    pub seized: BTreeMap<usize, u64>,
}

impl Scenario {
    /// Names and one line about each, in the order in which help shows them; `trace FILE` is not among them.
    pub fn library() -> impl Iterator<Item = (&'static str, &'static str)> {
        LIBRARY.iter().map(|(name, _, _, _, about)| (*name, *about))
    }

    /// Reads a name, perhaps with sizes: `city`, `city:nodes=200,hours=6,messages=100`.
    ///
    /// # Errors
    /// The name is not in the library, or a size is not understood or out of its range.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let known = LIBRARY.iter().find(|(known, ..)| *known == name);
        let (name, nodes, hours, messages, _) =
            *known.ok_or_else(|| ScenarioError::Unknown(name.to_owned()))?;
        let kind = match name {
            "village" => Kind::Village,
            "city" => Kind::City,
            "camps" => Kind::Camps,
            "censored" => Kind::Censored,
            "chain" => Kind::Chain,
            "satellite" => Kind::Satellite,
            _ => Kind::Crowd,
        };
        let mut scenario = Self { name: name.to_owned(), kind, nodes, span_ms: hours * HOUR_MS, messages };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            scenario.change(option)?;
        }
        Ok(scenario)
    }

    /// The contacts of a trace in the ONE simulator's format; those who meet anybody write to each other.
    ///
    /// # Errors
    /// The text is not such a trace; the error says which line.
    pub fn of_trace(name: &str, text: &str) -> Result<Self, TraceError> {
        let trace = one::read(text, LinkModel::WIFI)?;
        let (nodes, span_ms) = (trace.nodes(), trace.end_ms());
        let messages = (nodes * 5).min(1_000);
        Ok(Self { name: name.to_owned(), kind: Kind::Trace(trace), nodes, span_ms, messages })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line about it.
    #[must_use]
    pub fn about(&self) -> &'static str {
        let known = LIBRARY.iter().find(|(known, ..)| *known == self.name);
        known.map_or("contacts from a file", |(.., about)| about)
    }

    /// How long it is, in milliseconds of virtual time.
    #[must_use]
    pub const fn span_ms(&self) -> u64 {
        self.span_ms
    }

    fn change(&mut self, option: &str) -> Result<(), ScenarioError> {
        let unknown = || ScenarioError::Option(option.to_owned());
        let (key, value) = option.split_once('=').ok_or_else(unknown)?;
        let number: u64 = value.parse().map_err(|_| unknown())?;
        let within = |what, min, max| {
            if (min..=max).contains(&number) { Ok(()) } else { Err(ScenarioError::Range { what, min, max }) }
        };
        let small = usize::try_from(number).map_err(|_| unknown());
        match key {
            "nodes" => {
                within("nodes", self.nodes_min(), NODES_MAX).and(small).map(|nodes| self.nodes = nodes)
            }
            "hours" => within("hours", 1, HOURS_MAX).map(|()| self.span_ms = number * HOUR_MS),
            "messages" => within("messages", 0, MESSAGES_MAX).and(small).map(|count| self.messages = count),
            _ => Err(unknown()),
        }
    }

    /// Fewer nodes than this are no village, no pair of camps, and so on.
    const fn nodes_min(&self) -> u64 {
        match self.kind {
            Kind::Village => 16,
            Kind::Camps => 7,
            Kind::Satellite => 10,
            Kind::City | Kind::Censored | Kind::Chain | Kind::Crowd | Kind::Trace(_) => 2,
        }
    }

    /// Draws contacts and messages.
    #[must_use]
    pub fn draw(&self, seed: u64) -> Field {
        let mut dice = Dice::new(seed);
        // Contacts and messages have dice of their own: a change in one leaves the other as it was.
        let mut paths = Dice::new(dice.roll());
        let mut letters = Dice::new(dice.roll());
        let mut seized = BTreeMap::new();
        let Scheduled { mut trace, planned } = self.contacts(&mut paths);
        if self.kind == Kind::Censored {
            let censor = Censor { seized_percent: 10, jams: 6, jam_ms: 2 * HOUR_MS, jammed_percent: 60 };
            (trace, seized) = censor.apply(&trace, &mut paths);
        }
        let messages = self.traffic().draw(&self.people(&trace), &mut letters);
        Field { trace, planned, messages, seized }
    }

    fn contacts(&self, dice: &mut Dice) -> Scheduled {
        let end_ms = self.span_ms;
        let free = |trace| Scheduled { trace, planned: Vec::new() };
        match &self.kind {
            Kind::Village => self.villages().schedule(end_ms, dice),
            Kind::City | Kind::Censored => {
                let blocks = i64::try_from((self.nodes * 2 / 5).isqrt()).unwrap_or(4).max(4);
                let streets = Streets { blocks, block_cm: 20_000 };
                let mut city = City::new(self.nodes, self.nodes / 120 + 1, streets, dice);
                free(contacts_of(&mut city, &Radio::ON_FOOT, end_ms, dice))
            }
            Kind::Camps => self.camps().schedule(end_ms, dice),
            Kind::Chain => free(chain(self.nodes, LinkModel::LOSSY, end_ms)),
            Kind::Satellite => self.satellites().schedule(end_ms, dice),
            Kind::Crowd => {
                let mut crowd = Crowd::new(self.nodes, 200_000, 20_000, (end_ms / 8, end_ms * 5 / 8), dice);
                free(contacts_of(&mut crowd, &Radio::ON_FOOT, end_ms, dice))
            }
            Kind::Trace(trace) => free(trace.clone()),
        }
    }

    const fn villages(&self) -> Villages {
        Villages { villages: VILLAGES, people: (self.nodes - 1) / VILLAGES - 1 }
    }

    const fn camps(&self) -> Camps {
        Camps { people: (self.nodes - 1) / 2 - 1, side_cm: 30_000 }
    }

    const fn satellites(&self) -> Satellites {
        let (satellites, users) = (2, 3);
        Satellites { stations: (self.nodes - satellites) / (1 + users), satellites, users }
    }

    /// Who has somebody in front of it; the bus, the drone and satellites only carry.
    fn people(&self, trace: &ContactTrace) -> Vec<usize> {
        let all = trace.nodes();
        match self.kind {
            Kind::Village | Kind::Camps => (0..all.saturating_sub(1)).collect(),
            Kind::Satellite => (self.satellites().stations + self.satellites().satellites..all).collect(),
            Kind::City | Kind::Censored | Kind::Chain | Kind::Crowd => (0..all).collect(),
            Kind::Trace(_) => {
                let mut met: Vec<usize> =
                    trace.contacts().iter().flat_map(|contact| [contact.a, contact.b]).collect();
                met.sort_unstable();
                met.dedup();
                met
            }
        }
    }

    fn traffic(&self) -> Traffic {
        let span_ms = self.span_ms;
        let usual = Traffic {
            messages: self.messages,
            from_ms: 0,
            until_ms: span_ms * 2 / 3,
            alert_percent: 10,
            bulk_percent: 5,
            lifetime_ms: span_ms / 2,
            hotspot_percent: 20,
            hotspots: Vec::new(),
            burst_percent: 0,
        };
        match self.kind {
            Kind::Village => Traffic { lifetime_ms: span_ms * 2 / 3, alert_percent: 5, ..usual },
            Kind::City => Traffic { hotspots: (0..self.nodes / 100).collect(), ..usual },
            Kind::Chain => Traffic { until_ms: span_ms / 3, alert_percent: 20, ..usual },
            Kind::Crowd => {
                let (from_ms, until_ms) = (span_ms / 6, span_ms / 2);
                Traffic { from_ms, until_ms, burst_percent: 60, bulk_percent: 15, ..usual }
            }
            Kind::Camps | Kind::Censored | Kind::Satellite | Kind::Trace(_) => usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::oracle::Oracle;

    fn small(name: &str) -> Scenario {
        let nodes =
            if name == "city" || name == "censored" || name == "crowd" { ":nodes=60,hours=6" } else { "" };
        Scenario::parse(&format!("{name}{nodes}")).unwrap()
    }

    #[test]
    fn every_scenario_is_the_same_for_one_seed_and_can_deliver_most() {
        for (name, _) in Scenario::library() {
            let scenario = small(name);
            let field = scenario.draw(3);
            assert_eq!(field, scenario.draw(3), "{name}");
            assert_eq!(field.trace.end_ms(), scenario.span_ms());
            assert!(!field.trace.contacts().is_empty() && !scenario.about().is_empty());
            assert!(field.planned.iter().all(|contact| field.trace.contacts().contains(contact)), "{name}");
            let mut oracle = Oracle::new(&field.trace);
            let arrive = field.messages.iter().filter(|message| oracle.arrival_ms(message).is_some()).count();
            println!(
                "{name}: {} contacts, {arrive} of {}",
                field.trace.contacts().len(),
                field.messages.len()
            );
            let least = if name == "censored" || name == "city" { 3 } else { 6 };
            assert!(
                arrive * 10 >= field.messages.len() * least,
                "{name}: {arrive} of {}",
                field.messages.len()
            );
        }
    }

    #[test]
    fn sizes_are_read_and_kept_within_limits() {
        let scenario = Scenario::parse("chain:nodes=10,hours=2,messages=7").unwrap();
        let field = scenario.draw(1);
        assert_eq!((field.trace.nodes(), field.trace.end_ms(), field.messages.len()), (10, 2 * HOUR_MS, 7));
        assert_eq!(Scenario::parse("moon"), Err(ScenarioError::Unknown("moon".to_owned())));
        for bad in ["city:nodes", "city:nodes=x", "city:size=4", "city:nodes=-1", "city:nodes=1.5"] {
            assert!(matches!(Scenario::parse(bad), Err(ScenarioError::Option(_))), "{bad}");
        }
        for bad in [
            "city:nodes=1",
            "village:nodes=15",
            "chain:hours=0",
            "chain:messages=1000001",
            "chain:nodes=20001",
        ] {
            assert!(matches!(Scenario::parse(bad), Err(ScenarioError::Range { .. })), "{bad}");
        }
        for least in [
            "village:nodes=16",
            "camps:nodes=7",
            "satellite:nodes=10",
            "chain:nodes=2",
            "crowd:nodes=2,hours=1",
            "city:nodes=2,hours=1",
        ] {
            let field = Scenario::parse(least).unwrap().draw(1);
            assert!(!field.messages.is_empty(), "{least}");
        }
    }

    #[test]
    fn a_file_is_a_scenario() {
        let scenario =
            Scenario::of_trace("walk", "0 CONN 1 2 up\n10 CONN 2 5 up\n20 CONN 1 2 down\n").unwrap();
        let field = scenario.draw(1);
        assert_eq!((field.trace.nodes(), field.trace.end_ms()), (6, 20_000));
        assert!(field.messages.iter().all(|m| [1, 2, 5].contains(&m.from) && [1, 2, 5].contains(&m.to)));
        assert!(Scenario::of_trace("walk", "0 CONN 1 up").is_err());
        assert_eq!(Scenario::of_trace("empty", "").unwrap().draw(1).messages, []);
    }
}
