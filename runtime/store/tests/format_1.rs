//! A store written by the first format's own code opens with this release, as it is and with everything in it.
//!
//! `fixtures/format-1.runs` is its `store.redb`: runs of a number of zeros, a number of other bytes (two u32,
//! big-endian) and those bytes. `fixtures/format-1.lock` is its `store.lock`.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use cairn_store::{Op, Options, Read, Store, Table};

const RUNS: &[u8] = include_bytes!("fixtures/format-1.runs");
const LOCK: &[u8] = include_bytes!("fixtures/format-1.lock");
/// The tables of the first format.
const TABLES: [Table; 12] = [
    Table::Meta,
    Table::Cards,
    Table::Bundles,
    Table::Seen,
    Table::Inbox,
    Table::Ledger,
    Table::Boards,
    Table::Changes,
    Table::Blobs,
    Table::PeerHas,
    Table::Attempts,
    Table::Contacts,
];

fn bytes(seed: &str, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut out);
    out
}

/// What the fixture holds: in each table an empty, a short and a longer value, in some of them values in segments.
fn entries() -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    for table in TABLES {
        let lens: &[usize] = match table {
            Table::Blobs => &[0, 5, 1000, 9000, 70_000],
            Table::Bundles | Table::Inbox => &[0, 5, 1000, 9000],
            _ => &[0, 5, 1000],
        };
        for len in lens {
            let value = bytes(&format!("{table}/{len}"), *len);
            let key = match table {
                Table::Blobs | Table::Bundles => blake3::hash(&value).as_bytes().to_vec(),
                _ => format!("key of {len}").into_bytes(),
            };
            entries.push((table, key, value));
        }
    }
    entries
}

fn lay_down(dir: &Path, lock: &[u8]) {
    let mut file = Vec::new();
    let mut rest = RUNS;
    while let Some((head, tail)) = rest.split_at_checked(8) {
        let (zeros, len) = head.split_at(4);
        let number = |raw: &[u8]| usize::try_from(u32::from_be_bytes(raw.try_into().unwrap())).unwrap();
        file.resize(file.len() + number(zeros), 0);
        let (run, tail) = tail.split_at(number(len));
        file.extend_from_slice(run);
        rest = tail;
    }
    fs::write(dir.join("store.redb"), file).unwrap();
    fs::write(dir.join("store.lock"), lock).unwrap();
}

fn assert_complete(store: &Store, more: u64) {
    for (table, key, value) in entries() {
        assert!(store.get(table, &key).unwrap() == Some(value), "{table} lost a value");
    }
    let count = u64::try_from(entries().len()).unwrap();
    assert_eq!(store.usage().entries(), count + more);
    let report = store.check().unwrap();
    assert!(report.is_sound() && !report.repaired, "{report:?}");
}

#[test]
fn a_store_of_the_first_format_opens_with_everything_in_it() {
    // As it was closed, and as it would be found had it been in use when the power was cut.
    for lock in [LOCK, b"open 4242".as_slice()] {
        let dir = tempfile::tempdir().unwrap();
        lay_down(dir.path(), lock);
        let store = Store::open(dir.path(), Options::default()).unwrap();
        assert_complete(&store, 0);
        store.commit(vec![Op::put(Table::Inbox, *b"new", bytes("new", 300_000))]).unwrap();
        let mut replaced = entries().into_iter().filter(|(table, ..)| *table == Table::Blobs);
        let (table, key, value) = replaced.next_back().unwrap();
        store.commit(vec![Op::put(table, key, value)]).unwrap();
        drop(store);
        let store = Store::open(dir.path(), Options::default()).unwrap();
        assert_complete(&store, 1);
        assert!(store.get(Table::Inbox, b"new").unwrap() == Some(bytes("new", 300_000)));
    }
}
