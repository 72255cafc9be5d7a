//! Putting fragments together (RFC 9171 section 5.9).
//!
//! Fragments come in any order, twice, cut in different ways, and from liars. Nobody can sign a
//! fragment (RFC 9172 section 5.2), so a forged one looks like a true one until the whole is there
//! and its signature can be checked. Therefore:
//! - Fragments whose primary blocks disagree belong to different wholes, whatever their name.
//! - Bytes that disagree never replace each other. Both fragments stay, and what is put together
//!   never mixes two versions of one byte.
//! - A whole is an offer: the caller checks it and says [`Reassembly::accept`] or
//!   [`Reassembly::refuse`]; after a refusal the next combination is tried. Combinations of what
//!   one [`Origin`] brought come first, then those of all but one: a liar on one link does not spoil
//!   what comes over the others.
//! - When all combinations were refused, everything counts as missing again.
//! - Everything is bounded, for all and for each origin. A fragment for which there is no room is
//!   refused, and nothing that is stored makes way for it: a flood over one link takes at most
//!   that link's share, and time frees it again.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::ops::Range;

use crate::bundle::{Bundle, BundleId};
use crate::digest::Digest;
use crate::eid::Eid;
use crate::primary::{CreationTimestamp, Primary};

mod candidates;

use candidates::Group;

/// What a node is ready to keep of bundles that are not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReassemblyLimits {
    /// Most bytes of all fragments together, blocks included.
    pub bytes_max: usize,
    /// Most bytes that one origin brought.
    pub origin_bytes_max: usize,
    /// Most wholes in progress.
    pub wholes_max: usize,
    /// Most wholes in progress whose first fragment one origin brought.
    pub origin_wholes_max: usize,
    /// Longest payload of a whole.
    pub payload_bytes_max: u64,
    /// Most fragments of one whole.
    pub fragments_max: usize,
    /// Most fragments of one whole that one origin brought.
    pub origin_fragments_max: usize,
    /// Most combinations of one whole that are offered, for each origin alone, for all without it, and for all.
    pub offers_max: usize,
    /// Most names of accepted wholes that are remembered; the oldest is forgotten.
    pub accepted_max: usize,
    /// Longest time that a fragment waits, even if its bundle lives longer.
    pub waiting_ms_max: u64,
}

impl Default for ReassemblyLimits {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            origin_bytes_max: 32 << 20,
            wholes_max: 256,
            origin_wholes_max: 128,
            payload_bytes_max: 16 << 20,
            fragments_max: 4096,
            origin_fragments_max: 2048,
            offers_max: 16,
            accepted_max: 1024,
            waiting_ms_max: 7 * 86_400_000,
        }
    }
}

/// Where a fragment came from, as far as this node can tell: a number for each neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub u64);

/// The time, by the clock that only counts and by the wall clock if there is one that is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that only counts.
    pub monotonic_ms: u64,
    /// Milliseconds since 2000.
    pub wall_ms: Option<u64>,
}

/// Names a whole that is in progress.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WholeId {
    /// Who made it.
    pub source: Eid,
    /// When it was made.
    pub time_ms: u64,
    /// Tells bundles of one source and one time apart.
    pub seq: u64,
    /// The rest of what all fragments have in common. Two wholes with one source and creation time
    /// differ here: at least one of them is a lie.
    pub rest: Digest,
}

/// A bundle put together from fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Its name among the wholes in progress.
    pub id: WholeId,
    /// The bundle. Its blocks, age and hop count included, are those of the first fragment.
    pub bundle: Bundle,
    /// How long the first fragment has been here, for [`Bundle::remaining_ms`].
    pub held_ms: u64,
}

/// What became of a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// It brought nothing new.
    Duplicate,
    /// The whole was accepted earlier.
    Late,
    /// It was stored.
    Stored(Progress),
}

/// What a stored fragment changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The whole that it is a part of.
    pub id: WholeId,
    /// It contradicts what was stored before.
    pub conflict: Option<Conflict>,
    /// The whole, if it can be put together now. Check it, then accept or refuse it.
    pub whole: Option<Box<Whole>>,
}

/// Somebody lies, or data was damaged where no checksum protects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Another whole with this source and creation time has another primary block or length.
    Primary,
    /// Another fragment has other blocks or other bytes somewhere in this part of the payload.
    Bytes(Range<u64>),
}

