//! How long the parts of a large field take: contacts of a city, the oracle, traces.
//!
//! `cargo bench -p cairn-sim` runs everything; a number behind `--` is the number of nodes of the city. Without the
//! argument `--bench`, that is under `cargo test --benches`, the city is small and no time means anything.
#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::time::Instant;

use cairn_sim::field::{LinkModel, Oracle, Scenario, one};

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let usual = if std::env::args().any(|argument| argument == "--bench") { 1_000 } else { 50 };
    let nodes: usize = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(usual);
    let start = Instant::now();
    let field = Scenario::parse(&format!("city:nodes={nodes}"))?.draw(1);
    println!(
        "contacts of {nodes} nodes in a day: {:>9} in {:?}",
        field.trace.contacts().len(),
        start.elapsed()
    );

    let start = Instant::now();
    let mut oracle = Oracle::new(&field.trace);
    let arrive = field.messages.iter().filter(|message| oracle.arrival_ms(message).is_some()).count();
    println!("oracle: {arrive} of {} messages arrive, in {:?}", field.messages.len(), start.elapsed());

    let start = Instant::now();
    let text = one::write(&field.trace);
    println!("trace written: {:>9} bytes in {:?}", text.len(), start.elapsed());
    let start = Instant::now();
    let again = one::read(&text, LinkModel::WIFI)?;
    println!("trace read: {:>9} contacts in {:?}", again.contacts().len(), start.elapsed());
    Ok(())
}
