//! The layout on disk, described in `docs/design/store.md`: which redb tables there are and what is in them.

use std::collections::BTreeMap;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::fault::{Fault, contained, corrupt};
use crate::op::{Op, Table, TableUsage, Usage, count};

/// The format this release writes, and the newest it reads.
pub(crate) const FORMAT: u32 = 1;
/// Longer values are cut into segments, so that a part can be read without the whole.
pub(crate) const INLINE_BYTES_MAX: usize = 8 * 1024;
/// With its key and redb's own bytes a segment just fits a redb page of 64 KiB.
pub(crate) const SEGMENT_BYTES: usize = 64 * 1024 - 128;

const SEGMENTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("segments");
const STORE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("store");
const FORMAT_KEY: &str = "format";
const SEQUENCE_KEY: &str = "sequence";
const INLINE: u8 = 0;
const SEGMENTED: u8 = 1;

const fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}

/// What a table holds under a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entry<'a> {
    Inline(&'a [u8]),
    Segmented { bytes: u64, id: u64 },
}

impl<'a> Entry<'a> {
    fn decode(raw: &'a [u8]) -> Result<Self, redb::Error> {
        match raw.split_first() {
            Some((&INLINE, value)) => Ok(Self::Inline(value)),
            Some((&SEGMENTED, rest)) => {
                let (bytes, id) = rest.split_at_checked(8).ok_or_else(|| corrupt("a short entry"))?;
                Ok(Self::Segmented { bytes: number(bytes)?, id: number(id)? })
            }
            _ => Err(corrupt("an entry of unknown kind")),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Inline(value) => count(value.len()),
            Self::Segmented { bytes, .. } => *bytes,
        }
    }
}

fn number(raw: &[u8]) -> Result<u64, redb::Error> {
    raw.try_into().map(u64::from_be_bytes).map_err(|_| corrupt("a number of the wrong length"))
}

fn segment_key(id: u64, index: u32) -> [u8; 12] {
    let mut key = [0; 12];
    let (high, low) = key.split_at_mut(8);
    high.copy_from_slice(&id.to_be_bytes());
    low.copy_from_slice(&index.to_be_bytes());
    key
}

/// One write transaction that several batches share.
pub(crate) struct Writing<'txn> {
    txn: &'txn WriteTransaction,
    tables: BTreeMap<Table, redb::Table<'txn, &'static [u8], &'static [u8]>>,
    segments: redb::Table<'txn, &'static [u8], &'static [u8]>,
    next_segment: u64,
}

impl<'txn> Writing<'txn> {
    pub(crate) fn new(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        let segments = txn.open_table(SEGMENTS)?;
        let next_segment = match segments.last()? {
            Some((key, _)) => {
                let id = key.value().get(..8).ok_or_else(|| corrupt("a short segment key"))?;
                number(id)?.checked_add(1).ok_or_else(|| corrupt("no segment number is left"))?
            }
            None => 0,
        };
        Ok(Self { txn, tables: BTreeMap::new(), segments, next_segment })
    }

    /// The bytes of an entry, key and value.
    pub(crate) fn entry_bytes(&mut self, table: Table, key: &[u8]) -> Result<Option<u64>, redb::Error> {
        let raw = self.table(table)?.get(key)?;
        raw.map(|raw| Ok(Entry::decode(raw.value())?.len().saturating_add(count(key.len())))).transpose()
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Result<(), redb::Error> {
        match op {
            Op::Put { table, key, value } => {
                let entry = self.write_value(value)?;
                let old = segments_of(self.table(*table)?.insert(key.as_slice(), entry.as_slice())?)?;
                self.drop_segments(old)
            }
            Op::Delete { table, key } => {
                let old = segments_of(self.table(*table)?.remove(key.as_slice())?)?;
                self.drop_segments(old)
            }
        }
    }

    /// Writes down what the store must know about itself when it is next opened.
    pub(crate) fn finish(self, usage: &Usage, sequence: u64) -> Result<(), redb::Error> {
        let mut store = self.txn.open_table(STORE)?;
        store.insert(SEQUENCE_KEY, sequence.to_be_bytes().as_slice())?;
        for table in Table::ALL {
            let TableUsage { entries, bytes } = usage.of(table);
            let mut raw = [0; 16];
            let (first, second) = raw.split_at_mut(8);
            first.copy_from_slice(&entries.to_be_bytes());
            second.copy_from_slice(&bytes.to_be_bytes());
            store.insert(table.name(), raw.as_slice())?;
        }
        Ok(())
    }

    fn table(
        &mut self,
        table: Table,
    ) -> Result<&mut redb::Table<'txn, &'static [u8], &'static [u8]>, redb::Error> {
        use std::collections::btree_map::Entry as Slot;
        match self.tables.entry(table) {
            Slot::Occupied(slot) => Ok(slot.into_mut()),
            Slot::Vacant(slot) => Ok(slot.insert(self.txn.open_table(definition(table))?)),
        }
    }

