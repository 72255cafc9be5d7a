//! A disk in memory that can crash: what the simulator gives its nodes instead of a [`crate::Store`].

use core::ops::Bound;
use std::collections::{BTreeMap, VecDeque};

use crate::op::{
    Batch, CommitError, FullCause, Limits, Op, Priority, Read, ReadError, Table, Usage, Visitor, count,
};

/// Batches are buffered by [`MemoryDisk::commit`], become durable and visible by [`MemoryDisk::sync`], and are lost
/// by [`MemoryDisk::crash`] in between.
///
/// ```
/// use cairn_store::{MemoryDisk, Op, Read, Table};
/// let mut disk = MemoryDisk::default();
/// disk.commit(vec![Op::put(Table::Seen, *b"a", *b"1")]);
/// disk.crash();
/// assert_eq!(disk.get(Table::Seen, b"a"), Ok(None));
/// disk.commit(vec![Op::put(Table::Seen, *b"a", *b"1")]);
/// assert_eq!(disk.sync(), [Ok(())]);
/// disk.crash();
/// assert_eq!(disk.get(Table::Seen, b"a"), Ok(Some(b"1".to_vec())));
/// ```
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
    waiting: VecDeque<(Batch, Priority)>,
    limits: Limits,
    usage: Usage,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new(Limits::NONE)
    }
}

impl MemoryDisk {
    /// An empty disk with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { tables: BTreeMap::new(), waiting: VecDeque::new(), limits, usage: Usage::default() }
    }

    /// Buffers a batch. Neither durable nor visible yet.
    pub fn commit(&mut self, batch: Batch) {
        self.commit_with(batch, Priority::Normal);
    }

    /// Buffers a batch that may use the reserve.
    pub fn commit_with(&mut self, batch: Batch, priority: Priority) {
        self.waiting.push_back((batch, priority));
    }

    /// Makes every buffered batch durable; what became of each, in the order of the commits.
    pub fn sync(&mut self) -> Vec<Result<(), CommitError>> {
        let mut results = Vec::with_capacity(self.waiting.len());
        while let Some(result) = self.sync_one() {
            results.push(result);
        }
        results
    }

    /// Makes only the oldest buffered batch durable; none when nothing waits.
    pub fn sync_one(&mut self) -> Option<Result<(), CommitError>> {
        let (batch, priority) = self.waiting.pop_front()?;
        Some(self.apply(batch, priority))
    }

    /// Drops what was not synced, as a power cut does; how many batches that were.
    pub fn crash(&mut self) -> usize {
        let lost = self.waiting.len();
        self.waiting.clear();
        lost
    }

    /// Changes the limits, as when somebody else fills or frees the disk.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Batches that are not durable yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What is durable, counted.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    fn apply(&mut self, batch: Batch, priority: Priority) -> Result<(), CommitError> {
        batch.iter().try_for_each(Op::check)?;
        let after = self.usage.after(&batch, |table, key| {
            Ok::<_, CommitError>(self.value(table, key).map(|v| count(key.len().saturating_add(v.len()))))
        })?;
        if !self.limits.allow(self.usage.bytes(), after.bytes(), priority) {
            return Err(CommitError::Full(FullCause::Limit));
        }
        for op in batch {
            match op {
                Op::Put { table, key, value } => {
                    self.tables.entry(table).or_default().insert(key, value);
                }
                Op::Delete { table, key } => {
                    self.tables.entry(table).or_default().remove(&key);
                }
            }
        }
        self.usage = after;
        Ok(())
    }

    fn value(&self, table: Table, key: &[u8]) -> Option<&Vec<u8>> {
        self.tables.get(&table).and_then(|t| t.get(key))
    }
}

impl Read for MemoryDisk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.value(table, key).cloned())
    }

    fn read_range(
        &self,
        table: Table,
        key: &[u8],
        offset: u64,
        len: u64,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.value(table, key).map(|value| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(value.len());
            let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(value.len());
            value.get(start..end).unwrap_or_default().to_vec()
        }))
    }

    fn len_of(&self, table: Table, key: &[u8]) -> Result<Option<u64>, ReadError> {
        Ok(self.value(table, key).map(|v| count(v.len())))
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.tables.get(&table).and_then(|t| t.last_key_value()).map(|(key, _)| key.clone()))
    }

    fn for_each_from(&self, table: Table, start: &[u8], f: &mut Visitor<'_>) -> Result<(), ReadError> {
        let range = (Bound::Included(start), Bound::Unbounded);
        for (key, value) in self.tables.get(&table).into_iter().flat_map(|t| t.range::<[u8], _>(range)) {
            if f(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn for_each_key(&self, table: Table, f: &mut dyn FnMut(&[u8], u64)) -> Result<(), ReadError> {
        for (key, value) in self.tables.get(&table).into_iter().flatten() {
            f(key, count(value.len()));
        }
        Ok(())
    }
}
