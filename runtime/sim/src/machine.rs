//! The machine that nodes compute on: stands for wasmtime and ONNX Runtime.
//!
//! The output of a rung is a digest of its module and its input, so two honest executions agree and a check by
//! comparison means what it means on a real machine. How long it takes, and whether it fails, is chance.

use cairn_bundle::Digest;
use cairn_node::core::{TaskOrder, TaskOutcome, TaskPurpose};
use cairn_store::{Read, Table};
use cairn_task::TaskReport;

use crate::dice::Dice;

/// Longest time that a simulated task takes, in milliseconds.
const TASK_MS_MAX: u64 = 30_000;

/// What an honest execution of the rung answers.
fn answer(order: &TaskOrder) -> Option<Vec<u8>> {
    let rung = order.job.rungs.get(usize::from(order.rung))?;
    let both = [rung.module.id.0, order.job.input.id.0].concat();
    Some(format!("{}: {}\n", rung.name, Digest::of(&both)).into_bytes())
}

/// Runs a task: how long it takes, and how it ends.
pub(crate) fn perform(
    order: &TaskOrder,
    disk: &dyn Read,
    dice: &mut Dice,
    fail_percent: u64,
) -> (u64, TaskOutcome) {
    let wall_ms = dice.pick(1..TASK_MS_MAX);
    let fails = dice.percent(fail_percent);
    let outcome = match (&order.purpose, answer(order)) {
        (_, None) => TaskOutcome::Failed("the job has no such rung".to_owned()),
        (TaskPurpose::Execute, _) if fails => TaskOutcome::Failed("the simulated machine failed".to_owned()),
        (TaskPurpose::Execute, Some(output)) => {
            let engine = "simulated 1".to_owned();
            TaskOutcome::Ran(TaskReport { output, fuel: 1_000, wall_ms, engine })
        }
        (TaskPurpose::Verify { output, .. }, Some(honest)) => {
            match disk.get(Table::Blobs, output.id.as_bytes()) {
                Ok(Some(claimed)) if claimed == honest => TaskOutcome::Valid,
                Ok(Some(_)) => TaskOutcome::Invalid("the output is another".to_owned()),
                Ok(None) | Err(_) => TaskOutcome::Failed("its output is not in the store".to_owned()),
            }
        }
    };
    (wall_ms, outcome)
}
