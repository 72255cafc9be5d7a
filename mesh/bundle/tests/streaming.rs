//! Bundles that pass by in pieces: the same verdicts as in one piece, at any cut.

mod common;

use cairn_bundle::{
    Block, BlockFlags, BlockKind, Bundle, BundleFlags, BundleReader, BundleWriter, CborError,
    CheckpointError, CrcType, DecodeError, Eid, Event, Fragment, Limits, PayloadForm, Primary, StreamError,
    StreamLimits, WriteError,
};
use common::{block, primary};
use proptest::collection::vec;
use proptest::prelude::*;

const CHECKSUMS: [CrcType; 3] = [CrcType::None, CrcType::Crc16, CrcType::Crc32];

fn eid(text: &str) -> Eid {
    text.parse().expect("a valid endpoint id")
}

fn payload(crc: CrcType, data: &[u8]) -> Block {
    Block { crc, ..block(BlockKind::Payload, 1, data) }
}

fn blocks() -> Vec<Block> {
    let mut unknown = block(BlockKind::Unknown(200), 300, b"carried");
    unknown.crc = CrcType::Crc32;
    let mut discarded = block(BlockKind::Unknown(201), 9, b"removed");
    discarded.flags = BlockFlags::DISCARD;
    vec![
        block(BlockKind::HopCount, 5, &[0x82, 16, 3]),
        unknown,
        discarded,
        block(BlockKind::Age, 4, &[0x18, 100]),
    ]
}

fn bundle(crc: CrcType, data: &[u8]) -> Bundle {
    let mut blocks = blocks();
    blocks.push(payload(crc, data));
    Bundle::new(primary(eid("ipn:977000.2.1"), eid("dtn://relief/inbox")), blocks).expect("a valid bundle")
}

/// A reader and the payload that it gave out.
struct Reading {
    reader: BundleReader,
    payload: Vec<u8>,
    consumed: usize,
}

impl Reading {
    fn new(limits: StreamLimits) -> Self {
        Self { reader: BundleReader::new(limits), payload: Vec::new(), consumed: 0 }
    }

    /// Feeds a piece; true at the end of the bundle.
    fn feed(&mut self, mut piece: &[u8]) -> Result<bool, StreamError> {
        loop {
            let fed = self.reader.feed(piece)?;
            self.consumed += fed.consumed;
            piece = piece.get(fed.consumed..).expect("no more is consumed than was fed");
            match fed.event {
                Event::NeedMore => {
                    assert!(piece.is_empty());
                    return Ok(false);
                }
                Event::Header => assert!(self.payload.is_empty() && self.reader.header().is_some()),
                Event::Payload(bytes) => {
                    assert!(!bytes.is_empty());
                    self.payload.extend_from_slice(bytes);
                }
                Event::End => return Ok(true),
            }
        }
    }

    fn bundle(&self) -> Bundle {
        let header = self.reader.header().expect("it was read");
        header.with_payload(self.payload.clone()).expect("it was checked")
    }
}

/// Reads a bundle cut at these places; gives it and the number of bytes that were ours.
fn read(bytes: &[u8], cuts: &[usize]) -> Result<(Bundle, usize), StreamError> {
    let mut reading = Reading::new(StreamLimits::default());
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    places.push(bytes.len());
    places.sort_unstable();
    let mut start = 0;
    for end in places {
        if reading.feed(bytes.get(start..end).expect("inside"))? {
            break;
        }
        start = end;
    }
    reading.reader.finish()?;
    Ok((reading.bundle(), reading.consumed))
}

fn decode(bytes: &[u8]) -> Result<Bundle, DecodeError> {
    Bundle::decode(bytes, &Limits::default())
}

fn write(primary: &Primary, blocks: &[Block], crc: CrcType, data: &[u8], piece: usize) -> Vec<u8> {
    let bytes = u64::try_from(data.len()).expect("short");
    let form = PayloadForm { flags: BlockFlags(0), crc, bytes };
    let (mut writer, mut out) = BundleWriter::new(primary, blocks, form).expect("a valid bundle");
    for piece in data.chunks(piece.max(1)) {
        writer.payload(piece).expect("as announced");
        out.extend_from_slice(piece);
    }
    out.extend(writer.finish().expect("as announced"));
    assert_eq!(writer.written_bytes(), u64::try_from(out.len()).expect("short"));
    out
}

