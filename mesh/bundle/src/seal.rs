//! Seals a payload to one node, or only signs it, and opens what others sealed.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::aead::{self, TAG_BYTES};
use crate::agreement::{agree, ephemeral_secret};
use crate::block::{Block, BlockFlags, BlockKind, HopCount, PAYLOAD_NUMBER};
use crate::bundle::{Bundle, BundleId, DecodeError};
use crate::class::Class;
use crate::cose::{self, BCB_NUMBER, BIB_NUMBER, CLASS_NUMBER, Covered, Recipient, Source};
use crate::crc::CrcType;
use crate::digest::Digest;
use crate::eid::{Eid, EidError};
use crate::identity::{Identity, NodeId, SealingKey, verify};
use crate::padding::{pad, unpadded_len};
use crate::prekey::{Prekeys, SealedTo};
use crate::primary::{BundleFlags, CreationTimestamp, Primary};

/// Largest payload. Padded and wrapped it still fits the default
/// of [`bundle_bytes_max`](crate::Limits::bundle_bytes_max).
pub const PAYLOAD_BYTES_MAX: usize = 14 << 20;

const HOP_COUNT_NUMBER: u64 = 4;
const AGE_NUMBER: u64 = 5;

/// What a node wants to send; [`seal`] makes a bundle of it, or [`sign`] where everybody may read it.
#[derive(Clone)]
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
    /// How urgent it is. Signed like the payload, and readable by everybody on the way.
    pub class: Class,
    /// How old it is already; carriers count it on if it is given.
    pub age_ms: Option<u64>,
    /// Whether a carrier may cut it into fragments. Nobody can check who sent a fragment before all
    /// of them are put together again.
    pub may_fragment: bool,
    /// Whether the payload is an administrative record, such as a status report.
    pub admin_record: bool,
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
    /// Which of this node's keys the sender chose.
    pub sealed_to: SealedTo,
}

/// What somebody signed for everybody to read; [`read_signed`] gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedContent<'a> {
    /// The node that signed the bundle.
    pub source: NodeId,
    /// The service of that node.
    pub source_service: &'a str,
    /// Where it goes: a group as a rule, and not necessarily this node.
    pub destination: &'a Eid,
    /// What it carries.
    pub payload: &'a [u8],
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
    /// Its payload is not encrypted: everybody on the way could read it.
    #[error("the bundle is not sealed")]
    Unsealed,
    /// Its payload is encrypted, so there is nothing to read without opening it.
    #[error("the bundle is sealed")]
    Sealed,
    /// It has no signature.
    #[error("the bundle is not signed")]
    Unsigned,
    /// Its security blocks are not exactly those of Cairn's profile.
    #[error("the bundle is secured in a way that this node does not accept")]
    Profile,
    /// It was sealed to a key that this node does not have.
    #[error("the bundle is sealed to a key that this node does not have")]
    OtherKey,
    /// It was sealed to a prekey whose secret is gone: it was on its way for too long.
    #[error("the bundle is sealed to a prekey that this node has erased")]
    ErasedKey,
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

/// Signs a draft and leaves it readable: for groups, alerts and status reports.
///
/// Nobody can change it unnoticed and everybody on the way can read it. [`open`] refuses it;
/// [`read_signed`] is for it.
///
/// # Errors
/// If the draft asks for something impossible; see [`SealError`].
pub fn sign(draft: &Draft<'_>, me: &Identity) -> Result<Bundle, SealError> {
    let primary = primary_of(draft, me)?;
    let source = Source::new(&me.node_id());
    let payload = Block::new(BlockKind::Payload, PAYLOAD_NUMBER, CrcType::None, draft.payload.to_vec());
    let class = class_block(draft.class, CrcType::None);
    let covered = Covered { payload: &payload, bcb: None, class: class.as_ref() };
    let mut blocks = alloc::vec![integrity_block(&source, me, &primary.encode(), &covered)];
    blocks.extend(class);
    blocks.extend(transit_blocks(draft));
    blocks.push(payload);
    Ok(Bundle::new(primary, blocks)?)
}

