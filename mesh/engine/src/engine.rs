//! The state machine in the middle: it routes events to the parts that do the work.

mod arrivals;
mod compare;
mod give;
mod heights;
mod keep;
mod meets;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use cairn_bundle::{Class, Digest, Eid, NodeId};
use cairn_link::reconcile::SumTree;
use cairn_link::{Item, Mode, RefuseReason, Topic, Transmit};

use crate::alerts::Alerts;
use crate::catalogue::Catalogue;
use crate::copies::CopyBudget;
use crate::custody::Custody;
use crate::elsewhere::Elsewhere;
use crate::event::{Action, CloseReason, Event, LinkId, Ticket};
use crate::eviction::Victims;
use crate::holdings::Holdings;
use crate::limits::Limits;
use crate::names::Names;
use crate::noticed::Noticed;
use crate::overlay::Overlay;
use crate::pace::Pace;
use crate::quota::{Amount, Quotas};
use crate::record::BundleRecord;
use crate::repeats::Repeats;
use crate::routing::{Explanation, Router, SnapshotError};
use crate::seen::Seen;
use crate::session::{Opening, Session};
use crate::sessions::Sessions;
use crate::sweep::Sweep;
use crate::time::Instant;
use crate::told::Told;

/// The service that stands for the node itself in a previous-node block.
const NODE_SERVICE: &str = "meet";

/// An item that the caller is making durable, and the links that wait for it.
#[derive(Debug)]
struct Pending {
    item: Item,
    links: Vec<LinkId>,
    /// Set for a bundle that will be carried on; its room is counted already.
    record: Option<BundleRecord>,
    /// Set for a bundle that its bringer did not write itself.
    brought_by: Option<NodeId>,
    /// Tokens that came with further copies.
    more_copies: u8,
}

/// The store-and-forward engine of one node.
#[derive(Debug)]
pub struct Engine {
    me: NodeId,
    /// What a previous-node block says of this node.
    endpoint: Option<Eid>,
    limits: Limits,
    now: Instant,
    /// A moment, and what the wall clock said then.
    wall: Option<(Instant, u64)>,
    sessions: Sessions,
    holdings: Holdings,
    noticed: Noticed,
    names: Names,
    carried: SumTree,
    seen: Seen,
    told: Told,
    repeats: Repeats,
    alerts: Alerts,
    quotas: Quotas,
    router: Router,
    custody: Custody,
    pace: Pace,
    copies: CopyBudget,
    victims: Victims,
    /// Where the next look for victims begins, and until when looking is of no use.
    victims_from: Digest,
    no_victims_until: Instant,
    /// Room was made, or taken: peers are told then.
    announce_at: Option<Instant>,
    sweep: Sweep,
    /// Bundles that the caller is cutting, and those that it could not cut.
    cutting: BTreeSet<Digest>,
    uncut: BTreeSet<Digest>,
    wanted_blobs: BTreeSet<Digest>,
    elsewhere: Elsewhere,
    pending: BTreeMap<Ticket, Pending>,
    pending_items: BTreeMap<Item, Ticket>,
    next_ticket: Ticket,
    comparisons_begun: u64,
    seed: [u8; 32],
    actions: VecDeque<Action>,
    /// What was decided and whose actions were not handed out.
    unsaid: Overlay,
    counters: BTreeMap<&'static str, u64>,
}

impl Engine {
    /// An engine that holds nothing yet.
    #[must_use]
    pub fn new(me: NodeId, limits: Limits) -> Self {
        Self {
            me,
            endpoint: Eid::node(&me, NODE_SERVICE).ok(),
            now: Instant::ZERO,
            wall: None,
            sessions: Sessions::default(),
            holdings: Holdings::default(),
            names: Names::default(),
            noticed: Noticed::new(limits.notices_ahead_max),
            carried: SumTree::default(),
            seen: Seen::new(limits.seen_ids_max),
            told: Told::default(),
            repeats: Repeats::default(),
            alerts: Alerts::default(),
            quotas: Quotas::new(limits.quota.clone()),
            router: Router::new(me, limits.routing),
            custody: Custody::default(),
            pace: Pace::default(),
            copies: CopyBudget::default(),
            victims: Victims::default(),
            victims_from: Digest([0; 32]),
            no_victims_until: Instant::ZERO,
            announce_at: None,
            sweep: Sweep::default(),
            cutting: BTreeSet::new(),
            uncut: BTreeSet::new(),
            wanted_blobs: BTreeSet::new(),
            elsewhere: Elsewhere::new(limits.peer_items_max),
            pending: BTreeMap::new(),
            pending_items: BTreeMap::new(),
            next_ticket: 0,
            comparisons_begun: 0,
            seed: [0; 32],
            actions: VecDeque::new(),
            unsaid: Overlay::default(),
            counters: BTreeMap::new(),
            limits,
        }
    }

