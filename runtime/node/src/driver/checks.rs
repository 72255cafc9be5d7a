//! Sources of bundles, checked on threads of their own: one signature costs more than everything else that is done for a
//! bundle which is carried on.

use core::panic::AssertUnwindSafe;
use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_bundle::{Bundle, OpenError, verify_source};
use cairn_engine::Ticket;
use tokio::sync::mpsc;

use super::Done;

/// Bundles that a thread takes at a time.
const GROUP_MAX: usize = 16;
/// So few are checked at once: to hand them to another thread and back would take longer.
const AT_ONCE_MAX: usize = 2;

/// What a bundle takes up besides its payload, roughly: many small ones are no less than a few large ones.
const ENVELOPE_BYTES: u64 = 1_024;

/// What a check found.
pub(crate) type Checked = (Ticket, Result<(), OpenError>);

/// Bundles whose sources are checked, or wait for it.
#[derive(Debug)]
pub(crate) struct Checks {
    line: Arc<Mutex<Line>>,
    threads_max: usize,
    /// Bytes of bundles that wait or are being checked.
    bytes: u64,
    done: mpsc::UnboundedSender<Done>,
}

/// What waits, and how many threads take from it.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<(Ticket, Box<Bundle>)>,
    threads: usize,
}

impl Checks {
    pub(crate) fn new(done: mpsc::UnboundedSender<Done>) -> Self {
        let threads_max = std::thread::available_parallelism().map_or(1, usize::from);
        Self { line: Arc::default(), threads_max, bytes: 0, done }
    }

    pub(crate) fn add(&mut self, ticket: Ticket, bundle: Box<Bundle>) {
        self.bytes = self.bytes.saturating_add(size(&bundle));
        hold(&self.line).waiting.push_back((ticket, bundle));
    }

    /// Bytes of bundles that are held.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Has threads take what waits, or checks it now if it is little. What was checked now comes back.
    pub(crate) fn start(&mut self) -> Vec<Checked> {
        let mut line = hold(&self.line);
        if line.threads == 0 && line.waiting.len() <= AT_ONCE_MAX {
            let some: Vec<_> = line.waiting.drain(..).collect();
            drop(line);
            self.bytes = 0;
            return check(some).0;
        }
        while line.threads < self.threads_max && line.threads.saturating_mul(GROUP_MAX) < line.waiting.len() {
            line.threads = line.threads.saturating_add(1);
            let (line, done) = (Arc::clone(&self.line), self.done.clone());
            tokio::task::spawn_blocking(move || work(&line, &done));
        }
        Vec::new()
    }

    /// So many bytes were checked.
    pub(crate) const fn finished(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Checks what waits until nothing does.
fn work(line: &Mutex<Line>, done: &mpsc::UnboundedSender<Done>) {
    loop {
        let mut held = hold(line);
        if held.waiting.is_empty() {
            held.threads = held.threads.saturating_sub(1);
            return;
        }
        let count = held.waiting.len().min(GROUP_MAX);
        let some: Vec<_> = held.waiting.drain(..count).collect();
        drop(held);
        let (checked, bytes) = check(some);
        // Nobody waits for it when the node is ending.
        let _ = done.send(Done::Checked { checked, bytes });
    }
}

/// A line is whole at every moment, so that a panic elsewhere does not spoil it.
fn hold(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check(some: Vec<(Ticket, Box<Bundle>)>) -> (Vec<Checked>, u64) {
    let bytes = some.iter().map(|(_, bundle)| size(bundle)).fold(0, u64::saturating_add);
    (some.into_iter().map(|(ticket, bundle)| (ticket, check_one(&bundle))).collect(), bytes)
}

/// A check that panics is a fault of ours and must not cost the others theirs: the bundle counts as forged.
fn check_one(bundle: &Bundle) -> Result<(), OpenError> {
    catch_unwind(AssertUnwindSafe(|| verify_source(bundle).map(|_| ()))).unwrap_or(Err(OpenError::Signature))
}

fn size(bundle: &Bundle) -> u64 {
    super::count(bundle.payload().len()).saturating_add(ENVELOPE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::{Class, CreationTimestamp, Draft, Eid, Identity, Limits, sign};

    /// A signed bundle; every third one is forged.
    fn bundle(number: u64) -> (Ticket, Box<Bundle>) {
        let me = Identity::from_seed(&[1; 32]);
        let draft = Draft {
            destination: Eid::node(&Identity::from_seed(&[2; 32]).node_id(), "inbox").unwrap(),
            source_service: "inbox",
            creation: CreationTimestamp { time_ms: 0, seq: number },
            lifetime_ms: 1_000,
            hop_limit: 8,
            class: Class::Normal,
            age_ms: Some(0),
            may_fragment: false,
            admin_record: false,
            payload: b"a payload",
        };
        let mut bytes = sign(&draft, &me).unwrap().encode();
        if number.is_multiple_of(3) {
            let (primary, mut blocks) = sign(&draft, &me).unwrap().into_parts();
            blocks.last_mut().unwrap().data = b"o payload".to_vec();
            bytes = Bundle::new(primary, blocks).unwrap().encode();
        }
        (number, Box::new(Bundle::decode(&bytes, &Limits::default()).unwrap()))
    }

    fn expected(number: Ticket) -> Result<(), OpenError> {
        if number.is_multiple_of(3) { Err(OpenError::Signature) } else { Ok(()) }
    }

    #[tokio::test]
    async fn each_of_many_is_answered_once_by_other_threads() {
        let (done, mut done_in) = mpsc::unbounded_channel();
        let mut checks = Checks::new(done);
        let mut answered = std::collections::BTreeMap::new();
        for round in 0..3_u64 {
            (round * 100..round * 100 + 100).for_each(|number| {
                let (ticket, bundle) = bundle(number);
                checks.add(ticket, bundle);
            });
            assert!(checks.bytes() >= 100 * ENVELOPE_BYTES);
            assert!(checks.start().is_empty());
        }
        while answered.len() < 300 {
            let Some(Done::Checked { checked, bytes }) = done_in.recv().await else { panic!() };
            checks.finished(bytes);
            for (ticket, outcome) in checked {
                assert!(answered.insert(ticket, outcome).is_none());
            }
        }
        assert!(answered.iter().all(|(ticket, outcome)| *outcome == expected(*ticket)));
        assert_eq!(checks.bytes(), 0);
    }

    #[tokio::test]
    async fn a_few_are_answered_at_once() {
        let (done, _done_in) = mpsc::unbounded_channel();
        let mut checks = Checks::new(done);
        for number in [3, 4] {
            let (ticket, bundle) = bundle(number);
            checks.add(ticket, bundle);
        }
        assert_eq!(checks.start(), [(3, expected(3)), (4, expected(4))]);
        assert_eq!((checks.start().len(), checks.bytes()), (0, 0));
    }
}
