//! One node as an operating system process: started, asked, stopped on purpose, killed.

use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cairn_node::control::api::{Request, Response};
use cairn_node::control::client::{Client, ClientError};

/// A node that does not answer within this time hangs.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A node that was told to end has this long.
const END_MAX: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(20);

/// A node of the demo.
#[derive(Debug)]
pub(crate) struct Node {
    /// What the story calls it.
    pub(crate) label: &'static str,
    /// The name on its card.
    pub(crate) name: &'static str,
    home: PathBuf,
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    child: Option<Child>,
    /// Whether it should be running; a node that is down on purpose is left alone.
    wanted: bool,
    /// The address of its first start, which it takes again after each restart.
    listen: Option<String>,
}

impl Node {
    /// Prepares the data directory with its settings; starts nothing.
    pub(super) fn prepare(
        root: &Path,
        label: &'static str,
        name: &'static str,
        settings: &str,
    ) -> io::Result<Self> {
        let home = root.join(label);
        fs::create_dir(&home)?;
        fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let common = format!("name = \"{name}\"\ndiscovery = false\n");
        fs::write(home.join(cairn_node::config::CONFIG_FILE), format!("{common}{settings}"))?;
        let log = root.join(format!("{label}.log"));
        Ok(Self { label, name, home, log, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it; from now on it should be running.
    pub(super) fn start(&self) -> Result<(), String> {
        let mut state = self.state();
        state.wanted = true;
        self.spawn(&mut state)
    }

    fn spawn(&self, state: &mut State) -> Result<(), String> {
        let spawn = || -> io::Result<Child> {
            let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--home").arg(&self.home).args(["--json", "node", "--leash"]);
            if let Some(listen) = &state.listen {
                command.args(["--listen", listen]);
            }
            // Its own process group, so that Ctrl-C reaches the demo, which then ends the nodes in order.
            command.process_group(0);
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn()
        };
        state.child = Some(spawn().map_err(|error| format!("cannot start {}: {error}", self.label))?);
        Ok(())
    }

    /// Remembers where it listens, so that others find it there after a restart.
    pub(super) fn keep_address(&self, address: &str) {
        self.state().listen = Some(address.to_owned());
    }

    /// Kills it at once (`kill -9`) and starts it again; `false` if it is down on purpose.
    pub(super) fn kill_and_restart(&self) -> Result<bool, String> {
        let mut state = self.state();
        if !state.wanted {
            return Ok(false);
        }
        if let Some(mut child) = state.child.take() {
            self.still_runs(&mut child)?;
            end(&mut child);
        }
        self.spawn(&mut state)?;
        Ok(true)
    }

    /// Tells it to end and waits until it has; nobody starts it again before [`Node::start`].
    pub(super) fn stop(&self) -> Result<(), String> {
        let mut state = self.state();
        state.wanted = false;
        let Some(mut child) = state.child.take() else { return Ok(()) };
        let deadline = Instant::now() + END_MAX;
        let mut told = false;
        while Instant::now() < deadline {
            // It may just be starting, and then has no socket yet.
            told = told || self.ask(&Request::Shutdown).is_ok();
            if child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        end(&mut child);
        Err(format!("{} did not end within {} s after it was told to", self.label, END_MAX.as_secs()))
    }

    /// An error if it ended although nobody wanted it to.
    pub(super) fn is_well(&self) -> Result<(), String> {
        match &mut self.state().child {
            Some(child) => self.still_runs(child),
            None => Ok(()),
        }
    }

    fn still_runs(&self, child: &mut Child) -> Result<(), String> {
        match child.try_wait() {
            Ok(Some(status)) => Err(format!(
                "the process of {} ended by itself ({status}): {}",
                self.label,
                self.last_words()
            )),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Asks it over its control socket.
    pub(super) fn ask(&self, request: &Request) -> Result<Response, ClientError> {
        Client::connect(&self.home)?.answers_within(ANSWER_MAX)?.ask(request)
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let mut lines: Vec<&str> = log.lines().rev().take(4).collect();
        lines.reverse();
        if lines.is_empty() { "it said nothing".into() } else { lines.join(" | ") }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.state().child.take() {
            end(&mut child);
        }
    }
}

/// Kills and reaps.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
