//! Another implementation, `hardy-bpv7`, reads every bundle that this crate writes.

mod common;

use cairn_bundle::{
    Block, BlockKind, Bundle, BundleFlags, CrcType, CreationTimestamp, Eid, Fragment, Limits, Prekeys,
    Primary, open, plain, seal, seal_unpadded,
};
use common::{Seeded, block, draft, primary, recipient, sender};
use hardy_bpv7::bundle::ParsedBundle;
use proptest::prelude::*;

/// Has Hardy read the bundle and compares what it found.
fn agree(bundle: &Bundle) {
    let bytes = bundle.encode();
    let parsed = ParsedBundle::parse(&bytes, hardy_bpv7::bpsec::no_keys).expect("Hardy reads the bundle");
    assert!(!parsed.non_canonical, "Hardy would write the bundle in the same way");
    let theirs = parsed.bundle;
    assert_eq!(theirs.id.source.to_string(), bundle.source().to_string());
    assert_eq!(theirs.destination.to_string(), bundle.destination().to_string());
    assert_eq!(theirs.report_to.to_string(), bundle.primary().report_to.to_string());
    assert_eq!(theirs.id.timestamp.sequence_number(), bundle.primary().created.seq);
    assert_eq!(theirs.id.fragment_info.is_some(), bundle.primary().fragment.is_some());
    assert_eq!(theirs.lifetime.as_millis(), u128::from(bundle.primary().lifetime_ms));
    assert_eq!(theirs.age.map(|age| age.as_millis()), bundle.age_ms().map(u128::from));
    let hops = theirs.hop_count.map(|hops| (hops.limit, hops.count));
    assert_eq!(hops, bundle.hop_count().map(|hops| (u64::from(hops.limit), hops.count)));
    let previous = theirs.previous_node.map(|eid| eid.to_string());
    assert_eq!(previous, bundle.previous_node().map(ToString::to_string));
    assert_eq!(theirs.blocks.len(), bundle.blocks().len() + 1);
    let range = theirs.blocks.get(&1).expect("the payload block").payload_range();
    assert_eq!(bytes.get(range), Some(bundle.payload()));
}

fn any_eid() -> impl Strategy<Value = Eid> {
    prop_oneof![
        "[a-zA-Z0-9._-]{1,60}/[!-}]{0,40}".prop_map(|text| format!("dtn://{text}").parse().expect("valid")),
        (any::<u32>(), 1..u32::MAX, any::<u32>()).prop_map(|(a, n, s)| Eid::ipn(a, n, s)),
    ]
}

fn any_crc() -> impl Strategy<Value = CrcType> {
    prop_oneof![Just(CrcType::None), Just(CrcType::Crc16), Just(CrcType::Crc32)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn hardy_reads_what_seal_and_plain_write(
        payload in proptest::collection::vec(any::<u8>(), 0..600),
        service in "[!-}]{0,30}",
        seed in any::<u64>(),
        // Hardy keeps times in nanoseconds, so it cannot hold all that 64 bits can say.
        time_ms in 0..1_u64 << 40,
        lifetime_ms in 0..1_u64 << 40,
        seq in any::<u64>(),
        hop_limit in 1..=255_u8,
        age_ms in 0..1_u64 << 40,
        hops in 0..4_u8,
    ) {
        let mut draft = draft(&payload);
        draft.destination = Eid::node(&recipient().node_id(), &service).unwrap();
        draft.creation = CreationTimestamp { time_ms, seq };
        (draft.lifetime_ms, draft.hop_limit, draft.age_ms) = (lifetime_ms, hop_limit, Some(age_ms));
        let to = recipient().sealing_key();
        let carrier = Eid::node(&sender().node_id(), "").unwrap();
        let sealed = seal(&draft, &sender(), &to, &mut Seeded(seed)).unwrap();
        let tight = seal_unpadded(&draft, &sender(), &to, &mut Seeded(seed)).unwrap();
        let plain = plain(&draft, &sender()).unwrap();
        for mut bundle in [sealed.clone(), tight, plain] {
            agree(&bundle);
            for _ in 0..hops.min(hop_limit) {
                bundle = bundle.forwarded_by(&carrier, 1).unwrap();
                agree(&bundle);
            }
        }
        prop_assert_eq!(open(&sealed, &recipient(), &Prekeys::default()).unwrap().payload, payload);
    }

    #[test]
    fn hardy_reads_foreign_endpoints_checksums_blocks_and_fragments(
        source in any_eid(), destination in any_eid(), report_to in any_eid(),
        data in proptest::collection::vec(any::<u8>(), 0..200),
        seq in any::<u64>(),
        crc in any_crc(), primary_crc in prop_oneof![Just(CrcType::Crc16), Just(CrcType::Crc32)],
        offset in proptest::option::of(0..1_u64 << 50),
    ) {
        prop_assume!(source.is_singleton());
        let mut primary = Primary { report_to, crc: primary_crc, ..primary(source, destination) };
        primary.created.seq = seq;
        if let Some(offset) = offset {
            primary.flags = BundleFlags::FRAGMENT;
            primary.fragment = Some(Fragment { offset, total_bytes: offset + 1000 });
        }
        let blocks = vec![
            Block { crc, ..block(BlockKind::PreviousNode, 2, &primary.source.encode()) },
            Block { crc, ..block(BlockKind::Unknown(192), 300, &data) },
            Block { crc, ..block(BlockKind::Payload, 1, &data) },
        ];
        let bundle = Bundle::new(primary, blocks).unwrap();
        agree(&bundle);
        let next = bundle.forwarded_by(&Eid::ipn(0, 7, 0), 0).unwrap();
        agree(&next);
        prop_assert_eq!(Bundle::decode(&next.encode(), &Limits::default()), Ok(next));
    }
}
