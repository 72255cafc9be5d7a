//! Three engines under any schedule of contacts, refusals, restarts and drops.

use cairn_engine::Instant;
use cairn_link::RefuseReason;
use proptest::prelude::*;

use crate::host::{Host, connect, disconnect, export, import, meet, talk};

#[derive(Debug, Clone)]
enum Step {
    /// One writes to another.
    Send(usize, usize),
    /// Two meet.
    Meet(usize, usize),
    /// Two meet, and the second one's disk refuses everything.
    MeetFull(usize, usize),
    /// Two meet, and the link breaks after so many pieces.
    Break(usize, usize, usize),
    /// A drop is carried, so many times.
    Carry(usize, usize, usize),
    /// A process ends and starts again.
    Restart(usize),
}

fn pair() -> impl Strategy<Value = (usize, usize)> {
    (0_usize..3, 1_usize..3).prop_map(|(a, d)| (a, (a + d) % 3))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => pair().prop_map(|(a, b)| Step::Send(a, b)),
        3 => pair().prop_map(|(a, b)| Step::Meet(a, b)),
        1 => pair().prop_map(|(a, b)| Step::MeetFull(a, b)),
        2 => (pair(), 0_usize..12).prop_map(|((a, b), n)| Step::Break(a, b, n)),
        2 => (pair(), 0_usize..3).prop_map(|((a, b), n)| Step::Carry(a, b, n)),
        1 => (0_usize..3).prop_map(Step::Restart),
    ]
}

fn both(hosts: &mut [Host], a: usize, b: usize) -> (&mut Host, &mut Host) {
    let [a, b] = hosts.get_disjoint_mut([a, b]).unwrap();
    (a, b)
}

fn take(hosts: &mut [Host], step: &Step, n: u64) -> Option<(usize, cairn_link::Item)> {
    match *step {
        Step::Send(from, to) => {
            let peer = hosts[to].me;
            return Some((to, hosts[from].send(peer, &n.to_be_bytes())));
        }
        Step::Meet(a, b) => {
            let (a, b) = both(hosts, a, b);
            meet(a, b, n, &[]);
        }
        Step::MeetFull(a, b) => {
            let (a, b) = both(hosts, a, b);
            b.stores = false;
            connect(a, b, n, &[]);
            talk(a, b, n);
            b.refuse_all(RefuseReason::Full);
            talk(a, b, n);
            disconnect(a, b, n);
            b.stores = true;
        }
        Step::Break(a, b, pieces) => {
            let (a, b) = both(hosts, a, b);
            connect(a, b, n, &[]);
            for _ in 0..pieces {
                if let Some(mut bytes) = a.transmit(n) {
                    bytes.truncate(bytes.len().saturating_sub(pieces % 2));
                    b.handle(cairn_engine::Event::Bytes { link: n, bytes });
                }
                if let Some(bytes) = b.transmit(n) {
                    a.handle(cairn_engine::Event::Bytes { link: n, bytes });
                }
            }
            disconnect(a, b, n);
        }
        Step::Carry(a, b, times) => {
            let (a, b) = both(hosts, a, b);
            let (payloads, _) = export(a, b.me, n, &[]);
            for _ in 0..times {
                import(b, a.me, &payloads, n);
            }
        }
        Step::Restart(node) => hosts[node].restart(),
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_bundle_arrives_once_whatever_happened_before(steps in prop::collection::vec(step(), 1..30)) {
        let mut hosts = vec![Host::new(1), Host::new(2), Host::new(3)];
        let (mut sent, mut n) = (Vec::new(), 0);
        for step in &steps {
            n += 1;
            sent.extend(take(&mut hosts, step, n));
        }
        // What a peer refused goes there again ten minutes later at the latest.
        let later = hosts.iter().map(|host| host.now).max().map_or(Instant::ZERO, |now| now.plus_ms(600_000));
        hosts.iter_mut().for_each(|host| host.now = later);
        for (a, b) in [(0, 1), (1, 2), (0, 2), (0, 1)] {
            n += 1;
            let (a, b) = both(&mut hosts, a, b);
            connect(a, b, n, &[]);
            talk(a, b, n);
            prop_assert!(a.engine.is_idle(n) && b.engine.is_idle(n));
            disconnect(a, b, n);
        }
        for (to, item) in &sent {
            let times = hosts[*to].delivered.iter().filter(|id| **id == item.id).count();
            prop_assert_eq!(times, 1);
        }
        let delivered: usize = hosts.iter().map(|host| host.delivered.len()).sum();
        prop_assert_eq!(delivered, sent.len());
        for host in &hosts {
            prop_assert_eq!(host.engine.bundles_carried(), host.index.0.len() as u64);
        }
    }
}
