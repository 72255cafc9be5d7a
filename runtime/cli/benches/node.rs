//! What a node costs when it does nothing, and how long the demo takes.
//!
//! `cargo bench -p cairn` measures the release profile; `cargo bench --profile dev -p cairn` the one of the tests.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use core::error::Error;
use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const IDLE_MIB_GOAL: u64 = 40;
const DEMO_S_GOAL: f64 = 20.0;
const RUNS: usize = 5;

/// Ends the node however the measurement ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (ready, resident, anonymous) = idle()?;
    println!("node ready after                {:>8.0} ms", ready.as_secs_f64() * 1e3);
    println!("idle node, resident             {:>8.1} MiB (goal: below {IDLE_MIB_GOAL})", mib(resident));
    println!("  of which anonymous            {:>8.1} MiB", mib(anonymous));
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        seconds.push(demo()?);
    }
    seconds.sort_by(f64::total_cmp);
    let (least, most) = (seconds.first().copied(), seconds.last().copied());
    println!(
        "demo, {RUNS} runs                  {:>8.1} to {:.1} s (goal: below {DEMO_S_GOAL})",
        least.unwrap_or_default(),
        most.unwrap_or_default()
    );
    Ok(())
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

/// Starts a node and looks at its memory three seconds after it is ready.
fn idle() -> Result<(Duration, u64, u64), Box<dyn Error>> {
    let home = tempfile::tempdir()?;
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    command.arg("--home").arg(home.path()).args(["node", "--listen", "127.0.0.1:0", "--no-discovery"]);
    let mut node = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    let stdout = node.0.stdout.take().ok_or("the node has no stdout")?;
    BufReader::new(stdout).read_line(&mut String::new())?;
    let ready = begun.elapsed();
    std::thread::sleep(Duration::from_secs(3));
    let status = fs::read_to_string(format!("/proc/{}/status", node.0.id()))?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let resident = field("VmRSS:").ok_or("no VmRSS")?;
    Ok((ready, resident, field("RssAnon:").ok_or("no RssAnon")?))
}

fn demo() -> Result<f64, Box<dyn Error>> {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_cairn")).arg("demo").output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(begun.elapsed().as_secs_f64())
}
