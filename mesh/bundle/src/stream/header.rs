//! What stands before a payload.

use alloc::vec::Vec;

use crate::block::{Block, HopCount};
use crate::bundle::{BLOCKS_MAX, Bundle, BundleId, DecodeError};
use crate::class::Class;
use crate::eid::Eid;
use crate::primary::Primary;
use crate::rules::Rules;

/// All of a bundle except its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// With an empty payload.
    bundle: Bundle,
    payload_bytes: u64,
}

impl Header {
    /// Checks everything that [`Bundle::decode`] checks but the bytes of the payload; the last
    /// block is its empty place.
    pub(super) fn new(primary: &Primary, blocks: &[Block], payload_bytes: u64) -> Result<Self, DecodeError> {
        let mut rules = Rules::new(BLOCKS_MAX);
        blocks.iter().try_for_each(|block| rules.add(&block.view()))?;
        let facts = rules.finish(&primary.view(), &blocks.iter().map(Block::view))?;
        if let Some(fragment) = primary.fragment {
            let end = fragment.offset.checked_add(payload_bytes);
            end.filter(|end| *end <= fragment.total_bytes).ok_or(DecodeError::FragmentRange)?;
        }
        let kept = |(place, _): &(usize, &Block)| facts.discarded >> place & 1 == 0;
        let kept = blocks.iter().enumerate().filter(kept).map(|(_, block)| block.clone()).collect();
        Ok(Self { bundle: Bundle::from_checked(primary.clone(), kept, &facts), payload_bytes })
    }

    /// The primary block.
    #[must_use]
    pub const fn primary(&self) -> &Primary {
        self.bundle.primary()
    }

    /// All other blocks, without the payload.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        self.bundle.blocks().split_last().map(|(_, others)| others).unwrap_or_default()
    }

    /// Length of the payload.
    #[must_use]
    pub const fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The node that forwarded the bundle last, as it claims.
    #[must_use]
    pub const fn previous_node(&self) -> Option<&Eid> {
        self.bundle.previous_node()
    }

    /// The bundle's age when it arrived here, if it has a readable age block.
    #[must_use]
    pub const fn age_ms(&self) -> Option<u64> {
        self.bundle.age_ms()
    }

    /// The bundle's hops, if it has a readable hop count block.
    #[must_use]
    pub const fn hop_count(&self) -> Option<HopCount> {
        self.bundle.hop_count()
    }

    /// The same as [`Bundle::class`].
    #[must_use]
    pub const fn class(&self) -> Class {
        self.bundle.class()
    }

    /// How much of the bundle's lifetime is left; see [`Bundle::remaining_ms`].
    #[must_use]
    pub fn remaining_ms(&self, now_ms: Option<u64>, held_ms: u64) -> Option<u64> {
        self.bundle.remaining_ms(now_ms, held_ms)
    }

    /// The bundle's name.
    #[must_use]
    pub fn id(&self) -> BundleId {
        let fragment = self.primary().fragment.map(|fragment| (fragment.offset, self.payload_bytes));
        BundleId { fragment, ..self.bundle.id() }
    }

    /// The bundle with this payload, for payloads that fit into memory after all.
    ///
    /// # Errors
    /// If the payload is too long for the fragment that the bundle is.
    pub fn with_payload(&self, payload: Vec<u8>) -> Result<Bundle, DecodeError> {
        let mut blocks = self.bundle.blocks().to_vec();
        blocks.last_mut().ok_or(DecodeError::NoPayload)?.data = payload;
        Bundle::new(self.primary().clone(), blocks)
    }
}
