//! How urgent a bundle is, is the word of its source: nobody on the way can add, raise or take it away.

mod common;

use cairn_bundle::bpsec::default::aes_gcm::{AesVariant, TagPlace};
use cairn_bundle::bpsec::default::{Scope, SourceKey};
use cairn_bundle::bpsec::key::SymmetricKey;
use cairn_bundle::bpsec::source::{self, Encryption, add_confidentiality};
use cairn_bundle::{
    Block, BlockFlags, BlockKind, Bundle, BundleReader, BundleView, Class, CrcType, Draft, Eid, Event,
    Header, Limits, OpenError, Prekeys, RawBundle, Reassembly, StreamLimits, open, plain, seal, sign,
    verify_source,
};
use common::pieces::{HERE, insert, whole};
use common::{Seeded, block, draft, from_hex, primary, recipient, sender, to_hex};
use proptest::prelude::*;

const CLASSES: [Class; 3] = [Class::Alert, Class::Normal, Class::Bulk];
/// The number of the class block in the profile.
const NUMBER: u64 = 6;

fn of_class(class: Class) -> Draft<'static> {
    Draft { class, ..draft(b"The river rises.") }
}

fn signed(class: Class) -> Bundle {
    sign(&of_class(class), &sender()).expect("a valid draft")
}

fn sealed(class: Class) -> Bundle {
    seal(&of_class(class), &sender(), &recipient().sealing_key(), &mut Seeded(1)).expect("a valid draft")
}

fn class_block(data: &[u8]) -> Block {
    let flags = BlockFlags::REPLICATE;
    Block { flags, crc: CrcType::None, ..block(BlockKind::Class, NUMBER, data) }
}

/// The same bundle without its class block, and with others in its place.
fn reclassed(bundle: &Bundle, classes: &[Block]) -> Bundle {
    let mut blocks = bundle.blocks().to_vec();
    blocks.retain(|block| block.kind != BlockKind::Class);
    blocks.splice(1..1, classes.iter().cloned());
    Bundle::new(bundle.primary().clone(), blocks).expect("still a bundle")
}

/// The same bundle with its integrity block claiming to cover something else.
fn rescoped(bundle: &Bundle, from: &[u8], to: &[u8]) -> Bundle {
    let mut blocks = bundle.blocks().to_vec();
    let data = &mut blocks.first_mut().expect("an integrity block").data;
    let at = data.windows(from.len()).position(|window| window == from).expect("a part of it");
    data.splice(at..at + from.len(), to.iter().copied());
    Bundle::new(bundle.primary().clone(), blocks).expect("still a bundle")
}

/// What a decoder, a view and a stream say about the class of these bytes.
fn seen(bytes: &[u8]) -> Class {
    let limits = Limits::default();
    let class = Bundle::decode(bytes, &limits).expect("a bundle").class();
    assert_eq!(BundleView::parse(bytes, &limits).expect("a bundle").class(), class);
    let mut reader = BundleReader::new(StreamLimits::default());
    assert_eq!(reader.feed(bytes).expect("a bundle").event, Event::Header);
    assert_eq!(reader.header().map(Header::class), Some(class));
    class
}

#[test]
fn every_class_travels_signed_sealed_and_plain() {
    for class in CLASSES {
        let plain = plain(&of_class(class), &sender()).unwrap();
        for bundle in [signed(class), sealed(class), plain] {
            assert_eq!(bundle.class(), class);
            let carried = bundle.forwarded_by(&Eid::ipn(0, 7, 0), 5).unwrap();
            assert_eq!(seen(&carried.encode()), class);
            assert_eq!(carried.content_id(), bundle.content_id());
            let blocks = bundle.blocks().iter().filter(|block| block.kind == BlockKind::Class);
            assert_eq!(blocks.count(), usize::from(class != Class::Normal));
        }
        assert_eq!(verify_source(&signed(class)).unwrap().class(), class);
        assert_eq!(verify_source(&sealed(class)).unwrap().class(), class);
        let opened = open(&sealed(class), &recipient(), &Prekeys::default()).unwrap();
        assert_eq!(opened.payload, b"The river rises.");
    }
}