#[test]
fn every_split_in_two_gives_the_bundle_that_the_whole_gives() {
    for crc in CHECKSUMS {
        for data in [&b""[..], b"x", &[7; 300]] {
            let bytes = bundle(crc, data).encode();
            let whole = decode(&bytes).unwrap();
            for cut in 0..=bytes.len() {
                assert_eq!(read(&bytes, &[cut]), Ok((whole.clone(), bytes.len())), "{cut}");
            }
            let every: Vec<usize> = (0..bytes.len()).collect();
            assert_eq!(read(&bytes, &every), Ok((whole, bytes.len())));
        }
    }
}

#[test]
fn a_bundle_that_ends_early_is_not_a_bundle() {
    let bytes = bundle(CrcType::Crc32, b"hello").encode();
    for end in 0..bytes.len() {
        assert_eq!(read(&bytes[..end], &[]), Err(DecodeError::Cbor(CborError::Truncated).into()), "{end}");
    }
}

#[test]
fn what_follows_after_a_bundle_is_left_alone() {
    let bytes = bundle(CrcType::Crc16, b"hello").encode();
    let two = [&bytes[..], &bytes[..]].concat();
    for cuts in [&[][..], &[bytes.len() - 1, bytes.len() + 1]] {
        assert_eq!(read(&two, cuts).map(|(_, consumed)| consumed), Ok(bytes.len()));
    }
    let mut reader = BundleReader::new(StreamLimits::default());
    let mut rest = &two[..];
    while rest.len() > bytes.len() {
        let fed = reader.feed(rest).unwrap();
        rest = &rest[fed.consumed..];
    }
    let fed = reader.feed(rest).unwrap();
    assert_eq!((fed.consumed, fed.event), (0, Event::End));
}

#[test]
fn everything_before_the_payload_is_checked_before_any_of_it_is_given_out() {
    let wrong_hops = |data: &[u8]| {
        let mut bytes = bundle(CrcType::None, data).encode();
        // The hop limit 16 becomes 0, and its checksum goes with it: the block gets none.
        let at = bytes.windows(3).position(|three| three == [0x82, 16, 3]).unwrap();
        bytes[at + 1] = 0;
        bytes[at - 2] = 0;
        bytes[at - 6] = 0x85;
        bytes.drain(at + 3..at + 6);
        bytes
    };
    let bytes = wrong_hops(b"hello");
    assert_eq!(decode(&bytes), Err(DecodeError::HopLimit(0)));
    let mut reading = Reading::new(StreamLimits::default());
    assert_eq!(reading.feed(&bytes), Err(DecodeError::HopLimit(0).into()));
    assert_eq!(reading.payload, b"");
    // The error stays.
    assert_eq!(reading.feed(b""), Err(DecodeError::HopLimit(0).into()));
    assert_eq!(reading.reader.finish(), Err(DecodeError::HopLimit(0).into()));
    assert_eq!(reading.reader.checkpoint(), Err(DecodeError::HopLimit(0).into()));
}

#[test]
fn section_4_2_1_a_damaged_payload_is_found_at_its_end() {
    for crc in [CrcType::Crc16, CrcType::Crc32] {
        let good = bundle(crc, &[9; 100]).encode();
        let width = if crc == CrcType::Crc16 { 2 } else { 4 };
        for from_end in [2, 2 + width, 50] {
            let mut bytes = good.clone();
            let at = bytes.len() - from_end;
            bytes[at] ^= 0x10;
            let found = read(&bytes, &[10, 90, 120]).unwrap_err();
            let (length, cbor) = (DecodeError::CrcLength { block: 1 }, DecodeError::Cbor(CborError::Type));
            let expected =
                if from_end == 2 + width { [length, cbor] } else { [DecodeError::Crc { block: 1 }; 2] };
            assert!(expected.iter().any(|error| found == (*error).into()), "{found} at {from_end}");
        }
    }
}

/// The bundle with a payload block of these bytes.
fn with_payload_block(block: &[u8]) -> Vec<u8> {
    let mut out = vec![0x9f];
    out.extend(primary(eid("ipn:2.1"), eid("ipn:3.1")).encode());
    out.extend_from_slice(block);
    out.push(0xff);
    out
}

