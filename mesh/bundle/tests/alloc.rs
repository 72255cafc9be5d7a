//! A view allocates nothing. This file holds one test only, so that nothing else is counted.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;

use cairn_bundle::{
    Block, BlockFlags, BlockKind, Bundle, BundleView, CrcType, DecodeError, Eid, Limits, seal,
};
use common::{Seeded, block, draft, primary, recipient, sender};

/// Counts what each thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
#[expect(unsafe_code, reason = "an allocator can only be watched from inside")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How often something is asked for while `work` runs.
fn allocations<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ASKED.get();
    let result = work();
    (ASKED.get() - before, result)
}

/// Bundles with every kind of block, endpoint and checksum.
fn bundles() -> Vec<Bundle> {
    let node: Eid = "dtn://carrier/".parse().expect("valid");
    let text = primary("dtn://a/b".parse().expect("valid"), "dtn://relief/~all".parse().expect("valid"));
    let numbers = primary(Eid::ipn(0, 2, 1), Eid::ipn(7, 1, 2));
    let targets = [0x82, 0, 1, 3, 0, 0x82, 2, 0x82, 2, 1, 0x80];
    let blocks = vec![
        block(BlockKind::PreviousNode, 700, &node.encode()),
        block(BlockKind::Age, u64::MAX, &[10]),
        Block { crc: CrcType::Crc32, ..block(BlockKind::HopCount, 4, &[0x82, 16, 1]) },
        Block { flags: BlockFlags::DISCARD, ..block(BlockKind::Unknown(200), 5, b"x") },
        block(BlockKind::Integrity, 6, &targets),
        Block { crc: CrcType::None, ..block(BlockKind::Payload, 1, &[7; 3000]) },
    ];
    let sealed =
        seal(&draft(b"hello"), &sender(), &recipient().sealing_key(), &mut Seeded(1)).expect("seals");
    let made = [text, numbers].map(|primary| Bundle::new(primary, blocks.clone()).expect("keeps the rules"));
    made.into_iter().chain([sealed]).collect()
}

#[test]
fn reading_a_view_and_looking_at_all_of_it_allocates_nothing() {
    let (counted, _) = allocations(|| vec![1_u8]);
    assert_eq!(counted, 1, "the counter counts");
    // The CPU's abilities are looked up once in a process.
    let _ = Bundle::decode(&bundles()[0].encode(), &Limits::default());
    for bundle in bundles() {
        let bytes = bundle.encode();
        let (counted, ()) = allocations(|| {
            let view = BundleView::parse(&bytes, &Limits::default()).expect("a bundle");
            let sum: usize = view.blocks().map(|block| block.data.len()).sum();
            assert!(sum >= view.payload().len() && view.content_id() == view.clone().content_id());
            assert_eq!(view.primary().source, *bundle.source());
            assert_eq!(view.previous_node().is_some(), bundle.previous_node().is_some());
        });
        assert_eq!(counted, 0);
        let cut = &bytes[..bytes.len() - 1];
        let (counted, refused) = allocations(|| BundleView::parse(cut, &Limits::default()).map(|_| ()));
        assert!(matches!(refused, Err(DecodeError::Cbor(_))));
        assert_eq!(counted, 0, "nor does a refusal");
        let (counted, encoded) = allocations(|| bundle.encode());
        assert_eq!((counted, encoded.len()), (1, bundle.encoded_len()), "one buffer of the right size");
        assert_eq!(encoded.capacity(), encoded.len());
    }
}
