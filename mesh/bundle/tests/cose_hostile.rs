//! What a liar may send to the COSE context: changed bits, headers that contradict one another,
//! hostile CBOR; and the bundles of Cairn's own profile, which are COSE as well.

mod common;

use core::slice::from_ref;

use cairn_bundle::bpsec::asb::SecurityBlock;
use cairn_bundle::bpsec::context::{Operation, OperationError, SecurityContext};
use cairn_bundle::bpsec::cose::{
    AadScope, Algorithm, Confidentiality, Cose, CoseError, Curve, HEADERS_MAX, Integrity, Key, Plan,
    Recipient, add_confidentiality, add_integrity, decrypt, plaintexts, structures, verify,
};
use cairn_bundle::raw::RawBundle;
use cairn_bundle::{Block, BlockFlags, BlockKind, CborError, CrcType, Eid};
use common::{Seeded, block, draft, from_hex, primary, recipient, sender};
use proptest::prelude::*;

const NUMBER: u64 = 3;

fn source() -> Eid {
    Eid::dtn("source", "").expect("a valid authority")
}

fn bundle(payload: &[u8]) -> RawBundle {
    let primary = primary(source(), Eid::dtn("destination", "inbox").expect("a valid service"));
    RawBundle { primary, blocks: vec![block(BlockKind::Payload, 1, payload)] }
}

fn mac_key() -> Key {
    Key::symmetric(Algorithm::Hmac256, &[7; 32]).expect("32 bytes").with_id(b"m")
}

fn cipher_key() -> Key {
    Key::symmetric(Algorithm::A256Gcm, &[8; 32]).expect("32 bytes").with_id(b"c")
}

/// A bundle whose payload is covered by a message given in hexadecimal digits.
fn with_message(kind: BlockKind, parameters: &[(u64, &str)], result: u64, message: &str) -> RawBundle {
    let message = from_hex(message);
    let mut item = vec![0x59];
    item.extend(u16::try_from(message.len()).expect("a short message").to_be_bytes());
    // The reader wants the shortest head.
    if message.len() < 24 {
        item = vec![0x40 | u8::try_from(message.len()).expect("below 24")];
    } else if message.len() < 256 {
        item = vec![0x58, u8::try_from(message.len()).expect("below 256")];
    }
    item.extend(message);
    let asb = SecurityBlock {
        targets: vec![1],
        context: 3,
        flags: u64::from(!parameters.is_empty()),
        source: source(),
        parameters: parameters.iter().map(|(id, item)| (*id, from_hex(item))).collect(),
        results: vec![vec![(result, item)]],
    };
    let mut made = bundle(b"stone");
    let block = Block { kind, number: NUMBER, flags: BlockFlags(1), crc: CrcType::None, data: asb.encode() };
    made.blocks.insert(0, block);
    made
}

/// The answer to a COSE_Mac0 with these parameters.
fn mac0(parameters: &[(u64, &str)], message: &str) -> CoseError {
    let bundle = with_message(BlockKind::Integrity, parameters, 17, message);
    verify(&bundle, NUMBER, &[mac_key()]).expect_err("the tag is wrong at least")
}

/// The answer to a COSE_Encrypt with the key of a shared recipient.
fn encrypt(message: &str) -> CoseError {
    let bundle = with_message(BlockKind::Confidentiality, &[], 96, message);
    let wrap = Key::symmetric(Algorithm::A128Kw, &[7; 16]).expect("16 bytes");
    let derive = Key::symmetric(Algorithm::HkdfSha256, &[7; 16]).expect("16 bytes");
    let agree = Key::secret(Algorithm::EcdhEsHkdf256, Curve::P256, &[7; 32]).expect("a valid secret");
    plaintexts(&bundle, NUMBER, &[wrap, derive, agree, cipher_key()]).expect_err("nothing decrypts")
}

