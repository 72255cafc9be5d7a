//! What is remembered of bundles that are not here any more: rows in the order in which they came, the oldest going
//! first.

use std::collections::BTreeSet;

use cairn_bundle::Digest;
use cairn_store::Table;

use super::commit::Tx;

/// Ids of bundles that are gone, and names of bundles that were delivered, each.
pub(crate) const PAST_MAX: u64 = 500_000;

/// First bytes of the keys of the two kinds of rows.
const GONE: u8 = b's';
const DELIVERED: u8 = b'd';
/// The same for the order in which delivery notices came ([`super::notices`]): its numbers are given there.
const NOTICE: u8 = b'n';

/// Key of the row in [`Table::Seen`] that says which notice came at this place.
pub(crate) fn notice_key(number: u64) -> Vec<u8> {
    Rows::new(NOTICE, 0).key(number)
}

/// Rows under one first byte and a counter.
#[derive(Debug)]
struct Rows {
    kind: u8,
    first: u64,
    next: u64,
    max: u64,
}

impl Rows {
    const fn new(kind: u8, max: u64) -> Self {
        Self { kind, first: 0, next: 0, max }
    }

    fn key(&self, counter: u64) -> Vec<u8> {
        [&[self.kind], counter.to_be_bytes().as_slice()].concat()
    }

    fn push(&mut self, tx: &mut Tx, value: &[u8]) {
        tx.put(Table::Seen, self.key(self.next), value);
        self.next = self.next.saturating_add(1);
        // Two at a time: rows of an earlier, larger limit go as well.
        for _ in 0..2 {
            if self.next.saturating_sub(self.first) > self.max {
                tx.delete(Table::Seen, self.key(self.first));
                self.first = self.first.saturating_add(1);
            }
        }
    }

    fn restore(&mut self, counter: u64) {
        if self.next == 0 {
            self.first = counter;
        }
        self.next = counter.saturating_add(1);
    }
}

/// A row that was read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// The first eight bytes of the id of a bundle that was here.
    Gone([u8; 8]),
    /// Taken in by this; nothing else is to be done.
    Delivered,
    /// The number of a delivery notice and its id.
    Notice(u64, Digest),
    /// A row of an earlier format, the id of a bundle that was or is here.
    OldId([u8; 32]),
    /// Neither.
    Unknown,
}

/// Bundles of the past.
#[derive(Debug)]
pub(crate) struct Past {
    gone: Rows,
    delivered: Rows,
    /// First halves of the names of delivered bundles.
    names: BTreeSet<[u8; 16]>,
    order: std::collections::VecDeque<[u8; 16]>,
}

impl Default for Past {
    fn default() -> Self {
        Self {
            gone: Rows::new(GONE, PAST_MAX),
            delivered: Rows::new(DELIVERED, PAST_MAX),
            names: BTreeSet::new(),
            order: std::collections::VecDeque::new(),
        }
    }
}

fn half(name: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    half
}

impl Past {
    /// Remembers the id of a bundle that is deleted.
    pub(crate) fn note_gone(&mut self, tx: &mut Tx, id: &Digest) {
        let prefix = id.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
        self.gone.push(tx, &prefix);
    }

    /// Whether a bundle of this name was delivered, or is about to be.
    pub(crate) fn is_delivered(&self, name: &[u8; 32]) -> bool {
        self.names.contains(&half(name))
    }

    /// A bundle of this name is delivered with the batch.
    pub(crate) fn note_delivered(&mut self, tx: &mut Tx, name: &[u8; 32]) {
        self.delivered.push(tx, &half(name));
        self.remember(half(name));
    }

    /// The batch was refused: the bundle may come again.
    pub(crate) fn undeliver(&mut self, name: &[u8; 32]) {
        self.names.remove(&half(name));
    }

    fn remember(&mut self, name: [u8; 16]) {
        if self.names.insert(name) {
            self.order.push_back(name);
        }
        if u64::try_from(self.order.len()).unwrap_or(u64::MAX) > PAST_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
    }

