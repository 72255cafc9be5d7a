//! The file of prekeys: small, readable by its owner only, and overwritten where it lies.
//!
//! The store would keep what is erased: it writes every change to another page and leaves the old one.
//! This file has two slots of one page each. A new ring goes to the older slot; once that is on the disk,
//! the other one is overwritten too, so that an erased secret is in no slot any more. A power cut in between
//! leaves one good slot, and the next start finishes the work.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cairn_bundle::Prekeys;
use zeroize::Zeroizing;

use crate::identity_file::{IdentityError, open_private};

/// Name of the file in the data directory.
pub const PREKEYS_FILE: &str = "prekeys.key";

/// One slot: what a disk or a memory card writes at once.
const SLOT_BYTES: usize = 4096;
const LENGTH_BYTES: usize = 2;

/// Where the prekeys of a node are kept.
#[derive(Debug, Clone)]
pub struct PrekeysFile {
    path: PathBuf,
}

/// What was found at the start.
#[derive(Debug)]
pub struct Loaded {
    /// The ring; empty if there was none.
    pub prekeys: Prekeys,
    /// Whether there was one that cannot be read any more.
    pub lost: bool,
}

type Slot = Zeroizing<Vec<u8>>;

impl PrekeysFile {
    /// The file of a data directory.
    #[must_use]
    pub fn new(home: &Path) -> Self {
        Self { path: home.join(PREKEYS_FILE) }
    }

    /// Reads the newer ring, and overwrites the older one if a power cut has left it there.
    ///
    /// # Errors
    /// [`IdentityError`], among others when group or others may read the file.
    pub fn load(&self) -> Result<Loaded, IdentityError> {
        let Some(file) = open_private(&self.path)? else {
            return Ok(Loaded { prekeys: Prekeys::default(), lost: false });
        };
        let failed = |source| IdentityError::Io { what: "read", path: self.path.clone(), source };
        let slots = read_slots(&file).map_err(failed)?;
        match newest(&slots) {
            Some((_, prekeys)) => {
                let ring = prekeys.encode();
                let finished = slots.iter().all(|slot| ring_in(slot) == Some(ring.as_slice()));
                if !finished {
                    self.keep(&ring).map_err(|source| IdentityError::Io {
                        what: "write",
                        path: self.path.clone(),
                        source,
                    })?;
                }
                Ok(Loaded { prekeys, lost: false })
            }
            None => Ok(Loaded { prekeys: Prekeys::default(), lost: true }),
        }
    }

    /// Writes a ring and overwrites the one before it; both are on the disk when this returns.
    ///
    /// # Errors
    /// What the system says. The ring before, or this one, can still be read then.
    pub fn keep(&self, ring: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&self.path)?;
        let slots = read_slots(&file)?;
        let fresh = slots.iter().all(|slot| slot.is_empty());
        let old = newest(&slots).map_or(1, |(position, _)| position);
        let slot = slot_of(ring)?;
        for position in [1 - old.min(1), old] {
            let at = u64::try_from(position * SLOT_BYTES).unwrap_or(0);
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&slot)?;
            file.sync_all()?;
        }
        if fresh && let Some(home) = self.path.parent() {
            File::open(home)?.sync_all()?;
        }
        Ok(())
    }
}

/// Both slots; one that is not there is empty.
fn read_slots(file: &File) -> io::Result<[Slot; 2]> {
    let read = |at: u64| -> io::Result<Slot> {
        let mut slot = Zeroizing::new(vec![0; SLOT_BYTES]);
        let mut length = 0;
        while let Some(rest) = slot.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at + u64::try_from(length).unwrap_or(0)) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        slot.truncate(length);
        Ok(slot)
    };
    Ok([read(0)?, read(u64::try_from(SLOT_BYTES).unwrap_or(0))?])
}

/// The slot with more rotations, if one of them is whole.
fn newest(slots: &[Slot; 2]) -> Option<(usize, Prekeys)> {
    let rings = slots.iter().enumerate().filter_map(|(position, slot)| {
        let ring = Prekeys::decode(ring_in(slot)?).ok()?;
        Some((position, ring))
    });
    rings.max_by_key(|(_, ring)| ring.rotations())
}

