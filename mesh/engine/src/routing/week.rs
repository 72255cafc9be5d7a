//! At which times of the week a neighbour is met.

/// Seconds of one bin: a quarter of a day.
const BIN_S: u64 = 6 * 3_600;
/// Bins of a week.
pub(crate) const BINS: usize = 28;
const BINS_U32: u32 = 28;
/// A wall clock that moves by more than this many bins was set, and nothing is learned from the step.
const STEP_BINS_MAX: u32 = 8 * BINS_U32;

/// How likely a contact is in each six hours of a week, learned from what was seen and what was missed.
///
/// Likelihoods halve their distance to 1 with each hit and to 0 with each miss, so that two weeks teach a timetable
/// and two weeks unlearn it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Week {
    /// Likelihood of a contact, in 255ths.
    pub(crate) bins: [u8; BINS],
    /// The first bin of the wall clock that was observed; `None` without a clock so far.
    pub(crate) since: Option<u32>,
    /// Up to which bin of the wall clock hits and misses are counted.
    pub(crate) at: u32,
}

impl Default for Week {
    fn default() -> Self {
        Self { bins: [0; BINS], since: None, at: 0 }
    }
}

fn bin_of(wall_s: u64) -> u32 {
    u32::try_from(wall_s / BIN_S).unwrap_or(u32::MAX)
}

fn place(bin: u32) -> usize {
    usize::try_from(bin % BINS_U32).unwrap_or(0)
}

impl Week {
    /// Counts what passed since the last call: as hits if a link was `up` all the time, else as misses; then the
    /// current bin as a hit.
    pub(crate) fn observe(&mut self, wall_s: u64, up: bool) {
        let now = bin_of(wall_s);
        let steps = now.checked_sub(self.at).filter(|&steps| steps <= STEP_BINS_MAX);
        match (self.since, steps) {
            (Some(_), Some(steps)) => {
                for step in 1..steps {
                    self.count(self.at.saturating_add(step), up);
                }
                if steps > 0 {
                    self.count(now, true);
                }
            }
            // The first sight of a clock, or a clock that was set.
            (_, _) => {
                self.since = Some(now);
                self.count(now, true);
            }
        }
        self.at = now;
    }

    fn count(&mut self, bin: u32, hit: bool) {
        if let Some(likely) = self.bins.get_mut(place(bin)) {
            *likely = if hit { 255 - (255 - *likely) / 2 } else { *likely / 2 };
        }
    }

    /// Seconds until the next contact is expected, or `None` before a whole week was observed.
    ///
    /// `otherwise_s` is what to expect if a week passes without a contact.
    pub(crate) fn expected_s(&self, wall_s: u64, otherwise_s: u64) -> Option<u64> {
        let now = bin_of(wall_s);
        let observed = now.checked_sub(self.since?)?;
        let unseen = now.checked_sub(self.at)?;
        if observed < BINS_U32 || unseen > STEP_BINS_MAX {
            return None;
        }
        let weeks_missed = unseen / BINS_U32;
        let rest_s = BIN_S - wall_s % BIN_S;
        // Likelihoods in 65,536ths; the sums fit, since a week has fewer than 2^20 seconds.
        let (mut none_yet, mut sum) = (65_536_u64, 0_u64);
        for step in 0..BINS_U32 {
            let likely = self.bins.get(place(now.saturating_add(step))).copied().unwrap_or(0);
            let likely = u64::from(likely.checked_shr(weeks_missed).unwrap_or(0));
            let (likely, middle_s) = if step == 0 {
                (likely * rest_s / BIN_S, rest_s / 2)
            } else {
                (likely, rest_s + u64::from(step - 1) * BIN_S + BIN_S / 2)
            };
            let here = none_yet * likely / 256;
            sum += here * middle_s;
            none_yet -= here;
        }
        let week_s = u64::from(BINS_U32) * BIN_S;
        Some((sum + none_yet * week_s.saturating_add(otherwise_s).min(1 << 40)) / 65_536)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;

    /// Met for an hour at eight in the morning of each day, for three weeks.
    fn mornings() -> Week {
        let mut week = Week::default();
        for day in 0..21 {
            week.observe(day * DAY + 8 * HOUR, false);
            week.observe(day * DAY + 9 * HOUR, true);
        }
        week
    }

    #[test]
    fn a_week_teaches_the_mornings_and_the_nights() {
        let week = mornings();
        let evening = week.expected_s(21 * DAY + 19 * HOUR, DAY).unwrap();
        assert!((10 * HOUR..20 * HOUR).contains(&evening), "{evening}");
        let early = week.expected_s(21 * DAY + 5 * HOUR, DAY).unwrap();
        assert!(early < 10 * HOUR, "{early}");
    }

    #[test]
    fn who_stays_away_for_weeks_is_not_expected_next_morning() {
        let week = mornings();
        let soon = week.expected_s(21 * DAY + 19 * HOUR, 100 * DAY).unwrap();
        let late = week.expected_s(42 * DAY + 19 * HOUR, 100 * DAY).unwrap();
        assert!(late > 2 * soon, "{soon} {late}");
    }

    #[test]
    fn nothing_is_said_before_a_whole_week_was_seen_or_after_the_clock_was_set() {
        let mut week = Week::default();
        assert_eq!(week.expected_s(0, DAY), None);
        week.observe(0, false);
        assert_eq!(week.expected_s(6 * DAY, DAY), None);
        assert!(week.expected_s(7 * DAY, DAY).is_some());
        let fifty_years = 50 * 365 * DAY;
        assert_eq!(week.expected_s(fifty_years, DAY), None);
        week.observe(fifty_years, true);
        assert_eq!(week.expected_s(fifty_years + DAY, DAY), None, "observed anew");
        assert_eq!(week.expected_s(0, DAY), None, "the clock was set back");
    }

    proptest! {
        #[test]
        fn any_clock_is_survived(walls in prop::collection::vec((any::<u64>(), any::<bool>()), 0..40), ask: u64) {
            let mut week = Week::default();
            for (wall, up) in walls {
                week.observe(wall, up);
                let _ = week.expected_s(ask, u64::MAX);
                let _ = week.expected_s(wall.saturating_add(8 * DAY), ask);
            }
        }
    }
}
