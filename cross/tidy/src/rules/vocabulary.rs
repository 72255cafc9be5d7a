//! Words that say nothing, and marks of unfinished work.

use crate::Finding;
use crate::code::{code_only, is_word, line_at, words};

/// Parts of names that hide what a thing does.
const EMPTY_NAMES: [&str; 2] = ["manager", "utils"];
/// Macros that stand for code nobody wrote.
const STUBS: [&str; 2] = ["todo", "unimplemented"];
/// Marks of work left undone; split here so that this file passes its own rule.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Checks one Rust file.
pub fn check(path: &str, source: &str) -> Vec<Finding> {
    let code = code_only(source);
    let mut findings = check_code(path, &code);
    for mark in words(source).filter(|(_, word)| MARKS.contains(word)) {
        let text = format!("`{}`: do it, or open an issue", mark.1);
        findings.push(Finding::at(path, line_at(source, mark.0), text));
    }
    if EMPTY_NAMES.iter().any(|name| path.contains(name)) {
        findings.push(Finding::whole(path, "name the file after what is in it"));
    }
    findings
}

fn check_code(path: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut previous = "";
    for (at, word) in words(code) {
        let lower = word.to_lowercase();
        if EMPTY_NAMES.iter().any(|name| lower.contains(name)) {
            findings.push(Finding::at(path, line_at(code, at), format!("`{word}` hides what it does")));
        }
        let behind = code.get(at + word.len()..).unwrap_or_default();
        if STUBS.contains(&word) && behind.starts_with('!') {
            findings.push(Finding::at(path, line_at(code, at), format!("`{word}!` is not code")));
        }
        if previous == "fn" && word.starts_with("get_") && is_public(code, at) {
            let text = format!("`{word}`: drop the get_, name the thing");
            findings.push(Finding::at(path, line_at(code, at), text));
        }
        previous = word;
    }
    findings
}

/// Whether the line on which a function's name stands begins with `pub`, restricted or not.
fn is_public(code: &str, name_at: usize) -> bool {
    let line = code.get(..name_at).and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
    line.trim_start().strip_prefix("pub").is_some_and(|rest| !rest.starts_with(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_stubs_and_getters_are_found() {
        for bad in [
            "struct LinkManager;",
            "mod utils;",
            "fn f() { todo!() }",
            "fn f() { unimplemented!() }",
            "pub fn get_name() {}",
            "    pub(crate) const fn get_name() {}",
            concat!("// FIX", "ME later"),
            concat!("// XX", "X"),
        ] {
            assert_eq!(check("a.rs", bad).len(), 1, "{bad}");
        }
        assert_eq!(check("src/manager.rs", "").len(), 1);
    }

    #[test]
    fn strings_comments_and_foreign_traits_pass() {
        let good =
            "// the manager of todo! lists\nlet s = \"utils\";\nfn get_name() {}\nmap.get_mut(1); // XXXX";
        assert_eq!(check("a.rs", good), []);
    }
}
