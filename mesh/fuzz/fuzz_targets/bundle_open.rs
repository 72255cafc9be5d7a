//! Nothing that was not sealed by the named source opens: the fuzzer has no identity to sign with.
#![no_main]

use cairn_bundle::{Bundle, Identity, Limits, Prekeys, open, verify_source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(bundle) = Bundle::decode(data, &Limits::default()) else { return };
    // The seed of the vector in mesh/bundle/tests/vectors, so that it can serve as a start.
    if let Ok(opened) = open(&bundle, &Identity::from_seed(&[2; 32]), &Prekeys::default()) {
        let verified = verify_source(&bundle).expect("what opens is signed");
        assert_eq!((verified.source(), verified.is_sealed()), (opened.source, true));
        assert_eq!(opened.payload, b"stones");
    }
});
