//! RFC 9172: what a source may add, and what verifiers and acceptors do with it.

pub(crate) mod common;

use cairn_bundle::bpsec::accept::{Fate, Place, Processed, SecurityCounts, process};
use cairn_bundle::bpsec::asb::SecurityBlock;
use cairn_bundle::bpsec::context::OperationError;
use cairn_bundle::bpsec::default::aes_gcm::{AesVariant, TagPlace};
use cairn_bundle::bpsec::default::hmac_sha2::ShaVariant;
use cairn_bundle::bpsec::default::{DefaultContexts, KeyLengths, Scope, SourceKey};
use cairn_bundle::bpsec::key::{KeyRing, Purpose, SymmetricKey};
use cairn_bundle::bpsec::policy::{OnFailure, OnUnknown, Reason, Refusal, SecurityPolicy, SignedRule, Who};
use cairn_bundle::bpsec::rules::{Conflict, Coverage};
use cairn_bundle::bpsec::source::{
    Encryption, Header, Signing, SourceError, add_confidentiality, add_integrity,
};
use cairn_bundle::{BlockFlags, BlockKind, Bundle, BundleFlags, CrcType, Eid, Fragment, Limits, RawBundle};
use common::{Seeded, block, primary};

const PAYLOAD: u64 = 1;
const AGE: u64 = 2;
const OTHER: u64 = 3;

pub(crate) fn alice() -> Eid {
    Eid::ipn(0, 2, 1)
}

fn gateway() -> Eid {
    Eid::ipn(0, 9, 0)
}

pub(crate) fn bundle() -> RawBundle {
    let blocks = vec![
        block(BlockKind::Age, AGE, &[0x18, 100]),
        block(BlockKind::Unknown(192), OTHER, b"extension"),
        block(BlockKind::Payload, PAYLOAD, b"the bridge is out"),
    ];
    RawBundle { primary: primary(alice(), Eid::ipn(0, 5, 7)), blocks }
}

pub(crate) fn key(byte: u8, len: usize) -> SymmetricKey {
    SymmetricKey::new(&vec![byte; len]).expect("a length that algorithms have")
}

pub(crate) fn ring() -> KeyRing {
    let mut ring = KeyRing::new();
    for source in [alice(), gateway()] {
        ring.insert(source.clone(), Purpose::Integrity, key(1, 48));
        ring.insert(source.clone(), Purpose::Confidentiality, key(2, 32));
        ring.insert(source.clone(), Purpose::WrapIntegrity, key(3, 32));
        ring.insert(source, Purpose::WrapConfidentiality, key(4, 16));
    }
    ring
}

fn sign_by(bundle: &mut RawBundle, source: &Eid, targets: &[u64], scope: Scope) -> Result<u64, SourceError> {
    let how = Signing {
        source,
        header: Header::default(),
        variant: ShaVariant::Sha384,
        scope,
        key: SourceKey::Shared(&key(1, 48)),
        key_lengths: KeyLengths::Exact,
    };
    add_integrity(bundle, targets, &how, &mut Seeded(1))
}

pub(crate) fn sign(bundle: &mut RawBundle, targets: &[u64], scope: Scope) -> Result<u64, SourceError> {
    sign_by(bundle, &alice(), targets, scope)
}

fn encrypt_with(
    bundle: &mut RawBundle,
    targets: &[u64],
    header: Header,
    source: &Eid,
) -> Result<Vec<u64>, SourceError> {
    let how = Encryption {
        source,
        header,
        variant: AesVariant::Aes256,
        scope: Scope::ALL,
        key: SourceKey::Shared(&key(2, 32)),
        tag: TagPlace::Result,
    };
    add_confidentiality(bundle, targets, &how, &mut Seeded(2))
}

pub(crate) fn encrypt(bundle: &mut RawBundle, targets: &[u64]) -> Result<Vec<u64>, SourceError> {
    encrypt_with(bundle, targets, Header::default(), &alice())
}

