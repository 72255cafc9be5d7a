//! What the demo promised, checked against what every node says at the end.

use std::fs;

use cairn_bundle::Digest;
use cairn_ledger::Receipt;
use cairn_node::control::api::{EdgeInfo, JobInfo, ResultInfo};
use serde::Serialize;

use super::files;
use super::report::End;
use super::story::Story;
use crate::render::percent;

/// One promise and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) promise: &'static str,
    /// What differs, if anything does.
    pub(super) differs: Option<String>,
}

fn check(promise: &'static str, kept: Result<(), String>) -> Check {
    Check { promise, differs: kept.err() }
}

fn equal<T: Copy + PartialEq + core::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}")) }
}

/// What the accepted answers cost: whoever ran them, each rung is paid once.
struct Bill {
    /// What A owes B: every accepted rung with the fee of one hop.
    a_owes: u64,
    /// What B owes C: the rungs that C ran, without the fee that B keeps.
    b_owes: u64,
    /// The price of the best rung.
    best: u64,
}

fn bill(story: &Story, end: &End) -> Result<Bill, String> {
    let fee = files::fee()?;
    let mut bill = Bill { a_owes: 0, b_owes: 0, best: 0 };
    for rung in &end.a.job.rungs {
        let Ok(result) = result(&end.a.job, rung.rung) else { continue };
        bill.a_owes += rung.price + fee;
        if result.executor == end.c.node {
            bill.b_owes += rung.price;
        }
        if rung.rung == story.best {
            bill.best = rung.price;
        }
    }
    Ok(bill)
}

/// All checks; none of them asks a node again.
pub(super) fn all(story: &Story, end: &End) -> Result<Vec<Check>, String> {
    let Bill { a_owes, b_owes, best } = bill(story, end)?;
    let output = fs::read(&story.output).map_err(|error| format!("cannot read the output: {error}"))?;
    Ok(vec![
        check("A and C never shared a link, and only the stick reached C", strangers(end)),
        check("all three boards show the same", boards(end)),
        check("B ran rung 0, C ran the best rung, A accepted both", executors(story, end)),
        check(
            "A and B agree on what A owes: each accepted rung and its fee, once",
            edge(end, ["a", "b"], a_owes),
        ),
        check("B and C agree on what B owes: each rung that C ran, once", edge(end, ["b", "c"], b_owes)),
        check("nothing is held back", nothing_held(end)),
        check(
            "A paid, B earned rung 0 and its fees, C earned the best rung",
            earnings(end, [-i128::from(a_owes), i128::from(a_owes) - i128::from(b_owes), i128::from(b_owes)]),
        ),
        check("the answer is the same on every node, and A has it", outputs(story, end, &output)),
        check("its measured accuracy is the promised one", accuracy(story, &end.a.job, &output)),
        check("the receipt holds, and fails after any one changed byte", receipt(story, end, best, &output)),
    ])
}

fn strangers(end: &End) -> Result<(), String> {
    for (one, other) in [(&end.a, &end.c), (&end.c, &end.a)] {
        if one.contacts.iter().any(|contact| contact.node == other.node && contact.peer) {
            return Err(format!("{} has {} as a peer", one.label, other.label));
        }
        if one.status.links.iter().any(|link| link.node == other.node) {
            return Err(format!("{} has a link to {}", one.label, other.label));
        }
    }
    equal("addresses of C", end.c.status.addresses.len(), 0)?;
    equal("open links of C", end.c.status.links.len(), 0)
}

fn boards(end: &End) -> Result<(), String> {
    equal("board of B", &end.b.view, &end.a.view)?;
    equal("board of C", &end.c.view, &end.a.view)?;
    for node in end.nodes() {
        equal(&format!("state of the job on {}", node.label), node.job.state.as_str(), "closed")?;
    }
    Ok(())
}

fn result(job: &JobInfo, rung: u8) -> Result<&ResultInfo, String> {
    let info = job.rungs.iter().find(|info| info.rung == rung).ok_or("the rung is missing")?;
    let accepted = info.results.iter().find(|result| result.state == "accepted");
    accepted.ok_or_else(|| format!("rung {rung} has no accepted result"))
}

