//! COSE messages as results of a security block: without tag, without contents.

use alloc::vec::Vec;

use super::CoseError;
use super::header::{HeaderMap, Layer};
use crate::cbor::Reader;

/// Most signatures or recipients of one message; the draft asks for ten at least.
pub const PARTS_MAX: usize = 16;

const NULL: [u8; 1] = [0xf6];

/// The six messages, by their tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageKind {
    Encrypt0,
    Mac0,
    Sign1,
    Encrypt,
    Mac,
    Sign,
}

impl MessageKind {
    pub(super) const fn from_result(id: u64) -> Option<Self> {
        match id {
            16 => Some(Self::Encrypt0),
            17 => Some(Self::Mac0),
            18 => Some(Self::Sign1),
            96 => Some(Self::Encrypt),
            97 => Some(Self::Mac),
            98 => Some(Self::Sign),
            _ => None,
        }
    }

    pub(super) const fn result(self) -> u64 {
        match self {
            Self::Encrypt0 => 16,
            Self::Mac0 => 17,
            Self::Sign1 => 18,
            Self::Encrypt => 96,
            Self::Mac => 97,
            Self::Sign => 98,
        }
    }

    pub(super) const fn encrypts(self) -> bool {
        matches!(self, Self::Encrypt0 | Self::Encrypt)
    }

    /// Whether it has recipients or signatures, which are then the layer that names the keys.
    pub(super) const fn has_parts(self) -> bool {
        matches!(self, Self::Encrypt | Self::Mac | Self::Sign)
    }

    /// The word that keeps structures of different kinds apart (RFC 9052).
    pub(super) const fn context(self) -> &'static str {
        match self {
            Self::Encrypt0 => "Encrypt0",
            Self::Encrypt => "Encrypt",
            Self::Mac0 => "MAC0",
            Self::Mac => "MAC",
            Self::Sign1 => "Signature1",
            Self::Sign => "Signature",
        }
    }
}

/// A message as it was read.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: MessageKind,
    pub(super) layer: Layer<'a>,
    /// The tag or the one signature.
    pub(super) proof: &'a [u8],
    /// Recipients or signatures.
    pub(super) parts: Vec<Part<'a>>,
}

/// A recipient or a signature.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) layer: Layer<'a>,
    /// The wrapped key or the signature.
    pub(super) content: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a message that fills the bytes.
    pub(super) fn decode(
        kind: MessageKind,
        bytes: &'a [u8],
        additional: &HeaderMap<'a>,
    ) -> Result<Self, CoseError> {
        let mut reader = Reader::new(bytes);
        let mut elements = reader.array()?;
        elements.next(&mut reader)?;
        let own = if kind.has_parts() { None } else { Some(additional) };
        // The two header maps are two elements.
        let layer = Layer::read(&mut reader, own)?;
        elements.next(&mut reader)?;
        elements.next(&mut reader)?;
        if reader.item()? != NULL {
            return Err(CoseError::Attached);
        }
        let proof = if matches!(kind, MessageKind::Mac0 | MessageKind::Sign1 | MessageKind::Mac) {
            elements.next(&mut reader)?;
            reader.bytes_definite()?
        } else {
            &[]
        };
        let parts = if kind.has_parts() {
            elements.next(&mut reader)?;
            read_parts(&mut reader, additional)?
        } else {
            Vec::new()
        };
        elements.finish(&mut reader)?;
        reader.end()?;
        Ok(Self { kind, layer, proof, parts })
    }
}

fn read_parts<'a>(reader: &mut Reader<'a>, additional: &HeaderMap<'a>) -> Result<Vec<Part<'a>>, CoseError> {
    let mut elements = reader.array()?;
    let mut parts = Vec::new();
    while elements.more(reader) {
        if parts.len() == PARTS_MAX {
            return Err(CoseError::TooManyParts);
        }
        let mut fields = reader.array()?;
        fields.next(reader)?;
        let layer = Layer::read(reader, Some(additional))?;
        fields.next(reader)?;
        fields.next(reader)?;
        let content = reader.bytes_definite()?;
        // Recipients of recipients would be a third layer.
        if fields.more(reader) {
            return Err(CoseError::Layers);
        }
        parts.push(Part { layer, content });
    }
    if parts.is_empty() { Err(CoseError::NoParts) } else { Ok(parts) }
}
