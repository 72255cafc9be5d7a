//! Bundle security over arbitrary bundles, and over what liars make of them.

mod common;

use cairn_bundle::bpsec::accept::{Fate, Place, process};
use cairn_bundle::bpsec::asb::SecurityBlock;
use cairn_bundle::bpsec::context::{Operation, OperationError, SecurityContext};
use cairn_bundle::bpsec::default::aes_gcm::{self, AesVariant, TagPlace};
use cairn_bundle::bpsec::default::hmac_sha2::{self, ShaVariant};
use cairn_bundle::bpsec::default::{DefaultContexts, KeyLengths, Scope, SourceKey};
use cairn_bundle::bpsec::key::{KeyRing, Purpose, SymmetricKey};
use cairn_bundle::bpsec::policy::{Refusal, SecurityPolicy};
use cairn_bundle::bpsec::rules::Coverage;
use cairn_bundle::bpsec::source::{Encryption, Header, Signing, add_confidentiality, add_integrity};
use cairn_bundle::{Block, BlockFlags, BlockKind, CrcType, Eid, Limits, RawBundle};
use common::{Seeded, block, primary};
use proptest::prelude::*;

fn key(byte: u8, len: usize) -> SymmetricKey {
    SymmetricKey::new(&vec![byte; len]).expect("a length that algorithms have")
}

fn node() -> Eid {
    Eid::ipn(0, 2, 1)
}

/// How something is secured.
#[derive(Debug, Clone)]
struct Plan {
    bundle: RawBundle,
    sign: Vec<u64>,
    encrypt: Vec<u64>,
    sha: ShaVariant,
    aes: AesVariant,
    scopes: [Scope; 2],
    wrapped: bool,
    tag: TagPlace,
    seed: u64,
}

impl Plan {
    fn ring(&self) -> KeyRing {
        let mut ring = KeyRing::new();
        ring.insert(node(), Purpose::Integrity, key(1, self.sha.bytes()));
        ring.insert(node(), Purpose::Confidentiality, key(2, self.aes.key_bytes()));
        ring.insert(node(), Purpose::WrapIntegrity, key(3, 24));
        ring.insert(node(), Purpose::WrapConfidentiality, key(4, 32));
        ring
    }

    fn secure(&self) -> RawBundle {
        let mut bundle = self.bundle.clone();
        let mut rng = Seeded(self.seed);
        let source = node();
        let direct = [key(1, self.sha.bytes()), key(2, self.aes.key_bytes())];
        let wrapping = [key(3, 24), key(4, 32)];
        let keys = if self.wrapped {
            wrapping.each_ref().map(SourceKey::Wrapped)
        } else {
            direct.each_ref().map(SourceKey::Shared)
        };
        let [signing_key, encryption_key] = keys;
        let [sign_scope, encrypt_scope] = self.scopes;
        if !self.sign.is_empty() {
            let how = Signing {
                source: &source,
                header: Header::default(),
                variant: self.sha,
                scope: sign_scope,
                key: signing_key,
                key_lengths: KeyLengths::Exact,
            };
            add_integrity(&mut bundle, &self.sign, &how, &mut rng).expect("allowed");
        }
        if !self.encrypt.is_empty() {
            let how = Encryption {
                source: &source,
                header: Header::default(),
                variant: self.aes,
                scope: encrypt_scope,
                key: encryption_key,
                tag: self.tag,
            };
            add_confidentiality(&mut bundle, &self.encrypt, &how, &mut rng).expect("allowed");
        }
        bundle
    }

    /// Processes what arrives as these bytes, and asks for all operations as a policy would.
    fn accept(&self, bytes: &[u8], operations: usize) -> Result<RawBundle, String> {
        let ring = self.ring();
        let bundle = RawBundle::decode(bytes, &Limits::default()).map_err(|error| error.to_string())?;
        let policy = SecurityPolicy::default();
        let processed = process(bundle, Place::Destination, &policy, &[&DefaultContexts::new(&ring)])
            .map_err(|error| error.to_string())?;
        let all = processed.outcomes.iter().all(|outcome| outcome.fate == Fate::Accepted);
        if all && processed.outcomes.len() == operations {
            Ok(processed.bundle)
        } else {
            Err("an operation is missing".into())
        }
    }
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let flags = [Scope::PRIMARY, Scope::TARGET_HEADER, Scope::SECURITY_HEADER];
    (0..8_u8).prop_map(move |bits| {
        let chosen = flags.into_iter().zip(0..).filter(|(_, bit)| bits & (1 << bit) != 0);
        chosen.fold(Scope::NONE, |scope, (flag, _)| scope | flag)
    })
}

