//! One consistent view of what is durable.

use redb::{ReadTransaction, ReadableTable as _};

use crate::entry::{CHUNK_BYTES, Entry, Name, number, sum};
use crate::fault::{Fault, corrupt};
use crate::files::Files;
use crate::layout::{CHUNKS, DAMAGED, REFERENCES, damaged_key, definition};
use crate::op::{Table, count};
use crate::segments::{self, Generation};

/// A read transaction, and the promise that segment files it may refer to stay.
pub(crate) struct View {
    pub(crate) txn: ReadTransaction,
    /// Held, never looked at: the writer counts who does.
    pub(crate) _generation: Generation,
}

type Rows = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// One table of a view.
pub(crate) struct Reading<'a> {
    txn: &'a ReadTransaction,
    files: &'a dyn Files,
    rows: Opened<'a, Rows>,
}

/// A table that is opened for one reader, or one that many share.
enum Opened<'a, T> {
    Own(T),
    Shared(&'a T),
}

impl<T> core::ops::Deref for Opened<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Own(value) => value,
            Self::Shared(value) => value,
        }
    }
}

/// A view that is kept from one read to the next, with the tables that were opened: to begin a transaction and to open a
/// table costs as much as reading a value.
pub(crate) struct KeptView {
    view: View,
    tables: [Option<Rows>; Table::ALL.len()],
}

impl KeptView {
    pub(crate) fn new(view: View) -> Self {
        Self { view, tables: [const { None }; Table::ALL.len()] }
    }

    /// One table of this view.
    pub(crate) fn reading<'a>(
        &'a mut self,
        files: &'a dyn Files,
        table: Table,
    ) -> Result<Reading<'a>, Fault> {
        let txn = &self.view.txn;
        let slot = Table::ALL.iter().position(|t| *t == table).and_then(|at| self.tables.get_mut(at));
        let slot = slot.ok_or_else(|| corrupt("a table that is not one"))?;
        let rows = match slot {
            Some(rows) => rows,
            None => slot.insert(txn.open_table(definition(table))?),
        };
        Ok(Reading { txn, files, rows: Opened::Shared(rows) })
    }
}

impl<'a> Reading<'a> {
    pub(crate) fn new(txn: &'a ReadTransaction, files: &'a dyn Files, table: Table) -> Result<Self, Fault> {
        Ok(Self { txn, files, rows: Opened::Own(txn.open_table(definition(table))?) })
    }

    pub(crate) fn len_of(&self, key: &[u8]) -> Result<Option<u64>, Fault> {
        let raw = self.rows.get(key)?;
        raw.map(|raw| Ok(Entry::decode(raw.value())?.len())).transpose()
    }

