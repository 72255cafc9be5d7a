//! What goes into the engine and what comes out.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use cairn_bundle::{Bundle, Digest, NodeId};
use cairn_link::{Hello, Item, Mode, RefuseReason};

use crate::record::BundleRecord;
use crate::routing::{ContactPlan, LinkProperties};
use crate::streams::Place;

/// Names one link while it is up; chosen by the caller, never used twice.
pub type LinkId = u64;

/// Names one item that the caller was asked to take.
pub type Ticket = u64;

/// Who may be offered an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One peer only, as with the entries of an edge.
    Peer(NodeId),
    /// Every peer that belongs to the group, as with the members of a board.
    Group(u32),
    /// Every peer, as with delivery notices.
    Everyone,
}

/// Why the engine gives a link up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The other end does not keep to the meet protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(cairn_link::MeetError),
    /// The hello names another node than the one that the link has proven.
    #[error("the peer claims to be another node than it is")]
    WrongNode,
    /// The hello carries this node's own id: one identity is used by two nodes.
    #[error("the peer uses this node's own identity")]
    OwnIdentity,
    /// This node has something new to say in its hello: the two meet again at once.
    #[error("meeting again, with another hello")]
    Renewed,
    /// The peer said goodbye.
    #[error("the peer ended the meet")]
    Bye,
}

/// What the engine is told.
#[derive(Debug)]
pub enum Event {
    /// A link to an authenticated peer came up.
    LinkUp {
        /// The new link.
        link: LinkId,
        /// Who is at the other end; proven by the link.
        peer: NodeId,
        /// Whether answers can come during the contact.
        mode: Mode,
        /// What this node says first.
        hello: Hello,
        /// The groups that the peer is known to belong to.
        groups: BTreeSet<u32>,
        /// What is known of the link.
        properties: LinkProperties,
    },
    /// A link went down; what was under way on it is forgotten.
    LinkDown {
        /// The link.
        link: LinkId,
    },
    /// Bytes arrived; split anywhere.
    Bytes {
        /// The link.
        link: LinkId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A peer turned out to belong to more groups.
    Groups {
        /// The peer.
        peer: NodeId,
        /// The groups, in addition to those known.
        groups: BTreeSet<u32>,
    },
    /// This node has an item durably and offers it from now on.
    Hold {
        /// The item.
        item: Item,
        /// Its size.
        bytes: u64,
        /// To whom, in addition to what was said before.
        scope: Scope,
        /// Its place in its author's sequence, if its author numbers what it writes: a ledger entry, a board change.
        place: Option<Place>,
    },
    /// This node does not hold an item any more.
    Drop {
        /// The item.
        item: Item,
    },
    /// This node carries a bundle, durably: its own, or one read back at start.
    Carry {
        /// Content id of the bundle.
        id: Digest,
        /// What the catalogue shows of it.
        record: BundleRecord,
    },
    /// A bundle that was carried is deleted, by a decision that is not the engine's: it was cut into fragments, or
    /// put together from them. Its id is remembered as that of a past bundle.
    Gone {
        /// Content id of the bundle.
        id: Digest,
        /// What the catalogue showed of it.
        record: BundleRecord,
    },
    /// A bundle that was carried is lost: the disk has damaged it. It may come again from whoever has it.
    Lost {
        /// Content id of the bundle.
        id: Digest,
        /// What the catalogue showed of it.
        record: BundleRecord,
    },
    /// A delivery notice was checked and is durable: its author has these bundles.
    Noticed {
        /// Who signed it.
        by: NodeId,
        /// Content ids.
        ids: Vec<Digest>,
    },
    /// What a wall clock says, now and then; the engine counts on from it.
    Clock {
        /// Seconds since 2020-01-01 UTC; `None` without a clock that was ever set.
        wall_s: Option<u64>,
    },
    /// What a source is to this node: its quota depends on it.
    Standing {
        /// The source.
        node: NodeId,
        /// The community that it belongs to, by a number of the caller.
        community: Option<u32>,
        /// What it has earned here by settled receipts, in the ledger's units.
        earned: u64,
    },
    /// The contacts that are planned, in place of what was planned before.
    Plan {
        /// The plan.
        plan: ContactPlan,
    },
    /// An id that was delivered or carried before this start; the oldest first.
    Seen {
        /// Content id of the bundle.
        id: Digest,
    },
    /// A peer is known to have an item (read back at start).
    PeerHas {
        /// The peer.
        peer: NodeId,
        /// The item.
        item: Item,
    },
    /// This node is looking for a blob.
    WantBlob {
        /// Its digest.
        id: Digest,
    },
    /// An item handed out by [`Action::Take`], [`Action::Keep`] or [`Action::Deliver`] is durable, or refused.
    Taken {
        /// Which one.
        ticket: Ticket,
        /// `Ok` only after it is durable.
        outcome: Result<(), RefuseReason>,
    },
    /// An item that came by a drop is to be acknowledged with the next one going back.
    Acknowledge {
        /// A link in [`Mode::Carried`].
        link: LinkId,
        /// The item.
        item: Item,
    },
    /// A bundle that was to be cut stays whole.
    Whole {
        /// Content id.
        id: Digest,
    },
    /// An item that was to be sent could not be read: give it up on this link.
    Withdraw {
        /// The link.
        link: LinkId,
        /// The item.
        item: Item,
    },
    /// The hello of this node has changed: end all live meets, so that the next ones begin with it.
    Renew,
    /// Time passed.
    Tick,
}

/// Why a bundle is not carried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gone {
    /// Its lifetime ran out.
    Expired,
    /// Its destination has it.
    Delivered,
    /// Its room was needed for something worth more.
    Evicted,
}

