//! More than fits at once: own bundles up to the limit of the store, a backlog behind a relay, bundles of the largest size.

use cairn_bundle::{Bundle, Class, Digest, Identity, NodeId};
use cairn_engine::pieces::CARRIED_BYTES_MAX;
use cairn_engine::quota::Amount;
use cairn_engine::{Event, Gone, Instant, Limits};

use crate::host::{Host, bundle_item, connect, disconnect, meet, record, talk, written};
use crate::pressure::classed;

fn far() -> NodeId {
    Identity::from_seed(&[99; 32]).node_id()
}

/// A letter of this many bytes as it is encoded.
fn sized(from: &Identity, to: NodeId, bytes: usize) -> Bundle {
    let around = written(from, to, &vec![7; bytes], 1_000_000_000).encode().len() - bytes;
    let bundle = written(from, to, &vec![7; bytes - around], 1_000_000_000);
    assert_eq!(bundle.encode().len(), bytes);
    bundle
}

#[test]
fn own_bundles_have_the_whole_store_and_no_more_and_others_give_way_to_them() {
    let mut limits = Limits::default();
    let amount = |bundles: u64| Amount { bytes: bundles * 1_000, bundles };
    (limits.quota.total, limits.quota.reserve) = (amount(8), amount(1));
    let mut host = Host::with(1, limits);
    let other = Identity::from_seed(&[50; 32]);
    for n in 0..6 {
        let bundle = classed(&other, far(), Class::Alert, &[n]);
        let mut record = record(&bundle, 900, Instant::ZERO);
        record.neighbour = Some(other.node_id());
        host.carry_as(bundle_item(bundle.content_id()), record, bundle.encode());
    }
    let mut orders = 0;
    while host.engine.has_room_for_own(Amount::one(900)) {
        let bundle = written(&host.identity, far(), &[orders; 10], 1_000_000);
        host.carry_as(bundle_item(bundle.content_id()), record(&bundle, 900, Instant::ZERO), bundle.encode());
        orders += 1;
        assert!(host.engine.used().is_within(amount(8)), "{orders}");
    }
    assert_eq!((orders, host.index.0.len()), (8, 8));
    assert!(host.forgotten.len() == 6 && host.forgotten.iter().all(|(_, why)| *why == Gone::Evicted));
    // What is delivered makes room again.
    let id = *host.index.0.keys().next().unwrap();
    host.handle(Event::Noticed { by: far(), ids: vec![id] });
    assert!(
        host.engine.has_room_for_own(Amount::one(900)) && !host.engine.has_room_for_own(Amount::one(2_000))
    );
}

#[test]
fn a_bundle_of_the_largest_size_passes_every_hop() {
    const ITEM_BYTES_MAX: u64 = 40_000;
    let mut limits = Limits::default();
    limits.meet.item_bytes_max = ITEM_BYTES_MAX;
    let mut hosts: Vec<Host> = (1..8).map(|seed| Host::with(seed, limits.clone())).collect();
    let to = hosts[6].me;
    let bundle = sized(&hosts[0].identity, to, (ITEM_BYTES_MAX - CARRIED_BYTES_MAX) as usize);
    hosts[0].carry(&bundle);
    for hop in 0..6 {
        // Months pass on the way: its age takes more bytes.
        for host in &mut hosts {
            host.now = host.now.plus_ms(100_000_000);
            host.handle(Event::Tick);
        }
        let [a, b] = hosts.get_disjoint_mut([hop, hop + 1]).unwrap();
        meet(a, b, hop as u64, &[]);
        assert!(hop == 5 || b.index.0.contains_key(&bundle.content_id()), "hop {hop}");
    }
    assert_eq!(hosts[6].delivered, [bundle.content_id()]);
}

#[test]
fn a_bundle_that_is_too_large_for_a_peer_is_cut_for_it() {
    let mut limits = Limits::default();
    limits.meet.item_bytes_max = 20_000;
    let (mut a, mut b) = (Host::new(1), Host::with(2, limits));
    for (n, bytes) in [(0, 15_000_u32), (1, 30_000)] {
        let bundle = classed(&a.identity, far(), Class::Normal, &[n; 15_000].repeat(bytes as usize / 15_000));
        a.carry(&bundle);
    }
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!((b.index.0.len(), a.to_cut.len()), (1, 1));
    assert_eq!(a.to_cut[0].1, 20_000 - CARRIED_BYTES_MAX);
    assert_eq!(a.counter("refused by a peer: too large"), 0);
}

/// The sender, the relay, the destination.
fn three() -> [Host; 3] {
    let [mut sender, relay, destination] = [1, 2, 3].map(Host::new);
    for n in 0..3_000_u32 {
        let bundle = written(&sender.identity, destination.me, &n.to_be_bytes(), 1_000_000_000);
        sender.carry(&bundle);
    }
    let first = relay.limits.quota.source_first.bundles;
    assert_eq!(first, 1_000, "what a source may have at a relay that knows nothing of it");
    [sender, relay, destination]
}

fn pass(hosts: &mut [Host; 3], ms: u64) {
    for host in hosts {
        host.now = host.now.plus_ms(ms);
        host.handle(Event::Tick);
    }
}

fn assert_all_delivered(hosts: &[Host; 3]) {
    let mut delivered: Vec<Digest> = hosts[2].delivered.clone();
    delivered.sort_unstable();
    delivered.dedup();
    assert_eq!((delivered.len(), hosts[2].delivered.len()), (3_000, 3_000));
}

#[test]
fn a_backlog_passes_a_relay_that_takes_a_part_of_it_at_a_time() {
    // The relay walks to and fro, an hour each way.
    let mut hosts = three();
    for walk in 0..3_u64 {
        let [sender, relay, destination] = &mut hosts;
        meet(sender, relay, 2 * walk, &[]);
        assert_eq!(relay.index.0.len(), 1_000, "walk {walk}");
        meet(relay, destination, 2 * walk + 1, &[]);
        assert_eq!(destination.delivered.len() as u64, 1_000 * (walk + 1));
        pass(&mut hosts, 2 * 3_600_000);
    }
    assert_all_delivered(&hosts);
}

#[test]
fn a_backlog_passes_a_relay_that_is_linked_to_both_ends_all_the_time() {
    let mut hosts = three();
    let [sender, relay, destination] = &mut hosts;
    connect(sender, relay, 1, &[]);
    connect(relay, destination, 2, &[]);
    let mut seconds = 0;
    while hosts[2].delivered.len() < 3_000 {
        let [sender, relay, destination] = &mut hosts;
        talk(sender, relay, 1);
        talk(relay, destination, 2);
        pass(&mut hosts, 1_000);
        seconds += 1;
        assert!(seconds <= 600, "{} of 3,000 after ten minutes", hosts[2].delivered.len());
    }
    assert_all_delivered(&hosts);
    println!(
        "a backlog of 3,000 through a relay that holds 1,000: {seconds} s, {} sent",
        hosts[0].sent.len()
    );
    let [sender, relay, _] = &mut hosts;
    assert!(sender.closed.is_empty() && relay.closed.is_empty());
    disconnect(sender, relay, 1);
}
