//! What an honest node may do. The duties protect only the node that keeps them; nobody depends on them.

use alloc::vec::Vec;

use cairn_bundle::NodeId;

use crate::entry::VerifiedEntry;
use crate::fold::{LockStatus, LockView};
use crate::ids::{Kid, LockId, PayId};
use crate::ledger::{Condition, Ledger};

/// Why an honest node does not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such lock on an edge of this node.
    #[error("no such lock on an edge of this node")]
    UnknownLock,
    /// The lock is a promise to somebody else.
    #[error("the lock is not a promise to this node")]
    NotToMe,
    /// It is settled or released already.
    #[error("the lock is no longer held")]
    NotHeld,
    /// The debtor signed twice for one place: it gets no new trust.
    #[error("the debtor signed two different entries for one place")]
    Equivocated,
    /// This node granted the debtor no line.
    #[error("no line is granted to the debtor")]
    NoLine,
    /// The debtor is beyond the line.
    #[error("an exposure of {exposure} is beyond the line of {limit}")]
    OverLine {
        /// What this node would stand to lose.
        exposure: i128,
        /// What it chose to risk.
        limit: u64,
    },
    /// The debtor has too much in open locks.
    #[error("{held} in open locks is beyond the {hold_max} allowed")]
    OverHold {
        /// In open locks.
        held: u128,
        /// Allowed.
        hold_max: u64,
    },
    /// All debtors together are beyond the own cap.
    #[error("an exposure of {exposure} to all debtors is beyond the own cap of {exposure_max}")]
    OverCap {
        /// What this node would stand to lose.
        exposure: i128,
        /// [`Limits::exposure_max`](crate::Limits::exposure_max)
        exposure_max: u64,
    },
    /// The next hop would be this node, the previous hop or the payer.
    #[error("the lock would go back to where it came from")]
    Loop,
    /// This node has passed the payment on before.
    #[error("the payment was passed on before")]
    AlreadyForwarded,
    /// This node did the job itself.
    #[error("the job was done here")]
    AlreadyRun,
    /// What comes in does not cover what goes out and the fee.
    #[error("{amount_up} does not cover {amount_down} and the fee of {fee}")]
    TooLittle {
        /// What is promised to this node.
        amount_up: u64,
        /// What it would promise.
        amount_down: u64,
        /// What it wants to keep.
        fee: u64,
    },
    /// The next hop's line is too small.
    #[error("the line that the next hop grants has room for {available} only")]
    BeyondTheirLine {
        /// What is left of it.
        available: u64,
    },
    /// A lock further down depends on this one.
    #[error("a lock further down is not released yet")]
    DownstreamOpen,
}

/// A lock to be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// The lock that pays for it.
    pub lock_up: LockId,
    /// The next hop.
    pub next: NodeId,
    /// What the next hop is promised.
    pub amount_down: u64,
    /// What this node wants to keep.
    pub fee: u64,
}

impl Ledger {
    /// Duty T1: whether to start a job, forward, or hand over a result on the strength of a lock.
    ///
    /// # Errors
    /// The [`Refusal`]; the lock should then be released.
    pub fn may_act_on(&self, lock: &LockId) -> Result<LockView, Refusal> {
        let lock = self.held_to_me(lock)?;
        let (me, debtor) = (self.me(), lock.debtor);
        if self.equivocation(&debtor).is_some() {
            return Err(Refusal::Equivocated);
        }
        let line = self.line(&me, &debtor).ok_or(Refusal::NoLine)?;
        let exposure = self.exposure(&debtor, &me);
        if exposure > i128::from(line.limit) {
            return Err(Refusal::OverLine { exposure, limit: line.limit });
        }
        let held = self.held(&debtor, &me);
        if held > u128::from(line.hold_max) {
            return Err(Refusal::OverHold { held, hold_max: line.hold_max });
        }
        let (exposure, exposure_max) = (self.exposure_total(), self.limits().exposure_max);
        if exposure > i128::from(exposure_max) {
            return Err(Refusal::OverCap { exposure, exposure_max });
        }
        Ok(lock)
    }

