//! Giving room back to the disk.

use std::sync::mpsc;

use crate::fault::StoreError;
use crate::store::Store;

/// What a compaction gave back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CompactReport {
    /// Bytes of the redb file and of orphans before.
    pub bytes_before: u64,
    /// Bytes of the redb file after.
    pub bytes_after: u64,
    /// Segment files that nobody referred to, and that were removed.
    pub orphans: u64,
}

impl Store {
    /// Shrinks the redb file as far as it goes and removes segment files that nobody refers to. Takes as long as writing
    /// the whole file; commits and readers wait. `progress` is called with what is done and what there is to do, in
    /// steps: one for each directory of segment files, and one for the redb file, which says nothing while it moves.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when readers do not pause, [`StoreError::DiskFull`] when there is no room to move pages to.
    pub fn compact(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<CompactReport, StoreError> {
        let (sender, steps) = mpsc::channel();
        let (result_to, result) = mpsc::sync_channel(1);
        if self.on_writer_thread() {
            return Err(StoreError::Busy);
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let result = self.on_writer(move |writer| {
                    let before = writer.shared.medium.file_bytes();
                    let swept = writer.sweep_all(|done, all| {
                        // Nobody listens any more when the callback panicked.
                        let _ = sender.send((done, all.saturating_add(1)));
                    })?;
                    let moved = writer.alone(|database| Ok(database.compact()?));
                    let after = writer.shared.medium.file_bytes();
                    // A compaction that failed half way is none, but redb has to look at the file again.
                    moved.inspect_err(|_| writer.reopen())?;
                    let _ = sender.send((1, 1));
                    Ok(CompactReport {
                        bytes_before: before.saturating_add(swept.1),
                        bytes_after: after,
                        orphans: swept.0,
                    })
                });
                let _ = result_to.send(result);
            });
            for (done, all) in steps {
                progress(done, all);
            }
        });
        result.recv().unwrap_or(Err(StoreError::Closed))
    }
}
