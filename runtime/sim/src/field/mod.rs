//! Large fields: hundreds or thousands of nodes that move, meet, and pass bundles on.
//!
//! A [`Scenario`] says who moves how and who writes to whom. For one seed it turns into a [`Field`]: a
//! [trace of contacts](ContactTrace), a timetable, and messages. What goes wrong besides is drawn as a [`FaultPlan`].
//! The [`Oracle`] says for each message when it could have arrived at the earliest, and a [`FieldReport`] sets what
//! happened beside that. Everything is drawn from the seed, in whole numbers: the same seed gives the same bytes on
//! every machine.
//!
//! ```
//! use cairn_sim::field::{Oracle, Scenario};
//!
//! let field = Scenario::parse("camps:nodes=21,hours=6,messages=50")?.draw(7);
//! let mut oracle = Oracle::new(&field.trace);
//! let arrive = field.messages.iter().filter(|message| oracle.arrival_ms(message).is_some());
//! println!("{} of {} messages can arrive at all", arrive.count(), field.messages.len());
//! # Ok::<(), cairn_sim::field::ScenarioError>(())
//! ```

pub mod contact;
pub mod faults;
mod mixed;
pub mod mobility;
pub mod one;
pub mod oracle;
pub mod report;
pub mod run;
pub mod scenario;
pub mod traffic;
mod world;

pub use contact::{Contact, ContactTrace, LinkModel, TraceEvent};
pub use faults::{Fault, FaultPlan, FieldFaults, Hostile};
pub use mixed::mixed_field;
pub use oracle::Oracle;
pub use report::{Cost, Delivery, Fate, FieldReport, Outcome, Strategy};
pub use run::{FieldOptions, Progress, run_field};
pub use scenario::{Field, Scenario, ScenarioError};
pub use traffic::{Message, Traffic};
