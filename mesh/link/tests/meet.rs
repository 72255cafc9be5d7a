//! Two nodes that meet: all of it, cut anywhere, and in any order of calls.

mod common;

use cairn_link::frame::Ids;
use cairn_link::frame::encode_hello;
use cairn_link::{
    CHUNK_BYTES_MAX, Frame, Hello, Item, Meet, MeetError, MeetEvent, MeetLimits, Mode, RefuseReason, Topic,
    Transmit, encode_chunk,
};
use common::{Answer, Dice, Node, apply, converse, hello, item, len, met, stone};
use proptest::prelude::*;

const UNCUT: usize = usize::MAX;

fn pair() -> (Node, Node) {
    let shared = stone(7, 9);
    let a = Node::new(1, [stone(0, 30), stone(1, 0), stone(2, 70), stone(3, 5), shared.clone()]);
    let b = Node::new(2, [stone(4, 12), stone(5, 80), shared]);
    (a, b)
}

fn meet_fully(a: &mut Node, b: &mut Node, piece: usize) -> usize {
    let (mut at_a, mut at_b) = (a.meet(Mode::Live), b.meet(Mode::Live));
    let crossed = converse((a, &mut at_a), (b, &mut at_b), UNCUT, piece);
    assert!(at_a.is_idle() && at_b.is_idle());
    crossed
}

#[test]
fn after_a_meet_both_hold_everything_and_know_it() {
    let (mut a, mut b) = pair();
    meet_fully(&mut a, &mut b, UNCUT);
    assert_eq!(a.disk.len(), 7);
    assert_eq!(a.disk, b.disk);
    let all = a.disk.keys().copied().collect();
    assert_eq!((a.received.len(), b.received.len()), (2, 4));
    for node in [&a, &b] {
        let known =
            node.acked.iter().chain(&node.received).copied().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(known, all);
    }
    assert_eq!(a.peer.as_ref().map(|hello| hello.node), Some(hello(2).node));
}

#[test]
fn what_both_have_crosses_for_neither() {
    let shared = (item(Topic::Bundle, 1), vec![1; 500]);
    let (mut a, mut b) = (Node::new(1, [shared.clone()]), Node::new(2, [shared.clone()]));
    meet_fully(&mut a, &mut b, UNCUT);
    assert!(a.sent.is_empty() && b.sent.is_empty());
    assert!(a.acked.contains(&shared.0) && b.acked.contains(&shared.0));
}

#[test]
fn fed_byte_by_byte_a_meet_is_the_same() {
    let (mut a, mut b) = pair();
    let (mut c, mut d) = pair();
    assert_eq!(meet_fully(&mut a, &mut b, UNCUT), meet_fully(&mut c, &mut d, 1));
    assert_eq!((a, b), (c, d));
}

fn cut_and_resume(start: &(Node, Node), cut: usize) {
    let (mut a, mut b) = start.clone();
    let (mut at_a, mut at_b) = (a.meet(Mode::Live), b.meet(Mode::Live));
    converse((&mut a, &mut at_a), (&mut b, &mut at_b), cut, UNCUT);
    for (node, peer) in [(&a, &b), (&b, &a)] {
        for acked in &node.acked {
            assert!(peer.disk.contains_key(acked), "cut at {cut}: acknowledged and not durable");
        }
    }
    let done = [a.acked.clone(), b.acked.clone()];
    meet_fully(&mut a, &mut b, UNCUT);
    assert_eq!(a.disk, b.disk, "cut at {cut}");
    for (node, done) in [(&a, &done[0]), (&b, &done[1])] {
        assert!(node.sent.iter().all(|item| !done.contains(item)), "cut at {cut}: sent again");
    }
}

#[test]
fn cut_at_every_byte_a_conversation_resumes_without_repeating_what_was_acknowledged() {
    let start = pair();
    let (mut a, mut b) = start.clone();
    let whole = meet_fully(&mut a, &mut b, UNCUT);
    for cut in 0..=whole {
        cut_and_resume(&start, cut);
    }
}

