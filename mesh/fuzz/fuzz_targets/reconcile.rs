//! Messages of a reconciliation from anybody: refused, or answered within the bounds of the own set.
#![no_main]

use std::sync::LazyLock;

use cairn_bundle::Digest;
use cairn_link::reconcile::{IdSet, MemorySet, Prefix, ReconcileLimits, Reconciler, compare};
use libfuzzer_sys::fuzz_target;

static SET: LazyLock<MemorySet> =
    LazyLock::new(|| (0..400_u32).map(|n| Digest::of(&n.to_be_bytes()).0).collect());

fuzz_target!(|data: &[u8]| {
    let set: &MemorySet = &SET;
    if let Ok(ranges) = compare(set, data) {
        assert!(ranges.len() <= 256);
    }
    let Some((head, rest)) = data.split_first() else { return };
    let limits = ReconcileLimits {
        message_bytes_max: 256 + usize::from(*head) * 8,
        list_ids_max: head % 64,
        step_ids_max: 1 + usize::from(head % 50),
    };
    // Who began, and with whose first message.
    let mut messages = rest.split(|byte| *byte == 0xfe);
    let (mut side, mut told) = if head % 2 == 0 {
        (Reconciler::start(set, [7; 8], limits).0, 0)
    } else {
        let mut side = Reconciler::respond(limits);
        let start = [[1].as_slice(), &[7; 8], &[0x80, 0], &[0, 0, 1, 0], &[9; 16]].concat();
        let step = side.handle(set, &start).expect("a Start is what can come now");
        assert!(step.reply.is_some());
        (side, step.peer_lacks.len())
    };
    while let Some(message) = messages.next() {
        let mut outcome = side.handle(set, message);
        while let Ok(step) = &outcome {
            assert!(step.peer_lacks.len() <= limits.step_ids_max);
            assert!(step.peer_lacks.iter().all(|id| set.contains(id)));
            assert!(step.reply.as_ref().is_none_or(|reply| reply.len() <= limits.message_bytes_max));
            told += step.peer_lacks.len();
            if step.reply.is_some() || step.done {
                break;
            }
            outcome = side.proceed(set);
        }
    }
    assert!(told <= set.summary(&Prefix::ROOT).count() as usize, "each id is told once");
});
