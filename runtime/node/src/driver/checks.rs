//! Sources of bundles, checked on threads of their own: one signature costs more than everything else that is done for a
//! bundle which is carried on.

use std::collections::VecDeque;

use cairn_bundle::{Bundle, OpenError, verify_source};
use cairn_engine::Ticket;
use tokio::sync::mpsc;

use super::Done;

/// Bundles that are checked by one thread at a time.
const GROUP_MAX: usize = 32;
/// So few are checked at once: to hand them to another thread and back would take longer.
const AT_ONCE_MAX: usize = 2;

/// What a bundle takes up besides its payload, roughly: many small ones are no less than a few large ones.
const ENVELOPE_BYTES: u64 = 1_024;

/// What a check found.
pub(crate) type Checked = (Ticket, Result<(), OpenError>);

/// Bundles whose sources are checked, or wait for it.
#[derive(Debug)]
pub(crate) struct Checks {
    waiting: VecDeque<(Ticket, Box<Bundle>)>,
    /// Threads that are checking, and how many there may be.
    running: usize,
    running_max: usize,
    /// Bytes of bundles that wait or are being checked.
    bytes: u64,
    done: mpsc::UnboundedSender<Done>,
}

impl Checks {
    pub(crate) fn new(done: mpsc::UnboundedSender<Done>) -> Self {
        let running_max = std::thread::available_parallelism().map_or(1, usize::from);
        Self { waiting: VecDeque::new(), running: 0, running_max, bytes: 0, done }
    }

    pub(crate) fn add(&mut self, ticket: Ticket, bundle: Box<Bundle>) {
        self.bytes = self.bytes.saturating_add(size(&bundle));
        self.waiting.push_back((ticket, bundle));
    }

    /// Bytes of bundles that are held.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands what waits to threads, or checks it now if it is little. What was checked now comes back.
    pub(crate) fn start(&mut self) -> Vec<Checked> {
        if self.running == 0 && self.waiting.len() <= AT_ONCE_MAX {
            let some: Vec<_> = self.waiting.drain(..).collect();
            self.bytes = 0;
            return check(some).0;
        }
        while self.running < self.running_max && !self.waiting.is_empty() {
            let count = self.waiting.len().div_ceil(self.running_max).min(GROUP_MAX);
            let some: Vec<_> = self.waiting.drain(..count).collect();
            let done = self.done.clone();
            self.running = self.running.saturating_add(1);
            tokio::task::spawn_blocking(move || {
                let (checked, bytes) = check(some);
                let _ = done.send(Done::Checked { checked, bytes });
            });
        }
        Vec::new()
    }

    /// A thread has finished.
    pub(crate) fn finished(&mut self, bytes: u64) {
        self.running = self.running.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

fn check(some: Vec<(Ticket, Box<Bundle>)>) -> (Vec<Checked>, u64) {
    let bytes = some.iter().map(|(_, bundle)| size(bundle)).fold(0, u64::saturating_add);
    let checked = some.into_iter().map(|(ticket, bundle)| (ticket, verify_source(&bundle).map(|_| ())));
    (checked.collect(), bytes)
}

fn size(bundle: &Bundle) -> u64 {
    super::count(bundle.payload().len()).saturating_add(ENVELOPE_BYTES)
}
