//! A view says of every input what the owned bundle says.

#![expect(clippy::indexing_slicing, reason = "an index out of range fails the test, as it should")]

mod common;

use cairn_bundle::{
    BLOCKS_MAX, Block, BlockFlags, BlockKind, Bundle, BundleFlags, BundleReader, BundleView, CrcType,
    DecodeError, Eid, Fragment, Limits, Primary, RawBundle, StreamError, StreamLimits, seal,
};
use common::{Seeded, block, draft, primary, recipient, sender};
use proptest::prelude::*;

fn eid(text: &str) -> Eid {
    text.parse().expect("a valid endpoint id")
}

fn simple() -> Primary {
    primary(eid("ipn:2.1"), eid("dtn://relief/inbox"))
}

fn payload(data: &[u8]) -> Block {
    block(BlockKind::Payload, 1, data)
}

/// Compares every answer of a view with the bundle that is made of the same bytes in another way: read
/// without rules, and then put together block by block.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let limits = Limits::default();
    let view = BundleView::parse(bytes, &limits);
    let raw = RawBundle::decode(bytes, &limits);
    let (view, raw) = match (view, raw) {
        (Ok(view), Ok(raw)) => (view, raw),
        (Ok(_), Err(error)) => return Err(TestCaseError::fail(format!("taken, but {error}"))),
        (Err(error), Ok(raw)) => {
            prop_assert_eq!(Bundle::try_from(raw), Err(error));
            return Ok(());
        }
        (Err(_), Err(_)) => return Ok(()),
    };
    let all: Vec<Block> = view.all_blocks().map(|block| block.to_block()).collect();
    prop_assert_eq!(&all, &raw.blocks);
    let whole = Bundle::try_from(raw).expect("the view found no fault");
    let owned = view.to_bundle();
    let kept: Vec<&Block> = whole.blocks().iter().filter(|block| owned.blocks().contains(block)).collect();
    prop_assert_eq!(kept.len(), owned.blocks().len());
    prop_assert_eq!(view.blocks().count(), owned.blocks().len());
    prop_assert_eq!(view.primary().to_primary(), owned.primary().clone());
    prop_assert_eq!(view.payload(), owned.payload());
    prop_assert_eq!(view.previous_node().map(|node| node.to_eid()), owned.previous_node().cloned());
    prop_assert_eq!(view.age_ms(), owned.age_ms());
    prop_assert_eq!(view.hop_count(), owned.hop_count());
    prop_assert_eq!(view.is_sealed(), owned.is_sealed());
    prop_assert_eq!(view.id(), owned.id());
    prop_assert_eq!(view.content_id(), owned.content_id());
    let encoded = owned.encode();
    prop_assert_eq!(encoded.len(), owned.encoded_len());
    prop_assert_eq!(view.is_deterministic(), encoded == bytes);
    prop_assert_eq!(Bundle::decode(&encoded, &limits), Ok(owned));
    for block in view.all_blocks() {
        prop_assert_eq!(&bytes[block.data_span.clone()], block.data);
        prop_assert!(block.span.start < block.data_span.start && block.data_span.end <= block.span.end);
    }
    Ok(())
}

fn any_crc() -> impl Strategy<Value = CrcType> {
    prop_oneof![Just(CrcType::None), Just(CrcType::Crc16), Just(CrcType::Crc32)]
}

fn any_source() -> impl Strategy<Value = Eid> {
    prop_oneof![
        4 => "[a-z0-9.-]{1,20}/[!-}]{0,9}".prop_map(|text| eid(&format!("dtn://{text}"))),
        4 => (0..3_u32, any::<u32>(), any::<u32>()).prop_map(|(a, n, s)| Eid::ipn(a, n, s)),
        1 => Just(Eid::None),
    ]
}

/// Blocks that mean something, often in a way that breaks a rule.
fn any_extension() -> impl Strategy<Value = Block> {
    let data = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        Just(vec![0x82, 16, 1]),
        Just(vec![0x18, 99]),
        Just(eid("ipn:5.0").encode()),
        Just(eid("dtn://carrier/").encode()),
        proptest::collection::vec(0..6_u8, 1..4)
            .prop_map(|list| { [&[0x80 | u8::try_from(list.len()).expect("few")], &list[..]].concat() }),
    ];
    let code = prop_oneof![Just(6_u64), Just(7), Just(10), Just(11), Just(12), Just(193), 13..300_u64];
    let number = prop_oneof![8 => 2..8_u64, 2 => 60..70_u64, 1 => 0..2_u64];
    (code, number, 0..0x20_u64, any_crc(), data).prop_map(|(code, number, flags, crc, data)| {
        let kind = BlockKind::from_code(code);
        Block { kind, number, flags: BlockFlags(flags & !0x06), crc, data }
    })
}

