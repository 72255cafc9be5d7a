//! What happened, in one digest: two runs of one seed must not differ in a single byte or millisecond.

use std::collections::VecDeque;

use cairn_bundle::Digest;

/// Lines of the readable log that are kept.
const LINES_MAX: usize = 20_000;

/// The trace of a run.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    digest: Digest,
    steps: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    pub(crate) fn new(readable: bool) -> Self {
        Self { digest: Digest([0; 32]), steps: 0, lines: readable.then(VecDeque::new) }
    }

    /// Adds an event: when, to whom, what.
    pub(crate) fn add(&mut self, now: u64, node: usize, kind: &str, bytes: &[u8]) {
        self.steps += 1;
        let node = u64::try_from(node).unwrap_or(u64::MAX);
        let parts: [&[u8]; 5] =
            [self.digest.as_bytes(), &now.to_le_bytes(), &node.to_le_bytes(), kind.as_bytes(), bytes];
        self.digest = Digest::of(&parts.concat());
    }

    /// Adds a line for people; costs nothing unless somebody reads them.
    pub(crate) fn say(&mut self, now: u64, who: &str, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() >= LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{:>9}.{:03} {who}: {}", now / 1_000, now % 1_000, text()));
        }
    }

    pub(crate) const fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().flatten().map(String::as_str)
    }
}
