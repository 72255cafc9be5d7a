//! RFC 9171 and 9172, rule by rule: what is taken, what is refused, and why.

mod common;

use cairn_bundle::{
    Block, BlockFlags, BlockKind, Bundle, BundleFlags, CborError, CrcType, CreationTimestamp, DecodeError,
    Eid, EidError, Fragment, HopLimitExceeded, Limits, Primary,
};
use common::{block, from_hex, primary};
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

fn bundle(blocks: Vec<Block>) -> Result<Bundle, DecodeError> {
    Bundle::new(simple(), blocks)
}

fn decode(bytes: &[u8]) -> Result<Bundle, DecodeError> {
    Bundle::decode(bytes, &Limits::default())
}

/// The bytes of a bundle with a fresh primary block and these encoded blocks.
fn with_blocks(blocks: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0x9f];
    out.extend(simple().encode());
    blocks.iter().for_each(|block| out.extend_from_slice(block));
    out.push(0xff);
    out
}

/// A payload block without checksum.
const PAYLOAD: [u8; 8] = [0x85, 1, 1, 0, 0, 0x42, b'h', b'i'];

#[test]
pub(crate) fn section_4_1_a_bundle_is_an_indefinite_array_and_fills_its_bytes() {
    let bytes = with_blocks(&[&PAYLOAD]);
    assert_eq!(decode(&bytes).unwrap().payload(), b"hi");
    let mut definite = bytes.clone();
    definite[0] = 0x82;
    definite.pop();
    assert_eq!(decode(&definite), Err(DecodeError::Cbor(CborError::Count)));
    let trailing = [&bytes[..], &[0]].concat();
    assert_eq!(decode(&trailing), Err(DecodeError::Cbor(CborError::Trailing)));
    let tagged = [&[0xd9, 0xd9, 0xf7], &bytes[..]].concat();
    assert_eq!(decode(&tagged), Err(DecodeError::Cbor(CborError::Type)));
    assert_eq!(decode(&[]), Err(DecodeError::Cbor(CborError::Truncated)));
    assert_eq!(decode(&[0x9f, 0xff]), Err(DecodeError::Cbor(CborError::Count)));
}

#[test]
pub(crate) fn section_4_1_arrays_of_indefinite_length_are_taken_and_written_as_definite_ones() {
    let long = [0x9f, 1, 1, 0, 0, 0x42, b'h', b'i', 0xff];
    let loose = decode(&with_blocks(&[&long])).unwrap();
    assert_eq!(loose.encode(), with_blocks(&[&PAYLOAD]));
    assert_eq!(loose.content_id(), decode(&with_blocks(&[&PAYLOAD])).unwrap().content_id());
}

#[test]
pub(crate) fn section_4_3_2_what_a_block_holds_is_a_byte_string_of_definite_length() {
    let long = [0x85, 1, 1, 0, 0, 0x5f, 0x41, b'h', 0x41, b'i', 0xff];
    assert_eq!(decode(&with_blocks(&[&long])), Err(DecodeError::Cbor(CborError::Indefinite)));
}

#[test]
pub(crate) fn section_4_2_4_no_block_asks_for_reports_on_a_report_or_for_nobody() {
    let report = |flags: u64, source: &str| {
        let mut primary = primary(eid(source), eid("dtn://relief/inbox"));
        primary.flags = BundleFlags(flags);
        let asks = Block { flags: BlockFlags::REPORT, ..block(BlockKind::Unknown(200), 2, b"") };
        Bundle::new(primary, vec![asks, payload(b"")]).map(|_| ())
    };
    assert_eq!(report(0, "ipn:2.1"), Ok(()));
    assert_eq!(report(2, "ipn:2.1"), Err(DecodeError::Flags));
    assert_eq!(report(4, "dtn:none"), Err(DecodeError::Flags));
}

#[test]
pub(crate) fn section_4_1_numbers_in_a_longer_form_are_refused() {
    let long = [0x85, 0x18, 1, 1, 0, 0, 0x42, b'h', b'i'];
    assert_eq!(decode(&with_blocks(&[&long])), Err(DecodeError::Cbor(CborError::NotShortest)));
}

