//! RFC 9171 section 5.9 among liars: what a forged fragment can spoil, and every limit.

mod common;

use cairn_bundle::{
    BlockKind, Bundle, Conflict, Fragment, Inserted, Origin, Reassembly, ReassemblyError, ReassemblyLimits,
};
use common::pieces::{HERE, LIAR, at, bundle, bytes, eid, insert, whole, with_payload};
use common::{Seeded, block, primary};
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn what_is_no_fragment_or_too_late_or_too_large_is_refused() {
    let original = bundle(&bytes(30));
    let mut parts =
        Reassembly::new(ReassemblyLimits { payload_bytes_max: 29, ..ReassemblyLimits::default() });
    assert_eq!(parts.insert(original.clone(), HERE, at(0)), Err(ReassemblyError::NotAFragment));
    let piece = original.fragment(10).unwrap().remove(0);
    let error = ReassemblyError::TooLarge { bytes: 30, bytes_max: 29 };
    assert_eq!(parts.insert(piece.clone(), HERE, at(0)), Err(error));
    let mut parts = Reassembly::default();
    assert_eq!(parts.insert(piece.aged_by(3_600_000), HERE, at(0)), Err(ReassemblyError::Expired));
    // A length that nobody could store costs nothing.
    let mut primary = piece.primary().clone();
    primary.fragment = Some(Fragment { offset: u64::MAX - 10, total_bytes: u64::MAX });
    let far = Bundle::new(primary, piece.blocks().to_vec()).unwrap();
    assert!(matches!(parts.insert(far, HERE, at(0)), Err(ReassemblyError::TooLarge { .. })));
    assert_eq!(parts.stored_bytes(), 0);
}

#[test]
fn a_fragment_waits_no_longer_than_its_lifetime_and_takes_no_other_along() {
    let pieces = bundle(&bytes(30)).fragment(10).unwrap();
    let mut parts = Reassembly::default();
    let id = insert(&mut parts, &pieces[0], HERE).id;
    // Its age is a lie; only itself expires early.
    insert(&mut parts, &pieces[1].aged_by(3_000_000), LIAR);
    assert_eq!(parts.deadline(), Some(599_900));
    assert!(parts.expire(599_899).is_empty());
    assert_eq!(parts.parts(&id).count(), 2);
    assert!(parts.expire(599_900).is_empty());
    assert_eq!(parts.parts(&id).count(), 1);
    assert_eq!(parts.deadline(), Some(3_599_900));
    assert_eq!(parts.expire(3_599_900), [id]);
    assert_eq!((parts.stored_bytes(), parts.deadline()), (0, None));
}

#[test]
fn a_fragment_nobody_can_date_waits_for_the_limit() {
    let limits = ReassemblyLimits { waiting_ms_max: 1000, ..ReassemblyLimits::default() };
    let blocks = vec![block(BlockKind::Payload, 1, b"hello")];
    let undated = Bundle::new(primary(eid("ipn:2.1"), eid("ipn:3.1")), blocks).unwrap();
    let mut parts = Reassembly::new(limits);
    insert(&mut parts, &undated.fragment(3).unwrap()[0], HERE);
    assert_eq!(parts.deadline(), Some(1000));
}

#[test]
fn fragments_whose_primary_blocks_disagree_are_kept_apart() {
    let original = bundle(&bytes(30));
    let pieces = original.fragment(10).unwrap();
    let lie = bundle(&bytes(40)).fragment(10).unwrap();
    let mut primary = pieces[1].primary().clone();
    primary.lifetime_ms += 1;
    let other = Bundle::new(primary, pieces[1].blocks().to_vec()).unwrap();
    let mut parts = Reassembly::default();
    assert_eq!(insert(&mut parts, &lie[1], LIAR).conflict, None);
    assert_eq!(insert(&mut parts, &pieces[0], HERE).conflict, Some(Conflict::Primary));
    assert_eq!(insert(&mut parts, &other, LIAR).conflict, Some(Conflict::Primary));
    assert_eq!(parts.pending().count(), 3);
    insert(&mut parts, &pieces[1], HERE);
    let whole = whole(insert(&mut parts, &pieces[2], HERE));
    assert_eq!(whole.bundle, original);
    parts.accept(&whole.id);
    assert_eq!(parts.pending().count(), 0);
}

