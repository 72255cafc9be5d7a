//! What follows from what is known: one pass over boards and ledger that decides the node's next facts.
//!
//! Every duty here is derived from durable state alone, so a node that was killed at any moment finds
//! the same next step again after its restart.

use cairn_bundle::Digest;
use cairn_engine::{Event, Scope};
use cairn_link::{Item, Topic};

use super::Core;
use super::commit::Tx;

/// Rounds of consequences of consequences in one go; what is left waits for the next input.
const ROUNDS_MAX: usize = 16;

impl Core {
    /// Draws all conclusions from what changed since the last time.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !core::mem::take(&mut self.dirty) {
                return;
            }
            self.refresh_views();
            self.look_for_blobs();
            let mut tx = Tx::default();
            self.fund_jobs(&mut tx);
            self.forward_locks(&mut tx);
            self.release_locks(&mut tx);
            self.close_jobs(&mut tx);
            self.commits.own(tx);
            self.start_tasks();
        }
    }

    /// Blobs that open jobs name are wanted, and those that are here are offered to the members.
    fn look_for_blobs(&mut self) {
        let mut offers = Vec::new();
        let mut wanted = Vec::new();
        for slot in self.boards.iter() {
            for job in slot.view.jobs.values() {
                let modules = job.job.rungs.iter().map(|rung| rung.module.id);
                let outputs = job.results.iter().map(|result| result.result.output.id);
                let inputs = modules.chain([job.job.input.id]).filter(|_| job.state.is_open());
                for id in inputs.chain(outputs) {
                    match self.blobs.get(&id) {
                        Some(bytes) => offers.push((id, *bytes, slot.group)),
                        None => wanted.push(id),
                    }
                }
            }
        }
        for (id, bytes, group) in offers {
            self.engine(Event::Hold { item: blob(id), bytes, scope: Scope::Group(group), place: None });
        }
        for id in wanted {
            if self.wanted_blobs.insert(id) {
                self.engine(Event::WantBlob { id });
            }
        }
    }

    /// A blob is on disk.
    pub(super) fn have_blob(&mut self, id: Digest, bytes: u64) {
        self.wanted_blobs.remove(&id);
        if self.blobs.insert(id, bytes).is_none() {
            self.dirty = true;
        }
    }
}

const fn blob(id: Digest) -> Item {
    Item { topic: Topic::Blob, id }
}
