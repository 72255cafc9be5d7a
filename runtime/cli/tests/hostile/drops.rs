//! Drop directories: what is damaged, foreign, oversized, replayed or no file at all.

use core::time::Duration;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use cairn_bundle::Digest;
use cairn_link::{Frame, Item, Topic, encode_chunk, frame, parcel};
use cairn_node::control::api::Request;

use super::node::{Node, OFFLINE, acquaint};
use super::person::{Dice, Person};

const FOLDER: &str = "cairn-drop";

fn stick(root: &Path, name: &str) -> PathBuf {
    let stick = root.join(name);
    fs::create_dir_all(stick.join(FOLDER)).unwrap();
    stick
}

/// Puts a file on a stick under the name that its contents ask for.
fn put(stick: &Path, bytes: &[u8]) -> String {
    let name = parcel::file_name(&Digest::of(bytes));
    fs::write(stick.join(FOLDER).join(&name), bytes).unwrap();
    name
}

/// The parcels on a stick.
fn parcels(stick: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(stick.join(FOLDER)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The name of a parcel that says nothing about any file here.
fn odd_name(number: u8) -> String {
    parcel::file_name(&Digest([number; 32]))
}

struct Pair {
    root: tempfile::TempDir,
    one: Node,
    two: Node,
}

/// Two nodes without a network that know each other.
fn pair() -> Pair {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| Node::new(root.path(), name, OFFLINE));
    one.start();
    two.start();
    acquaint(&one, &two);
    Pair { root, one, two }
}

#[test]
fn what_is_not_a_whole_parcel_is_refused_and_the_good_one_beside_it_arrives() {
    let Pair { root, one, two } = pair();
    one.send(&two, "by stick").unwrap();
    let good = stick(root.path(), "good");
    one.export(&good, &two);
    let [parcel] = &parcels(&good)[..] else { panic!("one parcel") };
    let bytes = fs::read(parcel).unwrap();

    let bad = stick(root.path(), "bad");
    let folder = bad.join(FOLDER);
    // Its name tells of damage: cut off, empty, another file's name.
    fs::write(folder.join(odd_name(1)), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(folder.join(odd_name(2)), b"").unwrap();
    fs::write(folder.join(odd_name(3)), &bytes).unwrap();
    // No regular file of a fair size: never opened, never waited for.
    File::create(folder.join(odd_name(4))).unwrap().set_len(1 << 36).unwrap();
    fs::create_dir(folder.join(odd_name(5))).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join(odd_name(6))).status().unwrap().success());
    symlink(odd_name(7), folder.join(odd_name(7))).unwrap();
    symlink("/dev/zero", folder.join(odd_name(8))).unwrap();
    symlink("nowhere", folder.join(odd_name(9))).unwrap();
    let mut expected = 9;
    // Whoever damages a file on purpose gives it the right name: every bit of the envelope, some of the rest.
    let mut dice = Dice::new(1);
    let anywhere: Vec<usize> = (0..200).map(|_| dice.below(bytes.len())).collect();
    for at in (0..200).chain(anywhere) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << dice.below(8);
        put(&bad, &flipped);
    }
    for length in (0..40).map(|_| dice.below(bytes.len())) {
        put(&bad, &bytes[..length]);
    }
    put(&bad, &[&bytes[..], b"\0"].concat());
    put(&bad, &bytes.repeat(2));
    expected += parcels(&bad).len() - expected;
    // What has no parcel's name is none of the node's business.
    fs::write(folder.join("holiday.jpg"), b"picture").unwrap();
    fs::write(folder.join(format!(".{}.part", odd_name(10))), b"cut").unwrap();

    let info = two.import(&bad);
    assert_eq!(info.files, u64::try_from(expected).unwrap());
    assert_eq!((info.items, info.for_others), (0, 0), "{:?}", info.refused);
    assert_eq!(info.refused_files, info.files, "{:?}", info.refused);
    assert_eq!(two.counter("drop files refused"), info.files);
    assert!(info.refused.iter().all(|(name, reason)| !name.is_empty() && !reason.is_empty()));

    put(&bad, &bytes);
    assert!(two.import(&bad).items > 0);
    two.receives(&["by stick"]);
}

