//! The state machine in the middle: it routes events to the parts that do the work.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use cairn_bundle::{Bundle, Digest, Eid, NodeId};
use cairn_link::{Hello, Item, MeetEvent, MeetLimits, Mode, RefuseReason, Topic, Transmit};

use crate::bundles::{BundleRecord, Bundles, offered_to};
use crate::event::{Action, CloseReason, Event, LinkId, Ticket};
use crate::holdings::Holdings;
use crate::seen::Seen;
use crate::session::Session;
use crate::time::Instant;

/// The service that stands for the node itself in a previous-node block.
const NODE_SERVICE: &str = "meet";

/// What a node is willing to hold and do, whatever is sent to it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Limits of one meet.
    pub meet: MeetLimits,
    /// Limits of the bundle decoder.
    pub bundle: cairn_bundle::Limits,
    /// Bytes of bundles carried in all.
    pub bundle_bytes_max: u64,
    /// Bytes of bundles carried for one neighbour.
    pub neighbour_bytes_max: u64,
    /// Ids of past bundles that are remembered.
    pub seen_ids_max: usize,
    /// Items per peer that are remembered as being there.
    pub peer_items_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            meet: MeetLimits::default(),
            bundle: cairn_bundle::Limits::default(),
            bundle_bytes_max: 512 << 20,
            neighbour_bytes_max: 256 << 20,
            seen_ids_max: 100_000,
            peer_items_max: 100_000,
        }
    }
}

/// An item that the caller is making durable, and the links that wait for it.
#[derive(Debug)]
struct Pending {
    item: Item,
    links: Vec<LinkId>,
    /// Set for a bundle that will be carried on.
    record: Option<BundleRecord>,
}

/// The store-and-forward engine of one node.
#[derive(Debug)]
pub struct Engine {
    me: NodeId,
    limits: Limits,
    now: Instant,
    sessions: BTreeMap<LinkId, Session>,
    holdings: Holdings,
    bundles: Bundles,
    seen: Seen,
    wanted_blobs: BTreeSet<Digest>,
    peer_items: BTreeMap<NodeId, BTreeSet<Item>>,
    pending: BTreeMap<Ticket, Pending>,
    pending_items: BTreeMap<Item, Ticket>,
    next_ticket: Ticket,
    actions: VecDeque<Action>,
    counters: BTreeMap<&'static str, u64>,
}

impl Engine {
    /// An engine that holds nothing yet.
    #[must_use]
    pub fn new(me: NodeId, limits: Limits) -> Self {
        let seen = Seen::new(limits.seen_ids_max);
        Self {
            me,
            limits,
            now: Instant::ZERO,
            sessions: BTreeMap::new(),
            holdings: Holdings::default(),
            bundles: Bundles::default(),
            seen,
            wanted_blobs: BTreeSet::new(),
            peer_items: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_items: BTreeMap::new(),
            next_ticket: 0,
            actions: VecDeque::new(),
            counters: BTreeMap::new(),
        }
    }

