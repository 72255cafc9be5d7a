//! `cairn peer`: whom this node meets.

use cairn_node::control::api::{Request, Response};
use clap::{Args, Subcommand};

use crate::context::Context;
use crate::failure::Failure;
use crate::render;

/// Choose whom this node meets
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn peer add carrier 192.168.1.9:4433
  cairn peer list")]
pub(crate) enum PeerCommand {
    /// Meet a contact whenever there is a way to it
    ///
    /// Without an address the peer is found on the local network, dials itself, or is met by a drop directory.
    #[command(after_help = "Examples:\n  cairn peer add carrier 192.168.1.9:4433\n  cairn peer add jetson")]
    Add(AddArgs),
    /// Stop meeting a peer; what was agreed with it stays
    #[command(after_help = "Examples:\n  cairn peer remove carrier")]
    Remove(RemoveArgs),
    /// List the peers
    #[command(after_help = "Examples:\n  cairn peer list\n  cairn peer list --json")]
    List,
}

/// Whom to meet, and where.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Node id, or the name on its card
    node: String,
    /// Where it can be dialled; replaces what was given before
    #[arg(value_name = "IP:PORT")]
    addresses: Vec<String>,
}

/// Whom not to meet.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Node id, or the name on its card
    node: String,
}

pub(crate) fn run(context: &Context, command: PeerCommand) -> Result<(), Failure> {
    match command {
        PeerCommand::Add(AddArgs { node, addresses }) => {
            let done = format!("{node} is a peer now");
            context.order(&Request::PeerAdd { node, addresses }, &done)
        }
        PeerCommand::Remove(RemoveArgs { node }) => {
            let done = format!("{node} is no peer any more");
            context.order(&Request::PeerRemove { node }, &done)
        }
        PeerCommand::List => list(context),
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let response = match context.ask(&Request::CardList)? {
        Response::Contacts { contacts } => {
            Response::Contacts { contacts: contacts.into_iter().filter(|contact| contact.peer).collect() }
        }
        other => return Err(Failure::unexpected(&other)),
    };
    context.show(&response, |response| match response {
        Response::Contacts { contacts } if contacts.is_empty() => {
            "no peers yet; add one with: cairn peer add NODE [IP:PORT]".into()
        }
        other => render::response(other),
    })
}
