//! Who is on a board: whoever has its secret.

use core::fmt;
use core::str::FromStr;

use cairn_bundle::{Digest, NodeId};
use data_encoding::{Encoding, Specification};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::job::NAME_BYTES_MAX;

/// What an invitation starts with.
const INVITE_PREFIX: &str = "cairn-board:";
/// Bytes of the checksum in an invitation, which catches slips of the pen, not liars.
const CHECK_BYTES: usize = 4;

/// A keyed hash that only a member can make: 16 bytes.
pub type Tag = [u8; 16];

/// The secret that makes a node a member: erased when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct BoardSecret([u8; 32]);

/// The name of a board among its members: a hash of its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoardId(pub Digest);

/// Everything that makes somebody a member: the secret and the board's name.
///
/// Its text form (`cairn-board:` and base32) is the secret; show it only to whom you invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The secret.
    pub secret: BoardSecret,
    /// The name of the board, for people: 1 to 64 bytes.
    pub name: String,
}

/// Why some text is not an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It does not start as an invitation does.
    #[error("an invitation starts with {INVITE_PREFIX}")]
    Prefix,
    /// It has a character outside lower-case base32, or is cut off.
    #[error("an invitation is written in lower-case base32 (a-z, 2-7), and this one is damaged or cut off")]
    Alphabet,
    /// The checksum does not fit.
    #[error("the invitation has a typing error in it, or its end is missing")]
    Checksum,
    /// The name is empty, too long, or has control characters in it.
    #[error("the name of a board has 1 to {NAME_BYTES_MAX} bytes and no control characters")]
    Name,
}

impl BoardSecret {
    /// Takes 32 random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be written where secrets are kept and nowhere else.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The board's id.
    #[must_use]
    pub fn board_id(&self) -> BoardId {
        BoardId(Digest(blake3::derive_key("cairn 2026-11 board id", &self.0)))
    }

    /// What `prover` sends in its hello to `verifier` to show that it is a member,
    /// without naming the board to anybody who is not.
    ///
    /// It is the same at every meet of the two, so it proves something only over a
    /// link that has authenticated `prover`.
    #[must_use]
    pub fn proof(&self, prover: &NodeId, verifier: &NodeId) -> Tag {
        self.tag("cairn 2026-11 board membership proof", &[prover.as_bytes(), verifier.as_bytes()])
    }

    /// Whether `proof` is what a member `prover` sends to `verifier`; takes the same time for every wrong one.
    #[must_use]
    pub fn is_proof(&self, prover: &NodeId, verifier: &NodeId, proof: &Tag) -> bool {
        same(&self.proof(prover, verifier), proof)
    }

    /// A keyed hash of these parts, for one purpose.
    pub(crate) fn tag(&self, purpose: &str, parts: &[&[u8]]) -> Tag {
        let key = Zeroizing::new(blake3::derive_key(purpose, &self.0));
        let mut hasher = blake3::Hasher::new_keyed(&key);
        for part in parts {
            hasher.update(part);
        }
        let mut tag = [0; 16];
        hasher.finalize_xof().fill(&mut tag);
        tag
    }
}

/// Compares two tags in constant time.
pub(crate) fn same(one: &Tag, other: &Tag) -> bool {
    one.ct_eq(other).into()
}

impl fmt::Debug for BoardSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoardSecret(..)")
    }
}