#[test]
fn headers_that_contradict_one_another_are_refused() {
    // {1: 5}, {}, null, h'00': well-formed, with a wrong tag.
    assert_eq!(mac0(&[], "8443a10105a0f64100"), CoseError::Mismatch);
    // An algorithm that is not protected, none, two, one in both maps, a text, another one.
    assert_eq!(mac0(&[], "8440a10105f64100"), CoseError::AlgorithmPlace);
    assert_eq!(mac0(&[], "8440a0f64100"), CoseError::AlgorithmPlace);
    assert_eq!(mac0(&[], "8445a201050106a0f64100"), CoseError::DuplicateLabel);
    assert_eq!(mac0(&[], "8443a10105a10105f64100"), CoseError::DuplicateLabel);
    assert_eq!(mac0(&[], "8443a10105a2616100616100f64100"), CoseError::DuplicateLabel);
    assert_eq!(mac0(&[], "8444a1016178a0f64100"), CoseError::Algorithm(0));
    assert_eq!(mac0(&[], "8443a10126a0f64100"), CoseError::Algorithm(-7));
    assert_eq!(mac0(&[], "8443a10104a0f64100"), CoseError::Algorithm(4));
    assert_eq!(mac0(&[], "8443a10106a0f64100"), CoseError::NoKey);
    // A tag of no bytes, a part of one.
    assert_eq!(mac0(&[], "8443a10105a0f640"), CoseError::Mismatch);
    // A key id that is not bytes, or is another one.
    assert_eq!(mac0(&[], "8443a10105a10401f64100"), CoseError::Cbor(CborError::Type));
    assert_eq!(mac0(&[], "8443a10105a104416ef64100"), CoseError::NoKey);
    // Contents inside the message, and too few or too many fields.
    assert_eq!(mac0(&[], "8443a10105a0404100"), CoseError::Attached);
    assert_eq!(mac0(&[], "8343a10105a0f6"), CoseError::Cbor(CborError::Count));
    assert_eq!(mac0(&[], "8543a10105a0f6410000"), CoseError::Cbor(CborError::Count));
    assert_eq!(mac0(&[], "8443a10105a0f6410000"), CoseError::Cbor(CborError::Trailing));
    assert_eq!(mac0(&[], "d18443a10105a0f64100"), CoseError::Cbor(CborError::Type));
    // Context information of the parties, which the draft forbids.
    assert_eq!(mac0(&[], "8443a10105a13440f64100"), CoseError::ForbiddenHeader(-21));
    assert_eq!(mac0(&[], "8443a10105a1381940f64100"), CoseError::ForbiddenHeader(-26));
}

#[test]
fn critical_headers_that_are_not_understood_are_refused() {
    // {1: 5, 2: [1]} is understood.
    assert_eq!(mac0(&[], "8446a2010502 8101a0f64100"), CoseError::Mismatch);
    for (message, what) in [
        ("8446a20105028107a0f64100", "an unknown one that is not there"),
        ("8448a3010502810707 00a0f64100", "an unknown one"),
        ("8446a20105028104a1044163f64100", "one that is not protected"),
        ("8445a201050280a0f64100", "none"),
        ("8443a10105a1028101f64100", "the list itself not protected"),
        ("844aa301050281182118 2100a0f64100", "a certificate"),
    ] {
        assert_eq!(mac0(&[], message), CoseError::Critical, "{what}");
    }
    assert_eq!(mac0(&[(3, "44a1028101")], "8443a10105a0f64100"), CoseError::Critical);
}

#[test]
fn parameters_are_checked() {
    let good = "8443a10105a0f64100";
    assert_eq!(mac0(&[(3, "44a104416d")], good), CoseError::Mismatch);
    assert_eq!(mac0(&[(4, "44a104416d")], good), CoseError::Mismatch);
    assert_eq!(mac0(&[(3, "44a104416e")], good), CoseError::NoKey);
    // The message's own header goes before.
    assert_eq!(mac0(&[(3, "44a104416e")], "8443a10105a104416df64100"), CoseError::Mismatch);
    assert_eq!(mac0(&[(3, "44a104416d"), (4, "44a104416d")], good), CoseError::DuplicateLabel);
    // An algorithm for all messages is not protected by any of them.
    assert_eq!(mac0(&[(3, "43a10105")], "8440a0f64100"), CoseError::AlgorithmPlace);
    // Empty maps are taken, in both forms.
    assert_eq!(mac0(&[(3, "40"), (4, "41a0")], good), CoseError::Mismatch);
    assert_eq!(mac0(&[(3, "a0")], good), CoseError::Cbor(CborError::Type));
    assert_eq!(mac0(&[(6, "a0")], good), CoseError::Parameter(6));
    assert_eq!(mac0(&[(5, "a12201")], good), CoseError::Scope);
    assert_eq!(mac0(&[(5, "a12002")], good), CoseError::Scope);
    assert_eq!(mac0(&[(5, "a10901")], good), CoseError::MissingBlock(9));
    let other = with_message(BlockKind::Integrity, &[], 16, good);
    assert_eq!(verify(&other, NUMBER, &[mac_key()]), Err(CoseError::ResultId(16)));
    let other = with_message(BlockKind::Confidentiality, &[], 17, good);
    assert_eq!(plaintexts(&other, NUMBER, &[mac_key()]).unwrap_err(), CoseError::ResultId(17));
    assert_eq!(verify(&other, NUMBER, &[mac_key()]), Err(CoseError::NotASecurityBlock(NUMBER)));
    assert_eq!(verify(&other, 1, &[mac_key()]), Err(CoseError::NotASecurityBlock(1)));
    assert_eq!(verify(&other, 9, &[mac_key()]), Err(CoseError::MissingBlock(9)));
}

