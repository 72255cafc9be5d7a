//! The one shape of automerge change that a board takes: "add these documents".
//!
//! A plain automerge change chunk whose operations all put bytes under a key of
//! the root that is the digest of those bytes, in the order of the keys, and
//! overwrite nothing. Whoever reads a change finds the few facts in it, writes
//! them again and compares: so automerge itself never sees bytes that it could
//! not have written, no run length can claim more than there is, and nothing
//! compressed is ever inflated. Deletions, other types and other keys have no
//! spelling here.

use cairn_bundle::{Digest, NodeId};
use minicbor::Decoder;
use sha2::{Digest as _, Sha256};

use crate::doc::SignedDoc;

/// Most documents in one change.
pub const DOCS_PER_CHANGE_MAX: usize = 256;
/// Most changes that one change may name as its predecessors.
pub const DEPS_MAX: usize = 256;
/// Bytes of an actor id: a node id and an incarnation.
pub(crate) const ACTOR_BYTES: usize = 34;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHUNK_CHANGE: u8 = 1;
const CHUNK_COMPRESSED: u8 = 2;
/// Column numbers of automerge's format: key, insert, action, value meta, value, number of predecessors.
const COLUMNS: [u8; 6] = [0x15, 0x34, 0x42, 0x56, 0x57, 0x70];
const COLUMN_VALUE: u64 = 0x57;
const ACTION_PUT: u8 = 1;
const VALUE_IS_BYTES: u64 = 7;

/// The hash by which automerge knows a change.
pub(crate) type ChangeHash = [u8; 32];

/// Who wrote a change: a node, and which of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Actor {
    pub(crate) node: NodeId,
    pub(crate) incarnation: u16,
}

/// What a change says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) actor: Actor,
    /// Counts the changes of this actor from 1.
    pub(crate) seq: u64,
    /// The number of its first operation: one more than any in its past.
    pub(crate) start_op: u64,
    /// The hashes of its direct predecessors, ascending.
    pub(crate) deps: Vec<ChangeHash>,
    /// The documents by ascending digest.
    pub(crate) docs: Vec<(Digest, Vec<u8>)>,
}

/// Why some bytes are not such a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Cut off, followed by other bytes, or not canonical.
    #[error("not a canonical automerge change that only adds documents")]
    Malformed,
    /// A compressed change, which could inflate to any size.
    #[error("compressed changes are not taken")]
    Compressed,
    /// The actor is not a node id and an incarnation.
    #[error("the actor of the change is no node")]
    Actor,
    /// It has too many predecessors or documents, or none of the latter.
    #[error("a change has at most {DEPS_MAX} predecessors and between 1 and {DOCS_PER_CHANGE_MAX} documents")]
    Count,
}

