//! What the writer does between two groups of batches: looking for damage and for files that nobody refers to.

use core::time::Duration;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use redb::Database;

use crate::fault::{Fault, contained};
use crate::layout::{self, FORMAT};
use crate::medium;
use crate::op::Table;
use crate::queue::State;
use crate::reading::{Reading, damaged, is_referred_to};
use crate::segments::{self, BUCKETS};
use crate::writer::Writer;
use crate::writing::Writing;

/// Work that needs the database for itself waits so long for readers to finish.
const READERS_WAIT: Duration = Duration::from_secs(2);
/// When nothing waits, the writer looks for orphans after so long.
const SWEEP_AFTER: Duration = Duration::from_millis(20);
/// So many directories at a time.
const SWEEP_STEP: u32 = 8;
/// And it records what shortens the next opening after so long.
const RECORD_AFTER: Duration = Duration::from_secs(5);

impl Writer {
    /// Does something to the database while nobody reads.
    pub(crate) fn alone<T>(
        &self,
        mut work: impl FnMut(&mut Database) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let started = Instant::now();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
        shared.let_go();
        let result = loop {
            let database = match &mut *state {
                State::Open(database) => database,
                State::Broken(fault) => return Err(fault.clone()),
            };
            match contained(|| work(database)) {
                Err(Fault::Readers) if started.elapsed() < READERS_WAIT => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => break other,
            }
        };
        if let Err(fault @ (Fault::Corrupt(_) | Fault::Io(_) | Fault::Full)) = &result {
            *state = State::Broken(fault.clone());
        }
        result
    }

    pub(crate) fn finish_upgrade(&mut self) -> Result<u32, Fault> {
        self.alone(|database| layout::finish_upgrade(database))?;
        Ok(FORMAT)
    }

    /// How long the writer waits before it tidies up; none when there is nothing to tidy.
    pub(crate) fn idle(&self) -> Option<Duration> {
        if !self.segments.is_swept() {
            Some(SWEEP_AFTER)
        } else if !self.is_recorded && medium::is_long(&*self.shared.medium) {
            Some(RECORD_AFTER)
        } else {
            None
        }
    }

    /// What is done when nothing else waits.
    pub(crate) fn tidy(&mut self) {
        if self.segments.is_swept() {
            self.record();
            return;
        }
        for _ in 0..SWEEP_STEP {
            if !self.segments.is_swept() {
                self.sweep_one();
            }
        }
    }

    /// Commits nothing but redb's own record of which pages are in use, with two syncs: were the process killed now, a
    /// long file opens as soon as if it had been closed. Done at each commit it would cost many times the commit.
    pub(crate) fn record(&mut self) {
        let shared = Arc::clone(&self.shared);
        let result = match &*shared.state() {
            State::Open(database) => contained(|| {
                let mut txn = database.begin_write()?;
                txn.set_quick_repair(true);
                Ok(txn.commit()?)
            }),
            State::Broken(_) => Ok(()),
        };
        // Whatever came of it, it is not tried again before the next commit.
        self.is_recorded = true;
        if result.is_err() {
            self.reopen();
        }
    }

    /// Sweeps one directory of segment files. What goes wrong is tried again after the next opening.
    pub(crate) fn sweep_one(&mut self) {
        if self.sweep_bucket().is_err() {
            self.segments.skip_sweep();
        }
    }

    /// Removes every orphan, and quarantined files of no further use; how many orphans, and their bytes.
    pub(crate) fn sweep_all(&mut self, mut progress: impl FnMut(u64, u64)) -> Result<(u64, u64), Fault> {
        let (mut removed, mut bytes) = (0_u64, 0_u64);
        self.segments.reap(self.shared.medium.files());
        self.segments.sweep_again();
        for bucket in 1..=BUCKETS {
            let found = self.sweep_bucket()?;
            removed = removed.saturating_add(found.0);
            bytes = bytes.saturating_add(found.1);
            progress(bucket.into(), BUCKETS.into());
        }
        let view = self.shared.view()?;
        let files = self.shared.medium.files();
        self.segments.sweep_damaged(files, |name| contained(|| is_referred_to(&view.txn, name)))?;
        Ok((removed, bytes))
    }

    fn sweep_bucket(&mut self) -> Result<(u64, u64), Fault> {
        let view = self.shared.view()?;
        let files = self.shared.medium.files();
        self.segments.sweep_bucket(files, |name| contained(|| is_referred_to(&view.txn, name)))
    }

    /// Looks at values that somebody found damaged: notes those that are, and moves their segment files out of the way;
    /// those that are not are noted no more. Which are damaged.
    pub(crate) fn look_at_damage(
        &mut self,
        keys: &[(Table, Vec<u8>)],
    ) -> Result<Vec<(Table, Vec<u8>)>, Fault> {
        let shared = Arc::clone(&self.shared);
        let result = contained(|| {
            let view = shared.view()?;
            let noted = damaged(&view.txn)?;
            let (mut bad, mut files, mut changes) = (Vec::new(), Vec::new(), Vec::new());
            for (table, key) in keys {
                let look = Reading::new(&view.txn, shared.files(), *table)?.look(key)?;
                let is_damaged = matches!(look, Some((false, _)));
                if let Some((false, file)) = look {
                    bad.push((*table, key.clone()));
                    files.extend(file);
                }
                if noted.iter().any(|(t, k)| t == table && k == key) != is_damaged {
                    changes.push((*table, key, is_damaged));
                }
            }
            if !changes.is_empty() {
                self.note_damage(&changes)?;
            }
            for file in files {
                segments::quarantine(shared.files(), &file)?;
            }
            Ok(bad)
        });
        if let Err(fault) = &result {
            shared.report(fault);
        }
        result
    }

    fn note_damage(&mut self, changes: &[(Table, &Vec<u8>, bool)]) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        let database = match &*state {
            State::Open(database) => database,
            State::Broken(fault) => return Err(fault.clone()),
        };
        let txn = database.begin_write()?;
        let mut writing = Writing::new(&txn, true)?;
        for (table, key, is_damaged) in changes {
            writing.note_damage(*table, key, *is_damaged)?;
        }
        let (usage, sequence) = (shared.usage(), self.sequence.saturating_add(1));
        writing.finish(&usage, &usage, sequence)?;
        txn.commit()?;
        self.shared.let_go();
        self.sequence = sequence;
        self.is_recorded = false;
        self.has_damage = true;
        Ok(())
    }
}
