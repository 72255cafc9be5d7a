//! Plots as SVG: how long messages took, and when they arrived.
//!
//! Whole pixels and no date, font or id of a machine: the same report gives the same bytes.

use core::fmt::Write as _;

use super::table::{percent, span};
use super::{FieldReport, Outcome, Strategy};

/// The drawing area, in pixels, and the borders around it.
const WIDTH: u64 = 640;
const HEIGHT: u64 = 360;
const LEFT: u64 = 64;
const TOP: u64 = 40;

/// A way to lay deliveries out along the time axis.
#[derive(Clone, Copy)]
enum Axis {
    /// How long each took.
    Delay,
    /// When each arrived.
    Moment,
}

impl FieldReport {
    /// The part of the messages that had arrived after so long, for each strategy.
    #[must_use]
    pub fn delay_plot(&self) -> String {
        self.plot("Delay of delivered messages", Axis::Delay)
    }

    /// The part of the messages that had arrived by then, for each strategy.
    #[must_use]
    pub fn delivery_plot(&self) -> String {
        self.plot("Messages delivered over time", Axis::Moment)
    }

    fn plot(&self, title: &str, axis: Axis) -> String {
        let series: Vec<(Strategy, usize, Vec<u64>)> = self
            .outcomes
            .iter()
            .map(|outcome| (outcome.strategy, outcome.fates.len(), values(outcome, axis)))
            .collect();
        let last_ms =
            series.iter().filter_map(|(_, _, values)| values.last()).max().copied().unwrap_or(0).max(1);
        let mut text = String::new();
        let (full_width, full_height) = (WIDTH + 2 * LEFT, HEIGHT + 2 * TOP);
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {full_width} {full_height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{full_width}\" height=\"{full_height}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}: {}</text>",
            escaped(&self.scenario),
            escaped(title)
        );
        grid(&mut text, last_ms);
        for (index, (strategy, sent, values)) in series.iter().enumerate() {
            curve(&mut text, *strategy, index, (values, *sent), last_ms);
        }
        text.push_str("</svg>\n");
        text
    }
}

/// Sorted positions on the time axis.
fn values(outcome: &Outcome, axis: Axis) -> Vec<u64> {
    let value = |fate: &super::Fate| match axis {
        Axis::Delay => fate.delay_ms(),
        Axis::Moment => fate.delivered_ms,
    };
    let mut values: Vec<u64> = outcome.fates.iter().filter_map(value).collect();
    values.sort_unstable();
    values
}

fn grid(text: &mut String, last_ms: u64) {
    for quarter in 0..=4 {
        let (x, y) = (LEFT + WIDTH * quarter / 4, TOP + HEIGHT - HEIGHT * quarter / 4);
        let (right, bottom) = (LEFT + WIDTH, TOP + HEIGHT);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {y}H{right}M{x} {TOP}V{bottom}\" stroke=\"#dddddd\" fill=\"none\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            LEFT - 6,
            y + 4,
            percent(quarter * 250_000),
            bottom + 18,
            span(last_ms / 4 * quarter)
        );
    }
}

fn curve(text: &mut String, strategy: Strategy, index: usize, (values, sent): (&[u64], usize), last_ms: u64) {
    let color = match strategy {
        Strategy::Oracle => "#888888",
        Strategy::Epidemic => "#d95f02",
        Strategy::Cairn => "#1b6ca8",
    };
    let scaled = |part: u64, whole: u64, pixels: u64| {
        let pixels = u128::from(part) * u128::from(pixels) / u128::from(whole.max(1));
        u64::try_from(pixels).unwrap_or(0)
    };
    let count = |of: usize| u64::try_from(of).unwrap_or(u64::MAX);
    let mut path = format!("M{LEFT} {}", TOP + HEIGHT);
    let (mut at, mut height) = (LEFT, TOP + HEIGHT);
    for (rank, value) in values.iter().enumerate() {
        let x = LEFT + scaled(*value, last_ms, WIDTH);
        let y = TOP + HEIGHT - scaled(count(rank) + 1, count(sent), HEIGHT);
        // One point for each pixel that differs keeps the file small, however many messages there are.
        if x != at {
            let _ = write!(path, "V{height}H{x}");
            at = x;
        }
        height = y;
    }
    let _ = writeln!(
        text,
        "<path d=\"{path}V{height}H{}\" stroke=\"{color}\" stroke-width=\"2\" fill=\"none\"/>\n\
         <text x=\"{}\" y=\"{}\" fill=\"{color}\">{}</text>",
        LEFT + WIDTH,
        LEFT + WIDTH - 80,
        TOP + HEIGHT - 16 - 18 * count(index),
        strategy.name()
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;

    #[test]
    fn plots_are_the_same_bytes_and_well_formed() {
        let report = sample();
        for plot in [report.delay_plot(), report.delivery_plot()] {
            assert!(plot == sample().delay_plot() || plot == sample().delivery_plot());
            assert_eq!(plot.matches("stroke-width=\"2\"").count(), 3);
            assert!(plot.contains("sample &lt;&amp;&gt; &quot;test&quot;"));
            assert_eq!(plot.matches('<').count(), plot.matches('>').count());
            assert!(!plot.contains("NaN"));
        }
        assert_ne!(report.delay_plot(), report.delivery_plot());
    }

    #[test]
    fn many_messages_make_no_large_file_and_none_make_no_fault() {
        let mut report = sample();
        let fate = |i: u64| super::super::Fate {
            at_ms: i,
            class: super::super::Class::Bulk,
            delivered_ms: Some(i * 7 % 99_991),
            hops_min: None,
        };
        report.outcomes[0].fates = (0..100_000).map(fate).collect();
        assert!(report.delivery_plot().len() < 40_000);
        report.outcomes.clear();
        assert!(report.delay_plot().ends_with("</svg>\n"));
    }
}
