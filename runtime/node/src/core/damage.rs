//! What rotted on the disk: written again from memory, or forgotten so that peers give it again.

use cairn_bundle::Digest;
use cairn_engine::{Catalogue as _, Event, Overlay};
use cairn_link::{Item, Topic};
use cairn_store::{Read, Table};

use super::Core;
use super::catalogue::DiskIndex;
use super::commit::Tx;

/// Records that are read at a time on the way to the one whose bytes are damaged.
const SLICE: usize = 1_000;

const LOST: &str = "the disk has damaged something that only this node had; hint: see cairn store check, and \
     replace the disk or card";

impl Core {
    /// Mends what the store found to be damaged.
    pub(super) fn mend(&mut self, found: &[(Table, Vec<u8>)], disk: &dyn Read) {
        for (table, key) in found {
            self.count("damaged values found on the disk");
            let mended = match table {
                Table::Bundles => self.mend_bundle(key, disk),
                Table::Ledger => self.mend_entry(key),
                Table::Changes => self.ask_again(*table, Topic::Board, key),
                Table::Notices => self.ask_again(*table, Topic::Notice, key),
                Table::Blobs => self.ask_again(*table, Topic::Blob, key),
                Table::Meta
                | Table::Cards
                | Table::Index
                | Table::Seen
                | Table::Inbox
                | Table::Boards
                | Table::PeerHas
                | Table::Attempts
                | Table::Contacts => None,
            };
            if mended.is_none() {
                self.warnings.insert(LOST.to_owned());
            }
        }
        // What is missing shows when sets are compared, which links that are up have done already.
        self.engine(Event::Renew);
    }

    /// Whoever else carries the bundle gives it again: it is not remembered as having been here.
    fn mend_bundle(&mut self, key: &[u8], disk: &dyn Read) -> Option<()> {
        let place = u64::from_be_bytes(key.try_into().ok()?);
        let (id, record) = find_place(&self.unwritten, place, disk)?;
        let mut tx = Tx::default();
        self.delete_bundle(&mut tx, id, &record);
        self.commits.own(tx);
        let own = record.is_own();
        self.engine(Event::Lost { id, record });
        (!own).then_some(())
    }

    /// The ledger holds all entries in memory.
    fn mend_entry(&mut self, key: &[u8]) -> Option<()> {
        let id = Digest(key.try_into().ok()?);
        let bytes = self.ledger.entry(&id)?.encode();
        let mut tx = Tx::default();
        tx.put(Table::Ledger, key, bytes);
        self.commits.own(tx);
        Some(())
    }

    /// Peers that have the item see that it is missing here.
    fn ask_again(&mut self, table: Table, topic: Topic, key: &[u8]) -> Option<()> {
        let id = Digest(key.try_into().ok()?);
        let mut tx = Tx::default();
        tx.delete(table, key);
        self.commits.own(tx);
        self.blobs.remove(&id);
        self.dirty = true;
        self.engine(Event::Drop { item: Item { topic, id } });
        Some(())
    }
}

fn find_place(
    unwritten: &Overlay,
    place: u64,
    disk: &dyn Read,
) -> Option<(Digest, cairn_engine::BundleRecord)> {
    let catalogue = unwritten.over(DiskIndex(disk));
    let mut start = Digest([0; 32]);
    loop {
        let slice = catalogue.scan(&start, SLICE);
        let (last, _) = slice.last()?;
        let (full, next) = (slice.len() == SLICE, last.successor());
        if let Some(found) = slice.into_iter().find(|(_, record)| record.place == place) {
            return Some(found);
        }
        start = next.filter(|_| full)?;
    }
}