#[test]
fn recipients_are_checked() {
    let with = |recipients: &str| format!("8443a10103a1054c000000000000000000000000f6{recipients}");
    let key = "0".repeat(80);
    // AES key wrap: with a wrong key, with protected headers, with the algorithm protected.
    assert_eq!(encrypt(&with(&format!("818340a101225828{key}"))), CoseError::Mismatch);
    assert_eq!(encrypt(&with(&format!("818343a10122a05828{key}"))), CoseError::AlgorithmPlace);
    assert_eq!(encrypt(&with(&format!("818344a1044163a101225828{key}"))), CoseError::AlgorithmPlace);
    // A wrapped key of another length than the cipher's.
    assert_eq!(encrypt(&with("818340a1012248 0000000000000000")), CoseError::Mismatch);
    // Direct: unknown content key, protected, with a wrapped key, not alone.
    assert_eq!(encrypt(&with("818340a101 2540")), CoseError::Mismatch);
    assert_eq!(encrypt(&with("818343a10125a040")), CoseError::AlgorithmPlace);
    assert_eq!(encrypt(&with("818340a101254100")), CoseError::ContentOfDirect);
    assert_eq!(encrypt(&with("828340a10125408340a1012540")), CoseError::DirectNotAlone);
    // HKDF without a salt, with the algorithm not protected, with one, and beside another.
    assert_eq!(encrypt(&with("818343a10129a040")), CoseError::Salt);
    assert_eq!(encrypt(&with("818340a1012940")), CoseError::AlgorithmPlace);
    assert_eq!(encrypt(&with("818343a10129a133410040")), CoseError::Mismatch);
    assert_eq!(encrypt(&with("828343a10129a1334100408340a1012540")), CoseError::DirectNotAlone);
    // ECDH without a key, on another curve, with a point off the curve, with a secret in it.
    let point = format!("5820{}22f5", "0".repeat(64));
    assert_eq!(encrypt(&with("818344a1013818a040")), CoseError::PeerKey);
    assert_eq!(encrypt(&with(&format!("818344a1013818a120a401022002 21{point}40"))), CoseError::PeerKey);
    assert_eq!(encrypt(&with(&format!("818344a1013818a120a40102200121{point}40"))), CoseError::Mismatch);
    assert_eq!(encrypt(&with("818344a1013818a120a3010220012141 0040")), CoseError::PeerKey);
    let secret = format!("818344a1013818a120a50102200121{point}23410040");
    assert_eq!(encrypt(&with(&secret)), CoseError::PrivateKeyInHeader);
    // Three layers, none, an algorithm of another kind, one nobody knows.
    assert_eq!(encrypt(&with("818440a10122408083")), CoseError::Layers);
    assert_eq!(encrypt(&with("80")), CoseError::NoParts);
    assert_eq!(encrypt(&with("818340a101382940")), CoseError::NoKey);
    // Vectors: none, short, double.
    let bare = |headers: &str| format!("8443a10103{headers}f6818340a1012540");
    for headers in ["a0", "a10541 00", "a2054c0000000000000000000000000641 00", "a1064100"] {
        assert_eq!(encrypt(&bare(headers)), CoseError::Iv, "{headers}");
    }
    // A content algorithm that encrypts nothing.
    let mac = "8443a10105a1054c000000000000000000000000f6818340a1012540";
    assert_eq!(encrypt(mac), CoseError::Algorithm(5));
}