#[test]
fn a_parcel_counts_once_however_often_it_comes() {
    let Pair { root, one, two } = pair();
    for text in ["a", "b", "c"] {
        one.send(&two, text).unwrap();
    }
    let usb = stick(root.path(), "stick");
    one.export(&usb, &two);
    assert!(two.import(&usb).items >= 3);
    two.receives(&["a", "b", "c"]);
    let again = two.import(&usb);
    assert_eq!((again.items, again.refused_files), (0, 0));
    two.kill();
    two.start();
    let again = two.import(&usb);
    assert_eq!((again.items, again.refused_files), (0, 0));
    // What its sender has not seen acknowledged comes again in another envelope.
    let second = stick(root.path(), "second");
    one.export(&second, &two);
    two.import(&second);
    assert_eq!(two.texts(), ["a", "b", "c"]);
    // The acknowledgement travels back, and then there is nothing left to say.
    let back = stick(root.path(), "back");
    two.export(&back, &one);
    assert_eq!(one.import(&back).refused_files, 0);
    let third = stick(root.path(), "third");
    one.export(&third, &two);
    two.import(&third);
    assert_eq!(two.texts(), ["a", "b", "c"]);
}

#[test]
fn parcels_of_strangers_and_for_others_are_left_alone() {
    let Pair { root, one, two } = pair();
    let third = Node::new(root.path(), "third", OFFLINE);
    third.start();
    third.befriend(&two.card(), &two.id(), Vec::new());
    one.send(&two, "not for the third").unwrap();
    third.send(&two, "from a stranger").unwrap();
    let usb = stick(root.path(), "stick");
    one.export(&usb, &two);
    third.export(&usb, &two);

    let info = third.import(&usb);
    assert_eq!((info.files, info.for_others, info.items, info.refused_files), (2, 2, 0, 0));
    let info = two.import(&usb);
    assert_eq!(info.refused_files, 1);
    assert!(info.refused[0].1.contains("no peer; hint: cairn peer add"), "{:?}", info.refused);
    two.receives(&["not for the third"]);
    // Nothing was spent: once it is a peer, the same file counts.
    two.befriend(&third.card(), &third.id(), Vec::new());
    assert_eq!(two.import(&usb).refused_files, 0);
    two.receives(&["from a stranger", "not for the third"]);
}

/// Payloads that a peer may seal, though no node would.
fn lies(liar: &Person, other: &Person) -> Vec<Vec<u8>> {
    let hello = frame::encode_hello(&liar.hello());
    let of = |frames: &[&[u8]]| [&[parcel::TAG.as_slice()], frames].concat().concat();
    let item = Item { topic: Topic::Blob, id: Digest([7; 32]) };
    let mut dice = Dice::new(2);
    vec![
        Vec::new(),
        b"hello".to_vec(),
        of(&[]),
        of(&[&hello[..hello.len() - 1]]),
        of(&[&frame::encode_hello(&other.hello())]),
        of(&[&encode_chunk(item, 5, 0, b"12345")]),
        of(&[&hello, &hello]),
        of(&[&hello, &[0, 0, 0, 0]]),
        of(&[&hello, &[0xff; 4]]),
        of(&[&hello, &u32::MAX.to_be_bytes(), &[0; 100]]),
        of(&[&hello, &encode_chunk(item, u64::MAX, u64::MAX - 5, b"12345")]),
        of(&[
            &hello,
            &Frame::Ack { topic: Topic::Bundle, ids: frame::Ids::new(&[[9; 32]; 40]) }.encode()[..50],
        ]),
        dice.bytes(5_000),
        of(&[&hello, &[0, 0, 0, 200], &dice.bytes(200)]),
    ]
}