impl Actor {
    pub(crate) fn to_bytes(self) -> [u8; ACTOR_BYTES] {
        let mut bytes = [0; ACTOR_BYTES];
        let (node, incarnation) = bytes.split_at_mut(32);
        node.copy_from_slice(self.node.as_bytes());
        incarnation.copy_from_slice(&self.incarnation.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, ShapeError> {
        let (node, incarnation) = bytes.split_first_chunk::<32>().ok_or(ShapeError::Actor)?;
        let incarnation = <[u8; 2]>::try_from(incarnation).map_err(|_| ShapeError::Actor)?;
        let node = NodeId::from_bytes(*node).map_err(|_| ShapeError::Actor)?;
        Ok(Self { node, incarnation: u16::from_be_bytes(incarnation) })
    }
}

impl Change {
    /// How many operations it has: one per document.
    pub(crate) fn ops(&self) -> u64 {
        to_u64(self.docs.len())
    }

    /// The bytes that automerge would write, and their hash.
    pub(crate) fn encode(&self) -> (Vec<u8>, ChangeHash) {
        let mut body = Vec::new();
        put_uint(&mut body, to_u64(self.deps.len()));
        self.deps.iter().for_each(|dep| body.extend_from_slice(dep));
        put_bytes(&mut body, &self.actor.to_bytes());
        put_uint(&mut body, self.seq);
        put_uint(&mut body, self.start_op);
        // No time, no message, no other actors.
        body.extend_from_slice(&[0, 0, 0]);
        let columns = self.columns();
        put_uint(&mut body, to_u64(columns.len()));
        for (number, data) in COLUMNS.iter().zip(&columns) {
            body.push(*number);
            put_uint(&mut body, to_u64(data.len()));
        }
        columns.iter().for_each(|data| body.extend_from_slice(data));
        frame(&body)
    }

    fn columns(&self) -> [Vec<u8>; 6] {
        let count = self.docs.len();
        let mut keys = Vec::new();
        put_signed(&mut keys, -to_i64(count));
        let (mut insert, mut values) = (Vec::new(), Vec::new());
        put_uint(&mut insert, to_u64(count));
        for (id, doc) in &self.docs {
            put_bytes(&mut keys, id.to_string().as_bytes());
            values.extend_from_slice(doc);
        }
        let metas: Vec<u64> =
            self.docs.iter().map(|(_, doc)| (to_u64(doc.len()) << 4) | VALUE_IS_BYTES).collect();
        [keys, insert, repeated(count, ACTION_PUT), run_lengths(&metas), values, repeated(count, 0)]
    }

    /// Reads a change, if it is one of this shape and in the only right spelling.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, ChangeHash), ShapeError> {
        let mut input = Input(bytes);
        let (deps, actor, seq) = input.head()?;
        let start_op = input.uint()?;
        input.take(3)?;
        let docs = split_docs(input.value_column()?)?;
        let change = Self { actor, seq, start_op, deps, docs };
        let ascending = change.deps.is_sorted_by(|a, b| a < b) && change.docs.is_sorted_by(|a, b| a.0 < b.0);
        let (canonical, hash) = change.encode();
        // Automerge counts operations in 32 bits.
        let last_op = start_op.checked_add(change.ops()).filter(|end| *end <= u64::from(u32::MAX));
        if !ascending || seq == 0 || start_op == 0 || last_op.is_none() || canonical != bytes {
            return Err(ShapeError::Malformed);
        }
        Ok((change, hash))
    }
}

/// Whose a change is and its number, read without a look at the rest.
pub(crate) fn place(bytes: &[u8]) -> Result<(Actor, u64), ShapeError> {
    let (_, actor, seq) = Input(bytes).head()?;
    Ok((actor, seq))
}

/// Puts automerge's header before the body of a change.
fn frame(body: &[u8]) -> (Vec<u8>, ChangeHash) {
    let mut tail = vec![CHUNK_CHANGE];
    put_uint(&mut tail, to_u64(body.len()));
    tail.extend_from_slice(body);
    let hash: ChangeHash = Sha256::digest(&tail).into();
    let [a, b, c, d, ..] = hash;
    ([&MAGIC[..], &[a, b, c, d], &tail].concat(), hash)
}

/// Documents are their own delimiters: they are CBOR.
fn split_docs(mut column: &[u8]) -> Result<Vec<(Digest, Vec<u8>)>, ShapeError> {
    let mut docs = Vec::new();
    while !column.is_empty() {
        if docs.len() == DOCS_PER_CHANGE_MAX {
            return Err(ShapeError::Count);
        }
        let mut decoder = Decoder::new(column);
        decoder.decode::<SignedDoc>().map_err(|_| ShapeError::Malformed)?;
        let (doc, rest) = column.split_at_checked(decoder.position()).ok_or(ShapeError::Malformed)?;
        docs.push((Digest::of(doc), doc.to_vec()));
        column = rest;
    }
    if docs.is_empty() { Err(ShapeError::Count) } else { Ok(docs) }
}

/// A checked way through the bytes of a change.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// What a change begins with: its predecessors, whose it is, and its number.
    fn head(&mut self) -> Result<(Vec<ChangeHash>, Actor, u64), ShapeError> {
        if self.fixed::<4>()? != &MAGIC {
            return Err(ShapeError::Malformed);
        }
        self.take(4)?;
        match self.take(1)? {
            [CHUNK_CHANGE] => {}
            [CHUNK_COMPRESSED] => return Err(ShapeError::Compressed),
            _ => return Err(ShapeError::Malformed),
        }
        self.uint()?;
        let deps_len = self.count(DEPS_MAX)?;
        let mut deps = Vec::with_capacity(deps_len);
        for _ in 0..deps_len {
            deps.push(*self.fixed::<32>()?);
        }
        Ok((deps, Actor::from_bytes(self.bytes()?)?, self.uint()?))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ShapeError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(ShapeError::Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> Result<&'a [u8; N], ShapeError> {
        self.take(N)?.try_into().map_err(|_| ShapeError::Malformed)
    }

    /// An unsigned LEB128 number of at most 63 bits.
    fn uint(&mut self) -> Result<u64, ShapeError> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let [byte] = self.fixed::<1>()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ShapeError::Malformed)
    }

    fn count(&mut self, max: usize) -> Result<usize, ShapeError> {
        usize::try_from(self.uint()?).ok().filter(|count| *count <= max).ok_or(ShapeError::Count)
    }

    fn bytes(&mut self) -> Result<&'a [u8], ShapeError> {
        let len = usize::try_from(self.uint()?).map_err(|_| ShapeError::Malformed)?;
        self.take(len)
    }

    /// The data of the column that holds the values.
    fn value_column(&mut self) -> Result<&'a [u8], ShapeError> {
        let mut lens = Vec::new();
        for _ in 0..self.count(COLUMNS.len())? {
            let number = self.uint()?;
            lens.push((number, usize::try_from(self.uint()?).map_err(|_| ShapeError::Malformed)?));
        }
        for (number, len) in lens {
            let data = self.take(len)?;
            if number == COLUMN_VALUE {
                return Ok(data);
            }
        }
        Err(ShapeError::Malformed)
    }
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("no length is longer than 64 bits can count")
}

