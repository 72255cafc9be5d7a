//! Values rot, readers stay, orphans are left: what the store does about it.

use core::ops::ControlFlow;
use core::time::Duration;

use super::disk::FaultyDisk;
use super::{commit_numbered, expected_files, open, segment_files, whole_batches};
use crate::{Op, Options, Read, ReadError, Store, Table};

fn long(byte: u8) -> Vec<u8> {
    vec![byte; 300_000]
}

fn put(key: &str, value: Vec<u8>) -> Vec<Op> {
    vec![Op::put(Table::Bundles, key.as_bytes(), value)]
}

fn rot(disk: &FaultyDisk, path: &str) {
    disk.state().current.content_mut(path).unwrap()[77_777] ^= 1;
}

/// Slices of no time until the end is reached; the keys that were found damaged.
fn scrub(store: &Store) -> Vec<(Table, Vec<u8>)> {
    let mut found = Vec::new();
    for _ in 0..1000 {
        let report = store.scrub_step(Duration::ZERO).unwrap();
        assert!(report.checked <= 1);
        found.extend(report.damaged);
        if report.done {
            return found;
        }
    }
    panic!("the scrub does not end");
}

#[test]
fn a_rotten_segment_file_is_found_quarantined_and_healed() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    for (key, byte) in [("a", 1), ("b", 2), ("same as a", 1)] {
        store.commit(put(key, long(byte))).unwrap();
    }
    assert!(scrub(&store).is_empty());
    let files = segment_files(&disk);
    assert_eq!(files.len(), 2);
    rot(&disk, &crate::segments::path(blake3::hash(&long(1)).as_bytes()));
    let bad = [(Table::Bundles, b"a".to_vec()), (Table::Bundles, b"same as a".to_vec())];
    assert_eq!(store.get(Table::Bundles, b"a"), Err(ReadError::Damaged));
    assert_eq!(scrub(&store), bad);
    assert_eq!(store.damaged().unwrap(), bad);
    assert_eq!(store.get(Table::Bundles, b"same as a"), Err(ReadError::Damaged));
    assert_eq!(store.read_range(Table::Bundles, b"a", 5, 5), Err(ReadError::Damaged));
    assert_eq!(store.get(Table::Bundles, b"b").unwrap(), Some(long(2)));
    assert!(segment_files(&disk).iter().any(|name| name.starts_with("damaged/")));
    // A walk passes over what is damaged.
    let mut seen = Vec::new();
    store.for_each(Table::Bundles, &mut |key, _| seen.push(key.to_vec())).unwrap();
    assert_eq!(seen, [b"b".to_vec()]);
    // It is known after a restart as well.
    drop(store);
    let store = open(&disk, Options::default()).unwrap();
    assert_eq!(store.damaged().unwrap(), bad);
    assert!(!store.check().unwrap().is_sound());
    // Writing one of the keys again heals both.
    store.commit(put("a", long(1))).unwrap();
    for key in ["a", "same as a"] {
        assert_eq!(store.get(Table::Bundles, key.as_bytes()).unwrap(), Some(long(1)));
    }
    assert!(store.damaged().unwrap().is_empty() && scrub(&store).is_empty());
    assert!(store.check().unwrap().is_sound());
    assert_eq!(segment_files(&disk), files);
}

#[test]
fn a_damaged_value_may_be_deleted_and_a_missing_file_is_damage() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    store.commit(put("a", long(1))).unwrap();
    let path = crate::segments::path(blake3::hash(&long(1)).as_bytes());
    disk.state().current.content_mut(&path).unwrap().truncate(100_000);
    assert_eq!(store.read_range(Table::Bundles, b"a", 5, 5), Err(ReadError::Damaged));
    assert_eq!(scrub(&store).len(), 1);
    store.commit(vec![Op::delete(Table::Bundles, *b"a")]).unwrap();
    assert_eq!(store.get(Table::Bundles, b"a"), Ok(None));
    assert!(store.damaged().unwrap().is_empty());
    assert!(store.check().unwrap().is_sound());
    assert!(segment_files(&disk).is_empty());
}

