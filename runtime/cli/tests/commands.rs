//! The real binary: exit codes, errors with hints, and what needs no running node.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn cairn(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cairn"))
        .arg("--home")
        .arg(home)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_wrong_command_line_is_code_2_and_help_is_code_0() {
    let home = tempfile::tempdir().unwrap();
    for args in [&["no-such-command"][..], &[], &["job", "show"], &["credit", "grant", "b", "-1"], &["peer"]]
    {
        let output = cairn(home.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}: talk goes to stderr");
    }
    for args in [&["--help"][..], &["job", "post", "--help"], &["--version"]] {
        let output = cairn(home.path(), args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn every_question_without_a_node_says_how_to_start_one() {
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["status"][..],
        &["card", "export"],
        &["card", "list"],
        &["card", "qr"],
        &["peer", "list"],
        &["peer", "add", "b", "127.0.0.1:1"],
        &["send", "b", "text"],
        &["inbox"],
        &["inbox", "save", "1", "x"],
        &["board", "create", "relief"],
        &["board", "join", "cairn-board:x"],
        &["job", "list"],
        &["job", "post", "relief", "job.toml"],
        &["job", "result", "abcdef"],
        &["credit"],
        &["credit", "grant", "b", "5"],
        &["receipt", "export", "abcdef", "0", "x"],
        &["carry", "export", "."],
        &["carry", "import", "."],
    ] {
        let output = cairn(home.path(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let text = stderr(&output);
        assert!(text.starts_with("error: no node answers at"), "{args:?}: {text}");
        assert!(text.contains("\nhint: is the node running? start it with: cairn node"), "{args:?}: {text}");
    }
}

#[test]
fn an_error_is_json_for_those_who_asked_for_json() {
    let home = tempfile::tempdir().unwrap();
    let output = cairn(home.path(), &["status", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["answer"], "error");
    assert!(answer["hint"].as_str().unwrap().contains("cairn node"));
}

#[test]
fn the_first_id_makes_a_key_and_the_second_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("new/home");
    let first = cairn(&home, &["id"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(stdout(&first).trim().len(), 52);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    assert_eq!(mode(&home.join("identity.key")), 0o600);
    let second = cairn(&home, &["id"]);
    assert_eq!(stdout(&second), stdout(&first));
    assert!(second.stderr.is_empty());
}

#[test]
fn a_key_that_others_can_read_stops_everything_that_needs_it() {
    let home = tempfile::tempdir().unwrap();
    assert!(cairn(home.path(), &["id"]).status.success());
    let key = home.path().join("identity.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    for args in [&["id"][..], &["node", "--no-discovery"]] {
        let output = cairn(home.path(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains("open to others (mode 644)"), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("hint: if nobody else has read it: chmod 600"));
    }
    let doctor = cairn(home.path(), &["doctor"]);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(stdout(&doctor).contains("FAIL  key"), "{}", stdout(&doctor));
}

#[test]
fn wrong_settings_stop_the_node_with_the_line_that_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("cairn.toml"), "[tasks]\nenable = true\n").unwrap();
    let output = cairn(home.path(), &["node"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("enable") && stderr(&output).contains("line 2"), "{}", stderr(&output));
    assert!(!home.path().join("identity.key").exists(), "nothing was made");
}

#[test]
fn a_data_directory_that_others_can_write_is_refused() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let output = cairn(home.path(), &["node"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("hint: chmod 700"), "{}", stderr(&output));
}

#[test]
fn doctor_is_content_with_a_machine_that_has_nothing_yet() {
    let dir = tempfile::tempdir().unwrap();
    let output = cairn(&dir.path().join("nothing"), &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let checks: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(checks.iter().all(|check| check["verdict"] != "fail"), "{checks:?}");
    assert!(checks.iter().any(|check| check["name"] == "disk"));
}

#[test]
fn what_is_no_receipt_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("x.receipt");
    for bytes in [&b""[..], b"\x83\x01\x40\x40", &[0xff; 100_000]] {
        fs::write(&file, bytes).unwrap();
        let output = cairn(home.path(), &["receipt", "verify", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).starts_with("error: this receipt does not hold"), "{}", stderr(&output));
        assert!(stderr(&output).contains("\nhint: "));
    }
    let output = cairn(home.path(), &["receipt", "verify", "/nowhere/x"]);
    assert!(stderr(&output).contains("cannot read"), "{}", stderr(&output));
}

#[test]
fn a_closed_pipe_is_no_error_and_no_panic() {
    let home = tempfile::tempdir().unwrap();
    for args in [&["doctor", "--json"][..], &["id"], &["--help"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cairn"))
            .arg("--home")
            .arg(home.path())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.code().is_some_and(|code| code <= 1), "{args:?}: {:?}", output.status);
        assert!(!stderr(&output).contains("panic"), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn nothing_to_send_and_a_missing_card_are_told() {
    let home = tempfile::tempdir().unwrap();
    let output = cairn(home.path(), &["send", "b"]);
    assert!(stderr(&output).contains("nothing to send"), "{}", stderr(&output));
    let output = cairn(home.path(), &["card", "import", "/nowhere/card"]);
    assert!(stderr(&output).contains("cannot read the card"), "{}", stderr(&output));
}

#[test]
fn the_demo_wants_an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = fs::File::create(dir.path().join("mine")).unwrap();
    file.write_all(b"precious").unwrap();
    let output = cairn(dir.path(), &["demo", "--keep", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not empty"), "{}", stderr(&output));
    assert_eq!(fs::read(dir.path().join("mine")).unwrap(), b"precious");
}