/// What the engine asks for.
#[derive(Debug)]
pub enum Action {
    /// The peer said hello: check its card and its proofs.
    Hello {
        /// The link.
        link: LinkId,
        /// The peer, proven by the link.
        peer: NodeId,
        /// What it said.
        hello: Box<Hello>,
    },
    /// A ledger entry, board change or blob arrived: check it, store it, then answer with [`Event::Taken`].
    Take {
        /// To be named in the answer.
        ticket: Ticket,
        /// From whom.
        peer: NodeId,
        /// What it claims to be.
        item: Item,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A bundle for somebody else: store it and its id, then answer with [`Event::Taken`].
    Keep {
        /// To be named in the answer.
        ticket: Ticket,
        /// Content id.
        id: Digest,
        /// What the catalogue has to show of it; the place of the bytes is the caller's to fill in.
        record: BundleRecord,
        /// The bundle as it will be sent on: with this node as the previous one, and a hop counted. Its source's
        /// signature is not checked yet.
        bytes: Vec<u8>,
        /// What these bytes say, so that the caller can check the signature without reading them again.
        bundle: Box<Bundle>,
    },
    /// A bundle for this node: deliver it and store its id in one step, then answer with [`Event::Taken`].
    Deliver {
        /// To be named in the answer.
        ticket: Ticket,
        /// From whom.
        peer: NodeId,
        /// Content id.
        id: Digest,
        /// The bundle as it came in.
        bundle: Box<Bundle>,
    },
    /// The record of a carried bundle has changed.
    Update {
        /// Content id.
        id: Digest,
        /// What the catalogue shows from now on.
        record: BundleRecord,
    },
    /// A carried bundle is not needed any more: delete it, and keep its id unless it was evicted.
    Forget {
        /// Content id.
        id: Digest,
        /// What the catalogue showed of it.
        record: BundleRecord,
        /// Why.
        why: Gone,
    },
    /// A carried bundle does not fit through a contact: cut it, make the pieces durable in its place, then say so with
    /// [`Event::Carry`] for each piece and [`Event::Gone`] for the whole, or with [`Event::Whole`] if it cannot be cut.
    Fragment {
        /// Content id.
        id: Digest,
        /// Bytes that a piece may have.
        piece_bytes: u64,
    },
    /// Remember, best effort, that a peer has an item.
    PeerHas {
        /// The peer.
        peer: NodeId,
        /// The item.
        item: Item,
    },
    /// An item that came by a drop is durable: acknowledge it with [`Event::Acknowledge`] when a drop goes back.
    OweAck {
        /// Who is to be told.
        peer: NodeId,
        /// The item.
        item: Item,
    },
    /// Close a link whose other end does not keep to the protocol.
    Close {
        /// The link; the engine has forgotten it already.
        link: LinkId,
        /// Why, for the log.
        reason: CloseReason,
    },
}
