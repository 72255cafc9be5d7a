//! Signatures and key agreement, with keys as the bytes that COSE carries.

use alloc::boxed::Box;
use alloc::vec::Vec;

use ml_dsa::signature::{Keypair, Signer, Verifier};
use ml_dsa::{EncodedSignature, EncodedVerifyingKey, MlDsa87};
use p256::elliptic_curve::sec1::ToSec1Point;
use rand_core::CryptoRng;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::CoseError;
use super::alg::Curve;
use super::crypto::{Secret, random};
use super::header::{HeaderMap, Headers};
use super::key::KeyError;
use crate::cbor::Reader;

// Labels and values of COSE_Key (RFC 9052 section 7.1, RFC 9053 section 7).
pub(super) const KEY_TYPE: i64 = 1;
pub(super) const KEY_OKP: i64 = 1;
pub(super) const KEY_EC2: i64 = 2;
pub(super) const KEY_CURVE: i64 = -1;
pub(super) const KEY_X: i64 = -2;
pub(super) const KEY_Y: i64 = -3;
pub(super) const KEY_D: i64 = -4;

/// How often a random number is drawn that should be a secret of a curve. One draw fails with a
/// probability below 2^-31, so only a broken generator gets to the end.
const DRAWS_MAX: usize = 8;

impl Curve {
    pub(super) const fn code(self) -> Option<i64> {
        match self {
            Self::P256 => Some(1),
            Self::P384 => Some(2),
            Self::X25519 => Some(4),
            Self::Ed25519 => Some(6),
            Self::MlDsa87 => None,
        }
    }

    const fn secret_bytes(self) -> usize {
        match self {
            Self::P384 => 48,
            Self::P256 | Self::X25519 | Self::Ed25519 | Self::MlDsa87 => 32,
        }
    }

