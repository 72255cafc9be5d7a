//! Real nodes under attack: damaged, foreign and oversized input, hostile peers and jobs, full disks, damaged
//! stores, twins, and kill -9. Each gets a clear error or a counted refusal, and nothing acknowledged is lost.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests: a panic is a failed test, and a test that is skipped says why"
)]

mod crashes;
mod damage;
mod disks;
mod drops;
mod jobs;
mod lan;
mod links;
mod node;
mod orders;
mod person;
mod routes;
mod space;
mod stores;
mod twins;