fn to_i64(len: usize) -> i64 {
    i64::try_from(len).expect("no length fills a 64-bit address space")
}

/// Unsigned LEB128.
fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits fit in a byte");
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Signed LEB128.
fn put_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits fit in a byte");
        value >>= 7;
        let sign = low & 0x40 != 0;
        if (value == 0 && !sign) || (value == -1 && sign) {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, to_u64(bytes.len()));
    out.extend_from_slice(bytes);
}

/// A column in which one small value stands `count` times.
fn repeated(count: usize, value: u8) -> Vec<u8> {
    run_lengths(&vec![u64::from(value); count])
}

/// Automerge's run-length form: `n, value` for two and more equal values in a
/// row, `-n, values` for a stretch without repetition.
fn run_lengths(values: &[u64]) -> Vec<u8> {
    let (mut out, mut single) = (Vec::new(), Vec::new());
    for run in values.chunk_by(|a, b| a == b) {
        match run {
            [value] => single.push(*value),
            [value, ..] => {
                put_stretch(&mut out, &mut single);
                put_signed(&mut out, to_i64(run.len()));
                put_uint(&mut out, *value);
            }
            [] => {}
        }
    }
    put_stretch(&mut out, &mut single);
    out
}

fn put_stretch(out: &mut Vec<u8>, single: &mut Vec<u64>) {
    if !single.is_empty() {
        put_signed(out, -to_i64(single.len()));
        single.drain(..).for_each(|value| put_uint(out, value));
    }
}

#[cfg(test)]
mod tests {
    use automerge::transaction::{CommitOptions, Transactable};
    use automerge::{ActorId, Automerge, ROOT};
    use cairn_bundle::Identity;
    use proptest::prelude::*;

