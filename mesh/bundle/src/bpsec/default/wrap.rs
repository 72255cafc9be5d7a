//! AES key wrap (RFC 3394).

use aes_kw::aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, consts::U16};
use aes_kw::aes::{Aes128, Aes192, Aes256};
use aes_kw::{AesKw, InnerInit, KeyInit};
use alloc::vec::Vec;
use zeroize::Zeroizing;

use crate::bpsec::context::OperationError;
use crate::bpsec::key::SymmetricKey;

/// What the wrapping adds.
const OVERHEAD: usize = 8;

/// Wraps a key; its length decides on the variant of AES.
pub(super) fn wrap(kek: &SymmetricKey, key: &SymmetricKey) -> Result<Vec<u8>, OperationError> {
    match kek.bytes().len() {
        16 => wrap_with::<Aes128>(kek, key),
        24 => wrap_with::<Aes192>(kek, key),
        32 => wrap_with::<Aes256>(kek, key),
        _ => Err(OperationError::KeyLength),
    }
}

/// Unwraps a key of a length that some algorithm has.
pub(super) fn unwrap(kek: &SymmetricKey, wrapped: &[u8]) -> Result<SymmetricKey, OperationError> {
    // Checked before any work: nothing longer is a key.
    let len = wrapped.len().checked_sub(OVERHEAD).ok_or(OperationError::Unwrap)?;
    if !matches!(len, 16 | 24 | 32 | 48 | 64) {
        return Err(OperationError::Unwrap);
    }
    match kek.bytes().len() {
        16 => unwrap_with::<Aes128>(kek, wrapped, len),
        24 => unwrap_with::<Aes192>(kek, wrapped, len),
        32 => unwrap_with::<Aes256>(kek, wrapped, len),
        _ => Err(OperationError::KeyLength),
    }
}

fn wrap_with<A>(kek: &SymmetricKey, key: &SymmetricKey) -> Result<Vec<u8>, OperationError>
where
    A: KeyInit + BlockCipherEncrypt<BlockSize = U16>,
{
    let cipher = A::new_from_slice(kek.bytes()).map_err(|_| OperationError::KeyLength)?;
    let mut out = alloc::vec![0; key.bytes().len() + OVERHEAD];
    AesKw::inner_init(cipher).wrap_key(key.bytes(), &mut out).map_err(|_| OperationError::KeyLength)?;
    Ok(out)
}

fn unwrap_with<A>(kek: &SymmetricKey, wrapped: &[u8], len: usize) -> Result<SymmetricKey, OperationError>
where
    A: KeyInit + BlockCipherDecrypt<BlockSize = U16>,
{
    let cipher = A::new_from_slice(kek.bytes()).map_err(|_| OperationError::KeyLength)?;
    let mut out = Zeroizing::new(alloc::vec![0; len]);
    AesKw::inner_init(cipher).unwrap_key(wrapped, &mut out).map_err(|_| OperationError::Unwrap)?;
    Ok(SymmetricKey::from_zeroizing(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> SymmetricKey {
        SymmetricKey::new(bytes).unwrap()
    }

    fn counting(len: u8) -> Vec<u8> {
        (0..len).collect()
    }

    #[test]
    fn wrapping_gives_the_bytes_of_rfc_3394() {
        let data =
            [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        let cases: [(u8, &[u8]); 3] = [
            (16, b"1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"),
            (24, b"96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"),
            (32, b"64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"),
        ];
        for (len, expected) in cases {
            let kek = key(&counting(len));
            let wrapped = wrap(&kek, &key(&data)).unwrap();
            assert_eq!(data_encoding::HEXLOWER.encode(&wrapped).as_bytes(), expected);
            assert_eq!(unwrap(&kek, &wrapped).unwrap().bytes(), data);
        }
    }

    #[test]
    fn a_changed_bit_or_an_odd_length_does_not_unwrap() {
        let kek = key(&[7; 32]);
        let wrapped = wrap(&kek, &key(&[9; 48])).unwrap();
        for bit in 0..wrapped.len() * 8 {
            let mut bad = wrapped.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unwrap(&kek, &bad).unwrap_err(), OperationError::Unwrap);
        }
        for len in 0..wrapped.len() {
            assert_eq!(unwrap(&kek, &wrapped[..len]).unwrap_err(), OperationError::Unwrap, "{len}");
        }
        let long = [&wrapped[..], &[0; 1000]].concat();
        assert_eq!(unwrap(&kek, &long).unwrap_err(), OperationError::Unwrap);
        assert_eq!(unwrap(&key(&[8; 32]), &wrapped).unwrap_err(), OperationError::Unwrap);
        assert_eq!(unwrap(&key(&[7; 48]), &wrapped).unwrap_err(), OperationError::KeyLength);
    }
}
