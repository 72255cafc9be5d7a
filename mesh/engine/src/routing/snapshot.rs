//! What was learned, as bytes that survive a restart.
//!
//! Deterministic CBOR: an array of the version (1), the moment of the first contact in milliseconds or null, a byte
//! string with 105 bytes for each neighbour and one with 26 bytes for each claim. Within them all numbers are big
//! endian. A neighbour: node id (32), begin and end of the last contact (8 and 8), gaps (4), mean gap (4), mean squared
//! gap (8), mean contact (4), likelihoods of the week (28), first bin (4, all ones if none), last bin (4), bundles brought (1). A claim: first
//! half of the destination (16), place of the neighbour in the list (2), delay (4), when heard (4).

use alloc::vec::Vec;

use cairn_bundle::NodeId;

use crate::Instant;
use crate::routing::acquaintance::{Acquaintance, GAP_S_MAX};
use crate::routing::encounters::{Encounters, Known, VIAS_MAX, Via};
use crate::routing::limits::RoutingLimits;
use crate::routing::strategy::{Half, half};
use crate::routing::week::{BINS, Week};

const VERSION: u8 = 1;
const PEER_BYTES: usize = 105;
const CLAIM_BYTES: usize = 26;
/// Major types of CBOR.
const UINT: u8 = 0;
const BYTES: u8 = 2;
const ARRAY: u8 = 4;
const NULL: u8 = 0xf6;

/// Why bytes are not a snapshot of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Written by another version.
    #[error("what was learned of contacts was written by another version")]
    Version,
    /// Not what a snapshot looks like.
    #[error("what was learned of contacts is damaged")]
    Damaged,
}

pub(crate) fn encode(encounters: &Encounters) -> Vec<u8> {
    // Neighbours close up, so that the places of claims count those that are there.
    let mut places = Vec::with_capacity(encounters.known.len());
    let (mut peers, mut count) = (Vec::new(), 0_u16);
    for known in &encounters.known {
        places.push(count);
        if let Some(known) = known {
            put_peer(&mut peers, &known.who);
            peers.push(known.brought);
            count = count.saturating_add(1);
        }
    }
    let mut claims = Vec::new();
    for (node, via) in
        encounters.claims.iter().flat_map(|(node, vias)| vias.iter().map(move |via| (node, via)))
    {
        let Some(place) = places.get(usize::from(via.slot)) else { continue };
        claims.extend_from_slice(node);
        claims.extend_from_slice(&place.to_be_bytes());
        claims.extend_from_slice(&via.delay_s.to_be_bytes());
        claims.extend_from_slice(&via.heard_s.to_be_bytes());
    }
    let mut bytes = Vec::with_capacity(peers.len().saturating_add(claims.len()).saturating_add(24));
    put_head(&mut bytes, ARRAY, 4);
    put_head(&mut bytes, UINT, VERSION.into());
    match encounters.since {
        Some(since) => put_head(&mut bytes, UINT, since.as_ms()),
        None => bytes.push(NULL),
    }
    for run in [&peers, &claims] {
        put_head(&mut bytes, BYTES, u64::try_from(run.len()).unwrap_or(u64::MAX));
        bytes.extend_from_slice(run);
    }
    bytes
}

fn put_head(bytes: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match (u8::try_from(value), u16::try_from(value), u32::try_from(value)) {
        (Ok(value @ 0..=23), _, _) => bytes.push(major | value),
        (Ok(value), _, _) => bytes.extend_from_slice(&[major | 24, value]),
        (_, Ok(value), _) => {
            bytes.push(major | 25);
            bytes.extend_from_slice(&value.to_be_bytes());
        }
        (_, _, Ok(value)) => {
            bytes.push(major | 26);
            bytes.extend_from_slice(&value.to_be_bytes());
        }
        (_, _, _) => {
            bytes.push(major | 27);
            bytes.extend_from_slice(&value.to_be_bytes());
        }
    }
}

fn put_peer(bytes: &mut Vec<u8>, who: &Acquaintance) {
    let short = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    bytes.extend_from_slice(who.node.as_bytes());
    bytes.extend_from_slice(&who.started.as_ms().to_be_bytes());
    bytes.extend_from_slice(&who.ended.as_ms().to_be_bytes());
    bytes.extend_from_slice(&who.gaps.to_be_bytes());
    bytes.extend_from_slice(&short(who.gap_s));
    bytes.extend_from_slice(&who.gap_squared.to_be_bytes());
    bytes.extend_from_slice(&short(who.contact_s));
    bytes.extend_from_slice(&who.week.bins);
    bytes.extend_from_slice(&who.week.since.unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&who.week.at.to_be_bytes());
}