#[test]
fn section_4_3_2_a_payload_of_indefinite_length_is_refused() {
    let bytes = with_payload_block(&[0x85, 1, 1, 0, 0, 0x5f, 0x41, 1, 0xff]);
    assert_eq!(decode(&bytes), Err(DecodeError::Cbor(CborError::Indefinite)));
    assert_eq!(read(&bytes, &[]), Err(DecodeError::Cbor(CborError::Indefinite).into()));
}

#[test]
fn a_block_of_indefinite_length_is_taken_and_its_end_mark_counts() {
    let none = with_payload_block(&[0x9f, 1, 1, 0, 0, 0x42, b'h', b'i', 0xff]);
    let x25 = crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC);
    let head = [0x9f, 1, 1, 0, 1, 0x42, b'h', b'i', 0x42];
    let sum = x25.checksum(&[&head[..], &[0, 0, 0xff]].concat()).to_be_bytes();
    let some = with_payload_block(&[&head[..], &sum, &[0xff]].concat());
    for bytes in [none, some] {
        let whole = decode(&bytes).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes, &[cut]), Ok((whole.clone(), bytes.len())));
        }
        let mut longer = bytes.clone();
        longer.insert(bytes.len() - 2, 0);
        assert!(decode(&longer).is_err() && read(&longer, &[]).is_err());
    }
}

#[test]
fn section_4_1_and_4_3_what_is_wrong_around_the_payload_is_refused() {
    let wrong: [(&[u8], StreamError); 8] = [
        (&[0x86, 1, 1, 0, 0, 0x40, 0x40], DecodeError::Cbor(CborError::Count).into()),
        (&[0x85, 1, 1, 0, 1, 0x40], DecodeError::Cbor(CborError::Count).into()),
        (&[0x84, 1, 1, 0, 0], DecodeError::Cbor(CborError::Count).into()),
        (&[0x85, 1, 2, 0, 0, 0x40], DecodeError::Number(2).into()),
        (&[0x85, 1, 1, 0, 0, 0x60], DecodeError::Cbor(CborError::Type).into()),
        (&[0x85, 1, 1, 0, 0, 0x58, 1, 0], DecodeError::Cbor(CborError::NotShortest).into()),
        (&[0x86, 1, 1, 0, 2, 0x40, 0x42, 0, 0], DecodeError::CrcLength { block: 1 }.into()),
        (&[0x85, 1, 1, 0, 0, 0x40, 0x85, 6, 2, 0, 0, 0x40], DecodeError::PayloadPlace.into()),
    ];
    for (block, error) in wrong {
        let bytes = with_payload_block(block);
        assert!(decode(&bytes).is_err());
        assert_eq!(read(&bytes, &[]), Err(error), "{block:x?}");
    }
    assert_eq!(read(&with_payload_block(&[]), &[]), Err(DecodeError::NoPayload.into()));
    assert_eq!(read(&[0x81], &[]), Err(DecodeError::Cbor(CborError::Count).into()));
    assert_eq!(read(&[0x01], &[]), Err(DecodeError::Cbor(CborError::Type).into()));
}

#[test]
fn section_4_3_1_a_fragment_reaches_no_further_than_its_whole() {
    let mut part = primary(eid("ipn:2.1"), eid("ipn:3.1"));
    part.flags = BundleFlags::FRAGMENT;
    part.fragment = Some(Fragment { offset: 5, total_bytes: 10 });
    let bytes = write(&part, &[], CrcType::Crc32, b"hello", 2);
    let (whole, _) = read(&bytes, &[]).unwrap();
    let mut reading = Reading::new(StreamLimits::default());
    assert_eq!(reading.feed(&bytes), Ok(true));
    assert_eq!(reading.reader.header().unwrap().id(), whole.id());
    let form = PayloadForm { flags: BlockFlags(0), crc: CrcType::Crc32, bytes: 6 };
    let error = BundleWriter::new(&part, &[], form).unwrap_err();
    assert_eq!(error, WriteError::Invalid(DecodeError::FragmentRange));
    // The same bundle with one byte more, made by hand.
    let mut long = bytes.clone();
    let at = long.windows(5).position(|five| five == b"hello").unwrap();
    long[at - 1] = 0x46;
    long.insert(at, b' ');
    assert_eq!(read(&long, &[]), Err(DecodeError::FragmentRange.into()));
}

