//! The board itself: which changes it holds, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};

use automerge::Automerge;
use cairn_bundle::{Digest, Identity, NodeId};

use crate::change::{Actor, Change, ChangeHash, DEPS_MAX, DOCS_PER_CHANGE_MAX};
use crate::doc::{DocError, DocId, SignedDoc, Verified};
use crate::envelope::{self, ChangeError, CheckedChange, ENVELOPE_BYTES_MAX};
use crate::fact::Fact;
use crate::projection::{BoardView, project};
use crate::secret::{BoardId, BoardSecret, Invite, InviteError};

/// How much a replica takes.
///
/// The limit per author is judged by a change's own past, so all nodes judge
/// alike and must have the same. The others protect one node and are met in
/// the order of arrival: a node that has met one refuses, says so and lags
/// behind, but never shows anything that others would not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most changes that wait for their predecessors.
    pub waiting_changes_max: usize,
    /// Most bytes of changes that wait for their predecessors.
    pub waiting_bytes_max: u64,
    /// Most bytes of envelopes that one incarnation of one node may add.
    pub author_bytes_max: u64,
    /// Most bytes of envelopes on one board.
    pub board_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiting_changes_max: 1024,
            waiting_bytes_max: 4 << 20,
            author_bytes_max: 16 << 20,
            board_bytes_max: 64 << 20,
        }
    }
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Its documents are on the board; changes that waited for it may have followed. To be persisted.
    New,
    /// The board holds it already.
    Known,
    /// It waits for its predecessors. To be persisted as well, so that the wait survives a restart.
    Waiting,
    /// Its author has written another change with the same number: proof of misbehaviour, or of an
    /// identity that was restored from a backup. Its documents count, the change is never merged.
    /// To be persisted, so that all nodes come to know the same documents.
    Forked,
}

/// Why documents cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The identity is not the one that this board was opened for.
    #[error("the board was opened for another identity")]
    Identity,
    /// One of the documents is not valid on this board.
    #[error(transparent)]
    Document(#[from] DocError),
    /// They are too many or too large for one change.
    #[error("a change holds at most {DOCS_PER_CHANGE_MAX} documents and {ENVELOPE_BYTES_MAX} bytes")]
    TooLarge,
    /// Others hold changes of this incarnation that this node does not remember writing.
    #[error("this node has written changes that it does not remember; it must take a new incarnation")]
    Incarnation,
    /// The board or this incarnation's share of it is full.
    #[error("the board is full")]
    Full,
}

/// What came of restoring a board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// How many changes are held.
    pub held: usize,
    /// How many wait for their predecessors.
    pub waiting: usize,
    /// Envelopes that were not taken, by their position in the input.
    pub refused: Vec<(usize, ChangeError)>,
}

/// How much a board holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoardStats {
    /// Changes whose documents count.
    pub changes: usize,
    /// Of these, changes that are not merged because of a fork.
    pub aside: usize,
    /// Documents.
    pub docs: usize,
    /// Bytes of the envelopes of all these changes.
    pub bytes: u64,
    /// Changes that wait for their predecessors.
    pub waiting: usize,
    /// Bytes of their envelopes.
    pub waiting_bytes: u64,
    /// Changes that waited and then did not fit: misbehaviour of their authors.
    pub late_refusals: usize,
    /// Times that automerge refused a checked change: always 0.
    pub merge_faults: usize,
}

/// A change that the board holds.
#[derive(Debug)]
struct Held {
    actor: Actor,
    seq: u64,
    max_op: u64,
    /// Bytes of this and all earlier changes of this actor.
    author_bytes: u64,
    /// Not merged: it is the second branch of a fork, or follows on one.
    aside: bool,
}

/// A replica of a job board.
///
/// It does no I/O. What [`Board::add`] returns must be durable before it is
/// offered to anybody; what [`Board::apply`] takes, before it is acknowledged.
#[derive(Debug)]
pub struct Board {
    invite: Invite,
    me: Actor,
    limits: Limits,
    document: Automerge,
    docs: BTreeMap<DocId, Verified>,
    held: BTreeMap<ChangeHash, Held>,
    /// The first change seen of each number: any other with this number is a fork.
    numbers: BTreeMap<(Actor, u64), ChangeHash>,
    /// Merged changes that no merged change follows on.
    heads: BTreeSet<ChangeHash>,
    bytes: u64,
    waiting: BTreeMap<ChangeHash, CheckedChange>,
    waiting_bytes: u64,
    /// For each missing change, those that wait for it first.
    awaited: BTreeMap<ChangeHash, BTreeSet<ChangeHash>>,
    late_refusals: usize,
    merge_faults: usize,
    /// Accepted for merging, in an order in which every predecessor comes first.
    unmerged: Vec<automerge::Change>,
}

