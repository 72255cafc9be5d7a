//! Power is cut at every change the store makes to its disk, to the redb file and to segment files.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::mpsc;

use super::disk::{Event, FaultyDisk, Image, Log};
use super::{numbered, open, segment_files, whole_batches};
use crate::Options;
use crate::medium::Broken;
use crate::writer::Writer;

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
fn recorded(broken: Broken, is_long: bool) -> Log {
    let disk = FaultyDisk::broken(broken);
    disk.state().is_long = is_long;
    let store = open(&disk, Options { cache_bytes: 64 * 1024, ..Options::default() }).unwrap();
    let mut next = 0;
    for in_flight in [1, 1, 6, 1, 9, 1, 1, 4, 1, 2, 1, 3, 1, 1, 8, 1, 1, 1] {
        let (sender, receiver) = mpsc::channel();
        // The writer waits until all of them are there, so that they make one group in every run.
        let (go, wait) = mpsc::channel::<()>();
        store.shared.send(Box::new(move |_| wait.recv().unwrap()));
        for number in next..next + in_flight {
            let (disk, sender) = (disk.clone(), sender.clone());
            let reply = move |result: Result<(), _>| {
                result.unwrap();
                disk.note(number);
                sender.send(()).unwrap();
            };
            store.submit(numbered(number), Box::new(reply));
        }
        go.send(()).unwrap();
        (0..in_flight).for_each(|_| receiver.recv().unwrap());
        if is_long && in_flight == 1 {
            store.shared.send(Box::new(Writer::record));
        }
        next += in_flight;
    }
    drop(store);
    let events = disk.state().log.clone();
    events.into()
}

fn acknowledged(log: &Log, cut: usize) -> u32 {
    let notes = log.events[..cut].iter();
    notes.fold(0, |most, event| if let Event::Note(number) = event { most.max(number + 1) } else { most })
}

/// Before the first layout is complete there is no store yet; in a directory such a file never gets its name.
fn laid_out(log: &Log) -> usize {
    log.events.iter().position(|event| matches!(event, Event::Note(_))).unwrap()
}

/// What a disk may hold after a cut: nothing that was not synced, all of it, parts of it in any order (each change
/// lasts or is lost on its own).
fn images(log: &Log, cut: usize) -> [Image; 4] {
    let mut dice = Dice(u64::try_from(cut).unwrap());
    [
        Image::default().then(log, cut, |_| false),
        Image::default().then(log, cut, |_| true),
        Image::default().then(log, cut, |_| dice.coin()),
        Image::default().then(log, cut, |_| !dice.roll().is_multiple_of(8)),
    ]
}

/// Opens what a cut left: what was acknowledged is there, nothing is there in part, no orphan stays, and it goes on.
fn must_be_whole(image: Image, acknowledged: u32, what: &dyn core::fmt::Display) {
    must_be_whole_on(&FaultyDisk::with(image), acknowledged, what);
}

fn must_be_whole_on(disk: &FaultyDisk, acknowledged: u32, what: &dyn core::fmt::Display) {
    let store = open(disk, Options::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let there = whole_batches(&store);
    assert!(there >= acknowledged, "{what}: {there} batches are there of {acknowledged}");
    assert_eq!(segment_files(disk), super::expected_files(there), "{what}");
    store.commit(numbered(there)).unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[test]
fn power_may_be_cut_at_every_write_and_every_sync() {
    let log = recorded(Broken::default(), false);
    let first = laid_out(&log);
    for cut in first..=log.events.len() {
        for (way, image) in images(&log, cut).into_iter().enumerate() {
            must_be_whole(image, acknowledged(&log, cut), &format_args!("cut {cut}, way {way}"));
        }
    }
    let points = log.events[first..].iter().filter(|event| !matches!(event, Event::Note(_)));
    let (syncs, writes): (Vec<_>, Vec<_>) = points.partition(|event| event.is_sync());
    println!("cut at {} changes and {} syncs, in 4 ways each", writes.len(), syncs.len());
}

#[test]
fn a_long_file_that_is_not_checked_at_opening_is_cut_as_well() {
    let log = recorded(Broken::default(), true);
    let first = laid_out(&log);
    for cut in first..=log.events.len() {
        for (way, image) in images(&log, cut).into_iter().enumerate() {
            let disk = FaultyDisk::with(image);
            disk.state().is_long = true;
            must_be_whole_on(&disk, acknowledged(&log, cut), &format_args!("cut {cut}, way {way}"));
        }
    }
    println!("cut at {} changes and syncs of a long file, in 4 ways each", log.events.len() - first);
}

#[test]
fn power_may_be_cut_while_the_store_is_compacted() {
    let disk = FaultyDisk::default();
    let store = open(&disk, Options::default()).unwrap();
    (0..24).for_each(|number| store.commit(numbered(number)).unwrap());
    drop(store);
    let before = disk.durable();
    let disk = FaultyDisk::with(before.clone());
    let store = open(&disk, Options::default()).unwrap();
    store.compact(&mut |_, _| {}).unwrap();
    let log = Log::from(disk.state().log.clone());
    for cut in 0..=log.events.len() {
        for way in 0..3 {
            let image = before.clone().then(&log, cut, |at| way == 1 || way == 2 && at % 2 == 0);
            must_be_whole(image, 24, &format_args!("cut {cut}, way {way}"));
        }
    }
    println!("cut at {} changes and syncs of a compaction, in 3 ways each", log.events.len());
}

#[test]
fn a_write_may_be_torn() {
    let log = recorded(Broken::default(), false);
    let mut torn_writes = 0;
    for cut in laid_out(&log)..log.events.len() {
        let torn = match &log.events[cut] {
            Event::Write(offset, data) => Event::Write(*offset, data[..data.len() / 2].to_vec()),
            Event::Fill(inode, offset, data) => Event::Fill(*inode, *offset, data[..data.len() / 3].to_vec()),
            _ => continue,
        };
        torn_writes += 1;
        let mut image = Image::default().then(&log, cut, |_| true);
        image.play(&torn);
        must_be_whole(image, acknowledged(&log, cut), &format_args!("torn at {cut}"));
    }
    println!("{torn_writes} torn writes");
}

#[test]
fn power_may_be_cut_again_while_the_store_recovers() {
    let log = recorded(Broken::default(), false);
    let mut cuts = 0;
    for cut in (laid_out(&log)..=log.events.len()).step_by(29) {
        let first = Image::default().then(&log, cut, |at| at % 2 == 0);
        let recovery = FaultyDisk::with(first.clone());
        whole_batches(&open(&recovery, Options::default()).unwrap());
        let steps = Log::from(recovery.state().log.clone());
        for again in 0..=steps.events.len() {
            let image = first.clone().then(&steps, again, |at| at % 3 != 0);
            must_be_whole(image, acknowledged(&log, cut), &format_args!("cut {cut}, then {again}"));
            cuts += 1;
        }
    }
    println!("{cuts} second cuts");
}

#[test]
fn a_store_that_breaks_its_promise_is_caught() {
    for broken in [
        Broken { acknowledges_before_sync: true, ..Broken::default() },
        Broken { refers_before_sync: true, ..Broken::default() },
        Broken { removes_before_commit: true, ..Broken::default() },
    ] {
        let log = recorded(broken, false);
        let is_caught = (laid_out(&log)..=log.events.len()).any(|cut| {
            images(&log, cut).into_iter().any(|image| {
                let check = || must_be_whole(image, acknowledged(&log, cut), &"a broken variant");
                catch_unwind(AssertUnwindSafe(check)).is_err()
            })
        });
        assert!(is_caught, "{broken:?} is not noticed");
    }
}