/// Why a fragment was not stored; nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReassemblyError {
    /// The bundle is whole.
    #[error("the bundle is not a fragment")]
    NotAFragment,
    /// Its lifetime is over.
    #[error("the lifetime of the fragment is over")]
    Expired,
    /// The whole is longer than [`ReassemblyLimits::payload_bytes_max`].
    #[error("the whole has {bytes} bytes of payload, more than the limit of {bytes_max}")]
    TooLarge {
        /// Length of the whole.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// No room for more bytes.
    #[error("there is no room for the bytes of another fragment")]
    BytesFull,
    /// No room for another whole.
    #[error("there is no room for another bundle in parts")]
    WholesFull,
    /// No room for another fragment of this whole.
    #[error("there is no room for another fragment of this bundle")]
    FragmentsFull,
}

/// A fragment that waits.
#[derive(Debug)]
struct Part {
    bundle: Bundle,
    content: Digest,
    range: Range<u64>,
    /// Who brought it, in the order of arrival. The first one pays for it.
    origins: Vec<Origin>,
    bytes: usize,
    received_ms: u64,
    expires_ms: u64,
}

/// A whole in progress.
#[derive(Debug)]
struct Pending {
    /// In the order of arrival.
    parts: Vec<Part>,
    total_bytes: u64,
    opened_by: Origin,
    /// Whether two parts contradict each other.
    disputed: bool,
    /// What was offered, by content, and whose parts were used.
    offered: Vec<(Group, Digest)>,
    /// The last offer was refused, and no other could be made.
    exhausted: bool,
}

/// All bundles that wait for parts.
#[derive(Debug)]
pub struct Reassembly {
    limits: ReassemblyLimits,
    pending: BTreeMap<WholeId, Pending>,
    accepted: VecDeque<WholeId>,
    bytes: usize,
    origin_bytes: BTreeMap<Origin, usize>,
}

impl Reassembly {
    /// Nothing in progress.
    #[must_use]
    pub const fn new(limits: ReassemblyLimits) -> Self {
        Self {
            limits,
            pending: BTreeMap::new(),
            accepted: VecDeque::new(),
            bytes: 0,
            origin_bytes: BTreeMap::new(),
        }
    }

    /// Whether a fragment that `origin` brings would find room, for a caller that makes it durable first: what is said
    /// here may have changed by then.
    ///
    /// # Errors
    /// As [`Reassembly::insert`].
    pub fn check(&self, fragment: &Bundle, origin: Origin, now: Now) -> Result<(), ReassemblyError> {
        self.check_shape(fragment, now)?;
        self.check_room(&WholeId::of(fragment.primary()), weight(fragment), origin)
    }

    fn check_shape(&self, fragment: &Bundle, now: Now) -> Result<u64, ReassemblyError> {
        let Some(place) = fragment.primary().fragment else { return Err(ReassemblyError::NotAFragment) };
        let bytes_max = self.limits.payload_bytes_max;
        if place.total_bytes > bytes_max {
            return Err(ReassemblyError::TooLarge { bytes: place.total_bytes, bytes_max });
        }
        if fragment.expired(now.wall_ms, 0) {
            return Err(ReassemblyError::Expired);
        }
        Ok(place.total_bytes)
    }

    /// Takes a fragment that `origin` brought just now.
    ///
    /// # Errors
    /// If it cannot be stored; nothing has changed then.
    pub fn insert(
        &mut self,
        fragment: Bundle,
        origin: Origin,
        now: Now,
    ) -> Result<Inserted, ReassemblyError> {
        let total_bytes = self.check_shape(&fragment, now)?;
        let id = WholeId::of(fragment.primary());
        if self.accepted.contains(&id) {
            return Ok(Inserted::Late);
        }
        let part = self.part(fragment, origin, now);
        let Some(part) = self.renew(&id, part, origin) else { return Ok(Inserted::Duplicate) };
        self.check_room(&id, part.bytes, origin)?;
        let other = self.siblings(&id);
        self.charge(Some(origin), part.bytes);
        let pending = self.pending.entry(id.clone()).or_insert_with(|| Pending::new(total_bytes, origin));
        let disputed = pending.add(part);
        let conflict = disputed.map(Conflict::Bytes).or_else(|| other.then_some(Conflict::Primary));
        let whole = self.offer(&id, now.monotonic_ms);
        Ok(Inserted::Stored(Progress { id, conflict, whole }))
    }

