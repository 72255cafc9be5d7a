//! Checking and decrypting what others made.

use alloc::vec::Vec;

use super::alg::{Algorithm, DIRECT, Hash, Role};
use super::asymmetric::{agree, check_signature, public_from_cose};
use super::crypto::{IV_BYTES, Sealing, Secret, check_tag, derive, unwrap};
use super::header::{EPHEMERAL_KEY, IV, PARTIAL_IV, SALT, STATIC_KEY, STATIC_KEY_ID};
use super::key::Key;
use super::message::{Message, MessageKind, Part};
use super::scene::{CONTEXT_COSE, Parameters, Scene, byte_string_of, find, structure};
use super::{Checked, CoseError, Structures};
use crate::block::BlockKind;
use crate::bpsec::asb::SecurityBlock;
use crate::bpsec::context::Operation;
use crate::raw::RawBundle;

/// Most attempts to use a key for one security block, over all targets, parts and fitting keys. Where
/// [`process`](crate::bpsec::accept::process) asks for one target at a time, it is for each of them.
pub const TRIES_MAX: usize = 256;

/// Checks all operations of an integrity block. The block stays where it is.
///
/// A message holds if a key of `keys` proves it. Of several signatures at least one must be proven,
/// and none that names a key of `keys` may be wrong. Signatures of unknown keys prove nothing and
/// spoil nothing.
///
/// Only a bundle whose contents are decrypted as far as its source intended can be checked:
/// confidentiality blocks on the same targets go first.
///
/// # Errors
/// If the block is not valid, or one of its operations does not hold.
pub fn verify(bundle: &RawBundle, number: u64, keys: &[Key]) -> Result<Vec<Checked>, CoseError> {
    let mut tries = Tries::new(keys);
    each(bundle, number, |operation| tries.verify(operation))
}

/// Decrypts all targets of a confidentiality block and removes the block.
///
/// # Errors
/// If the block is not valid, or one of its targets does not decrypt; then nothing is changed.
pub fn decrypt(bundle: &mut RawBundle, number: u64, keys: &[Key]) -> Result<Vec<Checked>, CoseError> {
    let opened = plaintexts(bundle, number, keys)?;
    let mut checked = Vec::with_capacity(opened.len());
    for (outcome, mut plaintext) in opened {
        if let Some(block) = bundle.block_mut(outcome.target) {
            block.data = core::mem::take(&mut plaintext);
        }
        checked.push(outcome);
    }
    bundle.blocks.retain(|block| block.number != number);
    Ok(checked)
}

/// What the targets of a confidentiality block hold, without changing the bundle.
///
/// # Errors
/// If the block is not valid, or one of its targets does not decrypt.
pub fn plaintexts(
    bundle: &RawBundle,
    number: u64,
    keys: &[Key],
) -> Result<Vec<(Checked, Secret)>, CoseError> {
    let mut tries = Tries::new(keys);
    each(bundle, number, |operation| tries.decrypt(operation))
}

/// The structures that a security block of either kind authenticates, for whoever wants to compare
/// implementations. No key is needed, and nothing is proven.
///
/// # Errors
/// If the block is not valid.
pub fn structures(bundle: &RawBundle, number: u64) -> Result<Vec<Structures>, CoseError> {
    let kind = find(&bundle.blocks, number)?.kind;
    each(bundle, number, |operation| with_message(operation, kind, structures_of))
}

fn structures_of(scene: &Scene<'_>, target: u64, message: &Message<'_>) -> Result<Structures, CoseError> {
    let external_aad = scene.external_aad(target)?;
    let contents = if message.kind.encrypts() { None } else { Some(scene.contents(target)?) };
    let body = message.layer.protected;
    let make =
        |signer: Option<&[u8]>| structure(message.kind, body, signer, &external_aad, contents.as_deref());
    let mut authenticated = Vec::new();
    let mut kdf_contexts = Vec::new();
    if message.kind == MessageKind::Sign {
        authenticated.extend(message.parts.iter().map(|part| make(Some(part.layer.protected))));
    } else {
        authenticated.push(make(None));
        let content = Algorithm::from_code(message.layer.protected_algorithm()?);
        for part in &message.parts {
            let algorithm = Algorithm::from_code(part.layer.recipient_algorithm()?);
            let purpose = content.zip(algorithm).and_then(|(content, own)| derived_for(own, content));
            kdf_contexts.extend(purpose.map(|purpose| kdf_context(scene, purpose, part)));
        }
    }
    Ok(Structures { target, external_aad, authenticated, kdf_contexts })
}

