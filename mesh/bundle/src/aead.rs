//! ChaCha20-Poly1305 of RFC 8439 section 2.8, put together from its two halves.
//!
//! The AVX2 form of `poly1305` takes four blocks at once only as long as it has got a multiple of
//! four before, and authenticated data rarely has such a length: the crate `chacha20poly1305` then
//! takes the slow path for the whole message. Here the first blocks of the message fill up the four.
//! The tests compare it with that crate.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use zeroize::Zeroizing;

/// How much longer a message is when it is encrypted.
pub(crate) const TAG_BYTES: usize = 16;

const BLOCK_BYTES: usize = 16;
/// How many blocks `poly1305` takes at once where it can.
const BLOCKS_AT_ONCE: usize = 4;

/// Encrypts in place and gives the tag, or nothing if the message is longer than 256 GiB.
pub(crate) fn encrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    message: &mut [u8],
) -> Option<[u8; TAG_BYTES]> {
    let (mut stream, mut mac) = start(key, nonce, aad);
    stream.try_apply_keystream(message).ok()?;
    mac.update_padded(message);
    Some(mac.finish(aad.len(), message.len())?.finalize().into())
}

/// Decrypts into `plaintext`, which is as long as `ciphertext`, once the tag has been found right;
/// else `plaintext` stays as it is.
pub(crate) fn decrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    ciphertext: &[u8],
    tag: [u8; TAG_BYTES],
    plaintext: &mut [u8],
) -> Option<()> {
    let (mut stream, mut mac) = start(key, nonce, aad);
    mac.update_padded(ciphertext);
    // The comparison takes the same time wherever the tags differ.
    mac.finish(aad.len(), ciphertext.len())?.verify(&tag.into()).ok()?;
    stream.try_apply_keystream_b2b(ciphertext, plaintext).ok()
}

/// The first block of the key stream is the one-time key of the authenticator; the rest encrypts.
fn start(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8]) -> (ChaCha20, Mac) {
    let mut stream = ChaCha20::new(key.into(), nonce.into());
    let mut block = Zeroizing::new([0; 64]);
    stream.apply_keystream(block.as_mut_slice());
    let mut mac_key = Zeroizing::new([0; 32]);
    mac_key.iter_mut().zip(block.iter()).for_each(|(to, from)| *to = *from);
    let mut mac = Mac { inner: Poly1305::new((&*mac_key).into()), blocks: 0 };
    mac.update_padded(aad);
    (stream, mac)
}

struct Mac {
    inner: Poly1305,
    /// How many blocks went in.
    blocks: usize,
}

impl Mac {
    /// Takes some data and zeros up to the end of its last block.
    fn update_padded(&mut self, data: &[u8]) {
        let odd_blocks = self.blocks % BLOCKS_AT_ONCE;
        let missing_blocks = (BLOCKS_AT_ONCE - odd_blocks) % BLOCKS_AT_ONCE;
        let (first, rest) = data.split_at(data.len().min(missing_blocks * BLOCK_BYTES));
        self.inner.update_padded(first);
        self.inner.update_padded(rest);
        self.blocks += data.len().div_ceil(BLOCK_BYTES);
    }

    /// Takes the two lengths, which come last.
    fn finish(mut self, aad_bytes: usize, message_bytes: usize) -> Option<Poly1305> {
        let aad_bytes = u64::try_from(aad_bytes).ok()?;
        let message_bytes = u64::try_from(message_bytes).ok()?;
        let lengths = (u128::from(message_bytes) << 64) | u128::from(aad_bytes);
        self.update_padded(&lengths.to_le_bytes());
        Some(self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    use chacha20poly1305::ChaCha20Poly1305;
    use chacha20poly1305::aead::{Aead, Payload};

    const KEY: [u8; 32] = [7; 32];
    const NONCE: [u8; 12] = [9; 12];

    fn bytes(count: usize) -> Vec<u8> {
        (0..=u8::MAX).cycle().take(count).collect()
    }

    #[test]
    fn every_length_gives_what_another_implementation_gives() {
        let oracle = ChaCha20Poly1305::new(&KEY.into());
        for aad in (0..70).chain([127, 128, 129, 255, 256, 257]).map(bytes) {
            for message in (0..70).chain([127, 128, 129, 1000, 4096, 5000]).map(bytes) {
                let payload = Payload { msg: &message, aad: &aad };
                let expected = oracle.encrypt(&NONCE.into(), payload).unwrap();
                let mut found = message.clone();
                let tag = encrypt(&KEY, &NONCE, &aad, &mut found).unwrap();
                let mut plaintext = vec![0; message.len()];
                assert_eq!(decrypt(&KEY, &NONCE, &aad, &found, tag, &mut plaintext), Some(()));
                assert_eq!(plaintext, message);
                found.extend_from_slice(&tag);
                assert!(found == expected, "{} bytes with {} beside them", message.len(), aad.len());
            }
        }
    }

    #[test]
    fn the_example_of_rfc_8439_comes_out() {
        let key = core::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap());
        let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let mut message = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip \
            for the future, sunscreen would be it.";
        let tag = encrypt(&key, &nonce, &aad, &mut message).unwrap();
        assert_eq!(message[..8], [0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb]);
        let expected =
            [0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91];
        assert_eq!(tag, expected);
    }

    #[test]
    fn nothing_is_decrypted_unless_key_nonce_data_and_tag_are_right() {
        let mut sealed = bytes(100);
        let tag = encrypt(&KEY, &NONCE, b"aad", &mut sealed).unwrap();
        let refused = |key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8], tag| {
            let mut plaintext = vec![0; sealed.len()];
            assert_eq!(decrypt(key, nonce, aad, sealed, tag, &mut plaintext), None);
            assert!(plaintext.iter().all(|byte| *byte == 0));
        };
        refused(&[8; 32], &NONCE, b"aad", &sealed, tag);
        refused(&KEY, &[8; 12], b"aad", &sealed, tag);
        refused(&KEY, &NONCE, b"aac", &sealed, tag);
        refused(&KEY, &NONCE, b"", &sealed, tag);
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            refused(&KEY, &NONCE, b"aad", &flipped, tag);
            refused(&KEY, &NONCE, b"aad", &sealed[..at], tag);
        }
        for at in 0..TAG_BYTES {
            let mut flipped = tag;
            flipped[at] ^= 0x80;
            refused(&KEY, &NONCE, b"aad", &sealed, flipped);
        }
    }
}
