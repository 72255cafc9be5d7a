//! Small fields of every kind in which anything goes wrong, drawn from a seed: what the promises are tested with.

use super::faults::FieldFaults;
use super::run::FieldOptions;
use super::scenario::Scenario;
use crate::Dice;

/// A kind of field: its name, the fewest nodes and how many more at most, the same for hours and for messages.
type Small = (&'static str, [u64; 2], [u64; 2], [u64; 2]);

/// All kinds, so small that a thousand seeds take minutes.
const SMALL: [Small; 7] = [
    ("village", [16, 2], [12, 24], [4, 8]),
    ("city", [6, 6], [1, 2], [6, 10]),
    ("camps", [7, 4], [1, 3], [6, 10]),
    ("censored", [6, 6], [1, 3], [6, 10]),
    ("chain", [3, 4], [1, 2], [6, 10]),
    ("satellite", [10, 2], [2, 3], [4, 8]),
    ("crowd", [5, 5], [1, 1], [6, 10]),
];

/// Bytes that a node may carry: more than all messages have, and a few bulk bundles.
const STORE_BYTES: u64 = 2_000_000;
const SCARCE_BYTES: u64 = 300_000;

/// The field of a seed, and how to run it: with [mixed faults](FieldFaults::mixed), two of three fields without hostile
/// nodes, a quarter with little room, and with agreement in the end.
#[must_use]
pub fn mixed_field(seed: u64) -> (Scenario, FieldOptions) {
    // Of its own: a change of what is drawn here leaves the field of a scenario and seed as it was.
    let mut dice = Dice::new(seed ^ 0x006d_6978_6564);
    let (name, nodes, hours, messages) = *SMALL.get(dice.index(SMALL.len())).unwrap_or(&SMALL[0]);
    let mut size = |[least, more]: [u64; 2]| least + dice.pick(0..more + 1);
    let text = format!("{name}:nodes={},hours={},messages={}", size(nodes), size(hours), size(messages));
    let mut faults = FieldFaults::mixed(&mut dice);
    if dice.percent(66) {
        faults.hostile_percent = 0;
    }
    let store_bytes = if dice.percent(25) { SCARCE_BYTES } else { STORE_BYTES };
    let options = FieldOptions { faults, epidemic: false, converge: true, store_bytes };
    (Scenario::parse(&text).unwrap_or_else(|error| unreachable!("{text}: {error}")), options)
}
