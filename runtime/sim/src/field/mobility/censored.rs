//! A city under somebody who seizes devices and jams links.

use std::collections::BTreeMap;

use crate::Dice;
use crate::field::contact::{Contact, ContactTrace};

/// What the censor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Censor {
    /// Nodes that are seized some time, of a hundred: they vanish for good, with all they carry.
    pub seized_percent: u64,
    /// Stretches of time in which links are jammed.
    pub jams: u64,
    /// How long one lasts, in milliseconds.
    pub jam_ms: u64,
    /// Contacts that a jam hits, of a hundred.
    pub jammed_percent: u64,
}

impl Censor {
    /// What the trace becomes, and which node is seized when.
    #[must_use]
    pub fn apply(&self, trace: &ContactTrace, dice: &mut Dice) -> (ContactTrace, BTreeMap<usize, u64>) {
        let mut seized = BTreeMap::new();
        for node in 0..trace.nodes() {
            if dice.percent(self.seized_percent) {
                seized.insert(node, dice.pick(trace.end_ms() / 10..trace.end_ms()));
            }
        }
        let jams: Vec<u64> = (0..self.jams).map(|_| dice.pick(0..trace.end_ms())).collect();
        let censored = trace.changed(|contact| {
            let until_ms = [contact.a, contact.b].iter().filter_map(|node| seized.get(node)).min();
            let end_ms = until_ms.map_or(contact.end_ms, |until_ms| contact.end_ms.min(*until_ms));
            let hit = |jam: &&u64| contact.start_ms < **jam + self.jam_ms && **jam < contact.end_ms;
            let hit = jams.iter().find(hit).filter(|_| dice.percent(self.jammed_percent));
            // What is left of a jammed contact is what came before the jam.
            let end_ms = hit.map_or(end_ms, |jam| end_ms.min(*jam));
            (contact.start_ms < end_ms).then_some(Contact { end_ms, ..*contact })
        });
        (censored, seized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::LinkModel;

    #[test]
    fn a_seized_node_meets_nobody_any_more() {
        let contacts = (0..2_000)
            .map(|i| Contact {
                start_ms: i * 10,
                end_ms: i * 10 + 100,
                a: 0,
                b: 1 + usize::try_from(i % 39).unwrap(),
                link: 0,
            })
            .collect();
        let trace = ContactTrace::new(40, 20_000, vec![LinkModel::WIFI], contacts);
        let censor = Censor { seized_percent: 30, jams: 2, jam_ms: 1_000, jammed_percent: 50 };
        let (censored, seized) = censor.apply(&trace, &mut Dice::new(3));
        assert!((3..25).contains(&seized.len()));
        assert!(censored.contacts().len() < trace.contacts().len());
        for contact in censored.contacts() {
            for node in [contact.a, contact.b] {
                assert!(seized.get(&node).is_none_or(|at_ms| contact.end_ms <= *at_ms));
            }
        }
        let nothing = Censor { seized_percent: 0, jams: 0, jam_ms: 0, jammed_percent: 0 };
        assert_eq!(nothing.apply(&trace, &mut Dice::new(3)), (trace, BTreeMap::new()));
    }
}
