//! From the set of facts to balances: who owes whom, and what became of each lock.
//!
//! Amounts on the wire are u64. Sums are u128 and differences i128: a ledger would need more than 2^60 facts
//! to overflow them, so no sum is ever cut or wrapped, and no fact is refused for its amount.

use alloc::vec::Vec;

use cairn_bundle::{Digest, NodeId};

use crate::entry::VerifiedEntry;
use crate::ids::LockId;
use crate::ledger::{Ledger, Stream};
use crate::record::{Lock, Record};

/// What became of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockStatus {
    /// The amount is promised.
    Held,
    /// The amount is owed.
    Settled,
    /// The beneficiary waived it.
    Released,
}

/// A lock and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockView {
    /// Its name.
    pub id: LockId,
    /// The id of its entry.
    pub entry: Digest,
    /// Who promised.
    pub debtor: NodeId,
    /// To whom.
    pub beneficiary: NodeId,
    /// What was promised.
    pub terms: Lock,
    /// What became of it.
    pub status: LockStatus,
}

/// Running sums over the locks of one direction of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) settled: u128,
    pub(crate) held: u128,
}

impl Totals {
    pub(crate) fn add(&mut self, status: LockStatus, amount: u64) {
        match status {
            LockStatus::Held => self.held += u128::from(amount),
            LockStatus::Settled => self.settled += u128::from(amount),
            LockStatus::Released => {}
        }
    }

    pub(crate) fn subtract(&mut self, status: LockStatus, amount: u64) {
        match status {
            LockStatus::Held => self.held -= u128::from(amount),
            LockStatus::Settled => self.settled -= u128::from(amount),
            LockStatus::Released => {}
        }
    }
}

/// What one node owes and has promised another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeView {
    /// The highest total paid without a condition.
    pub cum: u64,
    /// Amount of all settled locks.
    pub settled: u128,
    /// `cum + settled`
    pub owed: u128,
    /// Amount of all held locks.
    pub held: u128,
    /// Every lock, in the order of the entry ids.
    pub locks: Vec<LockView>,
}

impl Ledger {
    /// What `debtor` owes and has promised `beneficiary`, with every lock.
    #[must_use]
    pub fn edge(&self, debtor: &NodeId, beneficiary: &NodeId) -> EdgeView {
        let cum = self.stream(debtor, beneficiary).map_or(0, |stream| stream.cum);
        let Totals { settled, held } = self.totals(debtor, beneficiary);
        let locks = self.locks_between(debtor, beneficiary).collect();
        EdgeView { cum, settled, owed: u128::from(cum) + settled, held, locks }
    }

    /// What `debtor` owes `beneficiary`.
    #[must_use]
    pub fn owed(&self, debtor: &NodeId, beneficiary: &NodeId) -> u128 {
        let cum = self.stream(debtor, beneficiary).map_or(0, |stream| stream.cum);
        u128::from(cum) + self.totals(debtor, beneficiary).settled
    }

    /// What `debtor` has promised `beneficiary` in locks that are still open.
    #[must_use]
    pub fn held(&self, debtor: &NodeId, beneficiary: &NodeId) -> u128 {
        self.totals(debtor, beneficiary).held
    }

    /// What `node` is owed by `peer`, less what it owes: the negative of what `peer` sees.
    #[must_use]
    pub fn net(&self, node: &NodeId, peer: &NodeId) -> i128 {
        signed(self.owed(peer, node)) - signed(self.owed(node, peer))
    }

    /// What `creditor` stands to lose by `debtor`: `owed + held` less what it owes itself.
    #[must_use]
    pub fn exposure(&self, debtor: &NodeId, creditor: &NodeId) -> i128 {
        signed(self.owed(debtor, creditor)) + signed(self.held(debtor, creditor))
            - signed(self.owed(creditor, debtor))
    }

    /// What this node stands to lose by all admitted debtors. A debt to one does not offset a claim on another.
    #[must_use]
    pub fn exposure_total(&self) -> i128 {
        let me = self.me();
        self.admitted().map(|debtor| self.exposure(debtor, &me).max(0)).sum()
    }

