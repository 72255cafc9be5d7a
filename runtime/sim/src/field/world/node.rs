//! One node of a field: an engine, its catalogue, its disk.
//!
//! This is the host's side of the engine, as small as it can be: what the daemon does with a database, a clock and
//! keys. Bundles are neither sealed nor signed here; a signature that is not checked cannot be wrong either, so every
//! source counts as proven.

use std::collections::{BTreeMap, BTreeSet};

use cairn_bundle::{
    Bundle, BundleFlags, Class, CreationTimestamp, DeliveryNotice, Digest, Draft, Eid, Identity, NodeId,
    plain,
};
use cairn_engine::{
    Action, BundleRecord, CloseReason, Engine, Event, Gone, Instant, Limits, LinkId, LinkProperties, Scope,
};
use cairn_link::{Hello, Item, Mode, RefuseReason, Topic, Transmit, encode_chunk};

use super::disk::{Disk, Piece, Write, piece_record};
use super::shelf::{Kept, Shelf};
use super::truth::Truth;

/// Hops that a bundle may make: more than the longest chain has.
const HOPS_MAX: u8 = 200;
/// How often what was learned of encounters is saved, in milliseconds.
const SAVE_MS: u64 = 600_000;
/// Bundles for this node of which some fragments are here.
const WHOLES_MAX: usize = 64;
/// Ids of the fragments that a notice names.
const NOTICE_IDS_MAX: usize = 32;

/// Fragments of a bundle for this node.
#[derive(Debug, Clone, Default)]
struct Pieces {
    /// First byte and length of what is here.
    spans: BTreeMap<u64, u64>,
    ids: Vec<Digest>,
}

impl Pieces {
    fn is_whole(&self, total: u64) -> bool {
        let mut reached = 0;
        for (offset, len) in &self.spans {
            if *offset > reached {
                return false;
            }
            reached = reached.max(offset + len);
        }
        reached >= total
    }
}

/// A node.
#[derive(Debug)]
pub(super) struct FieldNode {
    pub(super) index: usize,
    pub(super) me: NodeId,
    identity: Identity,
    limits: Limits,
    plan: cairn_engine::routing::ContactPlan,
    /// `None` while it is down.
    pub(super) engine: Option<Engine>,
    /// Counts the starts; what belongs to an earlier life is void.
    pub(super) life: u64,
    /// What its wall clock said at the start of the run, in seconds; `None` without one.
    pub(super) wall_s: Option<u64>,
    pub(super) shelf: Shelf,
    pub(super) disk: Disk,
    past: BTreeSet<Digest>,
    past_order: Vec<Digest>,
    delivered: BTreeSet<[u8; 32]>,
    pieces: BTreeMap<[u8; 32], Pieces>,
    pub(super) notices: BTreeMap<Digest, Vec<u8>>,
    /// Bundles that it has acknowledged to somebody.
    promised: BTreeSet<Digest>,
    routing: (u64, Vec<u8>),
    pub(super) tick_ms: Option<u64>,
    pub(super) links: BTreeMap<LinkId, (u64, usize)>,
    /// Links that its engine has given up.
    pub(super) closed: Vec<LinkId>,
    /// Messages that its person could not send yet.
    pub(super) unsent: Vec<usize>,
}

impl FieldNode {
    pub(super) fn new(
        index: usize,
        seed: &[u8; 32],
        limits: Limits,
        plan: cairn_engine::routing::ContactPlan,
        wall_s: Option<u64>,
    ) -> Self {
        let identity = Identity::from_seed(seed);
        Self {
            index,
            me: identity.node_id(),
            identity,
            limits,
            plan,
            engine: None,
            life: 0,
            wall_s,
            shelf: Shelf::default(),
            disk: Disk::default(),
            past: BTreeSet::new(),
            past_order: Vec::new(),
            delivered: BTreeSet::new(),
            pieces: BTreeMap::new(),
            notices: BTreeMap::new(),
            promised: BTreeSet::new(),
            routing: (0, Vec::new()),
            tick_ms: None,
            links: BTreeMap::new(),
            closed: Vec::new(),
            unsent: Vec::new(),
        }
    }

