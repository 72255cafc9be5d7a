//! Frames: a length (u32, big endian), then one positional array of deterministic CBOR.

use alloc::vec::Vec;
use core::convert::Infallible;

use cairn_bundle::Digest;
use minicbor::Encoder;
use minicbor::encode::Error;

use crate::cbor::Reader;
use crate::hello::{HELLO_FIELDS, Hello};
use crate::item::{Item, Topic};

/// Most bytes of an item in one chunk.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Longest frame, without its length prefix: a full chunk and the fields around it.
pub const FRAME_BYTES_MAX: usize = CHUNK_BYTES_MAX + 128;
/// Most ids in one Have, Want or Ack.
pub const IDS_MAX: usize = 1_000;
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

/// A list of ids, still in the bytes it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids<'a>(&'a [[u8; 32]]);

impl<'a> Ids<'a> {
    /// A list to be encoded: 1 to [`IDS_MAX`] ids, or the peer will close the link.
    #[must_use]
    pub const fn new(ids: &'a [[u8; 32]]) -> Self {
        Self(ids)
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all; never so in a decoded frame.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = Digest> + use<'a> {
        self.0.iter().map(|id| Digest(*id))
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, FrameError> {
        let (ids, rest) = reader.bytes()?.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(FrameError::Malformed);
        }
        if ids.is_empty() || ids.len() > IDS_MAX {
            return Err(FrameError::Ids(ids.len()));
        }
        Ok(Self(ids))
    }
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
        1 | 2 | 4 => 3,
        3 => 6,
        5 => 4,
        6 => 1,
        _ => return Ok(Decoded::UnknownType(kind)),
    };
    if fields != expected {
        return Err(FrameError::Malformed);
    }
    if kind == 6 {
        reader.end()?;
        return Ok(Decoded::Frame(Frame::Bye));
    }
    let number = reader.uint()?;
    let Some(topic) = Topic::from_number(number) else {
        return Ok(Decoded::UnknownTopic(number));
    };
    let frame = match kind {
        1 => Frame::Have { topic, ids: Ids::decode(&mut reader)? },
        2 => Frame::Want { topic, ids: Ids::decode(&mut reader)? },
        3 => decode_chunk(topic, &mut reader)?,
        4 => Frame::Ack { topic, ids: Ids::decode(&mut reader)? },
        _ => {
            let id = Digest(*reader.fixed()?);
            let reason = RefuseReason::from_number(reader.uint()?).ok_or(FrameError::Malformed)?;
            Frame::Refuse { item: Item { topic, id }, reason }
        }
    };
    reader.end()?;
    Ok(Decoded::Frame(frame))
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
    framed(|e| {
        e.array(6)?.u8(3)?.u8(item.topic.number())?.bytes(item.id.as_bytes())?;
        e.u64(total)?.u64(offset)?.bytes(bytes)?;
        Ok(())
    })
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

fn encode_ids(kind: u8, topic: Topic, ids: &[[u8; 32]]) -> Vec<u8> {
    framed(|e| {
        e.array(3)?.u8(kind)?.u8(topic.number())?.bytes(ids.as_flattened())?;
        Ok(())
    })
}

