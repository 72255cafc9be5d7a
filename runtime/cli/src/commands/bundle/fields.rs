//! What the fields of a bundle mean, in words.

use cairn_bundle::{AdminRecord, Bundle, BundleFlags, CreationTimestamp, Eid, ReasonCode};

use super::layout::{BYTES, BlockLayout, Item, TEXT, UINT, item};
use crate::{out, render};

/// One field as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Field {
    /// Where it begins in the file.
    pub(super) offset: usize,
    /// How many bytes it takes.
    pub(super) bytes: usize,
    pub(super) name: &'static str,
    pub(super) value: String,
}

const BUNDLE_FLAGS: [(u64, &str); 9] = [
    (0x01, "a fragment"),
    (0x02, "an administrative record"),
    (0x04, "must not be fragmented"),
    (0x20, "asks the application to acknowledge"),
    (0x40, "wants times in reports"),
    (0x4000, "reports reception"),
    (0x1_0000, "reports forwarding"),
    (0x2_0000, "reports delivery"),
    (0x4_0000, "reports deletion"),
];

const BLOCK_FLAGS: [(u64, &str); 4] = [
    (0x01, "goes into every fragment"),
    (0x02, "report if it cannot be processed"),
    (0x04, "delete the bundle if it cannot be processed"),
    (0x10, "remove it if it cannot be processed"),
];

/// Seconds from 2000-01-01, where bundle times begin, to 2020-01-01, where Cairn's own begin.
pub(super) const DTN_TO_CAIRN_S: u64 = 631_152_000;
/// Most bytes of a string that are shown.
const SHOWN_BYTES_MAX: usize = 32;
const FRAGMENT: u64 = 0x01;

/// The fields of the primary block.
pub(super) fn primary(bytes: &[u8], block: &BlockLayout) -> Vec<Field> {
    let flags = block.items.get(1).and_then(|item| item.argument).unwrap_or_default();
    let mut names =
        vec!["version", "flags", "crc type", "destination", "source", "report to", "created", "lifetime"];
    if flags & FRAGMENT != 0 {
        names.extend(["fragment offset", "total bytes"]);
    }
    names.push("crc");
    let names = names.into_iter().chain(core::iter::repeat("superfluous"));
    let items = block.items.iter().zip(names);
    items.map(|(item, name)| field(item, name, primary_value(bytes, item, name))).collect()
}

fn primary_value(bytes: &[u8], item: &Item, name: &str) -> String {
    match name {
        "flags" => flags(item, &BUNDLE_FLAGS),
        "crc type" => crc_type(item),
        "destination" | "source" | "report to" => eid(slice(bytes, item)),
        "created" => created(bytes, item),
        "crc" => crc(bytes, item),
        "lifetime" => item.argument.filter(|_| item.major == UINT).map_or_else(|| raw(bytes, item), duration),
        _ => raw(bytes, item),
    }
}

/// What a canonical block is called, and its fields.
pub(super) fn canonical(bytes: &[u8], block: &BlockLayout) -> (String, Vec<Field>) {
    let number = |index: usize| {
        block.items.get(index).filter(|item| item.major == UINT).and_then(|item| item.argument)
    };
    let kind = number(0);
    let title = match (kind, number(1)) {
        (Some(kind), Some(number)) => format!("block {number}, {}", kind_name(kind)),
        _ => "a block without type and number".to_owned(),
    };
    let names = ["type", "number", "flags", "crc type", "data", "crc"];
    let names = names.into_iter().chain(core::iter::repeat("superfluous"));
    let fields = block.items.iter().zip(names).map(|(item, name)| {
        let value = match name {
            "type" => {
                number(0).map_or_else(|| raw(bytes, item), |kind| format!("{kind}: {}", kind_name(kind)))
            }
            "flags" => flags(item, &BLOCK_FLAGS),
            "crc type" => crc_type(item),
            "crc" => crc(bytes, item),
            "data" => data(bytes, item, kind),
            _ => raw(bytes, item),
        };
        field(item, name, value)
    });
    (title, fields.collect())
}

pub(super) fn kind_name(kind: u64) -> &'static str {
    match kind {
        1 => "payload",
        6 => "previous node",
        7 => "age",
        10 => "hop count",
        11 => "integrity",
        12 => "confidentiality",
        193 => "class",
        192..=255 => "for private use",
        _ => "unknown",
    }
}

