//! Contact traces in the connectivity report format of the ONE simulator.
//!
//! One event a line, as its `ConnectivityONEReport` writes them and its `StandardEventsReader` reads them:
//! `<seconds> CONN <node> <node> up|down`, with an optional name of the interface behind. A node is a number, perhaps
//! behind letters (`p12`). Empty lines and lines that begin with `#` say nothing. The message events that the same
//! reader knows are skipped.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use super::contact::{Contact, ContactTrace, LinkModel};

/// Nodes of a trace at most; the highest number of a node is one less.
pub const NODES_MAX: usize = 100_000;
/// Contacts of a trace at most.
pub const CONTACTS_MAX: usize = 20_000_000;
/// Bytes of a line at most.
pub const LINE_BYTES_MAX: usize = 256;
/// Longest trace, in milliseconds: a hundred years.
pub const END_MS_MAX: u64 = 100 * 366 * 86_400_000;
/// Actions of the same format that have nothing to do with contacts: create, send, delivered, abort, drop, remove.
const MESSAGE_ACTIONS: [&str; 6] = ["C", "S", "DE", "A", "DR", "R"];

/// A trace that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct TraceError {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: TraceFault,
}

/// What is wrong with a line of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TraceFault {
    /// The line is too long to be one.
    #[error("more than {LINE_BYTES_MAX} bytes")]
    Long,
    /// A field is missing, or there is one too many.
    #[error("not of the form `<seconds> CONN <node> <node> up|down`")]
    Fields,
    /// The first field is no time.
    #[error("the time is not a number of seconds with a point before its fraction")]
    Time,
    /// The time is before the one of an earlier line.
    #[error("the time goes backwards")]
    Backwards,
    /// The second field is not known.
    #[error("the event is neither CONN nor one about messages")]
    Action,
    /// A node is no number, or too high.
    #[error("a node is not a number below {NODES_MAX}")]
    Node,
    /// A node meets itself.
    #[error("a node meets itself")]
    Itself,
    /// Neither up nor down.
    #[error("the link is neither up nor down")]
    Direction,
    /// Up twice.
    #[error("the link is up already")]
    Up,
    /// Down twice, or without being up.
    #[error("the link is not up")]
    Down,
    /// Too much of everything.
    #[error("more than {CONTACTS_MAX} contacts")]
    Contacts,
}

/// Reads a trace. Times are cut to milliseconds; contacts that are still up in the end last until the last line's
/// time. All contacts are over links of one kind, which the format does not describe.
///
/// # Errors
/// The first line that is not understood, see [`TraceFault`].
pub fn read(text: &str, model: LinkModel) -> Result<ContactTrace, TraceError> {
    let mut reading = Reading::default();
    for (index, line) in text.lines().enumerate() {
        reading.handle_line(line).map_err(|fault| TraceError { line: index + 1, fault })?;
    }
    Ok(reading.finish(model))
}

/// Writes a trace: what [`read`] gives back has the same contacts. Kinds of links are not part of the format.
#[must_use]
pub fn write(trace: &ContactTrace) -> String {
    let mut text = String::new();
    // Two kinds of link between one pair at one time are one connection here.
    let flat = trace.contacts().iter().map(|contact| Contact { link: 0, ..*contact }).collect();
    let flat = ContactTrace::new(trace.nodes(), trace.end_ms(), vec![LinkModel::WIFI], flat);
    for event in flat.events() {
        let (seconds, ms) = (event.at_ms / 1_000, event.at_ms % 1_000);
        let direction = if event.up { "up" } else { "down" };
        // The format's own reports have two digits; its readers take any number.
        let time =
            if ms % 10 == 0 { format!("{seconds}.{:02}", ms / 10) } else { format!("{seconds}.{ms:03}") };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{time} CONN {} {} {direction}", event.a, event.b);
    }
    text
}

#[derive(Default)]
struct Reading {
    now_ms: u64,
    nodes: usize,
    up: BTreeMap<(usize, usize), u64>,
    contacts: Vec<Contact>,
}

impl Reading {
    fn handle_line(&mut self, line: &str) -> Result<(), TraceFault> {
        if line.len() > LINE_BYTES_MAX {
            return Err(TraceFault::Long);
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let mut fields = line.split_ascii_whitespace();
        let now_ms = fields.next().and_then(milliseconds).ok_or(TraceFault::Time)?;
        if now_ms < self.now_ms {
            return Err(TraceFault::Backwards);
        }
        let action = fields.next().ok_or(TraceFault::Fields)?;
        if action != "CONN" {
            return if MESSAGE_ACTIONS.contains(&action) { Ok(()) } else { Err(TraceFault::Action) };
        }
        let (Some(one), Some(other), Some(direction)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(TraceFault::Fields);
        };
        if fields.count() > 1 {
            return Err(TraceFault::Fields);
        }
        let (one, other) = (node(one).ok_or(TraceFault::Node)?, node(other).ok_or(TraceFault::Node)?);
        if one == other {
            return Err(TraceFault::Itself);
        }
        self.now_ms = now_ms;
        self.nodes = self.nodes.max(one.max(other) + 1);
        self.turn((one.min(other), one.max(other)), direction)
    }

    fn turn(&mut self, pair: (usize, usize), direction: &str) -> Result<(), TraceFault> {
        if direction.eq_ignore_ascii_case("up") {
            if self.up.len() + self.contacts.len() >= CONTACTS_MAX {
                return Err(TraceFault::Contacts);
            }
            let before = self.up.insert(pair, self.now_ms);
            return if before.is_none() { Ok(()) } else { Err(TraceFault::Up) };
        }
        if !direction.eq_ignore_ascii_case("down") {
            return Err(TraceFault::Direction);
        }
        let start_ms = self.up.remove(&pair).ok_or(TraceFault::Down)?;
        self.contacts.push(Contact { start_ms, end_ms: self.now_ms, a: pair.0, b: pair.1, link: 0 });
        Ok(())
    }

    fn finish(mut self, model: LinkModel) -> ContactTrace {
        let end_ms = self.now_ms;
        let open = core::mem::take(&mut self.up);
        self.contacts.extend(open.into_iter().map(|((a, b), start_ms)| Contact {
            start_ms,
            end_ms,
            a,
            b,
            link: 0,
        }));
        ContactTrace::new(self.nodes, end_ms, vec![model], self.contacts)
    }
}

/// Seconds with an optional fraction as milliseconds; digits behind the third are cut off.
fn milliseconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds: u64 = whole.parse().ok()?;
    let thousandths = fraction.bytes().chain([b'0'; 3]).take(3);
    let ms = thousandths.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    seconds.checked_mul(1_000)?.checked_add(ms).filter(|ms| *ms <= END_MS_MAX)
}