fn ring_in(slot: &[u8]) -> Option<&[u8]> {
    let (length, rest) = slot.split_first_chunk::<LENGTH_BYTES>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

fn slot_of(ring: &[u8]) -> io::Result<Slot> {
    let length = u16::try_from(ring.len()).ok().filter(|_| ring.len() <= SLOT_BYTES - LENGTH_BYTES);
    let length = length.ok_or_else(|| io::Error::other("the prekeys do not fit their file"))?;
    let mut slot = Zeroizing::new(Vec::with_capacity(SLOT_BYTES));
    slot.extend_from_slice(&length.to_be_bytes());
    slot.extend_from_slice(ring);
    slot.resize(SLOT_BYTES, 0);
    Ok(slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::SeedRng;
    use cairn_bundle::{Identity, prekey::PREKEYS_BYTES_MAX};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn rotate(ring: &mut Prekeys, rng: &mut SeedRng) {
        ring.rotate(None, &Identity::from_seed(&[1; 32]), rng);
    }

    /// The secrets of a ring, as they stand in its bytes.
    fn secrets(ring: &Prekeys) -> Vec<Vec<u8>> {
        let bytes = ring.encode();
        let starts = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&[0x58, 32]));
        starts.map(|at| bytes[at + 2..at + 34].to_vec()).collect()
    }

    fn holds(bytes: &[u8], secret: &[u8]) -> bool {
        bytes.windows(secret.len()).any(|window| window == secret)
    }

    #[test]
    fn what_was_kept_is_found_again_and_private() {
        let home = tempfile::tempdir().unwrap();
        let file = PrekeysFile::new(home.path());
        let loaded = file.load().unwrap();
        assert!(loaded.prekeys.is_empty() && !loaded.lost);
        let (mut ring, mut rng) = (Prekeys::default(), SeedRng::new(&[1; 32]));
        for rotations in 1..=20 {
            rotate(&mut ring, &mut rng);
            file.keep(&ring.encode()).unwrap();
            let loaded = file.load().unwrap();
            assert_eq!((loaded.prekeys.rotations(), loaded.lost), (rotations, false));
            assert_eq!(*loaded.prekeys.encode(), *ring.encode());
        }
        let meta = fs::metadata(home.path().join(PREKEYS_FILE)).unwrap();
        assert_eq!((meta.permissions().mode() & 0o777, meta.len()), (0o600, 8192));
    }

    #[test]
    fn an_erased_secret_is_in_no_file_of_the_directory() {
        let home = tempfile::tempdir().unwrap();
        let file = PrekeysFile::new(home.path());
        let (mut ring, mut rng) = (Prekeys::default(), SeedRng::new(&[1; 32]));
        let mut of_day = Vec::new();
        for _day in 0..=20 {
            rotate(&mut ring, &mut rng);
            of_day.push(secrets(&ring).first().unwrap().clone());
            file.keep(&ring.encode()).unwrap();
        }
        let names: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names.len(), 1);
        let bytes = fs::read(&names[0]).unwrap();
        for (day, secret) in of_day.iter().enumerate() {
            assert_eq!(holds(&bytes, secret), day > 5, "secret of day {day}");
        }
    }

    #[test]
    fn a_power_cut_at_any_byte_leaves_the_old_ring_or_the_new_one() {
        let home = tempfile::tempdir().unwrap();
        let file = PrekeysFile::new(home.path());
        let path = home.path().join(PREKEYS_FILE);
        let (mut ring, mut rng) = (Prekeys::default(), SeedRng::new(&[1; 32]));
        rotate(&mut ring, &mut rng);
        file.keep(&ring.encode()).unwrap();
        let before = fs::read(&path).unwrap();
        rotate(&mut ring, &mut rng);
        file.keep(&ring.encode()).unwrap();
        let after = fs::read(&path).unwrap();
        let (old, new) = ((&before[..4096], &before[4096..]), (&after[..4096], &after[4096..]));
        for cut in (0..=4096).step_by(31).chain([4096]) {
            // First the older slot is written, which is the first one of two that are equal or the other.
            let first = [&new.0[..cut], &old.0[cut..], old.1].concat();
            let second = [new.0, &new.1[..cut], &old.1[cut..]].concat();
            for bytes in [first, second] {
                fs::write(&path, &bytes).unwrap();
                let loaded = file.load().unwrap();
                assert!(!loaded.lost && [1, 2].contains(&loaded.prekeys.rotations()), "cut at {cut}");
                let healed = fs::read(&path).unwrap();
                assert_eq!(healed[..4096], healed[4096..], "cut at {cut}: both slots are the same again");
            }
        }
    }

    #[test]
    fn a_first_write_that_was_cut_off_and_a_damaged_file_are_noticed() {
        let home = tempfile::tempdir().unwrap();
        let file = PrekeysFile::new(home.path());
        let path = home.path().join(PREKEYS_FILE);
        for bytes in [vec![], vec![0; 100], vec![0xff; 8192], vec![0; 8192]] {
            let mut new =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path).unwrap();
            new.write_all(&bytes).unwrap();
            let loaded = file.load().unwrap();
            assert!(loaded.prekeys.is_empty() && loaded.lost);
        }
        let mut ring = Prekeys::default();
        rotate(&mut ring, &mut SeedRng::new(&[1; 32]));
        file.keep(&ring.encode()).unwrap();
        assert!(!file.load().unwrap().lost);
        assert!(file.keep(&[0; SLOT_BYTES]).is_err());
        const { assert!(PREKEYS_BYTES_MAX <= SLOT_BYTES - LENGTH_BYTES) }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = PrekeysFile::new(home.path());
        file.keep(&Prekeys::default().encode()).unwrap();
        let path = home.path().join(PREKEYS_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(file.load(), Err(IdentityError::Open { .. })));
    }
}
