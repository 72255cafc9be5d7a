//! What is known of a carried bundle without reading it, and how that is kept in the index of the store.

use alloc::vec::Vec;

use cairn_bundle::{Class, Digest, NodeId};

use crate::time::Instant;

/// Most bytes that [`BundleRecord::encode`] makes.
pub const RECORD_BYTES_MAX: usize = 161;

/// A bundle without tokens waits at least so many milliseconds for a delivery notice.
pub const RENEW_MS_MIN: u64 = 30 * 60 * 1_000;

/// Elements of the array that stands for a record. Another number is another version.
const ELEMENTS: u64 = 12;

/// What the engine knows of a bundle it carries.
///
/// `source`, `neighbour`, `bytes` and `kept_since` stay as they are while the bundle is carried: quotas give back by
/// them what they counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleRecord {
    /// The host's row number of its bytes.
    pub place: u64,
    /// The node it is for; `None` if its destination is not one node.
    pub destination: Option<NodeId>,
    /// The node that wrote it, if it says so and its signature was checked.
    pub source: Option<NodeId>,
    /// The neighbour that it came from; `None` for this node's own.
    pub neighbour: Option<NodeId>,
    /// Size in bytes.
    pub bytes: u64,
    /// How urgent it is treated: as its source says, or less ([`BundleRecord::disown`], [`Alerts`](crate::alerts::Alerts)).
    pub class: Class,
    /// What its age block says, in milliseconds at `kept_since`; `None` without one.
    pub age_ms: Option<u64>,
    /// How long it may still be kept, in milliseconds from `kept_since`.
    pub remaining_ms: u64,
    /// Since when it is here, in node time.
    pub kept_since: Instant,
    /// Copies that this node may still hand on, its own one included. At zero it is passive: it goes to its destination
    /// only, and is evicted first.
    pub copies: u8,
    /// When the last of its tokens went on, in node time; they come back when it has waited long enough for a delivery
    /// notice since ([`BundleRecord::tokens`]).
    pub handed_at: Option<Instant>,
    /// Whether it may be cut into fragments.
    pub may_fragment: bool,
    /// Whether it is a fragment.
    pub fragment: bool,
}

/// Some bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end inside the record.
    #[error("the record ends too early")]
    Truncated,
    /// The array has another length than any version that is known here.
    #[error("the record is of another version, with {0} elements")]
    Version(u64),
    /// A value of another type, out of its range, or not in its shortest form.
    #[error("the record has a value that does not belong there")]
    Value,
    /// Bytes follow the record.
    #[error("bytes follow after the record")]
    Trailing,
}

impl BundleRecord {
    /// Nobody vouches for its source, nor for its class: whoever brought it answers for it.
    pub fn disown(&mut self) {
        self.source = None;
        self.class = self.class.max(Class::Normal);
    }

