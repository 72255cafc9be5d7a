//! BCB-AES-GCM (RFC 9173 section 4).

use alloc::vec::Vec;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aes::cipher::array::ArraySize;
use aes_gcm::aes::cipher::consts::{U8, U9, U10, U11, U12, U13, U14, U15, U16};
use aes_gcm::aes::cipher::{BlockCipherEncrypt, BlockSizeUser};
use aes_gcm::aes::{Aes128, Aes256};
use aes_gcm::{AesGcm, KeyInit, Nonce, Tag};
use zeroize::Zeroizing;

use super::{Scope, byte_string, uint, whole};
use crate::block::Block;
use crate::bpsec::asb::SecurityBlock;
use crate::bpsec::context::{Operation, OperationError};
use crate::bpsec::key::SymmetricKey;
use crate::primary::Primary;

/// The id of this context for confidentiality blocks.
pub const CONTEXT: i64 = 2;

/// Length of the initialization vectors that are made here. From 8 to 16 bytes are read.
pub const IV_BYTES: usize = 12;

const PARAMETER_IV: u64 = 1;
const PARAMETER_VARIANT: u64 = 2;
const PARAMETER_WRAPPED_KEY: u64 = 3;
const PARAMETER_SCOPE: u64 = 4;
const RESULT_TAG: u64 = 1;
const TAG_BYTES: usize = 16;

/// Which cipher is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum AesVariant {
    /// AES-128 in Galois/counter mode.
    Aes128,
    /// AES-256 in Galois/counter mode: the default.
    #[default]
    Aes256,
}

/// Where the authentication tag goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TagPlace {
    /// Into the security block, so that the target keeps its length.
    #[default]
    Result,
    /// Behind the ciphertext.
    Ciphertext,
}

/// The parameters of a confidentiality block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// The initialization vector: 8 to 16 bytes, never twice with one key.
    pub iv: Vec<u8>,
    /// Which cipher is used.
    pub variant: AesVariant,
    /// The key, wrapped, if it goes along.
    pub wrapped_key: Option<Vec<u8>>,
    /// What is authenticated besides the target's data.
    pub scope: Scope,
}

/// What encryption makes of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encrypted {
    /// The data that replaces the target's.
    pub data: Vec<u8>,
    /// The results for the security block.
    pub results: Vec<(u64, Vec<u8>)>,
}

impl AesVariant {
    const fn from_code(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Aes128),
            3 => Some(Self::Aes256),
            _ => None,
        }
    }

    const fn code(self) -> u64 {
        match self {
            Self::Aes128 => 1,
            Self::Aes256 => 3,
        }
    }

    /// Length of a key.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }
}

impl Parameters {
    /// Reads the parameters; those that are missing have their default.
    ///
    /// # Errors
    /// If one is unknown or has no valid value, or the initialization vector is missing.
    pub fn read(asb: &SecurityBlock) -> Result<Self, OperationError> {
        let mut iv = None;
        let mut variant = AesVariant::default();
        let mut wrapped_key = None;
        let mut scope = Scope::default();
        for (id, value) in &asb.parameters {
            let wrong = OperationError::Parameter(*id);
            let bytes = || whole(value, |reader| reader.bytes_definite()).ok_or(wrong);
            match *id {
                PARAMETER_IV => iv = Some(bytes()?.to_vec()).filter(|iv| (8..=16).contains(&iv.len())),
                PARAMETER_VARIANT => {
                    let code = whole(value, |reader| reader.uint()).ok_or(wrong)?;
                    let unknown = OperationError::UnknownAlgorithm(code.try_into().unwrap_or(i64::MAX));
                    variant = AesVariant::from_code(code).ok_or(unknown)?;
                }
                PARAMETER_WRAPPED_KEY => wrapped_key = Some(bytes()?.to_vec()),
                PARAMETER_SCOPE => scope = whole(value, Scope::read).ok_or(wrong)?,
                other => return Err(OperationError::UnknownParameter(other)),
            }
            if *id == PARAMETER_IV && iv.is_none() {
                return Err(wrong);
            }
        }
        let iv = iv.ok_or(OperationError::MissingParameter(PARAMETER_IV))?;
        Ok(Self { iv, variant, wrapped_key, scope })
    }

    /// The parameters as a security block has them, defaults included: another node may have others.
    #[must_use]
    pub fn write(&self) -> Vec<(u64, Vec<u8>)> {
        let mut pairs = alloc::vec![
            (PARAMETER_IV, byte_string(&self.iv)),
            (PARAMETER_VARIANT, uint(self.variant.code())),
        ];
        pairs.extend(self.wrapped_key.as_deref().map(|key| (PARAMETER_WRAPPED_KEY, byte_string(key))));
        let mut scope = Vec::new();
        self.scope.write(&mut scope);
        pairs.push((PARAMETER_SCOPE, scope));
        pairs
    }
}

