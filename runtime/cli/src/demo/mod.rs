//! `cairn demo`: three nodes as three processes, one job, and a gap that only a directory crosses.
//!
//! Every step is a loop that can be repeated without harm until its deadline, because any of the processes
//! may be killed at any moment (`--kills`); the end has to be the same.

mod check;
mod files;
mod killer;
mod process;
mod report;
mod stage;
mod story;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::context::Context;
use crate::demo::report::Report;
use crate::demo::stage::Stage;
use crate::failure::Failure;
use crate::out;

/// Three nodes, one job, one gap: the whole story end to end
///
/// Starts three nodes in a temporary directory, none of which needs a network beyond this machine. A posts a job:
/// read 600 handwritten digits. A and C never share a link: B carries the job to C and the answer back. Everything
/// is real: keys, sealed bundles, stores, boards, credit, and the programs that read the digits.
/// The story is told on stderr, the result comes on stdout.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn demo
  cairn demo --keep /tmp/story        look at the nodes' directories and logs afterwards
  cairn demo --kills 10 --only b      kill B ten times at random moments; the end is the same")]
pub(crate) struct DemoArgs {
    /// Do it in this directory (new or empty) and keep it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Kill a node so many times (kill -9) at random moments, and start it again at once
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    kills: u32,
    /// Seed of the random moments; a random one if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Kill only this node
    #[arg(long, value_enum, requires = "kills")]
    only: Option<Who>,
}

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    /// The depot, which has a question and runs no tasks.
    A,
    /// The carrier, which has a small processor.
    B,
    /// The jetson, which has a big one.
    C,
}

pub(crate) fn run(context: &Context, args: &DemoArgs) -> Result<(), Failure> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => random_seed()?,
    };
    let stage = Stage::set(args.keep.as_deref(), args.kills > 0)?;
    let killer = killer::start(&stage, killer::Plan { kills: args.kills, seed, only: args.only });
    let told = story::tell(&stage)
        .and_then(|story| killer.finish().and_then(|kills| report::draw_up(&stage, &story, kills)));
    match told {
        Ok(report) => end(context, stage, &report, args.keep.is_some()),
        Err(message) => {
            let place = stage.leave_behind();
            let hint = if args.kills > 0 {
                let only = args.only.and_then(|who| who.to_possible_value());
                let only = only.map(|who| format!(" --only {}", who.get_name())).unwrap_or_default();
                format!(
                    "logs are in {}; again with: cairn demo --kills {} --seed {seed}{only}",
                    place.display(),
                    args.kills
                )
            } else {
                format!("the nodes' directories and logs are in {}", place.display())
            };
            Err(Failure::new(message, hint))
        }
    }
}

fn end(context: &Context, stage: Stage, report: &Report, keep: bool) -> Result<(), Failure> {
    let good = report.is_good();
    let place = if keep || !good { Some(stage.leave_behind()) } else { None };
    if context.json() {
        out::json(report)?;
    } else {
        out::text(&report.to_text())?;
    }
    if let Some(place) = place {
        out::say(&format!("the nodes' directories and logs are in {}", place.display()));
    }
    if good { Ok(()) } else { Err(Failure::Said) }
}

fn random_seed() -> Result<u64, Failure> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes)
        .map_err(|_| Failure::new("the system gives no randomness", "name a seed yourself with --seed"))?;
    Ok(u64::from_le_bytes(bytes))
}
