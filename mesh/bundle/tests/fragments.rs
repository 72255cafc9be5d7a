//! RFC 9171 sections 5.8 and 5.9: bundles in pieces, and what liars make of them.

mod common;

use cairn_bundle::{
    Block, BlockFlags, BlockKind, Bundle, BundleFlags, CrcType, Draft, Eid, Fragment, FragmentError,
    Inserted, Limits, Origin, Prekeys, Reassembly, open, seal, verify_source,
};
use common::pieces::{HERE, at, bundle, bytes, eid, insert, numbers, whole};
use common::{Seeded, block, draft, primary, recipient, sender};
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
pub(crate) fn section_5_8_the_pieces_of_a_payload_join_to_it() {
    let bundle = bundle(&bytes(1000));
    let pieces = bundle.fragment(300).unwrap();
    let lengths: Vec<usize> = pieces.iter().map(|piece| piece.payload().len()).collect();
    assert_eq!(lengths, [300, 300, 300, 100]);
    let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece.payload()).copied().collect();
    assert_eq!(joined, bundle.payload());
    for piece in &pieces {
        assert_eq!(Bundle::decode(&piece.encode(), &Limits::default()).as_ref(), Ok(piece));
    }
}

#[test]
pub(crate) fn section_5_8_pieces_have_the_primary_block_of_the_whole_with_offset_length_and_a_new_checksum() {
    let bundle = bundle(&bytes(10));
    for (piece, offset) in bundle.fragment_at(&[4, 9]).unwrap().iter().zip([0, 4, 9]) {
        let found = piece.primary();
        assert!(found.flags.contains(BundleFlags::FRAGMENT));
        assert_eq!(found.fragment, Some(Fragment { offset, total_bytes: 10 }));
        let mut undone = found.clone();
        undone.flags = BundleFlags(found.flags.0 & !1);
        undone.fragment = None;
        assert_eq!(&undone, bundle.primary());
        let (new, old) = (found.encode(), bundle.primary().encode());
        assert_ne!(new[new.len() - 4..], old[old.len() - 4..]);
    }
}

#[test]
pub(crate) fn section_5_8_all_blocks_go_into_the_first_piece_and_marked_ones_into_all() {
    let pieces = bundle(&bytes(10)).fragment(5).unwrap();
    assert_eq!(numbers(&pieces[0]), [2, 3, 4, 5, 1]);
    assert_eq!(numbers(&pieces[1]), [3, 4, 5, 1]);
    // A piece that is not the first has no block to lose: all go with its own first piece.
    let once = Bundle::new(
        pieces[1].primary().clone(),
        [vec![block(BlockKind::Unknown(200), 9, b"late")], pieces[1].blocks().to_vec()].concat(),
    );
    let again = once.unwrap().fragment(3).unwrap();
    assert_eq!(numbers(&again[0]), [9, 3, 4, 5, 1]);
    assert_eq!(numbers(&again[1]), [3, 4, 5, 1]);
}

#[test]
pub(crate) fn section_5_8_a_fragment_can_be_cut_again_and_there_is_one_level_only() {
    let bundle = bundle(&bytes(100));
    let piece = &bundle.fragment(60).unwrap()[1];
    let again = piece.fragment(30).unwrap();
    assert_eq!(again[0].primary().fragment, Some(Fragment { offset: 60, total_bytes: 100 }));
    assert_eq!(again[1].primary().fragment, Some(Fragment { offset: 90, total_bytes: 100 }));
    assert_eq!(again[1].payload(), &bundle.payload()[90..]);
}

