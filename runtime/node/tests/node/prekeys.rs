//! Prekeys of whole nodes: kept before they are announced, forgotten in every file, never lost to a clock.

use std::fs;
use std::path::Path;

use cairn_bundle::{
    Bundle, Card, Class, CreationTimestamp, Draft, Eid, Fallback, Identity, OpenError, Prekeys, SealedTo,
    SenderClock, SignedCard, open, seal,
};
use cairn_engine::Instant;
use cairn_node::control::api::{KeyKind, Request, Response};
use cairn_node::core::{Attachment, Clock, Core, Input, Output, SeedRng};
use cairn_node::prekeys_file::PrekeysFile;
use cairn_store::{Read, Table};

use crate::host::{DAY, HOUR, Node, TODAY, meet, start};

fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            found.push((entry.display().to_string(), fs::read(&entry).unwrap()));
        }
    }
    found
}

fn letter(to: &Card, wall_s: u64, seq: u64) -> (Bundle, SealedTo) {
    let target = to.sealing_target(&SenderClock { wall_s: Some(wall_s), heard_s: None });
    let draft = Draft {
        destination: Eid::node(&to.node, "inbox").unwrap(),
        source_service: "inbox",
        creation: CreationTimestamp { time_ms: 1, seq },
        lifetime_ms: 1,
        hop_limit: 1,
        class: Class::Normal,
        age_ms: None,
        may_fragment: false,
        admin_record: false,
        payload: b"stones",
    };
    let mut rng = SeedRng::new(&[9; 32]);
    (seal(&draft, &Identity::from_seed(&[9; 32]), &target.key, &mut rng).unwrap(), target.kind)
}

#[test]
fn whoever_takes_the_data_directory_on_day_20_reads_no_mail_of_before_day_5() {
    let mut node = Node::new(1, Some(TODAY));
    node.ask(Request::BoardCreate { name: "relief".into() });
    let mut mail = Vec::new();
    for day in 0..=20 {
        if day > 0 {
            (0..24).for_each(|_| node.pass(HOUR));
        }
        if day % 7 == 3 {
            node = node.restart(0);
        }
        let (bundle, kind) = letter(&node.card(), TODAY + day * DAY, day);
        assert_eq!(kind, SealedTo::Prekey, "day {day}");
        mail.push(bundle);
    }
    let taken = PrekeysFile::new(node.home.path()).load().unwrap().prekeys;
    let identity = Identity::from_seed(&[1; 32]);
    let opened: Vec<bool> = mail.iter().map(|bundle| open(bundle, &identity, &taken).is_ok()).collect();
    assert!(opened[..5].iter().all(|opened| !opened), "{opened:?}");
    assert!(opened[7..].iter().all(|opened| *opened), "{opened:?}");
    assert_eq!(open(&mail[4], &identity, &taken), Err(OpenError::ErasedKey));
    // What is in no file cannot be taken: neither the mail's keys nor anything that they are made of.
    let (held, files) = (taken.encode(), files(node.home.path()));
    assert!(files.len() >= 2, "the store and the file of prekeys");
    let lies_in = |secret: &[u8], bytes: &[u8]| bytes.windows(32).any(|window| window == secret);
    for secret in &node.secrets {
        for (name, bytes) in &files {
            assert!(!lies_in(secret, bytes) || lies_in(secret, &held), "an erased secret lies in {name}");
        }
    }
}

#[test]
fn an_erased_secret_of_one_long_run_is_in_no_file() {
    let mut node = Node::new(1, Some(TODAY));
    (0..20 * 24).for_each(|_| node.pass(HOUR));
    assert_eq!(node.secrets.len(), 21);
    let files = files(node.home.path());
    for (day, secret) in node.secrets.iter().enumerate() {
        let lies = files.iter().any(|(_, bytes)| bytes.windows(32).any(|window| window == &secret[..]));
        assert_eq!(lies, day > 5, "secret of day {day}");
    }
}

#[test]
fn a_prekey_and_its_card_are_durable_before_anybody_sees_them() {
    let home = tempfile::tempdir().unwrap();
    let clock = Clock { now: Instant::ZERO, wall: Some(TODAY) };
    let (store, mut core) = start(home.path(), 1, clock);
    core.handle(
        clock,
        Input::Request { request: 1, ask: Request::CardExport, attachment: Attachment::None },
        &store,
    );
    let outputs: Vec<Output> = core_outputs(&mut core);
    assert!(matches!(outputs[..], [Output::KeepPrekeys { .. }]), "{outputs:?}");
    core.handle(clock, Input::PrekeysKept { durable: true }, &store);
    assert!(core.own_card().card().prekeys.is_empty(), "the card is not durable yet");
    let outputs = core_outputs(&mut core);
    let [Output::Commit { commit, batch, .. }] = &outputs[..] else { panic!("{outputs:?}") };
    store.commit(batch.clone()).unwrap();
    core.handle(clock, Input::Committed { commit: *commit, durable: true }, &store);
    assert_eq!(core.own_card().card().prekeys.len(), 1);
    let outputs = core_outputs(&mut core);
    let [Output::Reply { request: 1, answer }] = &outputs[..] else { panic!("{outputs:?}") };
    let Response::Text { text } = &answer.response else { panic!("{answer:?}") };
    assert_eq!(SignedCard::from_text(text).unwrap(), *core.own_card());
}