    /// Takes randomness for what neighbours must not guess: what makes sets look alike by chance is drawn from it anew for
    /// each comparison.
    pub const fn set_seed(&mut self, seed: [u8; 32]) {
        self.seed = seed;
    }

    /// Takes note of a bundle that the catalogue shows at start, before the first event: all of them, each once. Nothing
    /// is decided yet, since a decision about one that was not told yet would leave the books wrong.
    pub fn restore(&mut self, now: Instant, id: &Digest, record: &BundleRecord) {
        self.now = self.now.max(now);
        self.quotas.add(record);
        self.carried.insert(&id.0);
        self.sweep.note_insert(record.expires());
    }

    /// Takes note of one event. `now` never goes back; if it does, the later time counts.
    pub fn handle(&mut self, now: Instant, event: Event, catalogue: &dyn Catalogue) {
        self.now = self.now.max(now);
        match event {
            Event::LinkUp { link, peer, mode, hello, groups, properties } => {
                self.link_up(link, Opening { peer, mode, hello, groups, properties });
            }
            Event::LinkDown { link } => self.link_gone(link),
            Event::Bytes { link, bytes } => self.handle_bytes(link, &bytes, catalogue),
            Event::Groups { peer, groups } => self.add_groups(&peer, &groups),
            Event::Hold { item, bytes, scope, place } => self.hold(item, bytes, scope, place),
            Event::Drop { item } => self.drop_item(item),
            Event::Carry { id, record } => {
                if record.is_own() {
                    // What others sent gives way; what this node made is carried whether there is room or not.
                    self.make_room(&record, catalogue);
                }
                self.quotas.add(&record);
                self.carry(id, &record);
            }
            Event::Lost { id, record } => {
                self.strike(&id, &record);
                self.retract(&id);
            }
            Event::Gone { id, record } => {
                self.strike(&id, &record);
                // What took its place is here: it need not come again.
                self.seen.insert(&id);
            }
            Event::Whole { id } => self.cannot_cut(id, catalogue),
            Event::Noticed { by, ids } => self.heed(&by, ids, catalogue),
            Event::Seen { id } => {
                self.seen.insert(&id);
            }
            Event::PeerHas { peer, item } => {
                self.elsewhere.note(peer, item);
            }
            Event::WantBlob { id } => self.want_blob(id),
            Event::Taken { ticket, outcome } => self.handle_taken(ticket, outcome, catalogue),
            Event::Acknowledge { link, item } => {
                if let Some(session) = self.sessions.change(&link) {
                    session.meet.ack(item);
                }
            }
            Event::Withdraw { link, item } => self.withdraw(link, item),
            Event::Renew => {
                let live = self.sessions.iter().filter(|(_, session)| session.mode == Mode::Live);
                for link in live.map(|(link, _)| *link).collect::<Vec<_>>() {
                    self.close(link, CloseReason::Renewed);
                }
            }
            Event::Clock { wall_s } => self.wall = wall_s.map(|wall_s| (self.now, wall_s)),
            Event::Standing { node, community, earned } => self.quotas.standing(node, community, earned),
            Event::Plan { plan } => {
                self.router.set_plan(plan);
                self.review_all(catalogue);
            }
            Event::Tick => {}
        }
        self.tend(catalogue);
    }

