//! The security source: adds integrity and confidentiality to a bundle.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use crate::block::{Block, BlockFlags, BlockKind, PAYLOAD_NUMBER};
use crate::bpsec::asb::{SecurityBlock, TARGETS_MAX};
use crate::bpsec::context::OperationError;
use crate::bpsec::default::aes_gcm::{self, AesVariant, IV_BYTES, TagPlace};
use crate::bpsec::default::hmac_sha2::{self, ShaVariant};
use crate::bpsec::default::{KeyLengths, Scope, SourceKey, fresh_key};
use crate::bpsec::rules::{Conflict, Coverage};
use crate::crc::CrcType;
use crate::eid::Eid;
use crate::raw::RawBundle;

/// The header of a security block that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its number; without one, the lowest that is free.
    pub number: Option<u64>,
    /// What to do with it on the way. What RFC 9172 demands is added.
    pub flags: BlockFlags,
    /// Its checksum.
    pub crc: CrcType,
}

/// How an integrity block of the context BIB-HMAC-SHA2 is made.
#[derive(Debug, Clone)]
pub struct Signing<'a> {
    /// The node that signs.
    pub source: &'a Eid,
    /// The header of the block.
    pub header: Header,
    /// Which hash is used.
    pub variant: ShaVariant,
    /// What is signed besides the targets' data.
    pub scope: Scope,
    /// The key.
    pub key: SourceKey<'a>,
    /// Which key lengths are accepted.
    pub key_lengths: KeyLengths,
}

/// How confidentiality blocks of the context BCB-AES-GCM are made.
#[derive(Debug, Clone)]
pub struct Encryption<'a> {
    /// The node that encrypts.
    pub source: &'a Eid,
    /// The header of the blocks. A number is for the first one; the others have the lowest free ones.
    pub header: Header,
    /// Which cipher is used.
    pub variant: AesVariant,
    /// What is authenticated besides the targets' data.
    pub scope: Scope,
    /// The key.
    pub key: SourceKey<'a>,
    /// Where the authentication tags go.
    pub tag: TagPlace,
}

/// Why security is not added. The bundle is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nothing may be added to a fragment (section 5.2).
    #[error("the bundle is a fragment, to which no security may be added")]
    Fragment,
    /// The bundle's security blocks contradict one another already.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Nothing is to be covered.
    #[error("there is nothing to cover")]
    NoTarget,
    /// More targets than one security block can have.
    #[error("more than {TARGETS_MAX} targets are to be covered by one block")]
    TooManyTargets,
    /// The block does not exist, occurs twice, or must not be covered in this way.
    #[error("block {0} cannot be covered in this way")]
    Target(u64),
    /// The block is encrypted already.
    #[error("block {0} is encrypted already")]
    Encrypted(u64),
    /// The block has a signature already.
    #[error("block {0} has a signature already")]
    Signed(u64),
    /// The primary block would lose its checksum under a security block that may cover it.
    #[error("the primary block has a checksum and other security blocks may cover it: sign it first")]
    PrimaryInUse,
    /// An integrity block covers what is to be encrypted and more, and its signatures depend on its
    /// number, so that it cannot be split.
    #[error("integrity block {0} cannot be split: encrypt all of its targets, or sign them apart")]
    CannotSplit(u64),
    /// The number is reserved or taken.
    #[error("block number {0} is not free")]
    Number(u64),
    /// A confidentiality block must not be discardable.
    #[error("a confidentiality block must not be discarded by those who do not know it")]
    Discardable,
    /// The security source is not a node.
    #[error("the security source is not a node")]
    Source,
    /// The cipher refuses, for instance the length of a key.
    #[error(transparent)]
    Operation(#[from] OperationError),
}

impl Default for Header {
    fn default() -> Self {
        Self { number: None, flags: BlockFlags(0), crc: CrcType::None }
    }
}

