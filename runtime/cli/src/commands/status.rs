//! `cairn status`: how the node is.

use cairn_node::control::api::Request;
use clap::Args;

use crate::context::Context;
use crate::failure::Failure;

/// How the node is
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn status
  cairn status --json")]
pub(crate) struct StatusArgs;

pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    context.tell(&Request::Status)
}