#[test]
pub(crate) fn section_4_2_1_checksums_are_verified() {
    for crc in [CrcType::Crc16, CrcType::Crc32] {
        let mut block = payload(b"hi");
        block.crc = crc;
        let bytes = bundle(vec![block]).unwrap().encode();
        assert!(decode(&bytes).is_ok());
        for at in [bytes.len() - 2, bytes.len() - if crc == CrcType::Crc16 { 5 } else { 7 }] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged), Err(DecodeError::Crc { block: 1 }));
        }
        let mut damaged = bytes.clone();
        damaged[17] ^= 1;
        assert_eq!(decode(&damaged), Err(DecodeError::Crc { block: 0 }));
    }
    let unknown = [0x86, 1, 1, 0, 3, 0x42, b'h', b'i', 0x42, 0, 0];
    let error = DecodeError::CrcType { block: 1, code: 3 };
    assert_eq!(decode(&with_blocks(&[&unknown])), Err(error));
    let short = [0x86, 1, 1, 0, 2, 0x42, b'h', b'i', 0x42, 0, 0];
    assert_eq!(decode(&with_blocks(&[&short])), Err(DecodeError::CrcLength { block: 1 }));
    let missing = [0x85, 1, 1, 0, 1, 0x42, b'h', b'i'];
    assert_eq!(decode(&with_blocks(&[&missing])), Err(DecodeError::Cbor(CborError::Count)));
    let superfluous = [0x86, 1, 1, 0, 0, 0x42, b'h', b'i', 0x42, 0, 0];
    assert_eq!(decode(&with_blocks(&[&superfluous])), Err(DecodeError::Cbor(CborError::Count)));
}

#[test]
pub(crate) fn a_checksum_in_an_indefinite_block_counts_its_end_mark() {
    // The checksum is over the block as it stands there, so it is computed over the loose form.
    let head = [0x9f, 1, 1, 0, 1, 0x42, b'h', b'i', 0x42];
    let x25 = crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC);
    let sum = x25.checksum(&[&head[..], &[0, 0, 0xff]].concat()).to_be_bytes();
    let block = [&head[..], &sum, &[0xff]].concat();
    assert_eq!(decode(&with_blocks(&[&block])).unwrap().payload(), b"hi");
}

#[test]
pub(crate) fn section_4_2_3_flags_that_contradict_are_refused() {
    let with = |flags: u64, source: &str| {
        let mut primary = primary(eid(source), eid("dtn://relief/inbox"));
        primary.flags = BundleFlags(flags);
        Bundle::new(primary, vec![payload(b"")]).map(|_| ())
    };
    assert_eq!(with(0x20, "ipn:2.1"), Ok(()));
    assert_eq!(with(0x4000, "ipn:2.1"), Ok(()));
    assert_eq!(with(0x4002, "ipn:2.1"), Err(DecodeError::Flags));
    assert_eq!(with(0x01, "ipn:2.1"), Err(DecodeError::Flags));
    assert_eq!(with(0x04, "dtn:none"), Ok(()));
    assert_eq!(with(0x00, "dtn:none"), Err(DecodeError::Flags));
    assert_eq!(with(0x00, "ipn:0.0"), Err(DecodeError::Flags));
    assert_eq!(with(0x40004, "dtn:none"), Err(DecodeError::Flags));
    assert_eq!(with(0x00, "dtn://relief/~all"), Err(DecodeError::GroupSource));
    // Reserved bits are not ours to judge, and they come out as they went in.
    let mut primary = simple();
    primary.flags = BundleFlags(0x8000_0080);
    let bytes = Bundle::new(primary, vec![payload(b"")]).unwrap().encode();
    assert_eq!(decode(&bytes).unwrap().primary().flags, BundleFlags(0x8000_0080));
}

#[test]
pub(crate) fn section_4_3_1_other_versions_and_wrong_shapes_are_refused() {
    let bytes = with_blocks(&[&PAYLOAD]);
    let mut version = bytes.clone();
    version[2] = 6;
    assert_eq!(decode(&version), Err(DecodeError::Version(6)));
    let mut count = bytes.clone();
    count[1] = 0x88;
    assert_eq!(decode(&count), Err(DecodeError::Cbor(CborError::Count)));
    let mut scheme = bytes;
    scheme[6] = 9;
    assert_eq!(decode(&scheme), Err(DecodeError::Eid(EidError::Scheme)));
}