    /// Duties T1 and T2: whether to do the job itself on the strength of a lock. A lock that was passed on pays
    /// somebody else out of the same ACCEPT.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn may_run(&self, lock: &LockId) -> Result<LockView, Refusal> {
        let lock = self.may_act_on(lock)?;
        if self.is_passed_on((lock.terms.payer, lock.terms.pay_id)) {
            return Err(Refusal::AlreadyForwarded);
        }
        Ok(lock)
    }

    /// Duty T2: whether to promise the next hop what the previous hop has promised here, under the same condition.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn may_forward(&self, forward: &Forward) -> Result<LockView, Refusal> {
        let Forward { lock_up, next, amount_down, fee } = *forward;
        let up = self.may_act_on(&lock_up)?;
        if next == self.me() || next == up.debtor || Kid::of(&next) == up.terms.payer {
            return Err(Refusal::Loop);
        }
        // One payment, one way on: the same ACCEPT would free both. That the payment came in twice is no
        // danger, and refusing it would let anybody who knows the payment block it with a lock of one credit.
        if self.own_locks_under((up.terms.payer, up.terms.pay_id)).next().is_some() {
            return Err(Refusal::AlreadyForwarded);
        }
        if self.has_run(&up.terms.pay_id) {
            return Err(Refusal::AlreadyRun);
        }
        let amount_up = up.terms.amount;
        if amount_down.checked_add(fee).is_none_or(|needed| needed > amount_up) {
            return Err(Refusal::TooLittle { amount_up, amount_down, fee });
        }
        let available = self.available(&self.me(), &next);
        if amount_down > available {
            return Err(Refusal::BeyondTheirLine { available });
        }
        Ok(up)
    }

    /// Duty T3: whether to waive a lock. Only if it was never forwarded, or what was forwarded is waived.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn may_release_up(&self, lock: &LockId) -> Result<LockView, Refusal> {
        let up = self.held_to_me(lock)?;
        if self.is_passed_on((up.terms.payer, up.terms.pay_id)) {
            Err(Refusal::DownstreamOpen)
        } else {
            Ok(up)
        }
    }

    /// Duty T8: the locks to this node that should be released now, because their hint time and a grace
    /// period have passed and no work was done for them. Time only prompts; the RELEASE is what moves money.
    #[must_use]
    pub fn due_for_release(&self, now: u32, grace: u32) -> Vec<LockView> {
        let me = self.me();
        let locks = self.admitted().flat_map(|debtor| self.locks_between(debtor, &me));
        let overdue = locks.filter(|lock| {
            let hint_time = lock.terms.hint_time;
            let past = hint_time != 0 && u64::from(hint_time) + u64::from(grace) < u64::from(now);
            past && !self.has_run(&lock.terms.pay_id)
        });
        overdue.filter(|lock| self.may_release_up(&lock.id).is_ok()).collect()
    }

    /// Whether this node has a lock under the condition that is not waived.
    pub(crate) fn is_passed_on(&self, condition: Condition) -> bool {
        self.own_locks_under(condition).any(|entry| {
            let view = self.lock_at(&entry.id());
            view.is_none_or(|view| view.status != LockStatus::Released)
        })
    }

    pub(crate) fn own_locks_under(&self, condition: Condition) -> impl Iterator<Item = &VerifiedEntry> {
        let me = self.me();
        self.locks_under(condition).filter(move |lock| lock.author() == me)
    }

    pub(crate) fn has_run(&self, payment: &PayId) -> bool {
        let me = self.me();
        self.results(payment).any(|result| result.author() == me)
    }

    /// The lock if it is a promise to this node that is neither settled nor released.
    fn held_to_me(&self, lock: &LockId) -> Result<LockView, Refusal> {
        let lock = self.lock(lock).ok_or(Refusal::UnknownLock)?;
        if lock.beneficiary != self.me() {
            return Err(Refusal::NotToMe);
        }
        if lock.status == LockStatus::Held { Ok(lock) } else { Err(Refusal::NotHeld) }
    }
}
