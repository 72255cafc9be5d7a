//! The four examples in appendix A of RFC 9173, built to the byte and read back.

mod common;

use core::convert::Infallible;

use cairn_bundle::bpsec::asb::SecurityBlock;
use cairn_bundle::bpsec::context::{Operation, OperationError, SecurityContext};
use cairn_bundle::bpsec::default::aes_gcm::{self, AesVariant, TagPlace};
use cairn_bundle::bpsec::default::hmac_sha2::ShaVariant;
use cairn_bundle::bpsec::default::{DefaultContexts, KeyLengths, Scope, SourceKey};
use cairn_bundle::bpsec::key::{KeyRing, Purpose, SymmetricKey};
use cairn_bundle::bpsec::rules::Coverage;
use cairn_bundle::bpsec::source::{
    Encryption, Header, Signing, SourceError, add_confidentiality, add_integrity,
};
use cairn_bundle::{
    Block, BlockFlags, BlockKind, BundleFlags, CrcType, CreationTimestamp, Eid, Limits, Primary, RawBundle,
};
use common::{from_hex, to_hex};
use rand_core::{TryCryptoRng, TryRng};

const A1: &str = "9f88070000820282010282028202018202820201820018281a000f4240850b0200
005856810101018202820201828201078203008181820158403bdc69b3a34a2b5d3a
8554368bd1e808f606219d2a10a846eae3886ae4ecc83c4ee550fdfb1cc636b904e2
f1a73e303dcd4b6ccece003e95e8164dcc89a156e185010100005823526561647920
746f2067656e657261746520612033322d62797465207061796c6f6164ff";

const A2: &str = "9f88070000820282010282028202018202820201820018281a000f4240850c0201
0058508101020182028202018482014c5477656c7665313231323132820201820358
1869c411276fecddc4780df42c8a2af89296fabf34d7fae7008204008181820150ef
a4b5ac0108e3816c5606479801bc04850101000058233a09c1e63fe23a7f66a59c73
03837241e070b02619fc59c5214a22f08cd70795e73e9aff";

const A3: &str = "9f88070000820282010282028202018202820201820018281a000f4240850b0300
00585c8200020101820282030082820105820300828182015820cac6ce8e4c5dae57
988b757e49a6dd1431dc04763541b2845098265bc817241b81820158203ed614c0d9
7f49b3633627779aa18a338d212bf3c92b97759d9739cd50725596850c0401005834
8101020182028202018382014c5477656c7665313231323132820201820400818182
0150efa4b5ac0108e3816c5606479801bc0485070200004319012c85010100005823
3a09c1e63fe23a7f66a59c7303837241e070b02619fc59c5214a22f08cd70795e73e
9aff";

const A4: &str = "9f88070000820282010282028202018202820201820018281a000f4240850b0300
005846438ed6208eb1c1ffb94d952175167df0902902064a2983910c4fb2340790bf
420a7d1921d5bf7c4721e02ab87a93ab1e0b75cf62e4948727c8b5dae46ed2af0543
9b88029191850c0201005849820301020182028202018382014c5477656c76653132
313231328202038204078281820150220ffc45c8a901999ecc60991dd78b29818201
50d2c51cb2481792dae8b21d848cede99b8501010000582390eab6457593379298a8
724e16e61f837488e127212b59ac91f8a86287b7d07630a122ff";

const PAYLOAD: &[u8] = b"Ready to generate a 32-byte payload";
const IV: &[u8] = b"Twelve121212";
const CONTENT_KEY: &[u8] = b"qwertyuiopasdfgh";

