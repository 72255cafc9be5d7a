//! The WASM executor: a WASI command module from stdin to stdout, metered and bounded.
//!
//! The same module and input give the same output and the same fuel on every
//! processor: not-a-number values are made canonical, relaxed SIMD is strict,
//! there are no threads, and nothing that the host offers depends on time or place.

use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use cairn_board::Bounds;
use wasmtime::{Config, Engine, Linker, Module, Store, Trap};

use crate::cancel::{Cancel, POLL_MS};
use crate::error::text;
use crate::wasi::{self, Host, Stop};
use crate::{TaskError, TaskReport};

/// Largest module.
pub const MODULE_BYTES_MAX: usize = 32 << 20;
/// Largest stack of a module, part of no other bound.
const STACK_BYTES_MAX: usize = 512 << 10;

/// Runs a module in this process, on this thread.
///
/// Compiling takes no fuel and is not stopped by the wall bound; [`crate::run`]
/// does all of it in a worker process, which is killed.
///
/// # Errors
/// Why there is no answer.
pub fn execute(
    module: &[u8],
    input: &[u8],
    bounds: &Bounds,
    cancel: &Cancel,
) -> Result<TaskReport, TaskError> {
    let started = Instant::now();
    if module.is_empty() {
        return Err(TaskError::MissingModule);
    }
    if cancel.is_cancelled() {
        return Err(TaskError::Cancelled);
    }
    let engine = engine().map_err(|error| TaskError::NoWorker(text(error)))?;
    let code = compile(&engine, module)?;
    let mut linker = Linker::new(&engine);
    wasi::link(&mut linker, &code)?;
    let linked = linker.instantiate_pre(&code).map_err(|error| TaskError::NotWasm(text(error)))?;

    // More than this machine can address is no bound at all.
    let memory_max = usize::try_from(bounds.memory_bytes).unwrap_or(usize::MAX);
    let output_max = usize::try_from(bounds.output_bytes).unwrap_or(usize::MAX);
    let mut store = Store::new(&engine, Host::new(module, input, memory_max, output_max));
    store.limiter(|host| &mut host.memory);
    store.set_fuel(bounds.fuel).map_err(|error| TaskError::NoWorker(text(error)))?;
    store.set_epoch_deadline(1);

    let watchdog = Watchdog::start(&engine, started, bounds.wall_ms, cancel.clone())
        .map_err(|error| TaskError::NoWorker(text(error)))?;
    let ran = linked.instantiate(&mut store).and_then(|instance| {
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        start.call(&mut store, ())
    });
    let stopped = watchdog.finish();

    let left = store.get_fuel().unwrap_or(0);
    let host = store.into_data();
    judge(ran, stopped, &host)?;
    Ok(TaskReport {
        output: host.output,
        fuel: bounds.fuel.saturating_sub(left),
        wall_ms: millis(started),
        engine: ENGINE.to_owned(),
    })
}

/// What reports call this engine.
pub const ENGINE: &str = "wasmtime 48";

pub(crate) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_backtrace_max_frames(None)
        .max_wasm_stack(STACK_BYTES_MAX)
        // A module's first memory would be mapped from a file: the worker has no files.
        .memory_init_cow(false);
    Engine::new(&config)
}

fn compile(engine: &Engine, module: &[u8]) -> Result<Module, TaskError> {
    if module.len() > MODULE_BYTES_MAX {
        return Err(TaskError::NotWasm(format!("it is larger than {MODULE_BYTES_MAX} bytes")));
    }
    if !module.starts_with(b"\0asm") {
        return Err(TaskError::NotWasm("it does not start like one".to_owned()));
    }
    let code = Module::from_binary(engine, module).map_err(|error| TaskError::NotWasm(text(error)))?;
    let start = code.get_export("_start").and_then(|export| export.func().cloned());
    match start {
        Some(start) if start.params().len() == 0 && start.results().len() == 0 => Ok(code),
        _ => Err(TaskError::NotWasm("it has no function _start without arguments".to_owned())),
    }
}

/// Turns the end of a module into the reason that counts: what we did to it comes
/// first, then what it did to itself.
fn judge(ran: wasmtime::Result<()>, stopped: Stopped, host: &Host) -> Result<(), TaskError> {
    let Err(error) = ran else { return Ok(()) };
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match *stop {
            Stop::Exit(0) => Ok(()),
            Stop::Exit(_) if host.memory.refused => Err(TaskError::OutOfMemory),
            Stop::Exit(code) => Err(TaskError::NonZeroExit { code, stderr: stderr(host) }),
            Stop::OutputTooLarge => Err(TaskError::OutputTooLarge),
        };
    }
    match (error.downcast_ref::<Trap>(), stopped) {
        (Some(Trap::Interrupt), Stopped::Cancelled) => Err(TaskError::Cancelled),
        (Some(Trap::Interrupt), _) => Err(TaskError::OutOfTime),
        (Some(Trap::OutOfFuel), _) => Err(TaskError::OutOfFuel),
        _ if host.memory.refused => Err(TaskError::OutOfMemory),
        (Some(trap), _) => {
            let said = stderr(host);
            Err(TaskError::Trap(if said.is_empty() { trap.to_string() } else { format!("{trap}: {said}") }))
        }
        (None, _) => Err(TaskError::Trap(text(error))),
    }
}

fn stderr(host: &Host) -> String {
    text(String::from_utf8_lossy(&host.stderr))
}

/// Why a watchdog rang.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Not,
    Late,
    Cancelled,
}

/// A thread that interrupts the module when its time is over or somebody cancels it.
struct Watchdog {
    done: mpsc::Sender<()>,
    rang: Arc<AtomicU8>,
    thread: thread::JoinHandle<()>,
}

impl Watchdog {
    fn start(engine: &Engine, started: Instant, wall_ms: u64, cancel: Cancel) -> std::io::Result<Self> {
        let (done, finished) = mpsc::channel();
        let rang = Arc::new(AtomicU8::new(0));
        let (engine, bell) = (engine.clone(), Arc::clone(&rang));
        let wall = Duration::from_millis(wall_ms);
        let watch = move || {
            let reason = loop {
                let left = wall.saturating_sub(started.elapsed());
                if cancel.is_cancelled() {
                    break 2;
                }
                if left.is_zero() {
                    break 1;
                }
                match finished.recv_timeout(left.min(Duration::from_millis(POLL_MS))) {
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
            };
            bell.store(reason, Ordering::Release);
            engine.increment_epoch();
        };
        let thread = thread::Builder::new().name("task watchdog".to_owned()).spawn(watch)?;
        Ok(Self { done, rang, thread })
    }

    fn finish(self) -> Stopped {
        // The thread is gone when it has rung: nobody is left to hear that.
        let _gone = self.done.send(());
        let _ended = self.thread.join();
        match self.rang.load(Ordering::Acquire) {
            0 => Stopped::Not,
            1 => Stopped::Late,
            _ => Stopped::Cancelled,
        }
    }
}
