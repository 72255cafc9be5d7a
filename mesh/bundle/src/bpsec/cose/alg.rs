//! The algorithms of COSE that this context knows, by their registered numbers.

/// One algorithm of COSE. A [`super::Key`] has exactly one, and no header can choose another for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256, whole tag (5).
    Hmac256,
    /// HMAC with SHA-384, whole tag (6).
    Hmac384,
    /// HMAC with SHA-512, whole tag (7).
    Hmac512,
    /// EdDSA (-8), here always with Ed25519.
    EdDsa,
    /// Ed25519 under its own number (-19).
    Ed25519,
    /// ECDSA with SHA-256 (-7), here always with P-256.
    Es256,
    /// ECDSA with SHA-256 and P-256 under its own number (-9).
    Esp256,
    /// ECDSA with SHA-384 (-35), here always with P-384.
    Es384,
    /// ECDSA with SHA-384 and P-384 under its own number (-51).
    Esp384,
    /// ML-DSA-87 (-50).
    MlDsa87,
    /// AES-GCM with a key of 128 bits (1).
    A128Gcm,
    /// AES-GCM with a key of 256 bits (3).
    A256Gcm,
    /// ChaCha20/Poly1305 (24).
    ChaCha20Poly1305,
    /// AES key wrap with a key of 128 bits (-3).
    A128Kw,
    /// AES key wrap with a key of 256 bits (-5).
    A256Kw,
    /// A shared secret and HKDF with SHA-256 (-10).
    HkdfSha256,
    /// A shared secret and HKDF with SHA-512 (-11).
    HkdfSha512,
    /// ECDH with an ephemeral key and HKDF with SHA-256 (-25).
    EcdhEsHkdf256,
    /// ECDH with an ephemeral key and HKDF with SHA-512 (-26).
    EcdhEsHkdf512,
    /// ECDH of two static keys and HKDF with SHA-256 (-27).
    EcdhSsHkdf256,
    /// ECDH of two static keys and HKDF with SHA-512 (-28).
    EcdhSsHkdf512,
    /// ECDH with an ephemeral key, then AES key wrap with 128 bits (-29).
    EcdhEsA128Kw,
    /// ECDH with an ephemeral key, then AES key wrap with 256 bits (-31).
    EcdhEsA256Kw,
    /// ECDH of two static keys, then AES key wrap with 128 bits (-32).
    EcdhSsA128Kw,
    /// ECDH of two static keys, then AES key wrap with 256 bits (-34).
    EcdhSsA256Kw,
}

/// The curve, or what takes its place, of an asymmetric key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// X25519, for agreement only.
    X25519,
    /// Ed25519, for signatures only.
    Ed25519,
    /// The lattice of ML-DSA-87, for signatures only.
    MlDsa87,
}

/// A hash function inside HMAC or HKDF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// What an algorithm does in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Mac(Hash),
    Signature(Curve),
    Cipher,
    /// Wraps a content key.
    Wrap,
    /// Derives a content key from a shared secret.
    Derive(Hash),
    /// Agrees on a content key, or on a key that wraps one.
    Agree {
        hash: Hash,
        wrap: Option<Algorithm>,
        sender_is_static: bool,
    },
}

/// The recipient algorithm that says: the content key is known already (-6).
pub(super) const DIRECT: i64 = -6;

/// Every algorithm with its number.
const ALL: [(Algorithm, i64); 25] = [
    (Algorithm::Hmac256, 5),
    (Algorithm::Hmac384, 6),
    (Algorithm::Hmac512, 7),
    (Algorithm::EdDsa, -8),
    (Algorithm::Ed25519, -19),
    (Algorithm::Es256, -7),
    (Algorithm::Esp256, -9),
    (Algorithm::Es384, -35),
    (Algorithm::Esp384, -51),
    (Algorithm::MlDsa87, -50),
    (Algorithm::A128Gcm, 1),
    (Algorithm::A256Gcm, 3),
    (Algorithm::ChaCha20Poly1305, 24),
    (Algorithm::A128Kw, -3),
    (Algorithm::A256Kw, -5),
    (Algorithm::HkdfSha256, -10),
    (Algorithm::HkdfSha512, -11),
    (Algorithm::EcdhEsHkdf256, -25),
    (Algorithm::EcdhEsHkdf512, -26),
    (Algorithm::EcdhSsHkdf256, -27),
    (Algorithm::EcdhSsHkdf512, -28),
    (Algorithm::EcdhEsA128Kw, -29),
    (Algorithm::EcdhEsA256Kw, -31),
    (Algorithm::EcdhSsA128Kw, -32),
    (Algorithm::EcdhSsA256Kw, -34),
];

