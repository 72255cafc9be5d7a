//! What a WASI command module may do: read its input, write its output, and nothing else.
//!
//! WASI preview 1, written out here instead of taken from a library, because a
//! task must be a pure function: time is counted and not measured, sleeping takes
//! none, random numbers come from the module and its input, every byte moved
//! costs a unit of fuel, and no call can wait. Functions about files answer
//! "bad file descriptor", everything else "not implemented".

use std::sync::Arc;

use wasmtime::{Caller, Extern, ExternType, Linker, Memory, Module, Trap, Val, ValType};

use crate::TaskError;

/// The module that WASI commands import from.
pub(crate) const WASI: &str = "wasi_snapshot_preview1";
/// How much of a module's stderr is kept for error messages.
pub(crate) const STDERR_BYTES_MAX: usize = 4096;

/// Most buffers of one read or write.
const BUFFERS_MAX: u32 = 1024;
/// Virtual time starts with 2020-01-01 UTC.
const EPOCH_NS: u64 = 1_577_836_800_000_000_000;
/// Each look at the clock takes this long in virtual time, so that waiting for it ends.
const TICK_NS: u64 = 1_000;

const SUCCESS: i32 = 0;
const BAD_FILE: i32 = 8;
const BAD_ADDRESS: i32 = 21;
const INVALID: i32 = 28;
const NOT_IMPLEMENTED: i32 = 52;
const NOT_SEEKABLE: i32 = 70;

/// Ends a module from inside a host function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    /// `proc_exit`.
    #[error("exit code {0}")]
    Exit(i32),
    /// More output than the bound.
    #[error("the output is too large")]
    OutputTooLarge,
}

/// What one running module can reach.
pub(crate) struct Host {
    input: Arc<[u8]>,
    read: usize,
    /// What the module wrote on stdout.
    pub(crate) output: Vec<u8>,
    output_max: usize,
    /// The first bytes that the module wrote on stderr.
    pub(crate) stderr: Vec<u8>,
    clock_ns: u64,
    random: blake3::OutputReader,
    pub(crate) memory: MemoryBound,
}

/// Grants memory and tables up to a bound, and remembers a refusal.
#[derive(Debug)]
pub(crate) struct MemoryBound {
    bytes_max: usize,
    table_bytes: usize,
    memory_bytes: usize,
    /// Whether the module asked for more than its bound.
    pub(crate) refused: bool,
}

/// What an element of a table costs.
const TABLE_ELEMENT_BYTES: usize = 16;

impl MemoryBound {
    fn grant(&mut self, memory_bytes: Option<usize>, table_bytes: Option<usize>) -> bool {
        let granted = memory_bytes
            .zip(table_bytes)
            .and_then(|(memory, table)| memory.checked_add(table))
            .is_some_and(|sum| sum <= self.bytes_max);
        self.refused |= !granted;
        granted
    }
}

impl wasmtime::ResourceLimiter for MemoryBound {
    fn memory_growing(&mut self, current: usize, to: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // Several memories or tables add up: only the difference is new.
        let sum = self.memory_bytes.checked_add(to.saturating_sub(current));
        let granted = self.grant(sum, Some(self.table_bytes));
        if let (true, Some(sum)) = (granted, sum) {
            self.memory_bytes = sum;
        }
        Ok(granted)
    }

    fn table_growing(&mut self, current: usize, to: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = to.saturating_sub(current).checked_mul(TABLE_ELEMENT_BYTES);
        let sum = more.and_then(|more| self.table_bytes.checked_add(more));
        let granted = self.grant(Some(self.memory_bytes), sum);
        if let (true, Some(sum)) = (granted, sum) {
            self.table_bytes = sum;
        }
        Ok(granted)
    }
}

impl Host {
    pub(crate) fn new(module: &[u8], input: &[u8], memory_max: usize, output_max: usize) -> Self {
        let random = blake3::Hasher::new_derive_key("cairn task random numbers 1")
            .update(blake3::hash(module).as_bytes())
            .update(blake3::hash(input).as_bytes())
            .finalize_xof();
        Self {
            input: input.into(),
            read: 0,
            output: Vec::new(),
            output_max,
            stderr: Vec::new(),
            clock_ns: EPOCH_NS,
            random,
            memory: MemoryBound { bytes_max: memory_max, table_bytes: 0, memory_bytes: 0, refused: false },
        }
    }

