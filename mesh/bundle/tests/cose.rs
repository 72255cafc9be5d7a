//! The COSE context in general: every algorithm and every kind of recipient there and back, keys,
//! scopes and limits.

mod common;

use core::slice::from_ref;

use cairn_bundle::bpsec::cose::{
    AadScope, Algorithm, Confidentiality, CoseError, Curve, Integrity, Key, KeyError, PARTS_MAX, Plan,
    Recipient, TRIES_MAX, add_confidentiality, add_integrity, decrypt, plaintexts, verify,
};
use cairn_bundle::bpsec::rules::Conflict;
use cairn_bundle::raw::RawBundle;
use cairn_bundle::{BlockFlags, BlockKind, Eid, Fragment};
use common::{Seeded, block, from_hex, primary};
use rand_core::TryRng;

fn source() -> Eid {
    Eid::dtn("source", "").expect("a valid authority")
}

/// A bundle with a payload and an unknown block 2.
fn bundle(payload: &[u8]) -> RawBundle {
    let primary = primary(source(), Eid::dtn("destination", "inbox").expect("a valid service"));
    let blocks = vec![block(BlockKind::Unknown(200), 2, b"bell"), block(BlockKind::Payload, 1, payload)];
    RawBundle { primary, blocks }
}

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    let Ok(()) = Seeded(seed).try_fill_bytes(&mut out);
    out
}

fn shared(algorithm: Algorithm, len: usize) -> Key {
    Key::symmetric(algorithm, &bytes(len, 7)).expect("a length that fits").with_id(b"shared")
}

fn pair(algorithm: Algorithm, curve: Curve, seed: u64) -> Key {
    let len = if curve == Curve::P384 { 48 } else { 32 };
    Key::secret(algorithm, curve, &bytes(len, seed)).expect("a valid secret").with_id(b"pair")
}

const MACS: [(Algorithm, usize); 3] =
    [(Algorithm::Hmac256, 32), (Algorithm::Hmac384, 48), (Algorithm::Hmac512, 64)];

const CIPHERS: [(Algorithm, usize); 3] =
    [(Algorithm::A128Gcm, 16), (Algorithm::A256Gcm, 32), (Algorithm::ChaCha20Poly1305, 32)];

const SIGNATURES: [(Algorithm, Curve); 7] = [
    (Algorithm::EdDsa, Curve::Ed25519),
    (Algorithm::Ed25519, Curve::Ed25519),
    (Algorithm::Es256, Curve::P256),
    (Algorithm::Esp256, Curve::P256),
    (Algorithm::Es384, Curve::P384),
    (Algorithm::Esp384, Curve::P384),
    (Algorithm::MlDsa87, Curve::MlDsa87),
];

const SHARED_RECIPIENTS: [(Algorithm, usize); 4] = [
    (Algorithm::A128Kw, 16),
    (Algorithm::A256Kw, 32),
    (Algorithm::HkdfSha256, 32),
    (Algorithm::HkdfSha512, 64),
];

const EPHEMERAL: [Algorithm; 4] =
    [Algorithm::EcdhEsHkdf256, Algorithm::EcdhEsHkdf512, Algorithm::EcdhEsA128Kw, Algorithm::EcdhEsA256Kw];

const STATIC: [Algorithm; 4] =
    [Algorithm::EcdhSsHkdf256, Algorithm::EcdhSsHkdf512, Algorithm::EcdhSsA128Kw, Algorithm::EcdhSsA256Kw];

const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::X25519];

/// Adds an integrity block over the primary block and the payload, and checks it.
fn integrity(how: &Integrity<'_>, keys: &[Key]) -> RawBundle {
    let mut made = bundle(b"stone");
    let plan = Plan::new(source(), &[0, 1]);
    let number = add_integrity(&mut made, &plan, how, &mut Seeded(3)).expect("it can be made");
    assert_eq!(number, 3);
    let checked = verify(&made, number, keys).expect("it holds");
    assert_eq!(checked.iter().map(|one| one.target).collect::<Vec<_>>(), [0, 1]);
    made
}

