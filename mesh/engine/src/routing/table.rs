//! The one table: all strategies forecast, and the forecasts decide.

use cairn_bundle::{Class, NodeId};

use crate::routing::direct::Direct;
use crate::routing::encounters::Encounters;
use crate::routing::epidemic::is_epidemic;
use crate::routing::limits::RoutingLimits;
use crate::routing::plan_route::PlanRoutes;
use crate::routing::question::{Decision, Question, Rank, Why};
use crate::routing::spray;
use crate::routing::strategy::{Forecast, Moment, Strategy, StrategyName, Way};

/// A bundle is expected to wait on for its time here over this, whatever neighbours say.
const DOUBT: u64 = 2;

/// All strategies of one node.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) me: NodeId,
    pub(crate) limits: RoutingLimits,
    pub(crate) direct: Direct,
    pub(crate) plan: PlanRoutes,
    pub(crate) encounters: Encounters,
}

/// A forecast and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Best {
    pub(crate) strategy: StrategyName,
    pub(crate) forecast: Forecast,
}

impl Table {
    pub(crate) fn strategies(&self) -> [&dyn Strategy; 3] {
        [&self.direct, &self.plan, &self.encounters]
    }

    /// The earliest arrival on a way that is still in time; of two the cheaper one.
    pub(crate) fn best(&self, moment: Moment, question: &Question, way: Way<'_>) -> Option<Best> {
        let found = self.strategies().into_iter().filter_map(|strategy| {
            let forecast = strategy.forecast(moment, question, way)?;
            Some(Best { strategy: strategy.name(), forecast })
        });
        found
            .filter(|best| best.forecast.delay_ms <= question.remaining_ms)
            .min_by_key(|best| best.forecast.key())
    }

    /// Whether `peer` is offered the bundle; `transfer_ms` is what the link needs for it.
    pub(crate) fn decide(
        &self,
        moment: Moment,
        peer: &NodeId,
        transfer_ms: u64,
        question: &Question,
    ) -> Decision {
        if question.remaining_ms == 0 {
            return Decision::Hold { why: Why::Expired };
        }
        if question.destination.as_ref() == Some(peer) {
            let rank = Rank::new(question, true, question.remaining_ms);
            return Decision::Give { copies: question.copies, rank, why: Why::Destination };
        }
        if question.source.as_ref() == Some(peer) {
            return Decision::Hold { why: Why::Source };
        }
        if self.limits.epidemic_for_all || is_epidemic(question, self.limits.alert_bytes_max) {
            let rank = Rank::new(question, false, question.remaining_ms);
            return Decision::Give { copies: spray::half_of(question.copies), rank, why: Why::Alert };
        }
        if question.copies == 0 {
            return Decision::Hold { why: Why::Passive };
        }
        if question.destination.is_none() {
            return self.spray(peer, question, Why::LastCopy);
        }
        let via = self.best(moment, question, Way::Give { peer, transfer_ms });
        let wait = self.best(moment, question, Way::Wait { except: Some(peer) });
        self.compare(peer, question, via, wait)
    }

    fn compare(&self, peer: &NodeId, question: &Question, via: Option<Best>, wait: Option<Best>) -> Decision {
        // What has been waiting for long for somebody's word will probably wait on: that neighbour has it already, or
        // tells lies.
        let waited_ms = wait.map(|wait| {
            let hearsay = wait.strategy == StrategyName::Encounters && wait.forecast.transmissions > 1;
            wait.forecast.delay_ms.max(if hearsay { question.held_ms / DOUBT } else { 0 })
        });
        let sure = waited_ms.is_some_and(|waited_ms| {
            waited_ms.saturating_mul(u64::from(self.limits.sure_factor)) <= question.remaining_ms
        });
        let word_alone =
            via.is_some_and(|via| via.strategy == StrategyName::Encounters) && !self.encounters.proven(peer);
        // A copy that has spent a quarter of its time here may as well take the risk.
        let risky = word_alone && question.copies == 1 && question.held_ms < question.remaining_ms / 3;
        if let Some(via) = via.filter(|_| !risky) {
            let best_route = wait.is_some_and(|wait| wait.forecast.next == via.forecast.next);
            let margin = if sure { self.limits.sure_margin_percent } else { self.limits.margin_percent };
            let sooner =
                waited_ms.is_none_or(|waited_ms| is_clearly_sooner(via.forecast.delay_ms, waited_ms, margin));
            if best_route || sooner {
                let waited_ms = waited_ms.unwrap_or(question.remaining_ms);
                let rank = Rank::new(question, false, waited_ms.saturating_sub(via.forecast.delay_ms));
                let why = if best_route { Why::BestRoute } else { Why::Sooner };
                return Decision::Give { copies: self.tokens(peer, question, via.strategy), rank, why };
            }
        }
        if sure {
            return Decision::Hold { why: Why::SoonerHere };
        }
        if risky {
            return Decision::Hold { why: Why::Unproven };
        }
        if question.class == Class::Bulk {
            return Decision::Hold { why: Why::Bulk };
        }
        // A last token that leaves its source for nowhere may end in a blind alley; further on it has company.
        let few = self.encounters.peers() <= self.limits.wander_peers_max;
        if few && wait.is_none() && question.copies == 1 && question.source != Some(self.me) {
            return Decision::Give { copies: 1, rank: Rank::new(question, false, 0), why: Why::Wander };
        }
        self.spray(peer, question, Why::LastCopy)
    }

    /// Tokens for a neighbour that is the better carrier. A plan is trusted with all of them, and bulk is moved rather
    /// than copied; what neighbours claim is trusted with a share.
    fn tokens(&self, peer: &NodeId, question: &Question, strategy: StrategyName) -> u8 {
        let trusted = match strategy {
            StrategyName::Direct | StrategyName::Plan => true,
            StrategyName::Encounters => question.class == Class::Bulk && self.encounters.proven(peer),
        };
        if trusted { question.copies } else { self.share(peer, question.copies) }
    }

    fn share(&self, peer: &NodeId, copies: u8) -> u8 {
        let ours = self.encounters.claims.len();
        spray::share(copies, self.encounters.reach(peer).unwrap_or(ours), ours)
    }

    fn spray(&self, peer: &NodeId, question: &Question, otherwise: Why) -> Decision {
        if question.copies < 2 {
            return Decision::Hold { why: otherwise };
        }
        let copies = self.share(peer, question.copies);
        Decision::Give { copies, rank: Rank::new(question, false, 0), why: Why::Spray }
    }
}

fn is_clearly_sooner(via_ms: u64, waited_ms: u64, margin_percent: u8) -> bool {
    let part = 100_u64.saturating_sub(u64::from(margin_percent));
    u128::from(via_ms) * 100 <= u128::from(waited_ms) * u128::from(part)
}