/// Signs blocks of a bundle; 0 is the primary block. Gives the number of the new integrity block.
///
/// The targets lose their checksums, as RFC 9173 section 3.8.1 demands: the signature replaces
/// them. Randomness is used for a fresh key only.
///
/// # Errors
/// If RFC 9172 forbids it or the key does not fit; the bundle is then as it was.
pub fn add_integrity(
    bundle: &mut RawBundle,
    targets: &[u64],
    how: &Signing<'_>,
    rng: &mut dyn CryptoRng,
) -> Result<u64, SourceError> {
    let coverage = check_common(bundle, targets, how.source)?;
    for target in targets {
        let block = bundle.block(*target);
        if *target != 0 && block.is_none_or(|block| block.kind.is_security()) {
            return Err(SourceError::Target(*target));
        }
        if coverage.is_encrypted(*target) {
            return Err(SourceError::Encrypted(*target));
        }
        if coverage.signed_by(*target).is_some() {
            return Err(SourceError::Signed(*target));
        }
    }
    let mut primary = bundle.primary.clone();
    if targets.contains(&0) && primary.crc != CrcType::None {
        if bundle.blocks.iter().any(|block| block.kind.is_security()) {
            return Err(SourceError::PrimaryInUse);
        }
        primary.crc = CrcType::None;
    }
    let number = choose_number(bundle, how.header.number, &[])?;
    let (key, wrapped_key) = fresh_key(how.key, how.variant.bytes(), rng)?;
    if how.key_lengths == KeyLengths::Exact && key.bytes().len() != how.variant.bytes() {
        return Err(OperationError::KeyLength.into());
    }
    let parameters = hmac_sha2::Parameters { variant: how.variant, wrapped_key, scope: how.scope };
    let mut block = Block::new(BlockKind::Integrity, number, how.header.crc, Vec::new());
    block.flags = how.header.flags;
    let mut results = Vec::with_capacity(targets.len());
    for target in targets {
        results.push(hmac_sha2::sign(&parameters, &key, &primary, bundle.block(*target), &block)?);
    }
    block.data = SecurityBlock {
        targets: targets.to_vec(),
        context: hmac_sha2::CONTEXT,
        flags: 1,
        source: how.source.clone(),
        parameters: parameters.write(),
        results,
    }
    .encode();
    bundle.primary = primary;
    targets.iter().for_each(|target| drop_checksum(bundle, *target));
    bundle.blocks.insert(0, block);
    Ok(number)
}

/// Encrypts blocks of a bundle. Gives the numbers of the new confidentiality blocks.
///
/// Every target has a block of its own, because the initialization vector is a parameter of the
/// block and must never be used twice with one key (RFC 9173 section 4.6).
///
/// Signatures over what is encrypted are encrypted as well (RFC 9172 section 3.9): an integrity
/// block whose targets are all encrypted as it is, another one is split before. Only the one
/// context whose signatures may survive that is split; see [`SourceError::CannotSplit`].
///
/// # Errors
/// If RFC 9172 forbids it or the key does not fit; the bundle is then as it was.
pub fn add_confidentiality(
    bundle: &mut RawBundle,
    targets: &[u64],
    how: &Encryption<'_>,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u64>, SourceError> {
    let coverage = check_common(bundle, targets, how.source)?;
    if how.header.flags.contains(BlockFlags::DISCARD) {
        return Err(SourceError::Discardable);
    }
    for target in targets {
        // Signatures are not named: they follow what they cover.
        if bundle.block(*target).is_none_or(|block| block.kind.is_security()) {
            return Err(SourceError::Target(*target));
        }
        if coverage.is_encrypted(*target) {
            return Err(SourceError::Encrypted(*target));
        }
    }
    let mut taken = Vec::new();
    let first = choose_number(bundle, how.header.number, &taken)?;
    taken.push(first);
    let hidden = hide_signatures(bundle, targets, &coverage, &mut taken)?;
    let mut numbers = Vec::new();
    let mut encrypted = Vec::new();
    let mut made = Vec::new();
    let plain = targets.iter().filter_map(|target| bundle.block(*target));
    for target in plain.chain(&hidden.encrypt) {
        let number = if numbers.is_empty() { first } else { choose_number(bundle, None, &taken)? };
        taken.push(number);
        numbers.push(number);
        let (block, data) = encrypt_one(bundle, target, number, how, rng)?;
        made.push(block);
        encrypted.push((target.number, data));
    }
    // Nothing fails from here on.
    for block in hidden.shortened.into_iter().chain(hidden.encrypt) {
        match bundle.block_mut(block.number) {
            Some(old) => *old = block,
            None => bundle.blocks.insert(0, block),
        }
    }
    for (target, data) in encrypted {
        drop_checksum(bundle, target);
        if let Some(block) = bundle.block_mut(target) {
            block.data = data;
        }
    }
    bundle.blocks.splice(0..0, made);
    Ok(numbers)
}

