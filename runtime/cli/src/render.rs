//! Answers of the node as text for a person.

use cairn_node::control::api::{
    BoardInfo, CarryInfo, ContactInfo, EdgeInfo, JobInfo, KeyKind, MessageInfo, PrekeyInfo, Response,
    RungInfo, Status,
};

use crate::out::{clean, clean_line};
use crate::table::Table;

/// Any answer, in its usual form.
pub(crate) fn response(response: &Response) -> String {
    match response {
        Response::Done => String::new(),
        Response::Error { message, hint } => {
            format!("error: {}\nhint: {}\n", clean(message), clean(hint.as_deref().unwrap_or("-")))
        }
        Response::Text { text } => clean(text),
        Response::Id { id } => id.clone(),
        Response::Sent { id, sealed_to, because } => {
            format!("{id}\nsealed to {}\n", self::sealed_to(*sealed_to, because.as_deref()))
        }
        Response::Carrying { bundles } => crate::commands::route::carried(bundles),
        Response::Route(info) => crate::commands::route::explained(info),
        Response::Status(state) => status(state),
        Response::Contacts { contacts } => self::contacts(contacts),
        Response::Inbox { messages } => inbox(messages),
        Response::Boards { boards } => self::boards(boards),
        Response::Jobs { jobs, members } => board(jobs, members),
        Response::Job(info) => job(info),
        Response::Credit { edges } => credit(edges),
        Response::Carried(info) => carried(info),
    }
}

/// Which key, and what that means to the person in front of the screen.
fn sealed_to(kind: KeyKind, because: Option<&str>) -> String {
    match (kind, because) {
        (KeyKind::Prekey, _) => "a prekey".into(),
        (KeyKind::LongTerm, None) => "the long-term key".into(),
        (KeyKind::LongTerm, Some(because)) => format!("the long-term key: {}", clean_line(because)),
    }
}

/// The prekey that others are told to seal to.
fn prekey(info: &PrekeyInfo) -> String {
    match (info.announced, info.valid_until) {
        (false, _) => "none: mail to this node is sealed to its long-term key".into(),
        (true, None) => "announced without a date: this node has no clock".into(),
        (true, Some(until)) => format!("valid until {}, {} held", moment(until), info.held),
    }
}

/// The first characters of an id: for people, never to be trusted.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(10).collect()
}

/// A name, or the short id of who has none.
pub(crate) fn name_or_short(name: &str, id: &str) -> String {
    if name.is_empty() { short(id) } else { clean_line(name) }
}

/// Micro-credits.
pub(crate) fn amount(value: impl core::fmt::Display) -> String {
    format!("{value} µcr")
}

/// Parts per million as a percentage.
pub(crate) fn percent(ppm: u32) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}

