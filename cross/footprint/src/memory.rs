//! Counts the heap and paints the stack, so that the program can say what it used.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::RefCell;
use core::ptr::{self, addr_of_mut};

use critical_section::Mutex;
use linked_list_allocator::Heap;

/// More than the goal, so that the program can say by how much it was missed.
const HEAP_BYTES: usize = 64 << 10;
const PAINT: u32 = 0x5a5a_5a5a;
/// Left unpainted below the stack pointer: what painting itself needs.
const PAINT_GAP_BYTES: usize = 256;

static mut ARENA: [u8; HEAP_BYTES] = [0; HEAP_BYTES];

#[global_allocator]
static COUNTED: Counted = Counted(Mutex::new(RefCell::new(State { heap: Heap::empty(), most: 0 })));

struct State {
    heap: Heap,
    most: usize,
}

struct Counted(Mutex<RefCell<State>>);

// SAFETY: the heap is only touched inside of critical sections, and it keeps the contract of `GlobalAlloc`.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        critical_section::with(|section| {
            let state = &mut *self.0.borrow_ref_mut(section);
            let found = state.heap.allocate_first_fit(layout);
            state.most = state.most.max(state.heap.used());
            found.map_or(ptr::null_mut(), |block| block.as_ptr())
        })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        critical_section::with(|section| {
            if let Some(pointer) = ptr::NonNull::new(pointer) {
                // SAFETY: the caller got this block from `alloc` with the same layout.
                unsafe { self.0.borrow_ref_mut(section).heap.deallocate(pointer, layout) };
            }
        });
    }
}

/// Makes the heap ready. To be called once, before anything is allocated.
pub fn start() {
    critical_section::with(|section| {
        // SAFETY: called once, and nobody else knows the arena.
        unsafe { COUNTED.0.borrow_ref_mut(section).heap.init(addr_of_mut!(ARENA).cast(), HEAP_BYTES) };
    });
}

/// What an operation needed at most, in bytes.
pub struct Peak {
    pub heap_bytes: usize,
    pub stack_bytes: usize,
}

/// Runs an operation and says what it needed, including what was on the heap before.
pub fn measured<T>(operation: impl FnOnce() -> T) -> (T, Peak) {
    let top = cortex_m::register::msp::read() as usize;
    let bottom = stack_bottom();
    paint(bottom, top - PAINT_GAP_BYTES);
    reset_most();
    let result = operation();
    let heap_bytes = critical_section::with(|section| COUNTED.0.borrow_ref(section).most);
    (result, Peak { heap_bytes, stack_bytes: top - lowest_touched(bottom, top) })
}

/// Bytes of initialised and zeroed variables, the heap's arena left out.
pub fn static_bytes() -> usize {
    stack_bottom() - 0x2000_0000 - HEAP_BYTES
}

/// Bytes of code, constants and initial values: what has to be in flash.
pub fn flash_bytes() -> usize {
    unsafe extern "C" {
        static __sidata: u32;
        static __sdata: u32;
        static __edata: u32;
    }
    let address = |symbol: *const u32| symbol as usize;
    address(&raw const __sidata) + address(&raw const __edata) - address(&raw const __sdata)
}

/// The first address after all variables; the stack grows down towards it.
fn stack_bottom() -> usize {
    cortex_m_rt::heap_start() as usize
}

fn paint(bottom: usize, top: usize) {
    for address in (bottom..top).step_by(4) {
        // SAFETY: memory between the variables and the stack pointer belongs to nobody.
        unsafe { ptr::write_volatile(address as *mut u32, PAINT) };
    }
}

fn lowest_touched(bottom: usize, top: usize) -> usize {
    // SAFETY: the same memory that was painted, and the stack in use above it.
    let touched = |address: &usize| unsafe { ptr::read_volatile(*address as *const u32) } != PAINT;
    (bottom..top).step_by(4).find(touched).unwrap_or(top)
}

fn reset_most() {
    critical_section::with(|section| {
        let state = &mut *COUNTED.0.borrow_ref_mut(section);
        state.most = state.heap.used();
    });
}