fn field(item: &Item, name: &'static str, value: String) -> Field {
    Field { offset: item.span.start, bytes: item.span.len(), name, value }
}

fn slice<'a>(bytes: &'a [u8], item: &Item) -> &'a [u8] {
    bytes.get(item.span.clone()).unwrap_or_default()
}

fn flags(item: &Item, names: &[(u64, &str)]) -> String {
    let Some(value) = item.argument.filter(|_| item.major == UINT) else { return "not a number".to_owned() };
    let known = names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| (*name).to_owned());
    let rest = names.iter().fold(value, |rest, (bit, _)| rest & !bit);
    let reserved = (rest != 0).then(|| format!("reserved bits {rest:#x}"));
    let words: Vec<String> = known.chain(reserved).collect();
    if words.is_empty() { format!("{value:#x}") } else { format!("{value:#x}: {}", words.join(", ")) }
}

fn crc_type(item: &Item) -> String {
    match (item.major, item.argument) {
        (UINT, Some(0)) => "0: none".to_owned(),
        (UINT, Some(1)) => "1: CRC-16".to_owned(),
        (UINT, Some(2)) => "2: CRC-32C".to_owned(),
        (UINT, Some(other)) => format!("{other}: does not exist"),
        _ => "not a number".to_owned(),
    }
}

/// What a status report says, if the bundle carries one that everybody may read.
pub(super) fn status_report(bundle: &Bundle) -> Option<String> {
    let is_record = bundle.primary().flags.contains(BundleFlags::ADMIN_RECORD);
    if !is_record || bundle.is_sealed() || bundle.primary().fragment.is_some() {
        return None;
    }
    let AdminRecord::StatusReport(report) = match AdminRecord::decode(bundle.payload()) {
        Ok(record) => record,
        Err(error) => return Some(error.to_string()),
    };
    let items = [
        ("received", report.received),
        ("forwarded", report.forwarded),
        ("delivered", report.delivered),
        ("deleted", report.deleted),
    ];
    let happened: Vec<String> = items
        .iter()
        .filter(|(_, item)| item.asserted)
        .map(|(word, item)| match item.time_ms {
            Some(time_ms) => format!("{word} at {}", dtn_time(time_ms)),
            None => (*word).to_owned(),
        })
        .collect();
    let happened = if happened.is_empty() { "nothing".to_owned() } else { happened.join(", ") };
    let CreationTimestamp { time_ms, seq } = report.created;
    let of = format!("the bundle of {} made {}, number {seq}", report.source, dtn_time(time_ms));
    let part = report.fragment.map_or_else(String::new, |(offset, bytes)| {
        format!(" (its bytes {offset} to {})", offset.saturating_add(bytes))
    });
    Some(format!("{of}{part}: {happened}; {}", reason(report.reason)))
}

fn reason(reason: ReasonCode) -> String {
    let words = match reason {
        ReasonCode::NoInformation => "no further information",
        ReasonCode::LifetimeExpired => "its lifetime was over",
        ReasonCode::UnidirectionalLink => "over a link of one direction",
        ReasonCode::TransmissionCanceled => "the transmission was cancelled",
        ReasonCode::DepletedStorage => "the store was full",
        ReasonCode::DestinationUnavailable => "the destination is not available",
        ReasonCode::NoRoute => "no route to the destination is known",
        ReasonCode::NoTimelyContact => "no contact comes in time",
        ReasonCode::BlockUnintelligible => "a block could not be read",
        ReasonCode::HopLimitExceeded => "it made all its hops",
        ReasonCode::TrafficPared => "there was too much traffic",
        ReasonCode::BlockUnsupported => "a block is not supported",
        ReasonCode::MissingSecurityOperation => "a signature or seal that is demanded is missing",
        ReasonCode::UnknownSecurityOperation => "a security block was not understood",
        ReasonCode::UnexpectedSecurityOperation => "a security block should not be there",
        ReasonCode::FailedSecurityOperation => "a security block does not hold",
        ReasonCode::ConflictingSecurityOperation => "security blocks contradict one another",
        ReasonCode::Other(code) => return format!("reason {code}"),
    };
    words.to_owned()
}

/// A checksum is a number, even where its bytes happen to be letters.
fn crc(bytes: &[u8], item: &Item) -> String {
    hex(bytes.get(item.body.clone()).unwrap_or_default())
}

