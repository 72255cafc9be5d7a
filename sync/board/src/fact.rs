//! What a document says: who is there, what is to be done, what came of it.

use cairn_bundle::{Digest, NodeId};
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::cbor;
use crate::doc::DocId;
use crate::job::{BLOB_BYTES_MAX, BlobRef, Job, JobError, NAME_BYTES_MAX, RUNGS_MAX};

/// Most bytes of a card.
pub const CARD_BYTES_MAX: usize = 1024;
/// Most bytes of a reason.
pub const REASON_BYTES_MAX: usize = 200;

/// What a document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A node is a member, and this is its card.
    Member(Member),
    /// Work is to be done.
    Job(Box<Job>),
    /// The payer has locked the price of a rung.
    Funding(Funding),
    /// A node has run a rung.
    Result(JobResult),
    /// The payer has come to a verdict.
    Status(Status),
    /// Something that a later version of Cairn understands: kept and passed on.
    Unknown {
        /// Its kind.
        kind: u8,
    },
}

/// A node is a member of the board: it says so itself, or a member that invited it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The member.
    pub node: NodeId,
    /// Its card, which the board does not read: at most 1 KiB.
    pub card: Vec<u8>,
}

/// The payer has locked the price of a rung with a neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Funding {
    /// The job's id.
    pub job: DocId,
    /// Which rung, from 0.
    pub rung: u8,
    /// Names the payment along all its hops.
    pub pay_id: [u8; 16],
    /// What the payment id was derived with.
    pub nonce: [u8; 16],
    /// The neighbour that holds the payer's lock.
    pub first_hop: NodeId,
    /// Price and fees, in micro-credits.
    pub amount: u64,
}

/// A node has run a rung of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobResult {
    /// The job's id.
    pub job: DocId,
    /// Which rung, from 0.
    pub rung: u8,
    /// What came out.
    pub output: BlobRef,
    /// Fuel used; 0 where it is not counted.
    pub fuel: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u64,
    /// What ran it, for people: at most 64 bytes.
    pub engine: String,
    /// Better rungs that were tried before, and why they failed: at most 16, reasons of at most 200 bytes.
    pub fell_from: Vec<(u8, String)>,
    /// The ledger's RESULT entry; all zero if the work was not paid.
    pub result_entry: Digest,
}

/// The payer's word on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The job's id.
    pub job: DocId,
    /// What the payer says.
    pub verdict: Verdict,
}

/// What a payer says of a job or one of its results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A result is good and paid.
    Accepted {
        /// Its rung.
        rung: u8,
        /// Its document.
        result: DocId,
        /// The ledger's ACCEPT entry; all zero if the work was not paid.
        receipt: Digest,
    },
    /// A result is not good.
    Rejected {
        /// Its rung.
        rung: u8,
        /// Its document.
        result: DocId,
        /// Why: at most 200 bytes.
        reason: String,
    },
    /// Enough: no further result is wanted.
    Closed,
    /// Never mind: nothing is wanted any more.
    Cancelled,
}

/// Why a fact cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FactError {
    /// The bytes are cut off, of the wrong shape, not canonical or followed by others.
    #[error("the body is not what its kind says")]
    Malformed,
    /// Only the node or payer that the fact is about can state it.
    #[error("stated by somebody who cannot know")]
    Author,
    /// The card is too long.
    #[error("a card has at most {CARD_BYTES_MAX} bytes")]
    Card,
    /// A rung that no job has.
    #[error("a job has at most {RUNGS_MAX} rungs")]
    Rung,
    /// The amount is zero.
    #[error("an amount is at least 1")]
    Amount,
    /// A name or reason is too long, or has control characters in it.
    #[error("a name or reason is too long or has control characters in it")]
    Text,
    /// The output is too large.
    #[error("a blob has at most {BLOB_BYTES_MAX} bytes")]
    Blob,
    /// The job is none.
    #[error(transparent)]
    Job(#[from] JobError),
    /// An unknown kind cannot be written, only passed on.
    #[error("an unknown kind of fact cannot be stated")]
    Unknown,
}

