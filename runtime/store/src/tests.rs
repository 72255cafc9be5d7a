//! Power cuts, failing disks and a simple model, on a disk in memory that does what it is told.

mod cuts;
mod damage;
mod disk;
mod errors;
mod model;
mod upgrade;
mod upkeep;
mod ways;

use std::collections::BTreeSet;
use std::path::Path;

use crate::entry::CHUNKED_BYTES_MAX;
use crate::segments;
use crate::{CommitError, Op, Options, Read, Store, StoreError, Table};
use disk::FaultyDisk;

/// Opens a store on a disk of the test.
fn open(disk: &FaultyDisk, options: Options) -> Result<Store, StoreError> {
    Store::open_on(Box::new(disk.clone()), Path::new("a disk in memory"), options)
}

/// The batch of a number: one entry of some size, a counter, and the end of an older entry.
fn numbered(number: u32) -> Vec<Op> {
    let key = number.to_be_bytes().to_vec();
    let mut batch = vec![
        Op::put(Table::Inbox, key.clone(), body(number)),
        Op::put(Table::Meta, *b"counter", key.clone()),
    ];
    if let Some(old) = number.checked_sub(7) {
        batch.push(Op::delete(Table::Inbox, old.to_be_bytes()));
    }
    batch.push(Op::put(Table::Seen, key, *b""));
    batch
}

/// Short values, values in chunks, and values in segment files, some of which two keys share.
fn body(number: u32) -> Vec<u8> {
    let (content, len) = match number % 10 {
        4 | 9 => (number, 70_000),
        2 => (number, 270_001),
        7 => (number - 5, 270_001),
        _ => (number, usize::try_from(number % 97 * 11).unwrap()),
    };
    let mut body = content.to_be_bytes().repeat(len.div_ceil(4));
    body.truncate(len);
    body
}

/// The segment files that a store of so many batches has.
fn expected_files(batches: u32) -> BTreeSet<String> {
    let bodies = (batches.saturating_sub(7)..batches).map(body).filter(|body| body.len() > CHUNKED_BYTES_MAX);
    bodies.map(|body| segments::path(blake3::hash(&body).as_bytes())).collect()
}

/// The segment files on a disk.
fn segment_files(disk: &FaultyDisk) -> BTreeSet<String> {
    disk.state().current.names().cloned().collect()
}

/// How many of the numbered batches are there, given that each is there as a whole or not at all.
fn whole_batches(store: &Store) -> u32 {
    let counter = store.get(Table::Meta, b"counter").unwrap();
    let count = counter.map_or(0, |raw| u32::from_be_bytes(raw.try_into().unwrap()) + 1);
    let mut seen = Vec::new();
    store
        .for_each(Table::Seen, &mut |key, _| seen.push(u32::from_be_bytes(key.try_into().unwrap())))
        .unwrap();
    assert_eq!(seen, (0..count).collect::<Vec<_>>());
    let mut inbox = Vec::new();
    store
        .for_each(Table::Inbox, &mut |key, value| {
            let number = u32::from_be_bytes(key.try_into().unwrap());
            assert_eq!(value, body(number));
            inbox.push(number);
        })
        .unwrap();
    assert_eq!(inbox, (count.saturating_sub(7)..count).collect::<Vec<_>>());
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{report:?}");
    count
}

fn commit_numbered(store: &Store, number: u32) -> Result<(), CommitError> {
    store.commit(numbered(number))
}
