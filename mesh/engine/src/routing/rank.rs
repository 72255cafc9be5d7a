//! What goes first on a link.

use cairn_bundle::Class;

use crate::routing::question::{Question, Rank};

impl Rank {
    /// Orders by class; then what is for this neighbour; then by how much there is of the same source, so that who floods
    /// waits for the others; then by value, which is the time gained for each byte sent, in steps of doubling; among equals
    /// the one that expires first.
    ///
    /// `gain_ms` is how much sooner the bundle is expected to arrive if it is given now.
    pub(crate) fn new(question: &Question, for_peer: bool, gain_ms: u64) -> Self {
        let class = match question.class {
            Class::Alert => 0,
            Class::Normal => 1,
            Class::Bulk => 2,
        };
        // Milliseconds per KiB, so that small bundles differ as well.
        let value = gain_ms.saturating_mul(1_024) / question.bytes.max(1);
        let steps_down = 63 - u64::from(value.max(1).ilog2());
        let remaining_s = (question.remaining_ms / 1_000).min(u64::from(u32::MAX));
        let crowd = u64::from(question.crowd) << 40;
        Self(class << 62 | u64::from(!for_peer) << 61 | crowd | steps_down << 32 | remaining_s)
    }
}

impl From<Rank> for u64 {
    fn from(rank: Rank) -> Self {
        rank.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question(class: Class, bytes: u64, remaining_ms: u64) -> Question {
        Question {
            destination: None,
            source: None,
            class,
            bytes,
            remaining_ms,
            held_ms: 0,
            copies: 1,
            crowd: 0,
        }
    }

    #[test]
    fn class_then_destination_then_crowd_then_value_then_expiry() {
        let hour = 3_600_000;
        let crowded = |crowd| Question { crowd, ..question(Class::Normal, 1, 1) };
        let ranks = [
            Rank::new(&question(Class::Alert, 1 << 30, u64::MAX), false, 0),
            Rank::new(&question(Class::Normal, 1 << 30, u64::MAX), true, 1),
            Rank::new(&question(Class::Normal, 1_000, hour), false, 24 * hour),
            Rank::new(&question(Class::Normal, 1_000, 2 * hour), false, 24 * hour),
            Rank::new(&question(Class::Normal, 1_000, 1), false, hour),
            Rank::new(&question(Class::Normal, 1_000_000, 1), false, 24 * hour),
            Rank::new(&crowded(1), false, u64::MAX),
            Rank::new(&crowded(2), false, u64::MAX),
            Rank::new(&question(Class::Bulk, 1, 1), true, u64::MAX),
        ];
        assert!(ranks.is_sorted(), "{ranks:?}");
    }

    proptest! {
        #[test]
        fn no_field_of_a_rank_runs_into_the_next(
            bytes: u64, remaining: u64, gain: u64, for_peer: bool, crowd: u8,
        ) {
            let rank =
                |class| Rank::new(&Question { crowd, ..question(class, bytes, remaining) }, for_peer, gain);
            prop_assert!(rank(Class::Alert) < rank(Class::Normal) && rank(Class::Normal) < rank(Class::Bulk));
        }
    }
}
