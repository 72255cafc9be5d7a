//! Jobs as people write them: a TOML file beside its modules and its input.
//!
//! ```toml
//! title = "Read 600 handwritten digits"
//! input = "held-out.idx"
//! items = "idx"                    # "whole" (default) or "idx"
//! class = { tolerance = 0.01 }     # "exact" (default), "vote", "none" or a tolerance
//! verify = { spot = 12 }           # "trust" (default) or a spot check
//! fee = 20                         # for each node that forwards the job, default 0
//!
//! [[rung]]                         # worst first
//! name = "linear"
//! engine = "wasm"                  # or "onnx"
//! module = "linear.wasm"
//! quality = 0.92
//! price = 100
//! bounds = { fuel = 50_000_000, memory = "1 MiB", wall = "5 s", output = "64 KiB" }
//! # ONNX only: pre = { idx_to_f32 = 0.0625 } and post = "argmax_lines"
//! ```

use core::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cairn_board::{
    BlobRef, Bounds, Class, Engine, Items, Job, JobError, Postprocess, Preprocess, Rung, Verify,
};
use cairn_bundle::{Digest, Identity, NodeId};
use serde::Deserialize;
use toml::Spanned;

use crate::idx::Idx;
use crate::{protobuf, units};

/// Largest job file.
pub const FILE_BYTES_MAX: u64 = 256 << 10;
/// Largest module or model.
pub const MODULE_BYTES_MAX: u64 = 256 << 20;
/// Largest input.
pub const INPUT_BYTES_MAX: u64 = 256 << 20;
/// Highest factor of `idx_to_f32`.
const SCALE_MAX: f64 = 1_000.0;

/// Why a job file cannot be used. Its text names the file and, where there is one, the line.
#[derive(Debug)]
pub struct JobFileError {
    path: PathBuf,
    line: Option<usize>,
    fault: Fault,
}

/// What is wrong with a job file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A file cannot be read.
    #[error("cannot read {}: {error}; hint: paths are relative to the job file", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is too large.
    #[error("{} is larger than {most} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How large it may be.
        most: u64,
    },
    /// It is not TOML, or has a field that is missing, unknown or of the wrong kind.
    #[error("{0}")]
    Syntax(String),
    /// A value is not what its field takes.
    #[error("{field} is not {wanted}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it takes.
        wanted: &'static str,
    },
    /// A module or input is not what the file says it is.
    #[error("{} is not {wanted}: {why}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
        /// Why it is not.
        why: String,
    },
    /// Rungs must get better.
    #[error("a rung is worse than the one before it; hint: write the worst first")]
    Order,
    /// A limit of jobs does not hold.
    #[error("{0}")]
    Job(#[from] JobError),
}

impl JobFileError {
    /// The line of the job file, from 1.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// What is wrong.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for JobFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.path.display(), self.fault),
            None => write!(f, "{}: {}", self.path.display(), self.fault),
        }
    }
}

impl core::error::Error for JobFileError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.fault {
            Fault::Read { error, .. } => Some(error),
            Fault::Job(error) => Some(error),
            _ => None,
        }
    }
}

/// A job out of a file, not yet anybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedJob {
    template: Job,
    blobs: Vec<(Digest, Vec<u8>)>,
}

impl LoadedJob {
    /// The job, posted by this payer. The nonce makes it different from the same job posted before.
    #[must_use]
    pub fn job(&self, payer: NodeId, nonce: [u8; 16]) -> Job {
        Job { payer, nonce, ..self.template.clone() }
    }

    /// The contents that the job names: the input first, then the modules, each once.
    #[must_use]
    pub fn blobs(&self) -> &[(Digest, Vec<u8>)] {
        &self.blobs
    }

    /// The contents, to be kept elsewhere.
    #[must_use]
    pub fn into_blobs(self) -> Vec<(Digest, Vec<u8>)> {
        self.blobs
    }
}

/// Reads job files.
#[derive(Debug)]
pub struct JobFile;