/// Encrypts the payload and the other block, and opens them.
fn confidentiality(how: &Confidentiality<'_>, keys: &[Key]) -> RawBundle {
    let before = bundle(b"stone");
    let mut made = before.clone();
    let plan = Plan::new(source(), &[1, 2]);
    let number = add_confidentiality(&mut made, &plan, how, &mut Seeded(3)).expect("it can be made");
    assert!(made.blocks.iter().all(|block| block.data != b"stone" && block.data != b"bell"));
    let mut opened = made.clone();
    decrypt(&mut opened, number, keys).expect("it opens");
    assert_eq!(opened, before);
    made
}

fn public(key: &Key) -> Key {
    key.public_half().expect("it is a pair")
}

#[test]
fn every_tag_algorithm_goes_there_and_back_with_every_recipient() {
    for (algorithm, len) in MACS {
        let key = shared(algorithm, len);
        integrity(&Integrity::Mac0(&key), from_ref(&key));
        let recipients = [Recipient::new(&key)];
        integrity(&Integrity::Mac { algorithm, recipients: &recipients }, from_ref(&key));
        for (recipient, len) in SHARED_RECIPIENTS {
            let key = shared(recipient, len);
            let recipients = [Recipient::new(&key)];
            integrity(&Integrity::Mac { algorithm, recipients: &recipients }, from_ref(&key));
        }
    }
}

#[test]
fn every_signature_algorithm_goes_there_and_back() {
    for (algorithm, curve) in SIGNATURES {
        let key = pair(algorithm, curve, 5);
        integrity(&Integrity::Sign1(&key), &[public(&key)]);
    }
}

#[test]
fn every_cipher_goes_there_and_back_with_every_recipient() {
    for (algorithm, len) in CIPHERS {
        let key = shared(algorithm, len);
        confidentiality(&Confidentiality::Encrypt0 { key: &key, partial_iv: None }, from_ref(&key));
        for (recipient, len) in SHARED_RECIPIENTS.into_iter().chain([(algorithm, len)]) {
            let key = shared(recipient, len);
            let recipients = [Recipient::new(&key)];
            confidentiality(&Confidentiality::Encrypt { algorithm, recipients: &recipients }, from_ref(&key));
        }
    }
}

#[test]
fn every_agreement_goes_there_and_back_on_every_curve() {
    let algorithm = Algorithm::ChaCha20Poly1305;
    for curve in CURVES {
        for agreement in EPHEMERAL {
            let key = pair(agreement, curve, 5);
            let to = public(&key);
            let recipients = [Recipient::new(&to)];
            confidentiality(&Confidentiality::Encrypt { algorithm, recipients: &recipients }, from_ref(&key));
        }
        for agreement in STATIC {
            let (key, sender) = (pair(agreement, curve, 5), pair(agreement, curve, 6).with_id(b"sender"));
            let to = public(&key);
            let recipients = [Recipient::from_sender(&to, &sender)];
            let how = Confidentiality::Encrypt { algorithm, recipients: &recipients };
            confidentiality(&how, &[public(&sender), key.clone()]);
            // Without a name the sender's key travels along.
            let secret = bytes(if curve == Curve::P384 { 48 } else { 32 }, 6);
            let nameless = Key::secret(agreement, curve, &secret).unwrap();
            let recipients = [Recipient::from_sender(&to, &nameless)];
            let how = Confidentiality::Encrypt { algorithm, recipients: &recipients };
            confidentiality(&how, from_ref(&key));
        }
    }
}

