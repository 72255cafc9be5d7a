//! Whatever is decoded is written in one form, and is then the same bundle under the same names.
#![no_main]

use cairn_bundle::{Bundle, Eid, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(bundle) = Bundle::decode(data, &Limits::default()) else { return };
    let again = Bundle::decode(&bundle.encode(), &Limits::default()).expect("our own output is a bundle");
    assert_eq!(again, bundle);
    assert_eq!(again.content_id(), bundle.content_id());
    if let Ok(next) = bundle.forwarded_by(&Eid::ipn(0, 1, 0), 1) {
        assert_eq!(next.content_id(), bundle.content_id());
    }
});
