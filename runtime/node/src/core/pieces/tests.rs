//! A bundle is cut here while a peer brings a piece of the same cut.

use std::collections::{BTreeSet, VecDeque};

use cairn_bundle::card::{Card, SignedCard};
use cairn_bundle::notice::DeliveryNotice;
use cairn_bundle::{Class, CreationTimestamp, Draft, Eid, Identity, Prekeys, plain, seal, verify_source};
use cairn_engine::quota::Amount;
use cairn_engine::{Instant, Limits};
use cairn_store::{Batch, MemoryDisk, Op};
use cairn_task::NodeLimits;

use super::super::contacts::Contact;
use super::super::rng::SeedRng;
use super::super::wire::Message;
use super::super::{Clock, CommitId, Core, Input, Output, Secrets, Settings};
use super::*;

const PIECE_BYTES: u64 = 8_000;
const CLOCK: Clock = Clock { now: Instant::ZERO, wall: None };

/// A node whose disk makes a batch durable when the test says so.
struct Node {
    core: Core,
    disk: MemoryDisk,
    waiting: VecDeque<(CommitId, Batch)>,
}

impl Node {
    /// A node that carries these bundles.
    fn new(seed: u8, carried: &[&Bundle]) -> Self {
        Self::with(seed, carried, Limits::default())
    }

    fn with(seed: u8, carried: &[&Bundle], engine: Limits) -> Self {
        let mut disk = MemoryDisk::default();
        for (place, bundle) in (0_u64..).zip(carried) {
            let bytes = bundle.encode();
            let record = BundleRecord {
                place,
                destination: bundle.destination().node_id(),
                source: bundle.source().node_id(),
                neighbour: bundle.source().node_id(),
                bytes: u64::try_from(bytes.len()).unwrap(),
                class: bundle.class(),
                age_ms: bundle.age_ms(),
                remaining_ms: 1_000_000_000,
                kept_since: Instant::ZERO,
                copies: 8,
                handed_at: None,
                may_fragment: true,
                fragment: bundle.primary().fragment.is_some(),
            };
            disk.commit(vec![
                Op::put(Table::Index, *bundle.content_id().as_bytes(), record.encode()),
                Op::put(Table::Bundles, place.to_be_bytes(), bytes),
            ]);
        }
        disk.sync();
        let settings = Settings {
            name: "node".to_owned(),
            tasks_enabled: false,
            tasks_concurrent: 1,
            task_limits: NodeLimits::default(),
            engine,
            own_cap: u64::MAX,
        };
        let secrets = Secrets { identity: Identity::from_seed(&[seed; 32]), prekeys: Prekeys::default() };
        let core = Core::restore(secrets, settings, &[seed; 32], CLOCK, &disk).unwrap();
        let mut node = Self { core, disk, waiting: VecDeque::new() };
        node.collect();
        node.settle();
        node
    }

    fn collect(&mut self) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Commit { commit, batch, .. } => self.waiting.push_back((commit, batch)),
                Output::KeepPrekeys { .. } => self.input(Input::PrekeysKept { durable: true }),
                Output::Check { ticket, bundle } => {
                    self.input(Input::Checked { ticket, outcome: verify_source(&bundle).map(|_| ()) });
                }
                _ => {}
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.core.handle(CLOCK, input, &self.disk);
        self.collect();
    }

    /// The batch that waits at this place becomes durable.
    fn durable(&mut self, place: usize) {
        let (commit, batch) = self.waiting.remove(place).unwrap();
        self.disk.commit(batch);
        self.disk.sync();
        self.input(Input::Committed { commit, durable: true });
    }

    fn settle(&mut self) {
        while !self.waiting.is_empty() {
            self.durable(0);
        }
    }

    /// What the engine asks for where a contact is too short.
    fn cut(&mut self, id: Digest) {
        self.core.act(cairn_engine::Action::Fragment { id, piece_bytes: PIECE_BYTES });
        self.core.after_input(&self.disk);
        self.collect();
    }

    fn rows(&self, table: Table) -> BTreeSet<Vec<u8>> {
        let mut rows = BTreeSet::new();
        self.disk.for_each_key(table, &mut |key, _| rows.extend([key.to_vec()])).unwrap();
        rows
    }

    /// The pieces are here, each once, in the index, in their rows and in the books.
    fn assert_in_pieces(&mut self, pieces: &[Bundle]) {
        self.settle();
        let ids: BTreeSet<Vec<u8>> =
            pieces.iter().map(|piece| piece.content_id().as_bytes().to_vec()).collect();
        assert_eq!(self.rows(Table::Index), ids);
        assert_eq!(self.rows(Table::Bundles).len(), pieces.len(), "no row that nobody knows of");
        let mut bytes = 0;
        for id in &ids {
            let row = self.disk.get(Table::Index, id).unwrap().unwrap();
            let record = BundleRecord::decode(&row).unwrap();
            let stored = self.disk.get(Table::Bundles, &record.place.to_be_bytes()).unwrap().unwrap();
            let bundle = Bundle::decode(&stored, &cairn_bundle::Limits::default()).unwrap();
            assert_eq!(bundle.content_id().as_bytes().as_slice(), id.as_slice());
            bytes += record.bytes;
        }
        let count = u64::try_from(pieces.len()).unwrap();
        assert_eq!(self.core.engine.bundles_carried(), count);
        assert_eq!((self.core.engine.used().bundles, self.core.engine.used().bytes), (count, bytes));
    }
}

