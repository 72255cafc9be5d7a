//! The contacts of some scenarios, and what routing makes of them next to epidemic.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

extern crate std;

use super::{Contact, Dice, How, Mail, Outcome, World};
use crate::routing::ContactPlan;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

pub(super) struct Scene {
    name: &'static str,
    nodes: usize,
    contacts: Vec<Contact>,
    mails: Vec<Mail>,
    plan: ContactPlan,
}

impl Scene {
    fn new(name: &'static str, nodes: usize, contacts: Vec<Contact>, mails: Vec<Mail>) -> Self {
        Self { name, nodes, contacts, mails, plan: ContactPlan::default() }
    }
}

fn mails(dice: &mut Dice, count: usize, nodes: usize, from_s: u64, until_s: u64, life_s: u64) -> Vec<Mail> {
    let mail = |dice: &mut Dice| {
        let from = dice.node(nodes);
        let to = (from + 1 + dice.node(nodes - 1)) % nodes;
        Mail { from, to, at_s: from_s + dice.below(until_s - from_s), life_s }
    };
    (0..count).map(|_| mail(dice)).collect()
}

/// People who walk at 1.3 m/s to points chosen at random; links below 40 m. Lengths in centimetres.
fn walk(dice: &mut Dice, nodes: usize, side_m: u64, end_s: u64, step_s: u64) -> Vec<Contact> {
    const RANGE_CM: i64 = 4_000;
    let step = i64::try_from(130 * step_s).unwrap();
    let at = |dice: &mut Dice| {
        let mut place = || i64::try_from(dice.below(side_m * 100)).unwrap();
        (place(), place())
    };
    let far = |(ax, ay): (i64, i64), (bx, by): (i64, i64)| ((ax - bx).pow(2) + (ay - by).pow(2)).isqrt();
    let mut people: Vec<_> = (0..nodes).map(|_| (at(dice), at(dice))).collect();
    let (mut up, mut contacts) = (BTreeSet::new(), Vec::new());
    for s in (0..end_s).step_by(usize::try_from(step_s).unwrap()) {
        let mut cells: BTreeMap<(i64, i64), Vec<usize>> = BTreeMap::new();
        for (index, (place, goal)) in people.iter_mut().enumerate() {
            let left = far(*place, *goal);
            if left <= step {
                (*place, *goal) = (*goal, at(dice));
            } else {
                place.0 += (goal.0 - place.0) * step / left;
                place.1 += (goal.1 - place.1) * step / left;
            }
            cells.entry((place.0 / RANGE_CM, place.1 / RANGE_CM)).or_default().push(index);
        }
        let mut near = BTreeSet::new();
        for (&(x, y), here) in &cells {
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1), (1, -1)] {
                let there = cells.get(&(x + dx, y + dy)).into_iter().flatten();
                for (&a, &b) in there.flat_map(|b| here.iter().map(move |a| (a, b))) {
                    if a != b && far(people[a].0, people[b].0) < RANGE_CM {
                        near.insert((a.min(b), a.max(b)));
                    }
                }
            }
        }
        contacts.extend(up.difference(&near).map(|&(a, b)| (s, a, b, false)));
        contacts.extend(near.difference(&up).map(|&(a, b)| (s, a, b, true)));
        up = near;
    }
    contacts
}

fn city(seed: u64, nodes: usize, side_m: u64) -> Scene {
    let mut dice = Dice(seed);
    let contacts = walk(&mut dice, nodes, side_m, DAY, 10);
    let mails = mails(&mut dice, 300, nodes, 2 * HOUR, 16 * HOUR, 8 * HOUR);
    Scene::new("city", nodes, contacts, mails)
}

fn crowd(seed: u64) -> Scene {
    let mut dice = Dice(seed);
    let contacts = walk(&mut dice, 200, 400, 2 * HOUR, 5);
    let mails = mails(&mut dice, 300, 200, 600, HOUR, HOUR);
    Scene::new("crowd", 200, contacts, mails)
}

fn once(contacts: &mut Vec<Contact>, s: u64, length_s: u64, a: usize, b: usize) {
    contacts.push((s, a, b, true));
    contacts.push((s + length_s, a, b, false));
}

