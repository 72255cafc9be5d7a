//! What went wrong below us, sorted by what can be done about it.

use core::panic::AssertUnwindSafe;
use std::io::{self, ErrorKind};
use std::panic::catch_unwind;
use std::path::PathBuf;

use crate::op::{CommitError, FullCause, ReadError};

/// Why a store could not be opened, checked or set aside.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process (or another part of this one) holds the directory.
    #[error("another cairn node is using {} (process {holder}); hint: stop it first, or give this one another directory with --home", dir.display())]
    InUse {
        /// The store's directory.
        dir: PathBuf,
        /// The process id the holder left, or `unknown`.
        holder: String,
    },
    /// A copy was to be written where something is already.
    #[error("there is a store, or a part of one, in {}; hint: name a directory that is empty or new", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// The store was written by a newer release.
    #[error("the store in {} has format {found}, this release knows up to {known}; hint: use a newer cairn", dir.display())]
    Newer {
        /// The store's directory.
        dir: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format this release can use.
        known: u32,
    },
    /// The file is damaged. It was left where it is.
    #[error("the store in {} is damaged ({detail}); hint: restore a backup, or set the damaged file aside with `cairn doctor --set-aside-store` and start anew", dir.display())]
    Corrupt {
        /// The store's directory.
        dir: PathBuf,
        /// What was found.
        detail: String,
    },
    /// There is no room on the disk even to open the store.
    #[error("the disk that holds {} has no room left; hint: free some space on it", dir.display())]
    DiskFull {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot use {}: {source}; hint: look at its permissions and at the disk", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Readers did not pause long enough to check the file.
    #[error("the store is busy; hint: try again, or stop the node first")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// What redb, or the disk under it, reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// No room on the disk.
    Full,
    /// The disk failed.
    Io(ErrorKind),
    /// The database was closed under a reader, because it is being opened again.
    Closed,
    /// The file is not what was written.
    Corrupt(String),
    /// A reader is alive where none may be.
    Readers,
    /// The redb file is held by somebody else.
    Locked,
    /// A format of ours that is newer than this release.
    Newer(u32),
    /// One value is not what was written.
    Damaged,
    /// A segment file could not be read; redb is not concerned.
    Unread(ErrorKind),
}

impl Fault {
    pub(crate) fn into_store_error(self, dir: impl Into<PathBuf>) -> StoreError {
        let dir = dir.into();
        match self {
            Self::Full => StoreError::DiskFull { dir },
            Self::Io(kind) => StoreError::Io { path: dir, source: kind.into() },
            Self::Closed => StoreError::Closed,
            Self::Corrupt(detail) => StoreError::Corrupt { dir, detail },
            Self::Readers => StoreError::Busy,
            Self::Locked => StoreError::InUse { dir, holder: "unknown".into() },
            Self::Newer(found) => StoreError::Newer { dir, found, known: crate::layout::FORMAT },
            Self::Damaged => StoreError::Corrupt { dir, detail: "a value is not what was written".into() },
            Self::Unread(kind) => StoreError::Io { path: dir, source: kind.into() },
        }
    }

    pub(crate) const fn commit_error(&self) -> CommitError {
        match self {
            Self::Full => CommitError::Full(FullCause::Disk),
            Self::Io(kind) | Self::Unread(kind) => CommitError::Io(*kind),
            Self::Closed | Self::Readers | Self::Locked => CommitError::Io(ErrorKind::ResourceBusy),
            Self::Corrupt(_) | Self::Newer(_) | Self::Damaged => CommitError::Corrupt,
        }
    }

    pub(crate) const fn read_error(&self) -> ReadError {
        match self {
            Self::Full => ReadError::Io(ErrorKind::StorageFull),
            Self::Io(kind) | Self::Unread(kind) => ReadError::Io(*kind),
            Self::Damaged => ReadError::Damaged,
            Self::Closed | Self::Readers | Self::Locked => ReadError::Closed,
            Self::Corrupt(_) | Self::Newer(_) => ReadError::Corrupt,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full,
            // The file is shorter than its own header says.
            ErrorKind::UnexpectedEof => Self::Corrupt("the file is cut short".into()),
            // redb says so of a file that does not begin as its own.
            ErrorKind::InvalidData => Self::Corrupt(error.to_string()),
            kind => Self::Io(kind),
        }
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            redb::Error::PreviousIo => Self::Io(ErrorKind::Other),
            redb::Error::DatabaseClosed => Self::Closed,
            redb::Error::TransactionInProgress => Self::Readers,
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::Locked,
            other => Self::Corrupt(other.to_string()),
        }
    }
}

/// redb has an error for each kind of call; all of them are parts of its one large error.
macro_rules! from_redb {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}
from_redb!(
    StorageError,
    TableError,
    DatabaseError,
    TransactionError,
    CommitError,
    CompactionError,
    SetDurabilityError
);

/// Runs a piece of redb and turns its panics into a fault.
///
/// redb promises errors, not panics, for a file that was checked when it was opened; a file that is altered under a
/// running node has no such promise. Where the program is built to abort on panic this containment does nothing, and
/// the check on the next start (the file was not closed cleanly) reports the damage.
pub(crate) fn contained<T>(run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Fault::Corrupt("its structure makes no sense".into())))
}

/// A value on disk that cannot have been written by us.
pub(crate) fn corrupt(detail: &str) -> Fault {
    Fault::Corrupt(detail.into())
}
