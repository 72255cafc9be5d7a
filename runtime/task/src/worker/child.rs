//! The worker's side: limits first, then the task, then the answer.

use std::fs;
use std::io::{self, Write};
use std::panic;

use cairn_board::Engine;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::frame::{self, Answer, Request};
use crate::cancel::Cancel;
use crate::error::text;
use crate::onnx::Backend;
use crate::{TaskError, wasm};

/// Compiling a module takes memory that its own bound does not cover.
const COMPILER_BYTES: u64 = 256 << 20;
/// Processor time beyond the wall bound, before the kernel stops a worker whose parent did not.
const CPU_GRACE_SECONDS: u64 = 2;

/// Runs one task from stdin to stdout; the result is the process's exit code.
#[must_use]
pub fn main() -> i32 {
    // A worker without a parent is of no use to anybody.
    let _kept = set_parent_process_death_signal(Some(Signal::KILL));
    panic::set_hook(Box::new(say_why));
    let Ok(request) = frame::read_request(&mut io::stdin().lock()) else { return 2 };
    let answer = answer(&request);
    match frame::write_answer(&mut io::stdout().lock(), &answer) {
        Ok(()) => 0,
        Err(_) => 3,
    }
}

/// Tells the parent why a library gave up, without the paths of the machine it was built on.
fn say_why(panic: &panic::PanicHookInfo<'_>) {
    let why = panic.payload_as_str().unwrap_or("it gave up");
    let _closed = writeln!(io::stderr(), "{why}");
}

fn answer(request: &Request) -> Result<Answer, TaskError> {
    let bounds = &request.bounds;
    if request.module.is_empty() {
        return Err(TaskError::MissingModule);
    }
    match request.engine {
        Engine::Wasm => {
            confine(bounds.wall_ms, Resource::Data, bounds.memory_bytes.saturating_add(COMPILER_BYTES))?;
            let report = wasm::execute(&request.module, &request.input, bounds, &Cancel::new())?;
            Ok(Answer { output: report.output, fuel: report.fuel, engine: report.engine })
        }
        Engine::Onnx => {
            // The library is ours: it is loaded before anything is forbidden.
            let backend = Backend::load(request.library.as_deref())?;
            confine(bounds.wall_ms, Resource::As, bounds.memory_bytes)?;
            let how = (request.pre, request.post);
            let output = backend.infer(&request.module, &request.input, how, bounds.output_bytes)?;
            Ok(Answer { output, fuel: 0, engine: backend.name })
        }
    }
}

/// Takes from this process what the task must not have: more memory than it uses now and
/// `more_bytes`, more processor time than its wall time, any new file or socket, any written file.
fn confine(wall_ms: u64, memory: Resource, more_bytes: u64) -> Result<(), TaskError> {
    let field = if memory == Resource::As { "VmSize:" } else { "VmData:" };
    // Without /proc the bound is still a bound, only a tighter one.
    let used = memory_used(field).unwrap_or(0);
    let cpu = wall_ms.div_ceil(1_000).saturating_add(CPU_GRACE_SECONDS);
    let limits = [
        (memory, used.saturating_add(more_bytes)),
        (Resource::Cpu, cpu),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 0),
    ];
    for (resource, most) in limits {
        limit(resource, most)
            .map_err(|error| TaskError::NoWorker(text(format!("no limit for {resource:?}: {error}"))))?;
    }
    Ok(())
}

/// Lowers a limit; one that is lower already stays.
fn limit(resource: Resource, most: u64) -> rustix::io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let most = now.maximum.map_or(most, |maximum| maximum.min(most));
    // At its soft limit of processor time a process gets a signal that names the reason,
    // at the hard one it is only killed.
    let hard = if resource == Resource::Cpu { most.saturating_add(1) } else { most };
    let hard = now.maximum.map_or(hard, |maximum| maximum.min(hard));
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(hard) })
}

/// What the kernel counts for this process, in bytes.
fn memory_used(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