    /// The record as a deterministic CBOR array (RFC 8949 section 4.2.1) of at most [`RECORD_BYTES_MAX`] bytes:
    /// place, destination, source, neighbour, bytes, class (0 alert, 1 normal, 2 bulk), age, remaining, kept since
    /// (milliseconds), copies, handed on at (milliseconds), flags (1 may be cut, 2 is a fragment). What is unknown is null.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(RECORD_BYTES_MAX);
        head(&mut out, ARRAY, ELEMENTS);
        head(&mut out, UINT, self.place);
        for node in [&self.destination, &self.source, &self.neighbour] {
            put_node(&mut out, node.as_ref());
        }
        head(&mut out, UINT, self.bytes);
        head(&mut out, UINT, self.class.code());
        match self.age_ms {
            Some(age_ms) => head(&mut out, UINT, age_ms),
            None => out.push(NULL),
        }
        head(&mut out, UINT, self.remaining_ms);
        head(&mut out, UINT, self.kept_since.as_ms());
        head(&mut out, UINT, u64::from(self.copies));
        match self.handed_at {
            Some(handed_at) => head(&mut out, UINT, handed_at.as_ms()),
            None => out.push(NULL),
        }
        let flags = [(self.may_fragment, 1), (self.fragment, 2)];
        head(&mut out, UINT, flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum());
        out
    }

    /// Reads what [`BundleRecord::encode`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`RecordError`] for every other input. Node ids are taken as they are ([`NodeId::from_stored`]): a record comes
    /// from this node's own store only, never from a peer.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut input = Input { rest: bytes };
        match input.head(ARRAY)? {
            ELEMENTS => {}
            other => return Err(RecordError::Version(other)),
        }
        let place = input.uint()?;
        let (destination, source, neighbour) = (input.node()?, input.node()?, input.node()?);
        let size = input.uint()?;
        let class = class_of(input.uint()?)?;
        let age_ms = input.optional_uint()?;
        let remaining_ms = input.uint()?;
        let kept_since = Instant::from_ms(input.uint()?);
        let copies = u8::try_from(input.uint()?).map_err(|_| RecordError::Value)?;
        let handed_at = input.optional_uint()?.map(Instant::from_ms);
        let flags = input.uint()?;
        if flags >= 4 {
            return Err(RecordError::Value);
        }
        if !input.rest.is_empty() {
            return Err(RecordError::Trailing);
        }
        Ok(Self {
            place,
            destination,
            source,
            neighbour,
            bytes: size,
            class,
            age_ms,
            remaining_ms,
            kept_since,
            copies,
            handed_at,
            may_fragment: flags & 1 != 0,
            fragment: flags & 2 != 0,
        })
    }

    /// When it may no longer be kept.
    #[must_use]
    pub const fn expires(&self) -> Instant {
        self.kept_since.plus_ms(self.remaining_ms)
    }

    /// Milliseconds that it may still be kept at `now`; zero once it has expired.
    #[must_use]
    pub fn remaining_at(&self, now: Instant) -> u64 {
        self.remaining_ms.saturating_sub(now - self.kept_since)
    }

    /// How much age it has gained here until `at`, in milliseconds; zero if it has no age block.
    #[must_use]
    pub fn age_gained(&self, at: Instant) -> u64 {
        self.age_ms.map_or(0, |_| at - self.kept_since)
    }

    /// Its size in bytes when it is sent with the age that it has at `at`.
    #[must_use]
    pub fn bytes_at(&self, at: Instant) -> u64 {
        let Some(age_ms) = self.age_ms else { return self.bytes };
        let aged = age_ms.saturating_add(self.age_gained(at));
        self.bytes.saturating_add(uint_bytes(aged)).saturating_sub(uint_bytes(age_ms))
    }

    /// Whether this node made it, or took it from an application here.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.neighbour.is_none()
    }

    /// Copies that may be handed on at `now`. Once all of them went on and no delivery notice came for as long as it had
    /// been here before (at least [`RENEW_MS_MIN`], and a quarter of the lifetime that was left: notices take their time as
    /// well), a carrier gets one back and the author `renewed`: whoever got them may be gone for good. Each time it waits
    /// twice as long.
    #[must_use]
    pub fn tokens(&self, now: Instant, renewed: u8) -> u8 {
        let Some(handed_at) = self.handed_at.filter(|_| self.copies == 0) else { return self.copies };
        let patience = (handed_at - self.kept_since).max(RENEW_MS_MIN).max(self.remaining_at(handed_at) / 4);
        match now - handed_at >= patience {
            true if self.is_own() => renewed.max(1),
            true => 1,
            false => 0,
        }
    }

    /// Whether a peer may be offered it at all: not what it wrote itself, and not what came from it.
    #[must_use]
    pub fn may_go_to(&self, peer: &NodeId) -> bool {
        self.source.as_ref() != Some(peer) && self.neighbour.as_ref() != Some(peer)
    }
}

