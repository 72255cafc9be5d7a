//! What a node is willing to hold and do, whatever is sent to it.

use cairn_link::MeetLimits;

use crate::quota::QuotaLimits;
use crate::routing::RoutingLimits;

/// Limits of an [`Engine`](crate::Engine).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Limits of one meet.
    pub meet: MeetLimits,
    /// Limits of the bundle decoder.
    pub bundle: cairn_bundle::Limits,
    /// Who may occupy how much of the store.
    pub quota: QuotaLimits,
    /// Limits and policy of routing.
    pub routing: RoutingLimits,
    /// Ids of past bundles that are remembered.
    pub seen_ids_max: usize,
    /// Items per peer that are remembered as being there, for drops.
    pub peer_items_max: usize,
    /// Delivery notices whose bundles never were here that are remembered.
    pub notices_ahead_max: usize,
}

impl Limits {
    /// Limits for a store that gives bundles so many bytes.
    #[must_use]
    pub fn for_store(bundle_bytes_max: u64) -> Self {
        Self {
            meet: MeetLimits::default(),
            bundle: cairn_bundle::Limits::default(),
            quota: QuotaLimits::for_total(bundle_bytes_max),
            routing: RoutingLimits::default(),
            seen_ids_max: 500_000,
            peer_items_max: 100_000,
            notices_ahead_max: 20_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_store(512 << 20)
    }
}
