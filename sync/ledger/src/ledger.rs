//! The set of facts a node knows, and the indexes that keep the fold cheap.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Reverse;

use cairn_bundle::{Digest, NodeId};

use crate::entry::{Place, VerifiedEntry};
use crate::equiv::EquivProof;
use crate::fold::{LockStatus, Totals};
use crate::ids::{Kid, LockId, PayId, StreamId};
use crate::record::{Line, Record};

/// What a ledger holds at most. Each limit refuses the fact that would pass it and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most that all debtors together may be trusted with: the own cap of duty T1.
    pub exposure_max: u64,
    /// Admitted authors.
    pub authors_max: usize,
    /// Entries of one stream.
    pub entries_per_stream_max: usize,
    /// Entries of one admitted author, over all its streams.
    pub entries_per_author_max: usize,
    /// Entries of all authors that are not admitted, together.
    pub foreign_entries_max: usize,
}

impl Default for Limits {
    /// No own cap beyond the lines, and some tens of megabytes for the worst peer.
    fn default() -> Self {
        Self {
            exposure_max: u64::MAX,
            authors_max: 4096,
            entries_per_stream_max: 16_384,
            entries_per_author_max: 32_768,
            foreign_entries_max: 4096,
        }
    }
}

/// What became of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// It counts from now on.
    New,
    /// It was there already.
    Known,
    /// It counts from now on, and its author is now proven to have signed twice for one place.
    Fork(Box<EquivProof>),
}

/// Why a fact was refused. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// The stream is full.
    #[error("the stream holds its limit of {entries_max} entries")]
    StreamFull {
        /// [`Limits::entries_per_stream_max`]
        entries_max: usize,
    },
    /// The author has its share.
    #[error("the author has its limit of {entries_max} entries")]
    AuthorFull {
        /// [`Limits::entries_per_author_max`]
        entries_max: usize,
    },
    /// Strangers have their share.
    #[error("authors that are not admitted have their limit of {entries_max} entries")]
    ForeignFull {
        /// [`Limits::foreign_entries_max`]
        entries_max: usize,
    },
}

/// One author more than [`Limits::authors_max`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger holds its limit of {authors_max} authors")]
pub struct AuthorsFull {
    /// [`Limits::authors_max`]
    pub authors_max: usize,
}

/// What frees a lock of condition 0: an ACCEPT for this payment by an author with this kid.
pub(crate) type Condition = (Kid, PayId);

/// Within one stream: epoch, then sequence number.
type Position = (u16, u32);

/// The highest of these is the LINE that counts: the last one signed, and of a fork the smaller one.
type LineRank = (Position, Reverse<u64>, Reverse<u64>, Reverse<Digest>);

/// The facts of one stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    positions: BTreeMap<Position, BTreeSet<Digest>>,
    entries: usize,
    missing: BTreeSet<Digest>,
    time_max: u32,
    line: Option<(LineRank, Line)>,
    pub(crate) cum: u64,
    pub(crate) locks: BTreeSet<Digest>,
    pub(crate) settles: BTreeSet<LockId>,
    pub(crate) releases: BTreeSet<LockId>,
}

/// The end of a stream, where the next entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) epoch: u16,
    pub(crate) seq: u32,
    pub(crate) id: Digest,
    pub(crate) time_max: u32,
}

/// The facts that one node knows. Balances are a pure function of their set.
#[derive(Debug, Clone)]
pub struct Ledger {
    me: NodeId,
    limits: Limits,
    admitted: BTreeSet<NodeId>,
    entries: BTreeMap<Digest, VerifiedEntry>,
    /// Own entries of which it is not yet known that they survive a power cut: offered to nobody.
    volatile: BTreeSet<Digest>,
    streams: BTreeMap<(NodeId, StreamId), Stream>,
    forks: BTreeMap<NodeId, BTreeSet<Place>>,
    entries_of: BTreeMap<NodeId, usize>,
    foreign_entries: usize,
    accepts: BTreeMap<Condition, BTreeSet<Digest>>,
    locks: BTreeMap<Condition, BTreeSet<Digest>>,
    results: BTreeMap<PayId, BTreeSet<Digest>>,
    /// Whom the streams of own edges address, for both ends.
    addressees: BTreeMap<(NodeId, StreamId), NodeId>,
    /// The running sums of own edges, by debtor and beneficiary.
    totals: BTreeMap<(NodeId, NodeId), Totals>,
}

