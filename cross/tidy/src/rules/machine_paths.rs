//! Nothing in the repository names a folder of the machine it was written on.
//!
//! Binary files are searched as well: compilers leave source paths in what they build.

use crate::code::line_at;
use crate::{Finding, TreeFile};

/// Folders of developer machines; split here so that this file passes its own rule.
const FOLDERS: [&str; 4] =
    [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/"), concat!("/", "Users/")];

/// Checks one file.
pub fn check(file: &TreeFile) -> Vec<Finding> {
    FOLDERS.iter().filter_map(|folder| find(file, folder)).collect()
}

fn find(file: &TreeFile, folder: &str) -> Option<Finding> {
    let text = format!("names {folder}, a folder of somebody's machine");
    let Some(source) = file.text() else {
        let found = file.bytes.windows(folder.len()).any(|w| w == folder.as_bytes());
        return found.then(|| Finding::whole(&file.path, text));
    };
    // A path inside another path, like `mesh/work/`, is relative and harmless.
    let begins = |at: &usize| {
        let before = source.get(..*at).and_then(|b| b.chars().next_back());
        before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '>' | '*')))
    };
    let at = source.match_indices(folder).map(|(at, _)| at).find(begins)?;
    Some(Finding::at(&file.path, line_at(source, at), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> usize {
        check(&TreeFile { path: "a".to_owned(), bytes: bytes.to_vec() }).len()
    }

    #[test]
    fn an_absolute_path_is_found_in_text_and_in_binaries() {
        assert_eq!(found(concat!("see /", "home/ada/x").as_bytes()), 1);
        assert_eq!(found(concat!("\0panicked at x/", "root/.cargo").as_bytes()), 1);
    }

    #[test]
    fn relative_paths_pass() {
        assert_eq!(found(concat!("mesh/", "work/x and a/", "root/b").as_bytes()), 0);
    }
}
