//! Neighbours that lie, flood, fall silent or pull the plug, beside an honest one that is to be served all the same.

use cairn_bundle::{Bundle, Class, Digest, Identity, NodeId};
use cairn_engine::quota::Amount;
use cairn_engine::routing::LinkProperties;
use cairn_engine::{Event, Gone, Instant, Limits, LinkId, Scope};
use cairn_link::frame::{Frame, encode_hello};
use cairn_link::{Item, Mode, RefuseReason, RouteClaim, Topic, Transmit, encode_chunk};
use proptest::prelude::*;

use crate::host::{Host, bundle_item, connect, meet, record, talk, written};
use crate::pressure::classed;

const LIAR: LinkId = 66;

fn far() -> NodeId {
    Identity::from_seed(&[99; 32]).node_id()
}

/// A frame of some ids: Have is of type 1, Ack of type 4.
fn ids(kind: u8, topic: Topic, ids: &[[u8; 32]]) -> Vec<u8> {
    let bytes = ids.as_flattened();
    let body = [&[0x83, kind, topic.number(), 0x58, bytes.len() as u8], bytes].concat();
    [(body.len() as u32).to_be_bytes().as_slice(), &body].concat()
}

fn encode_have(topic: Topic, have: &[[u8; 32]]) -> Vec<u8> {
    ids(1, topic, have)
}

fn encode_ack(topic: Topic, acked: &[[u8; 32]]) -> Vec<u8> {
    ids(4, topic, acked)
}

fn encode_refuse(item: Item, reason: RefuseReason) -> Vec<u8> {
    Frame::Refuse { item, reason }.encode()
}

fn encode_reconcile(topic: Topic, message: &[u8]) -> Vec<u8> {
    Frame::Reconcile { topic, message }.encode()
}

fn encode_room(bytes: u64) -> Vec<u8> {
    Frame::Room { bytes }.encode()
}

/// A link to somebody who has said hello and will lie from now on.
fn liar(host: &mut Host) -> Host {
    let liar = Host::new(66);
    host.up(LIAR, liar.me, Mode::Live, &[]);
    say(host, encode_hello(&liar.hello()));
    liar
}

fn say(host: &mut Host, bytes: Vec<u8>) {
    host.handle(Event::Bytes { link: LIAR, bytes });
}

/// What the host says to the liar until it is silent.
fn hear(host: &mut Host) -> usize {
    core::iter::from_fn(|| host.transmit(LIAR)).map(|bytes| bytes.len()).sum()
}

/// An honest neighbour gives one bundle and gets one.
fn assert_served(host: &mut Host) {
    let mut honest = Host::new(33);
    honest.now = host.now;
    let link = 1_000 + honest.now.as_ms();
    let here = honest.send(host.me, &link.to_be_bytes());
    let there = host.send(honest.me, &link.to_be_bytes());
    connect(&mut honest, host, link, &[]);
    talk(&mut honest, host, link);
    // A long comparison goes on by the clock.
    for _ in 0..100 {
        if honest.engine.is_idle(link) && host.engine.is_idle(link) {
            break;
        }
        host.now = host.now.plus_ms(1);
        host.handle(Event::Tick);
        talk(&mut honest, host, link);
    }
    assert!(host.delivered.contains(&here.id) && honest.delivered.contains(&there.id));
    assert!(honest.engine.is_idle(link) && host.engine.is_idle(link));
}

#[test]
fn a_flood_of_bundles_stays_within_the_share_of_its_neighbour() {
    let mut limits = Limits::default();
    limits.quota.neighbour = Amount { bytes: 40_000, bundles: 40 };
    let mut host = Host::with(1, limits);
    let _liar = liar(&mut host);
    for n in 0..400_u32 {
        let author = Identity::from_seed(&Digest::of(&n.to_be_bytes()).0);
        let bytes = written(&author, far(), b"flood", 1_000_000).encode();
        let id = Digest::of(&n.to_be_bytes());
        let item =
            bundle_item(Bundle::decode(&bytes, &cairn_bundle::Limits::default()).unwrap().content_id());
        say(&mut host, encode_have(Topic::Bundle, &[item.id.0, id.0]));
        hear(&mut host);
        say(&mut host, encode_chunk(item, bytes.len() as u64, 0, &bytes));
        hear(&mut host);
    }
    assert_eq!(host.index.0.len(), 40);
    // After some in vain it is not even asked to send.
    assert!(host.counter("bundles refused: quota of the neighbour") <= 8);
    assert_served(&mut host);
}

