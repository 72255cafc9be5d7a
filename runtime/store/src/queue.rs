//! What the writer and all users of a store have in common: the queue, and the database as readers find it.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, ReadableDatabase as _};

use crate::entry::CHUNKED_BYTES_MAX;
use crate::fault::{Fault, contained};
use crate::files::Files;
use crate::medium::Medium;
use crate::op::{Batch, CommitError, Limits, Op, Priority, Table, Usage};
use crate::reading::{KeptView, Reading, View};
use crate::segments::Generation;
use crate::writer::Writer;

/// What waits for the disk may take up so much memory; more is refused with [`CommitError::Busy`].
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// One transaction takes up batches until it has so many bytes for redb.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Or so many bytes of segment files, which share the syncs of their directories and of the commit.
const GROUP_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Or so many segment files, each of which is open until it is synced.
const GROUP_FILES_MAX: usize = 64;
/// Counted for each operation besides its bytes.
const OP_OVERHEAD_BYTES: usize = 64;
/// Damaged keys that readers met and the writer has not looked at yet.
const MET_MAX: usize = 1024;

/// Called once, on the writer thread, with what became of a batch.
pub type Reply = Box<dyn FnOnce(Result<(), CommitError>) + Send>;
/// Something else that the writer does between two groups.
pub(crate) type Errand = Box<dyn FnOnce(&mut Writer) + Send>;

/// A batch on its way to the disk.
pub(crate) struct Pending {
    pub(crate) batch: Batch,
    pub(crate) priority: Priority,
    pub(crate) reply: Reply,
    bytes: usize,
    file_bytes: usize,
    files: usize,
}

impl Pending {
    fn new(batch: Batch, priority: Priority, reply: Reply) -> Self {
        let mut pending = Self { batch, priority, reply, bytes: 0, file_bytes: 0, files: 0 };
        for op in &pending.batch {
            pending.bytes = pending.bytes.saturating_add(op.bytes()).saturating_add(OP_OVERHEAD_BYTES);
            if let Op::Put { value, .. } = op
                && value.len() > CHUNKED_BYTES_MAX
            {
                pending.file_bytes = pending.file_bytes.saturating_add(value.len());
                pending.files = pending.files.saturating_add(1);
            }
        }
        pending
    }
}

enum Request {
    Commit(Pending),
    Refuse(CommitError, Reply),
    Errand(Errand),
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    bytes: usize,
    closing: bool,
    broken: bool,
    /// Keys whose values readers found damaged.
    met: Vec<(Table, Vec<u8>)>,
}

/// The database as readers find it.
pub(crate) enum State {
    Open(Database),
    Broken(Fault),
}

/// What the writer is to do next.
pub(crate) enum Work {
    Group(Vec<Pending>),
    Refuse(CommitError, Reply),
    Errand(Errand),
    Met(Vec<(Table, Vec<u8>)>),
    Reopen,
    Idle,
    Close,
}

/// What the writer and all users of a store have in common.
pub(crate) struct Shared {
    pub(crate) medium: Box<dyn Medium>,
    pub(crate) cache_bytes: usize,
    pub(crate) limits: Limits,
    queue: Mutex<Queue>,
    wake: Condvar,
    pub(crate) state: RwLock<State>,
    usage: Mutex<Usage>,
    generation: Mutex<Generation>,
    /// Locked after `state`, by who holds it.
    kept: Mutex<Option<KeptView>>,
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
            generation: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Queues a batch. One who waits for the reply is let in whatever the queue holds.
    pub(crate) fn submit(&self, batch: Batch, priority: Priority, waits: bool, reply: Reply) {
        let pending = Pending::new(batch, priority, reply);
        let mut queue = hold(&self.queue);
        if queue.closing {
            drop(queue);
            (pending.reply)(Err(CommitError::Closed));
            return;
        }
        let full = queue.bytes > 0 && queue.bytes.saturating_add(pending.bytes) > QUEUE_BYTES_MAX;
        let request = if full && !waits {
            Request::Refuse(CommitError::Busy, pending.reply)
        } else {
            queue.bytes = queue.bytes.saturating_add(pending.bytes);
            Request::Commit(pending)
        };
        queue.requests.push_back(request);
        drop(queue);
        self.wake.notify_one();
    }

    /// Has the writer do something; when the store is closing it is dropped.
    pub(crate) fn send(&self, errand: Errand) {
        let mut queue = hold(&self.queue);
        if !queue.closing {
            queue.requests.push_back(Request::Errand(errand));
            drop(queue);
            self.wake.notify_one();
        }
    }