fn any_bundle() -> impl Strategy<Value = RawBundle> {
    let data = || proptest::collection::vec(any::<u8>(), 0..60);
    let crc = prop_oneof![Just(CrcType::None), Just(CrcType::Crc16), Just(CrcType::Crc32)];
    (proptest::collection::vec((data(), 13..500_u64, 0..4_u64), 0..4), data(), crc).prop_map(
        |(others, payload, crc)| {
            let mut blocks: Vec<Block> = (2..)
                .zip(others)
                .map(|(number, (data, code, flags))| Block {
                    flags: BlockFlags(flags),
                    ..block(BlockKind::from_code(code), number, &data)
                })
                .collect();
            blocks.push(Block { crc, ..block(BlockKind::Payload, 1, &payload) });
            RawBundle { primary: primary(node(), Eid::ipn(0, 5, 7)), blocks }
        },
    )
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let sha = prop_oneof![Just(ShaVariant::Sha256), Just(ShaVariant::Sha384), Just(ShaVariant::Sha512)];
    let aes = prop_oneof![Just(AesVariant::Aes128), Just(AesVariant::Aes256)];
    let tag = prop_oneof![Just(TagPlace::Result), Just(TagPlace::Ciphertext)];
    let choices = (any::<u8>(), any::<u8>(), any::<bool>(), any::<u64>());
    (any_bundle(), choices, sha, aes, [any_scope(), any_scope()], tag).prop_map(
        |(bundle, (sign, encrypt, wrapped, seed), sha, aes, scopes, tag)| {
            let numbers: Vec<u64> = bundle.blocks.iter().map(|block| block.number).collect();
            let choose = |bits: u8, from: &[u64]| -> Vec<u64> {
                let chosen = from.iter().zip(0..7_u8).filter(|(_, bit)| bits & (1 << bit) != 0);
                chosen.map(|(number, _)| *number).collect()
            };
            let with_primary: Vec<u64> = [&[0], &numbers[..]].concat();
            let sign = choose(sign, &with_primary);
            let mut encrypt = choose(encrypt, &numbers);
            // A signature that depends on its block cannot be split, so all that it covers goes.
            let [scope, _] = scopes;
            let all = sign.iter().all(|number| encrypt.contains(number));
            if scope.contains(Scope::SECURITY_HEADER)
                && !all
                && sign.iter().any(|number| encrypt.contains(number))
            {
                encrypt.retain(|number| !sign.contains(number));
            }
            Plan { bundle, sign, encrypt, sha, aes, scopes, wrapped, tag, seed }
        },
    )
}