/// The number behind letters.
fn node(text: &str) -> Option<usize> {
    let number = text.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let decimal = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|number| decimal && *number < NODES_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(text: &str) -> (usize, TraceFault) {
        let error = read(text, LinkModel::WIFI).unwrap_err();
        (error.line, error.fault)
    }

    #[test]
    fn what_the_other_simulator_writes_is_read() {
        let text = "# a comment\n\n0.00 CONN 0 1 up\n12.50 CONN p1 w3 up wlan\n30.10 C M1 0 3 1000\n\
                    30.10 CONN 0 1 down\n  40 \tCONN 0 1 UP \n100.00 CONN 3 1 Down\n120.5 CONN 2 0 up\r\n130.00 CONN 0 2 down";
        let trace = read(text, LinkModel::WIFI).unwrap();
        assert_eq!((trace.nodes(), trace.end_ms()), (4, 130_000));
        let contacts: Vec<_> = trace.contacts().iter().map(|c| (c.start_ms, c.end_ms, c.a, c.b)).collect();
        let expected =
            [(0, 30_100, 0, 1), (12_500, 100_000, 1, 3), (40_000, 130_000, 0, 1), (120_500, 130_000, 0, 2)];
        assert_eq!(contacts, expected);
    }

    #[test]
    fn a_fault_names_its_line() {
        let good = "1.0 CONN 0 1 up\n";
        for (bad, expected) in [
            ("x CONN 0 1 up", TraceFault::Time),
            ("-1 CONN 0 1 up", TraceFault::Time),
            ("1,5 CONN 0 2 up", TraceFault::Time),
            ("1e3 CONN 0 2 up", TraceFault::Time),
            (".5 CONN 0 2 up", TraceFault::Time),
            ("99999999999999999999 CONN 0 2 up", TraceFault::Time),
            ("9999999999999999 CONN 0 2 up", TraceFault::Time),
            ("0.5 CONN 0 2 up", TraceFault::Backwards),
            ("2", TraceFault::Fields),
            ("2 CONN 0 2", TraceFault::Fields),
            ("2 CONN 0 2 up wlan more", TraceFault::Fields),
            ("2 JOIN 0 2 up", TraceFault::Action),
            ("2 CONN a 2 up", TraceFault::Node),
            ("2 CONN 0 100000 up", TraceFault::Node),
            ("2 CONN 0 2x up", TraceFault::Node),
            ("2 CONN 0 99999999999999999999999 up", TraceFault::Node),
            ("2 CONN 7 p7 up", TraceFault::Itself),
            ("2 CONN 0 2 sideways", TraceFault::Direction),
            ("2 CONN 1 0 up", TraceFault::Up),
            ("2 CONN 0 2 down", TraceFault::Down),
        ] {
            assert_eq!(fault(&format!("{good}\n{bad}\n3 CONN 0 1 down")), (3, expected), "{bad}");
        }
        assert_eq!(fault(&"9".repeat(LINE_BYTES_MAX + 1)), (1, TraceFault::Long));
    }

    fn traces() -> impl Strategy<Value = ContactTrace> {
        let contact = (0_u64..100_000, 1_u64..50_000, 0_usize..12, 0_usize..12)
            .prop_map(|(start_ms, long, a, b)| Contact { start_ms, end_ms: start_ms + long, a, b, link: 0 });
        proptest::collection::vec(contact, 0..60)
            .prop_map(|contacts| ContactTrace::new(12, 1_000_000, vec![LinkModel::WIFI], contacts))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace in traces()) {
            let again = read(&write(&trace), LinkModel::WIFI).unwrap();
            prop_assert_eq!(again.contacts(), trace.contacts());
        }

        #[test]
        fn no_text_does_more_than_be_refused(text in "(([0-9]{0,9}[.,]?[0-9]{0,4})? ?(CONN|C|DE|X)? [a-z]?[0-9]{0,6} [0-9]{0,3} (up|down|UP|#)?\n?){0,8}") {
            let _ = read(&text, LinkModel::WIFI);
        }

        #[test]
        fn no_bytes_do_more_than_be_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&String::from_utf8_lossy(&bytes), LinkModel::WIFI);
        }
    }
}