#[test]
fn a_tag_that_everybody_could_make_proves_nothing() {
    // COSE_Mac for the holder of a P-256 key: whoever knows the public half could have made it.
    let point = format!("5820{}22f5", "0".repeat(64));
    let message = format!("8543a10105a0f64100818344a1013818a120a40102200121{point}40");
    let bundle = with_message(BlockKind::Integrity, &[], 97, &message);
    let key = Key::secret(Algorithm::EcdhEsHkdf256, Curve::P256, &[7; 32]).unwrap();
    assert_eq!(verify(&bundle, NUMBER, &[key]), Err(CoseError::Algorithm(-25)));
}

#[test]
fn two_static_keys_need_a_salt_and_a_sender_who_is_known() {
    let key = Key::secret(Algorithm::EcdhSsHkdf256, Curve::P256, &[7; 32]).unwrap().with_id(b"k");
    let sender = Key::secret(Algorithm::EcdhSsHkdf256, Curve::P256, &[9; 32]).unwrap().with_id(b"s");
    let keys = [key, sender.public_half().unwrap()];
    let answer = |headers: &str, keys: &[Key]| {
        let recipient = format!("818344a101381a{headers}40");
        let message = format!("8443a10103a1054c000000000000000000000000f6{recipient}");
        let bundle = with_message(BlockKind::Confidentiality, &[], 96, &message);
        plaintexts(&bundle, NUMBER, keys).unwrap_err()
    };
    assert_eq!(answer("a3 04416b 224173 334100", &keys), CoseError::Mismatch);
    assert_eq!(answer("a2 04416b 224173", &keys), CoseError::Salt);
    assert_eq!(answer("a3 04416b 224174 334100", &keys), CoseError::NoKey);
    assert_eq!(answer("a2 04416b 334100", &keys), CoseError::PeerKey);
    let other = sender.public_half().unwrap().owned_by(Eid::dtn("other", "").unwrap());
    assert_eq!(answer("a3 04416b 224173 334100", &[keys[0].clone(), other]), CoseError::NoKey);
}

#[test]
fn one_operation_alone_may_not_cover_what_its_block_encrypts() {
    let mut bundle = bundle(b"stone");
    bundle.blocks.insert(0, block(BlockKind::Unknown(200), 2, b"bell"));
    let scope = AadScope::nothing().with_block(2, AadScope::CONTENTS);
    let plan = Plan { scope: Some(scope), ..Plan::new(source(), &[1]) };
    let key = cipher_key();
    let how = Confidentiality::Encrypt0 { key: &key, partial_iv: None };
    let number = add_confidentiality(&mut bundle, &plan, &how, &mut Seeded(1)).unwrap();
    let cose = Cose { keys: vec![key] };
    let block = bundle.block(number).unwrap();
    let mut asb = SecurityBlock::decode(&block.data).unwrap();
    let decrypt =
        |asb: &SecurityBlock| cose.decrypt(&Operation { bundle: &bundle, block, asb, target: 1 }).map(|_| ());
    assert_eq!(decrypt(&asb), Ok(()));
    asb.targets.push(2);
    asb.results.push(asb.results[0].clone());
    assert_eq!(decrypt(&asb), Err(OperationError::Parameter(5)));
}

#[test]
fn as_many_headers_as_the_limit_says_are_taken_and_one_more_is_not() {
    let with = |count: usize| {
        let entries: String = (0..count).map(|label| format!("19{:04x}00", 1000 + label)).collect();
        let head = if count < 24 { format!("{:02x}", 0xa0 + count) } else { format!("b8{count:02x}") };
        mac0(&[], &format!("8443a10105{head}{entries}f64100"))
    };
    // The algorithm is one of the layer's headers, but stands in the other map.
    assert_eq!(with(HEADERS_MAX), CoseError::Mismatch);
    assert_eq!(with(HEADERS_MAX + 1), CoseError::TooManyHeaders);
}

