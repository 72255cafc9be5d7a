//! Delivery notices: what this node received is purged from everybody who still carries it.

use std::collections::{BTreeMap, VecDeque};

use cairn_bundle::notice::{DeliveryNotice, NOTICE_IDS_MAX};
use cairn_bundle::{Digest, NodeId};
use cairn_engine::{Event, Instant, Scope, Ticket};
use cairn_link::{Item, RefuseReason, Topic};
use cairn_store::{Read, ReadError, Table};

use super::Core;
use super::commit::{After, Tx};
use super::past::notice_key;

/// Notices that are kept, of this node and of others; the oldest go first.
const NOTICES_MAX: usize = 20_000;

/// Notices that one peer brought; its oldest go first, so that a flood of one peer takes nobody else's away.
const PEER_NOTICES_MAX: usize = NOTICES_MAX / 4;
/// Peers whose notices are counted; those of others only share the whole.
const PEERS_MAX: usize = 64;

/// Notices of pieces that came after their whole was delivered: so many at once, and one in four minutes after that.
const LATE_MAX: u64 = 256;
const LATE_EACH_MS: u64 = 240_000;

/// The number of a notice of which no row says when it came.
const UNNUMBERED: u64 = 0;

/// Notices in the order in which they came, which rows in [`Table::Seen`] remember: otherwise a node that is full and
/// starts again would let go of those that it has just written.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    order: VecDeque<Digest>,
    /// With their numbers.
    held: BTreeMap<Digest, u64>,
    last: u64,
    by_peer: BTreeMap<NodeId, VecDeque<Digest>>,
    /// When the notices of late pieces will be worked off, one each [`LATE_EACH_MS`].
    late_until: Instant,
}

impl Notices {
    /// Whether one more piece that came late is worth a notice. Nobody can check a piece alone, so a liar could make this
    /// node sign as many as it likes, and everybody would pass them on.
    fn has_room_for_late(&mut self, now: Instant) -> bool {
        let until = self.late_until.max(now).plus_ms(LATE_EACH_MS);
        let has_room = until - now <= LATE_MAX.saturating_mul(LATE_EACH_MS);
        if has_room {
            self.late_until = until;
        }
        has_room
    }

    /// Takes note of one, with the number that it had before, if it had one; its number, and those that have to go
    /// for it, with theirs.
    fn add(&mut self, id: Digest, before: Option<u64>, peer: Option<&NodeId>) -> (u64, Vec<(Digest, u64)>) {
        if let Some(number) = self.held.get(&id) {
            return (*number, Vec::new());
        }
        let number = before.unwrap_or_else(|| self.last.saturating_add(1));
        self.last = self.last.max(number);
        self.held.insert(id, number);
        let mut gone = Vec::new();
        self.order.push_back(id);
        if let Some(peer) = peer
            && (self.by_peer.contains_key(peer) || self.by_peer.len() < PEERS_MAX)
        {
            let brought = self.by_peer.entry(*peer).or_default();
            brought.push_back(id);
            if brought.len() > PEER_NOTICES_MAX {
                gone.extend(brought.pop_front());
            }
        }
        while self.held.len().saturating_sub(gone.len()) > NOTICES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            gone.push(oldest);
        }
        let gone = gone.into_iter().filter_map(|id| Some((id, self.held.remove(&id)?))).collect();
        if self.order.len() > 2 * NOTICES_MAX {
            self.order.retain(|id| self.held.contains_key(id));
        }
        (number, gone)
    }
}

/// Sorts notices by the numbers of their rows.
fn in_order(rows: &BTreeMap<u64, Digest>, found: Vec<(Digest, Vec<u8>)>) -> BTreeMap<(u64, Digest), Vec<u8>> {
    let numbers: BTreeMap<Digest, u64> = rows.iter().map(|(number, id)| (*id, *number)).collect();
    let number = |id: &Digest| numbers.get(id).copied().unwrap_or(UNNUMBERED);
    found.into_iter().map(|(id, bytes)| ((number(&id), id), bytes)).collect()
}

impl Core {
    /// Writes that these content ids are this node's delivered bundle of this name.
    pub(super) fn write_notices(&mut self, tx: &mut Tx, name: &[u8; 32], ids: &[Digest]) {
        for some in ids.chunks(NOTICE_IDS_MAX) {
            if let Ok(bytes) = DeliveryNotice::sign(&self.identity, name, some) {
                self.put_notice(tx, bytes, None);
            }
        }
    }

    /// A piece of what was delivered already: whoever cut it carries it until it hears that it is not needed, because the
    /// notice of the whole does not name it.
    pub(super) fn take_late_piece(&mut self, ticket: Ticket, id: Digest, name: &[u8; 32]) {
        self.count("second copies of delivered bundles");
        if !self.notices.has_room_for_late(self.clock.now) {
            self.engine(Event::Taken { ticket, outcome: Ok(()) });
            return;
        }
        let mut tx = Tx::default();
        self.write_notices(&mut tx, name, &[id]);
        self.past.note_gone(&mut tx, &id);
        tx.then(After::Past { id });
        tx.then(After::Taken { ticket });
        self.commit_foreign(tx);
    }