#[test]
fn bytes_that_differ_replace_nothing_and_both_versions_are_offered() {
    let original = bundle(&bytes(30));
    let pieces = original.fragment(10).unwrap();
    let lie = with_payload(&pieces[1], b"0123456789");
    let mut parts = Reassembly::default();
    insert(&mut parts, &lie, LIAR);
    insert(&mut parts, &pieces[0], HERE);
    let first = whole(insert(&mut parts, &pieces[2], HERE));
    assert_ne!(first.bundle, original);
    assert_eq!(parts.missing(&first.id).count(), 0);
    assert_eq!(parts.refuse(&first.id, 0), None);
    // Nothing else can be made of it, so all of it is asked for again.
    assert!(parts.missing(&first.id).eq([core::ops::Range { start: 0, end: 30 }]));
    let progress = insert(&mut parts, &pieces[1], HERE);
    assert_eq!(progress.conflict, Some(Conflict::Bytes(10..20)));
    assert_eq!(whole(progress).bundle, original);
    assert_eq!(parts.missing(&first.id).count(), 0);
}

#[test]
fn liars_on_two_links_do_not_spoil_what_comes_in_full_over_a_third() {
    let original = bundle(&bytes(64));
    let pieces = original.fragment(8).unwrap();
    let mut parts = Reassembly::default();
    // Three lies for every place, and then the truth: far more combinations than are ever offered.
    for piece in &pieces {
        for (lie, origin) in [(b"liarliar", LIAR), (b"pantsfir", LIAR), (b"crookedy", Origin(3))] {
            insert(&mut parts, &with_payload(piece, lie), origin);
        }
    }
    let id = parts.pending().next().unwrap().clone();
    let mut refused = 0;
    while parts.refuse(&id, 0).is_some() {
        refused += 1;
    }
    assert!(refused <= 5 * ReassemblyLimits::default().offers_max);
    let mut offers = Vec::new();
    for piece in &pieces {
        offers.extend(insert(&mut parts, piece, HERE).whole);
    }
    while let Some(next) = parts.refuse(&id, 0) {
        offers.push(next);
    }
    assert!(offers.iter().any(|offer| offer.bundle == original));
}

#[test]
fn one_liar_among_several_links_does_not_spoil_what_the_others_bring_together() {
    let original = bundle(&bytes(80));
    let pieces = original.fragment(8).unwrap();
    let mut parts = Reassembly::default();
    for piece in &pieces {
        insert(&mut parts, &with_payload(piece, b"liarliar"), LIAR);
    }
    let mut offers = Vec::new();
    for (piece, link) in pieces.iter().zip([3, 4].into_iter().cycle()) {
        offers.extend(insert(&mut parts, piece, Origin(link)).whole);
    }
    let id = parts.pending().next().unwrap().clone();
    while let Some(next) = parts.refuse(&id, 0) {
        offers.push(next);
    }
    assert!(offers.iter().any(|offer| offer.bundle == original));
}

#[test]
fn a_true_fragment_with_a_false_age_does_not_erase_the_true_one() {
    let pieces = bundle(&bytes(30)).fragment(10).unwrap();
    let mut parts = Reassembly::default();
    let id = insert(&mut parts, &pieces[0].aged_by(3_599_000), LIAR).id;
    assert_eq!(parts.deadline(), Some(900));
    assert_eq!(parts.insert(pieces[0].clone(), HERE, at(0)), Ok(Inserted::Duplicate));
    assert_eq!(parts.deadline(), Some(3_599_900));
    assert_eq!(parts.insert(pieces[0].aged_by(3_599_000), LIAR, at(0)), Ok(Inserted::Duplicate));
    assert_eq!(parts.deadline(), Some(3_599_900));
    insert(&mut parts, &pieces[1], HERE);
    assert_eq!(whole(insert(&mut parts, &pieces[2], HERE)).bundle, bundle(&bytes(30)));
    parts.forget(&id);
    assert_eq!(parts.stored_bytes(), 0);
}