    fn write(&mut self, file: i32, bytes: &[u8]) -> Result<(), Stop> {
        if file == 2 {
            let room = STDERR_BYTES_MAX.saturating_sub(self.stderr.len());
            self.stderr.extend(bytes.iter().take(room));
            return Ok(());
        }
        if bytes.len() > self.output_max.saturating_sub(self.output.len()) {
            return Err(Stop::OutputTooLarge);
        }
        self.output.extend_from_slice(bytes);
        Ok(())
    }
}

/// The memory of the calling module, with every access checked.
struct Guest<'a>(&'a mut [u8]);

impl Guest<'_> {
    fn slice(&mut self, at: u32, len: u32) -> Option<&mut [u8]> {
        let start = usize::try_from(at).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        self.0.get_mut(start..end)
    }

    fn read_u32(&mut self, at: u32) -> Option<u32> {
        let bytes: [u8; 4] = (&*self.slice(at, 4)?).try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Option<()> {
        self.slice(at, u32::try_from(bytes.len()).ok()?)?.copy_from_slice(bytes);
        Some(())
    }

    /// The address and length of a buffer in a list of buffers.
    fn buffer(&mut self, list: u32, number: u32) -> Option<(u32, u32)> {
        let at = list.checked_add(number.checked_mul(8)?)?;
        Some((self.read_u32(at)?, self.read_u32(at.checked_add(4)?)?))
    }
}

/// Pointers and lengths are unsigned, WASM numbers have no sign.
const fn unsigned(number: i32) -> u32 {
    number.cast_unsigned()
}

fn memory(caller: &mut Caller<'_, Host>) -> Option<Memory> {
    caller.get_export("memory").and_then(Extern::into_memory)
}

