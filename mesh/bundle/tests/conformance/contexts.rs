//! RFC 9173 where no other test looks: what a security block says, and what a verifier makes of it.

use cairn_bundle::bpsec::asb::SecurityBlock;
use cairn_bundle::bpsec::context::{Operation, OperationError, SecurityContext};
use cairn_bundle::bpsec::default::aes_gcm::{AesVariant, TagPlace};
use cairn_bundle::bpsec::default::hmac_sha2::ShaVariant;
use cairn_bundle::bpsec::default::{DefaultContexts, KeyLengths, Scope, SourceKey};
use cairn_bundle::bpsec::key::{KeyRing, Purpose, SymmetricKey};
use cairn_bundle::bpsec::source::{
    Encryption, Header, Signing, SourceError, add_confidentiality, add_integrity,
};
use cairn_bundle::{BlockKind, RawBundle};

use crate::bpsec::common::Seeded;
use crate::bpsec::{alice, bundle, key, ring};

const TARGET: u64 = 3;

fn signed(variant: ShaVariant, scope: Scope, key: SourceKey<'_>) -> Result<RawBundle, SourceError> {
    let mut secured = bundle();
    let how = Signing {
        source: &alice(),
        header: Header::default(),
        variant,
        scope,
        key,
        key_lengths: KeyLengths::Exact,
    };
    add_integrity(&mut secured, &[TARGET], &how, &mut Seeded(7)).map(|_| secured)
}

fn sealed(
    variant: AesVariant,
    scope: Scope,
    tag: TagPlace,
    key: SourceKey<'_>,
) -> Result<RawBundle, SourceError> {
    let mut secured = bundle();
    let how = Encryption { source: &alice(), header: Header::default(), variant, scope, key, tag };
    add_confidentiality(&mut secured, &[TARGET], &how, &mut Seeded(8)).map(|_| secured)
}

fn sign(scope: Scope) -> RawBundle {
    signed(ShaVariant::Sha384, scope, SourceKey::Shared(&key(1, 48))).unwrap()
}

fn seal(scope: Scope) -> RawBundle {
    sealed(AesVariant::Aes256, scope, TagPlace::Result, SourceKey::Shared(&key(2, 32))).unwrap()
}

fn security(bundle: &RawBundle) -> SecurityBlock {
    let block = bundle
        .blocks
        .iter()
        .find(|block| matches!(block.kind, BlockKind::Integrity | BlockKind::Confidentiality));
    SecurityBlock::decode(&block.unwrap().data).unwrap()
}

fn change(bundle: &mut RawBundle, change: impl FnOnce(&mut SecurityBlock)) {
    let mut asb = security(bundle);
    change(&mut asb);
    let kinds = [BlockKind::Integrity, BlockKind::Confidentiality];
    bundle.blocks.iter_mut().find(|block| kinds.contains(&block.kind)).unwrap().data = asb.encode();
}

/// Checks the one operation of a bundle.
fn check(bundle: &RawBundle, ring: &KeyRing) -> Result<(), OperationError> {
    let kinds = [BlockKind::Integrity, BlockKind::Confidentiality];
    let block = bundle.blocks.iter().find(|block| kinds.contains(&block.kind)).unwrap();
    let asb = security(bundle);
    let operation = Operation { bundle, block, asb: &asb, target: TARGET };
    let contexts = DefaultContexts::new(ring);
    match block.kind {
        BlockKind::Integrity => contexts.verify(&operation),
        _ => contexts.decrypt(&operation).map(drop),
    }
}

#[test]
pub(crate) fn a_hash_has_the_length_of_its_variant() {
    for (variant, bytes) in [(ShaVariant::Sha256, 32), (ShaVariant::Sha384, 48), (ShaVariant::Sha512, 64)] {
        let bundle = signed(variant, Scope::ALL, SourceKey::Shared(&key(1, bytes))).unwrap();
        let result = security(&bundle).results_of(TARGET).unwrap()[0].clone();
        assert_eq!((result.0, result.1.len()), (1, bytes + 2));
    }
}

#[test]
pub(crate) fn contexts_have_their_ids() {
    assert_eq!(security(&sign(Scope::ALL)).context, 1);
    assert_eq!(security(&seal(Scope::ALL)).context, 2);
}

#[test]
pub(crate) fn the_scope_is_signed_itself() {
    for (mut bundle, id) in [(sign(Scope::NONE), 3), (seal(Scope::NONE), 4)] {
        assert_eq!(check(&bundle, &ring()), Ok(()));
        change(&mut bundle, |asb| {
            let scope = asb.parameters.iter_mut().find(|(other, _)| *other == id).unwrap();
            assert_eq!(scope.1, [0]);
            // With nothing else in it, only the scope itself can make the difference.
            scope.1 = vec![2];
        });
        assert_eq!(check(&bundle, &ring()), Err(OperationError::Failed));
    }
}

#[test]
pub(crate) fn parameters_have_their_types() {
    let wrapping = (key(3, 32), key(4, 16));
    let bib = security(&signed(ShaVariant::Sha256, Scope::ALL, SourceKey::Wrapped(&wrapping.0)).unwrap());
    assert_eq!(bib.parameter(1), Some(&[5][..]), "HMAC 256/256");
    assert_eq!(bib.parameter(2).unwrap()[..2], [0x58, 40], "a key of 32 bytes and the 8 of the wrapping");
    assert_eq!(bib.parameter(3), Some(&[7][..]), "the three assigned bits");
    let how = SourceKey::Wrapped(&wrapping.1);
    let bcb = security(&sealed(AesVariant::Aes128, Scope::ALL, TagPlace::Result, how).unwrap());
    assert_eq!(bcb.parameter(1).unwrap()[0], 0x4c, "12 bytes");
    assert_eq!(bcb.parameter(2), Some(&[1][..]), "A128GCM");
    assert_eq!(bcb.parameter(3).unwrap()[..2], [0x58, 24]);
    assert_eq!(bcb.parameter(4), Some(&[7][..]));
}

