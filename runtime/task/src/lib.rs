//! Executors for WASM and ONNX tasks, the quality ladder, verification.
//!
//! A task is one execution of one rung of a job: bytes in, bytes out, within hard
//! bounds. [`run`] executes it in a worker process; [`ladder::choose`] says which
//! rung a node should take; [`verify::verify`] checks on behalf of the payer what somebody
//! else computed; [`JobFile`] reads the form of a job that people write.
//!
//! This crate does not know links, boards in motion, money or time of day: who
//! runs what when is the node's business.
//!
//! ```
//! use cairn_board::Bounds;
//! use cairn_task::{Cancel, wasm};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let module = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/digits/linear.wasm"))?;
//! let pictures = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/digits/held-out.idx"))?;
//! let bounds = Bounds { fuel: 50_000_000, memory_bytes: 1 << 20, wall_ms: 20_000, output_bytes: 1 << 16 };
//! let report = wasm::execute(&module, &pictures, &bounds, &Cancel::new())?;
//! assert_eq!(report.output.split(|byte| *byte == b'\n').count(), 601);
//! # Ok(())
//! # }
//! ```

mod cancel;
mod error;
pub mod idx;
pub mod jobfile;
pub mod ladder;
pub mod onnx;
mod protobuf;
pub mod resources;
mod units;
pub mod verify;
mod wasi;
pub mod wasm;
pub mod worker;

use std::path::{Path, PathBuf};

use cairn_board::{Bounds, Engine, Postprocess, Preprocess, Rung};

pub use cancel::{Cancel, POLL_MS};
pub use error::{ERROR_TEXT_BYTES_MAX, TaskError};
pub use jobfile::{JobFile, JobFileError, LoadedJob};
pub use resources::{NodeLimits, Resources};
pub use worker::WorkerCommand;

/// One execution of one rung.
#[derive(Debug, Clone, Copy)]
pub struct TaskSpec<'a> {
    /// What runs the module.
    pub engine: Engine,
    /// The module or model.
    pub module: &'a [u8],
    /// What it works on.
    pub input: &'a [u8],
    /// Its hard limits.
    pub bounds: Bounds,
    /// How a model gets its input.
    pub pre: Preprocess,
    /// What becomes of a model's output.
    pub post: Postprocess,
}

impl<'a> TaskSpec<'a> {
    /// The task of running a rung's module on an input.
    #[must_use]
    pub const fn new(rung: &Rung, module: &'a [u8], input: &'a [u8]) -> Self {
        Self { engine: rung.engine, module, input, bounds: rung.bounds, pre: rung.pre, post: rung.post }
    }
}

/// What a task answered and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    /// The output.
    pub output: Vec<u8>,
    /// Fuel used: the same on every machine. Zero for ONNX, which has none.
    pub fuel: u64,
    /// Wall time used, in milliseconds.
    pub wall_ms: u64,
    /// The engine and its version.
    pub engine: String,
}

/// What tasks are run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executors {
    worker: WorkerCommand,
    library: Option<PathBuf>,
}

impl Executors {
    /// Executors that start workers this way. The ONNX Runtime library is the one that
    /// [`onnx::find_library`] finds; without one the built-in back end computes.
    #[must_use]
    pub fn new(worker: WorkerCommand, onnxruntime: Option<&Path>) -> Self {
        Self { worker, library: onnx::find_library(onnxruntime) }
    }

    /// The ONNX Runtime library that workers will try to load.
    #[must_use]
    pub fn library(&self) -> Option<&Path> {
        self.library.as_deref()
    }

    /// The same, with the built-in ONNX back end only.
    #[must_use]
    pub fn built_in_only(self) -> Self {
        Self { library: None, ..self }
    }
}

/// Runs a task in a worker process and waits for its end.
///
/// It returns soon after the wall bound or a cancellation at the latest, and
/// leaves no process behind.
///
/// # Errors
/// Why there is no answer.
pub fn run(task: &TaskSpec<'_>, executors: &Executors, cancel: &Cancel) -> Result<TaskReport, TaskError> {
    if task.module.is_empty() {
        return Err(TaskError::MissingModule);
    }
    if cancel.is_cancelled() {
        return Err(TaskError::Cancelled);
    }
    worker::run(task, executors, cancel)
}
