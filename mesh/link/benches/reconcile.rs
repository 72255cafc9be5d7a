//! Reconciling two sets of ids, next to crate `negentropy` on the same sets in the same run.
//!
//! `cargo bench -p cairn-link` takes about a minute and prints a table. Times are of both sides together, without the
//! building of the sets; the median of some rounds counts. Without the argument `--bench`, that is under
//! `cargo test --benches`, only small sets run, once, and no time means anything.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench reads the clock and prints a table"
)]

use core::time::Duration;
use std::time::Instant;

use cairn_bundle::Digest;
use cairn_link::reconcile::{MemorySet, ReconcileLimits, Reconciler, SumTree};
use negentropy::{Id, Negentropy, NegentropyStorageVector};

/// Longest message of both contenders.
const MESSAGE_BYTES_MAX: u16 = 32_768;

/// What one conversation cost.
struct Cost {
    bytes: usize,
    messages: usize,
    time: Duration,
    /// Ids found to be lacking on a side, of both sides.
    found: usize,
}

fn main() {
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let largest = if smoke { 10_000 } else { 1_000_000 };
    report("      ids  differing |  cairn bytes  messages        ms |  negentropy bytes  messages        ms");
    let cases = [
        (1_000, 10),
        (10_000, 10),
        (100_000, 10),
        (1_000_000, 10),
        (100_000, 0),
        (100_000, 1_000),
        (100_000, 200_000),
        (1_000_000, 1_000_000),
    ];
    for (ids, differing) in cases.into_iter().filter(|(ids, _)| *ids <= largest) {
        let rounds = if smoke { 1 } else { 5 };
        let shift = differing / 2;
        // One million against none is a case of its own.
        let (mine, theirs) = if differing == ids { (0..ids, 0..0) } else { (0..ids, shift..ids + shift) };
        let expected = usize::try_from(differing).expect("it is a count");
        let (a, b): (MemorySet, MemorySet) =
            (mine.clone().map(id).collect(), theirs.clone().map(id).collect());
        let ours = median(rounds, || converse(&a, &b));
        assert_eq!(ours.found, expected);
        drop((a, b));
        let (a, b) = (vector(mine), vector(theirs));
        let other = median(rounds, || negentropy(&a, &b));
        assert_eq!(other.found, expected);
        report(&format!(
            "{ids:9}  {differing:9} | {:12} {:9} {:9.2} | {:17} {:9} {:9.2}",
            ours.bytes,
            ours.messages,
            ours.time.as_secs_f64() * 1e3,
            other.bytes,
            other.messages,
            other.time.as_secs_f64() * 1e3
        ));
    }
    let all: Vec<_> = (0..largest).map(id).collect();
    let start = Instant::now();
    let mut tree = SumTree::default();
    for id in &all {
        tree.insert(id);
    }
    let time = start.elapsed().as_secs_f64() * 1e3;
    report(&format!("\nsums of {} ids from nothing: {time:.0} ms", tree.count()));
}

fn converse(a: &MemorySet, b: &MemorySet) -> Cost {
    let limits =
        ReconcileLimits { message_bytes_max: usize::from(MESSAGE_BYTES_MAX), ..ReconcileLimits::default() };
    let begin = Instant::now();
    let (first, mut message) = Reconciler::start(a, *b"benching", limits);
    let mut sides = [(Reconciler::respond(limits), b), (first, a)];
    let mut cost = Cost { bytes: message.len(), messages: 1, time: Duration::ZERO, found: 0 };
    let mut over = false;
    while !over {
        for (side, set) in &mut sides {
            let mut step = side.handle(*set, &message).expect("both are honest");
            cost.found += step.peer_lacks.len();
            while step.reply.is_none() && !step.done {
                step = side.proceed(*set).expect("both are honest");
                cost.found += step.peer_lacks.len();
            }
            over = step.reply.is_none();
            if over {
                break;
            }
            message = step.reply.unwrap_or_default();
            cost.bytes += message.len();
            cost.messages += 1;
        }
    }
    cost.time = begin.elapsed();
    cost
}

fn negentropy(a: &NegentropyStorageVector, b: &NegentropyStorageVector) -> Cost {
    let begin = Instant::now();
    let mut first = Negentropy::borrowed(a, u64::from(MESSAGE_BYTES_MAX)).expect("a limit it takes");
    let mut second = Negentropy::borrowed(b, u64::from(MESSAGE_BYTES_MAX)).expect("a limit it takes");
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let mut query = first.initiate().expect("it is new");
    let mut cost = Cost { bytes: query.len(), messages: 1, time: Duration::ZERO, found: 0 };
    loop {
        let answer = second.reconcile(&query).expect("both are honest");
        cost.bytes += answer.len();
        cost.messages += 1;
        let next = first.reconcile_with_ids(&answer, &mut have, &mut need).expect("both are honest");
        let Some(next) = next else { break };
        query = next;
        cost.bytes += query.len();
        cost.messages += 1;
    }
    cost.time = begin.elapsed();
    for ids in [&mut have, &mut need] {
        ids.sort_unstable();
        ids.dedup();
    }
    cost.found = have.len() + need.len();
    cost
}

fn id(n: u32) -> [u8; 32] {
    Digest::of(&n.to_be_bytes()).0
}

/// Its order is by time first; bundles that differ come from any time.
fn vector(range: core::ops::Range<u32>) -> NegentropyStorageVector {
    let mut storage = NegentropyStorageVector::new();
    for id in range.map(id) {
        let [a, b, c, d, ..] = Digest::of(&id).0;
        let time = u64::from(u32::from_be_bytes([a, b, c, d]));
        storage.insert(time, Id::from_byte_array(id)).expect("it is open");
    }
    storage.seal().expect("it is open");
    storage
}

fn median(rounds: usize, mut run: impl FnMut() -> Cost) -> Cost {
    let mut costs: Vec<_> = (0..rounds).map(|_| run()).collect();
    costs.sort_unstable_by_key(|cost| cost.time);
    costs.swap_remove(rounds / 2)
}

fn report(line: &str) {
    println!("{line}");
}
