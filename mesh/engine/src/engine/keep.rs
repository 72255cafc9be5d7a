//! What is carried: taken in within quotas, evicted, expired, delivered, forgotten.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cairn_bundle::{Digest, NodeId};
use cairn_link::{Item, Mode, Topic};

use super::Engine;
use crate::catalogue::Catalogue;
use crate::event::{Action, Gone, LinkId};
use crate::eviction::{self, Score};
use crate::quota::{Amount, Exceeded};
use crate::record::BundleRecord;
use crate::session::Session;

/// Records that are looked at to find one worth less than a newcomer.
const VICTIMS_LOOKED_AT_MAX: usize = 1_024;
/// After a look that found too little, the next one waits so long.
const LOOK_REST_MS: u64 = 1_000;
/// Peers hear of room that was made after so long, of all of it at once.
const ANNOUNCE_MS: u64 = 1_000;

/// Whose bundles give way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Anybody,
    /// Only sources without standing.
    Strangers,
}

impl Engine {
    /// A bundle is durable here: counted already, from now on it is given to others.
    pub(super) fn carry(&mut self, id: Digest, record: &BundleRecord) {
        self.carried.insert(&id.0);
        self.sweep.note_insert(record.expires());
        // In a store that is half empty nobody looks for what is worth little.
        if !self.quotas.used().times(2).is_within(self.limits.quota.total) {
            self.note_victim(id, record);
        }
        if self.noticed.is_delivered(&id, record.destination.as_ref()) {
            self.forget(id, record, Gone::Delivered);
            return;
        }
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        for link in links {
            self.consider(link, id, record);
        }
    }

    /// Strikes a bundle from the books: its deletion is decided.
    pub(super) fn strike(&mut self, id: &Digest, record: &BundleRecord) {
        self.carried.remove(&id.0);
        self.quotas.remove(record);
        self.cutting.remove(id);
        self.uncut.remove(id);
        self.victims.forget(id);
        self.custody.forget(id);
        let item = Item { topic: Topic::Bundle, id: *id };
        self.elsewhere.forget(&item);
        self.sessions.change_each(|_, session| {
            // A comparison waits until less is in line.
            let crowded = !session.giving.takes_more();
            let offered = session.giving.forget(id);
            if let Some(offered) = &offered {
                session.room.withdrawn(offered.bytes);
            }
            session.meet.withdraw(item);
            offered.is_some() || crowded
        });
        if self.sessions.values().any(|session| session.mode == Mode::Live) {
            let at = self.now.plus_ms(ANNOUNCE_MS);
            self.announce_at.get_or_insert(at);
        }
    }

    pub(super) fn forget(&mut self, id: Digest, record: &BundleRecord, why: Gone) {
        self.strike(&id, record);
        match why {
            Gone::Expired => {
                self.count("bundles expired");
                self.note_outcome(record, false);
                self.seen.insert(&id);
            }
            Gone::Delivered => {
                self.count("bundles delivered elsewhere");
                self.note_outcome(record, true);
                self.seen.insert(&id);
            }
            // What was evicted may come again when there is room.
            Gone::Evicted => {
                self.count("bundles evicted");
                self.retract(&id);
            }
        }
        self.unsaid.note(id, None);
        self.actions.push_back(Action::Forget { id, record: record.clone(), why });
    }

    /// What is not here any more is not acknowledged any more: whoever brought it keeps its tokens.
    pub(super) fn retract(&mut self, id: &Digest) {
        let item = Item { topic: Topic::Bundle, id: *id };
        self.sessions.change_each(|_, session| session.meet.retract(item));
    }

    /// How the bundles of this node fare decides how many copies the next ones get.
    fn note_outcome(&mut self, record: &BundleRecord, delivered: bool) {
        if record.source == Some(self.me) {
            self.copies.note_outcome(delivered);
        }
    }

    /// The author of a notice has these bundles.
    pub(super) fn heed(&mut self, by: &NodeId, ids: Vec<Digest>, catalogue: &dyn Catalogue) {
        for id in ids {
            match self.record(&id, catalogue) {
                Some(record) if record.destination.as_ref() == Some(by) => {
                    self.forget(id, &record, Gone::Delivered);
                }
                Some(_) => self.count("delivery notices of others than the destination"),
                None => self.noticed.insert(id, *by),
            }
        }
    }

