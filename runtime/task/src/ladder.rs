//! Which rung of a job this node should run now.
//!
//! Pure: everything that counts comes in as an argument. A node asks first, runs
//! what is chosen, and asks again: after a failure the next lower rung is chosen,
//! after a result only better ones.

use core::fmt;

use cairn_board::{Engine, Job, Rung};
use cairn_bundle::Digest;

use crate::resources::{NodeLimits, Resources};

/// A rung that failed here, and why, in the words of its error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The rung, from 0.
    pub rung: usize,
    /// Why.
    pub why: String,
}

/// Why a rung is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// This node does not run this engine.
    Engine(Engine),
    /// The owner leaves rungs this high to others.
    LeftToOthers,
    /// A bound of the rung is above what the owner allows.
    Limit {
        /// Which bound.
        what: Bound,
        /// What the rung may need.
        asked: u64,
        /// What the owner allows.
        allowed: u64,
    },
    /// There is not as much memory free.
    Memory {
        /// What the rung may need.
        asked: u64,
        /// What is free.
        free: u64,
    },
    /// The battery is too low, in percent.
    Battery {
        /// Its charge.
        charge: u8,
        /// The least charge that the owner allows.
        floor: u8,
    },
    /// The machine is too hot, in degrees.
    Hot {
        /// The hottest sensor.
        celsius: i16,
        /// The most that the owner allows.
        ceiling: u8,
    },
    /// The input has not arrived.
    InputMissing(Digest),
    /// The module or model has not arrived.
    ModuleMissing(Digest),
    /// It failed here before.
    Failed(String),
}

/// A bound that an owner limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Bytes of memory.
    Memory,
    /// Milliseconds of wall time.
    Wall,
    /// Units of fuel.
    Fuel,
    /// Bytes of output.
    Output,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(Engine::Wasm) => f.write_str("this node does not run WASM"),
            Self::Engine(Engine::Onnx) => f.write_str("this node does not run ONNX"),
            Self::LeftToOthers => f.write_str("this node leaves it to better ones"),
            Self::Limit { what, asked, allowed } => {
                let (what, unit) = match what {
                    Bound::Memory => ("memory", "bytes"),
                    Bound::Wall => ("time", "ms"),
                    Bound::Fuel => ("fuel", "units"),
                    Bound::Output => ("output", "bytes"),
                };
                write!(f, "it may take {asked} {unit} of {what}, this node allows {allowed}")
            }
            Self::Memory { asked, free } => {
                write!(f, "it may take {asked} bytes of memory, {free} are free")
            }
            Self::Battery { charge, floor } => {
                write!(f, "the battery is at {charge} %, tasks run from {floor} %")
            }
            Self::Hot { celsius, ceiling } => {
                write!(f, "the machine is at {celsius} °C, tasks run up to {ceiling} °C")
            }
            Self::InputMissing(id) => write!(f, "its input {} has not arrived", id.short()),
            Self::ModuleMissing(id) => write!(f, "its module {} has not arrived", id.short()),
            Self::Failed(why) => write!(f, "it failed here: {why}"),
        }
    }
}

/// What to run, and why nothing better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The best rung that fits, from 0; nothing if no rung above the one that is done does.
    pub rung: Option<usize>,
    /// Every better rung and why it is not run, best first.
    pub skipped: Vec<(usize, Reason)>,
}

/// Chooses the best rung that fits: the last of the ladder that the owner allows, the
/// machine can hold, whose blobs are here and that has not failed here. Rungs up to
/// `done`, the best that anybody answered, are of no more use.
pub fn choose(
    job: &Job,
    limits: &NodeLimits,
    measured: &Resources,
    blobs_present: &dyn Fn(&Digest) -> bool,
    failed: &[Failed],
    done: Option<usize>,
) -> Choice {
    let mut skipped = Vec::new();
    let first = done.map_or(0, |done| done.saturating_add(1));
    let unfit = unfit(limits, measured).or_else(|| {
        let missing = !blobs_present(&job.input.id);
        missing.then_some(Reason::InputMissing(job.input.id))
    });
    for (number, rung) in job.rungs.iter().enumerate().skip(first).rev() {
        let reason = unfit.clone().or_else(|| {
            let before = failed.iter().rev().find(|failed| failed.rung == number);
            owner_objects(number, rung, limits)
                .or_else(|| before.map(|failed| Reason::Failed(failed.why.clone())))
                .or_else(|| {
                    let missing = !blobs_present(&rung.module.id);
                    missing.then_some(Reason::ModuleMissing(rung.module.id))
                })
                .or_else(|| too_large(rung, measured))
        });
        match reason {
            Some(reason) => skipped.push((number, reason)),
            None => return Choice { rung: Some(number), skipped },
        }
    }
    Choice { rung: None, skipped }
}