/// Moves frames until both are silent.
fn talk(a: &mut Node, b: &mut Node, link: u64) {
    loop {
        let (there, back) = (a.core.poll_transmit(link, &a.disk), b.core.poll_transmit(link, &b.disk));
        a.collect();
        b.collect();
        if there.is_none() && back.is_none() {
            return;
        }
        there.into_iter().for_each(|bytes| b.input(Input::Bytes { link, bytes }));
        back.into_iter().for_each(|bytes| a.input(Input::Bytes { link, bytes }));
    }
}

fn meet(a: &mut Node, b: &mut Node, link: u64) {
    let (of_a, of_b) = (a.core.node_id(), b.core.node_id());
    a.input(Input::LinkUp { link, peer: of_b });
    b.input(Input::LinkUp { link, peer: of_a });
    talk(a, b, link);
}

fn whole() -> (Bundle, Vec<Bundle>) {
    let far = Identity::from_seed(&[99; 32]).node_id();
    let draft = Draft {
        destination: Eid::node(&far, "inbox").unwrap(),
        source_service: "inbox",
        creation: CreationTimestamp { time_ms: 0, seq: 1 },
        lifetime_ms: 1_000_000_000,
        hop_limit: 8,
        class: Class::Normal,
        age_ms: Some(0),
        may_fragment: true,
        admin_record: false,
        payload: &[7; 30_000],
    };
    let whole = plain(&draft, &Identity::from_seed(&[7; 32])).unwrap();
    let pieces = whole.fragment_to_fit(usize::try_from(PIECE_BYTES).unwrap()).unwrap();
    assert!(pieces.len() > 2);
    (whole, pieces)
}

#[test]
fn a_piece_that_a_peer_brings_while_the_same_is_cut_here_is_not_counted_twice() {
    let (whole, pieces) = whole();
    let (mut here, mut peer) = (Node::new(1, &[&whole]), Node::new(2, &[&pieces[1]]));
    here.cut(whole.content_id());
    assert_eq!(here.waiting.len(), 1);
    meet(&mut here, &mut peer, 1);
    assert_eq!(here.waiting.len(), 1, "what is on its way to the disk already is not taken");
    assert_eq!(peer.core.engine.counters()["refused by a peer: it is full"], 1);
    here.assert_in_pieces(&pieces);
}

#[test]
fn a_cut_waits_for_a_piece_that_is_on_its_way_to_the_disk() {
    let (whole, pieces) = whole();
    for durable in [true, false] {
        let (mut here, mut peer) = (Node::new(1, &[&whole]), Node::new(2, &[&pieces[1]]));
        meet(&mut here, &mut peer, 1);
        let is_piece = |(_, batch): &(CommitId, Batch)| batch.iter().any(|op| op.table() == Table::Index);
        let piece = here.waiting.iter().position(is_piece).unwrap();
        let (commit, batch) = here.waiting.remove(piece).unwrap();
        here.cut(whole.content_id());
        here.settle();
        assert!(here.rows(Table::Index).contains(whole.content_id().as_bytes().as_slice()), "not cut yet");
        if durable {
            here.disk.commit(batch);
            here.disk.sync();
        }
        here.input(Input::Committed { commit, durable });
        here.assert_in_pieces(&pieces);
    }
}

#[test]
fn a_piece_that_is_carried_already_stays_and_the_others_are_cut() {
    let (whole, pieces) = whole();
    let mut here = Node::new(1, &[&pieces[0], &whole, &pieces[2]]);
    here.cut(whole.content_id());
    here.assert_in_pieces(&pieces);
}

