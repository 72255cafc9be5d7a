//! What this machine can give right now, and what its owner lets tasks have.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

use serde::{Deserialize, Serialize};

/// Most bytes of one file of the kernel's that are looked at.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Most batteries or sensors that are looked at.
const DEVICES_MAX: usize = 64;

/// What a node's owner lets tasks have, from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeLimits {
    /// Most memory of one task.
    pub memory_bytes_max: u64,
    /// Longest wall time of one task.
    pub wall_ms_max: u64,
    /// Most fuel of one task.
    pub fuel_max: u64,
    /// Most output of one task.
    pub output_bytes_max: u64,
    /// Whether WASM tasks run here.
    pub wasm: bool,
    /// Whether ONNX tasks run here.
    pub onnx: bool,
    /// Below this charge no task runs on battery.
    pub battery_percent_min: u8,
    /// Above this temperature no task runs.
    pub temperature_celsius_max: u8,
    /// Rungs above this number (from 0, worst first) are left to others.
    pub rung_max: Option<usize>,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 1 << 30,
            wall_ms_max: 10 * 60 * 1_000,
            fuel_max: 1 << 40,
            output_bytes_max: 64 << 20,
            wasm: true,
            onnx: true,
            battery_percent_min: 30,
            temperature_celsius_max: 85,
            rung_max: None,
        }
    }
}

/// What this machine can give right now. What is unknown limits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Memory that can be used without swapping, within the limit of this process's group.
    pub memory_available_bytes: Option<u64>,
    /// Processors that this process may use.
    pub cores: usize,
    /// Running and waiting processes over the last minute, times 1,000.
    pub load_permille: Option<u32>,
    /// Charge of the emptiest battery.
    pub battery_percent: Option<u8>,
    /// Whether the machine runs on mains, where that is known.
    pub on_mains: Option<bool>,
    /// The hottest sensor.
    pub temperature_celsius: Option<i16>,
}

impl Resources {
    /// Measures this machine. Never fails: what cannot be read is unknown.
    #[must_use]
    pub fn measure() -> Self {
        Self::measure_in(Path::new("/"))
    }

    /// Measures the machine whose `proc` and `sys` lie in this folder.
    #[must_use]
    pub fn measure_in(root: &Path) -> Self {
        let supplies = devices(&root.join("sys/class/power_supply"));
        Self {
            memory_available_bytes: memory_available(root),
            cores: thread::available_parallelism().map_or(1, usize::from),
            load_permille: load_permille(root),
            battery_percent: supplies.iter().filter_map(|supply| charge(supply)).min(),
            on_mains: on_mains(&supplies),
            temperature_celsius: devices(&root.join("sys/class/thermal"))
                .iter()
                .filter_map(|sensor| temperature(sensor))
                .max(),
        }
    }
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn number(path: &Path) -> Option<u64> {
    read(path)?.trim().parse().ok()
}

/// The folders of a class of devices, in the order of their names.
fn devices(class: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(class) else { return Vec::new() };
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).take(DEVICES_MAX).collect();
    found.sort();
    found
}

/// The value after a word at the start of a line.
fn value(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_whitespace().next()?.parse().ok()
}

fn memory_available(root: &Path) -> Option<u64> {
    let machine = read(&root.join("proc/meminfo"))
        .and_then(|text| value(&text, "MemAvailable:"))
        .and_then(|kib| kib.checked_mul(1024));
    match (machine, group_available(root)) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (one, other) => one.or(other),
    }
}