#[test]
fn each_limit_takes_what_reaches_it_and_refuses_one_more() {
    let bytes = bundle(CrcType::Crc32, &[1; 100]).encode();
    let header_bytes = bytes.len() - 100 - 6;
    let with = |limits: StreamLimits| Reading::new(limits).feed(&bytes);
    let usual = StreamLimits::default();
    assert_eq!(with(StreamLimits { header_bytes_max: header_bytes, ..usual }), Ok(true));
    let bytes_max = header_bytes - 1;
    let error = StreamError::HeaderTooLarge { bytes_max };
    assert_eq!(with(StreamLimits { header_bytes_max: bytes_max, ..usual }), Err(error));
    assert_eq!(with(StreamLimits { payload_bytes_max: 100, ..usual }), Ok(true));
    let error = StreamError::PayloadTooLarge { bytes_max: 99 };
    assert_eq!(with(StreamLimits { payload_bytes_max: 99, ..usual }), Err(error));
    // Two unknown blocks and the payload; hop count and age are not counted.
    assert_eq!(with(StreamLimits { blocks_max: 3, ..usual }), Ok(true));
    let error = DecodeError::TooManyBlocks { blocks_max: 2 };
    assert_eq!(with(StreamLimits { blocks_max: 2, ..usual }), Err(error.into()));
}

