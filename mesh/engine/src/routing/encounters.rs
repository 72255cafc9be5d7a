//! What is learned from contacts, and what neighbours claim.
//!
//! For each neighbour: when it will be met again. For each destination that a neighbour has claimed to reach: through
//! whom, and how long that neighbour said it would take from the meeting on. The forecast is the time to the meeting
//! plus the claim, the smallest over the neighbours: PRoPHET's transitivity, with delays in place of likelihoods.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cairn_bundle::NodeId;
use cairn_link::RouteClaim;

use crate::Instant;
use crate::routing::acquaintance::Acquaintance;
use crate::routing::limits::RoutingLimits;
use crate::routing::plan_route::PlanRoutes;
use crate::routing::question::Question;
use crate::routing::strategy::{Forecast, Half, Moment, Strategy, StrategyName, Way, half};

/// Every hop costs at least this many seconds, also between links that are always up: so each way round is longer
/// than the straight one.
const HOP_S: u64 = 1;
/// Neighbours that are remembered for one destination.
pub(crate) const VIAS_MAX: usize = 4;

/// Where a neighbour stands in [`Encounters::known`].
pub(crate) type Slot = u16;

/// A neighbour's claim to reach a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Via {
    /// Which neighbour.
    pub(crate) slot: Slot,
    /// How long it takes from there, as was said.
    pub(crate) delay_s: u32,
    /// When it was said, in seconds of node time.
    pub(crate) heard_s: u32,
}

/// A neighbour and how many claims of it are in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) who: Acquaintance,
    pub(crate) claims: usize,
    /// How many bundles of others it has brought, up to 255: proof that it carries.
    pub(crate) brought: u8,
}

/// Learned contacts and claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encounters {
    pub(crate) me: Half,
    pub(crate) limits: RoutingLimits,
    /// When the first contact was seen.
    pub(crate) since: Option<Instant>,
    pub(crate) known: Vec<Option<Known>>,
    pub(crate) slots: BTreeMap<Half, Slot>,
    /// By destination; a list is never empty and never longer than [`VIAS_MAX`].
    pub(crate) claims: BTreeMap<Half, Vec<Via>>,
    /// Moves when something changed that neighbours should hear of.
    pub(crate) revision: u64,
}

impl Encounters {
    pub(crate) const fn new(me: Half, limits: RoutingLimits) -> Self {
        Self {
            me,
            limits,
            since: None,
            known: Vec::new(),
            slots: BTreeMap::new(),
            claims: BTreeMap::new(),
            revision: 0,
        }
    }

    pub(crate) fn link_up(&mut self, moment: Moment, peer: NodeId) {
        let name = half(&peer);
        if name == self.me || self.limits.peers_max == 0 {
            return;
        }
        self.since.get_or_insert(moment.now);
        self.revision = self.revision.wrapping_add(1);
        if let Some(known) = self.slots.get(&name).copied().and_then(|slot| self.known_mut(slot)) {
            known.who.link_up(moment.now, moment.wall_s, false);
            return;
        }
        let mut who = Acquaintance::new(peer, moment.now);
        who.link_up(moment.now, moment.wall_s, true);
        self.insert(Known { who, claims: 0, brought: 0 }, moment.now);
    }

    pub(crate) fn link_down(&mut self, moment: Moment, peer: &NodeId) {
        let slot = self.slots.get(&half(peer)).copied();
        if let Some(known) = slot.and_then(|slot| self.known_mut(slot)) {
            known.who.link_down(moment.now, moment.wall_s);
            self.revision = self.revision.wrapping_add(1);
        }
    }

    /// A neighbour brought a bundle that somebody else had made.
    pub(crate) fn brought(&mut self, peer: &NodeId) {
        let slot = self.slots.get(&half(peer)).copied();
        if let Some(known) = slot.and_then(|slot| self.known_mut(slot)) {
            known.brought = known.brought.saturating_add(1);
        }
    }

    /// Whether routes through a neighbour are believed: it has carried before, or there is no choice anyway.
    fn is_proven(&self, known: &Known) -> bool {
        known.brought > 0 || self.slots.len() <= self.limits.wander_peers_max
    }

    pub(crate) fn proven(&self, peer: &NodeId) -> bool {
        let slot = self.slots.get(&half(peer)).copied();
        slot.and_then(|slot| self.known_at(slot)).is_some_and(|known| self.is_proven(known))
    }

