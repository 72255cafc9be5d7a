//! Keys: each with the one algorithm it may be used for.

use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::CoseError;
use super::alg::{Algorithm, Curve, Role};
use super::asymmetric::{
    KEY_CURVE, KEY_D, KEY_EC2, KEY_OKP, KEY_TYPE, checked_public, point_from_cose, public_of,
};
use super::crypto::{IV_BYTES, Secret};
use super::header::HeaderMap;
use crate::cbor::Reader;
use crate::eid::Eid;

/// Fewest and most bytes of a secret that keys are derived from.
const DERIVE_BYTES_MIN: usize = 16;
const DERIVE_BYTES_MAX: usize = 64;

// Labels of COSE_Key that are the same for all types, and those of the other two types.
const KEY_ID: i64 = 2;
const KEY_ALG: i64 = 3;
const KEY_BASE_IV: i64 = 5;
const KEY_SYMMETRIC: i64 = 4;
const KEY_K: i64 = -1;
const KEY_AKP: i64 = 7;
const KEY_AKP_PUBLIC: i64 = -1;
const KEY_AKP_SEED: i64 = -2;

/// Why some bytes are not a key for an algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The algorithm has another kind of key, or another curve.
    #[error("the key is of a kind that its algorithm cannot use")]
    Kind,
    /// The key is too short or too long for the algorithm.
    #[error("the key has the wrong length for its algorithm")]
    Length,
    /// The key is no point of its curve, of small order, or out of range.
    #[error("the key is not a valid one")]
    Value,
    /// The two halves do not belong together.
    #[error("the public half does not belong to the secret half")]
    Halves,
    /// It names no algorithm, or one that is not known here.
    #[error("the key names no algorithm that is known here")]
    Algorithm,
    /// It is not a well-formed COSE_Key.
    #[error("the key is not a COSE_Key: {0}")]
    Cose(CoseError),
}

/// A key with its name, its algorithm and, if it is known, its owner.
///
/// Secrets are erased from memory when the key is dropped, and never printed.
#[derive(Clone)]
pub struct Key {
    id: Option<Vec<u8>>,
    owner: Option<Eid>,
    base_iv: Option<[u8; IV_BYTES]>,
    algorithm: Algorithm,
    material: Material,
}

#[derive(Clone)]
pub(super) enum Material {
    Symmetric(Secret),
    Pair { curve: Curve, secret: Secret, public: Vec<u8> },
    Public { curve: Curve, public: Vec<u8> },
}

impl Key {
    /// A secret that both sides have.
    ///
    /// # Errors
    /// If the algorithm has no such key or one of another length.
    pub fn symmetric(algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        let fits = match (algorithm.role(), algorithm.key_bytes()) {
            (Role::Derive(_), _) => (DERIVE_BYTES_MIN..=DERIVE_BYTES_MAX).contains(&key.len()),
            (_, Some(bytes)) => key.len() == bytes,
            (_, None) => return Err(KeyError::Kind),
        };
        if !fits {
            return Err(KeyError::Length);
        }
        Ok(Self::new(algorithm, Material::Symmetric(Zeroizing::new(key.to_vec()))))
    }

    /// The secret half of a pair: the scalar of a NIST curve, the 32 bytes of X25519, the seed of
    /// Ed25519 or ML-DSA.
    ///
    /// # Errors
    /// If the algorithm cannot use a key of this curve, or the key is not valid.
    pub fn secret(algorithm: Algorithm, curve: Curve, secret: &[u8]) -> Result<Self, KeyError> {
        check_curve(algorithm, curve)?;
        let public = public_of(curve, secret)?;
        let secret = Zeroizing::new(secret.to_vec());
        Ok(Self::new(algorithm, Material::Pair { curve, secret, public }))
    }

    /// The public half of a pair: SEC 1 form for a NIST curve, else the bytes as they are.
    ///
    /// # Errors
    /// If the algorithm cannot use a key of this curve, or the key is not valid.
    pub fn public(algorithm: Algorithm, curve: Curve, public: &[u8]) -> Result<Self, KeyError> {
        check_curve(algorithm, curve)?;
        let public = checked_public(curve, public)?;
        Ok(Self::new(algorithm, Material::Public { curve, public }))
    }

    const fn new(algorithm: Algorithm, material: Material) -> Self {
        Self { id: None, owner: None, base_iv: None, algorithm, material }
    }