/// Gives the bytes that the examples were made with, and no others.
struct Script(Vec<u8>);

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("only bytes are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("only bytes are drawn")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Script {}

fn key(bytes: &[u8]) -> SymmetricKey {
    SymmetricKey::new(bytes).expect("a length that algorithms have")
}

fn hmac_key() -> SymmetricKey {
    key(&[0x1a, 0x2b].repeat(8))
}

fn bare(kind: BlockKind, number: u64, data: &[u8]) -> Block {
    Block { kind, number, flags: BlockFlags(0), crc: CrcType::None, data: data.to_vec() }
}

/// The bundle that all examples start from.
fn original() -> RawBundle {
    let primary = Primary {
        flags: BundleFlags(0),
        crc: CrcType::None,
        destination: Eid::ipn(0, 1, 2),
        source: Eid::ipn(0, 2, 1),
        report_to: Eid::ipn(0, 2, 1),
        created: CreationTimestamp { time_ms: 0, seq: 40 },
        lifetime_ms: 1_000_000,
        fragment: None,
    };
    RawBundle { primary, blocks: vec![bare(BlockKind::Payload, 1, PAYLOAD)] }
}

fn header(number: u64) -> Header {
    Header { number: Some(number), ..Header::default() }
}

fn signing<'a>(
    source: &'a Eid,
    number: u64,
    variant: ShaVariant,
    scope: Scope,
    key: &'a SymmetricKey,
) -> Signing<'a> {
    let key = SourceKey::Shared(key);
    Signing { source, header: header(number), variant, scope, key, key_lengths: KeyLengths::Any }
}

fn encryption<'a>(source: &'a Eid, number: u64, key: SourceKey<'a>) -> Encryption<'a> {
    Encryption {
        source,
        header: header(number),
        variant: AesVariant::Aes128,
        scope: Scope::NONE,
        key,
        tag: TagPlace::Result,
    }
}

fn build_a1() -> RawBundle {
    let mut bundle = original();
    let (source, key) = (Eid::ipn(0, 2, 1), hmac_key());
    let how = signing(&source, 2, ShaVariant::Sha512, Scope::NONE, &key);
    assert_eq!(add_integrity(&mut bundle, &[1], &how, &mut Script(vec![])), Ok(2));
    bundle
}

fn build_a2() -> RawBundle {
    let mut bundle = original();
    let (source, kek) = (Eid::ipn(0, 2, 1), key(b"abcdefghijklmnop"));
    let how = encryption(&source, 2, SourceKey::Wrapped(&kek));
    let mut rng = Script([CONTENT_KEY, IV].concat());
    assert_eq!(add_confidentiality(&mut bundle, &[1], &how, &mut rng), Ok(vec![2]));
    bundle
}

fn build_a3() -> RawBundle {
    let mut bundle = original();
    bundle.blocks.insert(0, bare(BlockKind::Age, 2, &[0x19, 1, 0x2c]));
    let (source, content) = (Eid::ipn(0, 2, 1), key(CONTENT_KEY));
    let how = encryption(&source, 4, SourceKey::Shared(&content));
    assert_eq!(add_confidentiality(&mut bundle, &[1], &how, &mut Script(IV.to_vec())), Ok(vec![4]));
    let (waypoint, key) = (Eid::ipn(0, 3, 0), hmac_key());
    let how = signing(&waypoint, 3, ShaVariant::Sha256, Scope::NONE, &key);
    assert_eq!(add_integrity(&mut bundle, &[0, 2], &how, &mut Script(vec![])), Ok(3));
    bundle
}

/// The fourth example encrypts two blocks with one key and one initialization vector, which
/// `add_confidentiality` never does: its confidentiality block is made by hand.
fn build_a4() -> RawBundle {
    let mut bundle = original();
    let (source, key) = (Eid::ipn(0, 2, 1), hmac_key());
    let how = signing(&source, 3, ShaVariant::Sha384, Scope::ALL, &key);
    assert_eq!(add_integrity(&mut bundle, &[1], &how, &mut Script(vec![])), Ok(3));
    let parameters = aes_gcm::Parameters {
        iv: IV.to_vec(),
        variant: AesVariant::Aes256,
        wrapped_key: None,
        scope: Scope::ALL,
    };
    let content = self::key(&CONTENT_KEY.repeat(2));
    let mut bcb = Block { flags: BlockFlags::REPLICATE, ..bare(BlockKind::Confidentiality, 2, &[]) };
    let mut asb = SecurityBlock {
        targets: vec![],
        context: aes_gcm::CONTEXT,
        flags: 1,
        source,
        parameters: parameters.write(),
        results: vec![],
    };
    for target in [3, 1] {
        let block = bundle.block(target).expect("it exists");
        let out = aes_gcm::encrypt(&parameters, &content, &bundle.primary, block, &bcb, TagPlace::Result)
            .expect("the key fits");
        bundle.block_mut(target).expect("it exists").data = out.data;
        asb.targets.push(target);
        asb.results.push(out.results);
    }
    bcb.data = asb.encode();
    bundle.blocks.insert(1, bcb);
    bundle
}

