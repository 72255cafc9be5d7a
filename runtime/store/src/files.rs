//! The few things that are asked of a file system for segment files, by paths relative to the store's directory.

use core::fmt::Debug;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::PathBuf;
use std::thread;

use crate::medium::{forget_cached, private};

/// So many syncs are under way at a time.
const SYNC_THREADS_MAX: usize = 8;

/// A file that was written and may still be in memory only.
pub(crate) trait Written: Debug + Send {
    /// Makes its content durable. Its name is the business of [`Files::sync_dir`].
    fn sync(&mut self) -> io::Result<()>;
}

/// A directory of files. Nothing is durable until it is synced, neither content nor names.
pub(crate) trait Files: Debug + Send + Sync {
    /// Makes a directory; one that is there already is fine.
    fn make_dir(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
    /// Makes the names in several directories durable.
    fn sync_dirs(&self, paths: &[String]) -> io::Result<()> {
        paths.iter().try_for_each(|path| self.sync_dir(path))
    }
    /// Makes the content of several files durable.
    fn sync_files(&self, written: &mut [&mut Box<dyn Written>]) -> io::Result<()> {
        written.iter_mut().try_for_each(|written| written.sync())
    }
    /// Writes a file, replacing what has its name.
    fn write(&self, path: &str, content: &[u8]) -> io::Result<Box<dyn Written>>;
    /// Renames a file, replacing what has its new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// The names in a directory; none when it is not there.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// A file's length.
    fn len(&self, path: &str) -> io::Result<u64>;
    /// Fills `out` with what a file holds from `offset` on. One that is too short is [`ErrorKind::UnexpectedEof`].
    fn read(&self, path: &str, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Lets the system forget what it remembers of a file, so that the next reading asks the disk.
    fn forget(&self, _path: &str) {}
}

/// Files below a directory on a real disk.
#[derive(Debug)]
pub(crate) struct DirectoryFiles {
    root: PathBuf,
}

impl DirectoryFiles {
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

impl Written for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Files for DirectoryFiles {
    fn make_dir(&self, path: &str) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(self.root.join(path)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        File::open(self.root.join(path))?.sync_all()
    }

    fn sync_dirs(&self, paths: &[String]) -> io::Result<()> {
        let mut paths: Vec<&String> = paths.iter().collect();
        side_by_side(&mut paths, |path| self.sync_dir(path))
    }

    fn sync_files(&self, written: &mut [&mut Box<dyn Written>]) -> io::Result<()> {
        side_by_side(written, |written| written.sync())
    }

    fn write(&self, path: &str, content: &[u8]) -> io::Result<Box<dyn Written>> {
        let mut file = private().create(true).truncate(true).open(self.root.join(path))?;
        file.write_all(content)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        // A name that is no UTF-8 is none of ours.
        entries.filter_map(|entry| entry.map(|e| e.file_name().into_string().ok()).transpose()).collect()
    }

    fn len(&self, path: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.root.join(path))?.len())
    }

    fn read(&self, path: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        File::open(self.root.join(path))?.read_exact_at(out, offset)
    }

    fn forget(&self, path: &str) {
        if let Ok(file) = File::open(self.root.join(path)) {
            forget_cached(&file);
        }
    }
}

/// Syncs several things on several threads: a disk makes one flush of those that come at the same time.
fn side_by_side<T: Send>(items: &mut [T], sync: impl Fn(&mut T) -> io::Result<()> + Sync) -> io::Result<()> {
    if let [single] = items {
        return sync(single);
    }
    let share = items.len().div_ceil(SYNC_THREADS_MAX).max(1);
    thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks_mut(share)
            .map(|share| thread::Builder::new().spawn_scoped(scope, || share.iter_mut().try_for_each(&sync)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread?.join().unwrap_or_else(|_| Err(io::Error::other("a thread that synced panicked")))
        })
    })
}