    fn write_value(&mut self, value: &[u8]) -> Result<Vec<u8>, redb::Error> {
        if value.len() <= INLINE_BYTES_MAX {
            let mut entry = Vec::with_capacity(value.len().saturating_add(1));
            entry.push(INLINE);
            entry.extend_from_slice(value);
            return Ok(entry);
        }
        let id = self.next_segment;
        self.next_segment = id.checked_add(1).ok_or_else(|| corrupt("no segment number is left"))?;
        for (index, segment) in (0_u32..).zip(value.chunks(SEGMENT_BYTES)) {
            self.segments.insert(segment_key(id, index).as_slice(), segment)?;
        }
        let mut entry = vec![SEGMENTED];
        entry.extend_from_slice(&count(value.len()).to_be_bytes());
        entry.extend_from_slice(&id.to_be_bytes());
        Ok(entry)
    }

    fn drop_segments(&mut self, id: Option<u64>) -> Result<(), redb::Error> {
        let Some(id) = id else { return Ok(()) };
        let (first, last) = (segment_key(id, 0), segment_key(id, u32::MAX));
        self.segments.retain_in(first.as_slice()..=last.as_slice(), |_, _| false)?;
        Ok(())
    }
}

fn segments_of(old: Option<redb::AccessGuard<'_, &'static [u8]>>) -> Result<Option<u64>, redb::Error> {
    match old.map(|raw| Entry::decode(raw.value()).map(|entry| (entry.len(), segment_id(&entry)))) {
        Some(Ok((_, id))) => Ok(id),
        Some(Err(error)) => Err(error),
        None => Ok(None),
    }
}

const fn segment_id(entry: &Entry<'_>) -> Option<u64> {
    match entry {
        Entry::Inline(_) => None,
        Entry::Segmented { id, .. } => Some(*id),
    }
}

type Rows = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// One consistent view of what is durable.
pub(crate) struct Reading {
    rows: Rows,
    segments: Rows,
}

impl Reading {
    pub(crate) fn new(txn: &ReadTransaction, table: Table) -> Result<Self, redb::Error> {
        Ok(Self { rows: txn.open_table(definition(table))?, segments: txn.open_table(SEGMENTS)? })
    }

    pub(crate) fn len_of(&self, key: &[u8]) -> Result<Option<u64>, redb::Error> {
        let raw = self.rows.get(key)?;
        raw.map(|raw| Ok(Entry::decode(raw.value())?.len())).transpose()
    }

    pub(crate) fn read_range(
        &self,
        key: &[u8],
        offset: u64,
        len: u64,
    ) -> Result<Option<Vec<u8>>, redb::Error> {
        let raw = self.rows.get(key)?;
        raw.map(|raw| self.part(&Entry::decode(raw.value())?, offset, len)).transpose()
    }