fn run(bundle: &RawBundle, place: Place, policy: &SecurityPolicy) -> Result<Processed, Refusal> {
    let ring = ring();
    // What is processed has been on the wire.
    let bundle = RawBundle::decode(&bundle.encode(), &Limits::default()).expect("well-formed");
    process(bundle, place, policy, &[&DefaultContexts::new(&ring)])
}

fn fates(processed: &Processed) -> Vec<(u64, Fate)> {
    processed.outcomes.iter().map(|outcome| (outcome.target, outcome.fate)).collect()
}

pub(crate) fn at_destination(bundle: &RawBundle) -> Result<Processed, Refusal> {
    run(bundle, Place::Destination, &SecurityPolicy::default())
}

#[test]
pub(crate) fn section_3_9_a_signature_is_encrypted_with_all_that_it_covers() {
    let mut secured = bundle();
    let bib = sign(&mut secured, &[PAYLOAD, AGE], Scope::ALL).unwrap();
    let numbers = encrypt(&mut secured, &[PAYLOAD, AGE]).unwrap();
    assert_eq!(numbers.len(), 3, "two targets and the signature");
    let coverage = Coverage::read(&secured).unwrap();
    assert!(coverage.integrity.is_empty() && coverage.is_encrypted(bib));
    assert!(Bundle::try_from(secured.clone()).is_ok());
    let processed = at_destination(&secured).unwrap();
    let blocks: Vec<_> = processed.bundle.blocks.iter().map(|block| (block.number, &block.data)).collect();
    let before = bundle();
    assert_eq!(blocks, before.blocks.iter().map(|block| (block.number, &block.data)).collect::<Vec<_>>());
    assert!(processed.outcomes.iter().all(|outcome| outcome.fate == Fate::Accepted));
    assert_eq!(processed.outcomes.len(), 5);
    assert!(Bundle::try_from(processed.bundle).is_ok());
}

#[test]
pub(crate) fn section_3_9_a_signature_over_more_than_what_is_encrypted_is_split() {
    let mut secured = bundle();
    let scope = Scope::PRIMARY | Scope::TARGET_HEADER;
    let bib = sign(&mut secured, &[0, AGE, PAYLOAD], scope).unwrap();
    encrypt(&mut secured, &[PAYLOAD]).unwrap();
    let coverage = Coverage::read(&secured).unwrap();
    let [(number, asb)] = &coverage.integrity[..] else { panic!("one signature is readable") };
    assert_eq!((*number, &asb.targets[..]), (bib, &[0, AGE][..]));
    let hidden = secured.blocks.iter().filter(|block| block.kind == BlockKind::Integrity).count();
    assert_eq!(hidden, 2);
    let processed = at_destination(&secured).unwrap();
    let mut targets: Vec<u64> = processed.outcomes.iter().map(|outcome| outcome.target).collect();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets.len(), 4, "primary, age, payload and the new integrity block: {targets:?}");
    assert!(!processed.bundle.blocks.iter().any(|block| block.kind == BlockKind::Integrity));
}

#[test]
pub(crate) fn a_signature_that_depends_on_its_block_is_not_split() {
    let mut secured = bundle();
    let bib = sign(&mut secured, &[AGE, PAYLOAD], Scope::ALL).unwrap();
    let before = secured.clone();
    assert_eq!(encrypt(&mut secured, &[PAYLOAD]), Err(SourceError::CannotSplit(bib)));
    assert_eq!(secured, before);
    assert!(encrypt(&mut secured, &[PAYLOAD, AGE]).is_ok());
}

