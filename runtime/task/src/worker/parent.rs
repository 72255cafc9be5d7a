//! The parent's side: start a worker, feed it, wait no longer than allowed, and make sense of its end.

use core::time::Duration;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use cairn_board::Engine;

use super::frame::{self, Answer};
use crate::cancel::{Cancel, POLL_MS};
use crate::error::text;
use crate::wasm::millis;
use crate::{Executors, TaskError, TaskReport, TaskSpec};

/// A WASM task stops itself at its wall bound; the parent waits this much longer
/// before it kills a worker that is still compiling.
const WASM_GRACE_MS: u64 = 500;
/// How much of a worker's stderr is read for the reason of its death.
const STDERR_BYTES_MAX: u64 = 4096;

/// Runs one task in a worker process.
pub(crate) fn run(
    task: &TaskSpec<'_>,
    executors: &Executors,
    cancel: &Cancel,
) -> Result<TaskReport, TaskError> {
    let started = Instant::now();
    let grace = if task.engine == Engine::Wasm { WASM_GRACE_MS } else { 0 };
    let wall = Duration::from_millis(task.bounds.wall_ms.saturating_add(grace));
    let mut worker = Killed(spawn(executors).map_err(no_worker)?);
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (worker.0.stdin.take(), worker.0.stdout.take(), worker.0.stderr.take())
    else {
        return Err(TaskError::NoWorker("it has no pipes".to_owned()));
    };

    let output_max = task.bounds.output_bytes;
    let library = executors.library.as_ref().and_then(|path| path.to_str());
    let (answered, answer) = mpsc::channel();
    thread::scope(|scope| {
        // A pipe that breaks means the worker ended: its end is the better reason.
        let talk = thread::Builder::new().spawn_scoped(scope, move || {
            let _broken = frame::write_request(&mut stdin, task, library);
        });
        let said = thread::Builder::new().spawn_scoped(scope, move || head_of(stderr));
        let listen = thread::Builder::new().spawn_scoped(scope, move || {
            let mut stdout = stdout;
            let _gone = answered.send(frame::read_answer(&mut stdout, output_max));
        });
        let (Ok(_), Ok(said), Ok(_)) = (talk, said, listen) else {
            worker.kill();
            return Err(TaskError::NoWorker("no threads are left".to_owned()));
        };
        let waited = wait(&answer, started, wall, cancel);
        // An answer is complete when it is here: what the process does after it is of no interest.
        let status = worker.kill_unless_ended(matches!(waited, Ok(Err(_))));
        let said = said.join().unwrap_or_default();
        match waited? {
            Ok(Ok(Answer { output, fuel, engine })) => {
                Ok(TaskReport { output, fuel, wall_ms: millis(started), engine })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(died(status, &said)),
        }
    })
}

fn no_worker(error: io::Error) -> TaskError {
    TaskError::NoWorker(text(error))
}

fn spawn(executors: &Executors) -> io::Result<Child> {
    Command::new(&executors.worker.program)
        .args(&executors.worker.args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

type Heard = io::Result<Result<Answer, TaskError>>;

/// Waits for the answer, the end of the time, or a cancellation.
fn wait(
    answer: &mpsc::Receiver<Heard>,
    started: Instant,
    wall: Duration,
    cancel: &Cancel,
) -> Result<Heard, TaskError> {
    loop {
        let left = wall.saturating_sub(started.elapsed());
        if cancel.is_cancelled() {
            return Err(TaskError::Cancelled);
        }
        if left.is_zero() {
            return Err(TaskError::OutOfTime);
        }
        match answer.recv_timeout(left.min(Duration::from_millis(POLL_MS))) {
            Ok(heard) => return Ok(heard),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// The first bytes of a stream; the rest is read and dropped, so that the writer never waits.
fn head_of(mut stream: impl Read) -> String {
    let mut head = Vec::new();
    let _cut = stream.by_ref().take(STDERR_BYTES_MAX).read_to_end(&mut head);
    let _rest = io::copy(&mut stream, &mut io::sink());
    String::from_utf8_lossy(&head).into_owned()
}

/// Why a worker ended without an answer.
fn died(status: Option<std::process::ExitStatus>, said: &str) -> TaskError {
    const CPU_LIMIT_SIGNAL: i32 = 24;
    let allocation = ["memory allocation of", "failed to allocate", "bad_alloc", "Cannot allocate memory"];
    if allocation.iter().any(|sign| said.contains(sign)) {
        return TaskError::OutOfMemory;
    }
    let Some(status) = status else { return TaskError::WorkerDied("its end is unknown".to_owned()) };
    if status.signal() == Some(CPU_LIMIT_SIGNAL) {
        return TaskError::OutOfTime;
    }
    TaskError::WorkerDied(text(format!("{status}: {said}")))
}

/// A process that does not outlive this value.
struct Killed(Child);

impl Killed {
    fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill, only to wait for.
        let _ended = self.0.kill();
    }

    /// Ends the process. One that closed its stdout without an answer is about to end by
    /// itself, and how it ends is worth a moment.
    fn kill_unless_ended(&mut self, closed: bool) -> Option<std::process::ExitStatus> {
        let until = Instant::now() + Duration::from_millis(if closed { 500 } else { 0 });
        while Instant::now() < until {
            match self.0.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(2)),
                Ok(status) => return status,
                Err(_) => break,
            }
        }
        self.kill();
        self.0.wait().ok()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
        let _status = self.0.wait();
    }
}