#[test]
pub(crate) fn section_4_3_1_a_primary_block_needs_a_checksum_or_a_signature() {
    let mut primary = simple();
    primary.crc = CrcType::None;
    let naked = Bundle::new(primary.clone(), vec![payload(b"")]);
    assert_eq!(naked, Err(DecodeError::Unprotected));
    // An integrity block counts if the primary block is among its targets.
    let signed = |targets: &[u8]| {
        let data = [targets, &[3, 0, 0x82, 2, 0x82, 2, 1, 0x80]].concat();
        Bundle::new(primary.clone(), vec![block(BlockKind::Integrity, 2, &data), payload(b"")]).map(|_| ())
    };
    assert_eq!(signed(&[0x81, 0]), Ok(()));
    assert_eq!(signed(&[0x82, 1, 0]), Ok(()));
    assert_eq!(signed(&[0x81, 1]), Err(DecodeError::Unprotected));
}

#[test]
pub(crate) fn fragments_are_recognised_and_have_their_own_id() {
    let fragment = |offset, total_bytes| {
        let mut primary = simple();
        primary.flags = BundleFlags::FRAGMENT;
        primary.fragment = Some(Fragment { offset, total_bytes });
        Bundle::new(primary, vec![payload(b"stone")])
    };
    let first = fragment(0, 10).unwrap();
    let second = fragment(5, 10).unwrap();
    assert_eq!(first.id().fragment, Some((0, 5)));
    assert_ne!(first.id(), second.id());
    assert_eq!(decode(&second.encode()), Ok(second));
    // Section 4.2.3 lets a fragment forbid that it is cut again, but nobody's bundle is ever cut.
    let mut uncut = simple();
    uncut.flags = BundleFlags(0x05);
    uncut.fragment = Some(Fragment { offset: 0, total_bytes: 10 });
    let anonymous = Primary { source: Eid::None, ..uncut.clone() };
    assert!(Bundle::new(uncut, vec![payload(b"stone")]).is_ok());
    assert_eq!(Bundle::new(anonymous, vec![payload(b"stone")]), Err(DecodeError::Flags));
    assert_eq!(fragment(6, 10), Err(DecodeError::FragmentRange));
    assert_eq!(fragment(u64::MAX, u64::MAX), Err(DecodeError::FragmentRange));
}

#[test]
pub(crate) fn section_4_3_2_numbers_are_unique_and_the_payload_comes_last() {
    let unknown = |number| block(BlockKind::Unknown(200), number, b"");
    assert_eq!(bundle(vec![]), Err(DecodeError::NoPayload));
    assert_eq!(bundle(vec![unknown(2)]), Err(DecodeError::NoPayload));
    assert_eq!(bundle(vec![payload(b""), unknown(2)]), Err(DecodeError::PayloadPlace));
    assert_eq!(bundle(vec![payload(b""), payload(b"")]), Err(DecodeError::PayloadPlace));
    assert_eq!(bundle(vec![unknown(2), unknown(2), payload(b"")]), Err(DecodeError::DuplicateNumber(2)));
    assert_eq!(bundle(vec![unknown(1), payload(b"")]), Err(DecodeError::Number(1)));
    assert_eq!(bundle(vec![unknown(0), payload(b"")]), Err(DecodeError::Number(0)));
    assert_eq!(bundle(vec![block(BlockKind::Payload, 2, b"")]), Err(DecodeError::Number(2)));
    assert_eq!(bundle(vec![block(BlockKind::Unknown(0), 2, b""), payload(b"")]), Err(DecodeError::Number(2)));
    assert!(bundle(vec![unknown(u64::MAX), payload(b"")]).is_ok());
}

