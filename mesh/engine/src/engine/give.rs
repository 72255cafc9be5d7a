//! Which bundles go to a peer, in which order, decided at the last moment.

use alloc::vec::Vec;

use cairn_bundle::Digest;
use cairn_link::{Item, Mode, Topic};

use super::Engine;
use crate::catalogue::Catalogue;
use crate::event::{Action, LinkId};
use crate::pieces::piece_bytes;
use crate::record::BundleRecord;
use crate::routing::{Decision, Question, Why};

/// Most bundles that are cut for one contact: a peer that breaks contacts off makes work, but not without end.
const CUTS_MAX: u16 = 64;
/// Records that are read at a time for a peer that cannot answer.
const WALK_SLICE: usize = 256;

impl Engine {
    pub(super) fn question(&self, record: &BundleRecord) -> Question {
        Question {
            destination: record.destination,
            source: record.source,
            class: record.class,
            bytes: record.bytes,
            remaining_ms: record.remaining_at(self.now),
            held_ms: self.now - record.kept_since,
            copies: self.tokens(record),
            crowd: self.quotas.crowd(record),
        }
    }

    /// Puts a bundle in line for a peer, or notes that it is held back.
    pub(super) fn consider(&mut self, link: LinkId, id: Digest, record: &BundleRecord) {
        let Some(session) = self.sessions.get(&link) else { return };
        let peer = session.peer;
        let item = Item { topic: Topic::Bundle, id };
        let known = session.mode == Mode::Carried && self.elsewhere.has(&peer, &item);
        if known
            || !record.may_go_to(&peer)
            || record.destination == Some(self.me)
            || self.told.knows(self.now, &peer, &id)
        {
            return;
        }
        // A drop is on its way for long, and nothing in it comes again soon.
        let waits =
            (session.mode == Mode::Live).then(|| self.repeats.waits_until(self.now, &peer, &id)).flatten();
        if let Some(until) = waits {
            if let Some(session) = self.sessions.quietly(&link) {
                session.giving.hold(id);
                session.look_again(until);
            }
            return;
        }
        let decision = self.router.decide(self.now, self.wall_s(), &peer, &self.question(record));
        let Some(session) = self.sessions.quietly(&link) else { return };
        // A comparison waits until less is in line.
        let crowded = !session.giving.takes_more();
        match decision {
            Decision::Give { rank, why, .. } => session.giving.want(rank.0, id, takes_room(why)),
            Decision::Hold { .. } => session.giving.hold(id),
        }
        if crowded || matches!(decision, Decision::Give { .. }) {
            self.sessions.note(link);
        }
    }

    /// Offers what is ready, as far as the peer answers and has room.
    /// Whether there was something.
    pub(super) fn offer_ready(&mut self, link: LinkId, catalogue: &dyn Catalogue) -> bool {
        let mut some = false;
        self.walk(link, catalogue);
        while let Some((rank, id, _)) = self.sessions.quietly(&link).and_then(|session| session.giving.next())
        {
            let Some(record) = self.record(&id, catalogue).filter(|record| record.expires() > self.now)
            else {
                continue;
            };
            self.offer(link, rank, id, &record);
            some = true;
        }
        some
    }

    fn offer(&mut self, link: LinkId, rank: u64, id: Digest, record: &BundleRecord) {
        let Some(session) = self.sessions.get(&link) else { return };
        let (peer, since, mode) = (session.peer, session.since, session.mode);
        let all = self.question(record);
        // What is promised to others may yet be theirs.
        let free = all.copies.saturating_sub(self.custody.promised(self.now, &id));
        let question = Question { copies: free, ..all };
        let decision = self.router.decide(self.now, self.wall_s(), &peer, &question);
        let size = record.bytes_at(since);
        let cut = if self.uncut.contains(&id) {
            None
        } else {
            piece_bytes(record, &session.passage(self.limits.meet.item_bytes_max))
        };
        let Some(session) = self.sessions.quietly(&link) else { return };
        let Decision::Give { copies, why, .. } = decision else {
            session.giving.hold(id);
            return;
        };
        if let Some(piece_bytes) = cut.filter(|_| session.cuts < CUTS_MAX) {
            session.giving.hold(id);
            if self.cutting.insert(id) {
                session.cuts = session.cuts.saturating_add(1);
                self.actions.push_back(Action::Fragment { id, piece_bytes });
            }
            return;
        }
        if mode == Mode::Live && takes_room(why) && !session.room.allows(self.now, size) {
            session.giving.want(rank, id, true);
            session.giving.pause();
            return;
        }
        if mode == Mode::Live && !takes_room(why) && !session.room.allows_roomless(self.now) {
            session.giving.hold(id);
            return;
        }
        // At its destination a bundle needs no tokens: one is what goes without saying.
        let granted = if why == Why::Destination {
            1
        } else {
            self.custody.promise(self.now, link, &id, copies, all.copies)
        };
        let item = Item { topic: Topic::Bundle, id };
        if session.meet.offer_ranked(item, size, rank, granted) {
            session.giving.offered(id, size);
            session.room.offered(size);
        } else {
            self.custody.settle(link, &id);
        }
    }

    /// A peer that cannot answer gets what routing gives it, read slice by slice.
    fn walk(&mut self, link: LinkId, catalogue: &dyn Catalogue) {
        while let Some(start) = self.sessions.get(&link).and_then(|session| session.giving.walk_from()) {
            let slice = self.unsaid.over(catalogue).scan(&start, WALK_SLICE);
            let next = slice.last().filter(|_| slice.len() == WALK_SLICE).and_then(|(id, _)| id.successor());
            if let Some(session) = self.sessions.quietly(&link) {
                session.giving.walked(next);
            }
            for (id, record) in slice {
                self.consider(link, id, &record);
            }
        }
    }

    /// Looks again at what was held back for a peer.
    pub(super) fn review(&mut self, link: LinkId, catalogue: &dyn Catalogue) {
        let Some(held) = self.sessions.quietly(&link).map(|session| session.giving.take_held()) else {
            return;
        };
        for id in held {
            if let Some(record) = self.record(&id, catalogue) {
                self.consider(link, id, &record);
            }
        }
    }

    pub(super) fn review_all(&mut self, catalogue: &dyn Catalogue) {
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        for link in links {
            self.review(link, catalogue);
        }
    }

    /// Tells a peer how much more it may send, when that has changed enough.
    pub(super) fn announce_room(&mut self, link: LinkId) {
        let Some(session) = self.sessions.quietly(&link) else { return };
        let free = self.quotas.room_for_neighbour(&session.peer);
        if let Some(bytes) = session.room.to_announce(free) {
            session.meet.say_room(bytes);
            self.sessions.note(link);
        }
    }
}

/// Whether what is given for this reason has to find room in the peer's store. What is for the peer itself does not, and a
/// small alert drives out what is worth less.
const fn takes_room(why: Why) -> bool {
    !matches!(why, Why::Destination | Why::Alert)
}