#[test]
fn what_fits_as_it_is_stays_whole() {
    let (_, pieces) = whole();
    let mut here = Node::new(1, &[&pieces[1]]);
    here.cut(pieces[1].content_id());
    here.assert_in_pieces(&pieces[1..2]);
}

/// The node that the pieces of [`whole`] are for.
const THERE: u8 = 99;

fn is_piece((_, batch): &(CommitId, Batch)) -> bool {
    batch.iter().any(|op| op.table() == Table::Index)
}

fn settle_both(a: &mut Node, b: &mut Node, link: u64) {
    for _ in 0..4 {
        a.settle();
        b.settle();
        talk(a, b, link);
    }
}

fn addressed(seed: u8, to: u8, seq: u64, lifetime_ms: u64, payload: &[u8]) -> Bundle {
    let draft = Draft {
        destination: Eid::node(&Identity::from_seed(&[to; 32]).node_id(), "inbox").unwrap(),
        source_service: "inbox",
        creation: CreationTimestamp { time_ms: 0, seq },
        lifetime_ms,
        hop_limit: 8,
        class: Class::Normal,
        age_ms: Some(0),
        may_fragment: true,
        admin_record: false,
        payload,
    };
    plain(&draft, &Identity::from_seed(&[seed; 32])).unwrap()
}

#[test]
fn a_piece_for_this_node_that_the_disk_refused_comes_again() {
    let (_, pieces) = whole();
    let (mut here, mut peer) = (Node::new(THERE, &[]), Node::new(2, &[&pieces[1]]));
    meet(&mut here, &mut peer, 1);
    let at = here.waiting.iter().position(is_piece).unwrap();
    let (commit, _) = here.waiting.remove(at).unwrap();
    here.input(Input::Committed { commit, durable: false });
    settle_both(&mut here, &mut peer, 1);
    here.input(Input::LinkDown { link: 1 });
    peer.input(Input::LinkDown { link: 1 });
    assert_eq!(peer.core.engine.bundles_carried(), 1, "it was refused");
    assert_eq!(here.core.pieces.reassembly.stored_bytes(), 0);
    meet(&mut here, &mut peer, 2);
    assert!(here.waiting.iter().any(is_piece), "it is written before it is acknowledged");
    settle_both(&mut here, &mut peer, 2);
    assert_eq!((here.rows(Table::Index).len(), peer.core.engine.bundles_carried()), (1, 0));
}

fn card_of(who: &Identity) -> SignedCard {
    let card = Card {
        node: who.node_id(),
        name: "author".to_owned(),
        sealing_key: who.sealing_key(),
        prekeys: Vec::new(),
        addresses: Vec::new(),
        services: Vec::new(),
        counter: 1,
    };
    card.sign(who).unwrap()
}

fn named_in_notices(node: &Node) -> BTreeSet<Digest> {
    let notices = node.rows(Table::Notices).into_iter();
    let bytes = notices.map(|key| node.disk.get(Table::Notices, &key).unwrap().unwrap());
    bytes.flat_map(|bytes| DeliveryNotice::decode_verified(&bytes).unwrap().ids).collect()
}

#[test]
fn the_notice_of_what_came_in_pieces_names_the_whole_too() {
    let identity = Identity::from_seed(&[THERE; 32]);
    let payload = Message { written: 0, text: "x".repeat(20_000), file: None }.encode();
    let plain = addressed(7, THERE, 1, 1_000_000_000, &payload);
    let draft = Draft {
        destination: plain.destination().clone(),
        source_service: "inbox",
        creation: CreationTimestamp { time_ms: 0, seq: 1 },
        lifetime_ms: 1_000_000_000,
        hop_limit: 8,
        class: Class::Normal,
        age_ms: Some(0),
        may_fragment: true,
        admin_record: false,
        payload: &payload,
    };
    let author = Identity::from_seed(&[7; 32]);
    let sealed = seal(&draft, &author, &identity.sealing_key(), &mut SeedRng::new(&[1; 32])).unwrap();
    let pieces = sealed.fragment_to_fit(usize::try_from(PIECE_BYTES).unwrap()).unwrap();
    let (mut here, mut relay) = (Node::new(THERE, &[]), Node::new(2, &pieces.iter().collect::<Vec<_>>()));
    here.core.contacts.insert(Contact {
        card: card_of(&author),
        peer: false,
        addresses: Vec::new(),
        dated: true,
        heard: None,
    });
    meet(&mut here, &mut relay, 1);
    settle_both(&mut here, &mut relay, 1);
    assert_eq!(here.rows(Table::Inbox).len(), 1);
    let named = named_in_notices(&here);
    assert!(named.contains(&sealed.content_id()), "its author carries it uncut");
    assert!(pieces.iter().all(|piece| named.contains(&piece.content_id())));
    let item = cairn_link::Item { topic: cairn_link::Topic::Bundle, id: sealed.content_id() };
    assert!(here.core.engine.has(&item, &here.core.unwritten.over(DiskIndex(&here.disk))));

    // Somebody else has cut it in another way; but a liar can make up as many such pieces as it likes.
    let others = sealed.fragment_to_fit(2_000).unwrap();
    let mut relay = Node::new(3, &others.iter().collect::<Vec<_>>());
    meet(&mut here, &mut relay, 2);
    settle_both(&mut here, &mut relay, 2);
    assert_eq!(relay.core.engine.bundles_carried(), 0);
    let named = named_in_notices(&here);
    assert!(others.iter().all(|piece| named.contains(&piece.content_id())));
    for n in 0..1_000_u32 {
        let id = Digest::of(&n.to_be_bytes());
        here.core.deliver_piece(1_000_000 + u64::from(n), author.node_id(), id, &others[0]);
    }
    here.core.after_input(&here.disk);
    here.collect();
    here.settle();
    assert_eq!(named_in_notices(&here).len(), 1 + pieces.len() + 256);
}

