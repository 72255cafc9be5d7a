//! The meet: one conversation of two nodes, as a state machine without I/O.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::frame::{
    Decoded, Frame, FrameError, IDS_MAX, Ids, RefuseReason, decode, encode_ack, encode_bye, encode_have,
    encode_hello, encode_refuse, encode_want,
};
use crate::framer::Framer;
use crate::hello::Hello;
use crate::incoming::{Incoming, Piece, TableFull, Taken};
use crate::item::{Item, Topic};
use crate::limits::{Counters, MeetLimits};
use crate::outgoing::{Next, Outgoing, Wanted};
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

/// What a meet tells its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeetEvent {
    /// The peer said who it is. Always the first event.
    Peer(Hello),
    /// The peer would give an item (live meets only). Answer with [`Meet::request`], [`Meet::refused`], or
    /// [`Meet::accepted`] if the node has it already.
    Offered {
        /// Which item.
        item: Item,
    },
    /// An item is here as a whole; its bytes are unchecked. Answer with [`Meet::accepted`] once it is durable, or
    /// with [`Meet::refused`].
    Received {
        /// Which item.
        item: Item,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// The peer says that it holds an item durably. In a live meet only for items that were offered in it.
    Acked(Item),
    /// The peer does not take an item that was offered, or does not give one that was requested.
    Refused {
        /// Which item.
        item: Item,
        /// Why.
        reason: RefuseReason,
    },
    /// The peer sends nothing more: what was requested and is not here will not come.
    Bye,
}

/// What is to be sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// These bytes, as they are.
    Frame(Vec<u8>),
    /// `len` bytes of an item from `offset` on: to be read by the driver and wrapped by
    /// [`encode_chunk`](crate::encode_chunk). A driver that cannot read them calls [`Meet::withdraw`] instead.
    Chunk {
        /// Which item.
        item: Item,
        /// Length of the whole item, as it was offered.
        total: u64,
        /// Where the chunk begins.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
}

/// Why a meet is over. Except for [`MeetError::Backlog`], the peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MeetError {
    /// Bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Something came before the Hello.
    #[error("the peer spoke before its Hello")]
    BeforeHello,
    /// A second Hello.
    #[error("the peer said Hello twice")]
    SecondHello,
    /// Something came after the Bye.
    #[error("the peer spoke after its Bye")]
    AfterBye,
    /// A chunk that does not begin where the one before ended.
    #[error("a chunk does not continue its item")]
    Gap,
    /// Two chunks of one item disagree about its length.
    #[error("an item changed its length on the way")]
    TotalChanged,
    /// Our own fault: bytes are handed in faster than events are polled.
    #[error("too many events wait to be polled")]
    Backlog,
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
    events: VecDeque<MeetEvent>,
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
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// This node holds the item durably and would give it: announced in a live meet, pushed in a carried one.
    ///
    /// Items of one topic are announced in the order of these calls. False if the item is too large or
    /// [`MeetLimits::offers_max`] offers are open: offer it again when some have been answered, or at the next meet.
    pub fn offer(&mut self, item: Item, bytes: u64) -> bool {
        if self.mode == Mode::Live && self.incoming.forget(item) {
            // The peer announced it: both have it.
            self.ack(item);
            self.outgoing.remove(item);
            self.events.push_back(MeetEvent::Acked(item));
            return true;
        }
        let taken = bytes <= self.limits.item_bytes_max
            && self.outgoing.offer(self.mode, item, bytes, self.limits.offers_max);
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
        let event = self.events.pop_front()?;
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
        if let Some((topic, run)) = self.incoming.next_wants(&self.limits) {
            return Some(Transmit::Frame(encode_want(topic, &ids(&run))));
        }
        match self.outgoing.poll()? {
            Next::Have(topic, run) => Some(Transmit::Frame(encode_have(topic, &ids(&run)))),
            Next::Chunk(chunk) => Some(chunk),
        }
    }

    /// Nothing is left to send or to wait for.
    ///
    /// In a live meet that takes an answer to every offer from the peer, and to every event from the node; a
    /// driver that closes idle links should also run out of patience with a peer that does not answer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        if self.failed.is_some() || self.bye_sent {
            return true;
        }
        let said = self.hello_sent && self.acks.is_empty() && self.refusals.is_empty() && !self.leaving;
        match self.mode {
            Mode::Carried => said && self.outgoing.is_drained(),
            Mode::Live if self.peer_left => said && self.incoming.is_settled(),
            Mode::Live => {
                let met = self.peer_item_bytes_max.is_some();
                said && met && self.incoming.is_settled() && self.outgoing.is_settled()
            }
        }
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
            if self.events.len() > self.limits.events_max {
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
            self.events.push_back(MeetEvent::Peer(hello));
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
                self.events.push_back(MeetEvent::Bye);
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
                    Ok(true) => self.events.push_back(MeetEvent::Offered { item }),
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
            self.events.push_back(MeetEvent::Acked(item));
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
                    self.events.push_back(MeetEvent::Refused { item, reason: RefuseReason::TooLarge });
                }
            }
        }
    }

    fn handle_chunk(&mut self, item: Item, piece: Piece<'_>) -> Result<(), MeetError> {
        match self.incoming.chunk(self.mode, item, piece, &self.limits)? {
            Taken::More => {}
            Taken::Complete(bytes) => self.events.push_back(MeetEvent::Received { item, bytes }),
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
            self.events.push_back(MeetEvent::Acked(item));
        } else {
            count(&mut self.counters.ids_ignored);
        }
    }

    fn handle_refuse(&mut self, item: Item, reason: RefuseReason) {
        let offered = self.outgoing.remove(item).is_some();
        let requested = self.incoming.refuse_by_peer(item);
        if offered || requested || self.mode == Mode::Carried {
            self.events.push_back(MeetEvent::Refused { item, reason });
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

    fn next_answer(&mut self) -> Option<Vec<u8>> {
        if let Some((topic, run)) = self.acks.pop_run(IDS_MAX) {
            return Some(encode_ack(topic, &ids(&run)));
        }
        let (item, reason) = self.refusals.pop_first()?;
        Some(encode_refuse(item, reason))
    }
}

fn ids(run: &[Item]) -> Vec<[u8; 32]> {
    run.iter().map(|item| item.id.0).collect()
}

const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
