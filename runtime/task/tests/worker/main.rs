//! Tests that need a worker process: this program is its own worker.
//!
//! The usual test harness takes `main`, which a worker has to begin in, so the
//! tests are called here: all of them, or those whose name contains an argument.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "these are tests, and their harness"
)]

mod digits;
mod hostile;
mod support;

use std::panic;
use std::process::ExitCode;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    if cairn_task::worker::is_requested() {
        std::process::exit(cairn_task::worker::main());
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let tests = digits::TESTS.iter().chain(hostile::TESTS);
    let mut failed = Vec::new();
    let mut count = 0;
    for (name, test) in tests {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        count += 1;
        match panic::catch_unwind(test) {
            Ok(()) => println!("test {name} ... ok"),
            Err(_) => failed.push(*name),
        }
    }
    println!("{count} tests, {} failed: {failed:?}", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
