//! Bundle security: RFC 9172.

pub mod asb;