/// Reads a snapshot; what exceeds the limits of now is left out. No link is up in what comes back.
pub(crate) fn decode(bytes: &[u8], me: Half, limits: RoutingLimits) -> Result<Encounters, SnapshotError> {
    let mut reader = Reader { rest: bytes };
    if reader.head(ARRAY)? != 4 {
        return Err(SnapshotError::Damaged);
    }
    if reader.head(UINT)? != u64::from(VERSION) {
        return Err(SnapshotError::Version);
    }
    let since = if reader.rest.first() == Some(&NULL) {
        reader.take::<1>()?;
        None
    } else {
        Some(Instant::from_ms(reader.head(UINT)?))
    };
    let mut peers = reader.run(PEER_BYTES)?;
    let mut claims = reader.run(CLAIM_BYTES)?;
    if !reader.rest.is_empty() {
        return Err(SnapshotError::Damaged);
    }
    let mut encounters = Encounters { since, ..Encounters::new(me, limits) };
    while !peers.rest.is_empty() {
        let who = read_peer(&mut peers)?;
        let [brought] = *peers.take()?;
        let name = half(&who.node);
        if encounters.slots.contains_key(&name) || name == me {
            return Err(SnapshotError::Damaged);
        }
        let Ok(slot) = u16::try_from(encounters.known.len()) else { return Err(SnapshotError::Damaged) };
        // Read and checked, but without a place if the limit was lowered.
        if encounters.known.len() < limits.peers_max {
            encounters.slots.insert(name, slot);
            encounters.known.push(Some(Known { who, claims: 0, brought }));
        }
    }
    while !claims.rest.is_empty() {
        read_claim(&mut claims, &mut encounters)?;
    }
    Ok(encounters)
}

fn read_peer(reader: &mut Reader<'_>) -> Result<Acquaintance, SnapshotError> {
    let node = NodeId::from_bytes(*reader.take()?).map_err(|_| SnapshotError::Damaged)?;
    let mut who = Acquaintance::new(node, Instant::from_ms(reader.u64()?));
    who.ended = Instant::from_ms(reader.u64()?);
    who.gaps = reader.u32()?;
    who.gap_s = u64::from(reader.u32()?).min(GAP_S_MAX);
    who.gap_squared = reader.u64()?.min(GAP_S_MAX * GAP_S_MAX);
    who.contact_s = u64::from(reader.u32()?).min(GAP_S_MAX);
    let bins: &[u8; BINS] = reader.take()?;
    let since = reader.u32()?;
    who.week = Week { bins: *bins, since: (since != u32::MAX).then_some(since), at: reader.u32()? };
    Ok(who)
}

