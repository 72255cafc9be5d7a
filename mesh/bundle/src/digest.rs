//! The project's one content hash: BLAKE3, 32 bytes.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::identity::{NODE_ID_CHARS, base32};

/// BLAKE3 of some bytes: names blobs, jobs, documents and items on a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Text that is not a digest: 52 characters of lower-case base32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest has {NODE_ID_CHARS} characters of lower-case base32 (a-z, 2-7)")]
pub struct DigestError;

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest that follows in order; `None` after the last.
    #[must_use]
    pub fn successor(&self) -> Option<Self> {
        let mut next = self.0;
        let carried = next.iter_mut().rev().all(|byte| {
            *byte = byte.wrapping_add(1);
            *byte == 0
        });
        (!carried).then_some(Self(next))
    }

    /// The first 10 characters of the text form: for people only, never to be trusted.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = base32().encode(&self.0);
        text.truncate(10);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32().encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let bytes = base32().decode(text.as_bytes()).map_err(|_| DigestError)?;
        <[u8; 32]>::try_from(bytes.as_slice()).map(Self).map_err(|_| DigestError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_text_form_goes_there_and_back() {
        let digest = Digest::of(b"stone");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!("stone".parse::<Digest>(), Err(DigestError));
        assert_eq!(digest.to_string()[..51].parse::<Digest>(), Err(DigestError));
    }

    #[test]
    fn a_digest_has_a_successor_unless_it_is_the_last() {
        let mut id = [0; 32];
        id[31] = 0xff;
        assert_eq!(Digest(id).successor().unwrap().0[30..], [1, 0]);
        assert_eq!(Digest([0xff; 32]).successor(), None);
    }
}