#[test]
pub(crate) fn a_key_is_looked_for_where_none_goes_along() {
    for bundle in [sign(Scope::ALL), seal(Scope::ALL)] {
        assert_eq!(check(&bundle, &ring()), Ok(()));
        assert_eq!(check(&bundle, &KeyRing::new()), Err(OperationError::NoKey));
    }
}

#[test]
pub(crate) fn each_part_of_the_scope_is_protected() {
    type Change = fn(&mut RawBundle);
    let changes: [(Scope, Change); 3] = [
        (Scope::PRIMARY, |bundle| bundle.primary.lifetime_ms += 1),
        (Scope::TARGET_HEADER, |bundle| bundle.block_mut(TARGET).unwrap().flags.0 ^= 1),
        (Scope::SECURITY_HEADER, |bundle| {
            let kinds = [BlockKind::Integrity, BlockKind::Confidentiality];
            bundle.blocks.iter_mut().find(|block| kinds.contains(&block.kind)).unwrap().flags.0 ^= 1;
        }),
    ];
    let makers: [fn(Scope) -> RawBundle; 2] = [sign, seal];
    for make in makers {
        for (scope, change) in changes {
            for (used, expected) in [(scope, Err(OperationError::Failed)), (Scope::NONE, Ok(()))] {
                let mut bundle = make(used);
                change(&mut bundle);
                assert_eq!(check(&bundle, &ring()), expected, "{scope:?} {used:?}");
            }
        }
    }
}

#[test]
pub(crate) fn keys_of_other_lengths_are_refused() {
    let wrong = Err(SourceError::Operation(OperationError::KeyLength));
    let short = SymmetricKey::new(&[1; 32]).unwrap();
    assert_eq!(signed(ShaVariant::Sha384, Scope::ALL, SourceKey::Shared(&short)), wrong);
    let how = SourceKey::Shared(&short);
    assert_eq!(sealed(AesVariant::Aes128, Scope::ALL, TagPlace::Result, how), wrong);
    let mut ring = KeyRing::new();
    ring.insert(alice(), Purpose::Integrity, key(1, 64));
    ring.insert(alice(), Purpose::Confidentiality, key(2, 16));
    for bundle in [sign(Scope::ALL), seal(Scope::ALL)] {
        assert_eq!(check(&bundle, &ring), Err(OperationError::KeyLength));
    }
}

#[test]
pub(crate) fn a_key_that_goes_along_is_wrapped() {
    let (mac, content) = (key(3, 32), key(4, 16));
    let mut wrapping = KeyRing::new();
    wrapping.insert(alice(), Purpose::WrapIntegrity, mac.clone());
    wrapping.insert(alice(), Purpose::WrapConfidentiality, content.clone());
    let bib = signed(ShaVariant::Sha512, Scope::ALL, SourceKey::Wrapped(&mac)).unwrap();
    let how = SourceKey::Wrapped(&content);
    let bcb = sealed(AesVariant::Aes256, Scope::ALL, TagPlace::Ciphertext, how).unwrap();
    for (bundle, id) in [(bib, 2), (bcb, 3)] {
        assert_eq!(check(&bundle, &wrapping), Ok(()));
        let mut damaged = bundle.clone();
        change(&mut damaged, |asb| {
            let wrapped = asb.parameters.iter_mut().find(|(other, _)| *other == id).unwrap();
            *wrapped.1.last_mut().unwrap() ^= 1;
        });
        assert_eq!(check(&damaged, &wrapping), Err(OperationError::Unwrap));
    }
}

#[test]
pub(crate) fn a_missing_result_is_a_failure() {
    for mut bundle in [sign(Scope::ALL), seal(Scope::ALL)] {
        change(&mut bundle, |asb| asb.results = vec![vec![]]);
        assert!(check(&bundle, &ring()).is_err());
    }
}

#[test]
pub(crate) fn a_tag_has_16_bytes() {
    let plain = bundle().block(TARGET).unwrap().data.len();
    let apart = seal(Scope::ALL);
    assert_eq!(apart.block(TARGET).unwrap().data.len(), plain);
    let result = security(&apart).results_of(TARGET).unwrap()[0].clone();
    assert_eq!((result.0, result.1.len(), result.1[0]), (1, 17, 0x50));
    let shared = key(2, 32);
    let behind =
        sealed(AesVariant::Aes256, Scope::ALL, TagPlace::Ciphertext, SourceKey::Shared(&shared)).unwrap();
    assert_eq!(behind.block(TARGET).unwrap().data.len(), plain + 16);
    assert_eq!(security(&behind).results_of(TARGET), Some(&[][..]));
    assert_eq!(check(&behind, &ring()), Ok(()));
}

#[test]
pub(crate) fn a_wrapping_key_is_for_one_context() {
    let shared = key(9, 32);
    let mut only_integrity = KeyRing::new();
    only_integrity.insert(alice(), Purpose::WrapIntegrity, shared.clone());
    let how = SourceKey::Wrapped(&shared);
    let bcb = sealed(AesVariant::Aes256, Scope::ALL, TagPlace::Result, how).unwrap();
    assert_eq!(check(&bcb, &only_integrity), Err(OperationError::NoKey));
}
