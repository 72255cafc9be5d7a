//! What a run was like: how much arrived, how late, and at what cost.

use cairn_bundle::Class;
use serde::Serialize;

use super::traffic::{CLASSES, Message, class_name};

pub mod plot;
pub mod table;

/// Energy that a byte on the air costs both ends together, in microjoules. A proxy: the slope that Balasubramanian et
/// al. measured for Wi-Fi on phones (Energy Consumption in Mobile Phones, IMC 2009), 7 mJ a kilobyte.
const MICROJOULES_PER_BYTE: u64 = 7;

/// Who decided what is given to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Somebody who knows all contacts, with links of unlimited bandwidth: the physical limit.
    Oracle,
    /// Everything is given to everybody.
    Epidemic,
    /// What nodes do.
    Cairn,
}

impl Strategy {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::Epidemic => "epidemic",
            Self::Cairn => "cairn",
        }
    }
}

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// When it was sent, in milliseconds from the start of the run.
    pub at_ms: u64,
    /// How urgent it was.
    pub class: Class,
    /// When it was delivered; `None` if it was not, or too late to be of use.
    pub delivered_ms: Option<u64>,
    /// How often it has to be handed over at least to arrive in time; only the oracle knows.
    pub hops_min: Option<u64>,
}

impl Fate {
    /// The fate of a message that was delivered then.
    #[must_use]
    pub const fn of(message: &Message, delivered_ms: Option<u64>) -> Self {
        Self { at_ms: message.at_ms, class: message.class, delivered_ms, hops_min: None }
    }

    /// How long it was on its way, in milliseconds.
    #[must_use]
    pub fn delay_ms(&self) -> Option<u64> {
        self.delivered_ms.map(|delivered_ms| delivered_ms.saturating_sub(self.at_ms))
    }
}

/// What a strategy spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Bundles handed from one node to another, repetitions included.
    pub transmissions: u64,
    /// The part of these that is alerts, which go to everybody if they are small.
    pub alert_transmissions: u64,
    /// Bytes on the air: bundles, and all that nodes say to each other about them.
    pub bytes: u64,
    /// The part of these bytes that is not bundles.
    pub control_bytes: u64,
    /// Energy for these bytes, in millijoules; a proxy, see the design page.
    pub energy_mj: u64,
    /// Contacts in which the two ends met.
    pub meets: u64,
}

impl Cost {
    /// The cost with its energy.
    #[must_use]
    pub const fn with_energy(self) -> Self {
        Self { energy_mj: self.bytes.saturating_mul(MICROJOULES_PER_BYTE) / 1_000, ..self }
    }
}

/// How much of something arrived, and how late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that were delivered in time.
    pub delivered: u64,
    /// The same as a part of a million.
    pub ratio_ppm: u64,
    /// Half of the delivered ones took no longer, in milliseconds.
    pub median_ms: Option<u64>,
    /// Nine of ten took no longer.
    pub p90_ms: Option<u64>,
    /// What they took on average.
    pub mean_ms: Option<u64>,
}

impl Delivery {
    /// Sums up fates.
    #[must_use]
    pub fn of(fates: impl Iterator<Item = Fate>) -> Self {
        let mut delays = Vec::new();
        let mut sent: u64 = 0;
        for fate in fates {
            sent += 1;
            delays.extend(fate.delay_ms());
        }
        delays.sort_unstable();
        let delivered = count(delays.len());
        let total = delays.iter().fold(0_u64, |sum, delay| sum.saturating_add(*delay));
        Self {
            sent,
            delivered,
            ratio_ppm: (delivered * 1_000_000).checked_div(sent).unwrap_or(0),
            median_ms: quantile(&delays, 50),
            p90_ms: quantile(&delays, 90),
            mean_ms: total.checked_div(delivered),
        }
    }
}

/// The smallest delay that so many of a hundred do not exceed (nearest rank).
fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

/// One strategy in one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which.
    pub strategy: Strategy,
    /// What became of each message between honest nodes, in the order in which they were sent.
    pub fates: Vec<Fate>,
    /// What it took; nothing for the oracle.
    pub cost: Cost,
}

