//! The stories that are simulated, and what must be true at their end.

mod gap;
mod mesh;
mod twins;

use cairn_bundle::Digest;
use cairn_node::control::api::{Request, Urgency};
use cairn_node::core::Settings;
use cairn_task::NodeLimits;

use crate::faults::Faults;
use crate::violation::Violation;
use crate::world::{Event, Fault, World};

/// Which story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// A, B and C: a link between A and B, a drop between B and C, a board, lines, a paid job of three rungs.
    Gap,
    /// Five nodes that meet by chance and write to each other.
    Mesh,
    /// Two nodes with one identity among others.
    Twins,
}

/// What a run looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Digest over everything that happened.
    pub trace: Digest,
    /// Things that happened.
    pub steps: u64,
    /// Virtual time.
    pub virtual_ms: u64,
    /// Acknowledgements that were heard and held.
    pub acknowledgements: usize,
    /// Power cuts.
    pub crashes: u64,
    /// Rungs that were accepted and paid.
    pub rungs_paid: usize,
}

/// A run: how it ended, and its log if it was asked for.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub outcome: Result<Report, Violation>,
    /// The log, oldest first.
    pub log: Vec<String>,
}

/// Runs a scenario from a seed.
#[must_use]
pub fn run(scenario: Scenario, seed: u64, faults: Faults, readable: bool) -> Run {
    let mut world = World::new(seed, faults, readable);
    let rungs = match scenario {
        Scenario::Gap => gap::play(&mut world),
        Scenario::Mesh => mesh::play(&mut world).map(|()| 0),
        Scenario::Twins => twins::play(&mut world).map(|()| 0),
    };
    let outcome = rungs.map(|rungs_paid| Report {
        trace: world.trace(),
        steps: world.trace.steps(),
        virtual_ms: world.now,
        acknowledgements: world.witness.heard(),
        crashes: world.crashes,
        rungs_paid,
    });
    Run { outcome, log: world.log().map(str::to_owned).collect() }
}

/// Rounds of undisturbed contacts after which everything must have come to rest.
/// Between two rounds of [`World::wait_for_mail`].
const ROUND_PAUSE_MS: u64 = 12 * 3_600_000;
/// Such rounds, in less than the lifetime of a bundle.
const MAIL_ROUNDS_MAX: u32 = 50;
const ROUNDS_MAX: u32 = 40;
/// Longest time that one round may need for anything, in milliseconds.
pub(crate) const ROUND_MS_MAX: u64 = 6 * 3_600_000;

/// Settings of a node that runs no tasks.
pub(crate) fn settings(name: &str) -> Settings {
    Settings {
        name: name.to_owned(),
        tasks_enabled: false,
        tasks_concurrent: 1,
        task_limits: NodeLimits::default(),
        engine: cairn_engine::Limits::default(),
        own_cap: u64::MAX,
    }
}

/// A message that somebody wants to send.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) text: String,
    pub(crate) ask: u64,
}

impl World {
    /// Gives a node the card of another, and makes it a peer if they may meet.
    pub(crate) fn acquaint(&mut self, node: usize, other: usize, peer: bool) -> Result<(), Violation> {
        let card = self.text_of(other, Request::CardExport)?;
        self.order(node, Request::CardImport { card })?;
        if peer {
            let other = self.node(other).me.to_string();
            self.order(node, Request::PeerAdd { node: other, addresses: Vec::new() })?;
        }
        Ok(())
    }

    /// Plans messages between any two of the nodes within a time.
    pub(crate) fn plan_letters(&mut self, nodes: &[usize], count: u64, span_ms: u64) -> Vec<Letter> {
        let mut letters = Vec::new();
        for number in 0..count {
            let (from, to) = (self.dice.index(nodes.len()), self.dice.index(nodes.len()));
            let (Some(&from), Some(&to)) = (nodes.get(from), nodes.get(to)) else { continue };
            if from == to {
                continue;
            }
            let (name, when) = (self.name(from), self.now.saturating_add(self.dice.pick(0..span_ms)));
            let text = format!("{name} {number} {}", "x".repeat(self.dice.index(300)));
            let to_text = self.node(to).me.to_string();
            let request = Request::Send {
                to: to_text,
                text: text.clone(),
                file: None,
                key: format!("letter {number}"),
                class: Urgency::Normal,
            };
            let ask = self.ask_at(when, from, request, None);
            letters.push(Letter { from, to, text, ask });
        }
        letters
    }

