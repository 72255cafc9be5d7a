//! Modules and models that mean harm or are broken: each ends with a reason, and nothing but itself ends.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use cairn_board::{Bounds, Engine};
use cairn_task::{Cancel, Executors, TaskError, WorkerCommand, run};

use super::Test;
use super::support::{BOUNDS, digits_bytes, executors, onnx, spec, wasm};

pub(crate) const TESTS: &[Test] = &[
    ("a_missing_module_is_said_to_be_missing", missing),
    ("a_trap_is_a_trap_in_the_worker_too", trap),
    ("an_endless_loop_ends_by_fuel_and_by_time", endless),
    ("a_memory_eater_gets_no_more_than_its_bound", memory_eater),
    ("an_oversized_output_is_refused_in_both_engines", oversized),
    ("a_module_that_takes_for_ever_to_compile_is_killed_with_its_worker", compile_bomb),
    ("bytes_that_are_no_model_are_refused", no_model),
    ("a_truncated_model_is_refused_wherever_it_is_cut", truncated_model),
    ("a_model_with_a_flipped_bit_never_hurts", flipped_model),
    ("a_model_with_external_data_is_refused", external_data),
    ("a_model_that_wants_a_terabyte_runs_out_of_memory", huge_model),
    ("a_model_for_other_pictures_fails_with_a_reason", wrong_pictures),
    ("an_input_that_is_no_idx_file_is_refused", wrong_input),
    ("a_worker_that_dies_is_reported", dying_worker),
    ("a_worker_that_cannot_be_started_is_our_fault", no_worker),
    ("a_worker_that_talks_nonsense_is_dead_to_us", nonsense_worker),
    ("a_worker_that_never_reads_is_killed_in_time", deaf_worker),
    ("a_cancelled_task_ends_soon", cancelled),
];

const LOOP: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;

fn missing() {
    assert_eq!(
        run(&spec(Engine::Wasm, b"", b"", BOUNDS), &executors(), &Cancel::new()),
        Err(TaskError::MissingModule)
    );
    assert_eq!(onnx(b"", b"", BOUNDS), Err(TaskError::MissingModule));
}

fn trap() {
    let ended = wasm(r#"(module (func (export "_start") unreachable))"#, b"", BOUNDS);
    assert!(matches!(ended, Err(TaskError::Trap(_))), "{ended:?}");
}

fn endless() {
    assert_eq!(wasm(LOOP, b"", Bounds { fuel: 10_000, ..BOUNDS }), Err(TaskError::OutOfFuel));
    let started = Instant::now();
    let ended = wasm(LOOP, b"", Bounds { fuel: u64::MAX, wall_ms: 300, ..BOUNDS });
    assert_eq!(ended, Err(TaskError::OutOfTime));
    assert!(started.elapsed() < Duration::from_secs(10));
}

fn memory_eater() {
    let eater = r#"(module (memory (export "memory") 1)
        (func (export "_start") (loop
            (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
            (br 0))))"#;
    assert_eq!(wasm(eater, b"", Bounds { memory_bytes: 8 << 20, ..BOUNDS }), Err(TaskError::OutOfMemory));
}

fn oversized() {
    let writer = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (i32.store (i32.const 4) (i32.const 1000))
            (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br 0))))"#;
    assert_eq!(wasm(writer, b"", BOUNDS), Err(TaskError::OutputTooLarge));
    let (model, input) = (digits_bytes("small.onnx"), digits_bytes("held-out.idx"));
    assert_eq!(
        onnx(&model, &input, Bounds { output_bytes: 1_199, ..BOUNDS }),
        Err(TaskError::OutputTooLarge)
    );
    assert_eq!(onnx(&model, &input, Bounds { output_bytes: 1_200, ..BOUNDS }).unwrap().output.len(), 1_200);
}

