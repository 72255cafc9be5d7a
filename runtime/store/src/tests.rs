//! Power cuts, failing disks and a simple model, on a disk in memory that does what it is told.

mod cuts;
mod damage;
mod disk;
mod errors;
mod model;
mod ways;

use std::path::Path;

use crate::{CommitError, Op, Options, Read, Store, StoreError, Table};
use disk::FaultyDisk;

/// Opens a store on a disk of the test.
fn open(disk: &FaultyDisk, options: Options) -> Result<Store, StoreError> {
    Store::open_on(Box::new(disk.clone()), Path::new("a disk in memory"), options)
}

/// The batch of a number: one small entry, now and then one in segments, a counter, and the end of an older entry.
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

fn body(number: u32) -> Vec<u8> {
    let len = if number % 5 == 4 { 70_000 } else { usize::try_from(number % 97 * 11).unwrap() };
    number.to_be_bytes().into_iter().cycle().take(len).collect()
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