fn sorted(mut contacts: Vec<Contact>) -> Vec<Contact> {
    contacts.sort_unstable();
    // Overlapping contacts of a pair count as one.
    let mut up = BTreeMap::new();
    contacts.retain(|&(_, a, b, begins)| {
        let links: &mut i32 = up.entry((a.min(b), a.max(b))).or_default();
        *links += if begins { 1 } else { -1 };
        *links == i32::from(begins)
    });
    contacts
}

/// Six villages of twelve; a bus (the last node) calls at each once a week, for an hour.
fn village(seed: u64) -> Scene {
    let (mut dice, mut contacts) = (Dice(seed), Vec::new());
    let (villages, people, weeks) = (6, 12, 8);
    for v in 0..villages {
        for s in (8 * HOUR..weeks * 7 * DAY).step_by(600) {
            let night = !(8..20).contains(&(s / HOUR % 24));
            if night || dice.below(2) == 0 {
                continue;
            }
            let (a, b) = (dice.node(people), dice.node(people));
            if a != b {
                once(&mut contacts, s + dice.below(500), 60, v * people + a, v * people + b);
            }
        }
    }
    for week in 0..weeks {
        for v in 0..villages {
            let s = week * 7 * DAY + u64::try_from(v).unwrap() * DAY + 10 * HOUR + dice.below(HOUR);
            for at in 0..4 {
                // Two who always wait for it, and two by chance.
                let person = if at < 2 { at } else { dice.node(people) };
                once(&mut contacts, s + dice.below(HOUR), 300, v * people + person, villages * people);
            }
        }
    }
    let mails = mails(&mut dice, 300, villages * people, 14 * DAY, 42 * DAY, 14 * DAY);
    Scene::new("village", villages * people + 1, sorted(contacts), mails)
}

/// Two camps of fifteen; a drone (the last node) goes to and fro every two hours.
fn camps(seed: u64) -> Scene {
    let (mut dice, mut contacts) = (Dice(seed), Vec::new());
    for s in (0..2 * DAY).step_by(60) {
        for camp in 0..2 {
            let (a, b) = (dice.node(15), dice.node(15));
            if a != b {
                once(&mut contacts, s + dice.below(60), 120, camp * 15 + a, camp * 15 + b);
            }
        }
        if s % HOUR < 15 * 60 {
            let camp = usize::try_from(s / HOUR % 2).unwrap();
            once(&mut contacts, s, 60, camp * 15 + dice.node(15), 30);
        }
    }
    let mails = mails(&mut dice, 300, 30, 4 * HOUR, DAY, 12 * HOUR);
    Scene::new("camps", 31, sorted(contacts), mails)
}

/// A line of 64; each link is up for two minutes now and then, or always.
fn chain(seed: u64, always: bool) -> Scene {
    let (mut dice, mut contacts) = (Dice(seed), Vec::new());
    let end_s = 2 * DAY;
    for a in 0..63 {
        if always {
            once(&mut contacts, a, end_s, usize::try_from(a).unwrap(), usize::try_from(a + 1).unwrap());
            continue;
        }
        let mut s = dice.below(1_200);
        while s < end_s {
            once(&mut contacts, s, 120, usize::try_from(a).unwrap(), usize::try_from(a + 1).unwrap());
            s += 120 + dice.below(1_200);
        }
    }
    let mut mails = mails(&mut dice, 60, 64, 0, HOUR, DAY);
    for (index, mail) in mails.iter_mut().enumerate() {
        if index % 2 == 0 {
            (mail.from, mail.to) = if index % 4 == 0 { (0, 63) } else { (63, 0) };
        }
    }
    let name = if always { "chain, always up" } else { "chain" };
    Scene::new(name, 64, sorted(contacts), mails)
}

/// Six ground stations under three satellites that pass each of them every six hours; all of it is in the plan.
fn satellite(seed: u64) -> Scene {
    let (mut dice, mut contacts, mut text) = (Dice(seed), Vec::new(), String::new());
    let ids = super::ids(9);
    for (satellite, station) in (0..3).flat_map(|satellite| (0..6).map(move |station| (satellite, station))) {
        let first_s = u64::try_from(satellite * 7_000 + station * 1_800).unwrap() % (6 * HOUR);
        let (a, b) = (ids[station], ids[6 + satellite]);
        text += &format!("contact {a} {b} +{first_s} +10m every=6h both\n");
        for s in (first_s..4 * DAY).step_by(6 * 3_600) {
            once(&mut contacts, s, 600, station, 6 + satellite);
        }
    }
    let mails = mails(&mut dice, 200, 6, HOUR, 2 * DAY, DAY);
    Scene { plan: ContactPlan::parse(&text).unwrap(), ..Scene::new("satellite", 9, sorted(contacts), mails) }
}

