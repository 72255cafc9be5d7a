//! What a security operation sees of its bundle, and the bytes that it authenticates.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::CoseError;
use super::header::HeaderMap;
use super::message::MessageKind;
use super::scope::AadScope;
use crate::block::{Block, BlockKind};
use crate::bpsec::asb::SecurityBlock;
use crate::cbor::{Reader, Write};
use crate::eid::Eid;
use crate::primary::Primary;

/// The id of this security context.
pub const CONTEXT_COSE: i64 = 3;

pub(super) const ADDITIONAL_PROTECTED: u64 = 3;
pub(super) const ADDITIONAL_UNPROTECTED: u64 = 4;
pub(super) const AAD_SCOPE: u64 = 5;

/// The parameters of a security block of this context.
#[derive(Debug)]
pub(super) struct Parameters {
    /// The additional protected headers, which are authenticated byte for byte.
    pub(super) protected: Vec<u8>,
    pub(super) unprotected: Vec<u8>,
    pub(super) scope: AadScope,
}

impl Parameters {
    pub(super) fn read(block: &SecurityBlock) -> Result<Self, CoseError> {
        let known = [ADDITIONAL_PROTECTED, ADDITIONAL_UNPROTECTED, AAD_SCOPE];
        if let Some((id, _)) = block.parameters.iter().find(|(id, _)| !known.contains(id)) {
            return Err(CoseError::Parameter(*id));
        }
        let headers = |id| block.parameter(id).map_or_else(|| Ok(Vec::new()), byte_string);
        Ok(Self {
            protected: headers(ADDITIONAL_PROTECTED)?,
            unprotected: headers(ADDITIONAL_UNPROTECTED)?,
            scope: block.parameter(AAD_SCOPE).map_or_else(|| Ok(AadScope::default()), AadScope::decode)?,
        })
    }

    /// Both maps of additional headers as one.
    pub(super) fn headers(&self) -> Result<HeaderMap<'_>, CoseError> {
        let mut headers = HeaderMap::decode(&self.protected)?;
        headers.join(&HeaderMap::decode(&self.unprotected)?)?;
        // Only protected headers of a layer can be critical, and these count as unprotected.
        if headers.value(super::header::CRIT).is_some() {
            return Err(CoseError::Critical);
        }
        Ok(headers)
    }
}

fn byte_string(item: &[u8]) -> Result<Vec<u8>, CoseError> {
    Ok(byte_string_of(item)?.into_owned())
}

/// The contents of an item that must be a byte string.
pub(super) fn byte_string_of(item: &[u8]) -> Result<Cow<'_, [u8]>, CoseError> {
    let mut reader = Reader::new(item);
    let bytes = reader.bytes()?;
    reader.end()?;
    Ok(bytes)
}

/// A security block in its bundle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) primary: &'a Primary,
    pub(super) blocks: &'a [Block],
    /// The security block; of its data nothing is used here.
    pub(super) block: &'a Block,
    pub(super) targets: &'a [u64],
    pub(super) source: &'a Eid,
    pub(super) parameters: &'a Parameters,
}

impl<'a> Scene<'a> {
    pub(super) fn block(&self, number: u64) -> Result<&'a Block, CoseError> {
        find(self.blocks, number)
    }

    /// What an integrity operation covers: the primary block, or the contents of another.
    pub(super) fn contents(&self, target: u64) -> Result<Cow<'a, [u8]>, CoseError> {
        if target == 0 {
            return Ok(Cow::Owned(self.primary.encode()));
        }
        Ok(Cow::Borrowed(&self.block(target)?.data))
    }

    /// The external AAD of the draft's section on its generation, for one target.
    pub(super) fn external_aad(&self, target: u64) -> Result<Vec<u8>, CoseError> {
        let mut out = Vec::new();
        self.source.write(&mut out);
        out.raw(&self.parameters.scope.encode());
        for (number, flags) in self.parameters.scope.blocks() {
            self.write_scoped(&mut out, number, flags, target)?;
        }
        let (target_flags, security_flags) = self.parameters.scope.special();
        if (target_flags | security_flags) & AadScope::CONTENTS != 0 {
            return Err(CoseError::Scope);
        }
        if target_flags & AadScope::METADATA != 0 {
            self.write_metadata(&mut out, target)?;
        }
        if security_flags & AadScope::METADATA != 0 {
            self.block.write_metadata(&mut out);
        }
        out.put_bytes(&self.parameters.protected);
        Ok(out)
    }

    fn write_scoped(&self, out: &mut Vec<u8>, number: u64, flags: u64, target: u64) -> Result<(), CoseError> {
        if flags & AadScope::METADATA != 0 {
            self.write_metadata(out, number)?;
        }
        if flags & AadScope::CONTENTS == 0 {
            return if number == 0 { Ok(()) } else { self.block_or_own(number).map(|_| ()) };
        }
        // The target's contents are covered anyway, the security block's do not exist yet, and
        // contents that the same block encrypts would depend on the order of its targets.
        let encrypted = self.block.kind == BlockKind::Confidentiality && self.targets.contains(&number);
        if number == 0 || number == target || number == self.block.number || encrypted {
            return Err(CoseError::Scope);
        }
        out.put_bytes(&self.block(number)?.data);
        Ok(())
    }

    /// The primary block as a whole, or the first three fields of another block.
    fn write_metadata(&self, out: &mut Vec<u8>, number: u64) -> Result<(), CoseError> {
        if number == 0 {
            out.raw(&self.primary.encode());
        } else {
            self.block_or_own(number)?.write_metadata(out);
        }
        Ok(())
    }

    fn block_or_own(&self, number: u64) -> Result<&'a Block, CoseError> {
        if number == self.block.number { Ok(self.block) } else { self.block(number) }
    }

    /// `COSE_KDF_Context` of RFC 9053 with what the draft puts into it.
    pub(super) fn kdf_context(&self, algorithm: i64, key_bytes: usize, protected: &[u8]) -> Vec<u8> {
        let mut other = Vec::new();
        other.put_text("BPSec");
        self.source.write(&mut other);
        other.put_bytes(&self.parameters.protected);

        let mut out = Vec::new();
        out.put_array(4);
        out.put_int(algorithm);
        for _party in ["sender", "recipient"] {
            out.put_array(3);
            out.put_null();
            out.put_null();
            out.put_null();
        }
        out.put_array(3);
        out.put_uint(u64::try_from(key_bytes).unwrap_or(u64::MAX).saturating_mul(8));
        out.put_bytes(protected);
        out.put_bytes(&other);
        out
    }
}

pub(super) fn find(blocks: &[Block], number: u64) -> Result<&Block, CoseError> {
    blocks.iter().find(|block| block.number == number).ok_or(CoseError::MissingBlock(number))
}

/// `MAC_structure`, `Sig_structure` or `Enc_structure` of RFC 9052.
///
/// `signer` are the protected headers of one of several signatures; `contents` is `None` for
/// encryption, where it is no part of the structure.
pub(super) fn structure(
    kind: MessageKind,
    protected: &[u8],
    signer: Option<&[u8]>,
    external_aad: &[u8],
    contents: Option<&[u8]>,
) -> Vec<u8> {
    let contents_bytes = contents.map_or(0, <[u8]>::len);
    let mut out = Vec::with_capacity(external_aad.len() + contents_bytes + protected.len() + 64);
    out.put_array(3 + u64::from(signer.is_some()) + u64::from(contents.is_some()));
    out.put_text(kind.context());
    for bytes in [Some(protected), signer, Some(external_aad), contents].into_iter().flatten() {
        out.put_bytes(bytes);
    }
    out
}
