//! What stands on a board: documents that are valid by themselves, whoever brings them.

use cairn_bundle::{Digest, Identity, NodeId, Signature, verify};
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::cbor;
use crate::fact::{Fact, FactError};
use crate::secret::{BoardSecret, Tag, same};

/// Most bytes of a document's body.
pub const BODY_BYTES_MAX: usize = 8 * 1024;

/// Keeps a signature on a document from being taken for one on something else.
const SIGNING_CONTEXT: &[u8] = b"cairn board document 1\0";
const TAG_PURPOSE: &str = "cairn 2026-11 board document tag";

/// The digest of a signed document. That of a signed job is the job's id.
pub type DocId = Digest;

/// A document as it travels: its tag shows that a member made it, its signature which one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDoc {
    /// Which kind of fact the body is.
    pub kind: u8,
    /// Who says so.
    pub author: NodeId,
    /// When, by the author's clock: seconds since 2020-01-01 UTC, advisory.
    pub time: u64,
    /// The fact in deterministic CBOR.
    pub body: Vec<u8>,
    /// Keyed hash of all of the above with the board's secret.
    pub tag: Tag,
    /// The author's signature over all of the above.
    pub signature: Signature,
}

/// A document whose tag, signature and body have been checked.
///
/// It can only come from [`SignedDoc::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    id: DocId,
    author: NodeId,
    time: u64,
    fact: Fact,
}

/// Why something is not a document of this board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DocError {
    /// The bytes are cut off, of the wrong shape, not canonical or followed by others.
    #[error("not a document in deterministic CBOR")]
    Malformed,
    /// The body is longer than allowed.
    #[error("the body of a document has at most {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// No member of this board made it.
    #[error("the document belongs to another board")]
    Foreign,
    /// The author did not sign it.
    #[error("the signature of the document is not valid")]
    Signature,
    /// The body is not what its kind says.
    #[error("the document says something impossible: {0}")]
    Fact(#[from] FactError),
}

impl SignedDoc {
    /// Signs a fact as a member of the board with this secret.
    ///
    /// # Errors
    /// [`DocError::Fact`] if the fact breaks one of its limits or is not the author's to state.
    pub fn sign(fact: &Fact, time: u64, identity: &Identity, secret: &BoardSecret) -> Result<Self, DocError> {
        let author = identity.node_id();
        let (kind, body) = fact.to_body(&author)?;
        if body.len() > BODY_BYTES_MAX {
            return Err(DocError::TooLarge);
        }
        let mut doc = Self { kind, author, time, body, tag: [0; 16], signature: [0; 64] };
        doc.tag = doc.right_tag(secret);
        doc.signature = identity.sign(&doc.signed_content());
        Ok(doc)
    }

    /// The deterministic CBOR form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::to_vec(self)
    }

    /// Reads the deterministic CBOR form; neither tag nor signature is checked yet.
    ///
    /// # Errors
    /// [`DocError::Malformed`] or [`DocError::TooLarge`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DocError> {
        // A head of less than 200 bytes stands before and behind the body.
        if bytes.len() > BODY_BYTES_MAX + 200 {
            return Err(DocError::TooLarge);
        }
        let doc: Self = cbor::from_slice(bytes).ok_or(DocError::Malformed)?;
        if doc.body.len() > BODY_BYTES_MAX { Err(DocError::TooLarge) } else { Ok(doc) }
    }

    /// The document's id.
    #[must_use]
    pub fn id(&self) -> DocId {
        Digest::of(&self.to_bytes())
    }

    /// Checks tag, signature and body.
    ///
    /// # Errors
    /// The first of them that does not hold.
    pub fn verify(&self, secret: &BoardSecret) -> Result<Verified, DocError> {
        if self.body.len() > BODY_BYTES_MAX {
            return Err(DocError::TooLarge);
        }
        if !same(&self.right_tag(secret), &self.tag) {
            return Err(DocError::Foreign);
        }
        verify(&self.author, &self.signed_content(), &self.signature).map_err(|_| DocError::Signature)?;
        let fact = Fact::from_body(self.kind, &self.body, &self.author)?;
        Ok(Verified { id: self.id(), author: self.author, time: self.time, fact })
    }

    fn right_tag(&self, secret: &BoardSecret) -> Tag {
        secret.tag(TAG_PURPOSE, &[&self.content()])
    }

    fn content(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        self.encode_content(e.array(4).expect("writing to a vector does not fail"))
            .expect("writing to a vector does not fail");
        e.into_writer()
    }

    fn signed_content(&self) -> Vec<u8> {
        [SIGNING_CONTEXT, &self.tag, &self.content()].concat()
    }

    fn encode_content<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        e.u8(self.kind)?.bytes(self.author.as_bytes())?.u64(self.time)?.bytes(&self.body)?.ok()
    }
}