fn any_raw() -> impl Strategy<Value = RawBundle> {
    let blocks = proptest::collection::vec(any_extension(), 0..4);
    let flags = prop_oneof![6 => Just(0_u64), 1 => Just(1), 1 => Just(4), 1 => Just(5), 1 => 0..0x8_0000_u64];
    let time = prop_oneof![3 => Just(5_u64), 1 => Just(0)];
    (any_source(), flags, any_crc(), time, blocks, any_crc(), 0..40_usize).prop_map(
        |(source, flags, crc, time_ms, mut blocks, payload_crc, len)| {
            let mut primary =
                Primary { flags: BundleFlags(flags), crc, ..primary(source, Eid::ipn(0, 3, 4)) };
            primary.created.time_ms = time_ms;
            primary.fragment = (flags & 1 == 1).then_some(Fragment { offset: 2, total_bytes: 30 });
            blocks.push(Block { crc: payload_crc, ..payload(&vec![9; len]) });
            RawBundle { primary, blocks }
        },
    )
}

/// The same bundle with every array of indefinite length that has fewer than 24 elements, and with
/// texts in two pieces. Only for blocks without checksums, which would not match any more.
fn loosen(primary: &Primary, blocks: &[Block]) -> Vec<u8> {
    let mut out = vec![0x9f, 0x9f, 7];
    let bare = Primary { crc: CrcType::None, ..primary.clone() }.encode();
    out.extend(loose_eids(&bare[2..]));
    let mut x25 = out.split_off(1);
    // Type 1, and the sum over the loose form with its end mark.
    x25[3] = 1;
    x25.extend([0x42, 0, 0, 0xff]);
    let sum = crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC).checksum(&x25).to_be_bytes();
    let at = x25.len() - 3;
    x25[at..at + 2].copy_from_slice(&sum);
    out.extend(x25);
    for block in blocks {
        let whole = RawBundle {
            primary: primary.clone(),
            blocks: vec![Block { crc: CrcType::None, ..block.clone() }],
        };
        let encoded = whole.encode();
        let start = 1 + primary.encode().len();
        out.push(0x9f);
        out.extend_from_slice(&encoded[start + 1..encoded.len() - 1]);
        out.push(0xff);
    }
    out.push(0xff);
    out
}

/// Puts every text into two pieces; none has more than 250 letters here.
fn loose_eids(items: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = items;
    while let Some(&first) = rest.first() {
        let head = match first & 0x1f {
            24 => 2,
            25 => 3,
            26 => 5,
            27 => 9,
            _ => 1,
        };
        let (bytes, after) = rest.split_at(head);
        rest = after;
        if first >> 5 != 3 {
            out.extend_from_slice(bytes);
            continue;
        }
        let len = if head == 1 { first & 0x1f } else { bytes[1] };
        let (text, after) = after.split_at(len.into());
        out.extend([0x7f, 0x61, text[0]]);
        out.extend_from_slice(if len > 24 { &[0x78] } else { &[] });
        out.push(if len > 24 { len - 1 } else { 0x60 + len - 1 });
        out.extend_from_slice(&text[1..]);
        out.push(0xff);
        rest = after;
    }
    out
}

#[test]
fn what_came_in_pieces_is_the_same_bundle_with_the_same_content_id() {
    let primary = primary(eid("dtn://a/b"), eid("dtn://relief/~all"));
    let blocks = [block(BlockKind::Age, 300, &[10]), payload(b"stone")]
        .map(|block| Block { crc: CrcType::None, ..block });
    let strict = Bundle::new(Primary { crc: CrcType::Crc16, ..primary.clone() }, blocks.to_vec()).unwrap();
    let bytes = loosen(&primary, &blocks);
    let view = BundleView::parse(&bytes, &Limits::default()).unwrap();
    assert_eq!(view.to_bundle(), strict);
    assert_eq!(view.content_id(), strict.content_id());
    assert!(!view.is_deterministic());
    let source = view.primary().source;
    assert_eq!(source, *strict.source());
    assert_eq!(source, strict.primary().source);
    assert_eq!(source.to_string(), "dtn://a/b");
    assert!(source.is_singleton() && !source.is_none() && source.node_id().is_none());
    assert!(!view.primary().destination.is_singleton());
    agree(&bytes).unwrap();
}

