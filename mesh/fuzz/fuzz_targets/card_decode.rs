//! A card has one form in bytes and one in text.
#![no_main]

use cairn_bundle::SignedCard;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(card) = SignedCard::decode(data) {
        assert_eq!(card.as_bytes(), data);
        assert_eq!(SignedCard::from_text(&card.to_text()), Ok(card));
    }
    if let Ok(text) = core::str::from_utf8(data) {
        let _ = SignedCard::from_text(text);
    }
});
