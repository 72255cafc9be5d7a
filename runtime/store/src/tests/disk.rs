//! A disk with a page cache: what is not synced may be lost, and operations fail on request.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{Builder, Database, StorageBackend};

use crate::fault::Fault;
use crate::files::{Files, Written};
use crate::medium::{Broken, Medium};

/// A file is written in pieces, each of which may be lost on its own.
const PIECE_BYTES: usize = 96 * 1024;

/// A file whatever its name, as an inode is.
type Inode = u64;

#[derive(Clone, Debug)]
pub(super) enum Event {
    // The redb file.
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    // Files and directories beside it.
    MakeDir(String),
    Create(String, Inode),
    Fill(Inode, usize, Vec<u8>),
    Rename(String, String, Inode),
    Remove(String),
    SyncFile(Inode),
    SyncDir(String),
    /// Something the test wants to remember at this point.
    Note(u32),
}

impl Event {
    /// Whether this sync makes that change durable.
    fn makes_durable(&self, change: &Self) -> bool {
        match (self, change) {
            (Self::Sync, Self::Write(..) | Self::SetLen(_)) => true,
            (Self::SyncFile(inode), Self::Fill(filled, ..)) => inode == filled,
            (
                Self::SyncDir(dir),
                Self::MakeDir(path) | Self::Create(path, _) | Self::Rename(_, path, _) | Self::Remove(path),
            ) => dir == parent(path),
            _ => false,
        }
    }

    pub(super) fn is_sync(&self) -> bool {
        matches!(self, Self::Sync | Self::SyncFile(_) | Self::SyncDir(_))
    }
}

/// What happened to a disk.
pub(super) struct Log {
    pub(super) events: Vec<Event>,
    /// For each event the sync that made it durable.
    synced: Vec<usize>,
}

