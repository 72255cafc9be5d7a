//! The end of the demo: what every node says, the table of answers, and the promises kept or broken.

use std::fs;
use std::path::PathBuf;

use cairn_node::control::api::{ContactInfo, EdgeInfo, JobInfo, Status};
use serde::Serialize;

use super::check::{self, Check};
use super::process::Node;
use super::stage::{Attempt, Pending, Stage};
use super::story::{Story, board_view, contacts, edges, show, status};
use crate::render::{amount, cost, credit, name_or_short, percent, short};
use crate::table::Table;

/// What one node says at the end.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) label: &'static str,
    pub(super) node: String,
    pub(super) view: String,
    pub(super) job: JobInfo,
    pub(super) edges: Vec<EdgeInfo>,
    pub(super) contacts: Vec<ContactInfo>,
    pub(super) status: Status,
}

/// What all of them say at the end.
#[derive(Debug)]
pub(super) struct End {
    pub(super) a: Last,
    pub(super) b: Last,
    pub(super) c: Last,
}

impl End {
    pub(super) const fn nodes(&self) -> [&Last; 3] {
        [&self.a, &self.b, &self.c]
    }
}

/// One line of the table of answers.
#[derive(Debug, Serialize)]
struct Answer {
    rung: u8,
    name: String,
    engine: String,
    quality_ppm: u32,
    executor: String,
    fuel: u64,
    wall_ms: u64,
    price: u64,
    state: String,
}

/// The money of one node.
#[derive(Debug, Serialize)]
struct Balance {
    label: &'static str,
    node: String,
    edges: Vec<EdgeInfo>,
}

/// The result of the demo, for people and for machines.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    good: bool,
    elapsed_ms: u64,
    kills: u32,
    job: String,
    view: String,
    answers: Vec<Answer>,
    balances: Vec<Balance>,
    checks: Vec<Check>,
    receipt: PathBuf,
}

/// Asks every node for the last time, and checks everything.
pub(super) fn draw_up(stage: &Stage, story: &Story, kills: u32) -> Result<Report, String> {
    let last =
        |node: &Node| stage.until(&format!("{} tells how it ended", node.label), || ask(node, &story.job));
    let end = End { a: last(&stage.a)?, b: last(&stage.b)?, c: last(&stage.c)? };
    for (last, id) in end.nodes().into_iter().zip(&story.ids) {
        if last.node != *id {
            return Err(format!("{} is another node than at the beginning", last.label));
        }
    }
    let checks = check::all(story, &end)?;
    let good = checks.iter().all(|check| check.differs.is_none());
    let receipt = put_down(story)?;
    let answers = answers(&end.a.job);
    let view = end.a.view.clone();
    let balances =
        [end.a, end.b, end.c].map(|last| Balance { label: last.label, node: last.node, edges: last.edges });
    Ok(Report {
        good,
        elapsed_ms: stage.elapsed_ms(),
        kills,
        job: story.job.clone(),
        view,
        answers,
        balances: balances.into(),
        checks,
        receipt,
    })
}

fn ask(node: &Node, job: &str) -> Attempt<Last> {
    let status = status(node)?;
    if status.tasks_running > 0 {
        return Err(Pending::because("a task still runs"));
    }
    Ok(Last {
        label: node.label,
        node: status.node.clone(),
        view: board_view(node)?,
        job: show(node, job)?,
        edges: edges(node)?,
        contacts: contacts(node)?,
        status,
    })
}

/// Puts the receipt where it stays when the demo's directory goes.
fn put_down(story: &Story) -> Result<PathBuf, String> {
    let path = std::env::temp_dir().join(format!("cairn-demo-{}.receipt", short(&story.job)));
    fs::copy(&story.receipt, &path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}

fn answers(job: &JobInfo) -> Vec<Answer> {
    let results = job.rungs.iter().flat_map(|rung| rung.results.iter().map(move |result| (rung, result)));
    results
        .map(|(rung, result)| Answer {
            rung: rung.rung,
            name: rung.name.clone(),
            engine: result.engine.clone(),
            quality_ppm: rung.quality_ppm,
            executor: name_or_short(&result.executor_name, &result.executor),
            fuel: result.fuel,
            wall_ms: result.wall_ms,
            price: rung.price,
            state: result.state.clone(),
        })
        .collect()
}

impl Report {
    pub(super) const fn is_good(&self) -> bool {
        self.good
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for balance in &self.balances {
            text +=
                &format!("\ncredit as {} sees it:\n{}", balance.label.to_uppercase(), credit(&balance.edges));
        }
        let mut table = Table::new(&["rung", "program", "quality", "who", "cost", "price", "state"]);
        for answer in &self.answers {
            let program = format!("{} ({})", answer.name, answer.engine);
            let (quality, cost) = (percent(answer.quality_ppm), cost(answer.fuel, answer.wall_ms));
            let price = amount(answer.price);
            table.row(&[&answer.rung, &program, &quality, &answer.executor, &cost, &price, &answer.state]);
        }
        text += &format!("\n{table}\n");
        for check in &self.checks {
            text += &match &check.differs {
                None => format!("ok      {}\n", check.promise),
                Some(differs) => format!("BROKEN  {}: {differs}\n", check.promise),
            };
        }
        let seconds = format!("{}.{} s", self.elapsed_ms / 1000, self.elapsed_ms % 1000 / 100);
        let kills = if self.kills > 0 { format!(", {} kills", self.kills) } else { String::new() };
        text + &format!(
            "\n{} after {seconds}{kills}\nverify it yourself: cairn receipt verify {}\n",
            if self.good { "every promise was kept" } else { "something differs from what was promised" },
            self.receipt.display()
        )
    }
}