#[test]
fn a_large_item_cut_between_and_within_its_chunks_arrives_the_next_time() {
    let large = (item(Topic::Blob, 1), (0..=250).cycle().take(3 * CHUNK_BYTES_MAX + 17).collect::<Vec<u8>>());
    let start = (Node::new(1, [large, (item(Topic::Ledger, 2), vec![2; 10])]), Node::new(2, []));
    let (mut a, mut b) = start.clone();
    let whole = meet_fully(&mut a, &mut b, 4096);
    for cut in (0..whole).step_by(9_973).chain(whole - 100..whole) {
        cut_and_resume(&start, cut);
    }
}

#[test]
fn a_meet_announces_what_comes_later() {
    let (mut a, mut b) = pair();
    let (mut at_a, mut at_b) = (a.meet(Mode::Live), b.meet(Mode::Live));
    converse((&mut a, &mut at_a), (&mut b, &mut at_b), UNCUT, UNCUT);
    let late = item(Topic::Board, 99);
    a.disk.insert(late, vec![1; 10]);
    assert!(at_a.offer(late, 10));
    assert!(!at_a.is_idle());
    converse((&mut a, &mut at_a), (&mut b, &mut at_b), UNCUT, UNCUT);
    assert!(b.disk.contains_key(&late) && a.acked.contains(&late));
    assert!(at_a.is_idle() && at_b.is_idle());
}

#[test]
fn an_urgent_topic_overtakes_a_large_item_between_two_chunks() {
    let mut meet = met(Mode::Live, MeetLimits::default());
    let (blob, entry) = (item(Topic::Blob, 1), item(Topic::Ledger, 2));
    let want = |item: Item| Frame::Want { topic: item.topic, ids: Ids::new(&[item.id.0]) }.encode();
    meet.offer(blob, 1_000_000);
    meet.handle_bytes(&want(blob)).unwrap();
    let chunk = |transmit| match transmit {
        Some(Transmit::Chunk { item, offset, .. }) => (item, offset),
        other => panic!("no chunk but {other:?}"),
    };
    assert_eq!(chunk(meet.poll_transmit()), (blob, 0));
    meet.offer(entry, 10);
    meet.handle_bytes(&want(entry)).unwrap();
    assert_eq!(chunk(meet.poll_transmit()), (entry, 0));
    assert_eq!(chunk(meet.poll_transmit()), (blob, len(&[0; CHUNK_BYTES_MAX])));
}

#[test]
fn within_a_topic_items_are_announced_in_the_order_of_offering() {
    let mut meet = met(Mode::Live, MeetLimits::default());
    let order: Vec<_> = (0..50).map(|n| item(Topic::Bundle, n)).collect();
    for item in &order {
        meet.offer(*item, 1);
    }
    let ids: Vec<_> = order.iter().map(|item| item.id.0).collect();
    let have = Frame::Have { topic: Topic::Bundle, ids: Ids::new(&ids) }.encode();
    assert_eq!(meet.poll_transmit(), Some(Transmit::Frame(have)));
    assert_eq!(meet.poll_transmit(), None);
}

#[test]
fn what_cannot_be_read_is_taken_back_even_after_its_last_chunk_was_handed_out() {
    let (mut a, mut b) = (met(Mode::Live, MeetLimits::default()), met(Mode::Live, MeetLimits::default()));
    let lost = item(Topic::Blob, 1);
    a.offer(lost, 10);
    let cross = |from: &mut Meet, to: &mut Meet| match from.poll_transmit() {
        Some(Transmit::Frame(frame)) => to.handle_bytes(&frame).expect("both keep the protocol"),
        other => panic!("no frame but {other:?}"),
    };
    cross(&mut a, &mut b);
    assert_eq!(b.poll_event(), Some(MeetEvent::Offered { item: lost }));
    b.request(lost);
    cross(&mut b, &mut a);
    assert!(matches!(a.poll_transmit(), Some(Transmit::Chunk { .. })));
    a.withdraw(lost);
    cross(&mut a, &mut b);
    assert_eq!(b.poll_event(), Some(MeetEvent::Refused { item: lost, reason: RefuseReason::Gone }));
    assert!(a.is_idle() && b.is_idle());
}

