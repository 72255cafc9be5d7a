//! What a job is: a signed description of work with a ladder of qualities.

use cairn_bundle::{Digest, NodeId};

use crate::cbor;

/// Most bytes of a job's title.
pub const TITLE_BYTES_MAX: usize = 200;
/// Most bytes of a name: of a rung, an engine, a board.
pub const NAME_BYTES_MAX: usize = 64;
/// Most rungs of one job.
pub const RUNGS_MAX: usize = 16;
/// Most bytes of one blob that a job may name.
pub const BLOB_BYTES_MAX: u64 = 1 << 36;
/// Most bytes of memory that a rung may ask for.
pub const MEMORY_BYTES_MAX: u64 = 1 << 36;
/// Longest wall time that a rung may ask for: 30 days.
pub const WALL_MS_MAX: u64 = 30 * 24 * 3_600 * 1_000;
/// One whole, in parts per million.
pub const PPM_MAX: u32 = 1_000_000;

/// A piece of content, named by its BLAKE3 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobRef {
    /// The digest of the content.
    pub id: Digest,
    /// How long the content is.
    pub bytes: u64,
}

/// What kind of program a rung's module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// A WASI command module: input on stdin, output on stdout.
    Wasm,
    /// An ONNX model.
    Onnx,
}

/// How an input and its output split into items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Items {
    /// Not at all.
    Whole,
    /// An IDX file in (magic, count, rows, columns, one byte per pixel), one text line per item out.
    Idx,
}

/// Hard limits of one execution, separate from any estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounds {
    /// Most fuel (counted instructions); without meaning for ONNX.
    pub fuel: u64,
    /// Most bytes of memory.
    pub memory_bytes: u64,
    /// Longest wall time in milliseconds.
    pub wall_ms: u64,
    /// Most bytes of output.
    pub output_bytes: u64,
}

/// How an ONNX model gets its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preprocess {
    /// As it is.
    None,
    /// IDX pixels times `scale_ppm` / 1,000,000, as floats of shape (count, rows × columns).
    IdxToF32 {
        /// The factor in parts per million.
        scale_ppm: u32,
    },
}

/// What becomes of an ONNX model's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Postprocess {
    /// As it is.
    None,
    /// The index of the greatest value of each row, one decimal number per line.
    ArgmaxLines,
}

/// One quality level of a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rung {
    /// Its name, for people.
    pub name: String,
    /// What runs the module.
    pub engine: Engine,
    /// The module or model.
    pub module: BlobRef,
    /// Measured quality in parts per million.
    pub quality_ppm: u32,
    /// What the payer gives for it, in micro-credits.
    pub price: u64,
    /// Hard limits of one execution.
    pub bounds: Bounds,
    /// How an ONNX model gets its input.
    pub pre: Preprocess,
    /// What becomes of an ONNX model's output.
    pub post: Postprocess,
}

/// How two results of one rung are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The same bytes.
    Exact,
    /// At most this share of the lines differs.
    Tolerance {
        /// The share in parts per million.
        eps_ppm: u32,
    },
    /// By majority.
    Vote,
    /// Not at all.
    None,
}

/// How the payer checks a result before accepting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verify {
    /// Not at all.
    Trust,
    /// By computing some items again.
    Spot {
        /// How many.
        items: u32,
    },
}

/// A description of work with a ladder of rungs, worst to best.
///
/// A job from the wire is checked when it is decoded; one made by hand is
/// checked by [`Job::check`], and when it is put in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Job {
    /// Its title, for people.
    pub title: String,
    /// Who posts and pays it: the author of its document.
    pub payer: NodeId,
    /// Makes two otherwise equal jobs different.
    pub nonce: [u8; 16],
    /// What it works on.
    pub input: BlobRef,
    /// How input and output split into items.
    pub items: Items,
    /// The ladder, worst to best.
    pub rungs: Vec<Rung>,
    /// How two results are compared.
    pub class: Class,
    /// How the payer checks a result.
    pub verify: Verify,
    /// What each forwarding hop may keep, in micro-credits.
    pub fee: u64,
    /// Seconds since 2020-01-01 UTC after which nobody needs it any more: advisory.
    pub useful_until: Option<u64>,
}

/// Why something is not a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The bytes are cut off, of the wrong shape, not canonical or followed by others.
    #[error("not a job in deterministic CBOR")]
    Malformed,
    /// The title is empty or too long.
    #[error("a title has 1 to {TITLE_BYTES_MAX} bytes")]
    Title,
    /// The name of a rung is empty or too long.
    #[error("the name of a rung has 1 to {NAME_BYTES_MAX} bytes")]
    Name,
    /// A title or name has line breaks or other control characters in it.
    #[error("a title or name has no control characters")]
    Control,
    /// There are no rungs or too many.
    #[error("a job has 1 to {RUNGS_MAX} rungs")]
    Rungs,
    /// A share is more than the whole.
    #[error("a share is at most {PPM_MAX} parts per million")]
    Share,
    /// The price of all rungs with their fees is more than can be counted.
    #[error("the prices and fees of all rungs do not fit in 64 bits")]
    Price,
    /// A blob is too large.
    #[error("a blob has at most {BLOB_BYTES_MAX} bytes")]
    Blob,
    /// A limit of memory, wall time or output is too high.
    #[error("the bounds of a rung allow more than any node would give")]
    Bounds,
    /// Preprocessing or postprocessing is asked of an engine that has none.
    #[error("only ONNX rungs are preprocessed or postprocessed")]
    Processing,
}

