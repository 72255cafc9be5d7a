//! Repository checks: the laws of this workspace as ordinary tests.
//!
//! Each rule is one small file in [`rules`]: a pure function from text (or from a summary of the workspace)
//! to a list of [`Finding`]s, with a self-test on a fixture that has to fail. `tests/repository` reads the real
//! tree and `cargo metadata` and applies all of them, so `cargo test` is the judge and not a reviewer.
//!
//! This crate does not parse Rust completely: it knows comments, literals, words and braces, which is enough for
//! these rules. What clippy can say (function length, `unwrap`, casts) is left to clippy.

pub mod code;
pub mod finding;
pub mod rules;
pub mod tree;
pub mod workspace;

pub use finding::Finding;
pub use tree::{Tree, TreeFile};
pub use workspace::Member;