#[test]
fn a_refused_item_is_settled_on_both_sides() {
    let (mut a, mut b) = pair();
    let (mut at_a, mut at_b) = (a.meet(Mode::Live), Meet::new(Mode::Live, hello(2), MeetLimits::default()));
    let mut refused = 0;
    while let Some(frame) = a.transmit(&mut at_a) {
        at_b.handle_bytes(&frame).unwrap();
    }
    while let Some(event) = at_b.poll_event() {
        if let MeetEvent::Offered { item } = event {
            at_b.refused(item, RefuseReason::NotWanted);
        }
    }
    while let Some(frame) = b.transmit(&mut at_b) {
        at_a.handle_bytes(&frame).unwrap();
    }
    while let Some(event) = at_a.poll_event() {
        refused += usize::from(matches!(event, MeetEvent::Refused { reason: RefuseReason::NotWanted, .. }));
    }
    assert_eq!(refused, a.disk.len());
    assert!(at_a.is_idle() && at_b.is_idle());
}

#[test]
fn leaving_sends_the_answers_then_bye_and_nothing_after() {
    let mut meet = met(Mode::Live, MeetLimits::default());
    meet.offer(item(Topic::Blob, 1), 10);
    meet.accepted(item(Topic::Blob, 2));
    meet.refused(item(Topic::Blob, 3), RefuseReason::Invalid);
    meet.leave();
    assert!(!meet.is_idle());
    let mut peer = met(Mode::Live, MeetLimits::default());
    peer.offer(item(Topic::Blob, 2), 10);
    let mut frames = 0;
    while let Some(Transmit::Frame(frame)) = meet.poll_transmit() {
        peer.handle_bytes(&frame).unwrap();
        frames += 1;
    }
    assert_eq!(frames, 3);
    assert_eq!(peer.poll_event(), Some(MeetEvent::Acked(item(Topic::Blob, 2))));
    assert_eq!(peer.poll_event(), Some(MeetEvent::Bye));
    assert!(meet.is_idle() && peer.is_idle());
    assert_eq!(peer.handle_bytes(&Frame::Bye.encode()), Err(MeetError::AfterBye));
}

#[test]
fn a_hello_comes_first_and_once() {
    let fresh = || Meet::new(Mode::Live, hello(1), MeetLimits::default());
    let mut early = fresh();
    assert_eq!(early.handle_bytes(&Frame::Bye.encode()), Err(MeetError::BeforeHello));
    assert_eq!(early.handle_bytes(&encode_hello(&hello(2))), Err(MeetError::BeforeHello), "it stays over");
    assert_eq!(early.poll_transmit(), None);
    let unknown = [0, 0, 0, 3, 0x81, 0x18, 99];
    assert_eq!(fresh().handle_bytes(&unknown), Err(MeetError::BeforeHello));
    let mut twice = fresh();
    assert_eq!(twice.handle_bytes(&encode_hello(&hello(2))), Ok(()));
    assert_eq!(twice.handle_bytes(&encode_hello(&hello(2))), Err(MeetError::SecondHello));
}

#[test]
fn a_peer_of_a_later_version_is_spoken_to_in_this_one() {
    let mut meet = Meet::new(Mode::Live, hello(1), MeetLimits::default());
    let later = Hello { version: 9, ..hello(2) };
    assert_eq!(meet.handle_bytes(&encode_hello(&later)), Ok(()));
    assert_eq!(meet.poll_event(), Some(MeetEvent::Peer(later)));
    meet.handle_bytes(&[0, 0, 0, 4, 0x82, 0x18, 99, 0xf5]).unwrap();
    meet.handle_bytes(&[0, 0, 0, 4, 0x83, 1, 9, 0xf5]).unwrap();
    assert_eq!(meet.poll_event(), None);
    let counters = meet.counters();
    assert_eq!((counters.unknown_frames, counters.unknown_topics, counters.frames), (1, 1, 3));
}

#[test]
fn an_own_hello_that_a_peer_would_refuse_is_cut() {
    let wrong = Hello { version: 0, card: vec![0; 2_000], boards: vec![[0; 16]; 100], ..hello(1) };
    let limits = MeetLimits { item_bytes_max: 77, ..MeetLimits::default() };
    let mut meet = Meet::new(Mode::Live, wrong, limits);
    let Some(Transmit::Frame(frame)) = meet.poll_transmit() else { panic!("no Hello") };
    let mut peer = Meet::new(Mode::Live, hello(2), limits);
    assert_eq!(peer.handle_bytes(&frame), Ok(()));
    let Some(MeetEvent::Peer(heard)) = peer.poll_event() else { panic!("no peer") };
    assert_eq!((heard.version, heard.card.len(), heard.boards.len(), heard.item_bytes_max), (1, 0, 64, 77));
}

