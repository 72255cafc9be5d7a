//! Golden vectors for other implementations: what is written today stays readable, byte for byte.

use core::fmt::Write;

use crate::receipt::receipts;
use crate::world::{Node, accept, line, lock, pay, release, sign};
use cairn_bundle::Digest;
use cairn_ledger::{Contract, EquivProof, Kid, PayId, Receipt, Record, StreamId, VerifiedEntry, pay_id};

const VECTORS: &str = include_str!("../../vectors/ledger.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn entries() -> Vec<(&'static str, VerifiedEntry)> {
    let (a, b) = (Node::new(1), Node::new(2));
    let (job, payment) = (Digest([9; 32]), PayId([4; 16]));
    let (a_id, b_id) = (a.id(), b.id());
    let locked = sign(&a.identity, &b_id, 0, 1000, &lock(payment, 105, &a_id));
    let guarantor = Kid::of(&b_id);
    let contract = Contract { job, price: 100, tier: 2, hint_deadline: 0, verifiers: [0; 8], guarantor };
    let result = Record::Result(crate::world::task_result(payment, 2));
    vec![
        ("line", sign(&b.identity, &a_id, 0, 1000, &Record::Line(line(200)))),
        ("lock", locked.clone()),
        ("pay", sign(&a.identity, &b_id, 1, 1001, &pay(7, &[&locked]))),
        ("release", sign(&b.identity, &a_id, 1, 1002, &release(&[&locked]))),
        ("contract", sign(&a.identity, &b_id, 2, 1003, &Record::Contract(contract))),
        ("result", sign(&b.identity, &a_id, 2, 1004, &result)),
        ("accept", sign(&a.identity, &b_id, 3, 1005, &accept(payment))),
    ]
}

fn equivocation() -> EquivProof {
    let (a, b) = (Node::new(1), Node::new(2));
    let [one, two] = [1, 2].map(|time| sign(&a.identity, &b.id(), 5, time, &pay(1, &[])));
    EquivProof::of(&one, &two).unwrap()
}

/// One line each: what it is, a name, hexadecimal.
fn generate() -> String {
    let (a, b) = (Node::new(1).id(), Node::new(2).id());
    let mut lines = vec![
        format!("node a {}", hex(a.as_bytes())),
        format!("node b {}", hex(b.as_bytes())),
        format!("kid a {}", Kid::of(&a)),
        format!("stream a-to-b {}", StreamId::edge(&a, &b)),
        format!("stream a-to-all {}", StreamId::public(&a)),
        format!("pay_id job-09-nonce-01 {}", pay_id(&Digest([9; 32]), &a, &[1; 16])),
    ];
    for (name, entry) in entries() {
        lines.push(format!("id {name} {}", hex(entry.id().as_bytes())));
        lines.push(format!("session {name} {}", hex(&entry.encode_session())));
        lines.push(format!("entry {name} {}", hex(&entry.encode())));
    }
    lines.push(format!("equiv kid {}", hex(&equivocation().encode())));
    lines.push(format!("equiv key {}", hex(&equivocation().encode_with_key())));
    for (name, receipt) in ["short", "long"].iter().zip(receipts()) {
        lines.push(format!("receipt {name} {}", hex(&receipt.encode())));
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_vectors_are_what_this_version_writes() {
    let kept: String =
        VECTORS.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert_eq!(kept, generate(), "the format changed: that takes a new version, not a new vector");
}

#[test]
fn this_version_reads_the_vectors() {
    for line in VECTORS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["entry", _, bytes] => assert!(VerifiedEntry::decode(&unhex(bytes)).is_ok(), "{line}"),
            ["equiv", "key", bytes] => assert!(EquivProof::verify_alone(&unhex(bytes)).is_ok(), "{line}"),
            ["receipt", _, bytes] => assert!(Receipt::verify(&unhex(bytes)).is_ok(), "{line}"),
            _ => {}
        }
    }
}
