//! Three engines under any schedule with full stores, notices, power cuts and time, and a checker that finds hosts that are
//! broken on purpose.

use std::collections::BTreeMap;

use cairn_bundle::{Digest, NodeId};
use cairn_engine::quota::Amount;
use cairn_engine::{Event, Instant, Limits};
use cairn_link::RefuseReason;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

use crate::host::{Fault, Host, bundle_item, connect, disconnect, export, import, meet, talk, written};

#[derive(Debug, Clone)]
enum Step {
    /// One writes to another, so many bundles.
    Send(usize, usize, u8),
    /// Two meet.
    Meet(usize, usize),
    /// Two meet, and the second one's disk refuses everything.
    MeetFull(usize, usize),
    /// Two meet, and the link breaks after so many pieces.
    Break(usize, usize, usize),
    /// A drop is carried, so many times.
    Carry(usize, usize, usize),
    /// The power of a node is cut.
    Cut(usize),
    /// What was delivered at one node is told to another.
    Tell(usize, usize),
    /// Milliseconds pass for all.
    Wait(u64),
}

fn pair() -> impl Strategy<Value = (usize, usize)> {
    (0_usize..3, 1_usize..3).prop_map(|(a, d)| (a, (a + d) % 3))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (pair(), 1_u8..5).prop_map(|((a, b), n)| Step::Send(a, b, n)),
        4 => pair().prop_map(|(a, b)| Step::Meet(a, b)),
        1 => pair().prop_map(|(a, b)| Step::MeetFull(a, b)),
        2 => (pair(), 0_usize..12).prop_map(|((a, b), n)| Step::Break(a, b, n)),
        1 => (pair(), 0_usize..3).prop_map(|((a, b), n)| Step::Carry(a, b, n)),
        2 => (0_usize..3).prop_map(Step::Cut),
        1 => pair().prop_map(|(a, b)| Step::Tell(a, b)),
        2 => (0_u64..60_000).prop_map(Step::Wait),
    ]
}

/// The size of every bundle of this test as it is carried for others, at most.
const BUNDLE_BYTES: u64 = 600;

/// Room for eight bundles, four of a neighbour.
fn limits() -> Limits {
    let mut limits = Limits::default();
    let amount = |bundles: u64| Amount { bytes: bundles * BUNDLE_BYTES, bundles };
    limits.quota.total = amount(8);
    limits.quota.reserve = amount(1);
    limits.quota.neighbour = amount(4);
    limits.quota.source_first = amount(3);
    limits.quota.source_most = amount(4);
    limits
}

struct World {
    hosts: Vec<Host>,
    sent: Vec<(usize, Digest, Instant)>,
    link: u64,
}

impl World {
    fn new(limits: &Limits, fault: Fault) -> Self {
        let host = |seed| {
            let mut host = Host::with(seed, limits.clone());
            host.fault = fault;
            host
        };
        Self { hosts: (1..4).map(host).collect(), sent: Vec::new(), link: 0 }
    }

    fn both(&mut self, a: usize, b: usize) -> (&mut Host, &mut Host) {
        let [a, b] = self.hosts.get_disjoint_mut([a, b]).unwrap();
        (a, b)
    }

    fn take(&mut self, step: &Step) {
        self.link += 1;
        let link = self.link;
        match *step {
            Step::Send(from, to, bundles) => {
                let peer = self.hosts[to].me;
                for n in 0..bundles {
                    let text = [link.to_be_bytes().as_slice(), &[n]].concat();
                    let host = &mut self.hosts[from];
                    let bundle = written(&host.identity, peer, &text, 1_000_000);
                    let expires = host.now.plus_ms(1_000_000);
                    let item = host.carry(&bundle);
                    self.sent.push((to, item.id, expires));
                }
            }
            Step::Meet(a, b) => {
                let (a, b) = self.both(a, b);
                meet(a, b, link, &[]);
            }
            Step::MeetFull(a, b) => {
                let (a, b) = self.both(a, b);
                b.stores = false;
                connect(a, b, link, &[]);
                talk(a, b, link);
                b.refuse_all(RefuseReason::Full);
                talk(a, b, link);
                disconnect(a, b, link);
                b.stores = true;
            }
            Step::Break(a, b, pieces) => {
                let (a, b) = self.both(a, b);
                connect(a, b, link, &[]);
                for _ in 0..pieces {
                    if let Some(bytes) = a.transmit(link) {
                        b.handle(Event::Bytes { link, bytes });
                    }
                    if let Some(bytes) = b.transmit(link) {
                        a.handle(Event::Bytes { link, bytes });
                    }
                }
                disconnect(a, b, link);
            }
            Step::Carry(a, b, times) => {
                let (a, b) = self.both(a, b);
                let (payloads, _) = export(a, b.me, link, &[]);
                for _ in 0..times {
                    import(b, a.me, &payloads, link);
                }
            }
            Step::Cut(node) => self.hosts[node].restart(),
            Step::Tell(from, to) => {
                let (by, ids) = (self.hosts[from].me, self.hosts[from].delivered.clone());
                self.hosts[to].handle(Event::Noticed { by, ids });
            }
            Step::Wait(ms) => {
                for host in &mut self.hosts {
                    host.now = host.now.plus_ms(ms);
                    host.handle(Event::Tick);
                }
            }
        }
    }