/// How many operations a secured bundle has, hidden ones included.
fn operations(plan: &Plan, secured: &RawBundle) -> usize {
    let coverage = Coverage::read(secured).expect("we made it");
    let encrypted: usize = coverage.confidentiality.iter().map(|(_, asb)| asb.targets.len()).sum();
    encrypted + plan.sign.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_was_secured_comes_back(plan in any_plan()) {
        let secured = plan.secure();
        let opened = plan.accept(&secured.encode(), operations(&plan, &secured)).unwrap();
        let data = |bundle: &RawBundle| -> Vec<(u64, BlockKind, BlockFlags, Vec<u8>)> {
            let blocks = bundle.blocks.iter();
            blocks.map(|block| (block.number, block.kind, block.flags, block.data.clone())).collect()
        };
        prop_assert_eq!(data(&opened), data(&plan.bundle));
        prop_assert_eq!(&opened.primary, &plan.bundle.primary);
        for target in &plan.encrypt {
            let (before, after) = (plan.bundle.block(*target).unwrap(), secured.block(*target).unwrap());
            let longer = if plan.tag == TagPlace::Ciphertext { 16 } else { 0 };
            prop_assert_eq!(after.data.len(), before.data.len() + longer);
            // Of 64 bits or more it would take a miracle.
            prop_assert!(before.data.len() < 8 || after.data != before.data);
        }
    }

    #[test]
    fn a_changed_bit_in_what_is_covered_is_refused(plan in any_plan(), index: prop::sample::Index, bit in 0..8_u8) {
        let secured = plan.secure();
        let count = operations(&plan, &secured);
        let mut covered: Vec<u64> = plan.sign.iter().chain(&plan.encrypt).copied().collect();
        covered.extend(Coverage::read(&secured).unwrap().confidentiality.iter().flat_map(|(_, asb)| asb.targets.clone()));
        covered.retain(|number| secured.block(*number).is_some_and(|block| !block.data.is_empty()));
        for number in covered {
            let mut changed = secured.clone();
            let data = &mut changed.block_mut(number).unwrap().data;
            *index.get_mut(data) ^= 1 << bit;
            prop_assert!(plan.accept(&changed.encode(), count).is_err(), "block {}", number);
        }
    }

    #[test]
    fn scope_flags_decide_what_else_is_covered(plan in any_plan()) {
        prop_assume!(!plan.sign.is_empty() || !plan.encrypt.is_empty());
        let secured = plan.secure();
        let count = operations(&plan, &secured);
        let [sign_scope, encrypt_scope] = plan.scopes;
        let signed = !plan.sign.is_empty();
        let encrypts = !plan.encrypt.is_empty();
        let in_scope = |scope: Scope| {
            (signed && sign_scope.contains(scope)) || (encrypts && encrypt_scope.contains(scope))
        };
        let mut changed = secured.clone();
        changed.primary.lifetime_ms ^= 1;
        let only_primary = plan.sign == [0] && !encrypts;
        let noticed = plan.sign.contains(&0) || (in_scope(Scope::PRIMARY) && !only_primary);
        prop_assert_eq!(plan.accept(&changed.encode(), count).is_err(), noticed);

        let mut changed = secured.clone();
        let bibs = secured.blocks.iter().filter(|block| block.kind == BlockKind::Integrity);
        let bibs: Vec<u64> = bibs.map(|block| block.number).collect();
        for number in bibs {
            changed.block_mut(number).unwrap().flags.0 ^= 2;
        }
        let coverage = Coverage::read(&secured).unwrap();
        let hidden = secured.blocks.iter().any(|block| {
            block.kind == BlockKind::Integrity && coverage.is_encrypted(block.number)
        });
        let noticed = signed && (sign_scope.contains(Scope::SECURITY_HEADER)
            || (hidden && encrypt_scope.contains(Scope::TARGET_HEADER)));
        prop_assert_eq!(plan.accept(&changed.encode(), count).is_err(), noticed);

        if let Some(target) = plan.encrypt.first().or_else(|| plan.sign.iter().find(|number| **number != 0)) {
            let mut changed = secured.clone();
            changed.block_mut(*target).unwrap().flags.0 ^= 2;
            let noticed = (plan.encrypt.contains(target) && encrypt_scope.contains(Scope::TARGET_HEADER))
                || (plan.sign.contains(target) && sign_scope.contains(Scope::TARGET_HEADER));
            prop_assert_eq!(plan.accept(&changed.encode(), count).is_err(), noticed);
            // Reserved flags may change on the way.
            let mut changed = secured.clone();
            changed.block_mut(*target).unwrap().flags.0 ^= 0x20;
            prop_assert!(plan.accept(&changed.encode(), count).is_ok());
        }
    }

    #[test]
    fn another_key_opens_nothing(plan in any_plan()) {
        prop_assume!(!plan.sign.is_empty() || !plan.encrypt.is_empty());
        let secured = plan.secure();
        let mut ring = KeyRing::new();
        ring.insert(node(), Purpose::Integrity, key(11, plan.sha.bytes()));
        ring.insert(node(), Purpose::Confidentiality, key(12, plan.aes.key_bytes()));
        ring.insert(node(), Purpose::WrapIntegrity, key(13, 24));
        ring.insert(node(), Purpose::WrapConfidentiality, key(14, 32));
        let contexts = DefaultContexts::new(&ring);
        let refused = process(secured, Place::Destination, &SecurityPolicy::default(), &[&contexts]);
        let failed = matches!(
            refused,
            Err(Refusal::Operation { error: OperationError::Failed | OperationError::Unwrap, .. })
        );
        prop_assert!(failed);
    }

    #[test]
    fn whatever_a_security_block_holds_nothing_panics(
        plan in any_plan(),
        data in proptest::collection::vec(any::<u8>(), 0..120),
        kind in prop_oneof![Just(BlockKind::Integrity), Just(BlockKind::Confidentiality)],
    ) {
        let mut bundle = plan.secure();
        bundle.blocks.insert(0, Block { flags: BlockFlags(1), ..block(kind, 900, &data) });
        let _ = plan.accept(&bundle.encode(), 0);
    }
}

