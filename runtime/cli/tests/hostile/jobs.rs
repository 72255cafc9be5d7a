//! Jobs that are missing something, trap, loop, eat memory or are not what they say.

use core::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use cairn_node::control::api::{JobInfo, Request, Response, ResultInfo};

use super::node::{Node, acquaint, meet, until};

const PICTURES: &[u8] = include_bytes!("../../../../examples/digits/held-out.idx");
const LINEAR: &[u8] = include_bytes!("../../../../examples/digits/linear.wasm");
const NETWORK: &[u8] = include_bytes!("../../../../examples/digits/small.onnx");

const PAYER: &str = "listen = [\"127.0.0.1:0\"]\ndiscovery = false\n[tasks]\nenabled = false\n";
/// Takes no item above the least limit there is, so that a large module never arrives.
const EXECUTOR: &str = "listen = [\"127.0.0.1:0\"]\ndiscovery = false\nitem_size_max = \"64 KiB\"\n";

const FAIR: &str = r#"fuel = 50_000_000, memory = "4 MiB", wall = "20 s", output = "64 KiB""#;

pub(crate) struct Rung {
    name: &'static str,
    engine: &'static str,
    module: Vec<u8>,
    bounds: &'static str,
    /// What must be in the reason why it was passed over.
    reason: &'static str,
}

fn wat(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start") {body}))"#
    );
    wat::parse_str(text).unwrap()
}

/// A good module with a section that nobody reads, larger than the executor takes.
fn large() -> Vec<u8> {
    let mut module = LINEAR.to_vec();
    // Section 0, its length 100,000 in LEB128, an empty name.
    module.extend([0, 0xa0, 0x8d, 0x06, 0]);
    module.resize(module.len() + 99_999, 0);
    module
}

/// A model with a kind of node that does not exist.
fn unknown_node() -> Vec<u8> {
    let mut model = NETWORK.to_vec();
    let at = model.windows(4).position(|window| window == b"Relu").unwrap();
    model[at..at + 4].copy_from_slice(b"Rebu");
    model
}

pub(crate) fn ladder() -> Vec<Rung> {
    let wasm =
        |name, body: &str, bounds, reason| Rung { name, engine: "wasm", module: wat(body), bounds, reason };
    let onnx = |name, module, bounds, reason| Rung { name, engine: "onnx", module, bounds, reason };
    let endless = "(loop $l (br $l))";
    let grow =
        "(loop $l (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable)) (br $l))";
    let flood = "(i32.store (i32.const 4) (i32.const 60000)) (loop $l
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $l))";
    let small = r#"memory = "64 MiB", wall = "20 s", output = "64 KiB""#;
    vec![
        Rung { name: "good", engine: "wasm", module: LINEAR.to_vec(), bounds: FAIR, reason: "" },
        wasm("trap", "unreachable", FAIR, "trapped"),
        wasm("silent", "", FAIR, "rejected"),
        wasm("endless", endless, FAIR, "out of fuel"),
        wasm(
            "slow",
            endless,
            r#"fuel = 1_000_000_000_000, memory = "4 MiB", wall = "200 ms", output = "64 KiB""#,
            "out of time",
        ),
        wasm("hungry", grow, FAIR, "memory"),
        wasm("flood", flood, FAIR, "output"),
        Rung {
            name: "noise",
            engine: "wasm",
            module: [&LINEAR[..8], &[0x55; 500]].concat(),
            bounds: FAIR,
            reason: "not a WASI command module",
        },
        onnx("unknown node", unknown_node(), small, "model"),
        Rung { name: "large", engine: "wasm", module: large(), bounds: FAIR, reason: "has not arrived" },
    ]
}

/// Writes the job file with its modules.
pub(crate) fn write_job(directory: &Path, rungs: &[Rung]) -> PathBuf {
    fs::create_dir(directory).unwrap();
    fs::write(directory.join("input.idx"), PICTURES).unwrap();
    let mut text =
        "title = \"Hostile rungs\"\ninput = \"input.idx\"\nitems = \"idx\"\nclass = \"none\"\n".to_owned();
    for (number, rung) in rungs.iter().enumerate() {
        let module = format!("{number}.{}", rung.engine);
        fs::write(directory.join(&module), &rung.module).unwrap();
        let (name, engine, bounds) = (rung.name, rung.engine, rung.bounds);
        write!(
            text,
            "[[rung]]\nname = \"{name}\"\nengine = \"{engine}\"\nmodule = \"{module}\"\nquality = 0.{}\n\
             price = 10\nbounds = {{ {bounds} }}\n",
            number + 10,
        )
        .unwrap();
        if engine == "onnx" {
            text += "pre = { idx_to_f32 = 0.0625 }\npost = \"argmax_lines\"\n";
        }
    }
    let file = directory.join("job.toml");
    fs::write(&file, text).unwrap();
    file
}

fn post(node: &Node, file: &Path) -> String {
    let request = Request::JobPost { board: "relief".into(), file: file.into(), key: "job".into() };
    let Response::Id { id } = node.ask(&request) else { panic!("no id") };
    id
}

fn show(node: &Node, job: &str) -> Result<JobInfo, String> {
    match node.try_ask(&Request::JobShow { job: job.to_owned() }) {
        Ok(Response::Job(info)) => Ok(info),
        other => Err(format!("{other:?}")),
    }
}

fn results(info: &JobInfo) -> Vec<&ResultInfo> {
    info.rungs.iter().flat_map(|rung| &rung.results).collect()
}

