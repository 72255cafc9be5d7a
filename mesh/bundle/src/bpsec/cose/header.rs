//! Header maps of COSE messages, and the layers that carry them.

use alloc::vec::Vec;

use super::CoseError;
use super::alg::{Algorithm, DIRECT};
use crate::cbor::{CborError, Reader, Write};

/// Most labels in one header map.
pub const HEADERS_MAX: usize = 32;

pub(super) const ALG: i64 = 1;
pub(super) const CRIT: i64 = 2;
pub(super) const CONTENT_TYPE: i64 = 3;
pub(super) const KID: i64 = 4;
pub(super) const IV: i64 = 5;
pub(super) const PARTIAL_IV: i64 = 6;
pub(super) const KID_CONTEXT: i64 = 10;
pub(super) const EPHEMERAL_KEY: i64 = -1;
pub(super) const STATIC_KEY: i64 = -2;
pub(super) const STATIC_KEY_ID: i64 = -3;
pub(super) const SALT: i64 = -20;
/// The six context parameters of RFC 9053 section 5.2, which the draft forbids.
const PARTY_FIRST: i64 = -26;
const PARTY_LAST: i64 = -21;

/// What is understood here, and may therefore be critical.
const UNDERSTOOD: [i64; 11] = [
    ALG,
    CRIT,
    CONTENT_TYPE,
    KID,
    IV,
    PARTIAL_IV,
    KID_CONTEXT,
    EPHEMERAL_KEY,
    STATIC_KEY,
    STATIC_KEY_ID,
    SALT,
];

/// The name of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label<'a> {
    Number(i64),
    Text(&'a str),
}

/// A map with its values as they were read; no label occurs twice.
#[derive(Debug, Clone, Default)]
pub(super) struct HeaderMap<'a> {
    entries: Vec<(Label<'a>, &'a [u8])>,
}

impl<'a> HeaderMap<'a> {
    /// Reads the bytes of a protected map; no bytes are an empty map.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, CoseError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        let map = Self::read(&mut reader)?;
        reader.end()?;
        Ok(map)
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, CoseError> {
        let mut elements = reader.map()?;
        let mut map = Self::default();
        while elements.more(reader) {
            let label = Label::decode(reader.item()?)?;
            let value = reader.item()?;
            if map.find(label).is_some() {
                return Err(CoseError::DuplicateLabel);
            }
            if map.entries.len() == HEADERS_MAX {
                return Err(CoseError::TooManyHeaders);
            }
            map.entries.push((label, value));
        }
        Ok(map)
    }

    fn find(&self, label: Label<'_>) -> Option<&'a [u8]> {
        self.entries.iter().find(|(other, _)| *other == label).map(|(_, value)| *value)
    }

    pub(super) fn value(&self, label: i64) -> Option<&'a [u8]> {
        self.find(Label::Number(label))
    }

    /// A value that must be a byte string where it occurs.
    pub(super) fn bytes(&self, label: i64) -> Result<Option<&'a [u8]>, CoseError> {
        let Some(value) = self.value(label) else { return Ok(None) };
        let mut reader = Reader::new(value);
        Ok(Some(reader.bytes_definite()?))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds another map, none of whose labels may be here already.
    pub(super) fn join(&mut self, other: &Self) -> Result<(), CoseError> {
        if other.entries.iter().any(|(label, _)| self.find(*label).is_some()) {
            return Err(CoseError::DuplicateLabel);
        }
        self.entries.extend_from_slice(&other.entries);
        Ok(())
    }

    /// Adds what is not here already.
    fn fill_from(&mut self, other: &Self) {
        for (label, value) in &other.entries {
            if self.find(*label).is_none() {
                self.entries.push((*label, value));
            }
        }
    }

    /// Refuses what must never stand in a header of this context.
    fn check_allowed(&self) -> Result<(), CoseError> {
        for (label, _) in &self.entries {
            if let Label::Number(label @ PARTY_FIRST..=PARTY_LAST) = label {
                return Err(CoseError::ForbiddenHeader(*label));
            }
        }
        Ok(())
    }

    /// Checks the list of headers that must be understood (RFC 9052 section 3.1).
    fn check_critical(&self) -> Result<(), CoseError> {
        let Some(list) = self.value(CRIT) else { return Ok(()) };
        let mut reader = Reader::new(list);
        let mut elements = reader.array()?;
        elements.next(&mut reader).map_err(|_| CoseError::Critical)?;
        loop {
            let label = Label::decode(reader.item()?)?;
            let understood = matches!(label, Label::Number(label) if UNDERSTOOD.contains(&label));
            // A critical header that is absent, or not protected, is a broken promise as well.
            if !understood || self.find(label).is_none() {
                return Err(CoseError::Critical);
            }
            if !elements.more(&mut reader) {
                return Ok(());
            }
        }
    }
}