#[test]
fn a_delivered_bundle_that_is_replayed_is_not_delivered_again() {
    let mut host = Host::new(1);
    let _liar = liar(&mut host);
    let bytes = written(&Identity::from_seed(&[9; 32]), host.me, b"once", 1_000_000).encode();
    let item = bundle_item(Bundle::decode(&bytes, &cairn_bundle::Limits::default()).unwrap().content_id());
    for _ in 0..20 {
        say(&mut host, encode_have(Topic::Bundle, &[item.id.0]));
        hear(&mut host);
        say(&mut host, encode_chunk(item, bytes.len() as u64, 0, &bytes));
        hear(&mut host);
    }
    assert_eq!(host.delivered.len(), 1);
    assert_served(&mut host);
}

/// The first message of a comparison by somebody who has nothing; another salt each time.
fn start(n: u64) -> Vec<u8> {
    use cairn_link::reconcile::{MemorySet, ReconcileLimits, Reconciler};
    Reconciler::start(&MemorySet::default(), n.to_be_bytes(), ReconcileLimits::default()).1
}

/// A catalogue that counts what is read of it.
struct Counting<'a> {
    index: &'a crate::host::Index,
    reads: core::cell::Cell<usize>,
}

impl cairn_engine::Catalogue for Counting<'_> {
    fn record(&self, id: &Digest) -> Option<cairn_engine::BundleRecord> {
        self.reads.set(self.reads.get() + 1);
        self.index.0.get(id).cloned()
    }

    fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, cairn_engine::BundleRecord)> {
        let found = cairn_engine::Catalogue::scan(self.index, start, max);
        self.reads.set(self.reads.get() + found.len());
        found
    }
}

/// A node with so many bundles that it gives to nobody.
fn hoard(bundles: u64) -> Host {
    let mut host = Host::new(200);
    let template = written(&Identity::from_seed(&[9; 32]), far(), b"x", 1_000_000);
    for n in 0..bundles {
        let id = Digest::of(&n.to_be_bytes());
        let mut record = record(&template, 500, Instant::ZERO);
        (record.copies, record.handed_at) = (0, Some(Instant::ZERO));
        host.index.0.insert(id, record.clone());
        host.handle(Event::Carry { id, record });
    }
    host
}

#[test]
fn a_peer_that_says_it_has_nothing_again_and_again_is_answered_once_and_in_turns() {
    let mut host = hoard(30_000);
    let _liar = liar(&mut host);
    hear(&mut host);
    let mut reads = Vec::new();
    for n in 0..50 {
        let index = host.index.clone();
        let counting = Counting { index: &index, reads: core::cell::Cell::new(0) };
        let bytes = encode_reconcile(Topic::Bundle, &start(n));
        host.engine.handle(host.now, Event::Bytes { link: LIAR, bytes }, &counting);
        while host.engine.poll_transmit(LIAR, &counting).is_some() {}
        reads.push(counting.reads.get());
    }
    assert!(reads[0] > 0 && reads[0] <= 25_000, "not all at once: {reads:?}");
    assert!(reads[1..].iter().sum::<usize>() <= 10, "not again: {reads:?}");
    // It goes on with time, and comes to an end.
    let mut ticks = 0;
    while let Some(due) = host.engine.poll_timeout().filter(|due| due.as_ms() < 1_000) {
        host.now = due.max(host.now);
        host.handle(Event::Tick);
        hear(&mut host);
        ticks += 1;
        assert!(ticks < 1_000);
    }
    assert!(host.engine.poll_timeout().is_some_and(|due| due > host.now), "it does not spin");
    assert_served(&mut host);
}

#[test]
fn lies_about_what_one_has_cost_an_answer_each() {
    let mut host = Host::new(1);
    let _liar = liar(&mut host);
    for n in 0..2_000_u32 {
        say(&mut host, encode_have(Topic::Bundle, &[Digest::of(&n.to_be_bytes()).0]));
    }
    hear(&mut host);
    assert!(host.index.0.is_empty());
    assert_served(&mut host);
}

