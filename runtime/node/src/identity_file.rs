//! The identity file: one Ed25519 seed that only its owner can read, and the lock of the data directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cairn_bundle::identity::{Identity, NodeId};
use zeroize::Zeroizing;

/// Name of the identity file in the data directory.
pub const IDENTITY_FILE: &str = "identity.key";

/// Name of the file whose lock says that a node runs here.
pub const LOCK_FILE: &str = "node.lock";

const HEADER: &str = "cairn identity 1";
const FILE_BYTES_MAX: u64 = 1024;
const SEED_BYTES: usize = 32;

/// Why there is no identity to start with.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Another node runs with this data directory.
    #[error("another node{} already runs in {}", owner(*pid), home.display())]
    Running {
        /// The data directory.
        home: PathBuf,
        /// Process id of the other node, if it could be read.
        pid: Option<u32>,
    },
    /// Group or others may read or write the file.
    #[error("the key file {} is open to others (mode {mode:03o})", path.display())]
    Open {
        /// The identity file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is another user's.
    #[error("the key file {} belongs to another user", path.display())]
    Foreign {
        /// The identity file.
        path: PathBuf,
    },
    /// The file is not an identity.
    #[error("{} is not an identity file: {reason}", path.display())]
    Damaged {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No randomness for a new key.
    #[error("the system gives no randomness for a new key")]
    Randomness,
}

fn owner(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl IdentityError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Running { .. } => {
                "stop it first, or give this node its own directory: cairn --home DIR node".into()
            }
            Self::Open { path, .. } => {
                format!("if nobody else has read it: chmod 600 {}", path.display())
            }
            Self::Foreign { .. } => "run cairn as the owner of the file".into(),
            Self::Damaged { path, .. } => {
                format!("put back a copy of {}, or move it away to start as a new node", path.display())
            }
            Self::Io { .. } => {
                "check the permissions and the space of the data directory: cairn doctor".into()
            }
            Self::Randomness => "wait until the system has started, then try again".into(),
        }
    }
}

/// Proof that this process alone works in a data directory; given back when dropped.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
    home: PathBuf,
}

impl HomeLock {
    /// Takes the lock of a data directory; a node that died holds none.
    ///
    /// # Errors
    /// [`IdentityError::Running`] if another process has it, [`IdentityError::Io`].
    pub fn take(home: &Path) -> Result<Self, IdentityError> {
        let path = home.join(LOCK_FILE);
        let failed = |source| IdentityError::Io { what: "lock", path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only for the message: a node that has just started may not have written it yet.
                let _ = file.take(16).read_to_string(&mut pid);
                return Err(IdentityError::Running { home: home.to_owned(), pid: pid.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file, home: home.to_owned() })
    }

    /// The data directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }
}

/// The identity of a data directory, made on the first start. The lock keeps two first starts apart.
///
/// # Errors
/// [`IdentityError`], among others when group or others may read the file.
pub fn load_or_create(lock: &HomeLock) -> Result<Identity, IdentityError> {
    match load(lock.home())? {
        Some(identity) => Ok(identity),
        None => create(lock.home()),
    }
}

/// The identity of a data directory, if it has one already.
///
/// # Errors
/// [`IdentityError`], among others when group or others may read the file.
pub fn load(home: &Path) -> Result<Option<Identity>, IdentityError> {
    let path = home.join(IDENTITY_FILE);
    let failed = |source| IdentityError::Io { what: "read", path: path.clone(), source };
    let damaged = |reason| IdentityError::Damaged { path: path.clone(), reason };
    let Some(file) = open_private(&path)? else { return Ok(None) };
    if file.metadata().map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(damaged("it is too long"));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_BYTES_MAX).unwrap_or(0)));
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
    parse(&text).map(Some).map_err(damaged)
}

/// Opens a file with secrets, if it is there and nobody else can read or write it.
pub(crate) fn open_private(path: &Path) -> Result<Option<File>, IdentityError> {
    let failed = |source| IdentityError::Io { what: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // The open file is looked at, not its name: a name can change between two looks.
    let meta = file.metadata().map_err(failed)?;
    let path = path.to_owned();
    if !meta.is_file() {
        return Err(IdentityError::Damaged { path, reason: "it is not a regular file" });
    }
    if meta.mode() & 0o077 != 0 {
        return Err(IdentityError::Open { path, mode: meta.mode() & 0o777 });
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(IdentityError::Foreign { path });
    }
    Ok(Some(file))
}

fn parse(text: &[u8]) -> Result<Identity, &'static str> {
    let text = core::str::from_utf8(text).map_err(|_| "it is not text")?;
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err("its first line is not `cairn identity 1`");
    }
    let seed = lines.next().and_then(|line| line.strip_prefix("seed ")).ok_or("it has no seed line")?;
    let node = lines.next().and_then(|line| line.strip_prefix("node ")).ok_or("it has no node line")?;
    if lines.next().is_some() {
        return Err("it has more than three lines");
    }
    let seed = unhex(seed.as_bytes()).ok_or("its seed is not 64 hexadecimal digits")?;
    let node: NodeId = node.parse().map_err(|_| "its node line is not a node id")?;
    let identity = Identity::from_seed(&seed);
    // Without this check a flipped bit in the seed would silently become another node.
    if identity.node_id() == node {
        Ok(identity)
    } else {
        Err("its seed and its node id do not belong together")
    }
}