/// A line of the report: a strategy and a class, or all classes together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Which strategy.
    pub strategy: Strategy,
    /// Which class; `None` for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// What arrived.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// What it took; only for all classes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// How a strategy compares with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Delivered, for each million that epidemic forwarding delivers.
    pub delivered_ppm_of_epidemic: Option<u64>,
    /// Bundles handed over, for each million of epidemic forwarding.
    pub transmissions_ppm_of_epidemic: Option<u64>,
    /// The same without alerts on both sides.
    pub transmissions_ppm_without_alerts: Option<u64>,
    /// Bundles that have to be handed over at least to deliver what epidemic forwarding delivers, for each million that it
    /// hands over: for each message the fewest hops of a way over the contacts that arrives in time.
    pub fewest_ppm_of_epidemic: Option<u64>,
    /// The same if alerts go to everybody all the same.
    pub fewest_ppm_with_alerts: Option<u64>,
    /// Delivered, for each million of what the oracle delivers.
    pub delivered_ppm_of_oracle: Option<u64>,
    /// Mean delay, for each million of the oracle's.
    pub delay_ppm_of_oracle: Option<u64>,
}

/// The report of a run. The same seed gives the same bytes, as a table, as JSON and as plots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldReport {
    /// Name of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// How many nodes there were.
    pub nodes: usize,
    /// How many of them were hostile.
    pub hostile: usize,
    /// How long it was, in milliseconds of virtual time.
    pub span_ms: u64,
    /// How many contacts there were.
    pub contacts: usize,
    /// How many messages honest nodes sent to honest nodes.
    pub messages: usize,
    /// Each strategy, for all classes together and for each.
    pub rows: Vec<Row>,
    /// Cairn next to the others.
    pub comparison: Comparison,
    /// What was broken; empty if all promises were kept.
    pub violations: Vec<String>,
    /// Digest of everything that every node was told, to compare two runs.
    pub trace: u64,
    /// What became of each message.
    #[serde(skip)]
    pub outcomes: Vec<Outcome>,
}

impl FieldReport {
    /// The lines and the comparison that follow from outcomes.
    #[must_use]
    pub fn rows_of(outcomes: &[Outcome]) -> (Vec<Row>, Comparison) {
        let mut rows = Vec::new();
        for outcome in outcomes {
            let cost = (outcome.strategy != Strategy::Oracle).then(|| outcome.cost.with_energy());
            let delivery = Delivery::of(outcome.fates.iter().copied());
            rows.push(Row { strategy: outcome.strategy, class: None, delivery, cost });
            for class in CLASSES {
                let delivery = Delivery::of(outcome.fates.iter().copied().filter(|fate| fate.class == class));
                if delivery.sent > 0 {
                    rows.push(Row {
                        strategy: outcome.strategy,
                        class: Some(class_name(class)),
                        delivery,
                        cost: None,
                    });
                }
            }
        }
        let whole = |strategy| rows.iter().find(|row| row.strategy == strategy && row.class.is_none());
        let ppm = |part: Option<u64>, of: Option<u64>| part?.saturating_mul(1_000_000).checked_div(of?);
        let delivered = |strategy| whole(strategy).map(|row| row.delivery.delivered);
        let mean = |strategy| whole(strategy).and_then(|row| row.delivery.mean_ms);
        let cost = |strategy| whole(strategy).and_then(|row| row.cost);
        let sent = |strategy| cost(strategy).map(|cost| cost.transmissions);
        let alerts = |strategy| cost(strategy).map(|cost| cost.alert_transmissions);
        let others = |strategy| Some(sent(strategy)?.saturating_sub(alerts(strategy)?));
        let ours = Strategy::Cairn;
        let epidemic = Strategy::Epidemic;
        let with_alerts = fewest(outcomes, false).zip(alerts(epidemic)).map(|(rest, alerts)| rest + alerts);
        let comparison = Comparison {
            delivered_ppm_of_epidemic: ppm(delivered(ours), delivered(Strategy::Epidemic)),
            transmissions_ppm_of_epidemic: ppm(sent(ours), sent(epidemic)),
            transmissions_ppm_without_alerts: ppm(others(ours), others(epidemic)),
            fewest_ppm_of_epidemic: ppm(fewest(outcomes, true), sent(epidemic)),
            fewest_ppm_with_alerts: ppm(with_alerts, sent(epidemic)),
            delivered_ppm_of_oracle: ppm(delivered(ours), delivered(Strategy::Oracle)),
            delay_ppm_of_oracle: ppm(mean(ours), mean(Strategy::Oracle)),
        };
        (rows, comparison)
    }

