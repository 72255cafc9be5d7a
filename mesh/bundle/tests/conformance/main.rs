//! Every MUST and SHALL of RFC 9171, 9172 and 9173, with the test that shows it or the reason why not.
//!
//! A row holds the function of its test, so a test that does not exist does not compile; one test runs
//! them all. `docs/conformance.md` is written from the rows: `CAIRN_BLESS=1` writes it, and a test fails
//! where it has changed.
#![expect(clippy::unwrap_used, reason = "helpers of tests, on data that the tests made")]
#![expect(clippy::duplicate_mod, reason = "each test file brings the helpers that it shares with the others")]

macro_rules! rows {
    ($($section:literal, $words:literal, $demands:literal => $proof:expr;)*) => {
        &[$($crate::Row { section: $section, words: $words, demands: $demands, proof: $proof }),*]
    };
}

macro_rules! by {
    ($test:path) => {
        $crate::Proof::Test(stringify!($test), $test)
    };
}

#[path = "../bpsec.rs"]
mod bpsec;
#[path = "../bpsec_properties.rs"]
mod bpsec_properties;
#[path = "../codec.rs"]
mod codec;
mod contexts;
mod forms;
#[path = "../fragments.rs"]
mod fragments;
mod rfc9171;
mod rfc9172;
mod rfc9173;
#[path = "../rfc9173.rs"]
mod rfc9173_examples;
#[path = "../status.rs"]
mod status;

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::path::Path;

const PAGE: &str = "../../docs/conformance.md";

/// One requirement.
#[derive(Debug)]
pub(crate) struct Row {
    section: &'static str,
    /// How many of the words MUST, SHALL and REQUIRED state it.
    words: usize,
    demands: &'static str,
    proof: Proof,
}

