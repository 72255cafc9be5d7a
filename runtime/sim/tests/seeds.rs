//! Many seeds of every scenario. A failing one prints how to play it again.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use cairn_sim::{Faults, Report, Run, Scenario, Violation, run};

/// Runs a seed; a panic inside a node counts as a failure like any other.
fn play(scenario: Scenario, seed: u64, faults: Faults, readable: bool) -> Result<Run, String> {
    let panicked = |payload: Box<dyn core::any::Any + Send>| {
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    };
    catch_unwind(AssertUnwindSafe(|| run(scenario, seed, faults, readable))).map_err(panicked)
}

/// The seeds of a test: so many from 0, or those in `CAIRN_SIM_SEEDS` (FROM..TO) for a longer hunt.
fn seeds(count: u64) -> core::ops::Range<u64> {
    let asked = std::env::var("CAIRN_SIM_SEEDS").ok();
    let range = asked.as_deref().and_then(|text| text.split_once(".."));
    range.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?)).unwrap_or(0..count)
}

/// Plays seeds and stops at the first that fails, with the command to replay it.
fn play_all(scenario: Scenario, seeds: core::ops::Range<u64>) -> Result<Vec<Report>, String> {
    let one = |seed: u64| {
        let run = play(scenario, seed, Faults::default(), false).map_err(|panic| format!("panic: {panic}"));
        run.and_then(|run| run.outcome.map_err(|violation| violation.to_string())).map_err(|why| {
            format!(
                "seed {seed} of {scenario:?}: {why}\nto replay: CAIRN_SIM_SCENARIO={scenario:?} \
                 CAIRN_SIM_SEED={seed} cargo test -p cairn-sim -- --nocapture one_seed"
            )
        })
    };
    seeds.map(one).collect()
}

#[test]
fn a_job_crosses_the_gap_whatever_goes_wrong() {
    let reports = play_all(Scenario::Gap, seeds(200)).unwrap_or_else(|why| panic!("{why}"));
    let sum = |f: fn(&Report) -> u64| reports.iter().map(f).sum::<u64>();
    // The faults must bite, and the work must be done all the same.
    let runs = u64::try_from(reports.len()).unwrap();
    assert!(sum(|report| report.crashes) > 2 * runs, "too few power cuts to mean anything");
    let paid = reports.iter().filter(|report| report.rungs_paid > 0).count();
    assert!(4 * paid > 3 * reports.len(), "only {paid} jobs of {runs} were paid");
    assert!(reports.iter().any(|report| report.rungs_paid > 1), "no job had a coarse answer first");
    println!(
        "{} steps, {} power cuts, {} rungs paid",
        sum(|report| report.steps),
        sum(|report| report.crashes),
        reports.iter().map(|report| report.rungs_paid).sum::<usize>()
    );
}

#[test]
fn messages_find_their_way_through_a_mesh_once() {
    play_all(Scenario::Mesh, seeds(50)).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn twins_are_noticed_and_harm_nobody_else() {
    play_all(Scenario::Twins, seeds(20)).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn one_seed_gives_one_trace_and_another_seed_another() {
    for scenario in [Scenario::Gap, Scenario::Mesh, Scenario::Twins] {
        let trace = |seed| run(scenario, seed, Faults::default(), false).outcome.map(|report| report.trace);
        assert_eq!(trace(3), trace(3));
        assert_ne!(trace(3), trace(4));
    }
}

/// Negative control: a store that reports a batch as durable before it is must not get through.
#[test]
fn a_disk_that_lies_is_caught() {
    let faults = Faults { believes_too_early: true, ..Faults::default() };
    let caught =
        |seed: &u64| play(Scenario::Gap, *seed, faults.clone(), false).is_ok_and(|run| run.outcome.is_err());
    let count = (0..20).filter(caught).count();
    assert!(count >= 10, "only {count} of 20 seeds noticed that nodes acknowledge what is not durable");
    let acknowledged =
        (0..20).filter_map(|seed| run(Scenario::Gap, seed, faults.clone(), false).outcome.err());
    assert!(
        acknowledged.into_iter().any(|violation| matches!(violation, Violation::AcknowledgedLost { .. }))
    );
}

/// Plays the seed in `CAIRN_SIM_SEED` (scenario in `CAIRN_SIM_SCENARIO`: Gap, Mesh or Twins) with its log.
#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("CAIRN_SIM_SEED") else { return };
    let seed = seed.parse().expect("CAIRN_SIM_SEED is a number");
    let scenario = match std::env::var("CAIRN_SIM_SCENARIO").as_deref() {
        Ok("Mesh") => Scenario::Mesh,
        Ok("Twins") => Scenario::Twins,
        _ => Scenario::Gap,
    };
    let run = run(scenario, seed, Faults::default(), true);
    for line in &run.log {
        println!("{line}");
    }
    match run.outcome {
        Ok(report) => println!("{report:?}"),
        Err(violation) => panic!("seed {seed}: {violation}"),
    }
}