#[test]
fn hostile_cbor_is_refused_early() {
    let huge = "ffffffffffffffff";
    let deep = "81".repeat(60_000);
    for message in [
        format!("9b{huge}"),
        format!("845b{huge}"),
        format!("8440bb{huge}"),
        format!("8449bb{huge}a0f64100"),
        format!("8443a10105a11b{huge}00f64100"),
        deep.clone(),
        format!("8443a10105a107{deep}"),
        "9f43a10105bf07".repeat(1000),
        "8443a1010518a0f64100".to_owned(),
        "8443a10105a0f65f4100ff".to_owned(),
        "845f43a10105ffa0f64100".to_owned(),
        String::new(),
    ] {
        let answer = mac0(&[], &message);
        assert!(
            matches!(answer, CoseError::Cbor(_)),
            "{answer:?} {}",
            message.chars().take(40).collect::<String>()
        );
    }
    assert!(matches!(mac0(&[(3, "49bbffffffffffffffff")], "80"), CoseError::Cbor(_)));
    assert!(matches!(mac0(&[(5, "bbffffffffffffffff")], "80"), CoseError::Asb(_) | CoseError::Cbor(_)));
}

/// Two bundles, each with everything in its scope: one signed, one encrypted.
fn covered() -> [(RawBundle, Key); 2] {
    let scope = AadScope::default();
    let plan = Plan { scope: Some(scope), ..Plan::new(source(), &[1]) };
    let plan = Plan { number: Some(NUMBER), additional_protected: from_hex("a1181e6178"), ..plan };
    let mut signed = bundle(b"stone");
    let key = Key::secret(Algorithm::Ed25519, Curve::Ed25519, &[5; 32]).expect("a seed");
    add_integrity(&mut signed, &plan, &Integrity::Sign1(&key), &mut Seeded(1)).expect("it can be made");
    let mut sealed = bundle(b"stone");
    let to = Key::secret(Algorithm::EcdhEsHkdf512, Curve::X25519, &[6; 32]).expect("a secret");
    let recipients = [Recipient::new(&to)];
    let how = Confidentiality::Encrypt { algorithm: Algorithm::ChaCha20Poly1305, recipients: &recipients };
    add_confidentiality(&mut sealed, &plan, &how, &mut Seeded(1)).expect("it can be made");
    [(signed, key.public_half().expect("a pair")), (sealed, to)]
}

fn holds(bundle: &RawBundle, key: &Key) -> bool {
    let number = bundle.blocks.first().map_or(0, |block| block.number);
    verify(bundle, number, from_ref(key)).is_ok() || plaintexts(bundle, number, from_ref(key)).is_ok()
}

#[test]
fn every_changed_bit_of_what_is_covered_is_noticed() {
    for (bundle, key) in covered() {
        assert!(holds(&bundle, &key));
        for place in 0..bundle.blocks.len() {
            for at in 0..bundle.blocks[place].data.len() * 8 {
                let mut changed = bundle.clone();
                changed.blocks[place].data[at / 8] ^= 1 << (at % 8);
                if holds(&changed, &key) {
                    // The one byte that means nothing: reserved flags of the security block.
                    let asb = SecurityBlock::decode(&changed.blocks[place].data).unwrap();
                    assert_ne!(asb.flags, 1, "block {place} bit {at}");
                    assert_eq!(asb.encode(), bundle.blocks[place].data);
                }
            }
        }
        let mut head = bundle.clone();
        head.blocks[0].number = 4;
        assert!(!holds(&head, &key));
        let mut head = bundle.clone();
        head.blocks[0].flags.0 ^= 2;
        assert!(!holds(&head, &key));
        let mut head = bundle.clone();
        head.blocks[1].flags.0 ^= 2;
        assert!(!holds(&head, &key));
        let mut head = bundle.clone();
        head.primary.created.seq += 1;
        assert!(!holds(&head, &key));
    }
}

#[test]
fn the_context_serves_the_processing_of_rfc_9172() {
    let [(signed, key), (sealed, to)] = covered();
    let cose = Cose { keys: vec![key, to] };
    assert!(cose.knows(BlockKind::Integrity, 3) && cose.knows(BlockKind::Confidentiality, 3));
    assert!(!cose.knows(BlockKind::Payload, 3) && !cose.knows(BlockKind::Integrity, 1));
    for (bundle, integrity) in [(signed, true), (sealed, false)] {
        let block = &bundle.blocks[0];
        let asb = SecurityBlock::decode(&block.data).unwrap();
        let operation = Operation { bundle: &bundle, block, asb: &asb, target: 1 };
        assert_eq!(cose.verify(&operation).is_ok(), integrity);
        assert_eq!(cose.decrypt(&operation).is_ok(), !integrity);
        let nobody = Cose::default();
        let answer =
            if integrity { nobody.verify(&operation) } else { nobody.decrypt(&operation).map(|_| ()) };
        assert_eq!(answer, Err(OperationError::NoKey));
    }
}

