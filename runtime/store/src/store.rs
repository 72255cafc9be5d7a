//! The store as its users see it.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU32, Ordering};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use crate::ahead::ROWS_MIN;
use crate::fault::{Fault, StoreError, contained};
use crate::medium::{self, Directory, Medium};
use crate::op::{Batch, CommitError, Limits, Priority, Read, ReadError, Table, Usage, Visitor};
use crate::queue::{Reply, Shared};
use crate::reading::{Reading, View};
use crate::scrub::Cursor;
use crate::writer::Writer;

/// Is given each row, with its raw entry, and says whether to go on.
type Step<'a> = dyn FnMut(&Reading<'_>, &[u8], &[u8]) -> Result<bool, Fault> + 'a;

/// How a store is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Memory for pages of the file.
    pub cache_bytes: usize,
    /// Keys and values may have so many bytes in all. The file is larger: see `docs/design/store.md`.
    pub size_max: u64,
    /// The last part of `size_max`, for [`Priority::High`] only.
    pub reserve: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 4 * 1024 * 1024, size_max: 1024 * 1024 * 1024, reserve: 16 * 1024 * 1024 }
    }
}

/// A durable, ordered key-value store in a directory of its own. Share it by reference or in an [`Arc`]; dropping the
/// last one writes what waits and closes the file.
#[derive(Debug)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    dir: PathBuf,
    rows_format: AtomicU32,
    pub(crate) scrub: Mutex<Cursor>,
}

impl Store {
    /// Opens the store in `dir`, and creates both where they are missing. A store of an older format is upgraded: see
    /// [`Store::format_found`].
    ///
    /// A file up to 256 MiB, or one whose process was killed while it wrote, is read as a whole and checked.
    ///
    /// # Errors
    /// [`StoreError`]: the directory is in use, the format is newer, the file is damaged, the system refused.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        let directory = Directory::take(dir)?;
        directory.create()?;
        Self::open_on(Box::new(directory), dir, options)
    }

    /// Renames a damaged file (and the segment files beside it), so that the next opening starts with an empty store.
    /// Returns where the file is now.
    ///
    /// # Errors
    /// [`StoreError`]: the directory is in use, or the system refused.
    pub fn set_aside(dir: impl AsRef<Path>) -> Result<PathBuf, StoreError> {
        Directory::take(dir.as_ref())?.set_aside()
    }

    pub(crate) fn open_on(medium: Box<dyn Medium>, dir: &Path, options: Options) -> Result<Self, StoreError> {
        let closed_at = medium.closed_at();
        let fault = |fault: Fault| fault.into_store_error(dir);
        let (database, knowledge) = medium::open(&*medium, options.cache_bytes, false).map_err(fault)?;
        if closed_at.is_some_and(|sequence| knowledge.sequence < sequence) {
            return Err(fault(Fault::Corrupt("its newest part is gone".into())));
        }
        medium.opened().map_err(StoreError::io(dir))?;
        let limits = Limits { size_max: options.size_max, reserve: options.reserve };
        let shared = Arc::new(Shared::new(medium, options.cache_bytes, limits, database, knowledge.usage));
        let writer = Writer::new(Arc::clone(&shared), &knowledge);
        let writer = thread::Builder::new()
            .name("cairn-store".into())
            .spawn(move || writer.run())
            .map_err(StoreError::io(dir))?;
        Ok(Self {
            shared,
            writer: Some(writer),
            dir: dir.into(),
            rows_format: AtomicU32::new(knowledge.rows_format),
            scrub: Mutex::default(),
        })
    }

    /// The format in which the rows of the tables were written. The store brings an older one to its own layout when it
    /// opens it, but what its host keeps in the rows only the host can read: it rewrites what it must (in as many
    /// batches as it likes, and again after a crash), and then calls [`Store::rows_upgraded`]. Until then this number
    /// is the old one, at every opening.
    #[must_use]
    pub fn format_found(&self) -> u32 {
        self.rows_format.load(Ordering::Relaxed)
    }

    /// Notes, durably, that all rows are of the present format.
    ///
    /// # Errors
    /// [`StoreError`]: the disk failed, or the store is closed.
    pub fn rows_upgraded(&self) -> Result<(), StoreError> {
        let format = self.on_writer(Writer::finish_upgrade)?;
        self.rows_format.store(format, Ordering::Relaxed);
        Ok(())
    }

    /// Hands a batch to the writer. `reply` is called once, on the writer's thread, after the batch is durable or was
    /// refused; it must not wait for another commit. Batches are written in the order in which they were submitted.
    pub fn submit(&self, batch: Batch, reply: Reply) {
        self.submit_with(batch, Priority::Normal, reply);
    }

    /// As [`Store::submit`], with a priority.
    pub fn submit_with(&self, batch: Batch, priority: Priority, reply: Reply) {
        self.shared.submit(batch, priority, false, reply);
    }

    /// Commits a batch and waits until it is durable.
    ///
    /// # Errors
    /// [`CommitError`]; always [`CommitError::Busy`] when called from within a reply, which would wait for itself.
    pub fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.commit_with(batch, Priority::Normal)
    }

    /// As [`Store::commit`], with a priority.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn commit_with(&self, batch: Batch, priority: Priority) -> Result<(), CommitError> {
        if self.on_writer_thread() {
            return Err(CommitError::Busy);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let reply = Box::new(move |result| {
            // The receiver below waits for nothing else.
            let _ = sender.send(result);
        });
        self.shared.submit(batch, priority, true, reply);
        receiver.recv().unwrap_or(Err(CommitError::Closed))
    }

    /// Entries and bytes of each table, as of the last commit.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.shared.usage()
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes what waits and closes the file, as dropping does.
    pub fn close(self) {
        drop(self);
    }

    /// Has the writer do something between two groups, and waits for it.
    pub(crate) fn on_writer<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut Writer) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.on_writer_thread() {
            return Err(StoreError::Busy);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        self.shared.send(Box::new(move |writer| {
            let _ = sender.send(errand(writer));
        }));
        let result = receiver.recv().unwrap_or(Err(Fault::Closed));
        result.map_err(|fault| fault.into_store_error(&self.dir))
    }

    pub(crate) fn view(&self) -> Result<View, Fault> {
        self.shared.view().inspect_err(|fault| self.shared.report(fault))
    }

    pub(crate) fn on_writer_thread(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.thread().id() == thread::current().id())
    }

    /// Reads what is durable now; once more if the file was closed in between because it was opened again.
    fn read<T>(&self, table: Table, read: impl Fn(&Reading<'_>) -> Result<T, Fault>) -> Result<T, ReadError> {
        let attempt = || self.shared.read(table, &read).inspect_err(|fault| self.shared.report(fault));
        match attempt() {
            Err(Fault::Closed) => attempt(),
            other => other,
        }
        .map_err(|fault| fault.read_error())
    }

    fn walk(&self, table: Table, start: &[u8], f: &mut Step<'_>) -> Result<(), Fault> {
        let view = self.view()?;
        let reading = contained(|| Reading::new(&view.txn, self.shared.files(), table))?;
        let mut range = contained(|| reading.range(start))?;
        // The callback runs outside the containment: its panics are its own.
        while let Some((key, raw)) = contained(|| Ok(range.next().transpose()?))? {
            if !f(&reading, key.value(), raw.value())? {
                break;
            }
        }
        Ok(())
    }

    fn finish_walk(&self, result: Result<(), Fault>) -> Result<(), ReadError> {
        result.inspect_err(|fault| self.shared.report(fault)).map_err(|fault| fault.read_error())
    }
}

