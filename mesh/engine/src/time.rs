//! Monotonic time as the engine sees it.

use core::ops::Sub;

/// A point of a monotonic clock in milliseconds; where zero lies is the caller's choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// Where the clock begins.
    pub const ZERO: Self = Self(0);

    /// `ms` milliseconds after zero.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since zero.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// This point and `ms` milliseconds more; the end of time stays the end of time.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

impl Sub for Instant {
    type Output = u64;

    /// Milliseconds from `earlier` to `self`, zero if it is not earlier.
    fn sub(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
