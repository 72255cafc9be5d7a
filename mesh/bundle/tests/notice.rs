//! A delivery notice is its destination's word, has one form, and fits its limits.

mod common;

use cairn_bundle::notice::{NOTICE_BYTES_MAX, NOTICE_IDS_MAX};
use cairn_bundle::{BundleId, CborError, DeliveryNotice, Digest, Eid, Identity, NoticeError};
use common::{from_hex, recipient, sender, to_hex};
use proptest::prelude::*;

const NAME: [u8; 32] = [7; 32];

fn ids(count: usize) -> Vec<Digest> {
    (0..count).map(|number| Digest::of(&number.to_be_bytes())).collect()
}

fn notice(count: usize) -> Vec<u8> {
    DeliveryNotice::sign(&recipient(), &NAME, &ids(count)).expect("within the limits")
}

/// An envelope around any body, signed by anybody as a notice is.
fn signed(body: &[u8], signer: &Identity) -> Vec<u8> {
    let signature = signer.sign(&[b"cairn 2026-11 delivery notice", body].concat());
    [&[0x82, 0x58, u8::try_from(body.len()).expect("a short body")], body, &[0x58, 64], &signature].concat()
}

/// `[1, destination, name, ids]`
fn body(version: u8, destination: &[u8; 32], ids: &[u8]) -> Vec<u8> {
    let count = u8::try_from(ids.len()).expect("few ids");
    [&[0x84, version, 0x58, 32], &destination[..], &[0x58, 32], &NAME, &[0x58, count], ids].concat()
}

fn refused(bytes: &[u8]) -> NoticeError {
    DeliveryNotice::decode_verified(bytes).expect_err("not a notice")
}

#[test]
fn a_notice_says_who_has_what() {
    let found = DeliveryNotice::decode_verified(&notice(3)).unwrap();
    let mut sorted = ids(3);
    sorted.sort();
    assert_eq!(found, DeliveryNotice { destination: recipient().node_id(), name: NAME, ids: sorted });
}

#[test]
fn order_and_repetition_of_ids_do_not_matter() {
    let mut shuffled = ids(5);
    shuffled.reverse();
    shuffled.extend(ids(3));
    assert_eq!(DeliveryNotice::sign(&recipient(), &NAME, &shuffled).unwrap(), notice(5));
}

#[test]
fn a_full_notice_fits_and_one_id_more_or_none_is_refused() {
    let full = notice(NOTICE_IDS_MAX);
    assert!(full.len() <= NOTICE_BYTES_MAX, "{} bytes", full.len());
    assert_eq!(DeliveryNotice::decode_verified(&full).unwrap().ids.len(), NOTICE_IDS_MAX);
    for count in [0, NOTICE_IDS_MAX + 1] {
        assert_eq!(DeliveryNotice::sign(&recipient(), &NAME, &ids(count)), Err(NoticeError::Ids));
    }
    // As many as are repeated are not too many.
    assert!(DeliveryNotice::sign(&recipient(), &NAME, &ids(1).repeat(100)).is_ok());
}

#[test]
fn what_is_larger_than_any_notice_is_not_even_read() {
    let mut bytes = notice(NOTICE_IDS_MAX);
    bytes.resize(NOTICE_BYTES_MAX, 0);
    assert_eq!(refused(&bytes), NoticeError::Cbor(CborError::Trailing));
    bytes.push(0);
    assert_eq!(refused(&bytes), NoticeError::TooLarge);
}

