//! Comparing what both ends hold: range-based reconciliation on live links.

use alloc::vec::Vec;

use cairn_bundle::{Digest, NodeId};
use cairn_link::reconcile::{IdSet, Prefix, ReconcileLimits, Reconciler, Step, SumTree, Summary};
use cairn_link::{Item, Topic};

use super::Engine;
use crate::catalogue::Catalogue;
use crate::event::LinkId;
use crate::session::Comparison;

/// Topics whose sets are compared instead of listed, in the order in which it is begun.
const COMPARED: [Topic; 4] = [Topic::Notice, Topic::Ledger, Topic::Bundle, Topic::Board];
/// Ids that a peer lacks which are looked at one after the other. Then others have their turn.
const LOOKED_AT_MAX: usize = 8_000;
/// Then it goes on after a millisecond.
const REST_MS: u64 = 1;
/// Ids that are read at a time where the sums do not say how many there are.
const UNCOUNTED: u32 = u32::MAX;

/// The bundles of this node as a set of ids: sums in memory, ids from the catalogue.
struct Carried<'a> {
    sums: &'a SumTree,
    catalogue: &'a dyn Catalogue,
}

impl IdSet for Carried<'_> {
    fn summary(&self, prefix: &Prefix) -> Summary {
        self.sums.summary(prefix).unwrap_or_else(|| Summary::of(self.ids(prefix, usize::MAX)))
    }

    fn ids(&self, prefix: &Prefix, max: usize) -> Vec<[u8; 32]> {
        // The sums bound what is read: below them a range holds no more than the bucket that it lies in.
        let bucket = Prefix::of(&prefix.first(), prefix.depth().min(cairn_link::reconcile::TREE_DEPTH));
        let count = self.sums.summary(&bucket).map_or(UNCOUNTED, |summary| summary.count());
        let max = max.min(usize::try_from(count).unwrap_or(usize::MAX));
        // One more than there can be would show a catalogue that does not keep its promise: the last id would be cut off.
        let more = usize::from(cfg!(debug_assertions));
        let found = self.catalogue.scan(&Digest(prefix.first()), max.saturating_add(more));
        let mut ids: Vec<[u8; 32]> =
            found.into_iter().map(|(id, _)| id.0).take_while(|id| prefix.contains(id)).collect();
        debug_assert!(
            prefix.depth() > bucket.depth() || usize::try_from(count).is_ok_and(|count| ids.len() <= count),
            "the catalogue shows what the engine was not told"
        );
        ids.truncate(max);
        ids
    }
}

impl Engine {
    /// Whether this end begins.
    fn begins(&self, peer: &NodeId) -> bool {
        self.me.as_bytes() < peer.as_bytes()
    }

    /// The peer has said who it is: the sets are compared as soon as the caller has heard of it.
    pub(super) fn begin_comparing(&mut self, link: LinkId) {
        let Some(peer) = self.sessions.get(&link).map(|session| session.peer) else { return };
        let due = self.begins(&peer);
        let Some(session) = self.sessions.change(&link) else { return };
        for topic in COMPARED {
            session.comparisons.insert(topic, Comparison::new(due));
        }
    }

    /// Compares anew what may have become different, and looks again at what was held back.
    pub(super) fn renew_comparison(&mut self, link: LinkId, catalogue: &dyn Catalogue) {
        let Some(peer) = self.sessions.get(&link).map(|session| session.peer) else { return };
        let begins = self.begins(&peer);
        let review_at = self.now.plus_ms(super::meets::REVIEW_MS);
        self.say_routes(link, &peer);
        let Some(session) = self.sessions.change(&link) else { return };
        session.review_at = review_at;
        session.giving.resume();
        for comparison in session.comparisons.values_mut().filter(|comparison| comparison.done) {
            comparison.due = begins;
        }
        self.review(link, catalogue);
        self.announce_room(link);
    }

    /// A message of the peer: it waits until there is room for what it brings.
    pub(super) fn hear_comparison(&mut self, link: LinkId, topic: Topic, message: Vec<u8>) {
        let comparison = self.sessions.change(&link).and_then(|session| session.comparisons.get_mut(&topic));
        // Both ends take turns; whoever does not is not waited for.
        if !comparison.is_some_and(|comparison| comparison.hear(self.now, message)) {
            self.count("comparisons out of turn");
        }
    }

    /// Goes on with every comparison for which there is room, for a while.
    pub(super) fn compare_on(&mut self, link: LinkId, catalogue: &dyn Catalogue) {
        self.end_trades(link);
        let Some(session) = self.sessions.quietly(&link) else { return };
        if session.goes_on_at.is_some_and(|at| at > self.now) {
            return;
        }
        session.goes_on_at = None;
        if !session.comparisons.values().any(Comparison::is_pending) {
            return;
        }
        let mut looked_at: usize = 0;
        for topic in COMPARED {
            while let Some(lacking) = self.compare_step(link, topic, catalogue) {
                looked_at = looked_at.saturating_add(lacking);
                if looked_at >= LOOKED_AT_MAX {
                    let goes_on_at = self.now.plus_ms(REST_MS);
                    if let Some(session) = self.sessions.quietly(&link) {
                        session.goes_on_at = Some(goes_on_at);
                    }
                    return;
                }
            }
        }
    }

