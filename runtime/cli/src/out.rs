//! The only place that writes to stdout (data) and stderr (talk).

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Writes data as it is.
pub(crate) fn raw(data: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(data).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::PipeClosed),
        Err(error) => Err(Failure::new(
            format!("cannot write the output: {error}"),
            "is the disk full, or the terminal gone?",
        )),
    }
}

/// Writes text, with a line feed at its end if it has none.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    if text.is_empty() || text.ends_with('\n') {
        raw(text.as_bytes())
    } else {
        raw(format!("{text}\n").as_bytes())
    }
}

/// Writes a value as one line of JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let line = serde_json::to_string(value)
        .map_err(|error| Failure::new(format!("cannot write JSON: {error}"), "please report this"))?;
    text(&line)
}

/// Says something to a person; if nobody can hear it, it is not said.
pub(crate) fn say(line: &str) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{line}");
}

/// Text from elsewhere without control characters, so that no name or message can drive the terminal.
///
/// Line feeds and tabs stay: texts may have several lines.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if is_harmless(c) || c == '\n' || c == '\t' { c } else { '\u{fffd}' }).collect()
}

/// As [`clean`], on one line: for names, titles and table cells.
pub(crate) fn clean_line(text: &str) -> String {
    text.chars().map(|c| if is_harmless(c) { c } else { ' ' }).collect()
}

/// Neither a control character nor one that turns the direction of the text around it.
fn is_harmless(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_drives_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{9b}\u{7}"), "a\u{fffd}[2Jb\nc\u{fffd}\u{fffd}");
        assert_eq!(clean_line("a\nb\u{202e}c\rd"), "a b c d");
        assert_eq!(clean_line("Grüße ✓"), "Grüße ✓");
    }
}
