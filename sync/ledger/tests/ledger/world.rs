//! Nodes, raw signing and meets for the tests.

use cairn_bundle::{Digest, Identity, NodeId};
use cairn_ledger::{
    Accept, Author, Draft, EntryError, Kid, Ledger, Limits, Line, Lock, LockId, Pay, PayId, Place, Record,
    Release, StreamId, TaskResult, VerifiedEntry,
};

/// One node with its key and its ledger.
pub(crate) struct Node {
    pub(crate) identity: Identity,
    pub(crate) ledger: Ledger,
}

impl Node {
    pub(crate) fn new(seed: u8) -> Self {
        let identity = Identity::from_seed(&[seed; 32]);
        let ledger = Ledger::new(identity.node_id(), Limits::default());
        Self { identity, ledger }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.identity.node_id()
    }

    pub(crate) fn author(&mut self) -> Author<'_> {
        Author::new(&self.identity, &mut self.ledger, 1000).unwrap()
    }

    /// As if the store had synced everything.
    pub(crate) fn sync_disk(&mut self) {
        let ids: Vec<Digest> = self.ledger.entries().map(VerifiedEntry::id).collect();
        ids.iter().for_each(|id| self.ledger.mark_durable(id));
    }

    /// Takes what another node offers, over the wire; returns how much of it was new.
    pub(crate) fn take_from(&mut self, other: &Self) -> usize {
        let before = self.ledger.len();
        self.ledger.admit(&other.id()).unwrap();
        for (id, bytes) in other.ledger.relevant_to(&self.id()) {
            let entry = VerifiedEntry::decode(&bytes).unwrap();
            assert_eq!(entry.id(), id);
            self.ledger.insert(entry).unwrap();
        }
        self.ledger.len() - before
    }
}

/// Both have synced their disks, and both take what the other offers.
pub(crate) fn meet(one: &mut Node, other: &mut Node) -> usize {
    one.sync_disk();
    other.sync_disk();
    one.take_from(other) + other.take_from(one)
}

/// Brings one entry by bundle.
pub(crate) fn bring(entry: &VerifiedEntry, to: &mut Node) {
    to.ledger.admit(&entry.author()).unwrap();
    to.ledger.insert(VerifiedEntry::decode(&entry.encode()).unwrap()).unwrap();
}

/// Signs anything at any place, as a liar would.
pub(crate) fn sign(
    identity: &Identity,
    peer: &NodeId,
    seq: u32,
    time: u32,
    record: &Record,
) -> VerifiedEntry {
    try_sign(identity, peer, seq, time, record).unwrap()
}

fn try_sign(
    identity: &Identity,
    peer: &NodeId,
    seq: u32,
    time: u32,
    record: &Record,
) -> Result<VerifiedEntry, EntryError> {
    let (kind, body) = record.encode().unwrap();
    let place = Place { stream: StreamId::edge(&identity.node_id(), peer), epoch: 0, seq };
    let prev = if seq == 0 { Digest([0; 32]) } else { Digest([7; 32]) };
    VerifiedEntry::sign(identity, &Draft { place, prev, time, kind, body: &body })
}

pub(crate) const fn line(limit: u64) -> Line {
    Line { limit, hold_max: limit, unit: 0, charter: [0; 8], flags: 0 }
}

pub(crate) fn lock(pay_id: PayId, amount: u64, payer: &NodeId) -> Record {
    Record::Lock(Lock { pay_id, amount, payer: Kid::of(payer), verifiers: [0; 8], hint_time: 0 })
}

pub(crate) fn accept(pay_id: PayId) -> Record {
    Record::Accept(Accept { pay_id, result: [0; 16], amount: 1, code: 0 })
}

pub(crate) fn release(locks: &[&VerifiedEntry]) -> Record {
    let locks = locks.iter().map(|entry| LockId::of(&entry.id())).collect();
    Record::Release(Release { locks, ack_seq: 0 })
}

pub(crate) fn pay(cum: u64, settles: &[&VerifiedEntry]) -> Record {
    let settles = settles.iter().map(|entry| LockId::of(&entry.id())).collect();
    Record::Pay(Pay { cum, ack_seq: 0, settles })
}

pub(crate) fn task_result(pay_id: PayId, tier: u8) -> TaskResult {
    let output = Digest::of(b"an answer");
    TaskResult { pay_id, output, fuel: 5000, energy_mj: 12, wall_ms: 80, tier, trace: None }
}