/// What there is to a requirement.
#[derive(Debug)]
pub(crate) enum Proof {
    Test(&'static str, fn()),
    NotApplicable(&'static str),
    NotDone(&'static str),
}

pub(crate) const fn no(why: &'static str) -> Proof {
    Proof::NotApplicable(why)
}

pub(crate) const fn open(what: &'static str) -> Proof {
    Proof::NotDone(what)
}

/// An RFC, its rows, and how often the words stand in each of its sections, counted in its text
/// (without the section that explains the words).
struct Rfc {
    number: u16,
    rows: &'static [Row],
    words: &'static [(&'static str, usize)],
}

const RFCS: [Rfc; 3] = [
    Rfc {
        number: 9171,
        rows: rfc9171::ROWS,
        words: &[
            ("4.1", 10),
            ("4.2.1", 1),
            ("4.2.2", 3),
            ("4.2.3", 6),
            ("4.2.4", 4),
            ("4.2.5.1", 6),
            ("4.2.5.1.1", 2),
            ("4.2.5.1.2", 3),
            ("4.2.5.2", 1),
            ("4.2.6", 1),
            ("4.2.7", 3),
            ("4.2.8", 1),
            ("4.3.1", 19),
            ("4.3.2", 9),
            ("4.4", 1),
            ("4.4.1", 3),
            ("4.4.2", 3),
            ("4.4.3", 5),
            ("5.1", 1),
            ("5.2", 2),
            ("5.3", 3),
            ("5.4", 12),
            ("5.4.1", 2),
            ("5.4.2", 5),
            ("5.5", 3),
            ("5.6", 8),
            ("5.7", 6),
            ("5.8", 8),
            ("5.9", 2),
            ("5.10", 1),
            ("5.12", 2),
            ("6.1", 4),
            ("6.1.1", 14),
            ("6.2", 2),
            ("7.2", 1),
            ("8", 2),
        ],
    },
    Rfc {
        number: 9172,
        rows: rfc9172::ROWS,
        words: &[
            ("1.4", 1),
            ("2.2", 1),
            ("3.2", 4),
            ("3.4", 1),
            ("3.6", 23),
            ("3.7", 2),
            ("3.8", 6),
            ("3.9", 12),
            ("3.10", 2),
            ("3.11.1", 1),
            ("3.11.2", 2),
            ("4", 7),
            ("5.1", 1),
            ("5.1.1", 12),
            ("5.1.2", 9),
            ("5.2", 2),
            ("9.1", 2),
            ("9.2", 2),
            ("9.3", 4),
            ("10", 8),
        ],
    },
    Rfc {
        number: 9173,
        rows: rfc9173::ROWS,
        words: &[
            ("1", 1),
            ("3.1", 2),
            ("3.2", 2),
            ("3.3.1", 1),
            ("3.3.2", 2),
            ("3.3.3", 5),
            ("3.5", 2),
            ("3.7", 6),
            ("3.8.1", 11),
            ("3.8.2", 9),
            ("4.1", 1),
            ("4.2", 1),
            ("4.3.1", 3),
            ("4.3.2", 2),
            ("4.3.3", 2),
            ("4.3.4", 5),
            ("4.4", 1),
            ("4.4.1", 3),
            ("4.5", 2),
            ("4.6", 3),
            ("4.7", 1),
            ("4.7.1", 3),
            ("4.7.2", 5),
            ("4.8.1", 18),
            ("4.8.2", 12),
            ("6.2", 3),
            ("6.3", 1),
        ],
    },
];

#[test]
fn every_must_and_shall_has_its_row() {
    for rfc in &RFCS {
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rfc.rows {
            *found.entry(row.section).or_default() += row.words;
            assert!(!row.demands.is_empty(), "RFC {} {}", rfc.number, row.section);
        }
        let expected: BTreeMap<&str, usize> = rfc.words.iter().copied().collect();
        assert_eq!(found, expected, "RFC {}", rfc.number);
    }
    let words = |rfc: &Rfc| rfc.words.iter().map(|(_, words)| words).sum::<usize>();
    assert_eq!(RFCS.each_ref().map(words), [159, 102, 107]);
}

#[test]
fn every_listed_test_is_run() {
    let mut tests: BTreeMap<&str, fn()> = BTreeMap::new();
    for row in RFCS.iter().flat_map(|rfc| rfc.rows) {
        match row.proof {
            Proof::Test(name, test) => drop(tests.insert(name, test)),
            Proof::NotApplicable(why) | Proof::NotDone(why) => assert!(why.len() > 10, "{}", row.demands),
        }
    }
    let mut ran = 0;
    for (name, test) in &tests {
        assert!(std::panic::catch_unwind(*test).is_ok(), "{name} fails");
        ran += 1;
    }
    assert_eq!(ran, tests.len());
}

/// Where a listed test stands, and what it is called.
fn place(name: &str) -> String {
    let name: String = name.chars().filter(|part| !part.is_whitespace()).collect();
    let name = name.trim_start_matches("crate::").replace("rfc9173_examples::", "rfc9173::");
    let (module, test) = name.split_once("::").unwrap();
    let folder = if matches!(module, "forms" | "contexts") { "conformance/" } else { "" };
    format!("`{folder}{module}.rs` {}", test.replace('_', " "))
}

fn page() -> String {
    let mut out = String::from(include_str!("page.md"));
    let count = |rfc: &Rfc, kind: fn(&Proof) -> bool| rfc.rows.iter().filter(|row| kind(&row.proof)).count();
    out.push_str("| RFC | words | requirements | shown by a test | not applicable | not done |\n|---|---|---|---|---|---|\n");
    for rfc in &RFCS {
        let words: usize = rfc.words.iter().map(|(_, words)| words).sum();
        let shown = count(rfc, |proof| matches!(proof, Proof::Test(..)));
        let not = count(rfc, |proof| matches!(proof, Proof::NotApplicable(_)));
        let open = count(rfc, |proof| matches!(proof, Proof::NotDone(_)));
        writeln!(out, "| {} | {words} | {} | {shown} | {not} | {open} |", rfc.number, rfc.rows.len())
            .unwrap();
    }
    out.push_str("\n## Not done\n");
    for rfc in &RFCS {
        for row in rfc.rows {
            if let Proof::NotDone(what) = row.proof {
                writeln!(out, "- RFC {} section {}, {}: {what}.", rfc.number, row.section, row.demands)
                    .unwrap();
            }
        }
    }
    for rfc in &RFCS {
        writeln!(out, "\n## RFC {}\n| section | requirement | shown by |\n|---|---|---|", rfc.number)
            .unwrap();
        for row in rfc.rows {
            let proof = match row.proof {
                Proof::Test(name, _) => place(name),
                Proof::NotApplicable(why) => format!("not applicable, because {why}"),
                Proof::NotDone(what) => format!("not done: {what}"),
            };
            writeln!(out, "| {} | {} | {proof} |", row.section, row.demands).unwrap();
        }
    }
    out
}

#[test]
fn the_page_is_what_the_rows_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os("CAIRN_BLESS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page(),
        "{PAGE} is not what the rows say\nhint: CAIRN_BLESS=1 cargo test -p cairn-bundle --test conformance"
    );
}
