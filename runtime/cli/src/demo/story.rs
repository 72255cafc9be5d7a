//! The story, step by step. Each step can be repeated, and is until it has worked.

use std::fs;
use std::io;
use std::path::PathBuf;

use cairn_node::control::api::{
    CarryInfo, ContactInfo, EdgeInfo, JobInfo, Request, Response, ResultInfo, Status,
};

use super::files;
use super::process::Node;
use super::stage::{Attempt, Pending, Stage};
use crate::render::{amount, cost, percent};

/// What B grants A, and C grants B: enough for every rung with its fee.
const LINE: u64 = 10_000;

const BOARD: &str = "relief";

/// The same order after a crash must be the same job.
const ORDER_KEY: &str = "demo-digits";

/// What came of it all.
#[derive(Debug)]
pub(super) struct Story {
    /// Node ids of A, B and C.
    pub(super) ids: [String; 3],
    /// The job.
    pub(super) job: String,
    /// The best rung.
    pub(super) best: u8,
    /// The output of the best rung, written by A.
    pub(super) output: PathBuf,
    /// The receipt of the best rung, written by A.
    pub(super) receipt: PathBuf,
}

/// Plays the whole story.
pub(super) fn tell(stage: &Stage) -> Result<Story, String> {
    let ids = start(stage)?;
    exchange_cards(stage)?;
    grant_lines(stage)?;
    share_board(stage)?;
    meet(stage)?;
    let job = post(stage)?;
    let best = hand_over(stage, &job)?;
    stage.say("A goes down; from here on B is alone with the job");
    stage.a.stop()?;
    run_cheap_rung(stage, &job)?;
    cross_the_gap(stage, &job, best)?;
    stage.say("A comes back and meets B");
    stage.a.start()?;
    accept(stage, &job, best)?;
    settle(stage)?;
    let (output, receipt) = take_home(stage, &job, best)?;
    Ok(Story { ids, job, best, output, receipt })
}

fn start(stage: &Stage) -> Result<[String; 3], String> {
    stage.say("starting three nodes: A (depot), B (carrier), C (jetson)");
    for node in stage.nodes() {
        node.start()?;
    }
    let mut ids = [const { String::new() }; 3];
    for (node, id) in stage.nodes().into_iter().zip(&mut ids) {
        let status = stage.until(&format!("{} starts", node.label), || status(node))?;
        let short = crate::render::short(&status.node);
        match status.addresses.first() {
            Some(address) => {
                node.keep_address(address);
                stage.say(&format!("{} is node {short} at {address}", node.label));
            }
            None => stage.say(&format!("{} is node {short}, without any network", node.label)),
        }
        *id = status.node;
    }
    Ok(ids)
}

fn exchange_cards(stage: &Stage) -> Result<(), String> {
    stage.say("cards change hands as files; A may meet B, B may meet A and C, but A and C never meet");
    let mut files = Vec::new();
    for node in stage.nodes() {
        let card = stage.until("a card is exported", || text(node.ask(&Request::CardExport)?))?;
        let path = stage.path(&format!("{}.card", node.label));
        fs::write(&path, &card).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        files.push((node.label, path));
    }
    for node in stage.nodes() {
        for (_, path) in files.iter().filter(|(label, _)| *label != node.label) {
            let card = fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            order(stage, node, &Request::CardImport { card })?;
        }
    }
    let address = stage.until("B has an address", || local_address(&stage.b))?;
    order(stage, &stage.a, &peer(&stage.b, vec![address]))?;
    order(stage, &stage.b, &peer(&stage.a, vec![]))?;
    order(stage, &stage.b, &peer(&stage.c, vec![]))?;
    order(stage, &stage.c, &peer(&stage.b, vec![]))
}

fn grant_lines(stage: &Stage) -> Result<(), String> {
    stage.say(&format!(
        "B lets A owe it up to {}, C lets B owe it as much; A and C share no line",
        amount(LINE)
    ));
    order(stage, &stage.b, &Request::CreditGrant { node: stage.a.name.into(), limit: LINE })?;
    order(stage, &stage.c, &Request::CreditGrant { node: stage.b.name.into(), limit: LINE })
}

