//! The whole story, once, with three real processes; and its receipt under attack.

use std::fs;
use std::process::{Command, Stdio};

#[test]
fn a_job_crosses_a_gap_and_its_receipt_holds_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["demo", "--json", "--keep"])
        .arg(dir.path())
        .env("TMPDIR", dir.path().parent().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{talk}\n{}", String::from_utf8_lossy(&output.stdout));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["good"], true);
    assert!(report["checks"].as_array().unwrap().len() >= 10);

    let receipt = report["receipt"].as_str().unwrap();
    let verify = |file: &str| {
        let args = ["--json", "receipt", "verify", file];
        Command::new(env!("CARGO_BIN_EXE_cairn")).args(args).output().unwrap()
    };
    let proven = verify(receipt);
    assert_eq!(proven.status.code(), Some(0));
    let proven: serde_json::Value = serde_json::from_slice(&proven.stdout).unwrap();
    assert_eq!(proven["job"], report["job"]);

    // One bit of every byte was tried within the demo; here the program itself says no.
    let whole = fs::read(receipt).unwrap();
    for position in [0, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        let path = dir.path().join("changed.receipt");
        fs::write(&path, changed).unwrap();
        assert_eq!(verify(path.to_str().unwrap()).status.code(), Some(1), "byte {position}");
    }
    fs::remove_file(receipt).unwrap();
}
