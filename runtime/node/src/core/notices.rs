//! Delivery notices: what this node received is purged from everybody who still carries it.

use cairn_bundle::Digest;
use cairn_bundle::notice::{DeliveryNotice, NOTICE_IDS_MAX};
use cairn_engine::{Event, Scope, Ticket};
use cairn_link::{Item, RefuseReason, Topic};
use cairn_store::{Read, ReadError, Table};

use super::Core;
use super::commit::{After, Tx};

/// Notices that are kept, of this node and of others; the oldest go first.
const NOTICES_MAX: usize = 20_000;

/// Notices in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    order: std::collections::VecDeque<Digest>,
}

impl Core {
    /// Writes that these content ids are this node's delivered bundle of this name.
    pub(super) fn write_notices(&mut self, tx: &mut Tx, name: &[u8; 32], ids: &[Digest]) {
        for some in ids.chunks(NOTICE_IDS_MAX) {
            if let Ok(bytes) = DeliveryNotice::sign(&self.identity, name, some) {
                self.put_notice(tx, bytes);
            }
        }
    }

    fn put_notice(&mut self, tx: &mut Tx, bytes: Vec<u8>) {
        let item = Item { topic: Topic::Notice, id: Digest::of(&bytes) };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        tx.put(Table::Notices, *item.id.as_bytes(), bytes);
        tx.then(After::Hold { item, bytes: length, scope: Scope::Everyone });
        self.notices.order.push_back(item.id);
        if self.notices.order.len() > NOTICES_MAX
            && let Some(oldest) = self.notices.order.pop_front()
        {
            tx.delete(Table::Notices, *oldest.as_bytes());
            self.engine(Event::Drop { item: Item { topic: Topic::Notice, id: oldest } });
        }
    }

    /// A notice of another node.
    pub(super) fn take_notice(
        &mut self,
        ticket: Ticket,
        item: Item,
        bytes: Vec<u8>,
    ) -> Result<(), RefuseReason> {
        let notice = DeliveryNotice::decode_verified(&bytes).ok().filter(|_| Digest::of(&bytes) == item.id);
        let Some(notice) = notice else {
            self.count("delivery notices refused: not valid");
            return Err(RefuseReason::Invalid);
        };
        let mut tx = Tx::default();
        self.put_notice(&mut tx, bytes);
        tx.then(After::Notice { ticket, by: notice.destination, ids: notice.ids });
        self.commit_foreign(tx);
        Ok(())
    }

    pub(super) fn restore_notices(&mut self, disk: &dyn Read) -> Result<(), ReadError> {
        let mut found = Vec::new();
        disk.for_each(Table::Notices, &mut |key, value| {
            if let Ok(id) = <[u8; 32]>::try_from(key) {
                found.push((Digest(id), value.to_vec()));
            }
        })?;
        for (id, bytes) in found {
            // Checked before it was written.
            if let Ok(notice) = DeliveryNotice::decode_stored(&bytes) {
                let item = Item { topic: Topic::Notice, id };
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.notices.order.push_back(id);
                self.engine(Event::Hold { item, bytes: length, scope: Scope::Everyone });
                self.engine(Event::Noticed { by: notice.destination, ids: notice.ids });
            }
        }
        Ok(())
    }
}
