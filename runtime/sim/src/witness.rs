//! Listens to what nodes promise each other, and remembers it when they crash.

use std::collections::{BTreeMap, BTreeSet};

use cairn_bundle::DeliveryNotice;
use cairn_link::frame::{Decoded, Frame, decode};
use cairn_link::{Item, Topic};
use cairn_store::{Read, Table};

/// Items that each node has acknowledged to anybody.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    acknowledged: BTreeMap<usize, BTreeSet<Item>>,
}

impl Witness {
    /// Looks at frames that a node sends, each with its length in front.
    pub(crate) fn hear(&mut self, node: usize, frames: &[u8]) {
        let mut rest = frames;
        while let Some((prefix, behind)) = rest.split_first_chunk::<4>() {
            let len = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
            let Some((body, behind)) = behind.split_at_checked(len) else { return };
            if let Ok(Decoded::Frame(Frame::Ack { topic, ids })) = decode(body) {
                let given = self.acknowledged.entry(node).or_default();
                given.extend(ids.iter().map(|id| Item { topic, id }));
            }
            rest = behind;
        }
    }

    /// How many acknowledgements were heard.
    pub(crate) fn heard(&self) -> usize {
        self.acknowledged.values().map(BTreeSet::len).sum()
    }

    /// The first item that a node acknowledged and that is not on its disk.
    pub(crate) fn missing(&self, node: usize, disk: &dyn Read) -> Option<Item> {
        let past = past(disk);
        let there = |table: Table, item: &Item| matches!(disk.len_of(table, item.id.as_bytes()), Ok(Some(_)));
        let kept = |item: &&Item| match item.topic {
            Topic::Notice => there(Table::Notices, item),
            Topic::Ledger => there(Table::Ledger, item),
            // It may have been delivered or have expired since; that it was here is remembered.
            Topic::Bundle => {
                there(Table::Index, item)
                    || item.id.as_bytes().first_chunk().is_some_and(|first| past.contains(first))
            }
            Topic::Board => there(Table::Changes, item),
            Topic::Blob => there(Table::Blobs, item),
        };
        self.acknowledged.get(&node)?.iter().find(|item| !kept(item)).copied()
    }
}

/// The beginnings of the ids of bundles that are gone, in rows of eight bytes, or that their destination has.
fn past(disk: &dyn Read) -> BTreeSet<[u8; 8]> {
    let mut past = BTreeSet::new();
    // A disk that cannot be read shows that something is missing.
    let _ = disk.for_each(Table::Seen, &mut |_, value| past.extend(<[u8; 8]>::try_from(value)));
    let _ = disk.for_each(Table::Notices, &mut |_, value| {
        let ids = DeliveryNotice::decode_stored(value).map(|notice| notice.ids).unwrap_or_default();
        past.extend(ids.iter().filter_map(|id| id.as_bytes().first_chunk::<8>().copied()));
    });
    past
}
