//! Whose cards are known, and whom this node may meet.

use std::collections::BTreeMap;

use cairn_bundle::NodeId;
use cairn_bundle::card::{Card, SignedCard};
use cairn_engine::Instant;
use minicbor::{Decoder, Encoder};

/// Contacts that are kept; a further card is refused.
pub(crate) const CONTACTS_MAX: usize = 10_000;

/// Direct addresses that a person may give for one peer.
pub(crate) const ADDRESSES_MAX: usize = 16;

/// Somebody whose card is known.
#[derive(Debug, Clone)]
pub struct Contact {
    /// The newest card.
    pub card: SignedCard,
    /// Whether this node may meet it.
    pub peer: bool,
    /// Addresses that a person gave, in addition to those of the card.
    pub addresses: Vec<String>,
    /// Whether the dates on the card made sense by this node's clock when it came.
    pub dated: bool,
    /// When the contact itself handed over the card that it has now; forgotten at the end of the process,
    /// because the clock that counts from there ends too.
    pub heard: Option<Instant>,
}

impl Contact {
    /// The card's contents.
    #[must_use]
    pub fn card(&self) -> &Card {
        self.card.card()
    }

    /// All addresses where it may be dialled, those given by a person first.
    pub fn dial_addresses(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().chain(&self.card().addresses).map(String::as_str)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut e = Encoder::new(&mut bytes);
        let mut write = || -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
            e.array(4)?.bytes(self.card.as_bytes())?.bool(self.peer)?;
            e.array(u64::try_from(self.addresses.len()).unwrap_or(0))?;
            for address in &self.addresses {
                e.str(address)?;
            }
            e.bool(self.dated)?;
            Ok(())
        };
        write().expect("writing to a Vec cannot fail");
        bytes
    }

    /// Reads back what this node stored; `None` if it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder::new(bytes);
        let fields = d.array().ok().flatten().filter(|n| [3, 4].contains(n))?;
        let card = SignedCard::decode(d.bytes().ok()?).ok()?;
        let peer = d.bool().ok()?;
        let count = usize::try_from(d.array().ok()??).ok().filter(|n| *n <= ADDRESSES_MAX)?;
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            addresses.push(d.str().ok()?.to_owned());
        }
        // Earlier versions knew no prekeys, and with them no dates.
        let dated = fields == 4 && d.bool().ok()?;
        Some(Self { card, peer, addresses, dated, heard: None })
    }
}

/// Why a name does not lead to a contact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("nobody is known as “{0}”")]
    Nobody(String),
    #[error("more than one contact is called “{0}”: give the node id")]
    Ambiguous(String),
}

/// All contacts in the order of their node ids.
#[derive(Debug, Default)]
pub struct Contacts {
    by_node: BTreeMap<NodeId, Contact>,
}

impl Contacts {
    pub(crate) fn insert(&mut self, contact: Contact) {
        self.by_node.insert(contact.card().node, contact);
    }

    /// The contact with this id.
    #[must_use]
    pub fn get(&self, node: &NodeId) -> Option<&Contact> {
        self.by_node.get(node)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &Contact)> {
        self.by_node.iter()
    }

    /// Those that this node may meet.
    pub fn peers(&self) -> impl Iterator<Item = (&NodeId, &Contact)> {
        self.iter().filter(|(_, contact)| contact.peer)
    }

    /// Whether this node may meet somebody.
    #[must_use]
    pub fn is_peer(&self, node: &NodeId) -> bool {
        self.get(node).is_some_and(|contact| contact.peer)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_node.len()
    }

    /// The name on the card, or the short form of the id.
    pub(crate) fn name(&self, node: &NodeId) -> String {
        self.get(node).map_or_else(|| node.short(), |contact| contact.card().name.clone())
    }

    /// Finds a contact by node id or by the name on its card.
    pub(crate) fn find(&self, text: &str) -> Result<NodeId, Unknown> {
        if let Ok(node) = text.parse::<NodeId>() {
            return self
                .by_node
                .get_key_value(&node)
                .map(|(n, _)| *n)
                .ok_or_else(|| Unknown::Nobody(text.into()));
        }
        let mut found =
            self.by_node.iter().filter(|(_, contact)| contact.card().name == text).map(|(n, _)| *n);
        match (found.next(), found.next()) {
            (Some(node), None) => Ok(node),
            (None, _) => Err(Unknown::Nobody(text.into())),
            (Some(_), Some(_)) => Err(Unknown::Ambiguous(text.into())),
        }
    }

    /// Notes that a contact has just handed over its card, if that is the one that is known.
    pub(crate) fn hear(&mut self, card: &SignedCard, now: Instant, live: bool) {
        if let Some(contact) =
            self.by_node.get_mut(&card.card().node).filter(|known| known.card == *card && live)
        {
            contact.heard = Some(now);
        }
    }

    /// Whether a card is newer than the one that is known.
    pub(crate) fn is_news(&self, card: &Card) -> bool {
        self.get(&card.node).is_none_or(|known| known.card().counter < card.counter)
    }
}
