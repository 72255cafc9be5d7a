//! What is remembered of the contacts with one neighbour, and when it will be met again.

use cairn_bundle::NodeId;

use crate::Instant;
use crate::routing::week::Week;

/// A gap longer than this counts as this long: half a year.
pub(crate) const GAP_S_MAX: u64 = 1 << 24;
/// A neighbour met only once is not expected back sooner than after an hour.
const ONCE_S: u64 = 3_600;
/// Nor is its usual absence shorter than this: a stranger is no way to anywhere until it has come again.
const ONCE_USUAL_S: u64 = 3 * 86_400;
/// So many gaps weigh as much in the mean as all earlier ones together.
const MEMORY: u32 = 8;
/// A link that comes back within this time had not been away.
const FLAP_MS: u64 = 10_000;
/// One, for variations.
const ONE: u64 = 256;
/// Gaps more uneven than this are not told apart.
const VARIATION_MAX: u64 = 16 * ONE;

/// The history of contacts with one neighbour, as running means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acquaintance {
    /// Who.
    pub(crate) node: NodeId,
    /// Links that are up now.
    pub(crate) links: u32,
    /// When the latest contact began.
    pub(crate) started: Instant,
    /// When the latest contact ended; means nothing during the first.
    pub(crate) ended: Instant,
    /// How many gaps between contacts were seen.
    pub(crate) gaps: u32,
    /// Mean length of a gap.
    pub(crate) gap_s: u64,
    /// Mean square of the length of a gap.
    pub(crate) gap_squared: u64,
    /// Mean length of a contact.
    pub(crate) contact_s: u64,
    /// The times of the week.
    pub(crate) week: Week,
}