    /// Keys with the raw entries behind them, from the first key that is not below `start`.
    pub(crate) fn range(
        &self,
        start: &[u8],
    ) -> Result<redb::Range<'_, &'static [u8], &'static [u8]>, redb::Error> {
        Ok(self.rows.range(start..)?)
    }

    pub(crate) fn entry_len(raw: &[u8]) -> Result<u64, redb::Error> {
        Ok(Entry::decode(raw)?.len())
    }

    pub(crate) fn entry_value(&self, raw: &[u8]) -> Result<Vec<u8>, redb::Error> {
        self.part(&Entry::decode(raw)?, 0, u64::MAX)
    }

    fn part(&self, entry: &Entry<'_>, offset: u64, len: u64) -> Result<Vec<u8>, redb::Error> {
        let total = entry.len();
        let start = offset.min(total);
        let end = start.saturating_add(len).min(total);
        match entry {
            Entry::Inline(value) => Ok(cut(value, start, end).to_vec()),
            Entry::Segmented { id, .. } => self.segmented(*id, start, end),
        }
    }

    fn segmented(&self, id: u64, start: u64, end: u64) -> Result<Vec<u8>, redb::Error> {
        let step = count(SEGMENT_BYTES);
        let mut out = Vec::new();
        let mut at = start;
        while at < end {
            let index = u32::try_from(at / step).map_err(|_| corrupt("a value that is too long"))?;
            let raw = self.segments.get(segment_key(id, index).as_slice())?;
            let raw = raw.ok_or_else(|| corrupt("a segment is missing"))?;
            let first = at.saturating_sub(at % step);
            let piece = cut(raw.value(), at.saturating_sub(first), end.saturating_sub(first));
            if piece.is_empty() {
                return Err(corrupt("a segment is too short"));
            }
            out.extend_from_slice(piece);
            at = at.saturating_add(count(piece.len()));
        }
        Ok(out)
    }
}

fn cut(bytes: &[u8], start: u64, end: u64) -> &[u8] {
    let limit = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(limit(start)..limit(end)).unwrap_or_default()
}

/// What the store knows about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SelfKnowledge {
    pub(crate) usage: Usage,
    /// Counts the write transactions of this store's life.
    pub(crate) sequence: u64,
}

/// Reads what a store knows about itself; lays out an empty database first.
pub(crate) fn prepare(database: &Database) -> Result<SelfKnowledge, Fault> {
    let empty = contained(|| Ok(database.begin_read()?.list_tables()?.next().is_none()))?;
    if empty {
        contained(|| lay_out(database))?;
    }
    let format = contained(|| {
        let store = database.begin_read()?.open_table(STORE)?;
        let raw = store.get(FORMAT_KEY)?.ok_or_else(|| corrupt("it does not say its format"))?;
        raw.value().try_into().map(u32::from_be_bytes).map_err(|_| corrupt("it does not say its format"))
    })?;
    if format > FORMAT {
        return Err(Fault::Newer(format));
    }
    contained(|| read_self(&database.begin_read()?))
}

fn lay_out(database: &Database) -> Result<(), redb::Error> {
    let txn = database.begin_write()?;
    for table in Table::ALL {
        txn.open_table(definition(table))?;
    }
    txn.open_table(STORE)?.insert(FORMAT_KEY, FORMAT.to_be_bytes().as_slice())?;
    Writing::new(&txn)?.finish(&Usage::default(), 0)?;
    txn.commit()?;
    Ok(())
}

pub(crate) fn read_self(txn: &ReadTransaction) -> Result<SelfKnowledge, redb::Error> {
    let store = txn.open_table(STORE)?;
    let mut usage = Usage::default();
    for table in Table::ALL {
        let raw = store.get(table.name())?.ok_or_else(|| corrupt("a table is not counted"))?;
        let (entries, bytes) = raw.value().split_at_checked(8).ok_or_else(|| corrupt("a short count"))?;
        usage.set(table, TableUsage { entries: number(entries)?, bytes: number(bytes)? });
    }
    let sequence = store.get(SEQUENCE_KEY)?.ok_or_else(|| corrupt("it has no sequence number"))?;
    Ok(SelfKnowledge { usage, sequence: number(sequence.value())? })
}
