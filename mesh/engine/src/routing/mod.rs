//! Whom to give a bundle, decided at the last moment by forecasts of delivery time and cost.
//!
//! [`Strategies`](Strategy) forecast when a bundle would arrive if a neighbour took it now, or if it waited: because the
//! neighbour is its destination, by a [contact plan](ContactPlan), or by learned contacts and what neighbours claim.
//! One table compares the forecasts. Where they say nothing, or not enough, copies are sprayed within a budget of
//! tokens; small alerts go to everybody. See `docs/design/routing.md` for the reasons.
//!
//! ```
//! use cairn_bundle::{Class, Identity};
//! use cairn_engine::Instant;
//! use cairn_engine::routing::{Decision, LinkProperties, Question, Router, RoutingLimits};
//!
//! let [me, bus, school] = [1, 2, 3].map(|seed| Identity::from_seed(&[seed; 32]).node_id());
//! let mut router = Router::new(me, RoutingLimits::default());
//! router.link_up(Instant::ZERO, None, bus, &LinkProperties::default());
//! let question = Question {
//!     destination: Some(school), source: Some(me), class: Class::Normal,
//!     bytes: 1_000, remaining_ms: 86_400_000, held_ms: 0, copies: 8,
//!     crowd: 0,
//! };
//! let decision = router.decide(Instant::ZERO, None, &bus, &question);
//! assert!(matches!(decision, Decision::Give { copies: 4, .. }));
//! println!("{}", router.explain(Instant::ZERO, None, &question));
//! ```

mod acquaintance;
mod direct;
mod encounters;
mod epidemic;
mod explain;
mod limits;
mod plan;
mod plan_route;
mod plan_text;
mod properties;
mod question;
mod rank;
mod router;
mod snapshot;
mod spray;
mod strategy;
mod table;
#[cfg(test)]
mod trial;
mod week;

pub use explain::{Explanation, NextHop, StrategyForecast};
pub use limits::RoutingLimits;
pub use plan::{ContactPlan, PLAN_CONTACTS_MAX, PlanClock, PlanError, PlannedContact};
pub use plan_text::{LineError, PlanTextError};
pub use properties::LinkProperties;
pub use question::{Decision, Question, Rank, Why};
pub use router::Router;
pub use snapshot::SnapshotError;
pub use strategy::{Forecast, Moment, Strategy, StrategyName, Way};
