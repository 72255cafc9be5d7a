//! The payer's check of a result that somebody else computed.
//!
//! Three steps, of which only the middle one computes: [`plan`] looks at the form
//! and draws what to compute again, [`crate::run`] computes it, [`Plan::judge`]
//! compares. [`verify`] does all three.
//!
//! A verdict against a result needs proof. That the payer could not compute
//! something again is an error, not a verdict.

use core::fmt;

use cairn_board::{Class, Items, Job, Verify};

use crate::cancel::Cancel;
use crate::idx::Idx;
use crate::{Executors, TaskError, TaskSpec};

/// Longest line that an item may be answered with.
pub const LINE_BYTES_MAX: usize = 4096;

/// What is wrong with a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// The job has no such rung.
    NoSuchRung(usize),
    /// The output is longer than the rung allows.
    TooLarge,
    /// The output does not end with a line break.
    Unfinished,
    /// A line is empty or longer than [`LINE_BYTES_MAX`].
    Line(usize),
    /// There is not one line for each item.
    Count {
        /// Items of the input.
        items: usize,
        /// Lines of the output.
        lines: usize,
    },
    /// What was computed again is different.
    Differs {
        /// How many lines, or outputs.
        differing: usize,
        /// Of how many that were computed again.
        checked: usize,
        /// How many may differ.
        allowed: usize,
        /// The first that does, counted from 0.
        first: usize,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchRung(rung) => write!(f, "the job has no rung {rung}"),
            Self::TooLarge => f.write_str("the output is larger than the rung allows"),
            Self::Unfinished => f.write_str("the output does not end with a line break"),
            Self::Line(line) => write!(f, "line {} of the output is empty or too long", line + 1),
            Self::Count { items, lines } => write!(f, "{items} items were answered with {lines} lines"),
            Self::Differs { differing, checked, allowed, first } => write!(
                f,
                "{differing} of {checked} items computed again differ (at most {allowed} may), the first is number {}",
                first + 1
            ),
        }
    }
}

/// What the payer thinks of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is as promised, as far as was looked.
    Good {
        /// How many items were computed again: 0 if only the form was looked at.
        checked: usize,
    },
    /// It is not.
    Bad(Flaw),
}

/// What has to be computed again before a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The input to compute on; none if the form was all that counts.
    pub input: Option<Vec<u8>>,
    expected: Expected,
    class: Class,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    Nothing,
    Whole(Vec<u8>),
    /// The number of each item and its line; and whether these are all items.
    Lines {
        lines: Vec<(usize, Vec<u8>)>,
        all: bool,
    },
}

/// Looks at the form of a result and draws what to compute again.
///
/// `random` gives evenly distributed numbers that the worker could not foresee.
///
/// # Errors
/// What is wrong with the form. An input that is not what the job says is the
/// payer's own error, and shows as a count of no items.
pub fn plan(
    job: &Job,
    rung: usize,
    input: &[u8],
    output: &[u8],
    random: &mut dyn FnMut() -> u64,
) -> Result<Plan, Flaw> {
    let bounds = job.rungs.get(rung).ok_or(Flaw::NoSuchRung(rung))?.bounds;
    if u64::try_from(output.len()).map_or(true, |len| len > bounds.output_bytes) {
        return Err(Flaw::TooLarge);
    }
    let items = match job.verify {
        Verify::Spot { items } if job.class != Class::None => items,
        Verify::Spot { .. } | Verify::Trust => 0,
    };
    let looked_at = |input, expected| Ok(Plan { input, expected, class: job.class });
    match job.items {
        Items::Whole if items == 0 => looked_at(None, Expected::Nothing),
        Items::Whole => looked_at(Some(input.to_vec()), Expected::Whole(output.to_vec())),
        Items::Idx => {
            let lines = lines(output)?;
            let Ok(idx) = Idx::parse(input) else {
                return Err(Flaw::Count { items: 0, lines: lines.len() });
            };
            if idx.count() != lines.len() {
                return Err(Flaw::Count { items: idx.count(), lines: lines.len() });
            }
            if items == 0 {
                return looked_at(None, Expected::Nothing);
            }
            let wanted = usize::try_from(items).unwrap_or(usize::MAX).min(idx.count());
            let drawn = draw(wanted, idx.count(), random);
            let expected =
                drawn.iter().filter_map(|item| Some((*item, lines.get(*item)?.to_vec()))).collect();
            let all = wanted == idx.count();
            looked_at(Some(idx.subset(&drawn)), Expected::Lines { lines: expected, all })
        }
    }
}

