//! RFC 9171 section 6.1: administrative records, status reports, and how many of them.

mod common;

use cairn_bundle::{
    AdminError, AdminRecord, Block, BlockFlags, BlockKind, Bundle, BundleFlags, CborError, CreationTimestamp,
    Eid, Fragment, ReasonCode, StatusEvent, StatusItem, StatusLimits, StatusPolicy, StatusReport,
    status_report_for, status_report_for_block,
};
use common::{block, primary};
use proptest::prelude::*;

const EVENTS: [StatusEvent; 4] =
    [StatusEvent::Received, StatusEvent::Forwarded, StatusEvent::Delivered, StatusEvent::Deleted];

fn eid(text: &str) -> Eid {
    text.parse().expect("a valid endpoint id")
}

fn bundle(flags: u64) -> Bundle {
    let mut primary = primary(eid("ipn:2.1"), eid("dtn://relief/inbox"));
    primary.flags = BundleFlags(flags);
    primary.report_to = eid("ipn:2.9");
    Bundle::new(primary, vec![block(BlockKind::Payload, 1, b"hello")]).expect("a valid bundle")
}

fn report(bundle: &Bundle, event: StatusEvent, wall_ms: Option<u64>) -> Option<StatusReport> {
    let payload = status_report_for(bundle, event, ReasonCode::NoInformation, wall_ms)?;
    let AdminRecord::StatusReport(report) = AdminRecord::decode(&payload).expect("our own record");
    Some(report)
}

#[test]
pub(crate) fn section_6_1_1_a_report_on_a_whole_bundle_has_four_elements() {
    let payload =
        status_report_for(&bundle(0x4_0000), StatusEvent::Deleted, ReasonCode::LifetimeExpired, Some(5))
            .unwrap();
    let mut expected = vec![0x82, 1, 0x84, 0x84, 0x81, 0xf4, 0x81, 0xf4, 0x81, 0xf4, 0x81, 0xf5, 1];
    expected.extend(eid("ipn:2.1").encode());
    expected.extend([0x82, 0x1b, 0, 0, 0, 0xbd, 0x23, 0x93, 0x5c, 0x35, 0]);
    let time = u64::from_be_bytes(expected[expected.len() - 9..expected.len() - 1].try_into().unwrap());
    assert_eq!(time, 812_345_678_901);
    assert_eq!(payload, expected);
}

#[test]
pub(crate) fn section_6_1_1_a_report_on_a_fragment_has_six_elements() {
    let mut primary = bundle(0x4000).primary().clone();
    primary.flags = BundleFlags(0x4001);
    primary.fragment = Some(Fragment { offset: 10, total_bytes: 40 });
    let piece = Bundle::new(primary, vec![block(BlockKind::Payload, 1, b"hello")]).unwrap();
    let payload = status_report_for(&piece, StatusEvent::Received, ReasonCode::NoInformation, None).unwrap();
    assert_eq!(payload[..3], [0x82, 1, 0x86]);
    assert_eq!(payload[payload.len() - 2..], [10, 5]);
    assert_eq!(report(&piece, StatusEvent::Received, None).unwrap().fragment, Some((10, 5)));
}

#[test]
pub(crate) fn section_6_1_1_times_are_told_if_asked_for_and_only_for_what_happened() {
    let timed = report(&bundle(0x4040), StatusEvent::Received, Some(77)).unwrap();
    assert_eq!(timed.received, StatusItem { asserted: true, time_ms: Some(77) });
    assert_eq!(timed.deleted, StatusItem { asserted: false, time_ms: None });
    let clockless = report(&bundle(0x4040), StatusEvent::Received, None).unwrap();
    assert_eq!(clockless.received, StatusItem { asserted: true, time_ms: Some(0) });
    let untimed = report(&bundle(0x4000), StatusEvent::Received, Some(77)).unwrap();
    assert_eq!(untimed.received, StatusItem { asserted: true, time_ms: None });
}

#[test]
pub(crate) fn section_4_2_3_each_report_has_its_own_request() {
    for event in EVENTS {
        for other in EVENTS {
            let asked = report(&bundle(other.flag().0), event, None).is_some();
            assert_eq!(asked, event == other);
        }
        assert_eq!(report(&bundle(0x40), event, None), None);
    }
}