impl Fact {
    /// The kind and the deterministic CBOR form, if `author` may say so.
    pub(crate) fn to_body(&self, author: &NodeId) -> Result<(u8, Vec<u8>), FactError> {
        self.check(author)?;
        match self {
            Self::Member(member) => Ok((1, cbor::to_vec(member))),
            Self::Job(job) => Ok((2, cbor::to_vec(&**job))),
            Self::Funding(funding) => Ok((3, cbor::to_vec(funding))),
            Self::Result(result) => Ok((4, cbor::to_vec(result))),
            Self::Status(status) => Ok((5, cbor::to_vec(status))),
            Self::Unknown { .. } => Err(FactError::Unknown),
        }
    }

    /// Reads and checks the deterministic CBOR form.
    pub(crate) fn from_body(kind: u8, body: &[u8], author: &NodeId) -> Result<Self, FactError> {
        let fact = match kind {
            1 => cbor::from_slice(body).map(Self::Member),
            2 => cbor::from_slice(body).map(|job| Self::Job(Box::new(job))),
            3 => cbor::from_slice(body).map(Self::Funding),
            4 => cbor::from_slice(body).map(Self::Result),
            5 => cbor::from_slice(body).map(Self::Status),
            kind => Some(Self::Unknown { kind }),
        };
        let fact = fact.ok_or(FactError::Malformed)?;
        fact.check(author)?;
        Ok(fact)
    }

    fn check(&self, author: &NodeId) -> Result<(), FactError> {
        match self {
            Self::Member(member) if member.card.len() > CARD_BYTES_MAX => Err(FactError::Card),
            Self::Job(job) if job.payer != *author => Err(FactError::Author),
            Self::Job(job) => Ok(job.check()?),
            Self::Funding(funding) => funding.check(),
            Self::Result(result) => result.check(),
            Self::Status(status) => status.verdict.check(),
            Self::Member(_) | Self::Unknown { .. } => Ok(()),
        }
    }
}

fn check_rung(rung: u8) -> Result<(), FactError> {
    if usize::from(rung) < RUNGS_MAX { Ok(()) } else { Err(FactError::Rung) }
}

fn check_text(text: &str, bytes_max: usize) -> Result<(), FactError> {
    let bad = text.len() > bytes_max || text.chars().any(char::is_control);
    if bad { Err(FactError::Text) } else { Ok(()) }
}

impl Funding {
    fn check(&self) -> Result<(), FactError> {
        check_rung(self.rung)?;
        if self.amount == 0 { Err(FactError::Amount) } else { Ok(()) }
    }
}

impl JobResult {
    fn check(&self) -> Result<(), FactError> {
        check_rung(self.rung)?;
        check_text(&self.engine, NAME_BYTES_MAX)?;
        if self.output.bytes > BLOB_BYTES_MAX {
            return Err(FactError::Blob);
        }
        if self.fell_from.len() > RUNGS_MAX {
            return Err(FactError::Rung);
        }
        for (rung, reason) in &self.fell_from {
            check_rung(*rung)?;
            check_text(reason, REASON_BYTES_MAX)?;
        }
        Ok(())
    }
}

impl Verdict {
    fn check(&self) -> Result<(), FactError> {
        match self {
            Self::Accepted { rung, .. } => check_rung(*rung),
            Self::Rejected { rung, reason, .. } => {
                check_rung(*rung)?;
                check_text(reason, REASON_BYTES_MAX)
            }
            Self::Closed | Self::Cancelled => Ok(()),
        }
    }
}

impl<C> Encode<C> for Member {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(2)?.bytes(self.node.as_bytes())?.bytes(&self.card)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Member {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array(d, 2)?;
        Ok(Self { node: cbor::node(d)?, card: d.bytes()?.to_vec() })
    }
}

