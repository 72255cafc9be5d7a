//! One side of a conversation about two sets.

use alloc::vec::Vec;

use super::asked::Asked;
use super::gap::{Gap, Progress};
use super::message::{
    Draft, ELEMENT_HEAD_BYTES_MAX, Element, Message, encode_next, encode_start, list, room, split,
};
use super::prefix::Prefix;
use super::set::IdSet;
use super::summary::{Salt, Summary, short_id};
use super::tree::TREE_DEPTH;
use super::{MESSAGE_BYTES_MIN, ReconcileError, ReconcileLimits};
use crate::frame::RECONCILE_BYTES_MAX;

/// What came of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// To be sent to the peer.
    pub reply: Option<Vec<u8>>,
    /// Own ids that the peer lacks, each told once, in no order: at most [`ReconcileLimits::step_ids_max`].
    pub peer_lacks: Vec<[u8; 32]>,
    /// The conversation is over, once the reply is sent. Without it and without a reply, [`Reconciler::proceed`] tells
    /// more ids and gives the reply in the end.
    pub done: bool,
}

impl Step {
    /// Whether nothing was found out yet but that the sets differ.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.reply.is_some() && self.peer_lacks.is_empty() && !self.done
    }
}

/// One side of one conversation. See the [module](super) for its loop.
#[derive(Debug)]
pub struct Reconciler {
    limits: ReconcileLimits,
    salt: Salt,
    /// Longest message that the peer takes.
    peer_bytes_max: usize,
    state: State,
    /// The ids in the last message, in their order.
    listed: Vec<[u8; 32]>,
    /// Ranges that are known to differ and have not been spoken of; the last one is next.
    pending: Vec<Pending>,
    asked: Asked,
    work: Work,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for the peer's Start.
    Fresh,
    /// Waits for the peer's next message.
    Waiting,
    /// It is this side's turn.
    Working,
    Done,
    Failed(ReconcileError),
}

/// A range that differs, or some parts of one.
#[derive(Debug, Clone, Copy)]
enum Pending {
    Range(Prefix),
    Parts(Prefix, u16),
}

/// The message that is being treated.
#[derive(Debug, Default)]
struct Work {
    /// Its elements that have not been looked at.
    elements: Vec<u8>,
    at: usize,
    /// It had elements, or was a Start.
    asks: bool,
    /// The peer has more ranges waiting.
    more: bool,
    gap: Option<Gap>,
    /// Own ids that the peer said it lacks.
    asked_for: Vec<[u8; 32]>,
    answer: Vec<bool>,
}

impl Reconciler {
    /// Begins a conversation: returns its first message. One of two nodes does, by convention the one with the smaller
    /// id. The salt is random, and new for each conversation.
    #[must_use]
    pub fn start(set: &dyn IdSet, salt: Salt, limits: ReconcileLimits) -> (Self, Vec<u8>) {
        let mut reconciler = Self::new(salt, State::Waiting, limits);
        let whole = set.summary(&Prefix::ROOT);
        let fingerprint = whole.fingerprint(&salt, &Prefix::ROOT);
        let message = encode_start(&salt, reconciler.own_bytes_max(), whole.count(), &fingerprint);
        reconciler.asked.ask(Prefix::ROOT, 0);
        (reconciler, message)
    }

    /// Waits for the other side's first message.
    #[must_use]
    pub fn respond(limits: ReconcileLimits) -> Self {
        Self::new(Salt::default(), State::Fresh, limits)
    }

    /// Whether a message begins a conversation, so that a side whose own is over can begin anew with it.
    #[must_use]
    pub fn is_start(message: &[u8]) -> bool {
        matches!(Message::decode(message), Ok(Message::Start { .. }))
    }

