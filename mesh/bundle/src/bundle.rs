//! A bundle of RFC 9171: reading, writing, names, forwarding and expiry.

use alloc::vec::Vec;

use crate::block::{Block, BlockKind, HopCount, PAYLOAD_NUMBER};
use crate::cbor::{CborError, Write};
use crate::class::Class;
use crate::digest::Digest;
use crate::eid::{Eid, EidError};
use crate::primary::{CreationTimestamp, Primary};
use crate::rules::{Facts, Rules};
use crate::view::BundleView;

/// What a node is ready to take in one bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of an encoded bundle.
    pub bundle_bytes_max: usize,
    /// Most blocks after the primary block; [`BLOCKS_MAX`] at most. One previous node, one age and one hop count
    /// block are not counted: carriers add such blocks, and what one node takes the next one has to take as well.
    pub blocks_max: usize,
}

/// Most blocks after the primary block that any limit allows, and that a bundle can be made of, counted as in
/// [`Limits::blocks_max`]. With those that are not counted there are 64.
pub const BLOCKS_MAX: usize = 61;

impl Default for Limits {
    fn default() -> Self {
        Self { bundle_bytes_max: 16 << 20, blocks_max: 32 }
    }
}

/// Names a bundle, or one fragment of it, in the whole network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    /// Who made it.
    pub source: Eid,
    /// When it was made, in milliseconds since 2000; 0 where the source had no clock.
    pub time_ms: u64,
    /// Tells bundles of one source and one time apart.
    pub seq: u64,
    /// Offset and length of a fragment's payload; `None` for a whole bundle.
    pub fragment: Option<(u64, u64)>,
}

/// A bundle that satisfies the rules of RFC 9171 which can be checked without keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    primary: Primary,
    /// The payload is the last one.
    blocks: Vec<Block>,
    previous_node: Option<Eid>,
    age_ms: Option<u64>,
    hops: Option<HopCount>,
    class: Class,
}