    /// Reads a COSE_Key (RFC 9052 section 7) of the types symmetric, EC2, OKP and AKP.
    ///
    /// It must name its algorithm. Its list of operations is not looked at: the algorithm and the
    /// halves that are there decide what it can do.
    ///
    /// # Errors
    /// If it is no such key.
    pub fn from_cose(bytes: &[u8]) -> Result<Self, KeyError> {
        let wrong = |error: CoseError| KeyError::Cose(error);
        let mut reader = Reader::new(bytes);
        let map = HeaderMap::read(&mut reader).map_err(wrong)?;
        reader.end().map_err(|error| wrong(error.into()))?;
        let number = |label| map.value(label).and_then(|value| Reader::new(value).int().ok());
        let bytes = |label| map.bytes(label).map_err(wrong);
        let algorithm = number(KEY_ALG).and_then(Algorithm::from_code).ok_or(KeyError::Algorithm)?;
        let curve = |codes: &[Curve]| {
            let code = number(KEY_CURVE).ok_or(KeyError::Kind)?;
            codes.iter().copied().find(|curve| curve.code() == Some(code)).ok_or(KeyError::Kind)
        };
        let mut key = match number(KEY_TYPE) {
            Some(KEY_SYMMETRIC) => Self::symmetric(algorithm, bytes(KEY_K)?.ok_or(KeyError::Length)?)?,
            Some(KEY_EC2) => {
                let curve = curve(&[Curve::P256, Curve::P384])?;
                let point = map.value(super::asymmetric::KEY_X).map(|_| point_from_cose(curve, &map));
                Self::halves(algorithm, curve, bytes(KEY_D)?, point.transpose().map_err(wrong)?.as_deref())?
            }
            Some(KEY_OKP) => {
                let curve = curve(&[Curve::X25519, Curve::Ed25519])?;
                Self::halves(algorithm, curve, bytes(KEY_D)?, bytes(super::asymmetric::KEY_X)?)?
            }
            Some(KEY_AKP) => {
                Self::halves(algorithm, Curve::MlDsa87, bytes(KEY_AKP_SEED)?, bytes(KEY_AKP_PUBLIC)?)?
            }
            _ => return Err(KeyError::Kind),
        };
        if let Some(iv) = bytes(KEY_BASE_IV)? {
            key.base_iv = Some(iv.try_into().map_err(|_| KeyError::Length)?);
        }
        key.id = bytes(KEY_ID)?.map(<[u8]>::to_vec);
        Ok(key)
    }

    fn halves(
        algorithm: Algorithm,
        curve: Curve,
        secret: Option<&[u8]>,
        public: Option<&[u8]>,
    ) -> Result<Self, KeyError> {
        match (secret, public) {
            (None, None) => Err(KeyError::Length),
            (None, Some(public)) => Self::public(algorithm, curve, public),
            (Some(secret), None) => Self::secret(algorithm, curve, secret),
            (Some(secret), Some(public)) => {
                let key = Self::secret(algorithm, curve, secret)?;
                let belongs = checked_public(curve, public)? == public_of(curve, secret)?;
                if belongs { Ok(key) } else { Err(KeyError::Halves) }
            }
        }
    }

    /// Gives the key the name that messages call it by.
    #[must_use]
    pub fn with_id(mut self, id: &[u8]) -> Self {
        self.id = Some(id.to_vec());
        self
    }

    /// Says whose key it is: only security blocks of this source are then checked with it.
    ///
    /// Without an owner a key vouches for whoever the security block names, which is right for a
    /// key of one's own that others seal to, and for nothing else but tests.
    #[must_use]
    pub fn owned_by(mut self, owner: Eid) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Gives the key the initialization vector that partial ones are added to.
    #[must_use]
    pub const fn with_base_iv(mut self, iv: [u8; IV_BYTES]) -> Self {
        self.base_iv = Some(iv);
        self
    }

    /// The public half, with the same name and owner; `None` for a symmetric key.
    #[must_use]
    pub fn public_half(&self) -> Option<Self> {
        let (curve, public) = self.public_bytes()?;
        let public = public.to_vec();
        Some(Self { material: Material::Public { curve, public }, ..self.clone() })
    }

    /// The one algorithm that the key is for.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its name in messages.
    #[must_use]
    pub fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// The curve and bytes of the public half.
    #[must_use]
    pub fn public_bytes(&self) -> Option<(Curve, &[u8])> {
        match &self.material {
            Material::Symmetric(_) => None,
            Material::Pair { curve, public, .. } | Material::Public { curve, public } => {
                Some((*curve, public))
            }
        }
    }

    pub(super) fn secret_bytes(&self) -> Result<(Curve, &[u8]), CoseError> {
        match &self.material {
            Material::Pair { curve, secret, .. } => Ok((*curve, secret)),
            Material::Symmetric(_) | Material::Public { .. } => Err(CoseError::KeyUse),
        }
    }

    pub(super) fn symmetric_bytes(&self) -> Result<&[u8], CoseError> {
        match &self.material {
            Material::Symmetric(key) => Ok(key),
            Material::Pair { .. } | Material::Public { .. } => Err(CoseError::KeyUse),
        }
    }

    pub(super) const fn base_iv(&self) -> Option<[u8; IV_BYTES]> {
        self.base_iv
    }

    /// Whether a message of `source` with this key id may be tried with this key.
    pub(super) fn matches(&self, algorithm: Algorithm, id: Option<&[u8]>, source: &Eid) -> bool {
        self.algorithm == algorithm
            && id.is_none_or(|id| self.id.as_deref() == Some(id))
            && self.owner.as_ref().is_none_or(|owner| owner == source)
    }
}

fn check_curve(algorithm: Algorithm, curve: Curve) -> Result<(), KeyError> {
    let fits = match algorithm.role() {
        Role::Signature(wanted) => wanted == curve,
        Role::Agree { .. } => curve.agrees(),
        Role::Mac(_) | Role::Cipher | Role::Wrap | Role::Derive(_) => false,
    };
    if fits { Ok(()) } else { Err(KeyError::Kind) }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
