//! The bench where tasks run: blobs out of the store, into an executor, the outcome back to the core.

use std::sync::Arc;

use cairn_bundle::Digest;
use cairn_store::{Read, Store, Table};
use cairn_task::verify::{Claim, Verdict};
use cairn_task::{Cancel, Executors, NodeLimits, Resources, TaskSpec, WorkerCommand};
use tokio::sync::mpsc;

use super::Done;
use crate::config::{EngineName, NodeConfig};
use crate::core::{SeedRng, TaskOrder, TaskOutcome, TaskPurpose};

/// Resources are compared in steps, so that a megabyte more or less wakes nobody.
const MEMORY_STEP: u64 = 64 << 20;

/// Executors with what they need.
#[derive(Debug)]
pub(crate) struct Bench {
    store: Arc<Store>,
    executors: Option<Executors>,
    done: mpsc::UnboundedSender<Done>,
    cancel: Cancel,
    item_bytes_max: u64,
}

/// What the owner of this node lets tasks have.
pub(crate) fn limits(config: &NodeConfig) -> NodeLimits {
    NodeLimits {
        memory_bytes_max: config.tasks.memory_max,
        wall_ms_max: config.tasks.wall_max_ms,
        wasm: config.tasks.engines.contains(&EngineName::Wasm),
        onnx: config.tasks.engines.contains(&EngineName::Onnx),
        output_bytes_max: config.item_size_max,
        ..NodeLimits::default()
    }
}

impl Bench {
    pub(crate) fn new(config: &NodeConfig, store: Arc<Store>, done: mpsc::UnboundedSender<Done>) -> Self {
        let library = config.tasks.onnxruntime.as_deref();
        let executors = WorkerCommand::this_program().ok().map(|worker| Executors::new(worker, library));
        Self { store, executors, done, cancel: Cancel::new(), item_bytes_max: config.item_size_max }
    }

    pub(crate) const fn item_bytes_max(&self) -> u64 {
        self.item_bytes_max
    }

    /// What the machine has to give right now, coarsely.
    pub(crate) fn measure() -> Resources {
        let mut measured = Resources::measure();
        measured.memory_available_bytes =
            measured.memory_available_bytes.map(|bytes| bytes / MEMORY_STEP * MEMORY_STEP);
        measured.load_permille = None;
        measured
    }

    /// Runs a task on a thread of its own; the outcome comes back as an event.
    pub(crate) fn start(&self, order: TaskOrder) {
        let (store, executors) = (Arc::clone(&self.store), self.executors.clone());
        let (done, cancel) = (self.done.clone(), self.cancel.clone());
        tokio::task::spawn_blocking(move || {
            let task = order.task;
            let outcome = match executors {
                Some(executors) => perform(&order, &store, &executors, &cancel),
                None => Err("this program does not know its own path, so it cannot start workers".to_owned()),
            };
            let outcome = outcome.unwrap_or_else(TaskOutcome::Failed);
            let _ = done.send(Done::Task { task, outcome });
        });
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn blob(store: &Store, id: &Digest, what: &str) -> Result<Vec<u8>, String> {
    let bytes = store.get(Table::Blobs, id.as_bytes()).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or_else(|| format!("its {what} is not in the store"))?;
    // What the disk gives back is not trusted: a wrong module would be run.
    if Digest::of(&bytes) == *id { Ok(bytes) } else { Err(format!("its {what} is damaged on disk")) }
}

fn perform(
    order: &TaskOrder,
    store: &Store,
    executors: &Executors,
    cancel: &Cancel,
) -> Result<TaskOutcome, String> {
    let rung = order.job.rungs.get(usize::from(order.rung)).ok_or("the job has no such rung")?;
    let module = blob(store, &rung.module.id, "module")?;
    let input = blob(store, &order.job.input.id, "input")?;
    match &order.purpose {
        TaskPurpose::Execute => {
            let report = cairn_task::run(&TaskSpec::new(rung, &module, &input), executors, cancel);
            report.map(TaskOutcome::Ran).map_err(|error| error.to_string())
        }
        TaskPurpose::Verify { output, seed, .. } => {
            let output = blob(store, &output.id, "output")?;
            let claim = Claim {
                job: &order.job,
                rung: usize::from(order.rung),
                module: &module,
                input: &input,
                output: &output,
            };
            let mut rng = SeedRng::new(seed);
            let mut random = || u64::from_le_bytes(rng.bytes());
            match cairn_task::verify::verify(&claim, &mut random, executors, cancel) {
                Ok(Verdict::Good { .. }) => Ok(TaskOutcome::Valid),
                Ok(Verdict::Bad(flaw)) => Ok(TaskOutcome::Invalid(flaw.to_string())),
                Err(error) => Err(error.to_string()),
            }
        }
    }
}
