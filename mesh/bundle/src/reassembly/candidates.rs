//! Choosing among fragments that contradict each other.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Origin, Part, Pending};
use crate::block::Block;
use crate::bundle::Bundle;
use crate::digest::Digest;
use crate::primary::{BundleFlags, Primary};

/// How often more than a search without contradictions a search may look at and compare fragments.
const WORK_FACTOR: usize = 4;

/// The next combination that was not offered yet, and when its first fragment came.
///
/// What one origin brought is tried first, in the order in which origins appeared. Each origin has
/// its own number of offers: who floods one link with variants uses up that link's.
pub(super) fn next(pending: &mut Pending, offers_max: usize) -> Option<(Bundle, u64)> {
    if !pending.gaps().is_empty() {
        return None;
    }
    let parts: Vec<&Part> = pending.parts.iter().collect();
    let mut groups = Vec::new();
    if pending.disputed {
        groups.extend(origins(&parts).into_iter().map(Some));
    }
    groups.push(None);
    let mut found = None;
    for group in groups {
        let offered = pending.offered.iter().filter(|(other, _)| *other == group).count();
        if offered >= offers_max {
            continue;
        }
        let own = |part: &&Part| group.is_none_or(|origin| part.origins.contains(&origin));
        let own: Vec<&Part> = parts.iter().copied().filter(own).collect();
        if let Some((bundle, received_ms)) = Search::new(pending, &own).run() {
            found = Some((group, bundle, received_ms));
            break;
        }
    }
    let (group, bundle, received_ms) = found?;
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
    /// The fragment to try next instead.
    next: usize,
}

impl<'a> Search<'a> {
    fn new(pending: &'a Pending, parts: &'a [&'a Part]) -> Self {
        let bytes = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.bytes));
        let straight = parts.len().saturating_mul(parts.len()).saturating_add(bytes);
        let work_left = straight.saturating_mul(WORK_FACTOR);
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
        let mut next = 0;
        loop {
            let at = u64::try_from(payload.len()).unwrap_or(u64::MAX);
            if at == self.pending.total_bytes {
                if let Some(bundle) = self.whole(head, &payload) {
                    return Some(bundle);
                }
            } else if let Some((index, bytes)) = self.follow(next, &payload, at) {
                choices.push(Choice { before: payload.len(), hasher: hasher.clone(), next: index + 1 });
                hasher.update(bytes);
                payload.extend_from_slice(bytes);
                next = if self.seen.insert(Digest(*hasher.finalize().as_bytes())) { 0 } else { usize::MAX };
                continue;
            }
            let choice = choices.pop()?;
            payload.truncate(choice.before);
            hasher = choice.hasher;
            next = choice.next;
        }
    }

    /// The first fragment from number `next` on that agrees with the beginning and goes on, and what it adds.
    fn follow(&mut self, next: usize, payload: &[u8], at: u64) -> Option<(usize, &'a [u8])> {
        for (index, part) in self.parts.iter().enumerate().skip(next) {
            self.work_left = self.work_left.checked_sub(1)?;
            if part.range.start > at || at >= part.range.end {
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
