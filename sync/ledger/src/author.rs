//! Signing own entries, so that they are ones an honest node may sign.

use cairn_bundle::{Digest, Identity, NodeId};

use crate::duties::{Forward, Refusal};
use crate::entry::{Draft, EntryError, Place, VerifiedEntry};
use crate::fold::LockStatus;
use crate::ids::{Kid, LockId, PayId, StreamId, pay_id};
use crate::ledger::{AuthorsFull, InsertError, Ledger};
use crate::record::{Accept, Contract, LOCKS_PER_ENTRY_MAX, Line, Lock, Pay, Record, Release, TaskResult};

/// Why an entry was not signed. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorError {
    /// The identity is not the one of the ledger.
    #[error("the ledger belongs to another identity")]
    OtherIdentity,
    /// A node has no edge with itself.
    #[error("a node has no edge with itself")]
    Myself,
    /// No further number in the stream.
    #[error("the stream has no further sequence number")]
    SeqUsedUp,
    /// The entry would not be one that others take.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The ledger has no room.
    #[error(transparent)]
    Full(#[from] InsertError),
    /// The ledger has no room for the peer.
    #[error(transparent)]
    AuthorsFull(#[from] AuthorsFull),
    /// A duty forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No lock is named, or too many.
    #[error("name between 1 and {LOCKS_PER_ENTRY_MAX} locks")]
    LockCount,
    /// The total paid would pass the largest number.
    #[error("the total paid on this edge would pass the largest number")]
    Overflow,
    /// A lock of this node for that payment exists: a retry takes a new nonce.
    #[error("a lock for payment {0} exists: use a new nonce")]
    PaymentUsed(PayId),
    /// This node has signed a RESULT for that payment.
    #[error("a result for payment {0} is signed already")]
    AlreadyDelivered(PayId),
    /// This node has accepted a result for the same rung of the same job.
    #[error("a result for this rung is accepted already, under payment {0}")]
    AlreadyAccepted(PayId),
    /// There is no such RESULT addressed to this node, or it is for another rung or payment.
    #[error("no result for this order")]
    NoSuchResult,
}

/// A new lock of the payer itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The payment, one for each attempt.
    pub pay_id: PayId,
    /// Price and fees.
    pub amount: u64,
    /// The first 8 bytes of the hash of a verifier set, zeros for none.
    pub verifiers: [u8; 8],
    /// When it should be done; 0 for no wish.
    pub hint_time: u32,
}

/// One rung of a job and every attempt that this node has made to have it done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order<'a> {
    /// The job.
    pub job: Digest,
    /// The rung.
    pub tier: u8,
    /// The nonces of all attempts ever made for this rung. Facts do not tell which payments belong to a rung,
    /// so duty T4 (one ACCEPT for each rung of a job) is only kept if the list is complete.
    pub nonces: &'a [[u8; 16]],
}

/// Signs entries of one node into its ledger.
///
/// Every method is a pure function of the ledger, its arguments and the key. The new entry counts at once, so
/// that the next one cannot fork it, but the ledger offers it to nobody before
/// [`Ledger::mark_durable`] (duty T5): store its bytes, sync, mark it, and only then let it leave.
#[derive(Debug)]
pub struct Author<'a> {
    identity: &'a Identity,
    ledger: &'a mut Ledger,
    now: u32,
}

impl<'a> Author<'a> {
    /// An author that writes `now` (seconds since 2020-01-01 UTC, advisory) into its entries.
    ///
    /// # Errors
    /// [`AuthorError::OtherIdentity`] if the ledger is not the identity's.
    pub fn new(identity: &'a Identity, ledger: &'a mut Ledger, now: u32) -> Result<Self, AuthorError> {
        if identity.node_id() != ledger.me() {
            return Err(AuthorError::OtherIdentity);
        }
        Ok(Self { identity, ledger, now })
    }

    /// Grants a peer credit. The last LINE counts; lowering it touches nothing that was accepted.
    ///
    /// # Errors
    /// [`AuthorError`] without room.
    pub fn grant_line(&mut self, peer: &NodeId, line: Line) -> Result<VerifiedEntry, AuthorError> {
        self.sign(peer, &Record::Line(line))
    }

    /// Promises a neighbour an amount for a payment of this node.
    ///
    /// # Errors
    /// [`AuthorError::PaymentUsed`], or [`Refusal::BeyondTheirLine`], since the neighbour would refuse it.
    pub fn lock(&mut self, peer: &NodeId, promise: &Promise) -> Result<VerifiedEntry, AuthorError> {
        let me = self.identity.node_id();
        let Promise { pay_id, amount, verifiers, hint_time } = *promise;
        let payer = Kid::of(&me);
        if self.ledger.own_locks_under((payer, pay_id)).next().is_some() {
            return Err(AuthorError::PaymentUsed(pay_id));
        }
        let available = self.ledger.available(&me, peer);
        if amount > available {
            return Err(Refusal::BeyondTheirLine { available }.into());
        }
        self.sign(peer, &Record::Lock(Lock { pay_id, amount, payer, verifiers, hint_time }))
    }

    /// Passes a lock on to the next hop under the same condition (duty T2).
    ///
    /// # Errors
    /// The [`Refusal`] of [`Ledger::may_forward`].
    pub fn forward(&mut self, forward: &Forward) -> Result<VerifiedEntry, AuthorError> {
        let up = self.ledger.may_forward(forward)?;
        let terms = Lock { amount: forward.amount_down, ..up.terms };
        self.sign(&forward.next, &Record::Lock(terms))
    }

