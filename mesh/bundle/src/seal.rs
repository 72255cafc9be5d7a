//! Seals a payload to one node and opens what others sealed.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::block::{Block, BlockFlags, BlockKind, HopCount, PAYLOAD_NUMBER};
use crate::bundle::{Bundle, BundleId, DecodeError};
use crate::cose::{self, BCB_NUMBER, BIB_NUMBER, Recipient};
use crate::crc::CrcType;
use crate::eid::{Eid, EidError};
use crate::identity::{Identity, NodeId, SealingKey, verify};
use crate::padding::{pad, unpadded_len};
use crate::primary::{BundleFlags, CreationTimestamp, Primary};

/// Largest payload. Padded and wrapped it still fits the default
/// of [`bundle_bytes_max`](crate::Limits::bundle_bytes_max).
pub const PAYLOAD_BYTES_MAX: usize = 14 << 20;

const HOP_COUNT_NUMBER: u64 = 4;
const AGE_NUMBER: u64 = 5;

/// What a node wants to send; [`seal`] makes a bundle of it.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// The endpoint that the bundle goes to.
    pub destination: Eid,
    /// The service of this node that it comes from.
    pub source_service: &'a str,
    /// When it is made; time 0 if this node has no clock, and then an age is needed.
    pub creation: CreationTimestamp,
    /// How long it is of use, in milliseconds.
    pub lifetime_ms: u64,
    /// Most hops it may make: at least 1.
    pub hop_limit: u8,
    /// How old it is already; carriers count it on if it is given.
    pub age_ms: Option<u64>,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Why a draft does not become a bundle. The caller asked for something impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The payload is larger than [`PAYLOAD_BYTES_MAX`].
    #[error("the payload has {bytes} bytes, more than the limit of {PAYLOAD_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A sealed bundle goes to a node; a group or a foreign endpoint has no sealing key.
    #[error("a bundle can only be sealed to an endpoint of a node")]
    Destination,
    /// The service is not a valid part of an endpoint id.
    #[error("the service cannot be part of an endpoint id: {0}")]
    Service(EidError),
    /// The sealing key is a point of small order: anybody could read along.
    #[error("the recipient's sealing key is not a valid key")]
    WeakKey,
    /// The parts do not make a valid bundle, such as a hop limit of 0 or a missing age.
    #[error(transparent)]
    Bundle(#[from] DecodeError),
}

/// A bundle's content, decrypted, and its source, proven.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The node that signed the bundle.
    pub source: NodeId,
    /// The service of that node.
    pub source_service: String,
    /// The service of this node that it is for.
    pub destination_service: String,
    /// What it carries.
    pub payload: Vec<u8>,
    /// The bundle's name: whoever delivers it must remember that it did.
    pub id: BundleId,
}

/// Why a bundle is not opened. Nothing of it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Only whole bundles can be opened.
    #[error("the bundle is a fragment")]
    Fragment,
    /// It goes to another node.
    #[error("the bundle is for somebody else")]
    NotForMe,
    /// Its source is not a node, so nobody can have signed it.
    #[error("the source of the bundle is not a node")]
    SourceNotANode,
    /// Its payload is not encrypted.
    #[error("the bundle is not sealed")]
    Unsealed,
    /// It has no signature.
    #[error("the bundle is not signed")]
    Unsigned,
    /// Its security blocks are not exactly those of Cairn's profile.
    #[error("the bundle is secured in a way that this node does not accept")]
    Profile,
    /// It was sealed to a key that this node does not have.
    #[error("the bundle is sealed to a key that this node does not have")]
    OtherKey,
    /// It was damaged, or it is not signed by the node that its source names.
    #[error("the signature of the bundle does not hold")]
    Signature,
    /// Its source signed something that does not decrypt.
    #[error("the bundle does not decrypt")]
    Decrypt,
    /// The sender did not mark where the payload ends.
    #[error("the payload of the bundle has no end mark")]
    Padding,
}

/// Signs and seals a draft; its size is rounded up to hide the payload's length.
///
/// `recipient` is the sealing key from the card of the node in `draft.destination`.
///
/// # Errors
/// If the draft asks for something impossible; see [`SealError`].
pub fn seal(
    draft: &Draft<'_>,
    me: &Identity,
    recipient: &SealingKey,
    rng: &mut dyn CryptoRng,
) -> Result<Bundle, SealError> {
    seal_with(draft, me, recipient, rng, true)
}

