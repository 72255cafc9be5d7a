//! What must be true once everybody could talk at leisure.

use std::collections::BTreeMap;

use cairn_node::control::api::{EdgeInfo, Request, Response};
use cairn_store::Table;

use crate::scenario::Letter;
use crate::violation::Violation;
use crate::world::World;

/// Counted refusals of one node above this are a flood or a loop.
const COUNTER_MAX: u64 = 100_000;
/// More ledger entries than this do not come out of any scenario, however often somebody repeats an order.
const ENTRIES_MAX: u64 = 200;

impl World {
    /// V1: what was acknowledged to peers is on every disk.
    pub(crate) fn check_acknowledged(&self) -> Result<(), Violation> {
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(item) = self.witness.missing(index, &node.disk) {
                return Err(Violation::AcknowledgedLost { node: node.name.clone(), item });
            }
        }
        Ok(())
    }

    /// V1 and V2: every confirmed message arrived, each once, and no other.
    pub(crate) fn check_letters(&mut self, letters: &[Letter]) -> Result<(), Violation> {
        for node in 0..self.nodes.len() {
            let name = self.name(node);
            let mut inbox: BTreeMap<String, usize> = BTreeMap::new();
            for text in self.inbox(node)? {
                *inbox.entry(text).or_default() += 1;
            }
            for letter in letters.iter().filter(|letter| letter.to == node) {
                let confirmed = match self.answer(letter.from, letter.ask) {
                    Some(Response::Sent { .. }) => true,
                    Some(other) => return Err(self.unexpected(letter.from, format!("{other:?}"))),
                    None => false,
                };
                match inbox.remove(&letter.text) {
                    Some(1) => {}
                    Some(times) => {
                        return Err(Violation::DeliveredAgain {
                            node: name,
                            text: letter.text.clone(),
                            times,
                        });
                    }
                    None if confirmed => {
                        let what = format!("to {name}: {}", letter.text);
                        return Err(Violation::ConfirmedLost { node: self.name(letter.from), what });
                    }
                    None => {}
                }
            }
            if let Some((text, _)) = inbox.pop_first() {
                return Err(Violation::FromNobody { node: name, text });
            }
        }
        Ok(())
    }

    /// V5: the boards of these nodes look the same.
    pub(crate) fn check_boards(&mut self, nodes: &[usize]) -> Result<(), Violation> {
        let mut seen: Option<(String, String)> = None;
        for &node in nodes {
            let boards = format!("{:?}", self.ask_and_wait(node, Request::BoardList)?);
            let name = self.name(node);
            match &seen {
                Some((other, theirs)) if *theirs != boards => {
                    let text = format!("boards differ: {other} shows {theirs}, {name} shows {boards}");
                    return Err(Violation::Disagreement(text));
                }
                _ => seen = Some((name, boards)),
            }
        }
        Ok(())
    }

    /// The edge of a node with another; empty if there is none.
    pub(crate) fn edge(&mut self, node: usize, other: usize) -> Result<Option<EdgeInfo>, Violation> {
        let other = self.node(other).me.to_string();
        Ok(self.edges(node)?.into_iter().find(|edge| edge.node == other))
    }

    /// V5 and V6: both ends of an edge agree, and no promise is left open.
    pub(crate) fn check_edge(&mut self, a: usize, b: usize) -> Result<(), Violation> {
        let (here, there) = (self.edge(a, b)?, self.edge(b, a)?);
        let ours = here.as_ref().map(sums);
        let theirs = there.as_ref().map(|edge| turned(sums(edge)));
        let names = (self.name(a), self.name(b));
        if ours != theirs {
            let text = format!("{} and {} see different edges: {here:?} and {there:?}", names.0, names.1);
            return Err(Violation::Disagreement(text));
        }
        if here.as_ref().is_some_and(|edge| edge.held_by_me > 0 || edge.held_to_me > 0) {
            return Err(Violation::Money(format!(
                "a lock is left open between {} and {}: {here:?}",
                names.0, names.1
            )));
        }
        Ok(())
    }

    /// V6: what some are owed, others owe.
    pub(crate) fn check_conservation(&mut self) -> Result<(), Violation> {
        let mut sum: i64 = 0;
        for node in 0..self.nodes.len() {
            sum += self.edges(node)?.iter().map(|edge| edge.net).sum::<i64>();
        }
        if sum == 0 { Ok(()) } else { Err(Violation::Money(format!("all nets together are {sum}, not 0"))) }
    }

    /// Nobody warns a person without cause, and no counter and no history ran away.
    pub(crate) fn check_calm(&mut self) -> Result<(), Violation> {
        for node in 0..self.nodes.len() {
            let status = self.status(node)?;
            let entries = self.node(node).disk.usage().of(Table::Ledger).entries;
            if entries > ENTRIES_MAX {
                return Err(self.unexpected(node, format!("{entries} ledger entries")));
            }
            let busiest = status.counters.iter().find(|(_, count)| **count > COUNTER_MAX);
            if let Some(problem) =
                status.warnings.first().cloned().or_else(|| busiest.map(|b| format!("{b:?}")))
            {
                return Err(self.unexpected(node, problem));
            }
        }
        Ok(())
    }
}

/// Lines, debts and promises of an edge: given or owed by me, then to me.
type Sums = [(u64, u64); 3];

const fn sums(edge: &EdgeInfo) -> Sums {
    [
        (edge.line_given, edge.line_received),
        (edge.owed_by_me, edge.owed_to_me),
        (edge.held_by_me, edge.held_to_me),
    ]
}

fn turned(sums: Sums) -> Sums {
    sums.map(|(by_me, to_me)| (to_me, by_me))
}