#[test]
fn no_limit_allows_more_blocks_than_a_bundle_can_have() {
    let unknown = |number| block(BlockKind::Unknown(200), number, b"");
    let blocks = |count: u64| (2..count + 1).map(unknown).chain([payload(b"")]).collect::<Vec<_>>();
    let limits = Limits { blocks_max: usize::MAX, ..Limits::default() };
    let error = DecodeError::TooManyBlocks { blocks_max: BLOCKS_MAX };
    let most = RawBundle { primary: simple(), blocks: blocks(61) };
    let bytes = most.encode();
    let view = BundleView::parse(&bytes, &limits).unwrap();
    assert_eq!((view.blocks().count(), view.to_bundle().encode()), (61, bytes.clone()));
    assert!(Bundle::try_from(most).is_ok());
    let more = RawBundle { primary: simple(), blocks: blocks(62) };
    assert_eq!(BundleView::parse(&more.encode(), &limits).map(|_| ()), Err(error));
    assert_eq!(RawBundle::decode(&more.encode(), &limits), Err(error));
    assert_eq!(Bundle::new(simple(), more.blocks), Err(error));
}

/// One of each kind that carriers change, and then others up to a number of those that count.
fn crowd(counted: u64) -> Vec<Block> {
    let mut blocks = vec![
        block(BlockKind::PreviousNode, 1000, &[0x82, 1, 0x64, 0x2f, 0x2f, 0x61, 0x2f]),
        block(BlockKind::Age, 1001, &[5]),
        block(BlockKind::HopCount, 1002, &[0x82, 16, 0]),
    ];
    blocks.extend((2..=counted).map(|number| block(BlockKind::Unknown(200), number * 1003, b"")));
    blocks.push(payload(b"x"));
    blocks
}

#[test]
fn security_blocks_reach_the_last_of_64_blocks() {
    let mut blocks = crowd(61);
    let bib = [0x82, 0x19, 0xee, 0xff, 0, 3, 0, 0x82, 2, 0x82, 2, 1, 0x80];
    assert_eq!(blocks[62].number, 0xeeff);
    blocks[10] = Block { flags: BlockFlags::REPLICATE, ..block(BlockKind::Integrity, 9, &bib) };
    let made = Bundle::new(simple(), blocks.clone()).unwrap();
    assert_eq!(made.blocks().len(), 64);
    agree(&made.encode()).unwrap();
    assert_eq!(made.fragment_at(&[]).unwrap(), [made]);
    let twice = [&bib[..1], &bib[1..4], &bib[1..4]].concat();
    blocks[10].data = twice;
    assert_eq!(Bundle::new(simple(), blocks), Err(DecodeError::SecurityTargets(9)));
}

/// What each way of reading says to these bytes.
fn verdicts(bytes: &[u8], blocks_max: usize) -> [Result<(), DecodeError>; 3] {
    let limits = Limits { blocks_max, ..Limits::default() };
    let mut reader = BundleReader::new(StreamLimits { blocks_max, ..StreamLimits::default() });
    let streamed = match reader.feed(bytes) {
        Ok(_) => Ok(()),
        Err(StreamError::Bundle(error)) => Err(error),
        Err(other) => unreachable!("another limit: {other}"),
    };
    [BundleView::parse(bytes, &limits).map(|_| ()), RawBundle::decode(bytes, &limits).map(|_| ()), streamed]
}