    /// What its engine is limited to.
    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Starts from what is on the disk.
    pub(super) fn start(&mut self, truth: &mut Truth) {
        self.life += 1;
        self.tick_ms = None;
        let mut engine = Engine::new(self.me, self.limits.clone());
        if !self.routing.1.is_empty() && engine.restore_routing(&self.routing.1).is_err() {
            let node = self.index;
            truth.violate(|| format!("node {node} cannot read back what it saved of encounters"));
        }
        self.engine = Some(engine);
        if truth.faults.forgets_seen {
            self.past.clear();
            self.past_order.clear();
            self.delivered.clear();
        }
        for id in self.past_order.clone() {
            self.handle(truth, Event::Seen { id });
        }
        let carried: Vec<_> = self.shelf.iter().map(|(id, kept)| (*id, kept.record.clone())).collect();
        for (id, record) in carried {
            // What expired while the node was down may be forgotten before it was its turn.
            if self.shelf.kept(&id).is_some() {
                self.handle(truth, Event::Carry { id, record });
            }
        }
        let notices: Vec<(Digest, Vec<u8>)> =
            self.notices.iter().map(|(id, bytes)| (*id, bytes.clone())).collect();
        for (id, bytes) in notices {
            self.hold_notice(truth, id, &bytes);
        }
        self.tell_time(truth);
        if !self.plan.contacts().is_empty() {
            self.handle(truth, Event::Plan { plan: self.plan.clone() });
        }
    }

    /// The power is cut; says what it had promised and does not have any more (V1).
    pub(super) fn crash(&mut self, truth: &mut Truth, unsynced_lost: bool) {
        self.engine = None;
        self.links.clear();
        self.closed.clear();
        for write in self.disk.cut() {
            if let Write::Keep { ticket: None, kept, .. } = &write {
                // Its person was not told that it is sent, and tries again.
                self.unsent.extend(usize::try_from(kept.record.place));
            }
            let Write::Shown { id, before, past } = write else { continue };
            if !unsynced_lost {
                continue;
            }
            match before {
                Some(kept) => drop(self.shelf.insert(id, *kept)),
                None => drop(self.shelf.remove(&id)),
            }
            if past {
                self.past.remove(&id);
                self.past_order.retain(|other| *other != id);
            }
        }
        let lost = self.promised.iter().filter(|id| !self.has(id) && !truth.is_delivered(id)).count();
        if lost > 0 {
            let node = self.index;
            truth.violate(|| {
                format!("V1: node {node} acknowledged {lost} bundles that it lost with its power")
            });
        }
    }

    /// Whether it has a bundle, or remembers that it had it.
    fn has(&self, id: &Digest) -> bool {
        self.shelf.kept(id).is_some() || self.past.contains(id)
    }