fn framed(fill: impl FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>>) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::from([0; PREFIX_BYTES]));
    fill(&mut encoder).expect("writing to a Vec cannot fail, and every field is written by its own method");
    let mut frame = encoder.into_writer();
    let body = u32::try_from(frame.len().saturating_sub(PREFIX_BYTES))
        .expect("a frame is built from at most one chunk, 1,000 ids or a card");
    if let Some(prefix) = frame.first_chunk_mut::<PREFIX_BYTES>() {
        *prefix = body.to_be_bytes();
    }
    frame
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello::{BOARDS_MAX, CARD_BYTES_MAX};
    use alloc::vec;
    use cairn_bundle::Identity;

    fn hello() -> Hello {
        Hello {
            version: 1,
            node: Identity::from_seed(&[1; 32]).node_id(),
            card: vec![7; 3],
            item_bytes_max: 500,
            boards: vec![[9; 16]],
            wall_time: None,
        }
    }

    fn item() -> Item {
        Item::new(Topic::Bundle, Digest([0xab; 32]))
    }

    fn all() -> [Frame<'static>; 8] {
        const IDS: &[[u8; 32]] = &[[1; 32], [2; 32]];
        let topic = Topic::Board;
        [
            Frame::Hello(hello()),
            Frame::Hello(Hello { wall_time: Some(u64::MAX), card: vec![], boards: vec![], ..hello() }),
            Frame::Have { topic, ids: Ids(IDS) },
            Frame::Want { topic, ids: Ids(IDS) },
            Frame::Chunk { item: item(), total: 70_000, offset: 65_536, bytes: b"stone" },
            Frame::Ack { topic, ids: Ids(IDS) },
            Frame::Refuse { item: item(), reason: RefuseReason::Gone },
            Frame::Bye,
        ]
    }

    fn body(frame: &[u8]) -> &[u8] {
        &frame[PREFIX_BYTES..]
    }

    #[test]
    fn every_frame_comes_back_as_it_was() {
        for frame in all() {
            let bytes = frame.encode();
            assert_eq!(bytes[..4], u32::try_from(bytes.len() - 4).unwrap().to_be_bytes());
            assert_eq!(decode(body(&bytes)), Ok(Decoded::Frame(frame)));
        }
    }

    #[test]
    fn the_bytes_on_the_wire_do_not_change_by_accident() {
        assert_eq!(Frame::Bye.encode(), [0, 0, 0, 2, 0x81, 6]);
        let refuse = Frame::Refuse { item: item(), reason: RefuseReason::TooLarge }.encode();
        assert_eq!(refuse[..9], [0, 0, 0, 38, 0x84, 5, 2, 0x58, 32]);
        assert_eq!(refuse[9..], [[0xab; 32].as_slice(), &[2]].concat());
        let chunk = encode_chunk(item(), 300, 295, b"stone");
        assert_eq!(chunk[4..9], [0x86, 3, 2, 0x58, 32]);
        assert_eq!(chunk[41..], [0x19, 1, 44, 0x19, 1, 39, 0x45, b's', b't', b'o', b'n', b'e']);
        let have = Frame::Have { topic: Topic::Ledger, ids: Ids(&[[3; 32]]) }.encode();
        assert_eq!(have[4..9], [0x83, 1, 1, 0x58, 32]);
    }

    #[test]
    fn no_frame_survives_a_cut_or_a_byte_too_many() {
        for frame in all() {
            let bytes = frame.encode();
            let body = body(&bytes);
            for cut in 0..body.len() {
                assert!(decode(&body[..cut]).is_err(), "{frame:?} cut to {cut} bytes");
            }
            let longer = [body, &[0]].concat();
            assert_eq!(decode(&longer), Err(FrameError::Malformed), "{frame:?}");
        }
    }

    #[test]
    fn other_spellings_of_a_frame_are_refused() {
        for bad in [
            &[0x9f, 6, 0xff][..],            // array of indefinite length
            &[0x98, 1, 6],                   // array head too long
            &[0x81, 0x18, 6],                // number too long
            &[0x82, 6, 0],                   // a field too many
            &[0x80],                         // no type
            &[0xa0],                         // a map
            &[0x81, 0x26],                   // a negative type
            &[0x83, 1, 1, 0x40],             // no ids
            &[0x83, 1, 1, 0x41, 0],          // ids that are not 32 bytes long
            &[0x83, 1, 1, 0x5f, 0x40, 0xff], // bytes of indefinite length
            &[0x83, 1, 1, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // longer than memory
        ] {
            assert!(decode(bad).is_err(), "{bad:x?}");
        }
    }

    #[test]
    fn types_and_topics_of_the_future_are_told_apart_from_nonsense() {
        assert_eq!(decode(&[0x82, 7, 0xff]), Ok(Decoded::UnknownType(7)));
        assert_eq!(decode(&[0x81, 0x19, 1, 44]), Ok(Decoded::UnknownType(300)));
        assert_eq!(decode(&[0x83, 1, 5, 0]), Ok(Decoded::UnknownTopic(5)));
        assert_eq!(decode(&[0x83, 1, 0, 0]), Ok(Decoded::UnknownTopic(0)));
    }

    #[test]
    fn a_list_has_between_one_and_ids_max_ids() {
        let ids = vec![[0; 32]; IDS_MAX + 1];
        let frame = encode_have(Topic::Blob, &ids[..IDS_MAX]);
        assert!(frame.len() <= FRAME_BYTES_MAX);
        assert!(
            matches!(decode(body(&frame)), Ok(Decoded::Frame(Frame::Have { ids, .. })) if ids.len() == IDS_MAX)
        );
        for len in [0, IDS_MAX + 1] {
            let frame = encode_have(Topic::Blob, &ids[..len]);
            assert_eq!(decode(body(&frame)), Err(FrameError::Ids(len)));
        }
    }

    #[test]
    fn a_chunk_lies_within_its_item_and_is_no_larger_than_chunk_bytes_max() {
        let chunk = |total, offset, len: usize| {
            let frame = encode_chunk(item(), total, offset, &vec![0; len]);
            decode(body(&frame)).map(|_| ())
        };
        assert_eq!(chunk(0, 0, 0), Ok(()));
        assert_eq!(chunk(10, 9, 1), Ok(()));
        assert_eq!(chunk(10, 9, 2), Err(FrameError::Chunk));
        assert_eq!(chunk(10, 10, 0), Err(FrameError::Chunk));
        assert_eq!(chunk(u64::MAX, u64::MAX, 1), Err(FrameError::Chunk));
        assert_eq!(chunk(u64::MAX, 0, CHUNK_BYTES_MAX), Ok(()));
        assert_eq!(chunk(u64::MAX, 0, CHUNK_BYTES_MAX + 1), Err(FrameError::Chunk));
        let largest = encode_chunk(item(), u64::MAX, u64::MAX - 70_000, &vec![0; CHUNK_BYTES_MAX]);
        assert!(body(&largest).len() <= FRAME_BYTES_MAX);
    }

    #[test]
    fn a_hello_has_limits_and_a_key() {
        let outcome = |hello: &Hello| decode(body(&encode_hello(hello))).map(|_| ());
        assert_eq!(outcome(&Hello { card: vec![0; CARD_BYTES_MAX], ..hello() }), Ok(()));
        let long = Hello { card: vec![0; CARD_BYTES_MAX + 1], ..hello() };
        assert_eq!(outcome(&long), Err(FrameError::CardTooLong));
        assert_eq!(outcome(&Hello { boards: vec![[0; 16]; BOARDS_MAX], ..hello() }), Ok(()));
        let many = Hello { boards: vec![[0; 16]; BOARDS_MAX + 1], ..hello() };
        assert_eq!(outcome(&many), Err(FrameError::TooManyBoards));
        assert_eq!(outcome(&Hello { version: 0, ..hello() }), Err(FrameError::Version));
        let mut bytes = encode_hello(&hello());
        bytes[9..41].fill(0);
        assert_eq!(decode(body(&bytes)), Err(FrameError::Node));
    }

    #[test]
    fn a_later_version_may_add_to_its_hello_and_this_one_may_not() {
        let add = |version| {
            let mut bytes = encode_hello(&Hello { version, ..hello() });
            bytes[4] += 1;
            bytes.push(0xf5);
            decode(body(&bytes)).map(|_| ())
        };
        assert_eq!(add(2), Ok(()));
        assert_eq!(add(1), Err(FrameError::Malformed));
    }
}