#[test]
pub(crate) fn section_4_4_extension_blocks_occur_once_and_hold_what_they_should() {
    let hops = |data: &[u8]| bundle(vec![block(BlockKind::HopCount, 2, data), payload(b"")]);
    assert!(hops(&[0x82, 1, 0]).is_ok());
    assert!(hops(&[0x82, 0x18, 255, 0]).is_ok());
    assert_eq!(hops(&[0x82, 0, 0]), Err(DecodeError::HopLimit(0)));
    assert_eq!(hops(&[0x82, 0x19, 1, 0, 0]), Err(DecodeError::HopLimit(256)));
    assert_eq!(hops(&[0x82, 1]), Err(DecodeError::Cbor(CborError::Truncated)));
    assert_eq!(hops(&[0x82, 1, 0, 0]), Err(DecodeError::Cbor(CborError::Trailing)));
    for (kind, data) in [
        (BlockKind::Age, &[0][..]),
        (BlockKind::HopCount, &[0x82, 1, 0]),
        (BlockKind::PreviousNode, &[0x82, 1, 0]),
    ] {
        let twice = vec![block(kind, 2, data), block(kind, 3, data), payload(b"")];
        assert_eq!(bundle(twice), Err(DecodeError::DuplicateKind(kind.code())));
    }
}

#[test]
pub(crate) fn section_4_4_1_the_previous_node_is_a_node() {
    let from = |text: &str| {
        let block = block(BlockKind::PreviousNode, 2, &eid(text).encode());
        bundle(vec![block, payload(b"")]).map(|_| ())
    };
    assert_eq!(from("ipn:3.0"), Ok(()));
    assert_eq!(from("dtn://carrier/"), Ok(()));
    assert_eq!(from("dtn://carrier/forwarder"), Ok(()), "any singleton endpoint names its node");
    for nobody in ["dtn:none", "ipn:0.0", "dtn://carrier/~all"] {
        assert_eq!(from(nobody), Err(DecodeError::PreviousNode), "{nobody}");
    }
}

#[test]
pub(crate) fn section_4_4_2_a_bundle_without_a_time_needs_an_age() {
    let mut primary = simple();
    primary.created = CreationTimestamp { time_ms: 0, seq: 5 };
    assert_eq!(Bundle::new(primary.clone(), vec![payload(b"")]), Err(DecodeError::NoAge));
    let aged = Bundle::new(primary, vec![block(BlockKind::Age, 2, &[0x18, 100]), payload(b"")]).unwrap();
    assert_eq!(aged.age_ms(), Some(100));
    assert!(!aged.expired(None, 3_599_899));
    assert!(aged.expired(None, 3_599_900));
    assert!(aged.expired(Some(0), u64::MAX));
}

#[test]
pub(crate) fn expiry_by_wall_time_only_where_there_is_no_age_and_a_clock() {
    let created_ms = simple().created.time_ms;
    let dated = bundle(vec![payload(b"")]).unwrap();
    assert_eq!(dated.remaining_ms(None, u64::MAX), None);
    assert!(!dated.expired(None, u64::MAX));
    assert!(!dated.expired(Some(created_ms + 3_599_999), 0));
    assert!(dated.expired(Some(created_ms + 3_600_000), 0));
    assert_eq!(dated.remaining_ms(Some(0), 0), Some(3_600_000), "a clock that is behind");
    let aged = bundle(vec![block(BlockKind::Age, 2, &[0]), payload(b"")]).unwrap();
    assert!(!aged.expired(Some(u64::MAX), 0), "a wrong clock costs no bundle");
}

#[test]
pub(crate) fn section_5_6_unknown_blocks_go_by_their_flags() {
    let unknown = |flags: BlockFlags| Block { flags, ..block(BlockKind::Unknown(200), 2, b"x") };
    let kept = bundle(vec![unknown(BlockFlags(0)), payload(b"")]).unwrap();
    assert_eq!(decode(&kept.encode()).unwrap(), kept);
    let refused = bundle(vec![unknown(BlockFlags::DELETE_BUNDLE), payload(b"")]);
    assert_eq!(refused, Err(DecodeError::MustUnderstand(2)));
    let data = [0x81, 2, 3, 0, 0x82, 2, 0x82, 2, 1, 0x80];
    let sealed =
        vec![unknown(BlockFlags::DELETE_BUNDLE), block(BlockKind::Confidentiality, 3, &data), payload(b"")];
    assert_eq!(bundle(sealed), Err(DecodeError::MustUnderstand(2)), "its type can be read all the same");
    let removed = bundle(vec![unknown(BlockFlags::DISCARD), payload(b"")]).unwrap();
    assert_eq!(decode(&removed.encode()).unwrap(), bundle(vec![payload(b"")]).unwrap());
}

