//! Bundles secured here are verified and decrypted by `hardy-bpv7`, and the other way round.

mod common;

use cairn_bundle::bpsec::accept::{Fate, Place, process};
use cairn_bundle::bpsec::default::aes_gcm::{AesVariant, TagPlace};
use cairn_bundle::bpsec::default::hmac_sha2::ShaVariant;
use cairn_bundle::bpsec::default::{DefaultContexts, KeyLengths, Scope, SourceKey};
use cairn_bundle::bpsec::key::{KeyRing, Purpose, SymmetricKey};
use cairn_bundle::bpsec::policy::SecurityPolicy;
use cairn_bundle::bpsec::source::{Encryption, Header, Signing, add_confidentiality, add_integrity};
use cairn_bundle::{BlockFlags, BlockKind, Bundle, Eid, Limits, RawBundle};
use common::{Seeded, block, primary};
use hardy_bpv7::bpsec::key::{EncAlgorithm, Key, KeyAlgorithm, KeySource, Operation, Type};
use hardy_bpv7::bpsec::rfc9173::ScopeFlags;
use hardy_bpv7::bpsec::{encryptor, signer};
use hardy_bpv7::bundle::ParsedBundle;
use proptest::prelude::*;

const EXTENSION: u64 = 2;
const PAYLOAD: u64 = 1;

/// The same choices for both.
#[derive(Debug, Clone)]
struct Setup {
    sha: ShaVariant,
    aes: AesVariant,
    wrapped: bool,
    tag: TagPlace,
    /// Scope flags of signature and encryption.
    scopes: [[bool; 3]; 2],
    payload: Vec<u8>,
    extension: Vec<u8>,
    seed: u64,
}

impl Setup {
    /// Hardy wraps a key of 32, 48 or 64 bytes with one of 16, 24 or 32, so that hash and
    /// wrapping go together.
    const fn hash_wrapping(&self) -> (usize, KeyAlgorithm, KeyAlgorithm) {
        match self.sha {
            ShaVariant::Sha256 => (16, KeyAlgorithm::HS256, KeyAlgorithm::HS256_A128KW),
            ShaVariant::Sha384 => (24, KeyAlgorithm::HS384, KeyAlgorithm::HS384_A192KW),
            ShaVariant::Sha512 => (32, KeyAlgorithm::HS512, KeyAlgorithm::HS512_A256KW),
        }
    }

    fn signing_key(&self) -> Vec<u8> {
        let len = if self.wrapped { self.hash_wrapping().0 } else { self.sha.bytes() };
        vec![0x51; len]
    }

    fn encryption_key(&self) -> Vec<u8> {
        vec![0xe7; if self.wrapped { 32 } else { self.aes.key_bytes() }]
    }

    fn ring(&self) -> KeyRing {
        let mut ring = KeyRing::new();
        let purposes = if self.wrapped {
            [Purpose::WrapIntegrity, Purpose::WrapConfidentiality]
        } else {
            [Purpose::Integrity, Purpose::Confidentiality]
        };
        for (purpose, key) in purposes.into_iter().zip([self.signing_key(), self.encryption_key()]) {
            ring.insert(node(), purpose, key_of(&key));
        }
        ring
    }

    fn hardy(&self) -> HardyKeys {
        let (_, direct, wrapping) = self.hash_wrapping();
        let sign = Key {
            key_type: Type::OctetSequence { key: self.signing_key().into() },
            key_algorithm: Some(if self.wrapped { wrapping } else { direct }),
            ..Key::default()
        };
        let encrypt = Key {
            key_type: Type::OctetSequence { key: self.encryption_key().into() },
            key_algorithm: Some(if self.wrapped { KeyAlgorithm::A256KW } else { KeyAlgorithm::Direct }),
            enc_algorithm: Some(match self.aes {
                AesVariant::Aes128 => EncAlgorithm::A128GCM,
                AesVariant::Aes256 => EncAlgorithm::A256GCM,
            }),
            ..Key::default()
        };
        HardyKeys { sign, encrypt }
    }

