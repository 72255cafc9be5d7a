//! `cairn board`: what a group shares.

use cairn_node::control::api::Request;
use clap::{Args, Subcommand};

use super::card::read_text;
use crate::context::Context;
use crate::failure::Failure;

/// Boards that a group shares
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn board create relief
  cairn board invite relief jetson > invitation
  cairn board show relief")]
pub(crate) enum BoardCommand {
    /// Start a board and join it
    #[command(after_help = "Examples:\n  cairn board create relief")]
    Create(BoardName),
    /// Make a contact a member, and print the invitation for it
    ///
    /// Whoever holds the invitation can read the board: hand it over as you would a key.
    #[command(after_help = "Examples:\n  cairn board invite relief jetson > invitation")]
    Invite(InviteArgs),
    /// Join a board by its invitation
    #[command(after_help = "Examples:\n  cairn board join invitation\n  cairn board join - < invitation")]
    Join(JoinArgs),
    /// List the boards that this node follows
    #[command(after_help = "Examples:\n  cairn board list")]
    List,
    /// Show members and jobs of a board
    #[command(after_help = "Examples:\n  cairn board show relief\n  cairn board show relief --json")]
    Show(BoardName),
}

/// A board.
#[derive(Debug, Args)]
pub(crate) struct BoardName {
    /// Name of the board, 1 to 64 bytes
    board: String,
}

/// Whom to invite.
#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// Name of the board
    board: String,
    /// Node id, or the name on its card
    node: String,
}

/// What to join.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// A file with the invitation, `-` for stdin, or the `cairn-board:` text itself
    #[arg(value_name = "FILE|-|TEXT")]
    invitation: String,
}

pub(crate) fn run(context: &Context, command: BoardCommand) -> Result<(), Failure> {
    match command {
        BoardCommand::Create(BoardName { board }) => {
            let done =
                format!("the board {board} is there; invite others with: cairn board invite {board} NODE");
            context.order(&Request::BoardCreate { name: board }, &done)
        }
        BoardCommand::Invite(InviteArgs { board, node }) => {
            let done = format!("{node} is a member; hand it this invitation, and to nobody else");
            context.order(&Request::BoardInvite { board, node }, &done)
        }
        BoardCommand::Join(JoinArgs { invitation }) => {
            let hint = "name a file that `cairn board invite` wrote";
            let invitation = read_text("invitation", &invitation, "cairn-board:", hint)?;
            context.order(&Request::BoardJoin { invitation: invitation.trim().to_owned() }, "joined")
        }
        BoardCommand::List => context.tell(&Request::BoardList),
        BoardCommand::Show(BoardName { board }) => context.tell(&Request::BoardShow { board }),
    }
}
