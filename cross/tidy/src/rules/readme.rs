//! CI runs what the README tells people to run.

use crate::Finding;

const SCRIPT: &str = ".ci/run";

/// Commands in the blocks of the README that are marked `sh`, one a line, comments left out.
pub fn commands(readme: &str) -> Vec<&str> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in readme.lines().map(str::trim) {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            commands.push(line);
        }
    }
    commands
}

/// Checks that the script runs the README's test command word for word, and stops at the first failure.
pub fn check(readme: &str, script: &str) -> Vec<Finding> {
    let tests: Vec<&str> = commands(readme).into_iter().filter(|c| c.starts_with("cargo test")).collect();
    let mut findings = Vec::new();
    if tests.is_empty() {
        findings.push(Finding::whole("README.md", "no block marked sh names the test command"));
    }
    for test in tests.iter().filter(|test| !steps(script).any(|step| step == **test)) {
        let text = format!("does not run `{test}` of README.md word for word");
        findings.push(Finding::whole(SCRIPT, text));
    }
    if !script.lines().any(|l| l == "set -euo pipefail") {
        findings.push(Finding::whole(SCRIPT, "no `set -euo pipefail`: a failing step would pass"));
    }
    findings
}

/// What the script's lines `step <name> <command>` run.
fn steps(script: &str) -> impl Iterator<Item = &str> {
    script.lines().filter_map(|l| Some(l.strip_prefix("step ")?.split_once(' ')?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "text\n```sh\ncargo run -- demo\n# tests\ncargo test --workspace\n```\n```toml\ncargo test --x\n```\n";

    #[test]
    fn blocks_marked_sh_are_commands_and_others_are_not() {
        assert_eq!(commands(README), ["cargo run -- demo", "cargo test --workspace"]);
    }

    #[test]
    fn a_script_that_runs_something_else_is_found() {
        let script = |test: &str| format!("set -euo pipefail\nstep test {test}\n");
        assert_eq!(check(README, &script("cargo test --workspace")), []);
        assert_eq!(check(README, &script("cargo test --workspace --lib")).len(), 1);
        assert_eq!(check(README, &script("true || cargo test --workspace")).len(), 1);
        assert_eq!(check(README, "step test cargo test --workspace").len(), 1);
        assert_eq!(check("", &script("x")).len(), 1);
    }
}