/// The lines of an output in which every line is finished.
fn lines(output: &[u8]) -> Result<Vec<&[u8]>, Flaw> {
    let body = match output.split_last() {
        None => return Ok(Vec::new()),
        Some((b'\n', body)) => body,
        Some(_) => return Err(Flaw::Unfinished),
    };
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    match lines.iter().position(|line| line.is_empty() || line.len() > LINE_BYTES_MAX) {
        Some(line) => Err(Flaw::Line(line)),
        None => Ok(lines),
    }
}

/// Different items in rising order, each set of them equally likely (Floyd's method).
fn draw(wanted: usize, count: usize, random: &mut dyn FnMut() -> u64) -> Vec<usize> {
    let mut drawn = std::collections::BTreeSet::new();
    for last in count.saturating_sub(wanted)..count {
        let pick = below(last, random);
        if !drawn.insert(pick) {
            drawn.insert(last);
        }
    }
    drawn.into_iter().collect()
}

/// A number from 0 to `last`. The bias of the remainder is below one in 2^32 for any real count.
fn below(last: usize, random: &mut dyn FnMut() -> u64) -> usize {
    let span = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
    usize::try_from(random().checked_rem(span).unwrap_or(0)).unwrap_or(0)
}

impl Plan {
    /// Compares what was computed again with what was claimed.
    ///
    /// # Errors
    /// When the payer's own computation has not the form that the job promises:
    /// then nothing can be said about the result.
    pub fn judge(&self, again: &[u8]) -> Result<Verdict, TaskError> {
        match &self.expected {
            Expected::Nothing => Ok(Verdict::Good { checked: 0 }),
            Expected::Whole(output) => Ok(self.judge_whole(output, again)),
            Expected::Lines { lines: claimed, all } => {
                let again = lines(again).map_err(|flaw| TaskError::Model(flaw.to_string()))?;
                if again.len() != claimed.len() {
                    let (items, lines) = (claimed.len(), again.len());
                    return Err(TaskError::Model(Flaw::Count { items, lines }.to_string()));
                }
                let differing: Vec<usize> = claimed
                    .iter()
                    .zip(again)
                    .filter(|((_, claim), again)| claim != again)
                    .map(|((item, _), _)| *item)
                    .collect();
                Ok(self.count(&differing, claimed.len(), *all))
            }
        }
    }

    fn judge_whole(&self, output: &[u8], again: &[u8]) -> Verdict {
        if output == again {
            return Verdict::Good { checked: 1 };
        }
        if !matches!(self.class, Class::Tolerance { .. }) {
            return Verdict::Bad(Flaw::Differs { differing: 1, checked: 1, allowed: 0, first: 0 });
        }
        let (claimed, again): (Vec<&[u8]>, Vec<&[u8]>) =
            (output.split(|byte| *byte == b'\n').collect(), again.split(|byte| *byte == b'\n').collect());
        let most = claimed.len().max(again.len());
        let differing: Vec<usize> = (0..most).filter(|line| claimed.get(*line) != again.get(*line)).collect();
        self.count(&differing, most, true)
    }

    fn count(&self, differing: &[usize], checked: usize, all: bool) -> Verdict {
        let allowed = match self.class {
            Class::Tolerance { eps_ppm } => allowed(checked, eps_ppm, all),
            Class::Exact | Class::Vote | Class::None => 0,
        };
        match differing.first() {
            Some(first) if differing.len() > allowed => {
                Verdict::Bad(Flaw::Differs { differing: differing.len(), checked, allowed, first: *first })
            }
            _ => Verdict::Good { checked },
        }
    }
}

