//! Whatever is decoded is written in one form, and is then the same bundle under the same names; also as a raw
//! bundle, as text, and after a hop.
#![no_main]

use cairn_bundle::{Bundle, BundleView, Eid, Limits, RawBundle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    if let Ok(raw) = RawBundle::decode(data, &limits) {
        let bytes = raw.encode();
        assert_eq!(RawBundle::decode(&bytes, &limits).map(|raw| raw.encode()), Ok(bytes));
        // A raw bundle keeps all rules exactly if its one form does.
        let checked = Bundle::try_from(raw.clone()).is_ok();
        assert_eq!(checked, Bundle::decode(&raw.encode(), &limits).is_ok());
    }
    let Ok(bundle) = Bundle::decode(data, &limits) else { return };
    let bytes = bundle.encode();
    assert_eq!(bytes.len(), bundle.encoded_len());
    let again = Bundle::decode(&bytes, &limits).expect("our own output is a bundle");
    assert_eq!(again, bundle);
    assert_eq!(again.content_id(), bundle.content_id());
    assert!(BundleView::parse(&bytes, &limits).is_ok_and(|view| view.is_deterministic()));
    for eid in [bundle.source(), bundle.destination(), &bundle.primary().report_to] {
        assert_eq!(eid.to_string().parse::<Eid>().as_ref(), Ok(eid));
        assert_eq!(Eid::decode(&eid.encode()).as_ref(), Ok(eid));
    }
    let left = bundle.remaining_ms(Some(0), 5);
    assert!(left.is_none_or(|left| left <= bundle.primary().lifetime_ms));
    if let Ok(next) = bundle.forwarded_by(&Eid::ipn(0, 1, 0), 1) {
        assert_eq!(next.content_id(), bundle.content_id());
        assert_eq!(next.age_ms(), bundle.aged_by(1).age_ms());
        // The same node would take it again.
        assert!(Bundle::decode(&next.encode(), &limits).is_ok());
    }
});
