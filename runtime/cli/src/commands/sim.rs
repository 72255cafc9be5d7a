//! `cairn sim`: whole fields of nodes under one virtual clock.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cairn_sim::Dice;
use cairn_sim::field::{FieldFaults, FieldOptions, FieldReport, Progress, Scenario, run_field};
use clap::{Args, Subcommand};

use crate::context::Context;
use crate::failure::Failure;
use crate::out;
use crate::progress::Share;
use crate::table::Table;

/// Longest contact trace that is read, in bytes.
const TRACE_BYTES_MAX: u64 = 256 << 20;

/// Try the engine on whole fields of nodes, under one virtual clock
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn sim list
  cairn sim run village --seed 7
  cairn sim run trace contacts.txt --json")]
pub(crate) enum SimCommand {
    /// List the scenarios
    #[command(after_help = "Examples:\n  cairn sim list\n  cairn sim list --json")]
    List,
    /// Run a scenario and compare it with epidemic forwarding and with the best that is possible
    ///
    /// The same scenario, seed and options print the same bytes. A scenario's sizes can be given behind its name:
    /// `city:nodes=200,hours=6,messages=500`. Exit code 1 if an invariant was broken.
    #[command(after_help = "Examples:
  cairn sim run village --seed 7
  cairn sim run city:nodes=200,hours=6 --hostile 10
  cairn sim run trace contacts.txt --seed 3 --json
  cairn sim run camps --plots plots")]
    Run(RunArgs),
}

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A scenario of `cairn sim list`, or `trace`
    scenario: String,
    /// With `trace`: a connectivity report of the ONE simulator
    trace: Option<PathBuf>,
    /// The seed from which all chance comes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Percent of nodes that flood, replay, lie or swallow bundles
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100), value_name = "PERCENT")]
    hostile: u8,
    /// Let links fail, disks fill up, clocks jump and power be cut
    #[arg(long)]
    faults: bool,
    /// Leave out the run with epidemic forwarding
    #[arg(long)]
    alone: bool,
    /// Write plots of delays and deliveries into this directory
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, command: SimCommand) -> Result<(), Failure> {
    match command {
        SimCommand::List => list(context),
        SimCommand::Run(args) => simulate(context, &args),
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    if context.json() {
        let all: Vec<_> = Scenario::library()
            .map(|(name, about)| serde_json::json!({ "name": name, "about": about }))
            .collect();
        return out::json(&all);
    }
    let mut table = Table::new(&["scenario", "what it is"]);
    for (name, about) in Scenario::library() {
        table.row(&[&name, &about]);
    }
    table.row(&[&"trace FILE", &"contacts from a connectivity report of the ONE simulator"]);
    out::text(&table.to_string())
}

fn scenario(args: &RunArgs) -> Result<Scenario, Failure> {
    match (args.scenario.as_str(), &args.trace) {
        ("trace", Some(file)) => read_trace(file),
        ("trace", None) => Err(Failure::new("a trace needs a file", "cairn sim run trace contacts.txt")),
        (_, Some(file)) => Err(Failure::new(
            format!("`{}` takes no file, and {} was given", args.scenario, file.display()),
            "cairn sim run trace FILE",
        )),
        (name, None) => {
            Scenario::parse(name).map_err(|error| Failure::new(error.to_string(), "see: cairn sim list"))
        }
    }
}

fn read_trace(file: &Path) -> Result<Scenario, Failure> {
    let hint = "give a report of the form `time CONN a b up|down`, one event a line";
    let failed = |error: &dyn core::fmt::Display| {
        Failure::new(format!("cannot read {}: {error}", file.display()), hint)
    };
    // A device says that it is empty, and never ends.
    let mut text = String::new();
    let mut read =
        fs::File::open(file).map_err(|error| failed(&error))?.take(TRACE_BYTES_MAX.saturating_add(1));
    let length = read.read_to_string(&mut text).map_err(|error| failed(&error))?;
    if u64::try_from(length).is_ok_and(|length| length > TRACE_BYTES_MAX) {
        return Err(failed(&format!("it has more than {TRACE_BYTES_MAX} bytes")));
    }
    let name = file.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Scenario::of_trace(&name, &text).map_err(|error| failed(&error))
}

fn simulate(context: &Context, args: &RunArgs) -> Result<(), Failure> {
    let scenario = scenario(args)?;
    let faults =
        if args.faults { FieldFaults::mixed(&mut Dice::new(args.seed)) } else { FieldFaults::none() };
    let faults = FieldFaults { hostile_percent: u64::from(args.hostile), ..faults };
    let options = FieldOptions { faults, epidemic: !args.alone, ..FieldOptions::default() };
    let report = {
        let mut share = Share::start("simulating");
        let mut show = |progress: Progress| share.show(progress.now_ms, progress.end_ms);
        run_field(&scenario, args.seed, &options, &mut show)
    };
    if let Some(directory) = &args.plots {
        write_plots(directory, &report)?;
    }
    if context.json() {
        out::text(&report.json())?;
    } else {
        out::text(&report.table())?;
    }
    if report.violations.is_empty() {
        return Ok(());
    }
    for violation in &report.violations {
        out::say(&format!("broken: {}", out::clean_line(violation)));
    }
    Err(Failure::Said)
}

fn write_plots(directory: &Path, report: &FieldReport) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            format!("cannot write plots to {}: {error}", directory.display()),
            "name another directory",
        )
    };
    fs::create_dir_all(directory).map_err(failed)?;
    for (name, plot) in [("delay.svg", report.delay_plot()), ("delivery.svg", report.delivery_plot())] {
        fs::write(directory.join(name), plot).map_err(failed)?;
    }
    Ok(())
}