#[test]
pub(crate) fn nobody_reports_on_reports_or_anonymous_bundles_or_to_nobody() {
    // Bundles that ask for the impossible are refused earlier; block flags are not.
    let mut asking = block(BlockKind::Unknown(200), 2, b"");
    asking.flags = BlockFlags::REPORT;
    let with = |change: fn(&mut cairn_bundle::Primary)| {
        let mut primary = bundle(0).primary().clone();
        change(&mut primary);
        Bundle::new(primary, vec![asking.clone(), block(BlockKind::Payload, 1, b"")])
    };
    let reports = |bundle: &Bundle| status_report_for_block(bundle, &asking, None).is_some();
    assert!(reports(&with(|_| ()).unwrap()));
    assert!(!reports(&with(|primary| primary.report_to = Eid::None).unwrap()));
    let quiet = Block { flags: BlockFlags(0), ..asking.clone() };
    assert_eq!(status_report_for_block(&with(|_| ()).unwrap(), &quiet, None), None);
    let silent: [fn(&mut cairn_bundle::Primary); 2] = [
        |primary| primary.flags = BundleFlags::ADMIN_RECORD,
        |primary| {
            primary.flags = BundleFlags::NO_FRAGMENT;
            primary.source = Eid::None;
        },
    ];
    // Such a bundle is not valid with that flag (section 4.2.4); whoever takes it does not answer.
    for change in silent {
        assert!(with(change).is_err_and(|_| true) || !reports(&with(change).unwrap()));
    }
    let mut nobody = bundle(0x4000).primary().clone();
    nobody.report_to = Eid::None;
    let nobody = Bundle::new(nobody, vec![block(BlockKind::Payload, 1, b"")]).unwrap();
    assert_eq!(report(&nobody, StatusEvent::Received, None), None);
}

#[test]
pub(crate) fn section_5_6_a_block_that_cannot_be_processed_is_reported_as_received_and_unsupported() {
    let mut asking = block(BlockKind::Unknown(200), 2, b"");
    asking.flags = BlockFlags::REPORT;
    let payload = status_report_for_block(&bundle(0), &asking, None).unwrap();
    let AdminRecord::StatusReport(report) = AdminRecord::decode(&payload).unwrap();
    assert!(report.received.asserted && !report.deleted.asserted);
    assert_eq!(report.reason, ReasonCode::BlockUnsupported);
}

#[test]
pub(crate) fn section_9_5_and_rfc_9172_section_11_2_every_reason_has_its_code() {
    let reasons = [
        ReasonCode::NoInformation,
        ReasonCode::LifetimeExpired,
        ReasonCode::UnidirectionalLink,
        ReasonCode::TransmissionCanceled,
        ReasonCode::DepletedStorage,
        ReasonCode::DestinationUnavailable,
        ReasonCode::NoRoute,
        ReasonCode::NoTimelyContact,
        ReasonCode::BlockUnintelligible,
        ReasonCode::HopLimitExceeded,
        ReasonCode::TrafficPared,
        ReasonCode::BlockUnsupported,
        ReasonCode::MissingSecurityOperation,
        ReasonCode::UnknownSecurityOperation,
        ReasonCode::UnexpectedSecurityOperation,
        ReasonCode::FailedSecurityOperation,
        ReasonCode::ConflictingSecurityOperation,
        ReasonCode::Other(17),
    ];
    for (code, reason) in (0..).zip(reasons) {
        assert_eq!((reason.code(), ReasonCode::from_code(code)), (code, reason));
        assert_eq!(reason.is_security(), (12..17).contains(&code));
    }
    assert_eq!(ReasonCode::from_code(u64::MAX).code(), u64::MAX);
}

fn record(body: &[u8]) -> Result<AdminRecord, AdminError> {
    AdminRecord::decode(body)
}

#[test]
pub(crate) fn section_6_1_what_is_no_record_is_refused_with_the_reason() {
    let good =
        status_report_for(&bundle(0x4040), StatusEvent::Received, ReasonCode::NoRoute, Some(9)).unwrap();
    assert!(record(&good).is_ok());
    for cut in 0..good.len() {
        assert!(record(&good[..cut]).is_err(), "{cut}");
    }
    assert_eq!(record(&[&good[..], &[0]].concat()), Err(AdminError::Cbor(CborError::Trailing)));
    let change = |at: usize, byte: u8| {
        let mut changed = good.clone();
        changed[at] = byte;
        record(&changed)
    };
    // good: 82 01 84 84 82 f5 09 81 f4 81 f4 81 f4 06 source created
    assert_eq!(change(0, 0x81), Err(AdminError::Cbor(CborError::Count)));
    assert_eq!(change(1, 2), Err(AdminError::Type(2)));
    assert_eq!(change(2, 0x85), Err(AdminError::Cbor(CborError::Truncated)));
    assert_eq!(change(3, 0x83), Err(AdminError::Cbor(CborError::Count)));
    assert_eq!(change(5, 0xf4), Err(AdminError::Time));
    assert_eq!(change(5, 0xf6), Err(AdminError::Cbor(CborError::Type)));
    assert_eq!(change(5, 1), Err(AdminError::Cbor(CborError::Type)));
}

#[test]
pub(crate) fn section_6_1_1_later_status_items_are_read_over_and_their_number_is_limited() {
    let whole = status_report_for(&bundle(0x4000), StatusEvent::Received, ReasonCode::NoRoute, None).unwrap();
    let items = &[0x81, 0xf4].repeat(13)[..];
    for (extra, known) in [(1, true), (12, true), (13, false)] {
        let count = [0x80 | u8::try_from(4 + extra).unwrap() & 0x1f];
        let mut longer = whole[..3].to_vec();
        longer.extend(count);
        longer.extend(&whole[4..12]);
        longer.extend(&items[..2 * extra]);
        longer.extend(&whole[12..]);
        match record(&longer) {
            Ok(found) => assert!(known && found.encode() == whole),
            Err(error) => assert!(!known && error == AdminError::TooManyItems, "{error}"),
        }
    }
}

