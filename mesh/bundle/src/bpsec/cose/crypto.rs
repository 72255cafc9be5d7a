//! The algorithms themselves, each behind one function.

use alloc::vec;
use alloc::vec::Vec;

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, AeadCore, KeyInit, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use aes_kw::{KwAes128, KwAes256};
use chacha20poly1305::ChaCha20Poly1305;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rand_core::CryptoRng;
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::CoseError;
use super::alg::{Algorithm, Hash};

/// Bytes of the initialization vector of all content ciphers.
pub(super) const IV_BYTES: usize = 12;

/// Bytes that AES key wrap adds.
const WRAP_ADDS: usize = 8;

pub(super) type Secret = Zeroizing<Vec<u8>>;

/// Random bytes.
pub(super) fn random(rng: &mut dyn CryptoRng, bytes: usize) -> Secret {
    let mut out = Zeroizing::new(vec![0; bytes]);
    rng.fill_bytes(&mut out);
    out
}

fn mac_with<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Result<M, CoseError> {
    let mut mac = <M as KeyInit>::new_from_slice(key).map_err(|_| CoseError::KeyLength)?;
    mac.update(message);
    Ok(mac)
}

/// The whole tag of a message.
pub(super) fn tag(hash: Hash, key: &[u8], message: &[u8]) -> Result<Vec<u8>, CoseError> {
    Ok(match hash {
        Hash::Sha256 => mac_with::<Hmac<Sha256>>(key, message)?.finalize().into_bytes().to_vec(),
        Hash::Sha384 => mac_with::<Hmac<Sha384>>(key, message)?.finalize().into_bytes().to_vec(),
        Hash::Sha512 => mac_with::<Hmac<Sha512>>(key, message)?.finalize().into_bytes().to_vec(),
    })
}

/// Compares the whole tag in constant time.
pub(super) fn check_tag(hash: Hash, key: &[u8], message: &[u8], tag: &[u8]) -> Result<(), CoseError> {
    match hash {
        Hash::Sha256 => mac_with::<Hmac<Sha256>>(key, message)?.verify_slice(tag),
        Hash::Sha384 => mac_with::<Hmac<Sha384>>(key, message)?.verify_slice(tag),
        Hash::Sha512 => mac_with::<Hmac<Sha512>>(key, message)?.verify_slice(tag),
    }
    .map_err(|_| CoseError::Mismatch)
}

/// What a content cipher needs besides the message.
pub(super) struct Sealing<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key: &'a [u8],
    pub(super) iv: [u8; IV_BYTES],
    pub(super) aad: &'a [u8],
}

impl Sealing<'_> {
    /// Encrypts, with the tag at the end.
    pub(super) fn encrypt(&self, message: &[u8]) -> Result<Vec<u8>, CoseError> {
        match self.algorithm {
            Algorithm::A128Gcm => self.encrypt_with::<Aes128Gcm>(message),
            Algorithm::A256Gcm => self.encrypt_with::<Aes256Gcm>(message),
            Algorithm::ChaCha20Poly1305 => self.encrypt_with::<ChaCha20Poly1305>(message),
            other => Err(CoseError::Algorithm(other.code())),
        }
    }

    /// Checks the tag and decrypts.
    pub(super) fn decrypt(&self, message: &[u8]) -> Result<Vec<u8>, CoseError> {
        match self.algorithm {
            Algorithm::A128Gcm => self.decrypt_with::<Aes128Gcm>(message),
            Algorithm::A256Gcm => self.decrypt_with::<Aes256Gcm>(message),
            Algorithm::ChaCha20Poly1305 => self.decrypt_with::<ChaCha20Poly1305>(message),
            other => Err(CoseError::Algorithm(other.code())),
        }
    }

    fn encrypt_with<C: Aead + AeadCore<NonceSize = U12> + KeyInit>(
        &self,
        msg: &[u8],
    ) -> Result<Vec<u8>, CoseError> {
        let cipher = C::new_from_slice(self.key).map_err(|_| CoseError::KeyLength)?;
        let payload = Payload { msg, aad: self.aad };
        cipher.encrypt(&self.iv.into(), payload).map_err(|_| CoseError::TooLarge)
    }

    fn decrypt_with<C: Aead + AeadCore<NonceSize = U12> + KeyInit>(
        &self,
        msg: &[u8],
    ) -> Result<Vec<u8>, CoseError> {
        let cipher = C::new_from_slice(self.key).map_err(|_| CoseError::KeyLength)?;
        let payload = Payload { msg, aad: self.aad };
        cipher.decrypt(&self.iv.into(), payload).map_err(|_| CoseError::Mismatch)
    }
}

/// Wraps a content key.
pub(super) fn wrap(algorithm: Algorithm, key: &[u8], content_key: &[u8]) -> Result<Vec<u8>, CoseError> {
    let mut out = vec![0; content_key.len() + WRAP_ADDS];
    match algorithm {
        Algorithm::A128Kw => KwAes128::new_from_slice(key)
            .map_err(|_| CoseError::KeyLength)?
            .wrap_key(content_key, &mut out)
            .map(|_| ()),
        Algorithm::A256Kw => KwAes256::new_from_slice(key)
            .map_err(|_| CoseError::KeyLength)?
            .wrap_key(content_key, &mut out)
            .map(|_| ()),
        other => return Err(CoseError::Algorithm(other.code())),
    }
    .map_err(|_| CoseError::KeyLength)?;
    Ok(out)
}

/// Unwraps a content key of a known length; whatever is wrong, the answer is one.
pub(super) fn unwrap(
    algorithm: Algorithm,
    key: &[u8],
    wrapped: &[u8],
    key_bytes: usize,
) -> Result<Secret, CoseError> {
    if wrapped.len() != key_bytes + WRAP_ADDS {
        return Err(CoseError::Mismatch);
    }
    let mut out = Zeroizing::new(vec![0; key_bytes]);
    match algorithm {
        Algorithm::A128Kw => KwAes128::new_from_slice(key)
            .map_err(|_| CoseError::KeyLength)?
            .unwrap_key(wrapped, &mut out)
            .map(|_| ()),
        Algorithm::A256Kw => KwAes256::new_from_slice(key)
            .map_err(|_| CoseError::KeyLength)?
            .unwrap_key(wrapped, &mut out)
            .map(|_| ()),
        other => return Err(CoseError::Algorithm(other.code())),
    }
    .map_err(|_| CoseError::Mismatch)?;
    Ok(out)
}

/// HKDF over a shared secret.
pub(super) fn derive(
    hash: Hash,
    secret: &[u8],
    salt: Option<&[u8]>,
    context: &[u8],
    key_bytes: usize,
) -> Result<Secret, CoseError> {
    let mut out = Zeroizing::new(vec![0; key_bytes]);
    match hash {
        Hash::Sha256 => Hkdf::<Sha256>::new(salt, secret).expand(context, &mut out),
        Hash::Sha384 => Hkdf::<Sha384>::new(salt, secret).expand(context, &mut out),
        Hash::Sha512 => Hkdf::<Sha512>::new(salt, secret).expand(context, &mut out),
    }
    .map_err(|_| CoseError::KeyLength)?;
    Ok(out)
}