#[test]
pub(crate) fn section_3_2_a_service_is_given_once_to_a_target() {
    let mut secured = bundle();
    sign(&mut secured, &[AGE], Scope::ALL).unwrap();
    encrypt(&mut secured, &[PAYLOAD]).unwrap();
    let before = secured.clone();
    assert_eq!(sign(&mut secured, &[OTHER, AGE], Scope::ALL), Err(SourceError::Signed(AGE)));
    assert_eq!(sign(&mut secured, &[PAYLOAD], Scope::ALL), Err(SourceError::Encrypted(PAYLOAD)));
    assert_eq!(encrypt(&mut secured, &[PAYLOAD]), Err(SourceError::Encrypted(PAYLOAD)));
    assert_eq!(sign(&mut secured, &[OTHER, OTHER], Scope::ALL), Err(SourceError::Target(OTHER)));
    assert_eq!(secured, before);
}

#[test]
pub(crate) fn sections_3_7_and_3_8_security_blocks_and_the_primary_block_are_no_targets() {
    let mut secured = bundle();
    let bib = sign(&mut secured, &[AGE], Scope::ALL).unwrap();
    let bcb = encrypt(&mut secured, &[PAYLOAD]).unwrap()[0];
    let before = secured.clone();
    for target in [bib, bcb, 77] {
        assert_eq!(sign(&mut secured, &[target], Scope::ALL), Err(SourceError::Target(target)));
    }
    for target in [0, bib, bcb, 77] {
        assert_eq!(encrypt(&mut secured, &[target]), Err(SourceError::Target(target)));
    }
    assert_eq!(encrypt(&mut secured, &[]), Err(SourceError::NoTarget));
    assert_eq!(sign(&mut secured, &[], Scope::ALL), Err(SourceError::NoTarget));
    let many: Vec<u64> = (0..1000).collect();
    assert_eq!(sign(&mut secured, &many, Scope::ALL), Err(SourceError::TooManyTargets));
    assert_eq!(secured, before);
}

#[test]
pub(crate) fn section_3_8_confidentiality_blocks_have_the_flags_they_need() {
    let mut secured = bundle();
    let discard = Header { flags: BlockFlags::DISCARD, ..Header::default() };
    assert_eq!(encrypt_with(&mut secured, &[PAYLOAD], discard, &alice()), Err(SourceError::Discardable));
    let numbers = encrypt(&mut secured, &[OTHER, PAYLOAD]).unwrap();
    let flags: Vec<_> = numbers.iter().map(|number| secured.block(*number).unwrap().flags).collect();
    assert_eq!(flags, [BlockFlags(0), BlockFlags::REPLICATE]);
    let mut changed = secured.clone();
    changed.block_mut(numbers[1]).unwrap().flags = BlockFlags(0);
    assert_eq!(Coverage::read(&changed), Err(Conflict::NotReplicated(numbers[1])));
    changed.block_mut(numbers[1]).unwrap().flags = BlockFlags(0x11);
    assert_eq!(Coverage::read(&changed), Err(Conflict::Discardable(numbers[1])));
    assert_eq!(at_destination(&changed).unwrap_err().reason(), Some(Reason::Conflicting));
}

#[test]
pub(crate) fn every_target_is_encrypted_with_another_initialization_vector() {
    let mut secured = bundle();
    encrypt(&mut secured, &[AGE, OTHER, PAYLOAD]).unwrap();
    let coverage = Coverage::read(&secured).unwrap();
    let mut ivs: Vec<_> = coverage.confidentiality.iter().filter_map(|(_, asb)| asb.parameter(1)).collect();
    ivs.sort_unstable();
    ivs.dedup();
    assert_eq!(ivs.len(), 3);
    assert!(ivs.iter().all(|iv| iv.len() == 13), "12 bytes with a head");
}

