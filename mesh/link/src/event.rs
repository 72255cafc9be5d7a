//! What comes out of a meet: events for the node, bytes for the link, and the reason why it is over.

use alloc::vec::Vec;

use cairn_bundle::Digest;

use crate::frame::{FrameError, RefuseReason, RouteClaim};
use crate::hello::Hello;
use crate::item::{Item, Topic};

/// What a meet tells its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeetEvent {
    /// The peer said who it is. Always the first event.
    Peer(Hello),
    /// The peer would give an item (live meets only). Answer with [`Meet::request`], [`Meet::refused`], or
    /// [`Meet::accepted`] if the node has it already.
    ///
    /// [`Meet::request`]: crate::Meet::request
    /// [`Meet::refused`]: crate::Meet::refused
    /// [`Meet::accepted`]: crate::Meet::accepted
    Offered {
        /// Which item.
        item: Item,
    },
    /// An item is here as a whole; its bytes are unchecked. Answer with [`Meet::accepted`] once it is durable, or
    /// with [`Meet::refused`].
    ///
    /// [`Meet::refused`]: crate::Meet::refused
    /// [`Meet::accepted`]: crate::Meet::accepted
    Received {
        /// Which item.
        item: Item,
        /// Its bytes.
        bytes: Vec<u8>,
        /// How many copies the peer passed on with it; 1 if it did not say.
        copies: u8,
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
    /// A message for the node's reconciliation of a topic (live meets only). Its content is unchecked.
    Reconcile {
        /// What is reconciled.
        topic: Topic,
        /// 1 to [`RECONCILE_BYTES_MAX`](crate::frame::RECONCILE_BYTES_MAX) bytes.
        message: Vec<u8>,
    },
    /// How many more bytes of bundles the peer takes (live meets only). Replaces what it said before.
    Room {
        /// That many.
        bytes: u64,
    },
    /// How soon the peer expects to bring bundles to some nodes. Replaces what it said before.
    Routes {
        /// Each node once, at most [`ROUTES_MAX`](crate::frame::ROUTES_MAX).
        claims: Vec<RouteClaim>,
    },
    /// How far the peer knows some streams (live meets only). Adds to what it said before.
    Heights {
        /// What the streams are made of.
        topic: Topic,
        /// Each stream once, at most [`HEIGHTS_MAX`](crate::frame::HEIGHTS_MAX).
        entries: Vec<(Digest, u64)>,
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
    /// [`encode_chunk`](crate::encode_chunk). A driver that cannot read them calls
    /// [`Meet::withdraw`](crate::Meet::withdraw) instead.
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

/// The events that wait to be polled, and what they cost.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: alloc::collections::VecDeque<MeetEvent>,
    control_bytes: usize,
}

impl Events {
    pub(crate) fn push(&mut self, event: MeetEvent) {
        self.control_bytes = self.control_bytes.saturating_add(control_bytes(&event));
        self.queue.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<MeetEvent> {
        let event = self.queue.pop_front()?;
        self.control_bytes = self.control_bytes.saturating_sub(control_bytes(&event));
        Some(event)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of what is no item: items have a bound of their own.
    pub(crate) const fn control_bytes(&self) -> usize {
        self.control_bytes
    }
}

fn control_bytes(event: &MeetEvent) -> usize {
    match event {
        MeetEvent::Reconcile { message, .. } => message.len(),
        MeetEvent::Routes { claims } => claims.len().saturating_mul(size_of::<RouteClaim>()),
        MeetEvent::Heights { entries, .. } => entries.len().saturating_mul(size_of::<(Digest, u64)>()),
        MeetEvent::Peer(_)
        | MeetEvent::Offered { .. }
        | MeetEvent::Received { .. }
        | MeetEvent::Acked(_)
        | MeetEvent::Refused { .. }
        | MeetEvent::Room { .. }
        | MeetEvent::Bye => 0,
    }
}
