//! Who a node is: one Ed25519 key, and the X25519 key that mail is sealed to.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::prekey::{SealedTo, key_id};
use data_encoding::{Encoding, Specification};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A detached Ed25519 signature: 64 bytes.
pub type Signature = [u8; 64];

/// Number of characters of [`NodeId`] in text form.
pub const NODE_ID_CHARS: usize = 52;

/// The public half of an identity: a valid, not weak Ed25519 key of 32 bytes, checked when it came in from outside.
///
/// The same value names a node on every link, as ledger author, as board actor
/// and as the authority of its endpoint ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 32]);

/// Why some bytes or some text are not a node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    /// The text does not have 52 characters.
    #[error("a node id has {NODE_ID_CHARS} characters")]
    Length,
    /// The text has a character outside lower-case base32.
    #[error("a node id is written in lower-case base32 (a-z, 2-7)")]
    Alphabet,
    /// The bytes are no point of the curve, or a point of small order.
    #[error("not an Ed25519 public key")]
    Key,
}

/// The signature does not belong to this message and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid")]
pub struct BadSignature;

pub(crate) fn base32() -> Encoding {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.encoding().expect("the RFC 4648 alphabet in lower case is a valid specification")
}

impl NodeId {
    /// Takes 32 bytes of an Ed25519 public key.
    ///
    /// # Errors
    /// [`NodeIdError::Key`] if they are not on the curve or of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, NodeIdError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NodeIdError::Key)?;
        if key.is_weak() { Err(NodeIdError::Key) } else { Ok(Self(bytes)) }
    }

    /// Takes the bytes of a node id that this node has checked before and kept in its own store.
    ///
    /// Nothing is checked again, because an index of a million bundles, with three node ids each, is read at start. Should the store lie, nothing signs in that name: [`verify`] checks the key anew.
    #[must_use]
    pub const fn from_stored(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 10 characters of the text form: for people only, never to be trusted.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = base32().encode(&self.0);
        text.truncate(10);
        text
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32().encode(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        if text.len() != NODE_ID_CHARS {
            return Err(NodeIdError::Length);
        }
        let bytes = base32().decode(text.as_bytes()).map_err(|_| NodeIdError::Alphabet)?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| NodeIdError::Length)?;
        Self::from_bytes(bytes)
    }
}

/// The public X25519 key that bundles for a node are sealed to: 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealingKey(pub [u8; 32]);

/// The secret half of a node: an Ed25519 seed, and the X25519 secret derived from it.
///
/// Keeps the public keys beside the secrets, because deriving one costs as much as a signature.
/// Erased from memory when dropped; never printed.
pub struct Identity {
    signing: SigningKey,
    sealing: StaticSecret,
    sealing_key: SealingKey,
    node_id: NodeId,
}

impl Identity {
    /// The identity that belongs to a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let mut hasher = blake3::Hasher::new_derive_key("cairn 2026-11 X25519 long-term sealing key");
        hasher.update(seed);
        let mut output = hasher.finalize();
        let secret = Zeroizing::new(*output.as_bytes());
        output.zeroize();
        hasher.zeroize();
        let sealing = StaticSecret::from(*secret);
        let sealing_key = SealingKey(PublicKey::from(&sealing).to_bytes());
        let node_id = NodeId(signing.verifying_key().to_bytes());
        Self { signing, sealing, sealing_key, node_id }
    }

    /// The seed, to be written to the identity file and nowhere else.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        self.signing.as_bytes()
    }

    /// The node id of this identity.
    #[must_use]
    pub const fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The public key that others seal to.
    #[must_use]
    pub const fn sealing_key(&self) -> SealingKey {
        self.sealing_key
    }

    /// Signs a message with Ed25519 (RFC 8032).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.signing.sign(message).to_bytes()
    }

    /// The long-term secret, if a bundle means it.
    pub(crate) fn long_term_secret(&self, id: &[u8; 8]) -> Option<(SealedTo, StaticSecret)> {
        (key_id(&self.sealing_key) == *id).then(|| (SealedTo::LongTerm, self.sealing.clone()))
    }
}

/// Both secrets erase themselves.
impl ZeroizeOnDrop for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.node_id)
    }
}

/// Checks a signature with `verify_strict`, the one rule that all nodes share.
///
/// # Errors
/// [`BadSignature`] if it does not hold.
pub fn verify(node: &NodeId, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_bytes(&node.0).map_err(|_| BadSignature)?;
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    key.verify_strict(message, &signature).map_err(|_| BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_text_form_goes_there_and_back() {
        let id = Identity::from_seed(&[7; 32]).node_id();
        let text = id.to_string();
        assert_eq!(text.len(), NODE_ID_CHARS);
        assert_eq!(text.parse::<NodeId>(), Ok(id));
        assert!(text.starts_with(&id.short()));
    }

    #[test]
    fn a_wrong_text_is_refused_with_the_reason() {
        let text = Identity::from_seed(&[7; 32]).node_id().to_string();
        assert_eq!(text[1..].parse::<NodeId>(), Err(NodeIdError::Length));
        assert_eq!(text.to_uppercase().parse::<NodeId>(), Err(NodeIdError::Alphabet));
        assert_eq!(NodeId::from_bytes([0; 32]), Err(NodeIdError::Key));
    }

    #[test]
    fn nobody_signs_as_a_node_id_that_is_no_key() {
        let me = Identity::from_seed(&[1; 32]);
        assert_eq!(NodeId::from_stored(*me.node_id().as_bytes()), me.node_id());
        for bytes in [[0; 32], [2; 32], [255; 32]] {
            let nobody = NodeId::from_stored(bytes);
            assert_eq!(verify(&nobody, b"stone", &me.sign(b"stone")), Err(BadSignature));
            assert_eq!(verify(&nobody, b"stone", &[0; 64]), Err(BadSignature));
        }
    }

    #[test]
    fn a_signature_holds_for_its_message_only() {
        let me = Identity::from_seed(&[1; 32]);
        let signature = me.sign(b"stone");
        assert_eq!(verify(&me.node_id(), b"stone", &signature), Ok(()));
        assert_eq!(verify(&me.node_id(), b"stonf", &signature), Err(BadSignature));
        let other = Identity::from_seed(&[2; 32]).node_id();
        assert_eq!(verify(&other, b"stone", &signature), Err(BadSignature));
    }
}