/// A signed and an encrypted bundle, whose security block a liar rewrites.
fn tampered(kind: BlockKind, change: impl FnOnce(&mut SecurityBlock)) -> Result<(), OperationError> {
    let plan = Plan {
        bundle: RawBundle {
            primary: primary(node(), Eid::ipn(0, 5, 7)),
            blocks: vec![block(BlockKind::Payload, 1, b"payload")],
        },
        sign: if kind == BlockKind::Integrity { vec![1] } else { vec![] },
        encrypt: if kind == BlockKind::Integrity { vec![] } else { vec![1] },
        sha: ShaVariant::Sha384,
        aes: AesVariant::Aes256,
        scopes: [Scope::ALL; 2],
        wrapped: true,
        tag: TagPlace::Result,
        seed: 1,
    };
    let bundle = plan.secure();
    let security = bundle.blocks.iter().find(|block| block.kind == kind).expect("it was added");
    let mut asb = SecurityBlock::decode(&security.data).expect("we made it");
    change(&mut asb);
    let ring = plan.ring();
    let contexts = DefaultContexts::new(&ring);
    let operation = Operation { bundle: &bundle, block: security, asb: &asb, target: 1 };
    if kind == BlockKind::Integrity {
        contexts.verify(&operation)
    } else {
        contexts.decrypt(&operation).map(|_| ())
    }
}

fn set(asb: &mut SecurityBlock, id: u64, value: &[u8]) {
    asb.parameters.retain(|(other, _)| *other != id);
    asb.parameters.push((id, value.to_vec()));
}

fn string(len: u8) -> Vec<u8> {
    let mut item = vec![0x58, len];
    item.resize(2 + usize::from(len), 0);
    if len < 24 {
        item.splice(0..2, [0x40 | len]);
    }
    item
}

#[test]
pub(crate) fn a_liar_finds_no_parameter_of_bib_hmac_sha2_to_play_with() {
    let bib = |change: &dyn Fn(&mut SecurityBlock)| tampered(BlockKind::Integrity, change);
    assert_eq!(bib(&|_| ()), Ok(()));
    assert_eq!(bib(&|asb| asb.context = 2), Err(OperationError::UnknownContext(2)));
    assert_eq!(bib(&|asb| asb.context = -1), Err(OperationError::UnknownContext(-1)));
    assert_eq!(bib(&|asb| set(asb, 4, &[0])), Err(OperationError::UnknownParameter(4)));
    assert_eq!(bib(&|asb| set(asb, 1, &[4])), Err(OperationError::UnknownAlgorithm(4)));
    assert_eq!(
        bib(&|asb| set(asb, 1, &[0x1b, 255, 255, 255, 255, 255, 255, 255, 255])),
        Err(OperationError::UnknownAlgorithm(i64::MAX))
    );
    assert_eq!(bib(&|asb| set(asb, 1, &[0x41, 6])), Err(OperationError::Parameter(1)));
    assert_eq!(bib(&|asb| set(asb, 1, &[5])), Err(OperationError::KeyLength));
    assert_eq!(bib(&|asb| set(asb, 2, &[7])), Err(OperationError::Parameter(2)));
    assert_eq!(bib(&|asb| set(asb, 3, &[0x1a, 0, 1, 0, 0])), Err(OperationError::Parameter(3)), "16 bits");
    assert_eq!(bib(&|asb| set(asb, 3, &[6])), Err(OperationError::Failed));
    assert_eq!(bib(&|asb| set(asb, 3, &[0x20])), Err(OperationError::Parameter(3)));
    // The defaults are those of the RFC, and here they are what was used.
    assert_eq!(bib(&|asb| asb.parameters.retain(|(id, _)| *id == 2)), Ok(()));
    for len in [0, 1, 7, 8, 15, 16, 23, 25, 55, 57, 63, 72, 255] {
        assert_eq!(bib(&|asb| set(asb, 2, &string(len))), Err(OperationError::Unwrap), "{len}");
    }
    assert_eq!(bib(&|asb| asb.results = vec![vec![]]), Err(OperationError::Results));
    assert_eq!(bib(&|asb| asb.results = vec![]), Err(OperationError::Results));
    assert_eq!(bib(&|asb| asb.targets = vec![2]), Err(OperationError::Results));
    assert_eq!(bib(&|asb| asb.results = vec![vec![(2, string(48))]]), Err(OperationError::UnknownResult(2)));
    assert_eq!(bib(&|asb| asb.results = vec![vec![(1, string(48))]]), Err(OperationError::Failed));
    assert_eq!(bib(&|asb| asb.results = vec![vec![(1, string(47))]]), Err(OperationError::Results));
    assert_eq!(bib(&|asb| asb.results = vec![vec![(1, vec![0x40])]]), Err(OperationError::Results));
    assert_eq!(bib(&|asb| asb.results = vec![vec![(1, vec![0])]]), Err(OperationError::Results));
    let both = |asb: &mut SecurityBlock| asb.results[0].push((2, vec![0]));
    assert_eq!(bib(&both), Err(OperationError::Results));
    assert_eq!(bib(&|asb| asb.source = Eid::ipn(0, 8, 0)), Err(OperationError::NoKey));
    assert_eq!(hmac_sha2::CONTEXT, 1);
}