#[test]
pub(crate) fn a_block_that_a_signature_covers_is_not_removed() {
    let data = [0x81, 5, 3, 0, 0x82, 2, 0x82, 2, 1, 0x80];
    let unknown =
        |number| Block { flags: BlockFlags::DISCARD, ..block(BlockKind::Unknown(200), number, b"x") };
    let signed =
        bundle(vec![block(BlockKind::Integrity, 2, &data), unknown(5), unknown(6), payload(b"")]).unwrap();
    let numbers: Vec<u64> =
        decode(&signed.encode()).unwrap().blocks().iter().map(|block| block.number).collect();
    assert_eq!(numbers, [2, 5, 1]);
}

#[test]
pub(crate) fn forwarding_counts_hops_adds_age_and_names_the_carrier() {
    let previous = eid("dtn://carrier/");
    let fresh = bundle(vec![
        block(BlockKind::HopCount, 9, &[0x82, 2, 0]),
        block(BlockKind::Age, 7, &[10]),
        payload(b"stone"),
    ])
    .unwrap();
    let once = fresh.forwarded_by(&previous, 5).unwrap();
    assert_eq!(once.previous_node(), Some(&previous));
    assert_eq!(once.age_ms(), Some(15));
    assert_eq!(once.hop_count().map(|hops| hops.count), Some(1));
    assert_eq!(once.content_id(), fresh.content_id());
    assert_eq!(decode(&once.encode()), Ok(once.clone()));
    let twice = once.forwarded_by(&eid("ipn:5.0"), u64::MAX).unwrap();
    assert_eq!(twice.previous_node(), Some(&eid("ipn:5.0")));
    assert_eq!(twice.age_ms(), Some(u64::MAX));
    assert_eq!(twice.blocks().len(), once.blocks().len());
    assert_eq!(twice.forwarded_by(&previous, 0), Err(HopLimitExceeded { limit: 2 }));
    let bare = bundle(vec![payload(b"")]).unwrap().forwarded_by(&previous, 9).unwrap();
    assert_eq!((bare.age_ms(), bare.hop_count()), (None, None));
}

#[test]
pub(crate) fn the_content_id_covers_everything_that_does_not_change_and_no_order() {
    let one = block(BlockKind::Unknown(200), 2, b"one");
    let two = block(BlockKind::Unknown(200), 3, b"two");
    let id = |blocks: Vec<Block>| bundle(blocks).unwrap().content_id();
    let base = id(vec![one.clone(), two.clone(), payload(b"x")]);
    assert_eq!(base, id(vec![two.clone(), one.clone(), payload(b"x")]));
    assert_ne!(base, id(vec![one.clone(), two.clone(), payload(b"y")]));
    assert_ne!(base, id(vec![one.clone(), payload(b"x")]));
    let swapped = [Block { number: 3, ..one }, Block { number: 2, ..two }];
    assert_ne!(base, id([&swapped[..], &[payload(b"x")]].concat()));
}

#[test]
pub(crate) fn limits_are_kept_to_the_last_byte_and_block() {
    let unknown = |number| block(BlockKind::Unknown(200), number, b"");
    let mut blocks: Vec<Block> = (2..33).map(unknown).collect();
    blocks.push(payload(b""));
    let bytes = bundle(blocks.clone()).unwrap().encode();
    assert!(decode(&bytes).is_ok());
    blocks.insert(0, unknown(33));
    let more = bundle(blocks).unwrap().encode();
    assert_eq!(decode(&more), Err(DecodeError::TooManyBlocks { blocks_max: 32 }));
    let exact = Limits { bundle_bytes_max: bytes.len(), blocks_max: 32 };
    assert!(Bundle::decode(&bytes, &exact).is_ok());
    let tight = Limits { bundle_bytes_max: bytes.len() - 1, blocks_max: 32 };
    let error = DecodeError::TooLarge { bytes: bytes.len(), bytes_max: bytes.len() - 1 };
    assert_eq!(Bundle::decode(&bytes, &tight), Err(error));
}

