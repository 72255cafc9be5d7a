//! What a meet exchanges: items, each named by its topic and its id.

use cairn_bundle::Digest;

/// What an item is about. The order is the order of transfer: what comes first is sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Delivery notices: tiny, and each spares the transfer of what it is about.
    Notice,
    /// Entries of the ledger edge that the two nodes share: few, small, and they free credit.
    Ledger,
    /// BPv7 bundles.
    Bundle,
    /// Signed board changes.
    Board,
    /// Content: modules, models, inputs. Large, so it comes last.
    Blob,
}

/// Names one item on a link. What the bytes are, and whether they fit the id, the node checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// What it is about.
    pub topic: Topic,
    /// Its id within the topic.
    pub id: Digest,
}

impl Topic {
    /// Every topic, in order of transfer.
    pub const ALL: [Self; 5] = [Self::Notice, Self::Ledger, Self::Bundle, Self::Board, Self::Blob];

    /// The number that stands for the topic on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Ledger => 1,
            Self::Bundle => 2,
            Self::Board => 3,
            Self::Blob => 4,
            Self::Notice => 5,
        }
    }

    /// The topic of a number on the wire; `None` for one that this version does not know.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Ledger),
            2 => Some(Self::Bundle),
            3 => Some(Self::Board),
            4 => Some(Self::Blob),
            5 => Some(Self::Notice),
            _ => None,
        }
    }
}

impl Item {
    /// All items of a topic.
    pub(crate) const fn all_of(topic: Topic) -> core::ops::RangeInclusive<Self> {
        Self { topic, id: Digest([0; 32]) }..=Self { topic, id: Digest([u8::MAX; 32]) }
    }

    /// An item of a topic.
    #[must_use]
    pub const fn new(topic: Topic, id: Digest) -> Self {
        Self { topic, id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_comes_back_from_its_number_and_keeps_its_rank() {
        for topic in Topic::ALL {
            assert_eq!(Topic::from_number(u64::from(topic.number())), Some(topic));
        }
        assert_eq!(Topic::from_number(0), None);
        assert_eq!(Topic::from_number(6), None);
        assert_eq!(Topic::from_number(257), None);
        assert!(Topic::ALL.is_sorted());
        assert_eq!(Topic::ALL.first(), Some(&Topic::Notice), "what spares a transfer comes before it");
    }
}
