//! Making security blocks.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::CoseError;
use super::alg::{Algorithm, DIRECT, Role};
use super::asymmetric::{agree, ephemeral, public_to_cose, sign};
use super::crypto::{IV_BYTES, Sealing, Secret, derive, random, tag, wrap};
use super::header::{
    ALG, EPHEMERAL_KEY, HeaderMap, Headers, IV, KID, PARTIAL_IV, SALT, STATIC_KEY, STATIC_KEY_ID,
    algorithm_only,
};
use super::key::Key;
use super::message::{MessageKind, PARTS_MAX};
use super::read::{add_iv, derived_for, wraps};
use super::scene::{
    AAD_SCOPE, ADDITIONAL_PROTECTED, ADDITIONAL_UNPROTECTED, CONTEXT_COSE, Parameters, Scene, structure,
};
use super::scope::AadScope;
use crate::block::{Block, BlockFlags, BlockKind, PAYLOAD_NUMBER};
use crate::bpsec::asb::SecurityBlock;
use crate::bpsec::rules::Coverage;
use crate::cbor::Write;
use crate::crc::CrcType;
use crate::eid::Eid;
use crate::raw::RawBundle;

/// Bytes of a fresh salt, as many as in the examples of the draft.
const SALT_BYTES: usize = 16;

/// What a new security block covers, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who adds the block.
    pub source: Eid,
    /// The numbers of the blocks that it covers.
    pub targets: Vec<u64>,
    /// Its own number; without one the lowest that is free from 2 on.
    pub number: Option<u64>,
    /// Its flags. A block that encrypts the payload goes into every fragment without being asked.
    pub flags: BlockFlags,
    /// What else is authenticated; without it the default, and no parameter.
    pub scope: Option<AadScope>,
    /// Encoded map of headers for all targets, authenticated; empty for none.
    pub additional_protected: Vec<u8>,
    /// Encoded map of headers for all targets, not authenticated; empty for none.
    pub additional_unprotected: Vec<u8>,
}

/// How integrity is proven.
#[derive(Debug, Clone, Copy)]
pub enum Integrity<'a> {
    /// A tag with a key that both sides have.
    Mac0(&'a Key),
    /// A tag with a key that is made for it, or known, and told to recipients.
    Mac {
        /// How the tag is made.
        algorithm: Algorithm,
        /// Who can check it, with symmetric keys.
        recipients: &'a [Recipient<'a>],
    },
    /// One signature.
    Sign1(&'a Key),
    /// Several signatures.
    Sign(&'a [&'a Key]),
}

/// How contents are encrypted.
#[derive(Debug, Clone, Copy)]
pub enum Confidentiality<'a> {
    /// With a key that both sides have.
    Encrypt0 {
        /// The key. It must be changed before random vectors begin to repeat, after 2^32 blocks.
        key: &'a Key,
        /// The end of the initialization vector, where the key has the rest. It must be another
        /// one for each block and there can be only one target. Without it the vector is random.
        partial_iv: Option<&'a [u8]>,
    },
    /// With a key that is made for it and told to recipients.
    Encrypt {
        /// The cipher.
        algorithm: Algorithm,
        /// Who can decrypt.
        recipients: &'a [Recipient<'a>],
    },
}

/// Somebody who gets the content key.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    key: &'a Key,
    sender: Option<&'a Key>,
}

impl<'a> Recipient<'a> {
    /// A recipient by its key, whose algorithm says how: with the content's own algorithm directly.
    #[must_use]
    pub const fn new(key: &'a Key) -> Self {
        Self { key, sender: None }
    }

    /// A recipient by its public key, with the sender's static key, for the algorithms ECDH-SS.
    #[must_use]
    pub const fn from_sender(key: &'a Key, sender: &'a Key) -> Self {
        Self { key, sender: Some(sender) }
    }
}

impl Plan {
    /// A plan with the default scope, no additional headers and the next free number.
    #[must_use]
    pub fn new(source: Eid, targets: &[u64]) -> Self {
        Self {
            source,
            targets: targets.to_vec(),
            number: None,
            flags: BlockFlags::default(),
            scope: None,
            additional_protected: Vec::new(),
            additional_unprotected: Vec::new(),
        }
    }