    /// The next thing to do; drain to `None` after every [`Engine::handle`] and [`Engine::poll_transmit`].
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front()?;
        if let Action::Update { id, .. } | Action::Forget { id, .. } = &action {
            self.unsaid.shown(id);
        }
        Some(action)
    }

    /// The next thing to send on a link that can send now. Payloads are handles: the caller reads them.
    pub fn poll_transmit(&mut self, link: LinkId, catalogue: &dyn Catalogue) -> Option<Transmit> {
        loop {
            self.sessions.read(link);
            self.compare_on(link, catalogue);
            // Offers make room for more, or show that the peer has none: then it is not waited for.
            if self.offer_ready(link, catalogue) {
                self.compare_on(link, catalogue);
            }
            // What both ends turn out to have is settled without a word.
            self.hear_meet(link, catalogue);
            if let Some(transmit) = self.transmit(link) {
                self.sessions.note(link);
                return Some(transmit);
            }
            // Settling may have made room for another offer; what is settled is not offered again, so this ends.
            if !self.sessions.has_news(link) {
                return None;
            }
        }
    }

    fn transmit(&mut self, link: LinkId) -> Option<Transmit> {
        let session = self.sessions.quietly(&link)?;
        let transmit = session.meet.poll_transmit()?;
        if let Transmit::Chunk { item, total, offset, len } = &transmit {
            session.sent_bytes = session.sent_bytes.saturating_add(*len);
            if item.topic == Topic::Bundle && offset.saturating_add(*len) >= *total {
                session.giving.sent(&item.id);
            }
        }
        Some(transmit)
    }

    /// The links on which [`Engine::poll_transmit`] may have something, in ascending order; no more than are up. On the
    /// others it has nothing until the next [`Engine::handle`], so a caller with many links need not ask.
    pub fn links_with_news(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.sessions.news()
    }

    /// Whether [`Engine::poll_transmit`] may have something for a link; see [`Engine::links_with_news`].
    #[must_use]
    pub fn has_news(&self, link: LinkId) -> bool {
        self.sessions.has_news(link)
    }

    /// Whether nothing that came over a link waits to become durable. `true` for an unknown link.
    #[must_use]
    pub fn has_taken_all(&self, link: LinkId) -> bool {
        self.sessions.get(&link).is_none_or(|session| session.taking == 0)
    }

    /// Age in milliseconds that a carried bundle has to be given when it is sent on this link
    /// ([`Bundle::aged_by`](cairn_bundle::Bundle::aged_by)), so that it has the size that was offered.
    #[must_use]
    pub fn age_to_add(&self, link: LinkId, id: &Digest, catalogue: &dyn Catalogue) -> u64 {
        let Some(session) = self.sessions.get(&link) else { return 0 };
        self.record(id, catalogue).map_or(0, |record| record.age_gained(session.since))
    }

    /// Items of a link that were refused so far.
    #[must_use]
    pub fn refused(&self, link: LinkId) -> u64 {
        self.sessions.get(&link).map_or(0, |session| session.refused)
    }

    /// When [`Event::Tick`] is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let live = self.sessions.values().filter(|session| session.mode == Mode::Live);
        live.map(Session::next_due).chain(self.announce_at).chain(self.sweep.next_due()).min()
    }

    /// Whether a link has nothing to send, to wait for, or to make durable. `true` for an unknown link.
    #[must_use]
    pub fn is_idle(&self, link: LinkId) -> bool {
        self.sessions.get(&link).is_none_or(Session::is_idle)
    }

    /// The peers that are met right now, with how they are met.
    pub fn links(&self) -> impl Iterator<Item = (LinkId, NodeId, Mode)> + '_ {
        self.sessions.iter().map(|(link, session)| (*link, session.peer, session.mode))
    }

    /// Number of bundles carried.
    #[must_use]
    pub fn bundles_carried(&self) -> u64 {
        u64::from(self.carried.count())
    }

    /// What is carried, with what is on its way to the disk.
    #[must_use]
    pub const fn used(&self) -> Amount {
        self.quotas.used()
    }

    /// Whether this node may make so much more: what it made itself and still carries never gives way, so it has to stay
    /// within what the store has for bundles. Its host asks before it takes an order that it could not keep.
    #[must_use]
    pub fn has_room_for_own(&self, more: Amount) -> bool {
        self.own().plus(more).is_within(self.limits.quota.total)
    }

    /// What this node made itself and still carries.
    #[must_use]
    pub const fn own(&self) -> Amount {
        self.quotas.own()
    }

    /// How many copies of a new bundle of this node may be under way at a time.
    #[must_use]
    pub fn copy_budget(&self, class: Class) -> u8 {
        if class == Class::Alert {
            return self.copies.budget(class);
        }
        // What is usual in a network of this size, times what was learned of deliveries and full stores.
        let usual = (self.router.known_nodes() / NODES_PER_COPY).clamp(COPIES_USUAL_MIN, COPIES_USUAL_MAX);
        let learned = usize::from(self.copies.budget(class));
        let scaled = usual.saturating_mul(learned) / usize::from(CopyBudget::FIRST);
        u8::try_from(scaled.clamp(usize::from(CopyBudget::MIN), usize::from(CopyBudget::MAX)))
            .unwrap_or(CopyBudget::MIN)
    }

    /// Whether an item is held, carried, or was delivered.
    #[must_use]
    pub fn has(&self, item: &Item, catalogue: &dyn Catalogue) -> bool {
        match item.topic {
            Topic::Bundle => self.seen.contains(&item.id) || self.record(&item.id, catalogue).is_some(),
            // A notice that had to go for newer ones would come back at every meet, and take the place of a newer one.
            Topic::Notice => self.holdings.contains(item) || self.seen.contains(&item.id),
            Topic::Ledger | Topic::Board | Topic::Blob => self.holdings.contains(item),
        }
    }

    /// Refusals and other counted events by name, since start.
    #[must_use]
    pub const fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters
    }

    /// Why a carried bundle is held or given, and where it would go.
    #[must_use]
    pub fn explain(&self, record: &BundleRecord) -> Explanation {
        self.router.explain(self.now, self.wall_s(), &self.question(record))
    }

    /// What was learned of encounters, for [`Engine::restore_routing`] after a restart.
    #[must_use]
    pub fn routing_snapshot(&self) -> Vec<u8> {
        self.router.snapshot()
    }

    /// Takes what an earlier life learned of encounters.
    ///
    /// # Errors
    /// [`SnapshotError`]: it is damaged; the engine starts to learn anew.
    pub fn restore_routing(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.router.restore(bytes)
    }

    /// Seconds since 2020-01-01 UTC by the wall clock, counted on from when it was last read.
    fn wall_s(&self) -> Option<u64> {
        self.wall.map(|(at, wall_s)| wall_s.saturating_add((self.now - at) / 1_000))
    }

    /// The record of a bundle as it was last decided.
    fn record(&self, id: &Digest, catalogue: &dyn Catalogue) -> Option<BundleRecord> {
        self.unsaid.over(catalogue).record(id)
    }

    fn count(&mut self, name: &'static str) {
        let counter = self.counters.entry(name).or_default();
        *counter = counter.saturating_add(1);
    }

    fn close(&mut self, link: LinkId, reason: CloseReason) {
        self.link_gone(link);
        self.actions.push_back(Action::Close { link, reason });
    }

    fn link_gone(&mut self, link: LinkId) {
        let Some(session) = self.sessions.remove(&link) else { return };
        if self.custody.link_down(link) {
            self.look_again_elsewhere(link);
        }
        match session.mode {
            Mode::Live if session.giving.is_waiting() => {
                self.pace.broke(self.now, session.peer, session.given_bytes, session.sent_bytes);
            }
            Mode::Live => self.pace.held(&session.peer, session.given_bytes),
            Mode::Carried => {}
        }
        let met_still =
            self.sessions.values().any(|other| other.peer == session.peer && other.mode == Mode::Live);
        if !met_still && session.mode == Mode::Live {
            self.router.link_down(self.now, self.wall_s(), &session.peer);
        }
    }

    fn withdraw(&mut self, link: LinkId, item: Item) {
        let Some(session) = self.sessions.change(&link) else { return };
        session.meet.withdraw(item);
        if item.topic == Topic::Bundle {
            if let Some(offered) = session.giving.answered(&item.id) {
                session.room.withdrawn(offered.bytes);
            }
            self.custody.settle(link, &item.id);
        }
    }

    fn want_blob(&mut self, id: Digest) {
        let item = Item { topic: Topic::Blob, id };
        if self.holdings.contains(&item) || !self.wanted_blobs.insert(id) {
            return;
        }
        self.sessions.change_each(|_, session| session.request_spare(item));
    }

    fn learn_peer_item(&mut self, peer: NodeId, item: Item) {
        if self.elsewhere.note(peer, item) {
            self.actions.push_back(Action::PeerHas { peer, item });
        }
    }

    /// Tokens came back that other peers may get.
    fn look_again_elsewhere(&mut self, link: LinkId) {
        let now = self.now;
        self.sessions.change_each(|of, session| {
            if of != link && session.mode == Mode::Live {
                session.look_again(now);
            }
            // Nothing yet: it is time that brings the look.
            false
        });
    }
}

/// Known nodes for each copy of a bundle, and the bounds of that: what the scenes of `routing/trial` needed.
const NODES_PER_COPY: usize = 7;
const COPIES_USUAL_MIN: usize = 4;
const COPIES_USUAL_MAX: usize = 16;

/// What a full node says.
const FULL: RefuseReason = RefuseReason::Full;
