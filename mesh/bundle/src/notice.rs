//! Delivery notices: a destination tells everybody who carries a bundle that it has arrived.

use alloc::vec::Vec;

use crate::cbor::{CborError, Reader, Write};
use crate::digest::Digest;
use crate::envelope;
use crate::identity::{Identity, NodeId, verify};

/// Most content ids in one notice: of the bundle, or of its fragments.
pub const NOTICE_IDS_MAX: usize = 32;
/// Largest notice: more than a full one needs, and less than a frame of any fast link holds.
pub const NOTICE_BYTES_MAX: usize = 1200;

const VERSION: u64 = 1;
/// Goes before the signed bytes, so that a notice's signature fits nothing else that a node signs.
const SIGNING_CONTEXT: &[u8] = b"cairn 2026-11 delivery notice";

/// What a destination says about a bundle that it delivered to one of its own services.
///
/// It is made when the delivery is durable, and spreads faster than the bundle. Who carries one of
/// the ids may forget it, but only if that bundle goes to [`DeliveryNotice::destination`]: a node has a say
/// about its own mail and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryNotice {
    /// The node that signed it: where the bundle went.
    pub destination: NodeId,
    /// The bundle's name; see [`BundleId::name`](crate::BundleId::name).
    pub name: [u8; 32],
    /// The content ids under which it came, ascending: 1 to [`NOTICE_IDS_MAX`]. They are several for a bundle that
    /// came in fragments, or to which a carrier added a block.
    pub ids: Vec<Digest>,
}

/// Why something is not a delivery notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// Larger than [`NOTICE_BYTES_MAX`].
    #[error("a delivery notice has at most {NOTICE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a notice's CBOR.
    #[error("the delivery notice is not well-formed: {0}")]
    Cbor(#[from] CborError),
    /// The same notice can be written in another way.
    #[error("the delivery notice is not in its one deterministic form")]
    NotCanonical,
    /// A notice of another version.
    #[error("delivery notice version {0} is not known")]
    Version(u64),
    /// The destination is not a key.
    #[error("the destination of the delivery notice is not a key")]
    Destination,
    /// No content id, too many, or half of one.
    #[error("a delivery notice has 1 to {NOTICE_IDS_MAX} content ids")]
    Ids,
    /// The signature is not the destination's.
    #[error("the delivery notice is not signed by the destination that it names")]
    Signature,
}

impl DeliveryNotice {
    /// Says that `me` has the bundle of this name, which came under these content ids; their order does not matter.
    ///
    /// # Errors
    /// [`NoticeError::Ids`] without an id, or with more than [`NOTICE_IDS_MAX`] different ones.
    pub fn sign(me: &Identity, name: &[u8; 32], ids: &[Digest]) -> Result<Vec<u8>, NoticeError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() || ids.len() > NOTICE_IDS_MAX {
            return Err(NoticeError::Ids);
        }
        let body = Self { destination: me.node_id(), name: *name, ids }.encode();
        Ok(envelope::close(&body, &me.sign(&envelope::to_be_signed(SIGNING_CONTEXT, &body))))
    }

    /// Reads a notice and verifies that its destination signed it.
    ///
    /// # Errors
    /// If it is not exactly what [`DeliveryNotice::sign`] makes.
    pub fn decode_verified(bytes: &[u8]) -> Result<Self, NoticeError> {
        if bytes.len() > NOTICE_BYTES_MAX {
            return Err(NoticeError::TooLarge);
        }
        let (body, signature) = envelope::open(bytes)?;
        let notice = Self::decode(body)?;
        let ascending = notice.ids.is_sorted_by(|one, next| one < next);
        if !ascending || notice.encode() != body || envelope::close(body, &signature) != bytes {
            return Err(NoticeError::NotCanonical);
        }
        verify(&notice.destination, &envelope::to_be_signed(SIGNING_CONTEXT, body), &signature)
            .map_err(|_| NoticeError::Signature)?;
        Ok(notice)
    }

    /// Reads a notice from this node's own store, where it came after it was verified.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn decode_stored(bytes: &[u8]) -> Result<Self, NoticeError> {
        let (body, _signature) = envelope::open(bytes)?;
        Self::decode(body)
    }

    fn encode(&self) -> Vec<u8> {
        // One string for all ids: a head for each would make a full notice too large.
        let ids: Vec<u8> = self.ids.iter().flat_map(|id| id.0).collect();
        let mut out = Vec::with_capacity(ids.len() + 80);
        out.put_array(4);
        out.put_uint(VERSION);
        out.put_bytes(self.destination.as_bytes());
        out.put_bytes(&self.name);
        out.put_bytes(&ids);
        out
    }

    fn decode(body: &[u8]) -> Result<Self, NoticeError> {
        let mut reader = Reader::new(body);
        let mut elements = reader.array()?;
        elements.next(&mut reader)?;
        let version = reader.uint()?;
        if version != VERSION {
            return Err(NoticeError::Version(version));
        }
        elements.next(&mut reader)?;
        let destination =
            NodeId::from_bytes(envelope::bytes32(&mut reader)?).map_err(|_| NoticeError::Destination)?;
        elements.next(&mut reader)?;
        let name = envelope::bytes32(&mut reader)?;
        elements.next(&mut reader)?;
        let (ids, rest) = reader.bytes_definite()?.as_chunks::<32>();
        if ids.is_empty() || ids.len() > NOTICE_IDS_MAX || !rest.is_empty() {
            return Err(NoticeError::Ids);
        }
        let ids = ids.iter().copied().map(Digest).collect();
        elements.finish(&mut reader)?;
        reader.end()?;
        Ok(Self { destination, name, ids })
    }
}
