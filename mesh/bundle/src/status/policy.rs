//! How many status reports leave a node.

use alloc::collections::BTreeMap;

use super::ReasonCode;
use crate::eid::Eid;

/// A token is counted in this many parts, so that slow rates need no fractions.
const PARTS: u64 = 3_600_000;

/// How many reports leave, to one destination and to all of them. All endpoints of a node are one destination:
/// who names its services one after the other would else multiply what one node gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusLimits {
    /// Most reports to one destination at once.
    pub destination_burst_max: u32,
    /// Most reports to one destination in an hour after that.
    pub destination_hourly_max: u32,
    /// Most reports to all destinations at once.
    pub burst_max: u32,
    /// Most reports to all destinations in an hour after that.
    pub hourly_max: u32,
    /// Most destinations that are counted. To others nothing is sent until one of these was quiet
    /// for long enough to be forgotten.
    pub destinations_max: usize,
    /// Whether the reasons 12 to 16 are told. They help whoever probes a node's security policy
    /// (RFC 9172 section 7.1); else no reason is given instead.
    pub tell_security: bool,
}

impl Default for StatusLimits {
    fn default() -> Self {
        Self {
            destination_burst_max: 16,
            destination_hourly_max: 60,
            burst_max: 64,
            hourly_max: 600,
            destinations_max: 256,
            tell_security: false,
        }
    }
}

/// Decides whether a report leaves. Off by default (RFC 9171 section 8).
#[derive(Debug, Clone, Default)]
pub struct StatusPolicy {
    limits: Option<StatusLimits>,
    all: Option<Bucket>,
    destinations: BTreeMap<Eid, Bucket>,
}

/// What may leave at once; time fills it again.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    parts: u64,
    filled_ms: u64,
}

impl StatusPolicy {
    /// No reports at all.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Reports within these limits.
    #[must_use]
    pub const fn on(limits: StatusLimits) -> Self {
        Self { limits: Some(limits), all: None, destinations: BTreeMap::new() }
    }

    /// Whether reports are made at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.limits.is_some()
    }

    /// Whether a report may leave to this destination now; if so, it is counted.
    ///
    /// `now_ms` is a clock that only counts.
    pub fn allow(&mut self, to: &Eid, now_ms: u64) -> bool {
        let Some(limits) = self.limits else { return false };
        let to = &node_of(to);
        let all = self.all.unwrap_or_else(|| Bucket::full(limits.burst_max, now_ms));
        let all = all.at(now_ms, limits.burst_max, limits.hourly_max);
        let (burst_max, hourly_max) = (limits.destination_burst_max, limits.destination_hourly_max);
        let bucket = match self.destinations.get(to) {
            Some(bucket) => bucket.at(now_ms, burst_max, hourly_max),
            None => Bucket::full(burst_max, now_ms),
        };
        let (Some(all), Some(bucket)) = (all.taken(), bucket.taken()) else { return false };
        if !self.destinations.contains_key(to) && self.destinations.len() >= limits.destinations_max {
            // A full bucket says no more than none.
            let full = Bucket::full(burst_max, 0).parts;
            self.destinations.retain(|_, other| other.at(now_ms, burst_max, hourly_max).parts < full);
            if self.destinations.len() >= limits.destinations_max {
                return false;
            }
        }
        self.destinations.insert(to.clone(), bucket);
        self.all = Some(all);
        true
    }

    /// The reason as it may be told.
    #[must_use]
    pub fn told(&self, reason: ReasonCode) -> ReasonCode {
        let tell = self.limits.is_some_and(|limits| limits.tell_security);
        if reason.is_security() && !tell { ReasonCode::NoInformation } else { reason }
    }
}

/// The node that an endpoint is on, as its endpoint without a service.
fn node_of(to: &Eid) -> Eid {
    match to {
        Eid::None => Eid::None,
        Eid::Dtn(eid) => Eid::dtn(eid.authority(), "").unwrap_or_else(|_| to.clone()),
        Eid::Ipn(eid) => Eid::ipn(eid.allocator, eid.node, 0),
    }
}

impl Bucket {
    fn full(burst_max: u32, now_ms: u64) -> Self {
        Self { parts: u64::from(burst_max).saturating_mul(PARTS), filled_ms: now_ms }
    }

    /// The bucket after the time that has passed. A clock that went back fills nothing.
    fn at(self, now_ms: u64, burst_max: u32, hourly_max: u32) -> Self {
        let passed_ms = now_ms.saturating_sub(self.filled_ms);
        let gained = passed_ms.saturating_mul(u64::from(hourly_max));
        let full = Self::full(burst_max, now_ms.max(self.filled_ms));
        Self { parts: self.parts.saturating_add(gained).min(full.parts), ..full }
    }

    fn taken(self) -> Option<Self> {
        Some(Self { parts: self.parts.checked_sub(PARTS)?, ..self })
    }
}