#[test]
pub(crate) fn section_5_2_fragments_are_neither_secured_nor_opened() {
    let mut fragment = bundle();
    fragment.primary.flags = BundleFlags::FRAGMENT;
    fragment.primary.fragment = Some(Fragment { offset: 0, total_bytes: 100 });
    let before = fragment.clone();
    assert_eq!(sign(&mut fragment, &[PAYLOAD], Scope::ALL), Err(SourceError::Fragment));
    assert_eq!(encrypt(&mut fragment, &[PAYLOAD]), Err(SourceError::Fragment));
    assert_eq!(fragment, before);
    assert_eq!(at_destination(&fragment).unwrap().bundle, before);
    // A liar who takes the security off and makes a fragment of the rest does not get past a policy.
    let signed = SignedRule { source: Who::Anybody, primary: false, payload: true };
    let asks_signed = SecurityPolicy { signed: vec![signed], ..SecurityPolicy::default() };
    let asks_sealed = SecurityPolicy { sealed: vec![Who::Anybody], ..SecurityPolicy::default() };
    for policy in [asks_signed, asks_sealed] {
        assert_eq!(run(&fragment, Place::Destination, &policy), Err(Refusal::Fragment));
        assert_eq!(run(&fragment, Place::Waypoint, &policy).unwrap().bundle, before);
    }
    let mut secured = bundle();
    encrypt(&mut secured, &[PAYLOAD]).unwrap();
    secured.primary = fragment.primary;
    assert_eq!(at_destination(&secured), Err(Refusal::Fragment));
    assert_eq!(Refusal::Fragment.reason(), None);
    let passed = run(&secured, Place::Waypoint, &SecurityPolicy::default()).unwrap();
    assert_eq!(passed.bundle, secured);
}

#[test]
pub(crate) fn the_primary_block_gives_its_checksum_for_a_signature_and_gets_one_back() {
    let mut secured = bundle();
    sign(&mut secured, &[0, PAYLOAD], Scope::ALL).unwrap();
    assert_eq!(secured.primary.crc, CrcType::None);
    assert_eq!(secured.block(PAYLOAD).unwrap().crc, CrcType::None);
    assert!(Bundle::try_from(secured.clone()).is_ok());
    let processed = at_destination(&secured).unwrap();
    assert_eq!(processed.bundle.primary, bundle().primary);
    assert_eq!(processed.bundle.block(PAYLOAD).unwrap().crc, CrcType::Crc32);
    assert_eq!(processed.bundle.block(AGE).unwrap().crc, CrcType::Crc16, "it was not covered");
    // Later, others may cover the checksum.
    let mut late = bundle();
    sign(&mut late, &[PAYLOAD], Scope::ALL).unwrap();
    let before = late.clone();
    assert_eq!(sign(&mut late, &[0], Scope::ALL), Err(SourceError::PrimaryInUse));
    assert_eq!(late, before);
}

#[test]
pub(crate) fn numbers_of_security_blocks_are_free_ones() {
    let mut secured = bundle();
    for number in [0, 1, AGE, OTHER] {
        let header = Header { number: Some(number), ..Header::default() };
        assert_eq!(
            encrypt_with(&mut secured, &[PAYLOAD], header, &alice()),
            Err(SourceError::Number(number))
        );
    }
    let header = Header { number: Some(u64::MAX), crc: CrcType::Crc32, ..Header::default() };
    assert_eq!(encrypt_with(&mut secured, &[PAYLOAD], header, &alice()), Ok(vec![u64::MAX]));
    assert_eq!(sign(&mut secured, &[AGE], Scope::ALL), Ok(4));
    assert_eq!(sign_by(&mut secured, &Eid::None, &[OTHER], Scope::ALL), Err(SourceError::Source));
    assert!(at_destination(&secured).is_ok());
}

#[test]
pub(crate) fn a_waypoint_verifies_and_leaves_everything_as_it_is() {
    let mut secured = bundle();
    sign(&mut secured, &[AGE], Scope::ALL).unwrap();
    encrypt(&mut secured, &[PAYLOAD]).unwrap();
    let passed = run(&secured, Place::Waypoint, &SecurityPolicy::default()).unwrap();
    assert_eq!(passed.bundle, secured);
    assert_eq!(fates(&passed), [(PAYLOAD, Fate::Passed), (AGE, Fate::Verified)]);
    let reasons: Vec<_> = passed.outcomes.iter().map(|outcome| outcome.reason()).collect();
    assert_eq!(reasons, [Some(Reason::Unexpected), None]);
    secured.block_mut(AGE).unwrap().data = vec![0x18, 101];
    let refusal = run(&secured, Place::Waypoint, &SecurityPolicy::default()).unwrap_err();
    assert_eq!(refusal.reason(), Some(Reason::Failed));
}