    /// Whether keys of this curve can agree on a secret.
    pub(super) const fn agrees(self) -> bool {
        matches!(self, Self::P256 | Self::P384 | Self::X25519)
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<Zeroizing<[u8; N]>, KeyError> {
    <[u8; N]>::try_from(bytes).map(Zeroizing::new).map_err(|_| KeyError::Length)
}

/// The public key that belongs to a secret: SEC 1 uncompressed for NIST curves, else raw.
pub(super) fn public_of(curve: Curve, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
    if secret.len() != curve.secret_bytes() {
        return Err(KeyError::Length);
    }
    Ok(match curve {
        Curve::P256 => {
            let secret = p256::SecretKey::from_slice(secret).map_err(|_| KeyError::Value)?;
            secret.public_key().to_sec1_point(false).as_bytes().to_vec()
        }
        Curve::P384 => {
            let secret = p384::SecretKey::from_slice(secret).map_err(|_| KeyError::Value)?;
            secret.public_key().to_sec1_point(false).as_bytes().to_vec()
        }
        Curve::X25519 => {
            let secret = StaticSecret::from(*array(secret)?);
            x25519_dalek::PublicKey::from(&secret).as_bytes().to_vec()
        }
        Curve::Ed25519 => {
            let secret = ed25519_dalek::SigningKey::from_bytes(&*array(secret)?);
            secret.verifying_key().as_bytes().to_vec()
        }
        Curve::MlDsa87 => {
            let secret = ml_dsa_secret(secret)?;
            secret.verifying_key().encode().to_vec()
        }
    })
}

/// Checks a public key and gives it in its one form.
pub(super) fn checked_public(curve: Curve, public: &[u8]) -> Result<Vec<u8>, KeyError> {
    match curve {
        Curve::P256 => {
            let key = p256::PublicKey::from_sec1_bytes(public).map_err(|_| KeyError::Value)?;
            return Ok(key.to_sec1_point(false).as_bytes().to_vec());
        }
        Curve::P384 => {
            let key = p384::PublicKey::from_sec1_bytes(public).map_err(|_| KeyError::Value)?;
            return Ok(key.to_sec1_point(false).as_bytes().to_vec());
        }
        Curve::X25519 => {
            let public: [u8; 32] = public.try_into().map_err(|_| KeyError::Length)?;
            // A probe with any secret shows whether the point is of small order.
            let probe = StaticSecret::from([0x42; 32]);
            let shared = probe.diffie_hellman(&x25519_dalek::PublicKey::from(public));
            if !is_canonical(&public) || !shared.was_contributory() {
                return Err(KeyError::Value);
            }
        }
        Curve::Ed25519 => {
            let public = public.try_into().map_err(|_| KeyError::Length)?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| KeyError::Value)?;
            if key.is_weak() {
                return Err(KeyError::Value);
            }
        }
        Curve::MlDsa87 => {
            EncodedVerifyingKey::<MlDsa87>::try_from(public).map_err(|_| KeyError::Length)?;
        }
    }
    Ok(public.to_vec())
}

/// Whether the coordinate is below 2^255 - 19, so that a key has one form only.
fn is_canonical(public: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = public;
    let at_least_p = *highest == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *lowest >= 0xed;
    *highest < 0x80 && !at_least_p
}

fn ml_dsa_secret(seed: &[u8]) -> Result<Box<ml_dsa::SigningKey<MlDsa87>>, KeyError> {
    let mut seed = ml_dsa::Seed::try_from(seed).map_err(|_| KeyError::Length)?;
    let key = Box::new(ml_dsa::SigningKey::from_seed(&seed));
    zeroize::Zeroize::zeroize(seed.as_mut_slice());
    Ok(key)
}

/// Signs, always without random numbers (RFC 6979, RFC 8032, FIPS 204 section 3.4): a generator that
/// repeats itself gives no secret away.
pub(super) fn sign(curve: Curve, secret: &[u8], message: &[u8]) -> Result<Vec<u8>, CoseError> {
    let unusable = |_| CoseError::KeyUse;
    Ok(match curve {
        Curve::P256 => {
            let key = p256::ecdsa::SigningKey::from_slice(secret).map_err(unusable)?;
            let signature: p256::ecdsa::Signature = key.sign(message);
            signature.to_bytes().to_vec()
        }
        Curve::P384 => {
            let key = p384::ecdsa::SigningKey::from_slice(secret).map_err(unusable)?;
            let signature: p384::ecdsa::Signature = key.sign(message);
            signature.to_bytes().to_vec()
        }
        Curve::Ed25519 => {
            let seed = array(secret).map_err(|_| CoseError::KeyUse)?;
            ed25519_dalek::SigningKey::from_bytes(&seed).sign(message).to_bytes().to_vec()
        }
        Curve::MlDsa87 => {
            let key = ml_dsa_secret(secret).map_err(|_| CoseError::KeyUse)?;
            let signature = key.try_sign(message).map_err(unusable)?;
            signature.encode().to_vec()
        }
        Curve::X25519 => return Err(CoseError::KeyUse),
    })
}

/// Checks a signature; whatever is wrong with it, the answer is one.
pub(super) fn check_signature(
    curve: Curve,
    public: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), CoseError> {
    let held = match curve {
        Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(public)
            .and_then(|key| key.verify(message, &p256::ecdsa::Signature::from_slice(signature)?))
            .is_ok(),
        Curve::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(public)
            .and_then(|key| key.verify(message, &p384::ecdsa::Signature::from_slice(signature)?))
            .is_ok(),
        Curve::Ed25519 => public
            .try_into()
            .ok()
            .and_then(|public| ed25519_dalek::VerifyingKey::from_bytes(public).ok())
            .zip(ed25519_dalek::Signature::from_slice(signature).ok())
            .is_some_and(|(key, signature)| key.verify_strict(message, &signature).is_ok()),
        Curve::MlDsa87 => EncodedVerifyingKey::<MlDsa87>::try_from(public)
            .ok()
            .map(|public| ml_dsa::VerifyingKey::<MlDsa87>::decode(&public))
            .zip(decode_ml_dsa(signature))
            .is_some_and(|(key, signature)| key.verify_with_context(message, &[], &signature)),
        Curve::X25519 => false,
    };
    if held { Ok(()) } else { Err(CoseError::Mismatch) }
}

fn decode_ml_dsa(signature: &[u8]) -> Option<ml_dsa::Signature<MlDsa87>> {
    let encoded = EncodedSignature::<MlDsa87>::try_from(signature).ok()?;
    ml_dsa::Signature::decode(&encoded)
}

/// The shared secret of one's own secret key and somebody's public key.
pub(super) fn agree(curve: Curve, secret: &[u8], public: &[u8]) -> Result<Secret, CoseError> {
    Ok(match curve {
        Curve::P256 => {
            let secret = p256::SecretKey::from_slice(secret).map_err(|_| CoseError::KeyUse)?;
            let public = p256::PublicKey::from_sec1_bytes(public).map_err(|_| CoseError::PeerKey)?;
            Zeroizing::new(secret.diffie_hellman(&public).raw_secret_bytes().to_vec())
        }
        Curve::P384 => {
            let secret = p384::SecretKey::from_slice(secret).map_err(|_| CoseError::KeyUse)?;
            let public = p384::PublicKey::from_sec1_bytes(public).map_err(|_| CoseError::PeerKey)?;
            Zeroizing::new(secret.diffie_hellman(&public).raw_secret_bytes().to_vec())
        }
        Curve::X25519 => {
            let secret = StaticSecret::from(*array(secret).map_err(|_| CoseError::KeyUse)?);
            let public: [u8; 32] = public.try_into().map_err(|_| CoseError::PeerKey)?;
            let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(public));
            if !shared.was_contributory() {
                return Err(CoseError::PeerKey);
            }
            Zeroizing::new(shared.as_bytes().to_vec())
        }
        Curve::Ed25519 | Curve::MlDsa87 => return Err(CoseError::KeyUse),
    })
}

