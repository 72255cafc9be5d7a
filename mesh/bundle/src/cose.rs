//! The bytes of Cairn's profile of the COSE security context (draft-ietf-dtn-bpsec-cose).
//!
//! The profile leaves no choice: for a given source, key and block there is one sequence of
//! bytes. Reading therefore takes out the few bytes that vary, writes the block anew and compares.
//! The layout is described in `docs/design/bundle.md`.

use alloc::vec::Vec;

use hkdf::Hkdf;
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::block::{Block, PAYLOAD_NUMBER};
use crate::cbor::{CborError, Reader, Write};
use crate::digest::Digest;
use crate::eid::Eid;
use crate::identity::{NodeId, SealingKey, Signature};
use crate::prekey::{KEY_ID_BYTES as KID_BYTES, key_id};

/// Block number of the integrity block.
pub(crate) const BIB_NUMBER: u64 = 2;
/// Block number of the confidentiality block.
pub(crate) const BCB_NUMBER: u64 = 3;
/// Block number of the class block.
pub(crate) const CLASS_NUMBER: u64 = 6;
/// Every content key encrypts exactly one payload, so its nonce need not vary.
pub(crate) const IV: [u8; 12] = [0; 12];

/// Security context id of COSE.
const CONTEXT_COSE: u64 = 3;
/// Flag of an abstract security block: parameters are present.
const PARAMETERS_PRESENT: u64 = 1;
const PARAMETER_ADDITIONAL_PROTECTED: u64 = 3;
const PARAMETER_AAD_SCOPE: u64 = 5;
/// Result ids are the tags of the COSE messages.
const RESULT_SIGN1: u64 = 18;
const RESULT_ENCRYPT: u64 = 96;
/// `{1: -8}`: EdDSA.
const PROTECTED_EDDSA: [u8; 3] = [0xa1, 0x01, 0x27];
/// `{1: 24}`: ChaCha20/Poly1305.
const PROTECTED_CHACHA: [u8; 4] = [0xa1, 0x01, 0x18, 0x18];
/// `{1: -26}`: ECDH-ES + HKDF-512.
const PROTECTED_ECDH: [u8; 4] = [0xa1, 0x01, 0x38, 0x19];
const ALGORITHM_CHACHA: u64 = 24;
const KEY_BITS: u64 = 256;
/// Header label -65537, the first of those that RFC 9052 leaves to private use: the BLAKE3 digest of
/// the payload block's data as it travels.
const LABEL_PAYLOAD_DIGEST: u64 = 65_536;
/// Where the digest stands after the head of an integrity block's data.
const DIGEST_AT: usize = 13;
/// `{1: 1, 3: 3, -2: 1}`: the payload's metadata, the confidentiality block whole, and this block's
/// metadata. The primary block is what is signed.
const SCOPE_SIGNED_AND_SEALED: &[u8] = &[0xa3, 0x01, 0x01, 0x03, 0x03, 0x21, 0x01];
/// `{1: 1, -2: 1}`: the same without a confidentiality block.
const SCOPE_SIGNED: &[u8] = &[0xa2, 0x01, 0x01, 0x21, 0x01];
/// `{1: 1, 3: 3, 6: 3, -2: 1}` and `{1: 1, 6: 3, -2: 1}`: the class block whole besides. As the scope is signed
/// too, nobody can add the block, remove it or change it.
const SCOPE_SIGNED_AND_SEALED_CLASS: &[u8] = &[0xa4, 0x01, 0x01, 0x03, 0x03, 0x06, 0x03, 0x21, 0x01];
const SCOPE_SIGNED_CLASS: &[u8] = &[0xa3, 0x01, 0x01, 0x06, 0x03, 0x21, 0x01];
/// `{0: 1, -1: 1, -2: 1}`: the primary block, and the metadata of payload and this block.
const SCOPE_SEALED: [u8; 7] = [0xa3, 0x00, 0x01, 0x20, 0x01, 0x21, 0x01];

/// What the abstract security blocks of the profile begin with; both have one target and two
/// parameters.
fn put_asb_head(out: &mut Vec<u8>, target: u64, source: &Source) {
    out.put_array(1);
    out.put_uint(target);
    out.put_uint(CONTEXT_COSE);
    out.put_uint(PARAMETERS_PRESENT);
    out.raw(&source.0);
}