    pub(crate) fn last_key(&self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.rows.last()?.map(|(key, _)| key.value().to_vec()))
    }

    pub(crate) fn read_range(&self, key: &[u8], offset: u64, len: u64) -> Result<Option<Vec<u8>>, Fault> {
        let raw = self.rows.get(key)?;
        raw.map(|raw| self.part(key, &Entry::decode(raw.value())?, offset, len)).transpose()
    }

    /// Keys with the raw entries behind them, from the first key that is not below `start`.
    pub(crate) fn range(&self, start: &[u8]) -> Result<redb::Range<'_, &'static [u8], &'static [u8]>, Fault> {
        Ok(self.rows.range(start..)?)
    }

    pub(crate) fn entry_len(raw: &[u8]) -> Result<u64, Fault> {
        Ok(Entry::decode(raw)?.len())
    }

    pub(crate) fn is_in_file(raw: &[u8]) -> Result<bool, Fault> {
        Ok(matches!(Entry::decode(raw)?, Entry::File { .. }))
    }

    pub(crate) fn entry_value(&self, key: &[u8], raw: &[u8]) -> Result<Vec<u8>, Fault> {
        self.part(key, &Entry::decode(raw)?, 0, u64::MAX)
    }

    /// Whether a value is what was written, as far as it has a checksum. A disk that cannot read it is no excuse.
    pub(crate) fn is_sound(&self, key: &[u8], raw: &[u8]) -> Result<bool, Fault> {
        let entry = Entry::decode(raw)?;
        let result = match &entry {
            Entry::File { bytes, name } => segments::is_whole(self.files, name, *bytes),
            Entry::Inline { .. } | Entry::Chunked { .. } => self.part(key, &entry, 0, u64::MAX).map(|_| true),
        };
        match result {
            Err(Fault::Damaged | Fault::Unread(_)) => Ok(false),
            other => other,
        }
    }

    /// Whether the value of a key is sound, and the segment file it lies in.
    pub(crate) fn look(&self, key: &[u8]) -> Result<Option<(bool, Option<Name>)>, Fault> {
        let Some(raw) = self.rows.get(key)? else { return Ok(None) };
        let file = match Entry::decode(raw.value())? {
            Entry::File { name, .. } => Some(name),
            Entry::Inline { .. } | Entry::Chunked { .. } => None,
        };
        Ok(Some((self.is_sound(key, raw.value())?, file)))
    }

    fn part(&self, key: &[u8], entry: &Entry<'_>, offset: u64, len: u64) -> Result<Vec<u8>, Fault> {
        let total = entry.len();
        let start = offset.min(total);
        let end = start.saturating_add(len).min(total);
        match entry {
            Entry::Inline { sum: expected, value } => {
                if expected.is_some_and(|expected| expected != sum(key, value)) {
                    return Err(Fault::Damaged);
                }
                Ok(cut(value, start, end).to_vec())
            }
            Entry::Chunked { id, name, .. } => {
                let out = self.chunked(*id, start, end)?;
                let whole = start == 0 && end == total;
                match name {
                    Some(name) if whole && blake3::hash(&out).as_bytes() != name => Err(Fault::Damaged),
                    _ => Ok(out),
                }
            }
            Entry::File { bytes, name } if start < end => {
                segments::read(self.files, name, *bytes, start, end)
            }
            Entry::File { .. } => Ok(Vec::new()),
        }
    }

    fn chunked(&self, id: u64, start: u64, end: u64) -> Result<Vec<u8>, Fault> {
        let chunks = self.txn.open_table(CHUNKS)?;
        let step = count(CHUNK_BYTES);
        let mut out = Vec::new();
        let mut at = start;
        while at < end {
            let index = u32::try_from(at / step).map_err(|_| corrupt("a value that is too long"))?;
            let raw = chunks.get(chunk_key(id, index).as_slice())?;
            let raw = raw.ok_or_else(|| corrupt("a chunk is missing"))?;
            let first = at.saturating_sub(at % step);
            let piece = cut(raw.value(), at.saturating_sub(first), end.saturating_sub(first));
            if piece.is_empty() {
                return Err(corrupt("a chunk is too short"));
            }
            out.extend_from_slice(piece);
            at = at.saturating_add(count(piece.len()));
        }
        Ok(out)
    }
}

pub(crate) fn chunk_key(id: u64, index: u32) -> [u8; 12] {
    let mut key = [0; 12];
    let (high, low) = key.split_at_mut(8);
    high.copy_from_slice(&id.to_be_bytes());
    low.copy_from_slice(&index.to_be_bytes());
    key
}

/// Whether an entry refers to a segment file.
pub(crate) fn is_referred_to(txn: &ReadTransaction, name: &Name) -> Result<bool, Fault> {
    Ok(txn.open_table(REFERENCES)?.get(name.as_slice())?.is_some())
}

/// References to segment files in all, and how many files they are to.
pub(crate) fn references(txn: &ReadTransaction) -> Result<(u64, u64), Fault> {
    let (mut all, mut files) = (0_u64, 0_u64);
    for row in txn.open_table(REFERENCES)?.iter()? {
        all = all.saturating_add(number(row?.1.value())?);
        files = files.saturating_add(1);
    }
    Ok((all, files))
}

/// Keys noted as damaged.
pub(crate) fn damaged(txn: &ReadTransaction) -> Result<Vec<(Table, Vec<u8>)>, Fault> {
    let mut keys = Vec::new();
    for row in txn.open_table(DAMAGED)?.iter()? {
        keys.extend(damaged_key(row?.0.value()));
    }
    Ok(keys)
}

fn cut(bytes: &[u8], start: u64, end: u64) -> &[u8] {
    let limit = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(limit(start)..limit(end)).unwrap_or_default()
}
