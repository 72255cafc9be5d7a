//! What really happened: messages, deliveries, promises. The nodes know nothing of it.

use std::collections::BTreeMap;

use cairn_bundle::{DeliveryNotice, Digest, NodeId};

use super::shelf::Tails;
use crate::Dice;
use crate::field::faults::FieldFaults;
use crate::field::report::Cost;
use crate::field::traffic::Message;

/// Violations that are told at most.
const VIOLATIONS_MAX: usize = 20;

/// What all nodes of a world share.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) now_ms: u64,
    pub(super) dice: Dice,
    pub(super) faults: FieldFaults,
    pub(super) tails: Tails,
    pub(super) messages: Vec<Message>,
    /// Which message a bundle is, by its name.
    pub(super) names: BTreeMap<[u8; 32], usize>,
    /// The same by content id, for bundles and their fragments.
    pub(super) contents: BTreeMap<Digest, usize>,
    /// The content id of each message that was sent.
    pub(super) ids: Vec<Option<Digest>>,
    /// When each message was delivered.
    pub(super) delivered_ms: Vec<Option<u64>>,
    pub(super) cost: Cost,
    pub(super) violations: Vec<String>,
    /// Digest of what happened, in the order in which it happened.
    pub(super) trace: u64,
    /// Whether promises are remembered until a crash: it costs memory.
    pub(super) witness: bool,
    /// What a notice says, or `None` if it is not valid: nobody checks a signature twice.
    notices: BTreeMap<Digest, Option<(NodeId, Vec<Digest>)>>,
}

impl Truth {
    pub(super) fn new(messages: Vec<Message>, faults: FieldFaults, dice: Dice) -> Self {
        let delivered_ms = vec![None; messages.len()];
        Self {
            now_ms: 0,
            dice,
            witness: faults.crashes_per_day > 0,
            faults,
            tails: Tails::default(),
            ids: vec![None; messages.len()],
            messages,
            names: BTreeMap::new(),
            contents: BTreeMap::new(),
            delivered_ms,
            cost: Cost::default(),
            violations: Vec::new(),
            trace: 0,
            notices: BTreeMap::new(),
        }
    }

    pub(super) fn violate(&mut self, text: impl FnOnce() -> String) {
        if self.violations.len() < VIOLATIONS_MAX {
            let text = format!("{} (after {} ms)", text(), self.now_ms);
            self.violations.push(text);
        }
    }

    /// Notes what a node was told, for the digest of the run.
    pub(super) fn note(&mut self, node: usize, what: u64, size: usize) {
        let numbers = [self.now_ms, u64::try_from(node).unwrap_or(0), what, u64::try_from(size).unwrap_or(0)];
        for number in numbers {
            self.trace = (self.trace.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    /// A message is durably delivered (V2: once).
    pub(super) fn deliver(&mut self, node: usize, name: &[u8; 32]) {
        let Some(message) = self.names.get(name).copied() else { return };
        let to = self.messages.get(message).map(|message| message.to);
        if to != Some(node) {
            self.violate(|| format!("node {node} delivered message {message}, which is for {to:?}"));
        }
        let now_ms = self.now_ms;
        match self.delivered_ms.get_mut(message) {
            Some(delivered @ None) => *delivered = Some(now_ms),
            Some(Some(before)) => {
                let before = *before;
                self.violate(|| format!("V2: message {message} was delivered at {before} ms and again"));
            }
            None => {}
        }
        self.note(node, 77, message);
    }

    /// Whether a bundle has reached its destination.
    pub(super) fn is_delivered(&self, id: &Digest) -> bool {
        let message = self.contents.get(id).and_then(|message| self.delivered_ms.get(*message));
        message.is_some_and(Option::is_some)
    }

    /// Checks a notice; the signature under the same bytes is checked once.
    pub(super) fn notice(&mut self, id: &Digest, bytes: &[u8]) -> Option<(NodeId, Vec<Digest>)> {
        // Bytes that were damaged on their way say nothing about those that were not.
        if Digest::of(bytes) != *id {
            return None;
        }
        let check = || {
            let notice = DeliveryNotice::decode_verified(bytes).ok()?;
            Some((notice.destination, notice.ids))
        };
        self.notices.entry(*id).or_insert_with(check).clone()
    }
}

#[cfg(test)]
mod tests {
    use cairn_bundle::Identity;

    use super::*;

    #[test]
    fn a_damaged_notice_does_not_condemn_the_true_one() {
        let mut truth = Truth::new(Vec::new(), FieldFaults::none(), Dice::new(1));
        let author = Identity::from_seed(&[1; 32]);
        let bytes = DeliveryNotice::sign(&author, &[7; 32], &[Digest([9; 32])]).unwrap();
        let (id, mut damaged) = (Digest::of(&bytes), bytes.clone());
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(truth.notice(&id, &damaged), None);
        assert_eq!(truth.notice(&Digest::of(&damaged), &damaged), None);
        assert_eq!(truth.notice(&id, &bytes), Some((author.node_id(), vec![Digest([9; 32])])));
    }
}
