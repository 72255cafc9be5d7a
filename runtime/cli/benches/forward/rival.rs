//! The same with `dtnd` of dtn7-rs, if it is installed.

use core::time::Duration;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::row;

const DEADLINE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(2);
const VERSION: &str = "0.21.0";

/// Ends it however the measurement ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(root: &Path, count: usize, ours: Option<f64>) {
    let found = Command::new("dtnd").arg("--version").output();
    let version = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let Ok(version) = version.map_err(|error| error.kind()) else {
        row("dtnd is not in the path", "", &format!("cargo install dtn7 --version {VERSION} --locked"));
        return;
    };
    for (db, durability) in [("sled", "persistent"), ("mem", "in memory")] {
        let what = format!("{version}, {count} bundles of 1 KiB to a relay, MTCP, {durability}");
        match forward(&root.join(format!("dtn7 {db}")), db, count) {
            Ok(rate) => {
                let ratio = ours.map(|ours| format!("cairn is {:.1} times as fast", ours / rate));
                row(&what, &format!("{rate:.0} /s"), &ratio.unwrap_or_default());
            }
            Err((arrived, rate)) => {
                let short = format!("only {arrived} arrived in {} s", DEADLINE.as_secs());
                row(&what, &format!("{rate:.0} /s"), &short);
            }
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(dir: &Path, name: &str, db: &str, ports: [u16; 2], peer: Option<u16>) -> Daemon {
    let home = dir.join(name);
    fs::create_dir_all(&home).unwrap();
    let [cla, web] = ports;
    let mut command = Command::new("dtnd");
    command.args(["-n", name, "-W"]).arg(&home).args(["-D", db, "-C"]);
    command.arg(format!("mtcp:port={cla}:bind=127.0.0.1")).args(["-w", &web.to_string()]);
    command.args(["-j", "1s", "--disable_nd", "-r", "epidemic", "-4"]);
    if let Some(peer) = peer {
        command.args(["-s", &format!("mtcp://127.0.0.1:{peer}/b")]);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let daemon = Daemon(child);
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(("127.0.0.1", web)).is_err() {
        assert!(Instant::now() < deadline, "dtnd does not start");
        std::thread::sleep(POLL);
    }
    daemon
}

fn http(port: u16, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    let head = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Bundles that this daemon took from others.
fn incoming(port: u16) -> usize {
    let answer = http(port, "GET /status/info", &[]);
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    let json = body.find('{').and_then(|from| body.get(from..=body.rfind('}')?));
    let info: Option<serde_json::Value> = json.and_then(|json| serde_json::from_str(json).ok());
    let count = info.and_then(|info| info.get("incoming")?.as_u64()).unwrap_or(0);
    usize::try_from(count).unwrap()
}

/// Bundles per second from the first that arrives to the last: finding the peer is not counted. What arrived and the
/// rate if not all did.
fn forward(dir: &Path, db: &str, count: usize) -> Result<f64, (usize, f64)> {
    let [a_cla, a_web, b_cla, b_web] = [(); 4].map(|()| free_port());
    let _a = start(dir, "a", db, [a_cla, a_web], Some(b_cla));
    let payload = vec![7; 1_024];
    for _ in 0..count {
        let answer = http(a_web, "POST /send?dst=dtn://c/in&lifetime=36000", &payload);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let _b = start(dir, "b", db, [b_cla, b_web], None);
    let (mut begun, mut arrived) = (Instant::now(), 0);
    let deadline = Instant::now() + DEADLINE;
    while arrived < count && Instant::now() < deadline {
        let before = Instant::now();
        if arrived == 0 {
            begun = before;
        }
        arrived = incoming(b_web);
        std::thread::sleep(POLL);
    }
    let rate = f64::from(u32::try_from(arrived).unwrap()) / begun.elapsed().as_secs_f64();
    if arrived >= count { Ok(rate) } else { Err((arrived, rate)) }
}