    /// Reads back one row.
    pub(crate) fn restore(&mut self, key: &[u8], value: &[u8]) -> Row {
        if let Ok(id) = <[u8; 32]>::try_from(key) {
            return Row::OldId(id);
        }
        match key.split_first() {
            Some((&DELIVERED, rest)) if rest.len() == 32 => {
                self.remember(half(&<[u8; 32]>::try_from(rest).unwrap_or_default()));
                Row::Delivered
            }
            Some((&kind, rest)) => {
                let Ok(counter) = <[u8; 8]>::try_from(rest).map(u64::from_be_bytes) else {
                    return Row::Unknown;
                };
                match (kind, value.first_chunk::<8>(), <[u8; 16]>::try_from(value)) {
                    (GONE, Some(prefix), _) if value.len() == 8 => {
                        self.gone.restore(counter);
                        Row::Gone(*prefix)
                    }
                    (NOTICE, ..) => match <[u8; 32]>::try_from(value) {
                        Ok(id) => Row::Notice(counter, Digest(id)),
                        Err(_) => Row::Unknown,
                    },
                    (DELIVERED, _, Ok(name)) => {
                        self.delivered.restore(counter);
                        self.remember(name);
                        Row::Delivered
                    }
                    _ => Row::Unknown,
                }
            }
            None => Row::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_store::Op;

    fn apply(disk: &mut std::collections::BTreeMap<Vec<u8>, Vec<u8>>, tx: Tx) {
        for op in tx.batch {
            match op {
                Op::Put { key, value, .. } => {
                    disk.insert(key, value);
                }
                Op::Delete { key, .. } => {
                    disk.remove(&key);
                }
            }
        }
    }

    #[test]
    fn the_oldest_rows_go_and_numbers_continue_after_a_restart() {
        let mut disk = std::collections::BTreeMap::new();
        let mut past = Past::default();
        past.gone.max = 3;
        for n in 0..5 {
            let mut tx = Tx::default();
            past.note_gone(&mut tx, &Digest([n; 32]));
            apply(&mut disk, tx);
        }
        assert_eq!(disk.len(), 3);
        let mut again = Past::default();
        again.gone.max = 2;
        let rows: Vec<Row> = disk.iter().map(|(key, value)| again.restore(key, value)).collect();
        assert_eq!(rows, [Row::Gone([2; 8]), Row::Gone([3; 8]), Row::Gone([4; 8])]);
        let mut tx = Tx::default();
        again.note_gone(&mut tx, &Digest([5; 32]));
        apply(&mut disk, tx);
        assert_eq!(disk.len(), 2);
    }

    #[test]
    fn a_delivered_name_is_known_after_a_restart_and_not_after_a_refusal() {
        let (mut past, mut tx, mut disk) =
            (Past::default(), Tx::default(), std::collections::BTreeMap::new());
        past.note_delivered(&mut tx, &[7; 32]);
        apply(&mut disk, tx);
        assert!(past.is_delivered(&[7; 32]) && !past.is_delivered(&[8; 32]));
        let mut again = Past::default();
        for (key, value) in &disk {
            assert_eq!(again.restore(key, value), Row::Delivered);
        }
        assert!(again.is_delivered(&[7; 32]));
        again.undeliver(&[7; 32]);
        assert!(!again.is_delivered(&[7; 32]));
    }

    #[test]
    fn rows_of_the_first_format_are_understood_and_damage_is_not() {
        let mut past = Past::default();
        assert_eq!(past.restore(&[3; 32], &[]), Row::OldId([3; 32]));
        assert_eq!(past.restore(&[&[DELIVERED], [4; 32].as_slice()].concat(), &[]), Row::Delivered);
        assert!(past.is_delivered(&[4; 32]));
        assert_eq!(past.restore(&notice_key(7), &[5; 32]), Row::Notice(7, Digest([5; 32])));
        assert_eq!(past.restore(&notice_key(7), &[5; 31]), Row::Unknown);
        assert_eq!(past.restore(b"", b""), Row::Unknown);
        assert_eq!(past.restore(&[GONE, 0, 0, 0, 0, 0, 0, 0, 1], &[1; 7]), Row::Unknown);
        assert_eq!(past.restore(&[9, 0, 0, 0, 0, 0, 0, 0, 1], &[1; 8]), Row::Unknown);
    }
}
