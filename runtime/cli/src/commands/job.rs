//! `cairn job`: work that is posted, and what came of it.

use std::path::PathBuf;

use cairn_node::control::api::{Request, Response};
use clap::{Args, Subcommand};

use crate::context::{Context, absolute, order_key};
use crate::failure::Failure;
use crate::out;

/// Post work, see what came of it
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn job post relief digits.toml
  cairn job list
  cairn job show 4kq7wz
  cairn job result 4kq7wz --output answer.txt")]
pub(crate) enum JobCommand {
    /// Post a job file with its input and modules on a board
    #[command(
        after_help = "Examples:\n  cairn job post relief digits.toml\n  cairn job post relief digits.toml --key monday-1"
    )]
    Post(PostArgs),
    /// List the jobs on all boards
    #[command(after_help = "Examples:\n  cairn job list\n  cairn job list --json")]
    List,
    /// Show one job: its rungs, results, and why this node does what it does with it
    #[command(after_help = "Examples:\n  cairn job show 4kq7wz")]
    Show(JobName),
    /// Print or write the output of the best result, or of one rung
    #[command(
        after_help = "Examples:\n  cairn job result 4kq7wz\n  cairn job result 4kq7wz --rung 0 --output coarse.txt"
    )]
    Result(ResultArgs),
    /// Close a job of this node, so that unused promises are released
    #[command(after_help = "Examples:\n  cairn job close 4kq7wz")]
    Close(JobName),
}

/// A job.
#[derive(Debug, Args)]
pub(crate) struct JobName {
    /// Job id, or its beginning of at least 6 characters
    job: String,
}

/// What to post, and where.
#[derive(Debug, Args)]
pub(crate) struct PostArgs {
    /// Name of the board
    board: String,
    /// The job file (TOML); input and modules are named relative to it
    file: PathBuf,
    /// Repeating an order with the same key has no second effect
    #[arg(long)]
    key: Option<String>,
}

/// Which output.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// Job id, or its beginning of at least 6 characters
    job: String,
    /// The rung; the best one that has an answer if not given
    #[arg(long)]
    rung: Option<u8>,
    /// Where to write it, must not exist; stdout if not given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, command: JobCommand) -> Result<(), Failure> {
    match command {
        JobCommand::Post(PostArgs { board, file, key }) => {
            let file = absolute(&file)?;
            let key = order_key(key)?;
            context.order(
                &Request::JobPost { board, file, key },
                "posted; see what becomes of it: cairn job show JOB",
            )
        }
        JobCommand::List => context.tell(&Request::JobList),
        JobCommand::Show(JobName { job }) => context.tell(&Request::JobShow { job }),
        JobCommand::Result(args) => result(context, args),
        JobCommand::Close(JobName { job }) => context.order(&Request::JobClose { job }, "closed"),
    }
}

fn result(context: &Context, args: ResultArgs) -> Result<(), Failure> {
    let path = args.output.as_deref().map(absolute).transpose()?;
    let response = context.ask(&Request::JobResult { job: args.job, rung: args.rung, path: path.clone() })?;
    match (&response, path) {
        (_, Some(path)) if !context.json() => {
            out::say(&format!("written to {}", path.display()));
            Ok(())
        }
        // The output is data: it goes out byte for byte, into a file or another program.
        (Response::Text { text }, None) if !context.json() => out::raw(text.as_bytes()),
        _ => context.show(&response, crate::render::response),
    }
}