/// A bundle that everybody can read and nobody can trust: neither sealed nor signed.
///
/// # Errors
/// If the draft asks for something impossible; see [`SealError`].
pub fn plain(draft: &Draft<'_>, me: &Identity) -> Result<Bundle, SealError> {
    let mut blocks = transit_blocks(draft);
    blocks.extend(class_block(draft.class, CrcType::Crc16));
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
    let mut flags = BundleFlags(0);
    if !draft.may_fragment {
        flags.0 |= BundleFlags::NO_FRAGMENT.0;
    }
    if draft.admin_record {
        flags.0 |= BundleFlags::ADMIN_RECORD.0;
    }
    Ok(Primary {
        flags,
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

/// A normal bundle has none, so that there is one form of it.
fn class_block(class: Class, crc: CrcType) -> Option<Block> {
    (class != Class::Normal).then(|| Block::class(CLASS_NUMBER, crc, class))
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
    let padded = pad(draft.payload, buckets, TAG_BYTES);
    let class = class_block(draft.class, CrcType::None);
    let [bib, bcb, payload] = secure(&primary, class.as_ref(), &me.node_id(), me, padded, recipient, rng)?;
    let mut blocks = alloc::vec![bib, bcb];
    blocks.extend(class);
    blocks.extend(transit_blocks(draft));
    blocks.push(payload);
    Ok(Bundle::new(primary, blocks)?)
}

/// Encrypts the padded payload in the name of `author` and signs everything with `me`:
/// integrity block, confidentiality block, payload.
fn secure(
    primary: &Primary,
    class: Option<&Block>,
    author: &NodeId,
    me: &Identity,
    mut padded: Zeroizing<Vec<u8>>,
    recipient: &SealingKey,
    rng: &mut dyn CryptoRng,
) -> Result<[Block; 3], SealError> {
    let source = Source::new(author);
    let header = primary.encode();
    let ephemeral = ephemeral_secret(me, &[&header, &padded], rng);
    let shared = agree(&ephemeral, recipient.0).ok_or(SealError::WeakKey)?;
    let to = Recipient::new(recipient, PublicKey::from(&ephemeral).to_bytes());

    let mut bcb = Block::new(BlockKind::Confidentiality, BCB_NUMBER, CrcType::None, Vec::new());
    bcb.flags = BlockFlags::REPLICATE;
    bcb.data = cose::confidentiality_asb(&source, &to);
    let mut payload = Block::new(BlockKind::Payload, PAYLOAD_NUMBER, CrcType::None, Vec::new());
    let aad = cose::encryption_aad(&source, &header, &bcb, &payload, &to);
    // In place, so that there is one copy of the plaintext and it is overwritten.
    let bytes = padded.len();
    let key = cose::content_key(&shared, &source, &to);
    let tag = aead::encrypt(&key, &cose::IV, &aad, &mut padded).ok_or(SealError::TooLarge { bytes })?;
    payload.data = core::mem::take(&mut *padded);
    payload.data.extend_from_slice(&tag);
    let bib = integrity_block(&source, me, &header, &Covered { payload: &payload, bcb: Some(&bcb), class });
    Ok([bib, bcb, payload])
}

fn integrity_block(source: &Source, me: &Identity, header: &[u8], covered: &Covered<'_>) -> Block {
    let mut bib = Block::new(BlockKind::Integrity, BIB_NUMBER, CrcType::None, Vec::new());
    let digest = Digest::of(&covered.payload.data);
    let signed = cose::to_be_signed(source, header, &digest, &bib, covered);
    bib.data = cose::integrity_asb(source, &digest, covered, &me.sign(&signed));
    bib
}

/// Proves, without any key, which node signed the bundle, and says whether it is sealed.
///
/// The signature is over the bundle as it travels, so everybody on the way can check it before
/// storing a byte. It does not say that the contents can be decrypted.
///
/// # Errors
/// If the bundle is not secured exactly as [`seal`] or [`sign`] do it, or damaged, or forged.
pub fn verify_source(bundle: &Bundle) -> Result<Verified<'_>, OpenError> {
    let primary = bundle.primary();
    if primary.fragment.is_some() {
        return Err(OpenError::Fragment);
    }
    let signer = primary.source.node_id().ok_or(OpenError::SourceNotANode)?;
    let source = Source::new(&signer);
    let header = primary.encode();
    let bcb = only(bundle, BlockKind::Confidentiality, BCB_NUMBER)?;
    let payload = only(bundle, BlockKind::Payload, PAYLOAD_NUMBER);
    let bib = only(bundle, BlockKind::Integrity, BIB_NUMBER)?.ok_or(OpenError::Unsigned)?;
    let payload = payload?.ok_or(OpenError::Profile)?;
    let class = only(bundle, BlockKind::Class, CLASS_NUMBER)?;
    let covered = Covered { payload, bcb, class };
    // What is covered stands in the block: a class that was added or taken away does not fit it.
    let (digest, signature) =
        cose::read_integrity_asb(&source, &covered, &bib.data).ok_or(OpenError::Profile)?;
    // The signature first: it is checked in the same time for every size.
    let signed = cose::to_be_signed(&source, &header, &digest, bib, &covered);
    verify(&signer, &signed, &signature).map_err(|_| OpenError::Signature)?;
    if Digest::of(&payload.data) != digest {
        return Err(OpenError::Signature);
    }
    Ok(Verified { bundle, signer, source, header, bcb, payload })
}

/// Opens a bundle for this node: proves who signed it and decrypts it, with a prekey or with the
/// long-term key of the identity.
///
/// What is signed but not sealed is refused; [`read_signed`] is for that. Whether the bundle was
/// opened before is not known here; see [`Opened::id`].
///
/// # Errors
/// If anything at all is not as [`seal`] makes it; see [`OpenError`].
pub fn open(bundle: &Bundle, me: &Identity, prekeys: &Prekeys) -> Result<Opened, OpenError> {
    if bundle.primary().destination.node_id() != Some(me.node_id()) {
        return Err(OpenError::NotForMe);
    }
    if !bundle.is_sealed() {
        return Err(OpenError::Unsealed);
    }
    verify_source(bundle)?.open(me, prekeys)
}

/// Proves who signed a bundle that everybody may read, and gives what it says.
///
/// A sealed bundle is refused, so that what was secret and what was not are never mistaken for
/// one another. Whether this node is meant at all is for the caller to see, by
/// [`SignedContent::destination`].
///
/// # Errors
/// If anything at all is not as [`sign`] makes it; see [`OpenError`].
pub fn read_signed(bundle: &Bundle) -> Result<SignedContent<'_>, OpenError> {
    verify_source(bundle)?.read_signed()
}

/// A bundle whose signature holds; only [`verify_source`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<'a> {
    bundle: &'a Bundle,
    signer: NodeId,
    /// The signer as security source.
    source: Source,
    /// The encoded primary block.
    header: Vec<u8>,
    bcb: Option<&'a Block>,
    payload: &'a Block,
}

