//! `cairn bundle`: look into bundle files, make them, check them, cut them and put them together.
//!
//! None of these commands needs a running node.

mod fields;
mod files;
mod inspect;
mod layout;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// Look into bundle files, make and check them
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn bundle inspect note.bundle")]
pub(crate) enum BundleCommand {
    /// Show every field of a bundle file and where it stands
    ///
    /// Shows as much as can be read of a file that is no bundle, says where it stops to be one and which rule it
    /// breaks. The exit code is 0 if all rules hold that need no keys.
    #[command(after_help = "Examples:
  cairn bundle inspect note.bundle
  cairn bundle inspect --hex note.bundle
  cairn bundle inspect --json - < note.bundle")]
    Inspect(inspect::InspectArgs),
}

pub(crate) fn run(context: &Context, command: BundleCommand) -> Result<(), Failure> {
    match command {
        BundleCommand::Inspect(args) => inspect::run(context, &args),
    }
}
