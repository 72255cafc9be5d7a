//! Lists in frames: entries of one size, side by side in one byte string.

use alloc::vec::Vec;

use cairn_bundle::Digest;

use super::FrameError;
use crate::cbor::Reader;

/// Most ids in one Have, Want or Ack.
pub const IDS_MAX: usize = 1_000;
/// Most claims in one Routes.
pub const ROUTES_MAX: usize = 512;
/// Most entries in one Heights.
pub const HEIGHTS_MAX: usize = 512;
/// Bytes of a claim: half a node id, then a delay (u32, big endian).
const CLAIM_BYTES: usize = 20;
/// Bytes of an entry of Heights: a stream's id, then a height (u64, big endian).
pub(crate) const HEIGHT_BYTES: usize = 40;

/// A list of ids, still in the bytes it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids<'a>(pub(super) &'a [[u8; 32]]);

impl<'a> Ids<'a> {
    /// A list to be encoded: 1 to [`IDS_MAX`] ids, or the peer will close the link.
    #[must_use]
    pub const fn new(ids: &'a [[u8; 32]]) -> Self {
        Self(ids)
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all; never so in a decoded frame.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = Digest> + use<'a> {
        self.0.iter().map(|id| Digest(*id))
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, FrameError> {
        let ids = entries(reader)?;
        if ids.is_empty() || ids.len() > IDS_MAX {
            return Err(FrameError::Ids(ids.len()));
        }
        Ok(Self(ids))
    }
}

/// How soon the sender of a claim expects to bring a bundle to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteClaim {
    /// The first half of the node's id: enough to tell nodes apart, and nobody gains by a collision.
    pub node: [u8; 16],
    /// Expected delay in seconds.
    pub delay_s: u32,
}

/// A list of claims, still in the bytes it came in: each node once, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims<'a>(&'a [[u8; CLAIM_BYTES]]);

impl<'a> Claims<'a> {
    /// The claims, by node.
    pub fn iter(&self) -> impl Iterator<Item = RouteClaim> + use<'a> {
        self.0.iter().filter_map(|claim| {
            let (node, delay) = claim.split_first_chunk::<16>()?;
            Some(RouteClaim { node: *node, delay_s: u32::from_be_bytes(delay.try_into().ok()?) })
        })
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, FrameError> {
        let claims = entries(reader)?;
        if claims.len() > ROUTES_MAX {
            return Err(FrameError::Claims(claims.len()));
        }
        ascending::<CLAIM_BYTES, 16>(claims)?;
        Ok(Self(claims))
    }

    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.0.as_flattened()
    }
}

/// A list of heights, still in the bytes it came in: each stream once, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heights<'a>(&'a [[u8; HEIGHT_BYTES]]);

impl<'a> Heights<'a> {
    /// Streams with their heights, by stream.
    pub fn iter(&self) -> impl Iterator<Item = (Digest, u64)> + use<'a> {
        self.0.iter().filter_map(|entry| {
            let (stream, height) = entry.split_first_chunk::<32>()?;
            Some((Digest(*stream), u64::from_be_bytes(height.try_into().ok()?)))
        })
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, FrameError> {
        let entries = entries(reader)?;
        if entries.len() > HEIGHTS_MAX {
            return Err(FrameError::Heights(entries.len()));
        }
        ascending::<HEIGHT_BYTES, 32>(entries)?;
        Ok(Self(entries))
    }

    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.0.as_flattened()
    }
}

/// The bytes of a list of claims: up to [`ROUTES_MAX`], the first ones if there are more; of two claims for one node
/// the sooner.
pub(crate) fn claim_bytes(claims: &[RouteClaim]) -> Vec<u8> {
    let mut sorted: Vec<_> = claims.iter().take(ROUTES_MAX).copied().collect();
    sorted.sort_unstable();
    sorted.dedup_by_key(|claim| claim.node);
    sorted.iter().flat_map(|claim| claim.node.into_iter().chain(claim.delay_s.to_be_bytes())).collect()
}

