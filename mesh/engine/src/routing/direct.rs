//! The neighbour is the destination.

use crate::routing::question::Question;
use crate::routing::strategy::{Forecast, Moment, Strategy, StrategyName, Way, half};

/// Gives to the destination itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Direct;

impl Strategy for Direct {
    fn name(&self) -> StrategyName {
        StrategyName::Direct
    }

    fn forecast(&self, _: Moment, question: &Question, way: Way<'_>) -> Option<Forecast> {
        match way {
            Way::Give { peer, transfer_ms } if question.destination.as_ref() == Some(peer) => {
                Some(Forecast { delay_ms: transfer_ms, transmissions: 1, next: half(peer) })
            }
            Way::Give { .. } | Way::Wait { .. } | Way::Without { .. } => None,
        }
    }
}
