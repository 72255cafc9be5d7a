//! The drop format: what two nodes say to each other when a directory is carried between them.
//!
//! A drop holds files named [`file_name`]; each is one ordinary BPv7 bundle, signed by its sender and sealed to its
//! recipient by the node. The payload of such a bundle is a *parcel*: [`TAG`], then a run of whole meet frames that
//! begins with a Hello. A parcel stands alone: it can be lost, come twice or come in any order, so the receiver
//! feeds each one to a fresh [`Mode::Carried`](crate::Mode::Carried) meet. Acknowledgements travel in a parcel on the return trip:
//! the node queues them with [`Meet::ack`](crate::Meet::ack) on the meet that writes it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cairn_bundle::Digest;

use crate::event::{MeetError, MeetEvent, Transmit};
use crate::frame::{
    CHUNK_BYTES_MAX, Decoded, Frame, FrameError, PREFIX_BYTES, decode, encode_chunk, encode_hello,
};
use crate::framer::body_len;
use crate::hello::{BOARDS_MAX, CARD_BYTES_MAX, Hello};
use crate::item::Item;
use crate::meet::Meet;

/// First bytes of every parcel.
pub const TAG: &[u8; 12] = b"CAIRN-MEET-1";
/// Size at which a parcel is closed and the next one begun. An item never splits over parcels, so one that
/// is larger than this makes a larger parcel: [`bytes_hard_max`].
pub const PARCEL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Ending of the name of a parcel's file.
pub const FILE_SUFFIX: &str = ".bpv7";
/// Most bytes that a Chunk frame adds to the bytes it carries: prefix, array head, type, topic, id, two lengths, and
/// the head of the bytes.
const CHUNK_OVERHEAD_MAX: u64 = 4 + 1 + 1 + 1 + 34 + 9 + 9 + 5;
/// Longest Hello frame: prefix, array head, type, version, node, card, limit, boards, time.
const HELLO_BYTES_MAX: usize = 4 + 1 + 1 + 2 + 34 + (3 + CARD_BYTES_MAX) + 9 + (3 + BOARDS_MAX * 16) + 9;
/// How much of a parcel is handed to a meet at a time, so that events are drained in between.
const READ_BYTES: usize = 64 * 1024;

/// Why some bytes are not a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParcelError {
    /// The tag is missing: some other bundle.
    #[error("this is not a parcel")]
    Tag,
    /// The bytes end in the middle of a frame.
    #[error("the parcel is cut off")]
    Cut,
    /// The first frame is not a Hello.
    #[error("the parcel does not begin with a Hello")]
    NoHello,
    /// A frame that no meet takes.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frames are no conversation.
    #[error(transparent)]
    Meet(#[from] MeetError),
}

/// Collects frames into parcels.
#[derive(Debug)]
pub struct ParcelWriter {
    hello: Vec<u8>,
    bytes_max: usize,
    parcel: Vec<u8>,
    /// A Copies frame that waits for the item it is about.
    copies: Vec<u8>,
}

impl ParcelWriter {
    /// Begins each parcel with this Hello, and closes it before it exceeds `bytes_max`.
    #[must_use]
    pub fn new(hello: &Hello, bytes_max: usize) -> Self {
        Self { hello: encode_hello(hello), bytes_max, parcel: Vec::new(), copies: Vec::new() }
    }

    /// Adds frames that must stay together: all chunks of one item, or one frame of any other type. Hands out the
    /// parcel before, if they do not fit into it any more. A Copies frame waits for what comes next, since an
    /// item and the number of its copies must not be parted; an item that is left out leaves it without effect.
    pub fn push(&mut self, frames: &[u8]) -> Option<Vec<u8>> {
        if is_copies(frames) {
            self.copies = frames.to_vec();
            return None;
        }
        let copies = core::mem::take(&mut self.copies);
        let more = copies.len().saturating_add(frames.len());
        let full = if self.parcel.len().saturating_add(more) > self.bytes_max { self.close() } else { None };
        if self.parcel.is_empty() {
            self.parcel.extend_from_slice(TAG);
            self.parcel.extend_from_slice(&self.hello);
        }
        self.parcel.extend_from_slice(&copies);
        self.parcel.extend_from_slice(frames);
        full
    }

    /// The last parcel; `None` if there is nothing in it.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<u8>> {
        self.close()
    }

    fn close(&mut self) -> Option<Vec<u8>> {
        let parcel = core::mem::take(&mut self.parcel);
        (!parcel.is_empty()).then_some(parcel)
    }
}

fn is_copies(frames: &[u8]) -> bool {
    let first = frames.split_first_chunk::<PREFIX_BYTES>().and_then(|(prefix, rest)| {
        let body = rest.get(..body_len(*prefix).ok()?)?;
        decode(body).ok()
    });
    matches!(first, Some(Decoded::Frame(Frame::Copies { .. })))
}