/// The bytes of a list of heights, which come in ascending order of their streams.
pub(crate) fn height_bytes(entries: impl Iterator<Item = (Digest, u64)>) -> Vec<u8> {
    entries.flat_map(|(stream, height)| stream.0.into_iter().chain(height.to_be_bytes())).collect()
}

fn entries<'a, const N: usize>(reader: &mut Reader<'a>) -> Result<&'a [[u8; N]], FrameError> {
    let (entries, rest) = reader.bytes()?.as_chunks::<N>();
    if rest.is_empty() { Ok(entries) } else { Err(FrameError::Malformed) }
}

/// One spelling of a list: no key twice, and one order.
fn ascending<const N: usize, const KEY: usize>(entries: &[[u8; N]]) -> Result<(), FrameError> {
    let keys = entries.iter().map(|entry| entry.first_chunk::<KEY>());
    if keys.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(FrameError::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Decoded, Frame, PREFIX_BYTES, decode, encode_heights, encode_routes};
    use crate::item::Topic;
    use alloc::vec;

    fn claims(bytes: &[u8]) -> Result<Vec<RouteClaim>, FrameError> {
        match decode(&encode_routes(bytes)[PREFIX_BYTES..])? {
            Decoded::Frame(Frame::Routes { claims }) => Ok(claims.iter().collect()),
            other => panic!("{other:?}"),
        }
    }

    fn heights(bytes: &[u8]) -> Result<Vec<(Digest, u64)>, FrameError> {
        match decode(&encode_heights(Topic::Board, bytes)[PREFIX_BYTES..])? {
            Decoded::Frame(Frame::Heights { entries, .. }) => Ok(entries.iter().collect()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn claims_are_sorted_and_each_node_stands_once_with_its_sooner_delay() {
        let claim = |n, delay_s| RouteClaim { node: [n; 16], delay_s };
        let bytes = claim_bytes(&[claim(9, 3), claim(2, u32::MAX), claim(9, 1)]);
        assert_eq!(bytes.len(), 40);
        assert_eq!(bytes[..20], [vec![2; 16], vec![255; 4]].concat());
        assert_eq!(claims(&bytes), Ok(vec![claim(2, u32::MAX), claim(9, 1)]));
        assert_eq!(claims(&[]), Ok(vec![]), "nothing to claim any more");
        let swapped = [&bytes[20..], &bytes[..20]].concat();
        assert_eq!(claims(&swapped), Err(FrameError::Malformed));
        let twice = [&bytes[20..], &bytes[20..]].concat();
        assert_eq!(claims(&twice), Err(FrameError::Malformed));
        assert_eq!(claims(&bytes[..39]), Err(FrameError::Malformed));
    }

    #[test]
    fn a_frame_has_at_most_routes_max_claims_and_heights_max_entries() {
        let many = |n: u32| -> Vec<RouteClaim> {
            let node = |n: u32| core::array::from_fn(|at| n.to_be_bytes().get(at).copied().unwrap_or(0));
            (0..n).map(|n| RouteClaim { node: node(n), delay_s: n }).collect()
        };
        let all = many(513);
        assert_eq!(claims(&claim_bytes(&all)), Ok(many(512)));
        let one_too_many = [claim_bytes(&all), [vec![0xff; 16], vec![0; 4]].concat()].concat();
        assert_eq!(claims(&one_too_many), Err(FrameError::Claims(513)));
        let entry = |n: u16| {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&n.to_be_bytes());
            (Digest(id), u64::MAX)
        };
        assert_eq!(heights(&height_bytes((0..512).map(entry))).map(|all| all.len()), Ok(512));
        assert_eq!(heights(&height_bytes((0..513).map(entry))), Err(FrameError::Heights(513)));
        assert_eq!(heights(&height_bytes((0..9).rev().map(entry))), Err(FrameError::Malformed));
        assert_eq!(heights(&[0; 41]), Err(FrameError::Malformed));
        assert_eq!(heights(&[]), Ok(vec![]));
    }
}
