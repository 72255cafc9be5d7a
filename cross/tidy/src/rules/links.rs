//! Relative links in Markdown lead to a file, a folder or a heading of this repository.

use crate::{Finding, Tree};

/// Checks every Markdown file.
pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts(".md").flat_map(|(path, text)| check_file(tree, path, text)).collect()
}

fn check_file(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (line, target) in targets(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target.as_str(), ""));
        let file = if file.is_empty() { Some(path.to_owned()) } else { resolve(folder, file) };
        let Some(file) = file.filter(|f| tree.has(f)) else {
            findings.push(Finding::at(path, line, format!("link `{target}` leads nowhere")));
            continue;
        };
        let missing = |t: &str| !anchor.is_empty() && !headings(t).any(|h| h == anchor);
        if tree.text(&file).is_some_and(missing) {
            findings.push(Finding::at(path, line, format!("`{file}` has no heading `#{anchor}`")));
        }
    }
    findings
}

/// `relative` as seen from `folder`, or `None` if it leaves the repository.
pub fn resolve(folder: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Link targets with their lines, outside of code.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, prose) in prose_lines(text) {
        let mut rest = prose.as_str();
        while let Some((_, behind)) = rest.split_once("](") {
            let (target, after) = behind.split_once(')').unwrap_or((behind, ""));
            found.extend(target.split_whitespace().next().map(|t| (line, t.to_owned())));
            rest = after;
        }
        let definition = prose.strip_prefix('[').and_then(|p| p.split_once("]: "));
        found.extend(definition.map(|(_, target)| (line, target.trim().to_owned())));
    }
    found
}

/// Lines outside of fenced blocks, inline code removed.
fn prose_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        let prose: Vec<&str> = line.split('`').step_by(2).collect();
        (!fenced).then(|| (index + 1, prose.join("`")))
    })
}

/// Headings in the form in which links name them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let mut fenced = false;
    let lines = text.lines().filter(move |line| {
        fenced ^= line.starts_with("```");
        !fenced && line.starts_with('#')
    });
    lines.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        check(&Tree::of(&[("docs/a.md", text), ("docs/b.md", "# One, two\n"), ("README.md", "")])).len()
    }

    #[test]
    fn dead_links_and_headings_are_found() {
        for bad in ["[x](c.md)", "[x](../../out.md)", "[x](b.md#three)", "[x](#none)", "[x]: c.md"] {
            assert_eq!(found(bad), 1, "{bad}");
        }
    }

    #[test]
    fn links_that_lead_somewhere_and_links_in_code_pass() {
        let good = "# Top\n[a](b.md#one-two) [b](../README.md \"t\") [c](https://x.y) [d](#top) [e](../docs)\n`[f](g)`\n```\n[h](i)\n```\n";
        assert_eq!(found(good), 0);
    }
}
