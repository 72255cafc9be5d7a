//! Proof that an author signed two different entries for one place of its log.

use alloc::vec::Vec;

use cairn_bundle::{BadSignature, NodeId, Signature, verify};

use crate::entry::{Place, VerifiedEntry, core_of, signed_bytes};
use crate::ids::{Kid, StreamId};

/// Length of a proof for a reader that knows the key.
pub const EQUIV_BYTES: usize = 223;
/// Length of a proof that carries the key.
pub const EQUIV_KEY_BYTES: usize = 247;

const TAG_KID: u8 = 1;
const TAG_KEY: u8 = 2;

/// Why some bytes prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EquivError {
    /// Not the length or the tag of a proof.
    #[error("not a proof of equivocation")]
    Shape,
    /// It is about another key than the reader's.
    #[error("the proof is about another key")]
    OtherKey,
    /// The two halves are one, or not in ascending order.
    #[error("the two halves are not different, in ascending order")]
    Halves,
    /// One of the halves was not signed by the author.
    #[error("the signature is not valid")]
    Signature,
}

impl From<BadSignature> for EquivError {
    fn from(_: BadSignature) -> Self {
        Self::Signature
    }
}

/// Two signed cores with the same author, stream, epoch and sequence number. It shows no contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EquivProof {
    author: NodeId,
    place: Place,
    halves: [([u8; 32], Signature); 2],
}

impl EquivProof {
    /// The proof that two entries make, if they do.
    #[must_use]
    pub fn of(one: &VerifiedEntry, other: &VerifiedEntry) -> Option<Self> {
        let (author, place) = (one.author(), one.place());
        if author != other.author() || place != other.place() || one.id() == other.id() {
            return None;
        }
        let mut halves = [one.half(), other.half()];
        halves.sort_unstable();
        Some(Self { author, place, halves })
    }

    /// Checks a proof of either length. The short one names the key by its kid only, so the reader gives the key.
    ///
    /// # Errors
    /// [`EquivError`] if the bytes do not prove that `author` signed twice for one place.
    pub fn verify(bytes: &[u8], author: &NodeId) -> Result<Self, EquivError> {
        let (tag, mut rest) = bytes.split_first().ok_or(EquivError::Shape)?;
        match *tag {
            TAG_KID if bytes.len() == EQUIV_BYTES => {
                if take::<8>(&mut rest)? != Kid::of(author).0 {
                    return Err(EquivError::OtherKey);
                }
            }
            TAG_KEY if bytes.len() == EQUIV_KEY_BYTES => {
                if take::<32>(&mut rest)? != *author.as_bytes() {
                    return Err(EquivError::OtherKey);
                }
            }
            _ => return Err(EquivError::Shape),
        }
        let place = Place {
            stream: StreamId(take(&mut rest)?),
            epoch: u16::from_be_bytes(take(&mut rest)?),
            seq: u32::from_be_bytes(take(&mut rest)?),
        };
        let halves = [(take(&mut rest)?, take(&mut rest)?), (take(&mut rest)?, take(&mut rest)?)];
        if halves[0].0 >= halves[1].0 {
            return Err(EquivError::Halves);
        }
        for (hidden, signature) in &halves {
            verify(author, &signed_bytes(&core_of(author, &place, hidden)), signature)?;
        }
        Ok(Self { author: *author, place, halves })
    }

    /// Checks a proof that carries its key.
    ///
    /// # Errors
    /// [`EquivError`] if the bytes prove nothing about the key they carry.
    pub fn verify_alone(bytes: &[u8]) -> Result<Self, EquivError> {
        if bytes.len() != EQUIV_KEY_BYTES {
            return Err(EquivError::Shape);
        }
        let mut key = bytes.get(1..).ok_or(EquivError::Shape)?;
        let author = NodeId::from_bytes(take(&mut key)?).map_err(|_| EquivError::Shape)?;
        Self::verify(bytes, &author)
    }

