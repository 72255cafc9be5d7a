//! `cargo metadata`, reduced to what the rules ask for.
//!
//! Read with `serde_json` alone: the crate `cargo_metadata` would switch on features of crates that the binary
//! uses too, so that `cargo test` had to build much of the binary a second time.

use core::error::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use cairn_tidy::Member;
use cairn_tidy::rules::dependency_table::plain;
use serde_json::Value;

pub(crate) struct Workspace {
    pub(crate) members: Vec<Member>,
    /// Licences by crate name; several where several versions are in use.
    pub(crate) licences: BTreeMap<String, BTreeSet<String>>,
}

pub(crate) fn read(root: &Path) -> Result<Workspace, Box<dyn Error>> {
    // Only this machine's dependencies: they are here already, because this test was built from them.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--filter-platform", &host()?]).current_dir(root);
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut licences: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in items(&metadata, "packages") {
        let licence = plain(&string(package, "license").unwrap_or_default());
        licences.entry(name(package)?).or_default().insert(licence);
    }
    let ours: BTreeSet<&str> = items(&metadata, "workspace_members").filter_map(Value::as_str).collect();
    let is_ours = |p: &&Value| string(p, "id").is_some_and(|id| ours.contains(id.as_str()));
    let packages = items(&metadata, "packages").filter(is_ours);
    let members = packages.map(|package| member(&metadata, package)).collect::<Result<_, _>>()?;
    Ok(Workspace { members, licences })
}

fn host() -> Result<String, Box<dyn Error>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = String::from_utf8(Command::new(rustc).arg("-vV").output()?.stdout)?;
    let host = output.lines().find_map(|l| l.strip_prefix("host: "));
    Ok(host.ok_or("rustc -vV names no host")?.to_owned())
}

fn member(metadata: &Value, package: &Value) -> Result<Member, Box<dyn Error>> {
    let root = string(metadata, "workspace_root").ok_or("no workspace root")?;
    let relative = |path: Option<String>| -> Result<String, Box<dyn Error>> {
        let path = path.ok_or("a path is missing")?;
        let inside = path.strip_prefix(&root).ok_or("a member lies outside of the workspace")?;
        Ok(inside.trim_start_matches('/').to_owned())
    };
    let manifest = relative(string(package, "manifest_path"))?;
    Ok(Member {
        name: name(package)?,
        folder: manifest.trim_end_matches("/Cargo.toml").to_owned(),
        layer: package.pointer("/metadata/cairn/layer").and_then(Value::as_u64),
        description: string(package, "description"),
        license: string(package, "license"),
        depends_on: declared(package, |kind| kind != Some("dev")),
        tests_with: declared(package, |kind| kind == Some("dev")),
        feature_only: feature_only(package),
        reaches: reached(metadata, package)?,
        roots: items(package, "targets")
            .map(|t| relative(string(t, "src_path")))
            .collect::<Result<_, _>>()?,
    })
}

/// Names of the dependencies of some kind; normal ones have none.
fn declared(package: &Value, wanted: impl Fn(Option<&str>) -> bool) -> BTreeSet<String> {
    let of_kind = items(package, "dependencies").filter(|d| wanted(d.get("kind").and_then(Value::as_str)));
    of_kind.filter_map(|d| string(d, "name")).collect()
}

fn feature_only(package: &Value) -> BTreeSet<String> {
    let names =
        package.pointer("/metadata/cairn/feature-only").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|n| Some(n.as_str()?.to_owned())).collect()
}

/// Names of all packages behind normal and build dependencies, at any distance.
fn reached(metadata: &Value, from: &Value) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let nodes = metadata.get("resolve").ok_or("nothing was resolved")?;
    let nodes: BTreeMap<String, &Value> =
        items(nodes, "nodes").filter_map(|n| Some((string(n, "id")?, n))).collect();
    let mut seen = BTreeSet::new();
    let mut open: Vec<String> = string(from, "id").into_iter().collect();
    while let Some(id) = open.pop() {
        let below = nodes.get(&id).into_iter().flat_map(|n| items(n, "deps")).filter(|d| is_built_in(d));
        open.extend(below.filter_map(|d| string(d, "pkg")).filter(|id| seen.insert(id.clone())));
    }
    let packages = items(metadata, "packages");
    packages.filter(|p| string(p, "id").is_some_and(|id| seen.contains(&id))).map(name).collect()
}

fn is_built_in(dependency: &Value) -> bool {
    items(dependency, "dep_kinds").any(|k| k.get("kind").and_then(Value::as_str) != Some("dev"))
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn string(value: &Value, key: &str) -> Option<String> {
    Some(value.get(key)?.as_str()?.to_owned())
}

fn name(package: &Value) -> Result<String, Box<dyn Error>> {
    Ok(string(package, "name").ok_or("a package has a name")?)
}
