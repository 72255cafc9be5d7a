//! Local control of a node: JSON lines over a Unix socket that only its owner can open.

pub mod api;
pub mod client;
pub mod server;
pub mod socket;

#[cfg(test)]
mod tests;
