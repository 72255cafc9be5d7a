//! What is sealed opens for the one it is for, exactly as it was sent, and for nobody else.

mod common;

use cairn_bundle::{
    Block, BlockFlags, BlockKind, Bundle, BundleFlags, CrcType, CreationTimestamp, DecodeError, Digest,
    Draft, Eid, EidError, Fragment, Identity, Limits, OpenError, Opened, PAYLOAD_BYTES_MAX, Prekeys,
    SealError, SealingKey, plain, read_signed, seal, seal_unpadded, sign, verify_source,
};
use common::{Seeded, draft, from_hex, recipient, sender, to_hex};
use proptest::prelude::*;

fn sealed(payload: &[u8]) -> Bundle {
    seal(&draft(payload), &sender(), &recipient().sealing_key(), &mut Seeded(1)).expect("a valid draft")
}

fn signed(payload: &[u8]) -> Bundle {
    sign(&draft(payload), &sender()).expect("a valid draft")
}

/// These tests are about the long-term key; `prekeys.rs` is about the others.
fn open(bundle: &Bundle, me: &Identity) -> Result<Opened, OpenError> {
    cairn_bundle::open(bundle, me, &Prekeys::default())
}

fn decode_and_open(bytes: &[u8]) -> Option<Vec<u8>> {
    let bundle = Bundle::decode(bytes, &Limits::default()).ok()?;
    open(&bundle, &recipient()).ok().map(|opened| opened.payload)
}

/// The same bundle with its blocks changed.
fn altered(bundle: &Bundle, change: impl Fn(&mut Vec<Block>)) -> Bundle {
    let mut blocks = bundle.blocks().to_vec();
    change(&mut blocks);
    Bundle::new(bundle.primary().clone(), blocks).expect("still a bundle")
}

fn block_mut(blocks: &mut [Block], kind: BlockKind) -> &mut Block {
    blocks.iter_mut().find(|block| block.kind == kind).expect("a sealed bundle has it")
}

#[test]
fn the_recipient_gets_what_the_sender_wrote() {
    let bundle = sealed(b"stones");
    assert!(bundle.is_sealed());
    let bytes = bundle.encode();
    assert!(!bytes.windows(6).any(|window| window == b"stones"));
    let opened = open(&Bundle::decode(&bytes, &Limits::default()).unwrap(), &recipient()).unwrap();
    assert_eq!(opened.source, sender().node_id());
    assert_eq!(opened.source_service, "chat");
    assert_eq!(opened.destination_service, "inbox");
    assert_eq!(opened.payload, b"stones");
    assert_eq!(opened.id, bundle.id());
    assert!(!format!("{opened:?}").contains("115"), "the payload is not printed");
}

#[test]
fn nobody_else_opens_it_and_not_even_the_sender() {
    let bundle = sealed(b"stones");
    assert_eq!(open(&bundle, &sender()), Err(OpenError::NotForMe));
    assert_eq!(open(&bundle, &Identity::from_seed(&[9; 32])), Err(OpenError::NotForMe));
}

#[test]
fn a_bundle_sealed_to_another_key_says_so() {
    let other = Identity::from_seed(&[9; 32]).sealing_key();
    let bundle = seal(&draft(b"x"), &sender(), &other, &mut Seeded(1)).unwrap();
    assert_eq!(open(&bundle, &recipient()), Err(OpenError::OtherKey));
}

