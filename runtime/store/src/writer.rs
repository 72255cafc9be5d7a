//! The writer thread: it gathers what waits into one transaction, and replies after the fsync.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::{Arc, PoisonError};

use redb::Database;

use crate::fault::{Fault, contained};
use crate::layout::SelfKnowledge;
use crate::medium;
use crate::op::{CommitError, FullCause, Op, Priority, Usage};
use crate::queue::{Pending, Reply, Shared, State, Work};
use crate::segments::Segments;
use crate::writing::Writing;

/// A disk that was full is tried again when it has so much more room than then.
const ROOM_STEP_BYTES: u64 = 64 * 1024;

/// The disk as it was when it had no room left.
struct FullMark {
    room: u64,
    bytes: u64,
    ballast_gone: bool,
}

type Outcome = Result<(), CommitError>;

/// The writer thread's own knowledge.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    /// The last transaction that is known to be durable.
    pub(crate) sequence: u64,
    /// Some values are known to be damaged.
    pub(crate) has_damage: bool,
    pub(crate) segments: Segments,
    /// The last commit recorded what redb needs to open the file without reading all of it.
    pub(crate) is_recorded: bool,
    full: Option<FullMark>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, knowledge: &SelfKnowledge) -> Self {
        Self {
            shared,
            sequence: knowledge.sequence,
            has_damage: knowledge.has_damage,
            segments: Segments::default(),
            is_recorded: false,
            full: None,
        }
    }

    pub(crate) fn run(mut self) {
        self.shared.medium.restore_ballast();
        loop {
            match self.shared.next(self.idle()) {
                Work::Group(group) => self.commit_group(group),
                Work::Refuse(error, reply) => tell(reply, Err(error)),
                Work::Errand(errand) => drop(catch_unwind(AssertUnwindSafe(|| errand(&mut self)))),
                Work::Met(keys) => drop(self.look_at_damage(&keys)),
                Work::Reopen => self.reopen(),
                Work::Idle => self.tidy(),
                Work::Close => break,
            }
            self.segments.reap(self.shared.medium.files());
        }
        self.close();
    }

    fn commit_group(&mut self, group: Vec<Pending>) {
        let outcomes = match self.try_group(&group) {
            Ok(outcomes) => outcomes,
            Err(_) => {
                // Which batch was too much for the disk shows when each is tried alone.
                self.recover();
                self.one_by_one(&group)
            }
        };
        if self.full.is_none() && outcomes.iter().any(Result::is_ok) {
            self.shared.medium.restore_ballast();
        }
        for (pending, outcome) in group.into_iter().zip(outcomes) {
            tell(pending.reply, outcome);
        }
    }

    fn one_by_one(&mut self, group: &[Pending]) -> Vec<Outcome> {
        let mut failing = None;
        group
            .iter()
            .map(|pending| {
                if let Some(error) = failing {
                    return Err(error);
                }
                self.try_one(pending).unwrap_or_else(|fault| {
                    let error = fault.commit_error();
                    // A full disk may have room for the next; a failing one is not asked again at once.
                    if fault != Fault::Full {
                        failing = Some(error);
                    }
                    Err(error)
                })
            })
            .collect()
    }

    fn try_one(&mut self, pending: &Pending) -> Result<Outcome, Fault> {
        let mut result = self.try_alone(pending);
        let frees = pending.priority == Priority::High
            || pending.batch.iter().all(|op| matches!(op, Op::Delete { .. }));
        if result == Err(Fault::Full) && frees && self.shared.medium.release_ballast() {
            self.recover();
            result = self.try_alone(pending);
        }
        if let Err(fault) = &result {
            self.recover();
            if *fault == Fault::Full {
                self.full = Some(FullMark {
                    room: self.shared.medium.room(),
                    bytes: self.shared.usage().bytes(),
                    ballast_gone: frees,
                });
            }
        }
        result
    }

    fn try_alone(&mut self, pending: &Pending) -> Result<Outcome, Fault> {
        let outcomes = self.try_group(core::slice::from_ref(pending))?;
        Ok(outcomes.into_iter().next().unwrap_or(Err(CommitError::Closed)))
    }

    /// After a fault redb refuses everything until the file is opened again. One of a segment file is none of redb's.
    fn recover(&mut self) {
        if !self.segments.discard(self.shared.medium.files()) {
            self.reopen();
        }
    }

    /// Commits a group in one transaction; what became of each batch, or the fault by which all of them failed.
    fn try_group(&mut self, group: &[Pending]) -> Result<Vec<Outcome>, Fault> {
        self.look_for_room();
        if matches!(&*self.shared.state(), State::Broken(fault) if !matches!(fault, Fault::Corrupt(_) | Fault::Newer(_)))
        {
            self.reopen();
        }
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        match &*state {
            State::Open(database) => self.transact(database, group),
            State::Broken(fault) => Err(fault.clone()),
        }
    }

    fn transact(&mut self, database: &Database, group: &[Pending]) -> Result<Vec<Outcome>, Fault> {
        let shared = Arc::clone(&self.shared);
        let before = shared.usage();
        let mut usage = before;
        let sequence = self.sequence.saturating_add(1);
        let result = contained(|| {
            let txn = database.begin_write()?;
            #[cfg(test)]
            let txn = self.spoil(txn)?;
            let mut writing = Writing::new(&txn, self.has_damage)?;
            let mut outcomes = Vec::with_capacity(group.len());
            for pending in group {
                outcomes.push(self.write(&mut writing, &mut usage, pending)?);
            }
            if !outcomes.iter().any(Result::is_ok) {
                drop(writing);
                txn.abort()?;
                return Ok((outcomes, Vec::new()));
            }
            let dropped = writing.finish(&before, &usage, sequence)?;
            self.settle()?;
            #[cfg(test)]
            if shared.medium.broken().removes_before_commit {
                self.segments.doom(shared.next_generation(), dropped.clone());
                self.segments.reap(shared.files());
            }
            txn.commit()?;
            Ok((outcomes, dropped))
        });
        let (outcomes, dropped) = result?;
        if outcomes.iter().any(Result::is_ok) {
            self.sequence = sequence;
            self.is_recorded = false;
            shared.set_usage(usage);
        }
        if !dropped.is_empty() {
            self.segments.doom(shared.next_generation(), dropped);
        }
        // Before anybody is told of the commit, and after the new generation has begun.
        shared.let_go();
        Ok(outcomes)
    }

    fn settle(&mut self) -> Result<(), Fault> {
        #[cfg(test)]
        if self.shared.medium.broken().refers_before_sync {
            return Ok(self.segments.settle_without_sync(self.shared.medium.files())?);
        }
        Ok(self.segments.settle(self.shared.medium.files())?)
    }

    #[cfg(test)]
    fn spoil(&self, mut txn: redb::WriteTransaction) -> Result<redb::WriteTransaction, Fault> {
        if self.shared.medium.broken().acknowledges_before_sync {
            txn.set_durability(redb::Durability::None)?;
        }
        Ok(txn)
    }

    /// Adds one batch to a transaction, if it may come in.
    fn write(
        &mut self,
        writing: &mut Writing<'_>,
        usage: &mut Usage,
        pending: &Pending,
    ) -> Result<Outcome, Fault> {
        if let Err(error) = pending.batch.iter().try_for_each(Op::check) {
            return Ok(Err(error));
        }
        // Entries are looked up beforehand only where it matters what they replace.
        let most = pending.batch.iter().fold(usage.bytes(), |sum, op| match op {
            Op::Put { .. } => sum.saturating_add(crate::op::count(op.bytes())),
            Op::Delete { .. } => sum,
        });
        if self.full.is_some() || !self.shared.limits.allow(usage.bytes(), most, pending.priority) {
            let after = usage.after(&pending.batch, |table, key| writing.entry_bytes(table, key))?;
            if !self.shared.limits.allow(usage.bytes(), after.bytes(), pending.priority) {
                return Ok(Err(CommitError::Full(FullCause::Limit)));
            }
            if let Some(full) = &self.full
                && after.bytes() > usage.bytes()
                && (pending.priority == Priority::Normal || full.ballast_gone)
            {
                return Ok(Err(CommitError::Full(FullCause::Disk)));
            }
        }
        let names = writing.stage(&pending.batch, self.shared.medium.files(), &mut self.segments)?;
        for (index, op) in pending.batch.iter().enumerate() {
            let before = writing.apply(op, names.get(&index))?;
            let after = match op {
                Op::Put { .. } => Some(crate::op::count(op.bytes())),
                Op::Delete { .. } => None,
            };
            usage.change(op.table(), before, after);
        }
        Ok(Ok(()))
    }

    /// Forgets that the disk was full once it has more room, or the store needs less.
    fn look_for_room(&mut self) {
        let Some(full) = &self.full else { return };
        if self.shared.usage().bytes() < full.bytes
            || self.shared.medium.room() >= full.room.saturating_add(ROOM_STEP_BYTES)
        {
            self.full = None;
        }
    }

    pub(crate) fn reopen(&mut self) {
        // What the failed transaction wrote into files may be referred to or not; the new database knows.
        self.segments.sweep_again();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
        shared.let_go();
        // The old database must be gone, with its lock on the file, before the new one comes.
        let old = core::mem::replace(&mut *state, State::Broken(Fault::Closed));
        drop(catch_unwind(AssertUnwindSafe(move || drop(old))));
        *state = match medium::open(&*shared.medium, shared.cache_bytes, true) {
            Ok((_, knowledge)) if knowledge.sequence < self.sequence => {
                State::Broken(Fault::Corrupt("what was acknowledged last is gone".into()))
            }
            Ok((database, knowledge)) => {
                self.sequence = knowledge.sequence;
                self.has_damage = knowledge.has_damage;
                shared.set_usage(knowledge.usage);
                State::Open(database)
            }
            Err(fault) => State::Broken(fault),
        };
    }

    fn close(mut self) {
        self.segments.reap(self.shared.medium.files());
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
        shared.let_go();
        let old = core::mem::replace(&mut *state, State::Broken(Fault::Closed));
        if let State::Open(database) = old
            && contained(|| Ok(database.close()?)).is_ok()
        {
            shared.medium.closed(self.sequence);
        }
    }
}

/// A reply that panics is its owner's fault and must not cost the others their store.
fn tell(reply: Reply, outcome: Outcome) {
    drop(catch_unwind(AssertUnwindSafe(|| reply(outcome))));
}
