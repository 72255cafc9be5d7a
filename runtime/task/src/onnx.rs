//! The ONNX executor: ONNX Runtime when its library is there, otherwise the
//! pure-Rust back end that is built in.
//!
//! This module computes inside the calling process. Models come from strangers
//! and the libraries are large, so only the worker process calls it.

use std::env;
use std::path::{Path, PathBuf};

use cairn_board::{Postprocess, Preprocess};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::{DynValue, Tensor, TensorElementType};

use crate::error::text;
use crate::idx::Idx;
use crate::{TaskError, protobuf};

/// Names the ONNX Runtime library, before any other place is looked at.
pub const LIBRARY_VARIABLE: &str = "CAIRN_ONNXRUNTIME";
/// Pictures that a model sees at once: bounds what its inner layers need.
pub const BATCH_PICTURES_MAX: usize = 128;

/// The places where systems keep the library.
const USUAL_PLACES: [&str; 8] = [
    "/usr/lib/libonnxruntime.so",
    "/usr/lib/x86_64-linux-gnu/libonnxruntime.so",
    "/usr/lib/aarch64-linux-gnu/libonnxruntime.so",
    "/usr/lib/arm-linux-gnueabihf/libonnxruntime.so",
    "/usr/lib64/libonnxruntime.so",
    "/usr/local/lib/libonnxruntime.so",
    "/opt/onnxruntime/lib/libonnxruntime.so",
    "/opt/homebrew/lib/libonnxruntime.dylib",
];

/// Where the ONNX Runtime library is: the environment names it, or else the
/// configuration, or else it lies where systems keep it.
///
/// A library that is named but not there is still answered: reports then say
/// that it could not be loaded, instead of silently using another.
#[must_use]
pub fn find_library(configured: Option<&Path>) -> Option<PathBuf> {
    env::var_os(LIBRARY_VARIABLE)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| configured.map(Path::to_path_buf))
        .or_else(|| USUAL_PLACES.iter().map(PathBuf::from).find(|path| path.exists()))
}

/// A loaded back end: there is one for the life of a process.
pub(crate) struct Backend {
    environment: Environment,
    /// What reports call it.
    pub(crate) name: String,
    built_in: bool,
}

impl Backend {
    /// Loads the library, or takes the built-in back end when there is none or it does not load.
    pub(crate) fn load(library: Option<&Path>) -> Result<Self, TaskError> {
        if let Some(path) = library {
            match ort::init_from(path) {
                Ok(builder) => return Self::build(builder, Some(path), ""),
                Err(_) => return Self::built_in(" (the ONNX Runtime library does not load)"),
            }
        }
        Self::built_in("")
    }

    fn built_in(note: &str) -> Result<Self, TaskError> {
        if !ort::set_api(ort_tract::api()) {
            return Err(TaskError::NoWorker("an ONNX back end was loaded before".to_owned()));
        }
        Self::build(ort::init(), None, note)
    }

    fn build(
        builder: ort::environment::EnvironmentBuilder,
        library: Option<&Path>,
        note: &str,
    ) -> Result<Self, TaskError> {
        let environment =
            builder.with_telemetry(false).build().map_err(|error| TaskError::NoWorker(text(error)))?;
        let name = match library {
            None => format!("tract {}{note}", word_in(ort::info(), "version=")),
            Some(path) => {
                let build = || word_in(ort::info(), "git-commit-id=");
                format!("ONNX Runtime {}", version_in(path).unwrap_or_else(build))
            }
        };
        Ok(Self { environment, name, built_in: library.is_none() })
    }

    /// Computes a model on an input.
    pub(crate) fn infer(
        &self,
        model: &[u8],
        input: &[u8],
        (pre, post): (Preprocess, Postprocess),
        output_max: u64,
    ) -> Result<Vec<u8>, TaskError> {
        protobuf::check_model(model)?;
        let pictures = match pre {
            Preprocess::IdxToF32 { scale_ppm } => {
                let idx = Idx::parse(input).map_err(|error| TaskError::Input(text(error)))?;
                Some((idx, scale_ppm))
            }
            Preprocess::None => None,
        };
        let mut session = self.session(model)?;
        let mut output = Output { bytes: Vec::new(), bytes_max: output_max, post };
        let Some((idx, scale_ppm)) = pictures else {
            let tensor = raw_tensor(&session, input)?;
            compute(&mut session, tensor, None, &mut output)?;
            return Ok(output.bytes);
        };
        let scale = f64::from(scale_ppm) / 1e6;
        for batch in idx.pixels().chunks(idx.picture_bytes().saturating_mul(BATCH_PICTURES_MAX)) {
            let count = batch.len() / idx.picture_bytes();
            let values: Vec<f32> = batch.iter().map(|pixel| narrow(f64::from(*pixel) * scale)).collect();
            let tensor = Tensor::from_array(([count, idx.picture_bytes()], values))
                .map_err(|error| TaskError::Input(text(error)))?;
            compute(&mut session, tensor.into_dyn(), Some(count), &mut output)?;
        }
        Ok(output.bytes)
    }

    fn session(&self, model: &[u8]) -> Result<Session, TaskError> {
        let refused = |error: ort::Error| match memory_error(&error) {
            true => TaskError::OutOfMemory,
            false => TaskError::NotOnnx(text(error)),
        };
        let builder = Session::builder(&self.environment).map_err(refused)?;
        let mut builder = if self.built_in {
            builder
        } else {
            // One thread: the order of additions, and so the result, does not depend on the machine.
            let no_threads = |error: ort::Error<_>| TaskError::NoWorker(text(error));
            let builder = builder.with_intra_threads(1).map_err(no_threads)?;
            builder.with_inter_threads(1).map_err(no_threads)?
        };
        let session = builder.commit_from_memory(model).map_err(refused)?;
        if session.inputs().len() != 1 || session.outputs().is_empty() {
            return Err(TaskError::NotOnnx(
                "a task's model has one input and at least one output".to_owned(),
            ));
        }
        Ok(session)
    }
}

