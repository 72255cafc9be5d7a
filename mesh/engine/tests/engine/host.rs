//! A trivial host: a disk that is a map, and a wire between two hosts.

use std::collections::{BTreeMap, BTreeSet};

use cairn_bundle::{Bundle, Class, CreationTimestamp, Digest, Draft, Eid, Identity, NodeId, plain};
use cairn_engine::routing::LinkProperties;
use cairn_engine::{
    Action, BundleRecord, Catalogue, CloseReason, Engine, Event, Gone, Instant, Limits, LinkId, Place, Scope,
    Ticket,
};
use cairn_link::{Hello, Item, Mode, ParcelWriter, RefuseReason, Topic, Transmit, encode_chunk, parcel};

/// What waits to become durable.
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) item: Item,
    pub(crate) bytes: Vec<u8>,
    pub(crate) kept: Kept,
}

/// What becomes of it then.
pub(crate) enum Kept {
    /// It is delivered here.
    Delivered,
    /// It is carried on.
    Carried(BundleRecord),
    /// It is held.
    Held,
}

/// The index of carried bundles.
#[derive(Clone, Default)]
pub(crate) struct Index(pub(crate) BTreeMap<Digest, BundleRecord>);

impl Catalogue for Index {
    fn record(&self, id: &Digest) -> Option<BundleRecord> {
        self.0.get(id).cloned()
    }

    fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)> {
        self.0.range(start..).take(max).map(|(id, record)| (*id, record.clone())).collect()
    }
}

/// What is wrong with a host, on purpose: what checks hosts has to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It says that things are durable before they are.
    TakenBeforeDurable,
    /// It does not keep the ids of what was here.
    ForgetsSeen,
}

