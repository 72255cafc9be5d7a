//! What the tests of fragments share.

use cairn_bundle::{
    BlockFlags, BlockKind, Bundle, CrcType, Eid, Inserted, Now, Origin, Progress, Reassembly, Whole,
};

use super::{block, primary};

pub(crate) const HERE: Origin = Origin(1);
pub(crate) const LIAR: Origin = Origin(2);

pub(crate) fn eid(text: &str) -> Eid {
    text.parse().expect("a valid endpoint id")
}

pub(crate) fn at(monotonic_ms: u64) -> Now {
    Now { monotonic_ms, wall_ms: None }
}

/// A bundle with a block for the first piece (2), one for every piece (3) and the usual ones.
pub(crate) fn bundle(payload: &[u8]) -> Bundle {
    let mut everywhere = block(BlockKind::Unknown(201), 3, b"everywhere");
    everywhere.flags = BlockFlags::REPLICATE;
    let blocks = vec![
        block(BlockKind::Unknown(200), 2, b"once"),
        everywhere,
        block(BlockKind::Age, 4, &[0x18, 100]),
        block(BlockKind::HopCount, 5, &[0x82, 16, 3]),
        block(BlockKind::Payload, 1, payload),
    ];
    Bundle::new(primary(eid("ipn:2.1"), eid("dtn://relief/inbox")), blocks).expect("a valid bundle")
}

pub(crate) fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| u8::try_from(at % 251).expect("below 251")).collect()
}

pub(crate) fn numbers(bundle: &Bundle) -> Vec<u64> {
    bundle.blocks().iter().map(|block| block.number).collect()
}

pub(crate) fn with_payload(piece: &Bundle, payload: &[u8]) -> Bundle {
    let (mut primary, mut blocks) = (piece.primary().clone(), piece.blocks().to_vec());
    primary.crc = CrcType::Crc32;
    blocks.last_mut().expect("a payload").data = payload.to_vec();
    Bundle::new(primary, blocks).expect("a valid bundle")
}

pub(crate) fn insert(parts: &mut Reassembly, piece: &Bundle, origin: Origin) -> Progress {
    match parts.insert(piece.clone(), origin, at(0)) {
        Ok(Inserted::Stored(progress)) => progress,
        other => unreachable!("not stored: {other:?}"),
    }
}

pub(crate) fn whole(progress: Progress) -> Whole {
    *progress.whole.expect("all parts are here")
}
