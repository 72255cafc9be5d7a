//! How fast bundles go from one node to the next, each durable before it is acknowledged.
//!
//! `cargo bench -p cairn --bench forward` runs real nodes on loopback, each with a store of its own below the target
//! folder, and after them, if it is in the path, `dtnd` of dtn7-rs (`cargo install dtn7 --version 0.21.0 --locked`)
//! with the same payloads, and what redb, files and QUIC make of as many bytes without us. Names of cases as arguments run only those.
//! Without the argument `--bench`, that is under `cargo test --benches`, little is sent and no time means anything.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and what goes wrong ends it"
)]

use std::path::Path;

mod limit;
#[path = "../../tests/hostile/node.rs"]
#[expect(dead_code, reason = "shared with the tests of hostile input")]
mod node;
mod ours;
#[path = "../../tests/hostile/person.rs"]
#[expect(dead_code, reason = "shared with the tests of hostile input")]
mod person;
#[path = "../shared/processor.rs"]
mod processor;
mod rival;
#[path = "../shared/stock.rs"]
#[expect(dead_code, reason = "shared with the bench of a million bundles")]
mod stock;

/// How much is sent in each case.
struct Sizes {
    relayed: usize,
    delivered: usize,
    singles: usize,
    large: usize,
    rival: usize,
}

const FULL: Sizes = Sizes { relayed: 20_000, delivered: 8_000, singles: 200, large: 256, rival: 5_000 };
const SMOKE: Sizes = Sizes { relayed: 100, delivered: 50, singles: 5, large: 2, rival: 50 };

/// A row of the table.
pub(crate) fn row(what: &str, figure: &str, goal: &str) {
    println!("{what:<64} {figure:>24}   {goal}");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let sizes = if arguments.iter().any(|argument| argument == "--bench") { FULL } else { SMOKE };
    let named: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| named.is_empty() || named.contains(&name);
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root: &Path = &root.path().canonicalize().unwrap();
    if wanted("limit") {
        limit::run(root, sizes.relayed);
        limit::files(root, sizes.large);
        limit::stream(sizes.large);
    }
    let relayed = wanted("relay").then(|| ours::relay(root, sizes.relayed));
    if wanted("deliver") {
        ours::deliver(root, sizes.delivered);
    }
    if wanted("latency") {
        ours::latency(root, sizes.singles);
    }
    if wanted("large") {
        ours::large(root, sizes.large);
    }
    if wanted("rival") {
        rival::run(root, sizes.rival, relayed);
    }
}
