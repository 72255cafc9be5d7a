//! The report as a table for people.

use core::fmt::Write as _;

use super::{FieldReport, Row};

/// Columns and how wide they are; numbers stand to the right.
const HEAD: [(&str, usize); 10] = [
    ("strategy", 9),
    ("class", 7),
    ("sent", 6),
    ("delivered", 14),
    ("median", 9),
    ("p90", 9),
    ("mean", 9),
    ("handed over", 12),
    ("bytes", 10),
    ("energy", 10),
];

impl FieldReport {
    /// The report as text; lines end with a newline.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}: {} nodes ({} hostile), {} contacts in {}, {} messages, seed {}",
            self.scenario,
            self.nodes,
            self.hostile,
            self.contacts,
            span(self.span_ms),
            self.messages,
            self.seed
        );
        line(&mut text, &HEAD.map(|(title, _)| title.to_owned()));
        for row in &self.rows {
            line(&mut text, &cells(row));
        }
        let compared = [
            ("delivered, of epidemic's", self.comparison.delivered_ppm_of_epidemic),
            ("handed over, of epidemic's", self.comparison.transmissions_ppm_of_epidemic),
            ("the same without alerts", self.comparison.transmissions_ppm_without_alerts),
            ("fewest possible", self.comparison.fewest_ppm_of_epidemic),
            ("fewest, alerts to everybody", self.comparison.fewest_ppm_with_alerts),
            ("delivered, of the oracle's", self.comparison.delivered_ppm_of_oracle),
            ("mean delay, of the oracle's", self.comparison.delay_ppm_of_oracle),
        ];
        for (what, ppm) in compared {
            let _ = writeln!(text, "{what:>28}: {}", ppm.map_or_else(|| "-".to_owned(), percent));
        }
        for violation in &self.violations {
            let _ = writeln!(text, "broken: {violation}");
        }
        let _ = writeln!(text, "trace {:016x}", self.trace);
        text
    }
}

fn line(text: &mut String, cells: &[String; 10]) {
    let mut line = String::new();
    for (index, (cell, (_, width))) in cells.iter().zip(HEAD).enumerate() {
        let _ = if index < 2 { write!(line, "{cell:<width$}") } else { write!(line, "{cell:>width$}") };
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

fn cells(row: &Row) -> [String; 10] {
    let delay = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), span);
    let cost = |of: fn(&super::Cost) -> String| row.cost.as_ref().map_or_else(String::new, of);
    [
        row.strategy.name().to_owned(),
        row.class.unwrap_or("all").to_owned(),
        row.delivery.sent.to_string(),
        format!("{} {:>7}", row.delivery.delivered, percent(row.delivery.ratio_ppm)),
        delay(row.delivery.median_ms),
        delay(row.delivery.p90_ms),
        delay(row.delivery.mean_ms),
        cost(|cost| cost.transmissions.to_string()),
        cost(|cost| scaled(cost.bytes, [" B", " kB", " MB", " GB", " TB"])),
        cost(|cost| scaled(cost.energy_mj, [" mJ", " J", " kJ", " MJ", " GJ"])),
    ]
}

/// Parts of a million as parts of a hundred with one digit behind the point.
pub(super) fn percent(ppm: u64) -> String {
    format!("{}.{}%", ppm / 10_000, ppm % 10_000 / 1_000)
}

/// A span of time in its largest two units.
pub(super) fn span(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{}m {:02}s", s / 60, s % 60),
        3_600..172_800 => format!("{}h {:02}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d {:02}h", s / 86_400, s / 3_600 % 24),
    }
}

/// A number of three digits at most with a unit for each power of a thousand.
fn scaled(number: u64, units: [&str; 5]) -> String {
    let (mut whole, mut rest) = (number, 0);
    let mut last = "";
    for unit in units {
        last = unit;
        if whole < 1_000 {
            break;
        }
        rest = whole % 1_000;
        whole /= 1_000;
    }
    if whole < 100 && number >= 1_000 {
        format!("{whole}.{}{last}", rest / 100)
    } else {
        format!("{whole}{last}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_strategy_and_class() {
        let table = sample().table();
        assert_eq!(table, sample().table());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 2 + 9 + 7 + 1, "{table}");
        assert!(lines[2].starts_with("oracle   all"), "{table}");
        assert!(
            table.contains("3   75.0%") && table.contains("10.0%") && table.contains("630 mJ"),
            "{table}"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0, 999, 61_000, 3_600_000, 172_800_000].map(span),
            ["0 ms", "999 ms", "1m 01s", "1h 00m", "2d 00h"]
        );
        assert_eq!([percent(1_000_000), percent(43_219)], ["100.0%", "4.3%"]);
        let bytes = |number| scaled(number, [" B", " kB", " MB", " GB", " TB"]);
        assert_eq!(
            [bytes(0), bytes(999), bytes(1_234), bytes(999_999), bytes(45_678_901)],
            ["0 B", "999 B", "1.2 kB", "999 kB", "45.6 MB"]
        );
        assert!(!bytes(u64::MAX).is_empty());
    }
}
