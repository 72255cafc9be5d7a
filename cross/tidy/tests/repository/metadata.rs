//! `cargo metadata`, reduced to what the rules ask for.

use core::error::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use cairn_tidy::Member;
use cairn_tidy::rules::dependency_table::plain;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

pub(crate) struct Workspace {
    pub(crate) members: Vec<Member>,
    /// Licences by crate name; several where several versions are in use.
    pub(crate) licences: BTreeMap<String, BTreeSet<String>>,
}

pub(crate) fn read(root: &Path) -> Result<Workspace, Box<dyn Error>> {
    // Only this machine's dependencies: they are here already, because this test was built from them.
    let options = ["--filter-platform".to_owned(), host()?];
    let metadata =
        MetadataCommand::new().manifest_path(root.join("Cargo.toml")).other_options(options).exec()?;
    let mut licences: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in &metadata.packages {
        let licence = package.license.as_deref().map(plain).unwrap_or_default();
        licences.entry(package.name.to_string()).or_default().insert(licence);
    }
    let members =
        metadata.workspace_packages().into_iter().map(|p| member(&metadata, p)).collect::<Result<_, _>>()?;
    Ok(Workspace { members, licences })
}

fn host() -> Result<String, Box<dyn Error>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = String::from_utf8(Command::new(rustc).arg("-vV").output()?.stdout)?;
    let host = output.lines().find_map(|l| l.strip_prefix("host: "));
    Ok(host.ok_or("rustc -vV names no host")?.to_owned())
}

fn member(metadata: &Metadata, package: &Package) -> Result<Member, Box<dyn Error>> {
    let root = &metadata.workspace_root;
    let relative = |path: &cargo_metadata::camino::Utf8Path| -> Result<String, Box<dyn Error>> {
        Ok(path.strip_prefix(root)?.as_str().replace('\\', "/"))
    };
    let named = |kinds: &[DependencyKind]| -> BTreeSet<String> {
        package.dependencies.iter().filter(|d| kinds.contains(&d.kind)).map(|d| d.name.clone()).collect()
    };
    let folder = package.manifest_path.parent().ok_or("a manifest lies in a folder")?;
    Ok(Member {
        name: package.name.to_string(),
        folder: relative(folder)?,
        layer: package.metadata.get("cairn").and_then(|c| c.get("layer")?.as_u64()),
        description: package.description.clone(),
        license: package.license.clone(),
        depends_on: named(&[DependencyKind::Normal, DependencyKind::Build]),
        tests_with: named(&[DependencyKind::Development]),
        reaches: reached(metadata, &package.id),
        roots: package.targets.iter().map(|t| relative(&t.src_path)).collect::<Result<_, _>>()?,
    })
}

fn reached(metadata: &Metadata, from: &PackageId) -> BTreeSet<String> {
    let nodes = metadata.resolve.iter().flat_map(|r| &r.nodes);
    let nodes: BTreeMap<&PackageId, _> = nodes.map(|n| (&n.id, n)).collect();
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(node) = open.pop().and_then(|id| nodes.get(id)) {
        let below =
            node.deps.iter().filter(|d| d.dep_kinds.iter().any(|k| k.kind != DependencyKind::Development));
        open.extend(below.map(|d| &d.pkg).filter(|id| seen.insert(*id)));
    }
    metadata.packages.iter().filter(|p| seen.contains(&p.id)).map(|p| p.name.to_string()).collect()
}
