//! What the store costs over what it stands on: 1 KiB values in batches against bare redb with the same batches, and
//! large values against plain files that are written and synced. Both sides in turns, on the same disk, in one run;
//! the best of several rounds of each.
//! With the argument `large`, the values of 1 MiB alone.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use cairn_store::{Batch, CommitError, Op, Options, Store, Table};
use redb::{Builder, TableDefinition};

const ROUNDS: usize = 5;
const BARE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("bundles");
const CACHE_BYTES: usize = 4 * 1024 * 1024;

fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    if std::env::args().any(|argument| argument == "large") {
        large(dir.path(), 1 << 20, 192);
        return;
    }
    for (batch, batches) in [(1, 400), (32, 200), (1000, 24)] {
        small(dir.path(), batch, batches);
    }
    for (bytes, count) in [(64 << 10, 512), (256 << 10, 256), (512 << 10, 256), (1 << 20, 192)] {
        large(dir.path(), bytes, count);
    }
}

/// Keys as a node makes them: row numbers, in order of arrival.
fn batches(batch: u32, batches: u32, len: usize) -> Vec<Batch> {
    let op = |number: u32| {
        let mut value = vec![0; len];
        blake3::Hasher::new().update(&number.to_be_bytes()).finalize_xof().fill(&mut value);
        Op::put(Table::Bundles, u64::from(number).to_be_bytes(), value)
    };
    (0..batches).map(|b| (b * batch..(b + 1) * batch).map(op).collect()).collect()
}

fn small(dir: &Path, batch: u32, count: u32) {
    let all = batches(batch, count, 1024);
    let (mut store, mut bare) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        store.push(in_store(&dir.join(format!("store-{batch}-{round}")), all.clone(), 1));
        bare.push(in_redb(&dir.join(format!("bare-{batch}-{round}")), &all));
    }
    let (store, bare) = (best(store), best(bare));
    let rate = |seconds: f64| f64::from(batch * count) / seconds;
    report(&format!(
        "1 KiB, batches of {batch}: store {:.0}/s, bare redb {:.0}/s, {:.0} %",
        rate(store),
        rate(bare),
        bare / store * 100.0
    ));
}

fn large(dir: &Path, bytes: u32, count: u32) {
    let all = batches(1, count, usize::try_from(bytes).expect("small"));
    let (mut store, mut files, mut single) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        store.push(in_store(&dir.join(format!("large-{bytes}-{round}")), all.clone(), 32));
        files.push(in_files(&dir.join(format!("files-{bytes}-{round}")), &all));
        single.push(in_one_file(&dir.join(format!("file-{bytes}-{round}")), &all));
    }
    let rate = |times| f64::from(bytes) * f64::from(count) / best(times) / 1e6;
    report(&format!(
        "{} KiB, 32 in flight: store {:.0} MB/s, a synced file each {:.0} MB/s, one file synced every 16 {:.0} MB/s",
        bytes >> 10,
        rate(store),
        rate(files),
        rate(single)
    ));
}

/// Seconds to commit all batches with so many in flight.
fn in_store(dir: &Path, batches: Vec<Batch>, in_flight: usize) -> f64 {
    // As in a store that is no longer new: its first segment files also make directories.
    (0..=255_u8).for_each(|first| {
        fs::create_dir_all(dir.join(format!("segments/{first:02x}"))).expect("ours");
    });
    let options = Options { cache_bytes: CACHE_BYTES, ..Options::default() };
    let store = Store::open(dir, options).expect("a fresh store opens");
    let (sender, receiver) = mpsc::channel::<Result<(), CommitError>>();
    let started = Instant::now();
    let mut waiting = 0;
    for batch in batches {
        if waiting == in_flight {
            receiver.recv().expect("the writer lives").expect("there is room");
            waiting -= 1;
        }
        let sender = sender.clone();
        store.submit(batch, Box::new(move |result| sender.send(result).expect("somebody waits")));
        waiting += 1;
    }
    for _ in 0..waiting {
        receiver.recv().expect("the writer lives").expect("there is room");
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(store);
    fs::remove_dir_all(dir).expect("ours");
    seconds
}

fn in_redb(path: &Path, batches: &[Batch]) -> f64 {
    let database = Builder::new().set_cache_size(CACHE_BYTES).create(path).expect("a fresh file");
    let started = Instant::now();
    for batch in batches {
        let txn = database.begin_write().expect("alone");
        let mut table = txn.open_table(BARE).expect("our table");
        for op in batch {
            if let Op::Put { key, value, .. } = op {
                table.insert(key.as_slice(), value.as_slice()).expect("there is room");
            }
        }
        drop(table);
        txn.commit().expect("there is room");
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(database);
    fs::remove_file(path).expect("ours");
    seconds
}

fn in_files(dir: &Path, batches: &[Batch]) -> f64 {
    fs::create_dir(dir).expect("ours");
    let started = Instant::now();
    for (number, op) in batches.iter().flatten().enumerate() {
        if let Op::Put { value, .. } = op {
            let mut file = File::create(dir.join(number.to_string())).expect("a name is free");
            file.write_all(value).and_then(|()| file.sync_all()).expect("there is room");
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    fs::remove_dir_all(dir).expect("ours");
    seconds
}

fn in_one_file(path: &Path, batches: &[Batch]) -> f64 {
    let mut file = File::create(path).expect("a name is free");
    let started = Instant::now();
    for group in batches.chunks(16) {
        for op in group.iter().flatten() {
            if let Op::Put { value, .. } = op {
                file.write_all(value).expect("there is room");
            }
        }
        file.sync_data().expect("there is room");
    }
    let seconds = started.elapsed().as_secs_f64();
    fs::remove_file(path).expect("ours");
    seconds
}

/// What else the machine does only adds to a time.
fn best(seconds: Vec<f64>) -> f64 {
    seconds.into_iter().fold(f64::INFINITY, f64::min)
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
fn report(line: &str) {
    println!("{line}");
}
