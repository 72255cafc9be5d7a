//! The one thread that writes: it gathers what waits into one transaction, and replies after the fsync.

use core::fmt;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use redb::Database;

use crate::fault::{Fault, contained};
use crate::layout::Writing;
use crate::medium::{self, Medium};
use crate::op::{Batch, CommitError, FullCause, Limits, Op, Priority, Usage};

/// What waits for the disk may take up so much memory; more is refused with [`CommitError::Busy`].
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// One transaction takes up batches until it has so many bytes.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Counted for each operation besides its bytes.
const OP_OVERHEAD_BYTES: usize = 64;
/// A disk that was full is tried again when it has so much more room than then.
const ROOM_STEP_BYTES: u64 = 64 * 1024;
/// A check waits so long for readers to finish.
const READERS_WAIT: Duration = Duration::from_secs(2);

/// Called once, on the writer thread, with what became of a batch.
pub type Reply = Box<dyn FnOnce(Result<(), CommitError>) + Send>;
type CheckReply = Box<dyn FnOnce(Result<bool, Fault>) + Send>;

/// A batch on its way to the disk.
struct Pending {
    batch: Batch,
    priority: Priority,
    bytes: usize,
    reply: Reply,
}

enum Request {
    Commit(Pending),
    Refuse(CommitError, Reply),
    Check(CheckReply),
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    bytes: usize,
    closing: bool,
    broken: bool,
}

/// The database as readers find it.
pub(crate) enum State {
    Open(Database),
    Broken(Fault),
}

/// What the writer and all users of a store have in common.
pub(crate) struct Shared {
    medium: Box<dyn Medium>,
    cache_bytes: usize,
    limits: Limits,
    queue: Mutex<Queue>,
    wake: Condvar,
    state: RwLock<State>,
    usage: Mutex<Usage>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("medium", &self.medium)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        medium: Box<dyn Medium>,
        cache_bytes: usize,
        limits: Limits,
        database: Database,
        usage: Usage,
    ) -> Self {
        Self {
            medium,
            cache_bytes,
            limits,
            queue: Mutex::default(),
            wake: Condvar::new(),
            state: RwLock::new(State::Open(database)),
            usage: Mutex::new(usage),
        }
    }

    /// Queues a batch. One who waits for the reply is let in whatever the queue holds.
    pub(crate) fn submit(&self, batch: Batch, priority: Priority, waits: bool, reply: Reply) {
        let bytes = batch
            .iter()
            .fold(0_usize, |sum, op| sum.saturating_add(op.bytes()).saturating_add(OP_OVERHEAD_BYTES));
        let mut queue = hold(&self.queue);
        if queue.closing {
            drop(queue);
            reply(Err(CommitError::Closed));
            return;
        }
        let full = queue.bytes > 0 && queue.bytes.saturating_add(bytes) > QUEUE_BYTES_MAX;
        let request = if full && !waits {
            Request::Refuse(CommitError::Busy, reply)
        } else {
            queue.bytes = queue.bytes.saturating_add(bytes);
            Request::Commit(Pending { batch, priority, bytes, reply })
        };
        queue.requests.push_back(request);
        drop(queue);
        self.wake.notify_one();
    }

    pub(crate) fn request_check(&self, reply: CheckReply) {
        let mut queue = hold(&self.queue);
        if queue.closing {
            drop(queue);
            reply(Err(Fault::Closed));
            return;
        }
        queue.requests.push_back(Request::Check(reply));
        drop(queue);
        self.wake.notify_one();
    }

    /// Asks the writer to open the database again after a reader met a fault.
    pub(crate) fn report(&self, fault: &Fault) {
        if matches!(fault, Fault::Io(_) | Fault::Corrupt(_) | Fault::Full) {
            hold(&self.queue).broken = true;
            self.wake.notify_one();
        }
    }

    /// Lets the writer finish what waits, and then end.
    pub(crate) fn close(&self) {
        hold(&self.queue).closing = true;
        self.wake.notify_one();
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn usage(&self) -> Usage {
        *hold(&self.usage)
    }
}

/// A mutex whose content is whole at every moment, so that a panic elsewhere does not spoil it.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Work {
    Group(Vec<Pending>),
    Refuse(CommitError, Reply),
    Check(CheckReply),
    Reopen,
    Close,
}