    /// Gives the part back if it brings something. If it is here already, only what changes on the way can
    /// differ: the version that lives longer stays, or a false age would erase a true fragment.
    fn renew(&mut self, id: &WholeId, part: Part, origin: Origin) -> Option<Part> {
        let Some(pending) = self.pending.get_mut(id) else { return Some(part) };
        let Some(same) = pending.parts.iter_mut().find(|other| other.content == part.content) else {
            return if pending.covers(&part, origin) { None } else { Some(part) };
        };
        if !same.origins.contains(&origin) && same.origins.len() < ORIGINS_MAX {
            same.origins.push(origin);
        }
        let room = self.limits.bytes_max.saturating_sub(self.bytes);
        let grown = part.bytes.saturating_sub(same.bytes);
        if part.expires_ms > same.expires_ms && grown <= room {
            let payer = same.payer();
            let before = same.bytes;
            let after = part.bytes;
            *same = Part { origins: core::mem::take(&mut same.origins), ..part };
            self.release(payer, before);
            self.charge(payer, after);
        }
        None
    }

    fn part(&self, bundle: Bundle, origin: Origin, now: Now) -> Part {
        let start = bundle.primary().fragment.map_or(0, |fragment| fragment.offset);
        let end = start.saturating_add(u64::try_from(bundle.payload().len()).unwrap_or(u64::MAX));
        let waiting_ms_max = self.limits.waiting_ms_max;
        let left_ms = bundle.remaining_ms(now.wall_ms, 0).unwrap_or(waiting_ms_max).min(waiting_ms_max);
        Part {
            content: bundle.content_id(),
            range: start..end,
            origins: Vec::from([origin]),
            bytes: weight(&bundle),
            received_ms: now.monotonic_ms,
            expires_ms: now.monotonic_ms.saturating_add(left_ms),
            bundle,
        }
    }

    fn check_room(&self, id: &WholeId, bytes: usize, origin: Origin) -> Result<(), ReassemblyError> {
        let limits = &self.limits;
        let of_origin = self.origin_bytes.get(&origin).copied().unwrap_or_default();
        let room = limits.bytes_max.saturating_sub(self.bytes);
        if bytes > room.min(limits.origin_bytes_max.saturating_sub(of_origin)) {
            return Err(ReassemblyError::BytesFull);
        }
        let Some(pending) = self.pending.get(id) else {
            let opened = self.pending.values().filter(|pending| pending.opened_by == origin).count();
            let full = self.pending.len() >= limits.wholes_max || opened >= limits.origin_wholes_max;
            return if full { Err(ReassemblyError::WholesFull) } else { Ok(()) };
        };
        let brought = pending.parts.iter().filter(|part| part.payer() == Some(origin)).count();
        if pending.parts.len() >= limits.fragments_max || brought >= limits.origin_fragments_max {
            return Err(ReassemblyError::FragmentsFull);
        }
        Ok(())
    }

    /// Whether another whole in progress has the same source and creation time.
    fn siblings(&self, id: &WholeId) -> bool {
        let same =
            |other: &&WholeId| (&other.source, other.time_ms, other.seq) == (&id.source, id.time_ms, id.seq);
        let first = WholeId { rest: Digest([0; 32]), ..id.clone() };
        self.pending.range(first..).map(|(other, _)| other).take_while(same).any(|other| other != id)
    }

    fn offer(&mut self, id: &WholeId, now_ms: u64) -> Option<Box<Whole>> {
        let pending = self.pending.get_mut(id)?;
        let (bundle, received_ms) = candidates::next(pending, self.limits.offers_max)?;
        pending.exhausted = false;
        let held_ms = now_ms.saturating_sub(received_ms);
        Some(Box::new(Whole { id: id.clone(), bundle, held_ms }))
    }

