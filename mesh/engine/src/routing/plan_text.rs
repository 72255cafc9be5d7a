//! Contact plans as text that a person can write.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::SplitWhitespace;

use cairn_bundle::NodeId;

use crate::routing::plan::{ContactPlan, PLAN_CONTACTS_MAX, PlanClock, PlanError, PlannedContact};

/// Most names that a plan may give to nodes.
const NAMES_MAX: usize = PLAN_CONTACTS_MAX;
/// Longest name.
const NAME_BYTES_MAX: usize = 64;
const DAY_S: u64 = 86_400;

/// A line of a plan that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct PlanTextError {
    /// Which line; the first is 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: LineError,
}

/// What is wrong with a line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Neither `node` nor `contact`.
    #[error("a line begins with `node` or `contact`")]
    Statement,
    /// Fields are missing.
    #[error("the form is `contact FROM TO START END [rate=BYTES/S] [delay=MS] [every=LENGTH] [both]`")]
    ContactForm,
    /// Not a name and a node id.
    #[error("the form is `node NAME ID`, with a name of at most 64 bytes")]
    NodeForm,
    /// A name that was given before.
    #[error("`{0}` already names a node")]
    NameTaken(String),
    /// More names than contacts are possible.
    #[error("a plan names at most 10000 nodes")]
    TooManyNames,
    /// Neither a name given above nor a node id.
    #[error("`{0}` is no node: a name given above by `node NAME ID`, or 52 characters of base32")]
    Node(String),
    /// Not a time.
    #[error("`{0}` is no time: write 2026-11-21T06:00, or +90, +30m, +2h, +1d")]
    Time(String),
    /// A time before 2020.
    #[error("`{0}` is before 2020")]
    Early(String),
    /// Not a length of time.
    #[error("`{0}` is no length: write 90, 30m, 2h, 1d, 1w, day or week")]
    Length(String),
    /// Not a number.
    #[error("`{0}` is no whole number")]
    Number(String),
    /// A field that does not exist.
    #[error("`{0}` is not known: rate=, delay=, every= or both")]
    Field(String),
    /// A start counted from the plan and an end counted from 2020.
    #[error("a start with + needs an end with +")]
    Mixed,
    /// A contact that cannot be.
    #[error(transparent)]
    Contact(#[from] PlanError),
}

impl ContactPlan {
    /// Reads the text form. `+` starts are counted from [`Instant::ZERO`](crate::Instant::ZERO) until
    /// [`ContactPlan::starting_at`] says otherwise.
    ///
    /// ```text
    /// # The bus calls on Mondays and goes on to the market.
    /// node bus    <52 characters>
    /// node school <52 characters>
    /// contact school bus 2026-11-23T08:00 +30m every=week rate=1000000 both
    /// contact bus <52 characters> 2026-11-23T11:00 2026-11-23T12:00 every=week delay=20
    /// contact school bus +2h +10m
    /// ```
    ///
    /// One statement a line; `#` begins a comment. A time is a date and time of day in UTC, or `+` and a length (`90`
    /// seconds, `30m`, `2h`, `1d`, `1w`). A start with `+` is counted from the moment at which the plan is taken up, an end
    /// with `+` from the start. `rate` is in bytes a second, `delay` in milliseconds, `every` is a length, `day` or `week`;
    /// `both` makes a second contact for the way back.
    ///
    /// # Errors
    /// The first line that is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, PlanTextError> {
        let mut names = BTreeMap::new();
        let mut contacts = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            statement(line, &mut names, &mut contacts)
                .map_err(|why| PlanTextError { line: index.saturating_add(1), why })?;
        }
        // Each contact was checked at its line.
        Self::new(contacts).map_err(|why| PlanTextError { line: text.lines().count(), why: why.into() })
    }
}

type Names<'a> = BTreeMap<&'a str, NodeId>;

fn statement<'a>(
    line: &'a str,
    names: &mut Names<'a>,
    contacts: &mut Vec<PlannedContact>,
) -> Result<(), LineError> {
    let mut fields = line.split_whitespace();
    match fields.next() {
        None => Ok(()),
        Some("node") => {
            let [Some(name), Some(id), None] = [fields.next(), fields.next(), fields.next()] else {
                return Err(LineError::NodeForm);
            };
            if name.len() > NAME_BYTES_MAX {
                return Err(LineError::NodeForm);
            }
            if names.len() >= NAMES_MAX {
                return Err(LineError::TooManyNames);
            }
            let id = id.parse().map_err(|_| LineError::Node(shortened(id)))?;
            match names.insert(name, id) {
                None => Ok(()),
                Some(_) => Err(LineError::NameTaken(name.to_string())),
            }
        }
        Some("contact") => contact(fields, names, contacts),
        Some(_) => Err(LineError::Statement),
    }
}

