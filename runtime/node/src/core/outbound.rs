//! Bundles that this node writes: signed, sealed, stored, then carried.

use cairn_bundle::{Bundle, CreationTimestamp, Digest, Draft, Eid, NodeId, seal};
use cairn_engine::BundleRecord;
use cairn_store::Table;

use super::Core;
use super::commit::{After, Tx};

/// How long a bundle of this node lives: 30 days of being carried, in milliseconds.
const LIFETIME_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// Nodes that a bundle may pass.
const HOPS_MAX: u8 = 32;

/// Why a bundle cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotSend {
    /// Without a card there is no key to seal to.
    #[error("the card of this node is not known")]
    NoCard,
    /// The payload is too large, or the service has no valid name.
    #[error("the bundle cannot be written: {0}")]
    Seal(String),
}

impl Core {
    /// Seals a payload for a contact.
    pub(super) fn write_bundle(
        &mut self,
        to: &NodeId,
        service: &str,
        payload: &[u8],
    ) -> Result<Bundle, CannotSend> {
        let key = self.contacts.get(to).ok_or(CannotSend::NoCard)?.card().sealing_key;
        // Random, so that a node without a clock never uses one (time, sequence) pair twice.
        let seq = u64::from_be_bytes(self.rng.bytes()) >> 1;
        let draft = Draft {
            destination: Eid::node(to, service).map_err(|error| CannotSend::Seal(error.to_string()))?,
            source_service: service,
            creation: CreationTimestamp { time_ms: self.clock.dtn_ms(), seq },
            lifetime_ms: LIFETIME_MS,
            hop_limit: HOPS_MAX,
            age_ms: Some(0),
            may_fragment: false,
            admin_record: false,
            payload,
        };
        seal(&draft, &self.identity, &key, &mut self.rng).map_err(|error| CannotSend::Seal(error.to_string()))
    }

    /// Seals a payload and hands it to store and engine.
    pub(super) fn send_bundle(
        &mut self,
        tx: &mut Tx,
        to: &NodeId,
        service: &str,
        payload: &[u8],
    ) -> Result<Digest, CannotSend> {
        let bundle = self.write_bundle(to, service, payload)?;
        let id = bundle.content_id();
        let bytes = bundle.encode();
        let record = BundleRecord {
            destination: Some(*to),
            source: Some(self.me),
            neighbour: None,
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            age_ms: Some(0),
            remaining_ms: LIFETIME_MS,
            kept_since: self.clock.now,
        };
        tx.put(Table::Bundles, *id.as_bytes(), bytes);
        tx.put(Table::Seen, *id.as_bytes(), []);
        tx.then(After::Carry { id, record });
        Ok(id)
    }
}
