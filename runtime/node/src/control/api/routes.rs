//! Bundles that a node carries, and where they go.

use cairn_bundle::Class;
use serde::{Deserialize, Serialize};

/// How urgent something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// Goes to everybody at once if it is small.
    Alert,
    /// As usual.
    #[default]
    Normal,
    /// Only where a way is known, after everything else.
    Bulk,
}

impl Urgency {
    /// The word in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
}

impl From<Urgency> for Class {
    fn from(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Alert => Self::Alert,
            Urgency::Normal => Self::Normal,
            Urgency::Bulk => Self::Bulk,
        }
    }
}

impl From<Class> for Urgency {
    fn from(class: Class) -> Self {
        match class {
            Class::Alert => Self::Alert,
            Class::Normal => Self::Normal,
            Class::Bulk => Self::Bulk,
        }
    }
}

/// A bundle that a node carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedInfo {
    /// Content id.
    pub id: String,
    /// The node it is for, if it is one node.
    pub to: Option<String>,
    /// That node's name, or empty.
    pub to_name: String,
    /// The node that signed it, if one did.
    pub from: Option<String>,
    /// That node's name, or empty.
    pub from_name: String,
    /// The neighbour it came from; none for this node's own.
    pub neighbour: Option<String>,
    /// Size.
    pub bytes: u64,
    /// How urgent it is.
    pub class: Urgency,
    /// Until it expires.
    pub remaining_ms: u64,
    /// Copies that may still be handed on.
    pub copies: u8,
    /// Whether it is a piece of a larger one.
    pub fragment: bool,
}

/// Why a bundle is held or sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteInfo {
    /// The bundle.
    pub bundle: CarriedInfo,
    /// The outcome in one sentence.
    pub verdict: String,
    /// What each strategy expects if the bundle waits here.
    pub waiting: Vec<ForecastInfo>,
    /// The neighbours that are met right now.
    pub neighbours: Vec<NextHopInfo>,
}

/// What one strategy expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastInfo {
    /// Its name.
    pub strategy: String,
    /// Until the bundle arrives; none if it knows no way.
    pub delay_ms: Option<u64>,
    /// The node that it would go to next, where known.
    pub next: Option<String>,
    /// That node's name, or empty.
    pub next_name: String,
    /// Transmissions that it takes at least.
    pub transmissions: Option<u64>,
}

/// A neighbour that might take a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextHopInfo {
    /// Node id.
    pub node: String,
    /// Name from its card.
    pub name: String,
    /// Whether it is given the bundle.
    pub give: bool,
    /// Why.
    pub why: String,
    /// What each strategy expects by way of it.
    pub forecasts: Vec<ForecastInfo>,
}
