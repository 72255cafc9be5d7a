//! The one binary: `cairn`.
//!
//! Every command but `node`, `demo`, `doctor` and `receipt verify` is a question to a running node over the
//! control socket of its data directory. Data goes to stdout, talk goes to stderr.

mod args;
mod commands;
mod context;
mod demo;
mod failure;
mod out;
mod progress;
mod render;
mod table;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::context::Context;

/// Exit code for a command line that is not understood, as clap has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // The node starts this program again for every task; a worker knows no commands.
    if cairn_task::worker::is_requested() {
        return u8::try_from(cairn_task::worker::main()).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and go to stdout; a closed pipe is nobody's loss.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let json = cli.common.json;
    let done = Context::new(cli.common).and_then(|context| commands::run(&context, cli.command));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}
