//! Choosing among fragments that contradict each other.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Origin, Part, Pending};
use crate::block::Block;
use crate::bundle::Bundle;
use crate::cbor::len64;
use crate::digest::Digest;
use crate::primary::{BundleFlags, Primary};

/// How much one search among contradictions may do: looks at fragments for each of them, and
/// comparisons for each byte. A straight way to the end takes about one of each.
const LOOKS_PER_PART_MAX: usize = 64;
const COMPARISONS_PER_BYTE_MAX: usize = 4;

/// Whose fragments a combination may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Only(Origin),
    Without(Origin),
    All,
}

impl Group {
    /// All groups that are tried, in this order.
    fn of(pending: &Pending, parts: &[&Part]) -> Vec<Self> {
        let mut groups = Vec::new();
        if pending.disputed {
            let origins = origins(parts);
            groups.extend(origins.iter().copied().map(Self::Only));
            groups.extend(origins.iter().copied().map(Self::Without));
        }
        groups.push(Self::All);
        groups
    }

    fn has(self, part: &Part) -> bool {
        match self {
            Self::Only(origin) => part.origins.contains(&origin),
            Self::Without(origin) => part.origins.iter().any(|other| *other != origin),
            Self::All => true,
        }
    }
}

/// The next combination that was not offered yet, and when its first fragment came.
///
/// What one origin brought is tried first, in the order in which origins appeared, then what all but
/// one brought. Each of these groups has its own number of offers: who floods one link with variants
/// uses up that link's.
pub(super) fn next(pending: &mut Pending, offers_max: usize) -> Option<(Bundle, u64)> {
    if !pending.gaps().is_empty() {
        return None;
    }
    let parts: Vec<&Part> = pending.parts.iter().collect();
    let (group, bundle, received_ms) = Group::of(pending, &parts).into_iter().find_map(|group| {
        let offered = pending.offered.iter().filter(|(other, _)| *other == group).count();
        if offered >= offers_max {
            return None;
        }
        let mut own: Vec<&Part> = parts.iter().copied().filter(|part| group.has(part)).collect();
        own.sort_by_key(|part| part.range.start);
        let (bundle, received_ms) = Search::new(pending, &own).run()?;
        Some((group, bundle, received_ms))
    })?;
    pending.offered.push((group, bundle.content_id()));
    Some((bundle, received_ms))
}

fn origins(parts: &[&Part]) -> Vec<Origin> {
    let mut found = BTreeSet::new();
    let all = parts.iter().flat_map(|part| part.origins.iter().copied());
    all.filter(|origin| found.insert(*origin)).collect()
}

/// A search in depth: behind what is chosen, a fragment that agrees with it and goes on.
struct Search<'a> {
    pending: &'a Pending,
    /// By their start.
    parts: &'a [&'a Part],
    /// Beginnings that were tried: fragments that agree would else be tried in every order.
    seen: BTreeSet<Digest>,
    work_left: usize,
}

/// A choice that can be taken back.
struct Choice {
    /// Length of the beginning that it was added to.
    before: usize,
    hasher: blake3::Hasher,
    /// How many of the fragments, from the first on, were not tried instead.
    untried: usize,
}

impl<'a> Search<'a> {
    fn new(pending: &'a Pending, parts: &'a [&'a Part]) -> Self {
        let bytes = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.bundle.payload().len()));
        let looks = parts.len().saturating_mul(LOOKS_PER_PART_MAX);
        let bounded = bytes.saturating_mul(COMPARISONS_PER_BYTE_MAX).saturating_add(looks);
        // Without contradictions every fragment leads on, so nothing is tried twice.
        let work_left = if pending.disputed { bounded } else { usize::MAX };
        Self { pending, parts, seen: BTreeSet::new(), work_left }
    }

    fn run(&mut self) -> Option<(Bundle, u64)> {
        let parts = self.parts;
        parts.iter().filter(|part| part.is_head()).find_map(|head| {
            self.seen.clear();
            let bundle = self.behind(head)?;
            Some((bundle, head.received_ms))
        })
    }

    fn behind(&mut self, head: &Part) -> Option<Bundle> {
        let mut payload = head.bundle.payload().to_vec();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&payload);
        let mut choices: Vec<Choice> = Vec::new();
        let mut untried = self.starting_by(payload.len());
        loop {
            let at = len64(payload.len());
            if at == self.pending.total_bytes {
                if let Some(bundle) = self.whole(head, &payload) {
                    return Some(bundle);
                }
            } else if let Some((index, bytes)) = self.follow(untried, &payload, at) {
                choices.push(Choice { before: payload.len(), hasher: hasher.clone(), untried: index });
                hasher.update(bytes);
                payload.extend_from_slice(bytes);
                let new = self.seen.insert(Digest(*hasher.finalize().as_bytes()));
                untried = if new { self.starting_by(payload.len()) } else { 0 };
                continue;
            }
            let choice = choices.pop()?;
            payload.truncate(choice.before);
            hasher = choice.hasher;
            untried = choice.untried;
        }
    }

    /// How many fragments start at this place or before it.
    fn starting_by(&self, at: usize) -> usize {
        self.parts.partition_point(|part| part.range.start <= len64(at))
    }

    /// The last of the first `untried` fragments that agrees with the beginning and goes on, and what it adds.
    fn follow(&mut self, untried: usize, payload: &[u8], at: u64) -> Option<(usize, &'a [u8])> {
        for (index, part) in self.parts.iter().enumerate().take(untried).rev() {
            self.work_left = self.work_left.checked_sub(1)?;
            if at >= part.range.end {
                continue;
            }
            let common = part.bytes_in(&(part.range.start..at));
            self.work_left = self.work_left.checked_sub(common.len())?;
            if payload.ends_with(common) {
                return Some((index, part.bytes_in(&(at..part.range.end))));
            }
        }
        None
    }

    /// The bundle with this payload, unless it was offered.
    fn whole(&self, head: &Part, payload: &[u8]) -> Option<Bundle> {
        let primary = head.bundle.primary();
        let flags = BundleFlags(primary.flags.0 & !BundleFlags::FRAGMENT.0);
        let primary = Primary { flags, fragment: None, ..primary.clone() };
        let mut blocks: Vec<Block> = head.bundle.blocks().to_vec();
        blocks.last_mut()?.data = payload.to_vec();
        let bundle = Bundle::new(primary, blocks).ok()?;
        let content = bundle.content_id();
        let known = self.pending.offered.iter().any(|(_, other)| *other == content);
        if known { None } else { Some(bundle) }
    }
}
