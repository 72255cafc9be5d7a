//! Cards say what their node signed, in one form, and nothing that deceives.

mod common;

use cairn_bundle::{Card, CardError, CborError, Identity, SignedCard, card};
use common::{recipient, sender};
use proptest::prelude::*;

fn typical() -> Card {
    Card {
        node: sender().node_id(),
        name: "North ridge, hut 3".into(),
        sealing_key: sender().sealing_key(),
        addresses: vec!["iroh:192.168.4.17:4433".into(), "iroh:[fe80::2a1:c5ff:fe12:9b01]:4433".into()],
        services: vec!["inbox".into(), "ledger".into()],
        counter: 12,
    }
}

#[test]
fn a_card_comes_back_from_bytes_and_from_text() {
    let signed = typical().sign(&sender()).unwrap();
    assert_eq!(SignedCard::decode(signed.as_bytes()), Ok(signed.clone()));
    assert_eq!(signed.card(), &typical());
    let text = signed.to_text();
    let dense = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b':');
    assert!(dense, "every character is in the dense mode of a QR code");
    assert_eq!(SignedCard::from_text(&text), Ok(signed.clone()));
    assert_eq!(SignedCard::from_text(&format!("\n  {}\r\n", text.to_lowercase())), Ok(signed.clone()));
    let wrapped = format!("{}\n{}", &text[..60], &text[60..]);
    assert_eq!(SignedCard::from_text(&wrapped), Ok(signed));
}

#[test]
fn a_typical_card_is_small_enough_for_a_qr_code() {
    let signed = typical().sign(&sender()).unwrap();
    assert!(signed.as_bytes().len() < 400, "{} bytes", signed.as_bytes().len());
}

#[test]
fn no_truncation_and_no_flipped_bit_gets_through() {
    let bytes = typical().sign(&sender()).unwrap().as_bytes().to_vec();
    for end in 0..bytes.len() {
        assert!(SignedCard::decode(&bytes[..end]).is_err());
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(SignedCard::decode(&flipped).is_err(), "byte {at}, bit {bit}");
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(SignedCard::decode(&longer), Err(CardError::Cbor(CborError::Trailing)));
}

#[test]
fn only_the_node_itself_signs_its_card() {
    assert_eq!(typical().sign(&recipient()), Err(CardError::Signature));
    // A liar signs a card that names another node.
    let mut lie = Card { node: recipient().node_id(), ..typical() };
    let honest = lie.sign(&recipient()).unwrap();
    lie.name = "Someone else".into();
    let changed = lie.sign(&recipient()).unwrap();
    let mut mixed = honest.as_bytes().to_vec();
    let end = mixed.len() - 64;
    mixed.splice(end.., changed.as_bytes()[changed.as_bytes().len() - 64..].iter().copied());
    assert_eq!(SignedCard::decode(&mixed), Err(CardError::Signature));
}

#[test]
fn another_way_to_write_the_same_card_is_refused() {
    let signed = typical().sign(&sender()).unwrap();
    let bytes = signed.as_bytes();
    let loose = [&[0x9f], &bytes[1..], &[0xff]].concat();
    assert_eq!(SignedCard::decode(&loose), Err(CardError::NotCanonical));
}

#[test]
fn limits_are_kept_to_the_last_byte_and_entry() {
    let (name, entry) = ("n".repeat(64), "e".repeat(128));
    let full = Card {
        name: name.clone(),
        addresses: vec![entry.clone(); 8],
        services: vec![entry.clone(); 8],
        counter: u64::MAX,
        ..typical()
    };
    let signed = full.sign(&sender()).unwrap();
    assert!(signed.as_bytes().len() <= card::CARD_BYTES_MAX);
    assert_eq!(SignedCard::from_text(&signed.to_text()), Ok(signed));
    let wrong = |card: Card, error| assert_eq!(card.sign(&sender()), Err(error));
    wrong(Card { name: name + "n", ..full.clone() }, CardError::Name);
    wrong(Card { name: String::new(), ..full.clone() }, CardError::Name);
    wrong(Card { addresses: vec![entry.clone(); 9], ..full.clone() }, CardError::Entry);
    wrong(Card { services: vec![entry.clone(); 9], ..full.clone() }, CardError::Entry);
    wrong(Card { addresses: vec![entry + "e"], ..full.clone() }, CardError::Entry);
    wrong(Card { services: vec![String::new()], ..full }, CardError::Entry);
    assert_eq!(SignedCard::decode(&vec![0x82; card::CARD_BYTES_MAX + 1]), Err(CardError::TooLarge));
    assert_eq!(SignedCard::from_text(&" ".repeat(4 * card::CARD_BYTES_MAX + 1)), Err(CardError::TooLarge));
}

#[test]
fn text_that_deceives_is_refused() {
    for name in ["a\nb", "a\u{7}", "\u{202e}evil", "a\u{200b}b", "\u{2066}a", "\u{9b}31m"] {
        assert_eq!(Card { name: name.into(), ..typical() }.sign(&sender()), Err(CardError::Name));
    }
    for name in ["Žofie", "北の小屋", "محطة", "hut 🏔"] {
        assert!(Card { name: name.into(), ..typical() }.sign(&sender()).is_ok());
    }
}

#[test]
fn text_that_is_no_card_is_refused() {
    assert_eq!(SignedCard::from_text(""), Err(CardError::Text));
    assert_eq!(SignedCard::from_text("https://example.org"), Err(CardError::Text));
    assert_eq!(SignedCard::from_text("CAIRN:189"), Err(CardError::Text));
    assert_eq!(SignedCard::from_text("CAIRN:"), Err(CardError::Cbor(CborError::Truncated)));
    let text = typical().sign(&sender()).unwrap().to_text();
    assert!(SignedCard::from_text(&text[..text.len() - 1]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_card_comes_back(
        seed in any::<[u8; 32]>(),
        name in "[^\\p{C}\u{2028}\u{2029}]{1,16}",
        addresses in proptest::collection::vec("[ -~]{1,128}", 0..=8),
        services in proptest::collection::vec("[a-z]{1,128}", 0..=8),
        counter in any::<u64>(),
    ) {
        let me = Identity::from_seed(&seed);
        let (node, sealing_key) = (me.node_id(), me.sealing_key());
        let card = Card { node, name, sealing_key, addresses, services, counter };
        let signed = card.sign(&me).unwrap();
        let again = SignedCard::decode(signed.as_bytes()).unwrap();
        prop_assert_eq!(again.card(), &card);
    }

    #[test]
    fn rubbish_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(SignedCard::decode(&bytes).is_err());
    }
}