fn encrypt_one(
    bundle: &RawBundle,
    target: &Block,
    number: u64,
    how: &Encryption<'_>,
    rng: &mut dyn CryptoRng,
) -> Result<(Block, Vec<u8>), SourceError> {
    let (key, wrapped_key) = fresh_key(how.key, how.variant.key_bytes(), rng)?;
    let mut iv = alloc::vec![0; IV_BYTES];
    rng.fill_bytes(&mut iv);
    let parameters = aes_gcm::Parameters { iv, variant: how.variant, wrapped_key, scope: how.scope };
    let mut block = Block::new(BlockKind::Confidentiality, number, how.header.crc, Vec::new());
    block.flags = how.header.flags;
    if target.kind == BlockKind::Payload {
        block.flags.0 |= BlockFlags::REPLICATE.0;
    }
    let out = aes_gcm::encrypt(&parameters, &key, &bundle.primary, target, &block, how.tag)?;
    block.data = SecurityBlock {
        targets: alloc::vec![target.number],
        context: aes_gcm::CONTEXT,
        flags: 1,
        source: how.source.clone(),
        parameters: parameters.write(),
        results: alloc::vec![out.results],
    }
    .encode();
    Ok((block, out.data))
}

/// What becomes of the integrity blocks when their targets are encrypted.
#[derive(Debug, Default)]
struct Hidden {
    /// Those that are to be encrypted: old ones as they are, and new ones.
    encrypt: Vec<Block>,
    /// Those that stay readable and cover less.
    shortened: Vec<Block>,
}

fn hide_signatures(
    bundle: &RawBundle,
    targets: &[u64],
    coverage: &Coverage,
    taken: &mut Vec<u64>,
) -> Result<Hidden, SourceError> {
    let mut hidden = Hidden::default();
    for (number, asb) in &coverage.integrity {
        let Some(block) = bundle.block(*number) else { continue };
        let moved: Vec<u64> = asb.targets.iter().copied().filter(|target| targets.contains(target)).collect();
        if moved.is_empty() {
            continue;
        }
        if moved.len() == asb.targets.len() {
            hidden.encrypt.push(block.clone());
            continue;
        }
        if !can_split(asb) {
            return Err(SourceError::CannotSplit(*number));
        }
        let mut rest = asb.clone();
        let mut apart = SecurityBlock { targets: Vec::new(), results: Vec::new(), ..asb.clone() };
        for target in moved {
            apart.results.extend(rest.remove(target));
            apart.targets.push(target);
        }
        let new = choose_number(bundle, None, taken)?;
        taken.push(new);
        hidden.shortened.push(Block { data: rest.encode(), ..block.clone() });
        hidden.encrypt.push(Block { number: new, data: apart.encode(), ..block.clone() });
    }
    Ok(hidden)
}

/// Whether the signatures of an integrity block hold in a block of another number.
fn can_split(asb: &SecurityBlock) -> bool {
    asb.context == hmac_sha2::CONTEXT
        && hmac_sha2::Parameters::read(asb)
            .is_ok_and(|parameters| !parameters.scope.contains(Scope::SECURITY_HEADER))
}

fn check_common(bundle: &RawBundle, targets: &[u64], source: &Eid) -> Result<Coverage, SourceError> {
    if bundle.primary.fragment.is_some() {
        return Err(SourceError::Fragment);
    }
    if !source.is_singleton() {
        return Err(SourceError::Source);
    }
    if targets.is_empty() {
        return Err(SourceError::NoTarget);
    }
    if targets.len() > TARGETS_MAX {
        return Err(SourceError::TooManyTargets);
    }
    for (index, target) in targets.iter().enumerate() {
        if targets.iter().take(index).any(|other| other == target) {
            return Err(SourceError::Target(*target));
        }
    }
    Ok(Coverage::read(bundle)?)
}

fn choose_number(bundle: &RawBundle, wanted: Option<u64>, taken: &[u64]) -> Result<u64, SourceError> {
    let free = |number: u64| bundle.block(number).is_none() && !taken.contains(&number);
    match wanted {
        Some(number) if number <= PAYLOAD_NUMBER || !free(number) => Err(SourceError::Number(number)),
        Some(number) => Ok(number),
        None => {
            let mut numbers = PAYLOAD_NUMBER + 1..=u64::MAX;
            Ok(numbers.find(|number| free(*number)).expect("there are more numbers than blocks"))
        }
    }
}

fn drop_checksum(bundle: &mut RawBundle, target: u64) {
    if let Some(block) = bundle.block_mut(target) {
        block.crc = CrcType::None;
    }
}
