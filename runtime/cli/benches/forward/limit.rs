//! What a bare redb makes of the writes of a relay: bytes and record of each bundle, so many of them in a commit.

use std::path::Path;
use std::time::Instant;

use redb::{Database, TableDefinition};

use super::person::Dice;
use super::row;

const BUNDLES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("bundles");
const INDEX: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("index");

/// A bundle of 1 KiB with its envelope, and its record.
const BUNDLE_BYTES: usize = 1_700;
const RECORD_BYTES: usize = 130;

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

/// So many things since then, per second.
pub(crate) fn per_second(count: usize, begun: Instant) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / begun.elapsed().as_secs_f64()
}