impl Ledger {
    /// The empty ledger of a node.
    #[must_use]
    pub const fn new(me: NodeId, limits: Limits) -> Self {
        Self {
            me,
            limits,
            admitted: BTreeSet::new(),
            entries: BTreeMap::new(),
            volatile: BTreeSet::new(),
            streams: BTreeMap::new(),
            forks: BTreeMap::new(),
            entries_of: BTreeMap::new(),
            foreign_entries: 0,
            accepts: BTreeMap::new(),
            locks: BTreeMap::new(),
            results: BTreeMap::new(),
            addressees: BTreeMap::new(),
            totals: BTreeMap::new(),
        }
    }

    /// Admits an author: a peer, or a member of a board that this node works for or orders from. It gets a
    /// quota of its own, and its edge with this node gets running sums.
    ///
    /// # Errors
    /// [`AuthorsFull`] at the limit.
    pub fn admit(&mut self, node: &NodeId) -> Result<(), AuthorsFull> {
        if *node == self.me || self.admitted.contains(node) {
            return Ok(());
        }
        let authors_max = self.limits.authors_max;
        if self.admitted.len() >= authors_max {
            return Err(AuthorsFull { authors_max });
        }
        self.admitted.insert(*node);
        self.foreign_entries -= self.entries_of.get(node).copied().unwrap_or(0);
        for (author, peer) in [(self.me, *node), (*node, self.me)] {
            self.addressees.insert((author, StreamId::edge(&author, &peer)), peer);
            let totals = self.fold_totals(&author, &peer);
            self.totals.insert((author, peer), totals);
        }
        Ok(())
    }

    /// Adds a fact. The order of insertion and repetition make no difference to any view.
    ///
    /// # Errors
    /// [`InsertError`] at a limit; nothing changed.
    pub fn insert(&mut self, entry: VerifiedEntry) -> Result<Inserted, InsertError> {
        if self.entries.contains_key(&entry.id()) {
            return Ok(Inserted::Known);
        }
        self.check_room(&entry)?;
        let (id, author, place) = (entry.id(), entry.author(), entry.place());
        let mut touched = self.locks_touched_by(&entry);
        for lock in &touched {
            self.count_lock(lock, Totals::subtract);
        }
        self.charge(&author);
        self.index(&entry);
        if matches!(entry.record(), Record::Lock(_)) {
            touched.insert(id);
        }
        self.entries.insert(id, entry);
        for lock in &touched {
            self.count_lock(lock, Totals::add);
        }
        Ok(self.fork_at(&author, &place).map_or(Inserted::New, |proof| Inserted::Fork(Box::new(proof))))
    }

    /// Adds an own entry that is not on disk yet.
    pub(crate) fn insert_volatile(&mut self, entry: VerifiedEntry) -> Result<(), InsertError> {
        let id = entry.id();
        self.insert(entry)?;
        self.volatile.insert(id);
        Ok(())
    }

    /// Says that an own entry survives a power cut, so that it may be sent (duty T5).
    pub fn mark_durable(&mut self, id: &Digest) {
        self.volatile.remove(id);
    }

    /// Whether an entry may leave this node.
    #[must_use]
    pub fn is_durable(&self, id: &Digest) -> bool {
        self.entries.contains_key(id) && !self.volatile.contains(id)
    }

    /// Whose ledger it is.
    #[must_use]
    pub const fn me(&self) -> NodeId {
        self.me
    }

    /// What it holds at most.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The admitted authors.
    pub fn admitted(&self) -> impl Iterator<Item = &NodeId> {
        self.admitted.iter()
    }

    /// The number of facts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no fact.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry with this id.
    #[must_use]
    pub fn entry(&self, id: &Digest) -> Option<&VerifiedEntry> {
        self.entries.get(id)
    }

    /// All entries, in the order of their ids.
    pub fn entries(&self) -> impl Iterator<Item = &VerifiedEntry> {
        self.entries.values()
    }

