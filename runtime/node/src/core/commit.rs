//! Durable before acknowledged: batches under way, and what may happen once they are on disk.

use std::collections::{BTreeMap, VecDeque};

use cairn_bundle::{Bundle, Digest, NodeId, SignedCard};
use cairn_engine::{BundleRecord, Place, Scope, Ticket};
use cairn_ledger::VerifiedEntry;
use cairn_link::{Item, Topic};
use cairn_store::{Batch, Op, Table};

use crate::control::api::Response;

/// Names a batch that was handed to the store.
pub type CommitId = u64;

/// Names a request that waits for its answer.
pub type RequestId = u64;

/// Batches of this node's own facts that are merged into one commit at the most.
const OWN_MERGED_MAX: usize = 1_024;

/// What happens after a batch is durable, in the order given.
#[derive(Debug)]
pub(crate) enum After {
    /// A ledger entry of a peer counts from now on.
    Entry { ticket: Ticket, entry: Box<VerifiedEntry> },
    /// Ledger entries that came in a bundle count from now on.
    Entries { ticket: Option<Ticket>, entries: Vec<VerifiedEntry> },
    /// A board change may be passed on.
    Change { ticket: Ticket, group: u32, item: Item, bytes: u64, place: Option<Place> },
    /// A blob is here.
    Blob { ticket: Ticket, id: Digest, bytes: u64 },
    /// The engine may acknowledge.
    Taken { ticket: Ticket },
    /// The bundle of a peer is kept: the engine may acknowledge it, and carries it from now on.
    Kept { ticket: Ticket, id: Digest },
    /// A message is in the inbox.
    Message { ticket: Option<Ticket>, number: u64, entry: Box<super::inbox::Entry> },
    /// A delivery notice of another node counts from now on.
    Notice { ticket: Ticket, by: NodeId, ids: Vec<Digest> },
    /// A fragment for this node is kept.
    Piece { ticket: Ticket, id: Digest, record: BundleRecord, bundle: Box<Bundle> },
    /// Carried bundles were replaced by others: cut, or put together.
    Replaced { gone: Vec<(Digest, BundleRecord)>, carried: Vec<(Digest, BundleRecord)> },
    /// A bundle that was never here as such need not come any more.
    Past { id: Digest },
    /// The disk shows a record as it was decided.
    Written { id: Digest },
    /// Own ledger entry: it may leave from now on.
    OwnEntry { id: Digest, to: NodeId },
    /// Own item: offer it from now on.
    Hold { item: Item, bytes: u64, scope: Scope, place: Option<Place> },
    /// Own bundle: carry it from now on.
    Carry { id: Digest, record: BundleRecord },
    /// Own blob: it may be used and offered.
    OwnBlob { id: Digest, bytes: u64 },
    /// The own card may be shown.
    OwnCard { card: Box<SignedCard> },
    /// This node follows another board: its peers have to hear of it.
    Renew,
    /// Answer a request.
    Reply { request: RequestId, response: Response },
}

impl After {
    /// The item of a peer that this stands for, if any.
    pub(crate) const fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Entry { ticket, .. }
            | Self::Change { ticket, .. }
            | Self::Blob { ticket, .. }
            | Self::Notice { ticket, .. }
            | Self::Piece { ticket, .. }
            | Self::Kept { ticket, .. }
            | Self::Taken { ticket } => Some(*ticket),
            Self::Message { ticket, .. } | Self::Entries { ticket, .. } => *ticket,
            Self::OwnEntry { .. }
            | Self::Hold { .. }
            | Self::Replaced { .. }
            | Self::Past { .. }
            | Self::Written { .. }
            | Self::Carry { .. }
            | Self::OwnBlob { .. }
            | Self::OwnCard { .. }
            | Self::Renew
            | Self::Reply { .. } => None,
        }
    }

    /// The bundle of a peer whose row this batch brings, if any.
    pub(crate) const fn row_of_peer(&self) -> Option<&Digest> {
        match self {
            Self::Kept { id, .. } | Self::Piece { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// A batch with what follows it.
#[derive(Debug, Default)]
pub(crate) struct Tx {
    pub(crate) batch: Batch,
    pub(crate) after: Vec<After>,
}

impl Tx {
    pub(crate) fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.batch.push(Op::Put { table, key: key.into(), value: value.into() });
    }

    pub(crate) fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.batch.push(Op::Delete { table, key: key.into() });
    }

    pub(crate) fn then(&mut self, after: After) {
        self.after.push(after);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.after.is_empty()
    }

    fn append(&mut self, mut other: Self) {
        self.batch.append(&mut other.batch);
        self.after.append(&mut other.after);
    }
}

/// What a finished commit means for the caller.
#[derive(Debug)]
pub(crate) enum Finished {
    /// Durable: these things may happen now.
    Done(Vec<After>),
    /// A peer's item could not be stored: tell it so.
    Refused(Vec<After>),
    /// Facts of this node could not be stored; they wait and are tried again.
    Retry,
}

/// Everything that is on its way to the disk.
///
/// Items of peers go in parallel, each on its own. Facts of this node go one commit after another in
/// the order in which they were made, because a later one must never be durable without the earlier
/// (a hash chain must not get a hole); what gathers in the meantime is merged.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    next: CommitId,
    foreign: BTreeMap<CommitId, Vec<After>>,
    own_queue: VecDeque<Tx>,
    own: Option<(CommitId, Tx)>,
    stalled: bool,
}

