//! Every workspace crate says what it is, its licence and its layer, and inherits the lints.

use crate::{Finding, Member};

/// Checks one crate's manifest; `text` is its Cargo.toml.
pub fn check(member: &Member, text: &str) -> Vec<Finding> {
    let filled = |field: &Option<String>| field.as_deref().is_some_and(|f| !f.trim().is_empty());
    let demands = [
        (filled(&member.description), "no `description`"),
        (filled(&member.license), "no `license`"),
        (member.layer.is_some(), "no `layer` under [package.metadata.cairn]"),
        (inherits_lints(text), "no `workspace = true` under [lints]"),
    ];
    let missing = demands.into_iter().filter(|(met, _)| !met);
    missing.map(|(_, text)| Finding::whole(&member.manifest(), text)).collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|l| *l != "[lints]").skip(1);
    lines.any(|l| l == "workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_manifest_lacks_all_four() {
        assert_eq!(check(&Member::default(), "[package]\nname = \"x\"\nworkspace = true\n").len(), 4);
    }

    #[test]
    fn a_complete_manifest_passes() {
        let text = Some("words".to_owned());
        let member = Member { description: text.clone(), license: text, layer: Some(1), ..Member::default() };
        assert_eq!(check(&member, "[lints]\nworkspace = true\n"), []);
    }
}
