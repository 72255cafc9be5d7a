//! Where the demo plays: a directory, three nodes, a clock, and the wish of a person to stop.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use cairn_node::control::client::ClientError;

use super::process::Node;
use crate::context::absolute;
use crate::failure::Failure;
use crate::out;

const POLL: Duration = Duration::from_millis(40);

/// How long one step may take, and how much longer while processes are being killed.
const STEP_MAX: Duration = Duration::from_secs(20);
const KILLS_FACTOR: u32 = 6;

/// Everything that is set up before the story begins.
#[derive(Debug)]
pub(super) struct Stage {
    root: PathBuf,
    pub(super) a: Arc<Node>,
    pub(super) b: Arc<Node>,
    pub(super) c: Arc<Node>,
    begun: Instant,
    step_max: Duration,
    interrupted: Arc<AtomicBool>,
    /// Last, so that the nodes have ended when their directories go.
    temporary: Option<tempfile::TempDir>,
}

/// Why something is not done yet: it is tried again until the deadline of the step.
#[derive(Debug)]
pub(super) struct Pending(String);

/// One attempt of a step.
pub(super) type Attempt<T> = Result<T, Pending>;

impl Pending {
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<ClientError> for Pending {
    fn from(error: ClientError) -> Self {
        Self(error.to_string())
    }
}

impl Stage {
    /// Makes the directory and the nodes' settings; starts nothing.
    pub(super) fn set(keep: Option<&Path>, kills: bool) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(
                format!("cannot set up the demo: {error}"),
                "name an empty directory with --keep DIR",
            )
        };
        let (root, temporary) = match keep {
            Some(keep) => {
                let root = absolute(keep)?;
                fs::create_dir_all(&root).map_err(failed)?;
                if fs::read_dir(&root).map_err(failed)?.next().is_some() {
                    let text = format!("the directory {} is not empty", root.display());
                    return Err(Failure::new(text, "name a new or empty directory with --keep DIR"));
                }
                (root, None)
            }
            None => {
                let temporary = tempfile::Builder::new().prefix("cairn-demo-").tempdir().map_err(failed)?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let node =
            |label, name, settings| Node::prepare(&root, label, name, settings).map(Arc::new).map_err(failed);
        let stage = Self {
            a: node("a", "depot", "listen = [\"127.0.0.1:0\"]\n[tasks]\nenabled = false\n")?,
            b: node("b", "carrier", "listen = [\"127.0.0.1:0\"]\n[tasks]\nengines = [\"wasm\"]\n")?,
            // No sockets at all: whatever reaches C came on the stick.
            c: node("c", "jetson", "listen = []\n")?,
            begun: Instant::now(),
            step_max: if kills { STEP_MAX * KILLS_FACTOR } else { STEP_MAX },
            interrupted: watch_signals().map_err(failed)?,
            root,
            temporary,
        };
        fs::create_dir(stage.stick()).map_err(failed)?;
        Ok(stage)
    }

    /// The directory that is carried between B and C.
    pub(super) fn stick(&self) -> PathBuf {
        self.root.join("stick")
    }

    /// A path in the demo's directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn nodes(&self) -> [&Arc<Node>; 3] {
        [&self.a, &self.b, &self.c]
    }

    /// Tells what happens, with the time since the beginning.
    pub(super) fn say(&self, text: &str) {
        let elapsed = self.begun.elapsed();
        out::say(&format!("[{:>3}.{} s] {text}", elapsed.as_secs(), elapsed.subsec_millis() / 100));
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether a person wants the demo to end.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    pub(super) fn interrupted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupted)
    }

    /// Tries until it works; fails when the step's time is over, a node died by itself, or a person stops it.
    pub(super) fn until<T>(&self, what: &str, mut attempt: impl FnMut() -> Attempt<T>) -> Result<T, String> {
        let deadline = Instant::now() + self.step_max;
        loop {
            if self.is_interrupted() {
                return Err("stopped by a signal".into());
            }
            let reason = match attempt() {
                Ok(value) => return Ok(value),
                Err(Pending(reason)) => reason,
            };
            for node in self.nodes() {
                node.is_well()?;
            }
            if Instant::now() >= deadline {
                return Err(format!("{what}: not within {} s; last: {reason}", self.step_max.as_secs()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends the nodes and keeps the directory.
    pub(super) fn leave_behind(mut self) -> PathBuf {
        self.temporary.take().map_or_else(|| self.root.clone(), tempfile::TempDir::keep)
    }
}

/// A flag that Ctrl-C and SIGTERM set, so that the nodes are ended and reaped in order.
fn watch_signals() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        use tokio::signal::unix::{SignalKind, signal};
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        set.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}