impl From<Vec<Event>> for Log {
    fn from(events: Vec<Event>) -> Self {
        let sync_of = |(at, change): (usize, &Event)| {
            let sync = events[at..].iter().position(|sync| sync.makes_durable(change));
            sync.map_or(usize::MAX, |after| at + after)
        };
        let synced = events.iter().enumerate().map(sync_of).collect();
        Self { events, synced }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// What is on a disk.
#[derive(Clone, Default)]
pub(super) struct Image {
    pub(super) redb: Vec<u8>,
    inodes: BTreeMap<Inode, Vec<u8>>,
    names: BTreeMap<String, Inode>,
    dirs: BTreeSet<String>,
}

impl Image {
    pub(super) fn play(&mut self, event: &Event) {
        match event {
            Event::Write(offset, data) => fill(&mut self.redb, usize::try_from(*offset).unwrap(), data),
            Event::SetLen(len) => self.redb.resize(usize::try_from(*len).unwrap(), 0),
            Event::MakeDir(path) => drop(self.dirs.insert(path.clone())),
            Event::Create(path, inode) => {
                self.names.insert(path.clone(), *inode);
                self.inodes.entry(*inode).or_default();
            }
            Event::Fill(inode, offset, data) => fill(self.inodes.entry(*inode).or_default(), *offset, data),
            Event::Rename(from, to, inode) => {
                self.names.remove(from);
                self.names.insert(to.clone(), *inode);
                self.inodes.entry(*inode).or_default();
            }
            Event::Remove(path) => drop(self.names.remove(path)),
            Event::Sync | Event::SyncFile(_) | Event::SyncDir(_) | Event::Note(_) => {}
        }
    }

    /// A file whose directory was lost is lost.
    pub(super) fn settle(&mut self) {
        let dirs = &self.dirs;
        let is_there = |path: &str| {
            dirs.contains(parent(path)) && (!path.contains("segments/") || dirs.contains("segments"))
        };
        self.names.retain(|path, _| is_there(path));
    }

    /// This disk after the changes of a log up to a cut: everything that was synced before, and of the rest what
    /// `survives`.
    pub(super) fn then(mut self, log: &Log, cut: usize, mut survives: impl FnMut(usize) -> bool) -> Self {
        for (at, event) in log.events[..cut].iter().enumerate() {
            if log.synced[at] < cut || survives(at) {
                self.play(event);
            }
        }
        self.settle();
        self
    }

    fn content(&self, path: &str) -> io::Result<&Vec<u8>> {
        self.names
            .get(path)
            .and_then(|inode| self.inodes.get(inode))
            .ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// The content of a file, to be spoiled.
    pub(super) fn content_mut(&mut self, path: &str) -> Option<&mut Vec<u8>> {
        self.names.get(path).and_then(|inode| self.inodes.get_mut(inode))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.names.keys()
    }

    fn bytes(&self) -> usize {
        self.redb.len() + self.names.values().map(|inode| self.inodes[inode].len()).sum::<usize>()
    }
}

fn fill(content: &mut Vec<u8>, start: usize, data: &[u8]) {
    let end = start + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(data);
}

#[derive(Default)]
pub(super) struct DiskState {
    /// What readers see.
    pub(super) current: Image,
    /// What survives a power cut for certain.
    durable: Image,
    /// Changes since they were last synced.
    pending: Vec<Event>,
    pub(super) log: Vec<Event>,
    /// Changes and syncs so far.
    pub(super) changes: u64,
    /// These changes fail.
    pub(super) failing: Option<(core::ops::Range<u64>, ErrorKind)>,
    pub(super) reads_fail: bool,
    off: bool,
    /// The disk's size; what goes beyond gets no room.
    pub(super) size_max: Option<u64>,
    pub(super) ballast: bool,
    pub(super) closed_at: Option<u64>,
    pub(super) broken: Broken,
    /// The redb file counts as a long one.
    pub(super) is_long: bool,
    inodes: Inode,
}

#[derive(Clone, Default)]
pub(super) struct FaultyDisk(Arc<Mutex<DiskState>>);

impl FaultyDisk {
    pub(super) fn with(image: Image) -> Self {
        let disk = Self::default();
        disk.state().inodes = image.inodes.keys().next_back().map_or(0, |last| last + 1);
        disk.state().durable = image.clone();
        disk.state().current = image;
        disk
    }

    pub(super) fn broken(broken: Broken) -> Self {
        let disk = Self::default();
        disk.state().broken = broken;
        disk
    }

    pub(super) fn state(&self) -> MutexGuard<'_, DiskState> {
        self.0.lock().unwrap()
    }

    pub(super) fn note(&self, number: u32) {
        self.state().log.push(Event::Note(number));
    }

    pub(super) fn fail(&self, changes: core::ops::Range<u64>, kind: ErrorKind) {
        self.state().failing = Some((changes, kind));
    }

    /// From here on nothing reaches the disk.
    pub(super) fn power_off(&self) {
        self.state().off = true;
    }

    /// What the disk holds after the cut, where `survives` decides over each change that was not synced.
    pub(super) fn image(&self, mut survives: impl FnMut() -> bool) -> Image {
        let state = self.state();
        let mut image = state.durable.clone();
        state.pending.iter().filter(|_| survives()).for_each(|event| image.play(event));
        image.settle();
        image
    }

    /// Swaps what the disk holds for something else.
    pub(super) fn replace(&self, image: Image) {
        let mut state = self.state();
        state.pending.clear();
        state.current = image.clone();
        state.durable = image;
    }

    pub(super) fn durable(&self) -> Image {
        self.state().durable.clone()
    }

    fn change(&self, event: Event) -> io::Result<()> {
        self.state().change(event)
    }
}

impl DiskState {
    fn change(&mut self, event: Event) -> io::Result<()> {
        if self.off {
            return Err(ErrorKind::NotConnected.into());
        }
        let number = self.changes;
        self.changes += 1;
        let failing =
            self.failing.as_ref().filter(|(range, _)| range.contains(&number)).map(|(_, kind)| *kind);
        if let Some(kind) = failing {
            // A failed fsync leaves the pages in memory, marked clean: they will never be written.
            if matches!(event, Event::Sync | Event::SyncFile(_)) {
                self.pending.retain(|change| !event.makes_durable(change));
            }
            return Err(kind.into());
        }
        let beyond = match &event {
            Event::Write(offset, data) => {
                usize::try_from(*offset).unwrap() + data.len() + self.current.bytes()
                    - self.current.redb.len()
            }
            Event::Fill(_, _, data) => self.current.bytes() + data.len(),
            _ => 0,
        };
        if self.size_max.is_some_and(|size_max| u64::try_from(beyond).unwrap() > size_max) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.current.play(&event);
        if event.is_sync() {
            let (synced, pending) = core::mem::take(&mut self.pending)
                .into_iter()
                .partition::<Vec<_>, _>(|change| event.makes_durable(change));
            synced.iter().for_each(|change| self.durable.play(change));
            self.pending = pending;
        } else {
            self.pending.push(event.clone());
        }
        self.log.push(event);
        Ok(())
    }

    fn readable(&self) -> io::Result<()> {
        if self.reads_fail { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyDisk")
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.state().current.redb.len()).unwrap())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        state.readable()?;
        let start = usize::try_from(offset).unwrap();
        let part = state.current.redb.get(start..start + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Event::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(Event::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Event::Write(offset, data.to_vec()))
    }
}

#[derive(Debug)]
struct OpenFile(FaultyDisk, Inode);

impl Written for OpenFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.change(Event::SyncFile(self.1))
    }
}