impl Read for Store {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.read_range(table, key, 0, u64::MAX)
    }

    fn read_range(
        &self,
        table: Table,
        key: &[u8],
        offset: u64,
        len: u64,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let result = self.read(table, |reading| reading.read_range(key, offset, len));
        if result == Err(ReadError::Damaged) {
            self.shared.report_damaged(table, key);
        }
        result
    }

    fn len_of(&self, table: Table, key: &[u8]) -> Result<Option<u64>, ReadError> {
        self.read(table, |reading| reading.len_of(key))
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, ReadError> {
        self.read(table, |reading| reading.last_key())
    }

    fn for_each_from(&self, table: Table, start: &[u8], f: &mut Visitor<'_>) -> Result<(), ReadError> {
        let result =
            self.walk(
                table,
                start,
                &mut |reading, key, raw| match contained(|| reading.entry_value(key, raw)) {
                    Ok(value) => Ok(f(key, &value).is_continue()),
                    Err(Fault::Damaged) => {
                        self.shared.report_damaged(table, key);
                        Ok(true)
                    }
                    Err(fault) => Err(fault),
                },
            );
        self.finish_walk(result)
    }

    fn for_each(&self, table: Table, f: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), ReadError> {
        if self.usage().of(table).entries >= ROWS_MIN {
            return self.for_each_ahead(table, f);
        }
        self.for_each_from(table, &[], &mut |key, value| {
            f(key, value);
            ControlFlow::Continue(())
        })
    }

    fn for_each_key(&self, table: Table, f: &mut dyn FnMut(&[u8], u64)) -> Result<(), ReadError> {
        let result = self.walk(table, &[], &mut |_, key, raw| {
            f(key, contained(|| Reading::entry_len(raw))?);
            Ok(true)
        });
        self.finish_walk(result)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.close();
        // A reply may own the last reference to the store; the writer cannot wait for itself.
        if !self.on_writer_thread()
            && let Some(writer) = self.writer.take()
        {
            drop(writer.join());
        }
    }
}
