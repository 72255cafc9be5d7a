//! One link while it is up: the meet that runs on it and what the peer may see.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cairn_bundle::{Digest, NodeId};
use cairn_link::reconcile::Reconciler;
use cairn_link::{Hello, Item, Meet, MeetLimits, Mode, Topic};

use crate::giving::Giving;
use crate::pieces::Passage;
use crate::room::Room;
use crate::routing::LinkProperties;
use crate::time::Instant;

/// Blobs that a peer has and that nobody here has asked for yet; more are forgotten.
const SPARE_BLOBS_MAX: usize = 65_536;

/// The reconciliation of one topic on one link.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) reconciler: Option<Reconciler>,
    /// A message of the peer that waits until less is to be given.
    pub(crate) waiting: Option<Vec<u8>>,
    /// It is this end's turn, and it has more to find out.
    pub(crate) unfinished: bool,
    /// This end is to begin.
    pub(crate) due: bool,
    pub(crate) done: bool,
}

impl Comparison {
    pub(crate) const fn new(due: bool) -> Self {
        Self { reconciler: None, waiting: None, unfinished: false, due, done: false }
    }

    /// Whether something was said already.
    pub(crate) const fn is_begun(&self) -> bool {
        self.done || self.reconciler.is_some()
    }
}

/// The state of one link.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) peer: NodeId,
    pub(crate) mode: Mode,
    pub(crate) meet: Meet,
    pub(crate) groups: BTreeSet<u32>,
    pub(crate) properties: LinkProperties,
    /// Since when the link is up: bundles are sent with the age that they had then.
    pub(crate) since: Instant,
    /// Items handed to the caller whose outcome is not known yet.
    pub(crate) taking: u32,
    /// Items that came over this link and were not taken.
    pub(crate) refused: u64,
    pub(crate) comparisons: BTreeMap<Topic, Comparison>,
    /// When what was held back is looked at again, and the sets are compared anew.
    pub(crate) review_at: Instant,
    pub(crate) giving: Giving,
    /// Bytes of bundles that the peer has taken.
    pub(crate) given_bytes: u64,
    pub(crate) room: Room,
    /// The revision of the claims that the peer was told.
    pub(crate) claims_told: Option<u64>,
    spare_blobs: BTreeSet<Digest>,
}

/// How a link came up.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) peer: NodeId,
    pub(crate) mode: Mode,
    pub(crate) hello: Hello,
    pub(crate) groups: BTreeSet<u32>,
    pub(crate) properties: LinkProperties,
}

impl Session {
    pub(crate) fn new(
        opening: Opening,
        limits: MeetLimits,
        room: Room,
        since: Instant,
        review_at: Instant,
    ) -> Self {
        let Opening { peer, mode, hello, groups, properties } = opening;
        Self {
            peer,
            mode,
            meet: Meet::new(mode, hello, limits),
            groups,
            properties,
            since,
            taking: 0,
            refused: 0,
            comparisons: BTreeMap::new(),
            review_at,
            giving: Giving::default(),
            given_bytes: 0,
            room,
            claims_told: None,
            spare_blobs: BTreeSet::new(),
        }
    }

    /// What goes through this link, as far as it is known.
    pub(crate) fn passage(&self, item_bytes_max: u64) -> Passage {
        let LinkProperties { mtu, rate_bytes_s, expected_ms } = self.properties;
        Passage { mtu, volume_bytes: Passage::volume(rate_bytes_s, expected_ms), item_bytes_max }
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

    /// When offers may go on that wait for time alone; the end of time if none do.
    pub(crate) fn resumes_at(&self, now: Instant) -> Instant {
        let pause = self.room.paused_until(now).filter(|_| self.giving.is_paused());
        pause.unwrap_or(Instant::from_ms(u64::MAX))
    }

    /// Whether the sets of both ends were compared as far as this link does that.
    pub(crate) fn is_compared(&self) -> bool {
        self.comparisons.values().all(|comparison| comparison.done)
    }

    /// Nothing left to send, to wait for, or to make durable. What a full peer does not take is not waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.taking == 0 && self.is_compared() && !self.giving.is_pressing() && self.meet.is_idle()
    }
}