    pub(super) fn handle_acked(
        &mut self,
        link: LinkId,
        peer: NodeId,
        mode: Mode,
        item: Item,
        catalogue: &dyn Catalogue,
    ) {
        if item.topic != Topic::Bundle {
            if self.has(&item, catalogue) {
                self.learn_peer_item(peer, item);
            }
            return;
        }
        let promised = self.custody.settle(link, &item.id);
        let Some(session) = self.sessions.change(&link) else { return };
        let offered = session.giving.answered(&item.id);
        let sent = offered.is_some_and(|offered| offered.sent);
        if let Some(offered) = offered {
            if sent {
                session.room.taken(offered.bytes);
                session.given_bytes = session.given_bytes.saturating_add(offered.bytes);
            } else {
                session.room.withdrawn(offered.bytes);
            }
        }
        let Some(record) = self.record(&item.id, catalogue) else { return };
        if record.destination == Some(peer) {
            self.forget(item.id, &record, Gone::Delivered);
            return;
        }
        self.told.note(self.now, &peer, &item.id);
        if sent && mode == Mode::Live {
            self.repeats.note(self.now, &peer, &item.id);
        }
        if mode == Mode::Carried {
            self.learn_peer_item(peer, item);
        }
        // A peer that had it already got no tokens.
        if sent && promised > 0 {
            let copies = self.tokens(&record).saturating_sub(promised);
            self.retoken(item.id, &record, copies);
        } else if promised > 0 {
            self.look_again_elsewhere(link);
        }
    }

    /// A carried bundle has so many tokens from now on.
    pub(super) fn retoken(&mut self, id: Digest, record: &BundleRecord, copies: u8) -> BundleRecord {
        self.quotas.retoken(record, record.copies, copies);
        let handed_at = (copies == 0).then_some(self.now);
        let record = BundleRecord { copies, handed_at, ..record.clone() };
        self.note_victim(id, &record);
        self.unsaid.note(id, Some(record.clone()));
        self.actions.push_back(Action::Update { id, record: record.clone() });
        record
    }

    /// Copies that may be handed on now. The author's come back by half its usual number.
    pub(super) fn tokens(&self, record: &BundleRecord) -> u8 {
        // The budget walks over everything that is known of the network: asked for only where it counts.
        let renews = record.copies == 0 && record.is_own();
        record.tokens(self.now, if renews { self.copy_budget(record.class) / 2 } else { 0 })
    }

    /// Whether a newcomer has room, if need be in place of something worth less. Nothing gives way unless that is enough.
    pub(super) fn make_room(&mut self, record: &BundleRecord, catalogue: &dyn Catalogue) -> bool {
        let (missing, from) = match self.quotas.missing(record) {
            Ok(missing) if missing.is_zero() => return true,
            Ok(missing) => (missing, From::Anybody),
            // The share of strangers is theirs together: who floods gives way to who does not.
            Err(exceeded @ Exceeded::Strangers) if self.now < self.no_victims_until => {
                self.count(exceeded.counter());
                return false;
            }
            Err(Exceeded::Strangers) => (Amount::one(record.bytes), From::Strangers),
            Err(exceeded) => {
                self.count(exceeded.counter());
                return false;
            }
        };
        let (victims, freed) = self.gather_victims(self.score(record), missing, from, catalogue);
        if missing.is_within(freed) {
            for (id, old) in victims {
                self.forget(id, &old, Gone::Evicted);
            }
            return true;
        }
        for (id, old) in victims {
            self.note_victim(id, &old);
        }
        if let Err(exceeded) = self.quotas.check(record) {
            self.count(exceeded.counter());
        }
        false
    }

