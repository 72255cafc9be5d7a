//! What the engine reads besides frames: contact plans from people, and what it wrote itself and a disk gave back.
#![no_main]

use std::sync::LazyLock;

use cairn_bundle::{Class, Identity, NodeId};
use cairn_engine::routing::{ContactPlan, LinkProperties, Question, Router, RoutingLimits};
use cairn_engine::{BundleRecord, Instant};
use libfuzzer_sys::fuzz_target;

static NODES: LazyLock<[NodeId; 3]> =
    LazyLock::new(|| [1, 2, 3].map(|n| Identity::from_seed(&[n; 32]).node_id()));

fn ask(router: &Router, now: Instant, wall_s: Option<u64>) {
    let question = Question {
        destination: Some(NODES[2]),
        source: Some(NODES[0]),
        class: Class::Normal,
        bytes: 1_000,
        remaining_ms: 86_400_000,
        held_ms: 1_000,
        copies: 8,
    };
    let _ = router.decide(now, wall_s, &NODES[1], &question);
    let _ = router.explain(now, wall_s, &question).to_string();
    let _ = router.own_claims(now, wall_s, 512);
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 3 {
        0 => {
            if let Ok(record) = BundleRecord::decode(rest) {
                assert_eq!(record.encode(), rest);
            }
        }
        1 => {
            let mut router = Router::new(NODES[0], RoutingLimits::default());
            if router.restore(rest).is_ok() {
                let again = router.snapshot();
                let mut other = Router::new(NODES[0], RoutingLimits::default());
                other.restore(&again).expect("it reads what it wrote");
                assert_eq!(other.snapshot(), again);
                router.link_up(Instant::from_ms(5), Some(1), NODES[1], &LinkProperties::default());
                ask(&router, Instant::from_ms(9), Some(u64::MAX));
            }
        }
        _ => {
            let Ok(text) = core::str::from_utf8(rest) else { return };
            if let Ok(plan) = ContactPlan::parse(text) {
                let mut router = Router::new(NODES[0], RoutingLimits::default());
                router.set_plan(plan.starting_at(Instant::from_ms(7)));
                for wall_s in [None, Some(0), Some(200_000_000), Some(u64::MAX)] {
                    ask(&router, Instant::from_ms(100), wall_s);
                }
            }
        }
    }
});
