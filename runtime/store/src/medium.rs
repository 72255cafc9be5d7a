//! Where the bytes lie: a directory on a real disk, or in tests a disk that fails on purpose.

use core::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{Builder, Database};

use crate::fault::{Fault, StoreError, contained};
use crate::files::{DirectoryFiles, Files};
use crate::layout;
use crate::segments::SEGMENTS_DIR;

/// Room on the disk that is held back for deleting when nothing else is left, and for opening a store on a full disk.
const BALLAST_BYTES: usize = 1024 * 1024;
/// Larger files are opened without reading them as a whole first, if redb knows that they are whole.
const CHECK_BYTES_MAX: u64 = 256 * 1024 * 1024;
const STORE_FILE: &str = "store.redb";
const NEW_FILE: &str = "store.redb.new";
const LOCK_FILE: &str = "store.lock";
const BALLAST_FILE: &str = "store.ballast";
/// The lock file is one record of this length, written in place, which needs no room on a full disk.
const MARK_BYTES: usize = 64;

/// What holds a redb file, and the segment files beside it.
pub(crate) trait Medium: Debug + Send + Sync {
    /// Opens the database. After an error, what the system remembers of the file may not be what the disk holds.
    fn open(&self, builder: &mut Builder, after_error: bool) -> Result<Database, Fault>;

    /// The segment files.
    fn files(&self) -> &dyn Files;

    /// Length of the redb file.
    fn file_bytes(&self) -> u64;

    /// Up to this length the redb file is checked as a whole whenever it is opened.
    fn check_bytes_max(&self) -> u64 {
        CHECK_BYTES_MAX
    }

    /// Lets the system forget what it remembers of the redb file, so that the next reading asks the disk.
    fn forget(&self) {}

    /// What the store does wrong on purpose, for tests that must notice it.
    #[cfg(test)]
    fn broken(&self) -> Broken {
        Broken::default()
    }

    /// Bytes that can still be written to the disk.
    fn room(&self) -> u64 {
        u64::MAX
    }

    /// Gives up the room that was held back; false when there was none.
    fn release_ballast(&self) -> bool {
        false
    }

    /// Holds back room again if there is plenty.
    fn restore_ballast(&self) {}

    /// Notes that the database is open for writing from here on.
    fn opened(&self) -> io::Result<()> {
        Ok(())
    }

    /// Notes that everything up to this sequence number was written and the database was closed.
    fn closed(&self, _sequence: u64) {}

    /// The sequence number at which the database was last closed cleanly, unless it was opened since.
    fn closed_at(&self) -> Option<u64> {
        None
    }
}

/// Variants of the store that break its promise.
#[cfg(test)]
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Broken {
    /// Says that a batch is durable before it is.
    pub(crate) acknowledges_before_sync: bool,
    /// Commits a reference to a segment file that is not durable.
    pub(crate) refers_before_sync: bool,
    /// Removes segment files before the transaction that gives them up is durable.
    pub(crate) removes_before_commit: bool,
}

/// A directory that this process alone uses.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    files: DirectoryFiles,
    /// Holds the lock as long as it is open.
    lock: Mutex<File>,
    ballast: Mutex<bool>,
}

impl Directory {
    /// Creates the directory if need be and takes it for this process.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io(path))?;
        let lock_path = path.join(LOCK_FILE);
        let mut lock = private().create(true).open(&lock_path).map_err(StoreError::io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder =
                    Mark::read(&mut lock).ok().and_then(Mark::holder).unwrap_or_else(|| "unknown".into());
                return Err(StoreError::InUse { dir: path.into(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io(lock_path)(error)),
        }
        let ballast = path.join(BALLAST_FILE).exists();
        let files = DirectoryFiles::new(path.into());
        Ok(Self { path: path.into(), files, lock: Mutex::new(lock), ballast: Mutex::new(ballast) })
    }

    /// Lays out an empty store where there is none.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        if self.path.join(STORE_FILE).exists() {
            return Ok(());
        }
        self.create_filled(0, |_| Ok(()))
    }

    /// Lays out a store and fills it. It appears under its name only when it is complete, so that an empty or
    /// half-written file under that name is damage and nothing else.
    pub(crate) fn create_filled(
        &self,
        cache_bytes: usize,
        fill: impl FnOnce(&Database) -> Result<(), Fault>,
    ) -> Result<(), StoreError> {
        let (target, new) = (self.path.join(STORE_FILE), self.path.join(NEW_FILE));
        let file = private().create(true).truncate(true).open(&new).map_err(StoreError::io(&new))?;
        let database = contained(|| {
            Ok(Builder::new().set_cache_size(cache_bytes).create_with_backend(FileBackend::new(file)?)?)
        });
        let laid_out = database.and_then(|database| {
            layout::prepare(&database)?;
            fill(&database)?;
            contained(|| Ok(database.close()?))
        });
        laid_out.map_err(|fault| fault.into_store_error(&self.path))?;
        File::open(&new).and_then(|file| file.sync_all()).map_err(StoreError::io(&new))?;
        fs::rename(&new, &target).map_err(StoreError::io(&target))?;
        self.sync_names().map_err(StoreError::io(&self.path))
    }

    /// Whether nothing of a store is in the directory, but for its lock.
    pub(crate) fn is_empty(&self) -> bool {
        [STORE_FILE, SEGMENTS_DIR].iter().all(|name| !self.path.join(name).exists())
    }

    /// Renames the store's file, and its segment files, so that the next opening starts anew; where the first is now.
    pub(crate) fn set_aside(&self) -> Result<PathBuf, StoreError> {
        let from = self.path.join(STORE_FILE);
        let mut number: u32 = 1;
        let to = loop {
            let to = self.path.join(format!("store.damaged-{number}.redb"));
            if !to.exists() {
                break to;
            }
            number = number.saturating_add(1);
        };
        self.mark("set aside").map_err(StoreError::io(&self.path))?;
        // First what the file refers to: were only the file moved, the next store would sweep the rest away.
        let segments = self.path.join(SEGMENTS_DIR);
        if segments.exists() {
            fs::rename(&segments, to.with_extension(SEGMENTS_DIR)).map_err(StoreError::io(&segments))?;
        }
        fs::rename(&from, &to).map_err(StoreError::io(from))?;
        self.sync_names().map_err(StoreError::io(&self.path))?;
        Ok(to)
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        match self.path.parent() {
            // The directory itself may be new as well; not every parent may be opened, and none has to be.
            Some(parent) if !parent.as_os_str().is_empty() => {
                File::open(parent).and_then(|dir| dir.sync_all()).or(Ok(()))
            }
            _ => Ok(()),
        }
    }

    fn mark(&self, text: &str) -> io::Result<()> {
        let mut file = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(format!("{text:<width$}\n", width = MARK_BYTES.saturating_sub(1)).as_bytes())?;
        file.sync_data()
    }
}

