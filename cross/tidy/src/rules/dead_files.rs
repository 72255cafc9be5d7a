//! Every Rust file of a crate is reached by `mod` declarations from one of its targets.

use std::collections::BTreeSet;

use crate::code::{code_only, is_word};
use crate::{Finding, Member, Tree};

/// Folders of a crate in which every Rust file has to be reached.
const COMPILED: [&str; 4] = ["src", "tests", "benches", "examples"];

/// Checks one crate.
pub fn check(member: &Member, tree: &Tree) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<(String, bool)> = member.roots.iter().map(|r| (r.clone(), true)).collect();
    while let Some((path, is_root)) = open.pop() {
        let Some(source) = tree.text(&path).filter(|_| reached.insert(path.clone())) else { continue };
        for child in children(&path, is_root, source) {
            let found = child.into_iter().find(|candidate| tree.text(candidate).is_some());
            open.extend(found.map(|path| (path, false)));
        }
    }
    let ours = |path: &str| COMPILED.iter().any(|f| path.starts_with(&format!("{}/{f}/", member.folder)));
    let dead = tree.texts(".rs").filter(|(path, _)| ours(path) && !reached.contains(*path));
    dead.map(|(path, _)| Finding::whole(path, "no `mod` declaration reaches this file")).collect()
}

/// For each `mod name;` the paths at which its file may lie.
fn children(path: &str, is_root: bool, source: &str) -> Vec<Vec<String>> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let own = if is_root || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
    let declared = declarations(source).into_iter();
    let candidates = declared.map(|d| match d.path {
        Some(path) if d.parents.is_empty() => vec![join(folder, &path)],
        Some(path) => vec![join(&format!("{own}/{}", d.parents.join("/")), &path)],
        None => {
            let parents: String = d.parents.iter().map(|p| format!("{p}/")).collect();
            let base = format!("{own}/{parents}{}", d.name);
            vec![format!("{base}.rs"), format!("{base}/mod.rs")]
        }
    });
    candidates.collect()
}

fn join(folder: &str, relative: &str) -> String {
    super::links::resolve(folder, relative).unwrap_or_default()
}

#[derive(Debug, PartialEq, Eq)]
struct Declaration {
    name: String,
    /// Inline modules around the declaration, outermost first.
    parents: Vec<String>,
    /// Value of a `#[path]` attribute.
    path: Option<String>,
}

fn declarations(source: &str) -> Vec<Declaration> {
    let code = code_only(source);
    let mut found = Vec::new();
    let mut open: Vec<Option<String>> = Vec::new();
    let mut path = None;
    let (mut before, mut last) = ("", "");
    for (at, token) in tokens(&code) {
        match token {
            "=" if last == "path" => path = source.get(at..).and_then(first_string),
            "{" => open.push((before == "mod").then(|| last.to_owned())),
            "}" => drop(open.pop()),
            ";" if before == "mod" => {
                let parents = open.iter().flatten().cloned().collect();
                found.push(Declaration { name: last.to_owned(), parents, path: path.take() });
            }
            _ => {}
        }
        if matches!(token, "{" | "}" | ";") {
            path = None;
        }
        (before, last) = (last, token);
    }
    found
}

/// Words and single other characters, with their offsets; blanks are skipped.
fn tokens(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    core::iter::from_fn(move || {
        let rest = code.get(from..)?;
        let start = from + rest.find(|c: char| !c.is_whitespace())?;
        let token = code.get(start..)?;
        let word = token.find(|c| !is_word(c)).unwrap_or(token.len());
        let length = if word == 0 { token.chars().next()?.len_utf8() } else { word };
        from = start + length;
        Some((start, code.get(start..from)?))
    })
}

fn first_string(text: &str) -> Option<String> {
    text.split('"').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        let member =
            Member { folder: "a".to_owned(), roots: vec!["a/src/lib.rs".to_owned()], ..Member::default() };
        check(&member, &Tree::of(files)).into_iter().map(|f| f.file).collect()
    }

    #[test]
    fn a_file_that_nobody_declares_is_found() {
        let files = [("a/src/lib.rs", "mod b;\n// mod c;\n"), ("a/src/b.rs", ""), ("a/src/c.rs", "")];
        assert_eq!(dead(&files), ["a/src/c.rs"]);
    }

    #[test]
    fn nested_inline_and_renamed_modules_are_reached() {
        let files = [
            ("a/src/lib.rs", "mod b;\nmod i { pub mod j; }\n#[path = \"other/name.rs\"]\nmod n;\nmod m;"),
            ("a/src/b.rs", "#[cfg(test)]\nmod tests;\nfn f() { if x { mod_y; } }"),
            ("a/src/b/tests.rs", ""),
            ("a/src/i/j.rs", ""),
            ("a/src/other/name.rs", ""),
            ("a/src/m/mod.rs", "mod k;"),
            ("a/src/m/k.rs", ""),
        ];
        assert_eq!(dead(&files), Vec::<String>::new());
    }

    #[test]
    fn a_child_beside_its_parent_is_not_reached() {
        let files = [("a/src/lib.rs", "mod b;"), ("a/src/b.rs", "mod c;"), ("a/src/c.rs", "")];
        assert_eq!(dead(&files), ["a/src/c.rs"]);
    }

    #[test]
    fn modules_that_declare_each_other_end() {
        let files = [("a/src/lib.rs", "mod b;"), ("a/src/b.rs", "#[path = \"lib.rs\"] mod l;")];
        assert_eq!(dead(&files), Vec::<String>::new());
    }
}