impl JobFile {
    /// Reads a job file and everything that it names.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn load(path: &Path) -> Result<LoadedJob, JobFileError> {
        Self::load_with_input(path, None)
    }

    /// The same, with another input than the file names.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn load_with_input(path: &Path, input: Option<&Path>) -> Result<LoadedJob, JobFileError> {
        let at_file = |fault| JobFileError { path: path.to_path_buf(), line: None, fault };
        let bytes = read(path, FILE_BYTES_MAX).map_err(at_file)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| at_file(Fault::Syntax("it is not a text in UTF-8".to_owned())))?;
        let loader = Loader { folder: path.parent().unwrap_or_else(|| Path::new("")), blobs: Vec::new() };
        loader.load(&text, input).map_err(|At(offset, fault)| JobFileError {
            path: path.to_path_buf(),
            line: offset.map(|offset| line_of(&text, offset)),
            fault,
        })
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// A fault at an offset of the text.
struct At(Option<usize>, Fault);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    title: Spanned<String>,
    input: Option<Spanned<PathBuf>>,
    #[serde(default)]
    items: ItemsText,
    #[serde(default)]
    class: Option<Spanned<ClassText>>,
    #[serde(default)]
    verify: VerifyText,
    #[serde(default)]
    fee: u64,
    rung: Vec<Spanned<RungText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RungText {
    name: String,
    engine: EngineText,
    module: Spanned<PathBuf>,
    quality: Spanned<f64>,
    price: u64,
    bounds: Spanned<BoundsText>,
    #[serde(default)]
    pre: Option<Spanned<PreText>>,
    #[serde(default)]
    post: PostText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BoundsText {
    fuel: Option<u64>,
    memory: Spanned<String>,
    wall: Spanned<String>,
    output: Spanned<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum ItemsText {
    #[default]
    Whole,
    Idx,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClassText {
    Exact,
    Vote,
    None,
    Tolerance(f64),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum VerifyText {
    #[default]
    Trust,
    Spot(u32),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum EngineText {
    Wasm,
    Onnx,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PreText {
    None,
    IdxToF32(f64),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum PostText {
    #[default]
    None,
    ArgmaxLines,
}

struct Loader<'a> {
    folder: &'a Path,
    blobs: Vec<(Digest, Vec<u8>)>,
}

impl Loader<'_> {
    fn load(mut self, text: &str, input: Option<&Path>) -> Result<LoadedJob, At> {
        let file: FileText = toml::from_str(text).map_err(|error| {
            let offset = error.span().map(|span| span.start);
            At(offset, Fault::Syntax(error.message().to_owned()))
        })?;
        let title = file.title.span().start;
        let items = match file.items {
            ItemsText::Whole => Items::Whole,
            ItemsText::Idx => Items::Idx,
        };
        let input = match (input, &file.input) {
            (Some(path), _) => self.input(path.to_path_buf(), items).map_err(|fault| At(None, fault))?,
            (None, Some(named)) => self
                .input(self.folder.join(named.get_ref()), items)
                .map_err(|fault| At(Some(named.span().start), fault))?,
            (None, None) => {
                let wanted = "there; hint: name a file in the job file or on the command line";
                return Err(At(None, Fault::Value { field: "input", wanted }));
            }
        };
        let class = class(file.class.as_ref())?;
        let verify = match file.verify {
            VerifyText::Trust => Verify::Trust,
            VerifyText::Spot(items) => Verify::Spot { items },
        };
        let mut rungs: Vec<Rung> = Vec::new();
        for named in &file.rung {
            let rung = self.rung(named.get_ref())?;
            let start = Some(named.span().start);
            rung.check().map_err(|error| At(start, error.into()))?;
            if rungs.last().is_some_and(|before| before.quality_ppm > rung.quality_ppm) {
                return Err(At(start, Fault::Order));
            }
            rungs.push(rung);
        }
        let template = Job {
            title: file.title.into_inner(),
            // Nobody's: replaced when somebody posts it.
            payer: Identity::from_seed(&[0; 32]).node_id(),
            nonce: [0; 16],
            input,
            items,
            rungs,
            class,
            verify,
            fee: file.fee,
            useful_until: None,
        };
        template.check().map_err(|error| {
            let of_the_title = matches!(error, JobError::Title | JobError::Control);
            At(of_the_title.then_some(title), error.into())
        })?;
        Ok(LoadedJob { template, blobs: self.blobs })
    }

    fn rung(&mut self, rung: &RungText) -> Result<Rung, At> {
        let module = self.folder.join(rung.module.get_ref());
        let engine = match rung.engine {
            EngineText::Wasm => Engine::Wasm,
            EngineText::Onnx => Engine::Onnx,
        };
        let module =
            self.module(module, engine).map_err(|fault| At(Some(rung.module.span().start), fault))?;
        let quality_ppm = units::ppm(*rung.quality.get_ref(), 1.0).ok_or_else(|| {
            let fault = Fault::Value { field: "quality", wanted: "a share between 0 and 1" };
            At(Some(rung.quality.span().start), fault)
        })?;
        let pre = match &rung.pre {
            None => Preprocess::None,
            Some(pre) => preprocess(pre)?,
        };
        let post = match rung.post {
            PostText::None => Postprocess::None,
            PostText::ArgmaxLines => Postprocess::ArgmaxLines,
        };
        let bounds = bounds(&rung.bounds, engine)?;
        Ok(Rung {
            name: rung.name.clone(),
            engine,
            module,
            quality_ppm,
            price: rung.price,
            bounds,
            pre,
            post,
        })
    }

    fn input(&mut self, path: PathBuf, items: Items) -> Result<BlobRef, Fault> {
        let bytes = read(&path, INPUT_BYTES_MAX)?;
        if items == Items::Idx
            && let Err(error) = Idx::parse(&bytes)
        {
            return Err(Fault::Content { path, wanted: "an IDX file of pictures", why: error.to_string() });
        }
        Ok(self.keep(bytes))
    }

    fn module(&mut self, path: PathBuf, engine: Engine) -> Result<BlobRef, Fault> {
        let bytes = read(&path, MODULE_BYTES_MAX)?;
        match engine {
            Engine::Wasm if !bytes.starts_with(b"\0asm") => {
                let why = "it does not start like one".to_owned();
                return Err(Fault::Content { path, wanted: "a WASM module", why });
            }
            Engine::Wasm => {}
            Engine::Onnx => {
                if let Err(error) = protobuf::check_model(&bytes) {
                    let why = error.to_string();
                    return Err(Fault::Content { path, wanted: "an ONNX model", why });
                }
            }
        }
        Ok(self.keep(bytes))
    }

    /// Several rungs may share a module: it is kept once.
    fn keep(&mut self, bytes: Vec<u8>) -> BlobRef {
        let blob = BlobRef::of(&bytes);
        if self.blobs.iter().all(|(id, _)| *id != blob.id) {
            self.blobs.push((blob.id, bytes));
        }
        blob
    }
}

fn class(text: Option<&Spanned<ClassText>>) -> Result<Class, At> {
    let Some(text) = text else { return Ok(Class::Exact) };
    Ok(match text.get_ref() {
        ClassText::Exact => Class::Exact,
        ClassText::Vote => Class::Vote,
        ClassText::None => Class::None,
        ClassText::Tolerance(share) => {
            let eps_ppm = units::ppm(*share, 1.0).ok_or_else(|| {
                let fault = Fault::Value { field: "tolerance", wanted: "a share between 0 and 1" };
                At(Some(text.span().start), fault)
            })?;
            Class::Tolerance { eps_ppm }
        }
    })
}

fn preprocess(text: &Spanned<PreText>) -> Result<Preprocess, At> {
    match text.get_ref() {
        PreText::None => Ok(Preprocess::None),
        PreText::IdxToF32(scale) => match units::ppm(*scale, SCALE_MAX) {
            Some(scale_ppm) => Ok(Preprocess::IdxToF32 { scale_ppm }),
            None => {
                let fault = Fault::Value { field: "idx_to_f32", wanted: "a factor between 0 and 1000" };
                Err(At(Some(text.span().start), fault))
            }
        },
    }
}

fn bounds(text: &Spanned<BoundsText>, engine: Engine) -> Result<Bounds, At> {
    let (start, text) = (text.span().start, text.get_ref());
    let amount = |field, value: &Spanned<String>, parse: fn(&str) -> Option<u64>, wanted| {
        parse(value.get_ref())
            .filter(|amount| *amount > 0)
            .ok_or_else(|| At(Some(value.span().start), Fault::Value { field, wanted }))
    };
    let size = "a size such as \"16 MiB\"";
    let fuel = match (engine, text.fuel) {
        (_, Some(fuel)) => fuel,
        (Engine::Onnx, None) => 0,
        (Engine::Wasm, None) => {
            let wanted = "there; hint: WASM rungs need a bound such as fuel = 50_000_000";
            return Err(At(Some(start), Fault::Value { field: "fuel", wanted }));
        }
    };
    Ok(Bounds {
        fuel,
        memory_bytes: amount("memory", &text.memory, units::bytes, size)?,
        wall_ms: amount("wall", &text.wall, units::millis, "a time such as \"5 s\"")?,
        output_bytes: amount("output", &text.output, units::bytes, size)?,
    })
}

/// Reads a plain file of at most this size.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, Fault> {
    let failed = |error| Fault::Read { path: path.to_path_buf(), error };
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file")));
    }
    let mut bytes = Vec::new();
    let limit = most.saturating_add(1);
    let file = fs::File::open(path).map_err(failed)?;
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).map_or(true, |len| len > most) {
        return Err(Fault::TooLarge { path: path.to_path_buf(), most });
    }
    Ok(bytes)
}