impl<'a> Verified<'a> {
    /// The node that signed the bundle.
    #[must_use]
    pub const fn source(&self) -> NodeId {
        self.signer
    }

    /// Whether its payload is encrypted, and not only signed.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.bcb.is_some()
    }

    /// How urgent the source says it is: nobody on the way has added, changed or removed that.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.bundle.class()
    }

    /// Opens the bundle without checking its signature a second time; like [`open`].
    ///
    /// # Errors
    /// If it is not sealed, or not to this node, or does not decrypt; see [`OpenError`].
    pub fn open(&self, me: &Identity, prekeys: &Prekeys) -> Result<Opened, OpenError> {
        let primary = self.bundle.primary();
        if primary.destination.node_id() != Some(me.node_id()) {
            return Err(OpenError::NotForMe);
        }
        let bcb = self.bcb.ok_or(OpenError::Unsealed)?;
        let to = cose::read_confidentiality_asb(&self.source, &bcb.data).ok_or(OpenError::Profile)?;
        let aad = cose::encryption_aad(&self.source, &self.header, bcb, self.payload, &to);
        // Two keys may begin alike, so each that is meant is tried.
        let mut failure =
            if prekeys.has_erased(&to.kid) { OpenError::ErasedKey } else { OpenError::OtherKey };
        for (kind, secret) in prekeys.secrets(&to.kid).chain(me.long_term_secret(&to.kid)) {
            failure = OpenError::Decrypt;
            let Some(mut plaintext) = self.decrypt(&secret, &to, &aad) else { continue };
            let bytes = unpadded_len(&plaintext).ok_or(OpenError::Padding)?;
            plaintext.truncate(bytes);
            return Ok(Opened {
                source: self.signer,
                source_service: primary.source.service().unwrap_or_default().into(),
                destination_service: primary.destination.service().unwrap_or_default().into(),
                payload: core::mem::take(&mut *plaintext),
                id: self.bundle.id(),
                sealed_to: kind,
            });
        }
        Err(failure)
    }

    fn decrypt(&self, secret: &StaticSecret, to: &Recipient, aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let shared = agree(secret, to.ephemeral)?;
        decrypt(&cose::content_key(&shared, &self.source, to), aad, &self.payload.data)
    }

    /// The contents of a bundle that is signed and not sealed; like [`read_signed`].
    ///
    /// # Errors
    /// [`OpenError::Sealed`] if it is sealed.
    pub fn read_signed(&self) -> Result<SignedContent<'a>, OpenError> {
        if self.is_sealed() {
            return Err(OpenError::Sealed);
        }
        let primary = self.bundle.primary();
        Ok(SignedContent {
            source: self.signer,
            source_service: primary.source.service().unwrap_or_default(),
            destination: &primary.destination,
            payload: &self.payload.data,
            id: self.bundle.id(),
        })
    }
}