fn core_outputs(core: &mut Core) -> Vec<Output> {
    core::iter::from_fn(|| core.poll()).filter(|output| !matches!(output, Output::Say(_))).collect()
}

#[test]
fn a_disk_that_takes_no_prekeys_leaves_the_long_term_key_and_a_warning() {
    let mut node = Node::new(1, Some(TODAY));
    node.file_works = false;
    let before = node.card();
    (0..25).for_each(|_| node.pass(HOUR));
    assert_eq!(node.card(), before, "the old one is announced on");
    assert!(node.status().warnings.iter().any(|warning| warning.contains("does not take new prekeys")));
    let addresses = vec!["192.0.2.7:4433".to_owned()];
    node.input(Input::Addresses { addresses: addresses.clone() });
    assert_eq!((node.card().prekeys, node.card().addresses), (before.prekeys.clone(), addresses));
    node.file_works = true;
    node.pass(2);
    assert_ne!(node.card().prekeys, before.prekeys);
    assert_eq!(node.status().warnings, Vec::<String>::new());
}

#[test]
fn a_restart_keeps_card_and_keys_and_the_running_time() {
    let node = Node::new(1, None);
    let (card, held) = (node.card(), node.secrets.len());
    assert_eq!((card.prekeys[0].valid_until_s, held), (0, 1), "no clock, no date");
    let mut node = node.restart(0);
    assert_eq!(node.card(), card, "the same card, and no counter used up");
    // A node without a clock that is switched off every evening rotates all the same.
    let mut rotations = 0;
    for _day in 0..10 {
        (0..12).for_each(|_| node.pass(HOUR));
        rotations += node.secrets.len();
        node = node.restart(0);
        rotations += node.secrets.len();
    }
    assert_eq!(rotations, 5);
    assert!(node.card().counter > card.counter);
}

#[test]
fn a_node_that_lost_its_store_is_believed_again_by_its_clock() {
    let node = Node::new(1, Some(TODAY));
    let before = node.card().counter;
    let (home, clock) = (node.home, Clock { now: Instant::ZERO, wall: Some(TODAY + 1) });
    node.store.close();
    fs::remove_dir_all(home.path().join("store")).unwrap();
    let (store, core) = start(home.path(), 1, clock);
    let mut node = Node { home, store, core, clock, ..Node::new(1, None) };
    node.drain();
    assert!(node.card().counter > before);
    assert_eq!(node.card().prekeys.len(), 1);
}

#[test]
fn a_clock_that_jumps_every_hour_loses_no_mail() {
    let mut node = Node::new(1, Some(TODAY));
    let (first, kind) = letter(&node.card(), TODAY, 0);
    assert_eq!(kind, SealedTo::Prekey);
    for hour in 0..7 * 24_u64 {
        node.clock.wall =
            [Some(TODAY + 9_000 * DAY), None, Some(hour), Some(TODAY)][usize::try_from(hour % 4).unwrap()];
        node.pass(HOUR);
    }
    let ring = PrekeysFile::new(node.home.path()).load().unwrap().prekeys;
    assert!(open(&first, &Identity::from_seed(&[1; 32]), &ring).is_ok(), "{ring:?}");
}

#[test]
fn a_clock_that_is_set_puts_a_date_on_the_card() {
    let mut node = Node::new(1, None);
    let undated = node.card();
    node.clock.wall = Some(TODAY);
    // The driver looks at the addresses every second, and with them at the card.
    node.input(Input::Addresses { addresses: vec!["192.0.2.7:4433".into()] });
    let dated = node.card();
    assert_eq!(dated.prekeys[0].key, undated.prekeys[0].key);
    assert_eq!(dated.prekeys[0].valid_until_s, TODAY + 8 * DAY);
    assert!(dated.counter > undated.counter);
}