impl<C> Encode<C> for Funding {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(6)?.bytes(self.job.as_bytes())?.u8(self.rung)?.bytes(&self.pay_id)?.bytes(&self.nonce)?;
        e.bytes(self.first_hop.as_bytes())?.u64(self.amount)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Funding {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array(d, 6)?;
        Ok(Self {
            job: cbor::digest(d)?,
            rung: d.u8()?,
            pay_id: cbor::fixed(d)?,
            nonce: cbor::fixed(d)?,
            first_hop: cbor::node(d)?,
            amount: d.u64()?,
        })
    }
}

impl<C> Encode<C> for JobResult {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(8)?.bytes(self.job.as_bytes())?.u8(self.rung)?;
        self.output.encode(e, ctx)?;
        e.u64(self.fuel)?.u64(self.wall_ms)?.str(&self.engine)?;
        e.array(cbor::len(&self.fell_from))?;
        for (rung, reason) in &self.fell_from {
            e.array(2)?.u8(*rung)?.str(reason)?;
        }
        e.bytes(self.result_entry.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for JobResult {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        cbor::array(d, 8)?;
        Ok(Self {
            job: cbor::digest(d)?,
            rung: d.u8()?,
            output: d.decode_with(ctx)?,
            fuel: d.u64()?,
            wall_ms: d.u64()?,
            engine: d.str()?.to_owned(),
            fell_from: {
                let len = cbor::array_up_to(d, RUNGS_MAX)?;
                let mut list = Vec::with_capacity(len);
                for _ in 0..len {
                    cbor::array(d, 2)?;
                    list.push((d.u8()?, d.str()?.to_owned()));
                }
                list
            },
            result_entry: cbor::digest(d)?,
        })
    }
}

impl<C> Encode<C> for Status {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(2)?.bytes(self.job.as_bytes())?;
        match &self.verdict {
            Verdict::Accepted { rung, result, receipt } => {
                e.array(4)?.u8(0)?.u8(*rung)?.bytes(result.as_bytes())?.bytes(receipt.as_bytes())?.ok()
            }
            Verdict::Rejected { rung, result, reason } => {
                e.array(4)?.u8(1)?.u8(*rung)?.bytes(result.as_bytes())?.str(reason)?.ok()
            }
            Verdict::Closed => e.array(1)?.u8(2)?.ok(),
            Verdict::Cancelled => e.array(1)?.u8(3)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Status {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array(d, 2)?;
        let job = cbor::digest(d)?;
        let verdict = match (d.array()?, d.u8()?) {
            (Some(4), 0) => {
                Verdict::Accepted { rung: d.u8()?, result: cbor::digest(d)?, receipt: cbor::digest(d)? }
            }
            (Some(4), 1) => {
                Verdict::Rejected { rung: d.u8()?, result: cbor::digest(d)?, reason: d.str()?.to_owned() }
            }
            (Some(1), 2) => Verdict::Closed,
            (Some(1), 3) => Verdict::Cancelled,
            (_, other) => return Err(DecodeError::unknown_variant(i64::from(other))),
        };
        Ok(Self { job, verdict })
    }
}

#[cfg(test)]
mod tests {
    use cairn_bundle::Identity;

    use super::*;
    use crate::job::tests::job;

    fn author() -> NodeId {
        Identity::from_seed(&[1; 32]).node_id()
    }

    fn result() -> JobResult {
        JobResult {
            job: Digest([1; 32]),
            rung: 1,
            output: BlobRef::of(b"7\n"),
            fuel: 1_000,
            wall_ms: 3,
            engine: "wasmtime".to_owned(),
            fell_from: vec![(2, "out of fuel".to_owned())],
            result_entry: Digest([2; 32]),
        }
    }

    fn funding() -> Funding {
        Funding {
            job: Digest([1; 32]),
            rung: 2,
            pay_id: [3; 16],
            nonce: [4; 16],
            first_hop: author(),
            amount: 1,
        }
    }

    fn status(verdict: Verdict) -> Fact {
        Fact::Status(Status { job: Digest([1; 32]), verdict })
    }

