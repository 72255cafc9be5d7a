//! A long table read by two threads: one takes rows off the disk and compares their checksums, the other does what the
//! caller wants with them. A node with a million bundles starts in little more than half the time.

use core::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;

use crate::op::{Read as _, ReadError, Table};
use crate::store::Store;

/// A table with fewer rows is read before a thread would have started.
pub(crate) const ROWS_MIN: u64 = 4_096;
/// Rows that go from one thread to the other at a time, or as many as have so many bytes.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;
/// Batches that may wait.
const BATCHES_MAX: usize = 4;

type Row = (Vec<u8>, Vec<u8>);

impl Store {
    /// Calls `f` with every key and value, in order, while another thread reads on.
    pub(crate) fn for_each_ahead(
        &self,
        table: Table,
        f: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), ReadError> {
        thread::scope(|scope| {
            let (sender, batches) = mpsc::sync_channel(BATCHES_MAX);
            let reader = thread::Builder::new().name("cairn-ahead".into());
            let Ok(reader) = reader.spawn_scoped(scope, move || self.read_ahead(table, &sender)) else {
                // A system that gives no thread has one left for reading.
                return self.for_each_from(table, &[], &mut |key, value| {
                    f(key, value);
                    ControlFlow::Continue(())
                });
            };
            for batch in batches {
                for (key, value) in batch {
                    f(&key, &value);
                }
            }
            reader.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    fn read_ahead(&self, table: Table, sender: &mpsc::SyncSender<Vec<Row>>) -> Result<(), ReadError> {
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        self.for_each_from(table, &[], &mut |key, value| {
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            batch.push((key.to_vec(), value.to_vec()));
            if batch.len() < BATCH_ROWS && bytes < BATCH_BYTES {
                return ControlFlow::Continue(());
            }
            bytes = 0;
            match sender.send(core::mem::take(&mut batch)) {
                Ok(()) => ControlFlow::Continue(()),
                // The caller's function has panicked.
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        let _ = sender.send(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Op;
    use crate::store::Options;

    #[test]
    fn a_long_table_comes_whole_and_in_order() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), Options::default()).unwrap();
        let count = u32::try_from(ROWS_MIN).unwrap() * 2 + 7;
        let value = |number: u32| vec![number.to_le_bytes()[0]; usize::try_from(number % 700).unwrap()];
        let rows = (0..count).map(|number| Op::put(Table::Index, number.to_be_bytes(), value(number)));
        store.commit(rows.collect()).unwrap();
        let mut next = 0_u32;
        store
            .for_each(Table::Index, &mut |key, found| {
                assert_eq!((key, found), (&next.to_be_bytes()[..], &value(next)[..]));
                next += 1;
            })
            .unwrap();
        assert_eq!(next, count);
    }

    #[test]
    fn a_caller_that_panics_gets_its_own_panic_and_the_store_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), Options::default()).unwrap();
        let rows = (0..u32::try_from(ROWS_MIN).unwrap() * 4)
            .map(|number| Op::put(Table::Index, number.to_be_bytes(), [1]));
        store.commit(rows.collect()).unwrap();
        let panic = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            store.for_each(Table::Index, &mut |key, _| assert!(key < &[0, 0, 1][..], "far enough"))
        }));
        assert!(panic.is_err());
        assert_eq!(store.len_of(Table::Index, &[0; 4]), Ok(Some(1)));
    }
}
