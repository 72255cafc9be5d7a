//! Cards say what their node signed, in one form, and nothing that deceives.

mod common;

use cairn_bundle::{
    Card, CardError, CborError, Fallback, Identity, Prekey, SealedTo, SealingKey, SenderClock, SignedCard,
    card,
};
use common::{recipient, sender};
use proptest::prelude::*;

const DAY: u64 = 86_400;
const NOON: u64 = 2_500 * DAY + DAY / 2;

fn prekey(n: u8, valid_until_s: u64) -> Prekey {
    Prekey { key: SealingKey([n; 32]), valid_until_s }
}

fn typical() -> Card {
    Card {
        node: sender().node_id(),
        name: "North ridge, hut 3".into(),
        sealing_key: sender().sealing_key(),
        prekeys: vec![prekey(1, NOON + 8 * DAY)],
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
    assert_eq!((signed.as_bytes().len(), signed.to_text().len()), (276, 448));
    let older = Card { prekeys: Vec::new(), ..typical() }.sign(&sender()).unwrap();
    assert_eq!(signed.as_bytes().len() - older.as_bytes().len(), 41, "what a prekey costs");
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
        prekeys: (1..=3).map(|n| prekey(n, u64::MAX)).collect(),
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

#[test]
fn a_card_without_prekeys_is_what_it_was_before_there_were_any() {
    let card = Card { prekeys: Vec::new(), ..typical() };
    let signed = card.sign(&sender()).unwrap();
    assert_eq!(signed.as_bytes()[3..5], [0x87, 0x01], "seven elements, version 1");
    assert_eq!(SignedCard::decode(signed.as_bytes()).unwrap().card(), &card);
    assert_eq!(typical().sign(&sender()).unwrap().as_bytes()[3..5], [0x88, 0x02]);
}

#[test]
fn one_prekey_too_many_and_one_that_is_there_twice_are_refused() {
    let wrong = |prekeys| {
        assert_eq!(Card { prekeys, ..typical() }.sign(&sender()), Err(CardError::Prekeys));
    };
    wrong((1..=4).map(|n| prekey(n, 1)).collect());
    wrong(vec![prekey(1, 1), prekey(2, 1), prekey(1, 2)]);
    wrong(vec![Prekey { key: sender().sealing_key(), valid_until_s: 1 }]);
}

#[test]
fn a_newer_version_and_an_empty_list_of_prekeys_are_refused() {
    let resigned = |change: &dyn Fn(&mut Vec<u8>)| {
        let signed = typical().sign(&sender()).unwrap();
        let bytes = signed.as_bytes();
        let mut body = bytes[3..bytes.len() - 66].to_vec();
        change(&mut body);
        let signature = sender().sign(&[&b"cairn 2026-11 card"[..], &body].concat());
        let head = [0x82, 0x58, u8::try_from(body.len()).unwrap()];
        SignedCard::decode(&[&head[..], &body, &[0x58, 64], &signature].concat())
    };
    assert_eq!(resigned(&|body| body[1] = 3), Err(CardError::Version(3)));
    // The prekeys begin behind version, node, name and key, and take 41 bytes.
    let at = 2 + 34 + 19 + 34;
    let empty = resigned(&|body| {
        assert_eq!(body[at..at + 2], [0x81, 0x82]);
        body.splice(at..at + 41, [0x80]);
    });
    assert_eq!(empty, Err(CardError::NotCanonical), "such a card is one of version 1");
}

fn target(card: &Card, wall_s: Option<u64>, heard_s: Option<u64>) -> Result<SealingKey, Fallback> {
    let target = card.sealing_target(&SenderClock { wall_s, heard_s });
    match target.fallback {
        None => {
            assert_eq!(target.kind, SealedTo::Prekey);
            Ok(target.key)
        }
        Some(fallback) => {
            assert_eq!((target.kind, target.key), (SealedTo::LongTerm, card.sealing_key));
            Err(fallback)
        }
    }
}

#[test]
fn the_newest_valid_prekey_is_used_and_the_long_term_key_only_without_one() {
    let until = |n, valid_until_s| prekey(n, valid_until_s);
    let card = Card { prekeys: vec![until(2, NOON + 8 * DAY), until(1, NOON + 20)], ..typical() };
    let newest = card.prekeys[0].key;
    assert_eq!(target(&card, Some(NOON), None), Ok(newest));
    assert_eq!(target(&card, Some(NOON + 8 * DAY), None), Ok(newest), "to the last second");
    assert_eq!(target(&card, Some(NOON + 8 * DAY + 1), None), Err(Fallback::Expired));
    let none = Card { prekeys: Vec::new(), ..typical() };
    assert_eq!(target(&none, Some(NOON), Some(0)), Err(Fallback::NoPrekey));
}

#[test]
fn clocks_that_disagree_cost_forward_secrecy_and_no_mail() {
    let card = typical();
    assert_eq!(target(&card, Some(NOON - DAY), None), Ok(card.prekeys[0].key), "a day apart is borne");
    for behind in [DAY + 1, 400 * DAY, NOON] {
        assert_eq!(target(&card, Some(NOON - behind), None), Err(Fallback::ClocksDisagree));
    }
    assert_eq!(target(&card, Some(u64::MAX), None), Err(Fallback::Expired));
    let far = Card { prekeys: vec![prekey(1, u64::MAX)], ..typical() };
    assert_eq!(target(&far, Some(NOON), None), Err(Fallback::ClocksDisagree));
    assert_eq!(target(&far, Some(0), None), Err(Fallback::ClocksDisagree));
}

#[test]
fn whoever_heard_the_card_from_its_node_needs_no_clock() {
    let undated = Card { prekeys: vec![prekey(1, 0)], ..typical() };
    for card in [typical(), undated.clone()] {
        assert_eq!(target(&card, None, Some(7 * DAY)), Ok(card.prekeys[0].key));
        assert_eq!(target(&card, None, Some(7 * DAY + 1)), Err(Fallback::NoClock));
        assert_eq!(target(&card, None, None), Err(Fallback::NoClock));
        assert_eq!(target(&card, Some(NOON + 400 * DAY), Some(0)), Ok(card.prekeys[0].key));
    }
    assert_eq!(target(&undated, Some(NOON), None), Err(Fallback::NoClock));
    assert_eq!(target(&undated, Some(0), None), Err(Fallback::NoClock));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_card_comes_back(
        seed in any::<[u8; 32]>(),
        name in "[^\\p{C}\u{2028}\u{2029}]{1,16}",
        addresses in proptest::collection::vec("[ -~]{1,128}", 0..=8),
        services in proptest::collection::vec("[a-z]{1,128}", 0..=8),
        prekeys in proptest::collection::btree_map(any::<[u8; 32]>(), any::<u64>(), 0..=3),
        counter in any::<u64>(),
    ) {
        let me = Identity::from_seed(&seed);
        let (node, sealing_key) = (me.node_id(), me.sealing_key());
        let prekeys =
            prekeys.into_iter().map(|(key, valid_until_s)| Prekey { key: SealingKey(key), valid_until_s });
        let prekeys = prekeys.collect();
        let card = Card { node, name, sealing_key, prekeys, addresses, services, counter };
        let signed = card.sign(&me).unwrap();
        let again = SignedCard::decode(signed.as_bytes()).unwrap();
        prop_assert_eq!(again.card(), &card);
    }

    #[test]
    fn rubbish_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(SignedCard::decode(&bytes).is_err());
    }
}