fn share_board(stage: &Stage) -> Result<(), String> {
    stage.say("A starts the board `relief` and invites B and C; the invitations go by hand");
    stage.until("A creates the board", || {
        // A created board whose answer was lost is found in the list.
        if board_view(&stage.a).is_err() {
            stage.a.ask(&Request::BoardCreate { name: BOARD.into() })?;
        }
        board_view(&stage.a).map(drop)
    })?;
    for node in [&stage.b, &stage.c] {
        let invite = Request::BoardInvite { board: BOARD.into(), node: node.name.into() };
        let invitation = stage.until("A writes an invitation", || text(stage.a.ask(&invite)?))?;
        stage.until("the invited node joins", || {
            if board_view(node).is_err() {
                node.ask(&Request::BoardJoin { invitation: invitation.clone() })?;
            }
            board_view(node).map(drop)
        })?;
    }
    Ok(())
}

fn meet(stage: &Stage) -> Result<(), String> {
    stage.until("A and B meet", || {
        linked(&stage.a, &stage.b)?;
        if edge(&stage.a, &stage.b)?.line_received < LINE {
            return Err(Pending::because("A has not seen its line at B yet"));
        }
        same_view(&stage.a, &stage.b)
    })?;
    stage.say("A and B have met over iroh (QUIC); boards and lines agree");
    Ok(())
}

fn post(stage: &Stage) -> Result<String, String> {
    let directory = stage.path("job");
    let file = files::write_job(&directory).map_err(|error| format!("cannot write the job: {error}"))?;
    let request = Request::JobPost { board: BOARD.into(), file, key: ORDER_KEY.into() };
    let job = stage.until("A posts the job", || match stage.a.ask(&request)? {
        Response::Id { id } => Ok(id),
        other => Err(odd(&other)),
    })?;
    let info = stage.until("A shows the job", || show(&stage.a, &job))?;
    stage.say(&format!("A posts the job “{}” with {} rungs:", info.title, info.rungs.len()));
    for rung in &info.rungs {
        let price = amount(rung.price);
        stage.say(&format!(
            "    rung {}: {} ({}), {}, {price}",
            rung.rung,
            rung.name,
            rung.engine,
            percent(rung.quality_ppm)
        ));
    }
    Ok(job)
}

/// Waits until B holds everything: the job, the files it names, and a promise for every rung.
fn hand_over(stage: &Stage, job: &str) -> Result<u8, String> {
    let fee = files::fee()?;
    let mut quiet = 0;
    let info = stage.until("B takes the job over", || {
        let (at_a, at_b) = (show(&stage.a, job)?, show(&stage.b, job)?);
        let promised: u64 = at_a.rungs.iter().map(|rung| rung.price.saturating_add(fee)).sum();
        let edge = edge(&stage.b, &stage.a)?;
        let seen = edge.held_to_me.saturating_add(edge.owed_to_me);
        if seen < promised {
            quiet = 0;
            return Err(Pending::because(format!("B has seen promises of {seen} of {promised}")));
        }
        // Nothing may be on its way for some polls in a row: an answer can ask for more.
        let idle = linked(&stage.a, &stage.b)?;
        quiet = if idle { quiet + 1 } else { 0 };
        if quiet < 5 { Err(Pending::because("A still hands things over")) } else { Ok(at_b) }
    })?;
    let best = info.rungs.iter().map(|rung| rung.rung).max().ok_or("the job has no rungs")?;
    stage.say("B has the job, its pictures and programs, and A's promise to pay for each rung");
    Ok(best)
}

fn run_cheap_rung(stage: &Stage, job: &str) -> Result<(), String> {
    let (rung, result) = stage.until("B runs the cheap rung", || result(&stage.b, job, 0))?;
    stage.say(&format!(
        "B has answered with rung 0, “{}” ({}): {}",
        rung,
        result.engine,
        cost(result.fuel, result.wall_ms)
    ));
    for (better, reason) in &result.fell_from {
        stage.say(&format!("    not rung {better}: {reason}"));
    }
    Ok(())
}

