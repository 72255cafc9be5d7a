//! Bits flip on the disk, while the store is closed and while it is open.

use super::disk::FaultyDisk;
use super::{body, commit_numbered, open, whole_batches};
use crate::{Options, Read, StoreError, Table};

const BATCHES: u32 = 25;

fn filled() -> FaultyDisk {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    (0..BATCHES).for_each(|number| commit_numbered(&store, number).unwrap());
    drop(store);
    disk
}

#[test]
fn a_bit_flipped_in_a_closed_store_is_noticed_or_harmless() {
    let disk = filled();
    let (good, closed_at) = (disk.durable(), disk.state().closed_at);
    assert!(closed_at.is_some());
    let mut refused = 0;
    // Every byte of the header, which redb keeps in the first 320, and a spread over the rest.
    let header = (0..320 * 2).map(|half| (half / 2, half * 3 % 8));
    let spread = (320..good.redb.len()).step_by(good.redb.len() / 800).map(|at| (at, at % 8));
    for (at, bit) in header.chain(spread) {
        let mut bad = good.clone();
        bad.redb[at] ^= 1 << bit;
        let disk = FaultyDisk::with(bad);
        disk.state().closed_at = closed_at;
        match open(&disk, Options::default()) {
            Ok(store) => assert_eq!(whole_batches(&store), BATCHES, "bit {bit} of byte {at}"),
            Err(StoreError::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("bit {bit} of byte {at}: {other}"),
        }
    }
    assert!(refused > 200, "{refused}");
}

#[test]
fn a_bit_flipped_under_an_open_store_panics_nothing() {
    let disk = filled();
    let good = disk.durable();
    for at in (0..good.redb.len()).step_by(good.redb.len() / 300) {
        let disk = FaultyDisk::with(good.clone());
        let store = open(&disk, Options { cache_bytes: 0, ..Options::default() }).unwrap();
        let mut bad = disk.durable();
        bad.redb[at] ^= 1 << (at % 8);
        disk.replace(bad);
        for table in Table::ALL {
            let _ = store.for_each(table, &mut |key, value| drop((key.to_vec(), value.to_vec())));
            let _ = store.get(table, b"counter");
        }
        let _ = store.read_range(Table::Inbox, &24_u32.to_be_bytes(), 66_000, 10).map(|part| {
            assert!(part.is_none_or(|part| part.len() <= body(24).len()));
        });
        let _ = commit_numbered(&store, BATCHES);
        let _ = store.check();
    }
}
