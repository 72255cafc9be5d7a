//! Any of the three processes is killed ten times at random moments, and the story ends the same.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

use std::process::{Command, Stdio};

/// A seed that failed once stays here: set `CAIRN_KILL_SEED` to try another.
const SEED: &str = "20261121";

fn ends_the_same_when_killing(who: &str) {
    let dir = tempfile::tempdir().unwrap();
    let seed = std::env::var("CAIRN_KILL_SEED").unwrap_or_else(|_| SEED.into());
    let output = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["demo", "--json", "--kills", "10", "--seed", &seed, "--only", who, "--keep"])
        .arg(dir.path().join("stage"))
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    let data = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(0),
        "cairn demo --kills 10 --seed {seed} --only {who}\n{talk}\n{data}"
    );
    let report: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&report["good"], &report["kills"]), (&true.into(), &10.into()));
}

#[test]
fn killing_the_depot_changes_nothing() {
    ends_the_same_when_killing("a");
}

#[test]
fn killing_the_carrier_changes_nothing() {
    ends_the_same_when_killing("b");
}

#[test]
fn killing_the_jetson_changes_nothing() {
    ends_the_same_when_killing("c");
}
