//! Reading everything to find damage.

use redb::ReadTransaction;

use crate::fault::{Fault, StoreError, contained};
use crate::files::Files;
use crate::layout::read_self;
use crate::op::{Table, TableUsage, Usage, count};
use crate::reading::{Reading, references};
use crate::store::Store;

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct CheckReport {
    /// The file's structure needed a repair, which was made.
    pub repaired: bool,
    /// Blobs whose content is not what their key says.
    pub wrong_blobs: Vec<Vec<u8>>,
    /// Keys whose values are not what was written, by their checksums. They are noted as [`Store::damaged`] says.
    pub damaged: Vec<(Table, Vec<u8>)>,
    /// The counts kept with the data were not what is there.
    pub wrong_usage: bool,
    /// The counts of references to segment files were not what is there.
    pub wrong_references: bool,
    /// Segment files that nobody referred to, and that were removed.
    pub orphans: u64,
    /// What is there, counted anew.
    pub usage: Usage,
}

impl CheckReport {
    /// Nothing is wrong with what is there now.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.wrong_blobs.is_empty() && self.damaged.is_empty() && !self.wrong_usage && !self.wrong_references
    }
}

impl Store {
    /// Verifies every page of the file and every segment file, counts the entries and the references, compares each
    /// value with its checksum and each blob with its key, the BLAKE3 of its value, and removes orphans. Takes as long as
    /// reading everything twice; commits wait during the first half.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the file cannot be used as it is, [`StoreError::Busy`] when readers do not pause.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        self.check_with(&mut |_, _| {})
    }

    /// As [`Store::check`]. `progress` is called with the bytes of keys and values that were compared, and those there
    /// are; not before the pages of the file are verified.
    ///
    /// # Errors
    /// As [`Store::check`].
    pub fn check_with(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, StoreError> {
        let repaired = !self.on_writer(|writer| writer.alone(|database| Ok(database.check_integrity()?)))?;
        let (orphans, _) = self.on_writer(|writer| writer.sweep_all(|_, _| {}))?;
        let fault = |fault: Fault| fault.into_store_error(self.dir());
        let view = self.view().map_err(fault)?;
        let kept = contained(|| read_self(&view.txn)).map_err(fault)?;
        let mut look = Look::new(kept.usage.bytes(), progress);
        for table in Table::ALL {
            look.through(&view.txn, self.shared.files(), table).map_err(fault)?;
        }
        let (counted, _) = contained(|| references(&view.txn)).map_err(fault)?;
        drop(view);
        let mut report = CheckReport { repaired, orphans, ..look.report };
        report.wrong_usage = kept.usage != report.usage;
        report.wrong_references = counted != look.references;
        if !report.damaged.is_empty() {
            let found = core::mem::take(&mut report.damaged);
            report.damaged = self.on_writer(move |writer| writer.look_at_damage(&found))?;
        }
        Ok(report)
    }
}

/// Progress is told after so many bytes.
const STEP_BYTES: u64 = 16 * 1024 * 1024;

struct Look<'a> {
    report: CheckReport,
    references: u64,
    done: u64,
    told: u64,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl<'a> Look<'a> {
    fn new(total: u64, progress: &'a mut dyn FnMut(u64, u64)) -> Self {
        Self { report: CheckReport::default(), references: 0, done: 0, told: 0, total, progress }
    }

    fn pass(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        if self.done >= self.told.saturating_add(STEP_BYTES) || self.done >= self.total {
            self.told = self.done;
            (self.progress)(self.done, self.total);
        }
    }

    fn through(&mut self, txn: &ReadTransaction, files: &dyn Files, table: Table) -> Result<(), Fault> {
        contained(|| {
            let reading = Reading::new(txn, files, table)?;
            let mut usage = TableUsage::default();
            for row in reading.range(&[])? {
                let (key, raw) = row?;
                let (key, raw) = (key.value(), raw.value());
                usage.entries = usage.entries.saturating_add(1);
                let bytes = Reading::entry_len(raw)?.saturating_add(count(key.len()));
                usage.bytes = usage.bytes.saturating_add(bytes);
                self.references = self.references.saturating_add(u64::from(Reading::is_in_file(raw)?));
                if !reading.is_sound(key, raw)? {
                    self.report.damaged.push((table, key.to_vec()));
                } else if table == Table::Blobs
                    && blake3::hash(&reading.entry_value(key, raw)?).as_bytes().as_slice() != key
                {
                    self.report.wrong_blobs.push(key.to_vec());
                }
                self.pass(bytes);
            }
            self.report.usage.set(table, usage);
            Ok(())
        })
    }
}
