//! Proves that the crates it depends on do without the standard library.
//!
//! A program has one panic handler. This crate brings its own, and the standard library brings
//! another: if any dependency links it, the compiler stops with a duplicate lang item. No bare
//! target needs to be installed for that: `cargo build` in this folder is the whole check.
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use cairn_bundle::{Bundle, Identity, Limits, Prekeys, open};

struct NoMemory;

#[global_allocator]
static ALLOCATOR: NoMemory = NoMemory;

// SAFETY: null is a valid answer of an allocator, and nothing is ever given back to it.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _layout: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _pointer: *mut u8, _layout: Layout) {}
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Uses what would otherwise not be linked.
#[unsafe(no_mangle)]
pub extern "C" fn cairn_nostd_check() -> usize {
    let Ok(bundle) = Bundle::decode(&[0x9f, 0xff], &Limits::default()) else { return 0 };
    open(&bundle, &Identity::from_seed(&[1; 32]), &Prekeys::default()).map_or(0, |opened| opened.payload.len())
}