/// Like [`seal`], for links where every byte counts: the size shows the payload's length.
///
/// # Errors
/// The same as [`seal`].
pub fn seal_unpadded(
    draft: &Draft<'_>,
    me: &Identity,
    recipient: &SealingKey,
    rng: &mut dyn CryptoRng,
) -> Result<Bundle, SealError> {
    seal_with(draft, me, recipient, rng, false)
}

/// A bundle that everybody can read and nobody can trust: neither sealed nor signed.
///
/// # Errors
/// If the draft asks for something impossible; see [`SealError`].
pub fn plain(draft: &Draft<'_>, me: &Identity) -> Result<Bundle, SealError> {
    let mut blocks = transit_blocks(draft);
    blocks.push(Block::new(BlockKind::Payload, PAYLOAD_NUMBER, CrcType::Crc32, draft.payload.to_vec()));
    Ok(Bundle::new(primary_of(draft, me)?, blocks)?)
}

fn primary_of(draft: &Draft<'_>, me: &Identity) -> Result<Primary, SealError> {
    if draft.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(SealError::TooLarge { bytes: draft.payload.len() });
    }
    if draft.hop_limit == 0 {
        return Err(DecodeError::HopLimit(0).into());
    }
    let source = Eid::node(&me.node_id(), draft.source_service).map_err(SealError::Service)?;
    Ok(Primary {
        // Nobody can put fragments together yet, so nobody may make any.
        flags: BundleFlags::NO_FRAGMENT,
        crc: CrcType::Crc32,
        destination: draft.destination.clone(),
        source,
        report_to: Eid::None,
        created: draft.creation,
        lifetime_ms: draft.lifetime_ms,
        fragment: None,
    })
}

fn transit_blocks(draft: &Draft<'_>) -> Vec<Block> {
    let hops = HopCount { limit: draft.hop_limit, count: 0 };
    let mut blocks = alloc::vec![Block::hop_count(HOP_COUNT_NUMBER, hops)];
    blocks.extend(draft.age_ms.map(|age_ms| Block::age(AGE_NUMBER, age_ms)));
    blocks
}

fn seal_with(
    draft: &Draft<'_>,
    me: &Identity,
    recipient: &SealingKey,
    rng: &mut dyn CryptoRng,
    buckets: bool,
) -> Result<Bundle, SealError> {
    if draft.destination.node_id().is_none() || !draft.destination.is_singleton() {
        return Err(SealError::Destination);
    }
    let primary = primary_of(draft, me)?;
    let padded = pad(draft.payload, buckets);
    let mut blocks = secure(&primary, &me.node_id(), me, &padded, recipient, rng)?;
    // The payload stays last.
    let payload = blocks.pop();
    blocks.extend(transit_blocks(draft));
    blocks.extend(payload);
    Ok(Bundle::new(primary, blocks)?)
}

