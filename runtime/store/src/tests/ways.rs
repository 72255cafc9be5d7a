//! Limits, replies and other ways in which a store is used.

use std::sync::{Arc, Mutex, mpsc};

use super::disk::FaultyDisk;
use super::open;
use crate::{CommitError, FullCause, KEY_BYTES_MAX, Op, Options, Priority, Read, Store, Table};

fn small() -> Options {
    Options { size_max: 1000, reserve: 200, ..Options::default() }
}

fn put(key: &str, len: usize) -> Vec<Op> {
    vec![Op::put(Table::Bundles, key.as_bytes(), vec![1; len])]
}

#[test]
fn the_limit_holds_to_the_byte_and_the_reserve_is_for_what_matters() {
    let store = open(&FaultyDisk::default(), small()).unwrap();
    let full = Err(CommitError::Full(FullCause::Limit));
    assert_eq!(store.commit(put("a", 800)), full);
    assert_eq!(store.commit(put("a", 799)), Ok(()));
    assert_eq!(store.commit(put("b", 0)), full);
    assert_eq!(store.commit_with(put("b", 200), Priority::High), full);
    assert_eq!(store.commit_with(put("b", 199), Priority::High), Ok(()));
    assert_eq!(store.usage().bytes(), 1000);
    // Over the normal limit, but no larger than before.
    assert_eq!(store.commit(put("b", 199)), Ok(()));
    assert_eq!(store.commit([put("c", 99), vec![Op::delete(Table::Bundles, *b"b")]].concat()), Ok(()));
    assert_eq!(
        store.commit(vec![Op::delete(Table::Bundles, *b"a"), Op::delete(Table::Bundles, *b"a")]),
        Ok(())
    );
    assert_eq!(store.usage().bytes(), 100);
    assert_eq!(store.usage().of(Table::Bundles).entries, 1);
}

#[test]
fn a_batch_with_one_bad_key_changes_nothing() {
    let store = open(&FaultyDisk::default(), Options::default()).unwrap();
    let mut batch = put("good", 10);
    batch.push(Op::put(Table::Seen, vec![0; KEY_BYTES_MAX + 1], *b""));
    assert_eq!(store.commit(batch), Err(CommitError::TooLarge));
    assert_eq!(store.get(Table::Bundles, b"good"), Ok(None));
    assert_eq!(store.commit(vec![Op::put(Table::Seen, vec![0; KEY_BYTES_MAX], *b"")]), Ok(()));
    assert_eq!(store.commit(Vec::new()), Ok(()));
    assert_eq!(store.commit(vec![Op::put(Table::Seen, *b"", *b"")]), Ok(()));
    assert_eq!(store.get(Table::Seen, b""), Ok(Some(Vec::new())));
}

#[test]
fn replies_come_in_order_after_the_batch_can_be_read() {
    let disk = FaultyDisk::default();
    let store = Arc::new(open(&disk, Options::default()).unwrap());
    let (sender, receiver) = mpsc::channel();
    for number in 0..500_u32 {
        let (reader, sender) = (Arc::clone(&store), sender.clone());
        store.submit(
            vec![Op::put(Table::Seen, number.to_be_bytes(), *b"")],
            Box::new(move |result| {
                let there = reader.get(Table::Seen, &number.to_be_bytes()).unwrap().is_some();
                sender.send((number, result, there)).unwrap();
            }),
        );
    }
    let replies: Vec<_> = (0..500).map(|_| receiver.recv().unwrap()).collect();
    assert_eq!(replies, (0..500).map(|number| (number, Ok(()), true)).collect::<Vec<_>>());
    let syncs = disk.state().log.iter().filter(|event| matches!(event, super::disk::Event::Sync)).count();
    assert!(syncs < 400, "{syncs} syncs for 500 batches: they did not share transactions");
}

#[test]
fn a_reply_that_panics_or_commits_harms_nobody() {
    let store = Arc::new(open(&FaultyDisk::default(), Options::default()).unwrap());
    store.submit(put("a", 1), Box::new(|_| panic!("a fault of the caller, part of the test")));
    let (sender, receiver) = mpsc::channel();
    let inner = Arc::clone(&store);
    store.submit(put("b", 1), Box::new(move |_| sender.send(inner.commit(put("c", 1))).unwrap()));
    assert_eq!(receiver.recv(), Ok(Err(CommitError::Busy)));
    assert_eq!(store.commit(put("d", 1)), Ok(()));
}

