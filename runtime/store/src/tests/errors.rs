//! The disk fails at every change the store makes, once or for a while, and has no room at times.

use std::io::ErrorKind;

use super::disk::FaultyDisk;
use super::{commit_numbered, open, whole_batches};
use crate::{CommitError, FullCause, Op, Options, Priority, Read, ReadError, Store, Table};

const BATCHES: u32 = 12;

fn entry(number: u32) -> Vec<Op> {
    let value = number.to_be_bytes().repeat(match number % 4 {
        0 => 5000,
        2 => 70_000,
        _ => 100,
    });
    vec![
        Op::put(Table::Inbox, number.to_be_bytes(), value.clone()),
        Op::put(Table::Seen, number.to_be_bytes(), value),
    ]
}

/// Both entries of a batch, or neither.
fn is_there(store: &Store, number: u32) -> bool {
    let found = [Table::Inbox, Table::Seen].map(|table| store.get(table, &number.to_be_bytes()).unwrap());
    assert_eq!(found[0], found[1], "half of batch {number} is there");
    found[0].is_some()
}

fn commit_all(store: &Store) -> Vec<Result<(), CommitError>> {
    (0..BATCHES).map(|number| store.commit(entry(number))).collect()
}

fn changes_of_a_good_run() -> (u64, u64) {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    let first = disk.state().changes;
    assert!(commit_all(&store).iter().all(Result::is_ok));
    let last = disk.state().changes;
    (first, last)
}

#[test]
fn a_disk_may_fail_at_every_change_and_the_store_works_on() {
    let (first, last) = changes_of_a_good_run();
    println!("the disk fails at each of {} changes and syncs, in 4 ways", last - first);
    for at in first..last {
        for (times, kind) in [
            (1, ErrorKind::StorageFull),
            (1, ErrorKind::TimedOut),
            (7, ErrorKind::TimedOut),
            (40, ErrorKind::Other),
        ] {
            let disk = FaultyDisk::default();
            let store = open(&disk, Options::default()).unwrap();
            disk.fail(at..at + times, kind);
            let results = commit_all(&store);
            disk.state().failing = None;
            // What the disk holds for certain is enough for what was acknowledged.
            let after_cut = open(&FaultyDisk::with(disk.durable()), Options::default()).unwrap();
            for (number, result) in (0..).zip(&results) {
                assert!(
                    result.is_err() || is_there(&after_cut, number),
                    "change {at}, {kind:?}: {number} is lost"
                );
                assert!(is_there(&after_cut, number) || result.is_err());
            }
            // One who was refused may ask again, without opening the store himself.
            for number in 0..BATCHES {
                assert_eq!(store.commit(entry(number)), Ok(()), "change {at}, {times} times {kind:?}");
                assert!(is_there(&store, number));
            }
            assert!(store.check().unwrap().is_sound());
        }
    }
}

#[test]
fn a_compaction_may_fail_at_every_change_and_nothing_is_lost() {
    let filled = || {
        let disk = FaultyDisk::default();
        let store = open(&disk, Options::default()).unwrap();
        (0..15).for_each(|number| commit_numbered(&store, number).unwrap());
        (disk, store)
    };
    let (disk, store) = filled();
    let first = disk.state().changes;
    store.compact(&mut |_, _| {}).unwrap();
    let last = disk.state().changes;
    assert!(last > first);
    for at in 0..last - first {
        for kind in [ErrorKind::StorageFull, ErrorKind::TimedOut] {
            let (disk, store) = filled();
            let from = disk.state().changes;
            disk.fail(from + at..from + at + 2, kind);
            drop(store.compact(&mut |_, _| {}));
            disk.state().failing = None;
            commit_numbered(&store, 15).unwrap();
            assert_eq!(whole_batches(&store), 16, "change {at}, {kind:?}");
        }
    }
}

#[test]
fn one_bad_moment_of_the_disk_is_not_seen_from_outside() {
    let (first, last) = changes_of_a_good_run();
    for at in first..last {
        let disk = FaultyDisk::default();
        let store = open(&disk, Options::default()).unwrap();
        disk.fail(at..at + 1, ErrorKind::TimedOut);
        assert!(commit_all(&store).iter().all(Result::is_ok), "change {at}");
    }
}