/// The first 64 bits of an id: what bounded memories of ids keep of it.
pub(crate) fn id_prefix(id: &Digest) -> u64 {
    id.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

const UINT: u8 = 0;
const BYTES: u8 = 2;
const ARRAY: u8 = 4;
const NULL: u8 = 0xf6;

/// A record is only written by this node, so a class that is not known is damage here, not bulk.
const fn class_of(code: u64) -> Result<Class, RecordError> {
    if code <= Class::Bulk.code() { Ok(Class::from_code(code)) } else { Err(RecordError::Value) }
}

/// Bytes of an unsigned integer in deterministic CBOR (RFC 8949 section 4.2.1).
const fn uint_bytes(value: u64) -> u64 {
    match value {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    let be = value.to_be_bytes();
    let [.., d, c, b, a] = be;
    match uint_bytes(value) {
        1 => out.push(major | a),
        2 => out.extend([major | 24, a]),
        3 => out.extend([major | 25, b, a]),
        5 => out.extend([major | 26, d, c, b, a]),
        _ => {
            out.push(major | 27);
            out.extend(be);
        }
    }
}

fn put_node(out: &mut Vec<u8>, node: Option<&NodeId>) {
    match node {
        Some(node) => {
            head(out, BYTES, 32);
            out.extend(node.as_bytes());
        }
        None => out.push(NULL),
    }
}

/// What is left to read of a record.
struct Input<'a> {
    rest: &'a [u8],
}

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(RecordError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The argument of a head of this major type, in its shortest form.
    fn head(&mut self, major: u8) -> Result<u64, RecordError> {
        let [first] = self.take()?;
        if first >> 5 != major {
            return Err(RecordError::Value);
        }
        let (value, len) = match first & 0x1f {
            small @ 0..24 => (u64::from(small), 1),
            24 => (u64::from(u8::from_be_bytes(self.take()?)), 2),
            25 => (u64::from(u16::from_be_bytes(self.take()?)), 3),
            26 => (u64::from(u32::from_be_bytes(self.take()?)), 5),
            27 => (u64::from_be_bytes(self.take()?), 9),
            _ => return Err(RecordError::Value),
        };
        if uint_bytes(value) == len { Ok(value) } else { Err(RecordError::Value) }
    }

    fn uint(&mut self) -> Result<u64, RecordError> {
        self.head(UINT)
    }

    fn null(&mut self) -> bool {
        match self.rest {
            [NULL, rest @ ..] => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn optional_uint(&mut self) -> Result<Option<u64>, RecordError> {
        if self.null() { Ok(None) } else { self.uint().map(Some) }
    }

    fn node(&mut self) -> Result<Option<NodeId>, RecordError> {
        if self.null() {
            return Ok(None);
        }
        if self.head(BYTES)? != 32 {
            return Err(RecordError::Value);
        }
        Ok(Some(NodeId::from_stored(self.take()?)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A node of a small number.
    pub(crate) fn node(n: u8) -> NodeId {
        NodeId::from_stored([n; 32])
    }

    /// A bundle of somebody else's, as it is carried: 100 bytes, one hour from 100 ms on.
    pub(crate) fn record() -> BundleRecord {
        BundleRecord {
            place: 7,
            destination: Some(node(9)),
            source: Some(node(8)),
            neighbour: Some(node(1)),
            bytes: 100,
            class: Class::Normal,
            age_ms: Some(20),
            remaining_ms: 3_600_000,
            kept_since: Instant::from_ms(100),
            copies: 8,
            handed_at: None,
            may_fragment: true,
            fragment: false,
        }
    }

    prop_compose! {
        fn any_record()(
            place in any::<u64>(),
            nodes in [proptest::option::of(0_u8..4), proptest::option::of(0_u8..4), proptest::option::of(0_u8..4)],
            (bytes, remaining_ms, kept) in any::<(u64, u64, u64)>(),
            shift in 0_u32..64,
            age in proptest::option::of(any::<u64>()),
            class in 0_u64..3,
            copies in any::<u8>(),
            handed in proptest::option::of(any::<u64>()),
            [may_fragment, fragment] in any::<[bool; 2]>(),
        ) -> BundleRecord {
            let [destination, source, neighbour] = nodes.map(|n| n.map(node));
            BundleRecord {
                place: place >> shift,
                destination,
                source,
                neighbour,
                bytes: bytes >> shift,
                class: class_of(class).unwrap(),
                age_ms: age.map(|age| age >> shift),
                remaining_ms: remaining_ms >> shift,
                kept_since: Instant::from_ms(kept >> shift),
                copies,
                handed_at: handed.map(|at| Instant::from_ms(at >> shift)),
                may_fragment,
                fragment,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn a_record_comes_back_as_it_was(record in any_record()) {
            let bytes = record.encode();
            prop_assert!(bytes.len() <= RECORD_BYTES_MAX);
            prop_assert_eq!(BundleRecord::decode(&bytes), Ok(record));
        }

        #[test]
        fn only_what_encode_writes_is_read(record in any_record(), at in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut bytes = record.encode();
            let at = at % bytes.len();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] = byte;
            }
            if let Ok(read) = BundleRecord::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = BundleRecord::decode(&bytes);
        }
    }

    #[test]
    fn a_record_of_everyday_is_short() {
        assert!(record().encode().len() <= 128);
        let largest = BundleRecord {
            place: u64::MAX,
            bytes: u64::MAX,
            age_ms: Some(u64::MAX),
            remaining_ms: u64::MAX,
            kept_since: Instant::from_ms(u64::MAX),
            copies: u8::MAX,
            handed_at: Some(Instant::from_ms(u64::MAX)),
            ..record()
        };
        assert_eq!(largest.encode().len(), RECORD_BYTES_MAX);
    }

    #[test]
    fn tokens_come_back_after_twice_the_time_each_time() {
        let carried = BundleRecord { copies: 0, handed_at: Some(Instant::from_ms(100)), ..record() };
        let at = |ms| Instant::from_ms(100 + ms);
        assert_eq!(carried.tokens(at(RENEW_MS_MIN - 1), 4), 0);
        assert_eq!(carried.tokens(at(RENEW_MS_MIN), 4), 1);
        let own = BundleRecord { neighbour: None, ..carried };
        assert_eq!((own.tokens(at(RENEW_MS_MIN), 4), own.tokens(at(RENEW_MS_MIN), 0)), (4, 1));
        let again = BundleRecord { handed_at: Some(at(2 * RENEW_MS_MIN)), ..carried };
        assert_eq!(again.tokens(at(4 * RENEW_MS_MIN - 1), 4), 0);
        assert_eq!(again.tokens(at(4 * RENEW_MS_MIN), 4), 1);
        assert_eq!(record().tokens(at(RENEW_MS_MIN), 4), 8);
    }

    #[test]
    fn what_does_not_belong_there_is_refused_with_the_reason() {
        let good = record().encode();
        assert_eq!(BundleRecord::decode(&[]), Err(RecordError::Truncated));
        assert_eq!(BundleRecord::decode(&[0x80]), Err(RecordError::Version(0)));
        assert_eq!(BundleRecord::decode(&[0x8b]), Err(RecordError::Version(11)));
        assert_eq!(BundleRecord::decode(&[good.clone(), [0].to_vec()].concat()), Err(RecordError::Trailing));
        // Flags beyond those known, and an array whose length is written too long.
        let flags = [&good[..good.len() - 1], &[4]].concat();
        assert_eq!(BundleRecord::decode(&flags), Err(RecordError::Value));
        let long = [&[0x98, 11], &good[1..]].concat();
        assert_eq!(BundleRecord::decode(&long), Err(RecordError::Value));
    }

    #[test]
    fn a_bundle_expires_after_its_time_and_not_before() {
        let record = BundleRecord { remaining_ms: 50, ..record() };
        assert_eq!(record.expires(), Instant::from_ms(150));
        assert_eq!(record.remaining_at(Instant::from_ms(149)), 1);
        assert_eq!(record.remaining_at(Instant::from_ms(150)), 0);
        assert_eq!(record.remaining_at(Instant::ZERO), 50);
        let for_ever = BundleRecord { remaining_ms: u64::MAX, ..record };
        assert_eq!(for_ever.expires(), Instant::from_ms(u64::MAX));
    }

    #[test]
    fn a_bundle_goes_back_neither_to_its_author_nor_to_where_it_came_from() {
        let record = record();
        assert!(!record.may_go_to(&node(1)) && !record.may_go_to(&node(8)));
        assert!(record.may_go_to(&node(9)) && !record.is_own());
    }

    #[test]
    fn a_bundle_grows_by_the_bytes_of_its_age() {
        let record = record();
        assert_eq!(record.bytes_at(Instant::from_ms(100)), 100);
        let at = Instant::from_ms(103);
        assert_eq!((record.age_gained(at), record.bytes_at(at)), (3, 100));
        assert_eq!(record.bytes_at(Instant::from_ms(104)), 101);
        assert_eq!(record.bytes_at(Instant::from_ms(100 + 70_000)), 104);
        let (ageless, at) = (BundleRecord { age_ms: None, ..record }, Instant::from_ms(900));
        assert_eq!((ageless.age_gained(at), ageless.bytes_at(at)), (0, 100));
    }

    #[test]
    fn the_prefix_of_an_id_is_its_first_eight_bytes() {
        let mut id = Digest([0; 32]);
        id.0[7] = 3;
        id.0[8] = 9;
        assert_eq!(id_prefix(&id), 3);
    }
}