fn measure(scene: &Scene, how: How, count: usize) -> Outcome {
    let (mut dice, mut liars) = (Dice(7), BTreeSet::new());
    while liars.len() < count {
        // The last node is the bus or the drone: without it nothing arrives either way.
        liars.insert(dice.node(scene.nodes - 1));
    }
    let honest = |mail: &&Mail| !liars.contains(&mail.from) && !liars.contains(&mail.to);
    let mails: Vec<Mail> = scene.mails.iter().filter(honest).copied().collect();
    let mut world = World::new(scene.nodes, &mails, how, true);
    world.liars = liars;
    world.plan(&scene.plan);
    world.run(&scene.contacts)
}

/// Delivered and transmitted, in percent of epidemic.
fn compared(scene: &Scene, copies: u8, liars: usize) -> (usize, usize) {
    let epidemic = measure(scene, How::Epidemic, liars);
    let routed = measure(scene, How::Routed { copies }, liars);
    let percent = |part: usize, whole: usize| part * 100 / whole.max(1);
    std::println!(
        "{:18} {copies:3} copies {liars:3} liars: delivered {:3} % of {:3} in {:6} s ({:6} s), transmissions {:3} % of {:6}, {} a mail",
        scene.name,
        percent(routed.delivered, epidemic.delivered),
        epidemic.delivered,
        routed.delay_s / u64::try_from(routed.delivered.max(1)).unwrap(),
        epidemic.delay_s / u64::try_from(epidemic.delivered.max(1)).unwrap(),
        percent(routed.transmissions, epidemic.transmissions),
        epidemic.transmissions,
        routed.transmissions / routed.mails,
    );
    (percent(routed.delivered, epidemic.delivered), percent(routed.transmissions, epidemic.transmissions))
}

/// Prints the table of `docs/design/routing.md`: `cargo test --release -p cairn-engine scenes -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes without optimisation"]
fn all_scenes_next_to_epidemic() {
    for scene in
        [village(1), village(2), camps(1), satellite(1), chain(1, false), crowd(1), city(1, 300, 3_000)]
    {
        for copies in [4, 8, 16] {
            compared(&scene, copies, 0);
        }
        compared(&scene, 8, scene.nodes / 10);
    }
}

#[test]
fn a_line_in_which_only_neighbours_meet_delivers_everything() {
    for always in [false, true] {
        for copies in [1, 8] {
            let scene = chain(2, always);
            let outcome = measure(&scene, How::Routed { copies }, 0);
            assert_eq!(outcome.delivered, outcome.mails, "{} {copies}", scene.name);
        }
    }
}

#[test]
fn a_plan_that_all_know_is_followed_as_early_as_possible_and_in_few_transmissions() {
    let scene = satellite(2);
    let (epidemic, routed) =
        (measure(&scene, How::Epidemic, 0), measure(&scene, How::Routed { copies: 8 }, 0));
    assert_eq!(routed.delivered, epidemic.delivered);
    assert_eq!(routed.delay_s, epidemic.delay_s, "as early as possible");
    // Up to a satellite and down again; seldom, a third hop is earlier.
    assert!(routed.transmissions * 10 <= routed.delivered * 21, "{routed:?}");
}

#[test]
fn two_camps_and_a_drone_lose_nothing_to_liars_who_swallow_bundles() {
    let scene = camps(2);
    let honest = measure(&scene, How::Routed { copies: 8 }, 0);
    assert_eq!(honest.delivered, honest.mails);
    let (epidemic, routed) =
        (measure(&scene, How::Epidemic, 3), measure(&scene, How::Routed { copies: 8 }, 3));
    assert!(routed.delivered * 100 >= epidemic.delivered * 95, "{routed:?}");
}