#[test]
fn a_peer_that_acknowledges_everything_swallows_nothing() {
    let mut host = Host::new(1);
    let id = host.send(far(), b"precious").id;
    let _liar = liar(&mut host);
    for _ in 0..5 {
        hear(&mut host);
        say(&mut host, encode_ack(Topic::Bundle, &[id.0]));
        say(&mut host, encode_refuse(bundle_item(id), RefuseReason::NotWanted));
    }
    assert_eq!(host.index.0[&id].copies, 8, "no token leaves with what was not sent");
    let mut honest = Host::new(33);
    meet(&mut host, &mut honest, 1, &[]);
    assert!(honest.index.0.contains_key(&id));
}

#[test]
fn rooms_that_lie_stop_their_own_link_only() {
    for room in [0, 1, u64::MAX] {
        let mut host = Host::new(1);
        host.send(far(), b"one");
        let _liar = liar(&mut host);
        for _ in 0..100 {
            say(&mut host, encode_room(room));
            hear(&mut host);
        }
        assert_served(&mut host);
    }
}

#[test]
fn routes_that_lie_take_a_share_of_the_tokens_and_make_no_work_without_end() {
    let mut host = hoard(1_000);
    let id = host.send(far(), b"where").id;
    let mut bad = liar(&mut host);
    hear(&mut host);
    let claims: Vec<u8> = {
        let mut writer = cairn_link::Meet::new(Mode::Live, bad.hello(), cairn_link::MeetLimits::default());
        let _ = writer.poll_transmit();
        let half = *far().as_bytes().first_chunk::<16>().unwrap();
        writer.say_routes(&[RouteClaim { node: half, delay_s: 0 }]);
        match writer.poll_transmit() {
            Some(Transmit::Frame(frame)) => frame,
            other => panic!("{other:?}"),
        }
    };
    let index = host.index.clone();
    let counting = Counting { index: &index, reads: core::cell::Cell::new(0) };
    for _ in 0..500 {
        host.engine.handle(host.now, Event::Bytes { link: LIAR, bytes: claims.clone() }, &counting);
    }
    assert!(counting.reads.get() <= 3_000, "{}", counting.reads.get());
    bad.now = host.now;
    assert!(host.index.0.contains_key(&id));
    assert_served(&mut host);
}

#[test]
fn a_notice_by_another_than_the_destination_changes_nothing() {
    let (mut host, mut source) = (Host::new(1), Host::new(2));
    let thief = Identity::from_seed(&[66; 32]).node_id();
    let item = source.send(far(), b"mine");
    host.handle(Event::Noticed { by: thief, ids: vec![item.id] });
    meet(&mut source, &mut host, 1, &[]);
    assert!(host.index.0.contains_key(&item.id));
    host.handle(Event::Noticed { by: thief, ids: vec![item.id] });
    assert_eq!(host.counter("delivery notices of others than the destination"), 1);
    assert!(host.index.0.contains_key(&item.id));
    host.handle(Event::Noticed { by: far(), ids: vec![item.id] });
    assert_eq!(host.forgotten, [(item.id, Gone::Delivered)]);
    // It does not come back.
    let mut other = Host::new(3);
    meet(&mut source, &mut other, 2, &[]);
    meet(&mut other, &mut host, 3, &[]);
    assert!(host.index.0.is_empty());
}

#[test]
fn a_notice_that_had_to_go_for_newer_ones_is_not_taken_again() {
    let mut host = Host::new(1);
    let item = Item { topic: Topic::Notice, id: Digest([7; 32]) };
    host.handle(Event::Hold { item, bytes: 100, scope: Scope::Everyone, place: None });
    host.handle(Event::Drop { item });
    assert!(!host.engine.has(&item, &host.index));
    host.handle(Event::Seen { id: item.id });
    assert!(host.engine.has(&item, &host.index));
}

#[test]
fn the_true_notice_counts_though_liars_spoke_later() {
    let (mut host, mut source) = (Host::new(1), Host::new(2));
    let item = source.send(far(), b"arrived");
    host.handle(Event::Noticed { by: far(), ids: vec![item.id] });
    host.handle(Event::Noticed { by: Identity::from_seed(&[66; 32]).node_id(), ids: vec![item.id] });
    meet(&mut source, &mut host, 1, &[]);
    assert!(host.index.0.is_empty());
    assert_eq!(host.counter("bundles refused: delivered already"), 1);
}