    /// The whole that was offered is what it should be: its parts are dropped, and parts that
    /// come later are [`Inserted::Late`]. Other wholes that claim its name are dropped too.
    pub fn accept(&mut self, id: &WholeId) {
        if !self.pending.contains_key(id) {
            return;
        }
        let same =
            |other: &WholeId| (&other.source, other.time_ms, other.seq) == (&id.source, id.time_ms, id.seq);
        let names: Vec<WholeId> = self.pending.keys().filter(|other| same(other)).cloned().collect();
        names.iter().for_each(|name| self.forget(name));
        if self.limits.accepted_max > 0 {
            if self.accepted.len() >= self.limits.accepted_max {
                self.accepted.pop_front();
            }
            self.accepted.push_back(id.clone());
        }
    }

    /// The whole that was offered is not what it should be: gives the next combination, if any.
    pub fn refuse(&mut self, id: &WholeId, now_ms: u64) -> Option<Box<Whole>> {
        let next = self.offer(id, now_ms);
        if let Some(pending) = self.pending.get_mut(id) {
            pending.exhausted = next.is_none();
        }
        next
    }

    /// Drops everything of a whole.
    pub fn forget(&mut self, id: &WholeId) {
        let Some(pending) = self.pending.remove(id) else { return };
        pending.parts.iter().for_each(|part| self.release(part.payer(), part.bytes));
    }

    fn charge(&mut self, payer: Option<Origin>, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        let Some(origin) = payer else { return };
        let of_origin = self.origin_bytes.entry(origin).or_default();
        *of_origin = of_origin.saturating_add(bytes);
    }

    fn release(&mut self, payer: Option<Origin>, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        let Some(origin) = payer else { return };
        if let Some(of_origin) = self.origin_bytes.get_mut(&origin) {
            *of_origin = of_origin.saturating_sub(bytes);
            if *of_origin == 0 {
                self.origin_bytes.remove(&origin);
            }
        }
    }

    /// Drops the fragments whose time is over; gives the wholes of which nothing is left.
    ///
    /// Each fragment has its own time, so one with a false age takes no other along.
    pub fn expire(&mut self, now_ms: u64) -> Vec<WholeId> {
        let mut released = Vec::new();
        let mut gone = Vec::new();
        for (id, pending) in &mut self.pending {
            pending.parts.retain(|part| {
                let keep = part.expires_ms > now_ms;
                if !keep {
                    released.push((part.payer(), part.bytes));
                }
                keep
            });
            if pending.parts.is_empty() {
                gone.push(id.clone());
            }
        }
        released.into_iter().for_each(|(payer, bytes)| self.release(payer, bytes));
        gone.iter().for_each(|id| drop(self.pending.remove(id)));
        gone
    }

    /// When [`Reassembly::expire`] has something to do next, by the clock that only counts.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.pending.values().flat_map(|pending| &pending.parts).map(|part| part.expires_ms).min()
    }

    /// The parts of a payload that nobody brought yet, ascending. All of it, if everything that could
    /// be put together was refused; nothing, if nothing of this whole is here.
    pub fn missing(&self, id: &WholeId) -> impl Iterator<Item = Range<u64>> + use<> {
        self.pending.get(id).map(Pending::missing).unwrap_or_default().into_iter()
    }

    /// The wholes in progress.
    pub fn pending(&self) -> impl Iterator<Item = &WholeId> {
        self.pending.keys()
    }

    /// The names of the fragments that wait for the rest of a whole.
    pub fn parts(&self, id: &WholeId) -> impl Iterator<Item = BundleId> + '_ {
        self.pending.get(id).into_iter().flat_map(|pending| &pending.parts).map(|part| part.bundle.id())
    }

    /// How many bytes are stored.
    #[must_use]
    pub const fn stored_bytes(&self) -> usize {
        self.bytes
    }
}

impl Default for Reassembly {
    fn default() -> Self {
        Self::new(ReassemblyLimits::default())
    }
}

impl WholeId {
    /// The whole that a fragment with this primary block is a part of.
    #[must_use]
    pub fn of(primary: &Primary) -> Self {
        let CreationTimestamp { time_ms, seq } = primary.created;
        let total_bytes = primary.fragment.map_or(0, |fragment| fragment.total_bytes);
        // Only what all fragments share: the checksum is each fragment's own.
        let shared = Primary { crc: crate::CrcType::None, fragment: None, ..primary.clone() };
        let mut rest = shared.encode();
        rest.extend_from_slice(&total_bytes.to_be_bytes());
        Self { source: primary.source.clone(), time_ms, seq, rest: Digest::of(&rest) }
    }
}