    use super::*;

    fn doc(seed: u8, len: usize) -> (Digest, Vec<u8>) {
        let author = Identity::from_seed(&[seed; 32]).node_id();
        let doc =
            SignedDoc { kind: 9, author, time: 1, body: vec![seed; len], tag: [1; 16], signature: [2; 64] };
        let bytes = doc.to_bytes();
        (Digest::of(&bytes), bytes)
    }

    fn change(seed: u8, lens: &[usize]) -> Change {
        let mut docs: Vec<_> = lens.iter().zip(1..).map(|(len, seed)| doc(seed, *len)).collect();
        docs.sort();
        let node = Identity::from_seed(&[seed; 32]).node_id();
        let actor = Actor { node, incarnation: 258 };
        Change { actor, seq: 1, start_op: 1, deps: Vec::new(), docs }
    }

    /// Lets automerge write a change with these documents on top of `document`.
    fn written_by_automerge(document: &mut Automerge, change: &Change) -> Vec<u8> {
        document.set_actor(ActorId::from(&change.actor.to_bytes()[..]));
        let mut transaction = document.transaction();
        for (id, doc) in &change.docs {
            transaction.put(ROOT, id.to_string(), doc.clone()).unwrap();
        }
        transaction.commit_with(CommitOptions::default().with_time(0));
        document.get_last_local_change().unwrap().raw_bytes().to_vec()
    }

