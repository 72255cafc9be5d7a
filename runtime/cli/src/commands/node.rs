//! `cairn node`: the node itself, in the foreground.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::Read;
use std::path::{Path, PathBuf};

use cairn_node::ReadyInfo;
use cairn_node::config::{NodeConfig, check_name, prepare_home};
use cairn_node::control::api::Request;
use cairn_node::control::client::Client;
use cairn_node::identity_file::{self, HomeLock};
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::out;

/// A node on a leash that does not end by itself is ended after this time.
const LEASH_GRACE: Duration = Duration::from_secs(5);

/// What `cairn node --help` says.
const LONG_ABOUT: &str = r#"Run a node in the foreground

The first start makes the data directory, the key and the store; there is nothing to set up before. Settings
come from `cairn.toml` in the data directory, all of them optional; options here win over it:

  name, discovery, item_size_max = "8 MiB",
  listen = ["0.0.0.0:0", "[::]:0"], or [] for a node without a network, which is met by drops only,
  [store] size_max = "4 GiB", reserve = "256 MiB",
  [tasks] enabled, engines = ["wasm", "onnx"], memory_max = "512 MiB", wall_max = "10 min",
          concurrent, onnxruntime

When the node is ready, one line with its id and addresses goes to stdout. It ends on Ctrl-C or SIGTERM."#;

/// Run a node in the foreground
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT,
    after_help = "Examples:
  cairn node --name depot
  cairn node --listen 192.168.1.7:4433 --no-discovery
  cairn --home /srv/relay node --no-tasks"
)]
pub(crate) struct NodeArgs {
    /// Display name on the card
    #[arg(long)]
    name: Option<String>,
    /// UDP address for QUIC, may be repeated; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT")]
    listen: Vec<SocketAddr>,
    /// Do not look for neighbours on the local network
    #[arg(long)]
    no_discovery: bool,
    /// Run no tasks for others
    #[arg(long)]
    no_tasks: bool,
    /// End when stdin closes: for programs that start nodes and must not leave them behind
    #[arg(long, hide = true)]
    leash: bool,
}

/// The ready line as JSON.
#[derive(Debug, Serialize)]
struct Ready<'a> {
    node: &'a str,
    addresses: &'a [String],
    home: &'a Path,
}

pub(crate) fn run(context: &Context, args: &NodeArgs) -> Result<(), Failure> {
    let home = context.home();
    prepare_home(home)?;
    let lock = HomeLock::take(home)?;
    let config = settings(home, args)?;
    let identity = identity_file::load_or_create(&lock)?;
    if args.leash {
        hold_leash(home.to_owned());
    }
    let ready = |info: &ReadyInfo| {
        let node = info.node.to_string();
        let addresses: Vec<String> = info.addresses.iter().map(ToString::to_string).collect();
        // A node goes on working when nobody reads its ready line.
        let _ = if context.json() {
            out::json(&Ready { node: &node, addresses: &addresses, home })
        } else {
            let place = match addresses.as_slice() {
                [] => "without a network, met by drops only".to_owned(),
                some => format!("at {}", some.join(" ")),
            };
            out::text(&format!("ready: node {node} {place}"))
        };
    };
    let say = |line: &str| out::say(line);
    cairn_node::run(home, &config, identity, ready, say)
        .map_err(|error| Failure::new(error.to_string(), error.hint()))
}

fn settings(home: &Path, args: &NodeArgs) -> Result<NodeConfig, Failure> {
    let mut config = NodeConfig::load(home)?;
    if let Some(name) = &args.name {
        check_name(name).map_err(|reason| Failure::new(reason, "choose another name with --name"))?;
        config.name = Some(name.clone());
    }
    if !args.listen.is_empty() {
        config.listen.clone_from(&args.listen);
    }
    config.discovery &= !args.no_discovery;
    config.tasks.enabled &= !args.no_tasks;
    Ok(config)
}

/// Ends this node when stdin closes, which it does however the process at the other end dies.
fn hold_leash(home: PathBuf) {
    std::thread::spawn(move || {
        let mut ignored = [0_u8; 64];
        while std::io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
        if let Ok(mut client) = Client::connect(&home) {
            let _ = client.ask(&Request::Shutdown);
        }
        std::thread::sleep(LEASH_GRACE);
        out::say("error: the node did not end in time after its starter was gone");
        end_now();
    });
}

#[expect(
    clippy::exit,
    reason = "the thread that waits for the end of a node that hangs has nobody to return to"
)]
fn end_now() -> ! {
    std::process::exit(1)
}
