//! How long the parts of a large field take: contacts of a city, the oracle, traces, transfers; and what liars cost.
//!
//! `cargo bench -p cairn-sim --bench field` runs the first part; a number behind `--` is the number of nodes of the
//! city, `hostile` behind it asks for the table of liars instead, `kinds` for a small crowd with each kind of liar. Without the argument `--bench`, that is under
//! `cargo test --benches`, fields are small and no time means anything.
#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::time::Instant;

use cairn_sim::field::{
    FieldFaults, FieldOptions, FieldReport, Hostile, LinkModel, Oracle, Scenario, Strategy, one, run_field,
};

/// Scenarios of the table of liars, so large that a tenth of the nodes is some.
const WITH_LIARS: [&str; 5] = ["village", "camps", "chain", "satellite", "crowd:nodes=60,hours=4"];
/// Bytes that each of their nodes may carry.
const STORE_BYTES: u64 = 16_000_000;

type Fault = Box<dyn core::error::Error>;

fn main() -> Result<(), Fault> {
    let real = std::env::args().any(|argument| argument == "--bench");
    if std::env::args().any(|argument| argument == "kinds") {
        return kinds(if real {
            "crowd:nodes=14,hours=2,messages=40"
        } else {
            "crowd:nodes=8,hours=1,messages=5"
        });
    }
    if std::env::args().any(|argument| argument == "hostile") {
        return liars(if real { &WITH_LIARS } else { &["crowd:nodes=10,hours=1"] });
    }
    parts(if real { 1_000 } else { 50 })?;
    transfers(if real { "crowd:nodes=60,hours=2,messages=300" } else { "crowd:nodes=8,hours=1,messages=10" })
}

fn parts(usual: usize) -> Result<(), Fault> {
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

/// Bundles that are handed over in a minute of real time, by both strategies together.
fn transfers(scenario: &str) -> Result<(), Fault> {
    let scenario = Scenario::parse(scenario)?;
    let start = Instant::now();
    let report = run_field(&scenario, 1, &FieldOptions::default(), &mut |_| {});
    let took = start.elapsed();
    let count: u64 = report.outcomes.iter().map(|outcome| outcome.cost.transmissions).sum();
    let in_minute = u128::from(count) * 60_000 / took.as_millis().max(1);
    println!("transfers: {count} in {took:?}, {in_minute} a minute");
    Ok(())
}

/// Delivery among honest nodes, in tenths of a point: all nodes honest, a tenth switched off, the same tenth lying.
fn liars(scenarios: &[&str]) -> Result<(), Fault> {
    println!("{:<28} {:>8} {:>8} {:>8} {:>8}", "scenario", "honest", "off", "hostile", "oracle");
    for name in scenarios {
        let scenario = Scenario::parse(name)?;
        let run = |hostile_percent, hostile_off| {
            let faults = FieldFaults { hostile_percent, hostile_off, ..FieldFaults::none() };
            let options =
                FieldOptions { faults, epidemic: false, store_bytes: STORE_BYTES, ..FieldOptions::default() };
            run_field(&scenario, 1, &options, &mut |_| {})
        };
        let (honest, off, hostile) = (run(0, false), run(10, true), run(10, false));
        println!(
            "{name:<28} {:>8} {:>8} {:>8} {:>8}",
            delivered(&honest, Strategy::Cairn),
            delivered(&off, Strategy::Cairn),
            delivered(&hostile, Strategy::Cairn),
            delivered(&hostile, Strategy::Oracle)
        );
    }
    Ok(())
}

/// The same in a small crowd with little time and room, where all liars are of one kind.
fn kinds(name: &str) -> Result<(), Fault> {
    let scenario = Scenario::parse(name)?;
    for kind in core::iter::once(None).chain(Hostile::ALL.into_iter().map(Some)) {
        let faults = FieldFaults {
            hostile_percent: 15,
            hostile_off: kind.is_none(),
            hostile_kind: kind,
            ..FieldFaults::none()
        };
        let options =
            FieldOptions { faults, epidemic: false, store_bytes: 2_000_000, ..FieldOptions::default() };
        let report = run_field(&scenario, 2, &options, &mut |_| {});
        let kind = kind.map_or_else(|| "switched off".to_owned(), |kind| format!("{kind:?}"));
        println!("{kind:<14} {:>8}", delivered(&report, Strategy::Cairn));
    }
    Ok(())
}

fn delivered(report: &FieldReport, strategy: Strategy) -> String {
    let row = report.rows.iter().find(|row| row.strategy == strategy).map(|row| row.delivery);
    let share = row.map_or(0, |row| row.delivered * 1_000 / row.sent.max(1));
    format!("{}.{} %", share / 10, share % 10)
}