impl Board {
    /// An empty replica for node `me`.
    ///
    /// `incarnation` tells apart the lives of one node: it goes up when the
    /// node's store was lost or restored from a backup, and never down.
    ///
    /// # Errors
    /// [`InviteError::Name`] if the name is empty, too long, or has control characters in it.
    pub fn new(secret: BoardSecret, name: &str, me: NodeId, incarnation: u16) -> Result<Self, InviteError> {
        Ok(Self {
            invite: Invite::new(secret, name)?,
            me: Actor { node: me, incarnation },
            limits: Limits::default(),
            document: Automerge::new(),
            docs: BTreeMap::new(),
            held: BTreeMap::new(),
            numbers: BTreeMap::new(),
            heads: BTreeSet::new(),
            bytes: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            awaited: BTreeMap::new(),
            late_refusals: 0,
            merge_faults: 0,
            unmerged: Vec::new(),
        })
    }

    /// The same replica with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Takes back what was persisted, in any order.
    ///
    /// Afterwards the board goes on with its own sequence where it stopped.
    pub fn restore<B: AsRef<[u8]>>(&mut self, envelopes: impl IntoIterator<Item = B>) -> Restored {
        let mut refused = Vec::new();
        let mut positions = BTreeMap::new();
        for (position, bytes) in envelopes.into_iter().enumerate() {
            let checked = match self.check(bytes.as_ref()) {
                Ok(checked) if self.is_known(&checked.hash) => continue,
                Ok(checked) => checked,
                Err(error) => {
                    refused.push((position, error));
                    continue;
                }
            };
            let hash = checked.hash;
            positions.insert(hash, position);
            // The limits of the queue are for what arrives; this was taken before.
            let Some(ready) = self.queue(checked) else { continue };
            let late = match self.admit(ready) {
                Ok(_) => self.release(hash),
                Err(error) => vec![(hash, error)],
            };
            refused.extend(late.iter().filter_map(|(hash, error)| Some((*positions.get(hash)?, *error))));
        }
        self.merge();
        refused.sort_unstable_by_key(|(position, _)| *position);
        Restored { held: self.held.len(), waiting: self.waiting.len(), refused }
    }

    /// Puts documents on the board, all in one change, and returns its
    /// envelope; `None` if the board has them all already.
    ///
    /// The envelope must be durable before it is offered to anybody. If it
    /// cannot be made durable, this `Board` is ahead of its store and must be
    /// dropped and restored.
    ///
    /// # Errors
    /// See [`AddError`]; the board is unchanged.
    pub fn add(&mut self, docs: &[SignedDoc], identity: &Identity) -> Result<Option<Vec<u8>>, AddError> {
        if identity.node_id() != self.me.node {
            return Err(AddError::Identity);
        }
        let mut new = BTreeMap::new();
        for doc in docs {
            let id = doc.verify(&self.invite.secret)?.id();
            if !self.docs.contains_key(&id) {
                new.insert(id, doc.to_bytes());
            }
        }
        if new.is_empty() {
            return Ok(None);
        }
        if new.len() > DOCS_PER_CHANGE_MAX {
            return Err(AddError::TooLarge);
        }
        let change = self.next_change(new.into_iter().collect())?;
        let envelope = envelope::seal(&change.encode().0, identity, &self.invite.secret);
        // Our own change goes the way of everybody else's, so nothing gets out that others would refuse.
        let checked = self.check(&envelope).map_err(|_| AddError::TooLarge)?;
        match self.apply(checked) {
            Ok(Applied::New) => Ok(Some(envelope)),
            Ok(Applied::Known | Applied::Waiting | Applied::Forked) => Err(AddError::Incarnation),
            Err(_) => Err(AddError::Full),
        }
    }

