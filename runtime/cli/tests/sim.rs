//! `cairn sim`: the same seed prints the same bytes, and mistakes are told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::process::{Command, Output};

fn cairn(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cairn")).args(args).output().unwrap()
}

fn out(args: &[&str]) -> String {
    let output = cairn(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn err(args: &[&str]) -> String {
    let output = cairn(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn one_seed_prints_one_report_and_another_seed_another() {
    let small = "chain:nodes=6,hours=1,messages=6";
    for more in [&["--seed", "3"][..], &["--seed", "3", "--json"]] {
        let args = [&["sim", "run", small], more].concat();
        assert_eq!(out(&args), out(&args));
    }
    assert_ne!(out(&["sim", "run", small, "--seed", "3"]), out(&["sim", "run", small, "--seed", "4"]));
    let report: serde_json::Value =
        serde_json::from_str(&out(&["sim", "run", small, "--seed", "3", "--json"])).unwrap();
    assert_eq!(report.get("seed").and_then(serde_json::Value::as_u64), Some(3));
}

#[test]
fn a_trace_of_the_one_simulator_is_run_and_its_plots_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("walk.txt");
    fs::write(&trace, "10.0 CONN 0 1 up\n700.0 CONN 0 1 down\n900.0 CONN 1 2 up\n4000.0 CONN 1 2 down\n")
        .unwrap();
    let plots = folder.path().join("plots");
    let (trace, plots_text) = (trace.to_str().unwrap(), plots.to_str().unwrap());
    let table = out(&["sim", "run", "trace", trace, "--plots", plots_text]);
    assert!(table.contains("walk") && table.contains("epidemic"), "{table}");
    for name in ["delay.svg", "delivery.svg"] {
        assert!(fs::read_to_string(plots.join(name)).unwrap().contains("<svg"));
    }
}

#[test]
fn what_cannot_be_run_is_told_with_a_way_out() {
    assert!(out(&["sim", "list"]).contains("village"));
    assert!(err(&["sim", "run", "atlantis"]).contains("hint: see: cairn sim list"));
    assert!(err(&["sim", "run", "city:nodes=0"]).contains("between"));
    assert!(err(&["sim", "run", "trace"]).contains("needs a file"));
    assert!(
        err(&["sim", "run", "trace", "/dev/zero"]).contains("has more than"),
        "what never ends is not read"
    );
    assert!(err(&["sim", "run", "village", "walk.txt"]).contains("takes no file"));
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.txt");
    fs::write(&bad, "1.0 CONN 0 1 up\nyesterday CONN 0 1 down\n").unwrap();
    let told = err(&["sim", "run", "trace", bad.to_str().unwrap()]);
    assert!(told.contains("line 2") && told.contains("hint"), "{told}");
}