    /// The report as JSON, with a newline at its end.
    #[must_use]
    pub fn json(&self) -> String {
        // Maps with keys that are no strings and failing writers are what can fail; there are none.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Fewest transmissions for what epidemic forwarding delivered, with or without alerts; `None` unless both were run.
fn fewest(outcomes: &[Outcome], with_alerts: bool) -> Option<u64> {
    let of = |strategy| outcomes.iter().find(|outcome| outcome.strategy == strategy);
    let (oracle, epidemic) = (of(Strategy::Oracle)?, of(Strategy::Epidemic)?);
    let both = oracle.fates.iter().zip(&epidemic.fates);
    let counted =
        both.filter(|(_, fate)| fate.delivered_ms.is_some() && (with_alerts || fate.class != Class::Alert));
    Some(counted.filter_map(|(limit, _)| limit.hops_min).sum())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn fates(delays: &[Option<u64>]) -> Vec<Fate> {
        let fate = |(i, delay): (usize, &Option<u64>)| {
            let at_ms = count(i) * 10;
            let class = if i % 2 == 0 { Class::Alert } else { Class::Normal };
            Fate { at_ms, class, delivered_ms: delay.map(|delay| at_ms + delay), hops_min: Some(2) }
        };
        delays.iter().enumerate().map(fate).collect()
    }

    pub(in crate::field) fn sample() -> FieldReport {
        let cost = Cost {
            transmissions: 40,
            alert_transmissions: 10,
            bytes: 90_000,
            control_bytes: 800,
            energy_mj: 0,
            meets: 12,
        };
        let outcomes = vec![
            Outcome {
                strategy: Strategy::Oracle,
                fates: fates(&[Some(100), Some(200), Some(300), Some(400)]),
                cost: Cost::default(),
            },
            Outcome {
                strategy: Strategy::Epidemic,
                fates: fates(&[Some(150), Some(250), Some(350), None]),
                cost: Cost { transmissions: 400, alert_transmissions: 200, ..cost },
            },
            Outcome { strategy: Strategy::Cairn, fates: fates(&[Some(150), Some(250), None, None]), cost },
        ];
        let (rows, comparison) = FieldReport::rows_of(&outcomes);
        FieldReport {
            scenario: "sample <&> \"test\"".to_owned(),
            seed: 7,
            nodes: 3,
            hostile: 1,
            span_ms: 3_600_000,
            contacts: 12,
            messages: 4,
            rows,
            comparison,
            violations: vec![],
            trace: 0x1234,
            outcomes,
        }
    }

    #[test]
    fn delays_are_summed_up_by_nearest_rank() {
        let delays: Vec<Option<u64>> = (1..=10).map(|delay| Some(delay * 100)).chain([None, None]).collect();
        let delivery = Delivery::of(fates(&delays).into_iter());
        assert_eq!((delivery.sent, delivery.delivered, delivery.ratio_ppm), (12, 10, 833_333));
        assert_eq!(
            (delivery.median_ms, delivery.p90_ms, delivery.mean_ms),
            (Some(500), Some(900), Some(550))
        );
        assert_eq!(Delivery::of(core::iter::empty()), Delivery::default());
        assert_eq!(Delivery::of(fates(&[None]).into_iter()).median_ms, None);
    }

    #[test]
    fn strategies_are_compared() {
        let report = sample();
        assert_eq!(report.comparison.delivered_ppm_of_epidemic, Some(666_666));
        assert_eq!(report.comparison.transmissions_ppm_of_epidemic, Some(100_000));
        assert_eq!(report.comparison.transmissions_ppm_without_alerts, Some(150_000));
        // Epidemic forwarding delivers three, two of them alerts, each over two hops.
        assert_eq!(report.comparison.fewest_ppm_of_epidemic, Some(15_000));
        assert_eq!(report.comparison.fewest_ppm_with_alerts, Some(505_000));
        assert_eq!(report.comparison.delivered_ppm_of_oracle, Some(500_000));
        assert_eq!(report.comparison.delay_ppm_of_oracle, Some(800_000));
        let energy = report.rows.iter().find_map(|row| row.cost).map(|cost| cost.energy_mj);
        assert_eq!(energy, Some(630));
    }

    #[test]
    fn json_says_the_same_in_the_same_order() {
        let text = sample().json();
        assert_eq!(text, sample().json());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["rows"][0]["strategy"], "oracle");
        assert_eq!(value["rows"][0]["delivered"], 4);
        assert_eq!(value["rows"][1]["class"], "alert");
        assert!(value["rows"][0].get("cost").is_none() && value.get("outcomes").is_none());
    }
}
