//! Links and what is said on them.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use cairn_bundle::NodeId;
use cairn_link::{Item, MeetEvent, Mode, RefuseReason, Topic};

use super::Engine;
use crate::catalogue::Catalogue;
use crate::event::{Action, CloseReason, LinkId, Scope};
use crate::room::Room;
use crate::session::{Opening, Session};
use crate::streams::Place;

/// A meet takes this much between two drains of its events.
const PIECE_BYTES: usize = 65_536;
/// How often sets are compared anew and what was held back is looked at again while a link stays up.
pub(super) const REVIEW_MS: u64 = 5 * 60 * 1_000;
/// Most claims of routes that are told at a time.
const CLAIMS_MAX: usize = 512;

/// Topics that are listed when a link comes up. On a live link all others are compared as sets; blobs are few, and only
/// those that somebody looks for are fetched.
const fn listed(mode: Mode) -> &'static [Topic] {
    match mode {
        Mode::Live => &[Topic::Blob],
        Mode::Carried => &[Topic::Notice, Topic::Ledger, Topic::Board, Topic::Blob],
    }
}

impl Engine {
    pub(super) fn link_up(&mut self, link: LinkId, mut opening: Opening) {
        let (peer, mode) = (opening.peer, opening.mode);
        opening.properties = self.pace.complete(&peer, opening.properties);
        let review_at = self.now.plus_ms(REVIEW_MS);
        let quota = &self.limits.quota;
        let room = Room::for_quota(quota.neighbour.bytes.min(quota.total.bytes));
        let mut session = Session::new(opening, self.limits.meet, room, self.now, review_at);
        if mode == Mode::Live && !self.sessions.values().any(|other| other.peer == peer && other.mode == mode)
        {
            self.router.link_up(self.now, self.wall_s(), peer, &session.properties);
            // What it had it may have lost since.
            self.told.forget_peer(&peer);
        }
        for topic in listed(mode) {
            for (item, bytes) in self.holdings.visible(*topic, &peer, &session.groups) {
                if mode == Mode::Live || !self.elsewhere.has(&peer, &item) {
                    session.meet.offer(item, bytes);
                }
            }
        }
        if mode == Mode::Carried {
            session.giving.walk();
        }
        self.sessions.insert(link, session);
        self.say_routes(link, &peer);
    }

    /// Tells a peer how soon this node expects to bring bundles to others, if that has changed.
    pub(super) fn say_routes(&mut self, link: LinkId, peer: &NodeId) {
        let revision = self.router.claims_revision();
        let told = self.sessions.get(&link).and_then(|session| session.claims_told);
        if told == Some(revision) {
            return;
        }
        let claims = self.router.claims_for(self.now, self.wall_s(), peer, CLAIMS_MAX);
        if let Some(session) = self.sessions.change(&link) {
            session.claims_told = Some(revision);
            session.meet.say_routes(&claims);
        }
    }

    pub(super) fn add_groups(&mut self, peer: &NodeId, groups: &BTreeSet<u32>) {
        self.sessions.change_each(|_, session| {
            let new: BTreeSet<u32> = groups.difference(&session.groups).copied().collect();
            if session.peer != *peer || new.is_empty() {
                return false;
            }
            for topic in Topic::ALL {
                // What is going to be compared need not be listed.
                let compared =
                    session.comparisons.get(&topic).is_some_and(|comparison| !comparison.is_begun());
                if compared {
                    continue;
                }
                for (item, bytes) in self.holdings.visible(topic, peer, &new) {
                    if session.mode == Mode::Live || !self.elsewhere.has(peer, &item) {
                        session.meet.offer(item, bytes);
                    }
                }
            }
            session.groups.extend(new);
            true
        });
    }

    pub(super) fn hold(&mut self, item: Item, bytes: u64, scope: Scope, place: Option<Place>) {
        self.wanted_blobs.remove(&item.id);
        if !self.holdings.add(item, bytes, scope, place) {
            return;
        }
        self.sessions.change_each(|_, session| {
            let visible = self.holdings.visible_to(&item, &session.peer, &session.groups);
            let known = session.mode == Mode::Carried && self.elsewhere.has(&session.peer, &item);
            visible.filter(|_| !known).is_some_and(|bytes| {
                session.meet.offer(item, bytes);
                true
            })
        });
    }