#[test]
fn each_of_several_recipients_opens_and_a_stranger_does_not() {
    let [wrapped, agreed, other] = [
        shared(Algorithm::A256Kw, 32),
        pair(Algorithm::EcdhEsA256Kw, Curve::X25519, 1),
        pair(Algorithm::EcdhEsA128Kw, Curve::P256, 2).with_id(b"other"),
    ];
    let [agreed_to, other_to] = [public(&agreed), public(&other)];
    let recipients = [Recipient::new(&wrapped), Recipient::new(&agreed_to), Recipient::new(&other_to)];
    let algorithm = Algorithm::A256Gcm;
    let how = Confidentiality::Encrypt { algorithm, recipients: &recipients };
    for key in [&wrapped, &agreed, &other] {
        confidentiality(&how, from_ref(key));
    }
    let mut made = confidentiality(&how, from_ref(&wrapped));
    let before = made.clone();
    let stranger = pair(Algorithm::EcdhEsA256Kw, Curve::X25519, 9);
    assert_eq!(decrypt(&mut made, 3, &[stranger]), Err(CoseError::Mismatch));
    let stranger = pair(Algorithm::EcdhEsA256Kw, Curve::X25519, 9).with_id(b"somebody");
    assert_eq!(decrypt(&mut made, 3, &[stranger]), Err(CoseError::NoKey));
    assert_eq!(decrypt(&mut made, 3, &[]), Err(CoseError::NoKey));
    assert_eq!(made, before);
}

#[test]
fn one_of_several_signatures_is_enough_but_a_wrong_one_is_too_much() {
    let ed = pair(Algorithm::Ed25519, Curve::Ed25519, 1).with_id(b"ed");
    let ec = pair(Algorithm::Esp256, Curve::P256, 2).with_id(b"ec");
    let how = [&ed, &ec];
    let made = integrity(&Integrity::Sign(&how), &[public(&ed), public(&ec)]);
    assert_eq!(verify(&made, 3, &[public(&ec), public(&ed)]).unwrap()[0].keys, [1, 0]);
    assert_eq!(verify(&made, 3, &[public(&ec)]).unwrap()[0].keys, [0]);
    assert_eq!(verify(&made, 3, &[]), Err(CoseError::NoKey));
    let liar = pair(Algorithm::Ed25519, Curve::Ed25519, 3).with_id(b"ed");
    assert_eq!(verify(&made, 3, &[public(&liar), public(&ec)]), Err(CoseError::Mismatch));
}

#[test]
fn a_key_of_somebody_else_proves_nothing() {
    let key = pair(Algorithm::Ed25519, Curve::Ed25519, 1);
    let made = integrity(&Integrity::Sign1(&key), &[public(&key).owned_by(source())]);
    let other = Eid::dtn("other", "").unwrap();
    assert_eq!(verify(&made, 3, &[public(&key).owned_by(other)]), Err(CoseError::NoKey));
}

#[test]
fn a_key_is_used_with_its_own_algorithm_only() {
    // The same bytes as a key for another algorithm of the same length and kind.
    let pairs = [
        (Algorithm::EdDsa, Algorithm::Ed25519, Curve::Ed25519),
        (Algorithm::Es256, Algorithm::Esp256, Curve::P256),
    ];
    for (one, another, curve) in pairs {
        let made = integrity(&Integrity::Sign1(&pair(one, curve, 1)), &[public(&pair(one, curve, 1))]);
        assert_eq!(verify(&made, 3, &[public(&pair(another, curve, 1))]), Err(CoseError::NoKey));
    }
    let key = shared(Algorithm::A256Gcm, 32);
    let made = confidentiality(&Confidentiality::Encrypt0 { key: &key, partial_iv: None }, from_ref(&key));
    let same = shared(Algorithm::ChaCha20Poly1305, 32);
    assert_eq!(plaintexts(&made, 3, &[same]).unwrap_err(), CoseError::NoKey);
    let key = shared(Algorithm::Hmac256, 32);
    assert_eq!(
        add_integrity(&mut bundle(b""), &Plan::new(source(), &[1]), &Integrity::Sign1(&key), &mut Seeded(1)),
        Err(CoseError::KeyUse)
    );
}

