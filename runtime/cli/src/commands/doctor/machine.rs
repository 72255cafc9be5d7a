//! Checks of the machine: disk, memory, power, heat, clock, engines.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use cairn_node::config::{EngineName, NodeConfig};
use cairn_node::identity_file::IDENTITY_FILE;
use cairn_task::Resources;
use cairn_task::onnx::{LIBRARY_VARIABLE, find_library};

use super::Check;
use crate::render::size;

const MIB: u64 = 1024 * 1024;

/// Free memory below this is tight for one task.
const MEMORY_LOW: u64 = 128 * MIB;

/// A battery below this share will not last a night.
const BATTERY_LOW: u8 = 20;

/// Degrees at which boards begin to slow down.
const HOT: i16 = 80;

/// 2025-01-01 and 2100-01-01 in Unix seconds: a clock outside was never set.
const CLOCK_SANE: core::ops::Range<u64> = 1_735_689_600..4_102_444_800;

pub(super) fn checks(home: &Path) -> Vec<Check> {
    // Broken settings are reported by another check; here the defaults stand in.
    let config = NodeConfig::load(home).unwrap_or_default();
    let machine = Resources::measure();
    let mut checks =
        vec![disk(home, config.store.reserve), memory(machine.memory_available_bytes), clock(home)];
    checks.extend(battery(&machine));
    checks.extend(temperature(&machine));
    checks.extend(engines(&config));
    checks
}

fn disk(home: &Path, reserve: u64) -> Check {
    let there = home.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("/"));
    match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let text = format!("{} free", size(free));
            if free <= reserve {
                let hint =
                    format!("free some space: the node leaves {} to others (store.reserve)", size(reserve));
                Check::fail("disk", text, hint)
            } else if free < reserve.saturating_mul(2) {
                Check::warn("disk", text, "the node will refuse new bundles soon: free some space")
            } else {
                Check::ok("disk", text)
            }
        }
        Err(error) => Check::warn("disk", format!("the free space cannot be read: {error}"), "look with: df"),
    }
}

fn memory(available: Option<u64>) -> Check {
    match available {
        Some(bytes) if bytes < MEMORY_LOW => Check::warn(
            "memory",
            format!("{} available", size(bytes)),
            "end other programs, or run no tasks here: cairn node --no-tasks",
        ),
        Some(bytes) => Check::ok("memory", format!("{} available", size(bytes))),
        None => Check::warn(
            "memory",
            "cannot be read on this system",
            "nothing to do; limits of tasks still hold",
        ),
    }
}

fn clock(home: &Path) -> Check {
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    if !CLOCK_SANE.contains(&seconds) {
        let hint = "set it if you can; nothing is lost and no money moves by it, dates will only look odd";
        return Check::warn("clock", "it was never set", hint);
    }
    let made = fs::metadata(home.join(IDENTITY_FILE)).and_then(|meta| meta.modified());
    match made {
        Ok(made) if made > now + Duration::from_secs(60) => {
            Check::warn("clock", "it is earlier than the making of the key file", "set it if you can")
        }
        Ok(_) | Err(_) => Check::ok("clock", "plausible"),
    }
}

/// Nothing is said where there is no battery.
fn battery(machine: &Resources) -> Option<Check> {
    let percent = machine.battery_percent?;
    let text = format!("{percent} %");
    if percent < BATTERY_LOW && machine.on_mains != Some(true) {
        Some(Check::warn("battery", text, "charge it, or save: cairn node --no-tasks"))
    } else {
        Some(Check::ok("battery", text))
    }
}

/// Nothing is said where there is no sensor.
fn temperature(machine: &Resources) -> Option<Check> {
    let degrees = machine.temperature_celsius?;
    let text = format!("{degrees} °C at the hottest sensor");
    if degrees >= HOT {
        Some(Check::warn("heat", text, "give it shade or air; tasks will be slow"))
    } else {
        Some(Check::ok("heat", text))
    }
}

fn engines(config: &NodeConfig) -> Vec<Check> {
    if !config.tasks.enabled {
        return vec![Check::ok("engines", "this node runs no tasks (tasks.enabled = false)")];
    }
    let mut checks = Vec::new();
    if config.tasks.engines.contains(&EngineName::Wasm) {
        checks.push(Check::ok("wasm", format!("{}, built in", cairn_task::wasm::ENGINE)));
    }
    if config.tasks.engines.contains(&EngineName::Onnx) {
        checks.push(onnx(config.tasks.onnxruntime.as_deref()));
    }
    checks
}

fn onnx(named: Option<&Path>) -> Check {
    match find_library(named) {
        Some(path) if !path.exists() => Check::fail(
            "onnx",
            format!("the ONNX Runtime library {} is not there", path.display()),
            format!(
                "correct tasks.onnxruntime in cairn.toml or {LIBRARY_VARIABLE}, or name none to use the built-in tract"
            ),
        ),
        Some(path) => Check::ok("onnx", format!("ONNX Runtime {}", path.display())),
        None => Check::ok("onnx", "tract, built in; no ONNX Runtime library was found, and none is needed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Verdict;

    #[test]
    fn little_memory_a_low_battery_and_a_hot_board_are_noticed() {
        assert_eq!(memory(Some(MEMORY_LOW)).verdict, Verdict::Ok);
        assert_eq!(memory(Some(MEMORY_LOW - 1)).verdict, Verdict::Warn);
        assert_eq!(memory(None).verdict, Verdict::Warn);
        let mut machine = Resources::default();
        assert!(battery(&machine).is_none() && temperature(&machine).is_none());
        for (percent, mains, verdict) in [
            (BATTERY_LOW - 1, None, Verdict::Warn),
            (BATTERY_LOW - 1, Some(false), Verdict::Warn),
            (BATTERY_LOW - 1, Some(true), Verdict::Ok),
            (BATTERY_LOW, Some(false), Verdict::Ok),
        ] {
            (machine.battery_percent, machine.on_mains) = (Some(percent), mains);
            assert_eq!(battery(&machine).unwrap().verdict, verdict, "{percent} {mains:?}");
        }
        for (degrees, verdict) in [(HOT, Verdict::Warn), (HOT - 1, Verdict::Ok), (-40, Verdict::Ok)] {
            machine.temperature_celsius = Some(degrees);
            assert_eq!(temperature(&machine).unwrap().verdict, verdict, "{degrees}");
        }
    }

    #[test]
    fn a_named_library_that_is_missing_fails() {
        assert_eq!(onnx(Some(Path::new("/nowhere/libonnxruntime.so"))).verdict, Verdict::Fail);
        assert_eq!(onnx(None).verdict, Verdict::Ok);
    }

    #[test]
    fn a_full_disk_fails_and_an_empty_one_does_not() {
        assert_eq!(disk(Path::new("/"), u64::MAX).verdict, Verdict::Fail);
        assert_eq!(disk(Path::new("/nowhere/yet"), 0).verdict, Verdict::Ok);
    }
}