/// The disk as it was when it had no room left.
struct FullMark {
    room: u64,
    bytes: u64,
    ballast_gone: bool,
}

type Outcome = Result<(), CommitError>;

/// The writer thread's own knowledge.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// The last transaction that is known to be durable.
    sequence: u64,
    full: Option<FullMark>,
}

impl Writer {
    pub(crate) const fn new(shared: Arc<Shared>, sequence: u64) -> Self {
        Self { shared, sequence, full: None }
    }

    pub(crate) fn run(mut self) {
        self.shared.medium.restore_ballast();
        loop {
            match self.next() {
                Work::Group(group) => self.commit_group(group),
                Work::Refuse(error, reply) => tell(reply, Err(error)),
                Work::Check(reply) => {
                    let result = self.check();
                    drop(catch_unwind(AssertUnwindSafe(|| reply(result))));
                }
                Work::Reopen => self.reopen(),
                Work::Close => break,
            }
        }
        self.close();
    }

    fn next(&self) -> Work {
        let mut queue = hold(&self.shared.queue);
        loop {
            if core::mem::take(&mut queue.broken) {
                return Work::Reopen;
            }
            match queue.requests.pop_front() {
                Some(Request::Commit(first)) => return Work::Group(gather(&mut queue, first)),
                Some(Request::Refuse(error, reply)) => return Work::Refuse(error, reply),
                Some(Request::Check(reply)) => return Work::Check(reply),
                None if queue.closing => return Work::Close,
                None => queue = self.shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn commit_group(&mut self, group: Vec<Pending>) {
        let outcomes = match self.try_group(&group) {
            Ok(outcomes) => outcomes,
            Err(_) => {
                // After a fault redb refuses everything until the file is opened again. Which batch was too much for
                // the disk shows when each is tried alone.
                self.reopen();
                self.one_by_one(&group)
            }
        };
        if self.full.is_none() && outcomes.iter().any(Result::is_ok) {
            self.shared.medium.restore_ballast();
        }
        for (pending, outcome) in group.into_iter().zip(outcomes) {
            tell(pending.reply, outcome);
        }
    }

    fn one_by_one(&mut self, group: &[Pending]) -> Vec<Outcome> {
        let mut failing = None;
        group
            .iter()
            .map(|pending| {
                if let Some(error) = failing {
                    return Err(error);
                }
                self.try_one(pending).unwrap_or_else(|fault| {
                    let error = fault.commit_error();
                    // A full disk may have room for the next; a failing one is not asked again at once.
                    if fault != Fault::Full {
                        failing = Some(error);
                    }
                    Err(error)
                })
            })
            .collect()
    }

    fn try_one(&mut self, pending: &Pending) -> Result<Outcome, Fault> {
        let mut result = self.try_alone(pending);
        let frees = pending.priority == Priority::High
            || pending.batch.iter().all(|op| matches!(op, Op::Delete { .. }));
        if result == Err(Fault::Full) && frees && self.shared.medium.release_ballast() {
            self.reopen();
            result = self.try_alone(pending);
        }
        if let Err(fault) = &result {
            self.reopen();
            if *fault == Fault::Full {
                self.full = Some(FullMark {
                    room: self.shared.medium.room(),
                    bytes: self.shared.usage().bytes(),
                    ballast_gone: frees,
                });
            }
        }
        result
    }

    fn try_alone(&mut self, pending: &Pending) -> Result<Outcome, Fault> {
        let outcomes = self.try_group(core::slice::from_ref(pending))?;
        Ok(outcomes.into_iter().next().unwrap_or(Err(CommitError::Closed)))
    }

    /// Commits a group in one transaction; what became of each batch, or the fault by which all of them failed.
    fn try_group(&mut self, group: &[Pending]) -> Result<Vec<Outcome>, Fault> {
        self.look_for_room();
        if matches!(&*self.shared.state(), State::Broken(fault) if !matches!(fault, Fault::Corrupt(_) | Fault::Newer(_)))
        {
            self.reopen();
        }
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        let database = match &*state {
            State::Open(database) => database,
            State::Broken(fault) => return Err(fault.clone()),
        };
        let mut usage = shared.usage();
        let sequence = self.sequence.saturating_add(1);
        let outcomes = contained(|| {
            let txn = database.begin_write()?;
            let mut writing = Writing::new(&txn)?;
            let mut outcomes = Vec::with_capacity(group.len());
            for pending in group {
                outcomes.push(self.write(&mut writing, &mut usage, pending)?);
            }
            if outcomes.iter().any(Result::is_ok) {
                writing.finish(&usage, sequence)?;
                txn.commit()?;
            } else {
                drop(writing);
                txn.abort()?;
            }
            Ok(outcomes)
        })?;
        if outcomes.iter().any(Result::is_ok) {
            self.sequence = sequence;
            *hold(&shared.usage) = usage;
        }
        Ok(outcomes)
    }

    /// Adds one batch to a transaction, if it may come in.
    fn write(
        &self,
        writing: &mut Writing<'_>,
        usage: &mut Usage,
        pending: &Pending,
    ) -> Result<Outcome, redb::Error> {
        if let Err(error) = pending.batch.iter().try_for_each(Op::check) {
            return Ok(Err(error));
        }
        let after = usage.after(&pending.batch, |table, key| writing.entry_bytes(table, key))?;
        if !self.shared.limits.allow(usage.bytes(), after.bytes(), pending.priority) {
            return Ok(Err(CommitError::Full(FullCause::Limit)));
        }
        if let Some(full) = &self.full
            && after.bytes() > usage.bytes()
            && (pending.priority == Priority::Normal || full.ballast_gone)
        {
            return Ok(Err(CommitError::Full(FullCause::Disk)));
        }
        for op in &pending.batch {
            writing.apply(op)?;
        }
        *usage = after;
        Ok(Ok(()))
    }

    /// Forgets that the disk was full once it has more room, or the store needs less.
    fn look_for_room(&mut self) {
        let Some(full) = &self.full else { return };
        if self.shared.usage().bytes() < full.bytes
            || self.shared.medium.room() >= full.room.saturating_add(ROOM_STEP_BYTES)
        {
            self.full = None;
        }
    }

    fn reopen(&mut self) {
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        // The old database must be gone, with its lock on the file, before the new one comes.
        let old = core::mem::replace(&mut *state, State::Broken(Fault::Closed));
        drop(catch_unwind(AssertUnwindSafe(move || drop(old))));
        *state = match medium::open(&*self.shared.medium, self.shared.cache_bytes, true) {
            Ok((_, knowledge)) if knowledge.sequence < self.sequence => {
                State::Broken(Fault::Corrupt("what was acknowledged last is gone".into()))
            }
            Ok((database, knowledge)) => {
                self.sequence = knowledge.sequence;
                *hold(&self.shared.usage) = knowledge.usage;
                State::Open(database)
            }
            Err(fault) => State::Broken(fault),
        };
    }

    fn check(&self) -> Result<bool, Fault> {
        let started = Instant::now();
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        let result = loop {
            let database = match &mut *state {
                State::Open(database) => database,
                State::Broken(fault) => return Err(fault.clone()),
            };
            match contained(|| Ok(database.check_integrity()?)) {
                Err(Fault::Readers) if started.elapsed() < READERS_WAIT => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => break other,
            }
        };
        if let Err(fault @ (Fault::Corrupt(_) | Fault::Io(_) | Fault::Full)) = &result {
            *state = State::Broken(fault.clone());
        }
        result
    }

    fn close(self) {
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        let old = core::mem::replace(&mut *state, State::Broken(Fault::Closed));
        if let State::Open(database) = old
            && contained(|| Ok(database.close()?)).is_ok()
        {
            self.shared.medium.closed(self.sequence);
        }
    }
}

fn gather(queue: &mut Queue, first: Pending) -> Vec<Pending> {
    let mut bytes = first.bytes;
    let mut group = vec![first];
    while bytes < GROUP_BYTES_MAX {
        match queue.requests.pop_front() {
            Some(Request::Commit(pending)) => {
                bytes = bytes.saturating_add(pending.bytes);
                group.push(pending);
            }
            Some(other) => {
                queue.requests.push_front(other);
                break;
            }
            None => break,
        }
    }
    queue.bytes = queue.bytes.saturating_sub(bytes);
    group
}

/// A reply that panics is its owner's fault and must not cost the others their store.
fn tell(reply: Reply, outcome: Outcome) {
    drop(catch_unwind(AssertUnwindSafe(|| reply(outcome))));
}
