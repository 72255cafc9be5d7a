//! What is said in a meet besides the items, and what is said about them: room, routes, heights, messages of a
//! reconciliation, copies and ranks.

mod common;

use cairn_bundle::Digest;
use cairn_link::frame::{Decoded, HEIGHTS_MAX, Ids, RECONCILE_BYTES_MAX, ROUTES_MAX, decode};
use cairn_link::parcel::PARCEL_BYTES_MAX;
use cairn_link::{
    CHUNK_BYTES_MAX, Frame, Item, Meet, MeetError, MeetEvent, MeetLimits, Mode, ParcelWriter, RouteClaim,
    Topic, Transmit, encode_chunk, pump_carried, unpack_carried,
};
use common::{hello, item, met};

fn live() -> Meet {
    met(Mode::Live, MeetLimits::default())
}

fn events(meet: &mut Meet) -> Vec<MeetEvent> {
    core::iter::from_fn(|| meet.poll_event()).collect()
}

fn want(item: Item) -> Vec<u8> {
    Frame::Want { topic: item.topic, ids: Ids::new(&[item.id.0]) }.encode()
}

fn claims(n: u8) -> Vec<RouteClaim> {
    (0..n).map(|n| RouteClaim { node: [n; 16], delay_s: u32::from(n) }).collect()
}

/// Sends everything that waits, chunks of zeros, and names what it was.
fn drain(from: &mut Meet, to: &mut Meet) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(transmit) = from.poll_transmit() {
        let frame = match transmit {
            Transmit::Frame(frame) => frame,
            Transmit::Chunk { item, total, offset, len } => {
                encode_chunk(item, total, offset, &vec![0; usize::try_from(len).expect("a chunk is small")])
            }
        };
        said.push(match decode(frame.get(4..).expect("a prefix")) {
            Ok(Decoded::Frame(frame)) => name(&frame),
            other => format!("{other:?}"),
        });
        to.handle_bytes(&frame).expect("both keep the protocol");
    }
    said
}

fn name(frame: &Frame<'_>) -> String {
    match frame {
        Frame::Hello(_) => "hello".into(),
        Frame::Have { topic, .. } => format!("have {topic:?}"),
        Frame::Want { topic, .. } => format!("want {topic:?}"),
        Frame::Chunk { item, .. } => format!("chunk {:?}", item.topic),
        Frame::Ack { topic, .. } => format!("ack {topic:?}"),
        Frame::Refuse { .. } => "refuse".into(),
        Frame::Bye => "bye".into(),
        Frame::Reconcile { topic, .. } => format!("reconcile {topic:?}"),
        Frame::Room { .. } => "room".into(),
        Frame::Routes { .. } => "routes".into(),
        Frame::Copies { copies, .. } => format!("copies {copies}"),
        Frame::Heights { topic, .. } => format!("heights {topic:?}"),
    }
}

#[test]
fn what_was_said_arrives() {
    let (mut a, mut b) = (live(), live());
    a.say_room(10);
    a.say_routes(&claims(2));
    assert!(a.say_reconcile(Topic::Bundle, vec![7; RECONCILE_BYTES_MAX]));
    let heights = vec![(Digest([1; 32]), 5), (Digest([2; 32]), u64::MAX)];
    a.say_heights(Topic::Board, heights.clone());
    assert!(!a.is_idle());
    drain(&mut a, &mut b);
    assert!(a.is_idle());
    let expected = [
        MeetEvent::Room { bytes: 10 },
        MeetEvent::Reconcile { topic: Topic::Bundle, message: vec![7; RECONCILE_BYTES_MAX] },
        MeetEvent::Routes { claims: claims(2) },
        MeetEvent::Heights { topic: Topic::Board, entries: heights },
    ];
    assert_eq!(events(&mut b), expected);
}

