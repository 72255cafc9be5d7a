//! Checks of the node itself: its directory, key, settings, process, store and links.

use core::time::Duration;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cairn_node::config::{NodeConfig, prepare_home};
use cairn_node::control::api::{PrekeyInfo, Request, Response, Status};
use cairn_node::control::client::{Client, ClientError};
use cairn_node::identity_file::{self, HomeLock, IdentityError};
use cairn_store::Store;

use super::Check;
use crate::failure::Failure;
use crate::render::{moment, size};

/// A node that does not tell its status within this time hangs.
const ANSWER_MAX: Duration = Duration::from_secs(10);

pub(super) fn checks(home: &Path) -> Vec<Check> {
    match fs::metadata(home) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("{} does not exist yet", home.display());
            return vec![Check::warn("data", text, "the first start makes it: cairn node")];
        }
        Ok(_) | Err(_) => {}
    }
    let mut checks = vec![directory(home), key(home), settings(home)];
    match ask_status(home) {
        Ok(status) => {
            checks.push(Check::ok("node", format!("{} runs as process {}", status.name, status.pid)));
            checks.push(links(home, &status));
            checks.push(room(&status));
            checks.push(prekeys(&status.prekeys));
            checks.extend(
                status.warnings.iter().map(|text| Check::warn("node", text.clone(), "see: cairn status")),
            );
        }
        Err(error @ ClientError::NotRunning { .. }) => {
            checks.push(Check::warn("node", error.to_string(), error.hint().unwrap_or_default()));
            checks.push(store(home));
        }
        Err(error) => checks.push(Check::fail("node", error.to_string(), error.hint().unwrap_or_default())),
    }
    checks
}

fn directory(home: &Path) -> Check {
    match (prepare_home(home), fs::metadata(home)) {
        (Err(error), _) => Check::fail("data", error.to_string(), error.hint()),
        (Ok(()), Ok(meta)) if meta.mode() & 0o077 != 0 => Check::warn(
            "data",
            format!("others may look into {} (mode {:03o})", home.display(), meta.mode() & 0o777),
            format!("chmod 700 {}", home.display()),
        ),
        (Ok(()), Ok(_)) => Check::ok("data", format!("{} is private", home.display())),
        (Ok(()), Err(error)) => {
            Check::fail("data", error.to_string(), "check the permissions of the directory")
        }
    }
}

fn key(home: &Path) -> Check {
    match identity_file::load(home) {
        Ok(Some(identity)) => Check::ok("key", format!("node {}", identity.node_id())),
        Ok(None) => Check::warn("key", "there is no identity yet", "the first start makes it: cairn node"),
        Err(error) => Check::fail("key", error.to_string(), error.hint()),
    }
}

fn settings(home: &Path) -> Check {
    match NodeConfig::load(home) {
        Ok(config) if config.discovery => {
            Check::ok("settings", "valid; neighbours are looked for on the local network")
        }
        Ok(_) => Check::ok("settings", "valid; discovery is off"),
        Err(error) => Check::fail("settings", error.to_string(), error.hint()),
    }
}

fn ask_status(home: &Path) -> Result<Status, ClientError> {
    match Client::connect(home)?.answers_within(ANSWER_MAX)?.ask(&Request::Status)? {
        Response::Status(status) => Ok(status),
        other => Err(ClientError::Garbled(format!("{other:?}").chars().take(80).collect())),
    }
}

fn links(home: &Path, status: &Status) -> Check {
    if NodeConfig::load(home).is_ok_and(|config| config.listen.is_empty()) {
        return Check::ok("links", "none wanted (listen = []): this node is met by drops only");
    }
    if status.addresses.is_empty() {
        let hint =
            "see the `listen` line of cairn.toml, and whether a firewall or another program is in the way";
        return Check::fail("links", "the node listens at no address", hint);
    }
    match status.links.len() {
        0 => Check::warn("links", "no link is open now", "add whom to meet: cairn peer add NODE IP:PORT"),
        count => Check::ok("links", format!("{count} open, listening at {}", status.addresses.join(" "))),
    }
}

fn room(status: &Status) -> Check {
    let text = format!("{} of {} used", size(status.store_bytes), size(status.store_bytes_max));
    if status.store_bytes.saturating_mul(10) >= status.store_bytes_max.saturating_mul(9) {
        Check::warn("store", text, "raise store.size_max in cairn.toml, or meet peers so that mail can leave")
    } else {
        Check::ok("store", text)
    }
}

/// Whether mail to this node has forward secrecy.
fn prekeys(info: &PrekeyInfo) -> Check {
    match (info.announced, info.valid_until, info.clock) {
        (false, _, _) => Check::warn(
            "prekeys",
            "no prekey is announced: mail to this node is sealed to its long-term key",
            "free some disk space; see: cairn status",
        ),
        (true, None, _) | (true, Some(_), None) => Check::warn(
            "prekeys",
            "there is no clock: only those who meet this node can use its prekey",
            "set the clock: a time server, a GPS receiver, or date --set",
        ),
        (true, Some(until), Some(now)) if until < now => Check::warn(
            "prekeys",
            format!("the prekey was valid until {}", moment(until)),
            "see: cairn status",
        ),
        (true, Some(until), Some(_)) => {
            Check::ok("prekeys", format!("valid until {}, {} held", moment(until), info.held))
        }
    }
}

/// Moves the store away while no node has it.
pub(super) fn set_store_aside(home: &Path) -> Result<PathBuf, Failure> {
    let _lock = HomeLock::take(home)?;
    Store::set_aside(home.join(cairn_node::STORE_DIR))
        .map_err(|error| Failure::new(error.to_string(), "is there a store? see: cairn doctor"))
}

/// Reads the whole store, which only works while no node has it.
fn store(home: &Path) -> Check {
    let dir = home.join(cairn_node::STORE_DIR);
    if !dir.exists() {
        return Check::ok("store", "nothing is stored yet");
    }
    let _lock = match HomeLock::take(home) {
        Ok(lock) => lock,
        Err(error @ IdentityError::Running { .. }) => {
            return Check::fail("store", format!("{error}, but it does not answer"), error.hint());
        }
        Err(error) => return Check::fail("store", error.to_string(), error.hint()),
    };
    let hint = "keep a copy of the directory, then: cairn doctor --set-aside-store";
    let options = NodeConfig::load(home).map(|config| cairn_node::store_options(&config)).unwrap_or_default();
    match Store::open(&dir, options).and_then(|store| store.check()) {
        Ok(report) if !report.is_sound() => Check::fail(
            "store",
            format!(
                "{} damaged values; name them with: cairn store check",
                report.wrong_blobs.len() + report.damaged.len()
            ),
            hint,
        ),
        Ok(report) if report.repaired => {
            Check::warn("store", "it was damaged and has been repaired", "check the disk")
        }
        Ok(_) => Check::ok("store", "every page and every blob is as it was written"),
        Err(error) => Check::fail("store", error.to_string(), hint),
    }
}
