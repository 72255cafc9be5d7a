//! `cairn route`: which bundles this node carries, and why each is held or sent.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use cairn_node::control::api::{CarriedInfo, ForecastInfo, Request, Response, RouteInfo};
use clap::{Args, Subcommand};

use crate::context::Context;
use crate::failure::Failure;
use crate::out::clean_line;
use crate::render::{name_or_short, short, size};
use crate::table::Table;

/// Longest contact plan that is read: ten thousand lines with room to spare.
const PLAN_BYTES_MAX: u64 = 4 << 20;

/// See which bundles wait here, and why each is held or sent
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn route list
  cairn route explain mzxw6ytboi
  cairn route plan show")]
pub(crate) enum RouteCommand {
    /// List the bundles that this node carries
    #[command(after_help = "Examples:\n  cairn route list\n  cairn route list --max 1000 --json")]
    List(ListArgs),
    /// Say why a bundle is held or sent, and where it goes
    #[command(
        after_help = "Examples:\n  cairn route explain mzxw6ytboi\n  cairn route explain mzxw6ytboi --json"
    )]
    Explain(ExplainArgs),
    /// The contacts that are known in advance: the weekly bus, the satellite
    #[command(subcommand)]
    Plan(PlanCommand),
}

/// How much to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// At most so many bundles
    #[arg(long, default_value_t = 100)]
    max: u32,
}

/// Which bundle.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Its id, or the first characters of it
    bundle: String,
}

/// The contact plan.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  cairn route plan set bus.plan
  cairn route plan show
  cairn route plan clear")]
pub(crate) enum PlanCommand {
    /// Replace the plan by a file with one contact a line
    ///
    /// `node NAME ID` gives a node a name for this file; `contact FROM TO START END` says when two nodes meet, in UTC or
    /// from now on, with `rate=BYTES/S`, `delay=MS`, `every=LENGTH` and `both` where they apply. `#` begins a remark.
    #[command(after_help = "Examples:
  cairn route plan set bus.plan
  cairn route plan set -

A plan:
  node school vfr2qmyhq4bxrcm5eymb7gqbsxrcm5eymb7gqbsxrcm5eymb7gqa
  node bus    lmz4q7y2kqj3s5yv6dnm4cqx7gqbsxrcm5eymb7gqbsxrcm5eyma
  contact school bus 2026-11-23T08:00 +30m every=week rate=1000000 both
  contact school bus +2h +10m")]
    Set(PlanArgs),
    /// Print the plan
    #[command(after_help = "Examples:\n  cairn route plan show")]
    Show,
    /// Forget the plan
    #[command(after_help = "Examples:\n  cairn route plan clear")]
    Clear,
}

/// Where the plan is.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The file; `-` reads stdin
    file: PathBuf,
}

pub(crate) fn run(context: &Context, command: RouteCommand) -> Result<(), Failure> {
    match command {
        RouteCommand::List(args) => context.tell(&Request::RouteList { max: args.max }),
        RouteCommand::Explain(args) => context.tell(&Request::RouteExplain { bundle: args.bundle }),
        RouteCommand::Plan(PlanCommand::Set(args)) => {
            let text = read(&args.file)?;
            context.order(&Request::RoutePlanSet { text }, "the contact plan is set")
        }
        RouteCommand::Plan(PlanCommand::Show) => {
            context.show(&context.ask(&Request::RoutePlan)?, |response| match response {
                Response::Text { text } if text.trim().is_empty() => {
                    "no contact plan; set one with: cairn route plan set FILE\n".into()
                }
                other => crate::render::response(other),
            })
        }
        RouteCommand::Plan(PlanCommand::Clear) => {
            context.order(&Request::RoutePlanSet { text: String::new() }, "the contact plan is cleared")
        }
    }
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    let hint = "give a text file with one contact a line";
    let failed = |error: &dyn core::fmt::Display| {
        Failure::new(format!("cannot read {}: {error}", file.display()), hint)
    };
    let mut text = String::new();
    let length = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(PLAN_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(PLAN_BYTES_MAX + 1).read_to_string(&mut text))
    };
    let length = length.map_err(|error| failed(&error))?;
    if u64::try_from(length).is_ok_and(|length| length > PLAN_BYTES_MAX) {
        return Err(failed(&format!("it has more than {PLAN_BYTES_MAX} bytes")));
    }
    let is_contact = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    if !text.lines().any(is_contact) {
        let hint = "name contacts, or remove the plan with: cairn route plan clear";
        return Err(Failure::new(format!("there is no contact in {}", file.display()), hint));
    }
    Ok(text)
}

/// The list of carried bundles.
pub(crate) fn carried(bundles: &[CarriedInfo]) -> String {
    let mut table = Table::new(&["bundle", "class", "from", "to", "size", "expires in", "copies"]);
    for bundle in bundles {
        table.row(&[
            &short(&bundle.id),
            &bundle.class.as_str(),
            &named(&bundle.from_name, bundle.from.as_ref()),
            &named(&bundle.to_name, bundle.to.as_ref()),
            &size(bundle.bytes),
            &length(bundle.remaining_ms),
            &bundle.copies,
        ]);
    }
    table.or("nothing waits here")
}

/// A node by its name or its id, or the sign for nobody.
fn named(name: &str, id: Option<&String>) -> String {
    id.map_or_else(|| "-".into(), |id| name_or_short(name, id))
}

/// Why a bundle is held or sent.
pub(crate) fn explained(info: &RouteInfo) -> String {
    let bundle = &info.bundle;
    let to = bundle.to.as_ref().map_or_else(|| "a group".into(), |id| name_or_short(&bundle.to_name, id));
    let mut table = Table::new(&["way", "decision", "strategy", "arrives in", "by"]);
    forecasts(&mut table, "waiting here", "-", &info.waiting);
    for hop in &info.neighbours {
        let decision = if hop.give { "give" } else { "hold" };
        let decision = format!("{decision}: {}", clean_line(&hop.why));
        forecasts(&mut table, &name_or_short(&hop.name, &hop.node), &decision, &hop.forecasts);
    }
    format!(
        "{}\n{}, {}, for {to}, {} copies to hand on, expires in {}\n\n{table}",
        clean_line(&info.verdict),
        bundle.class.as_str(),
        size(bundle.bytes),
        bundle.copies,
        length(bundle.remaining_ms)
    )
}

fn forecasts(table: &mut Table, way: &str, decision: &str, known: &[ForecastInfo]) {
    for forecast in known {
        let arrives = forecast.delay_ms.map_or_else(|| "no way known".into(), length);
        let next = named(&forecast.next_name, forecast.next.as_ref());
        table.row(&[&way, &decision, &forecast.strategy, &arrives, &next]);
    }
}

/// Milliseconds in the two largest units that people use.
fn length(ms: u64) -> String {
    let s = ms.div_ceil(1_000);
    match (s / 86_400, s / 3_600 % 24, s / 60 % 60) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_told_in_units_of_people() {
        assert_eq!(length(1), "1 s");
        assert_eq!(length(90_000), "1 min");
        assert_eq!(length(3_700_000), "1 h 1 min");
        assert_eq!(length(90_000_000), "1 d 1 h");
    }
}
