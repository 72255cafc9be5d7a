//! `cairn send` and `cairn inbox`: sealed messages and files.

use std::io::{self, Read};
use std::path::PathBuf;

use cairn_node::control::api::{Request, Urgency};
use clap::{Args, Subcommand, ValueEnum};

use crate::context::{Context, absolute, order_key};
use crate::failure::Failure;

/// What is read from stdin as a message, at most.
const TEXT_BYTES_MAX: u64 = 512 * 1024;

/// Send a sealed message or file
///
/// It is stored durably before the command returns, and leaves when the recipient or a carrier is met.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn send jetson 'the bridge is out'
  cairn send jetson --file map.png 'the detour'
  cairn send --class alert depot 'the dam has burst'
  dmesg | cairn send depot -")]
pub(crate) struct SendArgs {
    /// Node id, or the name on its card
    to: String,
    /// The text; `-` reads it from stdin
    #[arg(default_value = "")]
    text: String,
    /// A file to send along
    #[arg(long)]
    file: Option<PathBuf>,
    /// How urgent it is: a small alert goes to everybody, bulk goes last
    #[arg(long, value_enum, default_value_t = Urgent::Normal)]
    class: Urgent,
    /// Repeating an order with the same key has no second effect
    #[arg(long)]
    key: Option<String>,
}

/// How urgent a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Urgent {
    Alert,
    Normal,
    Bulk,
}

impl From<Urgent> for Urgency {
    fn from(urgent: Urgent) -> Self {
        match urgent {
            Urgent::Alert => Self::Alert,
            Urgent::Normal => Self::Normal,
            Urgent::Bulk => Self::Bulk,
        }
    }
}

/// Read what arrived
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  cairn inbox
  cairn inbox save 3 map.png
  cairn inbox remove 3"
)]
pub(crate) struct InboxArgs {
    #[command(subcommand)]
    command: Option<InboxCommand>,
}

#[derive(Debug, Subcommand)]
enum InboxCommand {
    /// Write the file of a message to a path
    #[command(after_help = "Examples:\n  cairn inbox save 3 map.png")]
    Save {
        /// Number of the message
        number: u64,
        /// Where to write it; must not exist
        path: PathBuf,
    },
    /// Remove a message and its file
    #[command(after_help = "Examples:\n  cairn inbox remove 3")]
    Remove {
        /// Number of the message
        number: u64,
    },
}

pub(crate) fn send(context: &Context, args: SendArgs) -> Result<(), Failure> {
    let text = if args.text == "-" { read_stdin()? } else { args.text };
    if text.is_empty() && args.file.is_none() {
        return Err(Failure::new("there is nothing to send", "give a text, or a file with --file"));
    }
    let file = args.file.as_deref().map(absolute).transpose()?;
    let key = order_key(args.key)?;
    context.order(
        &Request::Send { to: args.to, text, file, key, class: args.class.into() },
        "stored; it leaves with the next contact",
    )
}

fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().take(TEXT_BYTES_MAX).read_to_string(&mut text).map_err(|error| {
        Failure::new(format!("cannot read the text: {error}"), "send other data with --file")
    })?;
    Ok(text)
}

pub(crate) fn inbox(context: &Context, args: InboxArgs) -> Result<(), Failure> {
    match args.command {
        None => context.tell(&Request::Inbox),
        Some(InboxCommand::Save { number, path }) => {
            let path = absolute(&path)?;
            let done = format!("written to {}", path.display());
            context.order(&Request::InboxSave { number, path }, &done)
        }
        Some(InboxCommand::Remove { number }) => context.order(&Request::InboxRemove { number }, "removed"),
    }
}
