//! Node ids that were read out of endpoints lately.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use cairn_bundle::{Eid, NodeId};

/// Names that are remembered; then the memory begins anew.
const NAMES_MAX: usize = 1_024;

/// To tell whether a name is a key takes longer than all else that is done with a bundle that is carried on, and most
/// bundles of a contact name the same few nodes.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: BTreeMap<Box<str>, NodeId>,
}

impl Names {
    /// The node that an endpoint is on, as [`Eid::node_id`] says.
    pub(crate) fn node_id(&mut self, endpoint: &Eid) -> Option<NodeId> {
        let Eid::Dtn(name) = endpoint else { return None };
        if let Some(node) = self.known.get(name.authority()) {
            return Some(*node);
        }
        let node = endpoint.node_id()?;
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        self.known.insert(name.authority().into(), node);
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;

    #[test]
    fn a_name_says_the_same_the_second_time_and_strangers_do_not_fill_the_memory() {
        let mut names = Names::default();
        let node = Identity::from_seed(&[1; 32]).node_id();
        for service in ["inbox", "meet"] {
            assert_eq!(names.node_id(&Eid::node(&node, service).unwrap()), Some(node));
        }
        assert_eq!(names.known.len(), 1);
        let group: Eid = "dtn://village/~all".parse().unwrap();
        assert_eq!((names.node_id(&group), names.node_id(&Eid::ipn(0, 1, 1))), (None, None));
        for n in 0..2_000_u16 {
            let mut seed = [9; 32];
            seed[..2].copy_from_slice(&n.to_be_bytes());
            let node = Identity::from_seed(&seed).node_id();
            assert_eq!(names.node_id(&Eid::node(&node, "inbox").unwrap()), Some(node));
        }
        assert!(names.known.len() <= NAMES_MAX);
    }
}