/// Longest parcel that a node with this item limit has to take. A longer file need not be read.
#[must_use]
pub const fn bytes_hard_max(item_bytes_max: u64) -> u64 {
    // Twice the same numbers, since a length cannot become a u64 in a const fn without a cast.
    const CHUNK: u64 = 64 * 1024;
    const PARCEL: u64 = 4 * 1024 * 1024;
    const { assert!(CHUNK_BYTES_MAX == 64 * 1024 && PARCEL_BYTES_MAX == 4 * 1024 * 1024) };
    const { assert!(TAG.len() + HELLO_BYTES_MAX < 4096) };
    let chunks = item_bytes_max / CHUNK + 1;
    let item = item_bytes_max.saturating_add(chunks.saturating_mul(CHUNK_OVERHEAD_MAX)).saturating_add(4096);
    if item > PARCEL { item } else { PARCEL }
}

/// Checks that a bundle's payload is a parcel, and returns its frames: whole ones, the first a Hello.
///
/// # Errors
/// [`ParcelError`] names the first thing that is wrong. The frames behind the first are not looked into.
pub fn parcel_frames(payload: &[u8]) -> Result<&[u8], ParcelError> {
    let frames = payload.strip_prefix(TAG).ok_or(ParcelError::Tag)?;
    let mut first = true;
    let mut rest = frames;
    while !rest.is_empty() {
        let (prefix, behind) = rest.split_first_chunk::<PREFIX_BYTES>().ok_or(ParcelError::Cut)?;
        let (body, behind) = behind.split_at_checked(body_len(*prefix)?).ok_or(ParcelError::Cut)?;
        if first && !matches!(decode(body)?, Decoded::Frame(Frame::Hello(_))) {
            return Err(ParcelError::NoHello);
        }
        first = false;
        rest = behind;
    }
    if first { Err(ParcelError::NoHello) } else { Ok(frames) }
}

/// Drains a carried meet into parcels of about [`PARCEL_BYTES_MAX`].
///
/// `read` delivers bytes of an item (offset, length); an item that it cannot deliver is withdrawn and left out as
/// a whole. `out` takes each finished payload, to be sealed and written. What was handed out counts as sent, not
/// as received: keep the items until they are acknowledged.
pub fn pump_carried(
    meet: &mut Meet,
    read: &mut dyn FnMut(Item, u64, u64) -> Option<Vec<u8>>,
    out: &mut dyn FnMut(Vec<u8>),
) {
    let mut writer = ParcelWriter::new(meet.hello(), PARCEL_BYTES_MAX);
    let hello = encode_hello(meet.hello());
    let mut whole = Vec::new();
    while let Some(transmit) = meet.poll_transmit() {
        let parcel = match transmit {
            // The writer begins every parcel with it.
            Transmit::Frame(frame) if frame == hello => None,
            Transmit::Frame(frame) => writer.push(&frame),
            Transmit::Chunk { item, total, offset, len } => match read_exactly(read, item, offset, len) {
                Some(bytes) => {
                    whole.extend_from_slice(&encode_chunk(item, total, offset, &bytes));
                    if offset.saturating_add(len) < total {
                        continue;
                    }
                    writer.push(&core::mem::take(&mut whole))
                }
                None => {
                    meet.withdraw(item);
                    whole.clear();
                    None
                }
            },
        };
        parcel.into_iter().for_each(&mut *out);
    }
    writer.finish().into_iter().for_each(out);
}

fn read_exactly(
    read: &mut dyn FnMut(Item, u64, u64) -> Option<Vec<u8>>,
    item: Item,
    offset: u64,
    len: u64,
) -> Option<Vec<u8>> {
    read(item, offset, len).filter(|bytes| u64::try_from(bytes.len()) == Ok(len))
}

/// Feeds a parcel to a fresh carried meet and hands every event to `on`, so that no more than one read's worth
/// of events waits at a time.
///
/// # Errors
/// [`ParcelError`] if the payload is no parcel, or where the conversation breaks the protocol. Items that were
/// handed out before are whole and may be kept.
pub fn unpack_carried(
    meet: &mut Meet,
    payload: &[u8],
    on: &mut dyn FnMut(MeetEvent),
) -> Result<(), ParcelError> {
    for piece in parcel_frames(payload)?.chunks(READ_BYTES) {
        let handled = meet.handle_bytes(piece);
        while let Some(event) = meet.poll_event() {
            on(event);
        }
        handled?;
    }
    Ok(())
}

/// Name of the file of a parcel: the digest of the file's bytes, so that a damaged or half-written file shows.
#[must_use]
pub fn file_name(file: &Digest) -> String {
    let mut name = file.to_string();
    name.push_str(FILE_SUFFIX);
    name
}