#[test]
fn no_truncation_and_no_flipped_bit_gets_through() {
    let to = recipient().sealing_key();
    let bundle = seal_unpadded(&draft(b"stones"), &sender(), &to, &mut Seeded(1)).unwrap();
    let previous = Eid::node(&sender().node_id(), "").unwrap();
    let bytes = bundle.forwarded_by(&previous, 5).unwrap().encode();
    assert_eq!(decode_and_open(&bytes).unwrap(), b"stones");
    for end in 0..bytes.len() {
        assert_eq!(decode_and_open(&bytes[..end]), None, "cut at {end}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(decode_and_open(&flipped), None, "byte {at}, bit {bit}");
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(decode_and_open(&longer), None);
}

#[test]
fn what_carriers_change_does_not_touch_the_contents() {
    let bundle = sealed(b"stones");
    let mut carried = bundle.clone();
    for hop in 0..16 {
        let carrier = Eid::node(&Identity::from_seed(&[100 + hop; 32]).node_id(), "").unwrap();
        carried = carried.forwarded_by(&carrier, 1000).unwrap();
        carried = Bundle::decode(&carried.encode(), &Limits::default()).unwrap();
    }
    assert_eq!(carried.content_id(), bundle.content_id());
    assert_eq!(carried.id(), bundle.id());
    assert_eq!(carried.age_ms(), Some(1200 + 16_000));
    assert_eq!(open(&carried, &recipient()).unwrap().payload, b"stones");
    let previous = carried.previous_node().unwrap().clone();
    assert!(carried.forwarded_by(&previous, 0).is_err());
}

#[test]
fn a_carrier_can_neither_redirect_nor_rename_nor_prolong_it() {
    let bundle = sealed(b"stones");
    let me = recipient();
    let other = Identity::from_seed(&[9; 32]);
    let mut primary = bundle.primary().clone();
    primary.lifetime_ms += 1;
    let longer = Bundle::new(primary, bundle.blocks().to_vec()).unwrap();
    assert_eq!(open(&longer, &me), Err(OpenError::Signature));

    let mut primary = bundle.primary().clone();
    primary.source = Eid::node(&other.node_id(), "chat").unwrap();
    let renamed = Bundle::new(primary, bundle.blocks().to_vec()).unwrap();
    assert_eq!(open(&renamed, &me), Err(OpenError::Profile));

    let mut primary = bundle.primary().clone();
    primary.destination = Eid::node(&other.node_id(), "inbox").unwrap();
    let redirected = Bundle::new(primary, bundle.blocks().to_vec()).unwrap();
    assert_eq!(open(&redirected, &me), Err(OpenError::NotForMe));
    assert_eq!(open(&redirected, &other), Err(OpenError::Signature));
}

#[test]
fn parts_of_two_bundles_do_not_go_together() {
    let liar = Identity::from_seed(&[66; 32]);
    let honest = sealed(b"stones");
    let lie = seal(&draft(b"stones"), &liar, &recipient().sealing_key(), &mut Seeded(1)).unwrap();
    let mixed = Bundle::new(honest.primary().clone(), lie.blocks().to_vec()).unwrap();
    assert_eq!(open(&mixed, &recipient()), Err(OpenError::Profile));
    // Nor do parts that come from the same sender.
    let second = sealed(b"rubble");
    for kind in [BlockKind::Payload, BlockKind::Integrity, BlockKind::Confidentiality] {
        let mixed = altered(&honest, |blocks| {
            let other = second.blocks().iter().find(|block| block.kind == kind).unwrap();
            *block_mut(blocks, kind) = other.clone();
        });
        assert_eq!(open(&mixed, &recipient()), Err(OpenError::Signature));
    }
}

#[test]
fn everybody_can_check_who_sent_it_and_nobody_what() {
    let bundle = sealed(b"stones");
    let carrier = Eid::ipn(0, 7, 0);
    let carried = bundle.forwarded_by(&carrier, 60_000).unwrap();
    let verified = verify_source(&carried).unwrap();
    assert_eq!((verified.source(), verified.is_sealed()), (sender().node_id(), true));
    assert_eq!(verified.open(&recipient(), &Prekeys::default()), open(&carried, &recipient()));
    assert_eq!(verified.open(&sender(), &Prekeys::default()), Err(OpenError::NotForMe));
    let damaged = altered(&carried, |blocks| block_mut(blocks, BlockKind::Payload).data[0] ^= 1);
    assert_eq!(verify_source(&damaged), Err(OpenError::Signature));
    assert_eq!(verify_source(&plain(&draft(b"x"), &sender()).unwrap()), Err(OpenError::Unsigned));
    let mut foreign = draft(b"x");
    foreign.destination = Eid::None;
    let foreign = Bundle::new(
        common::primary(Eid::ipn(0, 1, 1), Eid::None),
        plain(&foreign, &sender()).unwrap().blocks().to_vec(),
    );
    assert_eq!(verify_source(&foreign.unwrap()), Err(OpenError::SourceNotANode));
}

#[test]
fn a_fragment_is_not_opened() {
    let bundle = sealed(b"stones");
    let mut primary = bundle.primary().clone();
    primary.flags = BundleFlags::FRAGMENT;
    primary.fragment = Some(Fragment { offset: 0, total_bytes: 10_000 });
    let fragment = Bundle::new(primary, bundle.blocks().to_vec()).unwrap();
    assert_eq!(open(&fragment, &recipient()), Err(OpenError::Fragment));
}

#[test]
fn a_bundle_without_seal_or_signature_is_refused() {
    let naked = plain(&draft(b"stones"), &sender()).unwrap();
    assert!(!naked.is_sealed());
    assert_eq!(naked.payload(), b"stones");
    assert_eq!(open(&naked, &recipient()), Err(OpenError::Unsealed));
    let bundle = sealed(b"stones");
    let without = |kind| altered(&bundle, |blocks| blocks.retain(|block| block.kind != kind));
    assert_eq!(open(&without(BlockKind::Confidentiality), &recipient()), Err(OpenError::Unsealed));
    assert_eq!(open(&without(BlockKind::Integrity), &recipient()), Err(OpenError::Unsigned));
}

#[test]
fn security_blocks_outside_of_the_profile_are_refused() {
    let bundle = sealed(b"stones");
    let me = recipient();
    let with = |kind, change: &dyn Fn(&mut Block)| {
        open(&altered(&bundle, |blocks| change(block_mut(blocks, kind))), &me)
    };
    for kind in [BlockKind::Confidentiality, BlockKind::Integrity] {
        assert_eq!(with(kind, &|block| block.number = 30), Err(OpenError::Profile));
    }
    assert_eq!(with(BlockKind::Integrity, &|block| block.data[2] = 2), Err(OpenError::Profile));
    assert_eq!(with(BlockKind::Integrity, &|block| block.data.push(0)), Err(OpenError::Profile));
    for kind in [BlockKind::Confidentiality, BlockKind::Integrity, BlockKind::Payload] {
        assert_eq!(with(kind, &|block| block.crc = CrcType::Crc16), Err(OpenError::Profile));
        assert_eq!(with(kind, &|block| block.flags = BlockFlags(0x21)), Err(OpenError::Signature));
    }
    let second = altered(&bundle, |blocks| {
        let data = [&[0x81, 4], &blocks[0].data[2..]].concat();
        blocks.insert(0, Block { number: 20, data, ..blocks[0].clone() });
    });
    assert_eq!(open(&second, &me), Err(OpenError::Profile));
}

/// The same bundle with a piece of its integrity block's data replaced.
fn with_integrity(bundle: &Bundle, from: &[u8], to: &[u8]) -> Bundle {
    altered(bundle, |blocks| {
        let block = block_mut(blocks, BlockKind::Integrity);
        let at = block.data.windows(from.len()).position(|window| window == from).expect("a part of it");
        block.data.splice(at..at + from.len(), to.iter().copied());
    })
}

/// Label and head of the payload's digest, as they stand in an integrity block.
const DIGEST_LABEL: [u8; 7] = [0x3a, 0, 1, 0, 0, 0x58, 0x20];

fn digest_header(digest: &Digest) -> Vec<u8> {
    [&DIGEST_LABEL[..], digest.as_bytes()].concat()
}

#[test]
fn the_signature_names_the_digest_of_the_payload_as_it_travels() {
    for bundle in [sealed(b"stones"), signed(b"stones")] {
        let block = bundle.blocks().iter().find(|block| block.kind == BlockKind::Integrity).unwrap();
        let header = digest_header(&Digest::of(bundle.payload()));
        assert!(block.data.windows(header.len()).any(|window| window == header));
    }
}

#[test]
fn a_swapped_payload_is_refused_with_its_own_digest_and_without() {
    for (bundle, other) in [(sealed(b"stones"), sealed(b"rubble")), (signed(b"stones"), signed(b"rubble"))] {
        let swapped = altered(&bundle, |blocks| {
            block_mut(blocks, BlockKind::Payload).data = other.payload().to_vec();
        });
        assert_eq!(verify_source(&swapped), Err(OpenError::Signature));
        let [old, new] = [&bundle, &other].map(|bundle| digest_header(&Digest::of(bundle.payload())));
        let named = with_integrity(&swapped, &old, &new);
        assert_eq!(verify_source(&named), Err(OpenError::Signature));
        assert_eq!(verify_source(&with_integrity(&bundle, &old, &new)), Err(OpenError::Signature));
    }
}

#[test]
fn a_digest_in_another_form_is_refused() {
    for bundle in [sealed(b"stones"), signed(b"stones")] {
        let header = digest_header(&Digest::of(bundle.payload()));
        let map = [&[0x58, 40, 0xa1][..], &header].concat();
        let refused = |to: &[u8]| {
            assert_eq!(verify_source(&with_integrity(&bundle, &map, to)), Err(OpenError::Profile));
        };
        // Another label, another length, another type, no digest, an empty map, another header beside it.
        refused(&[&[0x58, 40, 0xa1, 0x3a, 0, 1, 0, 1], &header[5..]].concat());
        refused(&[&[0x58, 39, 0xa1, 0x3a, 0, 1, 0, 0, 0x58, 31], &header[7..38]].concat());
        refused(&[&[0x58, 41, 0xa1, 0x3a, 0, 1, 0, 0, 0x58, 33], &header[7..], &[0]].concat());
        refused(&[&[0x58, 40, 0xa1, 0x3a, 0, 1, 0, 0, 0x78, 0x20], &header[7..]].concat());
        refused(&[0x40]);
        refused(&[0x41, 0xa0]);
        refused(&[&[0x58, 42, 0xa2, 0x04, 0x40][..], &header].concat());
        refused(&[&[0x58, 42, 0xa2][..], &header, &[0x04, 0x40]].concat());
        // The whole parameter left out, or given twice.
        let parameters = [&[0x82, 0x82, 0x03][..], &map].concat();
        let scope = |to: &[u8]| {
            assert_eq!(verify_source(&with_integrity(&bundle, &parameters, to)), Err(OpenError::Profile));
        };
        scope(&[0x81]);
        scope(&[&[0x83][..], &parameters[1..], &parameters[1..]].concat());
        scope(&[&[0x83][..], &parameters[1..], &[0x82, 0x04, 0x40]].concat());
    }
}

#[test]
fn another_scope_is_another_signature() {
    let [with_bcb, without] = [&[0xa3, 1, 1, 3, 3, 0x21, 1][..], &[0xa2, 1, 1, 0x21, 1]];
    let (sealed, signed) = (sealed(b"stones"), signed(b"stones"));
    assert_eq!(verify_source(&with_integrity(&sealed, with_bcb, without)), Err(OpenError::Profile));
    assert_eq!(verify_source(&with_integrity(&signed, without, with_bcb)), Err(OpenError::Profile));

    // Without its envelope, what was sealed does not pass for something that was only signed.
    let naked = altered(&sealed, |blocks| blocks.retain(|block| block.kind != BlockKind::Confidentiality));
    assert_eq!(verify_source(&naked), Err(OpenError::Profile));
    let renamed = with_integrity(&naked, with_bcb, without);
    assert_eq!(verify_source(&renamed), Err(OpenError::Signature));
    assert_eq!(read_signed(&renamed), Err(OpenError::Signature));

    // And an envelope around something signed does not make it sealed.
    let envelope = sealed.blocks().iter().find(|block| block.kind == BlockKind::Confidentiality).unwrap();
    let wrapped = altered(&signed, |blocks| blocks.insert(1, envelope.clone()));
    assert_eq!(open(&wrapped, &recipient()), Err(OpenError::Profile));
    let renamed = with_integrity(&wrapped, without, with_bcb);
    assert_eq!(open(&renamed, &recipient()), Err(OpenError::Signature));
}

#[test]
fn what_is_only_signed_is_read_by_everybody_and_opened_by_nobody() {
    let bundle = signed(b"stones");
    assert!(!bundle.is_sealed());
    let carried = bundle.forwarded_by(&Eid::ipn(0, 7, 0), 60_000).unwrap();
    let carried = Bundle::decode(&carried.encode(), &Limits::default()).unwrap();
    let verified = verify_source(&carried).unwrap();
    assert_eq!((verified.source(), verified.is_sealed()), (sender().node_id(), false));
    let content = read_signed(&carried).unwrap();
    assert_eq!(Ok(&content), verified.read_signed().as_ref());
    assert_eq!(content.source, sender().node_id());
    assert_eq!(content.source_service, "chat");
    assert_eq!(content.destination, &draft(b"").destination);
    assert_eq!(content.payload, b"stones");
    assert_eq!(content.id, bundle.id());
    assert_eq!(open(&carried, &recipient()), Err(OpenError::Unsealed));
    assert_eq!(verified.open(&recipient(), &Prekeys::default()), Err(OpenError::Unsealed));

    let sealed = sealed(b"stones");
    assert_eq!(read_signed(&sealed), Err(OpenError::Sealed));
    assert_eq!(read_signed(&plain(&draft(b"x"), &sender()).unwrap()), Err(OpenError::Unsigned));
}

#[test]
fn no_flipped_bit_of_a_signed_bundle_gets_through() {
    let bytes = signed(b"stones").forwarded_by(&Eid::ipn(0, 7, 0), 5).unwrap().encode();
    let read = |bytes: &[u8]| {
        let bundle = Bundle::decode(bytes, &Limits::default()).ok()?;
        read_signed(&bundle).ok().map(|content| content.payload.to_vec())
    };
    assert_eq!(read(&bytes).unwrap(), b"stones");
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(read(&flipped), None, "byte {at}, bit {bit}");
        }
        assert_eq!(read(&bytes[..at]), None, "cut at {at}");
    }
}