/// The plaintext, decrypted once into its own buffer; nothing is decrypted before the tag holds.
fn decrypt(key: &[u8; 32], aad: &[u8], data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (body, tag) = data.split_last_chunk::<TAG_BYTES>()?;
    let mut plaintext = Zeroizing::new(alloc::vec![0; body.len()]);
    aead::decrypt(key, &cose::IV, aad, body, *tag, &mut plaintext)?;
    Some(plaintext)
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

impl fmt::Debug for Draft<'_> {
    /// Without the payload: it may be about to be sealed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("destination", &self.destination)
            .field("source_service", &self.source_service)
            .field("creation", &self.creation)
            .field("lifetime_ms", &self.lifetime_ms)
            .field("class", &self.class)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
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
            .field("sealed_to", &self.sealed_to)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constant::Constant;

    /// A bundle from `named` to `to` whose padded payload is given and which `signer` signed.
    fn forged(named: &Identity, signer: &Identity, to: &Identity, padded: &[u8]) -> Bundle {
        let draft = Draft {
            destination: Eid::node(&to.node_id(), "inbox").unwrap(),
            source_service: "chat",
            creation: CreationTimestamp { time_ms: 1, seq: 1 },
            lifetime_ms: 1,
            hop_limit: 1,
            class: Class::Normal,
            age_ms: None,
            may_fragment: false,
            admin_record: false,
            payload: b"",
        };
        let primary = primary_of(&draft, named).unwrap();
        let key = to.sealing_key();
        let padded = Zeroizing::new(padded.to_vec());
        let blocks =
            secure(&primary, None, &named.node_id(), signer, padded, &key, &mut Constant(4)).unwrap();
        Bundle::new(primary, blocks.to_vec()).unwrap()
    }

    #[test]
    fn a_signature_of_another_node_is_refused() {
        let [me, victim, liar] = [1, 2, 3].map(|seed| Identity::from_seed(&[seed; 32]));
        assert!(open(&forged(&victim, &victim, &me, &[0x80]), &me, &Prekeys::default()).is_ok());
        let lie = forged(&victim, &liar, &me, &[0x80]);
        assert_eq!(open(&lie, &me, &Prekeys::default()), Err(OpenError::Signature));
        assert_eq!(verify_source(&lie), Err(OpenError::Signature));
    }

    #[test]
    fn a_payload_without_an_end_mark_is_refused() {
        let [me, other] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]));
        for padded in [&b""[..], b"\0\0", b"stones"] {
            assert_eq!(
                open(&forged(&other, &other, &me, padded), &me, &Prekeys::default()),
                Err(OpenError::Padding)
            );
        }
    }
}
