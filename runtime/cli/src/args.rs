//! The command line: every flag is defined once, in the file of its command group.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    board, bundle, card, carry, credit, doctor, id, job, mail, node, peer, receipt, route, sim, status, store,
};
use crate::demo;

/// A mesh runtime for devices that meet only now and then.
#[derive(Debug, Parser)]
#[command(
    name = "cairn",
    version,
    max_term_width = 100,
    long_about = "A mesh runtime for devices that meet only now and then: sealed mail, job boards, tasks with a \
quality ladder, credits and receipts, over any link or a carried directory.\n\n\
`cairn node` runs a node in the foreground; every other command talks to it through a socket in its data directory.",
    after_help = "Examples:
  cairn demo                  three nodes, one job, no shared link: the whole story in some seconds
  cairn node --name depot     start a node; the first start makes its key
  cairn doctor                see whether everything is in order"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Data directory of the node [default: $CAIRN_HOME, $XDG_DATA_HOME/cairn or ~/.local/share/cairn]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Print JSON for machines on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node in the foreground
    Node(node::NodeArgs),
    /// Print the node id
    Id(id::IdArgs),
    /// Hand out and take in contact cards
    #[command(subcommand)]
    Card(card::CardCommand),
    /// Choose whom this node meets
    #[command(subcommand)]
    Peer(peer::PeerCommand),
    /// Send a sealed message or file
    Send(mail::SendArgs),
    /// Read what arrived
    Inbox(mail::InboxArgs),
    /// Boards that a group shares
    #[command(subcommand)]
    Board(board::BoardCommand),
    /// Post work, see what came of it
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Who owes whom, and who may
    Credit(credit::CreditArgs),
    /// Export receipts, verify them offline
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Exchange with a node that no cable reaches, by a directory
    #[command(subcommand)]
    Carry(carry::CarryCommand),
    /// See which bundles wait here, and why each is held or sent
    #[command(subcommand)]
    Route(route::RouteCommand),
    /// Look into bundle files, make and check them
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    /// Try the engine on whole fields of nodes, under one virtual clock
    #[command(subcommand)]
    Sim(sim::SimCommand),
    /// Check, shrink or copy the store of a stopped node
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// How the node is
    Status(status::StatusArgs),
    /// Check that everything is in order
    Doctor(doctor::DoctorArgs),
    /// Three nodes, one job, one gap: the whole story end to end
    Demo(demo::DemoArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    fn walk(command: &mut clap::Command, path: &str) {
        let help = command.render_long_help().to_string();
        assert!(command.get_about().is_some(), "`{path}` says what it is for");
        assert!(help.contains("Example"), "`{path} --help` shows an example:\n{help}");
        for sub in command.get_subcommands_mut() {
            if sub.get_name() != "help" {
                let path = format!("{path} {}", sub.get_name());
                walk(sub, &path);
            }
        }
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        walk(&mut Cli::command(), "cairn");
    }
}
