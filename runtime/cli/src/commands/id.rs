//! `cairn id`: who this node is.

use cairn_node::config::prepare_home;
use cairn_node::control::api::Response;
use cairn_node::identity_file::{self, HomeLock};
use clap::Args;

use crate::context::Context;
use crate::failure::Failure;
use crate::out;

/// Print the node id
///
/// Works without a running node; the first call makes the key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn id
  cairn --home /srv/relay id")]
pub(crate) struct IdArgs;

pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let home = context.home();
    let identity = match identity_file::load(home)? {
        Some(identity) => identity,
        None => {
            prepare_home(home)?;
            let identity = identity_file::load_or_create(&HomeLock::take(home)?)?;
            out::say(&format!("made a new identity in {}", home.display()));
            identity
        }
    };
    context.show(&Response::Id { id: identity.node_id().to_string() }, crate::render::response)
}