#[test]
fn a_group_can_be_told_something_that_it_can_check() {
    let mut alert = draft(b"The river rises.");
    alert.destination = Eid::dtn("valley", "~all").unwrap();
    let bundle = sign(&alert, &sender()).unwrap();
    let content = read_signed(&bundle).unwrap();
    assert_eq!((content.destination, content.payload), (&alert.destination, alert.payload));
    let mut wrong = draft(b"");
    wrong.hop_limit = 0;
    assert_eq!(sign(&wrong, &sender()), Err(SealError::Bundle(DecodeError::HopLimit(0))));
    let large = vec![0; PAYLOAD_BYTES_MAX + 1];
    assert_eq!(sign(&draft(&large), &sender()), Err(SealError::TooLarge { bytes: PAYLOAD_BYTES_MAX + 1 }));
    assert_eq!(read_signed(&signed(b"")).unwrap().payload, b"");
}

#[test]
fn a_bundle_may_be_cut_or_report_only_if_its_draft_says_so() {
    let flags = |may_fragment, admin_record| {
        let draft = Draft { may_fragment, admin_record, ..draft(b"stones") };
        let bundle = sign(&draft, &sender()).unwrap();
        assert_eq!(plain(&draft, &sender()).unwrap().primary(), bundle.primary());
        bundle.primary().flags
    };
    assert_eq!(flags(false, false), BundleFlags::NO_FRAGMENT);
    assert_eq!(flags(true, false), BundleFlags(0));
    assert_eq!(flags(true, true), BundleFlags::ADMIN_RECORD);
    assert!(flags(false, true).contains(BundleFlags::NO_FRAGMENT));
}

