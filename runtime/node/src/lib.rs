//! The node: sockets, discovery and supervision around a pure core.

pub mod control;
