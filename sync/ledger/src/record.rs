//! What entries say: the bodies of the records, as positional CBOR arrays.

use alloc::vec::Vec;

use crate::cbor::{Reader, Writer, WrongShape};
use crate::ids::{Kid, LockId, PayId, prefix};
use cairn_bundle::Digest;

/// A PAY or RELEASE names at most this many locks, so that it stays below
/// [`ENTRY_BYTES_MAX`](crate::ENTRY_BYTES_MAX).
pub const LOCKS_PER_ENTRY_MAX: usize = 16;

/// The kind numbers of the records that this crate interprets.
pub mod kind {
    /// [`Line`](super::Line)
    pub const LINE: u8 = 1;
    /// [`Pay`](super::Pay)
    pub const PAY: u8 = 2;
    /// [`Lock`](super::Lock)
    pub const LOCK: u8 = 3;
    /// [`Release`](super::Release)
    pub const RELEASE: u8 = 4;
    /// [`Contract`](super::Contract)
    pub const CONTRACT: u8 = 16;
    /// [`TaskResult`](super::TaskResult)
    pub const RESULT: u8 = 17;
    /// [`Accept`](super::Accept)
    pub const ACCEPT: u8 = 18;
}

/// The parsed body of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The author grants the peer credit.
    Line(Line),
    /// The author pays the peer.
    Pay(Pay),
    /// The author promises the peer an amount under a condition.
    Lock(Lock),
    /// The author waives locks of the peer.
    Release(Release),
    /// The author orders a job from the peer.
    Contract(Contract),
    /// The author did a job for the peer.
    Result(TaskResult),
    /// The author accepts a result of the peer.
    Accept(Accept),
    /// A kind, or a LOCK condition, that this version does not interpret: kept and forwarded.
    Unknown,
}

/// LINE: the credit that the author grants. The creditor enforces it; for the debtor it is advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The most that the peer may owe and have promised, less what the author owes the peer.
    pub limit: u64,
    /// The most that the peer may have in open locks.
    pub hold_max: u64,
    /// Which unit of the charter the amounts are in.
    pub unit: u64,
    /// The first 8 bytes of the charter's hash, zeros without a charter.
    pub charter: [u8; 8],
    /// Reserved for the charter.
    pub flags: u64,
}

/// PAY: what the author owes without a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pay {
    /// The total ever paid in this way on the edge: the highest counts.
    pub cum: u64,
    /// The highest sequence number seen from the peer.
    pub ack_seq: u32,
    /// Locks of the author that it declares settled.
    pub settles: Vec<LockId>,
}

/// LOCK with condition 0: the amount is owed as soon as the payer signs an ACCEPT for `pay_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// The payment that frees the amount.
    pub pay_id: PayId,
    /// Micro-credits.
    pub amount: u64,
    /// Whose ACCEPT counts.
    pub payer: Kid,
    /// The first 8 bytes of the hash of a verifier set, zeros for none.
    pub verifiers: [u8; 8],
    /// When the author would like to see it done; 0 for no wish. It frees nothing by itself.
    pub hint_time: u32,
}

/// RELEASE: locks of the peer that the author waives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// LOCK entries by name, so that an old waiver cannot hit a new lock.
    pub locks: Vec<LockId>,
    /// The highest sequence number seen from the peer.
    pub ack_seq: u32,
}

/// CONTRACT: the author orders one rung of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contract {
    /// The job.
    pub job: Digest,
    /// What an accepted result is worth to the author.
    pub price: u64,
    /// The rung, counted from the worst.
    pub tier: u8,
    /// When the result would still be useful; 0 for no wish.
    pub hint_deadline: u32,
    /// The first 8 bytes of the hash of a verifier set, zeros for none.
    pub verifiers: [u8; 8],
    /// The neighbour of the executor that holds the lock, or [`Kid::NOBODY`].
    pub guarantor: Kid,
}

/// RESULT: the author did a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskResult {
    /// The payment under which the job was done.
    pub pay_id: PayId,
    /// BLAKE3 of the output.
    pub output: Digest,
    /// Fuel used.
    pub fuel: u64,
    /// Energy used, as far as it is known.
    pub energy_mj: u64,
    /// Wall time used.
    pub wall_ms: u64,
    /// The rung that was run.
    pub tier: u8,
    /// Commitment to an execution trace.
    pub trace: Option<Digest>,
}

/// ACCEPT: the author accepts a result. It frees every lock on its path, whatever the code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept {
    /// The payment that is freed.
    pub pay_id: PayId,
    /// The first 16 bytes of the id of the RESULT entry.
    pub result: [u8; 16],
    /// What the executor gets.
    pub amount: u64,
    /// 0: as ordered. Other values are remarks.
    pub code: u8,
}

impl Accept {
    /// How an ACCEPT names the RESULT entry with this id.
    #[must_use]
    pub fn name_of(result: &Digest) -> [u8; 16] {
        prefix(result.as_bytes())
    }
}

impl Record {
    /// The kind number and the body bytes; `None` for [`Record::Unknown`], whose body is not known here.
    #[must_use]
    pub fn encode(&self) -> Option<(u8, Vec<u8>)> {
        let encoded = match self {
            Self::Line(line) => (kind::LINE, line.encode()),
            Self::Pay(pay) => (kind::PAY, pay.encode()),
            Self::Lock(lock) => (kind::LOCK, lock.encode()),
            Self::Release(release) => (kind::RELEASE, release.encode()),
            Self::Contract(contract) => (kind::CONTRACT, contract.encode()),
            Self::Result(result) => (kind::RESULT, result.encode()),
            Self::Accept(accept) => (kind::ACCEPT, accept.encode()),
            Self::Unknown => return None,
        };
        Some(encoded)
    }

