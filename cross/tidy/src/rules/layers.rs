//! Layer law: a crate depends on lower layers only, and protocol crates never reach an engine that does I/O.

use crate::{Finding, Member};

/// Crates that bring sockets, files, threads or an executor: none of them below runtime/, at any distance.
const IMPURE: [&str; 11] = [
    "tokio",
    "async-std",
    "smol",
    "mio",
    "iroh",
    "quinn",
    "redb",
    "wasmtime",
    "wasmtime-wasi",
    "ort",
    "mdns-sd",
];

/// Checks direct dependencies against the layers, and everything reached against the list of impure crates.
pub fn check(members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let below = members.iter().filter(|m| member.depends_on.contains(&m.name));
        for lower in below.filter(|m| m.layer >= member.layer) {
            let text = format!(
                "{} (layer {:?}) depends on {} (layer {:?}); arrows point down only, see docs/architecture.md",
                member.name, member.layer, lower.name, lower.layer
            );
            findings.push(Finding::whole(&member.manifest(), text));
        }
        let impure = IMPURE.iter().filter(|name| member.is_pure() && member.reaches.contains(**name));
        findings.extend(impure.map(|name| {
            let text = format!("{} is protocol code and must not reach {name}", member.name);
            Finding::whole(&member.manifest(), text)
        }));
    }
    findings
}

/// Two crates that must not know each other in either direction, whatever their layers become.
pub fn check_strangers(members: &[Member], one: &str, other: &str) -> Vec<Finding> {
    let knows = |m: &&Member| {
        (m.name == one && m.reaches.contains(other)) || (m.name == other && m.reaches.contains(one))
    };
    let text = format!("{one} and {other} must not know each other");
    members.iter().filter(knows).map(|m| Finding::whole(&m.manifest(), text.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, folder: &str, layer: u64, reaches: &[&str]) -> Member {
        Member {
            name: name.to_owned(),
            folder: folder.to_owned(),
            layer: Some(layer),
            depends_on: reaches.iter().map(|r| (*r).to_owned()).collect(),
            reaches: reaches.iter().map(|r| (*r).to_owned()).collect(),
            ..Member::default()
        }
    }

    #[test]
    fn a_dependency_on_the_same_or_a_higher_layer_is_found() {
        let low = member("low", "mesh/low", 1, &["high"]);
        let high = member("high", "mesh/high", 2, &["twin"]);
        let twin = member("twin", "mesh/twin", 2, &[]);
        let found = check(&[low, high, twin]);
        assert_eq!(
            found.iter().map(|f| f.file.as_str()).collect::<Vec<_>>(),
            ["mesh/low/Cargo.toml", "mesh/high/Cargo.toml"]
        );
    }

    #[test]
    fn an_engine_with_io_is_found_in_protocol_code_only() {
        let pure = member("engine", "mesh/engine", 3, &["tokio"]);
        let node = member("node", "runtime/node", 6, &["tokio", "engine"]);
        let found = check(&[pure, node]);
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(|f| f.text.contains("must not reach tokio")));
    }

    #[test]
    fn strangers_are_found_in_both_directions() {
        let board = member("board", "sync/board", 4, &["ledger"]);
        let ledger = member("ledger", "sync/ledger", 4, &[]);
        assert_eq!(check_strangers(&[board.clone(), ledger.clone()], "board", "ledger").len(), 1);
        assert_eq!(check_strangers(&[board, ledger], "ledger", "board").len(), 1);
    }
}
