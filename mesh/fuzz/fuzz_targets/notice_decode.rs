//! A delivery notice has one form, and whatever a destination signs is read again.
#![no_main]

use cairn_bundle::{DeliveryNotice, Digest, Identity};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let me = Identity::from_seed(&[2; 32]);
    if let Ok(notice) = DeliveryNotice::decode_verified(data) {
        // No other bytes say the same but for the signature.
        assert_eq!(notice.destination == me.node_id(), same(&me, &notice, data));
    }
    // The bytes as a body, signed by their destination: the signature stops nothing.
    let mut signed = match u16::try_from(data.len()).map(u16::to_be_bytes) {
        Ok([0, bytes]) => vec![0x82, 0x58, bytes],
        Ok([high, low]) => vec![0x82, 0x59, high, low],
        Err(_) => return,
    };
    signed.extend(data);
    signed.extend([0x58, 64]);
    signed.extend(me.sign(&[b"cairn 2026-11 delivery notice", data].concat()));
    if let Ok(notice) = DeliveryNotice::decode_verified(&signed) {
        assert!(same(&me, &notice, &signed));
    }
    let ids: Vec<Digest> = data.chunks(3).map(Digest::of).collect();
    if let Ok(bytes) = DeliveryNotice::sign(&me, &[1; 32], &ids) {
        let notice = DeliveryNotice::decode_verified(&bytes).expect("our own notice");
        assert!(same(&me, &notice, &bytes));
    }
});

fn same(me: &Identity, notice: &DeliveryNotice, bytes: &[u8]) -> bool {
    DeliveryNotice::sign(me, &notice.name, &notice.ids).as_deref() == Ok(bytes)
}