fn executors(story: &Story, end: &End) -> Result<(), String> {
    for node in end.nodes() {
        for (rung, executor) in [(0, &end.b.node), (story.best, &end.c.node)] {
            let found = result(&node.job, rung).map_err(|reason| format!("on {}: {reason}", node.label))?;
            equal(&format!("executor of rung {rung} on {}", node.label), &found.executor, executor)?;
        }
    }
    Ok(())
}

/// Both ends of an edge must say the same: the first owes the amount, and nothing else is owed.
fn edge(end: &End, labels: [&str; 2], owed: u64) -> Result<(), String> {
    let [debtor, creditor] = labels.map(|label| end.nodes().into_iter().find(|node| node.label == label));
    let (debtor, creditor) = debtor.zip(creditor).ok_or("a node is missing")?;
    let find = |edges: &[EdgeInfo], node: &str| edges.iter().find(|edge| edge.node == node).cloned();
    let from_debtor = find(&debtor.edges, &creditor.node).ok_or("the debtor knows of no edge")?;
    let from_creditor = find(&creditor.edges, &debtor.node).ok_or("the creditor knows of no edge")?;
    let view = |edge: &EdgeInfo| [edge.owed_by_me, edge.owed_to_me, edge.held_by_me, edge.held_to_me];
    let [a, b, c, d] = view(&from_creditor);
    equal("the two ends", view(&from_debtor), [b, a, d, c])?;
    equal("owed", from_debtor.owed_by_me, owed)?;
    equal("owed in return", from_debtor.owed_to_me, 0)
}

fn nothing_held(end: &End) -> Result<(), String> {
    for node in end.nodes() {
        for edge in &node.edges {
            let held = edge.held_by_me.saturating_add(edge.held_to_me);
            equal(&format!("held between {} and {}", node.label, edge.name), held, 0)?;
        }
    }
    Ok(())
}

fn earnings(end: &End, expected: [i128; 3]) -> Result<(), String> {
    for (node, expected) in end.nodes().into_iter().zip(expected) {
        let net: i128 = node.edges.iter().map(|edge| i128::from(edge.net)).sum();
        equal(&format!("balance of {}", node.label), net, expected)?;
    }
    Ok(())
}

fn outputs(story: &Story, end: &End, output: &[u8]) -> Result<(), String> {
    let digest = Digest::of(output).to_string();
    for node in end.nodes() {
        let found = result(&node.job, story.best)?;
        equal(&format!("output as {} knows it", node.label), found.output.as_str(), digest.as_str())?;
    }
    Ok(())
}

fn accuracy(story: &Story, job: &JobInfo, output: &[u8]) -> Result<(), String> {
    let text = core::str::from_utf8(output).map_err(|_| "the output is not text")?;
    let promised = job.rungs.iter().find(|info| info.rung == story.best).map_or(0, |info| info.quality_ppm);
    let measured = files::accuracy_ppm(text)?;
    if measured == promised {
        Ok(())
    } else {
        Err(format!("{} instead of {}", percent(measured), percent(promised)))
    }
}

fn receipt(story: &Story, end: &End, price: u64, output: &[u8]) -> Result<(), String> {
    let bytes = fs::read(&story.receipt).map_err(|error| format!("cannot read the receipt: {error}"))?;
    let view = Receipt::verify(&bytes).map_err(|error| format!("it does not hold: {error}"))?;
    equal("executor", view.executor.to_string().as_str(), end.c.node.as_str())?;
    equal("payer", view.payer.to_string().as_str(), end.a.node.as_str())?;
    equal("price", view.accept.amount, price)?;
    equal("rung", view.result.tier, story.best)?;
    equal("output", view.result.output, Digest::of(output))?;
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        if let Some(byte) = changed.get_mut(position) {
            *byte ^= 1 << (position % 8);
        }
        if Receipt::verify(&changed).is_ok() {
            return Err(format!("it still holds with byte {position} changed"));
        }
    }
    Ok(())
}