    /// Whether it had a bundle whose id begins like this one. An id that was damaged behind its first 64 bits names no
    /// bundle at all, and nodes remember no more than these: what they say of it harms nobody.
    fn remembers_prefix(&self, id: &Digest) -> bool {
        let prefix = id.0.first_chunk::<8>();
        let mut first = Digest([0; 32]);
        first.0.iter_mut().zip(prefix.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        self.past.range(first..).next().is_some_and(|past| past.0.first_chunk() == prefix)
    }

    /// Tells the engine what the wall clock says.
    pub(super) fn tell_time(&mut self, truth: &mut Truth) {
        let wall_s = self.wall_s.map(|wall_s| wall_s.saturating_add(truth.now_ms / 1_000));
        self.handle(truth, Event::Clock { wall_s });
    }

    /// What it says first on a link.
    fn hello(&self) -> Hello {
        Hello {
            version: 1,
            node: self.me,
            card: Vec::new(),
            item_bytes_max: 0,
            boards: Vec::new(),
            wall_time: None,
        }
    }

    pub(super) fn link_up(
        &mut self,
        truth: &mut Truth,
        link: LinkId,
        peer: NodeId,
        properties: LinkProperties,
    ) {
        let (hello, groups) = (self.hello(), BTreeSet::new());
        self.handle(truth, Event::LinkUp { link, peer, mode: Mode::Live, hello, groups, properties });
    }

    /// Hands an event to the engine and does what it asks for.
    pub(super) fn handle(&mut self, truth: &mut Truth, event: Event) {
        let Some(engine) = &mut self.engine else { return };
        engine.handle(Instant::from_ms(truth.now_ms), event, &self.shelf);
        self.act_all(truth);
    }

    fn act_all(&mut self, truth: &mut Truth) {
        while let Some(action) = self.engine.as_mut().and_then(Engine::poll_action) {
            self.act(truth, action);
        }
    }

    fn act(&mut self, truth: &mut Truth, action: Action) {
        match action {
            Action::Keep { ticket, id, mut record, bytes, bundle: _ } => {
                // What is signed is the whole.
                if record.fragment {
                    if !self.engine.as_mut().is_some_and(|engine| engine.disown(ticket)) {
                        self.handle(truth, Event::Taken { ticket, outcome: Err(RefuseReason::Full) });
                        return;
                    }
                    record.disown();
                }
                let kept = Kept { record, bytes: truth.tails.share(&id, &bytes) };
                self.store(truth, Write::Keep { ticket: Some(ticket), id, kept: Box::new(kept) });
            }
            Action::Deliver { ticket, id, bundle, .. } => {
                let primary = bundle.primary();
                let len = u64::try_from(bundle.payload().len()).unwrap_or(u64::MAX);
                let piece = primary.fragment.map(|fragment| Piece {
                    offset: fragment.offset,
                    len,
                    total: fragment.total_bytes,
                });
                let name = whole_name(&bundle);
                // What nobody signed does not open, and of what never becomes whole only so much is kept.
                let opens = truth.names.contains_key(&name);
                let refusal = match piece {
                    None if !opens => Some(RefuseReason::Invalid),
                    Some(_) if self.pieces.len() >= WHOLES_MAX && !self.pieces.contains_key(&name) => {
                        Some(RefuseReason::Full)
                    }
                    None | Some(_) => None,
                };
                if let Some(reason) = refusal {
                    self.handle(truth, Event::Taken { ticket, outcome: Err(reason) });
                    return;
                }
                self.store(truth, Write::Deliver { ticket, id, name, piece });
            }
            Action::Take { ticket, item, bytes, .. } => self.take(truth, ticket, item, bytes),
            Action::Update { id, record } => {
                let Some(kept) = self.shelf.kept(&id) else { return };
                let before = Some(Box::new(kept.clone()));
                let bytes = kept.bytes.clone();
                self.shelf.insert(id, Kept { record, bytes });
                self.disk.write(Write::Shown { id, before, past: false });
            }
            Action::Forget { id, why, .. } => {
                let before = self.shelf.remove(&id).map(Box::new);
                let past = why != Gone::Evicted && self.past.insert(id);
                if past {
                    self.past_order.push(id);
                }
                if why == Gone::Evicted {
                    self.promised.remove(&id);
                }
                self.disk.write(Write::Shown { id, before, past });
            }
            Action::Fragment { id, piece_bytes } => self.cut(truth, id, piece_bytes),
            Action::Close { link, reason } => {
                if !matches!(reason, CloseReason::Bye) {
                    truth.note(self.index, 99, 0);
                }
                self.closed.push(link);
            }
            // There is no card to check, and there are no drops.
            Action::Hello { .. } | Action::PeerHas { .. } | Action::OweAck { .. } => {}
        }
    }

    /// Writes something that came from a peer.
    fn store(&mut self, truth: &mut Truth, write: Write) {
        let ticket = match &write {
            Write::Keep { ticket, .. } | Write::Notice { ticket, .. } => *ticket,
            Write::Deliver { ticket, .. } => Some(*ticket),
            Write::Cut { .. } | Write::Shown { .. } => None,
        };
        if self.disk.full {
            if let Some(ticket) = ticket {
                self.handle(truth, Event::Taken { ticket, outcome: Err(RefuseReason::Full) });
            }
            return;
        }
        match write {
            // A store that lies shows at once what is not durable yet, and says so.
            Write::Keep { ticket, id, kept } if truth.faults.believes_too_early => {
                let record = kept.record.clone();
                let before = self.shelf.insert(id, *kept).map(Box::new);
                self.disk.write(Write::Shown { id, before, past: false });
                match ticket {
                    Some(ticket) => self.handle(truth, Event::Taken { ticket, outcome: Ok(()) }),
                    None => self.handle(truth, Event::Carry { id, record }),
                }
            }
            write => self.disk.write(write),
        }
    }

    fn take(&mut self, truth: &mut Truth, ticket: u64, item: Item, bytes: Vec<u8>) {
        let notice = if item.topic == Topic::Notice { truth.notice(&item.id, &bytes) } else { None };
        match notice {
            Some((by, ids)) => {
                self.store(truth, Write::Notice { ticket: Some(ticket), id: item.id, bytes, ids, by });
            }
            None => self.handle(truth, Event::Taken { ticket, outcome: Err(RefuseReason::Invalid) }),
        }
    }

    /// A batch is durable.
    pub(super) fn synced(&mut self, truth: &mut Truth) {
        for write in self.disk.synced() {
            match write {
                Write::Keep { ticket: Some(ticket), id, .. } if self.shelf.kept(&id).is_some() => {
                    // A bundle was cut here, and the same piece came from elsewhere: one of them is enough.
                    self.handle(truth, Event::Taken { ticket, outcome: Err(RefuseReason::NotWanted) });
                }
                Write::Keep { ticket, id, kept } => {
                    let record = kept.record.clone();
                    self.shelf.insert(id, *kept);
                    match ticket {
                        Some(ticket) => self.handle(truth, Event::Taken { ticket, outcome: Ok(()) }),
                        None => self.handle(truth, Event::Carry { id, record }),
                    }
                }
                Write::Deliver { ticket, id, name, piece } => {
                    self.delivered_durably(truth, id, name, piece);
                    self.handle(truth, Event::Taken { ticket, outcome: Ok(()) });
                }
                Write::Notice { ticket, id, bytes, ids, by } => {
                    self.notices.insert(id, bytes.clone());
                    if let Some(ticket) = ticket {
                        self.handle(truth, Event::Taken { ticket, outcome: Ok(()) });
                    }
                    self.handle(truth, Event::Noticed { by, ids });
                    let (item, bytes) =
                        (Item { topic: Topic::Notice, id }, u64::try_from(bytes.len()).unwrap_or(0));
                    self.handle(truth, Event::Hold { item, bytes, scope: Scope::Everyone, place: None });
                }
                Write::Cut { whole, pieces } => self.cut_durably(truth, whole, pieces),
                Write::Shown { .. } => {}
            }
        }
        if truth.witness && truth.now_ms >= self.routing.0 + SAVE_MS {
            let snapshot = self.engine.as_ref().map(Engine::routing_snapshot).unwrap_or_default();
            self.routing = (truth.now_ms, snapshot);
        }
    }

    fn delivered_durably(&mut self, truth: &mut Truth, id: Digest, name: [u8; 32], piece: Option<Piece>) {
        if self.past.insert(id) {
            self.past_order.push(id);
        }
        if self.delivered.contains(&name) {
            return;
        }
        let mut ids = vec![id];
        if let Some(piece) = piece {
            let pieces = self.pieces.entry(name).or_default();
            let len = pieces.spans.entry(piece.offset).or_default();
            *len = (*len).max(piece.len);
            pieces.ids.push(id);
            if !pieces.is_whole(piece.total) {
                return;
            }
            ids = self.pieces.remove(&name).unwrap_or_default().ids;
        }
        self.delivered.insert(name);
        truth.deliver(self.index, &name);
        if piece.is_some() {
            // Those who carry the whole are told as well.
            ids.extend(truth.names.get(&name).and_then(|message| *truth.ids.get(*message)?));
        }
        for ids in ids.chunks(NOTICE_IDS_MAX) {
            if let Ok(bytes) = DeliveryNotice::sign(&self.identity, &name, ids) {
                let (id, by) = (Digest::of(&bytes), self.me);
                self.disk.write(Write::Notice { ticket: None, id, bytes, ids: ids.to_vec(), by });
            }
        }
    }

    fn hold_notice(&mut self, truth: &mut Truth, id: Digest, bytes: &[u8]) {
        if let Some((by, ids)) = truth.notice(&id, bytes) {
            self.handle(truth, Event::Noticed { by, ids });
            let (item, bytes) = (Item { topic: Topic::Notice, id }, u64::try_from(bytes.len()).unwrap_or(0));
            self.handle(truth, Event::Hold { item, bytes, scope: Scope::Everyone, place: None });
        }
    }

    fn cut(&mut self, truth: &mut Truth, id: Digest, piece_bytes: u64) {
        let message = truth.contents.get(&id).copied();
        let pieces = self.shelf.kept(&id).and_then(|kept| {
            let bundle = Bundle::decode(&kept.bytes.whole(), &self.limits.bundle).ok()?;
            let pieces = bundle.fragment_to_fit(usize::try_from(piece_bytes).ok()?).ok()?;
            let kept = |piece: &Bundle| {
                let (id, bytes) = (piece.content_id(), piece.encode());
                truth.tails.note(id, &bytes, piece.payload().len());
                truth.contents.extend(message.map(|message| (id, message)));
                let record = piece_record(&kept.record, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                (id, Box::new(Kept { record, bytes: truth.tails.share(&id, &bytes) }))
            };
            Some(pieces.iter().map(kept).collect::<Vec<_>>())
        });
        match pieces {
            Some(pieces) if pieces.len() > 1 && !self.disk.full => {
                self.disk.write(Write::Cut { whole: id, pieces });
            }
            _ => self.handle(truth, Event::Whole { id }),
        }
    }

    fn cut_durably(&mut self, truth: &mut Truth, whole: Digest, pieces: Vec<(Digest, Box<Kept>)>) {
        // It may have been delivered or have expired in the meantime.
        let Some(kept) = self.shelf.remove(&whole) else { return };
        self.promised.remove(&whole);
        self.handle(truth, Event::Gone { id: whole, record: kept.record });
        for (id, kept) in pieces {
            if self.has(&id) {
                continue;
            }
            let record = kept.record.clone();
            self.shelf.insert(id, *kept);
            self.handle(truth, Event::Carry { id, record });
        }
    }

    /// Writes a message as a bundle and carries it, if the disk takes it.
    pub(super) fn send(&mut self, truth: &mut Truth, message: usize, to: &NodeId) -> bool {
        let (Some(engine), Some(what)) = (&self.engine, truth.messages.get(message).copied()) else {
            return false;
        };
        if self.disk.full {
            return false;
        }
        let number = u64::try_from(message).unwrap_or(u64::MAX);
        let mut payload = vec![0; usize::try_from(what.bytes).unwrap_or(0)];
        payload.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, digit)| *byte = digit);
        let Ok(destination) = Eid::node(to, "inbox") else { return false };
        let age_ms = truth.now_ms.saturating_sub(what.at_ms);
        let draft = Draft {
            destination,
            source_service: "inbox",
            creation: CreationTimestamp { time_ms: 0, seq: number + 1 },
            lifetime_ms: what.lifetime_ms,
            hop_limit: HOPS_MAX,
            class: what.class,
            age_ms: Some(age_ms),
            may_fragment: true,
            admin_record: false,
            payload: &payload,
        };
        let Ok(bundle) = plain(&draft, &self.identity) else { return false };
        let remaining_ms = what.lifetime_ms.saturating_sub(age_ms);
        if remaining_ms == 0 {
            return true;
        }
        let (id, bytes) = (bundle.content_id(), bundle.encode());
        truth.tails.note(id, &bytes, payload.len());
        truth.names.insert(whole_name(&bundle), message);
        truth.contents.insert(id, message);
        if let Some(known) = truth.ids.get_mut(message) {
            *known = Some(id);
        }
        let record = BundleRecord {
            place: number,
            destination: Some(*to),
            source: Some(self.me),
            neighbour: None,
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            class: what.class,
            age_ms: Some(age_ms),
            remaining_ms,
            kept_since: Instant::from_ms(truth.now_ms),
            copies: engine.copy_budget(what.class),
            handed_at: None,
            may_fragment: !bundle.primary().flags.contains(BundleFlags::NO_FRAGMENT),
            fragment: false,
        };
        let kept = Kept { record, bytes: truth.tails.share(&id, &bytes) };
        self.store(truth, Write::Keep { ticket: None, id, kept: Box::new(kept) });
        true
    }