fn compile_bomb() {
    // One function with very many blocks and values that live across all of them.
    let body =
        "(if (local.get 0) (then (local.set 1 (i64.mul (local.get 1) (local.get 2)))))".repeat(200_000);
    let bomb = format!(
        r#"(module (func (export "_start") (call 1 (i32.const 1)))
           (func (param i32) (local i64 i64) {body}))"#
    );
    let started = Instant::now();
    let ended = wasm(&bomb, b"", Bounds { wall_ms: 100, ..BOUNDS });
    assert!(matches!(ended, Err(TaskError::OutOfTime)), "{ended:?}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

fn no_model() {
    for junk in [&b"GIF89a"[..], &[0; 100], &[0xff; 1000], b"\0asm\x01\0\0\0"] {
        let ended = onnx(junk, &digits_bytes("held-out.idx"), BOUNDS);
        assert!(matches!(ended, Err(TaskError::NotOnnx(_))), "{ended:?}");
    }
}

fn truncated_model() {
    let (model, input) = (digits_bytes("small.onnx"), digits_bytes("held-out.idx"));
    for len in [1, 20, 700, model.len() / 2, model.len() - 100] {
        let ended = onnx(&model[..len], &input, BOUNDS);
        assert!(matches!(ended, Err(TaskError::NotOnnx(_))), "{len}: {ended:?}");
    }
}

fn flipped_model() {
    let (model, input) = (digits_bytes("small.onnx"), digits_bytes("held-out.idx"));
    for step in 0..24 {
        let mut model = model.clone();
        // Mostly the graph's own structure, which stands in front, and some weights.
        let at = if step < 20 { step * 11 } else { model.len() / 24 * step };
        model[at] ^= 1 << (step % 8);
        match onnx(&model, &input, Bounds { wall_ms: 10_000, ..BOUNDS }) {
            Ok(report) => assert_eq!(report.output.iter().filter(|byte| **byte == b'\n').count(), 600),
            Err(
                TaskError::NotOnnx(_)
                | TaskError::Model(_)
                | TaskError::ExternalData
                | TaskError::Input(_)
                | TaskError::OutOfMemory
                | TaskError::WorkerDied(_),
            ) => {}
            Err(other) => panic!("{at}: {other:?}"),
        }
    }
}

/// A field of a protobuf message that holds bytes.
fn field(number: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut len = inner.len();
    while len >= 0x80 {
        bytes.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    bytes.push(u8::try_from(len).unwrap());
    bytes.extend_from_slice(inner);
    bytes
}

fn external_data() {
    let tensor =
        [field(8, b"w"), field(13, &[field(1, b"location"), field(2, b"/etc/passwd")].concat())].concat();
    let model = [vec![1 << 3, 8], field(7, &field(5, &tensor))].concat();
    assert_eq!(onnx(&model, &digits_bytes("held-out.idx"), BOUNDS), Err(TaskError::ExternalData));
}

/// A value of the graph's inputs or outputs: floats with one free and one fixed dimension.
fn value(name: &str, columns: u8) -> Vec<u8> {
    let shape = [field(1, &field(2, b"batch")), field(1, &[1 << 3, columns])].concat();
    let kind = field(1, &[vec![1 << 3, 1], field(2, &shape)].concat());
    [field(1, name.as_bytes()), field(2, &kind)].concat()
}

/// A model that makes a tensor of 2^38 floats out of one shape.
fn huge_model() {
    let one = i64::pow(2, 19).to_le_bytes();
    let shape = [vec![1 << 3, 2, 2 << 3, 7], field(8, b"shape"), field(9, &[one, one].concat())].concat();
    let big = [field(1, b"shape"), field(2, b"big"), field(4, b"ConstantOfShape")].concat();
    let sum = [field(1, b"big"), field(2, b"sum"), field(4, b"ReduceSum")].concat();
    let add = [field(1, b"pixels"), field(1, b"sum"), field(2, b"out"), field(4, b"Add")].concat();
    let graph = [
        field(1, &big),
        field(1, &sum),
        field(1, &add),
        field(2, b"g"),
        field(5, &shape),
        field(11, &value("pixels", 64)),
        field(12, &value("out", 64)),
    ]
    .concat();
    let model = [vec![1 << 3, 8], field(7, &graph), field(8, &[2 << 3, 13])].concat();
    let ended = onnx(&model, &digits_bytes("held-out.idx"), BOUNDS);
    assert!(matches!(ended, Err(TaskError::OutOfMemory)), "{ended:?}");
}

fn wrong_pictures() {
    let mut input = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3];
    input.extend_from_slice(&[1; 18]);
    let ended = onnx(&digits_bytes("small.onnx"), &input, BOUNDS);
    assert!(matches!(ended, Err(TaskError::Model(_))), "{ended:?}");
}

fn wrong_input() {
    for input in [&b""[..], b"P5 8 8 255"] {
        let ended = onnx(&digits_bytes("small.onnx"), input, BOUNDS);
        assert!(matches!(ended, Err(TaskError::Input(_))), "{ended:?}");
    }
}

/// Runs a task with a shell script in the place of the worker.
fn with_script(script: &str, wall_ms: u64) -> Result<cairn_task::TaskReport, TaskError> {
    let worker = WorkerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
    let executors = Executors::new(worker, None);
    let input = vec![0; 1 << 20];
    run(&spec(Engine::Wasm, b"\0asm", &input, Bounds { wall_ms, ..BOUNDS }), &executors, &Cancel::new())
}

fn dying_worker() {
    let killed = with_script("kill -9 $$", 20_000);
    assert!(matches!(&killed, Err(TaskError::WorkerDied(why)) if why.contains("signal: 9")), "{killed:?}");
    let said = with_script("echo the model bit me >&2; exit 7", 20_000);
    assert!(matches!(&said, Err(TaskError::WorkerDied(why)) if why.contains("bit me")), "{said:?}");
    let starved = with_script("echo memory allocation of 9 bytes failed >&2; kill -6 $$", 20_000);
    assert_eq!(starved, Err(TaskError::OutOfMemory));
    assert_eq!(with_script("kill -24 $$", 20_000), Err(TaskError::OutOfTime));
}

fn no_worker() {
    let worker = WorkerCommand { program: "/nonexistent/worker".into(), args: vec![] };
    let ended =
        run(&spec(Engine::Wasm, b"\0asm", b"", BOUNDS), &Executors::new(worker, None), &Cancel::new());
    assert!(matches!(ended, Err(TaskError::NoWorker(_))), "{ended:?}");
}

fn nonsense_worker() {
    for script in ["echo hello", "head -c 100000 /dev/zero", "yes", "printf '\\000\\000\\000\\001\\203'"] {
        let ended = with_script(script, 20_000);
        assert!(matches!(ended, Err(TaskError::WorkerDied(_))), "{script}: {ended:?}");
    }
}

fn deaf_worker() {
    let started = Instant::now();
    assert_eq!(with_script("exec sleep 60", 200), Err(TaskError::OutOfTime));
    assert!(started.elapsed() < Duration::from_secs(10));
}

fn cancelled() {
    let cancel = Cancel::new();
    let module = wat::parse_str(LOOP).unwrap();
    let bounds = Bounds { fuel: u64::MAX, wall_ms: 60_000, ..BOUNDS };
    let started = Instant::now();
    let ended = thread::scope(|scope| {
        let task = scope.spawn(|| run(&spec(Engine::Wasm, &module, b"", bounds), &executors(), &cancel));
        thread::sleep(Duration::from_millis(100));
        cancel.cancel();
        task.join().unwrap()
    });
    assert_eq!(ended, Err(TaskError::Cancelled));
    assert!(started.elapsed() < Duration::from_secs(10));
    let again = run(&spec(Engine::Wasm, &module, b"", bounds), &executors(), &cancel);
    assert_eq!(again, Err(TaskError::Cancelled));
}
