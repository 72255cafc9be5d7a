//! `cairn bundle`: look into bundle files, make them, check them, cut them and put them together.
//!
//! None of these commands needs a running node.

mod create;
mod fields;
mod files;
mod inspect;
mod keys;
mod layout;
mod parts;
mod verify;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// Look into bundle files, make and check them
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn bundle create note.txt --card bob.card --out note.bundle
  cairn bundle inspect note.bundle
  cairn bundle verify note.bundle")]
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
    /// Make a bundle file of any payload
    ///
    /// It is sealed to the node of a card, and signed. The identity is that of the data directory.
    #[command(after_help = "Examples:
  cairn bundle create note.txt --card bob.card --out note.bundle
  cairn bundle create alert.txt --to dtn://relief/~alerts --sign --lifetime 12h --out alert.bundle
  cairn bundle create map.png --card bob.card --may-fragment --out map.bundle")]
    Create(Box<create::CreateArgs>),
    /// Check bundle files and the signatures in them
    ///
    /// The exit code is 0 if nothing is wrong with any file. What cannot be checked without a key is said.
    #[command(after_help = "Examples:
  cairn bundle verify note.bundle
  cairn bundle verify --from bq7yl6tjfm2ynsvhcw3sqtoyxhd2h34l2i4akg2m4ahfw6rtxhqa note.bundle
  cairn bundle verify --keys keys.toml from-another-stack.bundle")]
    Verify(verify::VerifyArgs),
    /// Cut a bundle into fragments
    #[command(after_help = "Examples:
  cairn bundle fragment map.bundle --encoded-bytes 1000 --out pieces
  cairn bundle fragment map.bundle --payload-bytes 65536")]
    Fragment(parts::FragmentArgs),
    /// Put fragments together
    ///
    /// Where fragments contradict each other, the signature in the bundle decides.
    #[command(after_help = "Examples:
  cairn bundle reassemble pieces/map.*.fragment --out map.bundle")]
    Reassemble(parts::ReassembleArgs),
}

pub(crate) fn run(context: &Context, command: BundleCommand) -> Result<(), Failure> {
    match command {
        BundleCommand::Inspect(args) => inspect::run(context, &args),
        BundleCommand::Create(args) => create::run(context, &args),
        BundleCommand::Verify(args) => verify::run(context, &args),
        BundleCommand::Fragment(args) => parts::fragment(context, &args),
        BundleCommand::Reassemble(args) => parts::reassemble(context, &args),
    }
}
