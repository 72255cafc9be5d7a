//! Frames: a length (u32, big endian), then one positional array of deterministic CBOR.

use alloc::vec::Vec;
use core::convert::Infallible;

use cairn_bundle::Digest;
use minicbor::Encoder;
use minicbor::encode::Error;

pub(crate) mod lists;

pub use lists::{Claims, HEIGHTS_MAX, Heights, IDS_MAX, Ids, ROUTES_MAX, RouteClaim};

use crate::cbor::Reader;
use crate::hello::{HELLO_FIELDS, Hello};
use crate::item::{Item, Topic};

/// Most bytes of an item in one chunk.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Longest frame, without its length prefix: a full chunk and the fields around it.
pub const FRAME_BYTES_MAX: usize = CHUNK_BYTES_MAX + 128;
/// Longest message in one Reconcile.
pub const RECONCILE_BYTES_MAX: usize = 32 * 1024;
/// Bytes of the length in front of a frame.
pub const PREFIX_BYTES: usize = 4;

/// One frame, its payload borrowed from the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Who I am. The first frame, once.
    Hello(Hello),
    /// I hold these and would give them.
    Have {
        /// What they are about.
        topic: Topic,
        /// Which ones.
        ids: Ids<'a>,
    },
    /// Send me these.
    Want {
        /// What they are about.
        topic: Topic,
        /// Which ones.
        ids: Ids<'a>,
    },
    /// A piece of an item. The pieces of one item come in order and without gaps.
    Chunk {
        /// Which item.
        item: Item,
        /// Length of the whole item.
        total: u64,
        /// Where this piece begins.
        offset: u64,
        /// The piece; empty only if the item is.
        bytes: &'a [u8],
    },
    /// These are durable here: forget that you owe them to me.
    Ack {
        /// What they are about.
        topic: Topic,
        /// Which ones.
        ids: Ids<'a>,
    },
    /// I do not take, or do not give, this one.
    Refuse {
        /// Which item.
        item: Item,
        /// Why.
        reason: RefuseReason,
    },
    /// I send nothing more.
    Bye,
    /// The next message of the [reconciliation](crate::reconcile) of a topic.
    Reconcile {
        /// What is reconciled.
        topic: Topic,
        /// One message; 1 to [`RECONCILE_BYTES_MAX`] bytes.
        message: &'a [u8],
    },
    /// How many more bytes of bundles I take from you. A later one replaces it.
    Room {
        /// That many.
        bytes: u64,
    },
    /// How soon I expect to bring bundles to some nodes. A later one replaces it.
    Routes {
        /// At most [`ROUTES_MAX`].
        claims: Claims<'a>,
    },
    /// How many copies of an item I pass on with it; it comes before the item's first chunk. Without it: one.
    Copies {
        /// Which item.
        item: Item,
        /// How many further copies the receiver may make; 0 is a copy that only its destination takes over.
        copies: u8,
    },
    /// How far I know some streams.
    Heights {
        /// What the streams are made of.
        topic: Topic,
        /// At most [`HEIGHTS_MAX`].
        entries: Heights<'a>,
    },
}

/// Why an item was not taken or not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefuseReason {
    /// No room now; worth another try at a later meet.
    Full,
    /// Longer than the receiver takes.
    TooLarge,
    /// The bytes did not stand up to the receiver's checks.
    Invalid,
    /// The receiver has no use for it.
    NotWanted,
    /// The one who was asked does not have it (any more).
    Gone,
}

/// Why bytes are not a frame. It is always the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes is longer than {FRAME_BYTES_MAX}")]
    TooLong(u32),
    /// Not deterministic CBOR, or not the fields that this type of frame has.
    #[error("a frame is malformed")]
    Malformed,
    /// A Hello of version 0.
    #[error("version 0 does not exist")]
    Version,
    /// A Hello whose node id is no key.
    #[error("the node id is not a key")]
    Node,
    /// A Hello with a card longer than [`CARD_BYTES_MAX`](crate::hello::CARD_BYTES_MAX).
    #[error("the card is too long")]
    CardTooLong,
    /// A Hello with more boards than [`BOARDS_MAX`](crate::hello::BOARDS_MAX).
    #[error("too many boards")]
    TooManyBoards,
    /// More than [`IDS_MAX`] ids, or none.
    #[error("a frame lists {0} ids, and 1 to {IDS_MAX} are allowed")]
    Ids(usize),
    /// A chunk that reaches beyond the end of its item, or is empty though the item is not, or too long.
    #[error("a chunk does not fit into its item")]
    Chunk,
    /// A reconciliation message of more than [`RECONCILE_BYTES_MAX`] bytes, or of none.
    #[error("a reconciliation message has {0} bytes, and 1 to {RECONCILE_BYTES_MAX} are allowed")]
    Message(usize),
    /// More than [`ROUTES_MAX`] claims.
    #[error("a frame lists {0} claims, and up to {ROUTES_MAX} are allowed")]
    Claims(usize),
    /// More than [`HEIGHTS_MAX`] heights.
    #[error("a frame lists {0} heights, and up to {HEIGHTS_MAX} are allowed")]
    Heights(usize),
}

