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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Draft, Place, VerifiedEntry};
    use crate::ids::StreamId;
    use cairn_bundle::Identity;

    fn lock_ids(count: u8) -> Vec<LockId> {
        (0..count).map(|byte| LockId([byte; 16])).collect()
    }

    fn result(trace: Option<Digest>) -> Record {
        let (pay_id, output) = (PayId([1; 16]), Digest([2; 32]));
        let (fuel, energy_mj, wall_ms) = (90_000_000, 70_000, 120_000);
        Record::Result(TaskResult { pay_id, output, fuel, energy_mj, wall_ms, tier: 2, trace })
    }

    /// The sizes that the design gives: name, record, session bytes, standalone bytes.
    fn table() -> Vec<(&'static str, Record, usize, usize)> {
        let amount = 1_000_000;
        let (pay_id, bytes8) = (PayId([1; 16]), [3; 8]);
        let line = Line { limit: amount, hold_max: amount, unit: 1, charter: bytes8, flags: 0 };
        let lock = Lock { pay_id, amount, payer: Kid(bytes8), verifiers: bytes8, hint_time: 200_000_000 };
        let contract = Contract {
            job: Digest([4; 32]),
            price: amount,
            tier: 2,
            hint_deadline: 200_000_000,
            verifiers: bytes8,
            guarantor: Kid(bytes8),
        };
        let accept = Accept { pay_id, result: [5; 16], amount, code: 0 };
        let pay = |settles| Record::Pay(Pay { cum: amount, ack_seq: 300, settles });
        let release = |locks| Record::Release(Release { locks, ack_seq: 300 });
        alloc::vec![
            ("LINE", Record::Line(line), 98, 184),
            ("PAY", pay(lock_ids(0)), 86, 172),
            ("PAY + 1", pay(lock_ids(1)), 103, 189),
            ("LOCK", Record::Lock(lock), 123, 209),
            ("RELEASE 1", release(lock_ids(1)), 98, 184),
            ("RELEASE 4", release(lock_ids(4)), 149, 235),
            ("CONTRACT", Record::Contract(contract), 140, 226),
            ("RESULT", result(None), 145, 231),
            ("RESULT + trace", result(Some(Digest([6; 32]))), 178, 264),
            ("ACCEPT", Record::Accept(accept), 117, 203),
        ]
    }

    #[test]
    fn every_record_goes_there_and_back_in_the_size_of_the_design() {
        let me = Identity::from_seed(&[1; 32]);
        let stream = StreamId::edge(&me.node_id(), &Identity::from_seed(&[2; 32]).node_id());
        let place = Place { stream, epoch: 0, seq: 300 };
        for (name, record, session, standalone) in table() {
            let (kind, body) = record.encode().unwrap();
            assert_eq!(Record::decode(kind, &body), Ok(record), "{name}");
            let draft = Draft { place, prev: Digest([9; 32]), time: 200_000_000, kind, body: &body };
            let entry = VerifiedEntry::sign(&me, &draft).unwrap();
            assert_eq!(entry.encode_session().len(), session, "{name}");
            assert_eq!(entry.encode().len(), standalone, "{name}");
        }
    }

    #[test]
    fn a_body_with_a_field_more_or_less_is_refused() {
        for (name, record, ..) in table() {
            let (kind, body) = record.encode().unwrap();
            let mut more = body.clone();
            more[0] += 1;
            more.push(0);
            assert_eq!(Record::decode(kind, &more), Err(WrongShape), "{name}");
            let mut less = body.clone();
            less[0] -= 1;
            assert_eq!(Record::decode(kind, &less), Err(WrongShape), "{name}");
            assert_eq!(Record::decode(kind, &[0x80]), Err(WrongShape), "{name}");
            assert_eq!(Record::decode(kind, &[0x00]), Err(WrongShape), "{name}");
        }
    }

    #[test]
    fn one_lock_too_many_is_refused() {
        let release =
            |count| Record::Release(Release { locks: lock_ids(count), ack_seq: 0 }).encode().unwrap();
        let (kind, body) = release(16);
        assert!(Record::decode(kind, &body).is_ok());
        let (kind, body) = release(17);
        assert_eq!(Record::decode(kind, &body), Err(WrongShape));
    }

    #[test]
    fn a_lock_with_another_condition_is_kept_but_not_interpreted() {
        let hash_lock = Writer::array(4).bytes(&[1; 32]).uint(5_u8).uint(1_u8).uint(0_u8).finish();
        assert_eq!(Record::decode(kind::LOCK, &hash_lock), Ok(Record::Unknown));
        assert_eq!(Record::Unknown.encode(), None);
        assert_eq!(Record::decode(200, &[0x80]), Ok(Record::Unknown));
    }
}