#[test]
fn a_bad_recipient_key_is_refused() {
    for key in [[0; 32], [0xff; 32]] {
        let sealed = seal(&draft(b"x"), &sender(), &SealingKey(key), &mut Seeded(1));
        assert_eq!(sealed, Err(SealError::WeakKey));
    }
}

#[test]
fn a_draft_that_cannot_be_is_refused_with_the_reason() {
    let (me, to) = (sender(), recipient().sealing_key());
    let sealed = |draft| seal(&draft, &me, &to, &mut Seeded(1)).map(|_| ());
    let mut wrong = draft(b"");
    wrong.destination = "ipn:1.1".parse().unwrap();
    assert_eq!(sealed(wrong), Err(SealError::Destination));
    let mut wrong = draft(b"");
    wrong.destination = Eid::node(&recipient().node_id(), "~all").unwrap();
    assert_eq!(sealed(wrong), Err(SealError::Destination));
    let mut wrong = draft(b"");
    wrong.source_service = "two words";
    assert_eq!(sealed(wrong), Err(SealError::Service(EidError::DtnCharacter)));
    let mut wrong = draft(b"");
    wrong.hop_limit = 0;
    assert_eq!(sealed(wrong), Err(SealError::Bundle(DecodeError::HopLimit(0))));
    let mut wrong = draft(b"");
    (wrong.creation.time_ms, wrong.age_ms) = (0, None);
    assert_eq!(sealed(wrong), Err(SealError::Bundle(DecodeError::NoAge)));
    let large = vec![0; PAYLOAD_BYTES_MAX + 1];
    assert_eq!(sealed(draft(&large)), Err(SealError::TooLarge { bytes: PAYLOAD_BYTES_MAX + 1 }));
}