/// The keys of an acceptor of example `index`.
fn keys(index: usize) -> KeyRing {
    let mut ring = KeyRing::new();
    let [source, waypoint] = [Eid::ipn(0, 2, 1), Eid::ipn(0, 3, 0)];
    ring.insert(source.clone(), Purpose::Integrity, hmac_key());
    ring.insert(waypoint, Purpose::Integrity, hmac_key());
    ring.insert(source.clone(), Purpose::WrapConfidentiality, key(b"abcdefghijklmnop"));
    let content = if index == 3 { CONTENT_KEY.repeat(2) } else { CONTENT_KEY.to_vec() };
    ring.insert(source, Purpose::Confidentiality, key(&content));
    ring
}

/// Decrypts everything, then verifies everything, and gives the bundle without encryption.
///
/// As an acceptor's policy would, it asks for all operations: whoever turns a security block into
/// something else removes them, and nothing in a bundle shows that.
#[expect(clippy::indexing_slicing, reason = "there are four examples")]
fn open(bytes: &[u8], index: usize) -> Result<RawBundle, String> {
    let text = |error: &dyn core::fmt::Display| error.to_string();
    let mut bundle = RawBundle::decode(bytes, &Limits::default()).map_err(|error| text(&error))?;
    let ring = keys(index);
    let contexts = DefaultContexts::with_key_lengths(&ring, KeyLengths::Any);
    let coverage = Coverage::read(&bundle).map_err(|error| text(&error))?;
    let mut operations = 0;
    for (number, asb) in &coverage.confidentiality {
        operations += asb.targets.len();
        for target in &asb.targets {
            let block = bundle.block(*number).expect("it was listed");
            let operation = Operation { bundle: &bundle, block, asb, target: *target };
            let data = contexts.decrypt(&operation).map_err(|error| text(&error))?;
            bundle.block_mut(*target).expect("it was decrypted").data = data.to_vec();
        }
    }
    bundle.blocks.retain(|block| block.kind != BlockKind::Confidentiality);
    let coverage = Coverage::read(&bundle).map_err(|error| text(&error))?;
    for (number, asb) in &coverage.integrity {
        operations += asb.targets.len();
        for target in &asb.targets {
            let block = bundle.block(*number).expect("it was listed");
            let operation = Operation { bundle: &bundle, block, asb, target: *target };
            contexts.verify(&operation).map_err(|error| text(&error))?;
        }
    }
    if operations == [1, 1, 3, 3][index] { Ok(bundle) } else { Err("an operation is missing".into()) }
}

#[test]
pub(crate) fn all_four_examples_are_built_to_the_byte() {
    let built = [build_a1(), build_a2(), build_a3(), build_a4()];
    for (index, (bundle, expected)) in built.iter().zip([A1, A2, A3, A4]).enumerate() {
        assert_eq!(to_hex(&bundle.encode()), to_hex(&from_hex(expected)), "example {}", index + 1);
    }
}

#[test]
pub(crate) fn all_four_examples_are_verified_and_decrypted() {
    for (index, text) in [A1, A2, A3, A4].iter().enumerate() {
        let bundle = open(&from_hex(text), index).unwrap();
        assert_eq!(bundle.payload().unwrap().data, PAYLOAD, "example {}", index + 1);
    }
    // Example 4 hides a signature, which is readable now.
    let bundle = open(&from_hex(A4), 3).unwrap();
    assert!(SecurityBlock::decode(&bundle.block(3).unwrap().data).is_ok());
}

