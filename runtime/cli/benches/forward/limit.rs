//! What the disk and the link would allow: a bare redb that makes the writes of a relay (bytes and record of each bundle,
//! so many of them in a commit), files of 1 MiB with a sync for some of them, and one QUIC stream that carries nothing of ours.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use iroh::endpoint::{PortmapperConfig, presets};
use iroh::{Endpoint, RelayMode, TransportAddr};
use redb::{Database, TableDefinition};

use super::person::Dice;
use super::{processor, row};

const BUNDLES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("bundles");
const INDEX: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("index");

/// A bundle of 1 KiB with its envelope, and its record.
const BUNDLE_BYTES: usize = 1_700;
const RECORD_BYTES: usize = 130;
const MIB: usize = 1_024 * 1_024;
const MIB_MB: f64 = 1.048_576;
const ALPN: &[u8] = b"cairn/limit";

pub(crate) fn run(root: &Path, count: usize) {
    for group in [1, 64, 256, 1_024] {
        let count = if group == 1 { count / 20 } else { count };
        let database = Database::create(root.join(format!("limit {group}.redb"))).unwrap();
        let mut dice = Dice::new(7);
        let keys: Vec<Vec<u8>> = (0..count).map(|_| dice.bytes(32)).collect();
        let (bytes, record) = (dice.bytes(BUNDLE_BYTES), dice.bytes(RECORD_BYTES));
        let begun = Instant::now();
        let mut place = 0_u64;
        for some in keys.chunks(group) {
            let transaction = database.begin_write().unwrap();
            {
                let mut bundles = transaction.open_table(BUNDLES).unwrap();
                let mut index = transaction.open_table(INDEX).unwrap();
                for key in some {
                    bundles.insert(place.to_be_bytes().as_slice(), bytes.as_slice()).unwrap();
                    index.insert(key.as_slice(), record.as_slice()).unwrap();
                    place += 1;
                }
            }
            transaction.commit().unwrap();
        }
        let rate = per_second(count, begun);
        row(&format!("limit: bare redb, {group} in a commit"), &format!("{rate:.0} /s"), "");
    }
}

/// Long bundles as a relay has to write them: each in a file of its own, synced, sixteen at a time.
pub(crate) fn files(root: &Path, count: usize) {
    let content = Dice::new(9).bytes(MIB);
    let begun = Instant::now();
    let names: Vec<usize> = (0..count).collect();
    for some in names.chunks(16) {
        let files: Vec<File> = some
            .iter()
            .map(|name| {
                let mut file = File::create(root.join(format!("limit {name}"))).unwrap();
                file.write_all(&content).unwrap();
                file
            })
            .collect();
        files.iter().for_each(|file| file.sync_data().unwrap());
    }
    let rate = per_second(count, begun) * MIB_MB;
    row("limit: files of 1 MiB, synced", &format!("{rate:.0} MB/s"), "");
}

/// One stream between two endpoints of this process, which share the processor as two nodes do.
pub(crate) fn stream(count: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let used = processor::used(std::process::id());
    let took = runtime.block_on(async {
        let [from, to] = [endpoint().await, endpoint().await];
        let address = to.bound_sockets().into_iter().map(TransportAddr::Ip);
        let address = iroh::EndpointAddr::from_parts(to.id(), address);
        let reader = tokio::spawn(async move {
            let connection = to.accept().await.unwrap().await.unwrap();
            let (mut send, mut recv) = connection.accept_bi().await.unwrap();
            while recv.read_chunk(usize::MAX).await.unwrap().is_some() {}
            send.write_all(b"all").await.unwrap();
            send.finish().unwrap();
            connection.closed().await;
        });
        let connection = from.connect(address, ALPN).await.unwrap();
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let content = vec![7; MIB];
        let begun = Instant::now();
        for _ in 0..count {
            send.write_all(&content).await.unwrap();
        }
        send.finish().unwrap();
        recv.read_to_end(3).await.unwrap();
        let took = begun.elapsed();
        connection.close(0_u32.into(), b"");
        reader.await.unwrap();
        took
    });
    let used = processor::used(std::process::id()) - used;
    let count = u32::try_from(count).unwrap();
    let rate = f64::from(count) * MIB_MB / took.as_secs_f64();
    row("limit: one QUIC stream on loopback, nothing kept", &format!("{rate:.0} MB/s"), "");
    row("  processor time of both ends, each MiB", &format!("{} us", (used / count).as_micros()), "");
}

async fn endpoint() -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .alpns(vec![ALPN.to_vec()])
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .clear_address_lookup()
        .clear_relay_transports()
        .clear_ip_transports()
        .bind_addr(core::net::SocketAddr::from(([127, 0, 0, 1], 0)))
        .unwrap()
        .bind()
        .await
        .unwrap()
}

/// So many things since then, per second.
pub(crate) fn per_second(count: usize, begun: Instant) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / begun.elapsed().as_secs_f64()
}
