//! A disk that is full, and one that has room again.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use cairn_node::control::api::Request;

use super::jobs::{ladder, write_job};
use super::node::{Node, ON_LOOPBACK, acquaint, until};
use super::space::Space;

/// Fills the disk to the last byte.
fn fill(home: &Path) -> PathBuf {
    let path = home.join("somebody-elses-film");
    let mut file = File::create(&path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
    path
}

/// Sends until the node says that there is no room; the texts that it took.
fn send_until_refused(one: &Node, two: &Node, label: &str) -> Vec<String> {
    let mut taken = Vec::new();
    loop {
        assert!(taken.len() < 5_000, "it takes everything");
        let text = format!("{label} {} {}", taken.len(), "x".repeat(2_000));
        match one.send(two, &text) {
            Ok(()) => taken.push(text),
            Err(refusal) => {
                assert!(refusal.contains("full"), "{refusal}");
                return taken;
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_what_is_new_and_keeps_what_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("one");
    fs::create_dir(&home).unwrap();
    let setup = format!("mount -t tmpfs -o size=12m,mode=700 none {}", home.display());
    let Some(space) = Space::new("-m", &setup) else { return };
    let seen = PathBuf::from(format!("/proc/{}/root{}", space.pid(), home.display()));
    let one = Node::at(home, root.path(), "one").inside(&space.enter("-m"), Some(seen.clone()));
    one.configure(ON_LOOPBACK);
    let two = Node::new(root.path(), "two", ON_LOOPBACK);
    one.start();
    two.start();
    acquaint(&one, &two);
    one.ask(&Request::BoardCreate { name: "relief".into() });
    two.kill();

    let film = fill(&seen);
    let mut taken = send_until_refused(&one, &two, "full");
    // It is refused, but it is not dead: it answers, says what is wrong, and refuses again.
    let warnings = until("the status tells", || {
        let warnings = one.status().warnings;
        if warnings.is_empty() { Err(one.log()) } else { Ok(warnings) }
    });
    assert!(warnings.iter().any(|text| text.contains("free disk space")), "{warnings:?}");
    let file = write_job(&root.path().join("job"), &ladder()[..1]);
    let job = Request::JobPost { board: "relief".into(), file, key: "job".into() };
    let (message, hint) = one.refuses(&job);
    assert!(message.contains("full") && hint.is_some(), "{message}");
    one.must_be_alive();

    // With room it goes on by itself, and the same orders can be repeated.
    fs::remove_file(&film).unwrap();
    until("there is room again", || one.send(&two, "afterwards"));
    taken.push("afterwards".to_owned());
    one.ask(&job);
    assert_eq!(one.status().warnings, [""; 0]);

    // A crash on a full disk loses nothing either.
    let film = fill(&seen);
    taken.extend(send_until_refused(&one, &two, "full again"));
    one.kill();
    one.spawn();
    one.settles();
    one.kill();
    fs::remove_file(&film).unwrap();
    one.start();
    two.start();
    until("everything acknowledged arrives", || {
        let here = two.texts();
        let missing = taken.iter().filter(|text| !here.contains(text)).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are missing", taken.len())) }
    });
    // What was refused may have been kept for later; nothing comes twice.
    let mut texts = two.texts();
    let count = texts.len();
    texts.dedup();
    assert_eq!(texts.len(), count);
    assert!(count <= taken.len() + 2, "{count} messages of {} orders", taken.len() + 2);
}