impl fmt::Display for BoardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Invite {
    /// An invitation to the board with this secret and name.
    ///
    /// # Errors
    /// [`InviteError::Name`] if the name is empty, too long, or has control characters in it.
    pub fn new(secret: BoardSecret, name: &str) -> Result<Self, InviteError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(InviteError::Name);
        }
        Ok(Self { secret, name: name.to_owned() })
    }

    /// The text to give to whom you invite.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(self.secret.0.to_vec());
        bytes.extend_from_slice(&checksum(&self.secret, &self.name));
        bytes.extend_from_slice(self.name.as_bytes());
        let mut text = Zeroizing::new(INVITE_PREFIX.to_owned());
        base32().encode_append(&bytes, &mut text);
        text
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text = text.trim().strip_prefix(INVITE_PREFIX).ok_or(InviteError::Prefix)?;
        if text.len() > 2 * (32 + CHECK_BYTES + NAME_BYTES_MAX) {
            return Err(InviteError::Name);
        }
        let bytes = Zeroizing::new(base32().decode(text.as_bytes()).map_err(|_| InviteError::Alphabet)?);
        let (secret, rest) = bytes.split_first_chunk::<32>().ok_or(InviteError::Alphabet)?;
        let (check, name) = rest.split_first_chunk::<CHECK_BYTES>().ok_or(InviteError::Alphabet)?;
        let name = core::str::from_utf8(name).map_err(|_| InviteError::Checksum)?;
        let secret = BoardSecret(*secret);
        if checksum(&secret, name) != *check {
            return Err(InviteError::Checksum);
        }
        Self::new(secret, name)
    }
}

fn checksum(secret: &BoardSecret, name: &str) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = secret.tag("cairn 2026-11 board invitation checksum", &[name.as_bytes()]);
    [a, b, c, d]
}

fn base32() -> Encoding {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.encoding().expect("the RFC 4648 alphabet in lower case is a valid specification")
}

#[cfg(test)]
mod tests {
    use cairn_bundle::Identity;

    use super::*;

    fn node(seed: u8) -> NodeId {
        Identity::from_seed(&[seed; 32]).node_id()
    }

    #[test]
    fn a_proof_holds_for_one_board_and_one_direction() {
        let secret = BoardSecret::new([1; 32]);
        let proof = secret.proof(&node(1), &node(2));
        assert!(secret.is_proof(&node(1), &node(2), &proof));
        assert!(!secret.is_proof(&node(2), &node(1), &proof));
        assert!(!secret.is_proof(&node(1), &node(3), &proof));
        assert!(!BoardSecret::new([2; 32]).is_proof(&node(1), &node(2), &proof));
        for at in 0..128 {
            let mut wrong = proof;
            wrong[at / 8] ^= 1 << (at % 8);
            assert!(!secret.is_proof(&node(1), &node(2), &wrong));
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let invite = Invite::new(BoardSecret::new([0xab; 32]), "relief").unwrap();
        assert_eq!(format!("{invite:?}"), r#"Invite { secret: BoardSecret(..), name: "relief" }"#);
        assert_ne!(invite.secret.board_id().0, Digest([0xab; 32]));
    }

    #[test]
    fn an_invitation_goes_there_and_back() {
        for name in ["r", "relief", "Hilfe für alle", &"x".repeat(NAME_BYTES_MAX)] {
            let invite = Invite::new(BoardSecret::new([7; 32]), name).unwrap();
            let text = invite.to_text();
            assert_eq!(text.parse(), Ok(invite.clone()));
            assert_eq!(format!(" {}\n", *text).parse(), Ok(invite));
        }
    }

    #[test]
    fn every_slip_in_an_invitation_is_noticed() {
        let text = Invite::new(BoardSecret::new([7; 32]), "relief").unwrap().to_text();
        for len in 0..text.len() {
            assert!(text[..len].parse::<Invite>().is_err());
        }
        for at in 0..text.len() {
            for other in ["a", "b", "7", "1", "A"] {
                let mut wrong = text.to_string();
                wrong.replace_range(at..=at, other);
                assert!(wrong == *text || wrong.parse::<Invite>().is_err());
            }
        }
    }

    #[test]
    fn a_name_has_its_limits() {
        let new = |name: &str| Invite::new(BoardSecret::new([7; 32]), name).err();
        assert_eq!(new(""), Some(InviteError::Name));
        assert_eq!(new("a\nb"), Some(InviteError::Name));
        assert_eq!(new(&"x".repeat(NAME_BYTES_MAX + 1)), Some(InviteError::Name));
        let long = format!("cairn-board:{}", "a".repeat(10_000));
        assert_eq!(long.parse::<Invite>(), Err(InviteError::Name));
    }
}
