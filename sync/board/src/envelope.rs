//! A change as it travels: with a tag that only members can make, and its author's signature.

use cairn_bundle::{Digest, Identity, NodeId, Signature, verify};
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::cbor;
use crate::change::{Actor, Change, ChangeHash, ShapeError, place};
use crate::doc::{DocError, SignedDoc, Verified};
use crate::secret::{BoardId, BoardSecret, Tag, same};

/// Most bytes of an envelope.
pub const ENVELOPE_BYTES_MAX: usize = 256 * 1024;

const VERSION: u8 = 1;
const SIGNING_CONTEXT: &[u8] = b"cairn board change 1\0";
const TAG_PURPOSE: &str = "cairn 2026-11 board change tag";

/// Why a change is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The envelope is longer than allowed.
    #[error("an envelope has at most {ENVELOPE_BYTES_MAX} bytes")]
    TooLarge,
    /// The envelope is cut off, of the wrong shape or version, not canonical or followed by other bytes.
    #[error("not an envelope in deterministic CBOR")]
    Malformed,
    /// No member of this board made it; it may belong to another board.
    #[error("the change belongs to another board")]
    Foreign,
    /// The author did not sign it.
    #[error("the signature of the change is not valid")]
    Signature,
    /// The change is not one that only adds documents.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The change speaks for another node than the one that signed it.
    #[error("the change speaks for another node than its author")]
    Actor,
    /// One of its documents is not valid.
    #[error("a document in the change is not valid: {0}")]
    Document(#[from] DocError),
    /// It does not follow on its author's previous change, or counts operations wrongly.
    #[error("the change does not fit behind its predecessors")]
    Order,
    /// The author has written more than one incarnation may.
    #[error("the author has used up its share of the board")]
    AuthorFull,
    /// Too many changes wait for their predecessors; offered again later, this one may be taken.
    #[error("too many changes wait for their predecessors")]
    WaitingFull,
    /// The board is as large as a board may be.
    #[error("the board is full")]
    BoardFull,
}

/// A change that has been checked as far as is possible without its predecessors.
///
/// It can only come from [`crate::Board::check`].
#[derive(Debug, Clone)]
pub struct CheckedChange {
    pub(crate) id: Digest,
    /// The board that it was checked for.
    pub(crate) board: BoardId,
    pub(crate) change: Change,
    pub(crate) hash: ChangeHash,
    pub(crate) bytes: Vec<u8>,
    pub(crate) docs: Vec<Verified>,
    pub(crate) size: u64,
}

/// The wire form.
struct Envelope {
    tag: Tag,
    author: NodeId,
    change: Vec<u8>,
    signature: Signature,
}

impl ChangeError {
    /// Whether a member must have lied for this to happen, so that it counts against the author.
    ///
    /// The others are damage on the way, a board that is not ours, or a limit of our own.
    #[must_use]
    pub const fn is_misbehaviour(&self) -> bool {
        match self {
            Self::Shape(_) | Self::Actor | Self::Document(_) | Self::Order | Self::AuthorFull => true,
            Self::TooLarge
            | Self::Malformed
            | Self::Foreign
            | Self::Signature
            | Self::WaitingFull
            | Self::BoardFull => false,
        }
    }
}

impl CheckedChange {
    /// The digest of the envelope: its id as an item of a meet.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// Who wrote it.
    #[must_use]
    pub const fn author(&self) -> NodeId {
        self.change.actor.node
    }

    /// The documents in it.
    #[must_use]
    pub fn docs(&self) -> &[Verified] {
        &self.docs
    }
}

/// Signs a change as a member.
pub(crate) fn seal(change: &[u8], identity: &Identity, secret: &BoardSecret) -> Vec<u8> {
    let author = identity.node_id();
    let tag = tag(secret, &author, change);
    let signature = identity.sign(&signed_content(&tag, &author, change));
    cbor::to_vec(&Envelope { tag, author, change: change.to_vec(), signature })
}

/// Checks everything that can be checked without the change's predecessors, the cheap and decisive first.
pub(crate) fn open(bytes: &[u8], secret: &BoardSecret) -> Result<CheckedChange, ChangeError> {
    if bytes.len() > ENVELOPE_BYTES_MAX {
        return Err(ChangeError::TooLarge);
    }
    let envelope: Envelope = cbor::from_slice(bytes).ok_or(ChangeError::Malformed)?;
    let Envelope { tag: claimed, author, change: chunk, signature } = envelope;
    if !same(&tag(secret, &author, &chunk), &claimed) {
        return Err(ChangeError::Foreign);
    }
    let signed = signed_content(&claimed, &author, &chunk);
    verify(&author, &signed, &signature).map_err(|_| ChangeError::Signature)?;
    let (change, hash) = Change::decode(&chunk)?;
    if change.actor.node != author {
        return Err(ChangeError::Actor);
    }
    let mut docs = Vec::with_capacity(change.docs.len());
    for (_, doc) in &change.docs {
        docs.push(SignedDoc::from_bytes(doc)?.verify(secret)?);
    }
    let size = cbor::len(bytes);
    Ok(CheckedChange {
        id: Digest::of(bytes),
        board: secret.board_id(),
        change,
        hash,
        bytes: chunk,
        docs,
        size,
    })
}

/// Whose the change in an envelope is and its number. Nothing is checked: it is for envelopes that were opened before.
pub(crate) fn place_of(bytes: &[u8]) -> Option<(Actor, u64)> {
    let envelope: Envelope = cbor::from_slice(bytes)?;
    place(&envelope.change).ok()
}

fn tag(secret: &BoardSecret, author: &NodeId, change: &[u8]) -> Tag {
    secret.tag(TAG_PURPOSE, &[author.as_bytes(), change])
}

fn signed_content(tag: &Tag, author: &NodeId, change: &[u8]) -> Vec<u8> {
    [SIGNING_CONTEXT, tag, author.as_bytes(), change].concat()
}

impl<C> Encode<C> for Envelope {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(5)?.u8(VERSION)?.bytes(&self.tag)?.bytes(self.author.as_bytes())?;
        e.bytes(&self.change)?.bytes(&self.signature)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Envelope {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array(d, 5)?;
        if d.u8()? != VERSION {
            return Err(DecodeError::message("an envelope of another version"));
        }
        Ok(Self {
            tag: cbor::fixed(d)?,
            author: cbor::node(d)?,
            change: d.bytes()?.to_vec(),
            signature: cbor::fixed(d)?,
        })
    }
}
