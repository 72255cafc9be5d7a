//! Sequences of authors are compared by their heights first, and by ranges behind that.

use std::collections::BTreeSet;

use cairn_bundle::Digest;
use cairn_engine::{Event, Instant, Scope};
use cairn_link::frame::{Decoded, Frame, decode};
use cairn_link::{Meet, MeetLimits, Mode, RefuseReason, Topic, Transmit};
use proptest::prelude::*;

use crate::host::{Host, connect, disconnect, meet, place_of, talk};

/// What an author writes as its change of some number: as long as a small change of a board.
fn text(author: u32, number: u64, twin: char) -> Vec<u8> {
    format!("@{author} {number} {twin:>300}").into_bytes()
}

fn write(host: &mut Host, text: &[u8], numbered: bool) {
    let place = place_of(text).filter(|_| numbered);
    host.hold_at(Topic::Board, text, Scope::Group(1), place);
}

/// What a meet cost, the items themselves left out.
#[derive(Debug, Default)]
struct Cost {
    bytes: usize,
    frames: usize,
    /// How often one end spoke after the other, until the last item had left.
    turns: usize,
    heights: usize,
}

/// Lets two meet until both are silent.
fn cost(a: &mut Host, b: &mut Host, link: u64) -> Cost {
    connect(a, b, link, &[1]);
    let (mut cost, mut turns, mut silent) = (Cost::default(), 0, 0);
    for a_speaks in [true, false].into_iter().cycle() {
        let (from, to) = if a_speaks { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
        let frames: Vec<_> = core::iter::from_fn(|| from.frame(link)).collect();
        silent = if frames.is_empty() { silent + 1 } else { 0 };
        if silent == 2 {
            break;
        }
        turns += 1;
        for (frame, item) in frames {
            if item.is_some() {
                cost.turns = turns;
            } else {
                cost.frames += 1;
                cost.bytes += frame.len();
                cost.heights += heights_in(&frame).len();
            }
            to.handle(Event::Bytes { link, bytes: frame });
        }
    }
    assert!(a.engine.is_idle(link) && b.engine.is_idle(link));
    disconnect(a, b, link);
    cost
}

fn heights_in(frame: &[u8]) -> Vec<(Digest, u64)> {
    match decode(&frame[4..]) {
        Ok(Decoded::Frame(Frame::Heights { entries, .. })) => entries.iter().collect(),
        _ => Vec::new(),
    }
}

/// Two that have some changes of some authors, of which one lacks the newest of some.
fn behind(shape: [u64; 4], numbered: bool, first_lacks: bool) -> (Host, Host) {
    let [authors, each, lacking, lacking_of] = shape;
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    for author in 0..authors {
        for number in 1..=each {
            let text = text(author as u32, number, '.');
            for (host, lacks) in [(&mut a, first_lacks), (&mut b, !first_lacks)] {
                if !lacks || author >= lacking_of || number <= each - lacking {
                    write(host, &text, numbered);
                }
            }
        }
    }
    (a, b)
}

/// The costs of one meet by ranges only, and by heights first; whichever end lacks something.
fn both_ways(shape: [u64; 4], first_lacks: bool) -> [Cost; 2] {
    [false, true].map(|numbered| {
        let (mut a, mut b) = behind(shape, numbered, first_lacks);
        let cost = cost(&mut a, &mut b, 1);
        assert_eq!(a.disk, b.disk, "{shape:?}");
        cost
    })
}

/// The table of `docs/design/link.md`: `cargo test -p cairn-engine --test engine heights -- --nocapture`.
#[test]
fn who_is_behind_gets_the_rest_in_fewer_turns_and_bytes() {
    println!("authors  changes  behind |  ranges: bytes  turns |  heights: bytes  turns");
    for shape in [
        [1, 1_000, 100, 1],
        [2, 500, 50, 2],
        [20, 50, 5, 20],
        [2, 5_000, 50, 2],
        [20, 500, 5, 20],
        [20, 500, 1, 1],
    ] {
        for first_lacks in [true, false] {
            let [ranges, heights] = both_ways(shape, first_lacks);
            let [authors, each, lacking, lacking_of] = shape;
            println!(
                "{authors:7}  {:7}  {:6} | {:14}  {:5} | {:15}  {:5}",
                authors * each,
                lacking * lacking_of,
                ranges.bytes,
                ranges.turns,
                heights.bytes,
                heights.turns
            );
            assert!(ranges.heights == 0 && heights.heights > 0);
            assert!(
                heights.turns < ranges.turns && heights.frames <= ranges.frames,
                "{ranges:?} {heights:?}"
            );
            // One entry of many authors is found by ranges with fewer bytes; the rest is not.
            assert!(heights.bytes < ranges.bytes || lacking * lacking_of == 1, "{ranges:?} {heights:?}");
        }
    }
}

#[test]
fn where_authors_have_written_little_or_both_know_the_same_no_heights_are_told() {
    for (shape, told) in [([30, 10, 1, 30], 0), ([1, 40, 5, 1], 0), ([5, 100, 0, 0], 0), ([5, 100, 1, 1], 5)]
    {
        assert_eq!(both_ways(shape, true)[1].heights, told, "{shape:?}");
    }
}

#[test]
fn an_author_is_sent_in_the_order_in_which_it_wrote() {
    let (mut a, mut b) = behind([1, 300, 200, 1], true, true);
    meet(&mut a, &mut b, 1, &[1]);
    let numbers: Vec<u64> = b.sent.iter().map(|item| place_of(&b.disk[item]).unwrap().number).collect();
    assert_eq!(numbers, (101..=300).collect::<Vec<_>>());
}

#[test]
fn both_sides_of_a_fork_and_what_stands_behind_a_gap_are_found_by_ranges() {
    for swap in [false, true] {
        let (mut a, mut b) = behind([2, 100, 0, 0], true, true);
        if swap {
            core::mem::swap(&mut a, &mut b);
        }
        write(&mut a, &text(0, 101, 'x'), true);
        write(&mut b, &text(0, 101, 'y'), true);
        write(&mut a, &text(0, 102, '.'), true);
        write(&mut b, &text(1, 105, '.'), true);
        write(&mut a, &text(7, 3, '.'), true);
        let cost = cost(&mut a, &mut b, 1);
        assert!(cost.heights > 0);
        assert_eq!((a.disk.len(), &a.disk), (205, &b.disk));
    }
}

#[test]
fn a_peer_hears_nothing_of_streams_that_it_may_not_see() {
    let (mut a, mut b) = behind([2, 100, 5, 2], true, true);
    let secret = text(9, 1, '.');
    for host in [&mut a, &mut b] {
        for number in 1..200 {
            let text = text(9, number, '.');
            host.hold_at(Topic::Board, &text, Scope::Group(2), place_of(&text));
        }
    }
    connect(&mut a, &mut b, 1, &[1]);
    let mut told = BTreeSet::new();
    loop {
        let (there, back) = (a.transmit(1), b.transmit(1));
        if there.is_none() && back.is_none() {
            break;
        }
        told.extend(there.iter().chain(&back).flat_map(|frame| heights_in(frame)).map(|(stream, _)| stream));
        there.into_iter().for_each(|bytes| b.handle(Event::Bytes { link: 1, bytes }));
        back.into_iter().for_each(|bytes| a.handle(Event::Bytes { link: 1, bytes }));
    }
    assert_eq!(told.len(), 2);
    assert!(!told.contains(&place_of(&secret).unwrap().stream));
}

#[test]
fn what_is_refused_is_not_waited_for() {
    let (mut a, mut b) = behind([1, 300, 100, 1], true, true);
    a.stores = false;
    connect(&mut a, &mut b, 1, &[1]);
    talk(&mut a, &mut b, 1);
    assert_eq!(a.waiting.len(), 100);
    assert!(!b.engine.is_idle(1));
    a.refuse_all(RefuseReason::Full);
    a.stores = true;
    talk(&mut a, &mut b, 1);
    assert!(a.engine.is_idle(1) && b.engine.is_idle(1));
    assert_eq!(a.disk, b.disk, "ranges, right after it, find what is still lacking");
}

/// A peer that says what a test wants it to say.
struct Liar {
    meet: Meet,
    /// What it was told, and what it was offered.
    heights: usize,
    offered: usize,
    begun: usize,
}

impl Liar {
    /// Links it to a host, as the member of a group.
    fn new(host: &mut Host, seed: u8) -> Self {
        let liar = Host::new(seed);
        host.up(66, liar.me, Mode::Live, &[1]);
        let meet = Meet::new(Mode::Live, liar.hello(), MeetLimits::default());
        Self { meet, heights: 0, offered: 0, begun: 0 }
    }

    /// Hands over what it has to say, and reads what it is told.
    fn talk(&mut self, host: &mut Host) {
        loop {
            let said: Vec<_> = core::iter::from_fn(|| self.meet.poll_transmit())
                .filter_map(|transmit| match transmit {
                    Transmit::Frame(frame) => Some(frame),
                    Transmit::Chunk { .. } => None,
                })
                .collect();
            let quiet = said.is_empty();
            said.into_iter().for_each(|bytes| host.handle(Event::Bytes { link: 66, bytes }));
            let heard: Vec<_> = core::iter::from_fn(|| host.transmit(66)).collect();
            if quiet && heard.is_empty() {
                return;
            }
            for bytes in heard {
                self.heights += heights_in(&bytes).len();
                if let Ok(Decoded::Frame(frame)) = decode(&bytes[4..]) {
                    match frame {
                        Frame::Have { ids, .. } => self.offered += ids.iter().count(),
                        Frame::Reconcile { .. } => self.begun += 1,
                        _ => {}
                    }
                }
            }
        }
    }

    fn lie(&mut self, host: &mut Host, heights: Vec<(Digest, u64)>) {
        self.meet.say_heights(Topic::Board, heights);
        self.talk(host);
    }
}

/// A host with two hundred changes of each of two authors.
fn rich() -> Host {
    behind([2, 200, 0, 0], true, false).0
}

fn assert_served(host: &mut Host) {
    let mut honest = Host::new(3);
    honest.now = host.now;
    write(&mut honest, &text(40, 1, '.'), true);
    meet(host, &mut honest, 7, &[1]);
    assert_eq!(honest.disk, host.disk);
    assert!(host.closed.is_empty());
}

#[test]
fn who_claims_to_know_nothing_is_offered_everything_once() {
    let mut host = rich();
    let mut liar = beginning(&mut host, true);
    liar.talk(&mut host);
    for _ in 0..50 {
        liar.lie(&mut host, vec![(Digest::of(b"nobody"), 0)]);
    }
    assert_eq!((liar.offered, host.counter("heights out of turn")), (400, 49));
    assert_served(&mut host);
}

#[test]
fn who_promises_what_it_does_not_have_delays_its_own_comparison_only() {
    let mut host = rich();
    let mut liar = beginning(&mut host, true);
    liar.talk(&mut host);
    let streams = (0..512_u32).map(|n| (Digest::of(&n.to_be_bytes()), u64::MAX));
    let known = place_of(&text(0, 1, '.')).unwrap().stream;
    let all: std::collections::BTreeMap<_, _> = streams.chain([(known, u64::MAX)]).skip(1).collect();
    let begun = liar.begun;
    liar.lie(&mut host, all.into_iter().collect());
    assert_eq!(liar.heights, 512, "it is told where this end is behind, no more");
    assert_eq!(liar.offered, 200, "the stream that it did not speak of");
    assert_served(&mut host);
    assert_eq!(liar.begun, begun);
    host.now = Instant::from_ms(31_000);
    host.handle(Event::Tick);
    liar.talk(&mut host);
    assert_eq!(liar.begun, begun + 1, "ranges are compared all the same");
    assert_served(&mut host);
}

#[test]
fn who_begins_over_and_over_is_told_heights_once_a_minute() {
    let mut host = rich();
    let mut liar = beginning(&mut host, false);
    liar.talk(&mut host);
    for minute in 0..3_u64 {
        for n in 0..100 {
            let start = start(n);
            liar.meet.say_reconcile(Topic::Board, start);
            liar.talk(&mut host);
        }
        assert_eq!(liar.heights, 2 * (1 + minute as usize));
        assert_eq!(liar.begun, 1 + minute as usize, "and answered with ranges once");
        host.now = Instant::from_ms((minute + 1) * 61_000);
        host.handle(Event::Tick);
    }
    assert_served(&mut host);
}

#[test]
fn who_was_told_heights_is_heard_once_in_answer() {
    let mut host = rich();
    let mut liar = beginning(&mut host, false);
    liar.talk(&mut host);
    liar.meet.say_reconcile(Topic::Board, start(1));
    liar.talk(&mut host);
    assert_eq!((liar.heights, liar.offered), (2, 0));
    let first = place_of(&text(0, 1, '.')).unwrap().stream;
    for height in (0..20).rev() {
        liar.lie(&mut host, vec![(first, height)]);
    }
    // Of the stream that it said to be behind in, what lies above the first that it said.
    assert_eq!((liar.offered, host.counter("heights out of turn")), (200 - 19, 19));
    assert_served(&mut host);
}

/// A liar with which the host begins, or one that begins itself.
fn beginning(host: &mut Host, host_begins: bool) -> Liar {
    let begins = |seed: &u8| (host.me.as_bytes() < Host::new(*seed).me.as_bytes()) == host_begins;
    let seed = (2..250).find(begins).unwrap();
    Liar::new(host, seed)
}

/// The beginning of a comparison by somebody who has one thing that nobody else has.
fn start(n: u8) -> Vec<u8> {
    use cairn_link::reconcile::{MemorySet, ReconcileLimits, Reconciler};

    let set: MemorySet = (0..100).map(|k| Digest::of(&[n, k]).0).collect();
    Reconciler::start(&set, [n; 8], ReconcileLimits::default()).1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever two have of some sequences, with forks and gaps: after one meet both have it all.
    #[test]
    fn after_one_meet_both_have_what_either_had(
        common in 0..120_u64,
        items in proptest::collection::vec((0..4_u32, 1..160_u64, 0..2_u8, 0..3_u8), 0..300),
    ) {
        let (mut a, mut b) = (Host::new(1), Host::new(2));
        for author in 0..2 {
            for number in 1..=common {
                for host in [&mut a, &mut b] {
                    write(host, &text(author, number, '.'), true);
                }
            }
        }
        for (author, number, twin, who) in items {
            let text = text(author, number, if twin == 0 { '.' } else { 'x' });
            if who != 1 {
                write(&mut a, &text, true);
            }
            if who != 0 {
                write(&mut b, &text, true);
            }
        }
        let all: BTreeSet<_> = a.disk.keys().chain(b.disk.keys()).copied().collect();
        cost(&mut a, &mut b, 1);
        prop_assert_eq!(&a.disk, &b.disk);
        prop_assert_eq!(a.disk.len(), all.len());
        // And then they know that they are equal.
        prop_assert_eq!(cost(&mut a, &mut b, 2).heights, 0);
    }
}
