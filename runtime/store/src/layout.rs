//! The layout on disk, described in `docs/design/store.md`: which redb tables there are, and what the store knows
//! about itself.

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTableMetadata as _, TableDefinition};

use crate::entry::number;
use crate::fault::{Fault, contained, corrupt};
use crate::op::{Table, TableUsage, Usage};

/// The format this release writes, and the newest it reads.
pub(crate) const FORMAT: u32 = 2;
const FORMAT_KEY: &str = "format";
/// The format of before an upgrade that the host has not finished yet.
const UPGRADED_FROM_KEY: &str = "upgraded-from";
pub(crate) const SEQUENCE_KEY: &str = "sequence";

pub(crate) type Definition<K> = TableDefinition<'static, K, &'static [u8]>;

/// Chunks of longer values. The name is older than segment files.
pub(crate) const CHUNKS: Definition<&'static [u8]> = TableDefinition::new("segments");
/// How many entries refer to a segment file.
pub(crate) const REFERENCES: Definition<&'static [u8]> = TableDefinition::new("segment-files");
/// Keys whose values were found damaged.
pub(crate) const DAMAGED: Definition<&'static [u8]> = TableDefinition::new("damaged");
/// What the store knows about itself.
pub(crate) const STORE: Definition<&'static str> = TableDefinition::new("store");

pub(crate) const fn definition(table: Table) -> Definition<&'static [u8]> {
    TableDefinition::new(table.name())
}

/// What the store knows about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SelfKnowledge {
    pub(crate) usage: Usage,
    /// Counts the write transactions of this store's life.
    pub(crate) sequence: u64,
    /// Some values are known to be damaged.
    pub(crate) has_damage: bool,
    /// The format in which the rows of the tables were written, as far as the host has said.
    pub(crate) rows_format: u32,
}

/// Reads what a store knows about itself; lays out an empty database and upgrades an older one first.
pub(crate) fn prepare(database: &Database) -> Result<SelfKnowledge, Fault> {
    contained(|| {
        if database.begin_read()?.list_tables()?.next().is_none() {
            lay_out(database)?;
        }
        let txn = database.begin_read()?;
        let format = {
            let store = txn.open_table(STORE)?;
            let raw = store.get(FORMAT_KEY)?.ok_or_else(|| corrupt("it does not say its format"))?;
            format_number(raw.value())?
        };
        if format > FORMAT {
            return Err(Fault::Newer(format));
        }
        if format < FORMAT {
            upgrade(database, format)?;
        }
        read_self(&database.begin_read()?)
    })
}

fn format_number(raw: &[u8]) -> Result<u32, Fault> {
    raw.try_into().map(u32::from_be_bytes).map_err(|_| corrupt("it does not say its format"))
}

fn lay_out(database: &Database) -> Result<(), Fault> {
    let txn = database.begin_write()?;
    {
        let mut store = txn.open_table(STORE)?;
        store.insert(FORMAT_KEY, FORMAT.to_be_bytes().as_slice())?;
        store.insert(SEQUENCE_KEY, 0_u64.to_be_bytes().as_slice())?;
        for table in Table::ALL {
            txn.open_table(definition(table))?;
            store.insert(table.name(), encode_usage(TableUsage::default()).as_slice())?;
        }
        for table in [CHUNKS, REFERENCES, DAMAGED] {
            txn.open_table(table)?;
        }
    }
    Ok(txn.commit()?)
}

/// One transaction from any older format to this one. What hosts keep in the tables stays as it is: only they can read
/// it, and they learn from the note left here that they have to.
fn upgrade(database: &Database, from: u32) -> Result<(), Fault> {
    let txn = database.begin_write()?;
    {
        let mut store = txn.open_table(STORE)?;
        store.insert(FORMAT_KEY, FORMAT.to_be_bytes().as_slice())?;
        store.insert(UPGRADED_FROM_KEY, from.to_be_bytes().as_slice())?;
        for table in [Table::Index, Table::Notices] {
            txn.open_table(definition(table))?;
            store.insert(table.name(), encode_usage(TableUsage::default()).as_slice())?;
        }
        for table in [REFERENCES, DAMAGED] {
            txn.open_table(table)?;
        }
    }
    Ok(txn.commit()?)
}

/// Notes that the host has brought its rows to this format.
pub(crate) fn finish_upgrade(database: &Database) -> Result<(), Fault> {
    let txn = database.begin_write()?;
    txn.open_table(STORE)?.remove(UPGRADED_FROM_KEY)?;
    Ok(txn.commit()?)
}

pub(crate) fn read_self(txn: &ReadTransaction) -> Result<SelfKnowledge, Fault> {
    let store = txn.open_table(STORE)?;
    let mut usage = Usage::default();
    for table in Table::ALL {
        let raw = store.get(table.name())?.ok_or_else(|| corrupt("a table is not counted"))?;
        let (entries, bytes) = raw.value().split_at_checked(8).ok_or_else(|| corrupt("a short count"))?;
        usage.set(table, TableUsage { entries: number(entries)?, bytes: number(bytes)? });
    }
    let sequence = store.get(SEQUENCE_KEY)?.ok_or_else(|| corrupt("it has no sequence number"))?;
    let from = store.get(UPGRADED_FROM_KEY)?;
    Ok(SelfKnowledge {
        usage,
        sequence: number(sequence.value())?,
        has_damage: !txn.open_table(DAMAGED)?.is_empty()?,
        rows_format: from.map_or(Ok(FORMAT), |raw| format_number(raw.value()))?,
    })
}

pub(crate) fn encode_usage(usage: TableUsage) -> [u8; 16] {
    let mut raw = [0; 16];
    let (first, second) = raw.split_at_mut(8);
    first.copy_from_slice(&usage.entries.to_be_bytes());
    second.copy_from_slice(&usage.bytes.to_be_bytes());
    raw
}

/// The row of a damaged key: the table's name, a zero, the key.
pub(crate) fn damaged_row(table: Table, key: &[u8]) -> Vec<u8> {
    [table.name().as_bytes(), &[0], key].concat()
}

/// The table and key of such a row; none when its table is not one of ours.
pub(crate) fn damaged_key(row: &[u8]) -> Option<(Table, Vec<u8>)> {
    let at = row.iter().position(|byte| *byte == 0)?;
    let (name, key) = row.split_at_checked(at)?;
    let table = Table::ALL.into_iter().find(|table| table.name().as_bytes() == name)?;
    Some((table, key.get(1..)?.to_vec()))
}

/// Passes on to a copy of a store that its host has not finished an upgrade.
pub(crate) fn keep_rows_format(database: &Database, format: u32) -> Result<(), Fault> {
    if format == FORMAT {
        return Ok(());
    }
    let txn = database.begin_write()?;
    txn.open_table(STORE)?.insert(UPGRADED_FROM_KEY, format.to_be_bytes().as_slice())?;
    Ok(txn.commit()?)
}
