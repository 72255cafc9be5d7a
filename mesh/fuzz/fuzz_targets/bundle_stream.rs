//! However a bundle is cut on its way in, it gets the verdict that it gets as a whole; also if the reader is
//! stopped and goes on from its checkpoint.
#![no_main]

use cairn_bundle::{Bundle, BundleReader, Event, Limits, StreamLimits};
use libfuzzer_sys::fuzz_target;

/// The bundle and how many bytes it took, or `None` if it is none.
fn read(data: &[u8], cuts: &[u8]) -> Option<(Bundle, usize)> {
    let mut reader = BundleReader::new(StreamLimits::default());
    let (mut at, mut payload) = (0, Vec::new());
    for turn in 0.. {
        let cut = cuts.get(turn % cuts.len().max(1)).copied().unwrap_or(255);
        let end = data.len().min(at + usize::from(cut >> 1) + 1);
        if cut & 1 == 1 {
            if let Ok(checkpoint) = reader.checkpoint() {
                reader = BundleReader::resume(&checkpoint, StreamLimits::default()).expect("our own checkpoint");
            }
        }
        let mut piece = &data[at..end];
        loop {
            let fed = reader.feed(piece).ok()?;
            piece = &piece[fed.consumed..];
            at += fed.consumed;
            match fed.event {
                Event::NeedMore => break,
                Event::Header => {}
                Event::Payload(bytes) => payload.extend_from_slice(bytes),
                Event::End => {
                    let header = reader.header().expect("it was read");
                    return Some((header.with_payload(payload).expect("it was checked"), at));
                }
            }
        }
        if at == data.len() {
            assert!(reader.finish().is_err(), "the end was not seen");
            return None;
        }
    }
    None
}

fuzz_target!(|input: &[u8]| {
    let Some((data, cuts)) = input.split_last_chunk::<4>() else { return };
    let whole = Bundle::decode(data, &Limits::default());
    match read(data, cuts) {
        Some((bundle, consumed)) if consumed == data.len() => assert_eq!(whole, Ok(bundle)),
        Some(_) | None => assert!(whole.is_err()),
    }
});
