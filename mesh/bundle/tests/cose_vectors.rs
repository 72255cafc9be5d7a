//! The worked examples in appendix A of draft-ietf-dtn-bpsec-cose-17, from the repository
//! BrianSipos/dtn-bpsec-cose: ten of twelve are checked or opened, and made byte for byte. The two
//! with RSA are read as far as that goes without RSA.
//!
//! Each file in `vectors/cose` holds the bundle of one example, and its keys (as COSE_Key) and
//! intermediate structures encoded from the diagnostic notation of the draft.

mod common;

use core::convert::Infallible;
use core::slice::from_ref;

use cairn_bundle::bpsec::cose::{
    AadScope, Algorithm, Checked, Confidentiality, CoseError, Integrity, Key, Plan, Recipient, Structures,
    add_confidentiality, add_integrity, decrypt, structures, verify,
};
use cairn_bundle::raw::RawBundle;
use cairn_bundle::{BlockFlags, Bundle, DecodeError, Eid, Limits};
use common::{Seeded, from_hex, to_hex};
use rand_core::{TryCryptoRng, TryRng};

/// The number of the security block in all examples.
const NUMBER: u64 = 3;
/// The vector of all examples with COSE_Encrypt.
const IV: &str = "6f3093eba5d85143c3dc484a";
const SALT: &str = "2fa8c8352aea17faf7407271a5e90eb8";

/// One example: names and bytes, where a name may occur several times.
struct Example(Vec<(String, Vec<u8>)>);

impl Example {
    fn read(text: &str) -> Self {
        let mut parts: Vec<(String, String)> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if ["before", "bundle", "key", "structure", "kdf_context"].contains(&line) {
                parts.push((line.to_owned(), String::new()));
            } else {
                parts.last_mut().expect("a name stands before the bytes").1.push_str(line);
            }
        }
        Self(parts.into_iter().map(|(name, digits)| (name, from_hex(&digits))).collect())
    }

    fn all(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.iter().filter(|(other, _)| other == name).map(|(_, bytes)| bytes.clone()).collect()
    }

    fn one(&self, name: &str) -> Vec<u8> {
        self.all(name).first().expect("the example has it").clone()
    }

    fn bundle(&self) -> RawBundle {
        RawBundle::decode(&self.one("bundle"), &Limits::default()).expect("the example is well-formed")
    }

    fn key(&self, index: usize) -> Key {
        Key::from_cose(self.all("key").get(index).expect("the example has so many keys"))
            .expect("the example's key is valid")
    }

    /// What our implementation authenticates is what the draft shows.
    fn check_structures(&self) {
        let bundle = self.bundle();
        let found = structures(&bundle, NUMBER).expect("the security block is valid");
        let [found]: [Structures; 1] = found.try_into().expect("there is one target");
        assert_eq!(found.authenticated, [self.one("structure")]);
        assert_eq!(found.kdf_contexts, self.all("kdf_context"));
    }
}

/// Gives the bytes that an example was made with, in the order in which they are drawn.
struct Script(Vec<u8>);

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("only whole secrets are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("only whole secrets are drawn")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<u8>>());
        Ok(())
    }
}

impl TryCryptoRng for Script {}