#[test]
fn the_largest_payload_fits_the_default_limits() {
    let payload = vec![0x5a; PAYLOAD_BYTES_MAX];
    let bytes = sealed(&payload).encode();
    assert!(bytes.len() <= Limits::default().bundle_bytes_max);
    assert_eq!(decode_and_open(&bytes).unwrap(), payload);
}

#[test]
fn the_size_shows_the_bucket_and_not_the_payload() {
    assert_eq!(sealed(b"").encode().len(), sealed(&[7; 255]).encode().len());
    assert_ne!(sealed(b"").encode().len(), sealed(&[7; 256]).encode().len());
    let to = recipient().sealing_key();
    let bytes = |payload: &[u8]| {
        seal_unpadded(&draft(payload), &sender(), &to, &mut Seeded(1)).unwrap().encode().len()
    };
    assert_eq!(bytes(b"stones") - bytes(b""), 6);
    // Everything but the payload; docs/design/bundle.md gives this figure.
    assert_eq!(bytes(b""), OVERHEAD_BYTES);
    assert_eq!(signed(b"").encode().len(), SIGNED_OVERHEAD_BYTES);
}

/// Bytes that a signed and sealed bundle with age and hop count adds to its payload.
const OVERHEAD_BYTES: usize = 581;
/// Bytes that the same bundle adds to its payload when it is signed and not sealed.
const SIGNED_OVERHEAD_BYTES: usize = 388;