/// Encrypts the padded payload in the name of `author` and signs everything with `me`:
/// integrity block, confidentiality block, payload.
fn secure(
    primary: &Primary,
    author: &NodeId,
    me: &Identity,
    padded: &[u8],
    recipient: &SealingKey,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Block>, SealError> {
    let source = node_eid(author);
    let header = primary.encode();
    let ephemeral = ephemeral_secret(me, &[&header, padded], rng);
    let shared = agree(&ephemeral, recipient.0).ok_or(SealError::WeakKey)?;
    let to = Recipient::new(recipient, PublicKey::from(&ephemeral).to_bytes());

    let mut bcb = Block::new(BlockKind::Confidentiality, BCB_NUMBER, CrcType::None, Vec::new());
    bcb.flags = BlockFlags::REPLICATE;
    bcb.data = cose::confidentiality_asb(&source, &to);
    let mut payload = Block::new(BlockKind::Payload, PAYLOAD_NUMBER, CrcType::None, Vec::new());
    let aad = cose::encryption_aad(&source, &header, &bcb, &payload, &to);
    payload.data = cipher(&cose::content_key(&shared, &source, &to))
        .encrypt(&Nonce::from(cose::IV), Payload { msg: padded, aad: &aad })
        .map_err(|_| SealError::TooLarge { bytes: padded.len() })?;

    let mut bib = Block::new(BlockKind::Integrity, BIB_NUMBER, CrcType::None, Vec::new());
    let signed = cose::to_be_signed(&source, &header, &bib, &bcb, &payload);
    bib.data = cose::integrity_asb(&source, &me.sign(&signed));
    Ok(alloc::vec![bib, bcb, payload])
}

/// Proves, without any key, which node sealed the bundle.
///
/// The signature is over the bundle as it travels, so everybody on the way can check it before
/// storing a byte. It does not say that the contents can be decrypted.
///
/// # Errors
/// If the bundle is not secured exactly as [`seal`] does it, or damaged, or forged.
pub fn verify_source(bundle: &Bundle) -> Result<NodeId, OpenError> {
    Envelope::read(bundle).map(|envelope| envelope.signer)
}

/// Opens a bundle for this node: proves who signed it and decrypts it.
///
/// Whether the bundle was opened before is not known here; see [`Opened::id`].
///
/// # Errors
/// If anything at all is not as [`seal`] makes it; see [`OpenError`].
pub fn open(bundle: &Bundle, me: &Identity) -> Result<Opened, OpenError> {
    let primary = bundle.primary();
    if primary.destination.node_id() != Some(me.node_id()) {
        return Err(OpenError::NotForMe);
    }
    let Envelope { signer, source, header, bcb, payload } = Envelope::read(bundle)?;
    let to = cose::read_confidentiality_asb(&source, &bcb.data).ok_or(OpenError::Profile)?;
    if to.kid != Recipient::new(&me.sealing_key(), to.ephemeral).kid {
        return Err(OpenError::OtherKey);
    }
    let shared = agree(&me.sealing_secret(), to.ephemeral).ok_or(OpenError::Decrypt)?;
    let aad = cose::encryption_aad(&source, &header, bcb, payload, &to);
    let mut plaintext = cipher(&cose::content_key(&shared, &source, &to))
        .decrypt(&Nonce::from(cose::IV), Payload { msg: &payload.data, aad: &aad })
        .map_err(|_| OpenError::Decrypt)?;
    let Some(bytes) = unpadded_len(&plaintext) else {
        plaintext.zeroize();
        return Err(OpenError::Padding);
    };
    plaintext.truncate(bytes);
    Ok(Opened {
        source: signer,
        source_service: primary.source.service().unwrap_or_default().into(),
        destination_service: primary.destination.service().unwrap_or_default().into(),
        payload: plaintext,
        id: bundle.id(),
    })
}

/// A sealed bundle whose signature holds.
struct Envelope<'a> {
    signer: NodeId,
    /// The signer as security source.
    source: Eid,
    /// The encoded primary block.
    header: Vec<u8>,
    bcb: &'a Block,
    payload: &'a Block,
}

impl<'a> Envelope<'a> {
    fn read(bundle: &'a Bundle) -> Result<Self, OpenError> {
        let primary = bundle.primary();
        if primary.fragment.is_some() {
            return Err(OpenError::Fragment);
        }
        let signer = primary.source.node_id().ok_or(OpenError::SourceNotANode)?;
        let source = node_eid(&signer);
        let header = primary.encode();
        let bcb = only(bundle, BlockKind::Confidentiality, BCB_NUMBER)?.ok_or(OpenError::Unsealed)?;
        let bib = only(bundle, BlockKind::Integrity, BIB_NUMBER)?.ok_or(OpenError::Unsigned)?;
        let payload = only(bundle, BlockKind::Payload, PAYLOAD_NUMBER)?.ok_or(OpenError::Profile)?;
        let signature = cose::read_integrity_asb(&source, &bib.data).ok_or(OpenError::Profile)?;
        let signed = cose::to_be_signed(&source, &header, bib, bcb, payload);
        verify(&signer, &signed, &signature).map_err(|_| OpenError::Signature)?;
        Ok(Self { signer, source, header, bcb, payload })
    }
}

/// The one block of a kind, which must have the profile's number and no checksum.
fn only(bundle: &Bundle, kind: BlockKind, number: u64) -> Result<Option<&Block>, OpenError> {
    let mut blocks = bundle.blocks().iter().filter(|block| block.kind == kind);
    match (blocks.next(), blocks.next()) {
        (None, _) => Ok(None),
        (Some(block), None) if block.number == number && block.crc == CrcType::None => Ok(Some(block)),
        (Some(_), _) => Err(OpenError::Profile),
    }
}

/// The node itself as security source: its endpoint without a service.
fn node_eid(node: &NodeId) -> Eid {
    Eid::node(node, "").expect("52 letters and digits are a valid authority")
}