#[test]
fn a_length_that_nobody_can_hold_costs_nothing() {
    let mut bytes =
        with_payload_block(&[0x85, 1, 1, 0, 0, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    bytes.pop();
    let limits = StreamLimits { payload_bytes_max: u64::MAX, ..StreamLimits::default() };
    assert_eq!(Reading::new(limits).feed(&bytes), Ok(false));
    let header = [&bytes[..1], &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat();
    assert!(Reading::new(limits).feed(&header).is_ok());
}

#[test]
fn a_transfer_goes_on_from_any_byte() {
    for crc in CHECKSUMS {
        let bytes = bundle(crc, b"Bridge is out, take the ridge.").encode();
        let whole = decode(&bytes).unwrap();
        for cut in 0..=bytes.len() {
            let mut before = Reading::new(StreamLimits::default());
            before.feed(&bytes[..cut]).unwrap();
            let checkpoint = before.reader.checkpoint().unwrap();
            let reader = BundleReader::resume(&checkpoint, StreamLimits::default()).unwrap();
            assert_eq!(reader.position(), u64::try_from(cut).unwrap());
            assert_eq!(reader.payload_position(), u64::try_from(before.payload.len()).unwrap());
            assert_eq!(reader.checkpoint().as_ref(), Ok(&checkpoint));
            let mut after = Reading { reader, payload: before.payload, consumed: 0 };
            // The header is not announced a second time, it is there.
            let announced = after.reader.header().is_some();
            assert_eq!(announced, !after.payload.is_empty() || before.reader.header().is_some());
            assert_eq!(after.resumed(&bytes[cut..]), Ok(true), "{cut}");
            assert_eq!(after.bundle(), whole);
        }
    }
}

impl Reading {
    /// As [`Reading::feed`], without a look at whether the header comes first.
    fn resumed(&mut self, mut piece: &[u8]) -> Result<bool, StreamError> {
        loop {
            let fed = self.reader.feed(piece)?;
            piece = piece.get(fed.consumed..).expect("no more is consumed than was fed");
            match fed.event {
                Event::NeedMore => return Ok(false),
                Event::Header => {}
                Event::Payload(bytes) => self.payload.extend_from_slice(bytes),
                Event::End => return Ok(true),
            }
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let bytes = bundle(CrcType::Crc32, b"hello").encode();
    let mut reading = Reading::new(StreamLimits::default());
    reading.feed(&bytes[..bytes.len() - 9]).unwrap();
    let checkpoint = reading.reader.checkpoint().unwrap();
    let resume = |bytes: &[u8]| BundleReader::resume(bytes, StreamLimits::default()).map(|_| ());
    assert_eq!(resume(&checkpoint), Ok(()));
    for at in 0..checkpoint.len() {
        let mut damaged = checkpoint.clone();
        damaged[at] ^= 4;
        assert_eq!(resume(&damaged), Err(CheckpointError::Damaged), "{at}");
        assert_eq!(resume(&checkpoint[..at]), Err(CheckpointError::Damaged), "{at}");
    }
    let limits = StreamLimits { header_bytes_max: 10, ..StreamLimits::default() };
    let error = CheckpointError::Header(StreamError::HeaderTooLarge { bytes_max: 10 });
    assert_eq!(BundleReader::resume(&checkpoint, limits).unwrap_err(), error);
    // A writer's is of another kind.
    let form = PayloadForm { flags: BlockFlags(0), crc: CrcType::None, bytes: 0 };
    let (writer, _) = BundleWriter::new(&primary(eid("ipn:2.1"), eid("ipn:3.1")), &[], form).unwrap();
    assert_eq!(resume(&writer.checkpoint()), Err(CheckpointError::Version(2)));
    assert_eq!(BundleWriter::resume(&checkpoint).unwrap_err(), CheckpointError::Version(1));
}

/// A checkpoint with a right checksum.
fn sealed(body: &[u8]) -> Vec<u8> {
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(body);
    [body, &sum.to_be_bytes()].concat()
}

#[test]
fn a_checkpoint_that_contradicts_itself_is_refused() {
    let resume = |body: &[u8]| BundleReader::resume(&sealed(body), StreamLimits::default()).map(|_| ());
    let wrong = Err(CheckpointError::Contradiction);
    // version, phase, position, delivered, left, sum, found, found_left, header, partial head
    assert_eq!(resume(&[0x8a, 1, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x40]), Ok(()));
    assert_eq!(resume(&[0x8a, 1, 1, 0, 0, 0, 0, 0, 0, 0x40, 0x40]), wrong);
    assert_eq!(resume(&[0x8a, 1, 0, 1, 0, 0, 0, 0, 0, 0x40, 0x40]), wrong);
    assert_eq!(resume(&[0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0x40]), Err(CheckpointError::Cbor(CborError::Count)));
    // The position is that of the payload behind its header, or of the few bytes after it.
    let bytes = with_payload_block(&[0x85, 1, 1, 0, 0, 0x45, 1, 2, 3, 4, 5]);
    for (cut, moved) in [(4, 1), (1, 8)] {
        let mut reading = Reading::new(StreamLimits::default());
        reading.feed(&bytes[..bytes.len() - cut]).unwrap();
        let checkpoint = reading.reader.checkpoint().unwrap();
        let mut body = checkpoint[..checkpoint.len() - 4].to_vec();
        assert_eq!(body[3], 0x18, "the position has one byte");
        assert_eq!(resume(&body), Ok(()));
        body[4] += moved;
        assert_eq!(resume(&body), wrong);
    }
    let writer = |body: &[u8]| BundleWriter::resume(&sealed(body)).map(|_| ());
    // version, checksum type, sum, announced, noted, written, finished, nothing, nothing
    assert_eq!(writer(&[0x89, 2, 0, 0, 5, 3, 9, 0, 0x40, 0x40]), Ok(()));
    assert_eq!(writer(&[0x89, 2, 0, 0, 5, 6, 9, 0, 0x40, 0x40]), wrong);
    assert_eq!(writer(&[0x89, 2, 0, 0, 5, 3, 2, 0, 0x40, 0x40]), wrong);
    assert_eq!(writer(&[0x89, 2, 0, 0, 5, 3, 9, 1, 0x40, 0x40]), wrong);
    assert_eq!(writer(&[0x89, 2, 0, 0, 5, 3, 9, 2, 0x40, 0x40]), wrong);
    assert_eq!(writer(&[0x89, 2, 3, 0, 5, 3, 9, 0, 0x40, 0x40]), wrong);
}

#[test]
fn the_writer_writes_what_encode_writes() {
    for crc in CHECKSUMS {
        for data in [&b""[..], b"hello", &[3; 70_000]] {
            let whole = bundle(crc, data);
            let (payload, others) = whole.blocks().split_last().unwrap();
            assert_eq!(payload.data, data);
            assert_eq!(write(whole.primary(), others, crc, data, 999), whole.encode());
        }
    }
}

#[test]
fn the_writer_takes_exactly_what_was_announced() {
    let primary = primary(eid("ipn:2.1"), eid("ipn:3.1"));
    let form = PayloadForm { flags: BlockFlags(0), crc: CrcType::Crc32, bytes: 5 };
    let (mut writer, _) = BundleWriter::new(&primary, &[], form).unwrap();
    writer.payload(b"hell").unwrap();
    assert_eq!(writer.finish(), Err(WriteError::Length { bytes: 5, found: 4 }));
    assert_eq!(writer.payload(b"os"), Err(WriteError::Length { bytes: 5, found: 6 }));
    writer.payload(b"o").unwrap();
    assert_eq!(writer.payload_bytes(), 5);
    assert!(writer.finish().is_ok());
    assert_eq!(writer.finish(), Err(WriteError::Finished));
    assert_eq!(writer.payload(b""), Err(WriteError::Finished));
    let twice = [block(BlockKind::Payload, 1, b"")];
    let error = WriteError::Invalid(DecodeError::PayloadPlace);
    assert_eq!(BundleWriter::new(&primary, &twice, form).unwrap_err(), error);
}

#[test]
fn a_writer_goes_on_from_any_byte() {
    let whole = bundle(CrcType::Crc32, b"hello");
    let (_, others) = whole.blocks().split_last().unwrap();
    let form = PayloadForm { flags: BlockFlags(0), crc: CrcType::Crc32, bytes: 5 };
    for cut in 0..=5 {
        let (mut writer, mut out) = BundleWriter::new(whole.primary(), others, form).unwrap();
        writer.payload(&b"hello"[..cut]).unwrap();
        out.extend_from_slice(&b"hello"[..cut]);
        let mut writer = BundleWriter::resume(&writer.checkpoint()).unwrap();
        assert_eq!(writer.written_bytes(), u64::try_from(out.len()).unwrap());
        writer.payload(&b"hello"[cut..]).unwrap();
        out.extend_from_slice(&b"hello"[cut..]);
        out.extend(writer.finish().unwrap());
        assert_eq!(out, whole.encode());
        assert!(BundleWriter::resume(&writer.checkpoint()).unwrap().finish().is_err());
    }
}

proptest! {
    #[test]
    fn a_transfer_that_is_cut_again_and_again_ends_with_the_same_bundle(
        data in vec(any::<u8>(), 0..600),
        crc in 0_usize..3,
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let bytes = bundle(CHECKSUMS[crc], &data).encode();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).collect();
        places.push(bytes.len());
        places.sort_unstable();
        let mut reading = Reading::new(StreamLimits::default());
        let mut start = 0;
        for end in places {
            reading.resumed(&bytes[start..end]).unwrap();
            let checkpoint = reading.reader.checkpoint().unwrap();
            reading.reader = BundleReader::resume(&checkpoint, StreamLimits::default()).unwrap();
            start = end;
        }
        prop_assert_eq!(reading.reader.finish(), Ok(()));
        prop_assert_eq!(reading.bundle(), decode(&bytes).unwrap());
    }

    #[test]
    fn any_cuts_give_the_bundle_that_was_written(
        data in vec(any::<u8>(), 0..600),
        crc in 0_usize..3,
        piece in 1_usize..200,
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let crc = CHECKSUMS[crc];
        let bytes = write(&primary(eid("dtn://a/b"), eid("ipn:3.1")), &blocks(), crc, &data, piece);
        let whole = decode(&bytes).unwrap();
        prop_assert_eq!(whole.payload(), &data[..]);
        prop_assert_eq!(read(&bytes, &cuts), Ok((whole, bytes.len())));
    }

    #[test]
    fn changed_bytes_get_the_verdict_that_the_whole_gets(
        data in vec(any::<u8>(), 0..40),
        crc in 0_usize..3,
        changes in vec((any::<usize>(), any::<u8>(), 0_u8..3), 1..4),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        let mut blocks = blocks();
        // Without checksums more changes lead on to the rules.
        blocks.iter_mut().for_each(|block| block.crc = CrcType::None);
        let mut bytes = write(&primary(eid("ipn:2.1"), eid("ipn:3.1")), &blocks, CHECKSUMS[crc], &data, 9);
        for (at, value, kind) in changes {
            let at = at % bytes.len();
            match kind {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let whole = decode(&bytes);
        match read(&bytes, &cuts) {
            Ok((bundle, consumed)) if consumed == bytes.len() => prop_assert_eq!(whole, Ok(bundle)),
            Ok(_) => prop_assert!(whole.is_err()),
            Err(_) => prop_assert!(whole.is_err()),
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..200), cut in any::<usize>()) {
        let bytes = [&[0x9f][..], &bytes].concat();
        prop_assert_eq!(read(&bytes, &[cut]).is_ok(), read(&bytes, &[]).is_ok());
        prop_assert!(BundleReader::resume(&sealed(&bytes), StreamLimits::default()).is_err());
        prop_assert!(BundleWriter::resume(&sealed(&bytes)).is_err());
    }
}
