//! What is asked of the router, and what it answers.

use core::fmt;

use cairn_bundle::{Class, NodeId};

/// A bundle as routing sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The node it is for; `None` for a group.
    pub destination: Option<NodeId>,
    /// Who made it, if a node did.
    pub source: Option<NodeId>,
    /// How urgent it is.
    pub class: Class,
    /// Its size.
    pub bytes: u64,
    /// Milliseconds until it expires.
    pub remaining_ms: u64,
    /// Milliseconds since it has been here. Forecasts that it has outlived are doubted.
    pub held_ms: u64,
    /// Tokens: how many copies this node may still bring into the world, its own included. With none it holds a
    /// passive copy, which it gives to the destination only.
    pub copies: u8,
    /// How much there is of the same source here: 0 for the usual, more for one that sends very much
    /// ([`Quotas::crowd`](crate::quota::Quotas::crowd)).
    pub crowd: u8,
}

/// Whether a neighbour is offered a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Offer it.
    Give {
        /// Tokens that go with it; never more than there are.
        copies: u8,
        /// What goes first.
        rank: Rank,
        /// Why.
        why: Why,
    },
    /// Keep it from this neighbour for now.
    Hold {
        /// Why.
        why: Why,
    },
}

/// The order of transfer on a link: the smallest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u64);

/// The reason for a [`Decision`]; shown to people by [`Explanation`](crate::routing::Explanation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Give: the neighbour is the destination.
    Destination,
    /// Give: a small alert goes to everybody.
    Alert,
    /// Give: the neighbour is the next hop of the best route that is known.
    BestRoute,
    /// Give: the neighbour expects to deliver it clearly sooner than this node.
    Sooner,
    /// Give: several copies are wanted in the world, and this neighbour takes some of them.
    Spray,
    /// Give: nobody knows the destination, and this node always meets the same few, or the neighbour goes to more places.
    Wander,
    /// Hold: it expires before anything could happen.
    Expired,
    /// Hold: the neighbour made it.
    Source,
    /// Hold: all copies that this node might make have been handed on; this one waits for the destination itself.
    Passive,
    /// Hold: this node is sure to meet the destination itself in time.
    WillMeet,
    /// Hold: this node knows a way that is in time on average, and the neighbour no clearly better one.
    SoonerHere,
    /// Hold: the last copy waits for somebody who is clearly better, or for the destination.
    LastCopy,
    /// Hold: the neighbour claims to be better, but has never brought anything, and this is the last copy.
    Unproven,
    /// Hold: bulk goes only where a route is known.
    Bulk,
}

impl Decision {
    /// The reason, either way.
    #[must_use]
    pub const fn why(&self) -> Why {
        match self {
            Self::Give { why, .. } | Self::Hold { why } => *why,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Destination => "it is for this neighbour",
            Self::Alert => "a small alert goes to everybody",
            Self::BestRoute => "this neighbour is the next hop of the best route known",
            Self::Sooner => "this neighbour expects to deliver it clearly sooner",
            Self::Spray => "several copies are wanted, and this neighbour takes some",
            Self::Wander => "nobody here knows the destination, so it moves on",
            Self::Expired => "it expires before it could arrive",
            Self::Source => "this neighbour made it",
            Self::Passive => "all further copies have been handed on; this one waits for the destination",
            Self::WillMeet => "this node meets the destination itself in time",
            Self::SoonerHere => {
                "this node expects to deliver it in time, and this neighbour not clearly sooner"
            }
            Self::LastCopy => "the last copy waits for somebody clearly better",
            Self::Unproven => {
                "this neighbour claims to be better, but has never brought anything, and this is the last copy"
            }
            Self::Bulk => "bulk goes only where a route is known",
        })
    }
}
