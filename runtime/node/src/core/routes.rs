//! What people ask about bundles that are carried and where they go.

use cairn_bundle::{Digest, NodeId};
use cairn_engine::routing::{ContactPlan, Decision, StrategyForecast};
use cairn_engine::{BundleRecord, Catalogue as _, Event};
use cairn_store::{Read, Table};

use super::Core;
use super::RequestId;
use super::catalogue::DiskIndex;
use super::commit::Tx;
use super::requests::{No, Reply};
use crate::control::api::{CarriedInfo, ForecastInfo, NextHopInfo, Response, RouteInfo};

/// Key of the contact plan in [`Table::Meta`].
pub(super) const PLAN: &[u8] = b"contact plan";
/// Longest contact plan, in bytes.
const PLAN_BYTES_MAX: usize = 1 << 20;
/// A bundle is named by at least so many characters of its id.
const NAMED_BY_MIN: usize = 6;
/// Characters of an id as text.
const ID_CHARS: usize = 52;
/// Most bundles in one list.
const LIST_MAX: usize = 10_000;

impl Core {
    fn carried_info(&self, id: &Digest, record: &BundleRecord) -> CarriedInfo {
        let name = |node: Option<&NodeId>| node.map(|node| self.name_of(node)).unwrap_or_default();
        CarriedInfo {
            id: id.to_string(),
            to: record.destination.map(|node| node.to_string()),
            to_name: name(record.destination.as_ref()),
            from: record.source.map(|node| node.to_string()),
            from_name: name(record.source.as_ref()),
            neighbour: record.neighbour.map(|node| node.to_string()),
            bytes: record.bytes,
            class: record.class.into(),
            remaining_ms: record.remaining_at(self.clock.now),
            copies: record.copies,
            fragment: record.fragment,
        }
    }

    fn name_of(&self, node: &NodeId) -> String {
        if *node == self.me { self.settings.name.clone() } else { self.contacts.name(node) }
    }

    pub(super) fn list_carried(&self, max: u32, disk: &dyn Read) -> Response {
        let max = usize::try_from(max).unwrap_or(LIST_MAX).min(LIST_MAX);
        let found = self.unwritten.over(DiskIndex(disk)).scan(&Digest([0; 32]), max);
        Response::Carrying {
            bundles: found.iter().map(|(id, record)| self.carried_info(id, record)).collect(),
        }
    }

    pub(super) fn explain_route(&self, bundle: &str, disk: &dyn Read) -> Result<Reply, No> {
        let (id, record) = self.find_bundle(bundle, disk)?;
        let explanation = self.engine.explain(&record);
        let forecasts =
            |known: &[StrategyForecast]| known.iter().map(|one| self.forecast_info(one)).collect();
        let neighbours = explanation.hops.iter().map(|hop| NextHopInfo {
            node: hop.peer.to_string(),
            name: self.contacts.name(&hop.peer),
            give: matches!(hop.decision, Decision::Give { .. }),
            why: hop.decision.why().to_string(),
            forecasts: forecasts(&hop.forecasts),
        });
        let info = RouteInfo {
            bundle: self.carried_info(&id, &record),
            verdict: explanation.sentence(),
            waiting: forecasts(&explanation.waiting),
            neighbours: neighbours.collect(),
        };
        Ok(Response::Route(info).into())
    }

    fn forecast_info(&self, known: &StrategyForecast) -> ForecastInfo {
        ForecastInfo {
            strategy: known.strategy.to_string(),
            delay_ms: known.forecast.map(|forecast| forecast.delay_ms),
            next: known.next.map(|node| node.to_string()),
            next_name: known.next.map(|node| self.name_of(&node)).unwrap_or_default(),
            transmissions: known.forecast.map(|forecast| u64::from(forecast.transmissions)),
        }
    }

    /// A carried bundle by its id or the beginning of it.
    fn find_bundle(&self, text: &str, disk: &dyn Read) -> Result<(Digest, BundleRecord), No> {
        let short = text.chars().count() < NAMED_BY_MIN;
        // Ids sort as their texts do, and `a` stands for zero.
        let padded: String = text.chars().chain(core::iter::repeat('a')).take(ID_CHARS).collect();
        let Some(first) = padded.parse::<Digest>().ok().filter(|_| !short) else {
            return Err(No::or(
                format!(
                    "“{text}” is not the beginning of a bundle's id, of at least {NAMED_BY_MIN} characters"
                ),
                "see: cairn route list",
            ));
        };
        let found = self.unwritten.over(DiskIndex(disk)).scan(&first, 2);
        let mut found = found.into_iter().filter(|(id, _)| id.to_string().starts_with(text));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => {
                Err(No::or(format!("more than one bundle begins with “{text}”"), "give more of it"))
            }
            (None, _) => Err(No::or(
                format!("no bundle here begins with “{text}”"),
                "it may have been delivered, or have expired; see: cairn route list",
            )),
        }
    }

    /// Takes another contact plan.
    pub(super) fn set_plan(&mut self, request: RequestId, text: String) -> Result<Reply, No> {
        if text.len() > PLAN_BYTES_MAX {
            return Err(No::new(format!("a contact plan has at most {PLAN_BYTES_MAX} bytes")));
        }
        let plan = ContactPlan::parse(&text)
            .map_err(|error| No::or(error, "see the examples of: cairn route plan --help"))?;
        let mut tx = Tx::default();
        tx.put(Table::Meta, PLAN, text.as_bytes());
        self.plan_text = text;
        self.engine(Event::Plan { plan: plan.starting_at(self.clock.now) });
        Ok(self.when_durable(tx, request, Response::Done))
    }

    /// Goes on with the contact plan that was set before this start.
    pub(super) fn restore_plan(&mut self, value: &[u8]) {
        let text = String::from_utf8_lossy(value).into_owned();
        if let Ok(plan) = ContactPlan::parse(&text) {
            self.engine(Event::Plan { plan: plan.starting_at(self.clock.now) });
            self.plan_text = text;
        }
    }
}