impl Commits {
    fn next_id(&mut self) -> CommitId {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// Hands over a batch that stores an item of a peer.
    pub(crate) fn foreign(&mut self, tx: Tx) -> (CommitId, Batch) {
        let id = self.next_id();
        self.foreign.insert(id, tx.after);
        (id, tx.batch)
    }

    /// Queues facts of this node.
    pub(crate) fn own(&mut self, tx: Tx) {
        if !tx.is_empty() {
            self.own_queue.push_back(tx);
        }
    }

    /// The next batch of own facts if none is under way.
    pub(crate) fn poll_own(&mut self) -> Option<(CommitId, Batch)> {
        if self.own.is_some() || self.stalled {
            return None;
        }
        let mut tx = self.own_queue.pop_front()?;
        for _ in 1..OWN_MERGED_MAX {
            let Some(more) = self.own_queue.pop_front() else { break };
            tx.append(more);
        }
        let id = self.next_id();
        let batch = tx.batch.clone();
        self.own = Some((id, tx));
        Some((id, batch))
    }

    /// Takes note of the outcome of a commit.
    pub(crate) fn finish(&mut self, id: CommitId, durable: bool) -> Finished {
        if let Some(after) = self.foreign.remove(&id) {
            return if durable { Finished::Done(after) } else { Finished::Refused(after) };
        }
        match self.own.take() {
            Some((own, tx)) if own == id && durable => Finished::Done(tx.after),
            Some((own, tx)) if own == id => {
                self.own_queue.push_front(tx);
                self.stalled = true;
                Finished::Retry
            }
            other => {
                self.own = other;
                Finished::Done(Vec::new())
            }
        }
    }

    /// Tries again what could not be stored.
    pub(crate) fn retry(&mut self) {
        self.stalled = false;
    }

    /// Requests whose facts could not be stored yet: each is answered once, and the facts stay queued.
    pub(crate) fn drain_replies(&mut self) -> Vec<RequestId> {
        let mut requests = Vec::new();
        for tx in &mut self.own_queue {
            tx.after.retain(|after| match after {
                After::Reply { request, .. } => {
                    requests.push(*request);
                    false
                }
                _ => true,
            });
        }
        requests
    }

    /// Whether facts of this node wait because the store refused them.
    pub(crate) const fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Whether nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.foreign.is_empty() && self.own.is_none() && self.own_queue.is_empty()
    }

    /// Whether facts of this node wait to be written.
    pub(crate) fn has_own_waiting(&self) -> bool {
        !self.own_queue.is_empty()
    }

    /// Whether no item of a peer is under way.
    pub(crate) fn foreign_is_empty(&self) -> bool {
        self.foreign.is_empty()
    }
}

/// Who is owed an acknowledgement, or has an item: key of [`Table::PeerHas`].
pub(crate) fn peer_item_key(peer: &NodeId, item: &Item) -> Vec<u8> {
    let mut key = Vec::with_capacity(65);
    key.extend_from_slice(peer.as_bytes());
    key.push(item.topic.number());
    key.extend_from_slice(item.id.as_bytes());
    key
}

/// The inverse of [`peer_item_key`]; `None` for a damaged key.
pub(crate) fn parse_peer_item_key(key: &[u8]) -> Option<(NodeId, Item)> {
    let (peer, rest) = key.split_first_chunk::<32>()?;
    let (topic, rest) = rest.split_first()?;
    let id = <[u8; 32]>::try_from(rest).ok()?;
    let topic = Topic::from_number(u64::from(*topic))?;
    Some((NodeId::from_bytes(*peer).ok()?, Item { topic, id: Digest(id) }))
}

/// The table that holds the bytes of an item; those of bundles lie under their row number, not under their id.
pub(crate) const fn table_of(topic: Topic) -> Table {
    match topic {
        Topic::Ledger => Table::Ledger,
        Topic::Notice => Table::Notices,
        Topic::Bundle => Table::Bundles,
        Topic::Board => Table::Changes,
        Topic::Blob => Table::Blobs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;

    fn tx(n: u8) -> Tx {
        let mut tx = Tx::default();
        tx.put(Table::Meta, [n], [n]);
        tx.then(After::Taken { ticket: u64::from(n) });
        tx
    }

    #[test]
    fn own_facts_become_durable_in_the_order_in_which_they_were_made() {
        let mut commits = Commits::default();
        commits.own(tx(1));
        let (first, _) = commits.poll_own().unwrap();
        commits.own(tx(2));
        commits.own(tx(3));
        assert!(commits.poll_own().is_none());
        assert!(matches!(commits.finish(first, true), Finished::Done(after) if after.len() == 1));
        let (_, batch) = commits.poll_own().unwrap();
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn a_full_disk_holds_own_facts_back_until_the_retry() {
        let mut commits = Commits::default();
        commits.own(tx(1));
        let (id, batch) = commits.poll_own().unwrap();
        assert!(matches!(commits.finish(id, false), Finished::Retry));
        assert!(commits.is_stalled() && commits.poll_own().is_none() && !commits.is_empty());
        commits.own(tx(2));
        commits.retry();
        let (_, again) = commits.poll_own().unwrap();
        assert_eq!(again.first(), batch.first());
        assert_eq!(again.len(), 2);
    }

    #[test]
    fn a_peer_item_key_goes_there_and_back() {
        let peer = Identity::from_seed(&[1; 32]).node_id();
        let item = Item { topic: Topic::Board, id: Digest([9; 32]) };
        let key = peer_item_key(&peer, &item);
        assert_eq!(parse_peer_item_key(&key), Some((peer, item)));
        assert_eq!(parse_peer_item_key(&key[1..]), None);
    }
}
