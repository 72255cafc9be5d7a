//! How soon a full store opens: after it was closed, and after its process was killed. With the number of 1 KiB values
//! as argument (1,000,000 without one).

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use cairn_store::{CommitError, Op, Options, Read, Store, Table};

const DIR: &str = "CAIRN_STORE_OPEN_BENCH_DIR";
const IDLE: &str = "CAIRN_STORE_OPEN_BENCH_IDLE";
const BATCH: u32 = 1000;

fn main() {
    let count = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000_000);
    if let Some(dir) = std::env::var_os(DIR) {
        let store = Store::open(Path::new(&dir), options()).expect("a store");
        fill(&store, count, count + 10 * BATCH);
        if std::env::var_os(IDLE).is_some() {
            thread::sleep(Duration::from_secs(9));
        }
        // As kill -9 does: nothing is closed.
        std::process::abort();
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let store = Store::open(dir.path(), options()).expect("a fresh store opens");
    let started = Instant::now();
    fill(&store, 0, count);
    report(&format!("{count} values of 1 KiB written: {:.1} s", started.elapsed().as_secs_f64()));
    let started = Instant::now();
    drop(store);
    report(&format!("closed: {:.3} s", started.elapsed().as_secs_f64()));
    report(&format!(
        "file: {} MB",
        fs::metadata(dir.path().join("store.redb")).expect("there").len() / 1_000_000
    ));
    open(dir.path(), "after it was closed");
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.arg(count.to_string()).env(DIR, dir.path());
    assert!(!child.status().expect("this program runs").success(), "it was to be killed");
    open(dir.path(), "after its process was killed under load");
    assert!(!child.env(IDLE, "").status().expect("this program runs").success(), "it was to be killed");
    open(dir.path(), "after its process was killed nine seconds after its last commit");
}

fn open(dir: &Path, what: &str) {
    let started = Instant::now();
    let store = Store::open(dir, options()).expect("it opens");
    let opened = started.elapsed();
    let key = 1_u64.to_be_bytes();
    assert!(store.get(Table::Bundles, &key).expect("readable").is_some());
    let started = Instant::now();
    store.commit(vec![Op::put(Table::Meta, *b"opened", *b"")]).expect("there is room");
    let first = started.elapsed();
    let resident = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = resident.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("unknown").to_owned();
    report(&format!(
        "opened {what}: {:.3} s, first commit {:.1} ms, peak of memory so far {resident}",
        opened.as_secs_f64(),
        first.as_secs_f64() * 1e3
    ));
}

fn options() -> Options {
    Options { size_max: u64::MAX, reserve: 0, ..Options::default() }
}

fn fill(store: &Store, first: u32, end: u32) {
    let (sender, receiver) = mpsc::channel::<Result<(), CommitError>>();
    let mut waiting = 0;
    for batch in (first..end).step_by(1000) {
        let ops = (batch..batch + BATCH).map(|number| {
            let mut value = vec![0; 1024];
            blake3::Hasher::new().update(&number.to_be_bytes()).finalize_xof().fill(&mut value);
            Op::put(Table::Bundles, u64::from(number).to_be_bytes(), value)
        });
        let sender = sender.clone();
        store.submit(ops.collect(), Box::new(move |result| sender.send(result).expect("somebody waits")));
        waiting += 1;
        if waiting == 8 {
            receiver.recv().expect("the writer lives").expect("there is room");
            waiting -= 1;
        }
    }
    (0..waiting).for_each(|_| receiver.recv().expect("the writer lives").expect("there is room"));
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
fn report(line: &str) {
    println!("{line}");
}
