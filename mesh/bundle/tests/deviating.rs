//! Inputs on which other implementations disagree, from their public issue trackers, each with the
//! verdict that the specifications demand. Where a reported input breaks a second rule as well, a
//! copy without that fault stands beside it, so that the rule in question is what decides.

#![expect(clippy::indexing_slicing, reason = "on the few inputs that stand here")]

mod common;

use cairn_bundle::{Bundle, BundleFlags, CborError, DecodeError, Eid, Limits};
use common::from_hex;

fn decode(bytes: &[u8]) -> Result<Bundle, DecodeError> {
    Bundle::decode(bytes, &Limits::default())
}

fn verdict(text: &str) -> Result<Bundle, DecodeError> {
    decode(&from_hex(text))
}

/// The same input with a CRC-16 on its primary block, which had eight elements and none.
fn protected(text: &str) -> Vec<u8> {
    let bytes = from_hex(text);
    assert_eq!(bytes.get(1), Some(&0x88), "a primary block without fragment fields and checksum");
    let end = primary_end(&bytes);
    let flags_end = 3 + item_bytes(&bytes[3..]);
    assert_eq!(bytes[flags_end], 0, "no checksum");
    let mut block = bytes[1..end].to_vec();
    block[0] = 0x89;
    block[flags_end - 1] = 1;
    let x25 = crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC);
    block.extend([0x42, 0, 0]);
    let sum = x25.checksum(&block).to_be_bytes();
    let at = block.len() - 2;
    block[at..].copy_from_slice(&sum);
    [&bytes[..1], &block, &bytes[end..]].concat()
}

/// Where the primary block ends: its eight elements, of which none is long.
fn primary_end(bytes: &[u8]) -> usize {
    (0..8).fold(2, |at, _| at + item_bytes(&bytes[at..]))
}

/// How long the item is that the bytes start with; numbers and arrays of items only.
fn item_bytes(bytes: &[u8]) -> usize {
    let head = match bytes[0] & 0x1f {
        0..=23 => 1,
        24 => 2,
        25 => 3,
        26 => 5,
        _ => 9,
    };
    if bytes[0] >> 5 != 4 {
        return head;
    }
    (0..bytes[0] & 0x1f).fold(head, |at, _| at + item_bytes(&bytes[at..]))
}

/// bp7-rs issue 10: a fragment that must not be cut again. RFC 9171 section 4.2.3 does not exclude it;
/// bp7-rs did until 0.11, ESA BP takes it.
#[test]
fn a_fragment_may_forbid_to_be_cut_again() {
    // As reported it says that it is a fragment and has no fragment fields, so nothing can follow.
    let reported =
        "9f88070f00820282020182028201018202820100821b000000bb0e20b4ea001a000927c085070201004100860101
        00014d48656c6c6f2c20576f726c64214254b3ff";
    assert_eq!(verdict(reported), Err(DecodeError::Cbor(CborError::Count)));
    // Rebuilt from the description, with the fields and a checksum.
    let mut block =
        from_hex("8b070d0182028202018202820101820100821b000000bb0e20b4ea001a000927c0001819420000");
    let x25 = crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC);
    let (at, sum) = (block.len() - 2, x25.checksum(&block).to_be_bytes());
    block[at..].copy_from_slice(&sum);
    let rest = from_hex("850702010041008601010001 4d48656c6c6f2c20576f726c64214254b3ff");
    let bundle = decode(&[&[0x9f], &block[..], &rest].concat()).unwrap();
    assert!(bundle.primary().flags.contains(BundleFlags::NO_FRAGMENT));
    assert_eq!(bundle.id().fragment, Some((0, 13)));
}

/// bp7-rs issue 12: reserved and unassigned flags of a block. Section 4.2.4: they are ignored. bp7-rs refuses
/// the reserved ones; ESA BP, ION and uD3TN do not.
#[test]
fn reserved_block_flags_are_ignored() {
    let bundle = verdict(
        "9f89071844018202820301820100820100821b000000b5998c982b011a000493e042c9f6850602100045820282020085070401
         0042183485010118f9004454455354ff",
    )
    .unwrap();
    assert_eq!((bundle.payload(), bundle.age_ms()), (&b"TEST"[..], Some(52)));
    assert_eq!(bundle.blocks().last().unwrap().flags.0, 0xf9, "they travel on");
}

/// bp7-rs issue 15 and Hardy issue 249: a report-to of `ipn:0.1`. RFC 9758 section 3.4.1: it is invalid, and is
/// considered to be the null endpoint. Both refused it; Hardy 0.6 and bp7 0.12 read it as the null endpoint.
#[test]
fn node_zero_of_the_ipn_scheme_is_nobody_whatever_the_service() {
    let reported =
        "9f88070000820282020182028201018202820001821b00ff00bb0e20b4ea001a000927c085070201004100850101
        00004d48656c6f2c20576f726c642142ff";
    assert_eq!(verdict(reported), Err(DecodeError::Unprotected));
    let bundle = decode(&protected(reported)).unwrap();
    assert!(bundle.primary().report_to.is_none());
    assert!(!bundle.primary().report_to.is_singleton());
}