#[test]
fn no_truncation_and_no_flipped_bit_gets_through() {
    let bytes = notice(2);
    for end in 0..bytes.len() {
        assert!(DeliveryNotice::decode_verified(&bytes[..end]).is_err(), "cut at {end}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(DeliveryNotice::decode_verified(&flipped).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn nobody_speaks_for_another_destination() {
    let victim = recipient().node_id();
    let right = body(1, victim.as_bytes(), &[9; 32]);
    assert!(DeliveryNotice::decode_verified(&signed(&right, &recipient())).is_ok());
    assert_eq!(refused(&signed(&right, &sender())), NoticeError::Signature);
    // A signature that the victim made for something else does not fit either.
    let other = recipient().sign(&right);
    let bytes = [&[0x82, 0x58, u8::try_from(right.len()).unwrap()], &right[..], &[0x58, 64], &other].concat();
    assert_eq!(refused(&bytes), NoticeError::Signature);
}

#[test]
fn a_notice_in_another_form_is_refused_though_it_is_signed() {
    let me = recipient();
    let key = *me.node_id().as_bytes();
    let refused = |body: &[u8]| refused(&signed(body, &me));
    assert_eq!(refused(&body(2, &key, &[9; 32])), NoticeError::Version(2));
    assert_eq!(refused(&body(1, &[0; 32], &[9; 32])), NoticeError::Destination);
    for ids in [0, 31, 33, 65] {
        assert_eq!(
            refused(&body(1, &key, &vec![9; ids][..])),
            if ids < 24 {
                // A head of two bytes for a short string is the longer form.
                NoticeError::Cbor(CborError::NotShortest)
            } else {
                NoticeError::Ids
            }
        );
    }
    let none = [&body(1, &key, &[])[..70], &[0x40]].concat();
    assert_eq!(refused(&none), NoticeError::Ids);
    for twice in [[[9; 32], [9; 32]], [[9; 32], [8; 32]]] {
        assert_eq!(refused(&body(1, &key, twice.as_flattened())), NoticeError::NotCanonical);
    }
    let right = body(1, &key, &[9; 32]);
    let indefinite = [&[0x9f], &right[1..], &[0xff]].concat();
    assert_eq!(refused(&indefinite), NoticeError::NotCanonical);
    assert_eq!(refused(&[&right[..], &[0]].concat()), NoticeError::Cbor(CborError::Trailing));
    assert_eq!(refused(&[&[0x85], &right[1..], &[0]].concat()), NoticeError::Cbor(CborError::Count));
    let outside = signed(&right, &me);
    let outside = [&[0x9f], &outside[1..], &[0xff]].concat();
    assert_eq!(DeliveryNotice::decode_verified(&outside), Err(NoticeError::NotCanonical));
}

#[test]
fn a_name_is_the_same_for_a_bundle_and_its_fragments_and_for_nothing_else() {
    let id = BundleId { source: Eid::ipn(0, 2, 1), time_ms: 5, seq: 6, fragment: None };
    assert_eq!(BundleId { fragment: Some((3, 4)), ..id.clone() }.name(), id.name());
    let others = [
        BundleId { source: Eid::ipn(0, 2, 2), ..id.clone() },
        BundleId { time_ms: 6, ..id.clone() },
        BundleId { seq: 5, ..id.clone() },
        BundleId { time_ms: 6, seq: 5, ..id.clone() },
    ];
    assert!(others.iter().all(|other| other.name() != id.name()));
    // Nodes keep names on their disks.
    let name = "52389a76ade6b41a9b612403d32a248312d4b305e99851dcbc475c2c3530b247";
    assert_eq!(to_hex(&id.name()), name);
}

#[test]
fn the_bytes_of_a_notice_do_not_change_by_accident() {
    let vector = from_hex(include_str!("vectors/notice.hex"));
    assert_eq!(to_hex(&notice(2)), to_hex(&vector));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_notice_comes_back(
        seed in any::<[u8; 32]>(),
        name in any::<[u8; 32]>(),
        ids in proptest::collection::btree_set(any::<[u8; 32]>(), 1..=NOTICE_IDS_MAX),
    ) {
        let me = Identity::from_seed(&seed);
        let ids: Vec<Digest> = ids.into_iter().map(Digest).collect();
        let bytes = DeliveryNotice::sign(&me, &name, &ids).unwrap();
        prop_assert!(bytes.len() <= NOTICE_BYTES_MAX);
        let found = DeliveryNotice::decode_verified(&bytes).unwrap();
        prop_assert_eq!(found, DeliveryNotice { destination: me.node_id(), name, ids });
    }

    #[test]
    fn rubbish_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(DeliveryNotice::decode_verified(&bytes).is_err());
    }

    #[test]
    fn changed_notices_are_refused_without_a_panic(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let bytes = notice(3);
        let mut changed = bytes.clone();
        for (index, value) in changes {
            let at = index.index(changed.len());
            changed[at] = value;
        }
        prop_assert!(changed == bytes || DeliveryNotice::decode_verified(&changed).is_err());
    }

    #[test]
    fn a_signed_body_of_any_kind_is_read_without_a_panic(
        body in proptest::collection::vec(any::<u8>(), 24..250),
    ) {
        prop_assert!(DeliveryNotice::decode_verified(&signed(&body, &recipient())).is_err());
    }
}