/// What a frame of this version turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A frame that this version knows.
    Frame(Frame<'a>),
    /// A type that only a later version knows: to be skipped.
    UnknownType(u64),
    /// A topic that only a later version knows: to be skipped.
    UnknownTopic(u64),
}

impl RefuseReason {
    const fn number(self) -> u8 {
        match self {
            Self::Full => 1,
            Self::TooLarge => 2,
            Self::Invalid => 3,
            Self::NotWanted => 4,
            Self::Gone => 5,
        }
    }

    const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Full),
            2 => Some(Self::TooLarge),
            3 => Some(Self::Invalid),
            4 => Some(Self::NotWanted),
            5 => Some(Self::Gone),
            _ => None,
        }
    }
}

/// Reads the body of one frame, that is, without its length prefix.
///
/// # Errors
/// [`FrameError`] if the bytes are not what this version may receive.
pub fn decode(body: &[u8]) -> Result<Decoded<'_>, FrameError> {
    let mut reader = Reader::new(body);
    let fields = reader.array()?;
    let kind = reader.uint()?;
    let expected = match kind {
        0 => return Hello::decode(&mut reader, fields).map(|hello| Decoded::Frame(Frame::Hello(hello))),
        6 => 1,
        8 | 9 => 2,
        1 | 2 | 4 | 7 | 11 => 3,
        5 | 10 => 4,
        3 => 6,
        _ => return Ok(Decoded::UnknownType(kind)),
    };
    if fields != expected {
        return Err(FrameError::Malformed);
    }
    let frame = match kind {
        6 => Frame::Bye,
        8 => Frame::Room { bytes: reader.uint()? },
        9 => Frame::Routes { claims: Claims::decode(&mut reader)? },
        _ => {
            let number = reader.uint()?;
            let Some(topic) = Topic::from_number(number) else {
                return Ok(Decoded::UnknownTopic(number));
            };
            decode_topical(kind, topic, &mut reader)?
        }
    };
    reader.end()?;
    Ok(Decoded::Frame(frame))
}

/// The rest of a frame that is about a topic; its type is known.
fn decode_topical<'a>(kind: u64, topic: Topic, reader: &mut Reader<'a>) -> Result<Frame<'a>, FrameError> {
    Ok(match kind {
        1 => Frame::Have { topic, ids: Ids::decode(reader)? },
        2 => Frame::Want { topic, ids: Ids::decode(reader)? },
        3 => decode_chunk(topic, reader)?,
        4 => Frame::Ack { topic, ids: Ids::decode(reader)? },
        5 => {
            let id = Digest(*reader.fixed()?);
            let reason = RefuseReason::from_number(reader.uint()?).ok_or(FrameError::Malformed)?;
            Frame::Refuse { item: Item { topic, id }, reason }
        }
        7 => {
            let message = reader.bytes()?;
            if message.is_empty() || message.len() > RECONCILE_BYTES_MAX {
                return Err(FrameError::Message(message.len()));
            }
            Frame::Reconcile { topic, message }
        }
        10 => {
            let id = Digest(*reader.fixed()?);
            let copies = u8::try_from(reader.uint()?).map_err(|_| FrameError::Malformed)?;
            Frame::Copies { item: Item { topic, id }, copies }
        }
        11 => Frame::Heights { topic, entries: Heights::decode(reader)? },
        _ => return Err(FrameError::Malformed),
    })
}

fn decode_chunk<'a>(topic: Topic, reader: &mut Reader<'a>) -> Result<Frame<'a>, FrameError> {
    let id = Digest(*reader.fixed()?);
    let total = reader.uint()?;
    let offset = reader.uint()?;
    let bytes = reader.bytes()?;
    let len = u64::try_from(bytes.len()).map_err(|_| FrameError::Chunk)?;
    let end = offset.checked_add(len).ok_or(FrameError::Chunk)?;
    // An empty chunk of an item that is not empty would let a peer send for ever without getting on.
    if end > total || (bytes.is_empty() && total > 0) || bytes.len() > CHUNK_BYTES_MAX {
        return Err(FrameError::Chunk);
    }
    Ok(Frame::Chunk { item: Item { topic, id }, total, offset, bytes })
}

/// A Hello frame with its length prefix.
#[must_use]
pub fn encode_hello(hello: &Hello) -> Vec<u8> {
    framed(|e| {
        e.array(HELLO_FIELDS)?.u8(0)?.u8(hello.version)?.bytes(hello.node.as_bytes())?.bytes(&hello.card)?;
        e.u64(hello.item_bytes_max)?.bytes(hello.boards.as_flattened())?;
        match hello.wall_time {
            Some(seconds) => e.u64(seconds)?,
            None => e.null()?,
        };
        Ok(())
    })
}