#[test]
pub(crate) fn section_5_8_a_bundle_that_forbids_it_is_not_cut() {
    let mut forbidden = primary(eid("ipn:2.1"), eid("ipn:3.1"));
    forbidden.flags = BundleFlags::NO_FRAGMENT;
    let mut anonymous = forbidden.clone();
    anonymous.source = Eid::None;
    for primary in [forbidden, anonymous] {
        let bundle = Bundle::new(primary, vec![block(BlockKind::Payload, 1, b"hello")]).unwrap();
        assert_eq!(bundle.fragment(2), Err(FragmentError::Forbidden));
        assert_eq!(bundle.fragment_at(&[1]), Err(FragmentError::Forbidden));
        assert_eq!(bundle.fragment_to_fit(20), Err(FragmentError::Forbidden));
        assert_eq!(bundle.fragment(5), Ok(vec![bundle.clone()]));
    }
}

#[test]
pub(crate) fn section_5_8_no_piece_is_empty_so_nothing_cuts_a_payload_of_one_byte_or_none() {
    for payload in [&b""[..], b"x"] {
        let bundle = bundle(payload);
        assert_eq!(bundle.fragment(1), Ok(vec![bundle.clone()]));
        assert_eq!(bundle.fragment_at(&[]), Ok(vec![bundle.clone()]));
        for cut in [0, 1, 2] {
            assert!(matches!(bundle.fragment_at(&[cut]), Err(FragmentError::Cut { .. })), "{cut}");
        }
        assert!(matches!(bundle.fragment_to_fit(10), Err(FragmentError::TooSmall { .. })));
        let bytes = bundle.encode().len();
        assert_eq!(
            bundle
                .fragment_to_fit(bytes - 1)
                .map(|_| ())
                .map_err(|error| matches!(error, FragmentError::TooSmall { .. })),
            Err(true)
        );
    }
    let bundle = bundle(b"hello");
    assert_eq!(bundle.fragment(0), Err(FragmentError::TooSmall { bytes_min: 1, bytes_max: 0 }));
    for (cuts, wrong) in [(&[0][..], 0), (&[5], 5), (&[6], 6), (&[3, 3], 3), (&[3, 2], 2)] {
        assert_eq!(bundle.fragment_at(cuts), Err(FragmentError::Cut { at: wrong }), "{cuts:?}");
    }
}

#[test]
pub(crate) fn more_pieces_than_the_limit_are_refused_before_any_is_made() {
    let bundle = bundle(&bytes((1 << 16) + 1));
    assert_eq!(bundle.fragment(1), Err(FragmentError::TooMany));
}

#[test]
fn what_every_piece_repeats_is_limited_together() {
    let mut large = block(BlockKind::Unknown(200), 2, &bytes(1 << 20));
    large.flags = BlockFlags::REPLICATE;
    let blocks = vec![large, block(BlockKind::Payload, 1, &bytes(1000))];
    let bundle = Bundle::new(primary(eid("ipn:2.1"), eid("ipn:3.1")), blocks).unwrap();
    assert_eq!(bundle.fragment(1), Err(FragmentError::TooMuchRepeated));
    let Err(FragmentError::TooSmall { bytes_min, .. }) = bundle.fragment_to_fit(1 << 20) else {
        panic!("the block alone is larger")
    };
    assert_eq!(bundle.fragment_to_fit(bytes_min + 5), Err(FragmentError::TooMuchRepeated));
    // The first piece repeats nothing.
    assert_eq!(bundle.fragment(16).map(|pieces| pieces.len()), Ok(63));
    assert_eq!(bundle.fragment(15), Err(FragmentError::TooMuchRepeated));
}

#[test]
pub(crate) fn pieces_fill_a_frame_and_never_exceed_it() {
    let bundle = bundle(&bytes(70_000));
    for bytes_max in [150, 255, 300, 1400, 66_000] {
        let pieces = bundle.fragment_to_fit(bytes_max).unwrap();
        let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece.payload()).copied().collect();
        assert_eq!(joined, bundle.payload());
        for piece in &pieces[..pieces.len() - 1] {
            let encoded = piece.encode().len();
            // A longer head of the payload can make one or two bytes unusable.
            assert!(encoded <= bytes_max && encoded + 2 >= bytes_max, "{encoded} of {bytes_max}");
        }
        assert!(pieces[pieces.len() - 1].encode().len() <= bytes_max);
    }
    let Err(FragmentError::TooSmall { bytes_min, .. }) = bundle.fragment_to_fit(30) else {
        panic!("thirty bytes hold no fragment")
    };
    assert!(bundle.fragment_to_fit(bytes_min - 1).is_err());
}