#[test]
pub(crate) fn section_8_reports_are_off_until_somebody_switches_them_on() {
    let mut policy = StatusPolicy::default();
    assert!(!policy.is_on());
    assert!(!policy.allow(&eid("ipn:1.1"), 0));
    assert!(!StatusPolicy::off().allow(&eid("ipn:1.1"), u64::MAX));
}

#[test]
pub(crate) fn one_destination_gets_a_burst_and_then_what_time_allows() {
    let limits =
        StatusLimits { destination_burst_max: 3, destination_hourly_max: 60, ..StatusLimits::default() };
    let mut policy = StatusPolicy::on(limits);
    let to = eid("ipn:1.1");
    let sent = |policy: &mut StatusPolicy, now| (0..10).filter(|_| policy.allow(&to, now)).count();
    assert_eq!(sent(&mut policy, 0), 3);
    assert_eq!(sent(&mut policy, 59_999), 0);
    assert_eq!(sent(&mut policy, 60_000), 1);
    // A clock that goes back fills nothing, and it does not empty anything either.
    assert_eq!(sent(&mut policy, 30_000), 0);
    assert_eq!(sent(&mut policy, 120_000), 1);
    assert_eq!(sent(&mut policy, u64::MAX), 3);
}

#[test]
pub(crate) fn the_services_of_one_node_are_one_destination() {
    let limits = StatusLimits { destination_burst_max: 3, ..StatusLimits::default() };
    let mut policy = StatusPolicy::on(limits);
    let sent = |policy: &mut StatusPolicy, node: &str| {
        (0..10).filter(|service| policy.allow(&eid(&format!("{node}{service}")), 0)).count()
    };
    assert_eq!(sent(&mut policy, "dtn://victim/"), 3);
    assert_eq!(sent(&mut policy, "ipn:977000.7."), 3);
    assert_eq!(sent(&mut policy, "ipn:7."), 3);
    assert_eq!(sent(&mut policy, "dtn://other/"), 3);
}

#[test]
pub(crate) fn all_destinations_together_have_a_limit_and_the_table_too() {
    let limits = StatusLimits { burst_max: 5, hourly_max: 1, ..StatusLimits::default() };
    let mut policy = StatusPolicy::on(limits);
    let sent = (0..20).filter(|node| policy.allow(&Eid::ipn(0, *node, 1), 0)).count();
    assert_eq!(sent, 5);
    let limits = StatusLimits {
        destinations_max: 2,
        destination_burst_max: 1,
        destination_hourly_max: 1,
        ..StatusLimits::default()
    };
    let mut policy = StatusPolicy::on(limits);
    let [a, b, c] = [1, 2, 3].map(|node| Eid::ipn(0, node, 1));
    assert!(policy.allow(&a, 0) && policy.allow(&b, 1000));
    assert!(!policy.allow(&c, 3_599_999));
    // The first one was quiet for an hour, so its place is free.
    assert!(policy.allow(&c, 3_600_000));
    assert!(!policy.allow(&a, 3_600_000));
}

#[test]
pub(crate) fn rfc_9172_section_7_1_security_reasons_are_told_only_if_the_policy_says_so() {
    let quiet = StatusPolicy::on(StatusLimits::default());
    let open = StatusPolicy::on(StatusLimits { tell_security: true, ..StatusLimits::default() });
    let reason = ReasonCode::FailedSecurityOperation;
    assert_eq!(quiet.told(reason), ReasonCode::NoInformation);
    assert_eq!(open.told(reason), reason);
    assert_eq!(quiet.told(ReasonCode::NoRoute), ReasonCode::NoRoute);
}

fn item() -> impl Strategy<Value = StatusItem> {
    prop_oneof![
        Just(StatusItem { asserted: false, time_ms: None }),
        any::<Option<u64>>().prop_map(|time_ms| StatusItem { asserted: true, time_ms }),
    ]
}

proptest! {
    #[test]
    fn reports_go_there_and_back(
        items in prop::array::uniform4(item()),
        reason in prop_oneof![0_u64..20, any::<u64>()],
        node in any::<u32>(),
        created in any::<(u64, u64)>(),
        fragment in any::<Option<(u64, u64)>>(),
    ) {
        let [received, forwarded, delivered, deleted] = items;
        let created = CreationTimestamp { time_ms: created.0, seq: created.1 };
        let (reason, source) = (ReasonCode::from_code(reason), Eid::ipn(0, node, 1));
        let report = StatusReport { received, forwarded, delivered, deleted, reason, source, created, fragment };
        let record = AdminRecord::StatusReport(report);
        prop_assert_eq!(AdminRecord::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(record) = AdminRecord::decode(&bytes) {
            prop_assert_eq!(AdminRecord::decode(&record.encode()), Ok(record));
        }
    }
}
