//! A copy of everything, as it was at one moment.

use std::path::Path;

use redb::Database;

use crate::fault::{Fault, StoreError, contained};
use crate::files::Files;
use crate::layout;
use crate::medium::{Directory, Medium as _};
use crate::op::{Op, Table, Usage, count};
use crate::reading::{Reading, View};
use crate::segments::Segments;
use crate::store::Store;
use crate::writing::Writing;

/// One transaction of the copy takes so many bytes.
const GROUP_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What an export wrote.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct ExportReport {
    /// What is in the copy.
    pub usage: Usage,
    /// Keys whose values are damaged and therefore not in the copy.
    pub damaged: Vec<(Table, Vec<u8>)>,
}

impl Store {
    /// Writes everything, as it is at this moment, into a new store in `dir`, which must hold none yet. Commits go on
    /// meanwhile. Every value is compared with its checksum on the way. The copy is durable when this returns, opens with
    /// [`Store::open`], and is as small as a store can be; what an interrupted export leaves is no store.
    ///
    /// `progress` is called with the bytes of keys and values that are done, and those there are.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is a store, or a part of one, in `dir`; [`StoreError`] of either side.
    pub fn export(
        &self,
        dir: impl AsRef<Path>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<ExportReport, StoreError> {
        let target = Directory::take(dir.as_ref())?;
        if !target.is_empty() {
            return Err(StoreError::Exists { dir: dir.as_ref().into() });
        }
        let view = self.view().map_err(|fault| fault.into_store_error(self.dir()))?;
        let mut sequence = 0;
        let mut report = ExportReport::default();
        target.create_filled(self.shared.cache_bytes, |database| {
            let mut copy = Copy::new(database, target.files());
            let total = contained(|| layout::read_self(&view.txn))?;
            copy.total = total.usage.bytes();
            for table in Table::ALL {
                copy.table(&view, self.shared.files(), table, progress)?;
            }
            copy.flush(progress)?;
            contained(|| layout::keep_rows_format(database, total.rows_format))?;
            sequence = copy.sequence;
            report = ExportReport { usage: copy.usage, damaged: copy.damaged };
            Ok(())
        })?;
        target.closed(sequence);
        Ok(report)
    }
}

/// A store that is being written from another.
struct Copy<'a> {
    database: &'a Database,
    files: &'a dyn Files,
    segments: Segments,
    batch: Vec<Op>,
    batch_bytes: u64,
    usage: Usage,
    sequence: u64,
    total: u64,
    damaged: Vec<(Table, Vec<u8>)>,
}

impl<'a> Copy<'a> {
    fn new(database: &'a Database, files: &'a dyn Files) -> Self {
        Self {
            database,
            files,
            segments: Segments::default(),
            batch: Vec::new(),
            batch_bytes: 0,
            usage: Usage::default(),
            sequence: 0,
            total: 0,
            damaged: Vec::new(),
        }
    }

    fn table(
        &mut self,
        view: &View,
        from: &dyn Files,
        table: Table,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Fault> {
        contained(|| {
            let reading = Reading::new(&view.txn, from, table)?;
            for row in reading.range(&[])? {
                let (key, raw) = row?;
                let value = match reading.entry_value(key.value(), raw.value()) {
                    Err(Fault::Damaged) => {
                        self.damaged.push((table, key.value().to_vec()));
                        continue;
                    }
                    other => other?,
                };
                let op = Op::put(table, key.value(), value);
                self.batch_bytes = self.batch_bytes.saturating_add(count(op.bytes()));
                self.batch.push(op);
                if self.batch_bytes >= GROUP_BYTES_MAX {
                    self.flush(progress)?;
                }
            }
            Ok(())
        })
    }

    fn flush(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Fault> {
        let batch = core::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        contained(|| {
            let before = self.usage;
            let txn = self.database.begin_write()?;
            let mut writing = Writing::new(&txn, false)?;
            let names = writing.stage(&batch, self.files, &mut self.segments)?;
            for (index, op) in batch.iter().enumerate() {
                let old = writing.apply(op, names.get(&index))?;
                self.usage.change(op.table(), old, Some(count(op.bytes())));
            }
            self.segments.settle(self.files)?;
            self.sequence = self.sequence.saturating_add(1);
            writing.finish(&before, &self.usage, self.sequence)?;
            Ok(txn.commit()?)
        })?;
        progress(self.usage.bytes(), self.total);
        Ok(())
    }
}
