//! What routing may cost and where its thresholds lie.

/// The limits and thresholds of one [`Router`](crate::routing::Router). Whatever neighbours claim, these hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutingLimits {
    /// Most neighbours that are remembered; the one not met for longest makes room.
    pub peers_max: usize,
    /// Most destinations that are known by claims; those that take longest make room.
    pub destinations_max: usize,
    /// Most claims of one neighbour that are believed at a time.
    pub claims_per_peer_max: usize,
    /// After how many seconds a claim that was not repeated is forgotten.
    pub claim_age_s_max: u64,
    /// Largest alert that is given to everybody; a larger one travels as a normal bundle.
    pub alert_bytes_max: u64,
    /// Whether every bundle is given to whoever lacks it, as alerts are. A baseline to measure others by; a network of
    /// any size collapses under it.
    pub epidemic_for_all: bool,
    /// By how many percent a neighbour's forecast must be shorter than waiting to count as clearly better.
    pub margin_percent: u8,
    /// The same while this node is sure to make it in time itself: a transmission then only saves time.
    pub sure_margin_percent: u8,
    /// A forecast counts as sure to make it in time if it fits this many times into the remaining lifetime.
    pub sure_factor: u8,
    /// With at most so many neighbours known, a last token moves on though nothing is known of the destination:
    /// who always meets the same few learns nothing by waiting.
    pub wander_peers_max: usize,
}

impl Default for RoutingLimits {
    fn default() -> Self {
        Self {
            peers_max: 512,
            destinations_max: 4_096,
            claims_per_peer_max: 1_024,
            claim_age_s_max: 4 * 7 * 86_400,
            alert_bytes_max: 16 * 1024,
            epidemic_for_all: false,
            margin_percent: 25,
            sure_margin_percent: 50,
            sure_factor: 3,
            wander_peers_max: 4,
        }
    }
}