    /// Takes what a neighbour claims to reach, in place of what it claimed before. Only what comes from a known
    /// neighbour counts, at most `claims_per_peer_max` claims of it.
    pub(crate) fn heard(&mut self, now: Instant, peer: &NodeId, claims: &[RouteClaim]) {
        let name = half(peer);
        let Some(&slot) = self.slots.get(&name) else { return };
        let claims = claims.get(..self.limits.claims_per_peer_max).unwrap_or(claims);
        let heard_s = seconds(now);
        let mut typical = Vec::new();
        for claim in claims {
            if claim.node == self.me || claim.node == name || claim.delay_s == u32::MAX {
                continue;
            }
            self.take(now, claim.node, Via { slot, delay_s: claim.delay_s, heard_s }, &mut typical);
        }
        // What it does not repeat does not hold any more.
        let mut said: Vec<Half> = claims.iter().map(|claim| claim.node).collect();
        said.sort_unstable();
        self.retain(|node, via| via.slot != slot || said.binary_search(node).is_ok());
    }

    /// Puts one claim into the table. `typical` remembers who is linked, and how long each neighbour is waited for.
    fn take(&mut self, now: Instant, node: Half, via: Via, typical: &mut Vec<Option<(bool, u64)>>) {
        if !self.claims.contains_key(&node) && self.claims.len() >= self.limits.destinations_max {
            self.make_room(now);
        }
        if !self.claims.contains_key(&node) && self.claims.len() >= self.limits.destinations_max {
            return;
        }
        let vias = self.claims.entry(node).or_default();
        if let Some(known) = vias.iter_mut().find(|known| known.slot == via.slot) {
            if known.delay_s.abs_diff(via.delay_s) > known.delay_s / 4 {
                self.revision = self.revision.wrapping_add(1);
            }
            *known = via;
            return;
        }
        let mut dropped = None;
        if vias.len() >= VIAS_MAX {
            let observed_s = observed_s(self.since, now);
            let met_s = |slot| match self.known.get(usize::from(slot)) {
                Some(Some(known)) => (known.who.is_up(), known.who.typical_s(now, observed_s)),
                Some(None) | None => (false, u64::MAX / 4),
            };
            match weakest(vias, now, |slot| memo(typical, slot, || met_s(slot))) {
                // What somebody who is linked now claims counts by itself; the newcomer is linked.
                Some((at, linked, claim_s)) if !linked || claim_s > u64::from(via.delay_s) => {
                    dropped = Some(vias.swap_remove(at).slot);
                }
                Some(_) | None => return,
            }
        }
        vias.push(via);
        self.revision = self.revision.wrapping_add(1);
        if let Some(known) = dropped.and_then(|slot| self.known_mut(slot)) {
            known.claims = known.claims.saturating_sub(1);
        }
        if let Some(known) = self.known_mut(via.slot) {
            known.claims = known.claims.saturating_add(1);
        }
    }

    /// Drops what is too old; if that is not enough, the eighth of the destinations that take longest.
    fn make_room(&mut self, now: Instant) {
        let oldest_s =
            seconds(now).saturating_sub(u32::try_from(self.limits.claim_age_s_max).unwrap_or(u32::MAX));
        self.retain(|_, via| via.heard_s >= oldest_s);
        if self.claims.len() < self.limits.destinations_max {
            return;
        }
        let mut delays: Vec<u32> = self.claims.values().map(|vias| nearest_s(vias)).collect();
        let keep = delays.len().saturating_sub(delays.len() / 8).saturating_sub(1);
        if keep < delays.len() {
            let (_, &mut worst, _) = delays.select_nth_unstable(keep);
            // Where all take equally long, nobody makes room: who came first stays.
            let far: Vec<Half> = self
                .claims
                .iter()
                .filter(|(_, vias)| nearest_s(vias) > worst)
                .map(|(node, _)| *node)
                .collect();
            self.retain(|node, _| far.binary_search(node).is_err());
        }
    }

    fn forget_claims(&mut self, slot: Slot) {
        self.retain(|_, via| via.slot != slot);
    }

