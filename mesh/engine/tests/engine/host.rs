//! A trivial host: a disk that is a map, and a wire between two hosts.

use std::collections::{BTreeMap, BTreeSet};

use cairn_bundle::{Bundle, Class, CreationTimestamp, Digest, Draft, Eid, Identity, NodeId, plain};
use cairn_engine::{
    Action, BundleRecord, CloseReason, Engine, Event, Instant, Limits, LinkId, Scope, Ticket,
};
use cairn_link::{Hello, Item, Mode, ParcelWriter, RefuseReason, Topic, Transmit, encode_chunk, parcel};

/// What waits to become durable.
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) item: Item,
    pub(crate) bytes: Vec<u8>,
    pub(crate) mine: bool,
}

pub(crate) struct Host {
    pub(crate) seed: u8,
    pub(crate) identity: Identity,
    pub(crate) me: NodeId,
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) disk: BTreeMap<Item, Vec<u8>>,
    pub(crate) delivered: Vec<Digest>,
    pub(crate) waiting: Vec<Waiting>,
    /// Whether what arrives is stored at once.
    pub(crate) stores: bool,
    pub(crate) closed: Vec<(LinkId, CloseReason)>,
    pub(crate) owed: BTreeSet<Item>,
    pub(crate) forgotten: Vec<(Digest, bool)>,
    pub(crate) peer_has: Vec<(NodeId, Item)>,
    pub(crate) hellos: usize,
    /// Chunks that were sent, by item.
    pub(crate) sent: Vec<Item>,
}

impl Host {
    pub(crate) fn new(seed: u8) -> Self {
        Self::with(seed, Limits::default())
    }

    pub(crate) fn with(seed: u8, limits: Limits) -> Self {
        let identity = Identity::from_seed(&[seed; 32]);
        let me = identity.node_id();
        Self {
            seed,
            me,
            identity,
            engine: Engine::new(me, limits),
            now: Instant::ZERO,
            disk: BTreeMap::new(),
            delivered: Vec::new(),
            waiting: Vec::new(),
            stores: true,
            closed: Vec::new(),
            owed: BTreeSet::new(),
            forgotten: Vec::new(),
            peer_has: Vec::new(),
            hellos: 0,
            sent: Vec::new(),
        }
    }

    /// The same node after its process ended: what is on the disk is told to a new engine.
    pub(crate) fn restart(&mut self) {
        let mut again = Self::new(self.seed);
        again.now = self.now;
        again.delivered = self.delivered.clone();
        for id in &again.delivered.clone() {
            again.handle(Event::Seen { id: *id });
        }
        for (item, bytes) in self.disk.clone() {
            again.disk.insert(item, bytes.clone());
            if item.topic == Topic::Bundle {
                let bundle = Bundle::decode(&bytes, &cairn_bundle::Limits::default()).unwrap();
                let record = record(&bundle, bytes.len(), again.now);
                again.handle(Event::Carry { id: item.id, record });
            }
        }
        *self = again;
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello { version: 1, node: self.me, card: vec![], item_bytes_max: 0, boards: vec![], wall_time: None }
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.engine.handle(self.now, event);
        while let Some(action) = self.engine.poll_action() {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Hello { .. } => self.hellos += 1,
            Action::Take { ticket, item, bytes, .. } => self.wait(ticket, item, bytes, false),
            Action::Keep { ticket, id, bytes } => self.wait(ticket, bundle_item(id), bytes, false),
            Action::Deliver { ticket, id, bundle } => {
                self.wait(ticket, bundle_item(id), bundle.encode(), true);
            }
            Action::Forget { id, expired } => {
                self.disk.remove(&bundle_item(id));
                self.forgotten.push((id, expired));
            }
            Action::PeerHas { peer, item } => self.peer_has.push((peer, item)),
            Action::OweAck { item, .. } => {
                self.owed.insert(item);
            }
            Action::Close { link, reason } => self.closed.push((link, reason)),
        }
    }

    fn wait(&mut self, ticket: Ticket, item: Item, bytes: Vec<u8>, mine: bool) {
        self.waiting.push(Waiting { ticket, item, bytes, mine });
        if self.stores {
            self.store_all();
        }
    }

    /// Everything that waits becomes durable.
    pub(crate) fn store_all(&mut self) {
        for Waiting { ticket, item, bytes, mine } in core::mem::take(&mut self.waiting) {
            if mine {
                self.delivered.push(item.id);
            } else {
                self.disk.insert(item, bytes);
            }
            self.handle(Event::Taken { ticket, outcome: Ok(()) });
        }
    }

    /// Everything that waits is refused.
    pub(crate) fn refuse_all(&mut self, reason: RefuseReason) {
        for Waiting { ticket, .. } in core::mem::take(&mut self.waiting) {
            self.handle(Event::Taken { ticket, outcome: Err(reason) });
        }
    }

    /// Holds an item that everybody in the scope may have.
    pub(crate) fn hold(&mut self, topic: Topic, bytes: &[u8], scope: Scope) -> Item {
        let item = Item { topic, id: Digest::of(bytes) };
        self.disk.insert(item, bytes.to_vec());
        self.handle(Event::Hold { item, bytes: bytes.len() as u64, scope });
        item
    }

    /// Writes a bundle and carries it.
    pub(crate) fn send(&mut self, to: NodeId, text: &[u8]) -> Item {
        let bundle = written(&self.identity, to, text, 1_000_000);
        let item = bundle_item(bundle.content_id());
        let bytes = bundle.encode();
        let record = record(&bundle, bytes.len(), self.now);
        self.disk.insert(item, bytes);
        self.handle(Event::Carry { id: item.id, record });
        item
    }

