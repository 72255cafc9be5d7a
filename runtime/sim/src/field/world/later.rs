//! What happens later, and in which order.

use core::cmp::Ordering;

/// Something that happens later.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    Arrive { connection: u64, to: usize, bytes: Vec<u8> },
    Free { connection: u64, side: usize },
    Synced { node: usize, life: u64 },
    Tick { node: usize, life: u64 },
    Restart { node: usize },
    Again { contact: ContactKey },
}

pub(super) type ContactKey = (usize, usize, usize);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Later {
    pub(super) at_ms: u64,
    pub(super) order: u64,
    pub(super) what: What,
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
