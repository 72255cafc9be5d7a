//! Processor time of a process: what a figure means on a machine that has other things to do.

use core::time::Duration;
use std::fs;

/// Clock ticks of Linux in `/proc`, each so long.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used so far, in user and kernel mode.
pub(crate) fn used(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may have blanks; the times are the 14th and 15th field of all.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).map(|field| field.parse::<u32>().unwrap()).sum();
    TICK * ticks
}
