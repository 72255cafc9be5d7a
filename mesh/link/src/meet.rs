//! The meet: one conversation of two nodes, as a state machine without I/O.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cairn_bundle::Digest;

use crate::control::Control;
use crate::event::{Events, MeetError, MeetEvent, Transmit};
use crate::frame::{
    Decoded, Frame, IDS_MAX, Ids, RefuseReason, RouteClaim, decode, encode_ack, encode_bye, encode_copies,
    encode_have, encode_hello, encode_refuse, encode_want,
};
use crate::framer::Framer;
use crate::hello::Hello;
use crate::incoming::{Incoming, Piece, TableFull, Taken};
use crate::item::{Item, Topic};
use crate::limits::{Counters, MeetLimits};
use crate::outgoing::{COPIES_DEFAULT, Gift, Next, Outgoing, Wanted};
use crate::queue::Queue;

/// What kind of contact a meet takes place over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A two-way stream: Have, Want, Chunk, Ack. It stays open and announces what is offered later on.
    Live,
    /// No answer can come during the contact: items are pushed without being asked for, and acknowledgements
    /// come with the return trip.
    Carried,
}

/// One conversation with one peer. See the [crate docs](crate) for the loop that drives it.
#[derive(Debug)]
pub struct Meet {
    mode: Mode,
    hello: Hello,
    limits: MeetLimits,
    hello_sent: bool,
    peer_item_bytes_max: Option<u64>,
    peer_left: bool,
    leaving: bool,
    bye_sent: bool,
    failed: Option<MeetError>,
    framer: Framer,
    incoming: Incoming,
    outgoing: Outgoing,
    acks: Queue,
    refusals: BTreeMap<Item, RefuseReason>,
    control: Control,
    events: Events,
    counters: Counters,
}

impl Meet {
    /// Begins a conversation; its first frame will be the Hello.
    ///
    /// `hello.item_bytes_max` is set from the limits, and what a peer would refuse is cut: boards beyond
    /// [`BOARDS_MAX`](crate::hello::BOARDS_MAX), a card longer than [`CARD_BYTES_MAX`](crate::hello::CARD_BYTES_MAX).
    #[must_use]
    pub fn new(mode: Mode, mut hello: Hello, limits: MeetLimits) -> Self {
        hello.clamp();
        hello.item_bytes_max = limits.item_bytes_max;
        Self {
            mode,
            hello,
            limits,
            hello_sent: false,
            peer_item_bytes_max: None,
            peer_left: false,
            leaving: false,
            bye_sent: false,
            failed: None,
            framer: Framer::default(),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            acks: Queue::default(),
            refusals: BTreeMap::new(),
            control: Control::default(),
            events: Events::default(),
            counters: Counters::default(),
        }
    }

    /// This node holds the item durably and would give it: announced in a live meet, pushed in a carried one.
    ///
    /// Items of one topic are announced in the order of these calls. False if the item is too large or
    /// [`MeetLimits::offers_max`] offers are open: offer it again when some have been answered, or at the next meet.
    pub fn offer(&mut self, item: Item, bytes: u64) -> bool {
        self.offer_ranked(item, bytes, 0, COPIES_DEFAULT)
    }

    /// The same with a place among the items of its topic, and with the number of copies that are passed on.
    ///
    /// The item with the lowest `rank` is announced and sent first; of equal ranks the one that was offered first. The
    /// first byte of the rank is its class: between two chunks, an item of a lower class overtakes one that is under way.
    pub fn offer_ranked(&mut self, item: Item, bytes: u64, rank: u64, copies: u8) -> bool {
        if self.mode == Mode::Live && self.incoming.forget(item) {
            // The peer announced it: both have it.
            self.ack(item);
            self.outgoing.remove(item);
            self.events.push(MeetEvent::Acked(item));
            return true;
        }
        let taken = bytes <= self.limits.item_bytes_max
            && self.outgoing.offer(self.mode, Gift { item, bytes, rank, copies }, self.limits.offers_max);
        if !taken {
            count(&mut self.counters.own_offers_dropped);
        }
        taken
    }

    /// This node does not give the item any more. A peer that waits for it is told.
    pub fn withdraw(&mut self, item: Item) {
        if self.outgoing.remove(item) == Some(true) && self.mode == Mode::Live {
            self.refuse(item, RefuseReason::Gone);
        }
    }

    /// Asks for an item that was [`MeetEvent::Offered`]. Without effect for any other.
    pub fn request(&mut self, item: Item) {
        self.incoming.request(item);
    }

    /// The item is durable here, whether it came by this meet or not: acknowledges it.
    pub fn accepted(&mut self, item: Item) {
        self.incoming.forget(item);
        self.ack(item);
    }