#[test]
pub(crate) fn a_gateway_accepts_what_its_policy_names_and_no_more() {
    let mut secured = bundle();
    sign(&mut secured, &[AGE], Scope::ALL).unwrap();
    encrypt_with(&mut secured, &[PAYLOAD], Header::default(), &gateway()).unwrap();
    let policy =
        SecurityPolicy { accepts: vec![Who::NodeOf(Eid::ipn(0, 9, 4))], ..SecurityPolicy::default() };
    let passed = run(&secured, Place::Waypoint, &policy).unwrap();
    assert_eq!(fates(&passed), [(PAYLOAD, Fate::Accepted), (AGE, Fate::Verified)]);
    assert_eq!(passed.bundle.payload().unwrap().data, b"the bridge is out");
    assert_eq!(passed.bundle.payload().unwrap().crc, CrcType::Crc32);
    assert_eq!(passed.bundle.block(AGE).unwrap().crc, CrcType::None, "its signature stays");
}

#[test]
pub(crate) fn on_the_way_the_primary_block_keeps_its_signature_while_others_may_cover_it() {
    let policy = SecurityPolicy { accepts: vec![Who::Anybody], ..SecurityPolicy::default() };
    let mut alone = bundle();
    sign(&mut alone, &[0], Scope::NONE).unwrap();
    let mut shared = alone.clone();
    let passed = run(&alone, Place::Waypoint, &policy).unwrap();
    assert_eq!(fates(&passed), [(0, Fate::Accepted)]);
    assert_eq!(passed.bundle, bundle());
    sign_by(&mut shared, &Eid::ipn(0, 77, 0), &[AGE], Scope::PRIMARY).unwrap();
    let passed = run(&shared, Place::Waypoint, &policy).unwrap();
    assert!(fates(&passed).contains(&(0, Fate::Verified)));
    assert!(fates(&passed).contains(&(AGE, Fate::NotChecked(OperationError::NoKey))));
}

#[test]
pub(crate) fn a_failed_block_costs_the_bundle_or_itself_as_the_policy_says() {
    let mut secured = bundle();
    sign(&mut secured, &[AGE, PAYLOAD], Scope::ALL).unwrap();
    encrypt(&mut secured, &[OTHER]).unwrap();
    secured.block_mut(OTHER).unwrap().data[0] ^= 1;
    secured.block_mut(AGE).unwrap().data[1] ^= 1;
    assert_eq!(at_destination(&secured).unwrap_err().reason(), Some(Reason::Failed));
    let policy = SecurityPolicy { on_failure: OnFailure::DropBlock, ..SecurityPolicy::default() };
    let processed = run(&secured, Place::Destination, &policy).unwrap();
    let failed = Fate::TargetDropped(OperationError::Failed);
    assert_eq!(fates(&processed), [(OTHER, failed), (AGE, failed), (PAYLOAD, Fate::Accepted)]);
    let kinds: Vec<_> = processed.bundle.blocks.iter().map(|block| block.kind).collect();
    assert_eq!(kinds, [BlockKind::Payload]);
    secured.block_mut(PAYLOAD).unwrap().data[0] ^= 1;
    assert!(run(&secured, Place::Destination, &policy).is_err(), "the payload is vital");
}

#[test]
pub(crate) fn with_a_dropped_block_goes_the_hidden_signature_over_it() {
    let mut secured = bundle();
    let bib = sign(&mut secured, &[OTHER], Scope::ALL).unwrap();
    encrypt(&mut secured, &[OTHER]).unwrap();
    secured.block_mut(OTHER).unwrap().data[0] ^= 1;
    let policy = SecurityPolicy { on_failure: OnFailure::DropBlock, ..SecurityPolicy::default() };
    let processed = run(&secured, Place::Destination, &policy).unwrap();
    assert_eq!(processed.bundle.block(OTHER), None);
    assert_eq!(processed.bundle.block(bib), None);
    assert_eq!(processed.bundle.blocks.len(), 2);
}