#[test]
fn everybody_could_make_a_tag_with_an_agreed_key_so_none_is_made() {
    let key = pair(Algorithm::EcdhEsA256Kw, Curve::X25519, 1);
    let recipients = [Recipient::new(&key)];
    let how = Integrity::Mac { algorithm: Algorithm::Hmac256, recipients: &recipients };
    let answer = add_integrity(&mut bundle(b""), &Plan::new(source(), &[1]), &how, &mut Seeded(1));
    assert_eq!(answer, Err(CoseError::KeyUse));
}

#[test]
fn what_rfc_9172_forbids_is_not_made_and_nothing_changes() {
    let mac = shared(Algorithm::Hmac256, 32);
    let cipher = shared(Algorithm::A256Gcm, 32);
    let sign = |bundle: &mut RawBundle, plan: &Plan| {
        let before = bundle.clone();
        let answer = add_integrity(bundle, plan, &Integrity::Mac0(&mac), &mut Seeded(1));
        assert!(answer.is_ok() || *bundle == before);
        answer
    };
    let encrypt = |bundle: &mut RawBundle, plan: &Plan| {
        let before = bundle.clone();
        let how = Confidentiality::Encrypt0 { key: &cipher, partial_iv: None };
        let answer = add_confidentiality(bundle, plan, &how, &mut Seeded(1));
        assert!(answer.is_ok() || *bundle == before);
        answer
    };
    let over = |targets: &[u64]| Plan::new(source(), targets);
    assert_eq!(sign(&mut bundle(b""), &over(&[9])), Err(CoseError::MissingBlock(9)));
    assert!(matches!(sign(&mut bundle(b""), &over(&[])), Err(CoseError::Conflict(Conflict::Asb { .. }))));
    assert!(matches!(sign(&mut bundle(b""), &over(&[1, 1])), Err(CoseError::Conflict(Conflict::Asb { .. }))));
    assert_eq!(encrypt(&mut bundle(b""), &over(&[0])), Err(CoseError::MissingBlock(0)));
    for number in [0, 1, 2] {
        let plan = Plan { number: Some(number), ..over(&[1]) };
        assert_eq!(sign(&mut bundle(b""), &plan), Err(CoseError::Number(number)));
    }
    let plan = Plan { source: Eid::None, ..over(&[1]) };
    assert!(matches!(sign(&mut bundle(b""), &plan), Err(CoseError::Conflict(Conflict::Asb { .. }))));
    let plan = Plan { flags: BlockFlags::DISCARD, ..over(&[1]) };
    assert_eq!(encrypt(&mut bundle(b""), &plan), Err(CoseError::Conflict(Conflict::Discardable(3))));

    let mut signed = bundle(b"stone");
    assert_eq!(sign(&mut signed, &over(&[1])), Ok(3));
    assert_eq!(
        sign(&mut signed, &over(&[1])),
        Err(CoseError::Conflict(Conflict::Twice { block: 3, target: 1 }))
    );
    assert_eq!(
        sign(&mut signed, &over(&[3])),
        Err(CoseError::Conflict(Conflict::Target { block: 4, target: 3 }))
    );
    let readable = Conflict::ReadableOverEncrypted { block: 3, target: 1 };
    assert_eq!(encrypt(&mut signed, &over(&[1])), Err(CoseError::Conflict(readable)));
    // Together with its signature the payload is encrypted, and comes back.
    let before = signed.clone();
    assert_eq!(encrypt(&mut signed, &over(&[1, 3])), Ok(4));
    assert_eq!(
        verify(&signed, 3, from_ref(&mac)).map_err(|error| matches!(error, CoseError::Asb(_))),
        Err(true)
    );
    decrypt(&mut signed, 4, from_ref(&cipher)).unwrap();
    assert_eq!(signed, before);
    verify(&signed, 3, from_ref(&mac)).unwrap();

    let mut fragment = bundle(b"");
    fragment.primary.fragment = Some(Fragment { offset: 0, total_bytes: 9 });
    assert_eq!(sign(&mut fragment, &over(&[1])), Err(CoseError::Fragment));
    assert_eq!(encrypt(&mut fragment, &over(&[1])), Err(CoseError::Fragment));
}