#[test]
pub(crate) fn rfc_9172_section_5_2_security_blocks_are_copied_and_hold_again_when_it_is_whole() {
    let contents = bytes(3000);
    let cuttable = Draft { may_fragment: true, ..draft(&contents) };
    let sealed = seal(&cuttable, &sender(), &recipient().sealing_key(), &mut Seeded(1)).unwrap();
    let pieces = sealed.fragment(1000).unwrap();
    let mut parts = Reassembly::default();
    let mut found = None;
    let kinds = |piece: &Bundle, kind| piece.blocks().iter().filter(|block| block.kind == kind).count();
    for (index, piece) in pieces.iter().enumerate() {
        // The envelope says in each piece that these bytes are encrypted (section 3.8).
        assert_eq!(kinds(piece, BlockKind::Confidentiality), 1);
        assert_eq!(kinds(piece, BlockKind::Integrity), usize::from(index == 0));
        assert!(Bundle::decode(&piece.encode(), &Limits::default()).is_ok());
        assert!(open(piece, &recipient(), &Prekeys::default()).is_err());
        found = insert(&mut parts, piece, HERE).whole;
    }
    let whole = found.expect("all parts are here");
    assert!(verify_source(&whole.bundle).is_ok());
    assert_eq!(open(&whole.bundle, &recipient(), &Prekeys::default()).unwrap().payload, contents);
    let sealed = seal(&draft(&contents), &sender(), &recipient().sealing_key(), &mut Seeded(1)).unwrap();
    assert_eq!(sealed.fragment(1000), Err(FragmentError::Forbidden));
}

#[test]
pub(crate) fn a_security_block_takes_its_targets_along_and_an_encrypted_block_its_envelope() {
    let security = |kind, number, targets: &[u8], flags| {
        let mut data = vec![0x80 | u8::try_from(targets.len()).unwrap()];
        data.extend_from_slice(targets);
        Block { flags, ..block(kind, number, &data) }
    };
    // The envelope (3) of payload and signature (2) goes everywhere, the signature is not marked.
    // The age (5) is encrypted by an envelope (4) that is not marked.
    let blocks = vec![
        block(BlockKind::Integrity, 2, b"encrypted"),
        security(BlockKind::Confidentiality, 3, &[1, 2], BlockFlags::REPLICATE),
        security(BlockKind::Confidentiality, 4, &[5], BlockFlags(0)),
        block(BlockKind::Age, 5, b"encrypted"),
        block(BlockKind::Payload, 1, b"hello"),
    ];
    let whole = Bundle::new(primary(eid("ipn:2.1"), eid("ipn:3.1")), blocks).unwrap();
    for piece in whole.fragment(2).unwrap() {
        assert_eq!(numbers(&piece), [2, 3, 4, 5, 1]);
    }
}

#[test]
pub(crate) fn a_piece_without_the_signature_gets_a_checksum() {
    let mut unprotected = primary(eid("ipn:2.1"), eid("ipn:3.1"));
    unprotected.crc = CrcType::None;
    let blocks = vec![block(BlockKind::Integrity, 2, &[0x81, 0]), block(BlockKind::Payload, 1, b"hello")];
    let whole = Bundle::new(unprotected, blocks).unwrap();
    let pieces = whole.fragment(3).unwrap();
    assert_eq!(pieces[0].primary().crc, CrcType::None);
    assert_eq!(pieces[1].primary().crc, CrcType::Crc32);
    let mut parts = Reassembly::default();
    insert(&mut parts, &pieces[1], HERE);
    assert_eq!(self::whole(insert(&mut parts, &pieces[0], HERE)).bundle, whole);
}