#[test]
pub(crate) fn signatures_that_cannot_be_checked_stay_or_cost_the_bundle() {
    let mut secured = bundle();
    sign_by(&mut secured, &Eid::ipn(0, 77, 0), &[PAYLOAD], Scope::ALL).unwrap();
    let kept = at_destination(&secured).unwrap();
    assert_eq!(kept.bundle, secured);
    assert_eq!(fates(&kept), [(PAYLOAD, Fate::NotChecked(OperationError::NoKey))]);
    let policy = SecurityPolicy { on_unknown: OnUnknown::DropBundle, ..SecurityPolicy::default() };
    let refusal = run(&secured, Place::Destination, &policy).unwrap_err();
    assert_eq!(refusal.reason(), Some(Reason::Unknown));
    // What cannot be decrypted at the destination cannot be used.
    let mut sealed = bundle();
    encrypt_with(&mut sealed, &[PAYLOAD], Header::default(), &Eid::ipn(0, 77, 0)).unwrap();
    assert_eq!(at_destination(&sealed).unwrap_err().reason(), Some(Reason::Unknown));
}

#[test]
pub(crate) fn a_policy_asks_for_signatures_of_the_source_itself() {
    let rule = SignedRule { source: Who::NodeOf(alice()), primary: true, payload: true };
    let policy = SecurityPolicy { signed: vec![rule], ..SecurityPolicy::default() };
    let mut secured = bundle();
    assert_eq!(run(&secured, Place::Destination, &policy), Err(Refusal::Unsigned { target: 0 }));
    sign(&mut secured, &[0], Scope::NONE).unwrap();
    for place in [Place::Destination, Place::Waypoint] {
        assert_eq!(run(&secured, place, &policy), Err(Refusal::Unsigned { target: PAYLOAD }));
    }
    let mut other = secured.clone();
    sign_by(&mut other, &gateway(), &[PAYLOAD], Scope::ALL).unwrap();
    assert_eq!(run(&other, Place::Destination, &policy), Err(Refusal::Unsigned { target: PAYLOAD }));
    sign(&mut secured, &[PAYLOAD], Scope::NONE).unwrap();
    for place in [Place::Destination, Place::Waypoint] {
        assert!(run(&secured, place, &policy).is_ok());
    }
    encrypt(&mut secured, &[PAYLOAD]).unwrap();
    for place in [Place::Destination, Place::Waypoint] {
        assert!(run(&secured, place, &policy).is_ok(), "on the way the signature may be hidden");
    }
    let mut stranger = bundle();
    stranger.primary.source = Eid::ipn(0, 55, 1);
    assert!(run(&stranger, Place::Destination, &policy).is_ok());
}

#[test]
pub(crate) fn a_policy_asks_for_encryption_to_some_destinations() {
    let to = bundle().primary.destination;
    for who in [Who::Anybody, Who::Endpoint(to), Who::NodeOf(Eid::ipn(0, 5, 0))] {
        let policy = SecurityPolicy { sealed: vec![who], ..SecurityPolicy::default() };
        let mut bundle = bundle();
        for place in [Place::Destination, Place::Waypoint] {
            let refusal = run(&bundle, place, &policy).unwrap_err();
            assert_eq!((refusal, refusal.reason()), (Refusal::Unsealed, Some(Reason::Missing)));
        }
        encrypt(&mut bundle, &[PAYLOAD]).unwrap();
        for place in [Place::Destination, Place::Waypoint] {
            assert!(run(&bundle, place, &policy).is_ok());
        }
    }
    let policy = SecurityPolicy { sealed: vec![Who::Endpoint(gateway())], ..SecurityPolicy::default() };
    assert!(run(&bundle(), Place::Destination, &policy).is_ok());
}