/// How many of the checked lines may differ. A sample is given the benefit of rounding up:
/// one honest difference in a thousand lines must not condemn whoever it is drawn from.
fn allowed(checked: usize, eps_ppm: u32, all: bool) -> usize {
    let share = u128::try_from(checked).unwrap_or(u128::MAX).saturating_mul(u128::from(eps_ppm));
    let allowed = if all { share / 1_000_000 } else { share.div_ceil(1_000_000) };
    usize::try_from(allowed).unwrap_or(usize::MAX)
}

/// A result to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The job.
    pub job: &'a Job,
    /// The rung that was run, from 0.
    pub rung: usize,
    /// The rung's module.
    pub module: &'a [u8],
    /// The job's input.
    pub input: &'a [u8],
    /// What the worker says comes out.
    pub output: &'a [u8],
}

/// Checks a result as its job says. Blocks while items are computed again.
///
/// # Errors
/// When the payer could not compute an item again: that says nothing about the result.
pub fn verify(
    claim: &Claim<'_>,
    random: &mut dyn FnMut() -> u64,
    executors: &Executors,
    cancel: &Cancel,
) -> Result<Verdict, TaskError> {
    let plan = match plan(claim.job, claim.rung, claim.input, claim.output, random) {
        Ok(plan) => plan,
        Err(flaw) => return Ok(Verdict::Bad(flaw)),
    };
    let (Some(input), Some(rung)) = (&plan.input, claim.job.rungs.get(claim.rung)) else {
        return plan.judge(&[]);
    };
    let report = crate::run(&TaskSpec::new(rung, claim.module, input), executors, cancel)?;
    plan.judge(&report.output)
}

#[cfg(test)]
mod tests {
    use cairn_board::{BlobRef, Bounds, Engine, Postprocess, Preprocess, Rung};
    use cairn_bundle::Identity;

    use super::*;

    fn job(items: Items, class: Class, verify: Verify) -> Job {
        let bounds = Bounds { fuel: 1, memory_bytes: 1, wall_ms: 1, output_bytes: 4_096 };
        let rung = Rung {
            name: "r".to_owned(),
            engine: Engine::Wasm,
            module: BlobRef::of(b"m"),
            quality_ppm: 1,
            price: 1,
            bounds,
            pre: Preprocess::None,
            post: Postprocess::None,
        };
        Job {
            title: "t".to_owned(),
            payer: Identity::from_seed(&[1; 32]).node_id(),
            nonce: [0; 16],
            input: BlobRef::of(b"input"),
            items,
            rungs: vec![rung],
            class,
            verify,
            fee: 0,
            useful_until: None,
        }
    }

