//! Large sets that differ little.

use cairn_bundle::{Digest, Identity};
use cairn_engine::{Event, Instant};
use cairn_link::Topic;

use crate::host::{Host, connect, record, talk, written};

#[test]
fn two_that_carry_ten_thousand_and_differ_in_ten_exchange_kilobytes() {
    let far = Identity::from_seed(&[99; 32]).node_id();
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let template = written(&Identity::from_seed(&[9; 32]), far, b"x", 1_000_000);
    for n in 0..10_000_u32 {
        let id = Digest::of(&n.to_be_bytes());
        for host in [&mut a, &mut b] {
            let record = record(&template, 500, Instant::ZERO);
            host.index.0.insert(id, record.clone());
            host.handle(Event::Carry { id, record });
        }
    }
    let sent: Vec<_> = (0..10_u8).map(|n| a.send(b.me, &[n])).collect();
    connect(&mut a, &mut b, 1, &[]);
    let (mut frames, mut bytes) = (0, 0);
    loop {
        let (there, back) = (a.transmit(1), b.transmit(1));
        if there.is_none() && back.is_none() {
            break;
        }
        for (from, frame) in [(true, there), (false, back)] {
            let Some(frame) = frame else { continue };
            (frames, bytes) = (frames + 1, bytes + frame.len());
            let to = if from { &mut b } else { &mut a };
            to.handle(Event::Bytes { link: 1, bytes: frame });
        }
    }
    assert_eq!(b.delivered.len(), 10);
    assert!(a.engine.is_idle(1) && b.engine.is_idle(1));
    let payload: usize = sent.len() * 500;
    assert!(frames <= 60 && bytes <= 16_000 + payload, "{frames} frames, {bytes} bytes");
    // Equal sets cost one fingerprint for each topic.
    a.handle(Event::LinkDown { link: 1 });
    b.handle(Event::LinkDown { link: 1 });
    connect(&mut a, &mut b, 2, &[]);
    talk(&mut a, &mut b, 2);
    assert!(a.engine.is_idle(2) && b.engine.is_idle(2));
    assert_eq!(a.sent.iter().filter(|item| item.topic == Topic::Bundle).count(), 10);
}

#[test]
fn pieces_replace_the_whole_and_the_books_agree() {
    use cairn_bundle::Class;
    use cairn_engine::routing::LinkProperties;
    use cairn_link::Mode;

    let far = Identity::from_seed(&[99; 32]).node_id();
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let whole = crate::pressure::classed(&a.identity, far, Class::Normal, &[5; 40_000]);
    let stays = crate::pressure::classed(&a.identity, far, Class::Normal, &[6; 40_000]);
    for bundle in [&whole, &stays] {
        a.carry(bundle);
    }
    let properties =
        LinkProperties { rate_bytes_s: Some(10_000), expected_ms: Some(2_000), ..LinkProperties::default() };
    for (host, peer) in [(&mut a, b.me), (&mut b, Host::new(1).me)] {
        let (hello, groups) = (host.hello(), [].into());
        host.handle(Event::LinkUp { link: 1, peer, mode: Mode::Live, hello, groups, properties });
    }
    talk(&mut a, &mut b, 1);
    assert!(a.sent.is_empty());
    let cut = core::mem::take(&mut a.to_cut);
    assert_eq!(cut.len(), 2);
    let piece_bytes = usize::try_from(cut[0].1).unwrap();
    let id = whole.content_id();
    let record = a.index.0.remove(&id).unwrap();
    let pieces = whole.fragment(piece_bytes).unwrap();
    assert!(pieces.len() > 10);
    for piece in &pieces {
        a.carry(piece);
    }
    a.disk.remove(&crate::host::bundle_item(id));
    a.handle(Event::Gone { id, record });
    a.handle(Event::Whole { id: stays.content_id() });
    talk(&mut a, &mut b, 1);
    assert_eq!(b.index.0.len(), pieces.len() + 1, "the pieces, and what could not be cut");
    assert!(b.index.0.values().filter(|record| record.fragment).count() == pieces.len());
    assert_eq!(a.engine.bundles_carried(), a.index.0.len() as u64);
    let bytes: u64 = a.index.0.values().map(|record| record.bytes).sum();
    assert_eq!(a.engine.used().bytes, bytes);
    // The whole does not come back beside its pieces.
    let mut c = Host::new(3);
    c.carry(&whole);
    crate::host::meet(&mut c, &mut a, 5, &[]);
    assert!(!a.index.0.contains_key(&whole.content_id()) && c.sent.is_empty());
}
