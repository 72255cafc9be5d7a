//! Segment files and copies of a store on a real disk.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cairn_store::{Op, Options, Read, ReadError, Store, StoreError, Table};

fn value(number: u32) -> Vec<u8> {
    let len =
        [10, 3000, 50_000, 300_000, 1_500_000].into_iter().cycle().nth(usize::try_from(number).unwrap());
    number.to_be_bytes().into_iter().cycle().take(len.unwrap()).collect()
}

fn filled(dir: &Path) -> Store {
    let store = Store::open(dir, Options::default()).unwrap();
    for number in 0..20_u32 {
        let table = if number % 2 == 0 { Table::Inbox } else { Table::Index };
        store.commit(vec![Op::put(table, number.to_be_bytes(), value(number))]).unwrap();
    }
    store
}

fn assert_filled(store: &Store) {
    for number in 0..20_u32 {
        let table = if number % 2 == 0 { Table::Inbox } else { Table::Index };
        assert!(store.get(table, &number.to_be_bytes()).unwrap() == Some(value(number)), "{number}");
    }
    assert_eq!(store.usage().entries(), 20);
    assert!(store.check().unwrap().is_sound());
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn an_export_is_a_store_with_everything_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("store"));
    let copy_dir = dir.path().join("copy");
    let mut steps = Vec::new();
    let report = store.export(&copy_dir, &mut |done, all| steps.push((done, all))).unwrap();
    assert_eq!((report.usage, report.damaged.len()), (store.usage(), 0));
    assert_eq!(steps.last(), Some(&(store.usage().bytes(), store.usage().bytes())));
    let copy = Store::open(&copy_dir, Options::default()).unwrap();
    assert_filled(&copy);
    assert_filled(&store);
    drop(copy);
    let again = store.export(&copy_dir, &mut |_, _| {}).unwrap_err();
    assert!(matches!(again, StoreError::Exists { .. }), "{again}");
}

#[test]
fn segment_files_are_private_and_go_with_their_values() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let files = files_below(&dir.path().join("segments"));
    assert_eq!(files.len(), 8);
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(blake3::hash(&fs::read(file).unwrap()).to_hex().as_str(), name);
        assert_eq!(file.parent().unwrap().file_name().unwrap().to_str(), Some(&name[..2]));
    }
    fs::write(dir.path().join("segments/ab.txt"), b"not ours").unwrap();
    for number in 0..20_u32 {
        let table = if number % 2 == 0 { Table::Inbox } else { Table::Index };
        store.commit(vec![Op::delete(table, number.to_be_bytes())]).unwrap();
    }
    assert!(store.check().unwrap().is_sound());
    assert_eq!(files_below(&dir.path().join("segments")).len(), 1);
}

#[test]
fn orphans_are_gone_after_the_next_opening_without_being_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let count = files_below(&dir.path().join("segments")).len();
    let content = vec![3; 300_000];
    let name = blake3::hash(&content).to_hex();
    let bucket = dir.path().join("segments").join(&name[..2]);
    fs::create_dir_all(&bucket).unwrap();
    fs::write(bucket.join(name.as_str()), &content).unwrap();
    fs::write(bucket.join(format!("{name}.new")), b"half").unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let report = store.compact(&mut |_, _| {}).unwrap();
    assert!(report.orphans <= 2);
    assert_eq!(files_below(&dir.path().join("segments")).len(), count);
    assert_filled(&store);
}

#[test]
fn damaged_values_are_not_exported_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("store"));
    let name = blake3::hash(&value(3)).to_hex();
    fs::write(dir.path().join("store/segments").join(&name[..2]).join(name.as_str()), vec![0; 300_000])
        .unwrap();
    let report = store.export(dir.path().join("copy"), &mut |_, _| {}).unwrap();
    assert_eq!(report.damaged, [(Table::Index, 3_u32.to_be_bytes().to_vec())]);
    assert_eq!(report.usage.entries(), 19);
    assert_eq!(store.get(Table::Index, &3_u32.to_be_bytes()), Err(ReadError::Damaged));
    let copy = Store::open(dir.path().join("copy"), Options::default()).unwrap();
    assert!(copy.check().unwrap().is_sound());
    assert_eq!(copy.get(Table::Index, &3_u32.to_be_bytes()), Ok(None));
}

#[test]
fn a_store_set_aside_keeps_its_segment_files() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let aside = Store::set_aside(dir.path()).unwrap();
    drop(Store::open(dir.path(), Options::default()).unwrap());
    let segments = aside.with_extension("segments");
    assert_eq!(files_below(&segments).len(), 8);
    // Put back together it is the store it was.
    fs::rename(&aside, dir.path().join("store.redb")).unwrap();
    drop(fs::remove_dir_all(dir.path().join("segments")));
    fs::rename(&segments, dir.path().join("segments")).unwrap();
    fs::remove_file(dir.path().join("store.lock")).unwrap();
    assert_filled(&Store::open(dir.path(), Options::default()).unwrap());
}
