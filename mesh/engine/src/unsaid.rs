//! Decisions that the catalogue does not show yet, because their actions were not handed out.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cairn_bundle::Digest;

use crate::catalogue::Catalogue;
use crate::record::BundleRecord;

/// Records as they are decided: changed, or gone.
#[derive(Debug, Default)]
pub(crate) struct Unsaid {
    /// With the number of actions that are still queued.
    records: BTreeMap<Digest, (u32, Option<BundleRecord>)>,
}

impl Unsaid {
    /// An action about this bundle was queued.
    pub(crate) fn note(&mut self, id: Digest, record: Option<BundleRecord>) {
        let queued = self.records.get(&id).map_or(0, |(queued, _)| *queued);
        self.records.insert(id, (queued.saturating_add(1), record));
    }

    /// An action about this bundle was handed out: the catalogue shows it.
    pub(crate) fn said(&mut self, id: &Digest) {
        if let Some((queued, _)) = self.records.get_mut(id) {
            *queued = queued.saturating_sub(1);
            if *queued == 0 {
                self.records.remove(id);
            }
        }
    }

    /// What the catalogue shows, and what was decided since.
    pub(crate) const fn over<'a>(&'a self, catalogue: &'a dyn Catalogue) -> View<'a> {
        View { unsaid: self, catalogue }
    }
}

/// See [`Unsaid::over`].
pub(crate) struct View<'a> {
    unsaid: &'a Unsaid,
    catalogue: &'a dyn Catalogue,
}

impl Catalogue for View<'_> {
    fn record(&self, id: &Digest) -> Option<BundleRecord> {
        match self.unsaid.records.get(id) {
            Some((_, record)) => record.clone(),
            None => self.catalogue.record(id),
        }
    }

    fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)> {
        let mut found = Vec::new();
        let mut from = *start;
        // What is gone leaves gaps, and a slice that is not full means that there is no more.
        loop {
            let wanted = max.saturating_sub(found.len());
            let slice = self.catalogue.scan(&from, wanted);
            let next = slice.last().filter(|_| slice.len() == wanted).and_then(|(id, _)| id.successor());
            found.extend(slice.into_iter().filter_map(|(id, record)| match self.unsaid.records.get(&id) {
                Some((_, changed)) => Some((id, changed.clone()?)),
                None => Some((id, record)),
            }));
            match next {
                Some(next) if found.len() < max && next > from => from = next,
                _ => return found,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BundleRecord;
    use crate::time::Instant;

    struct Map(BTreeMap<Digest, BundleRecord>);

    impl Catalogue for Map {
        fn record(&self, id: &Digest) -> Option<BundleRecord> {
            self.0.get(id).cloned()
        }

        fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)> {
            self.0.range(start..).take(max).map(|(id, record)| (*id, record.clone())).collect()
        }
    }

    fn record(copies: u8) -> BundleRecord {
        BundleRecord {
            place: 0,
            destination: None,
            source: None,
            neighbour: None,
            bytes: 1,
            class: cairn_bundle::Class::Normal,
            age_ms: None,
            remaining_ms: 1,
            kept_since: Instant::ZERO,
            copies,
            handed_at: None,
            may_fragment: false,
            fragment: false,
        }
    }

    #[test]
    fn a_decision_shows_until_all_its_actions_are_handed_out() {
        let id = |n: u8| Digest([n; 32]);
        let map = Map((0..6).map(|n| (id(n), record(n))).collect());
        let mut unsaid = Unsaid::default();
        unsaid.note(id(1), Some(record(9)));
        unsaid.note(id(1), None);
        unsaid.note(id(3), Some(record(7)));
        unsaid.said(&id(1));
        let view = unsaid.over(&map);
        assert_eq!((view.record(&id(1)), view.record(&id(3))), (None, Some(record(7))));
        let ids: Vec<u8> = view.scan(&id(0), 3).into_iter().map(|(id, _)| id.0[0]).collect();
        assert_eq!(ids, [0, 2, 3], "a gap does not make a slice short");
        assert_eq!(view.scan(&id(4), 10).len(), 2);
        unsaid.said(&id(1));
        unsaid.said(&id(3));
        assert_eq!(unsaid.over(&map).record(&id(1)), Some(record(1)));
        assert!(unsaid.records.is_empty());
    }
}