    /// Bundles that give way to one of such worth, enough of them if there are.
    fn gather_victims(
        &mut self,
        score: Score,
        missing: Amount,
        from: From,
        catalogue: &dyn Catalogue,
    ) -> (BTreeMap<Digest, BundleRecord>, Amount) {
        let (mut victims, mut freed) = (BTreeMap::new(), Amount::ZERO);
        let mut spared = Vec::new();
        let mut looked = self.now < self.no_victims_until;
        while !missing.is_within(freed) {
            if let Some(id) = self.victims.pop_worse_than(score) {
                let old = self.record(&id, catalogue).filter(|_| !victims.contains_key(&id));
                let Some(old) = old else { continue };
                let present = self.score(&old);
                let is_stranger = !old.source.is_some_and(|source| self.quotas.has_standing(&source));
                if from == From::Strangers && !is_stranger {
                    spared.push((id, present));
                } else if present.gives_way_to(score) {
                    freed = freed.plus(Amount::one(old.bytes));
                    victims.insert(id, old);
                } else {
                    // Its worth has changed since.
                    self.victims.offer(id, present);
                }
            } else if looked {
                break;
            } else {
                looked = true;
                self.look_for_victims(catalogue);
            }
        }
        for (id, present) in spared {
            self.victims.offer(id, present);
        }
        // A flood of newcomers does not make this node read its store over and over.
        if !missing.is_within(freed) && self.now >= self.no_victims_until {
            self.no_victims_until = self.now.plus_ms(LOOK_REST_MS);
        }
        (victims, freed)
    }

    fn look_for_victims(&mut self, catalogue: &dyn Catalogue) {
        let found = self.unsaid.over(catalogue).scan(&self.victims_from, VICTIMS_LOOKED_AT_MAX);
        self.victims_from = match found.last() {
            Some((last, _)) if found.len() == VICTIMS_LOOKED_AT_MAX => {
                last.successor().unwrap_or(Digest([0; 32]))
            }
            Some(_) | None => Digest([0; 32]),
        };
        for (id, record) in found {
            self.note_victim(id, &record);
        }
    }

    fn score(&self, record: &BundleRecord) -> Score {
        // Who has very much here is treated like who has more than a share. Not a neighbour that brought pieces: losing one
        // of them would lose the whole.
        let over =
            self.quotas.over(record).is_some() || (record.source.is_some() && self.quotas.crowd(record) > 1);
        eviction::score(record, &self.me, self.now, over)
    }

    fn note_victim(&mut self, id: Digest, record: &BundleRecord) {
        let score = self.score(record);
        self.victims.offer(id, score);
    }

    /// What time brings: bundles that expire, sets to be compared again.
    pub(super) fn tend(&mut self, catalogue: &dyn Catalogue) {
        self.copies.note_store(self.quotas.used().bytes, self.limits.quota.total.bytes);
        if self.sweep.is_due(self.now) {
            let outcome =
                self.sweep.slice(self.now, |start, max| self.unsaid.over(catalogue).scan(start, max));
            for (id, record) in outcome.expired {
                self.forget(id, &record, Gone::Expired);
            }
            for (id, record) in outcome.candidates {
                self.note_victim(id, &record);
            }
        }
        if self.announce_at.is_some_and(|at| at <= self.now) {
            self.announce_at = None;
            for link in self.live_links(|_| true) {
                self.announce_room(link);
            }
        }
        let now = self.now;
        for link in self.live_links(|session| session.next_due() <= now) {
            let Some(session) = self.sessions.change(&link) else { continue };
            if session.review_at <= now {
                self.renew_comparison(link, catalogue);
            } else if session.looks_now(now) {
                session.giving.resume();
                self.review(link, catalogue);
            }
            self.compare_on(link, catalogue);
        }
    }

    fn live_links(&self, which: impl Fn(&Session) -> bool) -> Vec<LinkId> {
        let live = self.sessions.iter().filter(|(_, session)| session.mode == Mode::Live && which(session));
        live.map(|(link, _)| *link).collect()
    }

    pub(super) fn cannot_cut(&mut self, id: Digest, catalogue: &dyn Catalogue) {
        if !self.cutting.remove(&id) {
            return;
        }
        if let Some(record) = self.record(&id, catalogue) {
            self.uncut.insert(id);
            let links: Vec<LinkId> = self.sessions.keys().copied().collect();
            for link in links {
                self.consider(link, id, &record);
            }
        }
    }
}