    /// Keeps those claims for which `wanted` holds.
    fn retain(&mut self, wanted: impl Fn(&Half, &Via) -> bool) {
        let known = &mut self.known;
        self.claims.retain(|node, vias| {
            vias.retain(|via| {
                let keep = wanted(node, via);
                if !keep && let Some(Some(known)) = known.get_mut(usize::from(via.slot)) {
                    known.claims = known.claims.saturating_sub(1);
                }
                keep
            });
            !vias.is_empty()
        });
    }

    pub(crate) fn insert(&mut self, known: Known, now: Instant) {
        let name = half(&known.who.node);
        let place = match self.known.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.known.len() < self.limits.peers_max.min(usize::from(Slot::MAX)) => {
                self.known.push(None);
                self.known.len().saturating_sub(1)
            }
            None => match self.least(now) {
                Some(place) => place,
                None => return,
            },
        };
        let Ok(slot) = Slot::try_from(place) else { return };
        if let Some(Some(gone)) = self.known.get(place) {
            let gone = half(&gone.who.node);
            self.slots.remove(&gone);
            self.forget_claims(slot);
        }
        if let Some(free) = self.known.get_mut(place) {
            *free = Some(known);
            self.slots.insert(name, slot);
        }
    }

    /// Who makes room: a stranger met once before a regular, and who is away for longer before who is not. Many new
    /// identities thus drive out each other, not the weekly bus.
    fn least(&self, now: Instant) -> Option<usize> {
        let away = |known: &Known| (known.who.gaps.min(4), core::cmp::Reverse(known.who.away_s(now)));
        let candidates =
            self.known.iter().enumerate().filter_map(|(place, known)| Some((place, known.as_ref()?)));
        let least = candidates.filter(|(_, known)| !known.who.is_up()).min_by_key(|(_, known)| away(known));
        least.map(|(place, _)| place)
    }

    fn known_mut(&mut self, slot: Slot) -> Option<&mut Known> {
        self.known.get_mut(usize::from(slot)).and_then(Option::as_mut)
    }

    pub(crate) fn known_at(&self, slot: Slot) -> Option<&Known> {
        self.known.get(usize::from(slot)).and_then(Option::as_ref)
    }

    /// Neighbours that are remembered.
    pub(crate) fn peers(&self) -> usize {
        self.slots.len()
    }

    /// Neighbours, and nodes that believed neighbours claim to reach.
    pub(crate) fn known_nodes(&self) -> usize {
        let believed = |via: &Via| self.known_at(via.slot).is_some_and(|known| self.is_proven(known));
        let heard = self.claims.iter().filter(|(node, _)| !self.slots.contains_key(*node));
        self.peers().saturating_add(heard.filter(|(_, vias)| vias.iter().any(believed)).count())
    }

    /// How much a neighbour has said it reaches, if it is believed.
    pub(crate) fn reach(&self, peer: &NodeId) -> Option<usize> {
        let known = self.slots.get(&half(peer)).and_then(|&slot| self.known_at(slot))?;
        self.is_proven(known).then_some(known.claims)
    }

    /// Those with a link now, in order of their ids.
    pub(crate) fn linked(&self) -> impl Iterator<Item = &NodeId> {
        let known = self.slots.values().filter_map(|&slot| self.known_at(slot));
        known.filter(|known| known.who.is_up()).map(|known| &known.who.node)
    }

    pub(crate) fn is_up(&self, name: &Half) -> bool {
        self.slots.get(name).and_then(|&slot| self.known_at(slot)).is_some_and(|known| known.who.is_up())
    }

    /// The whole node id of a neighbour.
    pub(crate) fn node(&self, name: &Half) -> Option<NodeId> {
        self.slots.get(name).and_then(|&slot| self.known_at(slot)).map(|known| known.who.node)
    }

    /// Seconds until a neighbour is met: as the plan says, or as was learned, whichever is sooner.
    fn expected_s(&self, moment: Moment, plan: &PlanRoutes, slot: Slot) -> Option<u64> {
        let observed_s = observed_s(self.since, moment.now);
        let known = self.known_at(slot)?;
        let learned_s = known.who.expected_s(moment.now, moment.wall_s, observed_s);
        if learned_s == 0 || plan.is_empty() {
            return Some(learned_s);
        }
        let planned_s = plan.meets_s(moment, &half(&known.who.node));
        Some(planned_s.map_or(learned_s, |planned_s| planned_s.min(learned_s)))
    }

    /// Whether a neighbour is linked, has come back before, or is planned to come: who was met once may never come again.
    pub(crate) fn returns(&self, moment: Moment, plan: &PlanRoutes, name: &Half) -> bool {
        let known = self.slots.get(name).and_then(|&slot| self.known_at(slot));
        known.is_some_and(|known| known.who.gaps > 0 || known.who.is_up())
            || plan.meets_s(moment, name).is_some()
    }

    /// Milliseconds since a neighbour was last met: none while it is linked, and for ever if it is not known.
    pub(crate) fn away_ms(&self, moment: Moment, name: &Half) -> u64 {
        let known = self.slots.get(name).and_then(|&slot| self.known_at(slot));
        known.map_or(u64::MAX, |known| known.who.away_s(moment.now).saturating_mul(1_000))
    }

    /// Seconds until a neighbour is met, from a moment chosen at random.
    fn typical_s(&self, moment: Moment, slot: Slot) -> Option<u64> {
        let observed_s = observed_s(self.since, moment.now);
        Some(self.known_at(slot)?.who.typical_s(moment.now, observed_s))
    }

    /// Milliseconds until this node meets `target` itself.
    pub(crate) fn meeting_ms(&self, moment: Moment, plan: &PlanRoutes, target: &Half) -> Option<u64> {
        let slot = *self.slots.get(target)?;
        Some(self.expected_s(moment, plan, slot)?.saturating_mul(1_000))
    }

    /// The best way to a destination that does not use a contact with `except` which is up now, nor `without` at all.
    fn wait(
        &self,
        moment: Moment,
        plan: &PlanRoutes,
        target: &Half,
        (except, without): (Option<Slot>, Option<Slot>),
    ) -> Option<Forecast> {
        let direct = self.slots.get(target).and_then(|&slot| {
            let delay_ms = self.expected_s(moment, plan, slot)?.saturating_mul(1_000);
            Some(Forecast { delay_ms, transmissions: 1, next: *target })
        });
        let vias = self.claims.get(target).into_iter().flatten().filter_map(|via| {
            let known = self.known_at(via.slot).filter(|known| self.is_proven(known))?;
            if Some(via.slot) == without {
                return None;
            }
            let typical_s = self.typical_s(moment, via.slot)?;
            let met_s = if Some(via.slot) == except {
                typical_s
            } else {
                self.expected_s(moment, plan, via.slot)?.min(typical_s)
            };
            let delay_s = met_s.saturating_add(HOP_S).saturating_add(self.claimed_s(via, moment.now)?);
            let (delay_ms, next) = (delay_s.saturating_mul(1_000), half(&known.who.node));
            Some(Forecast { delay_ms, transmissions: 2, next })
        });
        direct.into_iter().chain(vias).min_by_key(Forecast::key)
    }

    /// What a claim is worth now; `None` once it is too old. It ages from the end of the contact in which it was made, and
    /// by all the time since: whoever repeats a claim repeats its age, so that what neighbours tell each other in a circle
    /// grows as fast as time passes, and what is heard anew at its origin wins. During the contact it is kept up to date.
    fn claimed_s(&self, via: &Via, now: Instant) -> Option<u64> {
        let age_s = u64::from(seconds(now).saturating_sub(via.heard_s));
        let away_s = self.known_at(via.slot).map_or(0, |known| known.who.away_s(now));
        (age_s <= self.limits.claim_age_s_max).then(|| u64::from(via.delay_s).saturating_add(away_s))
    }

    /// All destinations that this node expects to reach without `except`, each with the expected seconds.
    pub(crate) fn reachable(&self, moment: Moment, except: Option<&Half>) -> BTreeMap<Half, u64> {
        let except_slot = except.and_then(|except| self.slots.get(except)).copied();
        let mut typical = Vec::new();
        let mut met_s =
            |slot| memo(&mut typical, slot, || self.typical_s(moment, slot).unwrap_or(u64::MAX / 4));
        let linked = |slot| self.known_at(slot).is_some_and(|known| known.who.is_up());
        let mut found: BTreeMap<Half, u64> = BTreeMap::new();
        for (name, &slot) in &self.slots {
            found.insert(*name, if linked(slot) { 0 } else { met_s(slot) });
        }
        for (node, vias) in &self.claims {
            let vias = vias.iter().filter(|via| Some(via.slot) != except_slot);
            let delays = vias.filter_map(|via| {
                self.known_at(via.slot).filter(|known| self.is_proven(known))?;
                let claimed_s = self.claimed_s(via, moment.now)?;
                Some(met_s(via.slot).saturating_add(HOP_S).saturating_add(claimed_s))
            });
            if let Some(delay_s) = delays.min() {
                found.entry(*node).and_modify(|known| *known = delay_s.min(*known)).or_insert(delay_s);
            }
        }
        if let Some(except) = except {
            found.remove(except);
        }
        found.remove(&self.me);
        found
    }
}