    fn parameters(&self) -> Parameters {
        Parameters {
            protected: self.additional_protected.clone(),
            unprotected: self.additional_unprotected.clone(),
            scope: self.scope.clone().unwrap_or_default(),
        }
    }

    fn encoded_parameters(&self) -> Vec<(u64, Vec<u8>)> {
        let mut parameters = Vec::new();
        let additional = [
            (ADDITIONAL_PROTECTED, &self.additional_protected),
            (ADDITIONAL_UNPROTECTED, &self.additional_unprotected),
        ];
        for (id, headers) in additional.into_iter().filter(|(_, headers)| !headers.is_empty()) {
            let mut item = Vec::new();
            item.put_bytes(headers);
            parameters.push((id, item));
        }
        parameters.extend(self.scope.as_ref().map(|scope| (AAD_SCOPE, scope.encode())));
        parameters
    }
}

/// Adds an integrity block before all other blocks and gives its number.
///
/// # Errors
/// If the plan breaks a rule of RFC 9172 or of the draft, or a key cannot do what is asked of it.
pub fn add_integrity(
    bundle: &mut RawBundle,
    plan: &Plan,
    how: &Integrity<'_>,
    rng: &mut dyn CryptoRng,
) -> Result<u64, CoseError> {
    let (number, _) = add(bundle, plan, BlockKind::Integrity, |writer, target| {
        let aad = writer.scene.external_aad(target)?;
        let contents = writer.scene.contents(target)?;
        let (kind, message) = writer.integrity(how, &aad, &contents, rng)?;
        Ok((kind, message, None))
    })?;
    Ok(number)
}

/// Adds a confidentiality block before all other blocks, encrypts its targets and gives its number.
///
/// # Errors
/// If the plan breaks a rule of RFC 9172 or of the draft, or a key cannot do what is asked of it.
pub fn add_confidentiality(
    bundle: &mut RawBundle,
    plan: &Plan,
    how: &Confidentiality<'_>,
    rng: &mut dyn CryptoRng,
) -> Result<u64, CoseError> {
    if matches!(how, Confidentiality::Encrypt0 { partial_iv: Some(_), .. }) && plan.targets.len() != 1 {
        return Err(CoseError::Iv);
    }
    let (number, replaced) = add(bundle, plan, BlockKind::Confidentiality, |writer, target| {
        let aad = writer.scene.external_aad(target)?;
        let contents = &writer.scene.block(target)?.data;
        let (kind, message, ciphertext) = writer.confidentiality(how, &aad, contents, rng)?;
        Ok((kind, message, Some((target, ciphertext))))
    })?;
    for (target, ciphertext) in replaced {
        if let Some(block) = bundle.block_mut(target) {
            block.data = ciphertext;
        }
    }
    Ok(number)
}

/// A block's number and what it will hold.
type NewContents = (u64, Vec<u8>);
type Made = (MessageKind, Vec<u8>, Option<NewContents>);

/// Makes a message for each target, and the block that carries them; new contents are given back.
fn add(
    bundle: &mut RawBundle,
    plan: &Plan,
    kind: BlockKind,
    mut make: impl FnMut(&Writer<'_>, u64) -> Result<Made, CoseError>,
) -> Result<(u64, Vec<NewContents>), CoseError> {
    let mut block = frame(bundle, plan, kind)?;
    let parameters = plan.parameters();
    let additional = parameters.headers()?;
    let (targets, source) = (plan.targets.as_slice(), &plan.source);
    let scene = Scene {
        primary: &bundle.primary,
        blocks: &bundle.blocks,
        block: &block,
        targets,
        source,
        parameters: &parameters,
    };
    let writer = Writer { scene, additional };
    let mut results = Vec::with_capacity(targets.len());
    let mut replaced = Vec::new();
    for target in targets {
        let (kind, message, contents) = make(&writer, *target)?;
        let mut item = Vec::new();
        item.put_bytes(&message);
        results.push(alloc::vec![(kind.result(), item)]);
        replaced.extend(contents);
    }
    let parameters = plan.encoded_parameters();
    let flags = u64::from(!parameters.is_empty());
    let (targets, source) = (plan.targets.clone(), plan.source.clone());
    let asb = SecurityBlock { targets, context: CONTEXT_COSE, flags, source, parameters, results };
    block.data = asb.encode();
    let number = block.number;
    bundle.blocks.insert(0, block);
    if let Err(conflict) = Coverage::read(bundle) {
        bundle.blocks.remove(0);
        return Err(CoseError::Conflict(conflict));
    }
    Ok((number, replaced))
}

/// The security block without its contents.
fn frame(bundle: &RawBundle, plan: &Plan, kind: BlockKind) -> Result<Block, CoseError> {
    if bundle.primary.fragment.is_some() {
        return Err(CoseError::Fragment);
    }
    let taken = |number: u64| bundle.block(number).is_some();
    let number = match plan.number {
        Some(number) if number <= PAYLOAD_NUMBER || taken(number) => return Err(CoseError::Number(number)),
        Some(number) => number,
        None => (PAYLOAD_NUMBER + 1..).find(|number| !taken(*number)).ok_or(CoseError::Number(u64::MAX))?,
    };
    let mut block = Block::new(kind, number, CrcType::None, Vec::new());
    block.flags = plan.flags;
    if kind == BlockKind::Confidentiality && plan.targets.contains(&PAYLOAD_NUMBER) {
        block.flags.0 |= BlockFlags::REPLICATE.0;
    }
    Ok(block)
}

/// Writes the messages of one security block.
struct Writer<'a> {
    scene: Scene<'a>,
    additional: HeaderMap<'a>,
}

