//! Fragments in any order, repeated, overlapping and contradicting: what is put together has the length that was
//! announced, and nothing grows beyond the limits.
#![no_main]

use cairn_bundle::{
    Block, BlockFlags, BlockKind, Bundle, BundleFlags, CrcType, CreationTimestamp, Eid, Fragment, Inserted, Now, Origin,
    Primary, Reassembly, ReassemblyLimits,
};
use libfuzzer_sys::fuzz_target;

fn fragment(seq: u64, offset: u64, total_bytes: u64, payload: Vec<u8>) -> Option<Bundle> {
    let primary = Primary {
        flags: BundleFlags::FRAGMENT,
        crc: CrcType::Crc16,
        destination: Eid::ipn(0, 1, 1),
        source: Eid::ipn(0, 2, 1),
        report_to: Eid::None,
        created: CreationTimestamp { time_ms: 1, seq },
        lifetime_ms: 1_000,
        fragment: Some(Fragment { offset, total_bytes }),
    };
    let block = Block { kind: BlockKind::Payload, number: 1, flags: BlockFlags(0), crc: CrcType::None, data: payload };
    Bundle::new(primary, vec![block]).ok()
}

fuzz_target!(|steps: Vec<(u8, u8, u8, u8)>| {
    let limits = ReassemblyLimits::default();
    let mut parts = Reassembly::new(limits);
    for (now, (what, offset, len, value)) in (0_u64..).zip(steps) {
        let (seq, origin) = (u64::from(what & 3), Origin(u64::from(what >> 2 & 3)));
        // The contents follow from the place, so that fragments agree unless `value` makes one lie.
        let payload: Vec<u8> = (0..len & 63).map(|at| offset.wrapping_add(at) ^ (value & 1)).collect();
        let total = if what & 0x80 == 0 { 48 } else { u64::from(value) };
        let Some(bundle) = fragment(seq, offset.into(), total, payload) else { continue };
        let time = Now { monotonic_ms: now * 16, wall_ms: None };
        if let Ok(Inserted::Stored(progress)) = parts.insert(bundle, origin, time) {
            if let Some(whole) = progress.whole {
                assert_eq!(u64::try_from(whole.bundle.payload().len()), Ok(total));
                assert_eq!(whole.bundle.primary().fragment, None);
                if value & 2 == 0 {
                    parts.accept(&progress.id);
                } else {
                    let _ = parts.refuse(&progress.id, time.monotonic_ms);
                }
            }
        }
        if what & 0x40 != 0 {
            parts.expire(time.monotonic_ms);
        }
    }
});
