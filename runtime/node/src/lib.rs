//! The node: sockets, discovery and supervision around a pure core.

pub mod config;
pub mod control;
pub mod identity_file;