    /// Parses a canonical body of a kind.
    pub(crate) fn decode(kind: u8, body: &[u8]) -> Result<Self, WrongShape> {
        let mut reader = Reader::new(body);
        let record = match kind {
            kind::LINE => Self::Line(Line::decode(&mut reader)?),
            kind::PAY => Self::Pay(Pay::decode(&mut reader)?),
            kind::LOCK => match Lock::decode(&mut reader)? {
                Some(lock) => Self::Lock(lock),
                None => return Ok(Self::Unknown),
            },
            kind::RELEASE => Self::Release(Release::decode(&mut reader)?),
            kind::CONTRACT => Self::Contract(Contract::decode(&mut reader)?),
            kind::RESULT => Self::Result(TaskResult::decode(&mut reader)?),
            kind::ACCEPT => Self::Accept(Accept::decode(&mut reader)?),
            // Every body is an array, so that a later reader can tell its fields apart.
            _ => return reader.array().map(|_| Self::Unknown),
        };
        reader.end()?;
        Ok(record)
    }
}

impl Line {
    fn encode(&self) -> Vec<u8> {
        let writer = Writer::array(5).uint(self.limit).uint(self.hold_max).uint(self.unit);
        writer.bytes(&self.charter).uint(self.flags).finish()
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WrongShape> {
        reader.array_of(5)?;
        Ok(Self {
            limit: reader.uint()?,
            hold_max: reader.uint()?,
            unit: reader.uint()?,
            charter: reader.bytes()?,
            flags: reader.uint()?,
        })
    }
}

impl Pay {
    fn encode(&self) -> Vec<u8> {
        let writer = Writer::array(3).uint(self.cum).uint(self.ack_seq);
        write_locks(writer, &self.settles).finish()
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WrongShape> {
        reader.array_of(3)?;
        Ok(Self { cum: reader.uint()?, ack_seq: reader.uint()?, settles: read_locks(reader)? })
    }
}

impl Lock {
    fn encode(&self) -> Vec<u8> {
        let writer = Writer::array(6).bytes(&self.pay_id.0).uint(self.amount).uint(0_u8);
        writer.bytes(&self.payer.0).bytes(&self.verifiers).uint(self.hint_time).finish()
    }

    /// `None` for a condition other than 0: those have other fields.
    fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, WrongShape> {
        let fields = reader.array()?;
        if fields < 3 {
            return Err(WrongShape);
        }
        let name = reader.raw()?;
        let amount = reader.uint()?;
        if reader.uint::<u8>()? != 0 {
            return Ok(None);
        }
        if fields != 6 {
            return Err(WrongShape);
        }
        Ok(Some(Self {
            pay_id: PayId(Reader::new(name).bytes()?),
            amount,
            payer: Kid(reader.bytes()?),
            verifiers: reader.bytes()?,
            hint_time: reader.uint()?,
        }))
    }
}

impl Release {
    fn encode(&self) -> Vec<u8> {
        write_locks(Writer::array(2), &self.locks).uint(self.ack_seq).finish()
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WrongShape> {
        reader.array_of(2)?;
        Ok(Self { locks: read_locks(reader)?, ack_seq: reader.uint()? })
    }
}

impl Contract {
    fn encode(&self) -> Vec<u8> {
        let writer = Writer::array(6).bytes(self.job.as_bytes()).uint(self.price).uint(self.tier);
        writer.uint(self.hint_deadline).bytes(&self.verifiers).bytes(&self.guarantor.0).finish()
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WrongShape> {
        reader.array_of(6)?;
        Ok(Self {
            job: Digest(reader.bytes()?),
            price: reader.uint()?,
            tier: reader.uint()?,
            hint_deadline: reader.uint()?,
            verifiers: reader.bytes()?,
            guarantor: Kid(reader.bytes()?),
        })
    }
}

impl TaskResult {
    fn encode(&self) -> Vec<u8> {
        let writer = Writer::array(7).bytes(&self.pay_id.0).bytes(self.output.as_bytes()).uint(self.fuel);
        let writer = writer.uint(self.energy_mj).uint(self.wall_ms).uint(self.tier);
        match &self.trace {
            Some(trace) => writer.bytes(trace.as_bytes()).finish(),
            None => writer.uint(0_u8).finish(),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WrongShape> {
        reader.array_of(7)?;
        Ok(Self {
            pay_id: PayId(reader.bytes()?),
            output: Digest(reader.bytes()?),
            fuel: reader.uint()?,
            energy_mj: reader.uint()?,
            wall_ms: reader.uint()?,
            tier: reader.uint()?,
            trace: reader.bytes_or_zero()?.map(Digest),
        })
    }
}

impl Accept {
    fn encode(&self) -> Vec<u8> {
        let writer = Writer::array(4).bytes(&self.pay_id.0).bytes(&self.result);
        writer.uint(self.amount).uint(self.code).finish()
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WrongShape> {
        reader.array_of(4)?;
        Ok(Self {
            pay_id: PayId(reader.bytes()?),
            result: reader.bytes()?,
            amount: reader.uint()?,
            code: reader.uint()?,
        })
    }
}

fn write_locks(writer: Writer, locks: &[LockId]) -> Writer {
    let count = u64::try_from(locks.len()).unwrap_or(u64::MAX);
    locks.iter().fold(writer.nested(count), |writer, lock| writer.bytes(&lock.0))
}

fn read_locks(reader: &mut Reader<'_>) -> Result<Vec<LockId>, WrongShape> {
    let count = usize::try_from(reader.array()?).map_err(|_| WrongShape)?;
    if count > LOCKS_PER_ENTRY_MAX {
        return Err(WrongShape);
    }
    (0..count).map(|_| reader.bytes().map(LockId)).collect()
}
