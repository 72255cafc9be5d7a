//! Amounts by node for a bounded number of nodes; the others share one account.

use alloc::collections::BTreeMap;

use cairn_bundle::NodeId;

use super::limits::Amount;
use crate::time::Instant;

/// What one node occupies, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) used: Amount,
    /// Only what was kept later than this is counted here: what is older may lie in the shared account.
    after: Option<Instant>,
    pub(super) community: Option<u32>,
    pub(super) earned: u64,
}

impl Account {
    const fn has_standing(&self) -> bool {
        self.community.is_some() || self.earned > 0
    }

    fn counts(&self, kept_since: Instant) -> bool {
        self.after.is_none_or(|after| kept_since > after)
    }
}

/// Where a bundle is counted, with what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Alone(Amount),
    Shared(Amount),
}

/// The accounts.
///
/// A bundle must be given back to the account that it was counted to, though nothing is remembered of single bundles.
/// So an account that is opened while the shared one is in use counts only what is kept later than everything in the
/// shared one, and the time when a bundle was kept tells where it is counted.
#[derive(Debug)]
pub(super) struct Accounts {
    accounts: BTreeMap<NodeId, Account>,
    shared: Amount,
    /// The latest time at which something was kept that is in the shared account.
    shared_last: Instant,
    strangers_max: usize,
    known_max: usize,
    known: usize,
    known_used: Amount,
}

impl Accounts {
    pub(super) const fn new(strangers_max: usize, known_max: usize) -> Self {
        Self {
            accounts: BTreeMap::new(),
            shared: Amount::ZERO,
            shared_last: Instant::ZERO,
            strangers_max,
            known_max,
            known: 0,
            known_used: Amount::ZERO,
        }
    }

    /// Counts a bundle; whether to an account of the node's own.
    pub(super) fn add(&mut self, node: &NodeId, kept_since: Instant, more: Amount) -> bool {
        if !self.accounts.contains_key(node) && self.may_open(kept_since) {
            let account = Account { after: self.shared_until(), ..Account::default() };
            self.accounts.insert(*node, account);
        }
        if let Some(account) = self.accounts.get_mut(node).filter(|account| account.counts(kept_since)) {
            account.used = account.used.plus(more);
            if account.has_standing() {
                self.known_used = self.known_used.plus(more);
            }
            return true;
        }
        self.shared = self.shared.plus(more);
        self.shared_last = self.shared_last.max(kept_since);
        false
    }

    /// Gives a bundle back; whether it was counted to an account of the node's own.
    pub(super) fn remove(&mut self, node: &NodeId, kept_since: Instant, less: Amount) -> bool {
        if let Some(account) = self.accounts.get_mut(node).filter(|account| account.counts(kept_since)) {
            account.used = account.used.minus(less);
            if account.has_standing() {
                self.known_used = self.known_used.minus(less);
            } else if account.used.bundles == 0 {
                self.accounts.remove(node);
            }
            return true;
        }
        self.shared = self.shared.minus(less);
        if self.shared.bundles == 0 {
            self.shared_last = Instant::ZERO;
        }
        false
    }

    /// A node of standing keeps its account, so that a flood of others cannot crowd it out.
    pub(super) fn set_standing(&mut self, node: NodeId, community: Option<u32>, earned: u64) {
        let had = self.has_standing(&node);
        let has = community.is_some() || earned > 0;
        if has && !had && self.known >= self.known_max {
            return;
        }
        let after = self.shared_until();
        if has {
            self.accounts.entry(node).or_insert_with(|| Account { after, ..Account::default() });
        }
        let Some(account) = self.accounts.get_mut(&node) else { return };
        (account.community, account.earned) = (community, earned);
        let used = account.used;
        match (had, has) {
            (false, true) => {
                self.known = self.known.saturating_add(1);
                self.known_used = self.known_used.plus(used);
            }
            (true, false) => {
                self.known = self.known.saturating_sub(1);
                self.known_used = self.known_used.minus(used);
                if used.bundles == 0 {
                    self.accounts.remove(&node);
                }
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Where a bundle is counted, or would be.
    pub(super) fn counted(&self, node: &NodeId, kept_since: Instant) -> Counted {
        match self.accounts.get(node) {
            Some(account) if account.counts(kept_since) => Counted::Alone(account.used),
            None if self.may_open(kept_since) => Counted::Alone(Amount::ZERO),
            Some(_) | None => Counted::Shared(self.shared),
        }
    }

    /// Where a bundle would be counted that is kept later than everything else.
    pub(super) fn counted_at_end(&self, node: &NodeId) -> Counted {
        self.counted(node, Instant::from_ms(u64::MAX))
    }

    pub(super) fn account(&self, node: &NodeId) -> Option<&Account> {
        self.accounts.get(node)
    }

    pub(super) fn has_standing(&self, node: &NodeId) -> bool {
        self.accounts.get(node).is_some_and(Account::has_standing)
    }

    pub(super) const fn known_used(&self) -> Amount {
        self.known_used
    }

    fn may_open(&self, kept_since: Instant) -> bool {
        let strangers = self.accounts.len().saturating_sub(self.known);
        strangers < self.strangers_max && self.shared_until().is_none_or(|last| kept_since > last)
    }

    fn shared_until(&self) -> Option<Instant> {
        (self.shared.bundles > 0).then_some(self.shared_last)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.accounts.len()
    }

    #[cfg(test)]
    pub(super) const fn shared(&self) -> Amount {
        self.shared
    }
}