#[test]
pub(crate) fn section_5_9_the_whole_has_the_blocks_of_the_first_piece_and_its_age() {
    let original = bundle(&bytes(100));
    let pieces = original.fragment(40).unwrap();
    let first = pieces[0].aged_by(7);
    let mut parts = Reassembly::default();
    insert(&mut parts, &pieces[2].aged_by(1000), HERE);
    assert!(matches!(parts.insert(first, HERE, at(50)), Ok(Inserted::Stored(_))));
    let Ok(Inserted::Stored(progress)) = parts.insert(pieces[1].clone(), HERE, at(80)) else {
        panic!("not stored")
    };
    let whole = whole(progress);
    assert_eq!(whole.bundle, original.aged_by(7));
    assert_eq!(whole.bundle.content_id(), original.content_id());
    assert_eq!(whole.held_ms, 30);
}

#[test]
pub(crate) fn section_5_9_what_is_missing_is_known_at_any_time() {
    let pieces = bundle(&bytes(100)).fragment(10).unwrap();
    let mut parts = Reassembly::default();
    let id = insert(&mut parts, &pieces[3], HERE).id;
    assert_eq!(parts.missing(&id).collect::<Vec<_>>(), [0..30, 40..100]);
    insert(&mut parts, &pieces[0], HERE);
    insert(&mut parts, &pieces[9], HERE);
    assert_eq!(parts.missing(&id).collect::<Vec<_>>(), [10..30, 40..90]);
    assert_eq!(parts.parts(&id).count(), 3);
    assert_eq!(parts.pending().count(), 1);
    parts.forget(&id);
    assert_eq!((parts.missing(&id).count(), parts.stored_bytes()), (0, 0));
}

#[test]
pub(crate) fn a_fragment_that_brings_nothing_is_a_duplicate_and_a_late_one_does_not_reopen_a_bundle() {
    let original = bundle(&bytes(30));
    let pieces = original.fragment(10).unwrap();
    let mut parts = Reassembly::default();
    insert(&mut parts, &pieces[1], HERE);
    let stored = parts.stored_bytes();
    assert_eq!(parts.insert(pieces[1].clone(), HERE, at(0)), Ok(Inserted::Duplicate));
    // The same piece after one more hop is still the same.
    let later = pieces[1].forwarded_by(&eid("ipn:9.0"), 5).unwrap();
    assert_eq!(parts.insert(later, HERE, at(0)), Ok(Inserted::Duplicate));
    assert_eq!(parts.insert(pieces[1].fragment(4).unwrap()[1].clone(), HERE, at(0)), Ok(Inserted::Duplicate));
    assert_eq!(parts.stored_bytes(), stored);
    insert(&mut parts, &pieces[0], HERE);
    let id = whole(insert(&mut parts, &pieces[2], HERE)).id;
    parts.accept(&id);
    assert_eq!(parts.insert(pieces[0].clone(), HERE, at(0)), Ok(Inserted::Late));
    assert_eq!((parts.pending().count(), parts.stored_bytes()), (0, 0));
    parts.accept(&id);
}

