//! One file per group of commands.

pub(crate) mod board;
pub(crate) mod bundle;
pub(crate) mod card;
pub(crate) mod carry;
pub(crate) mod credit;
pub(crate) mod doctor;
pub(crate) mod id;
pub(crate) mod job;
pub(crate) mod mail;
pub(crate) mod node;
pub(crate) mod peer;
pub(crate) mod receipt;
pub(crate) mod route;
pub(crate) mod sim;
pub(crate) mod status;
pub(crate) mod store;

use crate::args::Command;
use crate::context::Context;
use crate::demo;
use crate::failure::Failure;

/// Does what the command line says.
pub(crate) fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Node(args) => node::run(context, &args),
        Command::Id(_) => id::run(context),
        Command::Card(command) => card::run(context, command),
        Command::Peer(command) => peer::run(context, command),
        Command::Send(args) => mail::send(context, args),
        Command::Inbox(args) => mail::inbox(context, args),
        Command::Board(command) => board::run(context, command),
        Command::Job(command) => job::run(context, command),
        Command::Credit(args) => credit::run(context, args),
        Command::Receipt(command) => receipt::run(context, command),
        Command::Carry(command) => carry::run(context, command),
        Command::Route(command) => route::run(context, command),
        Command::Sim(command) => sim::run(context, command),
        Command::Store(command) => store::run(context, &command),
        Command::Bundle(command) => bundle::run(context, command),
        Command::Status(_) => status::run(context),
        Command::Doctor(args) => doctor::run(context, &args),
        Command::Demo(args) => demo::run(context, &args),
    }
}
