//! The example job over real handwritten digits, on every rung.

use cairn_board::{Engine, Verify};
use cairn_task::verify::{Claim, Flaw, Verdict, verify};
use cairn_task::{Cancel, Executors, TaskReport, TaskSpec, WorkerCommand, run};

use super::Test;
use super::support::{digits, digits_bytes, digits_file, executors};

pub(crate) const TESTS: &[Test] = &[
    ("every_rung_has_exactly_the_accuracy_that_its_job_file_states", every_rung_is_as_good_as_stated),
    ("an_honest_result_is_found_good_and_a_forged_one_bad", honest_and_forged),
    ("onnx_runtime_agrees_with_the_built_in_back_end", libraries_agree),
    ("a_library_that_does_not_load_is_named_in_the_report", a_broken_library_is_named),
];

fn module<'a>(blobs: &'a [(cairn_bundle::Digest, Vec<u8>)], id: &cairn_bundle::Digest) -> &'a [u8] {
    &blobs.iter().find(|(blob, _)| blob == id).unwrap().1
}

fn run_rung(rung: usize, executors: &Executors) -> TaskReport {
    let (loaded, job) = digits();
    let input = module(loaded.blobs(), &job.input.id);
    let task = TaskSpec::new(&job.rungs[rung], module(loaded.blobs(), &job.rungs[rung].module.id), input);
    run(&task, executors, &Cancel::new()).unwrap()
}

fn accuracy_ppm(output: &[u8]) -> u32 {
    let labels = String::from_utf8(digits_bytes("held-out.labels")).unwrap();
    let output = String::from_utf8(output.to_vec()).unwrap();
    let (labels, output): (Vec<&str>, Vec<&str>) = (labels.lines().collect(), output.lines().collect());
    assert_eq!((labels.len(), output.len()), (600, 600));
    let right = labels.iter().zip(&output).filter(|(label, line)| label == line).count();
    u32::try_from((right * 1_000_000 + 300) / 600).unwrap()
}

fn every_rung_is_as_good_as_stated() {
    let (_, job) = digits();
    assert_eq!(job.rungs.len(), 3);
    for (number, rung) in job.rungs.iter().enumerate() {
        let report = run_rung(number, &executors());
        assert_eq!(accuracy_ppm(&report.output), rung.quality_ppm, "{}", rung.name);
        assert_eq!(report.fuel > 0, rung.engine == Engine::Wasm);
        println!(
            "  {}: {} ppm right, fuel {}, {} ms, {}",
            rung.name, rung.quality_ppm, report.fuel, report.wall_ms, report.engine
        );
    }
}

fn honest_and_forged() {
    let (loaded, job) = digits();
    let input = module(loaded.blobs(), &job.input.id);
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 16
    };
    for rung in 0..3 {
        let honest = run_rung(rung, &executors()).output;
        let module = module(loaded.blobs(), &job.rungs[rung].module.id);
        let mut check = |output: &[u8], items| {
            let mut job = job.clone();
            job.verify = Verify::Spot { items };
            let claim = Claim { job: &job, rung, module, input, output };
            verify(&claim, &mut random, &executors(), &Cancel::new()).unwrap()
        };
        assert_eq!(check(&honest, 12), Verdict::Good { checked: 12 });
        assert_eq!(check(&honest, u32::MAX), Verdict::Good { checked: 600 });
        let lazy = "1\n".repeat(600);
        assert!(matches!(check(lazy.as_bytes(), 12), Verdict::Bad(Flaw::Differs { checked: 12, .. })));
        let short = &honest[..honest.len() - 2];
        assert_eq!(check(short, 12), Verdict::Bad(Flaw::Count { items: 600, lines: 599 }));
        assert_eq!(check(&honest[..honest.len() - 1], 12), Verdict::Bad(Flaw::Unfinished));
    }
}

/// The library that the tests were told of, or a reason to skip them.
fn library() -> Option<Executors> {
    let executors = Executors::new(WorkerCommand::this_program().unwrap(), None);
    if executors.library().is_none() {
        println!("  skipped: no ONNX Runtime library here (set CAIRN_ONNXRUNTIME to try one)");
        return None;
    }
    Some(executors)
}

fn libraries_agree() {
    let Some(with_library) = library() else { return };
    for rung in 1..3 {
        let theirs = run_rung(rung, &with_library);
        assert!(theirs.engine.starts_with("ONNX Runtime"), "{}", theirs.engine);
        assert_eq!(theirs.output, run_rung(rung, &executors()).output);
        println!("  {}: {} ms", theirs.engine, theirs.wall_ms);
    }
}

fn a_broken_library_is_named() {
    let broken = digits_file("digits.toml");
    if std::env::var_os(cairn_task::onnx::LIBRARY_VARIABLE).is_some() {
        println!("  skipped: the environment names another library");
        return;
    }
    let executors = Executors::new(WorkerCommand::this_program().unwrap(), Some(&broken));
    assert_eq!(executors.library(), Some(broken.as_path()));
    let report = run_rung(1, &executors);
    assert!(report.engine.contains("does not load"), "{}", report.engine);
}
