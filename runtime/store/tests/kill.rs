//! A process that commits is killed with signal 9 at random moments: what it said was committed is there.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use cairn_store::{Op, Options, Read, Store, Table};

const DIR: &str = "CAIRN_STORE_KILL_TEST_DIR";
const ROUNDS: u32 = 12;

fn batch(number: u32) -> Vec<Op> {
    let key = number.to_be_bytes();
    let len = match number % 20 {
        0 => 300_000,
        10 => 30_000,
        _ => 1024,
    };
    let value: Vec<u8> = key.into_iter().cycle().take(len).collect();
    vec![Op::put(Table::Bundles, key, value), Op::put(Table::Seen, key, *b"")]
}

/// Runs in the child: commits numbered batches for ever, many at a time, and prints each number once it is durable.
fn commit_for_ever(dir: &Path) {
    let store = Store::open(dir, Options::default()).expect("the store opens after a kill");
    let first = u32::try_from(store.usage().of(Table::Seen).entries).expect("few entries");
    let out = Arc::new(Mutex::new(std::io::stdout()));
    for number in first.. {
        let out = Arc::clone(&out);
        let reply = move |result: Result<(), _>| {
            result.expect("the disk works");
            writeln!(out.lock().expect("no panic"), "{number}").expect("the parent reads");
        };
        if number.is_multiple_of(16) {
            reply(store.commit(batch(number)));
        } else {
            store.submit(batch(number), Box::new(reply));
        }
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some(dir) = std::env::var_os(DIR) {
        commit_for_ever(Path::new(&dir));
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store_dir = dir.path().join("store");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["what_was_acknowledged_survives_kill_9", "--exact", "--nocapture"])
            .env(DIR, &store_dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the test can start itself");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        // A random moment after the start: between a few and a few hundred commits.
        let seed = blake3::hash(&[std::process::id().to_be_bytes(), round.to_be_bytes()].concat());
        let wanted = usize::from(seed.as_bytes()[0]) + acknowledged.len() + 1;
        let pause = Duration::from_micros(u64::from(seed.as_bytes()[1]) * 40);
        for line in output.lines() {
            // The test harness prints lines of its own, and the kill may cut the last number short.
            let Ok(line) = line else { break };
            let Ok(number) = line.parse::<u32>() else { continue };
            acknowledged.push(number);
            if acknowledged.len() == wanted {
                std::thread::sleep(pause);
                child.kill().expect("the child lives until it is killed");
            }
        }
        child.wait().expect("the child is ours");
        let store = Store::open(&store_dir, Options::default()).expect("the store opens after a kill");
        for number in &acknowledged {
            for op in batch(*number) {
                let Op::Put { table, key, value } = op else { unreachable!("only puts") };
                assert!(
                    store.get(table, &key).expect("readable") == Some(value),
                    "{number} of round {round} is lost"
                );
            }
        }
        let usage = store.usage();
        assert_eq!(usage.of(Table::Seen).entries, usage.of(Table::Bundles).entries, "half a batch is there");
        assert!(store.check().expect("checkable").is_sound());
    }
    assert!(acknowledged.len() > usize::try_from(ROUNDS).expect("few"));
}