#[test]
fn contradictions_at_every_place_cost_bounded_work() {
    // Two versions of each of 150 bytes, and overlaps that agree: more combinations than atoms.
    let original = bundle(&bytes(150));
    let ones = original.fragment(1).unwrap();
    let limits = ReassemblyLimits {
        bytes_max: usize::MAX,
        origin_bytes_max: usize::MAX,
        ..ReassemblyLimits::default()
    };
    let mut parts = Reassembly::new(limits);
    for piece in &ones {
        insert(&mut parts, &with_payload(piece, b"!"), LIAR);
    }
    for (size, origin) in [(3, HERE), (2, Origin(3))] {
        for piece in &original.fragment(size).unwrap() {
            insert(&mut parts, piece, origin);
        }
    }
    let id = parts.pending().next().unwrap().clone();
    let refused = (0..).take_while(|_| parts.refuse(&id, 0).is_some()).count();
    assert!(refused < 6 * limits.offers_max, "{refused}");
}

#[test]
fn a_false_first_piece_is_another_version_of_the_whole() {
    let original = bundle(&bytes(20));
    let pieces = original.fragment(10).unwrap();
    let mut blocks = pieces[0].blocks().to_vec();
    blocks[0].data = b"forged".to_vec();
    let forged = Bundle::new(pieces[0].primary().clone(), blocks).unwrap();
    let mut parts = Reassembly::default();
    insert(&mut parts, &forged, LIAR);
    assert_eq!(insert(&mut parts, &pieces[0], HERE).conflict, Some(Conflict::Bytes(0..10)));
    let first = whole(insert(&mut parts, &pieces[1], HERE));
    let found = if first.bundle == original { first } else { *parts.refuse(&first.id, 0).unwrap() };
    assert_eq!(found.bundle, original);
}

#[test]
fn each_limit_refuses_one_more_and_changes_nothing() {
    let pieces = bundle(&bytes(40)).fragment(10).unwrap();
    let refused = |limits, error| {
        let mut parts = Reassembly::new(limits);
        insert(&mut parts, &pieces[0], LIAR);
        let before = parts.stored_bytes();
        assert_eq!(parts.insert(pieces[1].clone(), LIAR, at(0)), Err(error));
        assert_eq!(parts.stored_bytes(), before);
        parts
    };
    let usual = ReassemblyLimits::default();
    let weight = {
        let mut parts = Reassembly::default();
        insert(&mut parts, &pieces[0], LIAR);
        parts.stored_bytes()
    };
    refused(ReassemblyLimits { bytes_max: weight + 1, ..usual }, ReassemblyError::BytesFull);
    refused(ReassemblyLimits { fragments_max: 1, ..usual }, ReassemblyError::FragmentsFull);
    // What one origin used up is not missing to another.
    let mut parts =
        refused(ReassemblyLimits { origin_bytes_max: weight + 1, ..usual }, ReassemblyError::BytesFull);
    insert(&mut parts, &pieces[1], HERE);
    let mut parts =
        refused(ReassemblyLimits { origin_fragments_max: 1, ..usual }, ReassemblyError::FragmentsFull);
    insert(&mut parts, &pieces[1], HERE);

    let another = bundle(&bytes(50)).fragment(10).unwrap();
    let mut parts = Reassembly::new(ReassemblyLimits { origin_wholes_max: 1, ..usual });
    insert(&mut parts, &pieces[0], LIAR);
    assert_eq!(parts.insert(another[0].clone(), LIAR, at(0)), Err(ReassemblyError::WholesFull));
    insert(&mut parts, &another[0], HERE);
    let mut parts = Reassembly::new(ReassemblyLimits { wholes_max: 1, ..usual });
    insert(&mut parts, &pieces[0], LIAR);
    assert_eq!(parts.insert(another[0].clone(), HERE, at(0)), Err(ReassemblyError::WholesFull));
}

