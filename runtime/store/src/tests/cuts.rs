//! Power is cut at every change the store makes to its disk.

use std::sync::mpsc;

use super::disk::{Event, FaultyDisk, play};
use super::{numbered, open, whole_batches};
use crate::Options;

/// A small generator, so that a failing cut can be replayed by its number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn coin(&mut self) -> bool {
        self.roll().is_multiple_of(2)
    }
}

/// Commits numbered batches, some alone and some in groups, and notes in the disk's log when each is acknowledged.
fn recorded() -> Vec<Event> {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options { cache_bytes: 64 * 1024, ..Options::default() }).unwrap();
    let mut next = 0;
    for in_flight in [1, 1, 6, 1, 9, 1, 4] {
        let (sender, receiver) = mpsc::channel();
        for number in next..next + in_flight {
            let (disk, sender) = (disk.clone(), sender.clone());
            let reply = move |result: Result<(), _>| {
                result.unwrap();
                disk.note(number);
                sender.send(()).unwrap();
            };
            store.submit(numbered(number), Box::new(reply));
        }
        (0..in_flight).for_each(|_| receiver.recv().unwrap());
        next += in_flight;
    }
    drop(store);
    disk.state().log.clone()
}

/// The disk after a cut: everything that was synced, and of the rest what `survives`.
fn after_cut(log: &[Event], mut survives: impl FnMut(usize) -> bool) -> Vec<u8> {
    let synced = log.iter().rposition(|event| matches!(event, Event::Sync)).map_or(0, |at| at + 1);
    let mut image = Vec::new();
    log[..synced].iter().for_each(|event| play(&mut image, event));
    let rest = log[synced..].iter().filter(|event| !matches!(event, Event::Note(_)));
    for (at, event) in rest.enumerate() {
        if survives(at) {
            play(&mut image, event);
        }
    }
    image
}

fn acknowledged(log: &[Event]) -> u32 {
    log.iter()
        .fold(0, |most, event| if let Event::Note(number) = event { most.max(number + 1) } else { most })
}

#[test]
fn power_may_be_cut_at_every_write_and_every_sync() {
    let log = recorded();
    // Before the first layout is complete there is no store yet; in a directory such a file never gets its name.
    let laid_out = log.iter().position(|event| matches!(event, Event::Note(_))).unwrap();
    for cut in laid_out..=log.len() {
        let log = &log[..cut];
        let mut dice = Dice(u64::try_from(cut).unwrap());
        let images = [
            after_cut(log, |_| false),
            after_cut(log, |_| true),
            after_cut(log, |_| dice.coin()),
            after_cut(log, |_| !dice.roll().is_multiple_of(8)),
        ];
        for (way, image) in images.into_iter().enumerate() {
            let store = open(&FaultyDisk::with(image), Options::default())
                .unwrap_or_else(|error| panic!("cut {cut}, way {way}: {error}"));
            let there = whole_batches(&store);
            assert!(there >= acknowledged(log), "cut {cut}, way {way}: {there} batches are there");
        }
    }
}

#[test]
fn a_write_may_be_torn() {
    let log = recorded();
    let laid_out = log.iter().position(|event| matches!(event, Event::Note(_))).unwrap();
    for cut in laid_out..log.len() {
        let Event::Write(offset, data) = &log[cut] else { continue };
        let mut torn = log[..cut].to_vec();
        torn.push(Event::Write(*offset, data[..data.len() / 2].to_vec()));
        let image = after_cut(&torn, |_| true);
        let store =
            open(&FaultyDisk::with(image), Options::default()).unwrap_or_else(|e| panic!("cut {cut}: {e}"));
        assert!(whole_batches(&store) >= acknowledged(&torn), "cut {cut}");
    }
}

#[test]
fn power_may_be_cut_again_while_the_store_recovers() {
    let log = recorded();
    let laid_out = log.iter().position(|event| matches!(event, Event::Note(_))).unwrap();
    for cut in (laid_out..=log.len()).step_by(17) {
        let first = after_cut(&log[..cut], |at| at % 2 == 0);
        let recovery = FaultyDisk::with(first.clone());
        drop(open(&recovery, Options::default()).unwrap());
        let steps = recovery.state().log.clone();
        for again in 0..=steps.len() {
            let mut all = vec![Event::Write(0, first.clone()), Event::Sync];
            all.extend_from_slice(&steps[..again]);
            let image = after_cut(&all, |at| at % 3 != 0);
            let store = open(&FaultyDisk::with(image), Options::default())
                .unwrap_or_else(|error| panic!("cut {cut}, then {again}: {error}"));
            assert!(whole_batches(&store) >= acknowledged(&log[..cut]), "cut {cut}, then {again}");
        }
    }
}
