//! Where the control socket is, and how to reach it however long the path is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Name of the control socket in the data directory.
pub const SOCKET_FILE: &str = "control.sock";

/// Longest request line, in bytes, with its line feed.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Longest answer line that a client takes, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// `sun_path` has 108 bytes on Linux, the last of them zero.
const PATH_BYTES_MAX: usize = 107;

/// A path to a file in a directory that fits a socket address.
///
/// A longer one goes through the open directory: `/proc/self/fd/N/name`.
#[derive(Debug)]
pub(crate) struct ShortPath {
    path: PathBuf,
    /// Keeps the file descriptor in `path` valid.
    _directory: Option<File>,
}

impl ShortPath {
    pub(crate) fn new(directory: &Path, name: &str) -> io::Result<Self> {
        let path = directory.join(name);
        if path.as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
            return Ok(Self { path, _directory: None });
        }
        let open = File::open(directory)?;
        let path = Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _directory: Some(open) })
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_path_at_the_limit_is_used_as_it_is_and_one_longer_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let room = PATH_BYTES_MAX - dir.path().as_os_str().len() - 2 - SOCKET_FILE.len();
        for (length, direct) in [(room, true), (room + 1, false)] {
            let home = dir.path().join("d".repeat(length));
            std::fs::create_dir(&home).unwrap();
            let short = ShortPath::new(&home, SOCKET_FILE).unwrap();
            assert_eq!(short.as_path() == home.join(SOCKET_FILE), direct);
            UnixListener::bind(short.as_path()).unwrap();
            assert!(home.join(SOCKET_FILE).exists());
        }
    }
}
