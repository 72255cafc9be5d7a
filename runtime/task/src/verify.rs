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
