//! What goes over the wire, byte by byte, where no other test looks at it.

use cairn_bundle::bpsec::asb::{AsbError, SecurityBlock};
use cairn_bundle::bpsec::default::Scope;
use cairn_bundle::{
    Block, BlockFlags, BlockKind, Bundle, BundleFlags, CrcType, CreationTimestamp, Eid, Fragment, Limits,
    Primary, RawBundle, plain,
};

use crate::bpsec::common::{block, draft, from_hex, primary, recipient, sender, to_hex};
use crate::bpsec::{at_destination, encrypt, sign};

fn simple() -> Primary {
    let mut primary = primary(Eid::ipn(0, 2, 1), Eid::dtn("a", "b").unwrap());
    primary.created = CreationTimestamp { time_ms: 0x1234_5678_9abc, seq: 24 };
    primary
}

fn payload() -> Block {
    Block { crc: CrcType::None, ..block(BlockKind::Payload, 1, b"hi") }
}

#[test]
pub(crate) fn a_bundle_begins_and_ends_with_its_marks() {
    let bytes = Bundle::new(simple(), vec![payload()]).unwrap().encode();
    assert_eq!((bytes.first(), bytes.last()), (Some(&0x9f), Some(&0xff)));
    assert!(to_hex(&bytes).ends_with("8501010000426869ff"));
}

#[test]
pub(crate) fn checksums_are_in_network_byte_order() {
    for (crc, zeros) in [(CrcType::Crc16, &[0x42, 0, 0][..]), (CrcType::Crc32, &[0x44, 0, 0, 0, 0])] {
        let bytes = Primary { crc, ..simple() }.encode();
        let at = bytes.len() - (zeros.len() - 1);
        let zeroed = [&bytes[..at - 1], zeros].concat();
        let sum = match crc {
            CrcType::Crc16 => {
                crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC).checksum(&zeroed).to_be_bytes().to_vec()
            }
            _ => crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&zeroed).to_be_bytes().to_vec(),
        };
        assert_eq!(&bytes[at..], sum);
    }
}

#[test]
pub(crate) fn the_primary_block_has_its_fields_in_their_order() {
    let mut primary = simple();
    primary.flags = BundleFlags(0x40);
    let bytes = to_hex(&primary.encode());
    let fields = [
        "89",
        "07",
        "1840",
        "02",
        "820165",
        "2f2f612f62",
        "8202820201",
        "820100",
        "821b0000123456789abc1818",
        "1a0036ee80",
        "44",
    ];
    assert!(bytes.starts_with(&fields.concat()), "{bytes}");
}

#[test]
pub(crate) fn the_primary_block_has_as_many_items_as_it_needs() {
    let signed = SecurityBlock {
        targets: vec![0],
        context: 3,
        flags: 0,
        source: Eid::ipn(0, 2, 0),
        parameters: vec![],
        results: vec![vec![(1, vec![0x40])]],
    };
    let signature = Block { crc: CrcType::None, ..block(BlockKind::Integrity, 2, &signed.encode()) };
    let whole = |fragment, crc| Primary {
        flags: if fragment { BundleFlags::FRAGMENT } else { BundleFlags(0) },
        fragment: fragment.then_some(Fragment { offset: 24, total_bytes: 300 }),
        crc,
        ..simple()
    };
    for (primary, items) in [
        (whole(false, CrcType::None), 8),
        (whole(false, CrcType::Crc16), 9),
        (whole(true, CrcType::None), 10),
        (whole(true, CrcType::Crc32), 11),
    ] {
        let bytes = primary.encode();
        assert_eq!(bytes[0], 0x80 | items);
        assert_eq!(to_hex(&bytes).contains("181819012c"), items > 9);
        let bundle = Bundle::new(primary, vec![signature.clone(), payload()]).unwrap().encode();
        assert!(Bundle::decode(&bundle, &Limits::default()).is_ok());
        for wrong in [8, 9, 10, 11, 12].into_iter().filter(|wrong| *wrong != items) {
            let mut other = bundle.clone();
            other[1] = 0x80 | wrong;
            assert!(Bundle::decode(&other, &Limits::default()).is_err(), "{items} as {wrong}");
        }
    }
}

