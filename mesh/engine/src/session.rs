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

/// What was held back for a peer is looked at again at most so often, whatever the peer says.
const LOOK_MS: u64 = 10_000;
/// A peer may begin to compare a set anew at most so often.
const RESTART_MS: u64 = 60_000;

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
    /// When the peer began last.
    pub(crate) begun_by_peer: Option<Instant>,
    pub(crate) heights: Heights,
}

/// How far a comparison has come with heights, which are told once at the most in each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Heights {
    /// Ranges are compared, or nothing is said yet.
    #[default]
    Unsaid,
    /// This end has begun: the peer may answer with its heights.
    Open,
    /// The peer has begun and was told the heights here; it tells its own, once, and begins anew.
    Told { answered: bool },
    /// What either end lacks by the heights is under way; then this end begins anew, with ranges.
    Traded {
        /// Heights of the peer's streams that have not been reached here.
        expected: Vec<(Digest, u64)>,
        /// It is not waited for longer.
        until: Instant,
    },
}

impl Comparison {
    pub(crate) const fn new(due: bool) -> Self {
        Self {
            reconciler: None,
            waiting: None,
            unfinished: false,
            due,
            done: false,
            begun_by_peer: None,
            heights: Heights::Unsaid,
        }
    }

    /// Whether something was said already.
    pub(crate) const fn is_begun(&self) -> bool {
        self.done || self.reconciler.is_some()
    }

    /// This end begins. Only a conversation that does not follow on heights may lead to them.
    pub(crate) fn note_begun(&mut self) {
        let traded = matches!(self.heights, Heights::Traded { .. });
        self.heights = if traded { Heights::Unsaid } else { Heights::Open };
    }

    /// A message of the peer is looked at; whether it may be answered with heights.
    pub(crate) fn note_heard(&mut self, begun: bool) -> bool {
        let told = matches!(self.heights, Heights::Told { .. });
        self.heights = Heights::Unsaid;
        begun && !told
    }

    /// When what was lacking by the heights is not waited for any longer.
    const fn traded_until(&self) -> Option<Instant> {
        match &self.heights {
            Heights::Traded { until, .. } if !self.due => Some(*until),
            Heights::Unsaid | Heights::Open | Heights::Told { .. } | Heights::Traded { .. } => None,
        }
    }

    /// Whether this end has something to do.
    pub(crate) const fn is_pending(&self) -> bool {
        self.due || self.unfinished || self.waiting.is_some()
    }

    /// A message of the peer came; whether it is heard. Each conversation costs a look at much of the set, so a peer does not
    /// begin one after the other, and it takes turns.
    pub(crate) fn hear(&mut self, now: Instant, message: Vec<u8>) -> bool {
        if self.waiting.is_some() {
            return false;
        }
        if Reconciler::is_start(&message) {
            let agreed = matches!(self.heights, Heights::Told { .. });
            if !agreed && self.begun_by_peer.is_some_and(|begun| now - begun < RESTART_MS) {
                return false;
            }
            self.begun_by_peer = Some(now);
        }
        self.waiting = Some(message);
        true
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
    /// When what was held back is looked at again before that; and when it was last.
    look_at: Option<Instant>,
    looked_at: Option<Instant>,
    /// When a long comparison goes on.
    pub(crate) goes_on_at: Option<Instant>,
    /// Bytes of bundles that the peer has taken.
    pub(crate) given_bytes: u64,
    /// Bytes of items that were handed to the link.
    pub(crate) sent_bytes: u64,
    /// Bundles that were cut for this contact.
    pub(crate) cuts: u16,
    /// Bundles in a row that found no room here though the peer knew that there is none.
    pub(crate) wasted: u8,
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
            look_at: None,
            looked_at: None,
            goes_on_at: None,
            given_bytes: 0,
            sent_bytes: 0,
            cuts: 0,
            wasted: 0,
            room,
            claims_told: None,
            spare_blobs: BTreeSet::new(),
        }
    }

    /// What goes through this link, as far as it is known; no item of more than `item_bytes_max` leaves here.
    pub(crate) fn passage(&self, item_bytes_max: u64) -> Passage {
        let LinkProperties { mtu, rate_bytes_s, expected_ms } = self.properties;
        let item_bytes_max =
            self.meet.peer_item_bytes_max().map_or(item_bytes_max, |max| max.min(item_bytes_max));
        Passage { mtu, volume_bytes: Passage::volume(rate_bytes_s, expected_ms), item_bytes_max }
    }

    /// Remembers that the peer has a blob in case it is wanted later in this meet.
    pub(crate) fn remember_spare(&mut self, id: Digest) {
        if self.spare_blobs.len() < SPARE_BLOBS_MAX {
            self.spare_blobs.insert(id);
        }
    }

    /// Asks for a blob if the peer has said that it has it; whether it did.
    pub(crate) fn request_spare(&mut self, item: Item) -> bool {
        let known = self.spare_blobs.remove(&item.id);
        if known {
            self.meet.request(item);
        }
        known
    }

    /// Something that heights promised will not come: the rest is not waited for either.
    pub(crate) fn expect_no_more(&mut self, topic: Topic) {
        if let Some(Comparison { heights: Heights::Traded { expected, .. }, .. }) =
            self.comparisons.get_mut(&topic)
        {
            expected.clear();
        }
    }

    /// What was held back is looked at again, not before `at`, and not too often.
    pub(crate) fn look_again(&mut self, at: Instant) {
        let at = self.looked_at.map_or(at, |looked| at.max(looked.plus_ms(LOOK_MS)));
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }

    /// The pause that the peer needs is over then.
    pub(crate) fn resume_at(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }

    /// Whether what was held back is to be looked at now.
    pub(crate) fn looks_now(&mut self, now: Instant) -> bool {
        let due = self.look_at.is_some_and(|at| at <= now);
        if due {
            self.look_at = None;
            self.looked_at = Some(now);
        }
        due
    }

    /// When time alone brings something to do.
    pub(crate) fn next_due(&self) -> Instant {
        let traded = self.comparisons.values().filter_map(Comparison::traded_until).min();
        let sooner = [self.look_at, self.goes_on_at, traded].into_iter().flatten().min();
        sooner.map_or(self.review_at, |sooner| sooner.min(self.review_at))
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
