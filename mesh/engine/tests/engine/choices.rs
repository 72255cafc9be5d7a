//! What decides: plans, standing, what contacts taught, and how it is explained.

use cairn_bundle::{Class, Identity, NodeId};
use cairn_engine::routing::{ContactPlan, PlanClock, PlannedContact, Why};
use cairn_engine::{Event, Instant, Limits};

use crate::host::{Host, connect, disconnect, meet, talk, written};
use crate::pressure::classed;

fn far() -> NodeId {
    Identity::from_seed(&[99; 32]).node_id()
}

#[test]
fn settled_receipts_earn_a_source_more_room() {
    let mut limits = Limits::default();
    limits.quota.source_first.bundles = 3;
    limits.quota.source_most.bundles = 9;
    let author = Identity::from_seed(&[9; 32]);
    for (earned, kept) in [(0, 3), (1, 6), (1_000, 9)] {
        let (mut a, mut b) = (Host::new(1), Host::with(2, limits.clone()));
        b.handle(Event::Standing { node: author.node_id(), community: Some(1), earned });
        for n in 0..20_u8 {
            a.carry(&written(&author, far(), &[n], 1_000_000));
        }
        meet(&mut a, &mut b, 1, &[]);
        assert_eq!(b.index.0.len(), kept);
    }
}

#[test]
fn a_planned_contact_is_trusted_with_all_tokens_and_the_explanation_says_so() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let contact = |from: NodeId, to: NodeId| PlannedContact {
        from,
        to,
        start_s: 0,
        end_s: 600,
        rate_bytes_s: Some(10_000),
        delay_ms: 0,
        every_s: None,
        clock: PlanClock::Plan,
    };
    let plan = ContactPlan::new(vec![contact(a.me, b.me), contact(b.me, far())]).unwrap();
    let id = a.send(far(), b"by the timetable").id;
    connect(&mut a, &mut b, 1, &[]);
    a.handle(Event::Plan { plan });
    let explanation = a.engine.explain(&a.index.0[&id]);
    assert_eq!(explanation.hops.len(), 1);
    assert_eq!(explanation.hops[0].decision.why(), Why::BestRoute, "{explanation}");
    talk(&mut a, &mut b, 1);
    disconnect(&mut a, &mut b, 1);
    assert_eq!((a.index.0[&id].copies, b.index.0[&id].copies), (0, 8));
    // A passive copy still goes to the destination itself.
    let mut destination = Host::new(99);
    meet(&mut a, &mut destination, 2, &[]);
    assert_eq!(destination.delivered, [id]);
}

#[test]
fn contacts_that_break_teach_how_large_a_bundle_may_be() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let large = classed(&a.identity, far(), Class::Normal, &[7; 300_000]);
    let item = a.carry(&large);
    // The link takes two chunks of 64 KiB and breaks.
    connect(&mut a, &mut b, 1, &[]);
    let mut chunks = 0;
    while chunks < 2 {
        if let Some(bytes) = a.transmit(1) {
            chunks += usize::from(bytes.len() > 60_000);
            b.handle(Event::Bytes { link: 1, bytes });
        }
        if let Some(bytes) = b.transmit(1) {
            a.handle(Event::Bytes { link: 1, bytes });
        }
    }
    disconnect(&mut a, &mut b, 1);
    assert!(a.to_cut.is_empty());
    connect(&mut a, &mut b, 2, &[]);
    talk(&mut a, &mut b, 2);
    assert_eq!(a.to_cut.len(), 1);
    let (id, piece_bytes) = a.to_cut[0];
    assert_eq!(id, item.id);
    assert!((4_000..20_000).contains(&piece_bytes), "an eighth of what went through: {piece_bytes}");
    assert_eq!(a.now, Instant::ZERO);
}

#[test]
fn who_claims_to_reach_everybody_gets_a_share_and_the_honest_one_still_gets_one() {
    let (mut a, mut hole, mut honest) = (Host::new(1), Host::new(2), Host::new(3));
    // The hole knows the destination: it has just met it, or says so.
    let mut destination = Host::new(99);
    meet(&mut hole, &mut destination, 1, &[]);
    let ids: Vec<_> = (0..10_u8).map(|n| a.send(far(), &[n]).id).collect();
    connect(&mut a, &mut hole, 2, &[]);
    connect(&mut a, &mut honest, 3, &[]);
    talk(&mut a, &mut hole, 2);
    talk(&mut a, &mut honest, 3);
    for id in &ids {
        let kept = a.index.0[id].copies;
        assert!(kept >= 1 && hole.index.0.get(id).is_none_or(|record| record.copies <= 6), "{kept}");
    }
    // What the hole swallows, it swallows: the author has its copy, and the destination gets it.
    destination.restart();
    meet(&mut a, &mut destination, 4, &[]);
    assert_eq!(destination.delivered.len(), ids.len());
}
