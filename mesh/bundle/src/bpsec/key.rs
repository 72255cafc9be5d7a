//! Symmetric keys, and who has which.

use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::eid::Eid;

/// What a key is for. One key never serves two purposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// To sign and verify contents.
    Integrity,
    /// To encrypt and decrypt contents.
    Confidentiality,
    /// To wrap and unwrap the key of one integrity block.
    WrapIntegrity,
    /// To wrap and unwrap the key of one confidentiality block.
    WrapConfidentiality,
}

/// The keys that a verifier or acceptor has.
pub trait Keys {
    /// The key that it shares with a security source for a purpose.
    fn key(&self, source: &Eid, purpose: Purpose) -> Option<&SymmetricKey>;
}

/// A symmetric key; erased when it is dropped, and never shown.
#[derive(Clone)]
pub struct SymmetricKey(Zeroizing<Vec<u8>>);

/// A key has a length that no algorithm of RFC 9173 uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a symmetric key has 16, 24, 32, 48 or 64 bytes, not {0}")]
pub struct KeyLength(pub usize);

/// Keys in a list, for nodes with few of them.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: Vec<(Eid, Purpose, SymmetricKey)>,
}

impl SymmetricKey {
    /// Takes a key.
    ///
    /// # Errors
    /// If no algorithm has keys of that length.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyLength> {
        match bytes.len() {
            16 | 24 | 32 | 48 | 64 => Ok(Self(Zeroizing::new(bytes.to_vec()))),
            other => Err(KeyLength(other)),
        }
    }

    pub(crate) fn random(len: usize, rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = Zeroizing::new(alloc::vec![0; len]);
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    pub(crate) const fn from_zeroizing(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SymmetricKey({} bytes)", self.0.len())
    }
}

impl KeyRing {
    /// A ring without keys.
    #[must_use]
    pub const fn new() -> Self {
        Self { keys: Vec::new() }
    }

    /// Adds a key that is shared with a security source; a second one for the same purpose replaces it.
    pub fn insert(&mut self, source: Eid, purpose: Purpose, key: SymmetricKey) {
        self.keys.retain(|(other, what, _)| *other != source || *what != purpose);
        self.keys.push((source, purpose, key));
    }
}

impl Keys for KeyRing {
    fn key(&self, source: &Eid, purpose: Purpose) -> Option<&SymmetricKey> {
        let mut keys = self.keys.iter();
        keys.find(|(other, what, _)| other == source && *what == purpose).map(|(_, _, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_key_does_not_show_itself() {
        let key = SymmetricKey::new(&[0xab; 32]).unwrap();
        let mut ring = KeyRing::new();
        ring.insert(Eid::ipn(0, 1, 0), Purpose::Integrity, key);
        let shown = format!("{ring:?}");
        assert!(shown.contains("SymmetricKey(32 bytes)"), "{shown}");
        assert!(!shown.contains("171") && !shown.contains("ab"), "{shown}");
    }

    #[test]
    fn keys_have_the_lengths_of_algorithms() {
        for len in 0..100 {
            let known = [16, 24, 32, 48, 64].contains(&len);
            let key = SymmetricKey::new(&alloc::vec![0; len]);
            assert_eq!(key.map(|key| key.bytes().len()), if known { Ok(len) } else { Err(KeyLength(len)) });
        }
    }

    #[test]
    fn a_ring_gives_the_latest_key_for_source_and_purpose() {
        let mut ring = KeyRing::new();
        let [alice, bob] = [1, 2].map(|node| Eid::ipn(0, node, 0));
        for byte in [1, 2] {
            ring.insert(alice.clone(), Purpose::Integrity, SymmetricKey::new(&[byte; 16]).unwrap());
        }
        assert_eq!(ring.key(&alice, Purpose::Integrity).unwrap().bytes(), [2; 16]);
        assert!(ring.key(&alice, Purpose::WrapIntegrity).is_none());
        assert!(ring.key(&bob, Purpose::Integrity).is_none());
    }
}
