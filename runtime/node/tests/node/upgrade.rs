//! What a node kept in a store of the first format is found again by this release, also after cuts on the way.

use core::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;

use cairn_bundle::{Bundle, Class, CreationTimestamp, Digest, Draft, Eid, Identity, Limits, plain};
use cairn_engine::{BundleRecord, Instant};
use cairn_link::Topic;
use cairn_link::frame::{Decoded, Frame, decode};
use cairn_node::control::api::{Request, Response};
use cairn_node::core::{Clock, upgrade};
use cairn_store::{
    Batch, CommitError, MemoryDisk, Op, Options, Priority, Read, ReadError, Store, Table, Visitor,
};

use crate::host::{Node, TODAY, meet, start};

fn far() -> Identity {
    Identity::from_seed(&[99; 32])
}

fn letter(from: u8, n: u32, bytes: usize) -> Bundle {
    let draft = Draft {
        destination: Eid::node(&far().node_id(), "inbox").unwrap(),
        source_service: "inbox",
        creation: CreationTimestamp { time_ms: 0, seq: u64::from(n) },
        lifetime_ms: 1_000_000_000,
        hop_limit: 8,
        class: Class::Normal,
        age_ms: Some(0),
        may_fragment: false,
        admin_record: false,
        payload: &vec![n.to_le_bytes()[0]; bytes],
    };
    plain(&draft, &Identity::from_seed(&[from; 32])).unwrap()
}

/// What the first format kept: bundles by their content ids, and ids of bundles that are or were here.
struct Old {
    bundles: Vec<Bundle>,
    gone: Vec<Digest>,
}

impl Old {
    fn new(bundles: u32, gone: u32) -> Self {
        let letters = |n: u32| letter(if n.is_multiple_of(3) { 1 } else { 7 }, n, 50);
        Self {
            bundles: (0..bundles).map(letters).collect(),
            gone: (0..gone).map(|n| Digest::of(&n.to_be_bytes())).collect(),
        }
    }

    fn rows(&self) -> Batch {
        let mut rows = Batch::new();
        for bundle in &self.bundles {
            let id = bundle.content_id();
            rows.push(Op::put(Table::Bundles, *id.as_bytes(), bundle.encode()));
            rows.push(Op::put(Table::Seen, *id.as_bytes(), []));
        }
        // One that is damaged in a way that its checksum does not show.
        rows.push(Op::put(Table::Bundles, [0x77; 32], b"no bundle".as_slice()));
        for id in &self.gone {
            rows.push(Op::put(Table::Seen, *id.as_bytes(), []));
        }
        rows
    }

    /// Every bundle is there once with a record that fits it, and every id of the past as one short row.
    fn assert_upgraded(&self, disk: &dyn Read) {
        let mut places = BTreeSet::new();
        let mut records = 0;
        disk.for_each(Table::Index, &mut |key, value| {
            let record = BundleRecord::decode(value).unwrap();
            assert!(places.insert(record.place), "no two bundles in one row");
            let stored = disk.get(Table::Bundles, &record.place.to_be_bytes()).unwrap().unwrap();
            let bundle = Bundle::decode(&stored, &Limits::default()).unwrap();
            assert_eq!(bundle.content_id().as_bytes(), key);
            assert_eq!((record.bytes, record.source), (stored.len() as u64, bundle.source().node_id()));
            assert_eq!(record.is_own(), record.source == Some(Identity::from_seed(&[1; 32]).node_id()));
            records += 1;
        })
        .unwrap();
        assert_eq!(records, self.bundles.len());
        let mut rows = 0;
        disk.for_each_key(Table::Bundles, &mut |key, _| rows += usize::from(key.len() == 8)).unwrap();
        assert_eq!(rows, records);
        let mut past = BTreeSet::new();
        disk.for_each(Table::Seen, &mut |key, value| {
            assert_eq!(key.len(), 9);
            assert!(past.insert(value.to_vec()), "each once");
        })
        .unwrap();
        let expected: BTreeSet<Vec<u8>> = self.gone.iter().map(|id| id.as_bytes()[..8].to_vec()).collect();
        assert_eq!(past, expected);
    }
}

fn bring_up(disk: &dyn Read, commit: &mut dyn FnMut(Batch) -> Result<(), CommitError>) -> Option<u64> {
    upgrade(disk, &Identity::from_seed(&[1; 32]).node_id(), &Limits::default(), commit).ok()
}