/// Takes fuel for work that the host does: one unit a byte.
fn charge(caller: &mut Caller<'_, Host>, bytes: usize) -> wasmtime::Result<()> {
    let fuel = caller.get_fuel()?;
    let left = u64::try_from(bytes).ok().and_then(|bytes| fuel.checked_sub(bytes));
    caller.set_fuel(left.unwrap_or(0))?;
    if left.is_none() { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
}

/// Runs an access to the caller's memory; an address outside it is the caller's error.
fn access(
    caller: &mut Caller<'_, Host>,
    work: impl FnOnce(&mut Guest<'_>, &mut Host) -> Option<wasmtime::Result<i32>>,
) -> wasmtime::Result<i32> {
    let Some(memory) = memory(caller) else { return Ok(BAD_ADDRESS) };
    let (bytes, host) = memory.data_and_store_mut(caller);
    work(&mut Guest(bytes), host).unwrap_or(Ok(BAD_ADDRESS))
}

fn fd_read(mut caller: Caller<'_, Host>, file: i32, list: i32, len: i32, read: i32) -> wasmtime::Result<i32> {
    if file != 0 {
        return Ok(BAD_FILE);
    }
    let (list, len, read) = (unsigned(list), unsigned(len), unsigned(read));
    if len > BUFFERS_MAX {
        return Ok(INVALID);
    }
    let mut moved = 0_usize;
    let answer = access(&mut caller, |guest, host| {
        let input = Arc::clone(&host.input);
        for number in 0..len {
            let (at, room) = guest.buffer(list, number)?;
            let to = guest.slice(at, room)?;
            let left = input.get(host.read..)?;
            let count = left.len().min(to.len());
            to.get_mut(..count)?.copy_from_slice(left.get(..count)?);
            host.read = host.read.checked_add(count)?;
            moved = moved.checked_add(count)?;
        }
        guest.write(read, &u32::try_from(moved).ok()?.to_le_bytes())?;
        Some(Ok(SUCCESS))
    })?;
    charge(&mut caller, moved)?;
    Ok(answer)
}

fn fd_write(
    mut caller: Caller<'_, Host>,
    file: i32,
    list: i32,
    len: i32,
    done: i32,
) -> wasmtime::Result<i32> {
    if file != 1 && file != 2 {
        return Ok(BAD_FILE);
    }
    let (list, len, done) = (unsigned(list), unsigned(len), unsigned(done));
    if len > BUFFERS_MAX {
        return Ok(INVALID);
    }
    let mut moved = 0_usize;
    let answer = access(&mut caller, |guest, host| {
        for number in 0..len {
            let (at, len) = guest.buffer(list, number)?;
            let from = guest.slice(at, len)?;
            moved = moved.checked_add(from.len())?;
            if let Err(stop) = host.write(file, from) {
                return Some(Err(stop.into()));
            }
        }
        // Overlapping buffers on stderr can add up to more than 32 bits say.
        guest.write(done, &u32::try_from(moved).unwrap_or(u32::MAX).to_le_bytes())?;
        Some(Ok(SUCCESS))
    })?;
    charge(&mut caller, moved)?;
    Ok(answer)
}

fn random_get(mut caller: Caller<'_, Host>, at: i32, len: i32) -> wasmtime::Result<i32> {
    charge(&mut caller, usize::try_from(unsigned(len)).unwrap_or(usize::MAX))?;
    access(&mut caller, |guest, host| {
        host.random.fill(guest.slice(unsigned(at), unsigned(len))?);
        Some(Ok(SUCCESS))
    })
}

fn clock_time_get(
    mut caller: Caller<'_, Host>,
    clock: i32,
    _precision: i64,
    at: i32,
) -> wasmtime::Result<i32> {
    if !(0..4).contains(&clock) {
        return Ok(INVALID);
    }
    access(&mut caller, |guest, host| {
        host.clock_ns = host.clock_ns.saturating_add(TICK_NS);
        guest.write(unsigned(at), &host.clock_ns.to_le_bytes())?;
        Some(Ok(SUCCESS))
    })
}

fn clock_res_get(mut caller: Caller<'_, Host>, clock: i32, at: i32) -> wasmtime::Result<i32> {
    if !(0..4).contains(&clock) {
        return Ok(INVALID);
    }
    access(&mut caller, |guest, _| {
        guest.write(unsigned(at), &TICK_NS.to_le_bytes())?;
        Some(Ok(SUCCESS))
    })
}

/// The three streams are character devices with the rights to read or write.
fn fd_fdstat_get(mut caller: Caller<'_, Host>, file: i32, at: i32) -> wasmtime::Result<i32> {
    const CHARACTER_DEVICE: u8 = 2;
    const RIGHT_READ: u8 = 1 << 1;
    const RIGHT_WRITE: u8 = 1 << 6;
    let right = match file {
        0 => RIGHT_READ,
        1 | 2 => RIGHT_WRITE,
        _ => return Ok(BAD_FILE),
    };
    let mut stat = [0_u8; 24];
    if let Some(kind) = stat.get_mut(0) {
        *kind = CHARACTER_DEVICE;
    }
    if let Some(rights) = stat.get_mut(8) {
        *rights = right;
    }
    access(&mut caller, |guest, _| guest.write(unsigned(at), &stat).map(|()| Ok(SUCCESS)))
}

/// Two numbers that a list of texts needs: how many texts, how many bytes.
fn sizes(caller: &mut Caller<'_, Host>, count: (i32, u32), bytes: (i32, u32)) -> wasmtime::Result<i32> {
    access(caller, |guest, _| {
        guest.write(unsigned(count.0), &count.1.to_le_bytes())?;
        guest.write(unsigned(bytes.0), &bytes.1.to_le_bytes())?;
        Some(Ok(SUCCESS))
    })
}

/// The only argument: what a program expects to find as its own name.
const ARGUMENT: &[u8] = b"task\0";

fn args_get(mut caller: Caller<'_, Host>, list: i32, text: i32) -> wasmtime::Result<i32> {
    access(&mut caller, |guest, _| {
        guest.write(unsigned(list), &unsigned(text).to_le_bytes())?;
        guest.write(unsigned(text), ARGUMENT)?;
        Some(Ok(SUCCESS))
    })
}

/// Waiting for time takes virtual time and none of ours; the first clock named is the one that rings.
fn poll_oneoff(
    mut caller: Caller<'_, Host>,
    list: i32,
    out: i32,
    len: i32,
    count: i32,
) -> wasmtime::Result<i32> {
    const SUBSCRIPTION_BYTES: u32 = 48;
    const EVENT_BYTES: usize = 32;
    let len = unsigned(len);
    if len == 0 || len > BUFFERS_MAX {
        return Ok(INVALID);
    }
    access(&mut caller, |guest, host| {
        for number in 0..len {
            let at = unsigned(list).checked_add(number.checked_mul(SUBSCRIPTION_BYTES)?)?;
            let what: [u8; 48] = (&*guest.slice(at, SUBSCRIPTION_BYTES)?).try_into().ok()?;
            let (&[user, kind, _, timeout, _, flags], []) = what.as_chunks::<8>() else { return None };
            if !kind.starts_with(&[0]) {
                continue;
            }
            let timeout = u64::from_le_bytes(timeout);
            host.clock_ns = if flags.starts_with(&[1]) {
                host.clock_ns.max(timeout)
            } else {
                host.clock_ns.saturating_add(timeout)
            };
            let mut event = [0_u8; EVENT_BYTES];
            event.get_mut(..8)?.copy_from_slice(&user);
            guest.write(unsigned(out), &event)?;
            guest.write(unsigned(count), &1_u32.to_le_bytes())?;
            return Some(Ok(SUCCESS));
        }
        Some(Ok(NOT_IMPLEMENTED))
    })
}

/// Offers WASI to a module: what it may use, and refusals for what else it imports.
pub(crate) fn link(linker: &mut Linker<Host>, module: &Module) -> Result<(), TaskError> {
    define(linker).map_err(|error| TaskError::NotWasm(crate::error::text(error)))?;
    for import in module.imports() {
        let name = import.name();
        let refusal = || {
            let name = format!("it imports {}.{name}, which no task gets", import.module());
            TaskError::NotWasm(crate::error::text(name))
        };
        if import.module() != WASI {
            return Err(refusal());
        }
        let ExternType::Func(kind) = import.ty() else { return Err(refusal()) };
        let results: Vec<ValType> = kind.results().collect();
        let [ValType::I32] = results.as_slice() else {
            // Only proc_exit answers nothing, and it is defined below.
            if name == "proc_exit" {
                continue;
            }
            return Err(refusal());
        };
        let answer =
            if name.starts_with("fd_") || name.starts_with("path_") { BAD_FILE } else { NOT_IMPLEMENTED };
        // What is defined already stays as it is.
        let _defined = linker.func_new(WASI, name, kind, move |_, _, results| {
            if let Some(result) = results.first_mut() {
                *result = Val::I32(answer);
            }
            Ok(())
        });
    }
    Ok(())
}

fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(WASI, "fd_read", fd_read)?;
    linker.func_wrap(WASI, "fd_write", fd_write)?;
    linker.func_wrap(WASI, "fd_fdstat_get", fd_fdstat_get)?;
    linker.func_wrap(WASI, "fd_fdstat_set_flags", |file: i32, _flags: i32| stream(file))?;
    linker.func_wrap(WASI, "fd_close", stream)?;
    linker.func_wrap(WASI, "fd_seek", |file: i32, _by: i64, _from: i32, _at: i32| match stream(file) {
        SUCCESS => NOT_SEEKABLE,
        other => other,
    })?;
    linker.func_wrap(WASI, "random_get", random_get)?;
    linker.func_wrap(WASI, "clock_time_get", clock_time_get)?;
    linker.func_wrap(WASI, "clock_res_get", clock_res_get)?;
    linker.func_wrap(WASI, "poll_oneoff", poll_oneoff)?;
    linker.func_wrap(WASI, "sched_yield", || SUCCESS)?;
    linker.func_wrap(WASI, "args_sizes_get", |mut caller: Caller<'_, Host>, count: i32, bytes: i32| {
        let len = u32::try_from(ARGUMENT.len()).unwrap_or(0);
        sizes(&mut caller, (count, 1), (bytes, len))
    })?;
    linker.func_wrap(WASI, "args_get", args_get)?;
    linker.func_wrap(WASI, "environ_sizes_get", |mut caller: Caller<'_, Host>, count: i32, bytes: i32| {
        sizes(&mut caller, (count, 0), (bytes, 0))
    })?;
    linker.func_wrap(WASI, "environ_get", |_list: i32, _text: i32| SUCCESS)?;
    linker
        .func_wrap(WASI, "proc_exit", |code: i32| -> wasmtime::Result<()> { Err(Stop::Exit(code).into()) })?;
    Ok(())
}

/// Whether this is one of the three streams.
const fn stream(file: i32) -> i32 {
    match file {
        0..=2 => SUCCESS,
        _ => BAD_FILE,
    }
}
