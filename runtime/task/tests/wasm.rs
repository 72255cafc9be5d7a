//! The WASM executor in this process: what a module may do, what it may not, and that it is always the same.
#![expect(clippy::unwrap_used, reason = "tests may stop where they stand")]

use cairn_board::Bounds;
use cairn_task::wasm::execute;
use cairn_task::{Cancel, TaskError, TaskReport};

const BOUNDS: Bounds =
    Bounds { fuel: 10_000_000, memory_bytes: 1 << 20, wall_ms: 30_000, output_bytes: 1 << 16 };

/// Imports of everything that the tests call, one page of memory, and a start function.
fn module(start: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func $say (param $from i32) (param $bytes i32)
            (i32.store (i32.const 0) (local.get $from))
            (i32.store (i32.const 4) (local.get $bytes))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
        (func $code (param $errno i32)
            (i32.store8 (i32.const 12) (local.get $errno))
            (call $say (i32.const 12) (i32.const 1)))
        (func (export "_start") {start}))"#
    );
    wat::parse_str(text).unwrap()
}

fn ran(start: &str, input: &[u8]) -> Result<TaskReport, TaskError> {
    execute(&module(start), input, &BOUNDS, &Cancel::new())
}

#[test]
fn stdin_comes_out_on_stdout_and_costs_the_same_fuel_each_time() {
    let echo = "(local $count i32)
        (loop $more
            (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 7))
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (local.set $count (i32.load (i32.const 8)))
            (call $say (i32.const 100) (local.get $count))
            (br_if $more (local.get $count)))";
    let first = ran(echo, b"a cairn is a heap of stones").unwrap();
    assert_eq!(first.output, b"a cairn is a heap of stones");
    let second = ran(echo, b"a cairn is a heap of stones").unwrap();
    assert_eq!((first.fuel, &first.output), (second.fuel, &second.output));
    assert!(ran(echo, b"").unwrap().fuel < first.fuel);
}

#[test]
fn a_task_sees_no_files_no_network_and_no_environment() {
    let report = ran(
        "(call $code (call $prestat (i32.const 3) (i32.const 64)))
         (call $code (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 1)
            (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 72)))
         (call $code (call $accept (i32.const 3) (i32.const 0) (i32.const 64)))
         (call $code (call $write (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 8)))
         (call $code (call $read (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
         (drop (call $environ (i32.const 12) (i32.const 16)))
         (call $say (i32.const 12) (i32.const 8))",
        b"",
    )
    .unwrap();
    assert_eq!(report.output, [8, 8, 52, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn time_and_randomness_are_functions_of_module_and_input() {
    let look = "(drop (call $clock (i32.const 0) (i64.const 0) (i32.const 16)))
         (drop (call $random (i32.const 24) (i32.const 8)))
         (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 32)))
         (call $say (i32.const 16) (i32.const 24))";
    let first = ran(look, b"x").unwrap();
    assert_eq!(first.output, ran(look, b"x").unwrap().output);
    let other = ran(look, b"y").unwrap();
    assert_eq!(first.output[..8], other.output[..8]);
    assert_ne!(first.output[8..16], other.output[8..16]);
    let time = |at: usize| u64::from_le_bytes(first.output[at..at + 8].try_into().unwrap());
    assert!(time(0) < time(16));
}

#[test]
fn sleeping_for_a_year_takes_no_time() {
    let report = ran(
        "(i64.store (i32.const 120) (i64.const 31536000000000000))
         (call $code (call $poll (i32.const 96) (i32.const 200) (i32.const 1) (i32.const 240)))
         (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 16)))
         (call $say (i32.const 16) (i32.const 8))",
        b"",
    )
    .unwrap();
    assert_eq!(report.output[0], 0);
    let now = u64::from_le_bytes(report.output[1..].try_into().unwrap());
    assert!(now >= 1_577_836_800_000_000_000 + 31_536_000_000_000_000);
}

#[test]
fn addresses_outside_the_memory_are_an_error_of_the_caller() {
    let report = ran(
        "(i32.store (i32.const 64) (i32.const 65530)) (i32.store (i32.const 68) (i32.const 100))
         (i32.store (i32.const 72) (i32.const -1)) (i32.store (i32.const 76) (i32.const -1))
         (call $code (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 8)))
         (call $code (call $write (i32.const 2) (i32.const 72) (i32.const 1) (i32.const 8)))
         (call $code (call $read (i32.const 0) (i32.const -4) (i32.const 1) (i32.const 8)))
         (call $code (call $clock (i32.const 0) (i64.const 0) (i32.const 65529)))
         (call $code (call $write (i32.const 1) (i32.const 0) (i32.const 1025) (i32.const 8)))",
        b"abc",
    )
    .unwrap();
    assert_eq!(report.output, [21, 21, 21, 21, 28]);
}

#[test]
fn the_work_of_the_host_is_paid_with_fuel() {
    let greedy = "(loop (drop (call $random (i32.const 0) (i32.const 65536))) (br 0))";
    assert_eq!(ran(greedy, b""), Err(TaskError::OutOfFuel));
    assert_eq!(ran("(drop (call $random (i32.const 0) (i32.const -1)))", b""), Err(TaskError::OutOfFuel));
}

