//! Reading and writing bundles, next to two other implementations on the same bytes in the same run.
//!
//! `cargo bench -p cairn-bundle --bench codec` takes some seconds and prints a table. Rounds of all
//! contenders take turns and the median counts, because machines are shared. Without the argument `--bench`,
//! that is under `cargo test --benches`, everything runs once and no time means anything.

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use cairn_bundle::{
    Block, BlockFlags, BlockKind, Bundle, BundleFlags, BundleView, CrcType, CreationTimestamp, Eid, Limits,
    Primary,
};
use hardy_bpv7::bundle::ParsedBundle;

const ROUNDS: usize = 201;
/// Shorter than the slices that a scheduler gives, so that most rounds are not interrupted.
const ROUND: Duration = Duration::from_micros(300);
/// Reading the memory: more than the caches hold.
const MEMORY_BYTES: usize = 64 << 20;

fn main() {
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    // Giving back a large piece once teaches glibc to keep memory, so that no contender waits for the kernel.
    drop(black_box(vec![1_u8; 16 << 20]));
    report("All times in nanoseconds, median of several rounds. bp7 verifies no checksum when it decodes.");
    report("Hardy encodes only what its builder makes, so its rows stand next to Cairn's with the making.");
    let (crc16, crc32) = (CrcType::Crc16, CrcType::Crc32);
    for (payload_bytes, small) in [(16, crc16), (16, crc32), (1024, crc16), (65_536, crc16)] {
        let bundle = sample(payload_bytes, small, crc32);
        let bytes = bundle.encode();
        check(&bundle, &bytes);
        let total = bytes.len();
        report(&format!(
            "\npayload {payload_bytes} bytes, bundle {total} bytes, {small:?} on the small blocks"
        ));
        decoding(&bytes, smoke);
        encoding(&bundle, &bytes, smoke);
    }
    checksums(smoke);
}

/// A bundle with the three blocks of RFC 9171 section 4.4; all blocks have a checksum.
fn sample(payload_bytes: usize, small_crc: CrcType, payload_crc: CrcType) -> Bundle {
    let primary = Primary {
        flags: BundleFlags(0),
        crc: CrcType::Crc32,
        destination: eid("dtn://relief/inbox"),
        source: eid("dtn://bridge/chat"),
        report_to: eid("dtn://bridge/"),
        created: CreationTimestamp { time_ms: 812_345_678_901, seq: 7 },
        lifetime_ms: 86_400_000,
        fragment: None,
    };
    let small = |kind, number, data: &[u8]| Block {
        kind,
        number,
        flags: BlockFlags(0),
        crc: small_crc,
        data: data.to_vec(),
    };
    let payload: Vec<u8> = (0..=250_u8).cycle().take(payload_bytes).collect();
    let blocks = vec![
        small(BlockKind::PreviousNode, 2, &eid("dtn://carrier/").encode()),
        small(BlockKind::HopCount, 3, &[0x82, 16, 3]),
        small(BlockKind::Age, 4, &[0x1a, 0, 0x36, 0xee, 0x80]),
        Block { crc: payload_crc, ..small(BlockKind::Payload, 1, &payload) },
    ];
    Bundle::new(primary, blocks).expect("a bundle by the rules")
}

fn eid(text: &str) -> Eid {
    text.parse().expect("a valid endpoint id")
}

/// All three read the same from the bytes, and write them again.
fn check(bundle: &Bundle, bytes: &[u8]) {
    let view = BundleView::parse(bytes, &Limits::default()).expect("a bundle");
    assert_eq!(view.payload(), bundle.payload());
    let parsed = hardy_parse(bytes);
    assert_eq!(parsed.bundle.blocks.len(), bundle.blocks().len() + 1);
    let mut other = bp7::Bundle::try_from(bytes).expect("bp7 reads it");
    assert_eq!(other.payload().map(Vec::as_slice), Some(bundle.payload()));
    assert!(other.crc_valid());
    assert_eq!(other.to_cbor(), bytes);
    assert_eq!(hardy_build(bundle).len(), bytes.len());
}

fn decoding(bytes: &[u8], smoke: bool) {
    let limits = Limits::default();
    let times = race(
        smoke,
        &mut [
            ("Cairn view", &mut || black_box(BundleView::parse(black_box(bytes), &limits)).is_ok()),
            ("Cairn owned", &mut || black_box(Bundle::decode(black_box(bytes), &limits)).is_ok()),
            ("Hardy", &mut || {
                black_box(hardy_parse(black_box(bytes)));
                true
            }),
            ("bp7", &mut || black_box(bp7::Bundle::try_from(black_box(bytes))).is_ok()),
            ("bp7 and crc_valid", &mut || {
                let mut bundle = bp7::Bundle::try_from(black_box(bytes)).expect("a bundle");
                black_box(bundle.crc_valid())
            }),
        ],
    );
    table("decode", &times);
}

fn encoding(bundle: &Bundle, bytes: &[u8], smoke: bool) {
    let mut other = bp7::Bundle::try_from(bytes).expect("bp7 reads it");
    let times = race(
        smoke,
        &mut [
            ("Cairn", &mut || black_box(black_box(bundle).encode()).len() == bytes.len()),
            ("Cairn, made", &mut || {
                let (primary, blocks) = (bundle.primary().clone(), bundle.blocks().to_vec());
                let made = Bundle::new(primary, blocks).expect("a bundle by the rules");
                black_box(made.encode()).len() == bytes.len()
            }),
            ("Hardy, made", &mut || black_box(hardy_build(black_box(bundle))).len() == bytes.len()),
            ("bp7", &mut || black_box(black_box(&mut other).to_cbor()).len() == bytes.len()),
        ],
    );
    table("encode", &times);
}

