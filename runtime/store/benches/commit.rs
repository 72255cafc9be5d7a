//! Durable commits of 1 KiB values: single commits against group commit, in the same run on the same disk.

use core::time::Duration;
use std::sync::mpsc;
use std::time::Instant;

use cairn_store::{Op, Options, Store, Table};

const SPAN: Duration = Duration::from_secs(3);
/// As many batches as a node may have in flight during a meet.
const IN_FLIGHT: u32 = 256;

fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let single = rate("single commits", 1, &dir.path().join("single"));
    let group = rate("group commit", IN_FLIGHT, &dir.path().join("group"));
    report(&format!("ratio: {:.1}", group / single));
}

/// Keeps `in_flight` batches of one 1 KiB value each on their way to the disk; batches per second.
fn rate(name: &str, in_flight: u32, dir: &std::path::Path) -> f64 {
    let store = Store::open(dir, Options::default()).expect("a fresh store opens");
    let (sender, receiver) = mpsc::channel();
    let started = Instant::now();
    let submit = |number: u32| {
        let sender = sender.clone();
        let key = blake3::hash(&number.to_be_bytes());
        let value: Vec<u8> = key.as_bytes().iter().copied().cycle().take(1024).collect();
        let batch = vec![Op::put(Table::Bundles, key.as_bytes().to_vec(), value)];
        store.submit(
            batch,
            Box::new(move |result| {
                let _ = sender.send(result);
            }),
        );
    };
    (0..in_flight).for_each(&submit);
    let mut done: u32 = 0;
    while started.elapsed() < SPAN {
        receiver.recv().expect("the writer lives").expect("there is room");
        submit(in_flight + done);
        done += 1;
    }
    let rate = f64::from(done) / started.elapsed().as_secs_f64();
    report(&format!("{name} ({in_flight} in flight): {rate:.0} durable 1 KiB batches/s"));
    rate
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
fn report(line: &str) {
    println!("{line}");
}