#[test]
fn boards_get_a_new_card_every_few_days_and_not_with_every_key() {
    let mut node = Node::new(1, Some(TODAY));
    node.ask(Request::BoardCreate { name: "relief".into() });
    // The clock fails on the way: the newest card is shown all the same.
    for day in 0..40 {
        if day == 10 {
            node.clock.wall = None;
        }
        (0..24).for_each(|_| node.pass(HOUR));
    }
    let mut changes = 0;
    node.store.for_each_key(Table::Changes, &mut |_, _| changes += 1).unwrap();
    assert_eq!(changes, 1 + 40 / 4);
}

#[test]
fn a_sender_uses_the_prekey_of_a_peer_that_it_has_met_and_both_people_see_it() {
    let (mut a, mut b) = (Node::new(1, Some(TODAY)), Node::new(2, Some(TODAY)));
    a.acquaint(&mut b);
    b.acquaint(&mut a);
    assert_eq!(a.send(&b, "one"), (KeyKind::Prekey, None), "by the dates on the card");
    // Three days later B announces another key; the card changes hands when they meet.
    for node in [&mut a, &mut b] {
        (0..3 * 24).for_each(|_| node.pass(HOUR));
    }
    meet(&mut a, &mut b, 1);
    assert_eq!(a.send(&b, "two"), (KeyKind::Prekey, None));
    meet(&mut a, &mut b, 2);
    let kinds: Vec<_> = b.inbox().iter().map(|message| (message.text.clone(), message.sealed_to)).collect();
    assert_eq!(kinds, [("one".into(), Some(KeyKind::Prekey)), ("two".into(), Some(KeyKind::Prekey))]);
    // Nine days without a meet: what A knows is too old.
    (0..9 * 24).for_each(|_| a.pass(HOUR));
    assert_eq!(a.send(&b, "three"), (KeyKind::LongTerm, Some(Fallback::Expired.to_string())));
    meet(&mut a, &mut b, 3);
    assert_eq!(b.inbox()[2].sealed_to, Some(KeyKind::LongTerm));
    assert_eq!(a.send(&b, "four"), (KeyKind::Prekey, None));
}

#[test]
fn nodes_without_clocks_have_forward_secrecy_with_those_they_meet() {
    let (mut a, mut b) = (Node::new(1, None), Node::new(2, None));
    a.acquaint(&mut b);
    b.acquaint(&mut a);
    assert_eq!(a.send(&b, "one"), (KeyKind::LongTerm, Some(Fallback::NoClock.to_string())));
    meet(&mut a, &mut b, 1);
    assert_eq!(a.send(&b, "two"), (KeyKind::Prekey, None));
    (0..8 * 24).for_each(|_| a.pass(HOUR));
    assert_eq!(a.send(&b, "three"), (KeyKind::LongTerm, Some(Fallback::NoClock.to_string())));
}

#[test]
fn a_clock_that_disagreed_when_the_card_came_is_not_asked_about_its_dates_later() {
    let (mut a, mut b) = (Node::new(1, Some(TODAY - 20 * DAY)), Node::new(2, Some(TODAY)));
    a.acquaint(&mut b);
    assert_eq!(a.send(&b, "one"), (KeyKind::LongTerm, Some(Fallback::ClocksDisagree.to_string())));
    // Twenty days on, the dates would fit by chance, and the key would be gone.
    (0..20 * 24).for_each(|_| a.pass(HOUR));
    assert_eq!(a.send(&b, "two"), (KeyKind::LongTerm, Some(Fallback::ClocksDisagree.to_string())));
}

#[test]
fn mail_that_was_on_its_way_for_too_long_is_reported_to_the_person() {
    let (mut a, mut b) = (Node::new(1, Some(TODAY)), Node::new(2, Some(TODAY)));
    a.acquaint(&mut b);
    b.acquaint(&mut a);
    assert_eq!(a.send(&b, "late").0, KeyKind::Prekey);
    for node in [&mut a, &mut b] {
        (0..16 * 24).for_each(|_| node.pass(HOUR));
    }
    meet(&mut a, &mut b, 1);
    assert!(b.inbox().is_empty());
    let status = b.status();
    assert!(status.warnings.iter().any(|warning| warning.contains("ask for it again")), "{status:?}");
}

#[test]
fn the_ring_of_a_node_is_only_in_its_own_file() {
    let node = Node::new(1, Some(TODAY));
    let ring = PrekeysFile::new(node.home.path()).load().unwrap().prekeys;
    assert_eq!(ring.len(), 1);
    let holders: Vec<String> = files(node.home.path())
        .into_iter()
        .filter(|(_, bytes)| bytes.windows(32).any(|window| window == &node.secrets[0][..]))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(holders.len(), 1);
    assert!(holders[0].ends_with("prekeys.key"));
    assert!(Prekeys::default().is_empty());
}