/// The bytes that an example protects: whatever is changed there must be noticed.
///
/// The others are said here, with the reason. The scope of examples 1 to 3 is empty, so their
/// primary block and block headers are not protected unless they are a target themselves.
fn unprotected(index: usize, bytes: &[u8], bit: usize) -> bool {
    let at = bit / 8;
    let find = |part: &str| {
        let part = from_hex(part);
        let start = bytes.windows(part.len()).position(|window| window == part).expect("a part");
        start..start + part.len()
    };
    // Reserved security context flags are ignored (RFC 9172 section 3.6).
    let reserved_asb_flags = |number: &str, mask: u8| {
        let span = find(number);
        at + 1 == span.end && (1_u8 << (bit % 8)) & mask != 0
    };
    let mask = 0xfe;
    // So are reserved scope flags: they are zero in what is authenticated (RFC 9173 section 3.7).
    let reserved_scope = |part: &str| reserved_asb_flags(part, 0xf8);
    let headers = |primary: bool, spans: &[&str]| {
        let in_primary = primary && (1..29).contains(&at);
        in_primary || spans.iter().any(|part| find(part).contains(&at))
    };
    match index {
        0 => {
            headers(true, &["850b020000", "8501010000"])
                || reserved_asb_flags("81010101", mask)
                || reserved_scope("820300")
        }
        1 => {
            headers(true, &["850c020100", "8501010000"])
                || reserved_asb_flags("81010201", mask)
                || reserved_scope("820400")
        }
        2 => {
            headers(false, &["850b030000", "850c040100", "8507020000", "8501010000"])
                || reserved_asb_flags("8200020101", mask)
                || reserved_asb_flags("81010201", mask)
                || reserved_scope("820105820300")
                || reserved_scope("820400")
        }
        // Reserved block flags are zero in what is authenticated (RFC 9172 section 4): bits 3 and 5
        // to 7, of which a short number has the two lower ones; bit 5 and up make it another item.
        _ => {
            let reserved_block_flags = ["850b0300", "850c0201", "85010100"]
                .iter()
                .any(|part| at + 1 == find(part).end && bit % 8 == 3);
            reserved_block_flags || reserved_asb_flags("8203010201", mask) || reserved_scope("820407")
        }
    }
}

#[test]
pub(crate) fn every_flipped_bit_in_what_the_examples_protect_is_refused() {
    for (index, text) in [A1, A2, A3, A4].iter().enumerate() {
        let bytes = from_hex(text);
        let (mut refused, mut unnoticed) = (0, 0);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match open(&bad, index) {
                Err(_) => refused += 1,
                Ok(opened) => {
                    unnoticed += 1;
                    assert!(
                        unprotected(index, &bytes, bit),
                        "example {}, byte {}, bit {}: {opened:?}",
                        index + 1,
                        bit / 8,
                        bit % 8
                    );
                    assert!(opened.blocks.iter().any(|block| block.data == PAYLOAD));
                }
            }
        }
        assert!(refused > 6 * unnoticed, "example {}: {refused} refused, {unnoticed} not", index + 1);
    }
}

#[test]
pub(crate) fn the_keys_of_the_examples_are_too_short_for_the_rfc_itself() {
    let bundle = RawBundle::decode(&from_hex(A1), &Limits::default()).unwrap();
    let ring = keys(0);
    let coverage = Coverage::read(&bundle).unwrap();
    let (number, asb) = &coverage.integrity[0];
    let operation = Operation { bundle: &bundle, block: bundle.block(*number).unwrap(), asb, target: 1 };
    assert_eq!(DefaultContexts::new(&ring).verify(&operation), Err(OperationError::KeyLength));
    let (source, key) = (Eid::ipn(0, 2, 1), hmac_key());
    let strict = Signing {
        key_lengths: KeyLengths::Exact,
        ..signing(&source, 2, ShaVariant::Sha512, Scope::NONE, &key)
    };
    let mut bundle = original();
    assert_eq!(
        add_integrity(&mut bundle, &[1], &strict, &mut Script(vec![])),
        Err(SourceError::Operation(OperationError::KeyLength))
    );
    assert_eq!(bundle, original());
}
