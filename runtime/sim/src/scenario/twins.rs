//! Two nodes with one identity file: others must not suffer, and somebody must be told.

use cairn_node::control::api::Request;

use super::settings;
use crate::violation::Violation;
use crate::world::{Fault, World};

const HOUR_MS: u64 = 3_600_000;

pub(super) fn play(world: &mut World) -> Result<(), Violation> {
    let (seed, second, third) = (world.dice.seed(), world.dice.seed(), world.dice.seed());
    let one = world.add_node("X", seed, settings("X"))?;
    let two = world.add_node("X", seed, settings("X"))?;
    let b = world.add_node("B", second, settings("B"))?;
    let c = world.add_node("C", third, settings("C"))?;
    for (node, other) in [(one, b), (two, b), (b, one), (b, c), (c, b)] {
        world.acquaint(node, other, true)?;
    }
    let span = 4 * HOUR_MS;
    let letters = world.plan_letters(&[b, c], 8, span);
    let debtor = world.node(b).me.to_string();
    for (twin, limit) in [(one, 100), (two, 200)] {
        let when = world.now.saturating_add(world.dice.pick(0..span));
        world.ask_at(when, twin, Request::CreditGrant { node: debtor.clone(), limit }, None);
        world.plan_contact(twin, b, span);
        world.plan_contact(twin, b, span);
        world.plan_misfortune(twin, span);
    }
    for _ in 0..world.dice.pick(2..8) {
        world.plan_contact(b, c, span);
    }
    world.plan(span, Fault::Meet { a: one, b: two, budget: 1 << 30 });
    for node in [b, c] {
        world.plan_misfortune(node, span);
    }
    world.run_until(world.now.saturating_add(span))?;
    world.heal(&mut |world| {
        for (here, there) in [(one, b), (two, b), (b, c), (one, two)] {
            world.quiet_contact(here, there)?;
        }
        Ok(())
    })?;
    world.check_acknowledged()?;
    world.check_letters(&letters)?;
    // Whoever hears the other's hello first closes the link, so perhaps only one of the two ever knows.
    let warned = !world.status(one)?.warnings.is_empty() || !world.status(two)?.warnings.is_empty();
    if !warned {
        return Err(world.unexpected(one, "no warning though it met its twin".to_owned()));
    }
    // Two histories of one stream are told to a person, and again after a restart. (There is one history if the
    // second twin learnt the entries of the first before it wrote its own.)
    let forks = |warnings: &[String]| warnings.iter().any(|text| text.contains("two different entries"));
    let before = world.status(b)?;
    world.crash(b);
    let after = world.status(b)?;
    let forked = before.counters.contains_key("forked streams");
    if forked != forks(&before.warnings) || forked != forks(&after.warnings) {
        return Err(world.unexpected(b, format!("before a restart {before:?}, after it {after:?}")));
    }
    // Between those who are who they say, everything is as it should be.
    world.check_edge(b, c)
}
