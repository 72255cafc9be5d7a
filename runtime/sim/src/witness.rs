//! Listens to what nodes promise each other, and remembers it when they crash.

use std::collections::{BTreeMap, BTreeSet};

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
        let lost =
            |item: &&Item| !matches!(disk.len_of(table_of(item.topic), item.id.as_bytes()), Ok(Some(_)));
        self.acknowledged.get(&node)?.iter().find(lost).copied()
    }
}

/// Where an acknowledged item must be found. A bundle may have been delivered or handed over since; that it was
/// here is remembered for good.
const fn table_of(topic: Topic) -> Table {
    match topic {
        Topic::Ledger => Table::Ledger,
        // A notice is refused, so none is looked up.
        Topic::Bundle | Topic::Notice => Table::Seen,
        Topic::Board => Table::Changes,
        Topic::Blob => Table::Blobs,
    }
}