impl Medium for Directory {
    fn open(&self, builder: &mut Builder, after_error: bool) -> Result<Database, Fault> {
        let file = private().open(self.path.join(STORE_FILE))?;
        let metadata = file.metadata()?;
        if metadata.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        if metadata.len() == 0 {
            return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
        }
        if after_error {
            forget_cached(&file);
        }
        Ok(builder.create_with_backend(FileBackend::new(file)?)?)
    }

    fn files(&self) -> &dyn Files {
        &self.files
    }

    fn file_bytes(&self) -> u64 {
        fs::metadata(self.path.join(STORE_FILE)).map_or(0, |metadata| metadata.len())
    }

    fn forget(&self) {
        if let Ok(file) = File::open(self.path.join(STORE_FILE)) {
            forget_cached(&file);
        }
    }

    fn room(&self) -> u64 {
        rustix::fs::statvfs(&self.path).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn release_ballast(&self) -> bool {
        let mut there = self.ballast.lock().unwrap_or_else(PoisonError::into_inner);
        core::mem::take(&mut *there) && fs::remove_file(self.path.join(BALLAST_FILE)).is_ok()
    }

    fn restore_ballast(&self) {
        let mut there = self.ballast.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = u64::try_from(BALLAST_BYTES.saturating_mul(4)).unwrap_or(u64::MAX);
        if *there || self.room() < wanted {
            return;
        }
        let path = self.path.join(BALLAST_FILE);
        let written =
            private().create(true).truncate(true).open(&path).and_then(|mut file| {
                file.write_all(&vec![0x5a; BALLAST_BYTES]).and_then(|()| file.sync_data())
            });
        *there = written.is_ok();
        if written.is_err() {
            // It is only a reserve: half of it would be room lost for nothing, and its absence is no error.
            drop(fs::remove_file(path));
        }
    }

    fn opened(&self) -> io::Result<()> {
        self.mark(&format!("open {}", std::process::id()))
    }

    fn closed(&self, sequence: u64) {
        // Without the mark the next opening only takes longer.
        drop(self.mark(&format!("closed {sequence}")));
    }

    fn closed_at(&self) -> Option<u64> {
        Mark::read(&mut self.lock.lock().unwrap_or_else(PoisonError::into_inner)).ok()?.sequence()
    }
}

/// What the last user of a directory wrote into its lock file.
struct Mark(String);

impl Mark {
    fn read(file: &mut File) -> io::Result<Self> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(u64::try_from(MARK_BYTES).unwrap_or(0)).read_to_end(&mut bytes)?;
        Ok(Self(String::from_utf8_lossy(&bytes).trim().into()))
    }

    fn holder(self) -> Option<String> {
        let id: u32 = self.0.strip_prefix("open ")?.parse().ok()?;
        Some(id.to_string())
    }

    fn sequence(self) -> Option<u64> {
        self.0.strip_prefix("closed ")?.parse().ok()
    }
}

/// Files that nobody else may read: the store holds board secrets.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// After a failed fsync Linux calls the pages clean that it could not write, and goes on to serve them from memory.
/// Only what the disk holds counts, so they are dropped before the file is read again.
pub(crate) fn forget_cached(file: &File) {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        use rustix::fs::{Advice, fadvise};
        // Advice may be refused; the check of the whole file that follows does not depend on it.
        let _ = fadvise(file, 0, None, Advice::DontNeed);
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let _ = file;
}

/// Whether the redb file is so long that it is not to be read as a whole without need.
pub(crate) fn is_long(medium: &dyn Medium) -> bool {
    medium.file_bytes() > medium.check_bytes_max()
}

/// Opens a database on a medium and reads what it knows about itself.
pub(crate) fn open(
    medium: &dyn Medium,
    cache_bytes: usize,
    after_error: bool,
) -> Result<(Database, layout::SelfKnowledge), Fault> {
    let attempt = || {
        let mut builder = Builder::new();
        // Of a longer file redb has noted whether its last commit can be trusted: after a clean end, or after
        // `Writer::record`. If not, it checks the whole of it as well.
        let check = after_error || !is_long(medium);
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(check);
        let database = contained(|| medium.open(&mut builder, after_error))?;
        let knowledge = layout::prepare(&database)?;
        Ok((database, knowledge))
    };
    match attempt() {
        Err(Fault::Full) if medium.release_ballast() => attempt(),
        other => other,
    }
}