    /// The node does not take the item: says so, and drops what of it is here.
    pub fn refused(&mut self, item: Item, reason: RefuseReason) {
        self.incoming.forget(item);
        self.refuse(item, reason);
    }

    /// Acknowledges an item that came by an earlier meet, for instance in a parcel.
    pub fn ack(&mut self, item: Item) {
        if self.acks.len() >= self.limits.offers_max && !self.acks.contains(item) {
            count(&mut self.counters.answers_dropped);
            return;
        }
        self.refusals.remove(&item);
        self.acks.push(item);
    }

    /// The item is gone before its acknowledgement was sent: the peer hears that there was no room instead. Whether there was
    /// an acknowledgement to take back.
    pub fn retract(&mut self, item: Item) -> bool {
        let waits = self.acks.contains(item);
        if waits {
            self.acks.remove(item);
            self.refuse(item, RefuseReason::Full);
        }
        waits
    }

    /// Takes over the answers that `other` has not sent: from the meet that read a parcel to the one that writes
    /// the parcel back.
    pub fn take_answers(&mut self, other: &mut Self) {
        while let Some((_, run)) = other.acks.pop_run(IDS_MAX) {
            run.into_iter().for_each(|item| self.ack(item));
        }
        while let Some((item, reason)) = other.refusals.pop_first() {
            self.refuse(item, reason);
        }
    }

    /// Sends a message of the reconciliation of a topic; it replaces one that still waits. False if it cannot be
    /// sent: it is empty, longer than [`RECONCILE_BYTES_MAX`](crate::frame::RECONCILE_BYTES_MAX), or the meet is
    /// a carried one.
    pub fn say_reconcile(&mut self, topic: Topic, message: Vec<u8>) -> bool {
        self.mode == Mode::Live && self.control.say_reconcile(topic, message)
    }

    /// Says how many more bytes of bundles this node takes from the peer. Not said in a parcel.
    pub fn say_room(&mut self, bytes: u64) {
        if self.mode == Mode::Live {
            self.control.say_room(bytes);
        }
    }

    /// Says how soon this node expects to bring bundles to others: the first
    /// [`ROUTES_MAX`](crate::frame::ROUTES_MAX) of the claims.
    pub fn say_routes(&mut self, claims: &[RouteClaim]) {
        self.control.say_routes(claims);
    }

    /// Says how far this node knows some streams. Not said in a parcel; beyond
    /// [`MeetLimits::control_bytes_max`] dropped and counted.
    pub fn say_heights(&mut self, topic: Topic, entries: Vec<(Digest, u64)>) {
        if self.mode == Mode::Live {
            let dropped = self.control.say_heights(topic, entries, self.limits.control_bytes_max);
            self.counters.heights_dropped = self.counters.heights_dropped.saturating_add(dropped);
        }
    }

