//! A store that is damaged while the node is stopped.

use std::fs;
use std::path::PathBuf;

use super::node::{Node, OFFLINE, acquaint};
use super::person::Dice;

struct Stored {
    root: tempfile::TempDir,
    node: Node,
    file: PathBuf,
    good: Vec<u8>,
}

/// A stopped node that has received something.
fn stored() -> Stored {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| Node::new(root.path(), name, OFFLINE));
    one.start();
    two.start();
    acquaint(&one, &two);
    let stick = root.path().join("stick");
    fs::create_dir(&stick).unwrap();
    for number in 0..20 {
        one.send(&two, &format!("message {number}")).unwrap();
    }
    one.export(&stick, &two);
    two.import(&stick);
    assert_eq!(two.texts().len(), 20);
    two.stop();
    let file = two.home.join("store/store.redb");
    let good = fs::read(&file).unwrap();
    Stored { root, node: two, file, good }
}

#[test]
fn a_damaged_store_is_refused_with_a_hint_and_left_as_it_is() {
    let Stored { root: _root, node, file, good } = stored();
    let mut magic = good.clone();
    magic[0] ^= 1;
    let damages = [
        ("empty", Vec::new()),
        ("a stump", good[..100].to_vec()),
        ("one page", good[..4096].to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("zeros", vec![0; good.len()]),
        ("a letter", b"a letter to somebody, not a store".repeat(1_000)),
        ("no pages", [&good[..4096], &vec![0xff; good.len() - 4096][..]].concat()),
        ("a bit of the magic number", magic),
    ];
    for (what, bad) in damages {
        eprintln!("damage: {what}");
        fs::write(&file, &bad).unwrap();
        let talk = node.must_not_start();
        assert!(talk.contains("store"), "{talk}");
        assert!(
            fs::read(&file).unwrap() == bad,
            "the file is evidence, and perhaps all that is left: {talk}"
        );
        let doctor = node.cairn(&["doctor"]);
        let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert_eq!(doctor.status.code(), Some(1), "{report}");
        assert!(report.lines().any(|line| line.starts_with("FAIL  store")), "{report}");
        assert!(report.contains("hint: "), "{report}");
        assert!(fs::read(&file).unwrap() == bad, "doctor only looks");
    }
    fs::write(&file, &good).unwrap();
    node.start();
    assert_eq!(node.texts().len(), 20, "with the backup back, everything is there");
}

#[test]
fn a_flipped_bit_anywhere_never_makes_a_node_panic_or_tell_what_was_not_sent() {
    let Stored { root: _root, node, file, good } = stored();
    let mut dice = Dice::new(5);
    for _ in 0..12 {
        let at = dice.below(good.len());
        let mut bad = good.clone();
        bad[at] ^= 1 << dice.below(8);
        fs::write(&file, &bad).unwrap();
        let doctor = node.cairn(&["doctor"]);
        let talk = String::from_utf8_lossy(&doctor.stderr).into_owned();
        assert!(matches!(doctor.status.code(), Some(0 | 1)), "byte {at}: {talk}");
        assert!(!talk.contains("panicked"), "byte {at}: {talk}");
        node.spawn();
        node.settles();
        for message in node.try_inbox() {
            assert!(message.text.starts_with("message "), "byte {at}: {message:?}");
        }
        node.kill();
        assert!(!node.log().contains("panicked"), "byte {at}: {}", node.log());
    }
}
