//! Two Cairn nodes.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::time::Instant;

use cairn_node::control::api::{Request, Response, Status, Urgency};
use cairn_node::control::client::Client;

use super::limit::per_second;
use super::node::Node;
use super::{processor, row, stock};

const SETTINGS: &str = "listen = [\"127.0.0.1:0\"]\ndiscovery = false\n[store]\nsize_max = \"16 GiB\"\n";
/// What has not arrived by then will not arrive.
const DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(2);
/// Connections over which orders are given at the same time.
const WRITERS: usize = 24;
const KIB: usize = 1_024;

/// Two nodes that may meet.
fn pair(root: &Path, case: &str) -> [Node; 2] {
    let dir = root.join(case);
    fs::create_dir(&dir).unwrap();
    let pair = ["a", "b"].map(|name| Node::new(&dir, name, SETTINGS));
    pair.iter().for_each(Node::start);
    let [a, b] = &pair;
    a.befriend(&b.card(), &b.id(), vec![b.address()]);
    b.befriend(&a.card(), &a.id(), vec![a.address()]);
    pair
}

fn ask(client: &mut Client) -> Status {
    let Ok(Response::Status(status)) = client.ask(&Request::Status) else { panic!("no status") };
    status
}

fn connect(node: &Node) -> Client {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match Client::connect(&node.home) {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(POLL);
    }
}

/// Starts the second node and waits until it has `count` of what is counted; from the moment its link is up.
fn meet(taker: &Node, count: usize, counted: impl Fn(&Status) -> u64) -> Duration {
    // Who was never seen without a link counts from the very beginning.
    let mut begun = Instant::now();
    taker.spawn();
    let mut client = connect(taker);
    let count = u64::try_from(count).unwrap();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let before = Instant::now();
        let status = ask(&mut client);
        // A link that is replaced by a second one on the way is part of the time.
        if status.links.is_empty() && counted(&status) == 0 {
            begun = before;
        }
        if counted(&status) >= count {
            return begun.elapsed();
        }
        assert!(
            Instant::now() < deadline,
            "{} of {count}; {:?}\n{}",
            counted(&status),
            status.counters,
            taker.log()
        );
        std::thread::sleep(POLL);
    }
}

/// From the link to the last bundle, and the processor time of both nodes.
fn relayed(root: &Path, case: &str, count: usize, payload_bytes: usize) -> [Duration; 2] {
    let [a, b] = pair(root, case);
    a.stop();
    b.stop();
    stock::fill(&[&a.home], 0, stock::signed(count, payload_bytes, 1));
    a.start();
    let before = processor::used(a.status().pid);
    let took = meet(&b, count, |status| status.bundles);
    let used = processor::used(a.status().pid) + processor::used(b.status().pid) - before;
    // What was acknowledged is there after kill -9.
    b.kill();
    b.start();
    assert!(b.status().bundles >= u64::try_from(count).unwrap());
    [took, used]
}

/// Processor time of both nodes for one of so many.
fn each(used: Duration, count: usize) -> String {
    let each = used / u32::try_from(count).unwrap();
    format!("{} us", each.as_micros())
}

/// A carries bundles for an absent third node and meets B, which takes them all; bundles per second.
pub(crate) fn relay(root: &Path, count: usize) -> f64 {
    let [took, used] = relayed(root, "relay", count, KIB);
    let rate = f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64();
    row(
        &format!("cairn, {count} bundles of 1 KiB to a relay"),
        &format!("{rate:.0} /s"),
        "goal: at least 10,000",
    );
    row("  processor time of both nodes, each", &each(used, count), "");
    rate
}

/// The same with bundles of 1 MiB.
pub(crate) fn large(root: &Path, count: usize) {
    let [took, used] = relayed(root, "large", count, KIB * KIB);
    let rate = f64::from(u32::try_from(count).unwrap()) * 1.048_576 / took.as_secs_f64();
    row(
        &format!("cairn, {count} bundles of 1 MiB to a relay"),
        &format!("{rate:.0} MB/s"),
        "goal: at least 300",
    );
    row("  processor time of both nodes, each", &each(used, count), "");
}

/// A message of about 1 KiB; its beginning is its key.
fn message(number: usize) -> Request {
    let text = format!("{number:08} {}", "x".repeat(KIB - 30));
    let key = format!("{number:08}");
    Request::Send { to: "b".to_owned(), text, file: None, key, class: Urgency::Normal }
}

fn send(client: &mut Client, number: usize) {
    match client.ask(&message(number)) {
        Ok(Response::Sent { .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// A carries messages for B and meets it; B opens each and puts it into its inbox.
pub(crate) fn deliver(root: &Path, count: usize) {
    let [a, b] = pair(root, "deliver");
    b.stop();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let a = &a.home;
            scope.spawn(move || {
                let mut client = Client::connect(a).unwrap();
                (writer..count).step_by(WRITERS).for_each(|number| send(&mut client, number));
            });
        }
    });
    let ordered = per_second(count, begun);
    row(
        &format!("cairn, {count} orders of 1 KiB taken from {WRITERS} clients"),
        &format!("{ordered:.0} /s"),
        "",
    );
    let before = processor::used(a.status().pid);
    let took = meet(&b, count, |status| status.messages);
    let used = processor::used(a.status().pid) + processor::used(b.status().pid) - before;
    let rate = f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64();
    row(
        &format!("cairn, {count} messages of 1 KiB into the inbox of B"),
        &format!("{rate:.0} /s"),
        "goal: at least 10,000",
    );
    row("  processor time of both nodes, each", &each(used, count), "");
    b.kill();
    b.start();
    assert_eq!(b.inbox().len(), count);
}

/// One message after the other between nodes that have a link.
pub(crate) fn latency(root: &Path, count: usize) {
    let [a, b] = pair(root, "latency");
    super::node::meet(&a, &b);
    std::thread::sleep(Duration::from_secs(1));
    let (mut to, mut from) = (connect(&a), connect(&b));
    let mut times: Vec<f64> = (0..count)
        .map(|number| {
            let here = u64::try_from(number).unwrap();
            send(&mut to, number);
            let confirmed = Instant::now();
            while ask(&mut from).messages <= here {
                assert!(confirmed.elapsed() < DEADLINE, "message {number} does not arrive");
            }
            confirmed.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    row(
        &format!("cairn, one message of 1 KiB, confirmed to visible, {count} times"),
        &format!("median {:.2} ms", at(50)),
        "goal: at most 1.5",
    );
    row("", &format!("90 of 100 within {:.2} ms", at(90)), "");
}
