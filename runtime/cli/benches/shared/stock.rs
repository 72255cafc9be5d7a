//! Bundles of many sources, written into the store of a node that is stopped.

use std::path::Path;
use std::sync::mpsc;

use cairn_bundle::{Class, CreationTimestamp, Digest, Draft, Eid, Identity, NodeId, seal};
use cairn_engine::{BundleRecord, Instant};
use cairn_node::STORE_DIR;
use cairn_store::{Op, Options, Store, Table};

use super::person::Dice;

/// Thirty days, in milliseconds.
const LIFETIME_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// A source without settled receipts may have so much in the store of a stranger; these bundles stay below.
const BUNDLES_PER_SOURCE: usize = 500;
const BYTES_PER_SOURCE: usize = 3 << 20;
/// Bundles in one commit.
const BATCH: usize = 2_000;
const BATCH_BYTES: usize = 16 << 20;

/// A bundle as it lies in a store.
pub(crate) struct Stocked {
    id: Digest,
    record: BundleRecord,
    bytes: Vec<u8>,
}

impl Stocked {
    /// Its bytes.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap()
    }
}

/// Signed and sealed bundles of so many bytes of payload for a node that nobody will meet.
pub(crate) fn signed(count: usize, payload_bytes: usize, seed: u64) -> impl Iterator<Item = Stocked> {
    let per_source = BUNDLES_PER_SOURCE.min(BYTES_PER_SOURCE / payload_bytes).max(1);
    let mut dice = Dice::new(seed);
    let absent = Identity::from_seed(&[200; 32]);
    let destination = Eid::node(&absent.node_id(), "inbox").unwrap();
    let payload = dice.bytes(payload_bytes);
    let mut source = Identity::from_seed(&[0; 32]);
    (0..count).map(move |number| {
        if number.is_multiple_of(per_source) {
            source = Identity::from_seed(&dice.bytes(32).try_into().unwrap());
        }
        let draft = Draft {
            destination: destination.clone(),
            source_service: "inbox",
            creation: CreationTimestamp { time_ms: 0, seq: dice.roll() >> 1 },
            lifetime_ms: LIFETIME_MS,
            hop_limit: 8,
            class: Class::Normal,
            age_ms: Some(0),
            may_fragment: false,
            admin_record: false,
            payload: &payload,
        };
        let bundle = seal(&draft, &source, &absent.sealing_key(), &mut dice).unwrap();
        let bytes = bundle.encode();
        let record = record(&absent.node_id(), &source.node_id(), bytes.len());
        Stocked { id: bundle.content_id(), record, bytes }
    })
}

/// What looks like a bundle to everybody who does not read it: random bytes under their digest.
pub(crate) fn unread(count: usize, payload_bytes: usize, seed: u64) -> impl Iterator<Item = Stocked> {
    let mut dice = Dice::new(seed);
    let absent = Identity::from_seed(&[200; 32]).node_id();
    let mut source = absent;
    let mut bytes = dice.bytes(payload_bytes);
    (0..count).map(move |number| {
        if number.is_multiple_of(BUNDLES_PER_SOURCE) {
            source = Identity::from_seed(&dice.bytes(32).try_into().unwrap()).node_id();
        }
        bytes.iter_mut().zip(dice.roll().to_le_bytes()).for_each(|(to, from)| *to = from);
        Stocked {
            id: Digest::of(&bytes),
            record: record(&absent, &source, bytes.len()),
            bytes: bytes.clone(),
        }
    })
}

fn record(destination: &NodeId, source: &NodeId, bytes: usize) -> BundleRecord {
    BundleRecord {
        place: 0,
        destination: Some(*destination),
        source: Some(*source),
        neighbour: Some(*source),
        bytes: u64::try_from(bytes).unwrap(),
        class: Class::Normal,
        age_ms: Some(0),
        remaining_ms: LIFETIME_MS,
        kept_since: Instant::from_ms(0),
        copies: 8,
        handed_at: None,
        may_fragment: false,
        fragment: false,
    }
}

/// Writes them into the stores of stopped nodes, each from this row on; the next free row.
pub(crate) fn fill(homes: &[&Path], first_place: u64, bundles: impl Iterator<Item = Stocked>) -> u64 {
    let options = Options { size_max: 16 << 30, ..Options::default() };
    let stores: Vec<Store> =
        homes.iter().map(|home| Store::open(home.join(STORE_DIR), options).unwrap()).collect();
    let mut place = first_place;
    let mut bundles = bundles.peekable();
    let (sender, receiver) = mpsc::channel();
    let mut waiting = 0_usize;
    while bundles.peek().is_some() {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < 2 * BATCH && bytes < BATCH_BYTES {
            let Some(Stocked { id, mut record, bytes: content }) = bundles.next() else { break };
            record.place = place;
            place += 1;
            bytes += content.len();
            batch.push(Op::put(Table::Bundles, record.place.to_be_bytes(), content));
            batch.push(Op::put(Table::Index, *id.as_bytes(), record.encode()));
        }
        for store in &stores {
            let sender = sender.clone();
            store.submit(batch.clone(), Box::new(move |result| sender.send(result).unwrap()));
            waiting += 1;
        }
        // One batch is written while the next one is made.
        while waiting > stores.len() {
            receiver.recv().unwrap().unwrap();
            waiting -= 1;
        }
    }
    (0..waiting).for_each(|_| receiver.recv().unwrap().unwrap());
    place
}
