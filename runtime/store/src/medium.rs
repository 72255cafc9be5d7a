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
use crate::layout;

/// Room on the disk that is held back for deleting when nothing else is left, and for opening a store on a full disk.
const BALLAST_BYTES: usize = 1024 * 1024;
/// Larger files that were closed cleanly are opened without reading them as a whole first.
const CHECK_BYTES_MAX: u64 = 256 * 1024 * 1024;
const STORE_FILE: &str = "store.redb";
const NEW_FILE: &str = "store.redb.new";
const LOCK_FILE: &str = "store.lock";
const BALLAST_FILE: &str = "store.ballast";
/// The lock file is one record of this length, written in place, which needs no room on a full disk.
const MARK_BYTES: usize = 64;

/// What holds a redb file.
pub(crate) trait Medium: Debug + Send + Sync {
    /// Opens the database. After an error, what the system remembers of the file may not be what the disk holds.
    fn open(&self, builder: &mut Builder, after_error: bool) -> Result<Database, redb::Error>;

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

/// A directory that this process alone uses.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
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
        Ok(Self { path: path.into(), lock: Mutex::new(lock), ballast: Mutex::new(ballast) })
    }

    /// Lays out an empty store where there is none. It appears under its name only when it is complete, so that an
    /// empty or half-written file under that name is damage and nothing else.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        let (target, new) = (self.path.join(STORE_FILE), self.path.join(NEW_FILE));
        if target.exists() {
            return Ok(());
        }
        let file = private().create(true).truncate(true).open(&new).map_err(StoreError::io(&new))?;
        let database = contained(|| {
            Ok(Builder::new().set_cache_size(0).create_with_backend(FileBackend::new(file)?)?)
        });
        let laid_out = database.and_then(|database| {
            layout::prepare(&database)?;
            contained(|| Ok(database.close()?))
        });
        laid_out.map_err(|fault| fault.into_store_error(&self.path))?;
        File::open(&new).and_then(|file| file.sync_all()).map_err(StoreError::io(&new))?;
        fs::rename(&new, &target).map_err(StoreError::io(&target))?;
        self.sync_names().map_err(StoreError::io(&self.path))
    }

    /// Renames the store's file so that the next opening starts anew; where it is now.
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
    fn open(&self, builder: &mut Builder, after_error: bool) -> Result<Database, redb::Error> {
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
        let trusted = !after_error && self.closed_at().is_some() && metadata.len() > CHECK_BYTES_MAX;
        builder.set_check_integrity_on_open(!trusted);
        Ok(builder.create_with_backend(FileBackend::new(file)?)?)
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
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// After a failed fsync Linux calls the pages clean that it could not write, and goes on to serve them from memory.
/// Only what the disk holds counts, so they are dropped before the file is read again.
fn forget_cached(file: &File) {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        use rustix::fs::{Advice, fadvise};
        // Advice may be refused; the check of the whole file that follows does not depend on it.
        let _ = fadvise(file, 0, None, Advice::DontNeed);
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let _ = file;
}

/// Opens a database on a medium and reads what it knows about itself.
pub(crate) fn open(
    medium: &dyn Medium,
    cache_bytes: usize,
    after_error: bool,
) -> Result<(Database, layout::SelfKnowledge), Fault> {
    let attempt = || {
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
        let database = contained(|| medium.open(&mut builder, after_error))?;
        let knowledge = layout::prepare(&database)?;
        Ok((database, knowledge))
    };
    match attempt() {
        Err(Fault::Full) if medium.release_ballast() => attempt(),
        other => other,
    }
}
