//! The bundles this node carries: for whom, until when, and whose quota they use.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cairn_bundle::{Digest, NodeId};

use crate::time::Instant;

/// What the engine knows of a bundle it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleRecord {
    /// The node it is for; `None` if its destination is not one node.
    pub destination: Option<NodeId>,
    /// The node that wrote it, if it says so.
    pub source: Option<NodeId>,
    /// The neighbour that it came from; `None` for this node's own.
    pub neighbour: Option<NodeId>,
    /// Size in bytes.
    pub bytes: u64,
    /// What its age block says, in milliseconds at `kept_since`; `None` without one.
    pub age_ms: Option<u64>,
    /// How long it may still be kept, in milliseconds from `kept_since`.
    pub remaining_ms: u64,
    /// Since when it is here.
    pub kept_since: Instant,
}

/// Bytes of an unsigned integer in deterministic CBOR (RFC 8949 section 4.2.1).
const fn uint_bytes(value: u64) -> u64 {
    match value {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

impl BundleRecord {
    /// How much age it has gained here until `at`.
    pub(crate) fn age_gained(&self, at: Instant) -> u64 {
        self.age_ms.map_or(0, |_| at - self.kept_since)
    }

    /// Its size when it is sent with the age that it has at `at`.
    pub(crate) fn bytes_at(&self, at: Instant) -> u64 {
        let Some(age_ms) = self.age_ms else { return self.bytes };
        let aged = age_ms.saturating_add(self.age_gained(at));
        self.bytes.saturating_add(uint_bytes(aged)).saturating_sub(uint_bytes(age_ms))
    }

    fn expires(&self) -> Instant {
        self.kept_since.plus_ms(self.remaining_ms)
    }
}

/// Why a bundle cannot be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Total,
    Neighbour,
}

/// Carried bundles with their totals.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    records: BTreeMap<Digest, BundleRecord>,
    by_expiry: BTreeSet<(Instant, Digest)>,
    bytes: u64,
    bytes_by_neighbour: BTreeMap<NodeId, u64>,
}

impl Bundles {
    pub(crate) fn insert(&mut self, id: Digest, record: BundleRecord) {
        self.remove(&id);
        self.bytes = self.bytes.saturating_add(record.bytes);
        if let Some(neighbour) = record.neighbour {
            let used = self.bytes_by_neighbour.entry(neighbour).or_default();
            *used = used.saturating_add(record.bytes);
        }
        self.by_expiry.insert((record.expires(), id));
        self.records.insert(id, record);
    }

    pub(crate) fn remove(&mut self, id: &Digest) -> bool {
        let Some(record) = self.records.remove(id) else { return false };
        self.by_expiry.remove(&(record.expires(), *id));
        self.bytes = self.bytes.saturating_sub(record.bytes);
        if let Some(neighbour) = record.neighbour
            && let Some(used) = self.bytes_by_neighbour.get_mut(&neighbour)
        {
            *used = used.saturating_sub(record.bytes);
        }
        true
    }

    pub(crate) fn room_for(
        &self,
        neighbour: &NodeId,
        bytes: u64,
        bytes_max: u64,
        neighbour_bytes_max: u64,
    ) -> Result<(), NoRoom> {
        let used = self.bytes_by_neighbour.get(neighbour).copied().unwrap_or(0);
        if used.saturating_add(bytes) > neighbour_bytes_max {
            return Err(NoRoom::Neighbour);
        }
        if self.bytes.saturating_add(bytes) > bytes_max { Err(NoRoom::Total) } else { Ok(()) }
    }

    pub(crate) fn get(&self, id: &Digest) -> Option<&BundleRecord> {
        self.records.get(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// What a peer may be offered: everything but what it wrote itself and what came from it.
    pub(crate) fn offers<'a>(
        &'a self,
        peer: &'a NodeId,
        at: Instant,
    ) -> impl Iterator<Item = (Digest, u64)> + 'a {
        let offered = self.records.iter().filter(|(_, record)| offered_to(record, peer));
        offered.map(move |(id, record)| (*id, record.bytes_at(at)))
    }

    pub(crate) fn expired(&self, now: Instant) -> Vec<Digest> {
        self.by_expiry.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect()
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.by_expiry.first().map(|(at, _)| *at)
    }
}

pub(crate) fn offered_to(record: &BundleRecord, peer: &NodeId) -> bool {
    record.source.as_ref() != Some(peer) && record.neighbour.as_ref() != Some(peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;

    fn node(n: u8) -> NodeId {
        Identity::from_seed(&[n; 32]).node_id()
    }

    fn record(neighbour: u8, bytes: u64, remaining_ms: u64) -> BundleRecord {
        BundleRecord {
            destination: Some(node(9)),
            source: Some(node(8)),
            neighbour: Some(node(neighbour)),
            bytes,
            age_ms: Some(20),
            remaining_ms,
            kept_since: Instant::from_ms(100),
        }
    }

    #[test]
    fn quotas_count_what_is_kept_and_give_back_what_is_forgotten() {
        let mut bundles = Bundles::default();
        bundles.insert(Digest([1; 32]), record(1, 60, 10));
        bundles.insert(Digest([1; 32]), record(1, 60, 10));
        assert_eq!(bundles.room_for(&node(1), 40, 1000, 100), Ok(()));
        assert_eq!(bundles.room_for(&node(1), 41, 1000, 100), Err(NoRoom::Neighbour));
        assert_eq!(bundles.room_for(&node(2), 41, 100, 100), Err(NoRoom::Total));
        assert!(bundles.remove(&Digest([1; 32])));
        assert!(!bundles.remove(&Digest([1; 32])));
        assert_eq!(bundles.room_for(&node(1), 100, 100, 100), Ok(()));
    }

    #[test]
    fn a_bundle_expires_after_its_time_and_not_before() {
        let mut bundles = Bundles::default();
        bundles.insert(Digest([1; 32]), record(1, 1, 50));
        assert_eq!(bundles.next_expiry(), Some(Instant::from_ms(150)));
        assert!(bundles.expired(Instant::from_ms(149)).is_empty());
        assert_eq!(bundles.expired(Instant::from_ms(150)), [Digest([1; 32])]);
    }

    #[test]
    fn a_bundle_goes_back_neither_to_its_author_nor_to_where_it_came_from() {
        let mut bundles = Bundles::default();
        bundles.insert(Digest([1; 32]), record(1, 1, 50));
        assert_eq!(bundles.offers(&node(1), Instant::ZERO).count(), 0);
        assert_eq!(bundles.offers(&node(8), Instant::ZERO).count(), 0);
        assert_eq!(bundles.offers(&node(9), Instant::ZERO).count(), 1);
    }

    #[test]
    fn a_bundle_grows_by_the_bytes_of_its_age() {
        let record = record(1, 100, 50);
        assert_eq!(record.bytes_at(Instant::from_ms(100)), 100);
        assert_eq!(
            (record.age_gained(Instant::from_ms(103)), record.bytes_at(Instant::from_ms(103))),
            (3, 100)
        );
        assert_eq!(record.bytes_at(Instant::from_ms(104)), 101);
        assert_eq!(record.bytes_at(Instant::from_ms(100 + 70_000)), 104);
        let ageless = BundleRecord { age_ms: None, ..record };
        assert_eq!(
            (ageless.age_gained(Instant::from_ms(900)), ageless.bytes_at(Instant::from_ms(900))),
            (0, 100)
        );
    }
}