/// Which of several claims makes room: where it stands, whether its neighbour is linked, and its worth in seconds.
/// The best in the long run stays, or a crowd that is linked now would drive out the one who comes once a week; of the
/// others those go first who are away. `met` says whether a neighbour is linked, and its usual wait.
fn weakest(
    vias: &[Via],
    now: Instant,
    mut met: impl FnMut(Slot) -> (bool, u64),
) -> Option<(usize, bool, u64)> {
    let mut rated = Vec::with_capacity(vias.len());
    for (at, via) in vias.iter().enumerate() {
        let (linked, met_s) = met(via.slot);
        let age_s = if linked { 0 } else { u64::from(seconds(now).saturating_sub(via.heard_s)) };
        let claim_s = u64::from(via.delay_s).saturating_add(age_s);
        rated.push((at, linked, claim_s, claim_s.saturating_add(met_s)));
    }
    let best = rated.iter().min_by_key(|(.., whole_s)| *whole_s).map(|(at, ..)| *at);
    let spare = rated.into_iter().filter(|(at, ..)| Some(*at) != best);
    let weakest = spare
        .max_by_key(|(_, linked, claim_s, whole_s)| (!linked, if *linked { *claim_s } else { *whole_s }));
    weakest.map(|(at, linked, claim_s, _)| (at, linked, claim_s))
}