#[test]
fn exit_codes_are_told_with_the_last_words() {
    let words = "(i32.store (i32.const 12) (i32.const 0x21504c48))
         (i32.store (i32.const 0) (i32.const 12)) (i32.store (i32.const 4) (i32.const 4))
         (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))";
    let ended = ran(&format!("{words} (call $exit (i32.const 3))"), b"");
    assert_eq!(ended, Err(TaskError::NonZeroExit { code: 3, stderr: "HLP!".to_owned() }));
    let ended = ran(&format!("{words} unreachable"), b"");
    assert!(matches!(&ended, Err(TaskError::Trap(why)) if why.contains("HLP!")), "{ended:?}");
    assert_eq!(
        ran("(call $say (i32.const 0) (i32.const 1)) (call $exit (i32.const 0))", b"").unwrap().output,
        [0]
    );
    let chatter = ran(
        "(i32.store (i32.const 4) (i32.const 60000))
         (loop $again (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) (br $again))",
        b"",
    );
    assert_eq!(chatter, Err(TaskError::OutOfFuel));
}

#[test]
fn bounds_hold_at_their_edge() {
    let say = "(call $say (i32.const 0) (i32.const 100))";
    let with = |bounds: Bounds| execute(&module(say), b"", &bounds, &Cancel::new());
    assert_eq!(with(Bounds { output_bytes: 100, ..BOUNDS }).unwrap().output.len(), 100);
    assert_eq!(with(Bounds { output_bytes: 99, ..BOUNDS }), Err(TaskError::OutputTooLarge));
    assert!(with(Bounds { memory_bytes: 65_536, ..BOUNDS }).is_ok());
    assert_eq!(with(Bounds { memory_bytes: 65_535, ..BOUNDS }), Err(TaskError::OutOfMemory));
    let fuel = with(BOUNDS).unwrap().fuel;
    assert!(with(Bounds { fuel, ..BOUNDS }).is_ok());
    assert_eq!(with(Bounds { fuel: fuel - 1, ..BOUNDS }), Err(TaskError::OutOfFuel));
    assert_eq!(with(Bounds { fuel: 0, ..BOUNDS }), Err(TaskError::OutOfFuel));
    let cancelled = Cancel::new();
    cancelled.cancel();
    assert_eq!(execute(&module(say), b"", &BOUNDS, &cancelled), Err(TaskError::Cancelled));
}

#[test]
fn tables_count_as_memory_and_deep_calls_trap() {
    let run = |text: &str| execute(&wat::parse_str(text).unwrap(), b"", &BOUNDS, &Cancel::new());
    let table = r#"(module (table 1000000 funcref) (func (export "_start")))"#;
    assert_eq!(run(table), Err(TaskError::OutOfMemory));
    let grow = r#"(module (table $t 1 funcref) (func (export "_start")
        (if (i32.eq (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)) (then unreachable))))"#;
    assert_eq!(run(grow), Err(TaskError::OutOfMemory));
    let deep = r#"(module (func $f (export "_start") (call $f)))"#;
    assert!(matches!(run(deep), Err(TaskError::Trap(_))), "{:?}", run(deep));
}

#[test]
fn what_is_no_command_module_is_refused() {
    let text = |text: &str| wat::parse_str(text).unwrap();
    let real = module("");
    let cases: Vec<Vec<u8>> = vec![
        b"MZ\x90".to_vec(),
        b"\0asm".to_vec(),
        real[..real.len() / 2].to_vec(),
        text("(module)"),
        text(r#"(module (func (export "_start") (param i32)))"#),
        text(r#"(module (memory (export "_start") 1))"#),
        text(r#"(module (import "env" "system" (func)) (func (export "_start")))"#),
        text(r#"(module (import "wasi_snapshot_preview1" "memory" (memory 1)) (func (export "_start")))"#),
        text(
            r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (result i32))) (func (export "_start")))"#,
        ),
        text(
            r#"(module (import "wasi_snapshot_preview1" "new" (func (result i64))) (func (export "_start")))"#,
        ),
        text(r#"(module (memory (export "memory") 1 1 shared) (func (export "_start")))"#),
        text(r#"(module (memory i64 1) (func (export "_start")))"#),
        text("(component)"),
    ];
    for (number, case) in cases.iter().enumerate() {
        let ended = execute(case, b"", &BOUNDS, &Cancel::new());
        assert!(matches!(ended, Err(TaskError::NotWasm(_))), "{number}: {ended:?}");
    }
    assert_eq!(execute(b"", b"", &BOUNDS, &Cancel::new()), Err(TaskError::MissingModule));
}

#[test]
fn not_a_number_has_one_form() {
    let report = ran(
        "(f32.store (i32.const 16) (f32.div (f32.const 0) (f32.const 0)))
         (f32.store (i32.const 20) (f32.sqrt (f32.const -1)))
         (call $say (i32.const 16) (i32.const 8))",
        b"",
    )
    .unwrap();
    assert_eq!(report.output, [0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f]);
}

#[test]
fn the_digits_classifier_gives_known_bytes_for_known_fuel() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/digits");
    let classifier = std::fs::read(format!("{folder}/linear.wasm")).unwrap();
    let pictures = std::fs::read(format!("{folder}/held-out.idx")).unwrap();
    let run = |input: &[u8]| {
        let bounds = Bounds { fuel: 50_000_000, ..BOUNDS };
        execute(&classifier, input, &bounds, &Cancel::new())
    };
    let report = run(&pictures).unwrap();
    // Every processor must come to this figure: it is what nodes compare.
    assert_eq!(report.fuel, 7_595_913);
    for len in [0, 3, 15, 17, pictures.len() - 1] {
        assert!(matches!(run(&pictures[..len]), Err(TaskError::NonZeroExit { code: 2, .. })), "{len}");
    }
    let mut many = pictures;
    many[4] = 0xff;
    assert!(matches!(run(&many), Err(TaskError::NonZeroExit { code: 2, .. })));
}