#[test]
pub(crate) fn rfc_9172_section_3_8_security_blocks_have_proper_targets() {
    let security = |kind, number, targets: &[u8]| {
        let mut data = vec![0x80 | u8::try_from(targets.len()).expect("few targets")];
        data.extend_from_slice(targets);
        data.extend([3, 0, 0x82, 2, 0x82, 2, 1, 0x80]);
        Block { flags: BlockFlags::REPLICATE, ..block(kind, number, &data) }
    };
    let bib = |number, targets: &[u8]| security(BlockKind::Integrity, number, targets);
    let bcb = |number, targets: &[u8]| security(BlockKind::Confidentiality, number, targets);
    let check = |mut blocks: Vec<Block>| {
        blocks.push(payload(b"x"));
        bundle(blocks).map(|_| ())
    };
    assert_eq!(check(vec![bib(2, &[0, 1])]), Ok(()));
    assert_eq!(check(vec![bcb(2, &[1])]), Ok(()));
    let wrong = Err(DecodeError::SecurityTargets(2));
    assert_eq!(check(vec![bib(2, &[])]), wrong, "no target");
    assert_eq!(check(vec![bib(2, &[1, 1])]), wrong, "one target twice");
    assert_eq!(check(vec![bib(2, &[9])]), wrong, "no such block");
    assert_eq!(check(vec![bib(2, &[2])]), wrong, "a signature of itself");
    assert_eq!(check(vec![bcb(2, &[0])]), wrong, "the primary block encrypted");
    assert_eq!(check(vec![bcb(2, &[2])]), wrong, "an envelope in itself");
    assert_eq!(check(vec![bib(3, &[1]), bib(2, &[1])]), wrong, "two signatures of one block");
    assert_eq!(check(vec![bcb(3, &[1]), bcb(2, &[1])]), wrong, "two envelopes of one block");
    assert_eq!(check(vec![bcb(3, &[1]), bib(2, &[1])]), wrong, "a readable signature of a sealed block");
    assert_eq!(check(vec![Block { flags: BlockFlags(0), ..bcb(2, &[1]) }]), wrong, "not in every fragment");
    assert_eq!(check(vec![Block { flags: BlockFlags(0x11), ..bcb(2, &[1]) }]), wrong, "may be removed");
    // A list of targets without end is not read to its end.
    let endless = Block { data: [&[0x9f][..], &[1, 2, 3].repeat(1 << 20)].concat(), ..bib(2, &[]) };
    assert_eq!(check(vec![endless]), wrong);
}

/// RFC 9173 appendix A.3.4: a signature over the primary block and an extension block, and an
/// encrypted payload.
const RFC_9173_A3: &str = "9f88070000820282010282028202018202820201820018281a000f4240850b0300005
85c8200020101820282030082820105820300828182015820cac6ce8e4c5dae57988b757e49a6dd1431dc04763541b28
45098265bc817241b81820158203ed614c0d97f49b3633627779aa18a338d212bf3c92b97759d9739cd50725596850c0
4010058348101020182028202018382014c5477656c7665313231323132820201820400818182015 0efa4b5ac0108e3
816c5606479801bc0485070200004319012c850101000058233a09c1e63fe23a7f66a59c7303837241e070b02619fc59
c5214a22f08cd70795e73e9aff";

/// RFC 9173 appendix A.1.4: a signed payload, no creation time, and no age block.
const RFC_9173_A1: &str = "9f88070000820282010282028202018202820201820018281a000f4240850b0200005
856810101018202820201828201078203008181820158403bdc69b3a34a2b5d3a8554368bd1e808f606219d2a10a846
eae3886ae4ecc83c4ee550fdfb1cc636b904e2f1a73e303dcd4b6ccece003e95e8164dcc89a156e1850101000058235
26561647920746f2067656e657261746520612033322d62797465207061796c6f6164ff";

/// RFC 9173 appendix A.2.4: an encrypted payload, nothing that protects the primary block, no age.
const RFC_9173_A2: &str = "9f88070000820282010282028202018202820201820018281a000f4240850c0201005
8508101020182028202018482014c5477656c7665313231323132820201820358 1869c411276fecddc4780df42c8a
2af89296fabf34d7fae7008204008181820150efa4b5ac0108e3816c5606479801bc04850101000058233a09c1e63fe2
3a7f66a59c7303837241e070b02619fc59c5214a22f08cd70795e73e9aff";