#[test]
fn answers_room_and_notices_go_before_talk_and_talk_before_other_items() {
    let (mut a, mut b) = (live(), live());
    let (notice, theirs) = (item(Topic::Notice, 1), item(Topic::Notice, 2));
    let (bundle, other) = (item(Topic::Bundle, 3), item(Topic::Bundle, 4));
    a.offer(notice, 5);
    a.offer(bundle, 5);
    b.offer(theirs, 5);
    b.offer(other, 5);
    drain(&mut a, &mut b);
    drain(&mut b, &mut a);
    events(&mut a);
    events(&mut b);
    for item in [theirs, other] {
        a.request(item);
    }
    for item in [notice, bundle] {
        a.handle_bytes(&want(item)).expect("both are offered");
        b.request(item);
    }
    a.offer(item(Topic::Notice, 5), 5);
    a.offer(item(Topic::Ledger, 6), 5);
    a.say_heights(Topic::Board, vec![(Digest([1; 32]), 5)]);
    a.say_routes(&claims(1));
    a.say_reconcile(Topic::Bundle, vec![1]);
    a.say_room(1);
    a.ack(item(Topic::Blob, 7));
    let order = [
        "ack Blob",
        "room",
        "want Notice",
        "have Notice",
        "chunk Notice",
        "reconcile Bundle",
        "routes",
        "heights Board",
        "want Bundle",
        "have Ledger",
        "chunk Bundle",
    ];
    assert_eq!(drain(&mut a, &mut b), order);
}

#[test]
fn nothing_but_answers_is_said_on_leaving_or_to_a_peer_that_left() {
    let mut a = live();
    a.say_room(1);
    a.leave();
    assert_eq!(drain(&mut a, &mut live()), ["bye"]);
    let mut b = live();
    b.handle_bytes(&Frame::Bye.encode()).expect("a Bye may come");
    b.say_room(1);
    b.say_routes(&[]);
    assert_eq!(b.poll_transmit(), None);
    assert!(b.is_idle());
}

#[test]
fn in_a_parcel_only_routes_are_said_and_heard() {
    let mut writer = met(Mode::Carried, MeetLimits::default());
    writer.say_room(1);
    writer.say_heights(Topic::Board, vec![(Digest([1; 32]), 5)]);
    assert!(!writer.say_reconcile(Topic::Bundle, vec![1]));
    writer.say_routes(&claims(3));
    assert!(!writer.is_idle());
    let mut reader = met(Mode::Carried, MeetLimits::default());
    assert_eq!(drain(&mut writer, &mut reader), ["routes"]);
    assert_eq!(events(&mut reader), [MeetEvent::Routes { claims: claims(3) }]);
    let mut chatty = live();
    chatty.say_room(1);
    chatty.say_heights(Topic::Board, vec![(Digest([1; 32]), 5)]);
    chatty.say_reconcile(Topic::Bundle, vec![1]);
    drain(&mut chatty, &mut reader);
    assert_eq!(events(&mut reader), []);
    assert_eq!(reader.counters().frames_ignored, 3);
}

#[test]
fn copies_come_with_their_item_and_one_is_not_worth_a_word() {
    let (mut a, mut b) = (live(), live());
    let items: Vec<_> = (0..3).map(|n| item(Topic::Bundle, n)).collect();
    for (item, copies) in items.iter().zip([0, 1, 200]) {
        assert!(a.offer_ranked(*item, 3, 0, copies));
    }
    drain(&mut a, &mut b);
    events(&mut b);
    items.iter().for_each(|item| b.request(*item));
    drain(&mut b, &mut a);
    let said = drain(&mut a, &mut b);
    assert_eq!(said, ["copies 0", "chunk Bundle", "chunk Bundle", "copies 200", "chunk Bundle"]);
    let received = |item: &Item, copies| MeetEvent::Received { item: *item, bytes: vec![0; 3], copies };
    assert_eq!(events(&mut b), [received(&items[0], 0), received(&items[1], 1), received(&items[2], 200)]);
}

