//! What a store is asked to do, as plain values: no file and no thread, so that the node's pure core and the
//! simulator speak the same words as the daemon.

use core::fmt;
use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// One key may have so many bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// One value may have so many bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 30;

/// The tables of a store. Each is ordered by key, bytewise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Table {
    /// Facts about the node itself.
    Meta,
    /// Contact cards, by node id.
    Cards,
    /// Bundles that are carried or wait for delivery.
    Bundles,
    /// Ids of what was seen, kept longer than what they name.
    Seen,
    /// What was delivered to this node's own services.
    Inbox,
    /// Signed ledger facts.
    Ledger,
    /// Boards: their secrets and saved documents.
    Boards,
    /// Signed board changes, by the digest of their envelope.
    Changes,
    /// Content, by its BLAKE3.
    Blobs,
    /// What each neighbour is known to hold.
    PeerHas,
    /// Task attempts, so that a crash does not start one over for ever.
    Attempts,
    /// Contacts, past and planned.
    Contacts,
    /// What is known of each carried bundle, by its id.
    Index,
    /// Delivery notices, by the id of their bundle.
    Notices,
}

impl Table {
    /// Every table, in order.
    pub const ALL: [Self; 14] = [
        Self::Meta,
        Self::Cards,
        Self::Bundles,
        Self::Seen,
        Self::Inbox,
        Self::Ledger,
        Self::Boards,
        Self::Changes,
        Self::Blobs,
        Self::PeerHas,
        Self::Attempts,
        Self::Contacts,
        Self::Index,
        Self::Notices,
    ];

    /// The table's name on disk. It never changes for a table that has been released.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Cards => "cards",
            Self::Bundles => "bundles",
            Self::Seen => "seen",
            Self::Inbox => "inbox",
            Self::Ledger => "ledger",
            Self::Boards => "boards",
            Self::Changes => "changes",
            Self::Blobs => "blobs",
            Self::PeerHas => "peer-has",
            Self::Attempts => "attempts",
            Self::Contacts => "contacts",
            Self::Index => "index",
            Self::Notices => "notices",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One change to one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Sets a key, replacing what it held.
    Put {
        /// In this table.
        table: Table,
        /// This key, of at most [`KEY_BYTES_MAX`] bytes.
        key: Vec<u8>,
        /// This value, of at most [`VALUE_BYTES_MAX`] bytes.
        value: Vec<u8>,
    },
    /// Removes a key; one that is not there is no error.
    Delete {
        /// From this table.
        table: Table,
        /// This key.
        key: Vec<u8>,
    },
}

impl Op {
    /// Sets a key.
    #[must_use]
    pub fn put(table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { table, key: key.into(), value: value.into() }
    }

    /// Removes a key.
    #[must_use]
    pub fn delete(table: Table, key: impl Into<Vec<u8>>) -> Self {
        Self::Delete { table, key: key.into() }
    }

    /// The table it changes.
    #[must_use]
    pub const fn table(&self) -> Table {
        match self {
            Self::Put { table, .. } | Self::Delete { table, .. } => *table,
        }
    }

    /// The key it changes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// The bytes it brings: key and value.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len().saturating_add(value.len()),
            Self::Delete { key, .. } => key.len(),
        }
    }

    /// Refuses what no store takes, whatever room it has.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`].
    pub fn check(&self) -> Result<(), CommitError> {
        let value_bytes = match self {
            Self::Put { value, .. } => value.len(),
            Self::Delete { .. } => 0,
        };
        if self.key().len() > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
            return Err(CommitError::TooLarge);
        }
        Ok(())
    }
}

/// Changes that happen together or not at all, in this order.
pub type Batch = Vec<Op>;

/// Who may use the room that is kept back when a store is nearly full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Priority {
    /// Stops at the size limit less the reserve. What makes the store no larger is always let in.
    #[default]
    Normal,
    /// May use the reserve: ledger facts, receipts, what is needed to make room.
    High,
}