fn hardy_parse(bytes: &[u8]) -> ParsedBundle {
    ParsedBundle::parse(bytes, hardy_bpv7::bpsec::no_keys).expect("Hardy reads it")
}

fn hardy_build(bundle: &Bundle) -> Box<[u8]> {
    use hardy_bpv7::{block::Type, builder::Builder, crc::CrcType as Crc, eid::Eid};
    let parse = |eid: &cairn_bundle::Eid| -> Eid { eid.to_string().parse().expect("an endpoint id") };
    // The endpoint ids are parsed once: cloning them is what a caller would do.
    thread_local! {
        static EIDS: core::cell::OnceCell<[Eid; 3]> = const { core::cell::OnceCell::new() };
    }
    let primary = bundle.primary();
    let [source, destination, report_to] = EIDS.with(|eids| {
        let make = || [&primary.source, &primary.destination, &primary.report_to].map(parse);
        eids.get_or_init(make).clone()
    });
    let mut builder = Builder::new(source, destination)
        .with_crc_type(Crc::CRC32_CASTAGNOLI)
        .with_report_to(report_to)
        .with_lifetime(Duration::from_millis(primary.lifetime_ms));
    for block in bundle.blocks() {
        let kind = match block.kind {
            BlockKind::PreviousNode => Type::PreviousNode,
            BlockKind::Age => Type::BundleAge,
            BlockKind::HopCount => Type::HopCount,
            _ => Type::Payload,
        };
        let crc = if block.crc == CrcType::Crc16 { Crc::CRC16_X25 } else { Crc::CRC32_CASTAGNOLI };
        let block_builder = builder.add_extension_block(kind).expect("not the primary block");
        builder = block_builder.with_crc_type(crc).build(block.data.as_slice().into());
    }
    let created = primary.created;
    let time = hardy_bpv7::dtn_time::DtnTime::new(created.time_ms);
    let stamp = hardy_bpv7::creation_timestamp::CreationTimestamp::from_parts(Some(time), created.seq);
    builder.build(stamp).expect("Hardy builds it").1
}

/// What the checksum of a long payload costs, seen from outside: the same bundle with and without it.
fn checksums(smoke: bool) {
    let limits = Limits::default();
    let [with, sixteen, without] = [CrcType::Crc32, CrcType::Crc16, CrcType::None]
        .map(|crc| sample(65_536, CrcType::Crc16, crc).encode());
    let memory = vec![1_u8; if smoke { 4096 } else { MEMORY_BYTES }];
    let parse = |bytes: &[u8]| BundleView::parse(black_box(bytes), &limits).is_ok();
    let times = race(
        smoke,
        &mut [
            ("view of 64 KiB, CRC-32C", &mut || parse(&with)),
            ("view of 64 KiB, CRC-16", &mut || parse(&sixteen)),
            ("view of 64 KiB, no CRC", &mut || parse(&without)),
            ("reading 64 KiB", &mut || black_box(read(&with)) != 1),
            ("reading the memory", &mut || black_box(read(&memory)) != 1),
        ],
    );
    let [crc32, crc16, none, near, far] = [0, 1, 2, 3, 4].map(|at| times.get(at).map_or(0.0, |time| time.1));
    let gigabytes = |bytes: u32, ns: f64| f64::from(bytes) / ns;
    let far_bytes = u32::try_from(memory.len()).expect("less than 4 GiB");
    report("");
    report(&format!("CRC-32C of a payload in cache   {:6.1} GB/s", gigabytes(65_536, crc32 - none)));
    report(&format!("CRC-16 of a payload in cache    {:6.1} GB/s", gigabytes(65_536, crc16 - none)));
    report(&format!("reading 64 KiB in cache         {:6.1} GB/s", gigabytes(65_536, near)));
    report(&format!("reading memory, one core        {:6.1} GB/s", gigabytes(far_bytes, far)));
    report(&format!("share of CRC-32C in a view of 64 KiB  {:.0} %", 100.0 * (crc32 - none) / crc32));
}

fn read(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |sum, word| sum ^ u64::from_le_bytes(*word))
}

type Contender<'a> = (&'static str, &'a mut dyn FnMut() -> bool);

/// Median nanoseconds of each contender.
fn race(smoke: bool, contenders: &mut [Contender<'_>]) -> Vec<(&'static str, f64)> {
    let (rounds, round) = if smoke { (1, Duration::ZERO) } else { (ROUNDS, ROUND) };
    let batches: Vec<u32> = contenders.iter_mut().map(|(_, work)| batch(work, round)).collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for (((_, work), batch), times) in contenders.iter_mut().zip(&batches).zip(&mut times) {
            times.push(time(work, *batch).as_secs_f64() * 1e9 / f64::from(*batch));
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    contenders.iter().zip(&mut times).map(|((name, _), times)| (*name, median(times))).collect()
}

/// How often the work has to be done to fill a round.
fn batch(work: &mut dyn FnMut() -> bool, round: Duration) -> u32 {
    let mut batch = 1;
    while time(work, batch) < round && batch < 1 << 20 {
        batch *= 2;
    }
    batch
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is there to look at the clock")]
fn time(work: &mut dyn FnMut() -> bool, batch: u32) -> Duration {
    let started = Instant::now();
    for _ in 0..batch {
        assert!(work(), "the contender did what it was asked for");
    }
    started.elapsed()
}

/// The first contender is what the others are compared with.
fn table(what: &str, times: &[(&str, f64)]) {
    let base = times.first().map_or(1.0, |(_, time)| *time);
    for (name, time) in times {
        report(&format!("  {what}  {name:<20} {time:>10.0}   x {:>6.2}", time / base));
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
fn report(line: &str) {
    println!("{line}");
}
