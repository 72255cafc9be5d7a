//! Three implementations read the same bundles, right and wrong ones, and every difference is explained.
//!
//! `CAIRN_DIFFERENTIAL_CASES` sets the number of cases, `CAIRN_DIFFERENTIAL_SERIES` picks one series of
//! a thousand to run again, and `CAIRN_BLESS=1` writes the table of `docs/design/differential.md`.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests, on data that the tests made"
)]

mod explain;
mod generate;
mod item;
mod oracle;
mod seen;

use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering};
use std::path::Path;

use explain::{CLASSES, Difference, classify};
use oracle::Meaning;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use seen::Seen;

const CASES: u64 = 100_000;
const SERIES: u64 = 1_000;
/// Strategies are deep trees of calls, which need room where nothing is optimised.
const STACK_BYTES: usize = 64 << 20;
const PAGE: &str = "../../docs/design/differential.md";

/// What came out of some cases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tally {
    cases: u64,
    we_accept: u64,
    /// All three accept it and mean the same.
    alike: u64,
    classes: Vec<u64>,
    unexplained: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.we_accept += other.we_accept;
        self.alike += other.alike;
        self.classes.resize(CLASSES.len(), 0);
        for (sum, count) in self.classes.iter_mut().zip(other.classes) {
            *sum += count;
        }
        self.unexplained.extend(other.unexplained);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares two verdicts on one input.
fn compare(
    ours: &Result<Meaning, cairn_bundle::DecodeError>,
    theirs: &Result<Meaning, String>,
) -> Option<Difference> {
    match (ours, theirs) {
        (Err(_), Err(_)) => None,
        (Ok(_), Err(error)) => Some(Difference::OnlyWeAccept(error.clone())),
        (Err(error), Ok(_)) => Some(Difference::OnlyTheyAccept(*error)),
        (Ok(ours), Ok(theirs)) => {
            let fields = ours.differences(theirs);
            let rest = ours.unescaped().differences(&theirs.unescaped());
            (!fields.is_empty()).then_some(Difference::Meaning(fields, rest))
        }
    }
}

/// Runs one series of cases, which depends on its number only.
fn run_series(series: u64, cases: u64) -> Tally {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&series.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = generate::any_cases();
    let mut tally = Tally { cases, classes: vec![0; CLASSES.len()], ..Tally::default() };
    let mut made = Vec::new().into_iter();
    for case in 0..cases {
        let bytes = made.next().unwrap_or_else(|| {
            made = strategy.new_tree(&mut runner).unwrap().current().into_iter();
            made.next().unwrap()
        });
        let ours = oracle::ours(&bytes);
        let mut alike = ours.is_ok();
        tally.we_accept += u64::from(alike);
        for (name, theirs) in [("hardy", oracle::hardy(&bytes)), ("bp7", oracle::bp7(&bytes))] {
            let Some(difference) = compare(&ours, &theirs) else { continue };
            alike = false;
            match classify(name, &Seen::new(&bytes), &difference) {
                Some(classes) => classes.into_iter().for_each(|class| tally.classes[class] += 1),
                None => tally
                    .unexplained
                    .push(format!("{name}, series {series}, case {case}: {difference:?}\n  {}", hex(&bytes))),
            }
        }
        tally.alike += u64::from(alike);
    }
    tally
}

/// Runs all series on all processors. The sum does not depend on who ran which.
fn run(cases: u64) -> Tally {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let series = next.fetch_add(1, Ordering::Relaxed);
            let left = cases.saturating_sub(series * SERIES);
            if left == 0 {
                return tally;
            }
            tally.add(run_series(series, left.min(SERIES)));
        }
    };
    std::thread::scope(|scope| {
        let spawn =
            |_| std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).unwrap();
        let threads: Vec<_> = (0..threads).map(spawn).collect();
        threads.into_iter().fold(Tally::default(), |mut sum, thread| {
            sum.add(thread.join().unwrap());
            sum
        })
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("the number of cases or of a series"))
}

/// The page: what is compared, the classes, and how often each came up.
fn page(tally: &Tally) -> String {
    let mut out = String::from(include_str!("page.md"));
    let Tally { cases, we_accept, alike, .. } = tally;
    writeln!(out, "Of {cases} cases this crate accepts {we_accept}; in {alike} of these all three agree on everything.\n").unwrap();
    out.push_str("| oracle | difference | decided by | why | cases |\n|---|---|---|---|---|\n");
    for (class, count) in CLASSES.iter().zip(&tally.classes) {
        let explain::Class { oracle, name, section, why, .. } = class;
        writeln!(out, "| {oracle} | {name} | {section} | {why} | {count} |").unwrap();
    }
    out
}

fn fail_if_unexplained(tally: &Tally) {
    let few: Vec<&String> = tally.unexplained.iter().take(40).collect();
    let list: String = few.iter().map(|text| format!("{text}\n")).collect();
    assert!(
        tally.unexplained.is_empty(),
        "{} differences without an explanation:\n{list}hint: CAIRN_DIFFERENTIAL_SERIES=<series> runs one series again",
        tally.unexplained.len()
    );
}

#[test]
fn every_difference_to_two_other_implementations_is_explained() {
    if let Some(series) = number("CAIRN_DIFFERENTIAL_SERIES") {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let tally = thread.spawn(move || run_series(series, SERIES)).unwrap().join().unwrap();
        return fail_if_unexplained(&tally);
    }
    let cases = number("CAIRN_DIFFERENTIAL_CASES").unwrap_or(CASES);
    let tally = run(cases);
    fail_if_unexplained(&tally);
    // A generator that makes only garbage, or only good bundles, shows nothing.
    assert!(tally.we_accept * 5 > cases, "{} of {cases} accepted", tally.we_accept);
    assert!(tally.we_accept * 4 < cases * 3, "{} of {cases} accepted", tally.we_accept);
    assert!(tally.alike * 8 > cases, "{} of {cases} alike", tally.alike);
    if cases != CASES {
        return;
    }
    // A class that came up once in a million may be silent here; a row of them explains nothing.
    let silent = tally.classes.iter().filter(|count| **count == 0).count();
    assert!(silent <= 3, "{silent} classes explain nothing");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os("CAIRN_BLESS").is_some() {
        std::fs::write(&path, page(&tally)).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        without_counts(&found) == without_counts(&page(&tally)),
        "{PAGE} is not what this run gives\nhint: CAIRN_BLESS=1 cargo test -p cairn-bundle --test differential"
    );
}

/// The page without its counts, which follow every small change of a rule.
fn without_counts(page: &str) -> Vec<&str> {
    let lines = page.lines().filter(|line| !line.starts_with("Of "));
    lines
        .map(|line| line.trim_end_matches(|last: char| last == '|' || last == ' ' || last.is_ascii_digit()))
        .collect()
}