fn put_parameters(out: &mut Vec<u8>, headers: &[u8], scope: &[u8]) {
    out.put_array(2);
    out.put_array(2);
    out.put_uint(PARAMETER_ADDITIONAL_PROTECTED);
    out.put_bytes(headers);
    out.put_array(2);
    out.put_uint(PARAMETER_AAD_SCOPE);
    out.raw(scope);
}

/// The one result for the one target: a message without its content, as a byte string.
fn put_result(out: &mut Vec<u8>, id: u64, message: &[u8]) {
    out.put_array(1);
    out.put_array(1);
    out.put_array(2);
    out.put_uint(id);
    out.put_bytes(message);
}

/// The encoded endpoint id of a node as security source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source(Vec<u8>);

impl Source {
    /// The node itself: its endpoint without a service.
    pub(crate) fn new(node: &NodeId) -> Self {
        Self(Eid::node(node, "").expect("52 letters and digits are a valid authority").encode())
    }
}

/// What an integrity block covers besides the primary block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Covered<'a> {
    /// Its metadata are covered as they are, and its data by their digest.
    pub(crate) payload: &'a Block,
    /// The confidentiality block, if the bundle is sealed.
    pub(crate) bcb: Option<&'a Block>,
    /// The class block, if the bundle is not normal.
    pub(crate) class: Option<&'a Block>,
}

impl Covered<'_> {
    const fn scope(&self) -> &'static [u8] {
        match (self.bcb.is_some(), self.class.is_some()) {
            (true, true) => SCOPE_SIGNED_AND_SEALED_CLASS,
            (true, false) => SCOPE_SIGNED_AND_SEALED,
            (false, true) => SCOPE_SIGNED_CLASS,
            (false, false) => SCOPE_SIGNED,
        }
    }
}

/// The additional protected headers of an integrity block: `{-65537: digest}`.
fn digest_headers(digest: &Digest) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    out.put_map(1);
    out.put_nint(LABEL_PAYLOAD_DIGEST);
    out.put_bytes(digest.as_bytes());
    out
}

/// The integrity block's data: one COSE_Sign1 over the primary block.
pub(crate) fn integrity_asb(
    source: &Source,
    digest: &Digest,
    covered: &Covered<'_>,
    signature: &Signature,
) -> Vec<u8> {
    let mut message = Vec::with_capacity(80);
    message.put_array(4);
    message.put_bytes(&PROTECTED_EDDSA);
    message.put_map(0);
    message.put_null();
    message.put_bytes(signature);

    let mut out = Vec::with_capacity(256);
    put_asb_head(&mut out, 0, source);
    put_parameters(&mut out, &digest_headers(digest), covered.scope());
    put_result(&mut out, RESULT_SIGN1, &message);
    out
}

/// The payload's digest and the signature in an integrity block's data, if the rest is exactly
/// the profile's.
pub(crate) fn read_integrity_asb(
    source: &Source,
    covered: &Covered<'_>,
    data: &[u8],
) -> Option<(Digest, Signature)> {
    let mut head = Vec::new();
    put_asb_head(&mut head, 0, source);
    let digest = Digest(*data.get(head.len() + DIGEST_AT..)?.first_chunk::<32>()?);
    let signature = *data.last_chunk::<64>()?;
    (integrity_asb(source, &digest, covered, &signature) == data).then_some((digest, signature))
}

/// The bytes that are signed: `Sig_structure` of RFC 9052. The digest stands for the payload's data.
pub(crate) fn to_be_signed(
    source: &Source,
    primary: &[u8],
    digest: &Digest,
    bib: &Block,
    covered: &Covered<'_>,
) -> Vec<u8> {
    let mut aad = Vec::with_capacity(512);
    aad.raw(&source.0);
    aad.raw(covered.scope());
    covered.payload.write_metadata(&mut aad);
    // In the order of their numbers.
    for block in covered.bcb.into_iter().chain(covered.class) {
        block.write_metadata(&mut aad);
        aad.put_bytes(&block.data);
    }
    bib.write_metadata(&mut aad);
    aad.put_bytes(&digest_headers(digest));

    let mut out = Vec::with_capacity(aad.len() + primary.len() + 64);
    out.put_array(4);
    out.put_text("Signature1");
    out.put_bytes(&PROTECTED_EDDSA);
    out.put_bytes(&aad);
    out.put_bytes(primary);
    out
}

/// Which key a bundle was sealed to, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recipient {
    /// The first bytes of the recipient's key.
    pub(crate) kid: [u8; KID_BYTES],
    /// The ephemeral public key of the sender.
    pub(crate) ephemeral: [u8; 32],
}