#[test]
fn the_bundles_of_our_own_profile_are_cose_for_everybody() {
    let sealed =
        cairn_bundle::seal(&draft(b"ridge"), &sender(), &recipient().sealing_key(), &mut Seeded(1)).unwrap();
    let mut raw = RawBundle::from(sealed);
    let number =
        |bundle: &RawBundle, kind| bundle.blocks.iter().find(|block| block.kind == kind).unwrap().number;
    let (bib, bcb) = (number(&raw, BlockKind::Integrity), number(&raw, BlockKind::Confidentiality));
    // The signature is over the envelope, so it is checked first.
    let node = sender().node_id();
    let signer = Key::public(Algorithm::EdDsa, Curve::Ed25519, node.as_bytes()).unwrap();
    let signer = signer.owned_by(Eid::node(&node, "").unwrap());
    verify(&raw, bib, from_ref(&signer)).unwrap();
    let other = Key::public(Algorithm::EdDsa, Curve::Ed25519, recipient().node_id().as_bytes()).unwrap();
    assert_eq!(verify(&raw, bib, from_ref(&other)), Err(CoseError::Mismatch));

    // The long-term sealing secret of an identity is derived from its seed.
    let secret = blake3::derive_key("cairn 2026-11 X25519 long-term sealing key", recipient().seed());
    let to = Key::secret(Algorithm::EcdhEsHkdf512, Curve::X25519, &secret).unwrap();
    assert_eq!(to.public_bytes().unwrap().1, recipient().sealing_key().0);
    let to = to.with_id(&recipient().sealing_key().0[..8]);
    decrypt(&mut raw, bcb, from_ref(&to)).unwrap();
    // Under the encryption there is padding: an end mark and zeros.
    let payload = &raw.payload().unwrap().data;
    assert!(payload.starts_with(b"ridge\x80") && payload[6..].iter().all(|byte| *byte == 0));
}

proptest! {
    #[test]
    fn arbitrary_messages_never_panic(
        message in proptest::collection::vec(any::<u8>(), 0..200),
        scope in proptest::collection::vec(any::<u8>(), 0..20),
        result in prop_oneof![Just(16_u64), Just(17), Just(18), Just(96), Just(97), Just(98)],
    ) {
        let hex = common::to_hex(&message);
        for kind in [BlockKind::Integrity, BlockKind::Confidentiality] {
            let mut bundle = with_message(kind, &[], result, &hex);
            prop_assert!(verify(&bundle, NUMBER, &[mac_key(), cipher_key()]).is_err());
            prop_assert!(decrypt(&mut bundle, NUMBER, &[mac_key(), cipher_key()]).is_err());
        }
        let _ = AadScope::decode(&scope);
        let _ = Key::from_cose(&message);
    }

    #[test]
    fn damaged_examples_never_panic_and_structures_agree_on_who_is_valid(
        name in prop_oneof![Just("mac0"), Just("encrypt-ecc-kw"), Just("encrypt-ecc-hkdf"), Just("encrypt0")],
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let path = format!("{}/tests/vectors/cose/{name}.hex", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let digits: String = text.lines().skip(2).take_while(|line| *line != "key").collect();
        let mut bundle = RawBundle::decode(&from_hex(&digits), &cairn_bundle::Limits::default()).unwrap();
        let data = &mut bundle.block_mut(NUMBER).unwrap().data;
        let at = at.index(data.len());
        data[at] = byte;
        let shown = structures(&bundle, NUMBER);
        let checked = verify(&bundle, NUMBER, &[mac_key()]);
        let opened = plaintexts(&bundle, NUMBER, &[cipher_key()]);
        if shown.is_err() {
            prop_assert!(checked.is_err() && opened.is_err());
        }
    }
}
