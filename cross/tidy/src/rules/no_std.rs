//! Crates that run on a microcontroller declare it.

use crate::code::code_only;
use crate::{Finding, Member};

/// Whether a crate has to do without the standard library.
pub fn applies_to(member: &Member) -> bool {
    member.folder.starts_with("mesh/") || member.folder == "sync/ledger"
}

/// Checks the root file of such a crate.
pub fn check(path: &str, source: &str) -> Vec<Finding> {
    if code_only(source).contains("#![no_std]") {
        return Vec::new();
    }
    vec![Finding::whole(path, "has to declare #![no_std]: it runs on a microcontroller")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_in_a_comment_or_behind_a_condition_does_not_count() {
        assert_eq!(check("a", "#![no_std]\nextern crate alloc;"), []);
        assert_eq!(check("a", "//! #![no_std]\n").len(), 1);
        assert_eq!(check("a", "#![cfg_attr(not(feature = \"std\"), no_std)]\n").len(), 1);
    }
}
