//! Why a bundle is held or given, and where it would go: for people and for tests.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use cairn_bundle::NodeId;

use crate::routing::properties::LinkProperties;
use crate::routing::question::{Decision, Question};
use crate::routing::strategy::{Forecast, Half, Moment, StrategyName, Way, half};
use crate::routing::table::Table;

/// What one strategy forecasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrategyForecast {
    /// Which one.
    pub strategy: StrategyName,
    /// When and at what price; `None` if it knows no way.
    pub forecast: Option<Forecast>,
    /// The neighbour to whom it goes next, where its whole id is known.
    pub next: Option<NodeId>,
}

/// One neighbour that is linked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// Who.
    pub peer: NodeId,
    /// What each strategy forecasts if it is given the bundle now.
    pub forecasts: Vec<StrategyForecast>,
    /// What is decided.
    pub decision: Decision,
}

/// Everything that leads to the decisions about one bundle at one moment.
///
/// Its [`Display`](fmt::Display) form is a few lines of text for people; the fields are for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The bundle.
    pub question: Question,
    /// What each strategy forecasts if the bundle stays here and waits for its best chance.
    pub waiting: Vec<StrategyForecast>,
    /// Each neighbour with a link, in order of their ids.
    pub hops: Vec<NextHop>,
}

impl Explanation {
    pub(crate) fn new(
        table: &Table,
        links: &BTreeMap<Half, LinkProperties>,
        moment: Moment,
        question: &Question,
    ) -> Self {
        let forecasts = |way: Way<'_>| -> Vec<StrategyForecast> {
            let named = |(strategy, forecast): (StrategyName, Option<Forecast>)| {
                let next = forecast.and_then(|forecast| table.encounters.node(&forecast.next));
                StrategyForecast { strategy, forecast, next }
            };
            table.forecasts(moment, question, way).into_iter().map(named).collect()
        };
        let hops = table.encounters.linked().map(|peer| {
            let transfer_ms = links.get(&half(peer)).map_or(0, |link| link.transfer_ms(question.bytes));
            let decision = table.decide(moment, peer, transfer_ms, question);
            NextHop { peer: *peer, forecasts: forecasts(Way::Give { peer, transfer_ms }), decision }
        });
        Self { question: *question, waiting: forecasts(Way::Wait { except: None }), hops: hops.collect() }
    }

    /// The outcome in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let given = self.hops.iter().find(|hop| matches!(hop.decision, Decision::Give { .. }));
        let waited = self.waiting.iter().filter_map(|waiting| Some((waiting.forecast?, waiting)));
        let waited = waited.min_by_key(|(forecast, _)| forecast.key());
        match (given, waited) {
            (Some(hop), _) => alloc::format!("It goes to {} now: {}.", hop.peer.short(), hop.decision.why()),
            (None, Some((forecast, _))) if forecast.delay_ms > self.question.remaining_ms => alloc::format!(
                "It is held; the best way known takes {}, and it expires in {}.",
                Length(forecast.delay_ms),
                Length(self.question.remaining_ms)
            ),
            (None, Some((forecast, waiting))) => alloc::format!(
                "It is held for {}, and is expected to arrive in {}.",
                Name(waiting.next.as_ref()),
                Length(forecast.delay_ms)
            ),
            (None, None) => match self.hops.first() {
                Some(hop) => alloc::format!("It is held, and no way is known: {}.", hop.decision.why()),
                None => String::from("It is held: no neighbour is linked, and no way is known."),
            },
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.sentence())?;
        let question = &self.question;
        let class = match question.class {
            cairn_bundle::Class::Alert => "alert",
            cairn_bundle::Class::Normal => "normal",
            cairn_bundle::Class::Bulk => "bulk",
        };
        write!(f, "{class}, {} bytes, {} copies to give, ", question.bytes, question.copies)?;
        match &question.destination {
            Some(destination) => write!(f, "for {}", destination.short())?,
            None => f.write_str("for a group")?,
        }
        writeln!(f, ", expires in {}", Length(question.remaining_ms))?;
        f.write_str("waiting here:")?;
        write_forecasts(f, &self.waiting)?;
        for hop in &self.hops {
            let verdict = match hop.decision {
                Decision::Give { .. } => "give",
                Decision::Hold { .. } => "hold",
            };
            write!(f, "\n{} {}: {}\n ", verdict, hop.peer.short(), hop.decision.why())?;
            write_forecasts(f, &hop.forecasts)?;
        }
        Ok(())
    }
}

fn write_forecasts(f: &mut fmt::Formatter<'_>, forecasts: &[StrategyForecast]) -> fmt::Result {
    for (index, known) in forecasts.iter().enumerate() {
        f.write_str(if index == 0 { " " } else { "; " })?;
        match known.forecast {
            Some(forecast) => write!(
                f,
                "{} in {} by {} ({} or more transmissions)",
                known.strategy,
                Length(forecast.delay_ms),
                Name(known.next.as_ref()),
                forecast.transmissions
            )?,
            None => write!(f, "{} knows no way", known.strategy)?,
        }
    }
    Ok(())
}

impl fmt::Display for StrategyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Plan => "plan",
            Self::Encounters => "encounters",
        })
    }
}

struct Name<'a>(Option<&'a NodeId>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(node) => f.write_str(&node.short()),
            None => f.write_str("a node not met yet"),
        }
    }
}

/// Milliseconds in the two largest units that people use.
struct Length(u64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.div_ceil(1_000);
        let (days, hours, minutes) = (s / 86_400, s / 3_600 % 24, s / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{s} s"),
            (0, 0, minutes) => write!(f, "{minutes} min"),
            (0, hours, minutes) => write!(f, "{hours} h {minutes} min"),
            (days, hours, _) => write!(f, "{days} d {hours} h"),
        }
    }
}