#[test]
pub(crate) fn unknown_block_flags_are_carried() {
    let odd = Block { flags: BlockFlags(0xff_ffff_ffe8), ..payload() };
    let bundle = Bundle::new(simple(), vec![odd]).unwrap();
    assert_eq!(Bundle::decode(&bundle.encode(), &Limits::default()), Ok(bundle));
}

#[test]
pub(crate) fn endpoint_ids_have_their_forms() {
    for (eid, bytes) in [
        (Eid::None, "820100"),
        (Eid::dtn("a", "b").unwrap(), "8201652f2f612f62"),
        (Eid::ipn(0, 977, 1), "82028219 03d101"),
        (Eid::ipn(5, 6, 7), "82028305 0607"),
    ] {
        assert_eq!(to_hex(&eid.encode()), bytes.replace(' ', ""));
        assert_eq!(Eid::decode(&from_hex(bytes)), Ok(eid));
    }
    for wrong in ["8101", "83010000", "8220 00", "820141 00", "820201", "8202820120", "82 1801 00"] {
        assert!(Eid::decode(&from_hex(wrong)).is_err(), "{wrong}");
    }
}

#[test]
pub(crate) fn known_blocks_hold_what_their_type_says() {
    let bundle = plain(&draft(b"hi"), &sender()).unwrap();
    let next = bundle.forwarded_by(&Eid::ipn(0, 7, 0), 300).unwrap();
    let of = |kind: BlockKind| next.blocks().iter().find(|block| block.kind == kind).unwrap();
    assert_eq!(to_hex(&of(BlockKind::PreviousNode).data), "8202820700");
    assert_eq!(to_hex(&of(BlockKind::Age).data), "1905dc");
    assert_eq!(to_hex(&of(BlockKind::HopCount).data), "821001");
    // Type, number, flags, checksum type, contents.
    let age = Block { crc: CrcType::None, ..block(BlockKind::Age, 9, &[0x18, 100]) };
    let bytes = Bundle::new(simple(), vec![age, payload()]).unwrap().encode();
    assert!(to_hex(&bytes).contains("850709000042186485"));
}

#[test]
pub(crate) fn nothing_on_the_way_changes_the_primary_block() {
    let bundle = plain(&draft(b"hi"), &sender()).unwrap();
    let mut next = bundle.clone();
    for node in 1..5 {
        next = next.forwarded_by(&Eid::ipn(0, node, 0), 1000).unwrap();
        let bytes = next.encode();
        next = Bundle::decode(&bytes, &Limits::default()).unwrap();
        assert_eq!(next.primary().encode(), bundle.primary().encode());
    }
    // Not even a spelling that this node would not choose.
    let three = Primary { report_to: Eid::decode(&from_hex("820283000602")).unwrap(), ..simple() };
    let other = Bundle::new(three.clone(), vec![payload()]).unwrap();
    let read = Bundle::decode(&other.encode(), &Limits::default()).unwrap();
    assert_eq!(read.forwarded_by(&Eid::ipn(0, 1, 0), 0).unwrap().primary().encode(), three.encode());
}

#[test]
pub(crate) fn a_new_bundle_has_no_previous_node() {
    assert_eq!(plain(&draft(b"hi"), &sender()).unwrap().previous_node(), None);
}

#[test]
pub(crate) fn a_new_bundle_is_what_was_asked_for() {
    let draft = draft(b"hi");
    let bundle = plain(&draft, &sender()).unwrap();
    assert_eq!(bundle.destination(), &Eid::node(&recipient().node_id(), "inbox").unwrap());
    assert_eq!(bundle.source().node_id(), Some(sender().node_id()));
    assert_eq!(bundle.primary().created, draft.creation);
    assert_eq!(bundle.primary().lifetime_ms, draft.lifetime_ms);
}

