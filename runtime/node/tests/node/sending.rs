//! What a node lets its people send: no more than it could carry, nothing that would get stuck on the way.

use cairn_bundle::{Identity, Limits};
use cairn_engine::pieces::CARRIED_BYTES_MAX;
use cairn_engine::quota::{Amount, QuotaLimits};
use cairn_engine::{BundleRecord, Instant};
use cairn_node::control::api::{Request, Response, Urgency};
use cairn_node::core::{Attachment, Clock, Input};
use cairn_store::{Read, Table};

use crate::host::{Node, TODAY, meet, settings, start_with};

const ITEM_BYTES_MAX: u64 = 100_000;

/// A node whose store has room for so many bytes of bundles, and which takes small items only.
fn small(seed: u8, bundle_bytes: u64) -> Node {
    let node = Node::new(seed, Some(TODAY));
    let mut settings = settings("small");
    settings.engine.meet.item_bytes_max = ITEM_BYTES_MAX;
    settings.engine.quota = QuotaLimits::for_amount(Amount { bytes: bundle_bytes, bundles: 1_000 });
    let Node { home, store, .. } = node;
    store.close();
    let clock = Clock { now: Instant::ZERO, wall: Some(TODAY) };
    let (store, core) = start_with(home.path(), seed, clock, settings);
    let mut node = Node { home, store, core, ..Node::new(seed, Some(TODAY)) };
    node.drain();
    node
}

fn send(node: &mut Node, to: &Node, bytes: usize, key: &str) -> Response {
    let ask = Request::Send {
        to: to.id().to_string(),
        text: String::new(),
        file: None,
        key: key.to_owned(),
        class: Urgency::Normal,
    };
    node.asked += 1;
    let request = node.asked;
    let attachment = Attachment::File { name: "map".into(), bytes: vec![7; bytes] };
    node.input(Input::Request { request, ask, attachment });
    node.answers.remove(&request).unwrap()
}

fn carried(node: &Node) -> Vec<BundleRecord> {
    let mut records = Vec::new();
    node.store
        .for_each(Table::Index, &mut |_, value| records.push(BundleRecord::decode(value).unwrap()))
        .unwrap();
    records
}

#[test]
fn a_store_full_of_own_bundles_takes_no_further_order_and_says_so() {
    let (mut node, mut other) = (small(1, 300_000), Node::new(2, Some(TODAY)));
    node.acquaint(&mut other);
    other.acquaint(&mut node);
    let mut sent = 0;
    let refusal = loop {
        match send(&mut node, &other, 40_000, &format!("order {sent}")) {
            Response::Sent { .. } => sent += 1,
            refusal => break refusal,
        }
        let bytes: u64 = carried(&node).iter().map(|record| record.bytes).sum();
        assert!(bytes <= 300_000, "{bytes}");
    };
    let Response::Error { message, hint, .. } = refusal else { panic!("{refusal:?}") };
    assert!(message.contains("bytes wait") && hint.is_some_and(|hint| hint.contains("store.size_max")));
    assert!((6..=7).contains(&sent) && carried(&node).len() == sent);
    // An order that was taken is repeated without harm; and there is room again when they are delivered.
    assert!(matches!(send(&mut node, &other, 40_000, "order 0"), Response::Sent { .. }));
    meet(&mut node, &mut other, 1);
    assert!(carried(&node).is_empty());
    assert_eq!(other.inbox().len(), sent);
    assert!(matches!(send(&mut node, &other, 40_000, "one more"), Response::Sent { .. }));
}

#[test]
fn the_largest_message_is_small_enough_for_what_carriers_add() {
    let (mut node, mut other) = (small(1, 8 << 20), Node::new(2, Some(TODAY)));
    node.acquaint(&mut other);
    // The largest that is taken, to a byte.
    let (mut taken, mut refused) = (50_000, 100_000);
    while refused - taken > 1 {
        let bytes = (taken + refused) / 2;
        match send(&mut node, &other, bytes, &format!("{bytes} bytes")) {
            Response::Sent { .. } => taken = bytes,
            Response::Error { message, .. } => {
                assert!(message.contains("more than one item may have"), "{message}");
                refused = bytes;
            }
            answer => panic!("{answer:?}"),
        }
    }
    // A carrier names itself in it: whatever its size, the next one takes it as well.
    let carrier = cairn_bundle::Eid::node(&Identity::from_seed(&[3; 32]).node_id(), "meet").unwrap();
    let records = carried(&node);
    assert!(records.len() > 5);
    for record in records {
        assert!(record.bytes + CARRIED_BYTES_MAX <= ITEM_BYTES_MAX, "{}", record.bytes);
        let stored = node.store.get(Table::Bundles, &record.place.to_be_bytes()).unwrap().unwrap();
        let bundle = cairn_bundle::Bundle::decode(&stored, &Limits::default()).unwrap();
        let onward = bundle.forwarded_by(&carrier, u64::from(u32::MAX)).unwrap().encode();
        assert!(onward.len() as u64 <= record.bytes + CARRIED_BYTES_MAX);
    }
}
