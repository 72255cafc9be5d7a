//! One real node as a process: started, asked, kept apart from a second one, ended.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

struct Node {
    child: Child,
    home: tempfile::TempDir,
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    command.arg("--home").arg(home).args(args);
    command
}

impl Node {
    /// Returns when the ready line is there.
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let args =
            ["--json", "node", "--name", "depot", "--listen", "127.0.0.1:0", "--no-discovery", "--leash"];
        let mut command = command(home.path(), &args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["node"].as_str().unwrap().len(), 52);
        assert!(ready["addresses"][0].as_str().unwrap().starts_with("127.0.0.1:"));
        Self { child, home }
    }

    fn ask(&self, args: &[&str]) -> Output {
        command(self.home.path(), args).stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_node_answers_its_owner_and_no_second_node_can_start() {
    let node = Node::start();
    let status = node.ask(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["name"], "depot");
    let id = String::from_utf8(node.ask(&["id"]).stdout).unwrap();
    assert_eq!(status["node"].as_str().unwrap(), id.trim());
    let mode = fs::metadata(node.home.path().join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let second = node.ask(&["node", "--listen", "127.0.0.1:0", "--no-discovery"]);
    let talk = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{talk}");
    assert!(talk.contains("already runs in") && talk.contains("hint: "), "{talk}");
    assert!(node.ask(&["status"]).status.success(), "the first one goes on");
}

#[test]
fn a_card_can_be_shown_and_a_wrong_one_is_refused() {
    let node = Node::start();
    let card = String::from_utf8(node.ask(&["card", "export"]).stdout).unwrap();
    assert!(card.starts_with("CAIRN:"), "{card}");
    let code = String::from_utf8(node.ask(&["card", "qr"]).stdout).unwrap();
    assert!(code.lines().count() > 14 && code.contains('█'), "{code}");
    for text in [card.trim(), "CAIRN:NONSENSE"] {
        let refused = node.ask(&["card", "import", text]);
        assert_eq!(refused.status.code(), Some(1), "its own card, and no card, are refused");
        assert!(String::from_utf8_lossy(&refused.stderr).starts_with("error: "));
    }
}

#[test]
fn a_board_and_an_unknown_name_behave() {
    let node = Node::start();
    assert!(node.ask(&["board", "create", "relief"]).status.success());
    let boards = node.ask(&["board", "list", "--json"]);
    let boards: serde_json::Value = serde_json::from_slice(&boards.stdout).unwrap();
    assert_eq!(boards["boards"][0]["name"], "relief");
    for args in [
        &["board", "create", "relief"][..],
        &["board", "invite", "relief", "nobody"],
        &["job", "show", "abcdef"],
    ] {
        let refused = node.ask(args);
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        let talk = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(talk.starts_with("error: ") && talk.contains("\nhint: "), "{args:?}: {talk}");
    }
    let doctor = node.ask(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(0), "{}", String::from_utf8_lossy(&doctor.stdout));
}

#[test]
fn a_node_on_a_leash_ends_in_order_when_its_starter_is_gone() {
    let mut node = Node::start();
    drop(node.child.stdin.take());
    let mut rest = Vec::new();
    // The pipe closes when the process ends.
    node.child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(node.child.wait().unwrap().code(), Some(0));
    assert!(!node.home.path().join("control.sock").exists());
    let doctor = node.ask(&["doctor"]);
    let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(report.contains("ok    store"), "the store is looked at when the node is stopped: {report}");
}
