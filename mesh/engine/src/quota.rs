//! Who may occupy how much of the store: a bound for everybody, whatever is sent.
//!
//! Five kinds of shares hold at once: of all that is carried, of each source, of each neighbour, of each community, and
//! of what names no source, by the neighbour that brought it. A source begins small and earns more by receipts that
//! were settled. Identities cost nothing, so the share of a source alone holds nobody back who makes many of them; the
//! shares of neighbours, and of all sources without standing together, do.
//!
//! What this node made itself counts to the total only, and part of the total is kept free for it and for alerts.

mod accounts;
mod limits;

use alloc::collections::BTreeMap;

use cairn_bundle::{Class, NodeId};

use crate::record::BundleRecord;
use accounts::{Accounts, Counted};
pub use limits::{Amount, QuotaLimits};

/// Which quota has no room for a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Exceeded {
    /// Everything that is carried.
    #[error("the store is full")]
    Total,
    /// What is left is kept for more urgent bundles and for this node's own.
    #[error("the rest of the store is kept for alerts and for this node")]
    Reserve,
    /// The neighbour that brings it.
    #[error("the neighbour has used its share")]
    Neighbour,
    /// What the neighbour brings without a source.
    #[error("the neighbour has used its share of bundles without a source")]
    Unsigned,
    /// The source that wrote it.
    #[error("the source has used its share")]
    Source,
    /// The community that its source belongs to.
    #[error("the community has used its share")]
    Community,
    /// All sources without standing together.
    #[error("the share of sources without standing is used up")]
    Strangers,
}

impl Exceeded {
    /// Whether room can be made by evicting anything worth less, rather than by what the same sender has here.
    #[must_use]
    pub const fn is_total(self) -> bool {
        match self {
            Self::Total | Self::Reserve => true,
            Self::Neighbour | Self::Unsigned | Self::Source | Self::Community | Self::Strangers => false,
        }
    }

    /// Name of the counter of such refusals.
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Total => "bundles refused: no room",
            Self::Reserve => "bundles refused: only the reserve is left",
            Self::Neighbour => "bundles refused: quota of the neighbour",
            Self::Unsigned => "bundles refused: quota of bundles without a source",
            Self::Source => "bundles refused: quota of the source",
            Self::Community => "bundles refused: quota of the community",
            Self::Strangers => "bundles refused: quota of sources without standing",
        }
    }
}

/// What is carried, counted by who is responsible for it.
///
/// Every record that was added is to be removed once, with the same source, neighbour, size and time. Memory is bounded
/// by the numbers of sources and neighbours in [`QuotaLimits`]: those beyond share one account.
#[derive(Debug)]
pub struct Quotas {
    limits: QuotaLimits,
    total: Amount,
    /// What others than this node wrote.
    foreign: Amount,
    /// Of these, what has no tokens left: it gives way to every newcomer.
    passive: Amount,
    sources: Accounts,
    neighbours: Accounts,
    unsigned: Accounts,
    communities: BTreeMap<u32, Amount>,
}

impl Quotas {
    /// Nothing carried yet.
    #[must_use]
    pub fn new(limits: QuotaLimits) -> Self {
        Self {
            total: Amount::ZERO,
            foreign: Amount::ZERO,
            passive: Amount::ZERO,
            sources: Accounts::new(limits.strangers_tracked_max, limits.known_tracked_max),
            neighbours: Accounts::new(limits.neighbours_tracked_max, 0),
            unsigned: Accounts::new(limits.neighbours_tracked_max, 0),
            communities: BTreeMap::new(),
            limits,
        }
    }

    /// What is known of a source: its community, and how many receipts with it were settled. With neither, it has no
    /// standing any more. Counts for at most [`QuotaLimits::known_tracked_max`] nodes, the first that are named.
    ///
    /// What it has here moves with it, so that a community may exceed its share by a new member; then nothing more of
    /// it is taken.
    pub fn standing(&mut self, node: NodeId, community: Option<u32>, earned: u64) {
        let moved = self.sources.account(&node).map_or(Amount::ZERO, |account| account.used);
        let before = self.community_of(&node);
        self.sources.set_standing(node, community, earned);
        let after = self.community_of(&node);
        if before == after {
            return;
        }
        if let Some(community) = before {
            self.leave_community(community, moved);
        }
        if let Some(community) = after
            && !moved.is_zero()
        {
            let used = self.communities.entry(community).or_default();
            *used = used.plus(moved);
        }
    }

