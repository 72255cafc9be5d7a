//! The one table: all strategies forecast, and the forecasts decide.

use cairn_bundle::{Class, NodeId};

use crate::routing::direct::Direct;
use crate::routing::encounters::{Encounters, Learned};
use crate::routing::epidemic::is_epidemic;
use crate::routing::limits::RoutingLimits;
use crate::routing::plan_route::PlanRoutes;
use crate::routing::question::{Decision, Question, Rank, Why};
use crate::routing::spray;
use crate::routing::strategy::{Forecast, Half, Moment, Strategy, StrategyName, Way, half};

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
    /// What each strategy forecasts on a way.
    pub(crate) fn forecasts(
        &self,
        moment: Moment,
        question: &Question,
        way: Way<'_>,
    ) -> [(StrategyName, Option<Forecast>); 3] {
        let learned = Learned { encounters: &self.encounters, plan: &self.plan };
        let strategies: [&dyn Strategy; 3] = [&self.direct, &self.plan, &learned];
        strategies.map(|strategy| (strategy.name(), strategy.forecast(moment, question, way)))
    }

    /// The earliest arrival on a way; of two the cheaper one. What a plan says is exact and has to be in time; what was
    /// learned is a mean.
    pub(crate) fn best(&self, moment: Moment, question: &Question, way: Way<'_>) -> Option<Best> {
        let forecasts = self.forecasts(moment, question, way).into_iter();
        forecasts
            .filter_map(|(strategy, forecast)| Some(Best { strategy, forecast: forecast? }))
            .filter(|best| {
                best.strategy == StrategyName::Encounters || best.forecast.delay_ms <= question.remaining_ms
            })
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
        if self.will_meet(moment, question) {
            return Decision::Hold { why: Why::WillMeet };
        }
        let via = self.best(moment, question, Way::Give { peer, transfer_ms });
        let wait = self.best(moment, question, Way::Wait { except: Some(peer) });
        let best_route = via.zip(wait).is_some_and(|(via, wait)| via.forecast.next == wait.forecast.next);
        let alone = if best_route { self.best(moment, question, Way::Without { peer }) } else { wait };
        self.compare(moment, peer, question, (via, wait, alone))
    }

    fn compare(
        &self,
        moment: Moment,
        peer: &NodeId,
        question: &Question,
        (via, wait, alone): (Option<Best>, Option<Best>, Option<Best>),
    ) -> Decision {
        // What waits for somebody who came and went will probably wait on: that neighbour has it already, or tells lies.
        let doubted_ms = |best: Best| {
            let hearsay = best.strategy == StrategyName::Encounters && best.forecast.transmissions > 1;
            let passed = hearsay && self.encounters.away_ms(moment, &best.forecast.next) < question.held_ms;
            best.forecast.delay_ms.max(if passed { question.held_ms / DOUBT } else { 0 })
        };
        let waited_ms = wait.map(doubted_ms);
        let alone_ms = alone.map(doubted_ms);
        let returns = |best: Best| self.encounters.returns(moment, &self.plan, &best.forecast.next);
        let alone_sure = alone_ms.is_some_and(|ms| self.is_sure(ms, question)) && alone.is_some_and(returns);
        let word_alone =
            via.is_some_and(|via| via.strategy == StrategyName::Encounters) && !self.encounters.proven(peer);
        // A copy that has spent a quarter of its time here may as well take the risk.
        let risky = word_alone && question.copies == 1 && question.held_ms < question.remaining_ms / 3;
        if let Some(via) = via.filter(|_| !risky) {
            // Whoever would be waited for is here now. But where others are as good, its forecast is a mean of chances,
            // and each of them would take the bundle one step to the side.
            let best_route = !alone_sure && wait.is_some_and(|wait| wait.forecast.next == via.forecast.next);
            let margin =
                if alone_sure { self.limits.sure_margin_percent } else { self.limits.margin_percent };
            let sooner =
                alone_ms.is_none_or(|alone_ms| is_clearly_sooner(via.forecast.delay_ms, alone_ms, margin));
            if best_route || sooner {
                let waited_ms = alone_ms.unwrap_or(question.remaining_ms);
                let rank = Rank::new(question, false, waited_ms.saturating_sub(via.forecast.delay_ms));
                let why = if best_route { Why::BestRoute } else { Why::Sooner };
                return Decision::Give { copies: self.tokens(peer, question, via), rank, why };
            }
        }
        // Copies for everybody are for what nobody knows a way for.
        if waited_ms.is_some_and(|ms| ms <= question.remaining_ms) && wait.is_some_and(returns) {
            return Decision::Hold { why: Why::SoonerHere };
        }
        if risky {
            return Decision::Hold { why: Why::Unproven };
        }
        if question.class == Class::Bulk {
            return Decision::Hold { why: Why::Bulk };
        }
        if wait.is_none() && question.copies == 1 && self.wanders(peer, question) {
            return Decision::Give { copies: 1, rank: Rank::new(question, false, 0), why: Why::Wander };
        }
        self.spray(peer, question, Why::LastCopy)
    }

    /// Whether a last token moves on though nobody knows a way: to who is planned to be at more places than this node,
    /// because that is what a bus is for; and from who always meets the same few. There one that leaves its source for
    /// nowhere may end in a blind alley; further on it has company.
    fn wanders(&self, peer: &NodeId, question: &Question) -> bool {
        let few = self.encounters.peers() <= self.limits.wander_peers_max && question.source != Some(self.me);
        few || self.plan.reach(&half(peer)) > self.plan.reach(&half(&self.me))
    }

    /// Whether this node is sure to meet the destination itself: no other way costs less.
    fn will_meet(&self, moment: Moment, question: &Question) -> bool {
        let destination = question.destination.as_ref().map(half);
        let returns = |to: &Half| self.encounters.returns(moment, &self.plan, to);
        let meeting_ms =
            destination.filter(returns).and_then(|to| self.encounters.meeting_ms(moment, &self.plan, &to));
        meeting_ms.is_some_and(|ms| self.is_sure(ms, question))
    }

    /// Whether something that takes so long is sure to happen in time.
    fn is_sure(&self, delay_ms: u64, question: &Question) -> bool {
        delay_ms.saturating_mul(u64::from(self.limits.sure_factor)) <= question.remaining_ms
    }

    /// Tokens for a neighbour that is the better carrier. A plan is trusted with all of them, and so is a neighbour that
    /// has carried before and may well make it: this node keeps a passive copy, and its token comes back when no notice
    /// does. Mere words are trusted with a share.
    fn tokens(&self, peer: &NodeId, question: &Question, via: Best) -> u8 {
        let trusted = match via.strategy {
            StrategyName::Direct | StrategyName::Plan => true,
            StrategyName::Encounters => {
                let moved = question.class == Class::Bulk || via.forecast.delay_ms <= question.remaining_ms;
                moved && self.encounters.proven(peer)
            }
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
