//! Rust source reduced to its code: comments and literals become blanks, every byte keeps its offset.

/// Blanks comments, strings and character literals. Newlines stay, so line numbers and byte offsets agree with
/// the original.
pub fn code_only(source: &str) -> String {
    let mut scanner = Scanner { rest: source, out: String::with_capacity(source.len()), previous: ' ' };
    while !scanner.rest.is_empty() {
        scanner.step();
    }
    scanner.out
}

/// Blanks every item behind `#[cfg(test)]`. Expects the output of [`code_only`].
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let (before, item) = rest.split_at(start);
        let (item, after) = item.split_at(item_length(item));
        out.push_str(before);
        out.extend(item.chars().map(blank));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Words (identifiers, keywords, numbers) with their byte offset. Expects the output of [`code_only`].
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    core::iter::from_fn(move || {
        let rest = code.get(from..)?;
        let start = from + rest.find(is_word)?;
        let word = code.get(start..)?;
        let length = word.find(|c| !is_word(c)).unwrap_or(word.len());
        from = start + length;
        Some((start, code.get(start..from)?))
    })
}

/// The line, counted from 1, in which a byte offset lies.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

/// Whether a character can be part of an identifier.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn blank(c: char) -> char {
    if c == '\n' { '\n' } else { ' ' }
}

/// Length of the item at the start of `code`, attributes included: up to a `;` outside of brackets or the brace
/// that closes the first one opened.
fn item_length(code: &str) -> usize {
    let (mut braces, mut brackets) = (0_u32, 0_u32);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '{' => braces += 1,
            '}' if braces <= 1 => return at + 1,
            '}' => braces -= 1,
            ';' if braces == 0 && brackets == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

struct Scanner<'a> {
    rest: &'a str,
    out: String,
    previous: char,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let raw = if is_word(self.previous) { None } else { raw_string_length(self.rest) };
        if self.rest.starts_with("//") {
            self.blank_out(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.blank_out(block_comment_length(self.rest));
        } else if let Some(length) = raw {
            self.blank_out(length);
        } else if self.rest.starts_with('"') {
            self.blank_out(quoted_length(self.rest, '"'));
        } else if is_character_literal(self.rest) {
            self.blank_out(quoted_length(self.rest, '\''));
        } else if let Some(c) = self.rest.chars().next() {
            self.out.push(c);
            self.previous = c;
            self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }

    fn blank_out(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.out.extend(gone.bytes().map(|b| blank(char::from(b))));
        self.rest = rest;
        self.previous = ' ';
    }
}

fn block_comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    loop {
        let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) else { return text.len() };
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
}

/// Length of a raw string at the start of `text`, its prefix included; `None` if there is none.
fn raw_string_length(text: &str) -> Option<usize> {
    let body = ["r", "br", "cr"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let hashes = body.chars().take_while(|c| *c == '#').count();
    let inside = body.get(hashes..)?.strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inside.find(&close).map_or(inside.len(), |at| at + close.len());
    Some(text.len() - inside.len() + end)
}

/// Length of a literal with backslash escapes, both quotes included.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// A quote starts a character literal if it is escaped or closed behind one character; otherwise a lifetime.
fn is_character_literal(text: &str) -> bool {
    let mut chars = text.chars();
    if chars.next() != Some('\'') {
        return false;
    }
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_vanish_and_offsets_stay() {
        let source =
            "let a = \"x // {\"; // b {\nlet c = '{'; /* /* { */ } */ fn d<'e>() {}\nr#\"}\"# + br\"{\" 'é'";
        let code = code_only(source);
        assert_eq!(code.len(), source.len());
        assert_eq!(code.lines().count(), 3);
        assert_eq!(code.matches('{').count(), 1);
        assert_eq!(code.matches('}').count(), 1);
        assert!(code.contains("fn d<'e>()"));
    }

    #[test]
    fn an_escaped_quote_does_not_end_a_string() {
        let source = r#""a\"b" c '\'' d r#type"#;
        assert_eq!(code_only(source).split_whitespace().collect::<Vec<_>>(), ["c", "d", "r#type"]);
    }

    #[test]
    fn unclosed_literals_reach_to_the_end() {
        for open in ["\"a", "/* a", "r#\"a", "'\\"] {
            assert_eq!(code_only(open).trim(), "");
        }
    }

    #[test]
    fn test_items_vanish_and_what_follows_stays() {
        let code = "a\n#[cfg(test)]\nmod t { fn x() { y } }\nb\n#[cfg(test)]\nfn f(k: [u8; 2]) { z }\n#[cfg(test)] use q::{r};\nc";
        assert_eq!(without_tests(code).split_whitespace().collect::<Vec<_>>(), ["a", "b", ";", "c"]);
    }

    #[test]
    fn words_know_their_offset() {
        assert_eq!(words("fn ab_c(x)").collect::<Vec<_>>(), [(0, "fn"), (3, "ab_c"), (8, "x")]);
    }
}