#[test]
fn a_store_of_the_first_format_is_carried_on_by_the_node() {
    let home = tempfile::tempdir().unwrap();
    let old = Old::new(700, 600);
    let store = Store::open(home.path().join("store"), Options::default()).unwrap();
    store.commit(old.rows()).unwrap();
    let rows = bring_up(&store, &mut |batch| store.commit_with(batch, Priority::High)).unwrap();
    assert_eq!(rows, 3 * 700 + 1 + 700 + 2 * 600);
    old.assert_upgraded(&store);
    // Nothing is left to be done.
    assert_eq!(bring_up(&store, &mut |_| Err(CommitError::Closed)), Some(0));
    store.close();
    let mut node = started(home.path());
    assert_eq!(carried(&mut node), 700);
    // All of it is offered to its destination.
    let said = meet(&mut node, &mut Node::new(99, Some(TODAY)), 1);
    let offered = said.iter().map(|frame| match decode(&frame[4..]) {
        Ok(Decoded::Frame(Frame::Have { topic: Topic::Bundle, ids })) => ids.iter().count(),
        _ => 0,
    });
    assert_eq!(offered.sum::<usize>(), 700);
}

fn started(home: &Path) -> Node {
    let clock = Clock { now: Instant::ZERO, wall: Some(TODAY) };
    let (store, core) = start(home, 1, clock);
    Node { store, core, ..Node::new(1, Some(TODAY)) }
}

fn carried(node: &mut Node) -> u64 {
    let Response::Status(status) = node.ask(Request::Status) else { panic!("no status") };
    status.bundles
}

/// A disk in memory that counts the rows which are shown, and that fails after some batches.
struct Disk {
    rows: RefCell<MemoryDisk>,
    visits: Cell<usize>,
    batches: Cell<usize>,
    batches_max: Cell<usize>,
}

impl Disk {
    fn new(old: &Old) -> Self {
        let mut rows = MemoryDisk::default();
        rows.commit(old.rows());
        rows.sync();
        let (visits, batches, batches_max) = (Cell::new(0), Cell::new(0), Cell::new(usize::MAX));
        Self { rows: RefCell::new(rows), visits, batches, batches_max }
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        if self.batches.get() >= self.batches_max.get() {
            return Err(CommitError::Closed);
        }
        self.batches.set(self.batches.get() + 1);
        let mut rows = self.rows.borrow_mut();
        rows.commit(batch);
        rows.sync().pop().unwrap()
    }
}

impl Read for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.rows.borrow().get(table, key)
    }

    fn read_range(
        &self,
        table: Table,
        key: &[u8],
        offset: u64,
        len: u64,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        self.rows.borrow().read_range(table, key, offset, len)
    }

    fn len_of(&self, table: Table, key: &[u8]) -> Result<Option<u64>, ReadError> {
        self.rows.borrow().len_of(table, key)
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, ReadError> {
        self.rows.borrow().last_key(table)
    }

    fn for_each_from(&self, table: Table, start: &[u8], f: &mut Visitor<'_>) -> Result<(), ReadError> {
        self.rows.borrow().for_each_from(table, start, &mut |key, value| {
            self.visits.set(self.visits.get() + 1);
            f(key, value)
        })
    }

    fn for_each_key(&self, table: Table, f: &mut dyn FnMut(&[u8], u64)) -> Result<(), ReadError> {
        self.rows.borrow().for_each_key(table, &mut |key, len| {
            self.visits.set(self.visits.get() + 1);
            f(key, len);
        })
    }
}

#[test]
fn a_cut_after_any_batch_leaves_a_store_that_is_brought_up_to_the_same() {
    let old = Old::new(600, 500);
    for cut in 0.. {
        let disk = Disk::new(&old);
        disk.batches_max.set(cut);
        let whole = bring_up(&disk, &mut |batch| disk.commit(batch)).is_some();
        disk.batches_max.set(usize::MAX);
        assert!(whole || bring_up(&disk, &mut |batch| disk.commit(batch)).is_some());
        old.assert_upgraded(&disk);
        if whole {
            assert!(cut >= 7, "{cut} batches");
            return;
        }
    }
}

#[test]
fn each_row_is_read_a_few_times_however_many_there_are() {
    let visits = |rows| {
        let disk = Disk::new(&Old::new(rows, rows));
        assert!(bring_up(&disk, &mut |batch| disk.commit(batch)).is_some());
        disk.visits.get()
    };
    let (some, more) = (visits(600), visits(2_400));
    assert!(more <= 5 * some, "{some} rows are read, and {more} of four times as many");
}
