//! One signed fact: its core, its ids and its two wire forms.

use alloc::vec::Vec;

use cairn_bundle::{BadSignature, Digest, Identity, NodeId, Signature, verify};

use crate::cbor::{self, Reader, Writer, WrongShape};
use crate::ids::{StreamId, derive};
use crate::record::Record;

/// An entry on the wire is no longer than this.
pub const ENTRY_BYTES_MAX: usize = 512;

/// The signed core has this many bytes.
pub const CORE_BYTES: usize = 87;

const SIGNED_PREFIX: &[u8; 6] = b"tally1";
const CORE_VERSION: u8 = 1;
const NO_PREV: Digest = Digest([0; 32]);

/// Why some bytes are not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Longer than any entry may be.
    #[error("an entry has at most {ENTRY_BYTES_MAX} bytes")]
    TooLarge,
    /// Cut off, trailed by more bytes, or not in the one deterministic form.
    #[error("not one item of deterministic CBOR")]
    NotCanonical,
    /// Canonical, but without the fields of an entry.
    #[error("not the fields of an entry")]
    Shape,
    /// The author is no Ed25519 key.
    #[error("the author is not an Ed25519 public key")]
    Author,
    /// The first entry of a stream names a predecessor.
    #[error("the first entry of a stream has no predecessor")]
    Start,
    /// A known kind with a body that is not its own.
    #[error("the body does not fit the kind of the entry")]
    Body,
    /// The author did not sign this.
    #[error("the signature is not valid")]
    Signature,
}

impl From<WrongShape> for EntryError {
    fn from(_: WrongShape) -> Self {
        Self::Shape
    }
}

impl From<BadSignature> for EntryError {
    fn from(_: BadSignature) -> Self {
        Self::Signature
    }
}

/// A place in an author's log: two different entries at one place are an equivocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The stream.
    pub stream: StreamId,
    /// The epoch of the stream.
    pub epoch: u16,
    /// The number in the epoch.
    pub seq: u32,
}

/// An entry as it came in: well formed, with nothing known about its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    kind: u8,
    author: NodeId,
    place: Place,
    prev: Digest,
    time: u32,
    body: Vec<u8>,
    record: Record,
    signature: Signature,
}

/// What both ends of a session know already, so that the session form leaves it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionContext {
    /// Who signed.
    pub author: NodeId,
    /// In which stream.
    pub stream: StreamId,
    /// In which epoch.
    pub epoch: u16,
    /// The id of the entry before.
    pub prev: Digest,
}

/// An entry whose signature holds. There is no other way to one than a check or the secret key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEntry {
    entry: Entry,
    rest: [u8; 32],
    id: Digest,
}

/// The fields that an author chooses for a new entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft<'a> {
    /// Where it goes.
    pub place: Place,
    /// The id of the entry before it, zeros at the start of a stream.
    pub prev: Digest,
    /// Seconds since 2020-01-01 UTC, advisory.
    pub time: u32,
    /// The kind number.
    pub kind: u8,
    /// A positional CBOR array in deterministic form.
    pub body: &'a [u8],
}

impl Entry {
    /// Parses the standalone form `[kind, author, stream, epoch, seq, prev, time, body, sig]`.
    ///
    /// # Errors
    /// Any [`EntryError`] but [`EntryError::Signature`]; nothing is hashed before the form is right.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        check_form(bytes)?;
        let mut reader = Reader::new(bytes);
        reader.array_of(9)?;
        let kind = reader.uint()?;
        let author = NodeId::from_bytes(reader.bytes()?).map_err(|_| EntryError::Author)?;
        let stream = StreamId(reader.bytes()?);
        let place = Place { stream, epoch: reader.uint()?, seq: reader.uint()? };
        let prev = Digest(reader.bytes()?);
        Self::decode_tail(kind, author, place, prev, &mut reader)
    }

    /// Parses the session form `[kind, seq, time, body, sig]`.
    ///
    /// # Errors
    /// As [`Entry::decode`].
    pub fn decode_session(bytes: &[u8], context: &SessionContext) -> Result<Self, EntryError> {
        check_form(bytes)?;
        let mut reader = Reader::new(bytes);
        reader.array_of(5)?;
        let kind = reader.uint()?;
        let place = Place { stream: context.stream, epoch: context.epoch, seq: reader.uint()? };
        Self::decode_tail(kind, context.author, place, context.prev, &mut reader)
    }

    fn decode_tail(
        kind: u8,
        author: NodeId,
        place: Place,
        prev: Digest,
        reader: &mut Reader<'_>,
    ) -> Result<Self, EntryError> {
        let time = reader.uint()?;
        let body = reader.raw()?;
        let signature = reader.bytes()?;
        reader.end()?;
        if (place.epoch, place.seq) == (0, 0) && prev != NO_PREV {
            return Err(EntryError::Start);
        }
        let record = Record::decode(kind, body).map_err(|_| EntryError::Body)?;
        Ok(Self { kind, author, place, prev, time, body: body.to_vec(), record, signature })
    }

    /// Checks the signature with `verify_strict`.
    ///
    /// # Errors
    /// [`EntryError::Signature`] if the author did not sign exactly this.
    pub fn verify(self) -> Result<VerifiedEntry, EntryError> {
        let rest = rest_of(self.kind, &self.prev, self.time, &self.body);
        let core = core_of(&self.author, &self.place, &rest);
        verify(&self.author, &signed_bytes(&core), &self.signature)?;
        Ok(VerifiedEntry { id: id_of(&core), rest, entry: self })
    }
}