#[test]
fn a_scope_covers_what_it_says_and_no_more() {
    let key = shared(Algorithm::Hmac256, 32);
    let made = |scope: AadScope| {
        let mut made = bundle(b"stone");
        let plan = Plan { scope: Some(scope), ..Plan::new(source(), &[1]) };
        add_integrity(&mut made, &plan, &Integrity::Mac0(&key), &mut Seeded(1)).map(|_| made)
    };
    let holds = |bundle: &RawBundle| verify(bundle, 3, from_ref(&key)).is_ok();
    let change: [fn(&mut RawBundle); 6] = [
        |bundle| bundle.primary.lifetime_ms += 1,
        |bundle| bundle.blocks.last_mut().expect("the payload").flags = BlockFlags(1),
        |bundle| bundle.blocks.first_mut().expect("the security block").flags = BlockFlags(1),
        |bundle| bundle.block_mut(2).expect("the other block").flags = BlockFlags(1),
        |bundle| bundle.block_mut(2).expect("the other block").data.push(0),
        |bundle| bundle.blocks.last_mut().expect("the payload").data.push(0),
    ];
    let nothing = AadScope::nothing;
    for (scope, covered) in [
        (nothing(), [false, false, false, false, false, true]),
        (nothing().with_primary(), [true, false, false, false, false, true]),
        (nothing().with_target(), [false, true, false, false, false, true]),
        (nothing().with_security_block(), [false, false, true, false, false, true]),
        (nothing().with_block(2, AadScope::METADATA), [false, false, false, true, false, true]),
        (nothing().with_block(2, AadScope::CONTENTS), [false, false, false, false, true, true]),
        (nothing().with_block(2, 3), [false, false, false, true, true, true]),
        (AadScope::default(), [true, true, true, false, false, true]),
    ] {
        let bundle = made(scope.clone()).unwrap();
        assert!(holds(&bundle));
        for (change, covered) in change.iter().zip(covered) {
            let mut changed = bundle.clone();
            change(&mut changed);
            assert_ne!(holds(&changed), covered, "{scope:?}");
        }
    }
    for (number, flags) in [(0, 2), (0, 3), (1, 2), (3, 2), (1, 3)] {
        assert_eq!(made(nothing().with_block(number, flags)), Err(CoseError::Scope));
    }
    for flags in [1, 2, 4] {
        assert_eq!(made(nothing().with_block(9, flags)), Err(CoseError::MissingBlock(9)));
    }
    // Bits without a meaning are authenticated and change nothing else.
    assert!(holds(&made(nothing().with_block(2, 4)).unwrap()));
}

#[test]
fn contents_that_the_same_block_encrypts_cannot_be_in_its_scope() {
    let key = shared(Algorithm::A256Gcm, 32);
    let scope = AadScope::nothing().with_block(2, AadScope::CONTENTS);
    let plan = Plan { scope: Some(scope), ..Plan::new(source(), &[1, 2]) };
    let how = Confidentiality::Encrypt0 { key: &key, partial_iv: None };
    assert_eq!(add_confidentiality(&mut bundle(b""), &plan, &how, &mut Seeded(1)), Err(CoseError::Scope));
    let plan = Plan { targets: vec![1], ..plan };
    let mut made = bundle(b"");
    let number = add_confidentiality(&mut made, &plan, &how, &mut Seeded(1)).unwrap();
    assert_eq!(decrypt(&mut made, number, &[key]).map(|checked| checked.len()), Ok(1));
}

