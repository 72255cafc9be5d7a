//! Reading everything again, a slice at a time, to find what rotted before it is needed.

use core::time::Duration;
use std::sync::PoisonError;
use std::time::Instant;

use crate::fault::{Fault, StoreError, contained};
use crate::layout::{damaged_key, damaged_row};
use crate::op::{Table, count};
use crate::reading::{Reading, damaged};
use crate::store::Store;

/// What a slice of scrubbing found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct ScrubReport {
    /// Values that were read and compared with their checksums.
    pub checked: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Keys whose values are not what was written. They are noted, and reading them is [`crate::ReadError::Damaged`]
    /// until they are written again or deleted.
    pub damaged: Vec<(Table, Vec<u8>)>,
    /// This slice reached the end of the store; the next one begins anew.
    pub done: bool,
    /// Where the next slice begins, for [`Store::scrub_from`] after a restart; empty at the beginning.
    pub position: Vec<u8>,
}

/// Where the next slice begins; none: at the beginning.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cursor(Option<(Table, Vec<u8>)>);

impl Store {
    /// Compares values with their checksums, as the disk has them, from where the last call stopped and for as long as
    /// `budget` says, but always at least one; a call takes longer than that by the time of reading one value. Values of
    /// format 1 that were not written since have no checksum and are only read.
    ///
    /// Damaged values are noted and their segment files moved to `damaged/`. To write the same value again (or the same
    /// content under another key) heals.
    ///
    /// # Errors
    /// [`StoreError`]: the file is damaged in a way that concerns more than one value, the disk failed, or the store is
    /// closed.
    pub fn scrub_step(&self, budget: Duration) -> Result<ScrubReport, StoreError> {
        let mut cursor = self.scrub.lock().unwrap_or_else(PoisonError::into_inner);
        if cursor.0.is_none() {
            self.shared.medium.forget();
        }
        let mut report = ScrubReport::default();
        let next = self.slice(&cursor, budget, &mut report).map_err(|fault| {
            self.shared.report(&fault);
            fault.into_store_error(self.dir())
        })?;
        report.done = next.0.is_none();
        report.position = next.0.as_ref().map_or_else(Vec::new, |(table, key)| damaged_row(*table, key));
        *cursor = next;
        drop(cursor);
        if !report.damaged.is_empty() {
            let found = core::mem::take(&mut report.damaged);
            report.damaged = self.on_writer(move |writer| writer.look_at_damage(&found))?;
        }
        Ok(report)
    }

    /// Goes on where a slice before a restart stopped: its [`ScrubReport::position`]. One that makes no sense is the
    /// beginning.
    pub fn scrub_from(&self, position: &[u8]) {
        *self.scrub.lock().unwrap_or_else(PoisonError::into_inner) = Cursor(damaged_key(position));
    }

    /// Keys whose values are known to be damaged: what a host asks others for again.
    ///
    /// # Errors
    /// [`StoreError`]: the disk failed, or the store is closed.
    pub fn damaged(&self) -> Result<Vec<(Table, Vec<u8>)>, StoreError> {
        // A value may have been healed by another key with the same content, so each is looked at again.
        let noted = self.view().and_then(|view| contained(|| damaged(&view.txn)));
        let noted = noted.map_err(|fault| fault.into_store_error(self.dir()))?;
        if noted.is_empty() {
            return Ok(noted);
        }
        self.on_writer(move |writer| writer.look_at_damage(&noted))
    }

    fn slice(&self, from: &Cursor, budget: Duration, report: &mut ScrubReport) -> Result<Cursor, Fault> {
        let started = Instant::now();
        let view = self.view()?;
        let (first, start) = match &from.0 {
            Some((table, key)) => (*table, key.as_slice()),
            None => (Table::Meta, [].as_slice()),
        };
        for table in Table::ALL.into_iter().filter(|table| *table >= first) {
            let start = if table == first { start } else { &[] };
            let next = contained(|| {
                let reading = Reading::new(&view.txn, self.shared.files(), table)?;
                for row in reading.range(start)? {
                    let (key, raw) = row?;
                    let (key, raw) = (key.value(), raw.value());
                    if report.checked > 0 && started.elapsed() >= budget {
                        return Ok(Some(key.to_vec()));
                    }
                    report.checked = report.checked.saturating_add(1);
                    report.bytes = report
                        .bytes
                        .saturating_add(Reading::entry_len(raw)?)
                        .saturating_add(count(key.len()));
                    if !reading.is_sound(key, raw)? {
                        report.damaged.push((table, key.to_vec()));
                    }
                }
                Ok(None)
            })?;
            if let Some(key) = next {
                return Ok(Cursor(Some((table, key))));
            }
        }
        Ok(Cursor::default())
    }
}