#[test]
fn copies_hold_for_the_next_first_chunk_of_their_topic_only() {
    let [one, two] = [1, 2].map(|n| item(Topic::Bundle, n));
    let mut meet = met(Mode::Carried, MeetLimits { item_bytes_max: 10, ..MeetLimits::default() });
    let copies = |item, copies| Frame::Copies { item, copies }.encode();
    let blob = item(Topic::Blob, 3);
    for frame in [
        copies(one, 9),
        copies(blob, 7),
        encode_chunk(two, 1, 0, &[0]),
        encode_chunk(one, 1, 0, &[0]),
        encode_chunk(blob, 2, 0, &[0]),
        copies(blob, 8),
        encode_chunk(blob, 2, 1, &[0]),
    ] {
        meet.handle_bytes(&frame).expect("all of it is allowed");
    }
    let got: Vec<_> = events(&mut meet)
        .into_iter()
        .map(|event| match event {
            MeetEvent::Received { item, copies, .. } => (item, copies),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(got, [(two, 1), (one, 1), (blob, 7)]);
}

#[test]
fn an_item_and_its_copies_are_never_parted_by_the_end_of_a_parcel() {
    let mut writer = met(Mode::Carried, MeetLimits::default());
    let size = 1_000_000;
    let items: Vec<_> = (0..9).map(|n| item(Topic::Bundle, n)).collect();
    for (item, copies) in items.iter().zip(2..) {
        writer.offer_ranked(*item, size, 0, copies);
    }
    let lost = items[4];
    let mut parcels = Vec::new();
    let mut read = |item, _, len: u64| {
        (item != lost).then(|| vec![1; usize::try_from(len).expect("a chunk fits into memory")])
    };
    pump_carried(&mut writer, &mut read, &mut |parcel| parcels.push(parcel));
    assert!(parcels.len() >= 2 && parcels.iter().all(|parcel| parcel.len() <= PARCEL_BYTES_MAX));
    let mut got = Vec::new();
    for parcel in &parcels {
        let mut reader = Meet::new(Mode::Carried, hello(2), MeetLimits::default());
        let mut on = |event| {
            if let MeetEvent::Received { item, copies, .. } = event {
                got.push((item, copies));
            }
        };
        unpack_carried(&mut reader, parcel, &mut on).expect("it was written by our own writer");
    }
    let expected: Vec<_> = items.iter().copied().zip(2_u8..).filter(|(item, _)| *item != lost).collect();
    assert_eq!(got, expected);
}

#[test]
fn a_number_of_copies_that_nothing_follows_makes_no_parcel() {
    let mut writer = ParcelWriter::new(&hello(1), PARCEL_BYTES_MAX);
    assert_eq!(writer.push(&Frame::Copies { item: item(Topic::Bundle, 1), copies: 3 }.encode()), None);
    assert_eq!(writer.finish(), None);
}

#[test]
fn within_a_topic_the_lowest_rank_is_announced_and_sent_first() {
    let mut meet = live();
    let items: Vec<_> = (0..5).map(|n| item(Topic::Bundle, n)).collect();
    for (item, rank) in items.iter().zip([7, 3, 7, u64::MAX, 0]) {
        assert!(meet.offer_ranked(*item, 1, rank, 1));
    }
    let order = [4, 1, 0, 2, 3].map(|n| items[n]);
    let ids = order.map(|item| item.id.0);
    let have = Frame::Have { topic: Topic::Bundle, ids: Ids::new(&ids) }.encode();
    assert_eq!(meet.poll_transmit(), Some(Transmit::Frame(have)));
    for item in &items {
        meet.handle_bytes(&want(*item)).expect("all are offered");
    }
    let sent: Vec<_> = core::iter::from_fn(|| match meet.poll_transmit()? {
        Transmit::Chunk { item, .. } => Some(item),
        Transmit::Frame(frame) => panic!("{frame:?}"),
    })
    .collect();
    assert_eq!(sent, order);
}

/// The next thing to be sent: a chunk of an item, or the copies that it comes with.
fn next(meet: &mut Meet) -> Option<(Item, u64)> {
    match meet.poll_transmit()? {
        Transmit::Chunk { item, offset, .. } => Some((item, offset)),
        Transmit::Frame(frame) => match decode(frame.get(4..)?) {
            Ok(Decoded::Frame(Frame::Copies { item, .. })) => Some((item, u64::MAX)),
            _ => None,
        },
    }
}

#[test]
fn a_lower_class_overtakes_between_two_chunks_and_a_lower_rank_of_the_same_class_does_not() {
    let mut meet = live();
    let chunk = common::len(&[0; CHUNK_BYTES_MAX]);
    let items: Vec<_> = (0..6).map(|n| item(Topic::Bundle, n)).collect();
    let wanted = |meet: &mut Meet, n: usize, rank: u64| {
        meet.offer_ranked(items[n], 2 * chunk, rank, 5);
        assert!(matches!(meet.poll_transmit(), Some(Transmit::Frame(_))));
        meet.handle_bytes(&want(items[n])).expect("it is offered");
    };
    let class = |n: u64| n << 56;
    wanted(&mut meet, 0, class(9) + 5);
    assert_eq!(next(&mut meet), Some((items[0], u64::MAX)));
    wanted(&mut meet, 1, class(7));
    assert_eq!(next(&mut meet), Some((items[0], 0)), "its copies were announced: its chunk comes next");
    wanted(&mut meet, 2, class(9));
    assert_eq!(next(&mut meet), Some((items[1], u64::MAX)));
    assert_eq!(next(&mut meet), Some((items[1], 0)));
    wanted(&mut meet, 3, class(5));
    assert_eq!(next(&mut meet), Some((items[3], u64::MAX)));
    assert_eq!(next(&mut meet), Some((items[3], 0)));
    wanted(&mut meet, 4, class(0));
    let fourth = next(&mut meet);
    assert_eq!(fourth, Some((items[3], chunk)), "no more than three are under way");
    let rest: Vec<_> = core::iter::from_fn(|| next(&mut meet)).collect();
    let whole = |n: usize| [(items[n], u64::MAX), (items[n], 0), (items[n], chunk)];
    let ends = [(items[1], chunk), (items[0], chunk)];
    assert_eq!(rest, [whole(4).as_slice(), &ends, &whole(2)].concat());
}

#[test]
fn an_item_withdrawn_while_it_is_overtaken_leaves_the_others_under_way() {
    let mut meet = live();
    let chunk = common::len(&[0; CHUNK_BYTES_MAX]);
    let [slow, fast] = [1, 2].map(|n| item(Topic::Bundle, n));
    for (item, rank) in [(slow, 1 << 60), (fast, 0)] {
        meet.offer_ranked(item, 2 * chunk, rank, 1);
        assert!(matches!(meet.poll_transmit(), Some(Transmit::Frame(_))));
        meet.handle_bytes(&want(item)).expect("it is offered");
        assert_eq!(next(&mut meet), Some((item, 0)));
    }
    meet.withdraw(slow);
    assert!(matches!(meet.poll_transmit(), Some(Transmit::Frame(_))), "the peer is told");
    assert_eq!(next(&mut meet), Some((fast, chunk)));
    assert_eq!(next(&mut meet), None);
}

#[test]
fn control_bytes_max_ends_a_meet_whose_driver_does_not_poll() {
    let limits = MeetLimits { control_bytes_max: 3 * RECONCILE_BYTES_MAX, ..MeetLimits::default() };
    let message = vec![1; RECONCILE_BYTES_MAX];
    let frame = Frame::Reconcile { topic: Topic::Bundle, message: &message }.encode();
    let mut meet = met(Mode::Live, limits);
    for _ in 0..10 {
        assert_eq!(meet.handle_bytes(&frame), Ok(()));
        assert_eq!(events(&mut meet).len(), 1);
    }
    for _ in 0..3 {
        assert_eq!(meet.handle_bytes(&frame), Ok(()));
    }
    assert_eq!(meet.handle_bytes(&frame), Err(MeetError::Backlog));
    // A driver that hands in 64 KiB at a time and polls never gets there.
    let mut meet = met(Mode::Live, MeetLimits::default());
    let mut speaker = live();
    let mut stream = Vec::new();
    for n in 0..40_u8 {
        let many: Vec<_> = (0..=u8::MAX)
            .flat_map(|a| (0..2).map(move |b| (a, b)))
            .map(|(a, b)| {
                let mut id = [a; 32];
                id[31] = b + n;
                (Digest(id), 9)
            })
            .collect();
        assert_eq!(many.len(), HEIGHTS_MAX);
        speaker.say_heights(Topic::Board, many);
        let claim = |node| RouteClaim { node, delay_s: 1 };
        let node = |n: u32| core::array::from_fn(|at| n.to_be_bytes().get(at).copied().unwrap_or(0));
        speaker.say_routes(&(0..600).map(|n| claim(node(n))).collect::<Vec<_>>());
        while let Some(Transmit::Frame(frame)) = speaker.poll_transmit() {
            stream.extend(frame);
        }
    }
    for piece in stream.chunks(64 * 1024) {
        assert_eq!(meet.handle_bytes(piece), Ok(()));
        for event in events(&mut meet) {
            if let MeetEvent::Routes { claims } = event {
                assert_eq!(claims.len(), ROUTES_MAX);
            }
        }
    }
}

#[test]
fn heights_beyond_the_bound_are_dropped_and_counted() {
    let mut meet = met(Mode::Live, MeetLimits { control_bytes_max: 80, ..MeetLimits::default() });
    meet.say_heights(Topic::Board, (0..3).map(|n| (Digest([n; 32]), 1)).collect());
    assert_eq!(meet.counters().heights_dropped, 1);
}
