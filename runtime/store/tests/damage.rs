//! Damaged files, foreign files, second openers: an error that says what to do, never a panic, never wrong data.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cairn_store::{Op, Options, Read, Store, StoreError, Table};

const ENTRIES: u32 = 60;

fn value(number: u32) -> Vec<u8> {
    let len = if number.is_multiple_of(7) { 20_000 } else { 300 };
    number.to_be_bytes().into_iter().cycle().take(len).collect()
}

fn filled(dir: &Path) -> PathBuf {
    let store = Store::open(dir, Options::default()).expect("a fresh store opens");
    for number in 0..ENTRIES {
        store
            .commit(vec![Op::put(Table::Ledger, number.to_be_bytes(), value(number))])
            .expect("there is room");
    }
    drop(store);
    dir.join("store.redb")
}

/// Opens a damaged store. It may refuse; if it does not, everything is there and right.
fn must_refuse_or_be_right(dir: &Path, what: &str) -> bool {
    match Store::open(dir, Options::default()) {
        Ok(store) => {
            for number in 0..ENTRIES {
                let found = store.get(Table::Ledger, &number.to_be_bytes());
                assert!(found == Ok(Some(value(number))), "{what}: entry {number} is wrong");
            }
            assert!(store.check().expect("checkable").is_sound(), "{what}");
            false
        }
        Err(StoreError::Corrupt { .. } | StoreError::Newer { .. }) => true,
        Err(other) => unreachable!("{what}: {other}"),
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_or_harmless() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = filled(dir.path());
    let good = fs::read(&file).expect("readable");
    let mark = fs::read(dir.path().join("store.lock")).expect("readable");
    // A sample only: on a disk in memory the unit tests try thousands.
    let header = (0..320).step_by(16);
    let spread = (320..good.len()).step_by(good.len() / 30);
    let mut refused = 0_u32;
    for at in header.chain(spread) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&file, &bad).expect("writable");
        fs::write(dir.path().join("store.lock"), &mark).expect("writable");
        refused += u32::from(must_refuse_or_be_right(dir.path(), &format!("byte {at}")));
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_file_cut_short_or_emptied_or_foreign_is_refused_and_kept() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = filled(dir.path());
    let good = fs::read(&file).expect("readable");
    let mark = fs::read(dir.path().join("store.lock")).expect("readable");
    let mut damaged: Vec<Vec<u8>> =
        [0, 1, 100, 511, 512, 4095, 4096, 5000, good.len() / 2, good.len() - 4096, good.len() - 1]
            .map(|len| good[..len].to_vec())
            .into();
    damaged.push(vec![0; good.len()]);
    damaged.push(b"a letter to somebody, not a store".repeat(1000));
    damaged.push([good[..4096].to_vec(), vec![0xff; good.len() - 4096]].concat());
    for (number, bad) in damaged.into_iter().enumerate() {
        fs::write(&file, &bad).expect("writable");
        fs::write(dir.path().join("store.lock"), &mark).expect("writable");
        assert!(
            must_refuse_or_be_right(dir.path(), &format!("damage {number}")),
            "damage {number} was not noticed"
        );
        assert!(file.exists());
    }
}

#[test]
fn an_older_copy_of_the_file_is_refused_after_a_clean_end() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = filled(dir.path());
    let old = fs::read(&file).expect("readable");
    let store = Store::open(dir.path(), Options::default()).expect("a good store");
    store.commit(vec![Op::put(Table::Ledger, *b"new", *b"fact")]).expect("there is room");
    drop(store);
    fs::write(&file, old).expect("writable");
    let error = Store::open(dir.path(), Options::default()).expect_err("the newest part is gone");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("hint:"));
}

#[test]
fn a_damaged_file_is_set_aside_only_when_asked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = filled(dir.path());
    fs::write(&file, b"damage").expect("writable");
    Store::open(dir.path(), Options::default()).expect_err("damaged");
    assert_eq!(fs::read(&file).expect("kept"), b"damage");
    let aside = Store::set_aside(dir.path()).expect("a file to set aside");
    assert_eq!(fs::read(&aside).expect("kept"), b"damage");
    let store = Store::open(dir.path(), Options::default()).expect("a new start");
    assert_eq!(store.usage().entries(), 0);
    Store::set_aside(dir.path()).expect_err("the store is in use");
    drop(store);
    assert_ne!(Store::set_aside(dir.path()).expect("another file"), aside);
    Store::set_aside(dir.path()).expect_err("nothing is there");
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), Options::default()).expect("a fresh store opens");
    let error = Store::open(dir.path(), Options::default()).expect_err("in use");
    let StoreError::InUse { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, std::process::id().to_string());
    assert!(error.to_string().contains("hint:"));
    store.commit(vec![Op::put(Table::Seen, *b"a", *b"")]).expect("the first is not disturbed");
    drop(store);
    Store::open(dir.path(), Options::default()).expect("free again");
}

#[test]
fn a_store_of_a_newer_release_is_refused_as_it_is() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = filled(dir.path());
    {
        let database = redb::Database::open(&file).expect("our file");
        let txn = database.begin_write().expect("alone");
        let table = redb::TableDefinition::<&str, &[u8]>::new("store");
        txn.open_table(table)
            .expect("our table")
            .insert("format", 3_u32.to_be_bytes().as_slice())
            .expect("writable");
        txn.commit().expect("writable");
    }
    let error = Store::open(dir.path(), Options::default()).expect_err("newer");
    assert!(matches!(error, StoreError::Newer { found: 3, known: 2, .. }), "{error}");
}

#[test]
fn nobody_else_can_read_a_store() {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let dir = parent.path().join("deep/store");
    let file = filled(&dir);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&file), mode(&dir.join("store.lock"))), (0o700, 0o600, 0o600));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("ours");
    drop(Store::open(&dir, Options::default()).expect("a good store"));
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("file");
    fs::write(&path, b"").expect("writable");
    let error = Store::open(&path, Options::default()).expect_err("not a directory");
    assert!(error.to_string().contains("file"), "{error}");
}

#[test]
fn a_store_whose_file_was_taken_away_is_not_quietly_begun_anew() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::remove_file(filled(dir.path())).expect("ours");
    for _ in 0..2 {
        let error = Store::open(dir.path(), Options::default()).expect_err("everything is gone");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
    Store::set_aside(dir.path()).expect("the user says so");
    Store::open(dir.path(), Options::default()).expect("a new start");
}
