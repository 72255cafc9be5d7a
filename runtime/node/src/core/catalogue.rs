//! The index of carried bundles as the engine reads it: the table on disk, and what is on its way there.

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use cairn_bundle::Digest;
use cairn_engine::{BundleRecord, Catalogue};
use cairn_store::{Read, Table};

/// Records that were handed to the store and are not durable yet: changed, or deleted.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    /// With the number of batches that hold them.
    records: BTreeMap<Digest, (u32, Option<BundleRecord>)>,
}

impl Unwritten {
    /// A batch with this record, or with its deletion, is on its way.
    pub(crate) fn note(&mut self, id: Digest, record: Option<BundleRecord>) {
        let waiting = self.records.get(&id).map_or(0, |(waiting, _)| *waiting);
        self.records.insert(id, (waiting.saturating_add(1), record));
    }

    /// A batch is durable.
    pub(crate) fn written(&mut self, id: &Digest) {
        if let Some((waiting, _)) = self.records.get_mut(id) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.records.remove(id);
            }
        }
    }

    /// Whether a batch with this record, or with its deletion, is still on its way.
    pub(crate) fn is_on_its_way(&self, id: &Digest) -> bool {
        self.records.contains_key(id)
    }

    /// What the disk shows, and what was decided since.
    pub(crate) const fn over<'a>(&'a self, disk: &'a dyn Read) -> DiskCatalogue<'a> {
        DiskCatalogue { unwritten: self, disk }
    }
}

/// See [`Unwritten::over`].
pub(crate) struct DiskCatalogue<'a> {
    unwritten: &'a Unwritten,
    disk: &'a dyn Read,
}

impl Catalogue for DiskCatalogue<'_> {
    fn record(&self, id: &Digest) -> Option<BundleRecord> {
        match self.unwritten.records.get(id) {
            Some((_, record)) => record.clone(),
            None => {
                let row = self.disk.get(Table::Index, id.as_bytes()).ok()??;
                BundleRecord::decode(&row).ok()
            }
        }
    }

    fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)> {
        let mut found = Vec::new();
        let visited = self.disk.for_each_from(Table::Index, start.as_bytes(), &mut |key, value| {
            if found.len() >= max {
                return ControlFlow::Break(());
            }
            if let Ok(id) = <[u8; 32]>::try_from(key).map(Digest) {
                let record = match self.unwritten.records.get(&id) {
                    Some((_, record)) => record.clone(),
                    None => BundleRecord::decode(value).ok(),
                };
                found.extend(record.map(|record| (id, record)));
            }
            ControlFlow::Continue(())
        });
        // A disk that fails shows what it showed so far; the rest is found again when it works.
        let _ = visited;
        found
    }
}
