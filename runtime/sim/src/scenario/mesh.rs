//! Five nodes that meet by chance and write to each other.

use super::settings;
use crate::violation::Violation;
use crate::world::World;

const HOUR_MS: u64 = 3_600_000;

pub(super) fn play(world: &mut World) -> Result<(), Violation> {
    let mut nodes = Vec::new();
    for name in ["A", "B", "C", "D", "E"] {
        let seed = world.dice.seed();
        nodes.push(world.add_node(name, seed, settings(name))?);
    }
    for &node in &nodes {
        for &other in nodes.iter().filter(|other| **other != node) {
            world.acquaint(node, other, true)?;
        }
    }
    let span = world.dice.pick(2..24) * HOUR_MS;
    let letters = world.plan_letters(&nodes, 20, span);
    for _ in 0..world.dice.pick(5..20) {
        let (a, b) = (world.dice.index(nodes.len()), world.dice.index(nodes.len()));
        if a != b {
            world.plan_contact(a, b, span);
        }
    }
    for &node in &nodes {
        world.plan_misfortune(node, span);
    }
    world.run_until(world.now.saturating_add(span))?;
    let mut round = |world: &mut World| {
        for pair in nodes.windows(2) {
            if let [a, b] = pair {
                world.quiet_contact(*a, *b)?;
            }
        }
        Ok(())
    };
    world.heal(&mut round)?;
    world.wait_for_mail(&mut round)?;
    world.check_acknowledged()?;
    world.check_letters(&letters)?;
    world.check_calm()
}