    /// What `author` stated to `peer`, as far as it is known, from the first to the last.
    pub fn statements<'a>(
        &'a self,
        author: &NodeId,
        peer: &NodeId,
    ) -> impl Iterator<Item = &'a VerifiedEntry> + use<'a> {
        let stream = self.streams.get(&(*author, StreamId::edge(author, peer)));
        let ids = stream.into_iter().flat_map(|stream| stream.positions.values().flatten());
        ids.filter_map(|id| self.entries.get(id))
    }

    /// The RESULT entries for a payment.
    pub fn results<'a>(&'a self, payment: &PayId) -> impl Iterator<Item = &'a VerifiedEntry> + use<'a> {
        self.entries_in(self.results.get(payment))
    }

    /// The ACCEPT of a payment by this payer: of several the one with the lowest id.
    #[must_use]
    pub fn accepted(&self, payer: &NodeId, payment: &PayId) -> Option<&VerifiedEntry> {
        self.evidence((Kid::of(payer), *payment)).find(|accept| accept.author() == *payer)
    }

    /// How many predecessors of entries of this stream are not here. Facts count all the same.
    #[must_use]
    pub fn missing_predecessors(&self, author: &NodeId, peer: &NodeId) -> usize {
        self.stream(author, peer).map_or(0, |stream| stream.missing.len())
    }

    /// The proof that `author` signed twice for one place: of several the one for the lowest place.
    #[must_use]
    pub fn equivocation(&self, author: &NodeId) -> Option<EquivProof> {
        self.fork_at(author, self.forks.get(author)?.first()?)
    }

    /// The authors that are proven to have signed twice for one place.
    pub fn equivocators(&self) -> impl Iterator<Item = &NodeId> {
        self.forks.keys()
    }

    /// The LINE that `creditor` last granted to `debtor`, as far as it is known.
    #[must_use]
    pub fn line(&self, creditor: &NodeId, debtor: &NodeId) -> Option<Line> {
        self.stream(creditor, debtor)?.line.as_ref().map(|(_, line)| *line)
    }

    pub(crate) fn stream(&self, author: &NodeId, peer: &NodeId) -> Option<&Stream> {
        self.streams.get(&(*author, StreamId::edge(author, peer)))
    }

    /// The ACCEPT entries that meet a condition.
    pub(crate) fn evidence(&self, condition: Condition) -> impl Iterator<Item = &VerifiedEntry> {
        self.entries_in(self.accepts.get(&condition))
    }

    /// The LOCK entries under a condition.
    pub(crate) fn locks_under(&self, condition: Condition) -> impl Iterator<Item = &VerifiedEntry> {
        self.entries_in(self.locks.get(&condition))
    }

    /// Whom an entry of an own edge addresses.
    pub(crate) fn addressee(&self, entry: &VerifiedEntry) -> Option<NodeId> {
        self.addressees.get(&(entry.author(), entry.place().stream)).copied()
    }

    pub(crate) fn running_totals(&self, debtor: &NodeId, beneficiary: &NodeId) -> Option<Totals> {
        self.totals.get(&(*debtor, *beneficiary)).copied()
    }

    pub(crate) fn head(&self, author: &NodeId, peer: &NodeId) -> Option<Head> {
        let stream = self.stream(author, peer)?;
        let ((epoch, seq), ids) = stream.positions.last_key_value()?;
        Some(Head { epoch: *epoch, seq: *seq, id: *ids.first()?, time_max: stream.time_max })
    }

    /// The entries whose id starts with the name of a lock.
    pub(crate) fn entries_named<'a>(
        &'a self,
        lock: &LockId,
    ) -> impl Iterator<Item = &'a VerifiedEntry> + use<'a> {
        let (first, last) = id_range(lock);
        self.entries.range(first..=last).map(|(_, entry)| entry)
    }

    fn entries_in<'a>(
        &'a self,
        ids: Option<&'a BTreeSet<Digest>>,
    ) -> impl Iterator<Item = &'a VerifiedEntry> {
        ids.into_iter().flatten().filter_map(|id| self.entries.get(id))
    }

    /// Whether [`Ledger::insert`] would find room: to be asked before an entry is stored, so that a peer cannot
    /// fill the disk with entries that will not count.
    ///
    /// # Errors
    /// [`InsertError`] at a limit.
    pub fn check_room(&self, entry: &VerifiedEntry) -> Result<(), InsertError> {
        let (author, limits) = (entry.author(), &self.limits);
        let stream = self.streams.get(&(author, entry.place().stream));
        if stream.is_some_and(|stream| stream.entries >= limits.entries_per_stream_max) {
            return Err(InsertError::StreamFull { entries_max: limits.entries_per_stream_max });
        }
        if author == self.me {
            return Ok(());
        }
        let entries = self.entries_of.get(&author).copied().unwrap_or(0);
        if entries >= limits.entries_per_author_max {
            return Err(InsertError::AuthorFull { entries_max: limits.entries_per_author_max });
        }
        let full = self.foreign_entries >= limits.foreign_entries_max;
        if full && !self.admitted.contains(&author) && !self.is_wanted(entry) {
            return Err(InsertError::ForeignFull { entries_max: limits.foreign_entries_max });
        }
        Ok(())
    }

    /// The first evidence for a known lock is let in although strangers have filled their share: else they
    /// could keep an intermediary from being paid. Only the payer can sign it, so it is no way around the limit.
    fn is_wanted(&self, entry: &VerifiedEntry) -> bool {
        let Record::Accept(accept) = entry.record() else { return false };
        let condition = (Kid::of(&entry.author()), accept.pay_id);
        self.locks.contains_key(&condition) && !self.accepts.contains_key(&condition)
    }

    fn charge(&mut self, author: &NodeId) {
        *self.entries_of.entry(*author).or_insert(0) += 1;
        if *author != self.me && !self.admitted.contains(author) {
            self.foreign_entries += 1;
        }
    }

    fn index(&mut self, entry: &VerifiedEntry) {
        let (id, author, place) = (entry.id(), entry.author(), entry.place());
        let prev_is_here = self
            .entries
            .get(&entry.prev())
            .is_some_and(|prev| prev.author() == author && prev.place().stream == place.stream);
        let stream = self.streams.entry((author, place.stream)).or_default();
        // At seq 0 there is none, or it stands in the public stream.
        if place.seq > 0 && !prev_is_here {
            stream.missing.insert(entry.prev());
        }
        stream.apply(entry);
        let at_place = stream.positions.entry((place.epoch, place.seq)).or_default();
        at_place.insert(id);
        if at_place.len() > 1 {
            self.forks.entry(author).or_default().insert(place);
        }
        match entry.record() {
            Record::Accept(accept) => {
                self.accepts.entry((Kid::of(&author), accept.pay_id)).or_default().insert(id);
            }
            Record::Lock(lock) => {
                self.locks.entry((lock.payer, lock.pay_id)).or_default().insert(id);
            }
            Record::Result(result) => {
                self.results.entry(result.pay_id).or_default().insert(id);
            }
            Record::Line(_) | Record::Pay(_) | Record::Release(_) | Record::Contract(_) | Record::Unknown => {
            }
        }
    }

    /// The locks of own edges whose status the entry may change.
    fn locks_touched_by(&self, entry: &VerifiedEntry) -> BTreeSet<Digest> {
        let author = entry.author();
        match entry.record() {
            Record::Pay(pay) => {
                let stream = self.streams.get(&(author, entry.place().stream));
                locks_named(stream, &pay.settles)
            }
            Record::Release(release) => {
                let debtor = self.addressee(entry);
                locks_named(debtor.and_then(|debtor| self.stream(&debtor, &author)), &release.locks)
            }
            Record::Accept(accept) => {
                let condition = (Kid::of(&author), accept.pay_id);
                // A second ACCEPT under one condition changes nothing, however many locks there are.
                if self.accepts.contains_key(&condition) {
                    return BTreeSet::new();
                }
                self.locks.get(&condition).cloned().unwrap_or_default()
            }
            Record::Line(_) | Record::Lock(_) | Record::Contract(_) | Record::Result(_) | Record::Unknown => {
                BTreeSet::new()
            }
        }
    }

    fn count_lock(&mut self, id: &Digest, count: fn(&mut Totals, LockStatus, u64)) {
        let Some(lock) = self.lock_at(id) else { return };
        if let Some(totals) = self.totals.get_mut(&(lock.debtor, lock.beneficiary)) {
            count(totals, lock.status, lock.terms.amount);
        }
    }

    fn fork_at(&self, author: &NodeId, place: &Place) -> Option<EquivProof> {
        let stream = self.streams.get(&(*author, place.stream))?;
        let mut entries = self.entries_in(stream.positions.get(&(place.epoch, place.seq)));
        EquivProof::of(entries.next()?, entries.next()?)
    }
}

