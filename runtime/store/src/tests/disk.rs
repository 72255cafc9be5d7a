//! A disk with a page cache: what is not synced may be lost, and operations fail on request.

use core::fmt;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{Builder, Database, StorageBackend};

use crate::medium::Medium;

#[derive(Clone, Debug)]
pub(super) enum Event {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    /// Something the test wants to remember at this point.
    Note(u32),
}

#[derive(Default)]
pub(super) struct DiskState {
    /// What readers see.
    current: Vec<u8>,
    /// What survives a power cut for certain.
    durable: Vec<u8>,
    /// Changes since the last sync.
    pending: Vec<Event>,
    pub(super) log: Vec<Event>,
    /// Writes, length changes and syncs so far.
    pub(super) changes: u64,
    /// These changes fail.
    pub(super) failing: Option<(core::ops::Range<u64>, ErrorKind)>,
    pub(super) reads_fail: bool,
    off: bool,
    /// The disk's size; what goes beyond gets no room.
    pub(super) size_max: Option<u64>,
    pub(super) ballast: bool,
    pub(super) closed_at: Option<u64>,
}

#[derive(Clone, Default)]
pub(super) struct FaultyDisk(Arc<Mutex<DiskState>>);

impl FaultyDisk {
    pub(super) fn with(image: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.state().durable.clone_from(&image);
        disk.state().current = image;
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
    pub(super) fn image(&self, mut survives: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.state();
        let mut image = state.durable.clone();
        state.pending.iter().filter(|_| survives()).for_each(|event| play(&mut image, event));
        image
    }

    /// Swaps what the disk holds for something else.
    pub(super) fn replace(&self, image: Vec<u8>) {
        let mut state = self.state();
        state.pending.clear();
        state.current.clone_from(&image);
        state.durable = image;
    }

    pub(super) fn durable(&self) -> Vec<u8> {
        self.state().durable.clone()
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
            if matches!(event, Event::Sync) {
                self.pending.clear();
            }
            return Err(kind.into());
        }
        if let (Event::Write(offset, data), Some(size_max)) = (&event, self.size_max)
            && offset + u64::try_from(data.len()).unwrap() > size_max
        {
            return Err(ErrorKind::StorageFull.into());
        }
        play(&mut self.current, &event);
        if matches!(event, Event::Sync) {
            let pending = core::mem::take(&mut self.pending);
            pending.iter().for_each(|event| play(&mut self.durable, event));
        } else {
            self.pending.push(event.clone());
        }
        self.log.push(event);
        Ok(())
    }
}

pub(super) fn play(image: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => {
            let start = usize::try_from(*offset).unwrap();
            let end = start + data.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[start..end].copy_from_slice(data);
        }
        Event::SetLen(len) => image.resize(usize::try_from(*len).unwrap(), 0),
        Event::Sync | Event::Note(_) => {}
    }
}

impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyDisk")
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.state().current.len()).unwrap())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if state.reads_fail {
            return Err(ErrorKind::TimedOut.into());
        }
        let start = usize::try_from(offset).unwrap();
        let part = state.current.get(start..start + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().change(Event::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state().change(Event::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state().change(Event::Write(offset, data.to_vec()))
    }
}

impl Medium for FaultyDisk {
    fn open(&self, builder: &mut Builder, after_error: bool) -> Result<Database, redb::Error> {
        if after_error {
            let mut state = self.state();
            let mut current = state.durable.clone();
            state.pending.iter().for_each(|event| play(&mut current, event));
            state.current = current;
        }
        Ok(builder.create_with_backend(self.clone())?)
    }

    fn room(&self) -> u64 {
        let state = self.state();
        state.size_max.map_or(u64::MAX, |max| max.saturating_sub(u64::try_from(state.current.len()).unwrap()))
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
