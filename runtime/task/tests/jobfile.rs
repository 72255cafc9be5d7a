//! Job files: what is read, and that each mistake is named with its line.
#![expect(clippy::unwrap_used, reason = "tests may stop where they stand")]

use std::fs;
use std::path::Path;

use cairn_board::{BlobRef, Class, Engine, Items, Postprocess, Preprocess, Verify};
use cairn_bundle::Identity;
use cairn_task::jobfile::{FILE_BYTES_MAX, Fault};
use cairn_task::{JobFile, JobFileError, LoadedJob};

const GOOD: &str = r#"title = "Count"
input = "input.bin"
class = { tolerance = 0.01 }
verify = { spot = 3 }
fee = 20

[[rung]]
name = "one"
engine = "wasm"
module = "a.wasm"
quality = 0.5
price = 1_000
bounds = { fuel = 9, memory = "16 MiB", wall = "5 s", output = "64 KiB" }

[[rung]]
name = "two"
engine = "wasm"
module = "a.wasm"
quality = 0.5
price = 2_000
bounds = { fuel = 9, memory = "16 MiB", wall = "5 s", output = "64 KiB" }
"#;

fn load(text: &str) -> Result<LoadedJob, JobFileError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("job.toml"), text).unwrap();
    fs::write(folder.path().join("input.bin"), "input").unwrap();
    fs::write(folder.path().join("a.wasm"), b"\0asm\x01\0\0\0").unwrap();
    JobFile::load(&folder.path().join("job.toml"))
}

#[test]
fn the_digits_job_is_read_with_everything_it_names() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits/digits.toml");
    let loaded = JobFile::load(&path).unwrap();
    let payer = Identity::from_seed(&[7; 32]).node_id();
    let job = loaded.job(payer, [9; 16]);
    assert_eq!((job.payer, job.nonce, job.items), (payer, [9; 16], Items::Idx));
    assert_eq!((job.class, job.verify), (Class::Tolerance { eps_ppm: 10_000 }, Verify::Spot { items: 12 }));
    let [linear, small, large] = job.rungs.as_slice() else { panic!("{:?}", job.rungs) };
    assert_eq!(
        (linear.engine, linear.bounds.fuel, linear.bounds.memory_bytes),
        (Engine::Wasm, 50_000_000, 1 << 20)
    );
    assert!(linear.quality_ppm < small.quality_ppm && small.quality_ppm < large.quality_ppm);
    assert_eq!(large.pre, Preprocess::IdxToF32 { scale_ppm: 62_500 });
    assert_eq!(large.post, Postprocess::ArgmaxLines);
    assert_eq!(loaded.blobs().len(), 4);
    for (id, bytes) in loaded.blobs() {
        assert_eq!(BlobRef::of(bytes).id, *id);
    }
    assert_eq!(job.check(), Ok(()));
}

#[test]
fn a_shared_module_is_kept_once_and_another_input_can_be_given() {
    let loaded = load(GOOD).unwrap();
    assert_eq!(loaded.blobs().len(), 2);
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("job.toml", GOOD.as_bytes()), ("a.wasm", b"\0asm"), ("other", b"other")] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let (job, other) = (folder.path().join("job.toml"), folder.path().join("other"));
    let loaded = JobFile::load_with_input(&job, Some(&other)).unwrap();
    assert_eq!(loaded.blobs()[0].1, b"other");
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let cases = [
        ("title = \"Count\"", "title = \"\"", 1, "title"),
        ("input = \"input.bin\"", "input = \"none.bin\"", 2, "cannot read"),
        ("input = \"input.bin\"", "input = \"input.bin\"\nitems = \"idx\"", 2, "IDX"),
        ("tolerance = 0.01", "tolerance = 1.5", 3, "between 0 and 1"),
        ("spot = 3", "spott = 3", 4, "spott"),
        ("fee = 20", "fee = -1", 5, ""),
        ("fee = 20", "fees = 20", 5, "fees"),
        ("engine = \"wasm\"", "engine = \"java\"", 9, "java"),
        ("module = \"a.wasm\"", "module = \"input.bin\"", 10, "not a WASM module"),
        ("quality = 0.5", "quality = 50", 11, "between 0 and 1"),
        ("quality = 0.5", "quality = 0.6", 15, "worst first"),
        ("price = 1_000", "price = 1e3", 12, ""),
        ("fuel = 9, ", "", 13, "fuel"),
        ("\"16 MiB\"", "\"16\"", 13, "size"),
        ("\"16 MiB\"", "\"0 B\"", 13, "size"),
        ("\"5 s\"", "\"5 MiB\"", 13, "time"),
        ("wall = \"5 s\", ", "", 13, "wall"),
        ("price = 1_000", "price = 1_000\npost = \"argmax_lines\"", 7, "ONNX"),
    ];
    for (from, to, line, word) in cases {
        let error = load(&GOOD.replacen(from, to, 1)).unwrap_err();
        let said = error.to_string();
        assert_eq!(error.line(), Some(line), "{to}: {said}");
        assert!(said.contains(&format!("line {line}: ")) && said.contains(word), "{said}");
    }
}

#[test]
fn a_file_that_is_no_job_is_refused() {
    let unpayable = load(&GOOD.replace("fee = 20", "fee = 9223372036854775807"));
    assert!(matches!(unpayable.unwrap_err().fault(), Fault::Job(_)));
    for text in ["", "[[rung]]", "title = 3", "\u{0}", "title = \"t\"\ninput = \"input.bin\"\nrung = []"] {
        assert!(load(text).is_err(), "{text}");
    }
    let missing = JobFile::load(Path::new("/nonexistent/job.toml")).unwrap_err();
    assert!(matches!(missing.fault(), Fault::Read { .. }) && missing.line().is_none());
    let folder = tempfile::tempdir().unwrap();
    assert!(JobFile::load(folder.path()).is_err());
    let large = folder.path().join("large.toml");
    let size = usize::try_from(FILE_BYTES_MAX).unwrap();
    fs::write(&large, vec![b'#'; size + 1]).unwrap();
    assert!(matches!(JobFile::load(&large).unwrap_err().fault(), Fault::TooLarge { .. }));
    fs::write(&large, [0xff, 0xfe]).unwrap();
    assert!(matches!(JobFile::load(&large).unwrap_err().fault(), Fault::Syntax(_)));
}
