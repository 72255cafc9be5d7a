//! Bundles that this node writes: signed, sealed, stored, then carried.

use cairn_bundle::{
    Bundle, BundleFlags, Class, CreationTimestamp, Digest, Draft, Eid, Fallback, NodeId, SealedTo,
    SealingKey, SenderClock, seal,
};
use cairn_engine::BundleRecord;
use cairn_engine::quota::Amount;

use super::commit::{After, Tx};
use super::keys::sender_clock;
use super::{Contact, Core};

/// How long a bundle of this node lives: 30 days of being carried, in milliseconds.
const LIFETIME_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// Smaller payloads are not cut: a fragment's source cannot be checked on the way.
const CUT_BYTES_MIN: usize = 64 * 1024;

/// Nodes that a bundle may pass.
const HOPS_MAX: u8 = 32;

/// What a bundle was sealed to, for the sender to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) kind: SealedTo,
    /// Why it is not a prekey.
    pub(crate) fallback: Option<Fallback>,
}

/// Why a bundle cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotSend {
    /// Without a card there is no key to seal to.
    #[error("the card of this node is not known")]
    NoCard,
    /// The payload is too large, or the service has no valid name.
    #[error("the bundle cannot be written: {0}")]
    Seal(String),
    /// What this node made itself and nobody has received yet never gives way, and fills what the store has for bundles.
    #[error("bundles of this node that are not delivered yet fill the store: {waiting_bytes} bytes wait")]
    Full {
        /// Bytes of these.
        waiting_bytes: u64,
    },
}

impl Core {
    /// Seals a payload for a contact.
    pub(super) fn write_bundle(
        &mut self,
        to: &NodeId,
        service: &str,
        class: Class,
        payload: &[u8],
    ) -> Result<(Bundle, Sealed), CannotSend> {
        let (key, sealed) = self.sealing_target(self.contacts.get(to).ok_or(CannotSend::NoCard)?);
        // Random, so that a node without a clock never uses one (time, sequence) pair twice.
        let seq = u64::from_be_bytes(self.rng.bytes()) >> 1;
        let draft = Draft {
            destination: Eid::node(to, service).map_err(|error| CannotSend::Seal(error.to_string()))?,
            source_service: service,
            creation: CreationTimestamp { time_ms: self.clock.dtn_ms(), seq },
            lifetime_ms: LIFETIME_MS,
            hop_limit: HOPS_MAX,
            class,
            age_ms: Some(0),
            may_fragment: class != Class::Alert && payload.len() > CUT_BYTES_MIN,
            admin_record: false,
            payload,
        };
        let bundle = seal(&draft, &self.identity, &key, &mut self.rng)
            .map_err(|error| CannotSend::Seal(error.to_string()))?;
        if sealed.kind == SealedTo::LongTerm {
            self.count("bundles sealed to a long-term key");
        }
        Ok((bundle, sealed))
    }

    /// The key of a contact that a bundle would be sealed to now.
    pub(super) fn sealing_target(&self, contact: &Contact) -> (SealingKey, Sealed) {
        let target = contact.card().sealing_target(&sender_clock(&self.clock, contact));
        // Dates that this node's clock did not agree with when the card came are not looked at; it is
        // that disagreement which a person wants to know of.
        let by_wall = SenderClock { wall_s: self.clock.wall, heard_s: None };
        let fallback = target.fallback.map(|fallback| match (fallback, self.clock.wall) {
            (Fallback::NoClock, Some(_)) => {
                contact.card().sealing_target(&by_wall).fallback.unwrap_or(Fallback::ClocksDisagree)
            }
            (fallback, _) => fallback,
        });
        (target.key, Sealed { kind: target.kind, fallback })
    }

    /// Seals a payload and hands it to store and engine.
    pub(super) fn send_bundle(
        &mut self,
        tx: &mut Tx,
        to: &NodeId,
        service: &str,
        class: Class,
        payload: &[u8],
    ) -> Result<(Digest, Sealed), CannotSend> {
        let (bundle, sealed) = self.write_bundle(to, service, class, payload)?;
        let id = bundle.content_id();
        let bytes = bundle.encode();
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let waiting = self.own_waiting.plus(Amount::one(length));
        if !self.engine.has_room_for_own(waiting) {
            self.count("own bundles that found no room");
            return Err(CannotSend::Full { waiting_bytes: self.engine.own().plus(self.own_waiting).bytes });
        }
        self.own_waiting = waiting;
        let record = BundleRecord {
            place: 0,
            destination: Some(*to),
            source: Some(self.me),
            neighbour: None,
            bytes: length,
            class,
            age_ms: Some(0),
            remaining_ms: LIFETIME_MS,
            kept_since: self.clock.now,
            copies: self.engine.copy_budget(class),
            handed_at: None,
            may_fragment: !bundle.primary().flags.contains(BundleFlags::NO_FRAGMENT),
            fragment: false,
        };
        let record = self.put_bundle(tx, id, record, bytes);
        tx.then(After::Carry { id, record });
        Ok((id, sealed))
    }
}