    fn facts() -> Vec<Fact> {
        let (rung, result_doc) = (2, Digest([5; 32]));
        vec![
            Fact::Member(Member { node: author(), card: vec![7; CARD_BYTES_MAX] }),
            Fact::Job(Box::new(job(1))),
            Fact::Funding(funding()),
            Fact::Result(result()),
            status(Verdict::Accepted { rung, result: result_doc, receipt: Digest([6; 32]) }),
            status(Verdict::Rejected { rung, result: result_doc, reason: "3 of 8 lines differ".to_owned() }),
            status(Verdict::Closed),
            status(Verdict::Cancelled),
        ]
    }

    #[test]
    fn every_fact_goes_there_and_back_and_only_whole() {
        for fact in facts() {
            let (kind, body) = fact.to_body(&author()).unwrap();
            assert_eq!(Fact::from_body(kind, &body, &author()), Ok(fact));
            for len in 0..body.len() {
                assert_eq!(Fact::from_body(kind, &body[..len], &author()), Err(FactError::Malformed));
            }
            let longer = [&body[..], &[0]].concat();
            assert_eq!(Fact::from_body(kind, &longer, &author()), Err(FactError::Malformed));
        }
    }

    #[test]
    fn a_flipped_bit_never_gives_the_same_fact() {
        for fact in facts() {
            let (kind, good) = fact.to_body(&author()).unwrap();
            for at in 0..good.len() * 8 {
                let mut body = good.clone();
                body[at / 8] ^= 1 << (at % 8);
                assert_ne!(Fact::from_body(kind, &body, &author()), Ok(fact.clone()));
            }
        }
    }

    #[test]
    fn every_limit_holds_at_its_edge_and_not_beyond() {
        let result = |change: &dyn Fn(&mut JobResult)| {
            let mut it = result();
            change(&mut it);
            Fact::Result(it).to_body(&author()).map(|_| ())
        };
        let text = |len| "x".repeat(len);
        assert_eq!(result(&|r| r.rung = 15), Ok(()));
        assert_eq!(result(&|r| r.rung = 16), Err(FactError::Rung));
        assert_eq!(result(&|r| r.engine = text(NAME_BYTES_MAX)), Ok(()));
        assert_eq!(result(&|r| r.engine = text(NAME_BYTES_MAX + 1)), Err(FactError::Text));
        assert_eq!(result(&|r| r.fell_from = vec![(15, text(REASON_BYTES_MAX)); RUNGS_MAX]), Ok(()));
        assert_eq!(result(&|r| r.fell_from = vec![(1, text(1)); RUNGS_MAX + 1]), Err(FactError::Rung));
        assert_eq!(result(&|r| r.fell_from[0].0 = 16), Err(FactError::Rung));
        assert_eq!(result(&|r| r.fell_from[0].1 = text(REASON_BYTES_MAX + 1)), Err(FactError::Text));
        assert_eq!(result(&|r| r.fell_from[0].1 = "\u{7}".to_owned()), Err(FactError::Text));
        assert_eq!(result(&|r| r.output.bytes = BLOB_BYTES_MAX + 1), Err(FactError::Blob));
        let card = |len| Fact::Member(Member { node: author(), card: vec![0; len] }).to_body(&author());
        assert_eq!(card(CARD_BYTES_MAX + 1), Err(FactError::Card));
        let free = Fact::Funding(Funding { amount: 0, ..funding() });
        assert_eq!(free.to_body(&author()), Err(FactError::Amount));
        let far = Fact::Funding(Funding { rung: 16, ..funding() });
        assert_eq!(far.to_body(&author()), Err(FactError::Rung));
        assert_eq!(Fact::Unknown { kind: 9 }.to_body(&author()), Err(FactError::Unknown));
    }

    #[test]
    fn nobody_posts_a_job_in_the_name_of_another() {
        let other = Identity::from_seed(&[2; 32]).node_id();
        let fact = Fact::Job(Box::new(Job { payer: other, ..job(1) }));
        assert_eq!(fact.to_body(&author()), Err(FactError::Author));
    }
}
