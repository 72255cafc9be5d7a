//! A neighbour that says anything in any order, beside what an engine holds and carries: bounded answers, books that agree.
#![no_main]

use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;

use cairn_bundle::{Bundle, Class, CreationTimestamp, Digest, Draft, Eid, Identity, NodeId, plain};
use cairn_engine::{
    Action, BundleRecord, Catalogue, Engine, Event, Instant, Limits, LinkProperties, Place, Scope,
};
use cairn_link::reconcile::{MemorySet, ReconcileLimits, Reconciler};
use cairn_link::{Hello, Item, Meet, MeetLimits, Mode, RefuseReason, RouteClaim, Topic, Transmit, encode_chunk};
use libfuzzer_sys::fuzz_target;

const LINK: u64 = 1;

static NODES: LazyLock<[NodeId; 3]> =
    LazyLock::new(|| [1, 2, 3].map(|n| Identity::from_seed(&[n; 32]).node_id()));

/// Bundles of two sources for two destinations.
static BUNDLES: LazyLock<Vec<Bundle>> = LazyLock::new(|| {
    let letter = |n: u8| {
        let draft = Draft {
            destination: Eid::node(&NODES[usize::from(n % 2) * 2], "inbox").expect("a service"),
            source_service: "inbox",
            creation: CreationTimestamp { time_ms: 0, seq: n.into() },
            lifetime_ms: 100_000_000,
            hop_limit: 8,
            class: Class::Normal,
            age_ms: Some(0),
            may_fragment: true,
            admin_record: false,
            payload: &[n; 100],
        };
        plain(&draft, &Identity::from_seed(&[4 + n % 3; 32])).expect("a bundle")
    };
    (0..16).map(letter).collect()
});

#[derive(Default)]
struct Index(BTreeMap<Digest, BundleRecord>);

impl Catalogue for Index {
    fn record(&self, id: &Digest) -> Option<BundleRecord> {
        self.0.get(id).cloned()
    }
    fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)> {
        self.0.range(start..).take(max).map(|(id, record)| (*id, record.clone())).collect()
    }
}

fn hello(node: NodeId) -> Hello {
    Hello { version: 1, node, card: vec![], item_bytes_max: 10_000, boards: vec![], wall_time: None }
}

fn change(number: u64) -> (Item, Place) {
    let id = Digest::of(&number.to_be_bytes());
    (Item { topic: Topic::Board, id }, Place { stream: Digest([(number % 2) as u8; 32]), number: number / 2 + 1 })
}

/// An item out of few.
fn item(n: u8) -> Item {
    match n % 4 {
        0 => Item { topic: Topic::Bundle, id: BUNDLES[usize::from(n / 4) % 16].content_id() },
        1 => change(u64::from(n)).0,
        2 => Item { topic: Topic::Notice, id: Digest([n; 32]) },
        _ => Item { topic: Topic::Ledger, id: Digest([n; 32]) },
    }
}

struct Host {
    engine: Engine,
    index: Index,
    now: Instant,
    /// What waits to become durable.
    waiting: VecDeque<(u64, Option<(Digest, BundleRecord)>, Option<Item>)>,
}

impl Host {
    fn handle(&mut self, event: Event) {
        self.engine.handle(self.now, event, &self.index);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Take { ticket, item, .. } => self.waiting.push_back((ticket, None, Some(item))),
                Action::Deliver { ticket, .. } => self.waiting.push_back((ticket, None, None)),
                Action::Keep { ticket, id, record, .. } => self.waiting.push_back((ticket, Some((id, record)), None)),
                Action::Update { id, record } => drop(self.index.0.insert(id, record)),
                Action::Forget { id, .. } => drop(self.index.0.remove(&id)),
                _ => {}
            }
        }
    }

    fn store(&mut self, outcome: Result<(), RefuseReason>) {
        let Some((ticket, kept, held)) = self.waiting.pop_front() else { return };
        if outcome.is_ok() {
            self.index.0.extend(kept);
            if let Some(item) = held {
                self.handle(Event::Hold { item, bytes: 10, scope: Scope::Everyone, place: None });
            }
        }
        self.handle(Event::Taken { ticket, outcome });
    }

    /// Says what it has to say: a bounded number of frames.
    fn speak(&mut self) {
        let mut said = 0;
        while let Some(transmit) = self.engine.poll_transmit(LINK, &self.index) {
            self.act();
            if let Transmit::Chunk { item, .. } = transmit
                && item.topic == Topic::Bundle
                && !self.index.0.contains_key(&item.id)
            {
                self.handle(Event::Withdraw { link: LINK, item });
            }
            said += 1;
            assert!(said < 3_000, "it talks without an end");
        }
        self.act();
    }
}