#[test]
pub(crate) fn what_was_cut_against_the_will_of_its_signer_is_put_together_and_does_not_verify() {
    let sealed = seal(&draft(&bytes(2000)), &sender(), &recipient().sealing_key(), &mut Seeded(2)).unwrap();
    // Nobody can cut this bundle without breaking its flags, so the pieces are made by hand.
    let mut parts = Reassembly::default();
    let total_bytes = u64::try_from(sealed.payload().len()).unwrap();
    let (left, right) = sealed.payload().split_at(1000);
    for (offset, payload) in [(0, left), (1000, right)] {
        let mut primary = sealed.primary().clone();
        primary.flags = BundleFlags(primary.flags.0 & !BundleFlags::NO_FRAGMENT.0 | BundleFlags::FRAGMENT.0);
        primary.fragment = Some(Fragment { offset, total_bytes });
        let mut blocks = sealed.blocks().to_vec();
        blocks.last_mut().unwrap().data = payload.to_vec();
        let piece = Bundle::new(primary, blocks).unwrap();
        if let Some(whole) = insert(&mut parts, &piece, HERE).whole {
            assert_eq!(whole.bundle.payload(), sealed.payload());
            // The flag is signed: what was cut against the source's will is refused.
            assert!(verify_source(&whole.bundle).is_err());
        }
    }
}

proptest! {
    #[test]
    fn any_cuts_in_any_order_with_repeats_and_overlaps_give_the_same_bundle(
        payload in vec(any::<u8>(), 2..400),
        episodes in vec((vec(any::<u16>(), 1..6), vec(any::<u16>(), 0..3)), 1..4),
        order in any::<u64>(),
        repeats in 0_usize..4,
    ) {
        let original = bundle(&payload);
        let mut pieces = Vec::new();
        for (cuts, again) in &episodes {
            for piece in cut(&original, cuts) {
                pieces.extend(cut(&piece, again));
            }
        }
        for index in 0..repeats {
            pieces.push(pieces[index % pieces.len()].forwarded_by(&eid("ipn:7.0"), 1).unwrap());
        }
        let mut rng = Seeded(order);
        pieces.sort_by_cached_key(|_| rand_core::TryRng::try_next_u64(&mut rng).unwrap());
        let mut parts = Reassembly::default();
        let mut found = None;
        for (index, piece) in pieces.iter().enumerate() {
            let bytes = piece.encode();
            let piece = Bundle::decode(&bytes, &Limits::default()).unwrap();
            let origin = Origin(u64::try_from(index % 3).unwrap());
            if piece.primary().fragment.is_none() {
                found = Some(piece);
                continue;
            }
            if let Ok(Inserted::Stored(progress)) = parts.insert(piece, origin, at(0)) {
                prop_assert_eq!(&progress.conflict, &None);
                found = progress.whole.map(|whole| whole.bundle).or(found);
            }
        }
        let found = found.expect("all parts were inserted");
        prop_assert_eq!(found.content_id(), original.content_id());
        prop_assert_eq!(found.payload(), original.payload());
        prop_assert_eq!(found.primary(), original.primary());
    }

    #[test]
    fn the_missing_ranges_and_the_present_ones_make_up_the_whole(
        size in 1_usize..300,
        cuts in vec(any::<u16>(), 0..12),
        present in vec(any::<bool>(), 13),
    ) {
        let original = bundle(&bytes(size));
        let pieces = cut(&original, &cuts);
        prop_assume!(pieces.len() > 1);
        let mut parts = Reassembly::default();
        let mut here = vec![false; size];
        let mut id = None;
        for (piece, present) in pieces.iter().zip(&present) {
            if *present {
                let start = usize::try_from(piece.primary().fragment.unwrap().offset).unwrap();
                here[start..start + piece.payload().len()].fill(true);
                id = Some(insert(&mut parts, piece, HERE).id);
            }
        }
        if let Some(id) = id {
            for range in parts.missing(&id) {
                for byte in range {
                    let byte = usize::try_from(byte).unwrap();
                    prop_assert!(!here[byte]);
                    here[byte] = true;
                }
            }
            prop_assert!(here.iter().all(|byte| *byte));
        }
    }
}

/// The bundle cut at these places, as far as they are inside it.
fn cut(bundle: &Bundle, cuts: &[u16]) -> Vec<Bundle> {
    let len = bundle.payload().len();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) % len.max(1)).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts.retain(|cut| *cut > 0);
    bundle.fragment_at(&cuts).expect("valid cuts")
}