    /// The short form, for readers that know the key: [`EQUIV_BYTES`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(TAG_KID, &Kid::of(&self.author).0)
    }

    /// The form that carries the key: [`EQUIV_KEY_BYTES`].
    #[must_use]
    pub fn encode_with_key(&self) -> Vec<u8> {
        self.encode_with(TAG_KEY, self.author.as_bytes())
    }

    fn encode_with(&self, tag: u8, key: &[u8]) -> Vec<u8> {
        let (epoch, seq) = (self.place.epoch.to_be_bytes(), self.place.seq.to_be_bytes());
        let [(rest_a, sig_a), (rest_b, sig_b)] = &self.halves;
        [&[tag][..], key, &self.place.stream.0, &epoch, &seq, rest_a, sig_a, rest_b, sig_b].concat()
    }

    /// Who signed twice.
    #[must_use]
    pub const fn author(&self) -> NodeId {
        self.author
    }

    /// For which place.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], EquivError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(EquivError::Shape)?;
    *bytes = rest;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Draft;
    use cairn_bundle::{Digest, Identity};

    fn me() -> Identity {
        Identity::from_seed(&[1; 32])
    }

    fn entry(seq: u32, time: u32) -> VerifiedEntry {
        let place = Place { stream: StreamId::public(&me().node_id()), epoch: 0, seq };
        let draft = Draft { place, prev: Digest([3; 32]), time, kind: 200, body: &[0x80] };
        VerifiedEntry::sign(&me(), &draft).unwrap()
    }

    #[test]
    fn two_entries_for_one_place_make_a_proof_of_the_size_of_the_design() {
        let proof = EquivProof::of(&entry(1, 5), &entry(1, 6)).unwrap();
        assert_eq!(EquivProof::of(&entry(1, 6), &entry(1, 5)), Some(proof.clone()));
        assert_eq!(proof.encode().len(), 223);
        assert_eq!(proof.encode_with_key().len(), 247);
        assert_eq!(EquivProof::verify(&proof.encode(), &me().node_id()), Ok(proof.clone()));
        assert_eq!(EquivProof::verify(&proof.encode_with_key(), &me().node_id()), Ok(proof.clone()));
        assert_eq!(EquivProof::verify_alone(&proof.encode_with_key()), Ok(proof));
    }

    #[test]
    fn nothing_is_proven_against_one_who_signed_once_for_each_place() {
        assert_eq!(EquivProof::of(&entry(1, 5), &entry(1, 5)), None);
        assert_eq!(EquivProof::of(&entry(1, 5), &entry(2, 6)), None);
        let (one, two) = (entry(1, 5), entry(2, 6));
        let author = me().node_id();
        let twice = EquivProof { author, place: one.place(), halves: [one.half(), one.half()] };
        assert_eq!(EquivProof::verify(&twice.encode(), &author), Err(EquivError::Halves));
        let mut halves = [one.half(), two.half()];
        halves.sort_unstable();
        let mixed = EquivProof { author, place: one.place(), halves };
        assert_eq!(EquivProof::verify(&mixed.encode(), &author), Err(EquivError::Signature));
    }

    #[test]
    fn no_changed_byte_passes() {
        let proof = EquivProof::of(&entry(1, 5), &entry(1, 6)).unwrap();
        for bytes in [proof.encode(), proof.encode_with_key()] {
            for at in 0..bytes.len() {
                assert!(EquivProof::verify(&bytes[..at], &me().node_id()).is_err());
                let mut changed = bytes.clone();
                changed[at] ^= 0x41;
                assert!(EquivProof::verify(&changed, &me().node_id()).is_err(), "byte {at}");
            }
        }
        let other = Identity::from_seed(&[2; 32]).node_id();
        assert_eq!(EquivProof::verify(&proof.encode(), &other), Err(EquivError::OtherKey));
        assert_eq!(EquivProof::verify_alone(&proof.encode()), Err(EquivError::Shape));
    }
}
