//! A ring of prekeys has one form, and a card with prekeys as well.
#![no_main]

use cairn_bundle::{Prekeys, SignedCard};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(keys) = Prekeys::decode(data) {
        assert_eq!(*keys.encode(), data);
    }
    if let Ok(card) = SignedCard::decode(data) {
        assert_eq!(card.as_bytes(), data);
    }
});