    /// One step; how many ids it brought, if another may follow at once.
    fn compare_step(&mut self, link: LinkId, topic: Topic, catalogue: &dyn Catalogue) -> Option<usize> {
        let session = self.sessions.quietly(&link)?;
        session.comparisons.get(&topic).filter(|comparison| comparison.is_pending())?;
        let (peer, takes_more) = (session.peer, session.giving.takes_more());
        let mut comparison = session.comparisons.remove(&topic)?;
        let outcome = self.step_of(link, topic, &mut comparison, takes_more, catalogue);
        let session = self.sessions.quietly(&link)?;
        session.comparisons.insert(topic, comparison);
        let Step { reply, peer_lacks, done } = outcome?;
        let session = self.sessions.change(&link)?;
        if let Some(message) = reply {
            session.meet.say_reconcile(topic, message);
        }
        if let Some(comparison) = session.comparisons.get_mut(&topic) {
            comparison.done = done;
        }
        let lacking = peer_lacks.len();
        self.give_lacking(link, &peer, topic, peer_lacks, catalogue);
        (!done).then_some(lacking)
    }

    fn step_of(
        &mut self,
        link: LinkId,
        topic: Topic,
        comparison: &mut Comparison,
        takes_more: bool,
        catalogue: &dyn Catalogue,
    ) -> Option<Step> {
        let salt = self.salt(link);
        let session = self.sessions.get(&link)?;
        let view = self.unsaid.over(catalogue);
        let (carried, held);
        let set: &dyn IdSet = if topic == Topic::Bundle {
            carried = Carried { sums: &self.carried, catalogue: &view };
            &carried
        } else {
            held = self.holdings.set(topic, &session.peer, &session.groups);
            &held
        };
        if comparison.due {
            comparison.due = false;
            comparison.done = false;
            comparison.note_begun();
            let (reconciler, message) = Reconciler::start(set, salt, ReconcileLimits::default());
            comparison.reconciler = Some(reconciler);
            return Some(Step { reply: Some(message), peer_lacks: Vec::new(), done: false });
        }
        if topic == Topic::Bundle && !takes_more {
            return None;
        }
        let mut may_tell = false;
        let step = if let Some(message) = comparison.waiting.take() {
            let begun = Reconciler::is_start(&message);
            may_tell = comparison.note_heard(begun);
            if comparison.reconciler.is_none() || begun {
                comparison.reconciler = Some(Reconciler::respond(ReconcileLimits::default()));
            }
            comparison.unfinished = false;
            comparison.reconciler.as_mut()?.handle(set, &message)
        } else if comparison.unfinished {
            comparison.reconciler.as_mut()?.proceed(set)
        } else {
            return None;
        };
        match step {
            Ok(step) if may_tell && step.asks() && self.tell_heights(link, topic, comparison) => None,
            Ok(step) => {
                comparison.unfinished = !step.done && step.reply.is_none();
                if step.done {
                    comparison.reconciler = None;
                }
                Some(step)
            }
            Err(_) => {
                // A peer that lies or never ends is not compared with any more; what is known by then is given.
                comparison.reconciler = None;
                comparison.unfinished = false;
                comparison.done = true;
                self.count("comparisons given up");
                None
            }
        }
    }

    /// New for each comparison.
    fn salt(&mut self, link: LinkId) -> [u8; 8] {
        self.comparisons_begun = self.comparisons_begun.wrapping_add(1);
        let numbers = [link, self.now.as_ms(), self.comparisons_begun].map(u64::to_be_bytes);
        let digest = Digest::of(&[self.seed.as_slice(), numbers.as_flattened()].concat());
        digest.0.first_chunk().copied().unwrap_or_default()
    }

    fn give_lacking(
        &mut self,
        link: LinkId,
        peer: &NodeId,
        topic: Topic,
        ids: Vec<[u8; 32]>,
        catalogue: &dyn Catalogue,
    ) {
        for id in ids.into_iter().map(Digest) {
            let item = Item { topic, id };
            if topic == Topic::Bundle {
                if let Some(record) = self.record(&id, catalogue) {
                    self.consider(link, id, &record);
                }
            } else if let Some(session) = self.sessions.change(&link)
                && let Some(bytes) = self.holdings.visible_to(&item, peer, &session.groups)
            {
                session.meet.offer(item, bytes);
            }
        }
    }
}