/// B reaches C through the stick, C works, and its answer comes back to B.
fn cross_the_gap(stage: &Stage, job: &str, best: u8) -> Result<(), String> {
    stage.say("B writes a stick for C; the stick is carried to C");
    let there = stage.until("the job reaches C", || {
        let written = carry(stage, &stage.b, &stage.c)?;
        match show(&stage.c, job) {
            Ok(_) => Ok(written),
            Err(pending) => {
                carry(stage, &stage.c, &stage.b)?;
                Err(pending)
            }
        }
    })?;
    stage.say(&format!("C has read {} sealed files ({} bytes) and knows the job", there.files, there.bytes));
    let mut polls = 0_u32;
    let (rung, result) = stage.until("C runs the best rung", || {
        // C may lack something that only another trip brings; it does not need one at every look.
        if polls % 25 == 24 {
            carry(stage, &stage.c, &stage.b)?;
            carry(stage, &stage.b, &stage.c)?;
        }
        polls += 1;
        result(&stage.c, job, best)
    })?;
    stage.say(&format!(
        "C has answered with rung {best}, “{rung}” ({}): {}",
        result.engine,
        cost(result.fuel, result.wall_ms)
    ));
    stage.until("the answer reaches B", || {
        carry(stage, &stage.c, &stage.b)?;
        let (_, at_b) = self::result(&stage.b, job, best)?;
        if at_b.here {
            Ok(())
        } else {
            Err(Pending::because("B knows of the answer, but lacks its contents"))
        }
    })?;
    stage.say("the stick came back: B holds C's answer, sealed to A");
    Ok(())
}

/// A verifies both answers, accepts them and closes the job.
fn accept(stage: &Stage, job: &str, best: u8) -> Result<(), String> {
    for rung in [0, best] {
        stage.until(&format!("A accepts rung {rung}"), || {
            let (_, result) = result(&stage.a, job, rung)?;
            if result.state == "accepted" {
                Ok(())
            } else {
                Err(Pending::because(format!("it is {}", result.state)))
            }
        })?;
        stage.say(&format!("A has recomputed some pictures of rung {rung}, and accepts it"));
    }
    order(stage, &stage.a, &Request::JobClose { job: job.to_owned() })
}

/// The acceptance travels to C, locks settle, and what was promised for nothing is released from C upwards.
fn settle(stage: &Stage) -> Result<(), String> {
    stage.say("the stick goes round once more, so that C sees A's acceptance");
    let mut polls = 0_u32;
    stage.until("all promises are settled or released", || {
        if polls.is_multiple_of(10) {
            carry(stage, &stage.b, &stage.c)?;
            carry(stage, &stage.c, &stage.b)?;
        }
        polls += 1;
        linked(&stage.a, &stage.b)?;
        for (node, other) in
            [(&stage.a, &stage.b), (&stage.b, &stage.a), (&stage.b, &stage.c), (&stage.c, &stage.b)]
        {
            let edge = edge(node, other)?;
            let held = edge.held_by_me.saturating_add(edge.held_to_me);
            if held > 0 {
                return Err(Pending::because(format!(
                    "{} and {} hold {}",
                    node.label,
                    other.label,
                    amount(held)
                )));
            }
        }
        same_view(&stage.a, &stage.b)?;
        same_view(&stage.b, &stage.c)
    })?;
    stage.say("every promise is settled or released, and all boards show the same");
    Ok(())
}

fn take_home(stage: &Stage, job: &str, best: u8) -> Result<(PathBuf, PathBuf), String> {
    let output = stage.path("answer.txt");
    let receipt = stage.path("digits.receipt");
    let asks = [
        (&output, Request::JobResult { job: job.into(), rung: Some(best), path: Some(output.clone()) }),
        (&receipt, Request::ReceiptExport { job: job.into(), rung: best, path: receipt.clone() }),
    ];
    for (path, ask) in asks {
        stage.until("A writes answer and receipt", || {
            // An earlier attempt may have written the file and lost the answer.
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Pending::because(error.to_string()));
                }
                Ok(()) | Err(_) => {}
            }
            stage.a.ask(&ask)?;
            Ok(())
        })?;
    }
    Ok((output, receipt))
}

/// One trip of the stick: written by one node, read by another.
fn carry(stage: &Stage, from: &Node, to: &Node) -> Attempt<CarryInfo> {
    let directory = stage.stick();
    carried(from, &Request::CarryExport { directory: directory.clone(), to: vec![to.name.into()] })?;
    carried(to, &Request::CarryImport { directory })
}