    pub(crate) fn up(&mut self, link: LinkId, peer: NodeId, mode: Mode, groups: &[u32]) {
        let (hello, groups) = (self.hello(), groups.iter().copied().collect());
        self.handle(Event::LinkUp { link, peer, mode, hello, groups });
    }

    /// Part of an item as it goes over a link: a bundle leaves with the age that it has by now.
    fn read(&self, link: LinkId, item: Item, offset: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = self.disk.get(&item)?.clone();
        let age = self.engine.age_to_add(link, &item.id);
        if item.topic == Topic::Bundle && age > 0 {
            bytes = Bundle::decode(&bytes, &cairn_bundle::Limits::default()).ok()?.aged_by(age).encode();
        }
        bytes.get(offset as usize..(offset + len) as usize).map(<[u8]>::to_vec)
    }

    /// The next frame of a link; with it the item that ends in it.
    pub(crate) fn frame(&mut self, link: LinkId) -> Option<(Vec<u8>, Option<Item>)> {
        loop {
            match self.engine.poll_transmit(link)? {
                Transmit::Frame(frame) => return Some((frame, None)),
                Transmit::Chunk { item, total, offset, len } => match self.read(link, item, offset, len) {
                    Some(bytes) => {
                        self.sent.push(item);
                        return Some((encode_chunk(item, total, offset, &bytes), Some(item)));
                    }
                    None => self.handle(Event::Withdraw { link, item }),
                },
            }
        }
    }

    /// The next bytes of a link.
    pub(crate) fn transmit(&mut self, link: LinkId) -> Option<Vec<u8>> {
        self.frame(link).map(|(bytes, _)| bytes)
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.engine.counters().get(name).copied().unwrap_or(0)
    }
}

pub(crate) fn bundle_item(id: Digest) -> Item {
    Item { topic: Topic::Bundle, id }
}

pub(crate) fn written(from: &Identity, to: NodeId, text: &[u8], lifetime_ms: u64) -> Bundle {
    let draft = Draft {
        destination: Eid::node(&to, "inbox").unwrap(),
        source_service: "inbox",
        creation: CreationTimestamp { time_ms: 0, seq: 1 },
        lifetime_ms,
        hop_limit: 8,
        class: Class::Normal,
        age_ms: Some(0),
        may_fragment: false,
        admin_record: false,
        payload: text,
    };
    plain(&draft, from).unwrap()
}

pub(crate) fn record(bundle: &Bundle, bytes: usize, now: Instant) -> BundleRecord {
    BundleRecord {
        destination: bundle.destination().node_id(),
        source: bundle.source().node_id(),
        neighbour: None,
        bytes: bytes as u64,
        age_ms: bundle.age_ms(),
        remaining_ms: bundle.primary().lifetime_ms,
        kept_since: now,
    }
}

/// Brings two hosts together on a link; nothing is said yet.
pub(crate) fn connect(a: &mut Host, b: &mut Host, link: LinkId, groups: &[u32]) {
    let (here, there) = (a.me, b.me);
    a.up(link, there, Mode::Live, groups);
    b.up(link, here, Mode::Live, groups);
}

/// Moves bytes both ways until both are silent.
pub(crate) fn talk(a: &mut Host, b: &mut Host, link: LinkId) {
    loop {
        let (there, back) = (a.transmit(link), b.transmit(link));
        if there.is_none() && back.is_none() {
            return;
        }
        if let Some(bytes) = there {
            b.handle(Event::Bytes { link, bytes });
        }
        if let Some(bytes) = back {
            a.handle(Event::Bytes { link, bytes });
        }
    }
}

pub(crate) fn disconnect(a: &mut Host, b: &mut Host, link: LinkId) {
    a.handle(Event::LinkDown { link });
    b.handle(Event::LinkDown { link });
}

/// One whole live meet.
pub(crate) fn meet(a: &mut Host, b: &mut Host, link: LinkId, groups: &[u32]) {
    connect(a, b, link, groups);
    talk(a, b, link);
    disconnect(a, b, link);
}

/// Writes what `a` has for `b` into payloads, with the acknowledgements that `a` owes; how many items went in.
pub(crate) fn export(a: &mut Host, b: NodeId, link: LinkId, groups: &[u32]) -> (Vec<Vec<u8>>, usize) {
    a.up(link, b, Mode::Carried, groups);
    for item in core::mem::take(&mut a.owed) {
        a.handle(Event::Acknowledge { link, item });
    }
    // Items here are smaller than a chunk; the first frame is the hello, which the writer adds by itself.
    let mut writer = ParcelWriter::new(&a.hello(), parcel::PARCEL_BYTES_MAX);
    let (mut payloads, mut items) = (Vec::new(), BTreeSet::new());
    a.transmit(link).unwrap();
    while let Some((frame, item)) = a.frame(link) {
        items.extend(item);
        payloads.extend(writer.push(&frame));
    }
    payloads.extend(writer.finish());
    a.handle(Event::LinkDown { link });
    (payloads, items.len())
}

/// Reads payloads that `a` wrote.
pub(crate) fn import(b: &mut Host, a: NodeId, payloads: &[Vec<u8>], link: LinkId) {
    for payload in payloads {
        let frames = cairn_link::parcel_frames(payload).unwrap().to_vec();
        b.up(link, a, Mode::Carried, &[]);
        b.handle(Event::Bytes { link, bytes: frames });
        assert!(b.engine.has_taken_all(link));
        b.handle(Event::LinkDown { link });
    }
}
