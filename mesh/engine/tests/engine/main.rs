//! The engine through its public interface, with two or three of them and a host that is a map.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "helpers of tests may fail loudly, and count in small numbers"
)]

mod backlog;
mod carried;
mod choices;
mod heights;
mod host;
mod hostile;
mod links;
mod live;
mod pressure;
mod proof;
mod scale;
mod schedules;
mod tokens;