/// What keeps this machine from any task.
fn unfit(limits: &NodeLimits, measured: &Resources) -> Option<Reason> {
    let on_battery = measured.on_mains != Some(true);
    if let Some(charge) = measured.battery_percent
        && on_battery
        && charge < limits.battery_percent_min
    {
        return Some(Reason::Battery { charge, floor: limits.battery_percent_min });
    }
    let celsius = measured.temperature_celsius?;
    let ceiling = limits.temperature_celsius_max;
    (celsius > i16::from(ceiling)).then_some(Reason::Hot { celsius, ceiling })
}

fn owner_objects(number: usize, rung: &Rung, limits: &NodeLimits) -> Option<Reason> {
    let enabled = match rung.engine {
        Engine::Wasm => limits.wasm,
        Engine::Onnx => limits.onnx,
    };
    if !enabled {
        return Some(Reason::Engine(rung.engine));
    }
    if limits.rung_max.is_some_and(|most| number > most) {
        return Some(Reason::LeftToOthers);
    }
    let bounds = &rung.bounds;
    // Fuel means nothing to ONNX.
    let fuel = if rung.engine == Engine::Wasm { bounds.fuel } else { 0 };
    [
        (Bound::Memory, bounds.memory_bytes, limits.memory_bytes_max),
        (Bound::Wall, bounds.wall_ms, limits.wall_ms_max),
        (Bound::Fuel, fuel, limits.fuel_max),
        (Bound::Output, bounds.output_bytes, limits.output_bytes_max),
    ]
    .into_iter()
    .find(|(_, asked, allowed)| asked > allowed)
    .map(|(what, asked, allowed)| Reason::Limit { what, asked, allowed })
}

fn too_large(rung: &Rung, measured: &Resources) -> Option<Reason> {
    let (asked, free) = (rung.bounds.memory_bytes, measured.memory_available_bytes?);
    (asked > free).then_some(Reason::Memory { asked, free })
}

#[cfg(test)]
mod tests {
    use cairn_board::{BlobRef, Bounds, Class, Items, Postprocess, Preprocess, Verify};
    use cairn_bundle::Identity;

    use super::*;

    fn job() -> Job {
        let rung = |name: &str, engine, memory_bytes| Rung {
            name: name.to_owned(),
            engine,
            module: BlobRef::of(name.as_bytes()),
            quality_ppm: 900_000,
            price: 1,
            bounds: Bounds { fuel: 100, memory_bytes, wall_ms: 100, output_bytes: 100 },
            pre: Preprocess::None,
            post: Postprocess::None,
        };
        Job {
            title: "t".to_owned(),
            payer: Identity::from_seed(&[1; 32]).node_id(),
            nonce: [0; 16],
            input: BlobRef::of(b"input"),
            items: Items::Whole,
            rungs: vec![
                rung("low", Engine::Wasm, 10),
                rung("mid", Engine::Onnx, 100),
                rung("high", Engine::Onnx, 1_000),
            ],
            class: Class::Exact,
            verify: Verify::Trust,
            fee: 0,
            useful_until: None,
        }
    }

    fn free(bytes: u64) -> Resources {
        Resources { memory_available_bytes: Some(bytes), ..Resources::default() }
    }

    fn chosen(measured: &Resources, limits: &NodeLimits, failed: &[usize], done: Option<usize>) -> Choice {
        let failed: Vec<Failed> =
            failed.iter().map(|rung| Failed { rung: *rung, why: "out of time".to_owned() }).collect();
        choose(&job(), limits, measured, &|_| true, &failed, done)
    }