    /// Takes a message of the peer.
    ///
    /// # Errors
    /// The conversation is over; what it found until then stands. Every later call returns the same error.
    pub fn handle(&mut self, set: &dyn IdSet, message: &[u8]) -> Result<Step, ReconcileError> {
        let taken = match self.state {
            State::Failed(error) => return Err(error),
            State::Fresh | State::Waiting => self.take(set, message),
            State::Working | State::Done => Err(ReconcileError::OutOfTurn),
        };
        match taken {
            Ok(()) => {
                self.state = State::Working;
                self.proceed(set)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Goes on with the peer's last message, where a [`Step`] came without a reply and is not the last.
    ///
    /// # Errors
    /// As [`Reconciler::handle`]; [`ReconcileError::OutOfTurn`] also if there is nothing to go on with.
    pub fn proceed(&mut self, set: &dyn IdSet) -> Result<Step, ReconcileError> {
        match self.state {
            State::Working => self.work(set).map_err(|error| self.fail(error)),
            State::Failed(error) => Err(error),
            State::Fresh | State::Waiting | State::Done => Err(ReconcileError::OutOfTurn),
        }
    }

    fn new(salt: Salt, state: State, mut limits: ReconcileLimits) -> Self {
        limits.message_bytes_max = limits.message_bytes_max.clamp(MESSAGE_BYTES_MIN, RECONCILE_BYTES_MAX);
        limits.step_ids_max = limits.step_ids_max.max(1);
        Self {
            limits,
            salt,
            peer_bytes_max: MESSAGE_BYTES_MIN,
            state,
            listed: Vec::new(),
            pending: Vec::new(),
            asked: Asked::default(),
            work: Work::default(),
        }
    }

    fn fail(&mut self, error: ReconcileError) -> ReconcileError {
        self.state = State::Failed(error);
        self.listed = Vec::new();
        self.pending = Vec::new();
        self.asked.settle();
        self.work = Work::default();
        error
    }

    fn own_bytes_max(&self) -> u16 {
        u16::try_from(self.limits.message_bytes_max).unwrap_or(u16::MAX)
    }

    fn take(&mut self, set: &dyn IdSet, bytes: &[u8]) -> Result<(), ReconcileError> {
        if bytes.len() > self.limits.message_bytes_max {
            return Err(ReconcileError::TooLong(bytes.len()));
        }
        match (Message::decode(bytes)?, self.state) {
            (Message::Start { salt, bytes_max, count, fingerprint }, State::Fresh) => {
                self.salt = salt;
                self.set_peer_bytes_max(bytes_max, 0)?;
                self.work = Work { asks: true, ..Work::default() };
                let whole = set.summary(&Prefix::ROOT);
                let differ = whole.fingerprint(&salt, &Prefix::ROOT) != fingerprint;
                if differ && count == 0 {
                    self.work.gap = Some(self.gap(Vec::from([Prefix::ROOT]), &[]));
                } else if differ {
                    self.pending.push(Pending::Range(Prefix::ROOT));
                }
            }
            (Message::Next { more, bytes_max, answer, elements }, State::Waiting) => {
                self.set_peer_bytes_max(bytes_max, bytes.len())?;
                let asked_for = self.answered(answer)?;
                self.check_asked(elements, more)?;
                let asks = !elements.is_empty();
                self.work = Work { elements: elements.to_vec(), asks, more, asked_for, ..Work::default() };
            }
            _ => return Err(ReconcileError::OutOfTurn),
        }
        Ok(())
    }

    fn set_peer_bytes_max(&mut self, bytes_max: u16, said: usize) -> Result<(), ReconcileError> {
        let bytes_max = usize::from(bytes_max);
        if bytes_max < MESSAGE_BYTES_MIN {
            return Err(ReconcileError::Malformed);
        }
        // An answer takes a bit for each listed id; it fits because nobody says more than the other side may.
        if said > bytes_max {
            return Err(ReconcileError::TooLong(said));
        }
        self.peer_bytes_max = bytes_max;
        Ok(())
    }

    /// The peer speaks of what it was asked about only.
    fn check_asked(&mut self, elements: &[u8], more: bool) -> Result<(), ReconcileError> {
        let mut rest = elements;
        while !rest.is_empty() {
            if !self.asked.answer(&Element::decode(&mut rest)?.prefix()) {
                return Err(ReconcileError::Unasked);
            }
        }
        if !more {
            self.asked.settle();
        }
        Ok(())
    }

    /// The ids that the peer lacks of those in the last message.
    fn answered(&mut self, answer: &[u8]) -> Result<Vec<[u8; 32]>, ReconcileError> {
        if answer.len() > self.listed.len().div_ceil(8) {
            return Err(ReconcileError::Malformed);
        }
        let listed = core::mem::take(&mut self.listed);
        let bits = answer.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
        // Bits beyond the last id in the last byte would be a second spelling.
        if bits.clone().skip(listed.len()).any(|bit| bit) {
            return Err(ReconcileError::Malformed);
        }
        Ok(listed.into_iter().zip(bits).filter(|(_, lacked)| *lacked).map(|(id, _)| id).collect())
    }

    fn gap(&self, ranges: Vec<Prefix>, theirs: &[[u8; 8]]) -> Gap {
        Gap::new(ranges, theirs, self.limits.step_ids_max)
    }

    fn work(&mut self, set: &dyn IdSet) -> Result<Step, ReconcileError> {
        let mut peer_lacks = Vec::new();
        let left = self.work.asked_for.len().saturating_sub(self.limits.step_ids_max);
        peer_lacks.extend(self.work.asked_for.drain(left..));
        loop {
            if peer_lacks.len() >= self.limits.step_ids_max {
                break;
            }
            if let Some(mut gap) = self.work.gap.take() {
                match gap.advance(set, &self.salt, &mut peer_lacks) {
                    Progress::Through => self.work.answer.extend(gap.lacked_here()),
                    Progress::Full => {
                        self.work.gap = Some(gap);
                        break;
                    }
                }
            } else if self.work.at < self.work.elements.len() {
                self.next_element(set)?;
            } else {
                let (reply, done) = self.reply(set);
                return Ok(Step { reply, peer_lacks, done });
            }
        }
        Ok(Step { reply: None, peer_lacks, done: false })
    }

    fn next_element(&mut self, set: &dyn IdSet) -> Result<(), ReconcileError> {
        let elements = core::mem::take(&mut self.work.elements);
        let mut rest = elements.get(self.work.at..).unwrap_or_default();
        match Element::decode(&mut rest)? {
            Element::List { prefix, ids } => self.work.gap = Some(self.gap(Vec::from([prefix]), ids)),
            Element::Split { prefix, mask, fingerprints } => {
                if set.summary(&prefix).count() <= self.list_ids_max() {
                    self.pending.push(Pending::Range(prefix));
                } else {
                    self.compare(set, prefix, mask, fingerprints);
                }
            }
        }
        self.work.at = elements.len().saturating_sub(rest.len());
        self.work.elements = elements;
        Ok(())
    }

    /// Compares the parts of a range with the peer's.
    fn compare(&mut self, set: &dyn IdSet, prefix: Prefix, mask: u16, fingerprints: &[[u8; 8]]) {
        let mut theirs = fingerprints.iter();
        let (mut lacking, mut differing) = (Vec::new(), 0);
        for (bit, part, mine) in parts(set, prefix) {
            let theirs = if mask & bit == 0 { None } else { theirs.next() };
            match theirs {
                None if mine.count() > 0 => lacking.push(part),
                Some(theirs) if *theirs != head(&mine.fingerprint(&self.salt, &part)) => differing |= bit,
                None | Some(_) => {}
            }
        }
        if !lacking.is_empty() {
            self.work.gap = Some(self.gap(lacking, &[]));
        }
        if differing != 0 {
            self.pending.push(Pending::Parts(prefix, differing));
        }
    }

    /// Longest message that both sides take.
    fn bytes_max(&self) -> usize {
        self.limits.message_bytes_max.min(self.peer_bytes_max)
    }

    /// Most ids in a List: it must fit into a message of its own, beside the longest answer.
    fn list_ids_max(&self) -> u32 {
        let bytes = self.bytes_max();
        let room = room(bytes, &[]).saturating_sub(bytes.div_ceil(64)).saturating_sub(ELEMENT_HEAD_BYTES_MAX);
        u32::from(self.limits.list_ids_max).min(u32::try_from(room / 8).unwrap_or(u32::MAX))
    }

    /// What to say now that the peer's message is treated, and whether all is said.
    fn reply(&mut self, set: &dyn IdSet) -> (Option<Vec<u8>>, bool) {
        let work = core::mem::take(&mut self.work);
        let answer = pack(&work.answer);
        let mut drafts = self.drafts(set, room(self.bytes_max(), &answer));
        // The later ranges stand first on the stack.
        drafts.sort_unstable_by_key(|draft| draft.prefix);
        let over = drafts.is_empty() && !work.more;
        if over {
            self.state = State::Done;
            if !work.asks {
                return (None, true);
            }
        } else {
            self.state = State::Waiting;
        }
        let message = encode_next(!self.pending.is_empty(), self.own_bytes_max(), &answer, &drafts);
        for draft in drafts {
            if draft.mask != 0 {
                self.asked.ask(draft.prefix, draft.mask);
            }
            self.listed.extend(draft.listed);
        }
        (Some(message), over)
    }

    /// As many ranges as fit, the latest first, so that few wait.
    fn drafts(&mut self, set: &dyn IdSet, room: usize) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let mut left = room;
        while let Some(pending) = self.pending.pop() {
            let (range, rest) = match pending {
                Pending::Range(range) => (range, None),
                Pending::Parts(parent, mask) => {
                    let bit = mask & mask.wrapping_neg();
                    let nibble = u8::try_from(bit.trailing_zeros()).unwrap_or(u8::MAX);
                    let Some(part) = parent.child(nibble) else { continue };
                    let rest = mask & !bit;
                    (part, (rest != 0).then_some(Pending::Parts(parent, rest)))
                }
            };
            let draft = self.draft(set, range);
            let Some(less) = left.checked_sub(draft.bytes.len()) else {
                self.pending.push(pending);
                break;
            };
            left = less;
            drafts.push(draft);
            self.pending.extend(rest);
        }
        drafts
    }

    fn draft(&self, set: &dyn IdSet, range: Prefix) -> Draft {
        let max = self.list_ids_max();
        if set.summary(&range).count() <= max {
            let ids = set.ids(&range, usize::try_from(max).unwrap_or(usize::MAX));
            return list(range, ids.into_iter().map(|id| (short_id(&self.salt, &id), id)).collect());
        }
        let salt = self.salt;
        let parts = parts(set, range).into_iter();
        split(
            range,
            parts
                .filter(|(_, _, sum)| sum.count() > 0)
                .map(|(bit, part, sum)| (bit, head(&sum.fingerprint(&salt, &part)))),
        )
    }
}

/// The parts of a range, each with its bit in a mask.
fn parts(set: &dyn IdSet, prefix: Prefix) -> Vec<(u16, Prefix, Summary)> {
    let mut sums = [Summary::default(); 16];
    if prefix.depth() < TREE_DEPTH {
        for (sum, part) in sums.iter_mut().zip(prefix.children()) {
            *sum = set.summary(&part);
        }
    } else {
        // One look at the ids serves all parts.
        let count = usize::try_from(set.summary(&prefix).count()).unwrap_or(usize::MAX);
        for id in set.ids(&prefix, count) {
            if let Some(sum) = sums.get_mut(prefix.next_nibble(&id)) {
                sum.insert(&id);
            }
        }
    }
    let bits = (0..16).map(|nibble| 1 << nibble);
    bits.zip(prefix.children()).zip(sums).map(|((bit, part), sum)| (bit, part, sum)).collect()
}

/// Half of a fingerprint, which is enough below the whole set: equal by chance once in 2^64 comparisons, and then only
/// until the next conversation.
const fn head(fingerprint: &[u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *fingerprint;
    [a, b, c, d, e, f, g, h]
}

/// Bits to bytes, the first in the highest; zero bytes at the end are left out.
fn pack(bits: &[bool]) -> Vec<u8> {
    let mut bytes: Vec<u8> = bits
        .chunks(8)
        .map(|chunk| chunk.iter().zip(0..8_u8).fold(0, |byte, (bit, at)| byte | (u8::from(*bit) << (7 - at))))
        .collect();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}