/// Reads a security block and does something with each of its operations.
fn each<T>(
    bundle: &RawBundle,
    number: u64,
    mut check: impl FnMut(&Operation<'_>) -> Result<T, CoseError>,
) -> Result<Vec<T>, CoseError> {
    let block = find(&bundle.blocks, number)?;
    if !block.kind.is_security() {
        return Err(CoseError::NotASecurityBlock(number));
    }
    let asb = SecurityBlock::decode(&block.data)?;
    asb.targets.iter().map(|target| check(&Operation { bundle, block, asb: &asb, target: *target })).collect()
}

/// Reads the message of an operation and does something with it.
fn with_message<T>(
    operation: &Operation<'_>,
    kind: BlockKind,
    check: impl FnOnce(&Scene<'_>, u64, &Message<'_>) -> Result<T, CoseError>,
) -> Result<T, CoseError> {
    let Operation { bundle, block, asb, target } = *operation;
    if block.kind != kind {
        return Err(CoseError::NotASecurityBlock(block.number));
    }
    if asb.context != CONTEXT_COSE {
        return Err(CoseError::Context(asb.context));
    }
    let parameters = Parameters::read(asb)?;
    let additional = parameters.headers()?;
    let (targets, source) = (asb.targets.as_slice(), &asb.source);
    let scene = Scene {
        primary: &bundle.primary,
        blocks: &bundle.blocks,
        block,
        targets,
        source,
        parameters: &parameters,
    };
    let Some([(id, item)]) = asb.results_of(target) else { return Err(CoseError::Results(target)) };
    let encrypts = kind == BlockKind::Confidentiality;
    let message_kind = MessageKind::from_result(*id).filter(|kind| kind.encrypts() == encrypts);
    let bytes = byte_string_of(item)?;
    let message = Message::decode(message_kind.ok_or(CoseError::ResultId(*id))?, &bytes, &additional)?;
    check(&scene, target, &message)
}

fn mac_algorithm(message: &Message<'_>) -> Result<(Algorithm, Hash), CoseError> {
    let code = message.layer.protected_algorithm()?;
    match Algorithm::from_code(code).map(|algorithm| (algorithm, algorithm.role())) {
        Some((algorithm, Role::Mac(hash))) => Ok((algorithm, hash)),
        _ => Err(CoseError::Algorithm(code)),
    }
}

/// The initialization vector of a message: whole, or added to that of the key.
fn read_iv(message: &Message<'_>, base: Option<[u8; IV_BYTES]>) -> Result<[u8; IV_BYTES], CoseError> {
    match (message.layer.bytes(IV)?, message.layer.bytes(PARTIAL_IV)?, base) {
        (Some(iv), None, _) => iv.try_into().map_err(|_| CoseError::Iv),
        (None, Some(partial), Some(base)) => add_iv(base, partial),
        _ => Err(CoseError::Iv),
    }
}

/// A partial vector stands at the end of the key's (RFC 9052 section 3.1).
pub(super) fn add_iv(mut base: [u8; IV_BYTES], partial: &[u8]) -> Result<[u8; IV_BYTES], CoseError> {
    if partial.is_empty() || partial.len() > base.len() {
        return Err(CoseError::Iv);
    }
    base.iter_mut().rev().zip(partial.iter().rev()).for_each(|(base, partial)| *base ^= partial);
    Ok(base)
}

/// For which algorithm a recipient derives a key, if it derives one.
pub(super) const fn derived_for(recipient: Algorithm, content: Algorithm) -> Option<Algorithm> {
    match recipient.role() {
        Role::Derive(_) | Role::Agree { wrap: None, .. } => Some(content),
        Role::Agree { wrap, .. } => wrap,
        Role::Mac(_) | Role::Signature(_) | Role::Cipher | Role::Wrap => None,
    }
}

fn kdf_context(scene: &Scene<'_>, purpose: Algorithm, part: &Part<'_>) -> Vec<u8> {
    scene.kdf_context(purpose.code(), purpose.key_bytes().unwrap_or_default(), part.layer.protected)
}

/// The keys at hand, and how often they may still be tried.
pub(super) struct Tries<'k> {
    keys: &'k [Key],
    left: usize,
}

impl<'k> Tries<'k> {
    pub(super) const fn new(keys: &'k [Key]) -> Self {
        Self { keys, left: TRIES_MAX }
    }