fn read(name: &str) -> Example {
    let path = format!("{}/tests/vectors/cose/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    Example::read(&std::fs::read_to_string(path).expect("the vectors lie beside the tests"))
}

/// The bundle that all examples but one start from.
fn plain() -> RawBundle {
    read("frame").bundle()
}

fn plan(target: u64, scope: AadScope) -> Plan {
    let source = Eid::dtn("src", "").expect("a valid authority");
    Plan { number: Some(NUMBER), scope: Some(scope), ..Plan::new(source, &[target]) }
}

fn scope() -> AadScope {
    AadScope::nothing().with_primary().with_target()
}

/// Checks an example with its key, and makes it anew.
fn integrity(name: &str, key: &Key, plan: &Plan, start: RawBundle) {
    let example = read(name);
    let bundle = example.bundle();
    let known = [key.public_half().unwrap_or_else(|| key.clone())];
    let checked = verify(&bundle, NUMBER, &known).expect("the example holds");
    assert_eq!(checked, [Checked { target: plan.targets.iter().sum(), keys: vec![0] }]);

    let how = match key.algorithm() {
        Algorithm::Hmac384 => Integrity::Mac0(key),
        _ => Integrity::Sign1(key),
    };
    let mut made = start;
    let number = add_integrity(&mut made, plan, &how, &mut Script(vec![])).expect("it can be made");
    assert_eq!(number, NUMBER);
    assert_eq!(to_hex(&made.encode()), to_hex(&example.one("bundle")));
}

/// Opens an example with its key, and makes it anew with the random numbers it was made with.
fn confidentiality(name: &str, keys: &[Key], how: &Confidentiality<'_>, random: &[&str]) {
    let example = read(name);
    example.check_structures();
    let mut opened = example.bundle();
    decrypt(&mut opened, NUMBER, keys).expect("the example opens");
    assert_eq!(opened, plain());

    let mut made = plain();
    let mut script = Script(random.iter().flat_map(|digits| from_hex(digits)).collect());
    add_confidentiality(&mut made, &plan(1, scope()), how, &mut script).expect("it can be made");
    assert!(script.0.is_empty());
    // RFC 9172 section 3.8 wants a block that encrypts the payload in every fragment. We set the
    // flag, the draft's examples do not; it is not in their scope, so nothing else changes.
    let block = made.block_mut(NUMBER).expect("it was made");
    assert_eq!(core::mem::replace(&mut block.flags, BlockFlags(0)), BlockFlags::REPLICATE);
    assert_eq!(to_hex(&made.encode()), to_hex(&example.one("bundle")));
}

#[test]
fn a_tag_with_a_shared_key() {
    read("mac0").check_structures();
    integrity("mac0", &read("mac0").key(0), &plan(1, scope()), plain());
}

#[test]
fn a_signature_with_p384() {
    let example = read("sign1-ecc");
    // Made anew byte for byte: the draft's signature, like ours, takes its number from RFC 6979.
    integrity("sign1-ecc", &example.key(0), &plan(1, scope()), plain());
    // The draft shows the structure with {1: -7}, ES256; the message, which holds, has {1: -51}.
    let bundle = example.bundle();
    let found = structures(&bundle, NUMBER).unwrap();
    let shown = to_hex(&example.one("structure"));
    let corrected = shown.replacen("43a10126", "44a1013832", 1);
    assert_ne!(shown, corrected);
    assert_eq!(to_hex(&found[0].authenticated[0]), corrected);
}

#[test]
fn a_signature_with_ml_dsa() {
    let example = read("sign1-ml");
    example.check_structures();
    let key = example.key(0);
    let bundle = example.bundle();
    let known = [key.public_half().unwrap()];
    verify(&bundle, NUMBER, &known).unwrap();
    // The draft's signature took a random number, ours takes none: all else is the same.
    let mut made = plain();
    let how = Integrity::Sign1(&key);
    add_integrity(&mut made, &plan(1, scope()), &how, &mut Script(vec![])).unwrap();
    verify(&made, NUMBER, &known).unwrap();
    let (ours, theirs) = (made.encode(), example.one("bundle"));
    let after = plain().blocks[0].data.len() + 12;
    let signature = theirs.len() - 4627 - after..theirs.len() - after;
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(ours[..signature.start], theirs[..signature.start]);
    assert_eq!(ours[signature.end..], theirs[signature.end..]);
    assert_ne!(ours, theirs);
}

#[test]
fn a_content_key_and_a_partial_vector() {
    let key = read("encrypt0").key(0);
    let how = Confidentiality::Encrypt0 { key: &key, partial_iv: Some(&[0x48, 0x4a]) };
    confidentiality("encrypt0", from_ref(&key), &how, &[]);
}

/// The key that three of the examples wrap.
const CONTENT_KEY: &str = "13bf9cead057c0aca2c9e52471ca4b19ddfaf4c0784e3f3e8e3999dbae4ce45c";

#[test]
fn a_wrapped_content_key() {
    let key = read("encrypt-kw").key(0);
    let recipients = [Recipient::new(&key)];
    let how = Confidentiality::Encrypt { algorithm: Algorithm::A256Gcm, recipients: &recipients };
    confidentiality("encrypt-kw", from_ref(&key), &how, &[IV, CONTENT_KEY]);
}

#[test]
fn a_derived_content_key() {
    let key = read("encrypt-hkdf").key(0);
    let recipients = [Recipient::new(&key)];
    let how = Confidentiality::Encrypt { algorithm: Algorithm::A256Gcm, recipients: &recipients };
    confidentiality("encrypt-hkdf", from_ref(&key), &how, &[IV, SALT]);
}

#[test]
fn a_content_key_wrapped_with_one_that_was_agreed_on() {
    let example = read("encrypt-ecc-kw");
    // The sender's secret is the last value of its key, which names no algorithm.
    let sender = to_hex(example.all("key")[0].last_chunk::<48>().unwrap());
    let key = example.key(1);
    let recipients = [Recipient::new(&key)];
    let how = Confidentiality::Encrypt { algorithm: Algorithm::A256Gcm, recipients: &recipients };
    // The draft says that a salt is always present where HKDF is used, and in its table of headers
    // that it is optional for ECDH-ES. The example has none.
    confidentiality("encrypt-ecc-kw", from_ref(&key), &how, &[IV, CONTENT_KEY, &sender]);
}

#[test]
fn a_content_key_agreed_on_by_two_static_keys() {
    let example = read("encrypt-ecc-hkdf");
    let (sender, key) = (example.key(0), example.key(1));
    let recipients = [Recipient::from_sender(&key, &sender)];
    let how = Confidentiality::Encrypt { algorithm: Algorithm::A256Gcm, recipients: &recipients };
    let keys = [sender.public_half().unwrap(), key.clone()];
    confidentiality("encrypt-ecc-hkdf", &keys, &how, &[IV, SALT]);
}

#[test]
fn a_tag_with_a_larger_scope() {
    let example = read("mac0-scope");
    example.check_structures();
    let start = RawBundle::decode(&example.one("before"), &Limits::default()).unwrap();
    integrity("mac0-scope", &read("mac0").key(0), &plan(2, scope().with_block(1, 3)), start);
}

#[test]
fn a_tag_whose_key_is_named_by_an_additional_header() {
    read("mac0-additional").check_structures();
    let additional_protected = from_hex("a1044a4578616d706c65412e31");
    let plan = Plan { additional_protected, ..plan(1, scope()) };
    integrity("mac0-additional", &read("mac0").key(0), &plan, plain());
}

#[test]
fn examples_with_rsa_are_read_but_neither_checked_nor_opened() {
    let example = read("sign1-rsa").bundle();
    let answer = verify(&example, NUMBER, &[read("mac0").key(0)]);
    assert_eq!(answer, Err(CoseError::Algorithm(-38)));
    let found = structures(&example, NUMBER).unwrap();
    // The draft shows {1: -37}, PS256, in the structure and {1: -38} in the message.
    assert!(to_hex(&found[0].authenticated[0]).starts_with("846a5369676e61747572653144a1013825"));

    let example = read("encrypt-rsa").bundle();
    let mut bundle = example.clone();
    let answer = decrypt(&mut bundle, NUMBER, &[read("encrypt-kw").key(0)]);
    assert_eq!(answer, Err(CoseError::NoKey));
    assert_eq!(bundle, example);
    // What is encrypted is that of the other examples with this content key, byte for byte.
    assert_eq!(bundle.payload(), read("encrypt-kw").bundle().payload());
}

#[test]
fn the_examples_with_encryption_are_no_bundles_of_rfc_9172() {
    for name in
        ["encrypt0", "encrypt-kw", "encrypt-hkdf", "encrypt-ecc-kw", "encrypt-ecc-hkdf", "encrypt-rsa"]
    {
        let answer = Bundle::decode(&read(name).one("bundle"), &Limits::default());
        assert_eq!(answer, Err(DecodeError::SecurityTargets(NUMBER)), "{name}");
    }
    for name in ["mac0", "sign1-ecc", "sign1-rsa", "sign1-ml", "mac0-scope", "mac0-additional"] {
        Bundle::decode(&read(name).one("bundle"), &Limits::default()).unwrap();
    }
}

#[test]
fn no_example_holds_with_another_key() {
    let mut rng = Seeded(1);
    for name in ["mac0", "mac0-scope", "mac0-additional"] {
        let mut other = [0; 48];
        rng.try_fill_bytes(&mut other).unwrap();
        let key = Key::symmetric(Algorithm::Hmac384, &other).unwrap().with_id(b"ExampleA.1");
        let bundle = read(name).bundle();
        assert_eq!(verify(&bundle, NUMBER, &[key]), Err(CoseError::Mismatch));
    }
}
