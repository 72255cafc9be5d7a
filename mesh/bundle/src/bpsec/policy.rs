//! What a node asks of the security of bundles, and what it says about those that it refuses.

use alloc::vec::Vec;

use crate::block::BlockKind;
use crate::bpsec::context::OperationError;
use crate::bpsec::rules::Conflict;
use crate::crc::CrcType;
use crate::eid::Eid;
use crate::primary::Primary;

/// A set of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Every endpoint.
    Anybody,
    /// All endpoints of the node that this endpoint is on.
    NodeOf(Eid),
    /// This endpoint.
    Endpoint(Eid),
}

/// What must be signed in bundles from some sources, by the source itself.
///
/// The scope of a signature is its source's choice, and nothing here asks for one: a source that signs payloads
/// without the primary block has signed them for every bundle of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRule {
    /// The sources.
    pub source: Who,
    /// Whether the primary block must be.
    pub primary: bool,
    /// Whether the payload must be.
    pub payload: bool,
}

/// What to do when a check of a block fails that is neither primary block nor payload.
/// If it is one of those, the bundle is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Refuse the bundle.
    #[default]
    DropBundle,
    /// Remove the block and what covers it, and go on.
    DropBlock,
}

/// What to do at the destination with signatures that this node cannot check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknown {
    /// Leave them: the bundle is then no better than one without them.
    #[default]
    Keep,
    /// Refuse the bundle.
    DropBundle,
}

/// What a node asks of the security of bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityPolicy {
    /// Which sources must have signed what.
    pub signed: Vec<SignedRule>,
    /// Bundles to which destinations must be encrypted.
    pub sealed: Vec<Who>,
    /// Whose security operations this node accepts, and so removes, although it is not the
    /// destination. At the destination all are accepted.
    pub accepts: Vec<Who>,
    /// What to do when a check of an extension block fails.
    pub on_failure: OnFailure,
    /// What to do at the destination with signatures that this node cannot check.
    pub on_unknown: OnUnknown,
    /// The checksum of blocks that nothing protects any more.
    pub crc: CrcType,
}

/// Which service a security block provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// An integrity block's.
    Integrity,
    /// A confidentiality block's.
    Confidentiality,
}

/// The reason codes of RFC 9172 section 7.1 for status reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A required operation is missing.
    Missing,
    /// An operation is not understood, or this node has no key for it.
    Unknown,
    /// This node has nothing to do with an operation. Not an error.
    Unexpected,
    /// An operation failed.
    Failed,
    /// The security blocks break RFC 9172.
    Conflicting,
}

/// Why a bundle is refused. Nothing of it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A fragment is secured, or should be: that cannot be checked before the bundle is whole (section 5.2).
    #[error("the bundle is a fragment, whose security can only be checked when it is whole")]
    Fragment,
    /// The security blocks contradict RFC 9172, or one another.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// An operation did not succeed.
    #[error("security block {block} over block {target}: {error}")]
    Operation {
        /// Its service.
        service: Service,
        /// The security block's number.
        block: u64,
        /// The target's number.
        target: u64,
        /// What happened.
        error: OperationError,
    },
    /// The policy asks for a signature of the source that is not there.
    #[error("block {target} has no signature of the bundle's source")]
    Unsigned {
        /// The block's number; 0 is the primary block.
        target: u64,
    },
    /// The policy asks for encryption.
    #[error("the payload is not encrypted")]
    Unsealed,
    /// There is no payload.
    #[error("the bundle has no payload")]
    NoPayload,
}

impl Who {
    /// Whether an endpoint belongs to the set.
    #[must_use]
    pub fn includes(&self, eid: &Eid) -> bool {
        match self {
            Self::Anybody => true,
            Self::NodeOf(node) => same_node(node, eid),
            Self::Endpoint(other) => other == eid,
        }
    }
}

/// Whether two endpoints are on one node.
pub(crate) fn same_node(a: &Eid, b: &Eid) -> bool {
    match (a, b) {
        (Eid::Dtn(a), Eid::Dtn(b)) => a.authority() == b.authority(),
        (Eid::Ipn(a), Eid::Ipn(b)) => (a.allocator, a.node) == (b.allocator, b.node),
        (Eid::None | Eid::Dtn(_) | Eid::Ipn(_), _) => false,
    }
}

impl Default for SecurityPolicy {
    /// Asks for nothing, and refuses whatever fails.
    fn default() -> Self {
        Self {
            signed: Vec::new(),
            sealed: Vec::new(),
            accepts: Vec::new(),
            on_failure: OnFailure::default(),
            on_unknown: OnUnknown::default(),
            crc: CrcType::Crc32,
        }
    }
}

impl SecurityPolicy {
    /// Whether bundles with such a primary block need any security.
    pub(crate) fn asks(&self, primary: &Primary) -> bool {
        let signed =
            |rule: &SignedRule| rule.source.includes(&primary.source) && (rule.primary || rule.payload);
        self.signed.iter().any(signed) || self.sealed.iter().any(|who| who.includes(&primary.destination))
    }
}

impl Service {
    /// The kind of block that provides it.
    #[must_use]
    pub const fn kind(self) -> BlockKind {
        match self {
            Self::Integrity => BlockKind::Integrity,
            Self::Confidentiality => BlockKind::Confidentiality,
        }
    }
}

impl Reason {
    /// The code in status reports (RFC 9172 section 11.2).
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Missing => 12,
            Self::Unknown => 13,
            Self::Unexpected => 14,
            Self::Failed => 15,
            Self::Conflicting => 16,
        }
    }

    /// The reason behind an operation that did not succeed.
    #[must_use]
    pub const fn of(error: OperationError) -> Self {
        if error.is_unknown() { Self::Unknown } else { Self::Failed }
    }
}

impl Refusal {
    /// The reason for a status report, if BPSec has one.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Fragment | Self::NoPayload => None,
            Self::Conflict(_) => Some(Reason::Conflicting),
            Self::Operation { error, .. } => Some(Reason::of(*error)),
            Self::Unsigned { .. } | Self::Unsealed => Some(Reason::Missing),
        }
    }
}