    /// Checks one integrity operation.
    pub(super) fn verify(&mut self, operation: &Operation<'_>) -> Result<Checked, CoseError> {
        with_message(operation, BlockKind::Integrity, |scene, target, message| {
            let aad = scene.external_aad(target)?;
            let contents = scene.contents(target)?;
            let body = message.layer.protected;
            let covered =
                |signer: Option<&[u8]>| structure(message.kind, body, signer, &aad, Some(&contents));
            let keys = match message.kind {
                MessageKind::Sign1 => {
                    let code = message.layer.protected_algorithm()?;
                    let kid = message.layer.kid()?;
                    alloc::vec![self.signature(scene, code, kid, &covered(None), message.proof)?]
                }
                MessageKind::Sign => self.signatures(scene, message, &covered)?,
                _ => {
                    let (algorithm, hash) = mac_algorithm(message)?;
                    let covered = covered(None);
                    let check = |key: &[u8]| check_tag(hash, key, &covered, message.proof);
                    alloc::vec![self.content(scene, message, algorithm, check)?.0]
                }
            };
            Ok(Checked { target, keys })
        })
    }

    /// Decrypts the target of one confidentiality operation.
    pub(super) fn decrypt(&mut self, operation: &Operation<'_>) -> Result<(Checked, Secret), CoseError> {
        with_message(operation, BlockKind::Confidentiality, |scene, target, message| {
            let code = message.layer.protected_algorithm()?;
            let algorithm = Algorithm::from_code(code).ok_or(CoseError::Algorithm(code))?;
            if algorithm.role() != Role::Cipher {
                return Err(CoseError::Algorithm(code));
            }
            let aad = scene.external_aad(target)?;
            let aad = structure(message.kind, message.layer.protected, None, &aad, None);
            let contents = &scene.block(target)?.data;
            let (index, plaintext) = if message.kind == MessageKind::Encrypt0 {
                let kid = message.layer.kid()?;
                self.each_key(scene, algorithm, kid, |key| {
                    let iv = read_iv(message, key.base_iv())?;
                    Sealing { algorithm, key: key.symmetric_bytes()?, iv, aad: &aad }.decrypt(contents)
                })?
            } else {
                let iv = read_iv(message, None)?;
                let open = |key: &[u8]| Sealing { algorithm, key, iv, aad: &aad }.decrypt(contents);
                self.content(scene, message, algorithm, open)?
            };
            Ok((Checked { target, keys: alloc::vec![index] }, Secret::new(plaintext)))
        })
    }

    /// Tries every key that fits until one works; gives its index and what it gave.
    fn each_key<T>(
        &mut self,
        scene: &Scene<'_>,
        algorithm: Algorithm,
        kid: Option<&[u8]>,
        mut attempt: impl FnMut(&Key) -> Result<T, CoseError>,
    ) -> Result<(usize, T), CoseError> {
        let mut answer = CoseError::NoKey;
        for (index, key) in self.keys.iter().enumerate() {
            if !key.matches(algorithm, kid, scene.source) {
                continue;
            }
            self.left = self.left.checked_sub(1).ok_or(CoseError::TooManyTries)?;
            match attempt(key) {
                Ok(gained) => return Ok((index, gained)),
                Err(error) if error.is_of_this_key() => answer = error,
                Err(error) => return Err(error),
            }
        }
        Err(answer)
    }

    fn signature(
        &mut self,
        scene: &Scene<'_>,
        code: i64,
        kid: Option<&[u8]>,
        covered: &[u8],
        signature: &[u8],
    ) -> Result<usize, CoseError> {
        let algorithm = Algorithm::from_code(code).ok_or(CoseError::Algorithm(code))?;
        let Role::Signature(_) = algorithm.role() else { return Err(CoseError::Algorithm(code)) };
        let checked = self.each_key(scene, algorithm, kid, |key| {
            let (curve, public) = key.public_bytes().ok_or(CoseError::KeyUse)?;
            check_signature(curve, public, covered, signature)
        })?;
        Ok(checked.0)
    }

