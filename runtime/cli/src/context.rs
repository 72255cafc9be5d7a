//! What every command needs: the data directory, the way to the node, and how to show an answer.

use std::path::{Path, PathBuf};

use cairn_node::config::default_home;
use cairn_node::control::api::{Request, Response};
use cairn_node::control::client::Client;

use crate::args::Common;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{out, render};

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Context {
    home: PathBuf,
    json: bool,
}

impl Context {
    pub(crate) fn new(common: Common) -> Result<Self, Failure> {
        let home = match common.home.filter(|home| !home.as_os_str().is_empty()) {
            Some(home) => home,
            None => default_home()?,
        };
        Ok(Self { home: absolute(&home)?, json: common.json })
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Asks the node.
    pub(crate) fn ask(&self, request: &Request) -> Result<Response, Failure> {
        let _progress = Progress::start("waiting for the node");
        Ok(Client::connect(&self.home)?.ask(request)?)
    }

    /// Asks the node and shows its answer: as JSON, or as text for a person.
    pub(crate) fn tell(&self, request: &Request) -> Result<(), Failure> {
        let response = self.ask(request)?;
        self.show(&response, render::response)
    }

    /// Asks for something to be done; a person is told `done` on stderr.
    pub(crate) fn order(&self, request: &Request, done: &str) -> Result<(), Failure> {
        let response = self.ask(request)?;
        if !self.json {
            out::say(&out::clean(done));
        }
        self.show(&response, render::response)
    }

    /// Shows an answer as JSON, or as the text that `human` makes of it.
    pub(crate) fn show(
        &self,
        response: &Response,
        human: impl FnOnce(&Response) -> String,
    ) -> Result<(), Failure> {
        if self.json { out::json(response) } else { out::text(&human(response)) }
    }
}

/// The node has another working directory, so paths go to it absolute.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        Failure::new(format!("no such path {}: {error}", path.display()), "name a file or a directory")
    })
}

/// A key for an order that must not happen twice: the given one, or a random one.
pub(crate) fn order_key(given: Option<String>) -> Result<String, Failure> {
    if let Some(key) = given {
        return Ok(key);
    }
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| Failure::new("the system gives no randomness", "name a key yourself with --key"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
