//! The view that borrows and the bundle that owns have one verdict and say the same.
#![no_main]

use cairn_bundle::{Bundle, BundleView, Limits, RawBundle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let owned = Bundle::decode(data, &limits);
    match (BundleView::parse(data, &limits), owned) {
        (Err(view), Err(owned)) => assert_eq!(view, owned),
        (Ok(view), Ok(owned)) => {
            assert_eq!(view.to_bundle(), owned);
            assert_eq!(view.id(), owned.id());
            assert_eq!(view.content_id(), owned.content_id());
            assert_eq!(view.payload(), owned.payload());
            assert_eq!((view.age_ms(), view.hop_count()), (owned.age_ms(), owned.hop_count()));
            // What keeps all rules keeps those that a raw bundle is held to.
            assert!(RawBundle::decode(data, &limits).is_ok());
        }
        (view, owned) => panic!("{view:?} {owned:?}"),
    }
});