fn eid(bytes: &[u8]) -> String {
    match Eid::decode(bytes) {
        Ok(eid) => out::clean_line(&eid.to_string()),
        Err(error) => format!("{} (not an endpoint id: {error})", hex(bytes)),
    }
}

fn created(bytes: &[u8], item: &Item) -> String {
    let Some([Some(time_ms), Some(seq)]) = numbers(bytes, item) else { return raw(bytes, item) };
    format!("{}, number {seq}", dtn_time(time_ms))
}

/// A time of RFC 9171 section 4.2.6: milliseconds since 2000, 0 for none.
fn dtn_time(time_ms: u64) -> String {
    if time_ms == 0 {
        return "without a clock".to_owned();
    }
    let text =
        (time_ms / 1000).checked_sub(DTN_TO_CAIRN_S).map_or_else(|| "before 2020".to_owned(), render::moment);
    format!("{text} ({time_ms} ms since 2000)")
}

/// The two numbers of an array of two.
fn numbers(bytes: &[u8], outer: &Item) -> Option<[Option<u64>; 2]> {
    let first = item(bytes, outer.body.start).ok()?;
    let second = item(bytes, first.span.end).ok()?;
    let is_pair = outer.argument.is_none_or(|count| count == 2) && second.span.end == outer.body.end;
    is_pair.then(|| [&first, &second].map(|item| item.argument.filter(|_| item.major == UINT)))
}

/// What stands in a block of a known kind, if it can be read.
fn data(bytes: &[u8], outer: &Item, kind: Option<u64>) -> String {
    let size = outer.body.len();
    let contents = bytes.get(outer.body.clone()).unwrap_or_default();
    if outer.major != BYTES || outer.argument.is_none() {
        return raw(bytes, outer);
    }
    let inner = item(bytes, outer.body.start).ok().filter(|inner| inner.span.end == outer.body.end);
    let meaning = match (kind, &inner) {
        (Some(6), Some(_)) => Some(eid(contents)),
        (Some(7), Some(inner)) if inner.major == UINT => inner.argument.map(duration),
        (Some(10), Some(inner)) => match numbers(bytes, inner) {
            Some([Some(limit), Some(count)]) => Some(format!("{count} of {limit} hops")),
            _ => None,
        },
        _ => None,
    };
    meaning.unwrap_or_else(|| format!("{size} bytes: {}", preview(contents)))
}

fn raw(bytes: &[u8], item: &Item) -> String {
    match (item.major, item.argument) {
        (UINT, Some(value)) => value.to_string(),
        (BYTES | TEXT, Some(_)) => preview(bytes.get(item.body.clone()).unwrap_or_default()),
        _ => preview(slice(bytes, item)),
    }
}

/// Milliseconds, and what that is for a person.
fn duration(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    match units.iter().find(|(unit, _)| ms >= *unit) {
        Some((unit, name)) => {
            let tenths = ms / (unit / 10);
            let (whole, tenth) = (tenths / 10, tenths % 10);
            let dot = if tenth == 0 { String::new() } else { format!(".{tenth}") };
            format!("{whole}{dot} {name} ({ms} ms)")
        }
        None => format!("{ms} ms"),
    }
}

/// The beginning of some bytes: as text where they are text, else in hexadecimal digits.
fn preview(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(bytes);
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    let printable = |text: &&str| !text.is_empty() && text.chars().all(|c| !c.is_control());
    match core::str::from_utf8(shown).ok().filter(printable) {
        Some(text) => format!("\"{}{more}\"", out::clean_line(text)),
        None => format!("{}{more}", hex(shown)),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_words() {
        assert_eq!(duration(0), "0 ms");
        assert_eq!(duration(1500), "1.5 s (1500 ms)");
        assert_eq!(duration(604_800_000), "7 d (604800000 ms)");
        assert_eq!(duration(u64::MAX), "213503982334.6 d (18446744073709551615 ms)");
        let whole = item(&[0x19, 0x80, 5], 0).unwrap();
        assert_eq!(
            flags(&whole, &BUNDLE_FLAGS),
            "0x8005: a fragment, must not be fragmented, reserved bits 0x8000"
        );
    }

    #[test]
    fn bytes_from_elsewhere_cannot_drive_the_terminal() {
        assert_eq!(preview(b"hello"), "\"hello\"");
        assert_eq!(preview(b"\x1b[2J"), "1b5b324a");
        assert_eq!(preview(&[0xff; 40]), format!("{}…", "ff".repeat(32)));
        assert_eq!(preview(b""), "");
    }
}
