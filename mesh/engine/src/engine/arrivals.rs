//! What peers offer and send, up to where it is durable and acknowledged.

use alloc::boxed::Box;
use alloc::vec::Vec;

use cairn_bundle::{Bundle, BundleFlags, Class, Digest, NodeId};
use cairn_link::{Item, Mode, RefuseReason, Topic};

use super::{Engine, FULL, Pending};
use crate::catalogue::Catalogue;
use crate::event::{Action, LinkId, Ticket};
use crate::record::BundleRecord;

/// Most tokens that a neighbour can make this node spread, because it may claim any number: by how much there is of the same
/// source here.
const COPIES_TAKEN_MAX: [u8; 3] = [32, 8, 2];
/// The same for an alert beyond what its source, or whoever brings it, may have passed on.
const COPIES_BEYOND: u8 = 4;
/// Bundles in a row for which there is no room, from a peer that knows it: further ones are refused unseen.
const WASTED_MAX: u8 = 8;

impl Engine {
    pub(super) fn handle_offered(&mut self, link: LinkId, item: Item, catalogue: &dyn Catalogue) {
        if let Some(pending) = self.pending_items.get(&item).and_then(|ticket| self.pending.get_mut(ticket)) {
            // Another link brought it just now: this one is answered together with it.
            pending.links.push(link);
            self.taking(link, 1);
            return;
        }
        let held = self.has(&item, catalogue);
        let wanted = item.topic != Topic::Blob || self.wanted_blobs.contains(&item.id);
        let Some(session) = self.sessions.change(&link) else { return };
        if held {
            session.meet.accepted(item);
        } else if !wanted {
            session.remember_spare(item.id);
        } else if item.topic == Topic::Bundle
            // A peer that keeps to what it was told offers what is for this node, or urgent.
            && session.wasted >= WASTED_MAX
            && self.quotas.room_for_neighbour(&session.peer) == 0
        {
            session.refused = session.refused.saturating_add(1);
            session.meet.refused(item, FULL);
            self.announce_room(link);
        } else {
            session.meet.request(item);
        }
    }

    pub(super) fn handle_received(
        &mut self,
        link: LinkId,
        peer: NodeId,
        item: Item,
        bytes: Vec<u8>,
        copies: u8,
        catalogue: &dyn Catalogue,
    ) {
        if self.has(&item, catalogue) {
            // A second copy: the first one is durable already.
            self.count("second copies");
            if item.topic == Topic::Bundle {
                self.gain_copies(item.id, copies, catalogue);
            }
            self.settle(link, peer, item, Ok(()));
            return;
        }
        if let Some(pending) = self.pending_items.get(&item).and_then(|ticket| self.pending.get_mut(ticket)) {
            pending.links.push(link);
            pending.more_copies = pending.more_copies.saturating_add(copies);
            self.taking(link, 1);
            return;
        }
        if item.topic == Topic::Bundle {
            self.handle_bundle(link, peer, item, &bytes, copies, catalogue);
        } else {
            let ticket = self.pend(link, item, None, None);
            self.actions.push_back(Action::Take { ticket, peer, item, bytes });
        }
    }

