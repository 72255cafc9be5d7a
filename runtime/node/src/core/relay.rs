//! Between payer and executor: passing locks on, and releasing what is not needed any more.

use std::collections::BTreeMap;

use cairn_bundle::{Digest, NodeId};
use cairn_ledger::{Forward, Kid, LOCKS_PER_ENTRY_MAX, LockId, LockStatus, LockView, PayId};

use super::Core;
use super::boards::ResultExt;
use super::commit::Tx;

impl Core {
    /// The held lock to this node that pays for a payment, if there is one.
    pub(super) fn lock_to_me(&self, payer: &NodeId, payment: &PayId) -> Option<LockView> {
        let to_me = |lock: &LockView| lock.beneficiary == self.me && lock.status == LockStatus::Held;
        self.locks_for(payer, payment).into_iter().find(to_me)
    }

    /// Whether this node has passed the lock of a payment on.
    pub(super) fn has_forwarded(&self, payer: &NodeId, payment: &PayId) -> bool {
        self.locks_for(payer, payment).iter().any(|lock| lock.debtor == self.me)
    }

    /// Passes locks for rungs that this node cannot run to a neighbour that may.
    pub(super) fn forward_locks(&mut self, tx: &mut Tx) {
        for (forward, fee_kept) in self.locks_to_forward() {
            let next = forward.next;
            if self.write_entry(tx, next, |author| author.forward(&forward)).is_ok() {
                let who = self.contacts.name(&next);
                self.say(format!(
                    "passed a lock of {} µcr on to {who}, keeping {fee_kept}",
                    forward.amount_down
                ));
            }
        }
    }

    fn locks_to_forward(&self) -> Vec<(Forward, u64)> {
        let mut forwards = Vec::new();
        for slot in self.boards.iter() {
            for (id, job) in
                slot.view.jobs.iter().filter(|(_, job)| job.job.payer != self.me && job.state.is_open())
            {
                let payer = job.job.payer;
                let fundings = job.fundings.iter().map(|view| &view.funding);
                for funding in fundings.filter(|funding| self.cannot_run(id, &job.job, funding.rung)) {
                    let payment = PayId(funding.pay_id);
                    let Some(up) = self.lock_to_me(&payer, &payment) else { continue };
                    if self.has_forwarded(&payer, &payment) || self.has_answered(&payment) {
                        continue;
                    }
                    let Some(amount_down) = up.terms.amount.checked_sub(job.job.fee) else { continue };
                    let members = slot.view.members.keys().filter(|node| self.contacts.is_peer(node));
                    let mut hops =
                        members.filter(|node| **node != up.debtor && Kid::of(node) != up.terms.payer);
                    let forward = |next: &NodeId| Forward {
                        lock_up: up.id,
                        next: *next,
                        amount_down,
                        fee: job.job.fee,
                    };
                    if let Some(next) = hops.find(|next| self.ledger.may_forward(&forward(next)).is_ok()) {
                        forwards.push((forward(next), job.job.fee));
                    }
                }
            }
        }
        forwards
    }

    /// Whether this node has signed a RESULT for a payment.
    pub(super) fn has_answered(&self, payment: &PayId) -> bool {
        self.ledger.results(payment).any(|result| result.author() == self.me)
    }

    /// Waives locks of jobs that their payer has closed, downstream first (duty T3).
    pub(super) fn release_locks(&mut self, tx: &mut Tx) {
        let mut due: BTreeMap<NodeId, Vec<LockId>> = BTreeMap::new();
        for slot in self.boards.iter() {
            for job in slot.view.jobs.values().filter(|job| !job.state.is_open()) {
                for funding in job.fundings.iter().map(|view| &view.funding) {
                    let payment = PayId(funding.pay_id);
                    // Work that was done and not judged keeps its lock: it is the executor's only claim.
                    if self.has_answered(&payment) && !self.is_rejected(job, funding.rung) {
                        continue;
                    }
                    if let Some(lock) = self.lock_to_me(&job.job.payer, &payment)
                        && self.ledger.may_release_up(&lock.id).is_ok()
                    {
                        due.entry(lock.debtor).or_default().push(lock.id);
                    }
                }
            }
        }
        for (debtor, locks) in due {
            for some in locks.chunks(LOCKS_PER_ENTRY_MAX) {
                if let Err(error) = self.write_entry(tx, debtor, |author| author.release(&debtor, some)) {
                    self.say(format!("a lock could not be released: {error}"));
                }
            }
        }
    }

    fn is_rejected(&self, job: &cairn_board::JobView, rung: u8) -> bool {
        let mine = |result: &&cairn_board::ResultView| result.author == self.me && result.result.rung == rung;
        job.results.iter().filter(mine).any(|result| result.rejected().is_some())
    }

    /// The board view of a job, if it is known.
    pub(super) fn group_of_job(&self, job: &Digest) -> Option<u32> {
        self.boards.job(job).map(|(slot, _)| slot.group)
    }
}
