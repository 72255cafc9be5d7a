//! What all ways of finding a route have in common: they forecast.

use cairn_bundle::NodeId;

use crate::Instant;
use crate::routing::question::Question;

/// The first half of a node id. Claims name nodes by it; nobody gains by a collision.
pub(crate) type Half = [u8; 16];

/// The first half of `node`.
pub(crate) fn half(node: &NodeId) -> Half {
    let [half, _] = node.as_bytes().as_chunks::<16>().0 else {
        return [0; 16]; // A node id has 32 bytes, which is two halves.
    };
    *half
}

/// When something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Node time.
    pub now: Instant,
    /// Seconds since 2020-01-01 UTC, if this node has a clock.
    pub wall_s: Option<u64>,
}

/// A way on which a bundle might travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way<'a> {
    /// It is given to this neighbour now; `transfer_ms` is what the link needs for it.
    Give {
        /// The neighbour.
        peer: &'a NodeId,
        /// Milliseconds on the link.
        transfer_ms: u64,
    },
    /// It stays here now and takes the best chance after this one. A contact with `except` that is up now does not
    /// count, only later ones with the same neighbour.
    Wait {
        /// The neighbour that is not given it.
        except: Option<&'a NodeId>,
    },
    /// It stays here and never goes through this neighbour: what would remain if the neighbour were not there.
    Without {
        /// The neighbour that is left out.
        peer: &'a NodeId,
    },
}

/// Names a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StrategyName {
    /// The neighbour is the destination.
    Direct,
    /// A contact plan.
    Plan,
    /// Learned contacts and what neighbours claim.
    Encounters,
}

/// When a bundle would arrive, and at what price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Milliseconds from now to the arrival.
    pub delay_ms: u64,
    /// How many times the bundle would be sent, as far as is known.
    pub transmissions: u32,
    /// The neighbour to whom it goes next (the first half of its id); when waiting, the one waited for.
    pub next: [u8; 16],
}

impl Forecast {
    /// Orders by delay, then by cost, then by name so that equal forecasts are decided alike everywhere.
    #[must_use]
    pub const fn key(&self) -> (u64, u32, [u8; 16]) {
        (self.delay_ms, self.transmissions, self.next)
    }
}

/// One source of forecasts.
pub trait Strategy {
    /// Its name.
    fn name(&self) -> StrategyName;

    /// When the bundle would arrive on this way; `None` if the strategy knows nothing of it, or if it never would.
    ///
    /// Expiry is the caller's business. A question about a group has no forecast.
    fn forecast(&self, moment: Moment, question: &Question, way: Way<'_>) -> Option<Forecast>;
}