    #[test]
    fn the_best_rung_that_fits_is_chosen_and_the_better_ones_say_why_not() {
        let limits = NodeLimits::default();
        assert_eq!(chosen(&free(1_000), &limits, &[], None), Choice { rung: Some(2), skipped: vec![] });
        assert_eq!(chosen(&Resources::default(), &limits, &[], None).rung, Some(2));
        let less = chosen(&free(999), &limits, &[], None);
        assert_eq!(less.rung, Some(1));
        assert_eq!(less.skipped, vec![(2, Reason::Memory { asked: 1_000, free: 999 })]);
        assert_eq!(chosen(&free(9), &limits, &[], None).rung, None);
    }

    #[test]
    fn after_a_failure_the_next_lower_rung_is_chosen_and_after_a_result_only_a_better_one() {
        let limits = NodeLimits::default();
        let fallback = chosen(&free(1_000), &limits, &[2], None);
        assert_eq!(fallback.rung, Some(1));
        assert_eq!(fallback.skipped[0].1.to_string(), "it failed here: out of time");
        assert_eq!(chosen(&free(1_000), &limits, &[1, 2], None).rung, Some(0));
        assert_eq!(chosen(&free(1_000), &limits, &[0, 1, 2], None).rung, None);
        assert_eq!(chosen(&free(1_000), &limits, &[], Some(0)).rung, Some(2));
        assert_eq!(chosen(&free(100), &limits, &[], Some(1)).rung, None);
        assert_eq!(chosen(&free(1_000), &limits, &[], Some(2)), Choice { rung: None, skipped: vec![] });
        assert_eq!(chosen(&free(1_000), &limits, &[], Some(usize::MAX)).rung, None);
    }

    #[test]
    fn the_owner_decides_over_engines_heights_and_bounds() {
        let only_wasm = NodeLimits { onnx: false, ..NodeLimits::default() };
        assert_eq!(chosen(&free(1_000), &only_wasm, &[], None).rung, Some(0));
        let low = NodeLimits { rung_max: Some(1), ..NodeLimits::default() };
        let choice = chosen(&free(1_000), &low, &[], None);
        assert_eq!((choice.rung, choice.skipped), (Some(1), vec![(2, Reason::LeftToOthers)]));
        let no_fuel = NodeLimits { fuel_max: 99, ..NodeLimits::default() };
        assert_eq!(chosen(&free(1_000), &no_fuel, &[], None).rung, Some(2));
        assert_eq!(chosen(&free(10), &no_fuel, &[], None).rung, None);
        let quick = NodeLimits { wall_ms_max: 99, ..NodeLimits::default() };
        assert_eq!(chosen(&free(1_000), &quick, &[], None).rung, None);
    }

    #[test]
    fn an_empty_battery_and_heat_stop_every_task() {
        let limits = NodeLimits::default();
        let low = Resources { battery_percent: Some(29), ..Resources::default() };
        assert_eq!(chosen(&low, &limits, &[], None).rung, None);
        assert_eq!(chosen(&low, &limits, &[], None).skipped.len(), 3);
        let charging = Resources { on_mains: Some(true), ..low };
        assert_eq!(chosen(&charging, &limits, &[], None).rung, Some(2));
        let hot = Resources { temperature_celsius: Some(86), ..Resources::default() };
        assert_eq!(chosen(&hot, &limits, &[], None).rung, None);
        let warm = Resources { temperature_celsius: Some(85), ..Resources::default() };
        assert_eq!(chosen(&warm, &limits, &[], None).rung, Some(2));
    }

    #[test]
    fn what_has_not_arrived_cannot_run() {
        let job = job();
        let limits = NodeLimits::default();
        let without = |missing: Digest| {
            choose(&job, &limits, &Resources::default(), &|blob| *blob != missing, &[], None)
        };
        assert_eq!(without(job.rungs[2].module.id).rung, Some(1));
        let nothing = without(job.input.id);
        assert_eq!(nothing.rung, None);
        assert!(nothing.skipped.iter().all(|(_, why)| *why == Reason::InputMissing(job.input.id)));
    }
}