fn nearest_s(vias: &[Via]) -> u32 {
    vias.iter().map(|via| via.delay_s).min().unwrap_or(u32::MAX)
}

fn seconds(now: Instant) -> u32 {
    u32::try_from(now.as_ms() / 1_000).unwrap_or(u32::MAX)
}

fn observed_s(since: Option<Instant>, now: Instant) -> u64 {
    since.map_or(0, |since| (now - since) / 1_000)
}

/// The value for a slot, computed once.
fn memo<T: Copy>(values: &mut Vec<Option<T>>, slot: Slot, compute: impl FnOnce() -> T) -> T {
    let place = usize::from(slot);
    if values.len() <= place {
        values.resize(place.saturating_add(1), None);
    }
    match values.get_mut(place) {
        Some(value) => *value.get_or_insert_with(compute),
        None => compute(),
    }
}

/// What was learned, next to the plan: a claim of a neighbour that the plan leads to counts from that meeting on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Learned<'a> {
    pub(crate) encounters: &'a Encounters,
    pub(crate) plan: &'a PlanRoutes,
}

impl Strategy for Learned<'_> {
    fn name(&self) -> StrategyName {
        StrategyName::Encounters
    }

    fn forecast(&self, moment: Moment, question: &Question, way: Way<'_>) -> Option<Forecast> {
        let Self { encounters, plan } = *self;
        let target = half(question.destination.as_ref()?);
        let slot_of = |peer: &NodeId| encounters.slots.get(&half(peer)).copied();
        match way {
            Way::Give { peer, transfer_ms } => {
                let slot = slot_of(peer)?;
                let via = encounters.claims.get(&target)?.iter().find(|via| via.slot == slot)?;
                let delay_s = encounters.claimed_s(via, moment.now)?.saturating_add(HOP_S);
                let delay_ms = delay_s.saturating_mul(1_000).saturating_add(transfer_ms);
                Some(Forecast { delay_ms, transmissions: 2, next: half(peer) })
            }
            Way::Wait { except } => encounters.wait(moment, plan, &target, (except.and_then(slot_of), None)),
            Way::Without { peer } => encounters.wait(moment, plan, &target, (None, slot_of(peer))),
        }
    }
}
