//! What cards and delivery notices travel in: signed bytes and their signature.

use alloc::vec::Vec;

use crate::cbor::{CborError, Reader, Write};
use crate::identity::Signature;

/// `[body, signature]`
pub(crate) fn close(body: &[u8], signature: &Signature) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 72);
    out.put_array(2);
    out.put_bytes(body);
    out.put_bytes(signature);
    out
}

/// Body and signature; whether [`close`] would write these very bytes is for the caller to ask.
pub(crate) fn open(bytes: &[u8]) -> Result<(&[u8], Signature), CborError> {
    let mut reader = Reader::new(bytes);
    let mut elements = reader.array()?;
    elements.next(&mut reader)?;
    let body = reader.bytes_definite()?;
    elements.next(&mut reader)?;
    let signature = Signature::try_from(reader.bytes_definite()?).map_err(|_| CborError::Count)?;
    elements.finish(&mut reader)?;
    reader.end()?;
    Ok((body, signature))
}

/// What is signed: the body behind a text that no other kind of signed bytes begins with.
pub(crate) fn to_be_signed(context: &[u8], body: &[u8]) -> Vec<u8> {
    [context, body].concat()
}

/// A field that is a key or a digest.
pub(crate) fn bytes32(reader: &mut Reader<'_>) -> Result<[u8; 32], CborError> {
    <[u8; 32]>::try_from(reader.bytes_definite()?).map_err(|_| CborError::Count)
}