impl Recipient {
    pub(crate) fn new(key: &SealingKey, ephemeral: [u8; 32]) -> Self {
        Self { kid: key_id(key), ephemeral }
    }

    /// The additional protected headers: `{4: kid, -1: {1: 1, -1: 4, -2: ephemeral}}`.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_map(2);
        out.put_uint(4);
        out.put_bytes(&self.kid);
        out.put_nint(0);
        out.put_map(3);
        out.put_uint(1);
        out.put_uint(1);
        out.put_nint(0);
        out.put_uint(4);
        out.put_nint(1);
        out.put_bytes(&self.ephemeral);
        out
    }
}

/// The confidentiality block's data: one COSE_Encrypt for the payload.
pub(crate) fn confidentiality_asb(source: &Source, recipient: &Recipient) -> Vec<u8> {
    let mut message = Vec::new();
    message.put_array(4);
    message.put_bytes(&PROTECTED_CHACHA);
    message.put_map(1);
    message.put_uint(5);
    message.put_bytes(&IV);
    message.put_null();
    message.put_array(1);
    message.put_array(3);
    message.put_bytes(&PROTECTED_ECDH);
    message.put_map(0);
    message.put_bytes(&[]);

    let mut out = Vec::new();
    put_asb_head(&mut out, PAYLOAD_NUMBER, source);
    put_parameters(&mut out, &recipient.encode(), &SCOPE_SEALED);
    put_result(&mut out, RESULT_ENCRYPT, &message);
    out
}

/// The recipient in a confidentiality block's data, if the rest is exactly the profile's.
pub(crate) fn read_confidentiality_asb(source: &Source, data: &[u8]) -> Option<Recipient> {
    let recipient = find_recipient(data).ok()??;
    (confidentiality_asb(source, &recipient) == data).then_some(recipient)
}

fn find_recipient(data: &[u8]) -> Result<Option<Recipient>, CborError> {
    let mut reader = Reader::new(data);
    let mut targets = reader.array()?;
    while targets.more(&mut reader) {
        reader.uint()?;
    }
    reader.uint()?;
    reader.uint()?;
    Eid::read(&mut reader).map_err(|_| CborError::Type)?;
    reader.array()?;
    reader.array()?;
    reader.uint()?;
    let headers = reader.bytes_definite()?;
    // Map head, key 4 and byte string head stand before the key id; the caller compares them.
    let kid = headers.get(3..).and_then(|rest| rest.first_chunk::<KID_BYTES>());
    let ephemeral = headers.last_chunk::<32>();
    Ok(kid.zip(ephemeral).map(|(kid, ephemeral)| Recipient { kid: *kid, ephemeral: *ephemeral }))
}

/// The data that is authenticated with an encrypted block: `Enc_structure` of RFC 9052.
pub(crate) fn encryption_aad(
    source: &Source,
    primary: &[u8],
    bcb: &Block,
    payload: &Block,
    recipient: &Recipient,
) -> Vec<u8> {
    let mut aad = Vec::new();
    aad.raw(&source.0);
    aad.raw(&SCOPE_SEALED);
    aad.raw(primary);
    payload.write_metadata(&mut aad);
    bcb.write_metadata(&mut aad);
    aad.put_bytes(&recipient.encode());

    let mut out = Vec::new();
    out.put_array(3);
    out.put_text("Encrypt");
    out.put_bytes(&PROTECTED_CHACHA);
    out.put_bytes(&aad);
    out
}

/// The key for the payload: HKDF-512 with `COSE_KDF_Context` of RFC 9053.
pub(crate) fn content_key(shared: &[u8; 32], source: &Source, recipient: &Recipient) -> Zeroizing<[u8; 32]> {
    let mut other = Vec::new();
    other.put_text("BPSec");
    other.raw(&source.0);
    other.put_bytes(&recipient.encode());

    let mut context = Vec::new();
    context.put_array(4);
    context.put_uint(ALGORITHM_CHACHA);
    for _party in ["sender", "recipient"] {
        context.put_array(3);
        context.put_null();
        context.put_null();
        context.put_null();
    }
    context.put_array(3);
    context.put_uint(KEY_BITS);
    context.put_bytes(&PROTECTED_ECDH);
    context.put_bytes(&other);

    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha512>::new(None, shared)
        .expand(&context, key.as_mut_slice())
        .expect("32 bytes are within what HKDF can give");
    key
}