    /// V4, and books that agree with the disk. The limits are the honest ones, whatever the host was given.
    fn check_books(&self) -> Result<(), TestCaseError> {
        let honest = limits().quota;
        for host in &self.hosts {
            let index = &host.index.0;
            prop_assert_eq!(host.engine.bundles_carried(), index.len() as u64);
            let bytes: u64 = index.values().map(|record| record.bytes).sum();
            prop_assert_eq!(host.engine.used(), Amount { bytes, bundles: index.len() as u64 });
            let mut by_neighbour: BTreeMap<NodeId, Amount> = BTreeMap::new();
            let mut by_source: BTreeMap<NodeId, Amount> = BTreeMap::new();
            for record in index.values().filter(|record| !record.is_own()) {
                for (sums, node) in [(&mut by_neighbour, record.neighbour), (&mut by_source, record.source)] {
                    let sum = sums.entry(node.unwrap()).or_default();
                    *sum = sum.plus(Amount::one(record.bytes));
                }
            }
            prop_assert!(index.keys().all(|id| host.disk.contains_key(&bundle_item(*id))));
            prop_assert!(
                by_neighbour.values().all(|sum| sum.is_within(honest.neighbour)),
                "a neighbour has too much"
            );
            prop_assert!(
                by_source.values().all(|sum| sum.is_within(honest.source_first)),
                "a source has too much"
            );
            prop_assert!(host.closed.is_empty());
            prop_assert!(
                host.engine.links().next().is_some()
                    || host.engine.poll_timeout().is_none_or(|due| due >= host.now)
            );
        }
        Ok(())
    }

    /// V1 and V2: what has not expired arrives when all meet, and nothing arrives twice.
    fn check_deliveries(&mut self) -> Result<(), TestCaseError> {
        for (a, b) in [(0, 1), (1, 2), (0, 2), (0, 1), (1, 2)] {
            self.link += 1;
            let link = self.link;
            let (a, b) = self.both(a, b);
            connect(a, b, link, &[]);
            talk(a, b, link);
            prop_assert!(a.engine.is_idle(link) && b.engine.is_idle(link), "two that are silent are idle");
            disconnect(a, b, link);
        }
        for (to, id, expires) in &self.sent {
            let host = &self.hosts[*to];
            let times = host.delivered.iter().filter(|delivered| *delivered == id).count();
            prop_assert!(times <= 1, "delivered {} times", times);
            prop_assert!(times == 1 || host.now >= *expires, "lost");
        }
        Ok(())
    }
}

fn check(limits: &Limits, fault: Fault, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new(limits, fault);
    for step in steps {
        world.take(step);
        world.check_books()?;
    }
    world.check_deliveries()?;
    world.check_books()
}

fn run(cases: u32, limits: &Limits, fault: Fault) -> Result<(), String> {
    let config =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let schedule = prop::collection::vec(step(), 1..40);
    match runner.run(&schedule, |steps| check(limits, fault, &steps)) {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, _)) => Err(why.message().to_owned()),
        Err(TestError::Abort(why)) => Err(format!("given up: {}", why.message())),
    }
}

#[test]
fn an_honest_host_passes_every_schedule() {
    assert_eq!(run(400, &limits(), Fault::None), Ok(()));
}

#[test]
fn a_host_that_acknowledges_before_it_is_durable_is_found() {
    let why = run(400, &limits(), Fault::TakenBeforeDurable).unwrap_err();
    assert!(why.contains("lost"), "{why}");
}

#[test]
fn a_host_that_forgets_what_it_delivered_is_found() {
    let why = run(400, &limits(), Fault::ForgetsSeen).unwrap_err();
    assert!(why.contains("delivered 2 times"), "{why}");
}

#[test]
fn a_host_without_quotas_is_found() {
    let mut open = limits();
    let all = Amount { bytes: u64::MAX, bundles: u64::MAX };
    let quota = &mut open.quota;
    (quota.total, quota.neighbour, quota.source_first, quota.source_most) = (all, all, all, all);
    (quota.strangers, quota.community, quota.neighbours_shared, quota.strangers_shared) =
        (all, all, all, all);
    quota.reserve = Amount::ZERO;
    let why = run(400, &open, Fault::None).unwrap_err();
    assert!(why.contains("has too much"), "{why}");
}
