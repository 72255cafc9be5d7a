//! A chain: nodes that stand in a line, each in reach of the next.

use crate::field::contact::{Contact, ContactTrace, LinkModel};

/// Contacts that last from the beginning to the end between each node and the next.
#[must_use]
pub fn chain(nodes: usize, model: LinkModel, end_ms: u64) -> ContactTrace {
    let contacts = (1..nodes).map(|b| Contact { start_ms: 0, end_ms, a: b - 1, b, link: 0 }).collect();
    ContactTrace::new(nodes, end_ms, vec![model], contacts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_64_nodes_has_63_hops() {
        let trace = chain(64, LinkModel::LOSSY, 1_000);
        assert_eq!((trace.nodes(), trace.contacts().len()), (64, 63));
        assert!(trace.contacts().iter().all(|contact| contact.b == contact.a + 1 && contact.end_ms == 1_000));
    }
}