/// How much a store may hold, in bytes of keys and values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Never more than this.
    pub size_max: u64,
    /// Of which this much is for [`Priority::High`] only.
    pub reserve: u64,
}

impl Limits {
    /// No limit but the disk itself.
    pub const NONE: Self = Self { size_max: u64::MAX, reserve: 0 };

    /// Whether a store of `before` bytes may become one of `after` bytes. Shrinking is always allowed.
    #[must_use]
    pub const fn allow(&self, before: u64, after: u64, priority: Priority) -> bool {
        let limit = match priority {
            Priority::Normal => self.size_max.saturating_sub(self.reserve),
            Priority::High => self.size_max,
        };
        after <= before || after <= limit
    }
}

/// Entries and bytes (keys and values) of one table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableUsage {
    /// Keys in the table.
    pub entries: u64,
    /// Bytes of its keys and values.
    pub bytes: u64,
}

/// Entries and bytes of every table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    tables: [TableUsage; Table::ALL.len()],
}

impl Usage {
    /// One table's share.
    #[must_use]
    pub fn of(&self, table: Table) -> TableUsage {
        Table::ALL
            .iter()
            .position(|t| *t == table)
            .and_then(|i| self.tables.get(i))
            .copied()
            .unwrap_or_default()
    }

    /// Keys in all tables.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.tables.iter().fold(0, |sum, t| sum.saturating_add(t.entries))
    }

    /// Bytes of keys and values in all tables: what [`Limits`] are compared with.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tables.iter().fold(0, |sum, t| sum.saturating_add(t.bytes))
    }

    pub(crate) fn set(&mut self, table: Table, usage: TableUsage) {
        if let Some(slot) = self.slot(table) {
            *slot = usage;
        }
    }

    /// The usage after a batch, where `entry` tells the bytes of an entry (key and value) as it is now.
    pub(crate) fn after<E>(
        mut self,
        batch: &[Op],
        mut entry: impl FnMut(Table, &[u8]) -> Result<Option<u64>, E>,
    ) -> Result<Self, E> {
        let mut touched: BTreeMap<(Table, &[u8]), Option<u64>> = BTreeMap::new();
        for op in batch {
            let (table, key) = (op.table(), op.key());
            let before = match touched.get(&(table, key)) {
                Some(bytes) => *bytes,
                None => entry(table, key)?,
            };
            let after = match op {
                Op::Put { .. } => Some(count(op.bytes())),
                Op::Delete { .. } => None,
            };
            self.change(table, before, after);
            touched.insert((table, key), after);
        }
        Ok(self)
    }

    /// Accounts for one key whose entry (key and value bytes) went from `before` to `after`.
    pub(crate) fn change(&mut self, table: Table, before: Option<u64>, after: Option<u64>) {
        let Some(slot) = self.slot(table) else { return };
        slot.entries = slot.entries.saturating_sub(u64::from(before.is_some()));
        slot.entries = slot.entries.saturating_add(u64::from(after.is_some()));
        slot.bytes = slot.bytes.saturating_sub(before.unwrap_or(0)).saturating_add(after.unwrap_or(0));
    }

    fn slot(&mut self, table: Table) -> Option<&mut TableUsage> {
        Table::ALL.iter().position(|t| *t == table).and_then(|i| self.tables.get_mut(i))
    }
}