fn contact(
    mut fields: SplitWhitespace<'_>,
    names: &Names<'_>,
    contacts: &mut Vec<PlannedContact>,
) -> Result<(), LineError> {
    let form = [fields.next(), fields.next(), fields.next(), fields.next()];
    let [Some(from), Some(to), Some(start), Some(end)] = form else {
        return Err(LineError::ContactForm);
    };
    let (clock, start_s) = match start.strip_prefix('+') {
        Some(length) => (PlanClock::Plan, length_s(length)?),
        None => (PlanClock::Wall, wall_s(start)?),
    };
    let end_s = match (end.strip_prefix('+'), clock) {
        (Some(length), _) => start_s.saturating_add(length_s(length)?),
        (None, PlanClock::Wall) => wall_s(end)?,
        (None, PlanClock::Plan) => return Err(LineError::Mixed),
    };
    let mut planned = PlannedContact {
        from: node(from, names)?,
        to: node(to, names)?,
        clock,
        start_s,
        end_s,
        every_s: None,
        rate_bytes_s: None,
        delay_ms: 0,
    };
    let mut both = false;
    for field in fields {
        match field.split_once('=') {
            Some(("rate", value)) => planned.rate_bytes_s = Some(number(value)?),
            Some(("delay", value)) => planned.delay_ms = number(value)?,
            Some(("every", "day")) => planned.every_s = Some(DAY_S),
            Some(("every", "week")) => planned.every_s = Some(7 * DAY_S),
            Some(("every", value)) => planned.every_s = Some(length_s(value)?),
            None if field == "both" => both = true,
            Some(_) | None => return Err(LineError::Field(shortened(field))),
        }
    }
    planned.check()?;
    contacts.push(planned);
    if both {
        contacts.push(PlannedContact { from: planned.to, to: planned.from, ..planned });
    }
    if contacts.len() > PLAN_CONTACTS_MAX { Err(PlanError::TooMany.into()) } else { Ok(()) }
}

fn node(text: &str, names: &Names<'_>) -> Result<NodeId, LineError> {
    match names.get(text) {
        Some(id) => Ok(*id),
        None => text.parse().map_err(|_| LineError::Node(shortened(text))),
    }
}

fn number(text: &str) -> Result<u64, LineError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| LineError::Number(shortened(text)))
}

fn length_s(text: &str) -> Result<u64, LineError> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', DAY_S), ('w', 7 * DAY_S)];
    let unit = units.iter().find_map(|&(unit, s)| text.strip_suffix(unit).map(|count| (count, s)));
    let (count, unit_s) = unit.unwrap_or((text, 1));
    let count = number(count).map_err(|_| LineError::Length(shortened(text)))?;
    count.checked_mul(unit_s).ok_or_else(|| LineError::Length(shortened(text)))
}

