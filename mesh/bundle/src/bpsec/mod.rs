//! Bundle security: RFC 9172, and the security contexts of RFC 9173.

pub mod asb;
pub mod context;
pub mod default;
pub mod key;
pub mod rules;
pub mod source;
