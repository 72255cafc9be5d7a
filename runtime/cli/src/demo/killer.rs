//! Kills processes at random moments, reproducibly as far as moments can be.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::Who;
use super::process::Node;
use super::stage::Stage;
use crate::out;

/// Shortest and longest time between two kills, in milliseconds.
const PAUSE_MIN_MS: u64 = 40;
const PAUSE_SPAN_MS: u64 = 900;

const POLL: Duration = Duration::from_millis(20);

/// What to kill.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) kills: u32,
    pub(super) seed: u64,
    pub(super) only: Option<Who>,
}

/// The killer at work.
#[derive(Debug)]
pub(super) struct Killer {
    thread: Option<JoinHandle<Result<u32, String>>>,
    stop: Arc<AtomicBool>,
}

impl Killer {
    /// Waits until it has done all it planned; gives the number of kills.
    pub(super) fn finish(mut self) -> Result<u32, String> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            Some(Err(_)) => Err("the killer thread panicked".into()),
            None => Ok(0),
        }
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts killing beside the story; does nothing if no kills are planned.
pub(super) fn start(stage: &Stage, plan: Plan) -> Killer {
    let stop = Arc::new(AtomicBool::new(false));
    if plan.kills == 0 {
        return Killer { thread: None, stop };
    }
    stage.say(&format!("{} kills are planned, seed {}", plan.kills, plan.seed));
    let stops = [Arc::clone(&stop), stage.interrupted()];
    let nodes: Vec<Arc<Node>> = match plan.only {
        Some(Who::A) => vec![Arc::clone(&stage.a)],
        Some(Who::B) => vec![Arc::clone(&stage.b)],
        Some(Who::C) => vec![Arc::clone(&stage.c)],
        None => stage.nodes().map(Arc::clone).to_vec(),
    };
    let thread = std::thread::spawn(move || work(&nodes, plan, &stops));
    Killer { thread: Some(thread), stop }
}

fn work(nodes: &[Arc<Node>], plan: Plan, stops: &[Arc<AtomicBool>]) -> Result<u32, String> {
    let stopped = || stops.iter().any(|stop| stop.load(Ordering::Relaxed));
    let mut random = SplitMix(plan.seed);
    for done in 0..plan.kills {
        let pause = Duration::from_millis(PAUSE_MIN_MS + random.next() % PAUSE_SPAN_MS);
        let choice = usize::try_from(random.next() % 3).unwrap_or(0);
        let Some(node) = nodes.get(choice % nodes.len().max(1)) else { return Ok(done) };
        std::thread::sleep(pause);
        // A node that is down on purpose cannot be killed: wait for it.
        while !node.kill_and_restart()? {
            if stopped() {
                return Ok(done);
            }
            std::thread::sleep(POLL);
        }
        out::say(&format!(
            "          kill -9 of {}, started again ({} of {})",
            node.label,
            done + 1,
            plan.kills
        ));
        if stopped() {
            return Ok(done + 1);
        }
    }
    Ok(plan.kills)
}

/// The generator SplitMix64: small, and good enough to choose moments.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_its_published_values() {
        // First outputs of SplitMix64 for seed 1234567, as in the reference implementation.
        let mut random = SplitMix(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }
}