    /// The next frame for a link.
    pub(super) fn frame(&mut self, truth: &mut Truth, link: LinkId) -> Option<Vec<u8>> {
        loop {
            let transmit = self.engine.as_mut()?.poll_transmit(link, &self.shelf);
            self.act_all(truth);
            match transmit? {
                Transmit::Frame(frame) => {
                    truth.cost.control_bytes += u64::try_from(frame.len()).unwrap_or(0);
                    self.check_promises(truth, &frame);
                    return Some(frame);
                }
                Transmit::Chunk { item, total, offset, len } => {
                    let Some(bytes) = self.read(link, item, offset, len) else {
                        self.handle(truth, Event::Withdraw { link, item });
                        continue;
                    };
                    if item.topic == Topic::Bundle {
                        let last = u64::from(offset + len == total);
                        truth.cost.transmissions += last;
                        let message = truth.contents.get(&item.id).and_then(|at| truth.messages.get(*at));
                        if message.is_some_and(|message| message.class == Class::Alert) {
                            truth.cost.alert_transmissions += last;
                        }
                    } else {
                        truth.cost.control_bytes += len;
                    }
                    return Some(encode_chunk(item, total, offset, &bytes));
                }
            }
        }
    }

    /// Part of an item as it goes over a link: a bundle leaves with the age that it has by now.
    fn read(&self, link: LinkId, item: Item, offset: u64, len: u64) -> Option<Vec<u8>> {
        let bytes = if item.topic == Topic::Notice {
            self.notices.get(&item.id)?.clone()
        } else {
            let whole = self.shelf.kept(&item.id)?.bytes.whole();
            match self.engine.as_ref()?.age_to_add(link, &item.id, &self.shelf) {
                0 => whole,
                age_ms => Bundle::decode(&whole, &self.limits.bundle).ok()?.into_aged(age_ms).encode(),
            }
        };
        let (start, end) = (usize::try_from(offset).ok()?, usize::try_from(offset + len).ok()?);
        if start == 0 && end == bytes.len() { Some(bytes) } else { bytes.get(start..end).map(<[u8]>::to_vec) }
    }

    /// Whatever a node acknowledges it has (V1).
    fn check_promises(&mut self, truth: &mut Truth, frame: &[u8]) {
        use cairn_link::frame::{Decoded, Frame, PREFIX_BYTES, decode};
        if !truth.witness {
            return;
        }
        let body = frame.get(PREFIX_BYTES..).unwrap_or_default();
        let Ok(Decoded::Frame(Frame::Ack { topic: Topic::Bundle, ids })) = decode(body) else { return };
        for id in ids.iter() {
            if self.has(&id) {
                self.promised.insert(id);
            } else if !truth.is_delivered(&id) && !self.remembers_prefix(&id) {
                let node = self.index;
                truth.violate(|| format!("V1: node {node} acknowledges a bundle that it does not have"));
            }
        }
    }
}

/// The name of the bundle that this is, or is a fragment of.
fn whole_name(bundle: &Bundle) -> [u8; 32] {
    let mut id = bundle.id();
    id.fragment = None;
    id.name()
}