/// Bytes with a binary unit.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = "KiB";
    for next in UNITS.iter().skip(1) {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

fn status(state: &Status) -> String {
    let seconds = state.uptime_ms / 1000;
    let mut text = format!(
        "node       {}\nname       {}\nversion    {} (process {})\nup for     {} h {:02} min {:02} s\n",
        state.node,
        clean_line(&state.name),
        clean_line(&state.version),
        state.pid,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
    );
    let addresses = if state.addresses.is_empty() { "none".into() } else { state.addresses.join(" ") };
    text += &format!(
        "addresses  {addresses}\nprekey     {}\nstore      {} of {}\nbundles    {}\nmessages   {}\ntasks      {} running\nunsent     {} not acknowledged\n",
        prekey(&state.prekeys),
        size(state.store_bytes),
        size(state.store_bytes_max),
        state.bundles,
        state.messages,
        state.tasks_running,
        state.unacknowledged,
    );
    let mut links = Table::new(&["link", "node", "kind", "state"]);
    for link in &state.links {
        let idle = if link.idle { "idle" } else { "busy" };
        links.row(&[&clean_line(&link.name), &short(&link.node), &link.kind, &idle]);
    }
    text += &format!("\n{}", links.or("no open links"));
    if !state.counters.is_empty() {
        let mut counters = Table::new(&["counter", "count"]);
        for (name, count) in &state.counters {
            counters.row(&[name, count]);
        }
        text += &format!("\n{counters}");
    }
    for warning in &state.warnings {
        text += &format!("\nwarning: {}", clean_line(warning));
    }
    text
}

pub(crate) fn contacts(contacts: &[ContactInfo]) -> String {
    let mut table = Table::new(&["name", "node", "peer", "mail is sealed to", "addresses"]);
    for contact in contacts {
        let peer = if contact.peer { "yes" } else { "no" };
        let key = contact.sealed_to.map(|kind| sealed_to(kind, contact.because.as_deref()));
        let key = key.unwrap_or_else(|| "-".into());
        table.row(&[&contact.name, &contact.node, &peer, &key, &contact.addresses.join(" ")]);
    }
    table.or("no cards yet; take one in with: cairn card import FILE")
}

fn inbox(messages: &[MessageInfo]) -> String {
    let mut text = String::new();
    for message in messages {
        let from = name_or_short(&message.from_name, &message.from);
        text += &format!("{}  from {from} ({})", message.number, short(&message.from));
        if let Some(seconds) = message.written {
            text += &format!("  written {}", moment(seconds));
        }
        if message.sealed_to == Some(KeyKind::LongTerm) {
            text += "  sealed to the long-term key";
        }
        if let Some((name, bytes)) = &message.file {
            text += &format!("  file {} ({})", clean_line(name), size(*bytes));
        }
        text.push('\n');
        for line in clean(&message.text).lines() {
            text += &format!("    {line}\n");
        }
    }
    if text.is_empty() { "no messages\n".into() } else { text }
}

fn boards(boards: &[BoardInfo]) -> String {
    let mut table = Table::new(&["board", "members", "jobs", "view"]);
    for board in boards {
        table.row(&[&board.name, &board.members, &board.jobs, &short(&board.view)]);
    }
    table.or("no boards yet; start one with: cairn board create NAME")
}

fn board(jobs: &[JobInfo], members: &[ContactInfo]) -> String {
    let mut text = String::new();
    if !members.is_empty() {
        let mut table = Table::new(&["member", "node"]);
        for member in members {
            table.row(&[&name_or_short(&member.name, &member.node), &member.node]);
        }
        text += &format!("{table}\n");
    }
    let mut table = Table::new(&["job", "title", "board", "state", "best answer", "here"]);
    for job in jobs {
        table.row(&[&short(&job.id), &job.title, &job.board, &job.state, &best(job), &job.here]);
    }
    text + &table.or("no jobs")
}

fn best(job: &JobInfo) -> String {
    let answered = |rung: &&RungInfo| rung.results.iter().any(|result| !result.state.starts_with("rejected"));
    match job.rungs.iter().rev().find(answered) {
        Some(rung) => {
            format!("rung {}/{} {}", rung.rung, job.rungs.len().saturating_sub(1), percent(rung.quality_ppm))
        }
        None => "none yet".into(),
    }
}

fn job(info: &JobInfo) -> String {
    let mut text = format!(
        "job    {}\ntitle  {}\nboard  {}\npayer  {}\nstate  {}\nhere   {}\n\n",
        info.id,
        clean_line(&info.title),
        clean_line(&info.board),
        info.payer,
        clean_line(&info.state),
        clean_line(&info.here)
    );
    let mut rungs = Table::new(&["rung", "name", "engine", "quality", "price", "answers"]);
    for rung in &info.rungs {
        let quality = percent(rung.quality_ppm);
        rungs.row(&[
            &rung.rung,
            &rung.name,
            &rung.engine,
            &quality,
            &amount(rung.price),
            &rung.results.len(),
        ]);
    }
    text += &rungs.to_string();
    let mut results = Table::new(&["rung", "by", "cost", "engine", "output", "size", "state", "receipt"]);
    for (rung, result) in
        info.rungs.iter().flat_map(|rung| rung.results.iter().map(move |result| (rung, result)))
    {
        let by = name_or_short(&result.executor_name, &result.executor);
        let size = if result.here { size(result.output_bytes) } else { "not here yet".into() };
        let receipt = if result.receipt { "yes" } else { "no" };
        let cost = cost(result.fuel, result.wall_ms);
        results.row(&[
            &rung.rung,
            &by,
            &cost,
            &result.engine,
            &short(&result.output),
            &size,
            &result.state,
            &receipt,
        ]);
    }
    if !results.is_empty() {
        text += &format!("\n{results}");
    }
    for (rung, result) in
        info.rungs.iter().flat_map(|rung| rung.results.iter().map(move |result| (rung, result)))
    {
        for (passed, reason) in &result.fell_from {
            text += &format!("rung {} instead of {passed}: {}\n", rung.rung, clean_line(reason));
        }
    }
    text
}

/// Fuel where the engine has a meter, milliseconds otherwise.
pub(crate) fn cost(fuel: u64, wall_ms: u64) -> String {
    if fuel == 0 { format!("{wall_ms} ms") } else { format!("{fuel} fuel") }
}

pub(crate) fn credit(edges: &[EdgeInfo]) -> String {
    let mut table = Table::new(&[
        "with",
        "node",
        "line given",
        "line received",
        "owes me",
        "I owe",
        "promised to me",
        "I promised",
        "net",
    ]);
    for edge in edges {
        table.row(&[
            &name_or_short(&edge.name, &edge.node),
            &short(&edge.node),
            &amount(edge.line_given),
            &amount(edge.line_received),
            &amount(edge.owed_to_me),
            &amount(edge.owed_by_me),
            &amount(edge.held_to_me),
            &amount(edge.held_by_me),
            &amount(edge.net),
        ]);
    }
    table.or("no lines yet; grant one with: cairn credit grant NODE LIMIT")
}

fn carried(info: &CarryInfo) -> String {
    let mut text = format!("{} files ({}), {} items", info.files, size(info.bytes), info.items);
    if info.for_others > 0 {
        text += &format!(", {} files left for others", info.for_others);
    }
    text.push('\n');
    for (file, reason) in &info.refused {
        text += &format!("refused {}: {}\n", clean_line(file), clean_line(reason));
    }
    text
}

/// Seconds since 2020-01-01 as a date and a time in UTC.
pub(crate) fn moment(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let Ok(mut left) = u32::try_from(days) else { return "in a far future".into() };
    let mut year = 2020_u32;
    let leap = |year: u32| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
        if year > 9999 {
            return "in a far future".into();
        }
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02} UTC", left + 1, rest / 3600, rest / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_well_at_their_edges() {
        assert_eq!(percent(1_000_000), "100.00 %");
        assert_eq!(percent(964_199), "96.41 %");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(1024 * 1024 - 1), "1023.9 KiB");
        assert_eq!(size(5 * 1024 * 1024 * 1024), "5.0 GiB");
        assert_eq!(size(u64::MAX), "1677721.5 TiB");
    }

    #[test]
    fn moments_follow_the_calendar() {
        assert_eq!(moment(0), "2020-01-01 00:00 UTC");
        assert_eq!(moment(59 * 86_400), "2020-02-29 00:00 UTC");
        assert_eq!(moment(366 * 86_400 - 1), "2020-12-31 23:59 UTC");
        assert_eq!(moment(366 * 86_400), "2021-01-01 00:00 UTC");
        assert_eq!(moment(u64::MAX), "in a far future");
        assert_eq!(moment(u64::from(u32::MAX) * 86_400), "in a far future");
    }

    #[test]
    fn every_kind_of_answer_has_a_text_form() {
        assert_eq!(response(&Response::Done), "");
        assert_eq!(response(&Response::Boards { boards: vec![] }).lines().count(), 1);
        let carried = CarryInfo { refused: vec![("x\u{1b}".into(), "torn".into())], ..CarryInfo::default() };
        assert!(response(&Response::Carried(carried)).contains("refused x : torn"));
    }
}