#[test]
fn a_class_costs_ten_bytes_and_a_normal_bundle_none() {
    for bundle in [signed, sealed] {
        let bytes = |class| bundle(class).encode().len();
        assert_eq!(bytes(Class::Alert), bytes(Class::Normal) + 10);
        assert_eq!(bytes(Class::Bulk), bytes(Class::Alert));
    }
}

#[test]
fn nobody_adds_raises_lowers_or_strips_a_class() {
    for bundle in [signed, sealed] {
        for from in CLASSES {
            let honest = bundle(from);
            for to in CLASSES.into_iter().filter(|to| *to != from) {
                let code = u8::try_from(to.code()).unwrap();
                let forged = match to {
                    Class::Normal => reclassed(&honest, &[]),
                    Class::Alert | Class::Bulk => reclassed(&honest, &[class_block(&[code])]),
                };
                assert_eq!(forged.class(), to);
                assert!(matches!(verify_source(&forged), Err(OpenError::Profile | OpenError::Signature)));
            }
            // In other words, which no node of ours writes: a number that is not known, or none.
            for data in [&[1][..], &[3], &[0x18, 0], b""] {
                assert!(verify_source(&reclassed(&honest, &[class_block(data)])).is_err());
            }
        }
    }
}

#[test]
fn an_integrity_block_cannot_be_told_to_cover_less_or_more() {
    let scopes: [[&[u8]; 2]; 2] = [
        [&[0xa2, 1, 1, 0x21, 1], &[0xa3, 1, 1, 6, 3, 0x21, 1]],
        [&[0xa3, 1, 1, 3, 3, 0x21, 1], &[0xa4, 1, 1, 3, 3, 6, 3, 0x21, 1]],
    ];
    for (bundle, [without, with]) in [signed, sealed].into_iter().zip(scopes) {
        let stripped = reclassed(&bundle(Class::Bulk), &[]);
        assert_eq!(verify_source(&stripped), Err(OpenError::Profile));
        assert_eq!(verify_source(&rescoped(&stripped, with, without)), Err(OpenError::Signature));
        let added = reclassed(&bundle(Class::Normal), &[class_block(&[0])]);
        assert_eq!(verify_source(&added), Err(OpenError::Profile));
        assert_eq!(verify_source(&rescoped(&added, without, with)), Err(OpenError::Signature));
    }
}

#[test]
fn a_class_block_in_another_form_is_refused() {
    let honest = signed(Class::Alert);
    let right = class_block(&[0]);
    assert!(verify_source(&reclassed(&honest, core::slice::from_ref(&right))).is_ok());
    for (wrong, why) in [
        (Block { number: 7, ..right.clone() }, OpenError::Profile),
        (Block { crc: CrcType::Crc16, ..right.clone() }, OpenError::Profile),
        (Block { flags: BlockFlags(0), ..right.clone() }, OpenError::Signature),
        (Block { flags: BlockFlags::DISCARD, ..right.clone() }, OpenError::Signature),
    ] {
        assert_eq!(verify_source(&reclassed(&honest, &[wrong])), Err(why));
    }
    let twice = [right.clone(), Block { number: 7, ..right }];
    assert_eq!(reclassed(&honest, &twice).class(), Class::Bulk);
    assert_eq!(verify_source(&reclassed(&honest, &twice)), Err(OpenError::Profile));
}

