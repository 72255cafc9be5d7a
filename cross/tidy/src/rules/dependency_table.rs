//! docs/dependencies.md and [workspace.dependencies] name the same crates, with licence and reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::code::line_at;

/// Path of the table.
pub const TABLE: &str = "docs/dependencies.md";
const MANIFEST: &str = "Cargo.toml";

/// Compares the root manifest with the table. `licences` are the licences that cargo resolved, by crate name;
/// a crate missing there is used by nobody.
pub fn check(manifest: &str, table: &str, licences: &BTreeMap<String, BTreeSet<String>>) -> Vec<Finding> {
    let declared = declared(manifest);
    let rows = rows(table);
    let mut findings = Vec::new();
    for name in &declared {
        let Some(row) = rows.iter().find(|row| row.name == *name) else {
            findings.push(Finding::whole(TABLE, format!("`{name}` of the root Cargo.toml is not listed")));
            continue;
        };
        if row.why.is_empty() {
            findings.push(Finding::at(TABLE, row.line, format!("`{name}`: say why it is needed")));
        }
        match licences.get(name) {
            None => findings.push(Finding::whole(MANIFEST, format!("no crate uses `{name}`: drop it"))),
            Some(real) if real.contains(&plain(&row.licence)) => {}
            Some(real) => {
                let text = format!("`{name}`: licence is {real:?}, not {:?}", row.licence);
                findings.push(Finding::at(TABLE, row.line, text));
            }
        }
    }
    let gone = rows.iter().filter(|row| !declared.contains(&row.name));
    findings.extend(
        gone.map(|row| Finding::at(TABLE, row.line, format!("`{}` is not in the root Cargo.toml", row.name))),
    );
    findings
}

/// One spelling for the old and the new form of a choice.
pub fn plain(licence: &str) -> String {
    licence.replace(" / ", " OR ").replace('/', " OR ").trim().to_owned()
}

struct Row {
    line: usize,
    name: String,
    why: String,
    licence: String,
}

/// Names under `[workspace.dependencies]` that do not come from a path.
fn declared(manifest: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|l| l.trim() != "[workspace.dependencies]").skip(1);
    let section = lines.take_while(|l| !l.starts_with('['));
    let foreign = section.filter(|l| !l.starts_with('#') && !l.contains("path ="));
    foreign.filter_map(|l| Some(l.split_once('=')?.0.trim().to_owned())).collect()
}

/// Rows whose first cell is a name in backticks: `| name | why | licence |`.
fn rows(table: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut offset = 0;
    for line in table.split_inclusive('\n') {
        let mut cells = line.trim().trim_matches('|').split('|').map(str::trim);
        let name = cells.next().and_then(|c| c.strip_prefix('`')?.strip_suffix('`'));
        if let Some((name, why, licence)) = name.and_then(|n| Some((n, cells.next()?, cells.next()?))) {
            let (name, why, licence) = (name.to_owned(), why.to_owned(), licence.to_owned());
            rows.push(Row { line: line_at(table, offset), name, why, licence });
        }
        offset += line.len();
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace.dependencies]\nown = { path = \"x\" }\n# note\na = \"1\"\nb = { version = \"1\" }\n\n[x]\nc = 1\n";

    fn found(table: &str) -> Vec<String> {
        let licence = |l: &str| [plain(l)].into();
        let licences = [("a".to_owned(), licence("MIT/Apache-2.0")), ("b".to_owned(), licence("MIT"))].into();
        check(MANIFEST, table, &licences).into_iter().map(|f| f.text).collect()
    }

    #[test]
    fn a_complete_table_passes() {
        assert!(found("| crate | why | licence |\n|---|---|---|\n| `a` | r | MIT OR Apache-2.0 |\n| `b` | r | MIT |\n").is_empty());
    }

    #[test]
    fn missing_extra_empty_and_wrong_rows_are_found() {
        let texts = found("| `a` |  | MIT |\n| `c` | r | MIT |\n");
        assert_eq!(texts.len(), 4, "{texts:?}");
    }

    #[test]
    fn a_dependency_of_nobody_is_found() {
        let licences = BTreeMap::new();
        let found = check("[workspace.dependencies]\na = \"1\"\n", "| `a` | r | MIT |\n", &licences);
        assert!(found.iter().any(|f| f.text.contains("no crate uses")));
    }
}
