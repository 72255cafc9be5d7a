//! One link while it is up: the meet that runs on it and what the peer may see.

use alloc::collections::BTreeSet;

use cairn_bundle::{Digest, NodeId};
use cairn_link::{Hello, Item, Meet, MeetLimits, Mode};

use crate::time::Instant;

/// Blobs that a peer has and that nobody here has asked for yet; more are forgotten.
const SPARE_BLOBS_MAX: usize = 65_536;

/// The state of one link.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) peer: NodeId,
    pub(crate) mode: Mode,
    pub(crate) meet: Meet,
    pub(crate) groups: BTreeSet<u32>,
    /// Since when the link is up: bundles are sent with the age that they had then.
    pub(crate) since: Instant,
    /// Items handed to the caller whose outcome is not known yet.
    pub(crate) taking: u32,
    /// Items that came over this link and were not taken.
    pub(crate) refused: u64,
    spare_blobs: BTreeSet<Digest>,
}

impl Session {
    pub(crate) fn new(
        peer: NodeId,
        mode: Mode,
        hello: Hello,
        groups: BTreeSet<u32>,
        limits: MeetLimits,
        since: Instant,
    ) -> Self {
        let meet = Meet::new(mode, hello, limits);
        Self { peer, mode, meet, groups, since, taking: 0, refused: 0, spare_blobs: BTreeSet::new() }
    }

    /// Remembers that the peer has a blob in case it is wanted later in this meet.
    pub(crate) fn remember_spare(&mut self, id: Digest) {
        if self.spare_blobs.len() < SPARE_BLOBS_MAX {
            self.spare_blobs.insert(id);
        }
    }

    /// Asks for a blob if the peer has said that it has it.
    pub(crate) fn request_spare(&mut self, item: Item) {
        if self.spare_blobs.remove(&item.id) {
            self.meet.request(item);
        }
    }

    /// Nothing left to send, to wait for, or to make durable.
    pub(crate) fn is_idle(&self) -> bool {
        self.taking == 0 && self.meet.is_idle()
    }
}