impl Algorithm {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(algorithm, _)| *algorithm)
    }

    /// The algorithm of a number in the COSE registry, if it is known here.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        ALL.iter().find(|(_, other)| *other == code).map(|(algorithm, _)| *algorithm)
    }

    /// Its number in the COSE registry.
    #[must_use]
    pub fn code(self) -> i64 {
        // Zero is reserved in the registry, and the test below shows that it never comes out.
        ALL.iter().find(|(other, _)| *other == self).map_or(0, |(_, code)| *code)
    }

    pub(super) const fn role(self) -> Role {
        const fn agree(hash: Hash, wrap: Option<Algorithm>, sender_is_static: bool) -> Role {
            Role::Agree { hash, wrap, sender_is_static }
        }
        match self {
            Self::Hmac256 => Role::Mac(Hash::Sha256),
            Self::Hmac384 => Role::Mac(Hash::Sha384),
            Self::Hmac512 => Role::Mac(Hash::Sha512),
            Self::EdDsa | Self::Ed25519 => Role::Signature(Curve::Ed25519),
            Self::Es256 | Self::Esp256 => Role::Signature(Curve::P256),
            Self::Es384 | Self::Esp384 => Role::Signature(Curve::P384),
            Self::MlDsa87 => Role::Signature(Curve::MlDsa87),
            Self::A128Gcm | Self::A256Gcm | Self::ChaCha20Poly1305 => Role::Cipher,
            Self::A128Kw | Self::A256Kw => Role::Wrap,
            Self::HkdfSha256 => Role::Derive(Hash::Sha256),
            Self::HkdfSha512 => Role::Derive(Hash::Sha512),
            Self::EcdhEsHkdf256 => agree(Hash::Sha256, None, false),
            Self::EcdhEsHkdf512 => agree(Hash::Sha512, None, false),
            Self::EcdhSsHkdf256 => agree(Hash::Sha256, None, true),
            Self::EcdhSsHkdf512 => agree(Hash::Sha512, None, true),
            // RFC 9053 section 6.4.1 has SHA-256 for all of them, also with keys of 256 bits.
            Self::EcdhEsA128Kw => agree(Hash::Sha256, Some(Self::A128Kw), false),
            Self::EcdhEsA256Kw => agree(Hash::Sha256, Some(Self::A256Kw), false),
            Self::EcdhSsA128Kw => agree(Hash::Sha256, Some(Self::A128Kw), true),
            Self::EcdhSsA256Kw => agree(Hash::Sha256, Some(Self::A256Kw), true),
        }
    }

    /// Bytes of the symmetric key, where the algorithm has one of a fixed length.
    pub(super) const fn key_bytes(self) -> Option<usize> {
        match self {
            Self::A128Gcm | Self::A128Kw => Some(16),
            Self::A256Gcm | Self::ChaCha20Poly1305 | Self::A256Kw | Self::Hmac256 => Some(32),
            Self::Hmac384 => Some(48),
            Self::Hmac512 => Some(64),
            Self::EdDsa
            | Self::Ed25519
            | Self::Es256
            | Self::Esp256
            | Self::Es384
            | Self::Esp384
            | Self::MlDsa87
            | Self::HkdfSha256
            | Self::HkdfSha512
            | Self::EcdhEsHkdf256
            | Self::EcdhEsHkdf512
            | Self::EcdhSsHkdf256
            | Self::EcdhSsHkdf512
            | Self::EcdhEsA128Kw
            | Self::EcdhEsA256Kw
            | Self::EcdhSsA128Kw
            | Self::EcdhSsA256Kw => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_its_own_number_and_none_is_reserved() {
        for algorithm in Algorithm::all() {
            assert_ne!(algorithm.code(), 0);
            assert_ne!(algorithm.code(), DIRECT);
            assert_eq!(Algorithm::from_code(algorithm.code()), Some(algorithm));
        }
        // HMAC 256/64, AES-192, RSA and direct: known to the registry, not taken here.
        for code in [0, 2, 4, -4, DIRECT, -37, -38, -39, -42, -52] {
            assert_eq!(Algorithm::from_code(code), None);
        }
    }
}
