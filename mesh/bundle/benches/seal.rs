//! Sealing, opening, signing and checking, against the bare primitives on the same bytes in the same run.
//!
//! Every round runs each case once, so that whatever else the machine does hits all of them alike;
//! the figures are medians over the rounds. `-- quick` runs a few rounds, to see that it runs.

#[path = "../tests/common/mod.rs"]
mod common;

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use cairn_bundle::{
    NodeId, Prekeys, SealingKey, open, read_signed, seal, seal_unpadded, sign, verify, verify_source,
};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use common::{Seeded, draft, recipient, sender};
use ed25519_dalek::{Signer, SigningKey};
use x25519_dalek::{PublicKey, StaticSecret};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// What sealing and opening may cost, in units of the bare cipher, at 1 MiB.
const GOAL_SEAL: f64 = 1.3;
/// What signing a bundle may cost, in units of the bare signature, at 1 KiB.
const GOAL_SIGN: f64 = 1.2;

struct Case<'a> {
    name: &'static str,
    /// The name of an earlier case, and how many times its time this one may take, if that is a goal.
    against: Option<(&'static str, Option<f64>)>,
    run: Box<dyn FnMut() + 'a>,
    taken: Vec<Duration>,
}

impl<'a> Case<'a> {
    fn bare<T>(name: &'static str, mut run: impl FnMut() -> T + 'a) -> Self {
        let run = Box::new(move || {
            black_box(run());
        });
        Self { name, against: None, run, taken: Vec::new() }
    }

    fn against<T>(
        bare: &'static str,
        goal: Option<f64>,
        name: &'static str,
        run: impl FnMut() -> T + 'a,
    ) -> Self {
        Self { against: Some((bare, goal)), ..Self::bare(name, run) }
    }

    fn median_us(&self) -> f64 {
        let mut taken = self.taken.clone();
        taken.sort_unstable();
        taken.get(taken.len() / 2).map_or(f64::NAN, |median| median.as_secs_f64() * 1e6)
    }
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    let rounds = if quick { 5 } else { 500 };
    for (bytes, goal) in [(KIB, None), (64 * KIB, None), (MIB, Some(GOAL_SEAL))] {
        report(&format!("\n{} KiB, medians of {rounds} rounds", bytes / KIB));
        sealing(bytes, goal, rounds);
    }
    report(&format!("\n1 KiB, medians of {rounds} rounds"));
    signing(rounds);
}

/// Without padding the cipher gets one byte more than the payload, the end mark; so does the bare one.
fn sealing(bytes: usize, goal: Option<f64>, rounds: u32) {
    let payload = vec![0x5a; bytes];
    let (me, to, none) = (sender(), recipient(), Prekeys::default());
    let key: SealingKey = to.sealing_key();
    let cipher = ChaCha20Poly1305::new(&[7; 32].into());
    let nonce = Nonce::default();
    let marked = vec![0x5a; bytes + 1];
    let encrypted = cipher.encrypt(&nonce, marked.as_slice()).expect("short enough");
    let draft = draft(&payload);
    let [mut dice, mut more_dice] = [Seeded(1), Seeded(2)];
    let bundle = seal_unpadded(&draft, &me, &key, &mut Seeded(3)).expect("a valid draft");
    let padded = seal(&draft, &me, &key, &mut Seeded(3)).expect("a valid draft");
    let verified = verify_source(&bundle).expect("just sealed");
    let (encrypt, decrypt) = ("bare encrypt", "bare decrypt");
    measure(
        rounds,
        vec![
            Case::bare(encrypt, || cipher.encrypt(&nonce, marked.as_slice())),
            Case::against(encrypt, None, "bare encrypt, with data beside it", || {
                cipher.encrypt(&nonce, Payload { msg: &marked, aad: &[7; 300] })
            }),
            Case::against(encrypt, goal, "seal_unpadded", || seal_unpadded(&draft, &me, &key, &mut dice)),
            Case::against(encrypt, None, "seal", || seal(&draft, &me, &key, &mut more_dice)),
            Case::against(encrypt, None, "one pass of BLAKE3", || blake3::hash(&payload)),
            Case::bare(decrypt, || cipher.decrypt(&nonce, encrypted.as_slice())),
            Case::against(decrypt, goal, "open, unpadded", || open(&bundle, &to, &none)),
            Case::against(decrypt, None, "open", || open(&padded, &to, &none)),
            Case::against(decrypt, None, "verify_source", || verify_source(&bundle)),
            Case::against(decrypt, goal, "open, source verified before", || verified.open(&to, &none)),
        ],
    );
}

fn signing(rounds: u32) {
    let payload = vec![0x5a; KIB];
    let (me, draft) = (sender(), draft(&payload));
    let key = SigningKey::from_bytes(me.seed());
    let public = key.verifying_key();
    let signature = key.sign(&payload);
    let node: NodeId = me.node_id();
    let bundle = sign(&draft, &me).expect("a valid draft");
    let secret = StaticSecret::from([3; 32]);
    let other = PublicKey::from(&StaticSecret::from([4; 32]));
    let (bare_sign, bare_verify) = ("bare Ed25519 sign", "bare Ed25519 verify_strict");
    measure(
        rounds * 10,
        vec![
            Case::bare(bare_sign, || key.sign(&payload)),
            Case::against(bare_sign, None, "Identity::sign", || me.sign(&payload)),
            Case::against(bare_sign, Some(GOAL_SIGN), "sign", || sign(&draft, &me)),
            Case::bare(bare_verify, || public.verify_strict(&payload, &signature)),
            Case::against(bare_verify, None, "verify", || verify(&node, &payload, &signature.to_bytes())),
            Case::against(bare_verify, None, "verify_source", || verify_source(&bundle)),
            Case::against(bare_verify, None, "read_signed", || read_signed(&bundle)),
            Case::bare("bare X25519, public key", || PublicKey::from(&secret)),
            Case::bare("bare X25519, agreement", || secret.diffie_hellman(&other)),
        ],
    );
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; the crate does not")]
fn measure(rounds: u32, mut cases: Vec<Case<'_>>) {
    for _ in 0..rounds {
        for case in &mut cases {
            let started = Instant::now();
            (case.run)();
            case.taken.push(started.elapsed());
        }
    }
    for case in &cases {
        let took = case.median_us();
        let ratio = case.against.map_or_else(String::new, |(bare, goal)| {
            let bare = cases.iter().find(|other| other.name == bare).map_or(f64::NAN, Case::median_us);
            let goal = goal.map_or_else(String::new, |goal| format!(", goal {goal}"));
            format!("{:6.2} times bare{goal}", took / bare)
        });
        report(&format!("{:34} {took:9.1} us {ratio}", case.name));
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
fn report(line: &str) {
    println!("{line}");
}