#[test]
pub(crate) fn what_a_decrypted_signature_covers_is_checked_like_any_other() {
    let mut secured = bundle();
    let bib = sign(&mut secured, &[AGE], Scope::NONE).unwrap();
    let mut asb = SecurityBlock::decode(&secured.block(bib).unwrap().data).unwrap();
    asb.targets = vec![77];
    secured.block_mut(bib).unwrap().data = asb.encode();
    assert_eq!(Coverage::read(&secured), Err(Conflict::Target { block: bib, target: 77 }));
    // The same, hidden by a liar who has a key.
    let mut hidden = secured.clone();
    hidden.block_mut(bib).unwrap().kind = BlockKind::Unknown(200);
    encrypt_with(&mut hidden, &[bib], Header::default(), &alice()).unwrap();
    hidden.block_mut(bib).unwrap().kind = BlockKind::Integrity;
    let refusal = at_destination(&hidden).unwrap_err();
    assert!(matches!(refusal, Refusal::Operation { .. } | Refusal::Conflict(_)), "{refusal}");
}

#[test]
pub(crate) fn what_still_has_a_signature_gets_no_checksum() {
    let mut secured = bundle();
    sign(&mut secured, &[PAYLOAD], Scope::ALL).unwrap();
    encrypt_with(&mut secured, &[PAYLOAD], Header::default(), &gateway()).unwrap();
    let policy = SecurityPolicy { accepts: vec![Who::Endpoint(gateway())], ..SecurityPolicy::default() };
    let passed = run(&secured, Place::Waypoint, &policy).unwrap();
    assert_eq!(fates(&passed).last(), Some(&(PAYLOAD, Fate::Verified)));
    assert_eq!(passed.bundle.block(PAYLOAD).unwrap().crc, CrcType::None);
    let bib = passed.outcomes.last().unwrap().block;
    assert_eq!(passed.bundle.block(bib).unwrap().crc, CrcType::Crc32, "it is not encrypted any more");
}

#[test]
pub(crate) fn on_the_way_a_signature_stays_hidden_while_what_it_covers_is() {
    let mut secured = bundle();
    sign(&mut secured, &[OTHER, PAYLOAD], Scope::ALL).unwrap();
    // Two nodes encrypt: the gateway the signature, and somebody unknown here the payload.
    let numbers = encrypt_with(&mut secured, &[OTHER, PAYLOAD], Header::default(), &gateway()).unwrap();
    let stranger = secured.block_mut(numbers[1]).unwrap();
    let mut asb = SecurityBlock::decode(&stranger.data).unwrap();
    asb.source = Eid::ipn(0, 77, 0);
    stranger.data = asb.encode();
    let policy = SecurityPolicy { accepts: vec![Who::Anybody], ..SecurityPolicy::default() };
    let passed = run(&secured, Place::Waypoint, &policy).unwrap();
    let no_key = Fate::NotChecked(OperationError::NoKey);
    assert_eq!(fates(&passed)[..2], [(OTHER, Fate::Accepted), (PAYLOAD, no_key)]);
    assert_eq!(fates(&passed)[2].1, Fate::Passed);
    assert!(Coverage::read(&passed.bundle).unwrap().integrity.is_empty());
    assert_eq!(passed.bundle.block(OTHER).unwrap().data, b"extension");
}

