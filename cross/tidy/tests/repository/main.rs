//! The rules of `cairn-tidy`, applied to this repository.

mod metadata;

use core::error::Error;
use std::path::{Path, PathBuf};

use cairn_tidy::rules::{
    dead_files, dependency_table, file_length, layers, links, machine_paths, manifests, no_std,
    performance_prose, purity, readme, unused_dependencies, vocabulary,
};
use cairn_tidy::{Finding, Tree};

type Outcome = Result<(), Box<dyn Error>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn expect_none(findings: impl IntoIterator<Item = Finding>) {
    let lines: Vec<String> = findings.into_iter().map(|f| f.to_string()).collect();
    assert!(lines.is_empty(), "{} findings\n{}", lines.len(), lines.join("\n"));
}

fn text<'a>(tree: &'a Tree, path: &str) -> Result<&'a str, String> {
    tree.text(path).ok_or_else(|| format!("{path} is missing"))
}

#[test]
fn crates_depend_on_lower_layers_only() -> Outcome {
    let members = metadata::read(&root())?.members;
    expect_none(layers::check(&members));
    expect_none(layers::check_strangers(&members, "cairn-board", "cairn-ledger"));
    Ok(())
}

#[test]
fn manifests_are_complete() -> Outcome {
    let tree = Tree::read(&root())?;
    let members = metadata::read(&root())?.members;
    assert!(members.len() > 1, "cargo metadata names the members");
    expect_none(
        members.iter().flat_map(|m| manifests::check(m, tree.text(&m.manifest()).unwrap_or_default())),
    );
    Ok(())
}

#[test]
fn microcontroller_crates_declare_no_std() -> Outcome {
    let tree = Tree::read(&root())?;
    let members = metadata::read(&root())?.members;
    let small = members.iter().filter(|m| no_std::applies_to(m)).map(|m| format!("{}/src/lib.rs", m.folder));
    expect_none(small.flat_map(|path| no_std::check(&path, tree.text(&path).unwrap_or_default())));
    Ok(())
}

#[test]
fn every_rust_file_is_compiled() -> Outcome {
    let tree = Tree::read(&root())?;
    let members = metadata::read(&root())?.members;
    expect_none(members.iter().flat_map(|m| dead_files::check(m, &tree)));
    Ok(())
}

#[test]
fn every_dependency_is_used() -> Outcome {
    let tree = Tree::read(&root())?;
    let members = metadata::read(&root())?.members;
    expect_none(members.iter().flat_map(|m| unused_dependencies::check(m, &tree)));
    Ok(())
}

#[test]
fn every_dependency_is_listed_with_licence_and_reason() -> Outcome {
    let tree = Tree::read(&root())?;
    let licences = metadata::read(&root())?.licences;
    let (manifest, table) = (text(&tree, "Cargo.toml")?, text(&tree, dependency_table::TABLE)?);
    expect_none(dependency_table::check(manifest, table, &licences));
    Ok(())
}

#[test]
fn files_fit_an_evening() -> Outcome {
    let tree = Tree::read(&root())?;
    expect_none(tree.texts(".rs").flat_map(|(path, source)| file_length::check(path, source)));
    Ok(())
}

#[test]
fn names_say_what_things_are() -> Outcome {
    let tree = Tree::read(&root())?;
    expect_none(tree.texts(".rs").flat_map(|(path, source)| vocabulary::check(path, source)));
    Ok(())
}

#[test]
fn protocol_code_is_pure() -> Outcome {
    let tree = Tree::read(&root())?;
    let pure = |path: &str| {
        (path.starts_with("mesh/") || path.starts_with("sync/"))
            && path.contains("/src/")
            && !path.ends_with("/tests.rs")
            && !path.contains("/tests/")
    };
    let files = tree.texts(".rs").filter(|(path, _)| pure(path));
    expect_none(files.flat_map(|(path, source)| purity::check(path, source)));
    Ok(())
}

#[test]
fn links_lead_somewhere() -> Outcome {
    expect_none(links::check(&Tree::read(&root())?));
    Ok(())
}

#[test]
fn figures_name_their_source() -> Outcome {
    let tree = Tree::read(&root())?;
    expect_none(tree.text(performance_prose::PAGE).map(performance_prose::check).unwrap_or_default());
    Ok(())
}

#[test]
fn ci_runs_what_the_readme_says() -> Outcome {
    let tree = Tree::read(&root())?;
    expect_none(readme::check(text(&tree, "README.md")?, text(&tree, ".ci/run")?));
    Ok(())
}

#[test]
fn no_file_names_a_folder_of_a_developer_machine() -> Outcome {
    expect_none(Tree::read(&root())?.files().flat_map(machine_paths::check));
    Ok(())
}