/// A payer and an executor on one board, with a line between them.
fn stage(root: &Path) -> (Node, Node) {
    let payer = Node::new(root, "payer", PAYER);
    let executor = Node::new(root, "executor", EXECUTOR);
    payer.start();
    executor.start();
    acquaint(&payer, &executor);
    executor.ask(&Request::CreditGrant { node: "payer".into(), limit: 10_000 });
    payer.ask(&Request::BoardCreate { name: "relief".into() });
    let invite = Request::BoardInvite { board: "relief".into(), node: "executor".into() };
    let Response::Text { text: invitation } = payer.ask(&invite) else { panic!("no invitation") };
    executor.ask(&Request::BoardJoin { invitation });
    meet(&payer, &executor);
    until("the line arrives", || match payer.ask(&Request::Credit) {
        Response::Credit { edges } if edges.iter().any(|edge| edge.line_received == 10_000) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    (payer, executor)
}

#[test]
fn hostile_rungs_fall_back_to_the_good_one_and_everybody_sees_why() {
    let root = tempfile::tempdir().unwrap();
    let (payer, executor) = stage(root.path());
    let rungs = ladder();
    let job = post(&payer, &write_job(&root.path().join("job"), &rungs));
    let info = until("the good rung is accepted", || {
        executor.must_be_alive();
        let info = show(&payer, &job)?;
        let accepted = results(&info).iter().any(|result| result.state == "accepted");
        let there = || show(&executor, &job).map(|info| info.here);
        if accepted { Ok(info) } else { Err(format!("{info:#?}\n{:?}\n{}", there(), executor.log())) }
    });
    let [result] = &info.rungs[0].results[..] else { panic!("one result of the good rung: {info:#?}") };
    let [silent] = &info.rungs[2].results[..] else { panic!("one result of the silent rung: {info:#?}") };
    assert!(silent.state.starts_with("rejected: "), "{}", silent.state);
    assert_eq!(results(&info).len(), 2);
    assert_eq!(result.executor_name, "executor");
    for (number, rung) in rungs.iter().enumerate().skip(1) {
        let fell = result.fell_from.iter().find(|(fallen, _)| usize::from(*fallen) == number);
        let (_, reason) =
            fell.unwrap_or_else(|| panic!("no reason for {}: {:#?}", rung.name, result.fell_from));
        assert!(reason.contains(rung.reason), "{}: {reason}", rung.name);
    }
    // The same after a restart: what has failed is not tried for ever.
    assert_eq!(executor.counter("tasks failed"), 7, "{:#?}", executor.status().counters);
    executor.kill();
    executor.start();
    let here = show(&executor, &job).unwrap().here;
    assert!(here.contains("rung 1: ") && here.contains("trapped"), "{here}");
    assert_eq!(executor.counter("tasks failed"), 0);
    // Only what was accepted is owed.
    let Response::Credit { edges } = executor.ask(&Request::Credit) else { panic!("no edges") };
    until("the payment settles", || match &edges[..] {
        [edge] if edge.owed_to_me <= 10 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_job_that_cannot_be_read_is_refused_before_anything_is_promised() {
    let root = tempfile::tempdir().unwrap();
    let payer = Node::new(root.path(), "payer", PAYER);
    payer.start();
    payer.ask(&Request::BoardCreate { name: "relief".into() });
    let refused = |name: &str, damage: &dyn Fn(&Path)| {
        let directory = root.path().join(name);
        let file = write_job(&directory, &ladder()[..1]);
        damage(&directory);
        let (message, hint) =
            payer.refuses(&Request::JobPost { board: "relief".into(), file, key: name.to_owned() });
        assert!(hint.is_some() && !message.is_empty(), "{message}");
        message
    };
    let gone = refused("no module", &|at| fs::remove_file(at.join("0.wasm")).unwrap());
    assert!(gone.contains("0.wasm"), "{gone}");
    let noise = refused("noise", &|at| fs::write(at.join("0.wasm"), b"GIF89a").unwrap());
    assert!(noise.contains("is not a WASM module"), "{noise}");
    let model = refused("no model", &|at| {
        let text = fs::read_to_string(at.join("job.toml")).unwrap();
        fs::write(
            at.join("job.toml"),
            text.replace("\"wasm\"", "\"onnx\"").replace("fuel = 50_000_000, ", ""),
        )
        .unwrap();
    });
    assert!(model.contains("is not an ONNX model"), "{model}");
    let cut = refused("half a model", &|at| {
        let text = fs::read_to_string(at.join("job.toml")).unwrap();
        fs::write(
            at.join("job.toml"),
            text.replace("\"wasm\"", "\"onnx\"").replace("fuel = 50_000_000, ", ""),
        )
        .unwrap();
        fs::write(at.join("0.wasm"), &NETWORK[..NETWORK.len() / 2]).unwrap();
    });
    assert!(cut.contains("cut off"), "{cut}");
    refused("no input", &|at| fs::remove_file(at.join("input.idx")).unwrap());
    refused("input cut off", &|at| fs::write(at.join("input.idx"), &PICTURES[..PICTURES.len() - 1]).unwrap());
    refused("no text", &|at| fs::write(at.join("job.toml"), [0xff, 0xfe, 0]).unwrap());
    refused("a directory", &|at| {
        fs::remove_file(at.join("job.toml")).unwrap();
        fs::create_dir(at.join("job.toml")).unwrap();
    });
    let Response::Jobs { jobs, .. } = payer.ask(&Request::JobList) else { panic!("no jobs") };
    assert_eq!(jobs.len(), 0);
}