    fn scope(&self, index: usize) -> Scope {
        let flags = [Scope::PRIMARY, Scope::TARGET_HEADER, Scope::SECURITY_HEADER];
        let chosen = self.scopes.get(index).expect("two scopes").iter().zip(flags);
        chosen.filter(|(set, _)| **set).fold(Scope::NONE, |scope, (_, flag)| scope | flag)
    }

    fn hardy_scope(&self, index: usize) -> ScopeFlags {
        let [primary, target, security] = *self.scopes.get(index).expect("two scopes");
        ScopeFlags {
            include_primary_block: primary,
            include_target_header: target,
            include_security_header: security,
            unrecognised: None,
        }
    }

    fn plain(&self) -> RawBundle {
        let mut extension = block(BlockKind::Unknown(200), EXTENSION, &self.extension);
        extension.flags = BlockFlags::REPORT;
        let blocks = vec![extension, block(BlockKind::Payload, PAYLOAD, &self.payload)];
        RawBundle { primary: primary(node(), Eid::ipn(0, 5, 7)), blocks }
    }
}

struct HardyKeys {
    sign: Key,
    encrypt: Key,
}

impl KeySource for HardyKeys {
    fn key<'a>(&'a self, _source: &hardy_bpv7::eid::Eid, operations: &[Operation]) -> Option<&'a Key> {
        let integrity = operations.contains(&Operation::Verify) || operations.contains(&Operation::Sign);
        Some(if integrity { &self.sign } else { &self.encrypt })
    }
}

fn node() -> Eid {
    Eid::ipn(0, 2, 1)
}

fn key_of(bytes: &[u8]) -> SymmetricKey {
    SymmetricKey::new(bytes).expect("a length that algorithms have")
}

fn any_setup() -> impl Strategy<Value = Setup> {
    let sha = prop_oneof![Just(ShaVariant::Sha256), Just(ShaVariant::Sha384), Just(ShaVariant::Sha512)];
    let aes = prop_oneof![Just(AesVariant::Aes128), Just(AesVariant::Aes256)];
    let tag = prop_oneof![Just(TagPlace::Result), Just(TagPlace::Ciphertext)];
    let data = || proptest::collection::vec(any::<u8>(), 0..80);
    (sha, aes, any::<bool>(), tag, any::<[[bool; 3]; 2]>(), data(), data(), any::<u64>()).prop_map(
        |(sha, aes, wrapped, tag, scopes, payload, extension, seed)| Setup {
            sha,
            aes,
            wrapped,
            tag,
            scopes,
            payload,
            extension,
            seed,
        },
    )
}

/// Signs and encrypts here.
fn secure(setup: &Setup, sign: &[u64], encrypt: &[u64]) -> Vec<u8> {
    let mut bundle = setup.plain();
    let mut rng = Seeded(setup.seed);
    let source = node();
    let keys = [key_of(&setup.signing_key()), key_of(&setup.encryption_key())];
    let [signing, encryption] = keys
        .each_ref()
        .map(|key| if setup.wrapped { SourceKey::Wrapped(key) } else { SourceKey::Shared(key) });
    if !sign.is_empty() {
        let how = Signing {
            source: &source,
            header: Header::default(),
            variant: setup.sha,
            scope: setup.scope(0),
            key: signing,
            key_lengths: KeyLengths::Exact,
        };
        add_integrity(&mut bundle, sign, &how, &mut rng).expect("allowed");
    }
    if !encrypt.is_empty() {
        let how = Encryption {
            source: &source,
            header: Header::default(),
            variant: setup.aes,
            scope: setup.scope(1),
            key: encryption,
            tag: setup.tag,
        };
        add_confidentiality(&mut bundle, encrypt, &how, &mut rng).expect("allowed");
    }
    Bundle::try_from(bundle).expect("a valid bundle").encode()
}

