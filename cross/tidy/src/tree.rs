//! The repository's files, read once.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// One file of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Path relative to the repository root, with `/` between its parts.
    pub path: String,
    /// Contents.
    pub bytes: Vec<u8>,
}

impl TreeFile {
    /// The file as text, or `None` if it is binary.
    pub fn text(&self) -> Option<&str> {
        if self.bytes.contains(&0) { None } else { core::str::from_utf8(&self.bytes).ok() }
    }
}

/// All files that belong to the repository, by path.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    files: BTreeMap<String, TreeFile>,
}

impl Tree {
    /// Reads everything below `root` except build outputs and tool folders (`target`, names that start with a dot
    /// other than `.ci`). Works without git, so that a source archive can be checked too.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    /// A tree from pairs of path and text, for self-tests of the rules.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| TreeFile {
            path: (*path).to_owned(),
            bytes: text.as_bytes().to_vec(),
        };
        Self { files: files.iter().map(file).map(|f| (f.path.clone(), f)).collect() }
    }

    /// All files in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = &TreeFile> {
        self.files.values()
    }

    /// Text files whose path ends with `suffix`, as pairs of path and text.
    pub fn texts<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let named = self.files.values().filter(move |f| f.path.ends_with(suffix));
        named.filter_map(|f| Some((f.path.as_str(), f.text()?)))
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text()
    }

    /// Whether a file or a folder with this path exists; the empty path is the root.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty() || self.files.contains_key(path) || self.files.keys().any(|k| k.starts_with(&folder))
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() && !is_foreign_folder(&name) {
                self.read_folder(&entry.path(), &path)?;
            } else if kind.is_file() && name != ".git" {
                // In a work tree of its own, `.git` is a file that says where the repository is.
                let bytes = fs::read(entry.path())?;
                self.files.insert(path.clone(), TreeFile { path, bytes });
            }
        }
        Ok(())
    }
}

fn is_foreign_folder(name: &str) -> bool {
    name == "target" || name == "__pycache__" || (name.starts_with('.') && name != ".ci")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_exist_as_soon_as_a_file_lies_in_them() {
        let tree = Tree::of(&[("docs/a.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/a.md") && tree.has(""));
        assert!(!tree.has("doc") && !tree.has("docs/b.md"));
    }

    #[test]
    fn build_outputs_and_tool_folders_are_foreign_but_ci_is_ours() {
        assert!(is_foreign_folder("target") && is_foreign_folder(".git") && is_foreign_folder(".venv"));
        assert!(!is_foreign_folder(".ci") && !is_foreign_folder("targets"));
    }
}
