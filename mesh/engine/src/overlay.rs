//! Decisions over a catalogue that does not show them yet: because their actions were not handed out, or because what
//! came of them is still on its way to the disk. A host hides with it, too, what is on the disk before the engine is told.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cairn_bundle::Digest;

use crate::catalogue::Catalogue;
use crate::record::BundleRecord;

/// Records as they were decided: changed, or gone.
#[derive(Debug, Default)]
pub struct Overlay {
    /// With the number of steps that the catalogue does not show.
    records: BTreeMap<Digest, (u32, Option<BundleRecord>)>,
}

impl Overlay {
    /// The record was changed, or deleted (`None`); the catalogue will show it after one more step.
    pub fn note(&mut self, id: Digest, record: Option<BundleRecord>) {
        let steps = self.records.get(&id).map_or(0, |(steps, _)| *steps);
        self.records.insert(id, (steps.saturating_add(1), record));
    }

    /// The catalogue shows one step more. After the last one, what it shows counts.
    pub fn shown(&mut self, id: &Digest) {
        if let Some((steps, _)) = self.records.get_mut(id) {
            *steps = steps.saturating_sub(1);
            if *steps == 0 {
                self.records.remove(id);
            }
        }
    }

    /// Whether the catalogue does not show everything yet that was decided of a bundle.
    #[must_use]
    pub fn contains(&self, id: &Digest) -> bool {
        self.records.contains_key(id)
    }

    /// What a catalogue shows, and what was decided since.
    pub const fn over<C: Catalogue>(&self, catalogue: C) -> Overlaid<'_, C> {
        Overlaid { overlay: self, catalogue }
    }
}

/// See [`Overlay::over`].
#[derive(Debug)]
pub struct Overlaid<'a, C> {
    overlay: &'a Overlay,
    catalogue: C,
}

impl<C: Catalogue> Catalogue for Overlaid<'_, C> {
    fn record(&self, id: &Digest) -> Option<BundleRecord> {
        match self.overlay.records.get(id) {
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
            found.extend(slice.into_iter().filter_map(|(id, record)| match self.overlay.records.get(&id) {
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
    fn a_decision_shows_until_the_catalogue_has_taken_all_its_steps() {
        let id = |n: u8| Digest([n; 32]);
        let map = Map((0..6).map(|n| (id(n), record(n))).collect());
        let mut overlay = Overlay::default();
        overlay.note(id(1), Some(record(9)));
        overlay.note(id(1), None);
        overlay.note(id(3), Some(record(7)));
        overlay.shown(&id(1));
        let view = overlay.over(&map);
        assert_eq!((view.record(&id(1)), view.record(&id(3))), (None, Some(record(7))));
        let ids: Vec<u8> = view.scan(&id(0), 3).into_iter().map(|(id, _)| id.0[0]).collect();
        assert_eq!(ids, [0, 2, 3], "a gap does not make a slice short");
        assert_eq!(view.scan(&id(4), 10).len(), 2);
        overlay.shown(&id(1));
        overlay.shown(&id(3));
        assert_eq!(overlay.over(&map).record(&id(1)), Some(record(1)));
        assert!(overlay.records.is_empty());
    }
}
