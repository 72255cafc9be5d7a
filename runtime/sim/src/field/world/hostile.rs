//! Nodes that lie: they speak the meet protocol without an engine, and without keeping to what it is for.

use std::collections::{BTreeMap, VecDeque};

use cairn_bundle::{
    BlockKind, Bundle, Class, CreationTimestamp, Digest, Draft, Eid, Identity, Limits, NodeId, plain,
};
use cairn_engine::LinkId;
use cairn_link::reconcile::{MemorySet, ReconcileLimits, Reconciler};
use cairn_link::{Hello, Item, Meet, MeetEvent, MeetLimits, Mode, RouteClaim, Topic, Transmit, encode_chunk};

use super::truth::Truth;
use crate::field::faults::Hostile;

/// Bundles that a flooder or fragmenter offers when a link comes up, and again when all were answered.
const FLOOD: usize = 50;
/// How long it pauses in between, in milliseconds; twice as long each time that nothing of it was taken.
const PAUSE_MS: u64 = 10_000;
/// Longest such pause: what a flood costs those who are full of it is seen without more of the same.
const PAUSE_MS_MAX: u64 = 600_000;
/// Bundles that a replayer keeps; and bytes of what it has of its own to send.
const HOARD_MAX: usize = 500;
/// Payload of what floods.
const FLOOD_BYTES: usize = 2_000;
/// Bytes of the bundle of which a fragmenter sends one piece.
const NEVER_WHOLE_BYTES: usize = 1_000;

/// One link of a liar.
#[derive(Debug)]
struct Talk {
    meet: Meet,
    reconcilers: BTreeMap<Topic, Reconciler>,
    unanswered: usize,
    /// When it offered something last, in milliseconds; how long it pauses then, and whether anything was taken since.
    pressed_ms: u64,
    pause_ms: u64,
    taken: bool,
}

/// A hostile node.
#[derive(Debug)]
pub(super) struct Liar {
    kind: Hostile,
    me: NodeId,
    /// Names under which it writes.
    names: Vec<Identity>,
    /// Everybody that it could write to.
    everybody: Vec<NodeId>,
    talks: BTreeMap<LinkId, Talk>,
    hoard: BTreeMap<Digest, Vec<u8>>,
    order: VecDeque<Digest>,
    made: u64,
}

impl Liar {
    pub(super) fn new(kind: Hostile, seed: &[u8; 32], everybody: Vec<NodeId>) -> Self {
        let me = Identity::from_seed(seed).node_id();
        let name = |n: u8| {
            let mut seed = *seed;
            seed.iter_mut().for_each(|byte| *byte ^= n);
            Identity::from_seed(&seed)
        };
        Self {
            kind,
            me,
            names: (1..9).map(name).collect(),
            everybody,
            talks: BTreeMap::new(),
            hoard: BTreeMap::new(),
            order: VecDeque::new(),
            made: 0,
        }
    }

    pub(super) fn link_up(&mut self, truth: &mut Truth, link: LinkId) {
        let hello = Hello {
            version: 1,
            node: self.me,
            card: Vec::new(),
            item_bytes_max: 0,
            boards: Vec::new(),
            wall_time: None,
        };
        let meet = Meet::new(Mode::Live, hello, MeetLimits::default());
        self.talks.insert(
            link,
            Talk {
                meet,
                reconcilers: BTreeMap::new(),
                unanswered: 0,
                pressed_ms: truth.now_ms,
                pause_ms: PAUSE_MS,
                taken: false,
            },
        );
        if self.kind == Hostile::BlackHole {
            let claim =
                |node: &NodeId| Some(RouteClaim { node: *node.as_bytes().first_chunk()?, delay_s: 1 });
            let mut claims: Vec<RouteClaim> = self.everybody.iter().filter_map(claim).collect();
            claims.sort_unstable();
            // As many as fit, not always the same ones.
            let skip = truth.dice.index(claims.len());
            claims.rotate_left(skip);
            claims.truncate(400);
            claims.sort_unstable();
            if let Some(talk) = self.talks.get_mut(&link) {
                talk.meet.say_routes(&claims);
            }
        }
        self.press(truth, link);
    }

    pub(super) fn link_down(&mut self, link: LinkId) {
        self.talks.remove(&link);
    }