impl Acquaintance {
    /// Somebody who is met for the first time.
    pub(crate) fn new(node: NodeId, now: Instant) -> Self {
        Self {
            node,
            links: 0,
            started: now,
            ended: now,
            gaps: 0,
            gap_s: 0,
            gap_squared: 0,
            contact_s: 0,
            week: Week::default(),
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.links > 0
    }

    /// A link came up; `first` if it is the first contact ever.
    pub(crate) fn link_up(&mut self, now: Instant, wall_s: Option<u64>, first: bool) {
        if let Some(wall_s) = wall_s {
            self.week.observe(wall_s, self.is_up());
        }
        self.links = self.links.saturating_add(1);
        if self.links > 1 || first || now - self.ended <= FLAP_MS {
            return;
        }
        let gap_s = ((now - self.ended) / 1_000).min(GAP_S_MAX);
        self.note_gap(gap_s);
        self.started = now;
    }

    /// A link went down.
    pub(crate) fn link_down(&mut self, now: Instant, wall_s: Option<u64>) {
        if self.links == 0 {
            return;
        }
        if let Some(wall_s) = wall_s {
            self.week.observe(wall_s, true);
        }
        self.links -= 1;
        if self.links == 0 {
            let contact_s = ((now - self.started) / 1_000).min(GAP_S_MAX);
            let weight = u64::from(self.gaps.saturating_add(1).min(MEMORY));
            self.contact_s = towards(self.contact_s, contact_s, weight);
            self.ended = now;
        }
    }

    /// Seconds until the next contact, by what is known now: zero while a link is up.
    ///
    /// `observed_s` is for how long this node has been looking.
    pub(crate) fn expected_s(&self, now: Instant, wall_s: Option<u64>, observed_s: u64) -> u64 {
        if self.is_up() {
            return 0;
        }
        let elapsed_s = (now - self.ended) / 1_000;
        if self.gaps == 0 {
            return observed_s.max(elapsed_s).max(ONCE_S);
        }
        let variation = self.variation();
        let plain_s = self.remaining_s(elapsed_s, variation);
        let steady = self.gaps >= 3 && variation < ONE / 2;
        match wall_s.filter(|_| !steady && self.gaps >= 3) {
            Some(wall_s) => self.week.expected_s(wall_s, plain_s).unwrap_or(plain_s),
            None => plain_s,
        }
    }

    /// Seconds until the next contact from a moment chosen at random: the metric of MEED. What to expect of this
    /// neighbour if a contact is let pass.
    pub(crate) fn typical_s(&self, now: Instant, observed_s: u64) -> u64 {
        let current_s = if self.is_up() { (now - self.started) / 1_000 } else { 0 };
        if self.gaps == 0 {
            let up_s = self.contact_s.max(current_s);
            let gap_s = observed_s.saturating_sub(up_s);
            // Who was here more often than not stays, by and large.
            let gap_s = if gap_s <= up_s { gap_s } else { gap_s.max(ONCE_USUAL_S) };
            return share(gap_s, gap_s, gap_s.saturating_add(up_s));
        }
        let up_s = self.contact_s.max(current_s);
        // A gap that is longer than usual counts before it is over, or else two visits of one day make a weekly bus
        // look daily.
        let away_s = self.away_s(now).min(GAP_S_MAX);
        if away_s > self.gap_s {
            let mut longer = self.clone();
            longer.note_gap(away_s);
            return share(
                longer.residual_s(longer.variation()),
                longer.gap_s,
                longer.gap_s.saturating_add(up_s),
            );
        }
        share(self.residual_s(self.variation()), self.gap_s, self.gap_s.saturating_add(up_s))
    }

    fn note_gap(&mut self, gap_s: u64) {
        self.gaps = self.gaps.saturating_add(1);
        let weight = u64::from(self.gaps.min(MEMORY));
        self.gap_s = towards(self.gap_s, gap_s, weight);
        self.gap_squared = towards(self.gap_squared, gap_s * gap_s, weight);
    }

    /// Seconds without a contact; zero while a link is up.
    pub(crate) fn away_s(&self, now: Instant) -> u64 {
        if self.is_up() { 0 } else { (now - self.ended) / 1_000 }
    }

    /// Variance of the gaps over their squared mean, in 256ths: 0 for a timetable, 256 for chance, more for clusters.
    /// Few gaps prove little, so they are mixed with chance.
    fn variation(&self) -> u64 {
        let mean_squared = (self.gap_s * self.gap_s).max(1);
        let variance = self.gap_squared.saturating_sub(mean_squared);
        let seen = (variance.saturating_mul(ONE) / mean_squared).min(VARIATION_MAX);
        let gaps = u64::from(self.gaps.min(64));
        (seen * gaps + ONE * 2) / (gaps + 2)
    }

    /// Mean time to the end of a gap from a random moment of it.
    fn residual_s(&self, variation: u64) -> u64 {
        self.gap_s * (ONE + variation) / (2 * ONE)
    }

    fn remaining_s(&self, elapsed_s: u64, variation: u64) -> u64 {
        let mean_s = self.gap_s;
        let residual_s = self.residual_s(variation);
        let base_s = if variation < ONE {
            // Between a timetable, of which the elapsed part is over, and chance, which has no memory.
            mean_s.saturating_sub(elapsed_s.min(mean_s) * (ONE - variation) / ONE)
        } else {
            // Clusters: the longer the gap already, the more likely it is one of the long ones.
            mean_s.saturating_add(elapsed_s).min(residual_s)
        };
        // Who is long overdue may stay away as long again.
        base_s.max(elapsed_s.saturating_sub(2 * residual_s)).max(1)
    }
}

/// `mean` moved towards `value` by one part in `weight`.
fn towards(mean: u64, value: u64, weight: u64) -> u64 {
    let weight = weight.max(1);
    (mean * (weight - 1)).saturating_add(value) / weight
}

/// `value` times `part` over `whole`; `value` if there is no whole.
fn share(value: u64, part: u64, whole: u64) -> u64 {
    value.saturating_mul(part).checked_div(whole).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;
    use proptest::prelude::*;

    const HOUR: u64 = 3_600;

    fn at(s: u64) -> Instant {
        Instant::from_ms(s * 1_000)
    }

    /// Met for a minute after each of the gaps; returns the history and the end of the last contact, in seconds.
    fn met(gaps_s: impl IntoIterator<Item = u64>) -> (Acquaintance, u64) {
        let node = Identity::from_seed(&[1; 32]).node_id();
        let (mut somebody, mut s, mut first) = (Acquaintance::new(node, at(0)), 0, true);
        for gap_s in [0].into_iter().chain(gaps_s) {
            s += gap_s;
            somebody.link_up(at(s), None, first);
            s += 60;
            somebody.link_down(at(s), None);
            first = false;
        }
        (somebody, s)
    }

    #[test]
    fn a_timetable_is_waited_for_by_the_clock() {
        let (bus, s) = met([10 * HOUR; 20]);
        let soon = bus.expected_s(at(s + 9 * HOUR), None, s);
        assert!(soon < 2 * HOUR, "{soon}");
        let just_left = bus.expected_s(at(s), None, s);
        assert!(just_left > 9 * HOUR, "{just_left}");
        let typical = bus.typical_s(at(s), s);
        assert!((4 * HOUR..6 * HOUR).contains(&typical), "{typical}");
    }

    #[test]
    fn two_visits_in_one_day_do_not_make_a_weekly_bus_daily() {
        let (bus, s) = met([6 * HOUR]);
        assert!(bus.typical_s(at(s), s) < 8 * HOUR);
        let after_days = |days: u64| bus.typical_s(at(s + days * 24 * HOUR), s + days * 24 * HOUR);
        assert!(after_days(2) > 24 * HOUR && after_days(6) > 2 * after_days(2), "{}", after_days(6));
        assert_eq!(bus.gaps, 1, "to ask changes nothing");
    }

    #[test]
    fn who_came_once_is_no_way_to_anywhere_and_who_stays_is() {
        let (guest, s) = met([]);
        assert!(guest.typical_s(at(s + HOUR), s + HOUR) > 48 * HOUR);
        let node = Identity::from_seed(&[1; 32]).node_id();
        let mut late = Acquaintance::new(node, at(HOUR));
        late.link_up(at(HOUR), None, true);
        assert!(late.typical_s(at(HOUR + 60), HOUR + 60) > 48 * HOUR);
        assert!(late.typical_s(at(9 * HOUR), 9 * HOUR) < HOUR);
    }

    #[test]
    fn chance_has_no_memory_and_clusters_have() {
        // Gaps of an exponential law, in order of its quantiles.
        let (chance, s) = met([2, 1, 6, 3, 14, 5, 2, 1, 9, 3, 6, 14].map(|h| h * HOUR));
        let (soon, later) = (chance.expected_s(at(s), None, s), chance.expected_s(at(s + 4 * HOUR), None, s));
        assert!(later * 2 > soon, "{soon} {later}");
        let (crowd, s) = met([60, 60, 60, 60, 60, 60, 60, 40 * HOUR].repeat(3));
        assert!(crowd.expected_s(at(s + 10 * HOUR), None, s) > 2 * crowd.expected_s(at(s), None, s));
    }

    #[test]
    fn who_is_long_overdue_is_expected_ever_later() {
        let (gone, s) = met([HOUR; 20]);
        let after = |hours: u64| gone.expected_s(at(s + hours * HOUR), None, s);
        assert!(after(48) > 40 * HOUR);
        assert!(after(480) > 400 * HOUR);
    }

    #[test]
    fn a_link_that_is_always_up_costs_no_waiting() {
        let node = Identity::from_seed(&[1; 32]).node_id();
        let mut wall = Acquaintance::new(node, at(5));
        wall.link_up(at(5), None, true);
        assert_eq!(wall.expected_s(at(9_000), None, 8_995), 0);
        assert_eq!(wall.typical_s(at(9_000), 9_000), 0);
        // A flap of a second is no gap.
        wall.link_down(at(9_000), None);
        wall.link_up(at(9_001), None, false);
        assert_eq!(wall.gaps, 0);
        assert_eq!(wall.typical_s(at(18_000), 18_000), 0);
    }

    #[test]
    fn links_that_overlap_are_one_contact() {
        let node = Identity::from_seed(&[1; 32]).node_id();
        let mut both = Acquaintance::new(node, at(0));
        both.link_up(at(0), None, true);
        both.link_up(at(10), None, false);
        both.link_down(at(20), None);
        assert!(both.is_up());
        both.link_down(at(30), None);
        both.link_down(at(31), None);
        assert!(!both.is_up());
        assert_eq!((both.contact_s, both.ended), (30, at(30)));
    }

    proptest! {
        #[test]
        fn any_history_gives_a_finite_forecast(
            steps in prop::collection::vec((any::<u64>(), any::<bool>(), any::<Option<u64>>()), 0..40),
            ask: u64,
        ) {
            let node = Identity::from_seed(&[1; 32]).node_id();
            let mut somebody = Acquaintance::new(node, Instant::ZERO);
            for (index, (ms, up, wall)) in steps.into_iter().enumerate() {
                let now = Instant::from_ms(ms);
                if up { somebody.link_up(now, wall, index == 0) } else { somebody.link_down(now, wall) }
                let asked = Instant::from_ms(ask);
                prop_assert!(somebody.expected_s(asked, wall, ask / 1_000) < u64::MAX);
                let _ = somebody.typical_s(asked, ask);
            }
        }
    }
}