#[test]
fn a_repeated_random_number_does_not_repeat_a_key() {
    let first = sealed(b"stones");
    let second = sealed(b"rubble");
    assert_ne!(first.blocks()[1].data, second.blocks()[1].data);
    let mut later = draft(b"stones");
    later.creation = CreationTimestamp { seq: 8, ..later.creation };
    let later = seal(&later, &sender(), &recipient().sealing_key(), &mut Seeded(1)).unwrap();
    assert_ne!(first.blocks()[1].data, later.blocks()[1].data);
    assert_eq!(first, sealed(b"stones"), "and the same draft gives the same bundle");
}

#[test]
fn the_bytes_of_the_profile_do_not_change_by_accident() {
    let vector = include_str!("vectors/sealed.hex");
    assert_eq!(to_hex(&sealed(b"stones").encode()), to_hex(&from_hex(vector)));
    assert_eq!(decode_and_open(&from_hex(vector)).unwrap(), b"stones");
    let vector = include_str!("vectors/signed.hex");
    assert_eq!(to_hex(&signed(b"stones").encode()), to_hex(&from_hex(vector)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_payload_comes_back(
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
        seed in any::<u64>(),
        time_ms in any::<u64>(),
        seq in any::<u64>(),
        lifetime_ms in any::<u64>(),
        hop_limit in 1..=255_u8,
        age_ms in any::<u64>(),
        padded in any::<bool>(),
    ) {
        let mut draft = draft(&payload);
        draft.creation = CreationTimestamp { time_ms, seq };
        draft.lifetime_ms = lifetime_ms;
        draft.hop_limit = hop_limit;
        draft.age_ms = Some(age_ms);
        let to = recipient().sealing_key();
        let make = if padded { seal } else { seal_unpadded };
        let bundle = make(&draft, &sender(), &to, &mut Seeded(seed)).unwrap();
        let again = Bundle::decode(&bundle.encode(), &Limits::default()).unwrap();
        prop_assert_eq!(&again, &bundle);
        let opened = open(&again, &recipient()).unwrap();
        prop_assert_eq!(opened.payload, payload);
    }

    #[test]
    fn rubbish_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(decode_and_open(&bytes), None);
    }

    #[test]
    fn changed_bundles_are_refused_without_a_panic(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let bytes = sealed(b"stones").encode();
        let mut changed = bytes.clone();
        for (index, value) in changes {
            let at = index.index(changed.len());
            changed[at] = value;
        }
        if changed != bytes {
            prop_assert_eq!(decode_and_open(&changed), None);
        }
    }
}

#[test]
fn a_draft_does_not_show_what_may_be_sealed() {
    let shown = format!("{:?}", draft(b"ridge"));
    assert!(shown.contains("payload_bytes: 5"), "{shown}");
    assert!(!shown.contains("ridge") && !shown.contains("114, 105"), "{shown}");
}
