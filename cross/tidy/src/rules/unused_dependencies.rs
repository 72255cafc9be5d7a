//! A dependency that no source file names is dead weight in every build.

use std::collections::BTreeSet;

use crate::code::{code_only, words};
use crate::{Finding, Member, Tree};

/// Checks that each dependency of a crate is named somewhere in its code, or declared to be there for its features
/// alone (so that `cargo run` and `cargo test` build the same crates once).
pub fn check(member: &Member, tree: &Tree) -> Vec<Finding> {
    let folder = format!("{}/", member.folder);
    let mut named = BTreeSet::new();
    for (_, source) in tree.texts(".rs").filter(|(path, _)| path.starts_with(&folder)) {
        named.extend(words(&code_only(source)).map(|(_, word)| word.to_owned()));
    }
    let declared = member.depends_on.union(&member.tests_with);
    let needed = declared.filter(|name| !member.feature_only.contains(*name));
    let unused = needed.filter(|name| !named.contains(&name.replace('-', "_")));
    unused
        .map(|name| Finding::whole(&member.manifest(), format!("no code names `{name}`: drop it")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_that_only_a_comment_names_is_found() {
        let member = Member {
            folder: "a".to_owned(),
            depends_on: ["left-pad".to_owned(), "used-one".to_owned(), "switch".to_owned()].into(),
            feature_only: ["switch".to_owned()].into(),
            ..Member::default()
        };
        let tree =
            Tree::of(&[("a/src/lib.rs", "// left_pad\nuse used_one::x;"), ("ab/src/lib.rs", "left_pad")]);
        let found = check(&member, &tree);
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(|f| f.text.contains("left-pad")));
    }
}