    /// Takes a change that was checked.
    ///
    /// # Errors
    /// [`ChangeError::Order`], a limit, or [`ChangeError::Foreign`] if it was checked by another
    /// board; the board is unchanged.
    pub fn apply(&mut self, checked: CheckedChange) -> Result<Applied, ChangeError> {
        if checked.board != self.id() {
            return Err(ChangeError::Foreign);
        }
        if self.is_known(&checked.hash) {
            return Ok(Applied::Known);
        }
        if !self.has_predecessors(&checked.change) {
            let bytes = self.waiting_bytes.saturating_add(checked.size);
            if self.waiting.len() >= self.limits.waiting_changes_max || bytes > self.limits.waiting_bytes_max
            {
                return Err(ChangeError::WaitingFull);
            }
            self.queue(checked);
            return Ok(Applied::Waiting);
        }
        let hash = checked.hash;
        let forked = self.admit(checked)?;
        let late = self.release(hash).len();
        self.late_refusals = self.late_refusals.saturating_add(late);
        self.merge();
        Ok(if forked { Applied::Forked } else { Applied::New })
    }

    /// Checks everything about an envelope that can be checked without its predecessors.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn check(&self, envelope: &[u8]) -> Result<CheckedChange, ChangeError> {
        envelope::open(envelope, &self.invite.secret)
    }

    /// Where the change in an envelope stands: the sequence of one incarnation of one author on this board, which has the
    /// same name at all members, and its number there, from 1. Only for an envelope that was checked before.
    #[must_use]
    pub fn place_of(&self, envelope: &[u8]) -> Option<(Digest, u64)> {
        let (actor, number) = envelope::place_of(envelope)?;
        let sequence = [self.id().0.as_bytes().as_slice(), &actor.to_bytes()].concat();
        Some((Digest::of(&sequence), number))
    }

    /// Signs a fact for this board; [`Board::add`] puts it there.
    ///
    /// # Errors
    /// [`DocError::Fact`] if the fact breaks one of its limits or is not this node's to state.
    pub fn sign(&self, fact: &Fact, time: u64, identity: &Identity) -> Result<SignedDoc, DocError> {
        SignedDoc::sign(fact, time, identity, &self.invite.secret)
    }

    /// What the board says: the same for all nodes that hold the same changes.
    #[must_use]
    pub fn view(&self) -> BoardView {
        project(&self.docs)
    }

    /// A document of any kind.
    #[must_use]
    pub fn doc(&self, id: &DocId) -> Option<&Verified> {
        self.docs.get(id)
    }

    /// All documents by their ids.
    pub fn docs(&self) -> impl Iterator<Item = &Verified> {
        self.docs.values()
    }

    /// The board's id.
    #[must_use]
    pub fn id(&self) -> BoardId {
        self.invite.secret.board_id()
    }

    /// The board's name, as this node was told.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.invite.name
    }

    /// The invitation, whose text form makes others members.
    #[must_use]
    pub const fn invite(&self) -> &Invite {
        &self.invite
    }

    /// The secret.
    #[must_use]
    pub const fn secret(&self) -> &BoardSecret {
        &self.invite.secret
    }

    /// How much the board holds.
    #[must_use]
    pub fn stats(&self) -> BoardStats {
        BoardStats {
            changes: self.held.len(),
            aside: self.held.values().filter(|held| held.aside).count(),
            docs: self.docs.len(),
            bytes: self.bytes,
            waiting: self.waiting.len(),
            waiting_bytes: self.waiting_bytes,
            late_refusals: self.late_refusals,
            merge_faults: self.merge_faults,
        }
    }

    /// The merged automerge document in its own compact form.
    #[must_use]
    pub fn to_automerge(&self) -> Vec<u8> {
        self.document.save()
    }

    fn is_known(&self, hash: &ChangeHash) -> bool {
        self.held.contains_key(hash) || self.waiting.contains_key(hash)
    }

    fn has_predecessors(&self, change: &Change) -> bool {
        change.deps.iter().all(|dep| self.held.contains_key(dep))
    }

    /// This node's next change. Refuses if others hold changes of this
    /// incarnation that this replica did not write or cannot place: going on
    /// would use a number twice.
    fn next_change(&self, docs: Vec<(Digest, Vec<u8>)>) -> Result<Change, AddError> {
        let mine = self.numbers.range((self.me, 0)..=(self.me, u64::MAX)).next_back();
        let (seq, last) = match mine {
            None => (1, None),
            Some(((_, seq), hash)) => (seq.saturating_add(1), Some(*hash)),
        };
        let aside = self.held.values().any(|held| held.actor == self.me && held.aside);
        if aside || self.waiting.values().any(|waiting| waiting.change.actor == self.me) {
            return Err(AddError::Incarnation);
        }
        let mut deps: BTreeSet<ChangeHash> = last.into_iter().collect();
        let room = DEPS_MAX.saturating_sub(deps.len());
        deps.extend(self.heads.iter().take(room));
        let past = deps.iter().filter_map(|dep| self.held.get(dep)).map(|held| held.max_op).max();
        let start_op = past.unwrap_or(0).saturating_add(1);
        Ok(Change { actor: self.me, seq, start_op, deps: deps.into_iter().collect(), docs })
    }

    /// Holds a change whose predecessors are held, and says whether it is the second branch of a fork.
    ///
    /// Whether it fits depends on nothing but its own past, so that all nodes decide alike.
    fn admit(&mut self, checked: CheckedChange) -> Result<bool, ChangeError> {
        let change = &checked.change;
        let deps: Vec<&Held> = change.deps.iter().filter_map(|dep| self.held.get(dep)).collect();
        let past = deps.iter().map(|held| held.max_op).max().unwrap_or(0);
        let previous = deps
            .iter()
            .find(|held| held.actor == change.actor && held.seq.checked_add(1) == Some(change.seq));
        if (change.seq > 1 && previous.is_none()) || past.checked_add(1) != Some(change.start_op) {
            return Err(ChangeError::Order);
        }
        let author_bytes = previous.map_or(0, |held| held.author_bytes).saturating_add(checked.size);
        if author_bytes > self.limits.author_bytes_max {
            return Err(ChangeError::AuthorFull);
        }
        let bytes = self.bytes.saturating_add(checked.size);
        if bytes > self.limits.board_bytes_max {
            return Err(ChangeError::BoardFull);
        }
        let number = (change.actor, change.seq);
        let forked = self.numbers.contains_key(&number);
        let aside = forked || deps.iter().any(|held| held.aside);
        let max_op = past.saturating_add(change.ops());
        let held = Held { actor: change.actor, seq: change.seq, max_op, author_bytes, aside };
        if !aside {
            // The shape was checked byte by byte, so automerge reads what it could have written itself.
            let merged =
                automerge::Change::try_from(&checked.bytes[..]).map_err(|_| ChangeError::Malformed)?;
            self.unmerged.push(merged);
            for dep in &change.deps {
                self.heads.remove(dep);
            }
            self.heads.insert(checked.hash);
        }
        self.numbers.entry(number).or_insert(checked.hash);
        self.held.insert(checked.hash, held);
        self.bytes = bytes;
        self.docs.extend(checked.docs.into_iter().map(|doc| (doc.id(), doc)));
        Ok(forked)
    }

    /// Puts a change in the queue under the first predecessor that is missing,
    /// or gives it back if none is.
    fn queue(&mut self, checked: CheckedChange) -> Option<CheckedChange> {
        let missing = checked.change.deps.iter().find(|dep| !self.held.contains_key(*dep));
        let Some(missing) = missing else { return Some(checked) };
        self.awaited.entry(*missing).or_default().insert(checked.hash);
        self.waiting_bytes = self.waiting_bytes.saturating_add(checked.size);
        self.waiting.insert(checked.hash, checked);
        None
    }

    /// Admits everything that waited for `come` and what follows from that, then merges.
    /// Returns those that turned out not to fit.
    fn release(&mut self, come: ChangeHash) -> Vec<(ChangeHash, ChangeError)> {
        let mut refused = Vec::new();
        let mut come = vec![come];
        while let Some(hash) = come.pop() {
            for waiting in self.awaited.remove(&hash).unwrap_or_default() {
                let Some(checked) = self.waiting.remove(&waiting) else { continue };
                self.waiting_bytes = self.waiting_bytes.saturating_sub(checked.size);
                let Some(ready) = self.queue(checked) else { continue };
                match self.admit(ready) {
                    Ok(_) => come.push(waiting),
                    Err(error) => refused.push((waiting, error)),
                }
            }
        }
        refused
    }

    /// Hands what was admitted to automerge.
    fn merge(&mut self) {
        let unmerged = core::mem::take(&mut self.unmerged);
        if !unmerged.is_empty() && self.document.apply_changes(unmerged).is_err() {
            // Each number of an actor is merged once and after all of its predecessors, so this is
            // a fault of ours; the view does not depend on the merged document.
            self.merge_faults = self.merge_faults.saturating_add(1);
        }
    }
}
