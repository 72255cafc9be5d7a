//! The short names that records use for keys, streams, locks and payments.

use cairn_bundle::{Digest, NodeId};

macro_rules! short_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }

        /// Lower-case hexadecimal.
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    };
}

short_id!(
    /// The first 8 bytes of BLAKE3 of a key: a hint that saves 24 bytes on the air.
    ///
    /// Making a second key with the kid of a given one takes about 2^64 key generations.
    Kid, 8
);
short_id!(
    /// The first 16 bytes of the id of a LOCK entry: what a RELEASE or a PAY names.
    LockId, 16
);
short_id!(
    /// Names one attempt to pay one job: the condition that locks along a path share.
    PayId, 16
);
short_id!(
    /// Names one of an author's streams.
    StreamId, 16
);

impl Kid {
    /// For fields that name nobody.
    pub const NOBODY: Self = Self([0; 8]);

    /// The kid of a key.
    #[must_use]
    pub fn of(node: &NodeId) -> Self {
        Self(prefix(Digest::of(node.as_bytes()).as_bytes()))
    }
}

impl LockId {
    /// The name of the LOCK entry with this id.
    #[must_use]
    pub fn of(entry: &Digest) -> Self {
        Self(prefix(entry.as_bytes()))
    }
}

impl StreamId {
    /// The stream of what `author` states to `peer` only.
    #[must_use]
    pub fn edge(author: &NodeId, peer: &NodeId) -> Self {
        Self(prefix(&derive("tally1 edge", &[author.as_bytes(), peer.as_bytes()])))
    }

    /// The stream of what `author` states to everybody.
    #[must_use]
    pub fn public(author: &NodeId) -> Self {
        Self(prefix(&derive("tally1 public", &[author.as_bytes()])))
    }
}

/// The payment id of one attempt of `payer` to have `job` done.
///
/// It binds the payer's whole key, so that nobody else can present the payment as theirs.
#[must_use]
pub fn pay_id(job: &Digest, payer: &NodeId, nonce: &[u8; 16]) -> PayId {
    PayId(prefix(&derive("cairn pay id", &[job.as_bytes(), payer.as_bytes(), nonce])))
}

/// BLAKE3 in key derivation mode over the parts, one after the other.
pub(crate) fn derive(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The first `N` of 32 bytes.
pub(crate) fn prefix<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    let mut short = [0; N];
    short.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;

    #[test]
    fn a_pay_id_binds_job_payer_and_nonce() {
        let (a, b) = (Identity::from_seed(&[1; 32]).node_id(), Identity::from_seed(&[2; 32]).node_id());
        let one = pay_id(&Digest([1; 32]), &a, &[0; 16]);
        assert_eq!(one, pay_id(&Digest([1; 32]), &a, &[0; 16]));
        assert_ne!(one, pay_id(&Digest([2; 32]), &a, &[0; 16]));
        assert_ne!(one, pay_id(&Digest([1; 32]), &b, &[0; 16]));
        assert_ne!(one, pay_id(&Digest([1; 32]), &a, &[1; 16]));
    }

    #[test]
    fn every_stream_of_an_author_has_its_own_id() {
        let (a, b) = (Identity::from_seed(&[1; 32]).node_id(), Identity::from_seed(&[2; 32]).node_id());
        assert_ne!(StreamId::edge(&a, &b), StreamId::edge(&b, &a));
        assert_ne!(StreamId::edge(&a, &b), StreamId::public(&a));
    }
}