    /// How much more `debtor` can promise `creditor` within the line that is known here.
    #[must_use]
    pub fn available(&self, debtor: &NodeId, creditor: &NodeId) -> u64 {
        let Some(line) = self.line(creditor, debtor) else { return 0 };
        let within_limit = i128::from(line.limit) - self.exposure(debtor, creditor);
        let within_hold = i128::from(line.hold_max) - signed(self.held(debtor, creditor));
        // It is a bound on one u64 amount, so a room beyond u64 is the same as u64::MAX.
        u64::try_from(within_limit.min(within_hold).max(0)).unwrap_or(u64::MAX)
    }

    /// The lock with this name on an edge of this node with an admitted author.
    ///
    /// Two LOCK entries with one name take about 2^64 work to make; neither can then be acted on.
    #[must_use]
    pub fn lock(&self, lock: &LockId) -> Option<LockView> {
        let mut found = self.entries_named(lock).filter_map(|entry| self.lock_at(&entry.id()));
        let first = found.next()?;
        if found.next().is_some() { None } else { Some(first) }
    }

    /// What became of a lock on an edge of this node.
    #[must_use]
    pub fn status(&self, lock: &LockId) -> Option<LockStatus> {
        self.lock(lock).map(|lock| lock.status)
    }

    /// The locks that `debtor` signed for `beneficiary`, in the order of their entry ids.
    pub fn locks_between<'a>(
        &'a self,
        debtor: &NodeId,
        beneficiary: &NodeId,
    ) -> impl Iterator<Item = LockView> + use<'a> {
        let (debtor, beneficiary) = (*debtor, *beneficiary);
        let promises = self.stream(&debtor, &beneficiary);
        let waivers = self.stream(&beneficiary, &debtor);
        promises.into_iter().flat_map(move |promises| {
            let entries = promises.locks.iter().filter_map(|id| self.entry(id));
            entries.filter_map(move |entry| {
                let Record::Lock(terms) = entry.record() else { return None };
                let (id, status) = (LockId::of(&entry.id()), self.judge(entry, terms, promises, waivers));
                Some(LockView { id, entry: entry.id(), debtor, beneficiary, terms: *terms, status })
            })
        })
    }

    /// The ACCEPT entries that settle a lock, the lowest id first.
    pub fn evidence_for<'a>(&'a self, terms: &Lock) -> impl Iterator<Item = &'a VerifiedEntry> + use<'a> {
        self.evidence((terms.payer, terms.pay_id))
    }

    /// A lock of an own edge by its entry id.
    pub(crate) fn lock_at(&self, id: &Digest) -> Option<LockView> {
        let entry = self.entry(id)?;
        let Record::Lock(terms) = entry.record() else { return None };
        let (debtor, beneficiary) = (entry.author(), self.addressee(entry)?);
        let promises = self.stream(&debtor, &beneficiary)?;
        let status = self.judge(entry, terms, promises, self.stream(&beneficiary, &debtor));
        Some(LockView { id: LockId::of(id), entry: *id, debtor, beneficiary, terms: *terms, status })
    }

    /// The sums of one direction of an edge, from all its locks.
    pub(crate) fn fold_totals(&self, debtor: &NodeId, beneficiary: &NodeId) -> Totals {
        let mut totals = Totals::default();
        for lock in self.locks_between(debtor, beneficiary) {
            totals.add(lock.status, lock.terms.amount);
        }
        totals
    }

    fn totals(&self, debtor: &NodeId, beneficiary: &NodeId) -> Totals {
        let running = self.running_totals(debtor, beneficiary);
        running.unwrap_or_else(|| self.fold_totals(debtor, beneficiary))
    }

    /// The one rule of the ledger. The order matters: the debtor's own word binds it for good; a waiver stands
    /// against evidence that turns up later; evidence is the payer's word, the same for every lock on the path.
    fn judge(
        &self,
        entry: &VerifiedEntry,
        terms: &Lock,
        promises: &Stream,
        waivers: Option<&Stream>,
    ) -> LockStatus {
        let name = LockId::of(&entry.id());
        if promises.settles.contains(&name) {
            LockStatus::Settled
        } else if waivers.is_some_and(|waivers| waivers.releases.contains(&name)) {
            LockStatus::Released
        } else if self.evidence_for(terms).next().is_some() {
            LockStatus::Settled
        } else {
            LockStatus::Held
        }
    }
}

pub(crate) fn signed(amount: u128) -> i128 {
    i128::try_from(amount).expect("a sum of u64 amounts that fit in memory is far below 2^127")
}