#[test]
fn a_bundle_with_as_many_blocks_as_are_allowed_is_taken_by_every_node_on_its_way() {
    for blocks_max in [1, 32, BLOCKS_MAX, usize::MAX] {
        let most = u64::try_from(blocks_max.min(BLOCKS_MAX)).unwrap();
        let kinds = [BlockKind::PreviousNode, BlockKind::Age, BlockKind::HopCount];
        // With all of the blocks that carriers change, with some of them, and with none.
        for without in 0..=kinds.len() {
            let blocks = |counted| {
                let mut blocks = crowd(counted);
                blocks.retain(|block| !kinds.iter().take(without).any(|kind| *kind == block.kind));
                blocks
            };
            let mut travelling = Bundle::new(simple(), blocks(most)).unwrap();
            for hop in 1..=3 {
                let bytes = travelling.encode();
                assert_eq!(verdicts(&bytes, blocks_max), [Ok(()); 3], "hop {hop} of {most} blocks");
                let limits = Limits { blocks_max, ..Limits::default() };
                let arrived = Bundle::decode(&bytes, &limits).unwrap();
                assert_eq!(arrived.content_id(), travelling.content_id());
                travelling = arrived.forwarded_by(&Eid::ipn(0, 70 + hop, 0), 10).unwrap();
                assert!(travelling.previous_node().is_some());
            }
            let error = DecodeError::TooManyBlocks { blocks_max: blocks_max.min(BLOCKS_MAX) };
            let more = RawBundle { primary: simple(), blocks: blocks(most + 1) }.encode();
            assert_eq!(verdicts(&more, blocks_max), [Err(error); 3]);
        }
    }
}

#[test]
fn a_second_block_of_a_kind_that_does_not_count_does() {
    let twins = |count: u64| {
        let mut blocks: Vec<Block> =
            (2..2 + count).map(|number| block(BlockKind::Age, number, &[5])).collect();
        blocks.push(payload(b""));
        RawBundle { primary: simple(), blocks }.encode()
    };
    let [parsed, raw, streamed] = verdicts(&twins(4), 4);
    assert_eq!([parsed, raw], [Err(DecodeError::DuplicateKind(7)), Ok(())]);
    assert_eq!(streamed, Err(DecodeError::DuplicateKind(7)));
    let error = DecodeError::TooManyBlocks { blocks_max: 4 };
    assert_eq!(verdicts(&twins(5), 4)[1..], [Err(error), Err(error)]);
    // As many as are sent do not fill the memory of a node.
    assert!(verdicts(&twins(500), usize::MAX).iter().all(Result::is_err));
}

#[test]
fn spans_say_where_in_the_bytes_a_block_lies() {
    let bundle = Bundle::new(simple(), vec![block(BlockKind::Age, 2, &[10]), payload(b"stone")]).unwrap();
    let bytes = bundle.encode();
    let view = BundleView::parse(&bytes, &Limits::default()).unwrap();
    assert_eq!(view.primary().span, 1..1 + bundle.primary().encode().len());
    let spans: Vec<_> = view.blocks().map(|block| (block.span, block.data_span)).collect();
    assert_eq!(spans[0].0.start, view.primary().span.end);
    assert_eq!(spans[1].0, spans[0].0.end..bytes.len() - 1);
    assert_eq!(&bytes[spans[1].1.clone()], b"stone");
    assert_eq!(view.bytes(), bytes);
}

#[test]
fn encoding_goes_behind_what_is_in_the_buffer() {
    let bundle = seal(&draft(b"hello"), &sender(), &recipient().sealing_key(), &mut Seeded(1)).unwrap();
    let mut out = vec![1, 2];
    bundle.encode_into(&mut out);
    assert_eq!(out, [&[1, 2], &bundle.encode()[..]].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn the_view_and_the_bundle_agree_about_any_blocks(raw in any_raw()) {
        agree(&raw.encode())?;
    }

    #[test]
    fn they_agree_about_loose_forms(raw in any_raw()) {
        let bytes = loosen(&raw.primary, &raw.blocks);
        agree(&bytes)?;
    }

    #[test]
    fn they_agree_about_damaged_bytes(
        raw in any_raw(), cut in any::<prop::sample::Index>(), changes in
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        shorten in any::<bool>(),
    ) {
        let mut raw = raw;
        // Without checksums, damage gets as far as the rules.
        raw.blocks.iter_mut().for_each(|block| block.crc = CrcType::None);
        let mut bytes = raw.encode();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        agree(&bytes)?;
    }

    #[test]
    fn they_agree_about_noise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        agree(&bytes)?;
        agree(&[&[0x9f][..], &simple().encode(), &bytes].concat())?;
    }
}
