//! Tasks run in a worker process: this program, started again with a hidden argument.
//!
//! A hostile model can then crash, loop or eat memory, and takes nothing with it
//! but its own process. The worker reads one request from its stdin, computes it
//! under hard limits of the operating system, writes one answer to its stdout and ends.
//!
//! Any program that calls [`crate::run`] starts its `main` with:
//! ```no_run
//! if cairn_task::worker::is_requested() {
//!     std::process::exit(cairn_task::worker::main());
//! }
//! ```

mod child;
mod frame;
mod parent;

pub use child::main;
pub(crate) use parent::run;

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The hidden argument that makes this program a worker.
pub const WORKER_ARGUMENT: &str = "--cairn-task-worker";

/// Whether this process was started as a worker.
#[must_use]
pub fn is_requested() -> bool {
    env::args_os().nth(1).is_some_and(|argument| argument == WORKER_ARGUMENT)
}

/// How a worker process is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// This program, with [`WORKER_ARGUMENT`].
    ///
    /// # Errors
    /// When the program's own path is unknown.
    pub fn this_program() -> io::Result<Self> {
        // The link keeps naming the running program after its file was replaced by an upgrade.
        let link = Path::new("/proc/self/exe");
        let program = if link.exists() { link.to_path_buf() } else { env::current_exe()? };
        Ok(Self { program, args: vec![WORKER_ARGUMENT.into()] })
    }
}