impl Files for FaultyDisk {
    fn make_dir(&self, path: &str) -> io::Result<()> {
        if self.state().current.dirs.contains(path) {
            return Ok(());
        }
        self.change(Event::MakeDir(path.into()))
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.change(Event::SyncDir(path.into()))
    }

    fn write(&self, path: &str, content: &[u8]) -> io::Result<Box<dyn Written>> {
        if !self.state().current.dirs.contains(parent(path)) {
            return Err(ErrorKind::NotFound.into());
        }
        let inode = self.state().inodes;
        self.state().inodes += 1;
        self.change(Event::Create(path.into(), inode))?;
        for (number, piece) in content.chunks(PIECE_BYTES).enumerate() {
            self.change(Event::Fill(inode, number * PIECE_BYTES, piece.to_vec()))?;
        }
        Ok(Box::new(OpenFile(self.clone(), inode)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.state().current.names.get(from).copied().ok_or(ErrorKind::NotFound)?;
        self.change(Event::Rename(from.into(), to.into(), inode))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        if !self.state().current.names.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        self.change(Event::Remove(path.into()))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.current.names.keys().filter(|name| parent(name) == path);
        Ok(inside.map(|name| name[path.len() + 1..].to_owned()).collect())
    }

    fn len(&self, path: &str) -> io::Result<u64> {
        Ok(u64::try_from(self.state().current.content(path)?.len()).unwrap())
    }

    fn read(&self, path: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        state.readable()?;
        let start = usize::try_from(offset).unwrap();
        let part =
            state.current.content(path)?.get(start..start + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }
}

impl Medium for FaultyDisk {
    fn open(&self, builder: &mut Builder, after_error: bool) -> Result<Database, Fault> {
        if after_error {
            // What could not be written is not to be seen again.
            let mut state = self.state();
            let mut current = state.durable.clone();
            state.pending.iter().for_each(|event| current.play(event));
            state.current = current;
        }
        Ok(builder.create_with_backend(self.clone())?)
    }

    fn files(&self) -> &dyn Files {
        self
    }

    fn file_bytes(&self) -> u64 {
        u64::try_from(self.state().current.redb.len()).unwrap()
    }

    fn check_bytes_max(&self) -> u64 {
        if self.state().is_long { 0 } else { u64::MAX }
    }

    fn broken(&self) -> Broken {
        self.state().broken
    }

    fn room(&self) -> u64 {
        let state = self.state();
        let used = u64::try_from(state.current.bytes()).unwrap();
        state.size_max.map_or(u64::MAX, |max| max.saturating_sub(used))
    }

    fn opened(&self) -> io::Result<()> {
        self.state().closed_at = None;
        Ok(())
    }

    fn closed(&self, sequence: u64) {
        self.state().closed_at = Some(sequence);
    }

    fn closed_at(&self) -> Option<u64> {
        self.state().closed_at
    }

    fn release_ballast(&self) -> bool {
        let mut state = self.state();
        let there = core::mem::take(&mut state.ballast);
        if there {
            state.size_max = state.size_max.map(|max| max + 1024 * 1024);
        }
        there
    }
}