fn carried(node: &Node, request: &Request) -> Attempt<CarryInfo> {
    match node.ask(request)? {
        Response::Carried(info) => match info.refused.first() {
            None => Ok(info),
            Some((file, reason)) => {
                Err(Pending::because(format!("{} refused {file} on the stick: {reason}", node.label)))
            }
        },
        other => Err(odd(&other)),
    }
}

fn order(stage: &Stage, node: &Node, request: &Request) -> Result<(), String> {
    stage.until(&format!("{} takes an order", node.label), || Ok(node.ask(request).map(drop)?))
}

fn peer(node: &Node, addresses: Vec<String>) -> Request {
    Request::PeerAdd { node: node.name.into(), addresses }
}

fn odd(response: &Response) -> Pending {
    Pending::because(format!("an answer of another kind: {response:?}").chars().take(200).collect::<String>())
}

fn text(response: Response) -> Attempt<String> {
    match response {
        Response::Text { text } => Ok(text),
        other => Err(odd(&other)),
    }
}

pub(super) fn status(node: &Node) -> Attempt<Status> {
    match node.ask(&Request::Status)? {
        Response::Status(status) => Ok(status),
        other => Err(odd(&other)),
    }
}

fn local_address(node: &Node) -> Attempt<String> {
    let addresses = status(node)?.addresses;
    let local = addresses.into_iter().find(|address| address.starts_with("127.0.0.1:"));
    local.ok_or_else(|| Pending::because(format!("{} has no address yet", node.label)))
}

pub(super) fn contacts(node: &Node) -> Attempt<Vec<ContactInfo>> {
    match node.ask(&Request::CardList)? {
        Response::Contacts { contacts } => Ok(contacts),
        other => Err(odd(&other)),
    }
}

pub(super) fn board_view(node: &Node) -> Attempt<String> {
    match node.ask(&Request::BoardList)? {
        Response::Boards { boards } => {
            let board = boards.into_iter().find(|board| board.name == BOARD);
            board.map(|board| board.view).ok_or_else(|| Pending::because("the board is not there"))
        }
        other => Err(odd(&other)),
    }
}

pub(super) fn edges(node: &Node) -> Attempt<Vec<EdgeInfo>> {
    match node.ask(&Request::Credit)? {
        Response::Credit { edges } => Ok(edges),
        other => Err(odd(&other)),
    }
}

fn edge(node: &Node, other: &Node) -> Attempt<EdgeInfo> {
    let edge = edges(node)?.into_iter().find(|edge| edge.name == other.name);
    edge.ok_or_else(|| Pending::because(format!("{} knows of no line with {}", node.label, other.label)))
}

pub(super) fn show(node: &Node, job: &str) -> Attempt<JobInfo> {
    match node.ask(&Request::JobShow { job: job.to_owned() })? {
        Response::Job(info) => Ok(info),
        other => Err(odd(&other)),
    }
}

/// Name of a rung and its best result, as a node sees it: an accepted one before any other.
fn result(node: &Node, job: &str, rung: u8) -> Attempt<(String, ResultInfo)> {
    let info = show(node, job)?;
    let here = info.here;
    let rung = info.rungs.into_iter().find(|info| info.rung == rung);
    let rung = rung.ok_or_else(|| Pending::because("there is no such rung"))?;
    let best = rung.results.into_iter().max_by_key(|result| result.state == "accepted");
    best.map(|result| (rung.name, result))
        .ok_or_else(|| Pending::because(format!("no result at {} yet; it says: {here}", node.label)))
}

/// Whether two nodes have a link; true if it is idle at both ends and nothing waits for an acknowledgement.
fn linked(one: &Node, two: &Node) -> Attempt<bool> {
    let mut idle = true;
    for (node, other) in [(one, two), (two, one)] {
        let status = status(node)?;
        let link = status.links.iter().find(|link| link.name == other.name && link.kind == "iroh");
        let link =
            link.ok_or_else(|| Pending::because(format!("{} has no link to {}", node.label, other.label)))?;
        idle &= link.idle && status.unacknowledged == 0;
    }
    Ok(idle)
}

fn same_view(one: &Node, two: &Node) -> Attempt<()> {
    if board_view(one)? == board_view(two)? {
        Ok(())
    } else {
        Err(Pending::because(format!("the boards of {} and {} differ", one.label, two.label)))
    }
}