#[test]
pub(crate) fn bundles_that_break_the_rules_are_refused_as_conflicts() {
    let mut secured = bundle();
    let bib = sign(&mut secured, &[AGE], Scope::ALL).unwrap();
    let bcb = encrypt(&mut secured, &[OTHER]).unwrap()[0];
    let with = |number: u64, change: &dyn Fn(&mut SecurityBlock)| {
        let mut changed = secured.clone();
        let block = changed.block_mut(number).unwrap();
        let mut asb = SecurityBlock::decode(&block.data).unwrap();
        change(&mut asb);
        block.data = asb.encode();
        changed
    };
    let covers = |target: u64| move |asb: &mut SecurityBlock| asb.targets = vec![target];
    let again = |number: u64| {
        let mut changed = secured.clone();
        let copy = cairn_bundle::Block { number: 99, ..changed.block(number).unwrap().clone() };
        changed.blocks.insert(0, copy);
        changed
    };
    let mut number = secured.clone();
    number.block_mut(AGE).unwrap().number = OTHER;
    let mut garbage = secured.clone();
    garbage.block_mut(bib).unwrap().data = vec![0xff];
    let target = |block, target| Conflict::Target { block, target };
    let cases = [
        (with(bib, &covers(OTHER)), Conflict::ReadableOverEncrypted { block: bib, target: OTHER }),
        (with(bib, &covers(bib)), target(bib, bib)),
        (with(bib, &covers(bcb)), target(bib, bcb)),
        (with(bib, &covers(50)), target(bib, 50)),
        (with(bcb, &covers(0)), target(bcb, 0)),
        (with(bcb, &covers(bcb)), target(bcb, bcb)),
        (with(bcb, &covers(50)), target(bcb, 50)),
        (with(bcb, &covers(PAYLOAD)), Conflict::NotReplicated(bcb)),
        (again(bib), Conflict::Twice { block: bib, target: AGE }),
        (again(bcb), Conflict::Twice { block: bcb, target: OTHER }),
        (number, Conflict::DuplicateNumber(OTHER)),
    ];
    for (bundle, conflict) in cases {
        assert_eq!(Coverage::read(&bundle), Err(conflict));
        assert_eq!(at_destination(&bundle), Err(Refusal::Conflict(conflict)));
        // Nothing is added to such a bundle either.
        let mut more = bundle.clone();
        assert_eq!(sign(&mut more, &[PAYLOAD], Scope::ALL), Err(SourceError::Conflict(conflict)));
        assert_eq!(more, bundle);
    }
    assert!(matches!(Coverage::read(&garbage), Err(Conflict::Asb { block, .. }) if block == bib));
}

#[test]
pub(crate) fn reserved_scope_flags_are_ignored() {
    let mut secured = bundle();
    let bib = sign(&mut secured, &[AGE], Scope::ALL).unwrap();
    let mut asb = SecurityBlock::decode(&secured.block(bib).unwrap().data).unwrap();
    assert_eq!(asb.parameter(3), Some(&[7][..]));
    asb.parameters.retain(|(id, _)| *id != 3);
    asb.parameters.push((3, vec![0x19, 0xff, 0xff]));
    secured.block_mut(bib).unwrap().data = asb.encode();
    assert!(at_destination(&secured).is_ok());
}

#[test]
pub(crate) fn everything_that_happens_is_counted() {
    let mut counts = SecurityCounts::default();
    let mut secured = bundle();
    sign(&mut secured, &[AGE], Scope::ALL).unwrap();
    encrypt(&mut secured, &[PAYLOAD]).unwrap();
    counts.count(&at_destination(&secured));
    counts.count(&run(&secured, Place::Waypoint, &SecurityPolicy::default()));
    secured.block_mut(PAYLOAD).unwrap().data[0] ^= 1;
    counts.count(&at_destination(&secured));
    let policy = SecurityPolicy { sealed: vec![Who::Anybody], ..SecurityPolicy::default() };
    counts.count(&run(&bundle(), Place::Destination, &policy));
    let expected = SecurityCounts {
        accepted: 2,
        verified: 1,
        passed: 1,
        refused_failed: 1,
        refused_missing: 1,
        ..SecurityCounts::default()
    };
    assert_eq!(counts, expected);
    let reasons = [Reason::Missing, Reason::Unknown, Reason::Unexpected, Reason::Failed, Reason::Conflicting];
    assert_eq!(reasons.map(Reason::code), [12, 13, 14, 15, 16]);
}