#[test]
fn a_piece_that_arrived_does_not_give_way_to_mail_of_others() {
    let (_, pieces) = whole();
    let mut limits = Limits::default();
    limits.quota.total = Amount { bytes: 1 << 30, bundles: 3 };
    limits.quota.reserve = Amount { bytes: 0, bundles: 0 };
    let mut here = Node::with(THERE, &[], limits);
    let mut peer = Node::new(2, &[&pieces[1]]);
    meet(&mut here, &mut peer, 1);
    settle_both(&mut here, &mut peer, 1);
    assert_eq!(peer.core.engine.bundles_carried(), 0);
    let mail: Vec<Bundle> = (0..6).map(|seq| addressed(7, 90, seq, 1_000_000_000, &[7; 7_000])).collect();
    let mut other = Node::new(3, &mail.iter().collect::<Vec<_>>());
    meet(&mut here, &mut other, 2);
    settle_both(&mut here, &mut other, 2);
    assert!(here.core.engine.bundles_carried() > 1, "there is mail of others");
    assert!(here.rows(Table::Index).contains(pieces[1].content_id().as_bytes().as_slice()));
}

#[test]
fn pieces_that_waited_too_long_make_room_for_others() {
    let (_, pieces) = whole();
    let mut here = Node::new(THERE, &[]);
    let piece = |liar: u8, seq: u64| {
        addressed(liar, THERE, seq, 60_000, &[7; 2_000]).fragment_to_fit(1_200).unwrap().remove(0)
    };
    let mut ticket = 1_000_000;
    for liar in 50_u8..58 {
        let from = Identity::from_seed(&[liar; 32]).node_id();
        for seq in 0..600 {
            let junk = piece(liar, seq);
            ticket += 1;
            here.core.deliver_piece(ticket, from, junk.content_id(), &junk);
        }
        here.core.after_input(&here.disk);
        here.collect();
        here.settle();
    }
    assert_eq!(here.core.counters["fragments refused"], 8 * 88, "each neighbour has its share");
    assert_eq!(here.rows(Table::Index).len(), WHOLES_MAX);
    let honest = Identity::from_seed(&[2; 32]).node_id();
    here.core.deliver_piece(1, honest, pieces[1].content_id(), &pieces[1]);
    assert_eq!(here.core.counters["fragments refused"], 8 * 88 + 1, "all together are too many");
    let later = Clock { now: Instant::from_ms(EXPIRE_EVERY_MS * 2), wall: None };
    for _ in 0..20 {
        here.core.handle(later, Input::Tick, &here.disk);
        here.collect();
        while let Some((commit, batch)) = here.waiting.pop_front() {
            here.disk.commit(batch);
            here.disk.sync();
            here.core.handle(later, Input::Committed { commit, durable: true }, &here.disk);
            here.collect();
        }
    }
    assert_eq!((here.rows(Table::Index).len(), here.core.pieces.reassembly.stored_bytes()), (0, 0));
    here.core.deliver_piece(2, honest, pieces[1].content_id(), &pieces[1]);
    here.core.after_input(&here.disk);
    here.collect();
    here.settle();
    assert_eq!(here.core.counters["fragments refused"], 8 * 88 + 1);
    assert_eq!(here.rows(Table::Index).len(), 1);
}