impl Part {
    fn payer(&self) -> Option<Origin> {
        self.origins.first().copied()
    }

    /// The part's bytes in this range of the whole, as far as it has them.
    fn bytes_in(&self, range: &Range<u64>) -> &[u8] {
        let from = |at: u64| usize::try_from(at.saturating_sub(self.range.start)).unwrap_or(usize::MAX);
        let payload = self.bundle.payload();
        payload.get(from(range.start)..from(range.end).min(payload.len())).unwrap_or_default()
    }

    /// The range that both have, if they contradict each other in it.
    fn contradicts(&self, other: &Self) -> Option<Range<u64>> {
        let common = self.range.start.max(other.range.start)..self.range.end.min(other.range.end);
        let heads = self.is_head() && other.is_head() && self.blocks() != other.blocks();
        if heads || (!common.is_empty() && self.bytes_in(&common) != other.bytes_in(&common)) {
            return Some(common);
        }
        None
    }

    /// Whether its blocks become those of the whole.
    const fn is_head(&self) -> bool {
        self.range.start == 0
    }

    /// The blocks that do not change on the way, without the payload.
    fn blocks(&self) -> Vec<&crate::Block> {
        let blocks = self.bundle.blocks();
        let others = blocks.get(..blocks.len().saturating_sub(1)).unwrap_or_default();
        others.iter().filter(|block| !block.kind.changes_on_the_way()).collect()
    }
}

impl Pending {
    const fn new(total_bytes: u64, opened_by: Origin) -> Self {
        Self {
            parts: Vec::new(),
            total_bytes,
            opened_by,
            disputed: false,
            offered: Vec::new(),
            exhausted: false,
        }
    }

    /// Whether other parts of the same origin have every byte of this one.
    fn covers(&self, part: &Part, origin: Origin) -> bool {
        if part.is_head() {
            return false;
        }
        let meets = |other: &&Part| other.range.start < part.range.end && part.range.start < other.range.end;
        let agrees = |other: &&Part| other.origins.contains(&origin) && other.contradicts(part).is_none();
        let agreeing = self.parts.iter().filter(meets).filter(agrees).map(|other| &other.range).collect();
        if !gaps(agreeing, &part.range).is_empty() {
            return false;
        }
        // An empty fragment brings nothing, unless it is all that there is.
        !part.range.is_empty() || self.total_bytes > 0
    }

    /// Stores a part; gives the range in which it contradicts an earlier one.
    fn add(&mut self, part: Part) -> Option<Range<u64>> {
        let contradicted = self.parts.iter().find_map(|other| part.contradicts(other));
        self.disputed |= contradicted.is_some();
        self.parts.push(part);
        contradicted
    }

    fn missing(&self) -> Vec<Range<u64>> {
        let everything = Range { start: 0, end: self.total_bytes };
        if self.exhausted { Vec::from([everything]) } else { self.gaps() }
    }

    /// What no part covers.
    fn gaps(&self) -> Vec<Range<u64>> {
        let ranges = self.parts.iter().map(|part| &part.range).collect();
        gaps(ranges, &Range { start: 0, end: self.total_bytes })
    }
}

/// What some ranges leave open of a whole, ascending.
fn gaps(mut ranges: Vec<&Range<u64>>, whole: &Range<u64>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut missing = Vec::new();
    let mut at = whole.start;
    for range in ranges.into_iter().take_while(|range| range.start < whole.end) {
        if range.start > at {
            missing.push(at..range.start);
        }
        at = at.max(range.end);
    }
    if at < whole.end {
        missing.push(at..whole.end);
    }
    missing
}

/// Most origins that are remembered for one fragment.
const ORIGINS_MAX: usize = 8;

/// What a fragment costs: its bytes and what stands around them in memory.
fn weight(bundle: &Bundle) -> usize {
    let blocks = bundle.blocks().iter().map(|block| block.data.len().saturating_add(BLOCK_OVERHEAD_BYTES));
    blocks.fold(PART_OVERHEAD_BYTES, usize::saturating_add)
}

/// More than a [`crate::Block`] takes apart from its data.
const BLOCK_OVERHEAD_BYTES: usize = 64;

/// More than a [`Part`] takes apart from blocks, with endpoint ids of ordinary length.
const PART_OVERHEAD_BYTES: usize = 1024;