/// Seconds from 2020-01-01 to a `2026-11-21T06:00` or `2026-11-21T06:00:30`, with or without a `Z`.
fn wall_s(text: &str) -> Result<u64, LineError> {
    let wrong = || LineError::Time(shortened(text));
    let (date, time) = text.strip_suffix('Z').unwrap_or(text).split_once('T').ok_or_else(wrong)?;
    let field = |field: Option<&str>, digits: usize, range: core::ops::RangeInclusive<u64>| {
        let field = field.filter(|field| field.len() == digits).ok_or_else(wrong)?;
        number(field).ok().filter(|value| range.contains(value)).ok_or_else(wrong)
    };
    let mut date = date.split('-');
    let year = field(date.next(), 4, 0..=9_999)?;
    let month = field(date.next(), 2, 1..=12)?;
    let day = field(date.next(), 2, 1..=month_days(year, month))?;
    let mut time = time.split(':');
    let hour = field(time.next(), 2, 0..=23)?;
    let minute = field(time.next(), 2, 0..=59)?;
    let second = match time.next() {
        Some(second) => field(Some(second), 2, 0..=59)?,
        None => 0,
    };
    if date.next().is_some() || time.next().is_some() {
        return Err(wrong());
    }
    if year < 2020 {
        return Err(LineError::Early(shortened(text)));
    }
    let years: u64 = (2020..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let months: u64 = (1..month).map(|month| month_days(year, month)).sum();
    Ok((years + months + day - 1) * DAY_S + hour * 3_600 + minute * 60 + second)
}

const fn leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// As much of a field as an error should repeat.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use cairn_bundle::Identity;
    use proptest::prelude::*;

    fn id(seed: u8) -> NodeId {
        Identity::from_seed(&[seed; 32]).node_id()
    }

    fn error(line: &str) -> LineError {
        let text = format!("node a {}\nnode b {}\n\n{line} # so\n", id(1), id(2));
        let error = ContactPlan::parse(&text).unwrap_err();
        assert_eq!(error.line, 4, "{error}");
        error.why
    }

    #[test]
    fn a_plan_is_read_as_it_was_meant() {
        let text =
            format!("# bus\nnode bus {}\r\n\n\tcontact bus {} 2020-01-01T00:01 +1m30s\n", id(1), id(2));
        assert_eq!(ContactPlan::parse(&text).unwrap_err().why, LineError::Length("1m30s".into()));
        let text = format!(
            "node bus {}\ncontact bus {} 2024-03-01T06:00:05Z +30m every=week rate=1000 delay=20 both # Friday\n\
             contact {} bus +2h +1d every=90000\n",
            id(1),
            id(2),
            id(3)
        );
        let plan = ContactPlan::parse(&text).unwrap();
        let start_s = (4 * 365 + 1 + 31 + 29) * DAY_S + 6 * 3_600 + 5;
        let there = PlannedContact {
            from: id(1),
            to: id(2),
            clock: PlanClock::Wall,
            start_s,
            end_s: start_s + 1_800,
            every_s: Some(7 * DAY_S),
            rate_bytes_s: Some(1_000),
            delay_ms: 20,
        };
        let back = PlannedContact { from: id(2), to: id(1), ..there };
        let soon = PlannedContact {
            from: id(3),
            to: id(1),
            clock: PlanClock::Plan,
            start_s: 7_200,
            end_s: 7_200 + DAY_S,
            every_s: Some(90_000),
            rate_bytes_s: None,
            delay_ms: 0,
        };
        assert_eq!(plan.contacts(), [there, back, soon]);
    }

    #[test]
    fn a_wrong_line_is_named_with_the_reason() {
        let text = |text: &str| String::from(text);
        assert_eq!(error("meet a b"), LineError::Statement);
        assert_eq!(error("contact a b +1"), LineError::ContactForm);
        assert_eq!(error("node c"), LineError::NodeForm);
        assert_eq!(error("node c x"), LineError::Node(text("x")));
        assert_eq!(error(&format!("node a {}", id(3))), LineError::NameTaken(text("a")));
        assert_eq!(error("contact a c +1 +1"), LineError::Node(text("c")));
        assert_eq!(error("contact a b 2026-02-29T00:00 +1"), LineError::Time(text("2026-02-29T00:00")));
        assert_eq!(error("contact a b 2026-2-1T00:00 +1"), LineError::Time(text("2026-2-1T00:00")));
        assert_eq!(error("contact a b 2026-02-01 +1"), LineError::Time(text("2026-02-01")));
        assert_eq!(error("contact a b 2019-12-31T23:59 +1"), LineError::Early(text("2019-12-31T23:59")));
        assert_eq!(error("contact a b +1x +1"), LineError::Length(text("1x")));
        assert_eq!(error("contact a b +999999999999999w +1"), LineError::Length(text("999999999999999w")));
        assert_eq!(error("contact a b + +1"), LineError::Length(text("")));
        assert_eq!(error("contact a b +1 2026-02-01T00:00"), LineError::Mixed);
        assert_eq!(error("contact a b +1 +1 rate=-1"), LineError::Number(text("-1")));
        assert_eq!(error("contact a b +1 +1 range=1"), LineError::Field(text("range=1")));
        assert_eq!(error("contact a b +1 +0"), LineError::Contact(PlanError::Ends));
        assert_eq!(error("contact a a +1 +1"), LineError::Contact(PlanError::Alone));
        assert_eq!(error("contact a b +1 +2d every=day"), LineError::Contact(PlanError::Period));
        assert_eq!(error("contact a b +99999999w +1"), LineError::Contact(PlanError::Far));
        let shown = ContactPlan::parse("x").unwrap_err().to_string();
        assert_eq!(shown, "line 1: a line begins with `node` or `contact`");
    }

    #[test]
    fn one_contact_too_many_is_refused_at_its_line() {
        let mut text = format!("node a {}\nnode b {}\n", id(1), id(2));
        text.push_str(&"contact a b +1 +1\n".repeat(PLAN_CONTACTS_MAX));
        assert!(ContactPlan::parse(&text).is_ok());
        text.push_str("contact a b +1 +1\n");
        let error = ContactPlan::parse(&text).unwrap_err();
        let why = LineError::Contact(PlanError::TooMany);
        assert_eq!(error, PlanTextError { line: PLAN_CONTACTS_MAX + 3, why });
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "((node|contact|both|rate=|every=|[a-z0-9+:TZ#-]{0,20})[ \n]?){0,30}|.{0,80}") {
            let _ = ContactPlan::parse(&text);
        }
    }
}