    /// Several signatures: at least one is proven and none that names a known key is wrong.
    fn signatures(
        &mut self,
        scene: &Scene<'_>,
        message: &Message<'_>,
        covered: &dyn Fn(Option<&[u8]>) -> Vec<u8>,
    ) -> Result<Vec<usize>, CoseError> {
        let mut proven = Vec::new();
        let mut answer = CoseError::NoKey;
        for part in &message.parts {
            let code = part.layer.protected_algorithm()?;
            let kid = part.layer.kid()?;
            let covered = covered(Some(part.layer.protected));
            match self.signature(scene, code, kid, &covered, part.content) {
                Ok(index) => proven.push(index),
                Err(CoseError::Mismatch) if kid.is_none() => answer = CoseError::Mismatch,
                Err(CoseError::NoKey | CoseError::Algorithm(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if proven.is_empty() { Err(answer) } else { Ok(proven) }
    }

    /// Tries to get at the content key by every recipient and every key that fits it.
    fn content<T>(
        &mut self,
        scene: &Scene<'_>,
        message: &Message<'_>,
        content: Algorithm,
        mut attempt: impl FnMut(&[u8]) -> Result<T, CoseError>,
    ) -> Result<(usize, T), CoseError> {
        if message.kind == MessageKind::Mac0 {
            let kid = message.layer.kid()?;
            return self.each_key(scene, content, kid, |key| attempt(key.symmetric_bytes()?));
        }
        let mut answer = CoseError::NoKey;
        for part in &message.parts {
            let code = part.layer.recipient_algorithm()?;
            let own = if code == DIRECT { Some(content) } else { Algorithm::from_code(code) };
            let Some(own) = own else { continue };
            if !wraps(own) && message.parts.len() != 1 {
                return Err(CoseError::DirectNotAlone);
            }
            // Who knows the recipient's public key could make such a tag, so it proves nothing.
            if message.kind == MessageKind::Mac && matches!(own.role(), Role::Agree { .. }) {
                return Err(CoseError::Algorithm(code));
            }
            let keys = self.keys;
            let outcome = self.each_key(scene, own, part.layer.kid()?, |key| {
                attempt(&content_key(scene, part, key, content, keys)?)
            });
            match outcome {
                Err(CoseError::NoKey) => {}
                Err(error) if error.is_of_this_key() => answer = error,
                outcome => return outcome,
            }
        }
        Err(answer)
    }
}

/// Whether a recipient of this algorithm carries a wrapped key, and others may stand beside it.
pub(super) const fn wraps(algorithm: Algorithm) -> bool {
    matches!(algorithm.role(), Role::Wrap | Role::Agree { wrap: Some(_), .. })
}

/// The content key that a recipient gives to the holder of a key.
fn content_key(
    scene: &Scene<'_>,
    part: &Part<'_>,
    key: &Key,
    content: Algorithm,
    keys: &[Key],
) -> Result<Secret, CoseError> {
    let key_bytes = content.key_bytes().ok_or(CoseError::KeyLength)?;
    let own = key.algorithm();
    if !wraps(own) && !part.content.is_empty() {
        return Err(CoseError::ContentOfDirect);
    }
    let context = |purpose| kdf_context(scene, purpose, part);
    match own.role() {
        Role::Wrap => unwrap(own, key.symmetric_bytes()?, part.content, key_bytes),
        Role::Derive(hash) => {
            let salt = part.layer.bytes(SALT)?.ok_or(CoseError::Salt)?;
            derive(hash, key.symmetric_bytes()?, Some(salt), &context(content), key_bytes)
        }
        Role::Agree { hash, wrap, sender_is_static } => {
            let (curve, secret) = key.secret_bytes()?;
            let salt = part.layer.bytes(SALT)?;
            if sender_is_static && salt.is_none() {
                return Err(CoseError::Salt);
            }
            let sender = sender_key(scene, part, key, keys, sender_is_static)?;
            let shared = agree(curve, secret, &sender)?;
            let Some(wrap) = wrap else {
                return derive(hash, &shared, salt, &context(content), key_bytes);
            };
            let wrap_bytes = wrap.key_bytes().ok_or(CoseError::KeyLength)?;
            let wrapping = derive(hash, &shared, salt, &context(wrap), wrap_bytes)?;
            unwrap(wrap, &wrapping, part.content, key_bytes)
        }
        // The recipient says: directly.
        Role::Mac(_) | Role::Cipher => Ok(Secret::new(key.symmetric_bytes()?.to_vec())),
        Role::Signature(_) => Err(CoseError::KeyUse),
    }
}

/// The sender's public key: fresh in the header, static in the header, or known by its name.
fn sender_key(
    scene: &Scene<'_>,
    part: &Part<'_>,
    key: &Key,
    keys: &[Key],
    sender_is_static: bool,
) -> Result<Vec<u8>, CoseError> {
    let (curve, _) = key.secret_bytes()?;
    if !sender_is_static {
        let item = part.layer.value(EPHEMERAL_KEY).ok_or(CoseError::PeerKey)?;
        return public_from_cose(curve, item);
    }
    if let Some(item) = part.layer.value(STATIC_KEY) {
        return public_from_cose(curve, item);
    }
    let id = part.layer.bytes(STATIC_KEY_ID)?.ok_or(CoseError::PeerKey)?;
    let known = keys.iter().filter(|sender| sender.matches(key.algorithm(), Some(id), scene.source));
    let mut known = known.filter_map(Key::public_bytes).filter(|(other, _)| *other == curve);
    known.next().map(|(_, public)| public.to_vec()).ok_or(CoseError::NoKey)
}