impl Stream {
    fn apply(&mut self, entry: &VerifiedEntry) {
        let (id, place) = (entry.id(), entry.place());
        self.entries += 1;
        self.missing.remove(&id);
        self.time_max = self.time_max.max(entry.time());
        match entry.record() {
            Record::Line(line) => {
                let (limit, hold_max) = (Reverse(line.limit), Reverse(line.hold_max));
                let rank = ((place.epoch, place.seq), limit, hold_max, Reverse(id));
                if self.line.as_ref().is_none_or(|(highest, _)| rank > *highest) {
                    self.line = Some((rank, *line));
                }
            }
            Record::Pay(pay) => {
                self.cum = self.cum.max(pay.cum);
                self.settles.extend(pay.settles.iter().copied());
            }
            Record::Lock(_) => {
                self.locks.insert(id);
            }
            Record::Release(release) => self.releases.extend(release.locks.iter().copied()),
            Record::Contract(_) | Record::Result(_) | Record::Accept(_) | Record::Unknown => {}
        }
    }
}

fn locks_named(stream: Option<&Stream>, names: &[LockId]) -> BTreeSet<Digest> {
    let Some(stream) = stream else { return BTreeSet::new() };
    let ranges = names.iter().map(id_range);
    ranges.flat_map(|(first, last)| stream.locks.range(first..=last).copied()).collect()
}

/// The lowest and the highest entry id with the name of a lock.
fn id_range(lock: &LockId) -> (Digest, Digest) {
    let fill = |filler: u8| {
        let mut id = [filler; 32];
        id.iter_mut().zip(lock.0).for_each(|(to, from)| *to = from);
        Digest(id)
    };
    (fill(0), fill(0xff))
}
