//! A real file system without room: a small tmpfs in a mount namespace of a child process.

use std::fs;
use std::path::Path;
use std::process::Command;

use cairn_store::{CommitError, FullCause, Op, Options, Read, Store, Table};

const DIR: &str = "CAIRN_STORE_FULL_TEST_DIR";

fn value(number: u32) -> Vec<u8> {
    number.to_be_bytes().into_iter().cycle().take(20_000).collect()
}

fn fill(store: &Store) -> u32 {
    for number in 0_u32.. {
        match store.commit(vec![Op::put(Table::Inbox, number.to_be_bytes(), value(number))]) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, CommitError::Full(FullCause::Disk));
                return number;
            }
        }
    }
    unreachable!("the disk is small")
}

fn all_there(store: &Store, numbers: core::ops::Range<u32>) {
    for number in numbers {
        assert!(store.get(Table::Inbox, &number.to_be_bytes()).expect("readable") == Some(value(number)));
    }
}

/// Runs in the child, where `dir` is a file system of a few megabytes.
fn on_a_small_disk(dir: &Path) {
    let store_dir = dir.join("store");
    let store = Store::open(&store_dir, Options::default()).expect("room for an empty store");
    let kept = fill(&store);
    assert!(kept > 10, "{kept}");
    all_there(&store, 0..kept);

    // Others take the last byte as well; a new start must still work, and so must making room.
    drop(store);
    let mut others = fs::File::create(dir.join("others")).expect("a name is free");
    while std::io::Write::write(&mut others, &[1; 512]).is_ok() {}
    let store = Store::open(&store_dir, Options::default()).expect("a full disk can be opened");
    all_there(&store, 0..kept);
    assert_eq!(
        store.commit(vec![Op::put(Table::Inbox, *b"large", vec![1; 3_000_000])]),
        Err(CommitError::Full(FullCause::Disk))
    );
    for number in 0..kept / 2 {
        store
            .commit(vec![Op::delete(Table::Inbox, number.to_be_bytes())])
            .expect("deleting needs no new room");
    }
    all_there(&store, kept / 2..kept);
    store
        .commit(vec![Op::put(Table::Inbox, 0_u32.to_be_bytes(), value(0))])
        .expect("there is room in the file");

    // The others leave: the store recovers by itself.
    fs::remove_file(dir.join("others")).expect("ours");
    store.commit(vec![Op::put(Table::Inbox, 1_u32.to_be_bytes(), value(1))]).expect("there is room again");
    all_there(&store, 0..2);
    all_there(&store, kept / 2..kept);
    assert!(store.check().expect("checkable").is_sound());
}

#[test]
fn a_full_disk_loses_nothing_and_stops_nothing() {
    if let Some(dir) = std::env::var_os(DIR) {
        on_a_small_disk(Path::new(&dir));
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let script = format!(
        "mount -t tmpfs -o size=6m tmpfs '{0}' || exit 77; exec '{1}' a_full_disk_loses_nothing_and_stops_nothing --exact --nocapture",
        dir.path().display(),
        std::env::current_exe().expect("this test").display()
    );
    let status = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .env(DIR, dir.path())
        .status();
    match status.map(|status| status.code()) {
        Ok(Some(0)) => {}
        Ok(Some(1 | 77)) if !can_unshare() => say("skipped: no mount namespace can be had here"),
        Ok(Some(77)) => say("skipped: a tmpfs cannot be mounted here"),
        Err(error) => say(&format!("skipped: `unshare` is not there ({error})")),
        Ok(code) => panic!("the child ended with {code:?}"),
    }
}

fn can_unshare() -> bool {
    Command::new("unshare")
        .args(["--mount", "--map-root-user", "true"])
        .status()
        .is_ok_and(|status| status.success())
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn say(text: &str) {
    eprintln!("{text}");
}
