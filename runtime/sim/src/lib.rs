//! Many nodes under one virtual clock, with lossy links and crashable disks.
//!
//! The simulator runs the daemon's own core ([`cairn_node::core::Core`]) many times in one process. All time is
//! virtual and all chance comes from one seed, so a run can be repeated exactly: the same seed gives the same
//! [trace](Report::trace). Each node has a disk that forgets what was not synced when its power is cut; links delay,
//! split and break off at any byte; drops lose, copy, mix up and damage files; disks fill up, clocks jump. In the
//! end all faults stop, everybody may talk at leisure, and the promises of the design are checked.
//!
//! Whole nodes are heavy. [`field`] simulates hundreds or thousands of them, of which only the part that passes bundles
//! on is real.
//!
//! It does not simulate sockets, discovery, the control socket's bytes, files of the store, or executors: a task's
//! output is a digest of its module and its input. See `docs/design/sim.md`.
//!
//! ```
//! use cairn_sim::{Faults, Scenario, run};
//!
//! let report = run(Scenario::Gap, 1, Faults::default(), false).outcome?;
//! let again = run(Scenario::Gap, 1, Faults::default(), false).outcome?;
//! assert_eq!(report.trace, again.trace);
//! # Ok::<(), cairn_sim::Violation>(())
//! ```

mod check;
mod contact;
mod dice;
mod drops;
mod faults;
pub mod field;
mod machine;
mod node;
mod person;
mod scenario;
mod trace;
mod violation;
mod witness;
mod world;

pub use dice::Dice;
pub use faults::Faults;
pub use scenario::{Report, Run, Scenario, run};
pub use violation::Violation;