    /// Whether a source belongs to a community or has earned something.
    #[must_use]
    pub fn has_standing(&self, source: &NodeId) -> bool {
        self.sources.has_standing(source)
    }

    /// Whether a bundle may be taken in.
    ///
    /// # Errors
    /// A share that has no room for it, or else the store.
    pub fn check(&self, record: &BundleRecord) -> Result<(), Exceeded> {
        let missing = self.missing(record)?;
        if missing.is_zero() {
            Ok(())
        } else if self.total.plus(Amount::one(record.bytes)).is_within(self.limits.total) {
            Err(Exceeded::Reserve)
        } else {
            Err(Exceeded::Total)
        }
    }

    /// How much of the store would have to be freed to take a bundle in.
    ///
    /// # Errors
    /// A share that has no room for it, whatever is freed of others; or that it is larger than the store.
    pub fn missing(&self, record: &BundleRecord) -> Result<Amount, Exceeded> {
        let more = Amount::one(record.bytes);
        let kept_free = match (record.neighbour.as_ref(), record.class) {
            (None, _) => Amount::ZERO,
            // Alerts of others leave half of it to this node.
            (Some(_), Class::Alert) => self.limits.reserve.part(2),
            (Some(_), Class::Normal | Class::Bulk) => self.limits.reserve,
        };
        if let Some(neighbour) = record.neighbour.as_ref() {
            self.check_shares(record, neighbour, more)?;
            let has_standing = record.source.is_some_and(|source| self.has_standing(&source));
            let strangers = self.foreign.minus(self.sources.known_used());
            if !has_standing && !strangers.plus(more).is_within(self.limits.strangers) {
                return Err(Exceeded::Strangers);
            }
        }
        if !more.plus(kept_free).is_within(self.limits.total) {
            return Err(Exceeded::Total);
        }
        Ok(self.total.plus(more).plus(kept_free).minus(self.limits.total))
    }

    /// The share that a carried bundle exceeds, because limits or the standing of its source have shrunk.
    #[must_use]
    pub fn over(&self, record: &BundleRecord) -> Option<Exceeded> {
        let neighbour = record.neighbour.as_ref()?;
        self.check_shares(record, neighbour, Amount::ZERO).err()
    }

    /// Counts a bundle, whether there is room for it or not.
    pub fn add(&mut self, record: &BundleRecord) {
        let more = Amount::one(record.bytes);
        self.total = self.total.plus(more);
        let Some(neighbour) = record.neighbour.as_ref() else { return };
        self.foreign = self.foreign.plus(more);
        if record.copies == 0 {
            self.passive = self.passive.plus(more);
        }
        self.neighbours.add(neighbour, record.kept_since, more);
        let Some(source) = record.source.as_ref() else {
            self.unsigned.add(neighbour, record.kept_since, more);
            return;
        };
        if self.sources.add(source, record.kept_since, more)
            && let Some(community) = self.community_of(source)
        {
            let used = self.communities.entry(community).or_default();
            *used = used.plus(more);
        }
    }

    /// Gives back what a bundle occupied.
    pub fn remove(&mut self, record: &BundleRecord) {
        let less = Amount::one(record.bytes);
        self.total = self.total.minus(less);
        let Some(neighbour) = record.neighbour.as_ref() else { return };
        self.foreign = self.foreign.minus(less);
        if record.copies == 0 {
            self.passive = self.passive.minus(less);
        }
        self.neighbours.remove(neighbour, record.kept_since, less);
        let Some(source) = record.source.as_ref() else {
            self.unsigned.remove(neighbour, record.kept_since, less);
            return;
        };
        let community = self.community_of(source);
        if self.sources.remove(source, record.kept_since, less)
            && let Some(community) = community
        {
            self.leave_community(community, less);
        }
    }

    /// The tokens of a bundle have changed from `before` to `after`.
    pub fn retoken(&mut self, record: &BundleRecord, before: u8, after: u8) {
        if record.neighbour.is_none() {
            return;
        }
        let amount = Amount::one(record.bytes);
        match (before == 0, after == 0) {
            (false, true) => self.passive = self.passive.plus(amount),
            (true, false) => self.passive = self.passive.minus(amount),
            (true, true) | (false, false) => {}
        }
    }