    /// Offers what it wants to be rid of.
    fn press(&mut self, truth: &mut Truth, link: LinkId) {
        let ids: Vec<Digest> = match self.kind {
            Hostile::Flooder => (0..FLOOD).filter_map(|_| self.make(truth, false)).collect(),
            Hostile::Fragmenter => (0..FLOOD).filter_map(|_| self.make(truth, true)).collect(),
            Hostile::Replayer => self.hoard.keys().copied().collect(),
            Hostile::HasEverything | Hostile::HasNothing | Hostile::BlackHole | Hostile::Silent => Vec::new(),
        };
        let Some(talk) = self.talks.get_mut(&link) else { return };
        for id in ids {
            let bytes = self.hoard.get(&id).map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(0));
            let item = Item { topic: Topic::Bundle, id };
            if talk.meet.offer_ranked(item, bytes, 0, u8::MAX) {
                talk.unanswered += 1;
            }
        }
    }

    /// A new bundle, or a fragment of one that nobody will ever see whole.
    fn make(&mut self, truth: &mut Truth, fragment: bool) -> Option<Digest> {
        self.made += 1;
        let author = self.names.get(truth.dice.index(self.names.len()))?;
        let to = self.everybody.get(truth.dice.index(self.everybody.len()))?;
        let payload = vec![0; if fragment { NEVER_WHOLE_BYTES } else { FLOOD_BYTES }];
        let draft = Draft {
            destination: Eid::node(to, "inbox").ok()?,
            source_service: "inbox",
            creation: CreationTimestamp { time_ms: 0, seq: truth.dice.roll() >> 1 },
            lifetime_ms: 7 * 86_400_000,
            hop_limit: 200,
            class: Class::Alert,
            age_ms: Some(0),
            may_fragment: true,
            admin_record: false,
            payload: &payload,
        };
        let whole = plain(&draft, author).ok()?;
        let bundle =
            if fragment { whole.fragment(NEVER_WHOLE_BYTES / 2).ok()?.into_iter().next()? } else { whole };
        let id = bundle.content_id();
        self.hoard(id, bundle.encode());
        Some(id)
    }

    fn hoard(&mut self, id: Digest, bytes: Vec<u8>) {
        if self.hoard.insert(id, bytes).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > HOARD_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.hoard.remove(&oldest);
        }
    }

    /// Hears bytes; says whether the talk goes on.
    pub(super) fn hear(&mut self, truth: &mut Truth, link: LinkId, bytes: &[u8]) -> bool {
        let Some(talk) = self.talks.get_mut(&link) else { return false };
        let heard = bytes.chunks(65_536).try_for_each(|piece| talk.meet.handle_bytes(piece));
        while let Some(event) = self.talks.get_mut(&link).and_then(|talk| talk.meet.poll_event()) {
            self.answer(link, event);
        }
        let floods = matches!(self.kind, Hostile::Flooder | Hostile::Fragmenter);
        if let Some(talk) = self.talks.get_mut(&link).filter(|talk| floods && talk.unanswered == 0)
            && truth.now_ms >= talk.pressed_ms + talk.pause_ms
        {
            talk.pressed_ms = truth.now_ms;
            talk.pause_ms = if talk.taken { PAUSE_MS } else { (talk.pause_ms * 2).min(PAUSE_MS_MAX) };
            talk.taken = false;
            self.press(truth, link);
        }
        heard.is_ok()
    }

    fn answer(&mut self, link: LinkId, event: MeetEvent) {
        let Some(talk) = self.talks.get_mut(&link) else { return };
        match event {
            MeetEvent::Offered { item } if self.kind == Hostile::HasEverything => talk.meet.accepted(item),
            MeetEvent::Offered { item } => talk.meet.request(item),
            MeetEvent::Received { item, bytes, .. } => {
                if self.kind != Hostile::Silent {
                    talk.meet.accepted(item);
                }
                if self.kind == Hostile::Replayer && item.topic == Topic::Bundle {
                    self.hoard(item.id, rejuvenated(&bytes));
                }
            }
            MeetEvent::Acked(_) | MeetEvent::Refused { .. } => {
                talk.taken |= matches!(event, MeetEvent::Acked(_));
                talk.unanswered = talk.unanswered.saturating_sub(1);
            }
            MeetEvent::Reconcile { topic, message } => {
                if self.kind == Hostile::HasEverything {
                    // Whatever the peer has, this one claims to have the same.
                    talk.meet.say_reconcile(topic, message);
                    return;
                }
                let reconciler = talk.reconcilers.entry(topic).or_insert_with(fresh);
                if Reconciler::is_start(&message) {
                    *reconciler = fresh();
                }
                let step = reconciler.handle(&MemorySet::default(), &message);
                if let Some(reply) = step.ok().and_then(|step| step.reply) {
                    talk.meet.say_reconcile(topic, reply);
                }
            }
            MeetEvent::Peer(_)
            | MeetEvent::Room { .. }
            | MeetEvent::Routes { .. }
            | MeetEvent::Heights { .. }
            | MeetEvent::Bye => {}
        }
    }

    /// The next frame for a link.
    pub(super) fn frame(&mut self, link: LinkId) -> Option<Vec<u8>> {
        let talk = self.talks.get_mut(&link)?;
        loop {
            match talk.meet.poll_transmit()? {
                Transmit::Frame(frame) => return Some(frame),
                Transmit::Chunk { item, total, offset, len } => {
                    let range = usize::try_from(offset).ok()?..usize::try_from(offset + len).ok()?;
                    match self.hoard.get(&item.id).and_then(|bytes| bytes.get(range)) {
                        Some(bytes) => return Some(encode_chunk(item, total, offset, bytes)),
                        None => talk.meet.withdraw(item),
                    }
                }
            }
        }
    }
}

fn fresh() -> Reconciler {
    Reconciler::respond(ReconcileLimits::default())
}

/// A bundle as if it were new: its age is not part of what makes it what it is.
fn rejuvenated(bytes: &[u8]) -> Vec<u8> {
    let Ok(bundle) = Bundle::decode(bytes, &Limits::default()) else { return bytes.to_vec() };
    let mut blocks = bundle.blocks().to_vec();
    for block in blocks.iter_mut().filter(|block| block.kind == BlockKind::Age) {
        // Zero in CBOR.
        block.data = vec![0];
    }
    Bundle::new(bundle.primary().clone(), blocks).map_or_else(|_| bytes.to_vec(), |bundle| bundle.encode())
}
