//! The first frame of every conversation.

use alloc::vec::Vec;

use cairn_bundle::NodeId;

use crate::cbor::Reader;
use crate::frame::FrameError;

/// The version that this crate speaks. A peer with a greater one speaks this one to us.
pub const VERSION: u8 = 1;
/// Longest card in a [`Hello`], in bytes.
pub const CARD_BYTES_MAX: usize = 1024;
/// Most boards in a [`Hello`].
pub const BOARDS_MAX: usize = 64;
/// Number of fields of a Hello frame, its type included.
pub(crate) const HELLO_FIELDS: u64 = 7;

/// Who speaks, and what it can take.
///
/// Nothing in it is proven here: the link (or the seal of a parcel) authenticates the node id, and the node
/// checks that the card belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Highest version of the meet protocol that the node speaks; at least 1.
    pub version: u8,
    /// The node id; to be compared with the one that the link authenticated.
    pub node: NodeId,
    /// The signed card, at most [`CARD_BYTES_MAX`]; checked by the node, may be empty.
    pub card: Vec<u8>,
    /// Largest item that the node takes.
    pub item_bytes_max: u64,
    /// Proofs of board membership, at most [`BOARDS_MAX`].
    pub boards: Vec<[u8; 16]>,
    /// What the node's clock says (seconds since 2020-01-01 UTC), if it has one. A claim.
    pub wall_time: Option<u64>,
}

impl Hello {
    /// Reads the fields after the frame type.
    pub(crate) fn decode(reader: &mut Reader<'_>, fields: u64) -> Result<Self, FrameError> {
        let version = u8::try_from(reader.uint()?).map_err(|_| FrameError::Malformed)?;
        if version == 0 {
            return Err(FrameError::Version);
        }
        // A later version may append fields; version 1 has exactly these.
        if fields < HELLO_FIELDS || (version == VERSION && fields > HELLO_FIELDS) {
            return Err(FrameError::Malformed);
        }
        let node = NodeId::from_bytes(*reader.fixed()?).map_err(|_| FrameError::Node)?;
        let card = reader.bytes()?;
        if card.len() > CARD_BYTES_MAX {
            return Err(FrameError::CardTooLong);
        }
        let item_bytes_max = reader.uint()?;
        let (boards, rest) = reader.bytes()?.as_chunks::<16>();
        if !rest.is_empty() {
            return Err(FrameError::Malformed);
        }
        if boards.len() > BOARDS_MAX {
            return Err(FrameError::TooManyBoards);
        }
        let wall_time = reader.optional_uint()?;
        if fields == HELLO_FIELDS {
            reader.end()?;
        }
        Ok(Self { version, node, card: card.to_vec(), item_bytes_max, boards: boards.to_vec(), wall_time })
    }

    /// Cuts what a peer would refuse, so that a conversation with a wrong setting still takes place.
    pub(crate) fn clamp(&mut self) {
        self.version = self.version.max(VERSION);
        self.boards.truncate(BOARDS_MAX);
        if self.card.len() > CARD_BYTES_MAX {
            self.card.clear();
        }
    }
}
