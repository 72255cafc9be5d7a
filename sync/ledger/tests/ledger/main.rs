//! What the ledger promises, tried from outside the crate.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but not in the helpers of tests"
)]

mod attacks;
mod invariants;
mod limits;
mod model;
mod receipt;
mod story;
mod vectors;
mod world;
