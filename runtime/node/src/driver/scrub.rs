//! Comparing the store with its checksums, a slice now and then, so that damage is found while peers can mend it.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use cairn_store::{Op, Priority, Read, Store, Table};
use tokio::sync::mpsc::UnboundedSender;

use super::Done;

/// How long a slice is compared at a time.
const SLICE: Duration = Duration::from_millis(20);
/// Between two slices, and after the last one.
const PAUSE: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(6 * 3_600);
/// How often it is written down how far it came. A node that is switched off every evening would otherwise never get
/// beyond what it can compare in a day.
const KEPT_EVERY: Duration = Duration::from_secs(300);
/// Key of the position in [`Table::Meta`].
const POSITION: &[u8] = b"scrub";

/// When the store is compared.
#[derive(Debug)]
pub(super) struct Scrub {
    /// None while a slice is under way.
    due: Option<Instant>,
    kept: Instant,
}

impl Scrub {
    /// Goes on where an earlier life of the node stopped.
    pub(super) fn new(store: &Store) -> Self {
        // Without a position everything is compared from the beginning.
        if let Ok(Some(position)) = store.get(Table::Meta, POSITION) {
            store.scrub_from(&position);
        }
        let now = Instant::now();
        Self { due: Some(now), kept: now }
    }

    /// Compares a slice, if it is time for one.
    pub(super) fn go_on(&mut self, store: &Arc<Store>, done: &UnboundedSender<Done>) {
        let now = Instant::now();
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        let keeps = now.duration_since(self.kept) >= KEPT_EVERY;
        if keeps {
            self.kept = now;
        }
        let (store, done) = (Arc::clone(store), done.clone());
        tokio::task::spawn_blocking(move || {
            let (damaged, whole) = slice(&store, SLICE, keeps);
            let _ = done.send(Done::Scrubbed { damaged, whole });
        });
    }

    /// A slice is over; with the last one (`whole`) the store was compared as a whole.
    pub(super) fn note_done(&mut self, whole: bool) {
        self.due = Some(Instant::now() + if whole { REST } else { PAUSE });
    }
}

/// One slice: what it found, and whether it was the last one.
fn slice(store: &Store, budget: Duration, keeps: bool) -> (Vec<(Table, Vec<u8>)>, bool) {
    // A store that cannot be read says so to everybody who uses it.
    let Ok(report) = store.scrub_step(budget) else { return (Vec::new(), true) };
    if keeps || report.done {
        // What is not written down is compared once more.
        let _ = store.commit_with(vec![Op::put(Table::Meta, POSITION, report.position)], Priority::Normal);
    }
    (report.damaged, report.done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_store::Options;

    const ROWS: u32 = 100;

    fn open(home: &std::path::Path) -> (Store, Scrub) {
        let store = Store::open(home, Options::default()).unwrap();
        let scrub = Scrub::new(&store);
        (store, scrub)
    }

    /// Slices of one value each until the whole store was compared.
    fn slices_to_the_end(store: &Store) -> u32 {
        (1..).find(|_| slice(store, Duration::ZERO, false).1).unwrap()
    }

    #[test]
    fn a_node_that_is_switched_off_goes_on_with_the_scrub_where_it_was() {
        let home = tempfile::tempdir().unwrap();
        let (store, _) = open(home.path());
        let row = |n: u32| Op::put(Table::Bundles, n.to_be_bytes(), [7; 50]);
        store.commit((0..ROWS).map(row).collect()).unwrap();
        for n in 1..=80 {
            slice(&store, Duration::ZERO, n % 10 == 0);
        }
        store.close();
        let (store, _) = open(home.path());
        let left = slices_to_the_end(&store);
        assert!((20..=25).contains(&left), "{left} slices");
        // After the last one it begins anew, also after a restart.
        store.close();
        let (store, _) = open(home.path());
        assert!(slices_to_the_end(&store) >= ROWS);
        store.close();
    }

    #[test]
    fn a_position_that_makes_no_sense_is_the_beginning() {
        let home = tempfile::tempdir().unwrap();
        let (store, _) = open(home.path());
        store.commit(vec![Op::put(Table::Meta, POSITION, *b"nonsense")]).unwrap();
        store.close();
        let (store, mut scrub) = open(home.path());
        assert_eq!(slices_to_the_end(&store), 1);
        scrub.note_done(true);
        assert!(scrub.due.is_some_and(|due| due > Instant::now()));
    }
}
