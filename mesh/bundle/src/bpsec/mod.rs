//! Bundle security: RFC 9172, and the default security contexts of RFC 9173.
//!
//! A *source* adds operations ([`source`]), everybody on the way may verify signatures, and the
//! *acceptor* checks and removes what was added ([`accept::process`]). What an operation does to
//! bytes is the matter of a [security context](context::SecurityContext); which of them a node has
//! is an argument, as is the randomness.
//!
//! It works on [`RawBundle`](crate::RawBundle), because security is what makes some bundles whole: what
//! comes out of it becomes a [`Bundle`](crate::Bundle) before it is delivered or forwarded.

pub mod accept;
pub mod asb;
pub mod context;
pub mod default;
pub mod key;
pub mod policy;
pub mod rules;
pub mod source;
