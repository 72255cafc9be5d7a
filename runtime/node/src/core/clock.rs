//! The clocks that come in as arguments.

use cairn_engine::Instant;

/// Seconds from 2000-01-01 (DTN time, RFC 9171 section 4.2.6) to 2020-01-01 (Cairn's wire time).
const DTN_TO_2020_S: u64 = 631_152_000;

/// What a node knows of time at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// Monotonic: intervals and ages.
    pub now: Instant,
    /// Wall time in seconds since 2020-01-01 UTC if the node has a clock it trusts.
    pub wall: Option<u64>,
}

impl Clock {
    /// The time to sign: 0 when unknown. Advisory everywhere, since time moves no money.
    #[must_use]
    pub fn claim(&self) -> u64 {
        self.wall.unwrap_or(0)
    }

    /// The same as DTN time in milliseconds; 0 when unknown, as RFC 9171 has it.
    #[must_use]
    pub fn dtn_ms(&self) -> u64 {
        self.wall.map_or(0, |wall| wall.saturating_add(DTN_TO_2020_S).saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_clock_claims_zero() {
        assert_eq!(Clock::default().dtn_ms(), 0);
        let clock = Clock { now: Instant::ZERO, wall: Some(1) };
        assert_eq!((clock.claim(), clock.dtn_ms()), (1, 631_152_001_000));
    }
}