    fn put_notice(&mut self, tx: &mut Tx, bytes: Vec<u8>, peer: Option<&NodeId>) {
        let item = Item { topic: Topic::Notice, id: Digest::of(&bytes) };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        tx.put(Table::Notices, *item.id.as_bytes(), bytes);
        tx.then(After::Hold { item, bytes: length, scope: Scope::Everyone, place: None });
        let (number, gone) = self.notices.add(item.id, None, peer);
        if number != UNNUMBERED {
            tx.put(Table::Seen, notice_key(number), *item.id.as_bytes());
        }
        for (old, number) in gone {
            tx.delete(Table::Notices, *old.as_bytes());
            tx.delete(Table::Seen, notice_key(number));
            self.past.note_gone(tx, &old);
            self.engine(Event::Drop { item: Item { topic: Topic::Notice, id: old } });
            self.engine(Event::Seen { id: old });
        }
    }

    /// A notice of another node.
    pub(super) fn take_notice(
        &mut self,
        ticket: Ticket,
        peer: &NodeId,
        item: Item,
        bytes: Vec<u8>,
    ) -> Result<(), RefuseReason> {
        let notice = DeliveryNotice::decode_verified(&bytes).ok().filter(|_| Digest::of(&bytes) == item.id);
        let Some(notice) = notice else {
            self.count("delivery notices refused: not valid");
            return Err(RefuseReason::Invalid);
        };
        let mut tx = Tx::default();
        self.put_notice(&mut tx, bytes, Some(peer));
        tx.then(After::Notice { ticket, by: notice.destination, ids: notice.ids });
        self.commit_foreign(tx);
        Ok(())
    }

    /// Reads the notices back, in the order that the numbered rows give; what has none came earlier.
    pub(super) fn restore_notices(
        &mut self,
        rows: BTreeMap<u64, Digest>,
        disk: &dyn Read,
    ) -> Result<(), ReadError> {
        let mut found = Vec::new();
        disk.for_each(Table::Notices, &mut |key, value| {
            if let Ok(id) = <[u8; 32]>::try_from(key).map(Digest) {
                found.push((id, value.to_vec()));
            }
        })?;
        let found = in_order(&rows, found);
        let mut tx = Tx::default();
        let stale = rows.into_iter().filter(|(number, id)| !found.contains_key(&(*number, *id)));
        stale.for_each(|(number, _)| tx.delete(Table::Seen, notice_key(number)));
        self.commits.own(tx);
        for ((number, id), bytes) in found {
            // Checked before it was written.
            if let Ok(notice) = DeliveryNotice::decode_stored(&bytes) {
                let item = Item { topic: Topic::Notice, id };
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                // There are no more than there were before.
                let _ = self.notices.add(id, Some(number), None);
                self.engine(Event::Hold { item, bytes: length, scope: Scope::Everyone, place: None });
                self.engine(Event::Noticed { by: notice.destination, ids: notice.ids });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::Identity;
    use std::collections::BTreeSet;

    fn id(n: usize) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    /// Adds one; the ids of those that go.
    fn add(notices: &mut Notices, n: usize, peer: Option<&NodeId>) -> Vec<Digest> {
        notices.add(id(n), None, peer).1.into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_flood_of_one_peer_takes_only_its_own_notices_away() {
        let [liar, honest] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]).node_id());
        let mut notices = Notices::default();
        for n in 0..1_000 {
            assert!(add(&mut notices, n, Some(&honest)).is_empty());
        }
        let first: BTreeSet<Digest> = (0..1_000).map(id).collect();
        for n in 10_000..60_000 {
            let gone = add(&mut notices, n, Some(&liar));
            assert!(gone.iter().all(|gone| !first.contains(gone)));
        }
        assert_eq!(notices.held.len(), 1_000 + PEER_NOTICES_MAX);
        assert!(notices.order.len() <= 2 * NOTICES_MAX + 1);
        assert!(add(&mut notices, 0, Some(&liar)).is_empty(), "a second copy changes nothing");
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut notices = Notices::default();
        for n in 0..NOTICES_MAX {
            assert!(add(&mut notices, n, None).is_empty());
        }
        assert_eq!(add(&mut notices, NOTICES_MAX, None), [id(0)]);
    }

    #[test]
    fn after_a_restart_the_oldest_still_goes_first() {
        let (mut before, mut rows) = (Notices::default(), BTreeMap::new());
        for n in 0..NOTICES_MAX {
            rows.insert(before.add(id(n), None, None).0, id(n));
        }
        // One that was written before there were numbers.
        let unnumbered = id(NOTICES_MAX);
        rows.pop_first();
        let disk = (1..=NOTICES_MAX).map(|n| (id(n), Vec::new())).collect();
        let mut again = Notices::default();
        for (number, id) in in_order(&rows, disk).into_keys() {
            assert!(again.add(id, Some(number), None).1.is_empty());
        }
        assert_eq!(add(&mut again, NOTICES_MAX + 1, None), [unnumbered]);
        assert_eq!(add(&mut again, NOTICES_MAX + 2, None), [id(1)]);
        assert_eq!(again.last, before.last + 2);
    }
}