    /// Plans a fault at a chance moment of a time span.
    pub(crate) fn plan(&mut self, span_ms: u64, fault: Fault) {
        let when = self.dice.pick(0..span_ms);
        self.after(when, Event::Fault(fault));
    }

    /// Plans a contact that may end early, and often a power cut in its midst.
    pub(crate) fn plan_contact(&mut self, a: usize, b: usize, span_ms: u64) {
        let when = self.now.saturating_add(self.dice.pick(0..span_ms));
        let budget = match self.dice.pick(0..3) {
            0 => self.dice.index(3_000),
            1 => self.dice.index(30_000),
            _ => 1 << 30,
        };
        self.at(when, Event::Fault(Fault::Meet { a, b, budget }));
        if self.dice.percent(40) {
            let node = if self.dice.percent(50) { a } else { b };
            let late = self.dice.pick(0..20_000);
            self.at(when.saturating_add(late), Event::Fault(Fault::Crash { node }));
        }
    }

    /// Plans power cuts, full disks and clocks that jump for a node.
    pub(crate) fn plan_misfortune(&mut self, node: usize, span_ms: u64) {
        for _ in 0..self.dice.pick(0..3) {
            self.plan(span_ms, Fault::Crash { node });
        }
        if self.dice.percent(40) {
            let (room, when) = (self.dice.pick(0..4_000), self.dice.pick(0..span_ms));
            let lasts = self.dice.pick(1..span_ms / 4);
            self.after(when, Event::Fault(Fault::Disk { node, room: Some(room) }));
            self.after(when.saturating_add(lasts), Event::Fault(Fault::Disk { node, room: None }));
        }
        for _ in 0..self.dice.pick(0..3) {
            let wall = self.dice.percent(70).then(|| self.dice.pick(0..u64::from(u32::MAX) * 2));
            self.plan(span_ms, Fault::Clock { node, wall });
        }
    }

    /// Ends all faults and repeats a round of contacts until nothing changes any more.
    pub(crate) fn heal(
        &mut self,
        round: &mut dyn FnMut(&mut Self) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        self.end_faults();
        for contact in self.contacts.keys().copied().collect::<Vec<_>>() {
            self.cut(contact);
        }
        self.run_until_still(ROUND_MS_MAX)?;
        let mut before = self.picture()?;
        let mut same = 0;
        for _ in 0..ROUNDS_MAX {
            round(self)?;
            let now = self.picture()?;
            same = if now == before && self.is_still() { same + 1 } else { 0 };
            before = now;
            if same == 2 {
                return Ok(());
            }
        }
        let what = format!("{}; {}", self.restless(), before.join(" | "));
        Err(Violation::NeverQuiet { rounds: ROUNDS_MAX, what })
    }

    /// Repeats a round of contacts twice a day until nobody carries anything any more, for most of the lifetime of what is
    /// carried: who gave its copies to others tries again when it has heard nothing of a delivery for long.
    pub(crate) fn wait_for_mail(
        &mut self,
        round: &mut dyn FnMut(&mut Self) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        for _ in 0..MAIL_ROUNDS_MAX {
            let mut carried = 0;
            for node in 0..self.nodes.len() {
                carried += self.status(node)?.bundles;
            }
            if carried == 0 {
                break;
            }
            self.run_until(self.now.saturating_add(ROUND_PAUSE_MS))?;
            round(self)?;
        }
        Ok(())
    }

    /// One undisturbed contact of two nodes until both have nothing to say.
    pub(crate) fn quiet_contact(&mut self, a: usize, b: usize) -> Result<(), Violation> {
        let contact = self.meet(a, b, usize::MAX);
        self.run_until_still(ROUND_MS_MAX)?;
        if let Some(contact) = contact {
            self.cut(contact);
        }
        self.run_until_still(ROUND_MS_MAX)
    }

    /// One undisturbed journey of a drop.
    pub(crate) fn quiet_journey(&mut self, from: usize, to: usize) -> Result<(), Violation> {
        self.courier(from, to);
        self.run_until_still(ROUND_MS_MAX)
    }

    /// Everything that people can see of all nodes.
    fn picture(&mut self) -> Result<Vec<String>, Violation> {
        let mut picture = Vec::new();
        for node in 0..self.nodes.len() {
            let (boards, edges) = (self.ask_and_wait(node, Request::BoardList)?, self.edges(node)?);
            let (inbox, status) = (self.inbox(node)?.len(), self.status(node)?);
            let name = self.name(node);
            picture
                .push(format!("{name}: {inbox} messages, {} bundles, {boards:?}, {edges:?}", status.bundles));
        }
        Ok(picture)
    }
}