/// One end of a conversation whose bytes and answers linger.
struct End<'a> {
    node: &'a mut Node,
    meet: Meet,
    wire: Vec<u8>,
    answers: Vec<Answer>,
}

impl<'a> End<'a> {
    fn new(node: &'a mut Node) -> Self {
        let meet = node.meet(Mode::Live);
        Self { node, meet, wire: Vec::new(), answers: Vec::new() }
    }

    /// Does one thing, if there is such a thing to do.
    fn act(&mut self, peer: &mut Self, dice: &mut Dice) -> bool {
        match dice.below(4) {
            0 => self.node.transmit(&mut self.meet).map(|frame| self.wire.extend(frame)).is_some(),
            1 => {
                let cut = dice.below(self.wire.len() + 1);
                let piece: Vec<u8> = self.wire.drain(..cut).collect();
                peer.meet.handle_bytes(&piece).expect("both keep the protocol");
                cut > 0
            }
            2 => {
                let event = self.meet.poll_event();
                let any = event.is_some();
                self.answers.extend(event.and_then(|event| self.node.handle(event)));
                any
            }
            _ if self.answers.is_empty() => false,
            _ => {
                let answer = self.answers.swap_remove(dice.below(self.answers.len()));
                apply(&mut self.meet, answer);
                true
            }
        }
    }
}

/// Both nodes answer late and in any order, and the wire cuts frames anywhere.
fn meet_in_disorder(a: &mut Node, b: &mut Node, dice: &mut Dice) {
    let (mut a, mut b) = (End::new(a), End::new(b));
    let mut quiet = 0;
    while quiet < 300 {
        let acted = if dice.below(2) == 0 { a.act(&mut b, dice) } else { b.act(&mut a, dice) };
        quiet = if acted { 0 } else { quiet + 1 };
    }
    assert!(a.meet.is_idle() && b.meet.is_idle(), "{:?}\n{:?}", a.meet, b.meet);
}

fn stones() -> impl Strategy<Value = Vec<(Item, Vec<u8>)>> {
    let size = prop_oneof![9 => 0..300_usize, 1 => 60_000..140_000_usize];
    let stone = (0..160_u32, size).prop_map(|(n, size)| stone(n, size));
    proptest::collection::vec(stone, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_two_nodes_are_equal_after_a_meet(mine in stones(), theirs in stones(), seed: u64) {
        let (mut a, mut b) = (Node::new(1, mine), Node::new(2, []));
        for (item, bytes) in theirs {
            // One id names one content.
            let bytes = a.disk.get(&item).cloned().unwrap_or(bytes);
            b.disk.insert(item, bytes);
        }
        meet_in_disorder(&mut a, &mut b, &mut Dice(seed));
        prop_assert_eq!(&a.disk, &b.disk);
        let sent: std::collections::BTreeSet<_> = a.sent.iter().collect();
        prop_assert!(sent.iter().all(|item| a.acked.contains(item)));
    }
}

#[test]
fn an_item_obtained_elsewhere_while_it_arrives_is_acknowledged_and_the_rest_ignored() {
    let mut meet = met(Mode::Live, MeetLimits::default());
    let blob = item(Topic::Blob, 1);
    let have = Frame::Have { topic: blob.topic, ids: Ids::new(&[blob.id.0]) }.encode();
    meet.handle_bytes(&have).unwrap();
    assert_eq!(meet.poll_event(), Some(MeetEvent::Offered { item: blob }));
    meet.request(blob);
    assert!(matches!(meet.poll_transmit(), Some(Transmit::Frame(_))));
    meet.handle_bytes(&encode_chunk(blob, 100, 0, &[1; 50])).unwrap();
    assert!(meet.offer(blob, 100));
    assert_eq!(meet.poll_event(), Some(MeetEvent::Acked(blob)));
    meet.handle_bytes(&encode_chunk(blob, 100, 50, &[1; 50])).unwrap();
    assert_eq!(meet.poll_event(), None);
    let ack = Frame::Ack { topic: blob.topic, ids: Ids::new(&[blob.id.0]) }.encode();
    assert_eq!(meet.poll_transmit(), Some(Transmit::Frame(ack)));
    assert!(meet.is_idle());
    assert_eq!(meet.counters().chunks_ignored, 1);
}