/// RFC 9173 appendix A.4.5: payload and signature encrypted, no age.
const RFC_9173_A4: &str = "9f88070000820282010282028202018202820201820018281a000f4240850b0300005
846438ed6208eb1c1ffb94d952175167df0902902064a2983910c4fb2340790bf420a7d1921d5bf7c4721e02ab87a93a
b1e0b75cf62e4948727c8b5dae46ed2af05439b88029191850c0201005849820301020182028202018382014c5477656
c76653132313231328202038204078281820150220ffc45c8a901999ecc60991dd78b2981820150d2c51cb2481792dae
8b21d848cede99b8501010000582390eab6457593379298a8724e16e61f837488e127212b59ac91f8a86287b7d07630a
122ff";

#[test]
pub(crate) fn the_examples_of_rfc_9173_are_read_as_far_as_rfc_9171_allows() {
    let bytes = from_hex(RFC_9173_A3);
    let bundle = decode(&bytes).unwrap();
    assert_eq!(bundle.encode(), bytes);
    assert_eq!(bundle.source(), &eid("ipn:2.1"));
    assert_eq!(bundle.destination(), &eid("ipn:1.2"));
    assert_eq!(bundle.age_ms(), Some(300));
    assert!(bundle.is_sealed());
    // The others have no creation time and no age block (section 4.4.2).
    let aged = |text: &str| {
        let mut bytes = from_hex(text);
        let payload = bytes.windows(7).rposition(|head| head == [0x85, 1, 1, 0, 0, 0x58, 0x23]).unwrap();
        bytes.splice(payload..payload, from_hex("85070900004319012c"));
        bytes
    };
    // With an age block the last one is a bundle: its signature is encrypted, and nobody without the
    // key can tell that it covers the primary block. It does.
    assert_eq!(decode(&from_hex(RFC_9173_A4)), Err(DecodeError::NoAge));
    assert_eq!(decode(&aged(RFC_9173_A4)).unwrap().encode(), aged(RFC_9173_A4));
    // Two leave the primary block without checksum and without signature, against section 4.3.1.
    for text in [RFC_9173_A1, RFC_9173_A2] {
        assert_eq!(decode(&from_hex(text)), Err(DecodeError::Unprotected));
        assert_eq!(decode(&aged(text)), Err(DecodeError::Unprotected));
    }
}

fn any_eid() -> impl Strategy<Value = Eid> {
    prop_oneof![
        "[a-zA-Z0-9._-]{1,60}/[!-}]{0,40}".prop_map(|text| eid(&format!("dtn://{text}"))),
        (any::<u32>(), 1..=u32::MAX, any::<u32>()).prop_map(|(a, n, s)| Eid::ipn(a, n, s)),
    ]
}

fn any_crc() -> impl Strategy<Value = CrcType> {
    prop_oneof![Just(CrcType::None), Just(CrcType::Crc16), Just(CrcType::Crc32)]
}

fn any_blocks() -> impl Strategy<Value = Vec<Block>> {
    let data = proptest::collection::vec(any::<u8>(), 0..80);
    let unknown = (13..1000_u64, any_crc(), data.clone());
    (proptest::collection::vec(unknown, 0..6), any_crc(), data).prop_map(|(unknown, crc, data)| {
        let mut blocks: Vec<Block> = (2..)
            .zip(unknown)
            .map(|(number, (code, crc, data))| Block {
                crc,
                ..block(BlockKind::from_code(code), number, &data)
            })
            .collect();
        blocks.push(Block { crc, ..payload(&data) });
        blocks
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_bundle_comes_back(
        source in any_eid(), destination in any_eid(), report_to in any_eid(),
        time_ms in 1..u64::MAX, seq in any::<u64>(), lifetime_ms in any::<u64>(), blocks in any_blocks(),
    ) {
        prop_assume!(source.is_singleton());
        let created = CreationTimestamp { time_ms, seq };
        let primary = Primary { report_to, created, lifetime_ms, ..primary(source, destination) };
        let bundle = Bundle::new(primary, blocks).unwrap();
        let bytes = bundle.encode();
        prop_assert_eq!(decode(&bytes), Ok(bundle));
    }

    #[test]
    fn what_is_taken_is_written_in_one_form_only(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        blocks in any_blocks(),
    ) {
        let mut bytes = bundle(blocks).unwrap().encode();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(bundle) = decode(&bytes) {
            prop_assert_eq!(decode(&bundle.encode()), Ok(bundle));
        }
    }
}
