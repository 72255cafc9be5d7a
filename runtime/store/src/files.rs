//! The few things that are asked of a file system for segment files, by paths relative to the store's directory.

use core::fmt::Debug;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::PathBuf;

use crate::medium::{forget_cached, private};

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