fn security_block() -> SecurityBlock {
    SecurityBlock {
        targets: vec![1, 24],
        context: 3,
        flags: 0,
        source: Eid::ipn(0, 2, 0),
        parameters: vec![(1, vec![0x18, 99]), (5, vec![0x41, 7])],
        results: vec![vec![(1, vec![0x41, 8])], vec![(1, vec![0x41, 9]), (2, vec![0xf6])]],
    }
}

#[test]
pub(crate) fn security_blocks_have_their_fields_in_their_order() {
    let asb = security_block();
    let fields = [
        "82011818",
        "03",
        "01",
        "8202820200",
        "82",
        "82011863",
        "82054107",
        "82",
        "8182014108",
        "82",
        "82014109",
        "8202f6",
    ];
    assert_eq!(to_hex(&asb.encode()), fields.concat());
    assert_eq!(SecurityBlock::decode(&asb.encode()).unwrap().targets, asb.targets);
    let bare = SecurityBlock { parameters: vec![], ..asb };
    assert_eq!(
        to_hex(&bare.encode()),
        [&fields[..2], &["00"], &fields[3..4], &fields[7..]].concat().concat()
    );
    for cut in 0..bare.encode().len() {
        assert!(SecurityBlock::decode(&bare.encode()[..cut]).is_err());
    }
}

#[test]
pub(crate) fn reserved_security_flags_are_ignored_and_not_written() {
    let bytes = from_hex(&to_hex(&security_block().encode()).replacen("0301", "031885", 1));
    let read = SecurityBlock::decode(&bytes).unwrap();
    assert_eq!(read.parameters, security_block().parameters);
    assert_eq!(read.encode(), security_block().encode());
}

#[test]
pub(crate) fn security_blocks_have_one_set_of_results_for_each_target() {
    for results in [vec![], vec![vec![(1, vec![0x40])]], vec![vec![(1, vec![0x40])]; 3]] {
        let asb = SecurityBlock { results, ..security_block() };
        assert_eq!(SecurityBlock::decode(&asb.encode()), Err(AsbError::ResultCount));
    }
}

#[test]
pub(crate) fn a_parameter_occurs_once() {
    let asb = SecurityBlock { parameters: vec![(1, vec![0]), (1, vec![0])], ..security_block() };
    assert_eq!(SecurityBlock::decode(&asb.encode()), Err(AsbError::DuplicatePair(1)));
}

#[test]
pub(crate) fn secured_bundles_are_bundles() {
    let mut secured = crate::bpsec::bundle();
    sign(&mut secured, &[0, 1, 2], Scope::NONE).unwrap();
    encrypt(&mut secured, &[1, 3]).unwrap();
    assert!(Bundle::decode(&secured.encode(), &Limits::default()).is_ok());
}

#[test]
pub(crate) fn only_contents_are_encrypted() {
    let before = crate::bpsec::bundle();
    let mut secured = before.clone();
    encrypt(&mut secured, &[1, 3]).unwrap();
    for number in [1, 3] {
        let (plain, hidden) = (before.block(number).unwrap(), secured.block(number).unwrap());
        assert_eq!((plain.kind, plain.number, plain.flags), (hidden.kind, hidden.number, hidden.flags));
        assert_eq!(plain.data.len(), hidden.data.len(), "the tag stands in the security block");
        assert_ne!(plain.data, hidden.data);
        assert_eq!(hidden.crc, CrcType::None);
    }
    assert_eq!(secured.block(2), before.block(2));
    assert_eq!(
        at_destination(&secured).unwrap().bundle.block(1).unwrap().data,
        before.block(1).unwrap().data
    );
}

#[test]
pub(crate) fn unassigned_flags_may_change_on_the_way() {
    let signed = |change: &dyn Fn(&mut RawBundle)| {
        let mut secured = crate::bpsec::bundle();
        sign(&mut secured, &[3], Scope::ALL).unwrap();
        change(&mut secured);
        at_destination(&secured).is_ok_and(|processed| processed.bundle.block(3).is_some())
    };
    assert!(signed(&|_| ()));
    assert!(signed(&|bundle| bundle.block_mut(3).unwrap().flags.0 ^= 0x68));
    assert!(!signed(&|bundle| bundle.block_mut(3).unwrap().flags.0 ^= 0x01));
}
