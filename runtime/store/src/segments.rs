//! Segment files: long values, each in a file named by its BLAKE3, `segments/<2 hex>/<64 hex>`.
//!
//! A file is written under a passing name, synced, renamed, and its directory synced, all before the transaction that
//! refers to it is committed. So what has a final name is whole, and what a durable entry refers to is there. A file
//! that nobody refers to (the power was cut in between) is an orphan, which no reader can find, and is swept away.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::entry::Name;
use crate::fault::Fault;
use crate::files::{Files, Written};
use crate::op::VALUE_BYTES_MAX;

pub(crate) const SEGMENTS_DIR: &str = "segments";
pub(crate) const DAMAGED_DIR: &str = "damaged";
/// Directories of segment files: one for each first byte of a name.
pub(crate) const BUCKETS: u16 = 256;
/// Written, but not yet under its final name.
const PASSING: &str = ".new";
/// So many written files stay open until they are synced together.
const OPEN_FILES_MAX: usize = 64;
/// Values are hashed in pieces of so many bytes.
const PIECE_BYTES: usize = 1024 * 1024;

/// What readers of one age hold. Files that were removed from the store stay on the disk as long as a reader lives who
/// may have seen an entry that refers to them.
pub(crate) type Generation = Arc<()>;

fn bucket(name: &Name) -> String {
    let [first, ..] = *name;
    bucket_path(first.into())
}

fn bucket_path(number: u16) -> String {
    format!("{SEGMENTS_DIR}/{number:02x}")
}

fn hex(name: &Name) -> String {
    blake3::Hash::from_bytes(*name).to_hex().to_string()
}

pub(crate) fn path(name: &Name) -> String {
    format!("{}/{}", bucket(name), hex(name))
}

fn damaged_path(name: &Name) -> String {
    format!("{DAMAGED_DIR}/{}", hex(name))
}

/// Reads a part of a segment file. The whole of it is compared with its name.
pub(crate) fn read(
    files: &dyn Files,
    name: &Name,
    bytes: u64,
    start: u64,
    end: u64,
) -> Result<Vec<u8>, Fault> {
    let path = path(name);
    // The length comes from an entry that may have rotted: memory is taken only for what is there.
    if bytes > u64::try_from(VALUE_BYTES_MAX).unwrap_or(u64::MAX)
        || files.len(&path).map_err(|error| unread(&error))? != bytes
    {
        return Err(Fault::Damaged);
    }
    let len = usize::try_from(end.saturating_sub(start)).map_err(|_| Fault::Damaged)?;
    let mut out = vec![0; len];
    files.read(&path, start, &mut out).map_err(|error| unread(&error))?;
    if start == 0 && end == bytes && blake3::hash(&out).as_bytes() != name {
        return Err(Fault::Damaged);
    }
    Ok(out)
}

/// Whether a segment file holds what its name says, as the disk has it.
pub(crate) fn is_whole(files: &dyn Files, name: &Name, bytes: u64) -> Result<bool, Fault> {
    let path = path(name);
    files.forget(&path);
    let mut hasher = blake3::Hasher::new();
    match each_piece(files, &path, bytes, |piece| {
        hasher.update(piece);
    }) {
        Err(Fault::Damaged) => Ok(false),
        Err(fault) => Err(fault),
        Ok(()) => Ok(hasher.finalize().as_bytes() == name),
    }
}