    pub(super) fn drop_item(&mut self, item: Item) {
        if !self.holdings.remove(&item) {
            return;
        }
        self.elsewhere.forget(&item);
        self.sessions.change_each(|_, session| {
            session.meet.withdraw(item);
            true
        });
    }

    pub(super) fn handle_bytes(&mut self, link: LinkId, bytes: &[u8], catalogue: &dyn Catalogue) {
        for piece in bytes.chunks(PIECE_BYTES) {
            let Some(session) = self.sessions.change(&link) else { return };
            let result = session.meet.handle_bytes(piece);
            self.hear_meet(link, catalogue);
            if let Err(error) = result {
                self.count("links closed: protocol broken");
                self.close(link, CloseReason::Protocol(error));
                return;
            }
        }
    }

    pub(super) fn hear_meet(&mut self, link: LinkId, catalogue: &dyn Catalogue) {
        while let Some(event) = self.sessions.quietly(&link).and_then(|session| session.meet.poll_event()) {
            self.sessions.note(link);
            self.handle_meet(link, event, catalogue);
        }
    }

    fn handle_meet(&mut self, link: LinkId, event: MeetEvent, catalogue: &dyn Catalogue) {
        let Some((peer, mode)) = self.sessions.get(&link).map(|session| (session.peer, session.mode)) else {
            return;
        };
        match event {
            MeetEvent::Peer(hello) if hello.node != peer => self.close(link, CloseReason::WrongNode),
            MeetEvent::Peer(hello) if hello.node == self.me => self.close(link, CloseReason::OwnIdentity),
            MeetEvent::Peer(hello) => {
                self.actions.push_back(Action::Hello { link, peer, hello: Box::new(hello) });
                if mode == Mode::Live {
                    self.begin_comparing(link);
                    self.announce_room(link);
                }
            }
            MeetEvent::Offered { item } => self.handle_offered(link, item, catalogue),
            MeetEvent::Received { item, bytes, copies } => {
                self.handle_received(link, peer, item, bytes, copies, catalogue);
            }
            MeetEvent::Acked(item) => self.handle_acked(link, peer, mode, item, catalogue),
            MeetEvent::Refused { item, reason } => self.handle_refused(link, peer, item, reason),
            MeetEvent::Reconcile { topic, message } => self.hear_comparison(link, topic, message),
            MeetEvent::Room { bytes } => {
                if let Some(session) = self.sessions.change(&link) {
                    session.room.heard(bytes);
                    session.giving.resume();
                }
            }
            MeetEvent::Routes { claims } => {
                self.router.heard_claims(self.now, &peer, &claims);
                if let Some(session) = self.sessions.change(&link).filter(|_| mode == Mode::Live) {
                    session.look_again(self.now);
                }
            }
            MeetEvent::Heights { topic, entries } => self.hear_heights(link, topic, entries),
            MeetEvent::Bye => self.close(link, CloseReason::Bye),
        }
    }

    fn handle_refused(&mut self, link: LinkId, peer: NodeId, item: Item, reason: RefuseReason) {
        self.count(match reason {
            RefuseReason::Full => "refused by a peer: it is full",
            RefuseReason::TooLarge => "refused by a peer: too large",
            RefuseReason::Invalid => "refused by a peer: not valid",
            RefuseReason::NotWanted => "refused by a peer: not wanted",
            RefuseReason::Gone => "refused by a peer: gone",
        });
        if item.topic != Topic::Bundle {
            return;
        }
        let tokens_back = self.custody.settle(link, &item.id) > 0;
        let Some(session) = self.sessions.change(&link) else { return };
        let Some(offered) = session.giving.answered(&item.id) else { return };
        match reason {
            RefuseReason::Full => {
                session.room.refused_full(self.now, offered.bytes);
                session.giving.hold(item.id);
                session.look_again(self.repeats.note(self.now, &peer, &item.id));
                if let Some(until) = session.room.paused_until(self.now) {
                    session.giving.pause();
                    session.resume_at(until);
                }
                self.copies.note_peer_full();
            }
            RefuseReason::TooLarge | RefuseReason::Invalid | RefuseReason::NotWanted => {
                session.room.withdrawn(offered.bytes);
                self.told.note(self.now, &peer, &item.id);
            }
            RefuseReason::Gone => session.room.withdrawn(offered.bytes),
        }
        if tokens_back {
            self.look_again_elsewhere(link);
        }
    }
}