fn read_claim(reader: &mut Reader<'_>, encounters: &mut Encounters) -> Result<(), SnapshotError> {
    let node: Half = *reader.take()?;
    let slot = u16::from_be_bytes(*reader.take()?);
    let via = Via { slot, delay_s: reader.u32()?, heard_s: reader.u32()? };
    let limits = encounters.limits;
    let Some(Some(known)) = encounters.known.get_mut(usize::from(slot)) else { return Ok(()) };
    let full = !encounters.claims.contains_key(&node) && encounters.claims.len() >= limits.destinations_max;
    if full || known.claims >= limits.claims_per_peer_max {
        return Ok(());
    }
    let vias = encounters.claims.entry(node).or_default();
    if vias.len() >= VIAS_MAX || vias.iter().any(|known| known.slot == slot) {
        return Err(SnapshotError::Damaged);
    }
    vias.push(via);
    known.claims = known.claims.saturating_add(1);
    Ok(())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], SnapshotError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(SnapshotError::Damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, SnapshotError> {
        self.take().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn u64(&mut self) -> Result<u64, SnapshotError> {
        self.take().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// The argument of a head of this major type, which must be in its shortest form.
    fn head(&mut self, major: u8) -> Result<u64, SnapshotError> {
        let [first] = *self.take::<1>()?;
        if first >> 5 != major {
            return Err(SnapshotError::Damaged);
        }
        let (value, least) = match first & 0x1f {
            small @ 0..=23 => (u64::from(small), 0),
            24 => (u64::from(u8::from_be_bytes(*self.take()?)), 24),
            25 => (u64::from(u16::from_be_bytes(*self.take()?)), 1 << 8),
            26 => (u64::from(self.u32()?), 1 << 16),
            27 => (self.u64()?, 1 << 32),
            _ => return Err(SnapshotError::Damaged),
        };
        if value < least { Err(SnapshotError::Damaged) } else { Ok(value) }
    }

    /// A byte string of whole entries.
    fn run(&mut self, entry_bytes: usize) -> Result<Self, SnapshotError> {
        let len = usize::try_from(self.head(BYTES)?).map_err(|_| SnapshotError::Damaged)?;
        let (run, rest) = self.rest.split_at_checked(len).ok_or(SnapshotError::Damaged)?;
        if len % entry_bytes != 0 {
            return Err(SnapshotError::Damaged);
        }
        self.rest = rest;
        Ok(Self { rest: run })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::strategy::Moment;
    use alloc::vec;
    use cairn_bundle::Identity;
    use cairn_link::RouteClaim;
    use proptest::prelude::*;

    fn id(seed: u8) -> NodeId {
        Identity::from_seed(&[seed; 32]).node_id()
    }

    fn moment(s: u64) -> Moment {
        Moment { now: Instant::from_ms(s * 1_000), wall_s: Some(s + 5_000_000) }
    }

    fn learned() -> Encounters {
        let mut encounters = Encounters::new(half(&id(0)), RoutingLimits::default());
        for round in 0..6 {
            for peer in 1..5 {
                let s = round * 10_000 + u64::from(peer) * 700;
                encounters.link_up(moment(s), id(peer));
                let claims: Vec<RouteClaim> =
                    (10..40).map(|node| RouteClaim { node: [node + peer; 16], delay_s: 60 }).collect();
                encounters.heard(moment(s).now, &id(peer), &claims);
                encounters.brought(&id(peer));
                encounters.link_down(moment(s + 60), &id(peer));
            }
        }
        encounters
    }

    fn restored(bytes: &[u8]) -> Result<Encounters, SnapshotError> {
        decode(bytes, half(&id(0)), RoutingLimits::default())
    }

    #[test]
    fn what_was_learned_comes_back_and_forecasts_the_same() {
        let before = learned();
        let bytes = encode(&before);
        let after = restored(&bytes).unwrap();
        assert_eq!(encode(&after), bytes);
        assert_eq!(after.reachable(moment(99_999), None), before.reachable(moment(99_999), None));
        let empty = Encounters::new(half(&id(0)), RoutingLimits::default());
        assert_eq!(encode(&empty), [0x84, 1, NULL, 0x40, 0x40]);
        assert_eq!(restored(&encode(&empty)), Ok(empty));
    }

    #[test]
    fn no_cut_and_no_byte_too_many_survives() {
        let bytes = encode(&learned());
        for cut in 0..bytes.len() {
            assert!(restored(&bytes[..cut]).is_err(), "{cut}");
        }
        assert_eq!(restored(&[&bytes[..], &[0]].concat()), Err(SnapshotError::Damaged));
    }

    #[test]
    fn other_versions_and_doubled_entries_are_refused() {
        assert_eq!(restored(&[0x84, 2, NULL, 0x40, 0x40]), Err(SnapshotError::Version));
        assert_eq!(restored(&[0x84, 0x18, 1, NULL, 0x40, 0x40]), Err(SnapshotError::Damaged));
        let mut twice = Encounters::new(half(&id(0)), RoutingLimits::default());
        let who = Acquaintance::new(id(1), Instant::ZERO);
        twice.known = vec![
            Some(Known { who: who.clone(), claims: 0, brought: 0 }),
            Some(Known { who, claims: 0, brought: 0 }),
        ];
        assert_eq!(restored(&encode(&twice)), Err(SnapshotError::Damaged));
    }

    #[test]
    fn lower_limits_leave_out_what_is_too_much() {
        let bytes = encode(&learned());
        let limits = RoutingLimits {
            peers_max: 2,
            destinations_max: 5,
            claims_per_peer_max: 3,
            ..RoutingLimits::default()
        };
        let less = decode(&bytes, half(&id(0)), limits).unwrap();
        assert!(less.peers() == 2 && less.claims.len() <= 5);
        assert!(less.known.iter().flatten().all(|known| known.claims <= 3));
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(places in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
            let mut bytes = encode(&learned());
            for (place, value) in places {
                let len = bytes.len();
                bytes[place % len] = value;
            }
            if let Ok(encounters) = restored(&bytes) {
                let _ = encounters.reachable(moment(100_000), Some(&half(&id(1))));
            }
        }
    }
}
