//! The numbers of all quotas.

/// Some bundles: how many, and their bytes together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Bytes.
    pub bytes: u64,
    /// Number of bundles.
    pub bundles: u64,
}

impl Amount {
    /// No bundle.
    pub const ZERO: Self = Self { bytes: 0, bundles: 0 };

    /// One bundle of so many bytes.
    #[must_use]
    pub const fn one(bytes: u64) -> Self {
        Self { bytes, bundles: 1 }
    }

    /// One `n`th of it.
    #[must_use]
    pub const fn part(self, n: u64) -> Self {
        let n = if n == 0 { 1 } else { n };
        Self { bytes: self.bytes / n, bundles: self.bundles / n }
    }

    /// So many times as much.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self { bytes: self.bytes.saturating_mul(n), bundles: self.bundles.saturating_mul(n) }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            bundles: self.bundles.saturating_add(other.bundles),
        }
    }

    /// What is left without the other; nothing is less than nothing.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            bundles: self.bundles.saturating_sub(other.bundles),
        }
    }

    /// The lesser of each.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), bundles: self.bundles.min(other.bundles) }
    }

    /// Whether neither is more than in the other.
    #[must_use]
    pub const fn is_within(self, max: Self) -> bool {
        self.bytes <= max.bytes && self.bundles <= max.bundles
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.bytes == 0 && self.bundles == 0
    }
}

/// How much of the store everybody may occupy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Everything that is carried.
    pub total: Amount,
    /// Part of the total that is kept free for this node's own bundles and, half of it, for alerts.
    pub reserve: Amount,
    /// A source without settled receipts.
    pub source_first: Amount,
    /// A source, whatever it has earned.
    pub source_most: Amount,
    /// What came from one neighbour.
    pub neighbour: Amount,
    /// All sources of one community together.
    pub community: Amount,
    /// What came from one neighbour and names no source.
    pub unsigned: Amount,
    /// All sources without standing together, and what names no source.
    pub strangers: Amount,
    /// All sources without standing together that are not counted one by one.
    pub strangers_shared: Amount,
    /// All neighbours together that are not counted one by one.
    pub neighbours_shared: Amount,
    /// Sources without standing that are counted one by one.
    pub strangers_tracked_max: usize,
    /// Sources with standing that are counted one by one.
    pub known_tracked_max: usize,
    /// Neighbours that are counted one by one.
    pub neighbours_tracked_max: usize,
}

/// What a source may occupy before anything is known of it, if the store is large enough.
const SOURCE_FIRST: Amount = Amount { bytes: 4 << 20, bundles: 1_000 };
/// Bytes of the store for each bundle that is counted: what the index takes for one is little against it.
const BYTES_PER_BUNDLE: u64 = 512;

impl QuotaLimits {
    /// Limits for a store of so many bytes, and a bundle for each 512 of them: a sixteenth is the reserve; a neighbour
    /// gets half, a community half, sources without standing three quarters together. A source begins with 4 MiB and
    /// 1,000 bundles (an eighth in a small store) and earns up to a quarter. What names no source gets an eighth
    /// for each neighbour.
    #[must_use]
    pub fn for_total(bytes: u64) -> Self {
        Self::for_amount(Amount { bytes, bundles: bytes / BYTES_PER_BUNDLE })
    }

    /// As [`QuotaLimits::for_total`], with the number of bundles given.
    #[must_use]
    pub fn for_amount(total: Amount) -> Self {
        Self {
            total,
            reserve: total.part(16),
            source_first: SOURCE_FIRST.at_most(total.part(8)),
            source_most: total.part(4),
            neighbour: total.part(2),
            community: total.part(2),
            unsigned: total.part(8),
            strangers: total.part(4).times(3),
            strangers_shared: total.part(8),
            neighbours_shared: total.part(8),
            strangers_tracked_max: 4_096,
            known_tracked_max: 4_096,
            neighbours_tracked_max: 1_024,
        }
    }

    /// What a source may occupy after so many settled receipts: each adds as much as it began with, up to
    /// [`QuotaLimits::source_most`]. It never shrinks as `earned` grows.
    #[must_use]
    pub fn source_share(&self, earned: u64) -> Amount {
        self.source_first.times(earned.saturating_add(1)).at_most(self.source_most)
    }
}

impl Default for QuotaLimits {
    /// Limits for a store of 512 MiB.
    fn default() -> Self {
        Self::for_total(512 << 20)
    }
}
