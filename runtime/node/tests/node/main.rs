//! Whole nodes with a store on the disk, without sockets: the core and what it asks for.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "helpers of tests: a panic is a failed test"
)]

mod host;
mod prekeys;
mod sending;
mod streams;
mod upgrade;
