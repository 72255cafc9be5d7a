//! What a full store costs: start, memory, and a meet with a peer that has the same bundles but for ten.
//!
//! `cargo bench -p cairn --bench million` fills stores below the target folder with up to a million bundles of 1 KiB
//! each, which takes minutes and some 4 GB; numbers as arguments name other sizes. Without the argument `--bench`, that is
//! under `cargo test --benches`, a few bundles do.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and what goes wrong ends it"
)]

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::time::Instant;

use cairn_node::control::api::{Request, Response, Status};
use cairn_node::control::client::Client;
use node::Node;

#[path = "../../tests/hostile/node.rs"]
#[expect(dead_code, reason = "shared with the tests of hostile input")]
mod node;
#[path = "../../tests/hostile/person.rs"]
#[expect(dead_code, reason = "shared with the tests of hostile input")]
mod person;
#[path = "../shared/processor.rs"]
mod processor;
#[path = "../shared/stock.rs"]
mod stock;

const SETTINGS: &str = "listen = [\"127.0.0.1:0\"]\ndiscovery = false\n[store]\nsize_max = \"16 GiB\"\n";
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Bundles that one of the two lacks.
const DIFFERING: usize = 10;
const KIB: usize = 1_024;
const DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(1);
/// A meet that says nothing for so long has said everything.
const QUIET: Duration = Duration::from_secs(1);

/// What one size costs.
struct Cost {
    start: Duration,
    /// Processor time of the start.
    start_used: Duration,
    resident_kib: u64,
    anonymous_kib: u64,
    meet: Duration,
    bytes: u64,
    payload: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if !named.is_empty() {
        named
    } else if arguments.iter().any(|argument| argument == "--bench") {
        SIZES.to_vec()
    } else {
        vec![100]
    };
    println!("  bundles     start  processor   resident  anonymous | ten differ: meet  bytes besides them");
    println!("    goals     2.0 s                 64 MB                         50 ms  16,384");
    for size in sizes {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let cost = measure(&root.path().canonicalize().unwrap(), size);
        println!(
            "{size:>9} {:>7.2} s {:>8.2} s {:>7.1} MB {:>7.1} MB | {:>13.1} ms {:>7}",
            cost.start.as_secs_f64(),
            cost.start_used.as_secs_f64(),
            megabytes(cost.resident_kib),
            megabytes(cost.anonymous_kib),
            cost.meet.as_secs_f64() * 1e3,
            cost.bytes.saturating_sub(cost.payload),
        );
    }
}

fn megabytes(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap()) * 1.024e-3
}

fn measure(root: &Path, size: usize) -> Cost {
    let nodes = ["a", "b"].map(|name| Node::new(root, name, SETTINGS));
    let [a, b] = &nodes;
    nodes.iter().for_each(Node::start);
    a.ask(&Request::CardImport { card: b.card() });
    b.ask(&Request::CardImport { card: a.card() });
    nodes.iter().for_each(Node::stop);
    let common = stock::unread(size - DIFFERING, KIB, 1);
    let place = stock::fill(&[&a.home, &b.home], 0, common);
    let differing: Vec<stock::Stocked> = stock::signed(DIFFERING, KIB, 2).collect();
    let payload = differing.iter().map(stock::Stocked::len).sum();
    stock::fill(&[&a.home], place, differing.into_iter());

    let begun = Instant::now();
    a.start();
    let start = begun.elapsed();
    let start_used = processor::used(a.status().pid);
    b.start();
    let count = u64::try_from(size).unwrap();
    assert_eq!(a.status().bundles, count);
    std::thread::sleep(QUIET);
    let (resident_kib, anonymous_kib) = memory(a.status().pid);
    let (meet, bytes) = meet(a, b, count);
    Cost { start, start_used, resident_kib, anonymous_kib, meet, bytes, payload }
}

/// Resident memory of a process, all of it and what no file holds, in KiB.
fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (field("VmRSS:"), field("RssAnon:"))
}

fn ask(client: &mut Client) -> Status {
    let Ok(Response::Status(status)) = client.ask(&Request::Status) else { panic!("no status") };
    status
}

/// The two may meet from now on: how long it takes from the link to the last bundle, and all bytes of frames.
fn meet(a: &Node, b: &Node, count: u64) -> (Duration, u64) {
    let mut client = Client::connect(&b.home).unwrap();
    b.ask(&Request::PeerAdd { node: a.id(), addresses: Vec::new() });
    a.ask(&Request::PeerAdd { node: b.id(), addresses: vec![b.address()] });
    let begun = Instant::now();
    let mut linked = begun;
    loop {
        let before = Instant::now();
        let status = ask(&mut client);
        if status.links.is_empty() {
            linked = before;
        }
        if status.bundles >= count {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{} of {count}: {:?}", status.bundles, status.counters);
        std::thread::sleep(POLL);
    }
    let took = linked.elapsed();
    std::thread::sleep(QUIET);
    let status = ask(&mut client);
    (took, status.links.iter().map(|link| link.sent_bytes + link.received_bytes).sum())
}
