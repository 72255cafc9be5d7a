//! What the engine reads of the bundles that are durable here.

use alloc::vec::Vec;

use cairn_bundle::Digest;

use crate::record::BundleRecord;

/// The index of carried bundles, kept by the host: a table of a database in the daemon, a map in the simulator, a
/// fixed array on a microcontroller.
///
/// It shows exactly what the engine was told: a bundle from the [`Event::Taken`](crate::Event::Taken) or
/// [`Event::Carry`](crate::Event::Carry) by which the engine hears of it, until
/// [`Action::Forget`](crate::Action::Forget) was handed out, and its record as
/// [`Action::Update`](crate::Action::Update) changed it last. A row that is durable and not told yet is left out
/// ([`Overlay`](crate::Overlay)): sums and rows that differ would hide another bundle from a comparison with a peer. A
/// read that fails is a bundle that is not there: it is offered again when it can be read.
pub trait Catalogue {
    /// What is known of a carried bundle; `None` if it is not carried or cannot be read.
    fn record(&self, id: &Digest) -> Option<BundleRecord>;

    /// Up to `max` carried bundles in order of their ids, from the first id that is not below `start`.
    fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)>;
}

impl<C: Catalogue + ?Sized> Catalogue for &C {
    fn record(&self, id: &Digest) -> Option<BundleRecord> {
        (**self).record(id)
    }

    fn scan(&self, start: &Digest, max: usize) -> Vec<(Digest, BundleRecord)> {
        (**self).scan(start, max)
    }
}