impl BlobRef {
    /// The reference to these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { id: Digest::of(bytes), bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX) }
    }

    fn check(self) -> Result<(), JobError> {
        if self.bytes > BLOB_BYTES_MAX { Err(JobError::Blob) } else { Ok(()) }
    }
}

impl Rung {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first limit that does not hold.
    pub fn check(&self) -> Result<(), JobError> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            return Err(JobError::Name);
        }
        if self.name.chars().any(char::is_control) {
            return Err(JobError::Control);
        }
        self.module.check()?;
        if self.quality_ppm > PPM_MAX {
            return Err(JobError::Share);
        }
        let bounds = &self.bounds;
        if bounds.memory_bytes > MEMORY_BYTES_MAX
            || bounds.wall_ms > WALL_MS_MAX
            || bounds.output_bytes > BLOB_BYTES_MAX
        {
            return Err(JobError::Bounds);
        }
        let processed = self.pre != Preprocess::None || self.post != Postprocess::None;
        if self.engine == Engine::Wasm && processed { Err(JobError::Processing) } else { Ok(()) }
    }
}

impl Job {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first limit that does not hold.
    pub fn check(&self) -> Result<(), JobError> {
        if self.title.is_empty() || self.title.len() > TITLE_BYTES_MAX {
            return Err(JobError::Title);
        }
        if self.title.chars().any(char::is_control) {
            return Err(JobError::Control);
        }
        self.input.check()?;
        if self.rungs.is_empty() || self.rungs.len() > RUNGS_MAX {
            return Err(JobError::Rungs);
        }
        if let Class::Tolerance { eps_ppm } = self.class
            && eps_ppm > PPM_MAX
        {
            return Err(JobError::Share);
        }
        let mut sum = 0_u64;
        for rung in &self.rungs {
            rung.check()?;
            let cost = rung.price.checked_add(self.fee).ok_or(JobError::Price)?;
            sum = sum.checked_add(cost).ok_or(JobError::Price)?;
        }
        Ok(())
    }

    /// The deterministic CBOR form.
    ///
    /// # Errors
    /// The first limit that does not hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, JobError> {
        self.check()?;
        Ok(cbor::to_vec(self))
    }

    /// Reads and checks the deterministic CBOR form.
    ///
    /// # Errors
    /// [`JobError::Malformed`] if it is cut off, not canonical or followed by
    /// other bytes, otherwise the first limit that does not hold.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, JobError> {
        let job: Self = cbor::from_slice(bytes).ok_or(JobError::Malformed)?;
        job.check()?;
        Ok(job)
    }
}

/// Makes a text fit for a name, title or reason: control characters become
/// spaces, and what is longer than `bytes_max` is cut between two characters.
#[must_use]
pub fn plain_text(text: &str, bytes_max: usize) -> String {
    let mut plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut cut = plain.len().min(bytes_max);
    while !plain.is_char_boundary(cut) {
        cut = cut.saturating_sub(1);
    }
    plain.truncate(cut);
    plain
}

#[cfg(test)]
pub(crate) mod tests {
    use cairn_bundle::Identity;

    use super::*;

    pub(crate) fn rung(name: &str, price: u64) -> Rung {
        Rung {
            name: name.to_owned(),
            engine: Engine::Onnx,
            module: BlobRef::of(name.as_bytes()),
            quality_ppm: 930_000,
            price,
            bounds: Bounds { fuel: 1 << 40, memory_bytes: 1 << 26, wall_ms: 10_000, output_bytes: 1 << 16 },
            pre: Preprocess::IdxToF32 { scale_ppm: 62_500 },
            post: Postprocess::ArgmaxLines,
        }
    }

    pub(crate) fn job(seed: u8) -> Job {
        Job {
            title: "Read the digits".to_owned(),
            payer: Identity::from_seed(&[seed; 32]).node_id(),
            nonce: [seed; 16],
            input: BlobRef::of(b"pictures"),
            items: Items::Idx,
            rungs: vec![rung("coarse", 1_000), rung("better", 5_000), rung("best", 20_000)],
            class: Class::Tolerance { eps_ppm: 10_000 },
            verify: Verify::Spot { items: 8 },
            fee: 100,
            useful_until: Some(200_000_000),
        }
    }

    #[test]
    fn a_job_goes_there_and_back() {
        for useful_until in [None, Some(0), Some(u64::MAX)] {
            for class in [Class::Exact, Class::Tolerance { eps_ppm: 0 }, Class::Vote, Class::None] {
                for verify in [Verify::Trust, Verify::Spot { items: u32::MAX }] {
                    let mut it = Job { useful_until, class, verify, ..job(1) };
                    it.rungs[0].engine = Engine::Wasm;
                    it.rungs[0].pre = Preprocess::None;
                    it.rungs[0].post = Postprocess::None;
                    let bytes = it.to_bytes().unwrap();
                    assert_eq!(Job::from_bytes(&bytes), Ok(it));
                }
            }
        }
    }

