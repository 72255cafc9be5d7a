//! `cairn credit`: who owes whom, and who may.

use cairn_node::control::api::Request;
use clap::{Args, Subcommand};

use crate::context::Context;
use crate::failure::Failure;

/// Who owes whom, and who may
///
/// Amounts are micro-credits (µcr). A line is what a contact may owe this node at most: nobody can take more.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  cairn credit
  cairn credit grant carrier 5000
  cairn credit grant carrier 0        take the line back; what was accepted stays"
)]
pub(crate) struct CreditArgs {
    #[command(subcommand)]
    command: Option<CreditCommand>,
}

#[derive(Debug, Subcommand)]
enum CreditCommand {
    /// Grant a contact a line; 0 takes it back, what was accepted stays
    #[command(after_help = "Examples:\n  cairn credit grant carrier 5000")]
    Grant {
        /// Node id, or the name on its card
        node: String,
        /// Limit in micro-credits
        limit: u64,
    },
}

pub(crate) fn run(context: &Context, args: CreditArgs) -> Result<(), Failure> {
    match args.command {
        None => context.tell(&Request::Credit),
        Some(CreditCommand::Grant { node, limit }) => {
            let done = format!("{node} may owe this node up to {}", crate::render::amount(limit));
            context.order(&Request::CreditGrant { node, limit }, &done)
        }
    }
}