#[test]
fn a_read_error_passes() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options { cache_bytes: 0, ..Options::default() }).unwrap();
    commit_numbered(&store, 0).unwrap();
    disk.state().reads_fail = true;
    assert!(matches!(store.get(Table::Meta, b"counter"), Err(ReadError::Io(_) | ReadError::Closed)));
    disk.state().reads_fail = false;
    commit_numbered(&store, 1).unwrap();
    assert_eq!(whole_batches(&store), 2);
}

#[test]
fn a_full_disk_is_reported_and_room_is_used_again() {
    let disk = FaultyDisk::default();
    disk.state().ballast = true;
    let store = open(&disk, Options::default()).unwrap();
    disk.state().size_max = Some(6 * 1024 * 1024);
    let value = vec![7; 60_000];
    let mut kept = 0_u32;
    let refused = loop {
        match store.commit(vec![Op::put(Table::Blobs, kept.to_be_bytes(), value.clone())]) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, CommitError::Full(FullCause::Disk));
    assert!(kept > 20, "{kept}");
    assert_eq!(store.usage().of(Table::Blobs).entries, u64::from(kept));
    // Asking again changes nothing on the disk as long as it is as full as it was.
    let changes = disk.state().changes;
    assert_eq!(store.commit(vec![Op::put(Table::Blobs, *b"x", value.clone())]), Err(refused));
    assert_eq!(disk.state().changes, changes);
    for number in 0..kept / 2 {
        assert_eq!(store.commit(vec![Op::delete(Table::Blobs, number.to_be_bytes())]), Ok(()));
    }
    assert_eq!(store.commit(vec![Op::put(Table::Blobs, *b"x", value.clone())]), Ok(()));
    for number in kept / 2..kept {
        assert_eq!(store.get(Table::Blobs, &number.to_be_bytes()).unwrap().as_ref(), Some(&value));
    }
}

#[test]
fn a_group_with_one_batch_too_large_for_the_disk_keeps_the_others() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    disk.state().size_max = Some(4 * 1024 * 1024);
    let (sender, receiver) = std::sync::mpsc::channel();
    for number in 0..9_u32 {
        let len = if number == 4 { 16 * 1024 * 1024 } else { 100 };
        let sender = sender.clone();
        let batch = vec![Op::put(Table::Bundles, number.to_be_bytes(), vec![1; len])];
        // The size of the group is not under our control: the first may be written alone.
        store.submit_with(
            batch,
            Priority::Normal,
            Box::new(move |result| sender.send((number, result)).unwrap()),
        );
    }
    let mut results: Vec<_> = (0..9).map(|_| receiver.recv().unwrap()).collect();
    results.sort_by_key(|(number, _)| *number);
    assert_eq!(results[4].1, Err(CommitError::Full(FullCause::Disk)));
    assert!(results[..4].iter().all(|(_, result)| result.is_ok()), "{results:?}");
    // The disk is known to be full now; shrinking is what helps.
    store.commit(vec![Op::delete(Table::Bundles, 0_u32.to_be_bytes())]).unwrap();
    store.commit(vec![Op::put(Table::Bundles, *b"small", vec![1; 100])]).unwrap();
}

#[test]
fn what_was_acknowledged_is_never_silently_older_after_an_error() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    commit_numbered(&store, 0).unwrap();
    let old = disk.durable();
    commit_numbered(&store, 1).unwrap();
    // The disk forgets what it said it had, and then fails.
    {
        let mut state = disk.state();
        let changes = state.changes;
        state.failing = Some((changes..changes + 1, ErrorKind::Other));
    }
    disk.replace(old);
    assert_eq!(commit_numbered(&store, 3), Err(CommitError::Corrupt));
    assert_eq!(store.get(Table::Meta, b"counter"), Err(ReadError::Corrupt));
    assert_eq!(commit_numbered(&store, 3), Err(CommitError::Corrupt));
}