pub(crate) struct Host {
    pub(crate) seed: u8,
    pub(crate) limits: Limits,
    pub(crate) fault: Fault,
    /// Ids to be remembered over a restart, in their order.
    pub(crate) seen: Vec<Digest>,
    /// What a faulty host has only in memory.
    pub(crate) unsynced: Vec<Item>,
    pub(crate) identity: Identity,
    pub(crate) me: NodeId,
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) disk: BTreeMap<Item, Vec<u8>>,
    pub(crate) index: Index,
    pub(crate) delivered: Vec<Digest>,
    pub(crate) waiting: Vec<Waiting>,
    /// Whether nobody vouches for what it carries for others.
    pub(crate) vouches: bool,
    /// Whether what arrives is stored at once.
    pub(crate) stores: bool,
    pub(crate) closed: Vec<(LinkId, CloseReason)>,
    pub(crate) owed: BTreeSet<Item>,
    pub(crate) forgotten: Vec<(Digest, Gone)>,
    /// Bundles that the engine wants to be cut, and how small.
    pub(crate) to_cut: Vec<(Digest, u64)>,
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
            engine: Engine::new(me, limits.clone()),
            limits,
            fault: Fault::None,
            seen: Vec::new(),
            unsynced: Vec::new(),
            now: Instant::ZERO,
            disk: BTreeMap::new(),
            index: Index::default(),
            delivered: Vec::new(),
            waiting: Vec::new(),
            vouches: true,
            stores: true,
            closed: Vec::new(),
            owed: BTreeSet::new(),
            forgotten: Vec::new(),
            to_cut: Vec::new(),
            peer_has: Vec::new(),
            hellos: 0,
            sent: Vec::new(),
        }
    }

    /// The same node after its process ended: what is on the disk is told to a new engine.
    pub(crate) fn restart(&mut self) {
        for lost in core::mem::take(&mut self.unsynced) {
            self.disk.remove(&lost);
            self.index.0.remove(&lost.id);
            self.delivered.retain(|id| *id != lost.id);
            self.seen.retain(|id| *id != lost.id);
        }
        let mut again = Self::with(self.seed, self.limits.clone());
        again.fault = self.fault;
        again.now = self.now;
        again.delivered = self.delivered.clone();
        if self.fault != Fault::ForgetsSeen {
            again.seen = self.seen.clone();
        }
        for id in again.seen.clone() {
            again.handle(Event::Seen { id });
        }
        again.disk = self.disk.clone();
        again.index = self.index.clone();
        for (id, record) in &self.index.0 {
            again.engine.restore(again.now, id, record);
        }
        *self = again;
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello { version: 1, node: self.me, card: vec![], item_bytes_max: 0, boards: vec![], wall_time: None }
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.engine.handle(self.now, event, &self.index);
        while let Some(action) = self.engine.poll_action() {
            self.act(action);
        }
        self.expect_silence_without_news();
    }

    /// A caller that asks only links with news misses nothing.
    fn expect_silence_without_news(&mut self) {
        let links: Vec<LinkId> = self.engine.links().map(|(link, ..)| link).collect();
        for link in links.into_iter().filter(|link| !self.engine.has_news(*link)).collect::<Vec<_>>() {
            let said = self.engine.poll_transmit(link, &self.index);
            assert_eq!(said, None, "link {link} has something to say, and no news");
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Hello { .. } => self.hellos += 1,
            Action::Take { ticket, item, bytes, .. } => self.wait(ticket, item, bytes, Kept::Held),
            Action::Keep { ticket, id, record, bytes, bundle: _ } => {
                self.wait(ticket, bundle_item(id), bytes, Kept::Carried(record));
            }
            Action::Deliver { ticket, id, bundle, .. } => {
                self.wait(ticket, bundle_item(id), bundle.encode(), Kept::Delivered);
            }
            Action::Update { id, record } => {
                self.index.0.insert(id, record);
            }
            Action::Forget { id, why, .. } => {
                self.disk.remove(&bundle_item(id));
                self.index.0.remove(&id);
                if why != Gone::Evicted {
                    self.seen.push(id);
                }
                self.forgotten.push((id, why));
            }
            Action::Fragment { id, piece_bytes } => self.to_cut.push((id, piece_bytes)),
            Action::PeerHas { peer, item } => self.peer_has.push((peer, item)),
            Action::OweAck { item, .. } => {
                self.owed.insert(item);
            }
            Action::Close { link, reason } => self.closed.push((link, reason)),
        }
    }

    fn wait(&mut self, ticket: Ticket, item: Item, bytes: Vec<u8>, kept: Kept) {
        self.waiting.push(Waiting { ticket, item, bytes, kept });
        if self.stores {
            self.store_all();
        }
    }

    /// Everything that waits becomes durable.
    pub(crate) fn store_all(&mut self) {
        for Waiting { ticket, item, bytes, kept } in core::mem::take(&mut self.waiting) {
            match kept {
                Kept::Delivered => {
                    self.delivered.push(item.id);
                    self.seen.push(item.id);
                }
                Kept::Held => {
                    // What is numbered is offered on, as boards are.
                    if let Some(place) = place_of(&bytes) {
                        let (bytes, scope) = (bytes.len() as u64, Scope::Group(1));
                        self.handle(Event::Hold { item, bytes, scope, place: Some(place) });
                    }
                    self.disk.insert(item, bytes);
                }
                Kept::Carried(mut record) => {
                    if !self.vouches {
                        if !self.engine.disown(ticket) {
                            self.handle(Event::Taken { ticket, outcome: Err(RefuseReason::Full) });
                            continue;
                        }
                        record.disown();
                    }
                    self.disk.insert(item, bytes);
                    self.index.0.insert(item.id, record);
                }
            }
            if self.fault == Fault::TakenBeforeDurable {
                self.unsynced.push(item);
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
        self.hold_at(topic, bytes, scope, None)
    }

    /// The same for an item that stands in a sequence.
    pub(crate) fn hold_at(&mut self, topic: Topic, bytes: &[u8], scope: Scope, place: Option<Place>) -> Item {
        let item = Item { topic, id: Digest::of(bytes) };
        self.disk.insert(item, bytes.to_vec());
        self.handle(Event::Hold { item, bytes: bytes.len() as u64, scope, place });
        item
    }

    /// Writes a bundle and carries it.
    pub(crate) fn send(&mut self, to: NodeId, text: &[u8]) -> Item {
        let bundle = written(&self.identity, to, text, 1_000_000);
        self.carry(&bundle)
    }

    /// Carries a bundle from now on.
    pub(crate) fn carry(&mut self, bundle: &Bundle) -> Item {
        let bytes = bundle.encode();
        let record = record(bundle, bytes.len(), self.now);
        self.carry_as(bundle_item(bundle.content_id()), record, bytes)
    }

    /// Carries some bytes under an id, whatever they are.
    pub(crate) fn carry_as(&mut self, item: Item, record: BundleRecord, bytes: Vec<u8>) -> Item {
        self.disk.insert(item, bytes);
        self.index.0.insert(item.id, record.clone());
        self.handle(Event::Carry { id: item.id, record });
        item
    }

    pub(crate) fn up(&mut self, link: LinkId, peer: NodeId, mode: Mode, groups: &[u32]) {
        let (hello, groups) = (self.hello(), groups.iter().copied().collect());
        let properties = LinkProperties::default();
        self.handle(Event::LinkUp { link, peer, mode, hello, groups, properties });
    }

    /// Part of an item as it goes over a link: a bundle leaves with the age that it has by now.
    fn read(&self, link: LinkId, item: Item, offset: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = self.disk.get(&item)?.clone();
        let age = self.engine.age_to_add(link, &item.id, &self.index);
        if item.topic == Topic::Bundle && age > 0 {
            bytes = Bundle::decode(&bytes, &cairn_bundle::Limits::default()).ok()?.aged_by(age).encode();
        }
        bytes.get(offset as usize..(offset + len) as usize).map(<[u8]>::to_vec)
    }

    /// The next frame of a link; with it the item that ends in it.
    pub(crate) fn frame(&mut self, link: LinkId) -> Option<(Vec<u8>, Option<Item>)> {
        loop {
            let transmit = self.engine.poll_transmit(link, &self.index);
            while let Some(action) = self.engine.poll_action() {
                self.act(action);
            }
            match transmit? {
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

/// What the bytes of an item say of its place: `@author NUMBER`, then anything.
pub(crate) fn place_of(bytes: &[u8]) -> Option<Place> {
    let mut words = core::str::from_utf8(bytes).ok()?.split(' ');
    let author = words.next()?.strip_prefix('@')?;
    Some(Place { stream: Digest::of(author.as_bytes()), number: words.next()?.parse().ok()? })
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
        place: 0,
        destination: bundle.destination().node_id(),
        source: bundle.source().node_id(),
        neighbour: None,
        bytes: bytes as u64,
        class: bundle.class(),
        age_ms: bundle.age_ms(),
        remaining_ms: bundle.primary().lifetime_ms,
        kept_since: now,
        copies: 8,
        handed_at: None,
        may_fragment: !bundle.primary().flags.contains(cairn_bundle::BundleFlags::NO_FRAGMENT),
        fragment: bundle.primary().fragment.is_some(),
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
