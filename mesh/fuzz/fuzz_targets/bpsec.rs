//! Whatever security blocks say, processing them ends, and what comes out is a bundle that is written in one form.
//! The keys are those of the vectors, so that whole operations can succeed.
#![no_main]

use std::sync::LazyLock;

use cairn_bundle::bpsec::accept::{Place, process};
use cairn_bundle::bpsec::asb::SecurityBlock;
use cairn_bundle::bpsec::cose::{Cose, Key};
use cairn_bundle::bpsec::default::{DefaultContexts, KeyLengths};
use cairn_bundle::bpsec::key::{KeyRing, Purpose, SymmetricKey};
use cairn_bundle::bpsec::policy::SecurityPolicy;
use cairn_bundle::{Eid, Limits, RawBundle};
use libfuzzer_sys::fuzz_target;

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let key = |bytes: &[u8]| SymmetricKey::new(bytes).expect("a length that algorithms have");
    let mut ring = KeyRing::new();
    for source in [Eid::ipn(0, 2, 1), Eid::ipn(0, 3, 0)] {
        ring.insert(source.clone(), Purpose::Integrity, key(&[0x1a, 0x2b].repeat(8)));
        ring.insert(source.clone(), Purpose::Confidentiality, key(b"qwertyuiopasdfghqwertyuiopasdfgh"));
        ring.insert(source, Purpose::WrapConfidentiality, key(b"abcdefghijklmnop"));
    }
    ring
});

/// The keys of the examples of the COSE context.
static COSE: LazyLock<Cose> = LazyLock::new(|| {
    let files = [
        include_str!("../../bundle/tests/vectors/cose/mac0.hex"),
        include_str!("../../bundle/tests/vectors/cose/encrypt0.hex"),
        include_str!("../../bundle/tests/vectors/cose/encrypt-kw.hex"),
        include_str!("../../bundle/tests/vectors/cose/encrypt-hkdf.hex"),
        include_str!("../../bundle/tests/vectors/cose/sign1-ecc.hex"),
        include_str!("../../bundle/tests/vectors/cose/encrypt-ecc-kw.hex"),
    ];
    Cose { keys: files.iter().flat_map(|file| keys(file)).collect() }
});

/// What stands in the sections `key` of a file of vectors.
fn keys(file: &str) -> Vec<Key> {
    let hex = |line: &&str| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut lines = file.lines();
    let mut keys = Vec::new();
    while let Some(line) = lines.next() {
        if line.trim() != "key" {
            continue;
        }
        let digits: String = lines.clone().take_while(hex).collect();
        let bytes = digits.as_bytes().chunks(2).map(|pair| {
            let pair = core::str::from_utf8(pair).expect("hexadecimal digits");
            u8::from_str_radix(pair, 16).expect("hexadecimal digits")
        });
        keys.extend(Key::from_cose(&bytes.collect::<Vec<u8>>()));
    }
    keys
}

fuzz_target!(|data: &[u8]| {
    if let Ok(asb) = SecurityBlock::decode(data) {
        assert_eq!(SecurityBlock::decode(&asb.encode()).map(|asb| asb.encode()), Ok(asb.encode()));
    }
    let Ok(raw) = RawBundle::decode(data, &Limits::default()) else { return };
    let policy = SecurityPolicy::default();
    let contexts = DefaultContexts::with_key_lengths(&*RING, KeyLengths::Any);
    for place in [Place::Waypoint, Place::Destination] {
        let Ok(processed) = process(raw.clone(), place, &policy, &[&contexts, &*COSE]) else { continue };
        let bytes = processed.bundle.encode();
        let again = RawBundle::decode(&bytes, &Limits::default()).expect("our own output is well-formed");
        assert_eq!(again.encode(), bytes);
    }
});