#[test]
pub(crate) fn a_liar_finds_no_parameter_of_bcb_aes_gcm_to_play_with() {
    let bcb = |change: &dyn Fn(&mut SecurityBlock)| tampered(BlockKind::Confidentiality, change);
    assert_eq!(bcb(&|_| ()), Ok(()));
    assert_eq!(bcb(&|asb| asb.context = 1), Err(OperationError::UnknownContext(1)));
    assert_eq!(bcb(&|asb| set(asb, 5, &[0])), Err(OperationError::UnknownParameter(5)));
    assert_eq!(
        bcb(&|asb| asb.parameters.retain(|(id, _)| *id != 1)),
        Err(OperationError::MissingParameter(1))
    );
    for len in [0, 1, 7, 17, 32] {
        assert_eq!(bcb(&|asb| set(asb, 1, &string(len))), Err(OperationError::Parameter(1)), "{len}");
    }
    for len in 8..=16 {
        assert_eq!(bcb(&|asb| set(asb, 1, &string(len))), Err(OperationError::Failed), "{len}");
    }
    assert_eq!(bcb(&|asb| set(asb, 1, &[0])), Err(OperationError::Parameter(1)));
    assert_eq!(
        bcb(&|asb| set(asb, 2, &[2])),
        Err(OperationError::UnknownAlgorithm(2)),
        "AES-192 is not there"
    );
    assert_eq!(bcb(&|asb| set(asb, 2, &[1])), Err(OperationError::KeyLength));
    assert_eq!(bcb(&|asb| asb.parameters.retain(|(id, _)| [1, 3].contains(id))), Ok(()), "the defaults");
    for len in [0, 8, 23, 39, 41, 200] {
        assert_eq!(bcb(&|asb| set(asb, 3, &string(len))), Err(OperationError::Unwrap), "{len}");
    }
    assert_eq!(bcb(&|asb| set(asb, 4, &[3])), Err(OperationError::Failed));
    assert_eq!(bcb(&|asb| set(asb, 4, &[0x1a, 0, 1, 0, 7])), Err(OperationError::Parameter(4)));
    // Without a tag among the results, the payload's seven bytes would have to hold one.
    assert_eq!(bcb(&|asb| asb.results = vec![vec![]]), Err(OperationError::Results));
    for len in [0, 12, 15, 17, 32] {
        assert_eq!(
            bcb(&|asb| asb.results = vec![vec![(1, string(len))]]),
            Err(OperationError::Results),
            "{len}"
        );
    }
    assert_eq!(bcb(&|asb| asb.results = vec![vec![(1, string(16))]]), Err(OperationError::Failed));
    assert_eq!(bcb(&|asb| asb.results = vec![vec![(3, string(16))]]), Err(OperationError::UnknownResult(3)));
    assert_eq!(aes_gcm::CONTEXT, 2);
}

#[test]
pub(crate) fn a_huge_list_of_targets_costs_no_more_than_its_bytes() {
    let mut data = vec![0x9a, 0xff, 0xff, 0xff, 0xff];
    data.extend((0..100_000_u32).flat_map(|number| {
        let mut item = vec![0x1a];
        item.extend((0x1_0000 + number).to_be_bytes());
        item
    }));
    let mut bundle = RawBundle {
        primary: primary(node(), Eid::ipn(0, 5, 7)),
        blocks: vec![block(BlockKind::Integrity, 2, &data), block(BlockKind::Payload, 1, b"")],
    };
    let ring = KeyRing::new();
    let contexts = DefaultContexts::new(&ring);
    let run = |bundle: &RawBundle| {
        process(bundle.clone(), Place::Destination, &SecurityPolicy::default(), &[&contexts])
    };
    assert!(matches!(run(&bundle), Err(Refusal::Conflict(_))));
    bundle.blocks[0].kind = BlockKind::Confidentiality;
    assert!(matches!(run(&bundle), Err(Refusal::Conflict(_))));
}