/// A Chunk frame with its length prefix: what [`Transmit::Chunk`](crate::Transmit::Chunk) stands for, once its
/// bytes have been read. At most [`CHUNK_BYTES_MAX`] bytes.
#[must_use]
pub fn encode_chunk(item: Item, total: u64, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().saturating_add(FRAME_BYTES_MAX - CHUNK_BYTES_MAX));
    append_chunk(&mut out, item, total, offset, bytes);
    out
}

/// As [`encode_chunk`], behind what is in `out` already.
pub fn append_chunk(out: &mut Vec<u8>, item: Item, total: u64, offset: u64, bytes: &[u8]) {
    append(out, |e| {
        e.array(6)?.u8(3)?.u8(item.topic.number())?.bytes(item.id.as_bytes())?;
        e.u64(total)?.u64(offset)?.bytes(bytes)?;
        Ok(())
    });
}

pub(crate) fn encode_have(topic: Topic, ids: &[[u8; 32]]) -> Vec<u8> {
    encode_ids(1, topic, ids)
}

pub(crate) fn encode_want(topic: Topic, ids: &[[u8; 32]]) -> Vec<u8> {
    encode_ids(2, topic, ids)
}

pub(crate) fn encode_ack(topic: Topic, ids: &[[u8; 32]]) -> Vec<u8> {
    encode_ids(4, topic, ids)
}

pub(crate) fn encode_refuse(item: Item, reason: RefuseReason) -> Vec<u8> {
    framed(|e| {
        e.array(4)?.u8(5)?.u8(item.topic.number())?.bytes(item.id.as_bytes())?.u8(reason.number())?;
        Ok(())
    })
}

pub(crate) fn encode_bye() -> Vec<u8> {
    framed(|e| {
        e.array(1)?.u8(6)?;
        Ok(())
    })
}

/// A Reconcile frame; the message has 1 to [`RECONCILE_BYTES_MAX`] bytes.
pub(crate) fn encode_reconcile(topic: Topic, message: &[u8]) -> Vec<u8> {
    framed(|e| {
        e.array(3)?.u8(7)?.u8(topic.number())?.bytes(message)?;
        Ok(())
    })
}

pub(crate) fn encode_room(bytes: u64) -> Vec<u8> {
    framed(|e| {
        e.array(2)?.u8(8)?.u64(bytes)?;
        Ok(())
    })
}

/// A Routes frame from the bytes of [`lists::claim_bytes`].
pub(crate) fn encode_routes(claims: &[u8]) -> Vec<u8> {
    framed(|e| {
        e.array(2)?.u8(9)?.bytes(claims)?;
        Ok(())
    })
}

pub(crate) fn encode_copies(item: Item, copies: u8) -> Vec<u8> {
    framed(|e| {
        e.array(4)?.u8(10)?.u8(item.topic.number())?.bytes(item.id.as_bytes())?.u8(copies)?;
        Ok(())
    })
}

/// A Heights frame from the bytes of [`lists::height_bytes`].
pub(crate) fn encode_heights(topic: Topic, entries: &[u8]) -> Vec<u8> {
    framed(|e| {
        e.array(3)?.u8(11)?.u8(topic.number())?.bytes(entries)?;
        Ok(())
    })
}

fn encode_ids(kind: u8, topic: Topic, ids: &[[u8; 32]]) -> Vec<u8> {
    framed(|e| {
        e.array(3)?.u8(kind)?.u8(topic.number())?.bytes(ids.as_flattened())?;
        Ok(())
    })
}

fn framed(fill: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Result<(), Error<Infallible>>) -> Vec<u8> {
    let mut frame = Vec::new();
    append(&mut frame, fill);
    frame
}

fn append(out: &mut Vec<u8>, fill: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Result<(), Error<Infallible>>) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    fill(&mut Encoder::new(out))
        .expect("writing to a Vec cannot fail, and every field is written by its own method");
    let Some((prefix, body)) = out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut()) else {
        return;
    };
    let body =
        u32::try_from(body.len()).expect("a frame is built from at most one chunk, 1,000 ids or a card");
    *prefix = body.to_be_bytes();
}

impl Frame<'_> {
    /// The frame as bytes, with its length prefix.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => encode_hello(hello),
            Self::Have { topic, ids } => encode_have(*topic, ids.0),
            Self::Want { topic, ids } => encode_want(*topic, ids.0),
            Self::Chunk { item, total, offset, bytes } => encode_chunk(*item, *total, *offset, bytes),
            Self::Ack { topic, ids } => encode_ack(*topic, ids.0),
            Self::Refuse { item, reason } => encode_refuse(*item, *reason),
            Self::Bye => encode_bye(),
            Self::Reconcile { topic, message } => encode_reconcile(*topic, message),
            Self::Room { bytes } => encode_room(*bytes),
            Self::Routes { claims } => encode_routes(claims.bytes()),
            Self::Copies { item, copies } => encode_copies(*item, *copies),
            Self::Heights { topic, entries } => encode_heights(*topic, entries.bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