/// A content key that is about to be told to recipients.
struct ContentKey<'a> {
    algorithm: Algorithm,
    recipients: &'a [Recipient<'a>],
}

impl Writer<'_> {
    fn integrity(
        &self,
        how: &Integrity<'_>,
        aad: &[u8],
        contents: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<(MessageKind, Vec<u8>), CoseError> {
        match *how {
            Integrity::Mac0(key) => {
                let kind = MessageKind::Mac0;
                let protected = algorithm_only(key.algorithm());
                let covered = structure(kind, &protected, None, aad, Some(contents));
                let proof = mac(key.algorithm(), key.symmetric_bytes()?, &covered)?;
                Ok((kind, message(&protected, &self.named(key), Some(&proof), None)))
            }
            Integrity::Mac { algorithm, recipients } => {
                let kind = MessageKind::Mac;
                let protected = algorithm_only(algorithm);
                let covered = structure(kind, &protected, None, aad, Some(contents));
                if recipients.iter().any(|to| matches!(to.key.algorithm().role(), Role::Agree { .. })) {
                    return Err(CoseError::KeyUse);
                }
                let (key, parts) = self.tell(&ContentKey { algorithm, recipients }, rng)?;
                let proof = mac(algorithm, &key, &covered)?;
                Ok((kind, message(&protected, &Headers::default(), Some(&proof), Some(&parts))))
            }
            Integrity::Sign1(key) => {
                let kind = MessageKind::Sign1;
                let protected = algorithm_only(key.algorithm());
                let covered = structure(kind, &protected, None, aad, Some(contents));
                let proof = sign_with(key, &covered)?;
                Ok((kind, message(&protected, &self.named(key), Some(&proof), None)))
            }
            Integrity::Sign(keys) => {
                let kind = MessageKind::Sign;
                check_parts(keys.len())?;
                let mut parts = Vec::with_capacity(keys.len());
                for key in keys {
                    let protected = algorithm_only(key.algorithm());
                    let covered = structure(kind, &[], Some(&protected), aad, Some(contents));
                    let proof = sign_with(key, &covered)?;
                    parts.push(part(&protected, &self.named(key), &proof));
                }
                Ok((kind, message(&[], &Headers::default(), None, Some(&parts))))
            }
        }
    }

    fn confidentiality(
        &self,
        how: &Confidentiality<'_>,
        aad: &[u8],
        contents: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<(MessageKind, Vec<u8>, Vec<u8>), CoseError> {
        match *how {
            Confidentiality::Encrypt0 { key, partial_iv } => {
                let kind = MessageKind::Encrypt0;
                let mut headers = self.named(key);
                let iv = match (partial_iv, key.base_iv()) {
                    (None, _) => fresh_iv(&mut headers, rng),
                    (Some(partial), Some(base)) => {
                        headers.set_bytes(PARTIAL_IV, partial);
                        add_iv(base, partial)?
                    }
                    (Some(_), None) => return Err(CoseError::Iv),
                };
                let protected = algorithm_only(key.algorithm());
                let aad = structure(kind, &protected, None, aad, None);
                let sealing =
                    Sealing { algorithm: key.algorithm(), key: key.symmetric_bytes()?, iv, aad: &aad };
                let ciphertext = sealing.encrypt(contents)?;
                Ok((kind, message(&protected, &headers, None, None), ciphertext))
            }
            Confidentiality::Encrypt { algorithm, recipients } => {
                let kind = MessageKind::Encrypt;
                let mut headers = Headers::default();
                let iv = fresh_iv(&mut headers, rng);
                let protected = algorithm_only(algorithm);
                let aad = structure(kind, &protected, None, aad, None);
                let (key, parts) = self.tell(&ContentKey { algorithm, recipients }, rng)?;
                let ciphertext = Sealing { algorithm, key: &key, iv, aad: &aad }.encrypt(contents)?;
                Ok((kind, message(&protected, &headers, None, Some(&parts)), ciphertext))
            }
        }
    }

    /// Headers with the key's name, unless the additional headers have the same.
    fn named(&self, key: &Key) -> Headers {
        let mut headers = Headers::default();
        if let Some(id) = key.id() {
            let known = self.additional.bytes(KID).ok().flatten();
            if known != Some(id) {
                headers.set_bytes(KID, id);
            }
        }
        headers
    }

    /// Makes or takes the content key and writes it for each recipient.
    fn tell(
        &self,
        content: &ContentKey<'_>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Secret, Vec<Vec<u8>>), CoseError> {
        check_parts(content.recipients.len())?;
        let key_bytes = content.algorithm.key_bytes().ok_or(CoseError::KeyLength)?;
        if let [only] = content.recipients
            && !wraps(only.key.algorithm())
        {
            let (key, part) = self.recipient(only, content.algorithm, key_bytes, None, rng)?;
            return Ok((key, alloc::vec![part]));
        }
        let key = random(rng, key_bytes);
        let mut parts = Vec::with_capacity(content.recipients.len());
        for recipient in content.recipients {
            if !wraps(recipient.key.algorithm()) {
                return Err(CoseError::DirectNotAlone);
            }
            parts.push(self.recipient(recipient, content.algorithm, key_bytes, Some(&key), rng)?.1);
        }
        Ok((key, parts))
    }

    /// One recipient, and the key that it leads to: a wrapped one is given, others are gained.
    fn recipient(
        &self,
        to: &Recipient<'_>,
        content: Algorithm,
        key_bytes: usize,
        wrapped: Option<&Secret>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Secret, Vec<u8>), CoseError> {
        let own = to.key.algorithm();
        let mut headers = self.named(to.key);
        let purpose = derived_for(own, content);
        let context = |protected: &[u8]| {
            let purpose = purpose.ok_or(CoseError::KeyUse)?;
            let bytes = purpose.key_bytes().unwrap_or_default();
            Ok::<_, CoseError>((self.scene.kdf_context(purpose.code(), bytes, protected), bytes))
        };
        match (own.role(), wrapped) {
            (Role::Wrap, Some(key)) => {
                headers.set_int(ALG, own.code());
                let content = wrap(own, to.key.symmetric_bytes()?, key)?;
                Ok((key.clone(), part(&[], &headers, &content)))
            }
            (Role::Derive(hash), None) => {
                let protected = algorithm_only(own);
                let salt = fresh_salt(&mut headers, rng);
                let (context, bytes) = context(&protected)?;
                let key = derive(hash, to.key.symmetric_bytes()?, Some(&salt), &context, bytes)?;
                Ok((key, part(&protected, &headers, &[])))
            }
            (Role::Agree { hash, wrap: wrapping, .. }, _) => {
                let protected = algorithm_only(own);
                let (shared, salt) = self.agreement(to, &mut headers, rng)?;
                let (context, bytes) = context(&protected)?;
                let key = derive(hash, &shared, salt.as_ref().map(|salt| salt.as_slice()), &context, bytes)?;
                match (wrapping, wrapped) {
                    (Some(algorithm), Some(content_key)) => {
                        let content = wrap(algorithm, &key, content_key)?;
                        Ok((content_key.clone(), part(&protected, &headers, &content)))
                    }
                    _ => Ok((key, part(&protected, &headers, &[]))),
                }
            }
            (Role::Mac(_) | Role::Cipher, None) if own == content => {
                headers.set_int(ALG, DIRECT);
                let key = to.key.symmetric_bytes()?;
                let key =
                    if key.len() == key_bytes { key.to_vec() } else { return Err(CoseError::KeyLength) };
                Ok((Secret::new(key), part(&[], &headers, &[])))
            }
            _ => Err(CoseError::KeyUse),
        }
    }

    /// The secret shared with a recipient, and the salt where the algorithm needs one.
    fn agreement(
        &self,
        to: &Recipient<'_>,
        headers: &mut Headers,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Secret, Option<Secret>), CoseError> {
        let (curve, public) = to.key.public_bytes().ok_or(CoseError::KeyUse)?;
        let sender_is_static =
            matches!(to.key.algorithm().role(), Role::Agree { sender_is_static: true, .. });
        match (sender_is_static, to.sender) {
            (false, None) => {
                let (secret, own_public) = ephemeral(curve, rng)?;
                headers.set(EPHEMERAL_KEY, public_to_cose(curve, &own_public)?);
                Ok((agree(curve, &secret, public)?, None))
            }
            (true, Some(sender)) => {
                let (own_curve, secret) = sender.secret_bytes()?;
                if own_curve != curve || sender.algorithm() != to.key.algorithm() {
                    return Err(CoseError::KeyUse);
                }
                match (sender.id(), sender.public_bytes()) {
                    (Some(id), _) => headers.set_bytes(STATIC_KEY_ID, id),
                    (None, Some((_, own_public))) => {
                        headers.set(STATIC_KEY, public_to_cose(curve, own_public)?);
                    }
                    (None, None) => return Err(CoseError::KeyUse),
                }
                let salt = fresh_salt(headers, rng);
                Ok((agree(curve, secret, public)?, Some(salt)))
            }
            (true, None) | (false, Some(_)) => Err(CoseError::KeyUse),
        }
    }
}

const fn check_parts(parts: usize) -> Result<(), CoseError> {
    match parts {
        0 => Err(CoseError::NoParts),
        1..=PARTS_MAX => Ok(()),
        _ => Err(CoseError::TooManyParts),
    }
}

fn mac(algorithm: Algorithm, key: &[u8], covered: &[u8]) -> Result<Vec<u8>, CoseError> {
    match algorithm.role() {
        Role::Mac(hash) => tag(hash, key, covered),
        _ => Err(CoseError::KeyUse),
    }
}

fn sign_with(key: &Key, covered: &[u8]) -> Result<Vec<u8>, CoseError> {
    let Role::Signature(_) = key.algorithm().role() else { return Err(CoseError::KeyUse) };
    let (curve, secret) = key.secret_bytes()?;
    sign(curve, secret, covered)
}

fn fresh_iv(headers: &mut Headers, rng: &mut dyn CryptoRng) -> [u8; IV_BYTES] {
    let mut iv = [0; IV_BYTES];
    rng.fill_bytes(&mut iv);
    headers.set_bytes(IV, &iv);
    iv
}

fn fresh_salt(headers: &mut Headers, rng: &mut dyn CryptoRng) -> Secret {
    let salt = random(rng, SALT_BYTES);
    headers.set_bytes(SALT, &salt);
    salt
}

/// A message without its contents: headers, null, then what its kind has.
fn message(protected: &[u8], headers: &Headers, proof: Option<&[u8]>, parts: Option<&[Vec<u8>]>) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_array(3 + u64::from(proof.is_some()) + u64::from(parts.is_some()));
    out.put_bytes(protected);
    headers.write(&mut out);
    out.put_null();
    if let Some(proof) = proof {
        out.put_bytes(proof);
    }
    if let Some(parts) = parts {
        out.put_array(u64::try_from(parts.len()).unwrap_or(u64::MAX));
        parts.iter().for_each(|part| out.raw(part));
    }
    out
}

/// A recipient or a signature.
fn part(protected: &[u8], headers: &Headers, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_array(3);
    out.put_bytes(protected);
    headers.write(&mut out);
    out.put_bytes(content);
    out
}
