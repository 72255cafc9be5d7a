//! Power is cut while a store of the first format is upgraded.

use super::disk::{FaultyDisk, Image, Log};
use super::open;
use crate::{Op, Options, Read, Table};

const RUNS: &[u8] = include_bytes!("../../tests/fixtures/format-1.runs");

/// The file of the fixture; `tests/format_1.rs` says how it is written.
fn first_format() -> Image {
    let mut image = Image::default();
    let mut rest = RUNS;
    while let Some((head, tail)) = rest.split_at_checked(8) {
        let number = |raw: &[u8]| usize::try_from(u32::from_be_bytes(raw.try_into().unwrap())).unwrap();
        let (run, tail) = tail.split_at(number(&head[4..]));
        image.redb.resize(image.redb.len() + number(&head[..4]), 0);
        image.redb.extend_from_slice(run);
        rest = tail;
    }
    image
}

#[test]
fn an_upgrade_may_be_cut_at_every_write_and_every_sync() {
    let disk = FaultyDisk::with(first_format());
    let store = open(&disk, Options::default()).unwrap();
    let entries = store.usage().entries();
    assert_eq!(entries, 40);
    drop(store);
    let log = Log::from(disk.state().log.clone());
    for cut in 0..=log.events.len() {
        for way in 0..3 {
            let disk =
                FaultyDisk::with(first_format().then(&log, cut, |at| way == 1 || way == 2 && at % 2 == 0));
            let store = open(&disk, Options::default()).unwrap_or_else(|e| panic!("cut {cut}, {way}: {e}"));
            assert_eq!((store.format_found(), store.usage().entries()), (1, entries), "cut {cut}, way {way}");
            assert!(store.check().unwrap().is_sound());
        }
    }
    println!("cut at {} changes and syncs, in 3 ways each", log.events.len());
}

#[test]
fn the_host_is_told_of_the_upgrade_until_it_is_done_with_it() {
    let disk = FaultyDisk::with(first_format());
    for _ in 0..2 {
        let store = open(&disk, Options::default()).unwrap();
        assert_eq!(store.format_found(), 1);
        store.commit(vec![Op::put(Table::Index, *b"id", *b"record")]).unwrap();
    }
    let store = open(&disk, Options::default()).unwrap();
    store.rows_upgraded().unwrap();
    assert_eq!(store.format_found(), 2);
    drop(store);
    let store = open(&disk, Options::default()).unwrap();
    assert_eq!(store.format_found(), 2);
    assert_eq!(store.get(Table::Index, b"id").unwrap().as_deref(), Some(&b"record"[..]));
    assert_eq!(open(&FaultyDisk::default(), Options::default()).unwrap().format_found(), 2);
}
