//! Frames from anybody: each has one spelling, and a meet endures any run of them within its limits.
#![no_main]

use std::sync::LazyLock;

use cairn_bundle::{Digest, Identity, NodeId};
use cairn_link::frame::{Decoded, PREFIX_BYTES, decode};
use cairn_link::{Hello, Item, Meet, MeetEvent, MeetLimits, Mode, RouteClaim, Topic, Transmit, encode_chunk};
use libfuzzer_sys::fuzz_target;

const LIMITS: MeetLimits = MeetLimits {
    item_bytes_max: 1_000,
    offers_max: 50,
    inflight_items_max: 8,
    partial_bytes_max: 3_000,
    refusals_max: 30,
    control_bytes_max: 100_000,
    events_max: 2_000,
};

static NODES: LazyLock<[NodeId; 2]> =
    LazyLock::new(|| [1, 2].map(|n| Identity::from_seed(&[n; 32]).node_id()));

fuzz_target!(|data: &[u8]| {
    if let Ok(Decoded::Frame(frame)) = decode(data) {
        assert_eq!(&frame.encode()[PREFIX_BYTES..], data, "{frame:?}");
    }
    for mode in [Mode::Live, Mode::Carried] {
        let hello = |node| Hello {
            version: 1,
            node,
            card: vec![],
            item_bytes_max: LIMITS.item_bytes_max,
            boards: vec![],
            wall_time: None,
        };
        let mut meet = Meet::new(mode, hello(NODES[0]), LIMITS);
        for (n, topic) in Topic::ALL.into_iter().enumerate() {
            meet.offer_ranked(Item::new(topic, Digest([n as u8; 32])), 500, (n as u64) << 55, n as u8);
        }
        meet.say_room(9);
        meet.say_routes(&[RouteClaim { node: [1; 16], delay_s: 1 }]);
        meet.say_reconcile(Topic::Bundle, vec![1]);
        let _ = meet.handle_bytes(&cairn_link::frame::encode_hello(&hello(NODES[1])));
        // The bytes as they are, and as one frame.
        let framed = [&(data.len() as u32).to_be_bytes()[..], data].concat();
        for stream in [&framed[..], data] {
            for piece in stream.chunks(64 * 1024) {
                let _ = meet.handle_bytes(piece);
                while let Some(event) = meet.poll_event() {
                    match event {
                        MeetEvent::Offered { item } => meet.request(item),
                        MeetEvent::Received { item, bytes, .. } => {
                            assert!(bytes.len() as u64 <= LIMITS.item_bytes_max);
                            meet.accepted(item);
                        }
                        _ => {}
                    }
                }
                let mut sent = 0;
                while let Some(transmit) = meet.poll_transmit() {
                    if let Transmit::Chunk { item, total, offset, len } = transmit {
                        let _ = encode_chunk(item, total, offset, &vec![0; len as usize]);
                    }
                    sent += 1;
                    assert!(sent < 1_000);
                }
            }
        }
    }
});
