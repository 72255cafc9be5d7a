//! What the rules need to know of a workspace crate, without the types of `cargo_metadata`.

use std::collections::BTreeSet;

/// A crate of the workspace.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// Package name.
    pub name: String,
    /// Folder relative to the repository root.
    pub folder: String,
    /// `layer` of `[package.metadata.cairn]`.
    pub layer: Option<u64>,
    /// `description` of the package.
    pub description: Option<String>,
    /// `license` of the package.
    pub license: Option<String>,
    /// Packages named under `[dependencies]` and `[build-dependencies]`.
    pub depends_on: BTreeSet<String>,
    /// Packages named under `[dev-dependencies]`.
    pub tests_with: BTreeSet<String>,
    /// `feature-only` of `[package.metadata.cairn]`: named in the manifest for their features, by no code.
    pub feature_only: BTreeSet<String>,
    /// Every package reached over normal and build dependencies, at any distance.
    pub reaches: BTreeSet<String>,
    /// Root files of its targets (library, binaries, tests, benches, build script), relative to the repository.
    pub roots: Vec<String>,
}

impl Member {
    /// Protocol crates, which do no I/O: everything in mesh/ and sync/.
    pub fn is_pure(&self) -> bool {
        self.folder.starts_with("mesh/") || self.folder.starts_with("sync/")
    }

    /// Its manifest's path relative to the repository.
    pub fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}