    /// Waives locks of a peer (duty T3).
    ///
    /// # Errors
    /// [`AuthorError::LockCount`], or the [`Refusal`] of [`Ledger::may_release_up`] for any of them.
    pub fn release(&mut self, peer: &NodeId, locks: &[LockId]) -> Result<VerifiedEntry, AuthorError> {
        if locks.is_empty() || locks.len() > LOCKS_PER_ENTRY_MAX {
            return Err(AuthorError::LockCount);
        }
        for lock in locks {
            if self.ledger.may_release_up(lock)?.debtor != *peer {
                return Err(Refusal::UnknownLock.into());
            }
        }
        let ack_seq = self.seq_seen(peer);
        self.sign(peer, &Record::Release(Release { locks: locks.to_vec(), ack_seq }))
    }

    /// Orders one rung of a job from an executor.
    ///
    /// # Errors
    /// [`AuthorError`] without room.
    pub fn contract(&mut self, executor: &NodeId, contract: Contract) -> Result<VerifiedEntry, AuthorError> {
        self.sign(executor, &Record::Contract(contract))
    }

    /// States the result of a job to its payer: one for each payment.
    ///
    /// # Errors
    /// [`AuthorError::AlreadyDelivered`], or [`Refusal::AlreadyForwarded`] if the ACCEPT would pay another.
    pub fn result(&mut self, payer: &NodeId, result: TaskResult) -> Result<VerifiedEntry, AuthorError> {
        if self.ledger.has_run(&result.pay_id) {
            return Err(AuthorError::AlreadyDelivered(result.pay_id));
        }
        if self.ledger.is_passed_on((Kid::of(payer), result.pay_id)) {
            return Err(Refusal::AlreadyForwarded.into());
        }
        self.sign(payer, &Record::Result(result))
    }

    /// Accepts the RESULT entry with this id, which frees the locks of its payment (duty T4).
    ///
    /// # Errors
    /// [`AuthorError::NoSuchResult`], or [`AuthorError::AlreadyAccepted`] if any attempt of the order was.
    pub fn accept(
        &mut self,
        order: &Order<'_>,
        result: &Digest,
        amount: u64,
        code: u8,
    ) -> Result<VerifiedEntry, AuthorError> {
        let me = self.identity.node_id();
        let attempts = || order.nonces.iter().map(|nonce| pay_id(&order.job, &me, nonce));
        if let Some(accepted) = attempts().find(|attempt| self.ledger.accepted(&me, attempt).is_some()) {
            return Err(AuthorError::AlreadyAccepted(accepted));
        }
        let entry = self.ledger.entry(result).ok_or(AuthorError::NoSuchResult)?;
        let Record::Result(stated) = entry.record() else { return Err(AuthorError::NoSuchResult) };
        let ordered = stated.tier == order.tier && attempts().any(|attempt| attempt == stated.pay_id);
        if !ordered || !entry.is_to(&me) {
            return Err(AuthorError::NoSuchResult);
        }
        let (executor, pay_id) = (entry.author(), stated.pay_id);
        let accept = Accept { pay_id, result: Accept::name_of(result), amount, code };
        self.sign(&executor, &Record::Accept(accept))
    }

    /// Pays a peer `amount` more without a condition, and declares own locks settled.
    ///
    /// # Errors
    /// [`AuthorError::Overflow`], [`AuthorError::LockCount`], or a [`Refusal`] for a lock that is not this node's
    /// to the peer, or that the peer has released: that would bring the debt back.
    pub fn pay(
        &mut self,
        peer: &NodeId,
        amount: u64,
        settles: &[LockId],
    ) -> Result<VerifiedEntry, AuthorError> {
        if settles.len() > LOCKS_PER_ENTRY_MAX {
            return Err(AuthorError::LockCount);
        }
        let me = self.identity.node_id();
        for id in settles {
            let lock = self.ledger.lock(id).ok_or(Refusal::UnknownLock)?;
            if (lock.debtor, lock.beneficiary) != (me, *peer) {
                return Err(Refusal::UnknownLock.into());
            }
            if lock.status == LockStatus::Released {
                return Err(Refusal::NotHeld.into());
            }
        }
        let paid = self.ledger.stream(&me, peer).map_or(0, |stream| stream.cum);
        let cum = paid.checked_add(amount).ok_or(AuthorError::Overflow)?;
        let ack_seq = self.seq_seen(peer);
        self.sign(peer, &Record::Pay(Pay { cum, ack_seq, settles: settles.to_vec() }))
    }

    fn seq_seen(&self, peer: &NodeId) -> u32 {
        self.ledger.head(peer, &self.identity.node_id()).map_or(0, |head| head.seq)
    }

    fn sign(&mut self, peer: &NodeId, record: &Record) -> Result<VerifiedEntry, AuthorError> {
        let me = self.identity.node_id();
        if *peer == me {
            return Err(AuthorError::Myself);
        }
        self.ledger.admit(peer)?;
        let stream = StreamId::edge(&me, peer);
        let (kind, body) = record.encode().ok_or(EntryError::Body)?;
        let draft = match self.ledger.head(&me, peer) {
            None => Draft {
                place: Place { stream, epoch: 0, seq: 0 },
                prev: Digest([0; 32]),
                time: self.now,
                kind,
                body: &body,
            },
            Some(head) => Draft {
                place: Place {
                    stream,
                    epoch: head.epoch,
                    seq: head.seq.checked_add(1).ok_or(AuthorError::SeqUsedUp)?,
                },
                prev: head.id,
                // Monotone in the stream, whatever the clock did.
                time: self.now.max(head.time_max),
                kind,
                body: &body,
            },
        };
        let entry = VerifiedEntry::sign(self.identity, &draft)?;
        self.ledger.insert_volatile(entry.clone())?;
        Ok(entry)
    }
}