    /// Ends the conversation in good order: answers that wait are sent, then Bye; nothing else.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Takes what the link delivered, in pieces of any size. Drain [`Meet::poll_event`] after each call, and hand
    /// in no more than 64 KiB at a time.
    ///
    /// # Errors
    /// The meet is over and the link is to be closed. Every later call returns the same error.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), MeetError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut framer = core::mem::take(&mut self.framer);
        let result = self.handle_frames(&mut framer, bytes);
        self.framer = framer;
        self.failed = result.err();
        result
    }

    /// The next thing that the node should know.
    pub fn poll_event(&mut self) -> Option<MeetEvent> {
        let event = self.events.pop()?;
        if let MeetEvent::Received { bytes, .. } = &event {
            self.incoming.polled(bytes.len());
        }
        Some(event)
    }

    /// The next thing to send; to be called when the link can take it, so that the most urgent goes first.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if self.failed.is_some() || self.bye_sent {
            return None;
        }
        if !self.hello_sent {
            self.hello_sent = true;
            return Some(Transmit::Frame(encode_hello(&self.hello)));
        }
        if let Some(frame) = self.next_answer() {
            return Some(Transmit::Frame(frame));
        }
        if self.leaving {
            self.bye_sent = true;
            return Some(Transmit::Frame(encode_bye()));
        }
        if self.peer_left {
            return None;
        }
        self.next_urgent().or_else(|| {
            if let Some((topic, run)) = self.incoming.next_wants(&self.limits) {
                return Some(Transmit::Frame(encode_want(topic, &ids(&run))));
            }
            self.outgoing.poll().map(transmit)
        })
    }

    /// Nothing is left to send or to wait for.
    ///
    /// In a live meet that takes an answer to every offer from the peer, and to every event from the node; a
    /// driver that closes idle links should also run out of patience with a peer that does not answer. Whether a
    /// reconciliation still waits for a message, only the node knows.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        if self.failed.is_some() || self.bye_sent {
            return true;
        }
        let said = self.hello_sent && self.acks.is_empty() && self.refusals.is_empty() && !self.leaving;
        match self.mode {
            Mode::Carried => said && self.control.is_empty() && self.outgoing.is_drained(),
            Mode::Live if self.peer_left => said && self.incoming.is_settled(),
            Mode::Live => {
                let met = self.peer_item_bytes_max.is_some() && self.control.is_empty();
                said && met && self.incoming.is_settled() && self.outgoing.is_settled()
            }
        }
    }

    /// Nothing of a topic is offered, wanted or under way, in either direction.
    #[must_use]
    pub fn is_settled(&self, topic: Topic) -> bool {
        self.incoming.is_settled_of(topic) && self.outgoing.is_settled_of(topic)
    }

    /// Bytes of the largest item that the peer takes; `None` before its Hello.
    #[must_use]
    pub const fn peer_item_bytes_max(&self) -> Option<u64> {
        self.peer_item_bytes_max
    }

    /// The Hello that this side says.
    #[must_use]
    pub const fn hello(&self) -> &Hello {
        &self.hello
    }

    /// What happened so far, in numbers.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn handle_frames(&mut self, framer: &mut Framer, bytes: &[u8]) -> Result<(), MeetError> {
        let mut input = bytes;
        while let Some(body) = framer.next(&mut input)? {
            count(&mut self.counters.frames);
            match decode(body)? {
                Decoded::Frame(frame) => self.handle_frame(frame)?,
                Decoded::UnknownType(_) => {
                    self.expect_talk()?;
                    count(&mut self.counters.unknown_frames);
                }
                Decoded::UnknownTopic(_) => {
                    self.expect_talk()?;
                    count(&mut self.counters.unknown_topics);
                }
            }
            if self.events.len() > self.limits.events_max
                || self.events.control_bytes() > self.limits.control_bytes_max
            {
                return Err(MeetError::Backlog);
            }
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: Frame<'_>) -> Result<(), MeetError> {
        if let Frame::Hello(hello) = frame {
            if self.peer_item_bytes_max.is_some() {
                return Err(MeetError::SecondHello);
            }
            self.peer_item_bytes_max = Some(hello.item_bytes_max);
            self.events.push(MeetEvent::Peer(hello));
            return Ok(());
        }
        self.expect_talk()?;
        match frame {
            Frame::Hello(_) => return Err(MeetError::SecondHello),
            Frame::Have { topic, ids } => self.handle_have(topic, ids),
            Frame::Want { topic, ids } => self.handle_want(topic, ids),
            Frame::Chunk { item, total, offset, bytes } => {
                self.handle_chunk(item, Piece { total, offset, bytes })?;
            }
            Frame::Ack { topic, ids } => {
                for id in ids.iter() {
                    self.handle_ack(Item { topic, id });
                }
            }
            Frame::Refuse { item, reason } => self.handle_refuse(item, reason),
            Frame::Bye => {
                self.peer_left = true;
                self.incoming.peer_left();
                self.events.push(MeetEvent::Bye);
            }
            Frame::Copies { item, copies } => self.incoming.expect_copies(item, copies),
            Frame::Routes { claims } => {
                self.events.push(MeetEvent::Routes { claims: claims.iter().collect() });
            }
            Frame::Reconcile { .. } | Frame::Room { .. } | Frame::Heights { .. }
                if self.mode == Mode::Carried =>
            {
                count(&mut self.counters.frames_ignored);
            }
            Frame::Reconcile { topic, message } => {
                self.events.push(MeetEvent::Reconcile { topic, message: message.to_vec() });
            }
            Frame::Room { bytes } => self.events.push(MeetEvent::Room { bytes }),
            Frame::Heights { topic, entries } => {
                self.events.push(MeetEvent::Heights { topic, entries: entries.iter().collect() });
            }
        }
        Ok(())
    }

    /// Talk comes after the Hello and before the Bye.
    const fn expect_talk(&self) -> Result<(), MeetError> {
        if self.peer_item_bytes_max.is_none() {
            Err(MeetError::BeforeHello)
        } else if self.peer_left {
            Err(MeetError::AfterBye)
        } else {
            Ok(())
        }
    }

    fn handle_have(&mut self, topic: Topic, ids: Ids<'_>) {
        for id in ids.iter() {
            let item = Item { topic, id };
            if self.mode == Mode::Carried {
                count(&mut self.counters.ids_ignored);
            } else if self.outgoing.contains(item) {
                self.handle_shared(item);
            } else {
                match self.incoming.announce(item, &self.limits) {
                    Ok(true) => self.events.push(MeetEvent::Offered { item }),
                    Ok(false) => {}
                    Err(TableFull) => count(&mut self.counters.offers_dropped),
                }
            }
        }
    }

    /// Both sides announce the same item: as good as an acknowledgement, in both directions.
    fn handle_shared(&mut self, item: Item) {
        if self.outgoing.is_moot(item) {
            self.outgoing.remove(item);
            self.ack(item);
            self.events.push(MeetEvent::Acked(item));
        }
    }

    fn handle_want(&mut self, topic: Topic, ids: Ids<'_>) {
        for id in ids.iter() {
            let item = Item { topic, id };
            if self.mode == Mode::Carried {
                count(&mut self.counters.ids_ignored);
                continue;
            }
            match self.outgoing.want(item, self.peer_item_bytes_max.unwrap_or_default()) {
                Wanted::Queued => {}
                Wanted::Gone => self.refuse(item, RefuseReason::Gone),
                Wanted::TooLarge => {
                    self.refuse(item, RefuseReason::TooLarge);
                    self.events.push(MeetEvent::Refused { item, reason: RefuseReason::TooLarge });
                }
            }
        }
    }

    fn handle_chunk(&mut self, item: Item, piece: Piece<'_>) -> Result<(), MeetError> {
        match self.incoming.chunk(self.mode, item, piece, &self.limits)? {
            Taken::More => {}
            Taken::Complete { bytes, copies } => {
                self.events.push(MeetEvent::Received { item, bytes, copies });
            }
            Taken::Ignored => count(&mut self.counters.chunks_ignored),
            Taken::Refuse(reason) => {
                match reason {
                    RefuseReason::TooLarge => count(&mut self.counters.too_large),
                    RefuseReason::Full => count(&mut self.counters.full),
                    RefuseReason::NotWanted => count(&mut self.counters.chunks_ignored),
                    RefuseReason::Invalid | RefuseReason::Gone => {}
                }
                self.refuse(item, reason);
            }
        }
        Ok(())
    }

    fn handle_ack(&mut self, item: Item) {
        let known = self.outgoing.remove(item).is_some();
        // What is acknowledged by a parcel was offered by an earlier meet: only the node knows.
        if known || self.mode == Mode::Carried {
            self.events.push(MeetEvent::Acked(item));
        } else {
            count(&mut self.counters.ids_ignored);
        }
    }

    fn handle_refuse(&mut self, item: Item, reason: RefuseReason) {
        let offered = self.outgoing.remove(item).is_some();
        let requested = self.incoming.refuse_by_peer(item);
        if offered || requested || self.mode == Mode::Carried {
            self.events.push(MeetEvent::Refused { item, reason });
        } else {
            count(&mut self.counters.ids_ignored);
        }
    }

    fn refuse(&mut self, item: Item, reason: RefuseReason) {
        if self.refusals.len() >= self.limits.refusals_max && !self.refusals.contains_key(&item) {
            count(&mut self.counters.answers_dropped);
        } else {
            self.refusals.insert(item, reason);
        }
    }

    /// What goes before other items: room, notices, and what is no item.
    fn next_urgent(&mut self) -> Option<Transmit> {
        if let Some(frame) = self.control.poll_room() {
            return Some(Transmit::Frame(frame));
        }
        if let Some(run) = self.incoming.next_wants_of(Topic::Notice, &self.limits) {
            return Some(Transmit::Frame(encode_want(Topic::Notice, &ids(&run))));
        }
        if let Some(next) = self.outgoing.poll_topic(Topic::Notice) {
            return Some(transmit(next));
        }
        self.control.poll().map(Transmit::Frame)
    }

    fn next_answer(&mut self) -> Option<Vec<u8>> {
        if let Some((topic, run)) = self.acks.pop_run(IDS_MAX) {
            return Some(encode_ack(topic, &ids(&run)));
        }
        let (item, reason) = self.refusals.pop_first()?;
        Some(encode_refuse(item, reason))
    }
}

fn transmit(next: Next) -> Transmit {
    match next {
        Next::Have(topic, run) => Transmit::Frame(encode_have(topic, &ids(&run))),
        Next::Copies(item, copies) => Transmit::Frame(encode_copies(item, copies)),
        Next::Chunk(chunk) => chunk,
    }
}

fn ids(run: &[Item]) -> Vec<[u8; 32]> {
    run.iter().map(|item| item.id.0).collect()
}

const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
