//! What must hold: bounds at every step, and agreement after everybody could talk at leisure.

use std::collections::BTreeMap;

use cairn_bundle::NodeId;

use super::World;
use crate::field::contact::{Contact, ContactTrace, LinkModel};
use crate::field::faults::FieldFaults;
use crate::field::report::{Cost, Fate};

/// How long two nodes meet in a round at leisure, in milliseconds.
const MEET_MS: u64 = 120_000;
/// Rounds in which everybody meets everybody.
const ROUNDS: u64 = 3;

impl World {
    /// What a node occupies stays within its limits (V4).
    pub(super) fn check_bounds(&mut self, node: usize) {
        let Some(here) = self.nodes.get(node) else { return };
        let (bytes, max) = (here.shelf.bytes(), here.limits().quota.total.bytes);
        if bytes > max {
            self.truth.violate(|| format!("V4: node {node} carries {bytes} bytes, more than {max}"));
        }
        // Everybody's share takes a walk over everything, so now and then is often enough.
        if self.events.is_multiple_of(997) {
            self.check_shares(node);
        }
    }

    fn check_shares(&mut self, node: usize) {
        let Some(here) = self.nodes.get(node) else { return };
        let mut shares: BTreeMap<NodeId, u64> = BTreeMap::new();
        for (_, kept) in here.shelf.iter() {
            if let Some(neighbour) = kept.record.neighbour {
                *shares.entry(neighbour).or_default() += kept.record.bytes;
            }
        }
        let max = here.limits().quota.neighbour.bytes;
        if let Some(most) = shares.values().max().copied().filter(|most| *most > max) {
            self.truth.violate(|| {
                format!("V4: node {node} carries {most} bytes of one neighbour, more than {max}")
            });
        }
    }

    /// All faults stop, everybody who is left meets everybody for some rounds, and then the promises are looked at.
    pub(in crate::field) fn heal_and_converge(&mut self, progress: &mut dyn FnMut(u64)) {
        let kind = (self.truth.faults.believes_too_early, self.truth.faults.forgets_seen);
        self.truth.faults =
            FieldFaults { believes_too_early: kind.0, forgets_seen: kind.1, ..FieldFaults::none() };
        self.group = None;
        for node in 0..self.nodes.len() {
            if let Some(here) = self.nodes.get_mut(node) {
                here.disk.full = false;
            }
            if !self.hostile.contains(&node) && !self.gone.contains(&node) {
                self.restart(node);
                self.send_late(node);
            }
        }
        self.liars.clear();
        let alive: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes.get(*node).is_some_and(|n| n.engine.is_some()))
            .collect();
        let begun_ms = self.truth.now_ms + 1_000;
        let mut contacts = Vec::new();
        let mut start_ms = begun_ms;
        for _ in 0..ROUNDS {
            // A round robin of pairs: all of one turn meet at the same time.
            for turn in 0..alive.len().max(1) {
                for (place, a) in alive.iter().enumerate() {
                    let other = (turn + alive.len() * 2 - place) % alive.len();
                    if let Some(b) = alive.get(other).filter(|_| other > place) {
                        let end_ms = start_ms + MEET_MS;
                        contacts.push(Contact { start_ms, end_ms, a: *a, b: *b, link: 0 });
                    }
                }
                start_ms += MEET_MS + 1_000;
            }
        }
        self.planned.clear();
        self.trace = ContactTrace::new(self.nodes.len(), start_ms + 60_000, vec![LinkModel::LAN], contacts);
        self.run(progress);
        self.check_agreement(&alive);
    }

    /// Whoever could talk at leisure knows the same and keeps nothing from its destination (V5).
    fn check_agreement(&mut self, alive: &[usize]) {
        let now_ms = self.truth.now_ms;
        let mut notices = None;
        let mut found = Vec::new();
        for node in alive {
            let Some(here) = self.nodes.get(*node) else { continue };
            let Some(engine) = &here.engine else { continue };
            let carried = u64::try_from(here.shelf.len()).unwrap_or(u64::MAX);
            if engine.bundles_carried() != carried {
                found.push(format!(
                    "V5: the engine of node {node} counts {} bundles, its catalogue {carried}",
                    engine.bundles_carried()
                ));
            }
            let known: Vec<_> = here.notices.keys().collect();
            if *notices.get_or_insert_with(|| known.clone()) != known {
                let others = notices.as_ref().map_or(0, Vec::len);
                found.push(format!(
                    "V5: node {node} has {} delivery notices, node {:?} has {others}, not the same",
                    known.len(),
                    alive.first()
                ));
            }
            for (id, kept) in here.shelf.iter() {
                let expires_ms = kept.record.kept_since.as_ms().saturating_add(kept.record.remaining_ms);
                let to = kept.record.destination.and_then(|to| self.ids.iter().position(|id| *id == to));
                let waits = to.is_some_and(|to| alive.contains(&to)) && expires_ms > now_ms;
                let known = self.truth.contents.contains_key(id);
                if waits && known {
                    let state = if self.truth.is_delivered(id) { "is delivered" } else { "is not delivered" };
                    found.push(format!(
                        "V5: node {node} still carries a bundle for node {to:?}, which {state}"
                    ));
                }
            }
        }
        for text in found {
            self.truth.violate(|| text);
        }
    }

    /// What became of the messages between honest nodes.
    pub(in crate::field) fn fates(&self, hostile: &dyn Fn(usize) -> bool) -> Vec<Fate> {
        let messages = self.truth.messages.iter().zip(&self.truth.delivered_ms);
        let honest = messages.filter(|(message, _)| !hostile(message.from) && !hostile(message.to));
        let in_time = |at_ms: u64, lifetime_ms: u64, delivered_ms: u64| {
            delivered_ms <= at_ms.saturating_add(lifetime_ms)
        };
        honest
            .map(|(message, delivered_ms)| {
                let delivered_ms = delivered_ms.filter(|ms| in_time(message.at_ms, message.lifetime_ms, *ms));
                Fate::of(message, delivered_ms)
            })
            .collect()
    }

    /// Who is, or was, hostile.
    pub(in crate::field) fn hostile(&self) -> &std::collections::BTreeSet<usize> {
        &self.hostile
    }

    /// What it took.
    pub(in crate::field) const fn cost(&self) -> Cost {
        self.truth.cost
    }

    /// What was broken.
    pub(in crate::field) fn violations(&self) -> &[String] {
        &self.truth.violations
    }

    /// Digest of what every node was told.
    pub(in crate::field) const fn digest(&self) -> u64 {
        self.truth.trace
    }
}
