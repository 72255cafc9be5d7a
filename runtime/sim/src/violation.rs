//! What must never happen, and did.

use cairn_link::Item;

/// A broken promise of the design, found by the simulator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// V1: an item was acknowledged to a peer and is not on the disk after a crash.
    #[error("V1: {node} acknowledged {item:?} and does not have it after its restart")]
    AcknowledgedLost {
        /// Who broke its word.
        node: String,
        /// What is missing.
        item: Item,
    },
    /// V1: a person was told that something is done, and it is not.
    #[error("V1: {node} confirmed to its person and forgot: {what}")]
    ConfirmedLost {
        /// Who broke its word.
        node: String,
        /// What is missing.
        what: String,
    },
    /// V2: a message was delivered twice.
    #[error("V2: {node} has this message {times} times: {text}")]
    DeliveredAgain {
        /// The recipient.
        node: String,
        /// The message.
        text: String,
        /// How often it is there.
        times: usize,
    },
    /// V2: a message came from nobody.
    #[error("V2: {node} has a message that nobody sent to it: {text}")]
    FromNobody {
        /// The recipient.
        node: String,
        /// The message.
        text: String,
    },
    /// V5: nodes that hold the same facts show different things.
    #[error("V5: {0}")]
    Disagreement(String),
    /// Money was made, lost or left lying about.
    #[error("V6: {0}")]
    Money(String),
    /// Nodes that could talk at leisure did not come to rest.
    #[error("no rest after {rounds} rounds without faults: {what}")]
    NeverQuiet {
        /// Rounds of contacts.
        rounds: u32,
        /// What still changed.
        what: String,
    },
    /// A node gave an answer that the scenario does not expect.
    #[error("{node} answered: {answer}")]
    Unexpected {
        /// Who.
        node: String,
        /// What.
        answer: String,
    },
    /// A node did not start from its disk.
    #[error("{node} does not start: {reason}")]
    NoStart {
        /// Who.
        node: String,
        /// Why.
        reason: String,
    },
    /// The files of the scenario are missing.
    #[error("the scenario's job cannot be read: {0}")]
    Scenario(String),
}
