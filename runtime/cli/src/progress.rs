//! A sign of life on stderr for what takes longer than a second.

use core::time::Duration;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

const SILENCE: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(120);
const SIGNS: [char; 4] = ['|', '/', '-', '\\'];

/// Shows a turning sign until it is dropped; says nothing if stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins to wait for something that has a name.
    pub(crate) fn start(what: &'static str) -> Self {
        if !io::stderr().is_terminal() {
            return Self { running: None };
        }
        let (stop, stopped) = mpsc::channel();
        let begun = Instant::now();
        let thread = std::thread::spawn(move || {
            let mut pause = SILENCE;
            let mut signs = SIGNS.iter().cycle();
            let mut shown = false;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let sign = signs.next().unwrap_or(&'|');
                let seconds = begun.elapsed().as_secs();
                let _ = write!(io::stderr(), "\r{sign} {what} … {seconds} s ");
                shown = true;
                pause = TURN;
            }
            if shown {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
        });
        Self { running: Some((stop, thread)) }
    }
}

/// Shows how far something has come, by its own word.
#[derive(Debug)]
pub(crate) struct Share {
    what: &'static str,
    begun: Instant,
    shown_at: Option<Instant>,
    terminal: bool,
}

impl Share {
    /// Begins something that says how far it is.
    pub(crate) fn start(what: &'static str) -> Self {
        Self { what, begun: Instant::now(), shown_at: None, terminal: io::stderr().is_terminal() }
    }

    /// So much of it all is done.
    pub(crate) fn show(&mut self, done: u64, all: u64) {
        let now = Instant::now();
        let silent = now.duration_since(self.begun) < SILENCE;
        if !self.terminal || silent || self.shown_at.is_some_and(|at| now.duration_since(at) < TURN) {
            return;
        }
        self.shown_at = Some(now);
        let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100).min(100);
        let _ = write!(io::stderr(), "\r{} … {percent} % ", self.what);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.shown_at.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}
