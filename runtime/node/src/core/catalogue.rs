//! The index of carried bundles as the engine reads it.

use core::ops::ControlFlow;

use cairn_bundle::Digest;
use cairn_engine::{BundleRecord, Catalogue};
use cairn_store::{Read, Table};

/// The table on the disk; what is on its way there lies over it ([`cairn_engine::Overlay`]).
pub(crate) struct DiskIndex<'a>(pub(crate) &'a dyn Read);

impl Catalogue for DiskIndex<'_> {
    fn record(&self, id: &Digest) -> Option<BundleRecord> {
        let row = self.0.get(Table::Index, id.as_bytes()).ok()??;
        BundleRecord::decode(&row).ok()
    }

    fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)> {
        let mut found = Vec::new();
        let visited = self.0.for_each_from(Table::Index, start.as_bytes(), &mut |key, value| {
            if found.len() >= max {
                return ControlFlow::Break(());
            }
            let id = <[u8; 32]>::try_from(key).map(Digest);
            found.extend(id.ok().zip(BundleRecord::decode(value).ok()));
            ControlFlow::Continue(())
        });
        // A disk that fails shows what it showed so far; the rest is found again when it works.
        let _ = visited;
        found
    }
}