    fn handle_bundle(
        &mut self,
        link: LinkId,
        peer: NodeId,
        item: Item,
        bytes: &[u8],
        copies: u8,
        catalogue: &dyn Catalogue,
    ) {
        let bundle = match Bundle::decode(bytes, &self.limits.bundle) {
            Ok(bundle) if bundle.content_id() == item.id => bundle,
            Ok(_) | Err(_) => {
                self.count("bundles refused: not valid");
                self.settle(link, peer, item, Err(RefuseReason::Invalid));
                return;
            }
        };
        let id = item.id;
        let destination = self.names.node_id(bundle.destination());
        let source = self.names.node_id(bundle.source());
        if self.noticed.is_delivered(&id, destination.as_ref()) {
            self.count("bundles refused: delivered already");
            self.seen.insert(&id);
            self.settle(link, peer, item, Ok(()));
            return;
        }
        let brought_by = (source != Some(peer)).then_some(peer);
        if destination == Some(self.me) {
            let ticket = self.pend(link, item, None, brought_by);
            self.actions.push_back(Action::Deliver { ticket, peer, id, bundle: Box::new(bundle) });
            return;
        }
        // It is kept as it will be sent on: this node is the previous one, and one hop is used up.
        let here = self.endpoint.as_ref();
        let Some(bundle) = here.and_then(|here| bundle.into_forwarded(here, 0).ok()) else {
            self.count("bundles refused: too many hops");
            self.settle(link, peer, item, Err(RefuseReason::NotWanted));
            return;
        };
        let onward_bytes = bundle.encode();
        let record = BundleRecord {
            place: 0,
            destination,
            source,
            neighbour: Some(peer),
            bytes: u64::try_from(onward_bytes.len()).unwrap_or(u64::MAX),
            class: bundle.class(),
            age_ms: bundle.age_ms(),
            remaining_ms: bundle.remaining_ms(None, 0).unwrap_or_else(|| bundle.primary().lifetime_ms),
            kept_since: self.now,
            copies,
            handed_at: (copies == 0).then_some(self.now),
            may_fragment: !bundle.primary().flags.contains(BundleFlags::NO_FRAGMENT),
            fragment: bundle.primary().fragment.is_some(),
        };
        if record.remaining_ms == 0 {
            self.count("bundles refused: expired");
            self.settle(link, peer, item, Err(RefuseReason::NotWanted));
            return;
        }
        let record = self.as_believed(&peer, record);
        if !self.make_room(&record, catalogue) {
            if let Some(session) = self.sessions.change(&link) {
                session.wasted = session.wasted.saturating_add(1);
            }
            self.settle(link, peer, item, Err(FULL));
            self.announce_room(link);
            return;
        }
        self.quotas.add(&record);
        let ticket = self.pend(link, item, Some(record.clone()), brought_by);
        self.actions.push_back(Action::Keep {
            ticket,
            id,
            record,
            bytes: onward_bytes,
            bundle: Box::new(bundle),
        });
    }

    fn copies_taken_max(&self, record: &BundleRecord) -> u8 {
        COPIES_TAKEN_MAX.get(usize::from(self.quotas.crowd(record))).copied().unwrap_or(1)
    }

    /// What of a record is only said is cut to what is believed: the source of a fragment, because what is signed is the
    /// whole; any number of tokens; alerts beyond what strangers may have spread.
    fn as_believed(&mut self, peer: &NodeId, mut record: BundleRecord) -> BundleRecord {
        if record.fragment {
            record.disown();
        }
        record.copies = record.copies.min(self.copies_taken_max(&record));
        let source = record.source.as_ref();
        if record.class != Class::Alert
            || source.is_some_and(|source| self.quotas.has_standing(source))
            || self.alerts.may_bring(self.now, peer, source)
        {
            return record;
        }
        self.count("alerts passed on as normal bundles: too many of nodes without standing");
        BundleRecord { class: Class::Normal, copies: record.copies.min(COPIES_BEYOND), ..record }
    }

