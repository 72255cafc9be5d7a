//! `cairn carry`: links that are carried by hand.

use std::path::PathBuf;

use cairn_node::control::api::{Request, Response};
use clap::{Args, Subcommand};

use crate::context::{Context, absolute};
use crate::failure::Failure;
use crate::render;

/// Exchange with a node that no cable reaches, by a directory
///
/// What is written is sealed: whoever carries the directory can read nothing. The return trip carries the
/// acknowledgements.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn carry export /media/stick
  cairn carry import /media/stick")]
pub(crate) enum CarryCommand {
    /// Write what peers lack into a directory
    #[command(
        after_help = "Examples:\n  cairn carry export /media/stick\n  cairn carry export /media/stick --to jetson"
    )]
    Export(ExportArgs),
    /// Take in what a directory holds for this node
    #[command(after_help = "Examples:\n  cairn carry import /media/stick")]
    Import(ImportArgs),
}

/// What to write where.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The directory: a stick, a card, a shared folder
    directory: PathBuf,
    /// For this peer only (node id or name), may be repeated
    #[arg(long, value_name = "NODE")]
    to: Vec<String>,
}

/// What to read.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The directory
    directory: PathBuf,
}

pub(crate) fn run(context: &Context, command: CarryCommand) -> Result<(), Failure> {
    let request = match command {
        CarryCommand::Export(ExportArgs { directory, to }) => {
            Request::CarryExport { directory: absolute(&directory)?, to }
        }
        CarryCommand::Import(ImportArgs { directory }) => {
            Request::CarryImport { directory: absolute(&directory)? }
        }
    };
    let response = context.ask(&request)?;
    context.show(&response, render::response)?;
    match &response {
        // Refused files stay where they are; whoever called wants to know by the exit code too.
        Response::Carried(info) if !info.refused.is_empty() => Err(Failure::Said),
        _ => Ok(()),
    }
}