    /// Asks the writer to open the database again after a reader met a fault.
    pub(crate) fn report(&self, fault: &Fault) {
        if matches!(fault, Fault::Io(_) | Fault::Corrupt(_) | Fault::Full) {
            hold(&self.queue).broken = true;
            self.wake.notify_one();
        }
    }

    /// Asks the writer to look at a value that a reader found damaged.
    pub(crate) fn report_damaged(&self, table: Table, key: &[u8]) {
        let mut queue = hold(&self.queue);
        if queue.met.len() < MET_MAX {
            queue.met.push((table, key.to_vec()));
            drop(queue);
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

    pub(crate) fn set_usage(&self, usage: Usage) {
        *hold(&self.usage) = usage;
    }

    pub(crate) fn files(&self) -> &dyn Files {
        self.medium.files()
    }

    /// A view of what is durable now.
    pub(crate) fn view(&self) -> Result<View, Fault> {
        self.view_of(&self.state())
    }

    fn view_of(&self, state: &State) -> Result<View, Fault> {
        // The generation first: who begins to read in between holds files that it could do without, never the other
        // way round.
        let generation = Generation::clone(&hold(&self.generation));
        let txn = match state {
            State::Open(database) => contained(|| Ok(database.begin_read()?))?,
            State::Broken(fault) => return Err(fault.clone()),
        };
        Ok(View { txn, _generation: generation })
    }

    /// Reads one table of what is durable now. The view is kept for the next reader until the next commit.
    pub(crate) fn read<T>(
        &self,
        table: Table,
        read: impl FnOnce(&Reading<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let state = self.state();
        let mut kept = hold(&self.kept);
        let view = match kept.take() {
            Some(view) => view,
            None => KeptView::new(self.view_of(&state)?),
        };
        let view = kept.insert(view);
        let result = contained(|| read(&view.reading(self.files(), table)?));
        if result.is_err() {
            *kept = None;
        }
        result
    }

    /// Lets go of the view that was kept: what it shows is not what is durable any more, or nobody may read.
    pub(crate) fn let_go(&self) {
        *hold(&self.kept) = None;
    }

    /// Begins a new generation of readers; the one that ends.
    pub(crate) fn next_generation(&self) -> Generation {
        core::mem::replace(&mut hold(&self.generation), Arc::new(()))
    }

    /// Waits for work, or until there was none for so long.
    pub(crate) fn next(&self, idle: Option<Duration>) -> Work {
        let mut queue = hold(&self.queue);
        loop {
            if core::mem::take(&mut queue.broken) {
                return Work::Reopen;
            }
            match queue.requests.pop_front() {
                Some(Request::Commit(first)) => return Work::Group(gather(&mut queue, first)),
                Some(Request::Refuse(error, reply)) => return Work::Refuse(error, reply),
                Some(Request::Errand(errand)) => return Work::Errand(errand),
                None if !queue.met.is_empty() => return Work::Met(core::mem::take(&mut queue.met)),
                None if queue.closing => return Work::Close,
                None => {
                    queue = match idle {
                        Some(idle) => {
                            let waited = self.wake.wait_timeout(queue, idle);
                            let (held, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                            if timeout.timed_out() && held.requests.is_empty() {
                                return Work::Idle;
                            }
                            held
                        }
                        None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                    }
                }
            }
        }
    }
}

/// A mutex whose content is whole at every moment, so that a panic elsewhere does not spoil it.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gather(queue: &mut Queue, first: Pending) -> Vec<Pending> {
    let (mut bytes, mut file_bytes, mut files) = (0_usize, 0_usize, 0_usize);
    let mut group = Vec::new();
    let mut next = Some(first);
    while let Some(pending) = next {
        queue.bytes = queue.bytes.saturating_sub(pending.bytes);
        bytes = bytes.saturating_add(pending.bytes.saturating_sub(pending.file_bytes));
        file_bytes = file_bytes.saturating_add(pending.file_bytes);
        files = files.saturating_add(pending.files);
        group.push(pending);
        if bytes >= GROUP_BYTES_MAX || file_bytes >= GROUP_FILE_BYTES_MAX || files >= GROUP_FILES_MAX {
            break;
        }
        next = match queue.requests.pop_front() {
            Some(Request::Commit(pending)) => Some(pending),
            Some(other) => {
                queue.requests.push_front(other);
                None
            }
            None => None,
        };
    }
    group
}
