//! Protocol code names no socket, file, clock, thread or unordered map.
//!
//! `mesh/clippy.toml` and `sync/clippy.toml` say the same to clippy, with reasons; this rule also holds where
//! clippy cannot resolve a path, and needs no build.

use crate::Finding;
use crate::code::{code_only, line_at, without_tests, words};

const BANNED: [&str; 14] = [
    "HashMap",
    "HashSet",
    "RandomState",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "Mutex",
    "RwLock",
    "OsRng",
    "ThreadRng",
    "tokio",
    "async_std",
];
const BANNED_MODULES: [&str; 6] = ["net", "fs", "thread", "process", "env", "io"];

/// Checks one source file of a protocol crate; code behind `#[cfg(test)]` is left to clippy.
pub fn check(path: &str, source: &str) -> Vec<Finding> {
    let code = without_tests(&code_only(source));
    let mut findings = Vec::new();
    let mut previous = (0, "");
    for (at, word) in words(&code) {
        let between = code.get(previous.0..at).unwrap_or_default();
        let from_std = previous.1 == "std" && between.trim() == "::";
        if BANNED.contains(&word) || (from_std && BANNED_MODULES.contains(&word)) {
            let text = format!("`{word}` in protocol code: it comes in as an argument, or lives in runtime/");
            findings.push(Finding::at(path, line_at(&code, at), text));
        }
        previous = (at + word.len(), word);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_sockets_files_and_unordered_maps_are_found() {
        for bad in [
            "use std::collections::HashMap;",
            "fn f() { std::thread::spawn(g); }",
            "use std::fs;",
            "let t = std::time::SystemTime::now();",
            "async fn f() { tokio::task::yield_now().await }",
        ] {
            assert_eq!(check("mesh/a/src/lib.rs", bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn tests_comments_and_own_modules_pass() {
        let good =
            "// no HashMap here\nmod io;\nuse crate::io::fs;\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(check("mesh/a/src/lib.rs", good), []);
    }
}
