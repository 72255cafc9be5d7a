//! A payload of a gibibyte passes by in constant memory. This file holds one test only, so that nothing else is counted.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;

use cairn_bundle::{BlockFlags, BundleReader, BundleWriter, CrcType, Eid, Event, PayloadForm, StreamLimits};
use common::primary;

/// Counts the bytes that a thread holds, and the most that it held.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
#[expect(unsafe_code, reason = "an allocator can only be watched from inside")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get().wrapping_add(layout.size()));
        MOST.set(MOST.get().max(HELD.get()));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Feeds a piece; gives how many bytes of payload came out.
fn feed(reader: &mut BundleReader, mut piece: &[u8]) -> usize {
    let mut payload = 0;
    loop {
        let fed = reader.feed(piece).expect("a valid bundle");
        piece = piece.get(fed.consumed..).expect("no more is consumed than was fed");
        match fed.event {
            Event::Payload(bytes) => payload += bytes.len(),
            Event::Header => {}
            Event::NeedMore | Event::End => return payload,
        }
    }
}

#[test]
fn a_payload_of_a_gibibyte_is_written_and_read_in_constant_memory() {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 16 << 10;
    let piece: Vec<u8> = (0..PIECE).map(|at| u8::try_from(at % 253).expect("below 253")).collect();
    let bytes = u64::try_from(PIECE * PIECES).expect("fits");
    let form = PayloadForm { flags: BlockFlags(0), crc: CrcType::Crc32, bytes };
    let header = primary(Eid::ipn(0, 2, 1), Eid::ipn(0, 3, 1));

    let before = HELD.get();
    MOST.set(before);
    let (mut writer, head) = BundleWriter::new(&header, &[], form).expect("a valid bundle");
    let mut reader = BundleReader::new(StreamLimits::default());
    let mut payload = feed(&mut reader, &head);
    for _ in 0..PIECES {
        writer.payload(&piece).expect("as announced");
        payload += feed(&mut reader, &piece);
    }
    let tail = writer.finish().expect("as announced");
    payload += feed(&mut reader, &tail);
    assert_eq!(reader.finish(), Ok(()));
    let checkpoint = reader.checkpoint().expect("nothing was refused");
    let most = MOST.get().wrapping_sub(before);

    assert_eq!(payload, PIECE * PIECES);
    assert!(most < 4096, "{most} bytes were held at once");
    assert!(checkpoint.len() < 256, "the checkpoint has {} bytes", checkpoint.len());
    println!("held at most {most} bytes; checkpoint {} bytes", checkpoint.len());
}
