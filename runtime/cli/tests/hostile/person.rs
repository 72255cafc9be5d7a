//! Somebody with a key of their own who writes by hand what a node would write, and worse.

use cairn_bundle::card::Card;
use cairn_bundle::{Class, CreationTimestamp, Digest, Draft, Eid, Identity, NodeId, SealingKey, seal};
use cairn_link::{Hello, parcel};

use super::node::Node;

/// A person with a key.
pub(crate) struct Person {
    pub(crate) identity: Identity,
    name: &'static str,
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(most).unwrap()).unwrap()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.roll().to_le_bytes()[0]).collect()
    }
}

impl rand_core::TryRng for Dice {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let [a, b, c, d, ..] = self.roll().to_le_bytes();
        Ok(u32::from_le_bytes([a, b, c, d]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.roll())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let filling = self.bytes(bytes.len());
        bytes.copy_from_slice(&filling);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Dice {}

impl Person {
    pub(crate) fn new(name: &'static str, seed: u8) -> Self {
        Self { identity: Identity::from_seed(&[seed; 32]), name }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.identity.node_id()
    }

    pub(crate) fn card(&self) -> String {
        let card = Card {
            node: self.id(),
            name: self.name.to_owned(),
            sealing_key: self.identity.sealing_key(),
            prekeys: Vec::new(),
            addresses: Vec::new(),
            services: Vec::new(),
            counter: 1,
        };
        card.sign(&self.identity).unwrap().to_text()
    }

    /// A Hello as a node of this person would say it.
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            version: 1,
            node: self.id(),
            card: Vec::new(),
            item_bytes_max: 1 << 20,
            boards: Vec::new(),
            wall_time: None,
        }
    }

    /// A signed and sealed bundle to a service of a node: name of its file, and bytes.
    pub(crate) fn bundle(&self, to: &Node, service: &str, payload: &[u8]) -> (String, Vec<u8>) {
        let (node, key) = keys_of(to);
        let mut dice = Dice::new(u64::try_from(payload.len()).unwrap());
        let draft = Draft {
            destination: Eid::node(&node, service).unwrap(),
            source_service: service,
            creation: CreationTimestamp { time_ms: 0, seq: dice.roll() >> 1 },
            lifetime_ms: 1_000_000,
            hop_limit: 8,
            class: Class::Normal,
            age_ms: Some(0),
            may_fragment: false,
            admin_record: false,
            payload,
        };
        let bytes = seal(&draft, &self.identity, &key, &mut dice).unwrap().encode();
        (parcel::file_name(&Digest::of(&bytes)), bytes)
    }
}

fn keys_of(node: &Node) -> (NodeId, SealingKey) {
    let card = cairn_bundle::SignedCard::from_text(node.card().trim()).unwrap();
    (card.card().node, card.card().sealing_key)
}