/// Why a batch was not committed.
///
/// Nothing of it is there, with one exception: after [`CommitError::Io`] nobody can say what reached the disk, and all
/// of it (never a part) may turn up after a restart. Submitting it again does no harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommitError {
    /// There is no room; the store works on and takes what makes it smaller.
    #[error("the store is full: {0}")]
    Full(FullCause),
    /// The disk failed; the store works on as soon as the disk does.
    #[error("the disk failed ({0}); hint: look at the system log and at the cable or card")]
    Io(ErrorKind),
    /// The file is damaged.
    #[error("the store's file is damaged; hint: run `cairn doctor`")]
    Corrupt,
    /// A key or a value is longer than a store takes.
    #[error("a key has more than {KEY_BYTES_MAX} bytes or a value more than {VALUE_BYTES_MAX}")]
    TooLarge,
    /// More waits to be written than the queue takes; try again after the next reply.
    #[error("the store cannot write as fast as it is asked to; hint: send less, or use a faster disk")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// What there is no room in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FullCause {
    /// The size limit of the store's own [`Limits`].
    #[error("its size limit is reached; hint: raise it or delete what is no longer needed")]
    Limit,
    /// The file system.
    #[error("the disk has no room left; hint: free some space on it")]
    Disk,
}

/// Why something could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk failed.
    #[error("the disk failed ({0}); hint: look at the system log and at the cable or card")]
    Io(ErrorKind),
    /// The file is damaged.
    #[error("the store's file is damaged; hint: run `cairn doctor`")]
    Corrupt,
    /// This one value is not what was written; the rest of the store is.
    #[error("this value is damaged; hint: it is asked for again from others who have it")]
    Damaged,
    /// The store was closed, or is being opened again after a disk error.
    #[error("the store is closed")]
    Closed,
}

/// What is called with each key and value, until it breaks.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Reading what is durable. A batch is seen by readers only once it is.
pub trait Read {
    /// The value of a key.
    ///
    /// # Errors
    /// [`ReadError`]; a key that is not there is no error.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// At most `len` bytes of a value from `offset` on; empty past its end. Costs what is read, not what is stored, and
    /// a part of a longer value is therefore not compared with its checksum.
    ///
    /// # Errors
    /// [`ReadError`]; a key that is not there is no error.
    fn read_range(
        &self,
        table: Table,
        key: &[u8],
        offset: u64,
        len: u64,
    ) -> Result<Option<Vec<u8>>, ReadError>;

    /// The length of a value, without reading it.
    ///
    /// # Errors
    /// [`ReadError`]; a key that is not there is no error.
    fn len_of(&self, table: Table, key: &[u8]) -> Result<Option<u64>, ReadError>;

    /// The last key of a table; none when it is empty.
    ///
    /// # Errors
    /// [`ReadError`].
    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, ReadError>;

    /// Calls `f` with keys and values in order, from the first key that is not below `start`, until it breaks. Damaged
    /// values are passed over (and noted by the store, so that one of them does not keep a node from starting).
    ///
    /// # Errors
    /// [`ReadError`]; `f` may have been called before.
    fn for_each_from(&self, table: Table, start: &[u8], f: &mut Visitor<'_>) -> Result<(), ReadError>;

    /// Calls `f` with every key and its value's length, in order, without reading the values.
    ///
    /// # Errors
    /// [`ReadError`]; `f` may have been called before.
    fn for_each_key(&self, table: Table, f: &mut dyn FnMut(&[u8], u64)) -> Result<(), ReadError>;

    /// Calls `f` with every key and value, in order.
    ///
    /// # Errors
    /// [`ReadError`]; `f` may have been called before.
    fn for_each(&self, table: Table, f: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), ReadError> {
        self.for_each_from(table, &[], &mut |key, value| {
            f(key, value);
            ControlFlow::Continue(())
        })
    }

    /// Calls `f` with every key that begins with `prefix` and its value, in order.
    ///
    /// # Errors
    /// [`ReadError`]; `f` may have been called before.
    fn for_prefix(
        &self,
        table: Table,
        prefix: &[u8],
        f: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), ReadError> {
        self.for_each_from(table, prefix, &mut |key, value| {
            if !key.starts_with(prefix) {
                return ControlFlow::Break(());
            }
            f(key, value);
            ControlFlow::Continue(())
        })
    }
}

/// A length of something in memory always fits.
pub(crate) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
