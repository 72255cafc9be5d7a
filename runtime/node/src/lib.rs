//! The node: sockets, discovery and supervision around a pure core.
//!
//! [`core`] decides everything and does no I/O; the driver around it owns sockets, files, clocks and
//! executors. The simulator runs the same core.

pub mod config;
pub mod control;
pub mod core;
mod driver;
pub mod identity_file;
pub mod prekeys_file;

pub use driver::{NodeError, ReadyInfo, STORE_DIR, run, store_options};
