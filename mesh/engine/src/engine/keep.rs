//! What is carried: taken in within quotas, evicted, expired, delivered, forgotten.

use alloc::vec::Vec;

use cairn_bundle::{Digest, NodeId};
use cairn_link::{Item, Mode, Topic};

use super::Engine;
use crate::catalogue::Catalogue;
use crate::event::{Action, Gone, LinkId};
use crate::eviction::{self, Score};
use crate::record::BundleRecord;

/// Records that are looked at to find one worth less than a newcomer.
const VICTIMS_LOOKED_AT_MAX: usize = 1_024;

impl Engine {
    /// A bundle is durable here: counted already, from now on it is given to others.
    pub(super) fn carry(&mut self, id: Digest, record: &BundleRecord, catalogue: &dyn Catalogue) {
        self.carried.insert(&id.0);
        self.sweep.note_insert(record.expires());
        self.note_victim(id, record);
        if self.noticed.is_delivered(&id, record.destination.as_ref()) {
            self.forget(id, record, Gone::Delivered);
            return;
        }
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        for link in links {
            self.consider(link, id, record);
        }
        let _ = catalogue;
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
        for session in self.sessions.values_mut() {
            session.giving.forget(id);
            session.meet.withdraw(item);
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
            Gone::Evicted => self.count("bundles evicted"),
        }
        self.unsaid.note(id, None);
        self.actions.push_back(Action::Forget { id, record: record.clone(), why });
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
        let tokens = self.custody.settle(link, &item.id, true);
        if let Some(session) = self.sessions.get_mut(&link)
            && let Some(bytes) = session.giving.answered(&item.id)
        {
            session.room.taken(bytes);
            session.given_bytes = session.given_bytes.saturating_add(bytes);
        }
        let Some(record) = self.record(&item.id, catalogue) else { return };
        if record.destination == Some(peer) {
            self.forget(item.id, &record, Gone::Delivered);
            return;
        }
        self.told.note(&peer, &item.id);
        if mode == Mode::Carried {
            self.learn_peer_item(peer, item);
        }
        if tokens > 0 {
            let copies = self.tokens(&record).saturating_sub(tokens);
            let handed_at = (copies == 0).then_some(self.now);
            let record = BundleRecord { copies, handed_at, ..record };
            self.note_victim(item.id, &record);
            self.unsaid.note(item.id, Some(record.clone()));
            self.actions.push_back(Action::Update { id: item.id, record });
        }
    }

    /// Copies that may be handed on now. The author's come back by half its usual number.
    pub(super) fn tokens(&self, record: &BundleRecord) -> u8 {
        record.tokens(self.now, self.copy_budget(record.class) / 2)
    }

    /// Whether a newcomer has room, if need be in place of something worth less.
    pub(super) fn make_room(&mut self, record: &BundleRecord, catalogue: &dyn Catalogue) -> bool {
        let score = self.score(record);
        let mut looked = false;
        loop {
            let exceeded = match self.quotas.check(record) {
                Ok(()) => return true,
                Err(exceeded) => exceeded,
            };
            if !exceeded.is_total() {
                self.count(exceeded.counter());
                return false;
            }
            if let Some(victim) = self.victims.pop_worse_than(score) {
                if let Some(old) = self.record(&victim, catalogue) {
                    self.forget(victim, &old, Gone::Evicted);
                }
                continue;
            }
            if looked {
                self.count(exceeded.counter());
                return false;
            }
            looked = true;
            self.look_for_victims(catalogue);
        }
    }

    fn look_for_victims(&mut self, catalogue: &dyn Catalogue) {
        for (id, record) in self.unsaid.over(catalogue).scan(&self.sweep.cursor(), VICTIMS_LOOKED_AT_MAX) {
            self.note_victim(id, &record);
        }
    }

    fn score(&self, record: &BundleRecord) -> Score {
        eviction::score(record, self.now, self.quotas.over(record).is_some())
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
        let due =
            |session: &crate::session::Session| session.mode == Mode::Live && session.review_at <= self.now;
        let links: Vec<LinkId> =
            self.sessions.iter().filter(|(_, session)| due(session)).map(|(link, _)| *link).collect();
        for link in links {
            self.renew_comparison(link, catalogue);
        }
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