/// bp7-rs issue 16, ION issue 54 and Hardy issue 250: a primary block with neither checksum nor integrity block.
/// Section 4.3.1 refuses it. ION, uD3TN and ESA BP took it; Hardy's parser and bp7 without its feature `bpsec`
/// still do, and leave the check to their callers.
#[test]
fn an_unprotected_primary_block_is_refused() {
    let reported =
        "9f88071844008202820301820100820100821b000000b5998c982b011a000493e0850602100045820282020085070401
        0042183485010101004454455354ff";
    assert_eq!(verdict(reported), Err(DecodeError::Unprotected));
    assert_eq!(decode(&protected(reported)).unwrap().payload(), b"TEST");
}

/// ION issue 50: no creation time and no age. Section 4.4.2 demands the age. ION delivered it.
#[test]
fn a_bundle_with_neither_creation_time_nor_age_is_refused() {
    let reported =
        "9f88071a000200040082028203018202820302820100821b0000000000000000001a8218200085010100004454455354ff";
    // As reported its zero has nine bytes, which section 4.1 does not allow, and it has no checksum.
    assert_eq!(verdict(reported), Err(DecodeError::Cbor(CborError::NotShortest)));
    let short = reported.replace("821b000000000000000000", "820000");
    assert_eq!(verdict(&short), Err(DecodeError::Unprotected));
    assert_eq!(decode(&protected(&short)), Err(DecodeError::NoAge));
}

/// ION issue 52: a block of type 8, which means something in version 6 only. Section 5.6: an unknown block is
/// treated by its flags, and these ask for nothing. ION took it for a metadata block; ESA BP, bp7-rs and uD3TN
/// carry it.
#[test]
fn a_block_type_of_version_6_is_unknown_and_carried() {
    let reported =
        "9f88070000820282030182028201018202820100821b000000bb0e20b4ea001a000927c085080201004100860101
        00014d48656c6c6f2c20576f726c64214254b3ff";
    assert_eq!(verdict(reported), Err(DecodeError::Unprotected));
    let bundle = decode(&protected(reported)).unwrap();
    assert_eq!(bundle.payload(), b"Hello, World!");
    assert_eq!(bundle.blocks().len(), 2);
}

/// ION issue 53: a payload block with the number 33. Section 4.1: it is always 1. ION delivered it; ESA BP, uD3TN
/// and bp7-rs refuse it.
#[test]
fn a_payload_with_another_number_than_1_is_refused() {
    let reported =
        "9f89071844018202820301820100820100821b000000b5998c982b011a000493e042c9f685060210004582028202
        0085070401004218348501182101004454455354ff";
    assert_eq!(verdict(reported), Err(DecodeError::Number(33)));
    assert_eq!(
        verdict(&reported.replace("8501182101", "85010101")).unwrap().destination(),
        &Eid::ipn(0, 3, 1)
    );
}

/// ION issue 51: two blocks with the number 2. Section 4.1: a number names one block. ION delivered it.
#[test]
fn two_blocks_of_one_number_are_refused() {
    let reported =
        "9f89071844018202820301820100820100821b000000b5998c982b011a000493e042c9f685060210004582028202
        00850702010042183485010101004454455354ff";
    assert_eq!(verdict(reported), Err(DecodeError::DuplicateNumber(2)));
}

/// Hardy issue 248: a block of an anonymous bundle asks for a report. Section 4.2.4 forbids it. Hardy took it until
/// that issue; ION and bp7-rs refuse it.
#[test]
fn a_block_of_an_anonymous_bundle_that_asks_for_reports_is_refused() {
    let reported =
        "9f89071844018202820301820100820100821b000000b5998c982b011a000493e042c9f68506021827004582028202
        00850704010042183485010101004454455354ff";
    assert_eq!(verdict(reported), Err(DecodeError::Flags));
    assert!(verdict(&reported.replace("8506021827", "8506021825")).is_ok());
}

/// bp7-rs issues 4, 5, 6 and 20: an unknown checksum type, a payload that is not last, an age that was not seen,
/// and a payload that is a text.
#[test]
fn the_earlier_reports_on_bp7_have_the_verdicts_that_they_ask_for() {
    let head = "9f89071844018202820301820100820100821b000000b5998c982b011a000493e042c9f685060210004582028202";
    let unknown = format!("{head}0085070401004218348501010118194454455354ff");
    assert_eq!(verdict(&unknown), Err(DecodeError::CrcType { block: 1, code: 25 }));
    let order = format!("{head}00850101010044544553548507040100421834ff");
    assert_eq!(verdict(&order), Err(DecodeError::PayloadPlace));
    let aged =
        "9f890718440182028203018201008201008200011a000493e042a22185060210004582028202008507 18a6010042183485
        010101004454455354ff";
    assert_eq!(verdict(aged).unwrap().age_ms(), Some(52));
    let text = "9f88070000820282020182028201018202820100821b000000bb0e20b4ea001a000927c085070201004100860101
        00016d48656c6c6f2c20576f726c64214254b3ff";
    assert_eq!(verdict(text), Err(DecodeError::Cbor(CborError::Type)));
}