/// Encrypts one target.
///
/// **Never twice with one key and one initialization vector**, not even for two targets of one
/// security block: two ciphertexts then tell the difference of their contents, and anybody can
/// forge. That example A.4 of RFC 9173 does so is why this function is not private;
/// [`add_confidentiality`](crate::bpsec::source::add_confidentiality) takes care of it.
///
/// # Errors
/// If key or initialization vector have a wrong length.
pub fn encrypt(
    parameters: &Parameters,
    key: &SymmetricKey,
    primary: &Primary,
    target: &Block,
    security: &Block,
    place: TagPlace,
) -> Result<Encrypted, OperationError> {
    let aad = parameters.scope.authenticated(primary, Some(target), security);
    // Until it is encrypted, the copy is as secret as the original.
    let mut data = Zeroizing::new(target.data.clone());
    let cipher = Cipher { variant: parameters.variant, key, iv: &parameters.iv, aad: &aad };
    let tag = cipher.run(&mut data, None)?;
    let mut data = core::mem::take(&mut *data);
    let results = match place {
        TagPlace::Result => alloc::vec![(RESULT_TAG, byte_string(&tag))],
        TagPlace::Ciphertext => {
            data.extend_from_slice(&tag);
            Vec::new()
        }
    };
    Ok(Encrypted { data, results })
}

pub(super) fn decrypt(
    operation: &Operation<'_>,
    parameters: &Parameters,
    key: &SymmetricKey,
) -> Result<Zeroizing<Vec<u8>>, OperationError> {
    let target = operation.target_block().ok_or(OperationError::NoTarget)?;
    let results = operation.asb.results_of(operation.target).ok_or(OperationError::Results)?;
    let (ciphertext, tag) = match results {
        [] => target.data.split_last_chunk::<TAG_BYTES>().ok_or(OperationError::Results)?,
        [(RESULT_TAG, value)] => {
            let tag = whole(value, |reader| reader.bytes_definite()).ok_or(OperationError::Results)?;
            (target.data.as_slice(), tag.try_into().map_err(|_| OperationError::Results)?)
        }
        [(id, _)] => return Err(OperationError::UnknownResult(*id)),
        _ => return Err(OperationError::Results),
    };
    let aad = parameters.scope.authenticated(&operation.bundle.primary, Some(target), operation.block);
    let mut data = Zeroizing::new(ciphertext.to_vec());
    Cipher { variant: parameters.variant, key, iv: &parameters.iv, aad: &aad }.run(&mut data, Some(tag))?;
    Ok(data)
}

struct Cipher<'a> {
    variant: AesVariant,
    key: &'a SymmetricKey,
    iv: &'a [u8],
    aad: &'a [u8],
}

impl Cipher<'_> {
    /// Encrypts in place, or checks the tag and decrypts. Gives the tag.
    fn run(&self, data: &mut [u8], tag: Option<&[u8; TAG_BYTES]>) -> Result<[u8; TAG_BYTES], OperationError> {
        match self.variant {
            AesVariant::Aes128 => self.run_aes::<Aes128>(data, tag),
            AesVariant::Aes256 => self.run_aes::<Aes256>(data, tag),
        }
    }

    fn run_aes<A>(
        &self,
        data: &mut [u8],
        tag: Option<&[u8; TAG_BYTES]>,
    ) -> Result<[u8; TAG_BYTES], OperationError>
    where
        A: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + KeyInit,
    {
        match self.iv.len() {
            8 => self.run_gcm::<A, U8>(data, tag),
            9 => self.run_gcm::<A, U9>(data, tag),
            10 => self.run_gcm::<A, U10>(data, tag),
            11 => self.run_gcm::<A, U11>(data, tag),
            12 => self.run_gcm::<A, U12>(data, tag),
            13 => self.run_gcm::<A, U13>(data, tag),
            14 => self.run_gcm::<A, U14>(data, tag),
            15 => self.run_gcm::<A, U15>(data, tag),
            16 => self.run_gcm::<A, U16>(data, tag),
            _ => Err(OperationError::Parameter(PARAMETER_IV)),
        }
    }

    fn run_gcm<A, N>(
        &self,
        data: &mut [u8],
        tag: Option<&[u8; TAG_BYTES]>,
    ) -> Result<[u8; TAG_BYTES], OperationError>
    where
        A: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + KeyInit,
        N: ArraySize,
    {
        let gcm = AesGcm::<A, N>::new_from_slice(self.key.bytes()).map_err(|_| OperationError::KeyLength)?;
        let iv = <&Nonce<N>>::try_from(self.iv).map_err(|_| OperationError::Parameter(PARAMETER_IV))?;
        match tag {
            None => {
                let tag = gcm.encrypt_inout_detached(iv, self.aad, data.into());
                tag.map(Into::into).map_err(|_| OperationError::Failed)
            }
            Some(tag) => {
                // The tag is compared in constant time, before anything is decrypted.
                let verdict = gcm.decrypt_inout_detached(iv, self.aad, data.into(), &Tag::from(*tag));
                verdict.map(|()| *tag).map_err(|_| OperationError::Failed)
            }
        }
    }
}