/// Why some bytes are not a bundle that this node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bundle is larger than [`Limits::bundle_bytes_max`].
    #[error("the bundle has {bytes} bytes, more than the limit of {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The bundle has more than [`Limits::blocks_max`] blocks.
    #[error("the bundle has more than {blocks_max} blocks")]
    TooManyBlocks {
        /// The limit.
        blocks_max: usize,
    },
    /// Not well-formed, or not in the form that RFC 9171 asks for.
    #[error("the bundle is not well-formed: {0}")]
    Cbor(#[from] CborError),
    /// An endpoint id is wrong.
    #[error(transparent)]
    Eid(#[from] EidError),
    /// Another version of the bundle protocol.
    #[error("bundle protocol version {0} is not known, only 7")]
    Version(u64),
    /// A checksum type that does not exist.
    #[error("block {block} has the unknown checksum type {code}")]
    CrcType {
        /// The block's number.
        block: u64,
        /// The type that was found.
        code: u64,
    },
    /// A checksum of a wrong length.
    #[error("the checksum of block {block} has the wrong length")]
    CrcLength {
        /// The block's number.
        block: u64,
    },
    /// A checksum does not match: the bundle was damaged.
    #[error("the checksum of block {block} does not match")]
    Crc {
        /// The block's number.
        block: u64,
    },
    /// The primary block has neither a checksum nor a signature.
    #[error("the primary block has neither a checksum nor an integrity block")]
    Unprotected,
    /// Flags that exclude one another.
    #[error("the bundle's flags contradict one another")]
    Flags,
    /// The source is a group.
    #[error("the source of a bundle cannot be a group")]
    GroupSource,
    /// A fragment reaches beyond its whole.
    #[error("the fragment reaches beyond the payload it is part of")]
    FragmentRange,
    /// No payload block.
    #[error("the bundle has no payload")]
    NoPayload,
    /// The payload is not the last block, or there are two.
    #[error("the payload is not the last block of the bundle")]
    PayloadPlace,
    /// The payload's number is not 1, or another block has that number.
    #[error("block {0} has a number that its kind cannot have")]
    Number(u64),
    /// Two blocks have one number.
    #[error("two blocks have the number {0}")]
    DuplicateNumber(u64),
    /// Two blocks of a kind that may occur once.
    #[error("the bundle has two blocks of type {0}")]
    DuplicateKind(u64),
    /// The previous node block names nobody, or a group.
    #[error("the previous node block names no node")]
    PreviousNode,
    /// The hop limit is not within 1 to 255.
    #[error("the hop limit {0} is not between 1 and 255")]
    HopLimit(u64),
    /// Neither a creation time nor an age block: nobody could tell when it expires.
    #[error("a bundle without a creation time needs an age block")]
    NoAge,
    /// A block that this node does not know and that forbids to go on without.
    #[error("block {0} is of an unknown type and must be understood")]
    MustUnderstand(u64),
    /// The targets of a security block break the rules of RFC 9172.
    #[error("the targets of security block {0} are not allowed")]
    SecurityTargets(u64),
}

/// The bundle has made all the hops that its source allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bundle has made the {limit} hops that its source allowed")]
pub struct HopLimitExceeded {
    /// The most hops allowed.
    pub limit: u8,
}

impl BundleId {
    /// The bundle's name (RFC 9171 section 4.2.7) in 32 bytes: BLAKE3 of what tells it from all others, the same
    /// for each of its fragments.
    ///
    /// A carrier can make a second [content id](Bundle::content_id) by adding a block; the name is signed, so
    /// this is what a node remembers of what it delivered.
    #[must_use]
    pub fn name(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("cairn 2026-11 delivered bundle");
        hasher
            .update(&self.source.encode())
            .update(&self.time_ms.to_be_bytes())
            .update(&self.seq.to_be_bytes());
        *hasher.finalize().as_bytes()
    }
}

impl Bundle {
    /// Puts a bundle together; `blocks` ends with the payload.
    ///
    /// # Errors
    /// The same that [`Bundle::decode`] would give for the encoded form, limits apart.
    pub fn new(primary: Primary, blocks: Vec<Block>) -> Result<Self, DecodeError> {
        let mut rules = Rules::new(BLOCKS_MAX);
        blocks.iter().try_for_each(|block| rules.add(&block.view()))?;
        let facts = rules.finish(&primary.view(), &blocks.iter().map(Block::view))?;
        let previous_node = facts.previous_node.map(|node| node.to_eid());
        let (age_ms, hops, class) = (facts.age_ms, facts.hops, facts.class);
        Ok(Self { primary, blocks, previous_node, age_ms, hops, class })
    }

    /// A bundle of whose blocks these facts were found.
    pub(crate) fn from_checked(primary: Primary, blocks: Vec<Block>, facts: &Facts<'_>) -> Self {
        let previous_node = facts.previous_node.map(|node| node.to_eid());
        Self { primary, blocks, previous_node, age_ms: facts.age_ms, hops: facts.hops, class: facts.class }
    }

    /// Reads a bundle that fills the bytes and checks all that can be checked without keys.
    ///
    /// Checksums are always verified. An indefinite length is taken wherever RFC 9171 allows it;
    /// [`Bundle::encode`] then writes the one deterministic form. Blocks of unknown types that
    /// ask to be removed by those who do not know them are removed.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        BundleView::parse(bytes, limits).map(|view| view.to_bundle())
    }

    /// How many bytes [`Bundle::encode`] writes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Block::encoded_len).sum();
        // The array around the blocks has a mark at its begin and one at its end.
        2 + self.primary.encoded_len() + blocks
    }

    /// The bundle in its one deterministic form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    /// Appends the bundle in its one deterministic form; the buffer grows once at most.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.reserve_exact(self.encoded_len());
        out.put_array_indefinite();
        self.primary.write(out);
        self.blocks.iter().for_each(|block| block.write(out));
        out.put_break();
    }

    /// The bundle as the next node gets it: previous node, hop count and age brought up to date.
    ///
    /// `age_add_ms` is how long the bundle stayed here. Nothing else is touched, so
    /// [`Bundle::content_id`] stays the same.
    ///
    /// # Errors
    /// If the hop limit is used up; the bundle must then not be forwarded.
    pub fn forwarded_by(&self, previous: &Eid, age_add_ms: u64) -> Result<Self, HopLimitExceeded> {
        self.clone().into_forwarded(previous, age_add_ms)
    }

    /// As [`Bundle::forwarded_by`], without a copy of the payload.
    ///
    /// # Errors
    /// If the hop limit is used up.
    pub fn into_forwarded(self, previous: &Eid, age_add_ms: u64) -> Result<Self, HopLimitExceeded> {
        let mut next = self;
        if let Some(hops) = &mut next.hops {
            if hops.count >= u64::from(hops.limit) {
                return Err(HopLimitExceeded { limit: hops.limit });
            }
            hops.count += 1;
            let hops = *hops;
            next.replace(BlockKind::HopCount, |number| Block::hop_count(number, hops));
        }
        next.age_by(age_add_ms);
        let exists = next.blocks.iter().any(|block| block.kind == BlockKind::PreviousNode);
        if next.previous_node.is_some() {
            next.replace(BlockKind::PreviousNode, |number| Block::previous_node(number, previous));
            next.previous_node = Some(previous.clone());
        } else if !exists {
            let block = Block::previous_node(next.free_number(), previous);
            next.blocks.insert(next.blocks.len() - 1, block);
            next.previous_node = Some(previous.clone());
        }
        Ok(next)
    }

    /// The bundle after it has stayed somewhere for `age_add_ms`: its age block says so (RFC 9171 section 4.4.2).
    /// Without an age block nothing changes.
    #[must_use]
    pub fn aged_by(&self, age_add_ms: u64) -> Self {
        self.clone().into_aged(age_add_ms)
    }

    /// As [`Bundle::aged_by`], without a copy of the payload.
    #[must_use]
    pub fn into_aged(mut self, age_add_ms: u64) -> Self {
        self.age_by(age_add_ms);
        self
    }

    fn age_by(&mut self, age_add_ms: u64) {
        if let Some(age_ms) = &mut self.age_ms {
            *age_ms = age_ms.saturating_add(age_add_ms);
            let age_ms = *age_ms;
            self.replace(BlockKind::Age, |number| Block::age(number, age_ms));
        }
    }

    /// Gives the block of a kind new contents; its number, flags and checksum type remain.
    fn replace(&mut self, kind: BlockKind, make: impl Fn(u64) -> Block) {
        if let Some(block) = self.blocks.iter_mut().find(|block| block.kind == kind) {
            block.data = make(block.number).data;
        }
    }

    fn free_number(&self) -> u64 {
        let taken = |number: &u64| self.blocks.iter().any(|block| block.number == *number);
        let mut numbers = PAYLOAD_NUMBER + 1..;
        numbers.find(|number| !taken(number)).expect("there are more numbers than blocks")
    }

    /// The name of this bundle, or of this fragment.
    #[must_use]
    pub fn id(&self) -> BundleId {
        let CreationTimestamp { time_ms, seq } = self.primary.created;
        let bytes = u64::try_from(self.payload().len()).unwrap_or(u64::MAX);
        let fragment = self.primary.fragment.map(|fragment| (fragment.offset, bytes));
        BundleId { source: self.primary.source.clone(), time_ms, seq, fragment }
    }

    /// BLAKE3 of what nobody may change on the way: the primary block, then every block except
    /// previous node, age and hop count, in ascending order of their numbers.
    #[must_use]
    pub fn content_id(&self) -> Digest {
        let mut covered: Vec<&Block> =
            self.blocks.iter().filter(|block| !block.kind.changes_on_the_way()).collect();
        covered.sort_by_key(|block| block.number);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.primary.encode());
        covered.iter().for_each(|block| block.hash(&mut hasher));
        Digest(*hasher.finalize().as_bytes())
    }

    /// The primary block and all other blocks.
    #[must_use]
    pub fn into_parts(self) -> (Primary, Vec<Block>) {
        (self.primary, self.blocks)
    }

    /// The primary block.
    #[must_use]
    pub const fn primary(&self) -> &Primary {
        &self.primary
    }

    /// All other blocks; the last one is the payload.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// What the bundle carries: as it travels, so encrypted if the bundle is sealed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.blocks.last().map(|block| block.data.as_slice()).unwrap_or_default()
    }

    /// Where the bundle goes.
    #[must_use]
    pub const fn destination(&self) -> &Eid {
        &self.primary.destination
    }

    /// Where the bundle claims to come from; only [`crate::seal::open`] proves it.
    #[must_use]
    pub const fn source(&self) -> &Eid {
        &self.primary.source
    }

    /// The node that forwarded it last, as it claims.
    #[must_use]
    pub const fn previous_node(&self) -> Option<&Eid> {
        self.previous_node.as_ref()
    }

    /// Its age when it arrived here, if it has a readable age block.
    #[must_use]
    pub const fn age_ms(&self) -> Option<u64> {
        self.age_ms
    }

    /// Its hops, if it has a readable hop count block.
    #[must_use]
    pub const fn hop_count(&self) -> Option<HopCount> {
        self.hops
    }

    /// How urgent it is, as it claims; [`crate::seal::verify_source`] proves that its source said so.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Whether its payload is encrypted.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.blocks.iter().any(|block| block.kind == BlockKind::Confidentiality)
    }

    /// How much of its lifetime is left, or `None` if nobody can tell.
    ///
    /// `held_ms` is how long the bundle is here, by a clock that only counts; `now_ms` is the wall
    /// clock in milliseconds since 2000, if there is one that is trusted. Age goes before wall
    /// time, because a wrong clock must not cost a bundle.
    #[must_use]
    pub fn remaining_ms(&self, now_ms: Option<u64>, held_ms: u64) -> Option<u64> {
        let created_ms = self.primary.created.time_ms;
        let age_ms = match (self.age_ms, now_ms) {
            (Some(age_ms), _) => age_ms.saturating_add(held_ms),
            (None, Some(now_ms)) if created_ms != 0 => now_ms.saturating_sub(created_ms),
            (None, _) => return None,
        };
        Some(self.primary.lifetime_ms.saturating_sub(age_ms))
    }

    /// Whether its lifetime is over; see [`Bundle::remaining_ms`].
    #[must_use]
    pub fn expired(&self, now_ms: Option<u64>, held_ms: u64) -> bool {
        self.remaining_ms(now_ms, held_ms) == Some(0)
    }
}
