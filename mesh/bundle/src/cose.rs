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
use crate::eid::Eid;
use crate::identity::{SealingKey, Signature};

/// Block number of the integrity block.
pub(crate) const BIB_NUMBER: u64 = 2;
/// Block number of the confidentiality block.
pub(crate) const BCB_NUMBER: u64 = 3;
/// How many bytes of the recipient's key tell it which of its keys was used.
pub(crate) const KID_BYTES: usize = 8;

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
/// Every content key encrypts exactly one block, so its nonce need not vary.
pub(crate) const IV: [u8; 12] = [0; 12];

/// `{0: 1, -1: 1, -2: 1}`: the primary block, and the metadata of target and security block.
fn put_scope(out: &mut Vec<u8>) {
    out.put_map(3);
    out.put_uint(0);
    out.put_uint(1);
    out.put_nint(0);
    out.put_uint(1);
    out.put_nint(1);
    out.put_uint(1);
}

/// The data outside of the COSE message that is authenticated with it.
fn external_aad(source: &Eid, primary: &[u8], target: &Block, security: &Block, extra: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    source.write(&mut out);
    put_scope(&mut out);
    out.raw(primary);
    target.write_metadata(&mut out);
    security.write_metadata(&mut out);
    out.put_bytes(extra);
    out
}

/// What all abstract security blocks of the profile begin with.
fn put_asb_head(out: &mut Vec<u8>, targets: &[u64], source: &Eid) {
    out.put_array(if targets.len() == 1 { 1 } else { 2 });
    targets.iter().for_each(|target| out.put_uint(*target));
    out.put_uint(CONTEXT_COSE);
    out.put_uint(PARAMETERS_PRESENT);
    source.write(out);
}

/// The integrity block's data: one COSE_Sign1 over the payload.
pub(crate) fn integrity_asb(source: &Eid, signature: &Signature) -> Vec<u8> {
    let mut message = Vec::new();
    message.put_array(4);
    message.put_bytes(&PROTECTED_EDDSA);
    message.put_map(0);
    message.put_null();
    message.put_bytes(signature);

    let mut out = Vec::new();
    put_asb_head(&mut out, &[PAYLOAD_NUMBER], source);
    out.put_array(1);
    out.put_array(2);
    out.put_uint(PARAMETER_AAD_SCOPE);
    put_scope(&mut out);
    out.put_array(1);
    put_result(&mut out, RESULT_SIGN1, &message);
    out
}

/// The signature in an integrity block's data, if the rest is exactly the profile's.
pub(crate) fn read_integrity_asb(source: &Eid, data: &[u8]) -> Option<Signature> {
    let signature = *data.last_chunk::<64>()?;
    (integrity_asb(source, &signature) == data).then_some(signature)
}

/// The bytes that are signed: `Sig_structure` of RFC 9052.
pub(crate) fn to_be_signed(source: &Eid, primary: &[u8], bib: &Block, payload: &Block) -> Zeroizing<Vec<u8>> {
    let aad = external_aad(source, primary, payload, bib, &[]);
    let mut out = Zeroizing::new(Vec::with_capacity(aad.len() + payload.data.len() + 64));
    out.put_array(4);
    out.put_text("Signature1");
    out.put_bytes(&PROTECTED_EDDSA);
    out.put_bytes(&aad);
    out.put_bytes(&payload.data);
    out
}

/// One result for one target: the message, detached from its content, as a byte string.
fn put_result(out: &mut Vec<u8>, id: u64, message: &[u8]) {
    out.put_array(1);
    out.put_array(2);
    out.put_uint(id);
    out.put_bytes(message);
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
        let mut kid = [0; KID_BYTES];
        kid.iter_mut().zip(key.0).for_each(|(to, from)| *to = from);
        Self { kid, ephemeral }
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

/// The confidentiality block's data: one COSE_Encrypt for the payload, one for the signature.
pub(crate) fn confidentiality_asb(source: &Eid, recipient: &Recipient) -> Vec<u8> {
    let targets = [PAYLOAD_NUMBER, BIB_NUMBER];
    let mut out = Vec::new();
    put_asb_head(&mut out, &targets, source);
    out.put_array(2);
    out.put_array(2);
    out.put_uint(PARAMETER_ADDITIONAL_PROTECTED);
    out.put_bytes(&recipient.encode());
    out.put_array(2);
    out.put_uint(PARAMETER_AAD_SCOPE);
    put_scope(&mut out);
    out.put_array(2);
    for target in targets {
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
        message.put_map(1);
        message.put_nint(19);
        message.put_bytes(&salt(target));
        message.put_bytes(&[]);
        put_result(&mut out, RESULT_ENCRYPT, &message);
    }
    out
}

/// The salt that gives each target its own key although all share one ephemeral key.
fn salt(target: u64) -> Vec<u8> {
    let mut salt = Vec::new();
    salt.put_uint(target);
    salt
}

/// The recipient in a confidentiality block's data, if the rest is exactly the profile's.
pub(crate) fn read_confidentiality_asb(source: &Eid, data: &[u8]) -> Option<Recipient> {
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
    source: &Eid,
    primary: &[u8],
    bcb: &Block,
    target: &Block,
    recipient: &Recipient,
) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_array(3);
    out.put_text("Encrypt");
    out.put_bytes(&PROTECTED_CHACHA);
    out.put_bytes(&external_aad(source, primary, target, bcb, &recipient.encode()));
    out
}

/// The key for one target: HKDF-512 with `COSE_KDF_Context` of RFC 9053.
pub(crate) fn content_key(
    shared: &[u8; 32],
    source: &Eid,
    recipient: &Recipient,
    target: u64,
) -> Zeroizing<[u8; 32]> {
    let mut other = Vec::new();
    other.put_text("BPSec");
    source.write(&mut other);
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
    Hkdf::<Sha512>::new(Some(&salt(target)), shared)
        .expand(&context, key.as_mut_slice())
        .expect("32 bytes are within what HKDF can give");
    key
}
