//! A job crosses a gap: A and C never meet, B meets A over a link and C by a drop.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cairn_ledger::Receipt;
use cairn_node::control::api::{JobInfo, Request, Response};
use cairn_task::{JobFile, LoadedJob, NodeLimits};

use super::{Letter, settings};
use crate::node::AskId;
use crate::violation::Violation;
use crate::world::{Fault, World};

const BOARD: &str = "relief";
/// What A's neighbour and B's neighbour allow in the end.
const LINE: u64 = 10_000;
/// What a node that forwards a job keeps.
const FEE: u64 = 20;
const HOUR_MS: u64 = 3_600_000;

/// The job with its files: read once, the same for every run.
fn job() -> Result<LoadedJob, Violation> {
    static JOB: OnceLock<Result<LoadedJob, String>> = OnceLock::new();
    let load = || {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenario/job.toml");
        JobFile::load(&path).map_err(|error| error.to_string())
    };
    JOB.get_or_init(load).clone().map_err(Violation::Scenario)
}

/// The three nodes, and what their people asked.
struct Gap {
    a: usize,
    b: usize,
    c: usize,
    letters: Vec<Letter>,
    job: AskId,
    grants: [(usize, AskId); 2],
}

/// Plays the scenario; gives the number of rungs that were paid.
pub(super) fn play(world: &mut World) -> Result<usize, Violation> {
    let mut gap = set_up(world)?;
    let span = world.dice.pick(2..24) * HOUR_MS;
    plan(world, &mut gap, span)?;
    world.run_until(world.now.saturating_add(span))?;
    let (a, b, c) = (gap.a, gap.b, gap.c);
    let mut round = |world: &mut World| {
        world.quiet_contact(a, b)?;
        world.quiet_journey(b, c)?;
        world.quiet_journey(c, b)
    };
    world.heal(&mut round)?;
    let id = job_id(world, &gap)?;
    let info = job_info(world, a, &id)?;
    if world.tasks_failed == 0 && (info.state != "closed" || accepted(&info, 2).is_none()) {
        return Err(
            world.unexpected(a, format!("the best rung was not reached though no task failed: {info:?}"))
        );
    }
    world.order(a, Request::JobClose { job: id.clone() })?;
    world.heal(&mut round)?;
    check(world, &gap, &id)
}

fn set_up(world: &mut World) -> Result<Gap, Violation> {
    let seeds = [world.dice.seed(), world.dice.seed(), world.dice.seed()];
    let [first, second, third] = seeds;
    let a = world.add_node("A", first, settings("A"))?;
    let mut middle = settings("B");
    middle.tasks_enabled = true;
    middle.task_limits = NodeLimits { rung_max: Some(0), ..NodeLimits::default() };
    let b = world.add_node("B", second, middle)?;
    let mut last = settings("C");
    last.tasks_enabled = true;
    let c = world.add_node("C", third, last)?;
    for node in [a, b, c] {
        world.plan(60_000, Fault::Crash { node });
    }
    for (node, other, peer) in
        [(a, b, true), (b, a, true), (b, c, true), (c, b, true), (a, c, false), (c, a, false)]
    {
        world.acquaint(node, other, peer)?;
    }
    world.order(a, Request::BoardCreate { name: BOARD.to_owned() })?;
    for node in [b, c] {
        let invited = world.node(node).me.to_string();
        let invitation = world.text_of(a, Request::BoardInvite { board: BOARD.to_owned(), node: invited })?;
        world.order(node, Request::BoardJoin { invitation })?;
    }
    Ok(Gap { a, b, c, letters: Vec::new(), job: 0, grants: [(b, 0), (c, 0)] })
}

fn plan(world: &mut World, gap: &mut Gap, span: u64) -> Result<(), Violation> {
    let (a, b, c) = (gap.a, gap.b, gap.c);
    gap.letters = world.plan_letters(&[a, b, c], 8, span);
    let when = world.now.saturating_add(world.dice.pick(0..span / 2));
    let file = PathBuf::from("job.toml");
    let post = Request::JobPost { board: BOARD.to_owned(), file, key: "the job".to_owned() };
    gap.job = world.ask_at(when, a, post, Some(job()?));
    for (slot, (creditor, debtor)) in gap.grants.iter_mut().zip([(b, a), (c, b)]) {
        let debtor = world.node(debtor).me.to_string();
        let (early, small) =
            (world.now.saturating_add(world.dice.pick(0..span / 3)), world.dice.pick(0..2_000));
        let first = Request::CreditGrant { node: debtor.clone(), limit: small };
        let first = world.ask_at(early, creditor, first, None);
        let late = early.saturating_add(world.dice.pick(1..span / 2));
        let second = world.ask_at(late, creditor, Request::CreditGrant { node: debtor, limit: LINE }, None);
        world.hold_back(creditor, second, first);
        *slot = (creditor, second);
    }
    for _ in 0..world.dice.pick(2..10) {
        world.plan_contact(a, b, span);
    }
    for _ in 0..world.dice.pick(1..6) {
        world.plan(span, Fault::Courier { from: b, to: c });
        world.plan(span, Fault::Courier { from: c, to: b });
    }
    for node in [a, b, c] {
        world.plan_misfortune(node, span);
    }
    Ok(())
}