fn cipher(key: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.into())
}

/// A fresh X25519 secret. The identity and the message are mixed in, so that a bad random number
/// generator alone does not give it away.
fn ephemeral_secret(me: &Identity, message: &[&[u8]; 2], rng: &mut dyn CryptoRng) -> StaticSecret {
    let mut random = Zeroizing::new([0; 32]);
    rng.fill_bytes(random.as_mut_slice());
    let mut hasher = blake3::Hasher::new_derive_key("cairn 2026-11 X25519 ephemeral sealing key");
    hasher.update(random.as_slice());
    hasher.update(me.seed());
    for part in message {
        hasher.update(part);
    }
    let mut secret = Zeroizing::new(*hasher.finalize().as_bytes());
    hasher.reset();
    let ephemeral = StaticSecret::from(*secret);
    secret.zeroize();
    ephemeral
}

/// X25519, for keys in their one valid form and of full order only.
fn agree(secret: &StaticSecret, public: [u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    if !is_canonical(&public) {
        return None;
    }
    let shared = secret.diffie_hellman(&PublicKey::from(public));
    shared.was_contributory().then(|| Zeroizing::new(*shared.as_bytes()))
}

/// Whether the coordinate is below 2^255 - 19. X25519 itself ignores the top bit and reduces the
/// rest, so that one key would have several forms and a bundle several names.
fn is_canonical(public: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = public;
    let at_least_p = *highest == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *lowest >= 0xed;
    *highest < 0x80 && !at_least_p
}

impl fmt::Debug for Opened {
    /// Without the payload: it was sealed so that it is not read by the way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("source", &self.source)
            .field("source_service", &self.source_service)
            .field("destination_service", &self.destination_service)
            .field("payload_bytes", &self.payload.len())
            .field("id", &self.id)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    use rand_core::{TryCryptoRng, TryRng};

    struct Constant;

    impl TryRng for Constant {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(4)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(4)
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            out.fill(4);
            Ok(())
        }
    }

    impl TryCryptoRng for Constant {}

    /// A bundle from `named` to `to` whose padded payload is given and which `signer` signed.
    fn forged(named: &Identity, signer: &Identity, to: &Identity, padded: &[u8]) -> Bundle {
        let draft = Draft {
            destination: Eid::node(&to.node_id(), "inbox").unwrap(),
            source_service: "chat",
            creation: CreationTimestamp { time_ms: 1, seq: 1 },
            lifetime_ms: 1,
            hop_limit: 1,
            age_ms: None,
            payload: b"",
        };
        let primary = primary_of(&draft, named).unwrap();
        let key = to.sealing_key();
        let blocks = secure(&primary, &named.node_id(), signer, padded, &key, &mut Constant).unwrap();
        Bundle::new(primary, blocks).unwrap()
    }

    #[test]
    fn a_signature_of_another_node_is_refused() {
        let [me, victim, liar] = [1, 2, 3].map(|seed| Identity::from_seed(&[seed; 32]));
        assert!(open(&forged(&victim, &victim, &me, &[0x80]), &me).is_ok());
        let lie = forged(&victim, &liar, &me, &[0x80]);
        assert_eq!(open(&lie, &me), Err(OpenError::Signature));
        assert_eq!(verify_source(&lie), Err(OpenError::Signature));
    }

    #[test]
    fn a_payload_without_an_end_mark_is_refused() {
        let [me, other] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]));
        for padded in [&b""[..], b"\0\0", b"stones"] {
            assert_eq!(open(&forged(&other, &other, &me, padded), &me), Err(OpenError::Padding));
        }
    }

    #[test]
    fn keys_of_small_order_or_in_a_second_form_agree_on_nothing() {
        let secret = Identity::from_seed(&[1; 32]).sealing_secret();
        let mut p_minus_one = [0xff; 32];
        (p_minus_one[0], p_minus_one[31]) = (0xec, 0x7f);
        let mut nine_plus_p = [0xff; 32];
        (nine_plus_p[0], nine_plus_p[31]) = (0xf6, 0x7f);
        let mut nine = [0; 32];
        nine[0] = 9;
        let mut nine_high = nine;
        nine_high[31] = 0x80;
        assert!(agree(&secret, nine).is_some());
        for refused in [[0; 32], p_minus_one, nine_plus_p, nine_high, [0xff; 32]] {
            assert!(agree(&secret, refused).is_none());
        }
    }
}