    /// Takes note of one event. `now` never goes back; if it does, the later time counts.
    pub fn handle(&mut self, now: Instant, event: Event) {
        self.now = self.now.max(now);
        match event {
            Event::LinkUp { link, peer, mode, hello, groups } => {
                self.link_up(link, peer, mode, hello, groups);
            }
            Event::LinkDown { link } => {
                self.sessions.remove(&link);
            }
            Event::Bytes { link, bytes } => self.handle_bytes(link, &bytes),
            Event::Groups { peer, groups } => self.add_groups(&peer, &groups),
            Event::Hold { item, bytes, scope } => {
                self.wanted_blobs.remove(&item.id);
                if self.holdings.add(item, bytes, scope) {
                    self.offer_holding(item);
                }
            }
            Event::Carry { id, record } => self.carry(id, record),
            Event::Seen { id } => {
                self.seen.insert(&id);
            }
            Event::PeerHas { peer, item } => {
                self.remember_peer_item(peer, item);
            }
            Event::WantBlob { id } => self.want_blob(id),
            Event::Taken { ticket, outcome } => self.handle_taken(ticket, outcome),
            Event::Acknowledge { link, item } => {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.meet.ack(item);
                }
            }
            Event::Withdraw { link, item } => {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.meet.withdraw(item);
                }
            }
            Event::Renew => {
                let live = self.sessions.iter().filter(|(_, session)| session.mode == Mode::Live);
                for link in live.map(|(link, _)| *link).collect::<Vec<_>>() {
                    self.close(link, CloseReason::Renewed);
                }
            }
            Event::Tick => {}
        }
        self.expire();
    }

    /// The next thing to do; drain to `None` after every [`Engine::handle`].
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing to send on a link that can send now. Payloads are handles: the caller reads them.
    pub fn poll_transmit(&mut self, link: LinkId) -> Option<Transmit> {
        self.sessions.get_mut(&link)?.meet.poll_transmit()
    }

    /// Whether nothing that came over a link waits to become durable. `true` for an unknown link.
    #[must_use]
    pub fn has_taken_all(&self, link: LinkId) -> bool {
        self.sessions.get(&link).is_none_or(|session| session.taking == 0)
    }

    /// Age in milliseconds that a carried bundle has to be given when it is sent on this link
    /// ([`Bundle::aged_by`]), so that it has the size that was offered.
    #[must_use]
    pub fn age_to_add(&self, link: LinkId, id: &Digest) -> u64 {
        let since = self.sessions.get(&link).map(|session| session.since);
        self.bundles.get(id).zip(since).map_or(0, |(record, since)| record.age_gained(since))
    }

    /// Items of a link that were refused so far.
    #[must_use]
    pub fn refused(&self, link: LinkId) -> u64 {
        self.sessions.get(&link).map_or(0, |session| session.refused)
    }

    /// When [`Event::Tick`] is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.bundles.next_expiry()
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
    pub fn bundles_carried(&self) -> usize {
        self.bundles.len()
    }

    /// What is known of a carried bundle.
    #[must_use]
    pub fn bundle(&self, id: &Digest) -> Option<&BundleRecord> {
        self.bundles.get(id)
    }

    /// Whether an item is held, carried, or was delivered.
    #[must_use]
    pub fn has(&self, item: &Item) -> bool {
        match item.topic {
            Topic::Bundle => self.seen.contains(&item.id),
            Topic::Notice | Topic::Ledger | Topic::Board | Topic::Blob => self.holdings.contains(item),
        }
    }

    /// Refusals and other counted events by name, since start.
    #[must_use]
    pub const fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters
    }

    fn count(&mut self, name: &'static str) {
        let counter = self.counters.entry(name).or_default();
        *counter = counter.saturating_add(1);
    }

    fn link_up(&mut self, link: LinkId, peer: NodeId, mode: Mode, hello: Hello, groups: BTreeSet<u32>) {
        let mut session = Session::new(peer, mode, hello, groups, self.limits.meet, self.now);
        let known = self.peer_items.get(&peer).filter(|_| mode == Mode::Carried);
        let lacks = |item: &Item| known.is_none_or(|items| !items.contains(item));
        for (item, bytes) in self.holdings.visible(&peer, &session.groups.clone()) {
            if lacks(&item) {
                session.meet.offer(item, bytes);
            }
        }
        for (id, bytes) in self.bundles.offers(&peer, self.now) {
            let item = Item { topic: Topic::Bundle, id };
            if lacks(&item) {
                session.meet.offer(item, bytes);
            }
        }
        self.sessions.insert(link, session);
    }

    fn add_groups(&mut self, peer: &NodeId, groups: &BTreeSet<u32>) {
        for session in self.sessions.values_mut().filter(|session| session.peer == *peer) {
            let new: BTreeSet<u32> = groups.difference(&session.groups).copied().collect();
            if new.is_empty() {
                continue;
            }
            let known = self.peer_items.get(peer).filter(|_| session.mode == Mode::Carried);
            for (item, bytes) in self.holdings.visible(peer, &new) {
                if known.is_none_or(|items| !items.contains(&item)) {
                    session.meet.offer(item, bytes);
                }
            }
            session.groups.extend(new);
        }
    }

    fn offer_holding(&mut self, item: Item) {
        for session in self.sessions.values_mut() {
            if let Some(bytes) = self.holdings.visible_to(&item, &session.peer, &session.groups) {
                let known = self.peer_items.get(&session.peer).filter(|_| session.mode == Mode::Carried);
                if known.is_none_or(|items| !items.contains(&item)) {
                    session.meet.offer(item, bytes);
                }
            }
        }
    }

    fn carry(&mut self, id: Digest, record: BundleRecord) {
        let item = Item { topic: Topic::Bundle, id };
        for session in self.sessions.values_mut().filter(|session| offered_to(&record, &session.peer)) {
            session.meet.offer(item, record.bytes_at(session.since));
        }
        self.seen.insert(&id);
        self.bundles.insert(id, record);
    }

    fn want_blob(&mut self, id: Digest) {
        let item = Item { topic: Topic::Blob, id };
        if self.holdings.contains(&item) || !self.wanted_blobs.insert(id) {
            return;
        }
        for session in self.sessions.values_mut() {
            session.request_spare(item);
        }
    }

    fn handle_bytes(&mut self, link: LinkId, bytes: &[u8]) {
        // A meet takes this much between two drains of its events.
        for piece in bytes.chunks(65_536) {
            let Some(session) = self.sessions.get_mut(&link) else { return };
            let result = session.meet.handle_bytes(piece);
            while let Some(event) = self.sessions.get_mut(&link).and_then(|session| session.meet.poll_event())
            {
                self.handle_meet(link, event);
            }
            if let Err(error) = result {
                self.count("links closed: protocol broken");
                self.close(link, CloseReason::Protocol(error));
                return;
            }
        }
    }

    fn close(&mut self, link: LinkId, reason: CloseReason) {
        self.sessions.remove(&link);
        self.actions.push_back(Action::Close { link, reason });
    }

    fn handle_meet(&mut self, link: LinkId, event: MeetEvent) {
        let Some(peer) = self.sessions.get(&link).map(|session| session.peer) else { return };
        match event {
            MeetEvent::Peer(hello) if hello.node != peer => self.close(link, CloseReason::WrongNode),
            MeetEvent::Peer(hello) if hello.node == self.me => self.close(link, CloseReason::OwnIdentity),
            MeetEvent::Peer(hello) => {
                self.actions.push_back(Action::Hello { link, peer, hello: Box::new(hello) });
            }
            MeetEvent::Offered { item } => self.handle_offered(link, item),
            MeetEvent::Received { item, bytes, .. } => self.handle_received(link, peer, item, bytes),
            MeetEvent::Acked(item) => self.handle_acked(peer, item),
            MeetEvent::Refused { reason, .. } => self.count(match reason {
                RefuseReason::Full => "refused by a peer: it is full",
                RefuseReason::TooLarge => "refused by a peer: too large",
                RefuseReason::Invalid => "refused by a peer: not valid",
                RefuseReason::NotWanted => "refused by a peer: not wanted",
                RefuseReason::Gone => "refused by a peer: gone",
            }),
            MeetEvent::Bye => self.close(link, CloseReason::Bye),
            MeetEvent::Reconcile { .. }
            | MeetEvent::Room { .. }
            | MeetEvent::Routes { .. }
            | MeetEvent::Heights { .. } => self.count("talk of a peer that is not used"),
        }
    }

    fn handle_offered(&mut self, link: LinkId, item: Item) {
        if let Some(pending) = self.pending_items.get(&item).and_then(|ticket| self.pending.get_mut(ticket)) {
            // Another link brought it just now: this one is answered together with it.
            pending.links.push(link);
            self.taking(link, 1);
            return;
        }
        let held = self.has(&item);
        let wanted = match item.topic {
            Topic::Ledger | Topic::Bundle | Topic::Board => true,
            Topic::Blob => self.wanted_blobs.contains(&item.id),
            Topic::Notice => false,
        };
        if let Some(session) = self.sessions.get_mut(&link) {
            if held {
                session.meet.accepted(item);
            } else if wanted {
                session.meet.request(item);
            } else if item.topic == Topic::Notice {
                session.meet.refused(item, RefuseReason::NotWanted);
            } else {
                session.remember_spare(item.id);
            }
        }
    }

    fn handle_received(&mut self, link: LinkId, peer: NodeId, item: Item, bytes: Vec<u8>) {
        if self.has(&item) {
            // A second copy: the first one is durable already.
            self.count("second copies");
            self.settle(link, peer, item, Ok(()));
            return;
        }
        if let Some(pending) = self.pending_items.get(&item).and_then(|ticket| self.pending.get_mut(ticket)) {
            pending.links.push(link);
            self.taking(link, 1);
            return;
        }
        if item.topic == Topic::Bundle {
            self.handle_bundle(link, peer, item, &bytes);
        } else {
            let ticket = self.pend(link, item, None);
            self.actions.push_back(Action::Take { ticket, peer, item, bytes });
        }
    }

    fn handle_bundle(&mut self, link: LinkId, peer: NodeId, item: Item, bytes: &[u8]) {
        let bundle = match Bundle::decode(bytes, &self.limits.bundle) {
            Ok(bundle) if bundle.content_id() == item.id => bundle,
            Ok(_) | Err(_) => {
                self.count("bundles refused: not valid");
                self.settle(link, peer, item, Err(RefuseReason::Invalid));
                return;
            }
        };
        let id = item.id;
        if bundle.destination().node_id() == Some(self.me) {
            let ticket = self.pend(link, item, None);
            self.actions.push_back(Action::Deliver { ticket, id, bundle: Box::new(bundle) });
            return;
        }
        // It is kept as it will be sent on: this node is the previous one, and one hop is used up.
        let previous = Eid::node(&self.me, NODE_SERVICE).ok();
        let Some(onward) = previous.and_then(|previous| bundle.forwarded_by(&previous, 0).ok()) else {
            self.count("bundles refused: too many hops");
            self.settle(link, peer, item, Err(RefuseReason::NotWanted));
            return;
        };
        let onward_bytes = onward.encode();
        let record = BundleRecord {
            destination: bundle.destination().node_id(),
            source: bundle.source().node_id(),
            neighbour: Some(peer),
            bytes: u64::try_from(onward_bytes.len()).unwrap_or(u64::MAX),
            age_ms: bundle.age_ms(),
            remaining_ms: bundle.remaining_ms(None, 0).unwrap_or_else(|| bundle.primary().lifetime_ms),
            kept_since: self.now,
        };
        if let Err(reason) = self.may_carry(&peer, &record) {
            self.settle(link, peer, item, Err(reason));
            return;
        }
        let ticket = self.pend(link, item, Some(record));
        self.actions.push_back(Action::Keep { ticket, id, bytes: onward_bytes });
    }

    fn may_carry(&mut self, peer: &NodeId, record: &BundleRecord) -> Result<(), RefuseReason> {
        if record.remaining_ms == 0 {
            self.count("bundles refused: expired");
            return Err(RefuseReason::NotWanted);
        }
        let limits = &self.limits;
        let room =
            self.bundles.room_for(peer, record.bytes, limits.bundle_bytes_max, limits.neighbour_bytes_max);
        room.map_err(|_| {
            self.count("bundles refused: no room");
            RefuseReason::Full
        })
    }

    fn pend(&mut self, link: LinkId, item: Item, record: Option<BundleRecord>) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.pending.insert(ticket, Pending { item, links: Vec::from([link]), record });
        self.pending_items.insert(item, ticket);
        self.taking(link, 1);
        ticket
    }

    fn taking(&mut self, link: LinkId, more: i32) {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.taking = session.taking.saturating_add_signed(more);
        }
    }

    fn handle_taken(&mut self, ticket: Ticket, outcome: Result<(), RefuseReason>) {
        let Some(Pending { item, links, record }) = self.pending.remove(&ticket) else { return };
        self.pending_items.remove(&item);
        if outcome.is_ok() && item.topic == Topic::Bundle {
            match record {
                Some(record) => self.carry(item.id, record),
                None => {
                    self.seen.insert(&item.id);
                }
            }
        }
        for link in links {
            self.taking(link, -1);
            if let Some(peer) = self.sessions.get(&link).map(|session| session.peer) {
                self.settle(link, peer, item, outcome);
            }
        }
    }

    /// Answers a peer for an item that it sent.
    fn settle(&mut self, link: LinkId, peer: NodeId, item: Item, outcome: Result<(), RefuseReason>) {
        let Some(session) = self.sessions.get_mut(&link) else { return };
        match outcome {
            Ok(()) => {
                session.meet.accepted(item);
                if session.mode == Mode::Carried {
                    self.actions.push_back(Action::OweAck { peer, item });
                }
                self.learn_peer_item(peer, item);
            }
            Err(reason) => {
                session.refused = session.refused.saturating_add(1);
                session.meet.refused(item, reason);
            }
        }
    }

    fn handle_acked(&mut self, peer: NodeId, item: Item) {
        let delivered = item.topic == Topic::Bundle
            && self.bundles.get(&item.id).is_some_and(|record| record.destination == Some(peer));
        if delivered {
            self.forget(item.id, false);
        } else if self.has(&item) {
            self.learn_peer_item(peer, item);
        }
    }

    fn learn_peer_item(&mut self, peer: NodeId, item: Item) {
        if self.remember_peer_item(peer, item) {
            self.actions.push_back(Action::PeerHas { peer, item });
        }
    }

    fn remember_peer_item(&mut self, peer: NodeId, item: Item) -> bool {
        let items = self.peer_items.entry(peer).or_default();
        items.len() < self.limits.peer_items_max && items.insert(item)
    }

    fn forget(&mut self, id: Digest, expired: bool) {
        if !self.bundles.remove(&id) {
            return;
        }
        let item = Item { topic: Topic::Bundle, id };
        for session in self.sessions.values_mut() {
            session.meet.withdraw(item);
        }
        self.count(if expired { "bundles expired" } else { "bundles handed over" });
        self.actions.push_back(Action::Forget { id, expired });
    }

    fn expire(&mut self) {
        for id in self.bundles.expired(self.now) {
            self.forget(id, true);
        }
    }
}
