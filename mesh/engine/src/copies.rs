//! How many copies of a new bundle may be under way at a time.

use cairn_bundle::Class;

/// Fewest copies of a normal bundle.
const COPIES_MIN: u8 = 2;
/// Most copies of a normal bundle.
const COPIES_MAX: u8 = 32;
/// Copies of a normal bundle while nothing is known.
const COPIES_FIRST: u8 = 8;
/// Most copies of a bulk bundle.
const BULK_MAX: u8 = 4;
/// Outcomes that are judged together: enough to tell a ratio of 3/4 from one of 15/16, few enough to learn in days.
const WINDOW: u8 = 16;
/// The store is under pressure when more than so many tenths are used.
const PRESSURE_TENTHS: u64 = 8;

/// The number of copies that a bundle of this node starts with. It follows what became of earlier ones and how full
/// stores are.
///
/// Sixteen outcomes of own bundles make a window. If nearly all were delivered (15), one copy less is tried next; if
/// fewer were, one copy more is spent, unless stores were full meanwhile: then copies crowd each other out, and the
/// number is halved. Additive increase with multiplicative decrease is what lets many senders share what they do not
/// see; as each gives way by halves, a crowd of them falls back to few copies within some windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyBudget {
    copies: u8,
    delivered: u8,
    lost: u8,
    /// Whether a store was full during the window: this one, or a peer's.
    congested: bool,
    pressure: bool,
}

impl Default for CopyBudget {
    fn default() -> Self {
        Self { copies: COPIES_FIRST, delivered: 0, lost: 0, congested: false, pressure: false }
    }
}

impl CopyBudget {
    /// Fewest copies of a normal bundle.
    pub const MIN: u8 = COPIES_MIN;
    /// Most copies of a normal bundle.
    pub const MAX: u8 = COPIES_MAX;
    /// Copies of a normal bundle while nothing is known.
    pub const FIRST: u8 = COPIES_FIRST;

    /// Copies for a new bundle: alerts go to everybody (255, epidemic), bulk bundles get a quarter of what normal ones
    /// get, from 2 to 4. Half of it while the store is under pressure.
    #[must_use]
    pub const fn budget(&self, class: Class) -> u8 {
        let quarter = self.copies / 4;
        let copies = match class {
            Class::Alert => return u8::MAX,
            Class::Normal => self.copies,
            Class::Bulk if quarter < COPIES_MIN => COPIES_MIN,
            Class::Bulk if quarter > BULK_MAX => BULK_MAX,
            Class::Bulk => quarter,
        };
        // At least one is left: no budget is less than two.
        if self.pressure { copies / 2 } else { copies }
    }

    /// A bundle of this node was delivered, as its destination says, or has expired undelivered.
    pub const fn note_outcome(&mut self, delivered: bool) {
        if delivered {
            self.delivered = self.delivered.saturating_add(1);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
        if self.delivered.saturating_add(self.lost) < WINDOW {
            return;
        }
        let copies = if self.lost <= 1 {
            self.copies.saturating_sub(1)
        } else if self.congested {
            self.copies / 2
        } else {
            self.copies.saturating_add(1)
        };
        self.copies = match copies {
            0..COPIES_MIN => COPIES_MIN,
            COPIES_MIN..=COPIES_MAX => copies,
            _ => COPIES_MAX,
        };
        (self.delivered, self.lost, self.congested) = (0, 0, self.pressure);
    }

    /// How full the store of this node is.
    pub const fn note_store(&mut self, used_bytes: u64, bytes_max: u64) {
        // In tenths without overflow: nine tenths of a store of 2^64 bytes are as full as those of a small one.
        self.pressure = used_bytes / PRESSURE_TENTHS > bytes_max / 10;
        self.congested |= self.pressure;
    }

    /// A peer had no room for a bundle.
    pub const fn note_peer_full(&mut self) {
        self.congested = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(budget: &mut CopyBudget, delivered: u8) {
        for n in 0..WINDOW {
            budget.note_outcome(n < delivered);
        }
    }

    #[test]
    fn classes_differ_and_pressure_halves() {
        let mut budget = CopyBudget::default();
        let all = |budget: &CopyBudget| {
            [Class::Alert, Class::Normal, Class::Bulk].map(|class| budget.budget(class))
        };
        assert_eq!(all(&budget), [255, 8, 2]);
        budget.note_store(801, 1_000);
        budget.note_store(800, 1_000);
        assert_eq!(all(&budget), [255, 8, 2]);
        budget.note_store(810, 1_000);
        assert_eq!(all(&budget), [255, 4, 1]);
        budget.note_store(u64::MAX, u64::MAX);
        assert_eq!(all(&budget), [255, 4, 1]);
        budget.note_store(0, 0);
        assert_eq!(all(&budget), [255, 8, 2]);
    }

    #[test]
    fn losses_without_congestion_cost_a_copy_more_and_with_it_half() {
        let mut budget = CopyBudget::default();
        window(&mut budget, 10);
        assert_eq!(budget.budget(Class::Normal), 9);
        budget.note_peer_full();
        window(&mut budget, 10);
        assert_eq!(budget.budget(Class::Normal), 4);
        // The congestion is over.
        window(&mut budget, 10);
        assert_eq!(budget.budget(Class::Normal), 5);
        // All but one were delivered: fewer may do, even while others are full.
        budget.note_peer_full();
        window(&mut budget, 15);
        assert_eq!(budget.budget(Class::Normal), 4);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(steps in proptest::collection::vec((any::<bool>(), 0_u64..100), 0..2_000)) {
            let mut budget = CopyBudget::default();
            for (delivered, fill) in steps {
                budget.note_store(fill, 100);
                budget.note_outcome(delivered);
                let half = |n: u8| if budget.pressure { n / 2 } else { n };
                let (normal, bulk) = (budget.budget(Class::Normal), budget.budget(Class::Bulk));
                prop_assert!((half(COPIES_MIN)..=half(COPIES_MAX)).contains(&normal));
                prop_assert!((half(COPIES_MIN)..=half(BULK_MAX)).contains(&bulk) && bulk <= normal);
            }
        }
    }
}