fn job_id(world: &World, gap: &Gap) -> Result<String, Violation> {
    for (creditor, grant) in gap.grants {
        if world.answer(creditor, grant) != Some(&Response::Done) {
            return Err(world.unexpected(creditor, format!("no line: {:?}", world.answer(creditor, grant))));
        }
    }
    match world.answer(gap.a, gap.job) {
        Some(Response::Id { id }) => Ok(id.clone()),
        other => Err(world.unexpected(gap.a, format!("no job: {other:?}"))),
    }
}

fn job_info(world: &mut World, node: usize, id: &str) -> Result<JobInfo, Violation> {
    match world.ask_and_wait(node, Request::JobShow { job: id.to_owned() })? {
        Response::Job(info) => Ok(info),
        other => {
            let what = format!("job {id}: {other:?}");
            Err(Violation::ConfirmedLost { node: world.name(node), what })
        }
    }
}

/// Who was accepted for a rung.
fn accepted(info: &JobInfo, rung: usize) -> Option<String> {
    let rung = info.rungs.get(rung)?;
    rung.results.iter().find(|result| result.state == "accepted").map(|result| result.executor.clone())
}

fn check(world: &mut World, gap: &Gap, id: &str) -> Result<usize, Violation> {
    let (a, b, c) = (gap.a, gap.b, gap.c);
    world.check_acknowledged()?;
    world.check_letters(&gap.letters)?;
    world.check_boards(&[a, b, c])?;
    for (one, other) in [(a, b), (b, c), (a, c)] {
        world.check_edge(one, other)?;
    }
    world.check_conservation()?;
    world.check_calm()?;
    let info = job_info(world, a, id)?;
    let paid = check_payment(world, gap, &info)?;
    for (rung, _) in &paid {
        check_receipt(world, a, id, *rung)?;
    }
    Ok(paid.len())
}

/// V6: each accepted rung is paid once on each edge of its path, and nothing else is.
fn check_payment(world: &mut World, gap: &Gap, info: &JobInfo) -> Result<Vec<(u8, String)>, Violation> {
    let (a, b, c) = (gap.a, gap.b, gap.c);
    let far = world.node(c).me.to_string();
    let (mut near_owed, mut far_owed, mut paid) = (0, 0, Vec::new());
    for (number, rung) in info.rungs.iter().enumerate() {
        let Some(executor) = accepted(info, number) else { continue };
        near_owed += rung.price + FEE;
        far_owed += if executor == far { rung.price } else { 0 };
        paid.push((rung.rung, executor));
    }
    for (debtor, creditor, owed, line) in [(a, b, near_owed, LINE), (b, c, far_owed, LINE)] {
        let edge = world.edge(creditor, debtor)?;
        let seen = edge.as_ref().map(|edge| (edge.owed_to_me, edge.owed_by_me, edge.line_given));
        if seen != Some((owed, 0, line)) {
            let names = (world.name(debtor), world.name(creditor));
            let text =
                format!("{} must owe {} exactly {owed}, within {line}: {edge:?}; {info:?}", names.0, names.1);
            return Err(Violation::Money(text));
        }
    }
    Ok(paid)
}

fn check_receipt(world: &mut World, node: usize, id: &str, rung: u8) -> Result<(), Violation> {
    let path = PathBuf::from("receipt");
    let ask = world.ask(node, Request::ReceiptExport { job: id.to_owned(), rung, path }, None);
    let file = world.node_mut(node).asks.remove(&ask).and_then(|ask| ask.file);
    let valid =
        file.as_ref().is_some_and(|file| Receipt::verify(file).is_ok_and(|view| view.contract.is_some()));
    if valid {
        Ok(())
    } else {
        Err(Violation::Money(format!("rung {rung} has no receipt with its contract")))
    }
}