#[test]
fn the_oldest_accepted_name_is_forgotten_at_the_limit() {
    let mut parts = Reassembly::new(ReassemblyLimits { accepted_max: 1, ..ReassemblyLimits::default() });
    let [first, second] = [20, 30].map(|count| bundle(&bytes(count)).fragment(10).unwrap());
    for pieces in [&first, &second] {
        pieces.iter().for_each(|piece| drop(parts.insert(piece.clone(), HERE, at(0))));
        let id = parts.pending().next().unwrap().clone();
        parts.accept(&id);
    }
    assert_eq!(parts.insert(second[0].clone(), HERE, at(0)), Ok(Inserted::Late));
    assert!(matches!(parts.insert(first[0].clone(), HERE, at(0)), Ok(Inserted::Stored(_))));
}

proptest! {
    #[test]
    fn what_one_neighbour_brings_in_full_is_offered_whatever_others_forge(
        size in 2_usize..60,
        piece in 1_usize..20,
        lies in vec((any::<usize>(), 1_usize..25, any::<u8>()), 0..12),
        order in any::<u64>(),
    ) {
        let original = bundle(&bytes(size));
        let mut all: Vec<(Bundle, Origin)> =
            original.fragment(piece).unwrap().into_iter().map(|piece| (piece, HERE)).collect();
        prop_assume!(all.len() > 1);
        for (start, length, value) in lies {
            let start = start % size;
            let end = (start + length).min(size);
            let cuts: Vec<usize> = [start, end].into_iter().filter(|cut| (1..size).contains(cut)).collect();
            let pieces = original.fragment_at(&cuts).unwrap();
            let found = pieces.iter().find(|piece| {
                piece.primary().fragment.is_some_and(|place| usize::try_from(place.offset) == Ok(start))
            });
            if let Some(found) = found {
                let origin = Origin(2 + u64::from(value % 2));
                all.push((with_payload(found, &vec![value; found.payload().len()]), origin));
            }
        }
        let mut rng = Seeded(order);
        all.sort_by_cached_key(|_| rand_core::TryRng::try_next_u64(&mut rng).unwrap());
        let inserted = all.clone();
        let mut parts = Reassembly::default();
        let mut offers = Vec::new();
        for (piece, origin) in all {
            if let Inserted::Stored(progress) = parts.insert(piece, origin, at(0)).unwrap() {
                offers.extend(progress.whole);
            }
        }
        let id = parts.pending().next().unwrap().clone();
        while let Some(next) = parts.refuse(&id, 0) {
            prop_assert_eq!(next.bundle.payload().len(), size);
            offers.push(next);
        }
        prop_assert!(offers.iter().any(|offer| offer.bundle == original));
        // Each offer is made of whole fragments: no version of a byte is cut out of its fragment.
        for offer in &offers {
            let mut made = vec![false; size];
            for (piece, _) in &inserted {
                let start = usize::try_from(piece.primary().fragment.unwrap().offset).unwrap();
                let place = start..start + piece.payload().len();
                if &offer.bundle.payload()[place.clone()] == piece.payload() {
                    made[place].fill(true);
                }
            }
            prop_assert!(made.iter().all(|byte| *byte));
        }
        // Nothing is offered twice.
        for (index, offer) in offers.iter().enumerate() {
            prop_assert!(offers[..index].iter().all(|other| other.bundle != offer.bundle));
        }
    }
}