fn create(home: &Path) -> Result<Identity, IdentityError> {
    let path = home.join(IDENTITY_FILE);
    let fresh = home.join("identity.key.new");
    let mut seed = Zeroizing::new([0_u8; SEED_BYTES]);
    getrandom::fill(seed.as_mut_slice()).map_err(|_| IdentityError::Randomness)?;
    let identity = Identity::from_seed(&seed);
    let text =
        Zeroizing::new(format!("{HEADER}\nseed {}\nnode {}\n", hex(&seed).as_str(), identity.node_id()));
    let write = || -> io::Result<()> {
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(home)?.sync_all()
    };
    write().map_err(|source| IdentityError::Io { what: "create", path: path.clone(), source })?;
    Ok(identity)
}

fn hex(bytes: &[u8; SEED_BYTES]) -> Zeroizing<String> {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let mut text = Zeroizing::new(String::with_capacity(2 * SEED_BYTES));
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

fn unhex(text: &[u8]) -> Option<Zeroizing<[u8; SEED_BYTES]>> {
    let mut bytes = Zeroizing::new([0_u8; SEED_BYTES]);
    if text.len() != 2 * SEED_BYTES {
        return None;
    }
    let nibble = |c: u8| char::from(c).to_digit(16).and_then(|n| u8::try_from(n).ok());
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = (nibble(high)? << 4) | nibble(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn home() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn made(home: &Path) -> Identity {
        load_or_create(&HomeLock::take(home).unwrap()).unwrap()
    }

    #[test]
    fn the_first_start_makes_a_private_file_and_the_second_finds_it() {
        let home = home();
        assert!(load(home.path()).unwrap().is_none());
        let first = made(home.path());
        let mode = fs::metadata(home.path().join(IDENTITY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(made(home.path()).node_id(), first.node_id());
        assert_eq!(load(home.path()).unwrap().unwrap().seed(), first.seed());
        assert!(!home.path().join("identity.key.new").exists());
    }

    #[test]
    fn a_file_that_others_can_read_or_write_is_refused() {
        let home = home();
        made(home.path());
        let path = home.path().join(IDENTITY_FILE);
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = load(home.path()).unwrap_err();
            assert!(matches!(error, IdentityError::Open { .. }), "{mode:o}: {error}");
            assert!(error.hint().contains("chmod 600"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(load(home.path()).unwrap().is_some());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let home = home();
        made(home.path());
        let whole = fs::read(home.path().join(IDENTITY_FILE)).unwrap();
        let id = parse(&whole).unwrap().node_id();
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[position] ^= 1 << bit;
                // Upper-case hexadecimal digits are the same seed; nothing else may pass.
                if let Ok(identity) = parse(&bytes) {
                    assert_eq!(identity.node_id(), id, "byte {position} bit {bit}");
                }
            }
            if position + 1 < whole.len() {
                assert!(parse(&whole[..position]).is_err(), "cut at {position}");
            }
        }
        let mut long = whole;
        long.extend_from_slice(b"more\n");
        assert!(parse(&long).is_err());
    }

    #[test]
    fn an_overlong_file_and_a_directory_are_refused() {
        let home = home();
        let path = home.path().join(IDENTITY_FILE);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        file.write_all(&vec![b'x'; 1025]).unwrap();
        assert!(matches!(load(home.path()), Err(IdentityError::Damaged { .. })));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(load(home.path()), Err(IdentityError::Damaged { .. })));
    }

    #[test]
    fn leftovers_of_a_first_start_that_was_cut_off_do_no_harm() {
        let home = home();
        fs::write(home.path().join("identity.key.new"), "half").unwrap();
        made(home.path());
        assert!(!home.path().join("identity.key.new").exists());
    }

    #[test]
    fn two_nodes_cannot_share_a_data_directory() {
        let home = home();
        let first = HomeLock::take(home.path()).unwrap();
        let error = HomeLock::take(home.path()).unwrap_err();
        let IdentityError::Running { pid, .. } = &error else { panic!("{error}") };
        assert_eq!(*pid, Some(std::process::id()));
        drop(first);
        HomeLock::take(home.path()).unwrap();
    }
}