#[test]
fn contacts_that_are_broken_off_make_no_endless_fragments() {
    let mut host = Host::new(1);
    for n in 0..300_u32 {
        let bundle = classed(
            &host.identity,
            far(),
            Class::Normal,
            &[n.to_be_bytes().as_slice(), &[0; 20_000]].concat(),
        );
        host.carry(&bundle);
    }
    let mut cuts = Vec::new();
    for link in 0..6 {
        let mut bad = Host::new(66);
        bad.now = host.now;
        bad.stores = false;
        connect(&mut host, &mut bad, link, &[]);
        talk(&mut host, &mut bad, link);
        host.handle(Event::LinkDown { link });
        cuts.push(host.to_cut.len());
    }
    // A first one teaches nothing yet; then so many for each contact.
    assert_eq!(cuts[0], 0);
    assert!(cuts.windows(2).all(|pair| pair[1] - pair[0] <= 64), "{cuts:?}");
    let mut plug = Host::new(2);
    plug.send(far(), &[1; 10_000]);
    for link in 0..3 {
        let peer = Host::new(66);
        plug.up(link, peer.me, Mode::Live, &[]);
        plug.handle(Event::Bytes { link, bytes: encode_hello(&peer.hello()) });
        while plug.transmit(link).is_some() {}
        plug.handle(Event::LinkDown { link });
    }
    assert!(plug.to_cut.is_empty(), "who takes nothing teaches nothing");
}

#[test]
fn a_drop_that_is_written_while_a_link_breaks_leaves_no_phantom_neighbour() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    meet(&mut a, &mut b, 1, &[]);
    connect(&mut a, &mut b, 2, &[]);
    a.up(3, b.me, Mode::Carried, &[]);
    a.handle(Event::LinkDown { link: 2 });
    a.handle(Event::LinkDown { link: 3 });
    let bundle = written(&a.identity, b.me, b"later", 1_000_000);
    let record = record(&bundle, 300, a.now);
    let text = a.engine.explain(&record).to_string();
    let fresh = {
        let (mut c, mut d) = (Host::new(1), Host::new(2));
        meet(&mut c, &mut d, 1, &[]);
        meet(&mut c, &mut d, 2, &[]);
        c.engine.explain(&record).to_string()
    };
    assert_eq!(text, fresh);
}

#[test]
fn wall_clocks_that_jump_by_fifty_years_lose_nothing() {
    const YEARS_50: u64 = 50 * 365 * 86_400;
    let (mut a, mut b, mut c) = (Host::new(1), Host::new(2), Host::new(3));
    let item = a.send(c.me, b"patience");
    for (n, wall_s) in
        [Some(YEARS_50), Some(0), None, Some(2 * YEARS_50), Some(u64::MAX), Some(5)].into_iter().enumerate()
    {
        for host in [&mut a, &mut b, &mut c] {
            host.handle(Event::Clock { wall_s });
            host.now = host.now.plus_ms(1_000);
            host.handle(Event::Tick);
        }
        meet(&mut a, &mut b, n as u64, &[]);
    }
    assert!(a.index.0.contains_key(&item.id) && b.index.0.contains_key(&item.id));
    meet(&mut b, &mut c, 50, &[]);
    meet(&mut a, &mut c, 51, &[]);
    assert_eq!(c.delivered, [item.id]);
}

#[test]
fn time_that_stands_still_stops_nothing_that_bytes_bring() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    for n in 0..500_u32 {
        a.send(b.me, &n.to_be_bytes());
    }
    meet(&mut a, &mut b, 1, &[]);
    assert_eq!((b.delivered.len(), a.index.0.len()), (500, 0));
    a.now = Instant::from_ms(u64::MAX);
    a.handle(Event::Tick);
    assert!(a.engine.poll_timeout().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_messages_of_a_comparison_cost_more_than_their_link(
        messages in prop::collection::vec((0_usize..4, prop::collection::vec(any::<u8>(), 1..80)), 0..20),
    ) {
        let mut host = hoard(50);
        let _liar = liar(&mut host);
        let topics = [Topic::Notice, Topic::Ledger, Topic::Bundle, Topic::Board];
        for (topic, message) in messages {
            say(&mut host, encode_reconcile(topics[topic], &message));
            hear(&mut host);
        }
        assert_served(&mut host);
        prop_assert_eq!(host.engine.links().filter(|(link, ..)| *link != LIAR).count(), 1);
        let _ = LinkProperties::default();
    }
}
