//! How many bundles a carrier forwards in memory: A → B → C, 1 KiB each, the time that B takes.
//!
//! `cargo bench -p cairn-engine` takes some seconds and prints a table. B's time is all that its engine and its host do:
//! reading frames, decoding, quotas, records, decisions, offers, sending, acknowledgements; the disk is a map. Signatures are
//! not checked. Without the argument `--bench`, that is under `cargo test --benches`, few bundles run, once.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench reads the clock, prints a table, and fails loudly"
)]

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant as Clock;

use cairn_bundle::{Class, CreationTimestamp, Digest, Draft, Eid, Identity, plain};
use cairn_engine::quota::Amount;
use cairn_engine::routing::LinkProperties;
use cairn_engine::{Action, BundleRecord, Catalogue, Engine, Event, Instant, Limits, LinkId};
use cairn_link::{Hello, Mode, Transmit, encode_chunk};

/// Bytes of a payload, so that a bundle as it is carried has about 1 KiB.
const PAYLOAD_BYTES: usize = 660;
const TO_A: LinkId = 1;
const TO_C: LinkId = 2;

#[derive(Default)]
struct Index(BTreeMap<Digest, (BundleRecord, Vec<u8>)>);

impl Catalogue for Index {
    fn record(&self, id: &Digest) -> Option<BundleRecord> {
        self.0.get(id).map(|(record, _)| record.clone())
    }

    fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)> {
        self.0.range(start..).take(max).map(|(id, (record, _))| (*id, record.clone())).collect()
    }
}

struct Host {
    identity: Identity,
    engine: Engine,
    index: Index,
    delivered: u64,
    spent: Duration,
}

impl Host {
    fn new(seed: u8) -> Self {
        let identity = Identity::from_seed(&[seed; 32]);
        let mut limits = Limits::for_store(4 << 30);
        let all = Amount { bytes: 4 << 30, bundles: 1 << 30 };
        (limits.quota.source_first, limits.quota.source_most) = (all, all);
        let engine = Engine::new(identity.node_id(), limits);
        Self { identity, engine, index: Index::default(), delivered: 0, spent: Duration::ZERO }
    }

    fn up(&mut self, link: LinkId, peer: &Identity) {
        let hello = Hello {
            version: 1,
            node: self.identity.node_id(),
            card: vec![],
            item_bytes_max: 0,
            boards: vec![],
            wall_time: None,
        };
        let properties = LinkProperties::default();
        let (peer, groups) = (peer.node_id(), [].into());
        self.handle(Event::LinkUp { link, peer, mode: Mode::Live, hello, groups, properties });
    }

    fn handle(&mut self, event: Event) {
        let start = Clock::now();
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.engine.handle(Instant::ZERO, event, &self.index);
            while let Some(action) = self.engine.poll_action() {
                events.extend(self.act(action));
            }
        }
        self.spent += start.elapsed();
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Keep { ticket, id, record, bytes, bundle: _ } => {
                self.index.0.insert(id, (record, bytes));
                Some(Event::Taken { ticket, outcome: Ok(()) })
            }
            Action::Deliver { ticket, .. } => {
                self.delivered += 1;
                Some(Event::Taken { ticket, outcome: Ok(()) })
            }
            Action::Update { id, record } => {
                self.index.0.get_mut(&id).unwrap().0 = record;
                None
            }
            Action::Forget { id, .. } => {
                self.index.0.remove(&id);
                None
            }
            Action::Hello { .. } | Action::PeerHas { .. } => None,
            other => unreachable!("{other:?}"),
        }
    }

    fn transmit(&mut self, link: LinkId) -> Option<Vec<u8>> {
        let start = Clock::now();
        let frame = match self.engine.poll_transmit(link, &self.index) {
            Some(Transmit::Frame(frame)) => Some(frame),
            Some(Transmit::Chunk { item, total, offset, .. }) => {
                let (_, bytes) = self.index.0.get(&item.id).unwrap();
                Some(encode_chunk(item, total, offset, bytes))
            }
            None => None,
        };
        while let Some(action) = self.engine.poll_action() {
            assert!(self.act(action).is_none());
        }
        self.spent += start.elapsed();
        frame
    }
}

/// Up to 64 KiB in one piece, as a socket hands it out.
fn pass(from: &mut Host, to: &mut Host, link: LinkId) -> bool {
    let mut bytes = Vec::new();
    while bytes.len() < 60_000 {
        let Some(frame) = from.transmit(link) else { break };
        bytes.extend(frame);
    }
    if bytes.is_empty() {
        return false;
    }
    to.handle(Event::Bytes { link, bytes });
    true
}

fn forward(bundles: u64) -> Duration {
    let (mut a, mut b, mut c) = (Host::new(1), Host::new(2), Host::new(3));
    for n in 0..bundles {
        let mut payload = vec![7; PAYLOAD_BYTES];
        payload.extend(n.to_be_bytes());
        let draft = Draft {
            destination: Eid::node(&c.identity.node_id(), "inbox").unwrap(),
            source_service: "inbox",
            creation: CreationTimestamp { time_ms: 0, seq: n },
            lifetime_ms: 1_000_000_000,
            hop_limit: 8,
            class: Class::Normal,
            age_ms: Some(0),
            may_fragment: false,
            admin_record: false,
            payload: &payload,
        };
        let bundle = plain(&draft, &a.identity).unwrap();
        let (id, bytes) = (bundle.content_id(), bundle.encode());
        let record = BundleRecord {
            place: 0,
            destination: bundle.destination().node_id(),
            source: bundle.source().node_id(),
            neighbour: None,
            bytes: u64::try_from(bytes.len()).unwrap(),
            class: Class::Normal,
            age_ms: Some(0),
            remaining_ms: 1_000_000_000,
            kept_since: Instant::ZERO,
            copies: 8,
            handed_at: None,
            may_fragment: false,
            fragment: false,
        };
        a.index.0.insert(id, (record.clone(), bytes));
        a.handle(Event::Carry { id, record });
    }
    a.up(TO_A, &b.identity);
    b.up(TO_A, &a.identity);
    b.up(TO_C, &c.identity);
    c.up(TO_C, &b.identity);
    b.spent = Duration::ZERO;
    loop {
        let moved = [
            pass(&mut a, &mut b, TO_A),
            pass(&mut b, &mut c, TO_C),
            pass(&mut c, &mut b, TO_C),
            pass(&mut b, &mut a, TO_A),
        ];
        if !moved.contains(&true) {
            break;
        }
    }
    assert_eq!((c.delivered, b.index.0.len()), (bundles, 0));
    b.spent
}

fn main() {
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let (bundles, rounds) = if smoke { (500, 1) } else { (2_000, 60) };
    let mut times: Vec<Duration> = (0..rounds).map(|_| forward(bundles)).collect();
    times.sort_unstable();
    let best = times.first().copied().unwrap_or_default();
    let per_second = u128::from(bundles) * 1_000_000_000 / best.as_nanos().max(1);
    println!("bundles forwarded by one carrier  {bundles}");
    println!("time of the carrier               {best:?}, best of {rounds}");
    println!("bundles per second                {per_second}, goal 50000");
}
