//! X25519 for one message: an ephemeral secret that a bad generator alone does not give away, and
//! an agreement that accepts each key in one form only.

use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::identity::Identity;

/// A fresh X25519 secret. The identity and the message are mixed in, so that a bad random number
/// generator alone does not give it away.
pub(crate) fn ephemeral_secret(me: &Identity, message: &[&[u8]; 2], rng: &mut dyn CryptoRng) -> StaticSecret {
    let mut random = Zeroizing::new([0; 32]);
    rng.fill_bytes(random.as_mut_slice());
    let mut hasher = blake3::Hasher::new_derive_key("cairn 2026-11 X25519 ephemeral sealing key");
    hasher.update(random.as_slice());
    hasher.update(me.seed());
    for part in message {
        hasher.update(part);
    }
    let mut output = hasher.finalize();
    let secret = Zeroizing::new(*output.as_bytes());
    output.zeroize();
    hasher.zeroize();
    StaticSecret::from(*secret)
}

/// X25519, for keys in their one valid form and of full order only.
pub(crate) fn agree(secret: &StaticSecret, public: [u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    if !is_canonical(&public) {
        return None;
    }
    let shared = secret.diffie_hellman(&PublicKey::from(public));
    shared.was_contributory().then(|| Zeroizing::new(*shared.as_bytes()))
}

/// Whether the coordinate is below 2^255 - 19. X25519 itself ignores the top bit and reduces the
/// rest, so that one key would have several forms and a bundle several names.
fn is_canonical(public: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = public;
    let at_least_p = *highest == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *lowest >= 0xed;
    *highest < 0x80 && !at_least_p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_small_order_or_in_a_second_form_agree_on_nothing() {
        let secret = StaticSecret::from([1; 32]);
        let mut p_minus_one = [0xff; 32];
        (p_minus_one[0], p_minus_one[31]) = (0xec, 0x7f);
        let mut nine_plus_p = [0xff; 32];
        (nine_plus_p[0], nine_plus_p[31]) = (0xf6, 0x7f);
        let mut nine = [0; 32];
        nine[0] = 9;
        let mut nine_high = nine;
        nine_high[31] = 0x80;
        assert!(agree(&secret, nine).is_some());
        for refused in [[0; 32], p_minus_one, nine_plus_p, nine_high, [0xff; 32]] {
            assert!(agree(&secret, refused).is_none());
        }
    }
}