    /// SplitMix64.
    fn counter() -> impl FnMut() -> u64 {
        let mut state = 0_u64;
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }
    }

    /// Ten pictures of one pixel: 0 to 9.
    fn pictures() -> Vec<u8> {
        let mut file = vec![0, 0, 8, 3, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 1];
        file.extend(0..10);
        file
    }

    /// What an honest worker answers: each pixel as a number.
    fn answer(input: &[u8]) -> Vec<u8> {
        Idx::parse(input)
            .unwrap()
            .pixels()
            .iter()
            .flat_map(|pixel| format!("{pixel}\n").into_bytes())
            .collect()
    }

    fn spot(class: Class, items: u32, output: &[u8]) -> Verdict {
        let job = job(Items::Idx, class, Verify::Spot { items });
        match plan(&job, 0, &pictures(), output, &mut counter()) {
            Ok(plan) => plan.judge(&plan.input.as_deref().map(answer).unwrap_or_default()).unwrap(),
            Err(flaw) => Verdict::Bad(flaw),
        }
    }

    #[test]
    fn an_honest_answer_is_good_whatever_is_drawn() {
        let honest = answer(&pictures());
        for items in 0..12 {
            let checked = usize::try_from(items.min(10)).unwrap();
            assert_eq!(spot(Class::Exact, items, &honest), Verdict::Good { checked });
            assert_eq!(spot(Class::Vote, items, &honest), Verdict::Good { checked });
        }
        assert_eq!(spot(Class::None, 5, &honest), Verdict::Good { checked: 0 });
    }

    #[test]
    fn one_wrong_line_is_found_when_every_item_is_drawn() {
        let mut forged = answer(&pictures());
        forged[6] = b'9';
        let differs = Flaw::Differs { differing: 1, checked: 10, allowed: 0, first: 3 };
        assert_eq!(spot(Class::Exact, 10, &forged), Verdict::Bad(differs.clone()));
        assert_eq!(spot(Class::Tolerance { eps_ppm: 99_999 }, 10, &forged), Verdict::Bad(differs));
        assert_eq!(spot(Class::Tolerance { eps_ppm: 100_000 }, 10, &forged), Verdict::Good { checked: 10 });
    }

    #[test]
    fn a_sample_allows_one_difference_only_if_the_job_tolerates_any() {
        let lazy = b"0\n".repeat(10);
        assert!(matches!(spot(Class::Tolerance { eps_ppm: 10_000 }, 5, &lazy), Verdict::Bad(_)));
        assert_eq!((allowed(12, 10_000, false), allowed(12, 10_000, true), allowed(12, 0, false)), (1, 0, 0));
        assert_eq!(allowed(usize::MAX, 1_000_000, false), usize::MAX);
    }

    #[test]
    fn an_output_of_the_wrong_form_is_bad_even_for_who_trusts() {
        let trusting = job(Items::Idx, Class::Exact, Verify::Trust);
        let flaw = |output: &[u8]| plan(&trusting, 0, &pictures(), output, &mut counter()).unwrap_err();
        assert_eq!(flaw(b""), Flaw::Count { items: 10, lines: 0 });
        assert_eq!(flaw(b"1"), Flaw::Unfinished);
        assert_eq!(flaw(b"\n"), Flaw::Line(0));
        assert_eq!(flaw(&b"1\n".repeat(11)), Flaw::Count { items: 10, lines: 11 });
        assert_eq!(flaw(&b"1\n\n".repeat(5)), Flaw::Line(1));
        assert_eq!(flaw(&[b'1'; 4_097]), Flaw::TooLarge);
        let honest = answer(&pictures());
        assert_eq!(plan(&trusting, 1, &pictures(), &honest, &mut counter()), Err(Flaw::NoSuchRung(1)));
        assert_eq!(plan(&trusting, 0, &pictures(), &honest, &mut counter()).unwrap().input, None);
    }

    #[test]
    fn whole_outputs_are_computed_again_as_a_whole() {
        let judged = |class, claimed: &[u8], again: &[u8]| {
            let job = job(Items::Whole, class, Verify::Spot { items: 1 });
            let plan = plan(&job, 0, b"in", claimed, &mut counter()).unwrap();
            assert_eq!(plan.input.as_deref(), Some(&b"in"[..]));
            plan.judge(again).unwrap()
        };
        assert_eq!(judged(Class::Exact, b"a", b"a"), Verdict::Good { checked: 1 });
        assert!(matches!(judged(Class::Exact, b"a", b"b"), Verdict::Bad(_)));
        let half = Class::Tolerance { eps_ppm: 500_000 };
        assert_eq!(judged(half, b"1\n2", b"1\n3"), Verdict::Good { checked: 2 });
        assert!(matches!(judged(half, b"1\n2", b"0\n3\n4"), Verdict::Bad(_)));
        let trusting = job(Items::Whole, Class::Exact, Verify::Trust);
        assert_eq!(plan(&trusting, 0, b"in", b"", &mut counter()).unwrap().input, None);
    }

    #[test]
    fn a_payer_that_cannot_compute_says_nothing_about_the_worker() {
        let job = job(Items::Idx, Class::Exact, Verify::Spot { items: 3 });
        let plan = plan(&job, 0, &pictures(), &answer(&pictures()), &mut counter()).unwrap();
        for broken in [&b""[..], b"1\n", b"1\n2\n3", b"1\n\n3\n"] {
            assert!(plan.judge(broken).is_err());
        }
    }

    #[test]
    fn every_item_is_drawn_about_equally_often_and_never_twice() {
        let (mut random, mut hits) = (counter(), [0_u32; 10]);
        for _ in 0..10_000 {
            let drawn = draw(3, 10, &mut random);
            assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn.len() == 3);
            drawn.iter().for_each(|item| hits[*item] += 1);
        }
        assert!(hits.iter().all(|hit| (2_700..3_300).contains(hit)), "{hits:?}");
    }
}
