//! `cairn store`: look after the store of a stopped node.

use std::path::{Path, PathBuf};

use cairn_node::config::NodeConfig;
use cairn_node::identity_file::HomeLock;
use cairn_store::{CheckReport, Store, StoreError, Table};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::out;
use crate::progress::Share;
use crate::render::size;

/// Check, shrink or copy the store of a stopped node
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn store check
  cairn store compact
  cairn store export /media/usb/backup")]
pub(crate) enum StoreCommand {
    /// Read everything and compare it with its checksums
    ///
    /// Repairs what can be repaired, and names what is damaged. A running node does the same bit by bit, and asks its
    /// peers again for what it lost. Exit code 1 if something is damaged.
    #[command(after_help = "Examples:\n  cairn store check\n  cairn store check --json")]
    Check,
    /// Give room back to the disk
    #[command(after_help = "Examples:\n  cairn store compact")]
    Compact,
    /// Write a copy of everything into a new directory
    ///
    /// The copy is complete and durable when the command ends. It belongs to this node alone: do not start two nodes
    /// with one identity.
    #[command(after_help = "Examples:\n  cairn store export /media/usb/backup")]
    Export(ExportArgs),
}

/// Where to.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// A directory without a store in it; made if it is not there
    directory: PathBuf,
}

/// What a command did, for machines.
#[derive(Debug, Serialize)]
struct Outcome {
    sound: bool,
    repaired: bool,
    entries: u64,
    bytes: u64,
    bytes_before: Option<u64>,
    bytes_after: Option<u64>,
    orphans: u64,
    damaged: Vec<Damage>,
}

/// A value that is not what was written.
#[derive(Debug, Serialize)]
struct Damage {
    table: &'static str,
    key: String,
}

pub(crate) fn run(context: &Context, command: &StoreCommand) -> Result<(), Failure> {
    let home = context.home();
    let dir = home.join(cairn_node::STORE_DIR);
    // Before the lock, which needs a folder to lie in.
    if !dir.exists() {
        return Err(Failure::new(
            format!("there is no store in {}", dir.display()),
            "name the node's data directory with --home; its first start makes the store",
        ));
    }
    let _lock = HomeLock::take(home)?;
    let options = cairn_node::store_options(&NodeConfig::load(home)?);
    let store = Store::open(&dir, options).map_err(|error| failure(&error))?;
    match command {
        StoreCommand::Check => check(context, &store),
        StoreCommand::Compact => compact(context, &store),
        StoreCommand::Export(args) => export(context, &store, &args.directory),
    }
}

/// The store says itself what can be done, where it knows.
fn failure(error: &StoreError) -> Failure {
    let text = error.to_string();
    match text.split_once("; hint: ") {
        Some((message, hint)) => Failure::new(message, hint),
        None => Failure::new(text, "see what is wrong with: cairn doctor"),
    }
}

fn check(context: &Context, store: &Store) -> Result<(), Failure> {
    let report = {
        let _progress = crate::progress::Progress::start("reading everything");
        store.check().map_err(|error| failure(&error))?
    };
    let outcome = Outcome {
        sound: report.is_sound(),
        repaired: report.repaired,
        entries: report.usage.entries(),
        bytes: report.usage.bytes(),
        bytes_before: None,
        bytes_after: None,
        orphans: report.orphans,
        damaged: damages(&report),
    };
    let sound = outcome.sound;
    let text = format!("{} entries, {}: {}\n", outcome.entries, size(outcome.bytes), verdict(&outcome));
    tell(context, &outcome, &text)?;
    if sound { Ok(()) } else { Err(Failure::Said) }
}

fn damages(report: &CheckReport) -> Vec<Damage> {
    let blobs = report.wrong_blobs.iter().map(|key| (Table::Blobs, key));
    let damaged = report.damaged.iter().map(|(table, key)| (*table, key));
    damaged.chain(blobs).map(|(table, key)| Damage { table: table.name(), key: hex(key) }).collect()
}

fn verdict(outcome: &Outcome) -> String {
    let mut words = Vec::new();
    if outcome.repaired {
        words.push("its structure was damaged and has been repaired".to_owned());
    }
    if outcome.orphans > 0 {
        words.push(format!("{} files that nothing refers to were removed", outcome.orphans));
    }
    match (outcome.sound, outcome.damaged.is_empty()) {
        (true, _) => words.push("everything is as it was written".to_owned()),
        (false, true) => words.push("its own counts were wrong".to_owned()),
        (false, false) => {
            let keys: Vec<String> =
                outcome.damaged.iter().map(|damage| format!("{} {}", damage.table, damage.key)).collect();
            words.push(format!(
                "{} values are damaged; start the node, and it asks its peers for them\n  {}",
                keys.len(),
                keys.join("\n  ")
            ));
        }
    }
    words.join("; ")
}

fn compact(context: &Context, store: &Store) -> Result<(), Failure> {
    let mut share = Share::start("compacting");
    let report = store.compact(&mut |done, all| share.show(done, all)).map_err(|error| failure(&error))?;
    drop(share);
    let usage = store.usage();
    let outcome = Outcome {
        sound: true,
        repaired: false,
        entries: usage.entries(),
        bytes: usage.bytes(),
        bytes_before: Some(report.bytes_before),
        bytes_after: Some(report.bytes_after),
        orphans: report.orphans,
        damaged: Vec::new(),
    };
    let text = format!("{} before, {} now\n", size(report.bytes_before), size(report.bytes_after));
    tell(context, &outcome, &text)
}

fn export(context: &Context, store: &Store, directory: &Path) -> Result<(), Failure> {
    let mut share = Share::start("copying");
    let report =
        store.export(directory, &mut |done, all| share.show(done, all)).map_err(|error| failure(&error))?;
    drop(share);
    let damaged = report.damaged.iter();
    let outcome = Outcome {
        sound: report.damaged.is_empty(),
        repaired: false,
        entries: report.usage.entries(),
        bytes: report.usage.bytes(),
        bytes_before: None,
        bytes_after: None,
        orphans: 0,
        damaged: damaged.map(|(table, key)| Damage { table: table.name(), key: hex(key) }).collect(),
    };
    let text = format!(
        "{} entries, {} copied to {}: {}\n",
        outcome.entries,
        size(outcome.bytes),
        directory.display(),
        verdict(&outcome)
    );
    let sound = outcome.sound;
    tell(context, &outcome, &text)?;
    if sound { Ok(()) } else { Err(Failure::Said) }
}

fn tell(context: &Context, outcome: &Outcome, text: &str) -> Result<(), Failure> {
    if context.json() { out::json(outcome) } else { out::text(&out::clean(text)) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
