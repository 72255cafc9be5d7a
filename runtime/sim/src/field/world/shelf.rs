//! What a node carries: the catalogue of its engine, and the bytes.

use std::collections::BTreeMap;
use std::rc::Rc;

use cairn_bundle::Digest;
use cairn_engine::{BundleRecord, Catalogue};

/// Bytes of a bundle. What a thousand carriers have in common, its payload, is there once.
#[derive(Debug, Clone)]
pub(super) struct Bytes {
    head: Box<[u8]>,
    tail: Rc<[u8]>,
}

impl Bytes {
    /// The whole bundle.
    pub(super) fn whole(&self) -> Vec<u8> {
        [self.head.as_ref(), self.tail.as_ref()].concat()
    }
}

/// The ends of bundles, by content id: what no carrier changes.
#[derive(Debug, Default)]
pub(super) struct Tails(BTreeMap<Digest, Rc<[u8]>>);

impl Tails {
    /// Notes that the last `len` bytes of a bundle are the same everywhere.
    pub(super) fn note(&mut self, id: Digest, bytes: &[u8], len: usize) {
        let tail = bytes.get(bytes.len().saturating_sub(len)..).unwrap_or_default();
        self.0.entry(id).or_insert_with(|| Rc::from(tail));
    }

    /// A bundle as it is kept.
    pub(super) fn share(&self, id: &Digest, bytes: &[u8]) -> Bytes {
        if let Some(tail) = self.0.get(id)
            && let Some(head) = bytes.strip_suffix(tail.as_ref())
        {
            return Bytes { head: Box::from(head), tail: Rc::clone(tail) };
        }
        Bytes { head: Box::from(bytes), tail: Rc::from([]) }
    }
}

/// A carried bundle.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) record: BundleRecord,
    pub(super) bytes: Bytes,
}

/// The carried bundles of a node, as its catalogue shows them.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    kept: BTreeMap<Digest, Kept>,
    bytes: u64,
}

impl Shelf {
    pub(super) fn insert(&mut self, id: Digest, kept: Kept) -> Option<Kept> {
        self.bytes = self.bytes.saturating_add(kept.record.bytes);
        let before = self.kept.insert(id, kept);
        self.bytes -= before.as_ref().map_or(0, |kept| kept.record.bytes);
        before
    }

    pub(super) fn remove(&mut self, id: &Digest) -> Option<Kept> {
        let before = self.kept.remove(id);
        self.bytes -= before.as_ref().map_or(0, |kept| kept.record.bytes);
        before
    }

    pub(super) fn kept(&self, id: &Digest) -> Option<&Kept> {
        self.kept.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Digest, &Kept)> {
        self.kept.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of everything that is carried.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Catalogue for Shelf {
    fn record(&self, id: &Digest) -> Option<BundleRecord> {
        self.kept.get(id).map(|kept| kept.record.clone())
    }

    fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)> {
        self.kept.range(start..).take(max).map(|(id, kept)| (*id, kept.record.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carriers_have_in_common_is_there_once() {
        let mut tails = Tails::default();
        let id = Digest([1; 32]);
        tails.note(id, b"one: a long payload", 14);
        let (one, other) =
            (tails.share(&id, b"one: a long payload"), tails.share(&id, b"another: a long payload"));
        assert_eq!(
            (one.whole(), other.whole()),
            (b"one: a long payload".to_vec(), b"another: a long payload".to_vec())
        );
        assert!(Rc::ptr_eq(&one.tail, &other.tail));
        assert_eq!(tails.share(&id, b"something else").whole(), b"something else");
        assert_eq!(tails.share(&Digest([2; 32]), b"unknown").whole(), b"unknown");
    }
}
