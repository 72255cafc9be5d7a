//! The rules, one file each.

pub mod dead_files;
pub mod dependency_table;
pub mod file_length;
pub mod layers;
pub mod links;
pub mod machine_paths;
pub mod manifests;
pub mod no_std;
pub mod performance_prose;
pub mod purity;
pub mod readme;
pub mod unused_dependencies;
pub mod vocabulary;