fn each_piece(files: &dyn Files, path: &str, bytes: u64, mut f: impl FnMut(&[u8])) -> Result<(), Fault> {
    if files.len(path).map_err(|error| unread(&error))? != bytes {
        return Err(Fault::Damaged);
    }
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < bytes {
        let left = usize::try_from(bytes.saturating_sub(at)).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let part = piece.get_mut(..left).unwrap_or_default();
        files.read(path, at, part).map_err(|error| unread(&error))?;
        f(part);
        at = at.saturating_add(u64::try_from(left).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// A segment file that is not there or too short is damage; a disk that does not read is told apart from it.
fn unread(error: &io::Error) -> Fault {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::UnexpectedEof => Fault::Damaged,
        kind => Fault::Unread(kind),
    }
}

/// Moves a file out of the way of readers; where it was not, that is fine as well.
pub(crate) fn quarantine(files: &dyn Files, name: &Name) -> io::Result<()> {
    files.make_dir(DAMAGED_DIR)?;
    match files.rename(&path(name), &damaged_path(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What the writer knows of the segment files.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// Directories whose own names this process has made durable.
    dirs: BTreeSet<String>,
    /// Written for the running transaction, under their passing names.
    staged: BTreeMap<Name, Option<Box<dyn Written>>>,
    /// A file could not be written or synced.
    failed: bool,
    /// No longer referred to, and waiting for readers of older generations.
    doomed: VecDeque<(Generation, Vec<Name>)>,
    /// The next directory to be swept.
    sweep: u16,
}

impl Segments {
    pub(crate) fn is_staged(&self, name: &Name) -> bool {
        self.staged.contains_key(name)
    }

    /// Writes a value for the running transaction.
    pub(crate) fn stage(&mut self, files: &dyn Files, name: Name, value: &[u8]) -> io::Result<()> {
        let result = self.try_stage(files, name, value);
        self.failed |= result.is_err();
        result
    }

    fn try_stage(&mut self, files: &dyn Files, name: Name, value: &[u8]) -> io::Result<()> {
        for (_, names) in &mut self.doomed {
            names.retain(|doomed| *doomed != name);
        }
        let (dir, passing) = (bucket(&name), format!("{}{PASSING}", path(&name)));
        if !self.dirs.contains(&dir) {
            if self.dirs.is_empty() {
                files.make_dir(SEGMENTS_DIR)?;
            }
            files.make_dir(&dir)?;
        }
        let is_crowded = self.staged.len() >= OPEN_FILES_MAX;
        let written = files.write(&passing, value).and_then(|mut written| {
            if is_crowded {
                written.sync()?;
                return Ok(None);
            }
            Ok(Some(written))
        });
        match written {
            Ok(written) => {
                self.staged.insert(name, written);
                Ok(())
            }
            Err(error) => {
                // Half a file would take room that may be what is missing.
                drop(files.remove(&passing));
                Err(error)
            }
        }
    }

    /// Makes everything that is staged durable, with its name. Whatever happens, nothing is staged any more.
    pub(crate) fn settle(&mut self, files: &dyn Files) -> io::Result<()> {
        let mut staged = core::mem::take(&mut self.staged);
        if staged.is_empty() {
            return Ok(());
        }
        let result = self.try_settle(files, &mut staged);
        if result.is_err() {
            self.failed = true;
            self.discard_all(files, &staged);
        }
        result
    }

    #[cfg(test)]
    pub(crate) fn settle_without_sync(&mut self, files: &dyn Files) -> io::Result<()> {
        for name in core::mem::take(&mut self.staged).keys() {
            files.rename(&format!("{}{PASSING}", path(name)), &path(name))?;
        }
        Ok(())
    }

    fn try_settle(
        &mut self,
        files: &dyn Files,
        staged: &mut BTreeMap<Name, Option<Box<dyn Written>>>,
    ) -> io::Result<()> {
        files.sync_files(&mut staged.values_mut().flatten().collect::<Vec<_>>())?;
        let mut dirs = BTreeSet::new();
        for name in staged.keys() {
            files.rename(&format!("{}{PASSING}", path(name)), &path(name))?;
            dirs.insert(bucket(name));
        }
        files.sync_dirs(&dirs.iter().cloned().collect::<Vec<_>>())?;
        // Directories that may be new: their names are in `segments`, and its own name in the store's directory.
        if !dirs.is_subset(&self.dirs) {
            files.sync_dir(SEGMENTS_DIR)?;
            if self.dirs.is_empty() {
                files.sync_dir("")?;
            }
            self.dirs.append(&mut dirs);
        }
        Ok(())
    }

    /// Gives up what is staged after a transaction failed; whether it failed by a segment file.
    pub(crate) fn discard(&mut self, files: &dyn Files) -> bool {
        let staged = core::mem::take(&mut self.staged);
        self.discard_all(files, &staged);
        core::mem::take(&mut self.failed)
    }

    fn discard_all(&mut self, files: &dyn Files, staged: &BTreeMap<Name, Option<Box<dyn Written>>>) {
        for name in staged.keys() {
            drop(files.remove(&format!("{}{PASSING}", path(name))));
        }
        // Some may have their final names already, and are orphans if nobody refers to them.
        self.sweep_again();
    }

    /// These files are not referred to from this generation's end on.
    pub(crate) fn doom(&mut self, generation: Generation, names: Vec<Name>) {
        self.doomed.push_back((generation, names));
    }

    /// Removes doomed files whose last possible reader is gone.
    pub(crate) fn reap(&mut self, files: &dyn Files) {
        while let Some((generation, _)) = self.doomed.front() {
            if Arc::strong_count(generation) > 1 {
                return;
            }
            let Some((_, names)) = self.doomed.pop_front() else { return };
            for name in names {
                if files.remove(&path(&name)).is_err() {
                    self.sweep_again();
                }
            }
        }
    }

    pub(crate) const fn sweep_again(&mut self) {
        self.sweep = 0;
    }

    pub(crate) const fn skip_sweep(&mut self) {
        self.sweep = BUCKETS;
    }

    pub(crate) const fn is_swept(&self) -> bool {
        self.sweep >= BUCKETS
    }

    /// Removes the orphans of one directory; how many files and bytes that were.
    pub(crate) fn sweep_bucket(
        &mut self,
        files: &dyn Files,
        mut is_referred_to: impl FnMut(&Name) -> Result<bool, Fault>,
    ) -> Result<(u64, u64), Fault> {
        let dir = bucket_path(self.sweep);
        let (mut removed, mut bytes) = (0_u64, 0_u64);
        for file in files.list(&dir)? {
            let path = format!("{dir}/{file}");
            let keep = match blake3::Hash::from_hex(&file) {
                Ok(hash) => self.is_doomed(hash.as_bytes()) || is_referred_to(hash.as_bytes())?,
                // Passing names are ours; any other file was put here by somebody else.
                Err(_) => !file.ends_with(PASSING),
            };
            if !keep {
                let len = files.len(&path).unwrap_or(0);
                files.remove(&path)?;
                (removed, bytes) = (removed.saturating_add(1), bytes.saturating_add(len));
            }
        }
        self.sweep = self.sweep.saturating_add(1);
        Ok((removed, bytes))
    }

    /// Removes quarantined files that are of no use any more: their values were written again, or deleted.
    pub(crate) fn sweep_damaged(
        &self,
        files: &dyn Files,
        mut is_referred_to: impl FnMut(&Name) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        for file in files.list(DAMAGED_DIR)? {
            let Ok(hash) = blake3::Hash::from_hex(&file) else { continue };
            if !is_referred_to(hash.as_bytes())? || files.len(&path(hash.as_bytes())).is_ok() {
                files.remove(&format!("{DAMAGED_DIR}/{file}"))?;
            }
        }
        Ok(())
    }

    fn is_doomed(&self, name: &Name) -> bool {
        self.doomed.iter().any(|(_, names)| names.contains(name))
    }
}
