//! What the tests share.

use std::path::PathBuf;

use cairn_board::{Bounds, Engine, Job, Postprocess, Preprocess};
use cairn_bundle::Identity;
use cairn_task::{
    Cancel, Executors, JobFile, LoadedJob, TaskError, TaskReport, TaskSpec, WorkerCommand, run,
};

pub(crate) const BOUNDS: Bounds =
    Bounds { fuel: 1 << 32, memory_bytes: 64 << 20, wall_ms: 30_000, output_bytes: 1 << 16 };

pub(crate) fn executors() -> Executors {
    Executors::new(WorkerCommand::this_program().unwrap(), None).built_in_only()
}

pub(crate) fn digits_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits").join(name)
}

pub(crate) fn digits_bytes(name: &str) -> Vec<u8> {
    std::fs::read(digits_file(name)).unwrap()
}

pub(crate) fn digits() -> (LoadedJob, Job) {
    let loaded = JobFile::load(&digits_file("digits.toml")).unwrap();
    let job = loaded.job(Identity::from_seed(&[7; 32]).node_id(), [1; 16]);
    (loaded, job)
}

pub(crate) fn wasm(text: &str, input: &[u8], bounds: Bounds) -> Result<TaskReport, TaskError> {
    let module = wat::parse_str(text).unwrap();
    run(&spec(Engine::Wasm, &module, input, bounds), &executors(), &Cancel::new())
}

pub(crate) fn onnx(model: &[u8], input: &[u8], bounds: Bounds) -> Result<TaskReport, TaskError> {
    run(&spec(Engine::Onnx, model, input, bounds), &executors(), &Cancel::new())
}

pub(crate) fn spec<'a>(engine: Engine, module: &'a [u8], input: &'a [u8], bounds: Bounds) -> TaskSpec<'a> {
    let (pre, post) = match engine {
        Engine::Wasm => (Preprocess::None, Postprocess::None),
        Engine::Onnx => (Preprocess::IdxToF32 { scale_ppm: 62_500 }, Postprocess::ArgmaxLines),
    };
    TaskSpec { engine, module, input, bounds, pre, post }
}