/// One thing that a neighbour may say, of the next bytes.
fn say(liar: &mut Meet, kind: u8, data: &mut std::slice::Iter<'_, u8>) -> Option<Vec<u8>> {
    let mut next = || data.next().copied().unwrap_or(0);
    let topic = [Topic::Board, Topic::Ledger, Topic::Bundle, Topic::Notice][usize::from(next() % 4)];
    match kind {
        0 => drop(liar.offer(item(next()), 50)),
        1 => {
            let entry = |n: u8, height: u8| (Digest([n % 4; 32]), u64::from_be_bytes([height; 8]) >> (height % 60));
            let entries = (0..next() % 4).map(|_| entry(next(), next())).collect::<BTreeMap<_, _>>();
            liar.say_heights(topic, entries.into_iter().collect());
        }
        2 => {
            let set: MemorySet = (0..next() % 80).map(|n| item(n.wrapping_mul(3)).id.0).collect();
            let (_, start) = Reconciler::start(&set, [next(); 8], ReconcileLimits::default());
            liar.say_reconcile(topic, start);
        }
        3 => drop(liar.say_reconcile(topic, (0..1 + next() % 60).map(|_| next()).collect())),
        4 => liar.ack(item(next())),
        5 => liar.refused(item(next()), RefuseReason::Full),
        6 => liar.say_room(u64::from(next()) << (next() % 56)),
        7 => liar.say_routes(&[RouteClaim { node: [next(); 16], delay_s: u32::from(next()) }]),
        8 => {
            // A Want, or a Have, which the meet says only to whom it has heard of.
            let (kind, item) = (1 + next() % 2, item(next()));
            let body = [&[0x83, kind, item.topic.number(), 0x58, 32], item.id.0.as_slice()].concat();
            return Some([&(body.len() as u32).to_be_bytes()[..], &body].concat());
        }
        9 => {
            let item = item(next());
            let known = BUNDLES.iter().find(|bundle| bundle.content_id() == item.id);
            let bytes = known.map_or_else(|| vec![next(); 10], Bundle::encode);
            return Some(encode_chunk(item, bytes.len() as u64, 0, &bytes));
        }
        _ => return Some((0..next() % 64).map(|_| next()).collect()),
    }
    None
}

fuzz_target!(|data: &[u8]| {
    let mut limits = Limits::for_store(4_000);
    limits.meet = MeetLimits { offers_max: 500, item_bytes_max: 10_000, ..MeetLimits::default() };
    let total = limits.quota.total;
    let mut host =
        Host { engine: Engine::new(NODES[0], limits), index: Index::default(), now: Instant::ZERO, waiting: VecDeque::new() };
    for number in 0..120 {
        let (item, place) = change(number);
        host.handle(Event::Hold { item, bytes: 50, scope: Scope::Everyone, place: Some(place) });
    }
    // Who begins a comparison depends on the ids: both ways.
    let Some((&seed, rest)) = data.split_first() else { return };
    let peer = NODES[1 + usize::from(seed % 2)];
    let up = Event::LinkUp {
        link: LINK,
        peer,
        mode: Mode::Live,
        hello: hello(NODES[0]),
        groups: [].into(),
        properties: LinkProperties::default(),
    };
    host.handle(up);
    let mut liar = Meet::new(Mode::Live, hello(peer), MeetLimits::default());
    let mut data = rest.iter();
    while let Some(&kind) = data.next() {
        match kind % 16 {
            kind @ 0..=10 => {
                let raw = say(&mut liar, kind, &mut data);
                while let Some(transmit) = liar.poll_transmit() {
                    if let Transmit::Frame(bytes) = transmit {
                        host.handle(Event::Bytes { link: LINK, bytes });
                    }
                }
                raw.into_iter().for_each(|bytes| host.handle(Event::Bytes { link: LINK, bytes }));
            }
            11 => host.store(Ok(())),
            12 => host.store(Err(RefuseReason::Full)),
            13 => {
                host.now = host.now.plus_ms(u64::from(data.next().copied().unwrap_or(0)) * 1_000);
                host.handle(Event::Tick);
            }
            _ => host.speak(),
        }
    }
    while !host.waiting.is_empty() {
        host.store(Ok(()));
    }
    host.speak();
    // Its books are those of its index, and nobody has more than the store.
    assert_eq!(host.engine.bundles_carried(), host.index.0.len() as u64);
    let bytes: u64 = host.index.0.values().map(|record| record.bytes).sum();
    assert_eq!(host.engine.used().bytes, bytes);
    assert!(host.engine.used().is_within(total));
});
