//! Reading everything to find damage.

use redb::ReadTransaction;

use crate::fault::{Fault, StoreError, contained};
use crate::layout::{Reading, SEGMENT_BYTES, read_self};
use crate::op::{Table, TableUsage, Usage, count};
use crate::store::Store;

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct CheckReport {
    /// The file's structure needed a repair, which was made.
    pub repaired: bool,
    /// Blobs whose content is not what their key says.
    pub wrong_blobs: Vec<Vec<u8>>,
    /// The counts kept with the data were not what is there.
    pub wrong_usage: bool,
    /// What is there, counted anew.
    pub usage: Usage,
}

impl CheckReport {
    /// Nothing is wrong with what is there now.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.wrong_blobs.is_empty() && !self.wrong_usage
    }
}

impl Store {
    /// Verifies every page of the file, counts the entries and compares each blob with its key, the BLAKE3 of its
    /// value. Takes as long as reading the whole file twice; commits wait during the first half.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the file cannot be used as it is, [`StoreError::Busy`] when readers do not pause.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        let repaired = !self.check_file()?;
        let fault = |fault: Fault| fault.into_store_error(self.dir());
        let txn = self.transaction().map_err(fault)?;
        let mut report = CheckReport { repaired, ..CheckReport::default() };
        for table in Table::ALL {
            look_through(&txn, table, &mut report).map_err(fault)?;
        }
        let kept = contained(|| read_self(&txn)).map_err(fault)?;
        report.wrong_usage = kept.usage != report.usage;
        Ok(report)
    }
}

fn look_through(txn: &ReadTransaction, table: Table, report: &mut CheckReport) -> Result<(), Fault> {
    contained(|| {
        let reading = Reading::new(txn, table)?;
        let mut usage = TableUsage::default();
        for row in reading.range(&[])? {
            let (key, raw) = row?;
            let (key, bytes) = (key.value(), Reading::entry_len(raw.value())?);
            usage.entries = usage.entries.saturating_add(1);
            usage.bytes = usage.bytes.saturating_add(bytes).saturating_add(count(key.len()));
            if table == Table::Blobs && content_hash(&reading, key, bytes)?.as_bytes().as_slice() != key {
                report.wrong_blobs.push(key.to_vec());
            }
        }
        report.usage.set(table, usage);
        Ok(())
    })
}

fn content_hash(reading: &Reading, key: &[u8], bytes: u64) -> Result<blake3::Hash, redb::Error> {
    let step = count(SEGMENT_BYTES);
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    while at < bytes {
        hasher.update(&reading.read_range(key, at, step)?.unwrap_or_default());
        at = at.saturating_add(step);
    }
    Ok(hasher.finalize())
}