impl<'a> Label<'a> {
    fn decode(item: &'a [u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(item);
        match reader.int() {
            Ok(number) => Ok(Self::Number(number)),
            Err(CborError::Type) => reader.text_definite().map(Self::Text),
            Err(error) => Err(error),
        }
    }
}

/// The headers of one layer of a message.
#[derive(Debug, Clone)]
pub(super) struct Layer<'a> {
    /// The protected headers as they enter signatures and keys: an empty map is no bytes.
    pub(super) protected: &'a [u8],
    signed: HeaderMap<'a>,
    all: HeaderMap<'a>,
}

impl<'a> Layer<'a> {
    /// Reads the two header maps that every layer begins with.
    ///
    /// `additional` are the headers of the security block, if they apply to this layer. They count
    /// as unprotected and yield to the layer's own.
    pub(super) fn read(
        reader: &mut Reader<'a>,
        additional: Option<&HeaderMap<'a>>,
    ) -> Result<Self, CoseError> {
        let bytes = reader.bytes_definite()?;
        let signed = HeaderMap::decode(bytes)?;
        let unprotected = HeaderMap::read(reader)?;
        if unprotected.value(CRIT).is_some() {
            return Err(CoseError::Critical);
        }
        signed.check_critical()?;
        let mut all = signed.clone();
        all.join(&unprotected)?;
        if let Some(additional) = additional {
            all.fill_from(additional);
        }
        all.check_allowed()?;
        let protected = if signed.is_empty() { &[] } else { bytes };
        Ok(Self { protected, signed, all })
    }

    /// The algorithm of a content or signature layer, which has to be protected.
    pub(super) fn protected_algorithm(&self) -> Result<i64, CoseError> {
        let value = self.signed.value(ALG).ok_or(CoseError::AlgorithmPlace)?;
        read_algorithm(value)
    }

    /// The algorithm of a recipient: protected, but for those which cannot protect anything and
    /// must not pretend to (RFC 9053 sections 6.1.1 and 6.2.1).
    pub(super) fn recipient_algorithm(&self) -> Result<i64, CoseError> {
        let code = read_algorithm(self.all.value(ALG).ok_or(CoseError::AlgorithmPlace)?)?;
        let bare = matches!(Algorithm::from_code(code), Some(Algorithm::A128Kw | Algorithm::A256Kw));
        let placed = if bare || code == DIRECT {
            self.protected.is_empty()
        } else {
            self.signed.value(ALG).is_some() || Algorithm::from_code(code).is_none()
        };
        if placed { Ok(code) } else { Err(CoseError::AlgorithmPlace) }
    }

    pub(super) fn value(&self, label: i64) -> Option<&'a [u8]> {
        self.all.value(label)
    }

    pub(super) fn bytes(&self, label: i64) -> Result<Option<&'a [u8]>, CoseError> {
        self.all.bytes(label)
    }

    pub(super) fn kid(&self) -> Result<Option<&'a [u8]>, CoseError> {
        self.bytes(KID)
    }
}

/// A text names an algorithm that is in no registry; zero stands for all of those.
fn read_algorithm(value: &[u8]) -> Result<i64, CoseError> {
    match Label::decode(value)? {
        Label::Number(code) => Ok(code),
        Label::Text(_) => Ok(0),
    }
}

/// Headers that are about to be written, in their deterministic order.
#[derive(Debug, Default)]
pub(super) struct Headers {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Headers {
    pub(super) fn set(&mut self, label: i64, value: Vec<u8>) {
        let mut key = Vec::new();
        key.put_int(label);
        self.entries.push((key, value));
        self.entries.sort();
    }

    pub(super) fn set_bytes(&mut self, label: i64, value: &[u8]) {
        let mut item = Vec::new();
        item.put_bytes(value);
        self.set(label, item);
    }

    pub(super) fn set_int(&mut self, label: i64, value: i64) {
        let mut item = Vec::new();
        item.put_int(value);
        self.set(label, item);
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_map(u64::try_from(self.entries.len()).unwrap_or(u64::MAX));
        for (label, value) in &self.entries {
            out.raw(label);
            out.raw(value);
        }
    }

    /// The map as protected headers: without entries there are no bytes.
    pub(super) fn encode_protected(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.entries.is_empty() {
            self.write(&mut out);
        }
        out
    }
}

/// The protected headers that name an algorithm and nothing else.
pub(super) fn algorithm_only(algorithm: Algorithm) -> Vec<u8> {
    let mut headers = Headers::default();
    headers.set_int(ALG, algorithm.code());
    headers.encode_protected()
}