/// The digest that a file's name promises; `None` for a name that is no parcel's.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<Digest> {
    name.strip_suffix(FILE_SUFFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Topic;
    use crate::limits::MeetLimits;
    use crate::meet::Mode;
    use alloc::vec;
    use cairn_bundle::Identity;

    fn hello() -> Hello {
        Hello {
            version: u8::MAX,
            node: Identity::from_seed(&[1; 32]).node_id(),
            card: vec![7; CARD_BYTES_MAX],
            item_bytes_max: u64::MAX,
            boards: vec![[9; 16]; BOARDS_MAX],
            wall_time: Some(u64::MAX),
        }
    }

    #[test]
    fn the_overheads_cover_the_longest_frames() {
        assert_eq!(encode_hello(&hello()).len(), HELLO_BYTES_MAX);
        let item = Item::new(Topic::Blob, Digest([1; 32]));
        let chunk = encode_chunk(item, u64::MAX, u64::MAX, &vec![0; CHUNK_BYTES_MAX]);
        assert_eq!(u64::try_from(chunk.len() - CHUNK_BYTES_MAX), Ok(CHUNK_OVERHEAD_MAX));
        assert_eq!(bytes_hard_max(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_writer_begins_every_parcel_with_a_hello_and_splits_at_the_limit() {
        let empty = ParcelWriter::new(&hello(), 100);
        assert_eq!(empty.finish(), None);
        let mut writer = ParcelWriter::new(&hello(), TAG.len() + HELLO_BYTES_MAX + 12);
        let bye = crate::frame::encode_bye();
        assert_eq!(writer.push(&bye), None);
        assert_eq!(writer.push(&bye), None);
        let first = writer.push(&bye).expect("the third does not fit");
        let second = writer.finish().expect("the third is in it");
        assert_eq!(first.len(), TAG.len() + HELLO_BYTES_MAX + 12);
        assert_eq!(second.len(), TAG.len() + HELLO_BYTES_MAX + 6);
        for parcel in [&first, &second] {
            assert!(parcel_frames(parcel).is_ok());
        }
    }

    #[test]
    fn a_parcel_cut_anywhere_is_no_parcel_or_a_shorter_one() {
        let mut writer = ParcelWriter::new(&hello(), PARCEL_BYTES_MAX);
        writer.push(&crate::frame::encode_bye());
        let parcel = writer.finish().unwrap();
        let hello_only = TAG.len() + HELLO_BYTES_MAX;
        for cut in 0..parcel.len() {
            let outcome = parcel_frames(&parcel[..cut]).map(|_| ());
            let expected = match cut {
                0..12 => Err(ParcelError::Tag),
                12 => Err(ParcelError::NoHello),
                _ if cut == hello_only => Ok(()),
                _ => Err(ParcelError::Cut),
            };
            assert_eq!(outcome, expected, "cut to {cut} bytes");
        }
        let headless = [TAG.as_slice(), &crate::frame::encode_bye()].concat();
        assert_eq!(parcel_frames(&headless), Err(ParcelError::NoHello));
    }

    #[test]
    fn an_item_that_cannot_be_read_is_left_out_as_a_whole() {
        let mut meet = Meet::new(Mode::Carried, hello(), MeetLimits::default());
        let good = Item::new(Topic::Blob, Digest([1; 32]));
        let bad = Item::new(Topic::Blob, Digest([2; 32]));
        meet.offer(bad, 200_000);
        meet.offer(good, 100_000);
        let mut parcels = Vec::new();
        let mut read = |item, offset, len: u64| {
            (item == good || offset != 65_536)
                .then(|| vec![3; usize::try_from(len).expect("a chunk fits into memory")])
        };
        pump_carried(&mut meet, &mut read, &mut |parcel| parcels.push(parcel));
        assert_eq!(parcels.len(), 1);
        let mut reader = Meet::new(Mode::Carried, hello(), MeetLimits::default());
        let mut received = Vec::new();
        let read = unpack_carried(&mut reader, &parcels[0], &mut |event| received.push(event));
        assert_eq!(read, Ok(()));
        assert!(
            matches!(received[..], [MeetEvent::Peer(_), MeetEvent::Received { item, .. }] if item == good)
        );
        assert!(meet.is_idle());
    }

    #[test]
    fn a_file_name_is_the_digest_and_has_one_spelling() {
        let digest = Digest::of(b"stone");
        let name = file_name(&digest);
        assert_eq!(name.len(), 57);
        assert_eq!(parse_file_name(&name), Some(digest));
        // The last character carries one bit; the others of its five must be zero.
        for last in 'a'..='z' {
            let other = alloc::format!("{}{last}.bpv7", &name[..51]);
            assert!(other == name || parse_file_name(&other) != Some(digest), "{other}");
        }
        for other in ["", ".bpv7", "stone.bpv7", &name[1..], &name.to_uppercase(), name.trim_end_matches('7')]
        {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }
}
