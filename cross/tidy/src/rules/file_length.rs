//! Files fit an evening: at most 600 lines, or a reason in the first lines.

use crate::Finding;

/// Most lines a Rust file may have without a stated reason.
pub const FILE_LINES_MAX: usize = 600;
/// How many lines from the top the reason may stand.
const REASON_WITHIN_LINES: usize = 5;
const REASON: &str = "// long file: ";

/// Checks one Rust file.
pub fn check(path: &str, source: &str) -> Vec<Finding> {
    let lines = source.lines().count();
    let reason = |line: &str| line.strip_prefix(REASON).is_some_and(|r| !r.trim().is_empty());
    if lines <= FILE_LINES_MAX || source.lines().take(REASON_WITHIN_LINES).any(reason) {
        return Vec::new();
    }
    let text = format!("{lines} lines, more than {FILE_LINES_MAX}: split it, or begin with `{REASON}<why>`");
    vec![Finding::whole(path, text)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_too_many_is_found() {
        assert_eq!(check("a.rs", &"x\n".repeat(FILE_LINES_MAX)), []);
        assert_eq!(check("a.rs", &"x\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_reason_must_be_given_and_stand_at_the_top() {
        let long = "x\n".repeat(FILE_LINES_MAX);
        assert_eq!(check("a.rs", &format!("// long file: one table of the standard\n{long}")), []);
        assert_eq!(check("a.rs", &format!("// long file:  \n{long}")).len(), 1);
        assert_eq!(check("a.rs", &format!("{long}// long file: too late\n")).len(), 1);
    }
}