    #[test]
    fn a_job_cut_off_or_followed_by_a_byte_is_refused() {
        let mut bytes = job(1).to_bytes().unwrap();
        for len in 0..bytes.len() {
            assert_eq!(Job::from_bytes(&bytes[..len]), Err(JobError::Malformed));
        }
        bytes.push(0);
        assert_eq!(Job::from_bytes(&bytes), Err(JobError::Malformed));
    }

    #[test]
    fn a_flipped_bit_is_refused_or_means_another_job() {
        let good = job(1).to_bytes().unwrap();
        for at in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            if let Ok(other) = Job::from_bytes(&bytes) {
                assert_ne!(other, job(1));
                assert_eq!(other.to_bytes(), Ok(bytes));
            }
        }
    }

    #[test]
    fn a_number_that_is_not_in_its_shortest_form_is_refused() {
        let good = job(1).to_bytes().unwrap();
        // The head of the whole, 0x8a, spelled with a length byte.
        let mut long = vec![0x98, 10];
        long.extend_from_slice(&good[1..]);
        assert_eq!(Job::from_bytes(&long), Err(JobError::Malformed));
        let mut indefinite = vec![0x9f];
        indefinite.extend_from_slice(&good[1..]);
        indefinite.push(0xff);
        assert_eq!(Job::from_bytes(&indefinite), Err(JobError::Malformed));
    }

    #[test]
    fn every_limit_holds_at_its_edge_and_not_beyond() {
        let changed = |change: &dyn Fn(&mut Job)| {
            let mut it = job(1);
            change(&mut it);
            let bytes = cbor::to_vec(&it);
            let read = Job::from_bytes(&bytes);
            assert_eq!(it.check().err(), read.err());
            it.check()
        };
        let text = |len| "x".repeat(len);
        assert_eq!(changed(&|j| j.title = text(TITLE_BYTES_MAX)), Ok(()));
        assert_eq!(changed(&|j| j.title = text(TITLE_BYTES_MAX + 1)), Err(JobError::Title));
        assert_eq!(changed(&|j| j.title = text(0)), Err(JobError::Title));
        assert_eq!(changed(&|j| j.title = "a\u{1b}[2J".to_owned()), Err(JobError::Control));
        assert_eq!(changed(&|j| j.rungs[0].name = text(NAME_BYTES_MAX)), Ok(()));
        assert_eq!(changed(&|j| j.rungs[0].name = text(NAME_BYTES_MAX + 1)), Err(JobError::Name));
        assert_eq!(changed(&|j| j.rungs[0].name = text(0)), Err(JobError::Name));
        assert_eq!(changed(&|j| j.rungs[0].name = "a\nb".to_owned()), Err(JobError::Control));
        assert_eq!(changed(&|j| j.rungs = vec![rung("r", 1); RUNGS_MAX]), Ok(()));
        assert_eq!(changed(&|j| j.rungs = vec![rung("r", 1); RUNGS_MAX + 1]), Err(JobError::Rungs));
        assert_eq!(changed(&|j| j.rungs.clear()), Err(JobError::Rungs));
        assert_eq!(changed(&|j| j.rungs[2].quality_ppm = PPM_MAX), Ok(()));
        assert_eq!(changed(&|j| j.rungs[2].quality_ppm = PPM_MAX + 1), Err(JobError::Share));
        assert_eq!(changed(&|j| j.class = Class::Tolerance { eps_ppm: PPM_MAX + 1 }), Err(JobError::Share));
        assert_eq!(changed(&|j| j.input.bytes = BLOB_BYTES_MAX + 1), Err(JobError::Blob));
        assert_eq!(changed(&|j| j.rungs[1].module.bytes = BLOB_BYTES_MAX + 1), Err(JobError::Blob));
        assert_eq!(changed(&|j| j.rungs[1].bounds.wall_ms = WALL_MS_MAX + 1), Err(JobError::Bounds));
        assert_eq!(changed(&|j| j.rungs[1].bounds.memory_bytes = u64::MAX), Err(JobError::Bounds));
        assert_eq!(changed(&|j| j.rungs[1].bounds.output_bytes = u64::MAX), Err(JobError::Bounds));
        assert_eq!(changed(&|j| j.rungs[1].engine = Engine::Wasm), Err(JobError::Processing));
        assert_eq!(changed(&|j| j.fee = u64::MAX), Err(JobError::Price));
        assert_eq!(changed(&|j| j.rungs[1].price = u64::MAX - 21_300), Ok(()));
        assert_eq!(changed(&|j| j.rungs[1].price = u64::MAX - 21_299), Err(JobError::Price));
    }

    #[test]
    fn plain_text_is_cut_between_two_characters() {
        assert_eq!(plain_text("a\nb", 9), "a b");
        assert_eq!(plain_text("aé", 2), "a");
        assert_eq!(plain_text("", 0), "");
    }
}