/// A fresh key pair for one message: secret and public half.
pub(super) fn ephemeral(curve: Curve, rng: &mut dyn CryptoRng) -> Result<(Secret, Vec<u8>), CoseError> {
    for _draw in 0..DRAWS_MAX {
        let secret = random(rng, curve.secret_bytes());
        if let Ok(public) = public_of(curve, &secret) {
            return Ok((secret, public));
        }
    }
    Err(CoseError::Randomness)
}

/// A public key as a COSE_Key of a header.
pub(super) fn public_to_cose(curve: Curve, public: &[u8]) -> Result<Vec<u8>, CoseError> {
    let mut map = Headers::default();
    map.set_int(KEY_CURVE, curve.code().ok_or(CoseError::KeyUse)?);
    match curve {
        Curve::P256 | Curve::P384 => {
            map.set_int(KEY_TYPE, KEY_EC2);
            let coordinates = public.get(1..).unwrap_or_default();
            let (x, y) = coordinates.split_at_checked(coordinates.len() / 2).ok_or(CoseError::KeyUse)?;
            map.set_bytes(KEY_X, x);
            map.set_bytes(KEY_Y, y);
        }
        Curve::X25519 | Curve::Ed25519 | Curve::MlDsa87 => {
            map.set_int(KEY_TYPE, KEY_OKP);
            map.set_bytes(KEY_X, public);
        }
    }
    let mut out = Vec::new();
    map.write(&mut out);
    Ok(out)
}

/// Reads a public key that stands in a header; it must be on the curve of the own key.
pub(super) fn public_from_cose(curve: Curve, item: &[u8]) -> Result<Vec<u8>, CoseError> {
    let mut reader = Reader::new(item);
    let map = HeaderMap::read(&mut reader)?;
    if map.value(KEY_D).is_some() {
        return Err(CoseError::PrivateKeyInHeader);
    }
    let number = |label| map.value(label).map(|value| Reader::new(value).int()).transpose();
    let key_type = if matches!(curve, Curve::P256 | Curve::P384) { KEY_EC2 } else { KEY_OKP };
    if number(KEY_TYPE)? != Some(key_type) || number(KEY_CURVE)? != curve.code() {
        return Err(CoseError::PeerKey);
    }
    let point = point_from_cose(curve, &map)?;
    checked_public(curve, &point).map_err(|_| CoseError::PeerKey)
}

/// The point of a COSE_Key: the second coordinate of a NIST curve may be its sign only.
pub(super) fn point_from_cose(curve: Curve, map: &HeaderMap<'_>) -> Result<Vec<u8>, CoseError> {
    let x = map.bytes(KEY_X)?.ok_or(CoseError::PeerKey)?;
    if !matches!(curve, Curve::P256 | Curve::P384) {
        return Ok(x.to_vec());
    }
    if x.len() != curve.secret_bytes() {
        return Err(CoseError::PeerKey);
    }
    Ok(match map.value(KEY_Y) {
        Some([0xf4]) => [&[2], x].concat(),
        Some([0xf5]) => [&[3], x].concat(),
        Some(_) => {
            let y = map.bytes(KEY_Y)?.unwrap_or_default();
            if y.len() != x.len() {
                return Err(CoseError::PeerKey);
            }
            [&[4], x, y].concat()
        }
        None => return Err(CoseError::PeerKey),
    })
}