    /// Bytes of normal bundles that a neighbour may still bring: what it is told, so that it stops in time. What has no tokens
    /// left counts as free: it gives way.
    #[must_use]
    pub fn room_for_neighbour(&self, neighbour: &NodeId) -> u64 {
        let share = match self.neighbours.counted_at_end(neighbour) {
            Counted::Alone(used) => self.limits.neighbour.minus(used),
            Counted::Shared(used) => self.limits.neighbours_shared.minus(used),
        };
        let store = self.limits.total.minus(self.total.minus(self.passive).plus(self.limits.reserve));
        if share.bundles == 0 || store.bundles == 0 { 0 } else { share.bytes.min(store.bytes) }
    }

    /// How much there is of the source of a bundle, or without one of the neighbour that brought it: 0 for up to 64 bundles and
    /// a sixty-fourth of the store, 1 for up to 256 and a sixteenth, 2 beyond; fewer bundles in a small store. Always 0 for
    /// this node's own, for sources of standing, and for those that are not counted one by one.
    #[must_use]
    pub fn crowd(&self, record: &BundleRecord) -> u8 {
        let Some(neighbour) = record.neighbour.as_ref() else { return 0 };
        let counted = match record.source.as_ref() {
            Some(source) if self.has_standing(source) => return 0,
            Some(source) => self.sources.counted(source, record.kept_since),
            None => self.unsigned.counted(neighbour, record.kept_since),
        };
        // Who shares an account with others is not judged by what they have.
        let Counted::Alone(used) = counted else { return 0 };
        let Amount { bytes, bundles } = self.limits.total;
        let usual = Amount { bytes: bytes / 64, bundles: (bundles / 1_024).clamp(4, 64) };
        let many = Amount { bytes: bytes / 16, bundles: (bundles / 256).clamp(16, 256) };
        u8::from(!used.is_within(usual)).saturating_add(u8::from(!used.is_within(many)))
    }

    /// What this node made itself and still carries.
    #[must_use]
    pub const fn own(&self) -> Amount {
        self.total.minus(self.foreign)
    }

    /// What is carried in all.
    #[must_use]
    pub const fn used(&self) -> Amount {
        self.total
    }

    /// What may be carried in all.
    #[must_use]
    pub const fn limits(&self) -> &QuotaLimits {
        &self.limits
    }

    fn check_shares(&self, record: &BundleRecord, neighbour: &NodeId, more: Amount) -> Result<(), Exceeded> {
        let limits = &self.limits;
        let fits = |counted: Counted, alone: Amount, shared: Amount| match counted {
            Counted::Alone(used) => used.plus(more).is_within(alone),
            Counted::Shared(used) => used.plus(more).is_within(shared),
        };
        let counted = self.neighbours.counted(neighbour, record.kept_since);
        if !fits(counted, limits.neighbour, limits.neighbours_shared) {
            return Err(Exceeded::Neighbour);
        }
        let Some(source) = record.source.as_ref() else {
            let counted = self.unsigned.counted(neighbour, record.kept_since);
            return if fits(counted, limits.unsigned, limits.unsigned) {
                Ok(())
            } else {
                Err(Exceeded::Unsigned)
            };
        };
        let earned = self.sources.account(source).map_or(0, |account| account.earned);
        let counted = self.sources.counted(source, record.kept_since);
        if !fits(counted, limits.source_share(earned), limits.strangers_shared) {
            return Err(Exceeded::Source);
        }
        let used = self.community_of(source).and_then(|community| self.communities.get(&community));
        if used.is_some_and(|used| !used.plus(more).is_within(limits.community)) {
            return Err(Exceeded::Community);
        }
        Ok(())
    }

    fn community_of(&self, source: &NodeId) -> Option<u32> {
        self.sources.account(source).and_then(|account| account.community)
    }

    fn leave_community(&mut self, community: u32, less: Amount) {
        if let Some(used) = self.communities.get_mut(&community) {
            *used = used.minus(less);
            if used.is_zero() {
                self.communities.remove(&community);
            }
        }
    }
}

#[cfg(test)]
mod tests;