    proptest! {
        #[test]
        fn our_bytes_are_those_that_automerge_writes(
            first in prop::collection::vec(0_usize..300, 1..40),
            second in prop::collection::vec(prop_oneof![Just(40_usize), 0_usize..3000], 1..100),
        ) {
            let mut document = Automerge::new();
            let first = change(100, &first);
            let theirs = written_by_automerge(&mut document, &first);
            let (ours, hash) = first.encode();
            prop_assert_eq!(&theirs, &ours);
            prop_assert_eq!(document.get_heads(), vec![automerge::ChangeHash(hash)]);
            let mut second = change(101, &second);
            second.docs.retain(|doc| !first.docs.contains(doc));
            prop_assume!(!second.docs.is_empty());
            (second.start_op, second.deps) = (first.ops() + 1, vec![hash]);
            prop_assert_eq!(written_by_automerge(&mut document, &second), second.encode().0);
        }

        #[test]
        fn a_change_goes_there_and_back(lens in prop::collection::vec(0_usize..300, 1..40), seq in 1..u64::MAX / 2, start_op in 1..=u64::from(u32::MAX) - 40) {
            let change = Change { seq, start_op, deps: vec![[1; 32], [2; 32]], ..change(1, &lens) };
            let (bytes, hash) = change.encode();
            prop_assert_eq!(Change::decode(&bytes), Ok((change, hash)));
            prop_assert_eq!(automerge::Change::try_from(&bytes[..]).unwrap().hash().0, hash);
        }

        #[test]
        fn arbitrary_bytes_are_no_change(mut bytes in prop::collection::vec(any::<u8>(), 0..300), framed: bool) {
            if framed {
                bytes = frame(&bytes).0;
            }
            prop_assert!(Change::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_change_cut_off_or_flipped_anywhere_is_refused() {
        let good = Change { deps: vec![[1; 32]], ..change(1, &[10, 10, 30]) }.encode().0;
        for len in 0..good.len() {
            assert!(Change::decode(&good[..len]).is_err());
        }
        for at in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(Change::decode(&bytes).is_err(), "bit {at}");
        }
        assert!(Change::decode(&[&good[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_flipped_bit_under_a_right_checksum_never_gives_the_same_change() {
        let whole = change(1, &[10, 10, 30]);
        let good = whole.encode().0;
        let body = &good[11..];
        assert_eq!(frame(body).0, good);
        for at in 0..body.len() * 8 {
            let mut body = body.to_vec();
            body[at / 8] ^= 1 << (at % 8);
            let (bytes, _) = frame(&body);
            // What still reads is a different document, which fails its signature later.
            if let Ok((other, _)) = Change::decode(&bytes) {
                assert_ne!(other, whole);
                assert!(automerge::Change::try_from(&bytes[..]).is_ok());
            }
        }
    }

    #[test]
    fn a_compressed_change_is_refused_unread() {
        let mut document = Automerge::new();
        written_by_automerge(&mut document, &change(1, &[3000]));
        let compressed = document.get_last_local_change().unwrap().bytes().into_owned();
        assert_eq!(Change::decode(&compressed), Err(ShapeError::Compressed));
    }

    #[test]
    fn whatever_else_automerge_can_write_is_refused() {
        use automerge::ObjType;
        use automerge::transaction::Transaction;
        type Write = fn(&mut Transaction<'_>);
        let writes: [Write; 6] = [
            |t| t.put(ROOT, "title", "mine").unwrap(),
            |t| t.put(ROOT, "title", b"bytes".to_vec()).unwrap(),
            |t| drop(t.put_object(ROOT, "docs", ObjType::Map).unwrap()),
            |t| t.put(ROOT, doc(9, 9).0.to_string(), doc(8, 8).1).unwrap(),
            |t| t.put(ROOT, doc(9, 9).0.to_string(), doc(9, 9).1).unwrap(),
            |t| t.delete(ROOT, doc(9, 9).0.to_string()).unwrap(),
        ];
        for write in writes {
            let mut document = Automerge::new();
            written_by_automerge(&mut document, &change(2, &[0; 9]));
            let node = Identity::from_seed(&[3; 32]).node_id();
            document.set_actor(ActorId::from(&Actor { node, incarnation: 0 }.to_bytes()[..]));
            let mut transaction = document.transaction();
            transaction.put(ROOT, doc(9, 9).0.to_string(), "taken").unwrap();
            transaction.commit_with(CommitOptions::default().with_time(0));
            let mut transaction = document.transaction();
            write(&mut transaction);
            transaction.commit_with(CommitOptions::default().with_time(0));
            let bytes = document.get_last_local_change().unwrap().raw_bytes().to_vec();
            assert!(Change::decode(&bytes).is_err());
        }
    }

    #[test]
    fn operations_are_counted_as_far_as_automerge_counts_them() {
        let at = |start_op| Change::decode(&Change { start_op, ..change(1, &[1, 2]) }.encode().0).err();
        let max = u64::from(u32::MAX);
        assert_eq!(at(max - 2), None);
        for start_op in [0, max - 1, max, 1 << 40, u64::MAX / 2, u64::MAX] {
            assert_eq!(at(start_op), Some(ShapeError::Malformed));
        }
    }

    #[test]
    fn counts_hold_at_their_edges_and_not_beyond() {
        let with = |docs: u16, deps: u16| {
            let mut change = change(1, &[]);
            change.docs = (0..docs)
                .map(|i| {
                    let mut bytes = doc(1, 2).1;
                    let at = bytes.len() - 2;
                    bytes[at..].copy_from_slice(&i.to_be_bytes());
                    (Digest::of(&bytes), bytes)
                })
                .collect();
            change.docs.sort();
            change.deps = (0..deps)
                .map(|i| [[0; 30].as_slice(), &i.to_be_bytes()].concat().try_into().unwrap())
                .collect();
            Change::decode(&change.encode().0).map(|_| ())
        };
        assert_eq!((DOCS_PER_CHANGE_MAX, DEPS_MAX), (256, 256));
        assert_eq!(with(256, 256), Ok(()));
        assert_eq!(with(257, 0), Err(ShapeError::Count));
        assert_eq!(with(1, 257), Err(ShapeError::Count));
        assert_eq!(with(0, 0), Err(ShapeError::Count));
    }
}