/// The word after a key in what a back end says about its build.
fn word_in(info: &str, key: &str) -> String {
    let word = info.split([',', ' ']).find_map(|part| part.trim().strip_prefix(key));
    cairn_board::plain_text(word.unwrap_or("of unknown version"), 24)
}

/// The version at the end of the library's own file name: `libonnxruntime.so.1.24.2`.
fn version_in(library: &Path) -> Option<String> {
    let file = library.canonicalize().ok()?;
    let (_, version) = file.file_name()?.to_str()?.split_once(".so.")?;
    let plain = version.len() <= 24 && version.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain.then(|| version.to_owned())
}

fn memory_error(error: &ort::Error) -> bool {
    let said = error.to_string();
    said.contains("bad_alloc") || said.contains("Failed to allocate memory")
}

/// The nearest number of 32 bits.
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "rounding is what is meant")]
const fn narrow(number: f64) -> f32 {
    number as f32
}

/// The whole input as one tensor of the kind that the model wants.
fn raw_tensor(session: &Session, input: &[u8]) -> Result<DynValue, TaskError> {
    let wanted = session.inputs().first().map(ort::value::Outlet::dtype);
    let kind = wanted.and_then(ort::value::ValueType::tensor_type);
    let wrong = |error: ort::Error| TaskError::Input(text(error));
    match kind {
        Some(TensorElementType::Uint8) => {
            Ok(Tensor::from_array(([input.len()], input.to_vec())).map_err(wrong)?.into_dyn())
        }
        Some(TensorElementType::Float32) => {
            let (numbers, []) = input.as_chunks::<4>() else {
                return Err(TaskError::Input("its length is no multiple of four".to_owned()));
            };
            let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            Ok(Tensor::from_array(([1, numbers.len()], numbers)).map_err(wrong)?.into_dyn())
        }
        _ => Err(TaskError::NotOnnx("it takes neither bytes nor floats".to_owned())),
    }
}

fn compute(
    session: &mut Session,
    tensor: DynValue,
    pictures: Option<usize>,
    output: &mut Output,
) -> Result<(), TaskError> {
    let name = session.inputs().first().map(|input| input.name().to_owned()).unwrap_or_default();
    let values =
        session.run(ort::inputs![name.as_str() => tensor]).map_err(|error| match memory_error(&error) {
            true => TaskError::OutOfMemory,
            false => TaskError::Model(text(error)),
        })?;
    let wrong = |why: &str| TaskError::Model(why.to_owned());
    let (_, value) = values.iter().next().ok_or_else(|| wrong("it answered nothing"))?;
    let (shape, numbers) =
        value.try_extract_tensor::<f32>().map_err(|_| wrong("its answer is not a tensor of floats"))?;
    let rows = shape.first().and_then(|rows| usize::try_from(*rows).ok()).unwrap_or(1);
    if pictures.is_some_and(|pictures| pictures != rows) {
        return Err(wrong("it does not answer one row for each picture"));
    }
    output.add(rows, numbers)
}

/// Collects what a model answers, up to a bound.
struct Output {
    bytes: Vec<u8>,
    bytes_max: u64,
    post: Postprocess,
}

impl Output {
    fn add(&mut self, rows: usize, numbers: &[f32]) -> Result<(), TaskError> {
        match self.post {
            Postprocess::None => {
                for number in numbers {
                    self.push(&number.to_le_bytes())?;
                }
            }
            Postprocess::ArgmaxLines => {
                let columns = numbers.len().checked_div(rows).unwrap_or(0);
                if columns == 0 {
                    return Err(TaskError::Model("its answer has no columns".to_owned()));
                }
                for row in numbers.chunks_exact(columns) {
                    self.push(format!("{}\n", argmax(row)).as_bytes())?;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), TaskError> {
        self.bytes.extend_from_slice(bytes);
        let len = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        if len > self.bytes_max { Err(TaskError::OutputTooLarge) } else { Ok(()) }
    }
}

/// The first index of the greatest number; what is not a number is smaller than all.
fn argmax(row: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, value) in row.iter().enumerate() {
        if *value > best.1 {
            best = (index, *value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_numbers_wins_and_nan_never() {
        assert_eq!(argmax(&[0.0, 2.0, 2.0, f32::NAN]), 1);
        assert_eq!(argmax(&[f32::NAN, -1.0]), 1);
        assert_eq!(argmax(&[f32::NAN]), 0);
        assert_eq!(argmax(&[f32::NEG_INFINITY, f32::INFINITY]), 1);
    }

    #[test]
    fn the_name_of_a_back_end_has_its_version() {
        let built_in = "ORT Build Info: backend=ort-tract, version=0.5.0+0.23";
        assert_eq!(word_in(built_in, "version="), "0.5.0+0.23");
        assert_eq!(word_in("", "version="), "of unknown version");
        let folder = tempfile::tempdir().unwrap();
        for (name, version) in [
            ("libonnxruntime.so.1.24.2", Some("1.24.2".to_owned())),
            ("libonnxruntime.so", None),
            ("libonnxruntime.so.evil", None),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            assert_eq!(version_in(&path), version);
        }
        assert_eq!(version_in(&folder.path().join("missing.so.1")), None);
    }
}
