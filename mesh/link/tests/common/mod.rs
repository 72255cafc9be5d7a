//! Nodes in memory, and the wire between two of them.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "shared by test files")]

use std::collections::{BTreeMap, BTreeSet};

use cairn_bundle::{Digest, Identity};
use cairn_link::frame::encode_hello;
use cairn_link::{Hello, Item, Meet, MeetEvent, MeetLimits, Mode, Topic, Transmit, encode_chunk};

pub fn hello(seed: u8) -> Hello {
    Hello {
        version: 1,
        node: Identity::from_seed(&[seed; 32]).node_id(),
        card: vec![seed; 40],
        item_bytes_max: MeetLimits::default().item_bytes_max,
        boards: vec![[seed; 16]],
        wall_time: Some(123_456_789),
    }
}

pub fn item(topic: Topic, n: u32) -> Item {
    Item::new(topic, Digest::of(&n.to_be_bytes()))
}

/// The topics in turn.
pub fn topic(n: u32) -> Topic {
    match n % 5 {
        0 => Topic::Ledger,
        1 => Topic::Bundle,
        2 => Topic::Board,
        3 => Topic::Blob,
        _ => Topic::Notice,
    }
}

/// The content of an item depends on its number and length only.
pub fn stone(n: u32, bytes: usize) -> (Item, Vec<u8>) {
    let [.., low] = n.to_be_bytes();
    (item(topic(n), n), vec![low; bytes])
}

/// A meet that has heard a peer's Hello, and has said its own.
pub fn met(mode: Mode, limits: MeetLimits) -> Meet {
    let mut meet = Meet::new(mode, hello(1), limits);
    meet.handle_bytes(&encode_hello(&hello(2))).expect("a Hello is the right beginning");
    assert!(matches!(meet.poll_event(), Some(MeetEvent::Peer(_))));
    assert!(matches!(meet.poll_transmit(), Some(Transmit::Frame(_))));
    meet
}

/// Small deterministic random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n.max(1)).expect("a usize fits into a u64");
        usize::try_from(self.roll() % n).expect("it is below a usize")
    }
}

/// What a node answers to an event, perhaps later and in another order.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Request(Item),
    Accepted(Item),
}

/// A node whose disk is a map: what is in `disk` is durable.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Node {
    pub seed: u8,
    pub disk: BTreeMap<Item, Vec<u8>>,
    /// Items that the peer acknowledged.
    pub acked: BTreeSet<Item>,
    /// Items of which a chunk was sent during the current meet.
    pub sent: Vec<Item>,
    pub received: Vec<Item>,
    pub peer: Option<Hello>,
}

impl Node {
    pub fn new(seed: u8, disk: impl IntoIterator<Item = (Item, Vec<u8>)>) -> Self {
        Self { seed, disk: disk.into_iter().collect(), ..Self::default() }
    }

    pub fn meet(&mut self, mode: Mode) -> Meet {
        self.sent.clear();
        self.received.clear();
        let mut meet = Meet::new(mode, hello(self.seed), MeetLimits::default());
        for (item, bytes) in self.disk.iter().filter(|(item, _)| !self.acked.contains(item)) {
            assert!(meet.offer(*item, len(bytes)));
        }
        meet
    }

    pub fn handle(&mut self, event: MeetEvent) -> Option<Answer> {
        match event {
            MeetEvent::Peer(hello) => self.peer = Some(hello),
            MeetEvent::Offered { item } if self.disk.contains_key(&item) => {
                return Some(Answer::Accepted(item));
            }
            MeetEvent::Offered { item } => return Some(Answer::Request(item)),
            MeetEvent::Received { item, bytes, .. } => {
                self.received.push(item);
                self.disk.insert(item, bytes);
                return Some(Answer::Accepted(item));
            }
            MeetEvent::Acked(item) => {
                self.acked.insert(item);
            }
            MeetEvent::Refused { .. }
            | MeetEvent::Bye
            | MeetEvent::Reconcile { .. }
            | MeetEvent::Room { .. }
            | MeetEvent::Routes { .. }
            | MeetEvent::Heights { .. } => {}
        }
        None
    }

    pub fn settle(&mut self, meet: &mut Meet) {
        while let Some(event) = meet.poll_event() {
            if let Some(answer) = self.handle(event) {
                apply(meet, answer);
            }
        }
    }

    pub fn read(&self, item: Item, offset: u64, len: u64) -> Option<Vec<u8>> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        self.disk.get(&item)?.get(start..end).map(<[u8]>::to_vec)
    }

    pub fn transmit(&mut self, meet: &mut Meet) -> Option<Vec<u8>> {
        match meet.poll_transmit()? {
            Transmit::Frame(frame) => Some(frame),
            Transmit::Chunk { item, total, offset, len } => {
                self.sent.push(item);
                let bytes = self.read(item, offset, len).expect("only what is on disk is offered");
                Some(encode_chunk(item, total, offset, &bytes))
            }
        }
    }
}

pub fn apply(meet: &mut Meet, answer: Answer) {
    match answer {
        Answer::Request(item) => meet.request(item),
        Answer::Accepted(item) => meet.accepted(item),
    }
}

pub fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a usize fits into a u64")
}

/// Lets two nodes talk, frame by frame in turn, until both are silent or `budget` bytes have crossed. Returns how
/// many did.
pub fn converse(a: (&mut Node, &mut Meet), b: (&mut Node, &mut Meet), budget: usize, piece: usize) -> usize {
    let mut left = budget;
    let (mut from, mut to) = (a, b);
    let mut silent = 0;
    while silent < 2 && left > 0 {
        let Some(frame) = from.0.transmit(from.1) else {
            silent += 1;
            core::mem::swap(&mut from, &mut to);
            continue;
        };
        silent = 0;
        let crossed = frame.len().min(left);
        left -= crossed;
        for bytes in frame.get(..crossed).expect("no more than the frame").chunks(piece) {
            to.1.handle_bytes(bytes).expect("both keep the protocol");
            to.0.settle(to.1);
        }
        core::mem::swap(&mut from, &mut to);
    }
    budget - left
}