/// What the control groups of this process leave: of the whole path down to it, the least.
fn group_available(root: &Path) -> Option<u64> {
    let groups = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let top = root.join("sys/fs/cgroup");
    let mut folders = vec![top.clone()];
    let mut folder = top.clone();
    // A name out of the file must not lead elsewhere.
    for part in own.split('/').filter(|part| !part.is_empty() && *part != "..") {
        folder = folder.join(part);
        folders.push(folder.clone());
    }
    let second =
        folders.iter().filter_map(|folder| left(folder, "memory.max", "memory.current", "inactive_file "));
    let first =
        left(&top.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ");
    second.chain(first).min()
}

/// The limit of a group minus what it uses; cached files are given back when needed.
fn left(folder: &Path, limit: &str, used: &str, cached: &str) -> Option<u64> {
    let limit = number(&folder.join(limit))?;
    let used = number(&folder.join(used))?;
    let cached = read(&folder.join("memory.stat")).and_then(|text| value(&text, cached)).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

/// "0.52 …" is 520.
fn load_permille(root: &Path) -> Option<u32> {
    let text = read(&root.join("proc/loadavg"))?;
    let (whole, part) = text.split_whitespace().next()?.split_once('.')?;
    let part: u32 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(1_000)?.checked_add(part)
}

fn is_kind(supply: &Path, kinds: &[&str]) -> bool {
    read(&supply.join("type")).is_some_and(|kind| kinds.contains(&kind.trim()))
}

/// The charge of a battery that powers the machine, not of a mouse.
fn charge(supply: &Path) -> Option<u8> {
    let of_a_device = read(&supply.join("scope")).is_some_and(|scope| scope.trim() == "Device");
    if of_a_device || !is_kind(supply, &["Battery"]) {
        return None;
    }
    let percent = number(&supply.join("capacity"))?;
    u8::try_from(percent.min(100)).ok()
}

fn on_mains(supplies: &[PathBuf]) -> Option<bool> {
    supplies
        .iter()
        .filter(|supply| is_kind(supply, &["Mains", "USB", "USB_C", "USB_PD"]))
        .filter_map(|supply| number(&supply.join("online")))
        .map(|online| online > 0)
        .reduce(|one, other| one || other)
}

/// Degrees of a sensor; values that no machine survives are broken sensors.
fn temperature(sensor: &Path) -> Option<i16> {
    let millis: i64 = read(&sensor.join("temp"))?.trim().parse().ok()?;
    i16::try_from(millis / 1_000).ok().filter(|celsius| (-60..=150).contains(celsius))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_machine_without_any_file_limits_nothing() {
        let root = machine(&[]);
        let measured = Resources::measure_in(root.path());
        assert!(measured.cores >= 1);
        assert_eq!(measured, Resources { cores: measured.cores, ..Resources::default() });
    }

    #[test]
    fn every_figure_is_read_from_the_kernel() {
        let root = machine(&[
            ("proc/meminfo", "MemTotal: 8 kB\nMemAvailable:    2048 kB\n"),
            ("proc/loadavg", "1.25 0.5 0.1 1/2 3\n"),
            ("sys/class/power_supply/BAT0/type", "Battery\n"),
            ("sys/class/power_supply/BAT0/capacity", "41\n"),
            ("sys/class/power_supply/mouse/type", "Battery\n"),
            ("sys/class/power_supply/mouse/scope", "Device\n"),
            ("sys/class/power_supply/mouse/capacity", "3\n"),
            ("sys/class/power_supply/AC/type", "Mains\n"),
            ("sys/class/power_supply/AC/online", "0\n"),
            ("sys/class/thermal/thermal_zone0/temp", "51500\n"),
            ("sys/class/thermal/thermal_zone1/temp", "-274000\n"),
        ]);
        let measured = Resources::measure_in(root.path());
        assert_eq!(measured.memory_available_bytes, Some(2 << 20));
        assert_eq!(measured.load_permille, Some(1_250));
        assert_eq!(measured.battery_percent, Some(41));
        assert_eq!(measured.on_mains, Some(false));
        assert_eq!(measured.temperature_celsius, Some(51));
    }

    #[test]
    fn the_tightest_group_counts_without_its_cached_files() {
        let root = machine(&[
            ("proc/meminfo", "MemAvailable: 1000000 kB\n"),
            ("proc/self/cgroup", "0::/a/../b\n"),
            ("sys/fs/cgroup/a/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.max", "1000\n"),
            ("sys/fs/cgroup/a/b/memory.current", "900\n"),
            ("sys/fs/cgroup/a/b/memory.stat", "anon 1\ninactive_file 300\n"),
        ]);
        assert_eq!(Resources::measure_in(root.path()).memory_available_bytes, Some(400));
    }

    #[test]
    fn junk_in_the_files_is_unknown() {
        let root = machine(&[
            ("proc/meminfo", "MemAvailable: 99999999999999999999 kB\n"),
            ("proc/loadavg", "x.y"),
            ("sys/class/thermal/thermal_zone0/temp", ""),
            ("sys/class/power_supply/BAT0/type", "Battery"),
            ("sys/class/power_supply/BAT0/capacity", "full"),
        ]);
        let measured = Resources::measure_in(root.path());
        assert_eq!(measured, Resources { cores: measured.cores, ..Resources::default() });
    }
}