#[test]
fn partial_vectors_need_a_base_and_one_target() {
    let bare = shared(Algorithm::A256Gcm, 32);
    let key = bare.clone().with_base_iv([9; 12]);
    let make = |key: &Key, targets: &[u64], partial: &[u8]| {
        let mut made = bundle(b"stone");
        let how = Confidentiality::Encrypt0 { key, partial_iv: Some(partial) };
        add_confidentiality(&mut made, &Plan::new(source(), targets), &how, &mut Seeded(1)).map(|_| made)
    };
    let mut made = make(&key, &[1], &[1, 2]).unwrap();
    assert_eq!(make(&bare, &[1], &[1]), Err(CoseError::Iv));
    assert_eq!(make(&key, &[1, 2], &[1]), Err(CoseError::Iv));
    assert_eq!(make(&key, &[1], &[]), Err(CoseError::Iv));
    assert_eq!(make(&key, &[1], &[0; 13]), Err(CoseError::Iv));
    assert_eq!(decrypt(&mut made, 3, &[bare]), Err(CoseError::Iv));
    assert!(decrypt(&mut made, 3, &[key]).is_ok());
}

#[test]
fn as_many_recipients_as_the_limit_says_are_taken_and_one_more_is_not() {
    let key = shared(Algorithm::A128Kw, 16);
    let make = |count: usize| {
        let recipients = vec![Recipient::new(&key); count];
        let mut made = bundle(b"stone");
        let how = Confidentiality::Encrypt { algorithm: Algorithm::A128Gcm, recipients: &recipients };
        add_confidentiality(&mut made, &Plan::new(source(), &[1]), &how, &mut Seeded(1)).map(|_| made)
    };
    const { assert!(PARTS_MAX >= 10, "the draft asks for ten") };
    assert!(decrypt(&mut make(PARTS_MAX).unwrap(), 3, from_ref(&key)).is_ok());
    assert_eq!(make(PARTS_MAX + 1), Err(CoseError::TooManyParts));
    assert_eq!(make(0), Err(CoseError::NoParts));
    let direct = shared(Algorithm::HkdfSha256, 32);
    let recipients = [Recipient::new(&key), Recipient::new(&direct)];
    let how = Confidentiality::Encrypt { algorithm: Algorithm::A128Gcm, recipients: &recipients };
    let answer = add_confidentiality(&mut bundle(b""), &Plan::new(source(), &[1]), &how, &mut Seeded(1));
    assert_eq!(answer, Err(CoseError::DirectNotAlone));
}

#[test]
fn no_more_keys_are_tried_than_the_limit_says() {
    let key = shared(Algorithm::Hmac256, 32);
    let mut made = bundle(b"stone");
    add_integrity(&mut made, &Plan::new(source(), &[1]), &Integrity::Mac0(&key), &mut Seeded(1)).unwrap();
    let wrong = Key::symmetric(Algorithm::Hmac256, &[0; 32]).unwrap().with_id(b"shared");
    let mut keys = vec![wrong; TRIES_MAX - 1];
    keys.push(key.clone());
    assert!(verify(&made, 3, &keys).is_ok());
    keys.insert(0, keys[0].clone());
    assert_eq!(verify(&made, 3, &keys), Err(CoseError::TooManyTries));
}