impl VerifiedEntry {
    /// Parses the standalone form and checks the signature.
    ///
    /// # Errors
    /// Any [`EntryError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        Entry::decode(bytes)?.verify()
    }

    /// Signs an entry as it is drafted, whatever it does to the signer: an honest node signs through
    /// [`Author`](crate::Author), which keeps the duties.
    ///
    /// # Errors
    /// [`EntryError`] if nobody would take the result for an entry.
    pub fn sign(identity: &Identity, draft: &Draft<'_>) -> Result<Self, EntryError> {
        let Draft { place, prev, time, kind, body } = *draft;
        cbor::check(body).map_err(|_| EntryError::NotCanonical)?;
        if (place.epoch, place.seq) == (0, 0) && prev != NO_PREV {
            return Err(EntryError::Start);
        }
        let record = Record::decode(kind, body).map_err(|_| EntryError::Body)?;
        let author = identity.node_id();
        let rest = rest_of(kind, &prev, time, body);
        let core = core_of(&author, &place, &rest);
        let signature = identity.sign(&signed_bytes(&core));
        let entry = Entry { kind, author, place, prev, time, body: body.to_vec(), record, signature };
        let signed = Self { id: id_of(&core), rest, entry };
        if signed.encode().len() > ENTRY_BYTES_MAX { Err(EntryError::TooLarge) } else { Ok(signed) }
    }

    /// The standalone form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let entry = &self.entry;
        let writer = Writer::array(9).uint(entry.kind).bytes(entry.author.as_bytes());
        let writer = writer.bytes(&entry.place.stream.0).uint(entry.place.epoch).uint(entry.place.seq);
        let writer = writer.bytes(entry.prev.as_bytes()).uint(entry.time);
        writer.raw(&entry.body).bytes(&entry.signature).finish()
    }

    /// The session form, for a reader that knows the [`VerifiedEntry::session_context`].
    #[must_use]
    pub fn encode_session(&self) -> Vec<u8> {
        let entry = &self.entry;
        let writer = Writer::array(5).uint(entry.kind).uint(entry.place.seq).uint(entry.time);
        writer.raw(&entry.body).bytes(&entry.signature).finish()
    }

    /// What the session form leaves out.
    #[must_use]
    pub const fn session_context(&self) -> SessionContext {
        let Place { stream, epoch, seq: _ } = self.entry.place;
        SessionContext { author: self.entry.author, stream, epoch, prev: self.entry.prev }
    }

    /// The entry's name, which covers everything but the signature.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// Who signed.
    #[must_use]
    pub const fn author(&self) -> NodeId {
        self.entry.author
    }

    /// Where in the author's log it stands.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.entry.place
    }

    /// The id of the entry before it, zeros at the start of a stream.
    #[must_use]
    pub const fn prev(&self) -> Digest {
        self.entry.prev
    }

    /// Seconds since 2020-01-01 UTC as the author saw them: advisory, moves no money.
    #[must_use]
    pub const fn time(&self) -> u32 {
        self.entry.time
    }

    /// The kind number.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.entry.kind
    }

    /// What it says.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.entry.record
    }

    /// Whether it stands in the stream of what its author states to `peer`.
    #[must_use]
    pub fn is_to(&self, peer: &NodeId) -> bool {
        self.entry.place.stream == StreamId::edge(&self.entry.author, peer)
    }

    /// The hidden part of the core and the signature: one half of a proof of equivocation.
    pub(crate) const fn half(&self) -> ([u8; 32], Signature) {
        (self.rest, self.entry.signature)
    }
}

fn check_form(bytes: &[u8]) -> Result<(), EntryError> {
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(EntryError::TooLarge);
    }
    cbor::check(bytes).map_err(|_| EntryError::NotCanonical)
}

fn rest_of(kind: u8, prev: &Digest, time: u32, body: &[u8]) -> [u8; 32] {
    let body = Digest::of(body);
    derive("tally1 rest", &[&[kind], prev.as_bytes(), &time.to_be_bytes(), body.as_bytes()])
}

fn id_of(core: &[u8; CORE_BYTES]) -> Digest {
    Digest(derive("tally1 id", &[core]))
}