    fn pend(
        &mut self,
        link: LinkId,
        item: Item,
        record: Option<BundleRecord>,
        brought_by: Option<NodeId>,
    ) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket = self.next_ticket.wrapping_add(1);
        let pending = Pending { item, links: Vec::from([link]), record, brought_by, more_copies: 0 };
        self.pending.insert(ticket, pending);
        self.pending_items.insert(item, ticket);
        self.taking(link, 1);
        ticket
    }

    /// The host found nobody who vouches for the source of a bundle that it is to keep: it counts as one without a source,
    /// for the neighbour that brought it, and not against whom it names. Whether there is room for that; if there is none,
    /// the host refuses it as [`RefuseReason::Full`]. Its record is changed in the same way
    /// ([`BundleRecord::disown`]).
    #[must_use]
    pub fn disown(&mut self, ticket: Ticket) -> bool {
        let Some(record) = self.pending.get_mut(&ticket).and_then(|pending| pending.record.as_mut()) else {
            return false;
        };
        let mut disowned = record.clone();
        disowned.disown();
        self.quotas.remove(record);
        let fits = self.quotas.check(&disowned);
        let counted = if fits.is_ok() { &disowned } else { &*record };
        self.quotas.add(counted);
        match fits {
            Ok(()) => {
                *record = disowned;
                true
            }
            Err(exceeded) => {
                self.count(exceeded.counter());
                false
            }
        }
    }

    fn taking(&mut self, link: LinkId, more: i32) {
        if let Some(session) = self.sessions.quietly(&link) {
            session.taking = session.taking.saturating_add_signed(more);
        }
    }

    pub(super) fn handle_taken(
        &mut self,
        ticket: Ticket,
        outcome: Result<(), RefuseReason>,
        catalogue: &dyn Catalogue,
    ) {
        let Some(Pending { item, links, record, brought_by, more_copies }) = self.pending.remove(&ticket)
        else {
            return;
        };
        if let Some(peer) = brought_by.filter(|_| outcome.is_ok()) {
            self.router.brought(&peer);
        }
        self.pending_items.remove(&item);
        let kept_bytes = record.as_ref().filter(|_| outcome.is_ok()).map(|record| record.bytes);
        if item.topic == Topic::Bundle {
            match (record, outcome) {
                (Some(record), Ok(())) => {
                    // The place of its bytes is known only now, and to the catalogue.
                    let record = self.record(&item.id, catalogue).unwrap_or(record);
                    if record.class == Class::Alert
                        && let Some(neighbour) = record.neighbour
                        && !record.source.is_some_and(|source| self.quotas.has_standing(&source))
                    {
                        self.alerts.passed_on(self.now, &neighbour, record.source.as_ref());
                    }
                    self.carry(item.id, &record);
                    self.gain_copies(item.id, more_copies, catalogue);
                }
                (Some(record), Err(_)) => self.quotas.remove(&record),
                (None, Ok(())) => {
                    self.seen.insert(&item.id);
                }
                (None, Err(_)) => {}
            }
        }
        for link in links {
            self.taking(link, -1);
            if let Some(session) = self.sessions.change(&link) {
                if let Some(bytes) = kept_bytes {
                    session.room.received(bytes);
                    session.wasted = 0;
                }
                let peer = session.peer;
                self.settle(link, peer, item, outcome);
                if kept_bytes.is_some() {
                    self.announce_room(link);
                }
            }
        }
    }

    /// Another copy of a carried bundle came with tokens: they are not lost.
    fn gain_copies(&mut self, id: Digest, more: u8, catalogue: &dyn Catalogue) {
        let Some(record) = self.record(&id, catalogue).filter(|record| !record.is_own() && more > 0) else {
            return;
        };
        let most = self.copies_taken_max(&record).max(record.copies);
        let copies = record.copies.saturating_add(more).min(most);
        if copies == record.copies {
            return;
        }
        let record = self.retoken(id, &record, copies);
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        for link in links {
            self.consider(link, id, &record);
        }
    }

    /// Answers a peer for an item that it sent.
    fn settle(&mut self, link: LinkId, peer: NodeId, item: Item, outcome: Result<(), RefuseReason>) {
        let Some(session) = self.sessions.change(&link) else { return };
        match outcome {
            Ok(()) => {
                session.meet.accepted(item);
                if session.mode == Mode::Carried {
                    self.actions.push_back(Action::OweAck { peer, item });
                    self.learn_peer_item(peer, item);
                } else if item.topic == Topic::Bundle {
                    self.told.note(self.now, &peer, &item.id);
                } else {
                    self.learn_peer_item(peer, item);
                }
            }
            Err(reason) => {
                session.refused = session.refused.saturating_add(1);
                session.expect_no_more(item.topic);
                session.meet.refused(item, reason);
            }
        }
    }
}