#[test]
fn bytes_that_are_no_key_are_refused() {
    assert_eq!(Key::symmetric(Algorithm::Hmac384, &[1; 47]).unwrap_err(), KeyError::Length);
    assert_eq!(Key::symmetric(Algorithm::HkdfSha256, &[1; 15]).unwrap_err(), KeyError::Length);
    assert_eq!(Key::symmetric(Algorithm::HkdfSha256, &[1; 65]).unwrap_err(), KeyError::Length);
    assert_eq!(Key::symmetric(Algorithm::Ed25519, &[1; 32]).unwrap_err(), KeyError::Kind);
    assert_eq!(Key::secret(Algorithm::Es256, Curve::P384, &[1; 48]).unwrap_err(), KeyError::Kind);
    assert_eq!(Key::secret(Algorithm::Hmac256, Curve::P256, &[1; 32]).unwrap_err(), KeyError::Kind);
    assert_eq!(Key::secret(Algorithm::EcdhEsHkdf256, Curve::Ed25519, &[1; 32]).unwrap_err(), KeyError::Kind);
    for (curve, len) in [(Curve::P256, 32), (Curve::P384, 48)] {
        let algorithm = Algorithm::EcdhEsHkdf256;
        for secret in [vec![0; len], vec![0xff; len]] {
            assert_eq!(Key::secret(algorithm, curve, &secret).unwrap_err(), KeyError::Value);
        }
        assert_eq!(Key::secret(algorithm, curve, &vec![1; len + 1]).unwrap_err(), KeyError::Length);
        // The point at infinity, one that is not on the curve, and the compressed form, which is fine.
        assert_eq!(Key::public(algorithm, curve, &[0]).unwrap_err(), KeyError::Value);
        let mut point = pair(algorithm, curve, 1).public_bytes().unwrap().1.to_vec();
        *point.last_mut().unwrap() ^= 1;
        assert_eq!(Key::public(algorithm, curve, &point).unwrap_err(), KeyError::Value);
        *point.last_mut().unwrap() ^= 1;
        let compressed = [&[2 + (point.last().unwrap() & 1)], &point[1..=len]].concat();
        assert_eq!(
            Key::public(algorithm, curve, &compressed).unwrap().public_bytes(),
            Some((curve, &point[..]))
        );
    }
    let small = [[0; 32], [1; 32].map(|_| 0xff)];
    for point in small {
        assert_eq!(
            Key::public(Algorithm::EcdhEsHkdf512, Curve::X25519, &point).unwrap_err(),
            KeyError::Value
        );
    }
    assert_eq!(Key::public(Algorithm::EdDsa, Curve::Ed25519, &[0; 32]).unwrap_err(), KeyError::Value);
    assert_eq!(Key::public(Algorithm::MlDsa87, Curve::MlDsa87, &[0; 2591]).unwrap_err(), KeyError::Length);
}

#[test]
fn a_cose_key_has_to_be_whole_and_to_name_its_algorithm() {
    // {1: 4, 3: 5, -1: 32 bytes}
    let good = [&from_hex("a3010403052058")[..], &[32], &[7; 32]].concat();
    assert_eq!(Key::from_cose(&good).unwrap().algorithm(), Algorithm::Hmac256);
    for cut in 0..good.len() {
        assert!(matches!(Key::from_cose(&good[..cut]), Err(KeyError::Cose(_))), "cut at {cut}");
    }
    let nameless = [&from_hex("a201042058")[..], &[32], &[7; 32]].concat();
    assert_eq!(Key::from_cose(&nameless).unwrap_err(), KeyError::Algorithm);
    let twice = [&from_hex("a401040305030520")[..], &[0x58, 32], &[7; 32]].concat();
    assert_eq!(Key::from_cose(&twice).unwrap_err(), KeyError::Cose(CoseError::DuplicateLabel));
    // Halves of two pairs: {1: 1, 3: -8, -1: 6, -2: x, -4: d}
    let one = pair(Algorithm::EdDsa, Curve::Ed25519, 1);
    let x = one.public_bytes().unwrap().1.to_vec();
    let halves = |d: &[u8]| [&from_hex("a50101032720062158")[..], &[32], &x, &[0x23, 0x58, 32], d].concat();
    assert!(Key::from_cose(&halves(&bytes(32, 1))).is_ok());
    assert_eq!(Key::from_cose(&halves(&bytes(32, 2))).unwrap_err(), KeyError::Halves);
}

#[test]
fn a_secret_is_not_printed() {
    let key = Key::symmetric(Algorithm::Hmac256, &[0xab; 32]).unwrap();
    let text = format!("{key:?}");
    assert!(!text.contains("171") && !text.to_lowercase().contains("ab, ab"), "{text}");
}
