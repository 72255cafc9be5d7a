//! Figures stand in a table, or beside the command that produces them.

use crate::Finding;

/// Path of the page with figures.
pub const PAGE: &str = "docs/performance.md";

/// Checks each paragraph: one with a digit has to be a table, a heading, a code block, or name its command.
pub fn check(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    let mut paragraph: Vec<(usize, &str)> = Vec::new();
    for (index, line) in text.lines().chain([""]).enumerate() {
        let fence = line.starts_with("```");
        fenced ^= fence;
        if fenced || fence || line.starts_with('#') || line.trim_start().starts_with('|') {
            continue;
        }
        if line.trim().is_empty() {
            findings.extend(unproven(&paragraph));
            paragraph.clear();
        } else {
            paragraph.push((index + 1, line));
        }
    }
    findings
}

fn unproven(paragraph: &[(usize, &str)]) -> Option<Finding> {
    if paragraph.iter().any(|(_, line)| names_a_command(line)) {
        return None;
    }
    let (line, _) = paragraph.iter().find(|(_, line)| line.contains(|c: char| c.is_ascii_digit()))?;
    Some(Finding::at(PAGE, *line, "a figure in prose: put it in a table or name the command that prints it"))
}

fn names_a_command(line: &str) -> bool {
    let mut code = line.split('`').skip(1).step_by(2);
    code.any(|c| ["cargo ", "cairn ", ".ci/", "cross/"].iter().any(|start| c.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_without_a_source_is_found_once_per_paragraph() {
        assert_eq!(check("It does 100/s\nand 200/s.\n\nAnd 300/s.").len(), 2);
    }

    #[test]
    fn tables_blocks_headings_and_commands_pass() {
        let good =
            "# Part 1\n| a | 1 |\n```\n5 s\n```\nAbout 7 ms\n(`cargo bench -p cairn-store`).\n\nNo figure.";
        assert_eq!(check(good), []);
    }
}
