//! `cairn bundle inspect`: everything that stands in a file, where it stands, and whether it holds.

use core::fmt::Write;
use std::path::{Path, PathBuf};

use cairn_bundle::Bundle;
use cairn_bundle::bpsec::key::KeyRing;
use clap::Args;
use serde::Serialize;

use super::fields::{self, Field};
use super::files;
use super::layout::Layout;
use super::verify::{self, Verdict};
use crate::context::Context;
use crate::failure::Failure;
use crate::out;

/// Which bundle.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The bundle file; `-` for stdin
    file: PathBuf,
    /// Show all bytes of every block in hexadecimal digits
    #[arg(long)]
    hex: bool,
}

/// All that is known about a file, for machines and as text.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    bytes: usize,
    /// Whether all rules that can be checked without keys hold.
    holds: bool,
    /// The first rule that does not.
    error: Option<String>,
    /// Where the bytes stop to be a bundle's.
    stop: Option<Stop>,
    /// The name of the bundle, if it is well-formed.
    id: Option<Id>,
    blocks: Vec<Block>,
    /// The status report that it carries, if everybody may read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_report: Option<String>,
    /// What the security blocks say, as far as it can be told without keys.
    security: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
struct Stop {
    offset: usize,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Id {
    content_id: String,
    source: String,
    time_ms: u64,
    seq: u64,
    fragment: Option<(u64, u64)>,
}

#[derive(Debug, Serialize)]
struct Block {
    offset: usize,
    bytes: usize,
    title: String,
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

pub(super) fn run(context: &Context, args: &InspectArgs) -> Result<(), Failure> {
    let bytes = files::read(&args.file)?;
    let report = Report::of(&args.file, &bytes, args.hex);
    if context.json() {
        out::json(&report)?;
    } else {
        out::text(&report.to_text())?;
    }
    if report.holds { Ok(()) } else { Err(Failure::Said) }
}

impl Report {
    fn of(file: &Path, bytes: &[u8], hex: bool) -> Self {
        let layout = Layout::of(bytes);
        let blocks = layout.blocks.iter().enumerate().map(|(index, block)| {
            let (title, fields) = if index == 0 {
                ("primary block".to_owned(), fields::primary(bytes, block))
            } else {
                fields::canonical(bytes, block)
            };
            let raw = bytes.get(block.span.clone()).unwrap_or_default();
            let hex = hex.then(|| fields::hex(raw));
            Block { offset: block.span.start, bytes: block.span.len(), title, fields, hex }
        });
        let decoded = Bundle::decode(bytes, &files::LIMITS);
        let trailing = (layout.stop.is_none() && layout.end < bytes.len())
            .then_some(Stop { offset: layout.end, reason: "bytes follow after the end of the bundle" });
        let security = decoded
            .as_ref()
            .map_or_else(|_| Vec::new(), |bundle| verify::operations(bundle, &KeyRing::new()));
        // A signature that anybody can check is one of the rules that need no keys.
        let broken = security.iter().any(Verdict::fails);
        let error = decoded.as_ref().err().map(ToString::to_string);
        Self {
            file: files::name(file),
            bytes: bytes.len(),
            holds: decoded.is_ok() && !broken,
            error: error.or_else(|| broken.then(|| verify::BROKEN.to_owned())),
            stop: layout.stop.map(|stop| Stop { offset: stop.offset, reason: stop.reason }).or(trailing),
            id: decoded.as_ref().ok().map(Id::of),
            blocks: blocks.collect(),
            status_report: decoded.as_ref().ok().and_then(fields::status_report),
            security,
        }
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}: {} bytes\n", out::clean_line(&self.file), self.bytes);
        for (index, block) in self.blocks.iter().enumerate() {
            let last = index + 1 == self.blocks.len();
            let (branch, trunk) = if last { ("└─", "   ") } else { ("├─", "│  ") };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{branch} {:06x}  {} ({} bytes)", block.offset, block.title, block.bytes);
            for (index, field) in block.fields.iter().enumerate() {
                let branch = if index + 1 == block.fields.len() { "└─" } else { "├─" };
                let Field { offset, name, value, .. } = field;
                let _ = writeln!(text, "{trunk}{branch} {offset:06x}  {name:<15} {}", out::clean_line(value));
            }
            for line in block.hex.iter().flat_map(|hex| hex_lines(hex, block.offset)) {
                let _ = writeln!(text, "{trunk}   {line}");
            }
        }
        if let Some(report) = &self.status_report {
            let _ = writeln!(text, "report    {}", out::clean_line(report));
        }
        for verdict in &self.security {
            let _ = writeln!(text, "security  {}", verdict.to_text());
        }
        if let Some(Stop { offset, reason }) = &self.stop {
            let _ = writeln!(text, "stops     at {offset:06x}: {reason}");
        }
        if let Some(id) = &self.id {
            let _ = writeln!(text, "content   {}", id.content_id);
        }
        let _ = match &self.error {
            Some(error) => writeln!(text, "refused   {}", out::clean_line(error)),
            None => writeln!(text, "holds     all rules that need no keys, checksums included"),
        };
        text
    }
}

impl Id {
    fn of(bundle: &Bundle) -> Self {
        let id = bundle.id();
        Self {
            content_id: bundle.content_id().to_string(),
            source: id.source.to_string(),
            time_ms: id.time_ms,
            seq: id.seq,
            fragment: id.fragment,
        }
    }
}

/// Sixteen bytes a line, with the offset of the first.
fn hex_lines(hex: &str, offset: usize) -> impl Iterator<Item = String> {
    let lines = hex.as_bytes().chunks(32).enumerate();
    lines.map(move |(line, digits)| {
        let pairs: Vec<&str> = digits.chunks(2).filter_map(|pair| core::str::from_utf8(pair).ok()).collect();
        format!("{:06x}  {}", offset + 16 * line, pairs.join(" "))
    })
}