/// `0x01 || author || stream || epoch || seq || rest`, integers in network order.
pub(crate) fn core_of(author: &NodeId, place: &Place, rest: &[u8; 32]) -> [u8; CORE_BYTES] {
    let mut core = [0; CORE_BYTES];
    let (epoch, seq) = (place.epoch.to_be_bytes(), place.seq.to_be_bytes());
    let fields: [&[u8]; 6] = [&[CORE_VERSION], author.as_bytes(), &place.stream.0, &epoch, &seq, rest];
    core.iter_mut().zip(fields.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    core
}

/// What the signature covers.
pub(crate) fn signed_bytes(core: &[u8; CORE_BYTES]) -> Vec<u8> {
    [&SIGNED_PREFIX[..], core].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Identity {
        Identity::from_seed(&[1; 32])
    }

    fn entry(kind: u8, body: &[u8]) -> Result<VerifiedEntry, EntryError> {
        let stream = StreamId::public(&me().node_id());
        let place = Place { stream, epoch: 0, seq: 7 };
        VerifiedEntry::sign(&me(), &Draft { place, prev: Digest([3; 32]), time: 200_000_000, kind, body })
    }

    fn unknown() -> VerifiedEntry {
        entry(200, &[0x82, 0x01, 0x42, 5, 6]).unwrap()
    }

    #[test]
    fn both_forms_go_there_and_back() {
        let entry = unknown();
        assert_eq!(VerifiedEntry::decode(&entry.encode()), Ok(entry.clone()));
        let session = Entry::decode_session(&entry.encode_session(), &entry.session_context());
        assert_eq!(session.unwrap().verify(), Ok(entry.clone()));
        assert_eq!(entry.record(), &Record::Unknown);
        assert_eq!(CORE_BYTES, core_of(&entry.author(), &entry.place(), &entry.half().0).len());
    }

    #[test]
    fn no_changed_byte_and_no_other_length_passes() {
        let bytes = unknown().encode();
        for at in 0..bytes.len() {
            assert!(VerifiedEntry::decode(&bytes[..at]).is_err(), "cut at {at}");
            for change in [1, 0x20, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                assert!(VerifiedEntry::decode(&changed).is_err(), "byte {at} ^ {change:x}");
            }
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Entry::decode(&longer), Err(EntryError::NotCanonical));
    }

    #[test]
    fn the_session_form_holds_in_its_own_session_only() {
        let entry = unknown();
        let context = entry.session_context();
        let others = [
            SessionContext { author: Identity::from_seed(&[2; 32]).node_id(), ..context },
            SessionContext { stream: StreamId([0; 16]), ..context },
            SessionContext { epoch: 1, ..context },
            SessionContext { prev: Digest([0; 32]), ..context },
        ];
        for other in others {
            let decoded = Entry::decode_session(&entry.encode_session(), &other).unwrap();
            assert_eq!(decoded.verify(), Err(EntryError::Signature));
        }
    }

    #[test]
    fn an_entry_of_the_largest_size_passes_and_one_byte_more_does_not() {
        let body_of = |filler: usize| Writer::array(1).bytes(&alloc::vec![7; filler]).finish();
        let room = ENTRY_BYTES_MAX - entry(200, &body_of(256)).unwrap().encode().len();
        let largest = entry(200, &body_of(256 + room)).unwrap().encode();
        assert_eq!(largest.len(), ENTRY_BYTES_MAX);
        assert!(VerifiedEntry::decode(&largest).is_ok());
        assert_eq!(entry(200, &body_of(257 + room)), Err(EntryError::TooLarge));
        assert_eq!(Entry::decode(&[0x80; ENTRY_BYTES_MAX + 1]), Err(EntryError::TooLarge));
    }

    #[test]
    fn what_is_not_an_entry_is_refused_with_the_reason() {
        assert_eq!(Entry::decode(&[]), Err(EntryError::NotCanonical));
        assert_eq!(Entry::decode(&[0x80]), Err(EntryError::Shape));
        assert_eq!(entry(200, &[0x18, 0x01]), Err(EntryError::NotCanonical));
        assert_eq!(entry(200, &[0x01]), Err(EntryError::Body));
        assert_eq!(entry(crate::kind::PAY, &[0x80]), Err(EntryError::Body));
        let bytes = unknown().encode();
        let mut weak = bytes;
        weak[5..37].fill(0);
        assert_eq!(Entry::decode(&weak), Err(EntryError::Author));
    }

    #[test]
    fn the_first_entry_of_a_stream_has_no_predecessor() {
        let stream = StreamId::public(&me().node_id());
        let place = Place { stream, epoch: 0, seq: 0 };
        let draft = Draft { place, prev: Digest([3; 32]), time: 0, kind: 200, body: &[0x80] };
        assert_eq!(VerifiedEntry::sign(&me(), &draft), Err(EntryError::Start));
        assert!(VerifiedEntry::sign(&me(), &Draft { prev: NO_PREV, ..draft }).is_ok());
    }
}