#[test]
fn no_flipped_bit_of_an_alert_gets_through() {
    let bytes = signed(Class::Alert).forwarded_by(&Eid::ipn(0, 7, 0), 5).unwrap().encode();
    let holds = |bytes: &[u8]| {
        Bundle::decode(bytes, &Limits::default()).is_ok_and(|bundle| verify_source(&bundle).is_ok())
    };
    assert!(holds(&bytes));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(!holds(&flipped), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn every_fragment_keeps_the_class_and_the_whole_proves_it() {
    for class in CLASSES {
        let payload = vec![7; 3000];
        let cuttable = Draft { may_fragment: true, payload: &payload, ..of_class(class) };
        let bundle = sign(&cuttable, &sender()).unwrap();
        let mut parts = Reassembly::default();
        let mut last = None;
        for piece in bundle.fragment(1000).unwrap() {
            assert_eq!(seen(&piece.encode()), class);
            for smaller in piece.fragment(300).unwrap() {
                assert_eq!(smaller.class(), class);
            }
            last = Some(insert(&mut parts, &piece, HERE));
        }
        let whole = whole(last.unwrap());
        assert_eq!(verify_source(&whole.bundle).unwrap().class(), class);
        assert_eq!(whole.bundle, bundle);
    }
}

#[test]
fn what_another_stack_means_by_the_type_is_bulk_and_carried_as_it_is() {
    let foreign = |blocks: Vec<Block>| {
        let mut blocks = blocks;
        blocks.push(block(BlockKind::Payload, 1, b"hello"));
        Bundle::new(primary(Eid::ipn(0, 2, 1), Eid::ipn(0, 3, 1)), blocks).unwrap()
    };
    let one = |data: &[u8]| block(BlockKind::Class, 9, data);
    for data in [&b"temperature"[..], b"", &[3], &[0, 0], &[0x81, 0]] {
        let bundle = foreign(vec![one(data)]);
        assert_eq!(seen(&bundle.encode()), Class::Bulk, "{data:x?}");
        assert_eq!(Bundle::decode(&bundle.encode(), &Limits::default()), Ok(bundle));
    }
    let two = foreign(vec![one(&[0]), Block { number: 10, ..one(&[0]) }]);
    assert_eq!(seen(&two.encode()), Class::Bulk);
    assert_eq!(seen(&foreign(vec![]).encode()), Class::Normal);

    let mut hidden = RawBundle::from(foreign(vec![one(&[0])]));
    let how = Encryption {
        source: &Eid::ipn(0, 2, 1),
        header: source::Header::default(),
        variant: AesVariant::Aes256,
        scope: Scope::ALL,
        key: SourceKey::Shared(&SymmetricKey::new(&[7; 32]).unwrap()),
        tag: TagPlace::Result,
    };
    add_confidentiality(&mut hidden, &[9], &how, &mut Seeded(1)).unwrap();
    assert_eq!(seen(&hidden.encode()), Class::Bulk, "nobody on the way can read it");
}

#[test]
fn the_bytes_of_an_alert_do_not_change_by_accident() {
    let vector = from_hex(include_str!("vectors/alert.hex"));
    assert_eq!(to_hex(&signed(Class::Alert).encode()), to_hex(&vector));
    assert_eq!(
        verify_source(&Bundle::decode(&vector, &Limits::default()).unwrap()).unwrap().class(),
        Class::Alert
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_a_class_block_holds_is_read_alike_and_written_as_it_was(
        data in proptest::collection::vec(any::<u8>(), 0..12),
        number in 2..200_u64,
        flags in 0..0x20_u64,
    ) {
        let class = Block { flags: BlockFlags(flags & !0x02), ..block(BlockKind::Class, number, &data) };
        let blocks = vec![class, block(BlockKind::Payload, 1, b"hello")];
        let bundle = Bundle::new(primary(Eid::ipn(0, 2, 1), Eid::ipn(0, 3, 1)), blocks).unwrap();
        let bytes = bundle.encode();
        prop_assert_eq!(seen(&bytes), bundle.class());
        prop_assert_eq!(Bundle::decode(&bytes, &Limits::default()), Ok(bundle));
    }

    #[test]
    fn a_number_is_its_class_or_bulk(code in prop_oneof![0..30_u64, any::<u64>()]) {
        let class = Class::from_code(code);
        prop_assert_eq!(class.code(), code.min(2));
        let one = class_block(&[u8::try_from(class.code()).unwrap()]);
        let blocks = vec![one, block(BlockKind::Payload, 1, b"hello")];
        let bundle = Bundle::new(primary(Eid::ipn(0, 2, 1), Eid::ipn(0, 3, 1)), blocks).unwrap();
        prop_assert_eq!(bundle.class(), class);
    }
}