#[test]
fn the_last_owner_may_be_a_reply() {
    let disk = FaultyDisk::default();
    let store = Arc::new(open(&disk, Options::default()).unwrap());
    let (go, wait) = mpsc::channel::<()>();
    let (sender, receiver) = mpsc::channel();
    let owner = Arc::clone(&store);
    store.submit(
        put("a", 1),
        Box::new(move |result| {
            wait.recv().unwrap();
            drop(owner);
            sender.send(result).unwrap();
        }),
    );
    drop(store);
    go.send(()).unwrap();
    assert_eq!(receiver.recv(), Ok(Ok(())));
}

#[test]
fn what_waits_is_written_before_the_store_closes() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    let replies = Arc::new(Mutex::new(0));
    for number in 0..50_u32 {
        let replies = Arc::clone(&replies);
        store.submit(
            vec![Op::put(Table::Seen, number.to_be_bytes(), *b"")],
            Box::new(move |result| {
                result.unwrap();
                *replies.lock().unwrap() += 1;
            }),
        );
    }
    store.close();
    assert_eq!(*replies.lock().unwrap(), 50);
    assert_eq!(open(&disk, Options::default()).unwrap().usage().entries(), 50);
}

#[test]
fn a_queue_that_is_full_says_so() {
    let store = Arc::new(open(&FaultyDisk::default(), Options::default()).unwrap());
    let (go, wait) = mpsc::channel::<()>();
    store.submit(put("first", 1), Box::new(move |_| wait.recv().unwrap()));
    let (sender, receiver) = mpsc::channel();
    // The writer waits in the first reply, so that these stay in the queue.
    for number in 0..5 {
        let sender = sender.clone();
        store.submit(
            put("big", 20 * 1024 * 1024),
            Box::new(move |result| sender.send((number, result)).unwrap()),
        );
    }
    go.send(()).unwrap();
    let replies: Vec<_> = (0..5).map(|_| receiver.recv().unwrap()).collect();
    assert!(replies[..3].iter().all(|(_, result)| result.is_ok()), "{replies:?}");
    assert_eq!(replies[4], (4, Err(CommitError::Busy)));
    assert_eq!(store.commit(put("after", 1)), Ok(()));
}

#[test]
fn a_check_finds_a_blob_that_is_not_what_its_key_says() {
    let store: Store = open(&FaultyDisk::default(), Options::default()).unwrap();
    let content = vec![9; 200_000];
    let key = blake3::hash(&content).as_bytes().to_vec();
    store.commit(vec![Op::put(Table::Blobs, key, content)]).unwrap();
    let report = store.check().unwrap();
    assert!(report.is_sound() && !report.repaired, "{report:?}");
    store.commit(vec![Op::put(Table::Blobs, vec![1; 32], *b"something else")]).unwrap();
    let report = store.check().unwrap();
    assert_eq!(report.wrong_blobs, [vec![1; 32]]);
    assert!(!report.is_sound());
}

#[test]
fn the_file_is_at_most_four_times_as_large_as_what_is_in_it() {
    for (len, entries) in [(100_usize, 20_000_u32), (1024, 6000), (9000, 600), (100_000, 100)] {
        let disk = FaultyDisk::default();
        let store = open(&disk, Options::default()).unwrap();
        for first in (0..entries).step_by(500) {
            let batch = (first..entries.min(first + 500)).map(|number| {
                let key = blake3::hash(&number.to_be_bytes()).as_bytes().to_vec();
                Op::put(Table::Bundles, key, vec![1; len])
            });
            store.commit(batch.collect()).unwrap();
        }
        let inside = store.usage().bytes();
        drop(store);
        let file = u64::try_from(disk.durable().redb.len()).unwrap();
        assert!(file <= inside * 4, "{len} bytes each: {inside} bytes make a file of {file}");
    }
}
