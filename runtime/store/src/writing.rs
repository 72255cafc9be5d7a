//! One write transaction that several batches share.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableTable as _, WriteTransaction};

use crate::entry::{
    CHUNK_BYTES, CHUNKED_BYTES_MAX, Entry, INLINE_BYTES_MAX, Name, encode_chunked, encode_file,
    encode_inline, number,
};
use crate::fault::{Fault, corrupt};
use crate::files::Files;
use crate::layout::{
    CHUNKS, DAMAGED, REFERENCES, SEQUENCE_KEY, STORE, damaged_row, definition, encode_usage,
};
use crate::op::{Op, Table, Usage, count};
use crate::reading::chunk_key;
use crate::segments::{self, Segments};

type Rows<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

pub(crate) struct Writing<'txn> {
    txn: &'txn WriteTransaction,
    tables: [Option<Rows<'txn>>; Table::ALL.len()],
    chunks: Option<(Rows<'txn>, u64)>,
    references: Option<Rows<'txn>>,
    /// Open only when some values are known to be damaged: what is written anew is no more.
    damaged: Option<Rows<'txn>>,
    /// Segment files that this transaction takes the last reference from.
    dropped: BTreeSet<Name>,
    entry: Vec<u8>,
}

/// What an entry that went away had referred to.
#[derive(Clone, Copy)]
enum Held {
    Nothing,
    Chunks(u64),
    File(Name),
}

impl<'txn> Writing<'txn> {
    pub(crate) fn new(txn: &'txn WriteTransaction, has_damage: bool) -> Result<Self, Fault> {
        Ok(Self {
            txn,
            tables: [const { None }; Table::ALL.len()],
            chunks: None,
            references: None,
            damaged: if has_damage { Some(txn.open_table(DAMAGED)?) } else { None },
            dropped: BTreeSet::new(),
            entry: Vec::new(),
        })
    }

    /// The bytes of an entry, key and value.
    pub(crate) fn entry_bytes(&mut self, table: Table, key: &[u8]) -> Result<Option<u64>, Fault> {
        let raw = self.table(table)?.get(key)?;
        raw.map(|raw| Ok(Entry::decode(raw.value())?.len().saturating_add(count(key.len())))).transpose()
    }

    /// Writes the long values of a batch into files, for the transaction to refer to. Not durable before
    /// [`Segments::settle`].
    pub(crate) fn stage(
        &mut self,
        batch: &[Op],
        files: &dyn Files,
        segments: &mut Segments,
    ) -> Result<BTreeMap<usize, Name>, Fault> {
        let mut names = BTreeMap::new();
        for (index, op) in batch.iter().enumerate() {
            let Op::Put { value, .. } = op else { continue };
            if value.len() <= CHUNKED_BYTES_MAX {
                continue;
            }
            let name = *blake3::hash(value).as_bytes();
            names.insert(index, name);
            // A file that others refer to is used again, if it is sound. To write a value once more heals it.
            let there = segments.is_staged(&name)
                || (self.references_to(&name)? > 0
                    && segments::is_whole(files, &name, count(value.len())).unwrap_or(false));
            if !there {
                segments.stage(files, name, value)?;
            }
        }
        Ok(names)
    }

    /// Makes one change; the bytes of the entry (key and value) that was there.
    pub(crate) fn apply(&mut self, op: &Op, name: Option<&Name>) -> Result<Option<u64>, Fault> {
        let (table, key) = (op.table(), op.key());
        let old = match op {
            Op::Put { value, .. } => {
                let mut entry = core::mem::take(&mut self.entry);
                self.write_value(&mut entry, key, value, name)?;
                let old = held(self.table(table)?.insert(key, entry.as_slice())?);
                self.entry = entry;
                old?
            }
            Op::Delete { .. } => held(self.table(table)?.remove(key)?)?,
        };
        if let Some(damaged) = &mut self.damaged {
            damaged.remove(damaged_row(table, key).as_slice())?;
        }
        let Some((bytes, held)) = old else { return Ok(None) };
        match held {
            Held::Nothing => {}
            Held::Chunks(id) => {
                let (first, last) = (chunk_key(id, 0), chunk_key(id, u32::MAX));
                self.chunks()?.0.retain_in(first.as_slice()..=last.as_slice(), |_, _| false)?;
            }
            Held::File(name) => self.release(&name)?,
        }
        Ok(Some(bytes.saturating_add(count(key.len()))))
    }

    /// Notes a key whose value is damaged.
    pub(crate) fn note_damage(&mut self, table: Table, key: &[u8], is_damaged: bool) -> Result<(), Fault> {
        let row = damaged_row(table, key);
        if self.damaged.is_none() {
            self.damaged = Some(self.txn.open_table(DAMAGED)?);
        }
        if let Some(damaged) = &mut self.damaged {
            if is_damaged {
                damaged.insert(row.as_slice(), [].as_slice())?;
            } else {
                damaged.remove(row.as_slice())?;
            }
        }
        Ok(())
    }

    /// Writes down what the store must know about itself when it is next opened; the segment files that nobody
    /// refers to any more.
    pub(crate) fn finish(self, before: &Usage, after: &Usage, sequence: u64) -> Result<Vec<Name>, Fault> {
        let mut store = self.txn.open_table(STORE)?;
        store.insert(SEQUENCE_KEY, sequence.to_be_bytes().as_slice())?;
        for table in Table::ALL {
            if before.of(table) != after.of(table) {
                store.insert(table.name(), encode_usage(after.of(table)).as_slice())?;
            }
        }
        Ok(self.dropped.into_iter().collect())
    }

    fn table(&mut self, table: Table) -> Result<&mut Rows<'txn>, Fault> {
        let slot = Table::ALL.iter().position(|t| *t == table).and_then(|at| self.tables.get_mut(at));
        let slot = slot.ok_or_else(|| corrupt("a table that is not one"))?;
        match slot {
            Some(rows) => Ok(rows),
            None => Ok(slot.insert(self.txn.open_table(definition(table))?)),
        }
    }

    fn chunks(&mut self) -> Result<&mut (Rows<'txn>, u64), Fault> {
        if self.chunks.is_none() {
            let rows = self.txn.open_table(CHUNKS)?;
            let next = match rows.last()? {
                Some((key, _)) => {
                    let id = key.value().get(..8).ok_or_else(|| corrupt("a short chunk key"))?;
                    number(id)?.checked_add(1).ok_or_else(|| corrupt("no chunk number is left"))?
                }
                None => 0,
            };
            self.chunks = Some((rows, next));
        }
        self.chunks.as_mut().ok_or_else(|| corrupt("no chunks"))
    }

    fn references(&mut self) -> Result<&mut Rows<'txn>, Fault> {
        match &mut self.references {
            Some(rows) => Ok(rows),
            slot @ None => Ok(slot.insert(self.txn.open_table(REFERENCES)?)),
        }
    }

    fn references_to(&mut self, name: &Name) -> Result<u64, Fault> {
        let raw = self.references()?.get(name.as_slice())?;
        raw.map_or(Ok(0), |raw| number(raw.value()))
    }

    fn write_value(
        &mut self,
        entry: &mut Vec<u8>,
        key: &[u8],
        value: &[u8],
        name: Option<&Name>,
    ) -> Result<(), Fault> {
        if let Some(name) = name {
            let references = self.references_to(name)?.saturating_add(1);
            self.references()?.insert(name.as_slice(), references.to_be_bytes().as_slice())?;
            self.dropped.remove(name);
            encode_file(entry, value.len(), name);
            return Ok(());
        }
        if value.len() <= INLINE_BYTES_MAX {
            encode_inline(entry, key, value);
            return Ok(());
        }
        let (chunks, next) = self.chunks()?;
        let id = *next;
        *next = id.checked_add(1).ok_or_else(|| corrupt("no chunk number is left"))?;
        for (index, chunk) in (0_u32..).zip(value.chunks(CHUNK_BYTES)) {
            chunks.insert(chunk_key(id, index).as_slice(), chunk)?;
        }
        encode_chunked(entry, value.len(), id, blake3::hash(value).as_bytes());
        Ok(())
    }

    fn release(&mut self, name: &Name) -> Result<(), Fault> {
        match self.references_to(name)?.checked_sub(1) {
            None => return Err(corrupt("a segment file nobody counted")),
            Some(0) => {
                self.references()?.remove(name.as_slice())?;
                self.dropped.insert(*name);
            }
            Some(left) => {
                self.references()?.insert(name.as_slice(), left.to_be_bytes().as_slice())?;
            }
        }
        Ok(())
    }
}

/// The length of the value that was there, and what else goes with it.
fn held(old: Option<redb::AccessGuard<'_, &'static [u8]>>) -> Result<Option<(u64, Held)>, Fault> {
    let Some(raw) = old else { return Ok(None) };
    let entry = Entry::decode(raw.value())?;
    let held = match entry {
        Entry::Inline { .. } => Held::Nothing,
        Entry::Chunked { id, .. } => Held::Chunks(id),
        Entry::File { name, .. } => Held::File(name),
    };
    Ok(Some((entry.len(), held)))
}
