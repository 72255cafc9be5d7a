//! One identity in two places, and one data directory for two processes.

use std::fs;

use super::node::{Node, ON_LOOPBACK, acquaint, meet, until};

#[test]
fn two_nodes_with_one_identity_are_told_when_they_meet_the_same_peer() {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| Node::new(root.path(), name, ON_LOOPBACK));
    one.start();
    two.start();
    acquaint(&one, &two);
    meet(&one, &two);
    one.send(&two, "before").unwrap();
    two.receives(&["before"]);
    one.stop();

    // Somebody "makes a backup" and starts it.
    let copy = Node::new(root.path(), "copy", ON_LOOPBACK);
    for entry in ["identity", "identity.key", "store", "store/store.redb", "store/store.lock"] {
        let (from, to) = (one.home.join(entry), copy.home.join(entry));
        if from.is_dir() {
            fs::create_dir(&to).unwrap();
        } else if from.is_file() {
            fs::copy(&from, &to).unwrap();
        }
    }
    one.start();
    copy.start();
    assert_eq!(one.id(), copy.id(), "the copy took the key along");
    let told = |node: &Node| {
        let warnings = node.status().warnings;
        let of_twin = warnings.iter().any(|text| text.contains("identity") && text.contains("hint: "));
        if of_twin { Ok(()) } else { Err(format!("{}: {warnings:?}", node.name)) }
    };
    until("one of them knows", || told(&one).or_else(|_| told(&copy)));
    let replaced = two.counter("links replaced by a newer one of the same peer");
    assert!(replaced > 0);

    // When the copy is gone, everything goes on.
    copy.stop();
    meet(&one, &two);
    one.send(&two, "after").unwrap();
    two.receives(&["after", "before"]);
}

#[test]
fn a_node_that_was_killed_is_not_taken_for_a_twin() {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| Node::new(root.path(), name, ON_LOOPBACK));
    one.start();
    two.start();
    acquaint(&one, &two);
    for _ in 0..3 {
        meet(&one, &two);
        one.kill();
        one.start();
        one.send(&two, &format!("start {}", one.status().pid)).unwrap();
    }
    meet(&one, &two);
    assert_eq!(one.status().warnings, [""; 0]);
    assert_eq!(two.status().warnings, [""; 0]);
}

#[test]
fn one_data_directory_serves_one_process() {
    let root = tempfile::tempdir().unwrap();
    let one = Node::new(root.path(), "one", ON_LOOPBACK);
    one.start();
    let talk = one.must_not_start();
    assert!(talk.contains("already runs in"), "{talk}");
    one.must_be_alive();
    one.status();
}