/// Accepts here what Hardy secured.
fn accept(setup: &Setup, bytes: &[u8], operations: usize) -> RawBundle {
    let bundle = Bundle::decode(bytes, &Limits::default()).expect("Hardy writes valid bundles");
    let ring = setup.ring();
    let contexts = DefaultContexts::new(&ring);
    let processed = process(bundle.into(), Place::Destination, &SecurityPolicy::default(), &[&contexts])
        .expect("accepted");
    assert!(processed.outcomes.iter().all(|outcome| outcome.fate == Fate::Accepted));
    assert_eq!(processed.outcomes.len(), operations);
    processed.bundle
}

fn data(bundle: &RawBundle, number: u64) -> &[u8] {
    &bundle.block(number).expect("the block is there").data
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn hardy_verifies_what_is_signed_here(setup in any_setup()) {
        let bytes = secure(&setup, &[0, PAYLOAD, EXTENSION], &[]);
        let keys = setup.hardy();
        let parsed = ParsedBundle::parse_with_keys(&bytes, &keys).expect("Hardy reads it");
        for target in [0, PAYLOAD, EXTENSION] {
            prop_assert!(parsed.bundle.verify_block(target, &bytes, &keys).expect("Hardy verifies it"));
        }
    }

    #[test]
    fn hardy_decrypts_what_is_encrypted_here(setup in any_setup()) {
        let bytes = secure(&setup, &[], &[PAYLOAD, EXTENSION]);
        let keys = setup.hardy();
        let parsed = ParsedBundle::parse_with_keys(&bytes, &keys).expect("Hardy reads it");
        for (target, plain) in [(PAYLOAD, &setup.payload), (EXTENSION, &setup.extension)] {
            let data = parsed.bundle.decrypt_block_data(target, &bytes, &keys).expect("Hardy decrypts it");
            prop_assert_eq!(data.as_ref(), plain.as_slice());
        }
    }

    #[test]
    fn hardy_opens_what_is_signed_and_encrypted_here(setup in any_setup()) {
        let bytes = secure(&setup, &[PAYLOAD], &[PAYLOAD]);
        let keys = setup.hardy();
        let parsed = ParsedBundle::parse_with_keys(&bytes, &keys).expect("Hardy reads it");
        prop_assert!(parsed.bundle.verify_block(PAYLOAD, &bytes, &keys).expect("Hardy verifies it"));
        let data = parsed.bundle.decrypt_block_data(PAYLOAD, &bytes, &keys).expect("Hardy decrypts it");
        prop_assert_eq!(data.as_ref(), setup.payload.as_slice());
    }

    #[test]
    fn what_hardy_signs_and_encrypts_is_accepted_here(setup in any_setup(), hidden: bool) {
        let plain = Bundle::try_from(setup.plain()).expect("a valid bundle").encode();
        let keys = setup.hardy();
        let source = || "ipn:2.1".parse().expect("an endpoint");
        let parsed = ParsedBundle::parse_with_keys(&plain, &keys).expect("Hardy reads it");
        let context = signer::Context::HMAC_SHA2(setup.hardy_scope(0));
        let Ok(signer) = signer::Signer::new(&parsed.bundle, &plain).sign_block(PAYLOAD, context, source(), &keys.sign)
        else { panic!("Hardy signs") };
        let signed = signer.rebuild().expect("Hardy signs");
        let opened = accept(&setup, &signed, 1);
        prop_assert_eq!(data(&opened, PAYLOAD), &setup.payload);

        let parsed = ParsedBundle::parse_with_keys(&signed, &keys).expect("Hardy reads it");
        let target = if hidden { PAYLOAD } else { EXTENSION };
        let context = encryptor::Context::AES_GCM(setup.hardy_scope(1));
        let encryptor = encryptor::Encryptor::new(&parsed.bundle, &signed);
        let Ok(encryptor) = encryptor.encrypt_block(target, context, source(), &keys.encrypt)
        else { panic!("Hardy encrypts") };
        let encrypted = encryptor.rebuild().expect("Hardy encrypts");
        let opened = accept(&setup, &encrypted, if hidden { 3 } else { 2 });
        prop_assert_eq!(data(&opened, PAYLOAD), &setup.payload);
        prop_assert_eq!(data(&opened, EXTENSION), &setup.extension);
    }
}
