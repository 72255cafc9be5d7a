//! Drops: files that somebody carries, loses, mixes up, copies or damages on the way.

use std::collections::VecDeque;

use cairn_bundle::{Bundle, Identity, open};
use cairn_link::parcel_frames;
use cairn_node::core::Parcel;

use crate::node::Import;
use crate::world::{Event, World};

/// Longest journey of a drop, in milliseconds.
const JOURNEY_MS_MAX: u64 = 3_600_000;

impl World {
    /// Writes a drop on one node and has it carried to another.
    pub(crate) fn courier(&mut self, from: usize, to: usize) {
        let (now, peer) = (self.now, self.node(to).me);
        let here = self.node_mut(from);
        let clock = here.clock(now);
        let Some(core) = &mut here.core else { return };
        let files =
            core.export_parcels(clock, &peer, &here.disk).map(|exported| exported.files).unwrap_or_default();
        let mut files: Vec<Vec<u8>> = files.into_iter().map(|file| file.bytes).collect();
        self.drain(from);
        self.overhear(from, to, &files);
        let (names, count) = ((self.name(from), self.name(to)), files.len());
        self.trace.say(now, &names.0, || format!("writes {count} files for {}", names.1));
        if self.dice.percent(self.faults.drop_lost_percent) {
            return;
        }
        self.spoil(&mut files);
        let journey = self.dice.pick(1..JOURNEY_MS_MAX);
        self.after(journey, Event::Arrive { node: to, files });
    }

    /// The simulator knows every key: it looks for promises in sealed parcels, too.
    fn overhear(&mut self, from: usize, to: usize, files: &[Vec<u8>]) {
        let reader = Identity::from_seed(&self.node(to).seed);
        let prekeys = self.node(to).prekeys();
        for file in files {
            let bundle = Bundle::decode(file, &cairn_bundle::Limits::default());
            let Some(opened) = bundle.ok().and_then(|bundle| open(&bundle, &reader, &prekeys).ok()) else {
                continue;
            };
            if let Ok(frames) = parcel_frames(&opened.payload) {
                self.witness.hear(from, frames);
            }
        }
    }

    fn spoil(&mut self, files: &mut Vec<Vec<u8>>) {
        for _ in 0..files.len() {
            let (one, other) = (self.dice.index(files.len()), self.dice.index(files.len()));
            files.swap(one, other);
        }
        let mut spoilt = Vec::new();
        for mut file in files.drain(..) {
            if self.dice.percent(self.faults.file_twice_percent) {
                spoilt.push(file.clone());
            }
            if self.dice.percent(self.faults.file_damaged_percent) {
                let (byte, bit) = (self.dice.index(file.len()), self.dice.pick(0..8));
                if self.dice.percent(50) {
                    file.truncate(byte);
                } else if let Some(byte) = file.get_mut(byte) {
                    *byte ^= 1 << bit;
                }
            }
            if !self.dice.percent(self.faults.file_lost_percent) {
                spoilt.push(file);
            }
        }
        *files = spoilt;
    }

    pub(crate) fn import(&mut self, node: usize, files: Vec<Vec<u8>>) {
        if self.node(node).core.is_some() {
            let import = Import { files: VecDeque::from(files), ..Import::default() };
            self.node_mut(node).imports.push_back(import);
            self.drain(node);
        }
    }

    /// Takes the imports of a node one step further; says whether anything happened.
    pub(crate) fn step_import(&mut self, node: usize) -> bool {
        let now = self.now;
        let here = self.node_mut(node);
        let clock = here.clock(now);
        let (Some(core), Some(import)) = (&mut here.core, here.imports.front_mut()) else { return false };
        if let Some((link, file)) = import.current.take() {
            let Some(state) = core.import_state(link, &here.disk) else {
                import.current = Some((link, file));
                return false;
            };
            if state.broken.is_none() && state.refused > 0 && !import.second_round {
                import.again.push_back(file);
            }
            return true;
        }
        if import.files.is_empty() && !import.second_round {
            import.second_round = true;
            import.files = core::mem::take(&mut import.again);
        }
        let Some(file) = import.files.pop_front() else {
            here.imports.pop_front();
            return true;
        };
        let parcel = core.import_parcel(clock, &file, &here.disk);
        if let Parcel::Mine(link) = &parcel {
            import.current = Some((*link, file));
        }
        let said = format!("{parcel:?}");
        self.trace.add(now, node, "parcel", said.as_bytes());
        let name = self.name(node);
        self.trace.say(now, &name, || format!("reads a parcel: {said}"));
        true
    }
}