#[test]
fn a_peer_that_seals_nonsense_is_refused_and_can_still_send_sense() {
    let Pair { root, one, two } = pair();
    let (liar, other) = (Person::new("liar", 66), Person::new("other", 67));
    two.befriend(&liar.card(), &liar.id().to_string(), Vec::new());
    let usb = stick(root.path(), "stick");
    let payloads = lies(&liar, &other);
    for payload in &payloads {
        put(&usb, &liar.bundle(&two, "meet", payload).1);
    }
    // Mail belongs into a parcel; a bundle for nobody and one for another service are nothing.
    put(&usb, &liar.bundle(&two, "inbox", b"raw").1);
    let count = u64::try_from(payloads.len() + 1).unwrap();
    let info = two.import(&usb);
    assert_eq!((info.files, info.items), (count, 0), "{:?}", info.refused);
    assert_eq!(info.refused_files, count, "{:#?}", info.refused);
    // Items that do not fit their ids, and acknowledgements of what was never sent, change nothing.
    let hello = frame::encode_hello(&liar.hello());
    let mut quiet = vec![
        Frame::Ack { topic: Topic::Bundle, ids: frame::Ids::new(&[[9; 32]]) }.encode(),
        Frame::Want { topic: Topic::Ledger, ids: frame::Ids::new(&[[9; 32]]) }.encode(),
        Frame::Have { topic: Topic::Board, ids: frame::Ids::new(&[[9; 32]]) }.encode(),
    ];
    for topic in [Topic::Bundle, Topic::Board, Topic::Ledger, Topic::Blob] {
        quiet.push(encode_chunk(Item { topic, id: Digest([7; 32]) }, 5, 0, b"12345"));
        quiet.push(encode_chunk(Item { topic, id: Digest::of(b"12345") }, 5, 0, b"12345"));
    }
    for frames in quiet {
        put(&usb, &liar.bundle(&two, "meet", &[parcel::TAG.as_slice(), &hello, &frames].concat()).1);
    }
    let info = two.import(&usb);
    assert_eq!(info.items, 0, "{info:#?}");
    one.send(&two, "sense").unwrap();
    one.export(&usb, &two);
    two.import(&usb);
    two.receives(&["sense"]);
}

#[test]
fn ten_thousand_files_of_garbage_are_counted_and_named_up_to_a_limit() {
    const COUNT: u64 = 10_000;
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "one", OFFLINE);
    node.start();
    let usb = stick(root.path(), "stick");
    for number in 0..COUNT {
        put(&usb, &number.to_be_bytes());
    }
    let info = node.import(&usb);
    assert_eq!((info.files, info.refused_files, info.items), (COUNT, COUNT, 0));
    assert!(info.refused.len() < 1_000, "an answer stays readable");
    assert_eq!(node.counter("drop files refused"), COUNT);
}

#[test]
fn a_directory_that_cannot_be_used_is_told_with_a_hint() {
    let Pair { root, one, two } = pair();
    one.send(&two, "x").unwrap();
    let export = |directory: &Path| Request::CarryExport { directory: directory.to_owned(), to: Vec::new() };
    let import = |directory: &Path| Request::CarryImport { directory: directory.to_owned() };
    let (missing, file) = (root.path().join("missing"), root.path().join("file"));
    fs::write(&file, b"no directory").unwrap();
    // Nobody, not even root, can make a directory there.
    let closed = Path::new("/proc/self/fdinfo");
    for request in [export(&missing), export(&file), export(closed), import(&missing), import(&file)] {
        let (message, hint) = one.refuses(&request);
        assert!(message.starts_with("cannot ") && hint.is_some(), "{message}");
    }
    // The folder inside is a file; and then the stick goes between export and import.
    let odd = root.path().join("odd");
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join(FOLDER), b"no directory").unwrap();
    one.refuses(&export(&odd));
    let usb = stick(root.path(), "stick");
    one.export(&usb, &two);
    let gone = root.path().join("gone");
    fs::rename(&usb, &gone).unwrap();
    two.refuses(&import(&usb));
    fs::rename(&gone, &usb).unwrap();
    two.import(&usb);
    two.receives(&["x"]);
}

#[test]
fn a_stick_pulled_out_in_the_middle_is_made_whole_by_the_next_export() {
    let Pair { root, one, two } = pair();
    one.send(&two, "first").unwrap();
    let usb = stick(root.path(), "stick");
    one.export(&usb, &two);
    // A file system without a journal can show the new name with half of the contents.
    let [whole] = &parcels(&usb)[..] else { panic!("one parcel") };
    let bytes = fs::read(whole).unwrap();
    File::options().write(true).open(whole).unwrap().set_len(100).unwrap();
    let part = usb.join(FOLDER).join(format!(".{}.part", odd_name(1)));
    fs::write(&part, &bytes[..70]).unwrap();
    let yesterday = SystemTime::now() - Duration::from_secs(24 * 3_600);
    File::options().write(true).open(&part).unwrap().set_modified(yesterday).unwrap();
    let info = two.import(&usb);
    assert_eq!((info.items, info.refused_files), (0, 1));
    one.send(&two, "second").unwrap();
    one.export(&usb, &two);
    two.import(&usb);
    two.receives(&["first", "second"]);
    assert!(!part.exists(), "the unfinished file of a dead export does not lie there for ever");
}