impl<C> Encode<C> for SignedDoc {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        self.encode_content(e.array(6)?)?;
        e.bytes(&self.tag)?.bytes(&self.signature)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SignedDoc {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array(d, 6)?;
        Ok(Self {
            kind: d.u8()?,
            author: cbor::node(d)?,
            time: d.u64()?,
            body: d.bytes()?.to_vec(),
            tag: cbor::fixed(d)?,
            signature: cbor::fixed(d)?,
        })
    }
}

impl Verified {
    /// The document's id.
    #[must_use]
    pub const fn id(&self) -> DocId {
        self.id
    }

    /// Who says so.
    #[must_use]
    pub const fn author(&self) -> NodeId {
        self.author
    }

    /// When, by the author's clock: advisory.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// What it says.
    #[must_use]
    pub const fn fact(&self) -> &Fact {
        &self.fact
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Member;
    use crate::job::tests::job;

    fn secret() -> BoardSecret {
        BoardSecret::new([9; 32])
    }

    fn member(seed: u8) -> SignedDoc {
        let identity = Identity::from_seed(&[seed; 32]);
        let fact = Fact::Member(Member { node: identity.node_id(), card: vec![seed; 40] });
        SignedDoc::sign(&fact, 5, &identity, &secret()).unwrap()
    }

    #[test]
    fn a_document_goes_there_and_back() {
        let doc = member(1);
        let bytes = doc.to_bytes();
        assert_eq!(SignedDoc::from_bytes(&bytes), Ok(doc.clone()));
        let verified = doc.verify(&secret()).unwrap();
        assert_eq!(verified.id(), Digest::of(&bytes));
        assert_eq!((verified.author(), verified.time()), (doc.author, 5));
    }

    #[test]
    fn a_document_changed_anywhere_is_refused() {
        let good = member(1).to_bytes();
        for at in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            let read = SignedDoc::from_bytes(&bytes).and_then(|doc| doc.verify(&secret()));
            assert!(read.is_err(), "bit {at}");
        }
        for len in 0..good.len() {
            assert_eq!(SignedDoc::from_bytes(&good[..len]), Err(DocError::Malformed));
        }
        assert_eq!(SignedDoc::from_bytes(&[&good[..], &[0]].concat()), Err(DocError::Malformed));
    }

    #[test]
    fn a_document_of_another_board_is_refused() {
        assert_eq!(member(1).verify(&BoardSecret::new([8; 32])), Err(DocError::Foreign));
    }

    #[test]
    fn nobody_posts_a_job_for_another_to_pay() {
        let identity = Identity::from_seed(&[2; 32]);
        let foul = SignedDoc::sign(&Fact::Job(Box::new(job(1))), 0, &identity, &secret());
        assert_eq!(foul, Err(DocError::Fact(FactError::Author)));
        let mut doc = member(2);
        (doc.kind, doc.body) = (2, job(1).to_bytes().unwrap());
        doc.tag = doc.right_tag(&secret());
        doc.signature = identity.sign(&doc.signed_content());
        assert_eq!(doc.verify(&secret()), Err(DocError::Fact(FactError::Author)));
    }

    #[test]
    fn a_member_cannot_speak_for_another() {
        let mut doc = member(1);
        doc.author = Identity::from_seed(&[2; 32]).node_id();
        doc.tag = doc.right_tag(&secret());
        assert_eq!(doc.verify(&secret()), Err(DocError::Signature));
    }

    #[test]
    fn an_unknown_kind_is_kept_within_its_size() {
        let identity = Identity::from_seed(&[1; 32]);
        let signed = |len| {
            let mut doc = member(1);
            (doc.kind, doc.body) = (200, vec![0; len]);
            doc.tag = doc.right_tag(&secret());
            doc.signature = identity.sign(&doc.signed_content());
            SignedDoc::from_bytes(&doc.to_bytes()).and_then(|doc| doc.verify(&secret()))
        };
        assert_eq!(signed(BODY_BYTES_MAX).unwrap().fact(), &Fact::Unknown { kind: 200 });
        assert_eq!(signed(BODY_BYTES_MAX + 1), Err(DocError::TooLarge));
        assert_eq!(signed(BODY_BYTES_MAX + 1_000), Err(DocError::TooLarge));
    }
}