#[test]
fn a_rotten_value_within_the_file_is_found_and_healed() {
    for len in [3000, 50_000] {
        let disk = FaultyDisk::default();
        let store = open(&disk, Options { cache_bytes: 0, ..Options::default() }).unwrap();
        store.commit(put("a", vec![0xa5; len])).unwrap();
        store.commit(put("b", vec![0x5a; len])).unwrap();
        {
            let mut state = disk.state();
            let run = vec![0xa5; 2000];
            let places = state.current.redb.windows(2000).enumerate().filter(|(_, w)| *w == run);
            let places: Vec<_> = places.map(|(at, _)| at + 1000).step_by(700).collect();
            assert!(!places.is_empty());
            places.into_iter().for_each(|at| state.current.redb[at] ^= 4);
        }
        assert_eq!(store.get(Table::Bundles, b"a"), Err(ReadError::Damaged));
        assert_eq!(store.get(Table::Bundles, b"b").unwrap(), Some(vec![0x5a; len]));
        assert_eq!(scrub(&store), [(Table::Bundles, b"a".to_vec())]);
        assert_eq!(store.damaged().unwrap().len(), 1);
        store.commit(put("a", vec![0xa5; len])).unwrap();
        assert!(store.damaged().unwrap().is_empty() && scrub(&store).is_empty());
        // The rotten page is no longer part of the file: every page that is, is sound again.
        assert!(store.check().unwrap().is_sound());
    }
}

#[test]
fn a_scrub_goes_on_where_it_stopped() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    for key in ["a", "b", "c", "d"] {
        store.commit(put(key, long(key.as_bytes()[0]))).unwrap();
    }
    assert_eq!(store.scrub_step(Duration::from_secs(60)).unwrap().checked, 4);
    let first = store.scrub_step(Duration::ZERO).unwrap();
    assert!(!first.done);
    drop(store);
    let store = open(&disk, Options::default()).unwrap();
    store.scrub_from(&first.position);
    let rest = store.scrub_step(Duration::from_secs(60)).unwrap();
    assert_eq!((rest.checked, rest.done, rest.position), (3, true, Vec::new()));
    store.scrub_from(b"nonsense");
    assert_eq!(store.scrub_step(Duration::from_secs(60)).unwrap().checked, 4);
}

#[test]
fn a_reader_keeps_the_files_it_may_still_need() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    for key in ["a", "b", "c"] {
        store.commit(put(key, long(key.as_bytes()[0]))).unwrap();
    }
    let mut seen = Vec::new();
    store
        .for_each_from(Table::Bundles, b"", &mut |key, value| {
            seen.push((key.to_vec(), value.len()));
            for key in ["a", "b", "c"] {
                store.commit(vec![Op::delete(Table::Bundles, key.as_bytes())]).unwrap();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|(_, len)| *len == 300_000));
    assert!(store.check().unwrap().is_sound());
    assert!(segment_files(&disk).is_empty());
}

#[test]
fn a_value_of_which_the_last_copy_is_deleted_and_written_again_at_once_stays() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    store.commit(put("a", long(1))).unwrap();
    let delete = || vec![Op::delete(Table::Bundles, *b"a")];
    store.commit([delete(), put("b", long(1)), delete()].concat()).unwrap();
    store
        .commit([put("a", long(1)), vec![Op::delete(Table::Bundles, *b"b")], put("a", long(1))].concat())
        .unwrap();
    for _ in 0..20 {
        let (sender, receiver) = std::sync::mpsc::channel();
        for batch in [delete(), put("a", long(1)), delete(), put("a", long(1))] {
            let sender = sender.clone();
            store.submit(batch, Box::new(move |result| sender.send(result).unwrap()));
        }
        (0..4).for_each(|_| receiver.recv().unwrap().unwrap());
        assert_eq!(store.get(Table::Bundles, b"a").unwrap(), Some(long(1)));
    }
    assert!(store.check().unwrap().is_sound());
    assert_eq!(segment_files(&disk).len(), 1);
}

#[test]
fn a_compaction_gives_room_back_and_keeps_everything() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    for number in 0..200_u32 {
        store.commit(vec![Op::put(Table::Ledger, number.to_be_bytes(), vec![7; 20_000])]).unwrap();
    }
    for number in 0..200_u32 {
        store.commit(vec![Op::delete(Table::Ledger, number.to_be_bytes())]).unwrap();
    }
    (0..20).for_each(|number| commit_numbered(&store, number).unwrap());
    let mut steps = Vec::new();
    let report = store.compact(&mut |done, all| steps.push((done, all))).unwrap();
    assert!(report.bytes_after < report.bytes_before / 2, "{report:?}");
    assert_eq!(steps.len(), 257);
    assert_eq!(steps.last(), Some(&(1, 1)));
    assert_eq!(whole_batches(&store), 20);
    assert_eq!(segment_files(&disk), expected_files(20));
    drop(store);
    assert_eq!(whole_batches(&open(&disk, Options::default()).unwrap()), 20);
}

#[test]
fn a_read_of_a_segment_file_that_fails_is_no_damage() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    store.commit(put("a", long(1))).unwrap();
    disk.state().reads_fail = true;
    assert!(matches!(store.get(Table::Bundles, b"a"), Err(ReadError::Io(_))));
    disk.state().reads_fail = false;
    assert_eq!(store.get(Table::Bundles, b"a").unwrap(), Some(long(1)));
    assert!(store.damaged().unwrap().is_empty());
}
