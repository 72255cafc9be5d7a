//! `cairn bundle`, as a person uses it: real files, no node.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cairn_bundle::bpsec::asb::SecurityBlock;
use cairn_bundle::bpsec::default::aes_gcm::{AesVariant, TagPlace};
use cairn_bundle::bpsec::default::hmac_sha2::ShaVariant;
use cairn_bundle::bpsec::default::{KeyLengths, Scope, SourceKey};
use cairn_bundle::bpsec::key::SymmetricKey;
use cairn_bundle::bpsec::source::{Encryption, Header, Signing, add_confidentiality, add_integrity};
use cairn_bundle::{
    AdminRecord, BlockKind, Bundle, Card, Class, CreationTimestamp, Draft, Eid, Identity, Limits, RawBundle,
    ReasonCode, StatusItem, StatusReport,
};
use cairn_node::core::SeedRng;
use serde_json::Value;

/// A working directory with an identity in `home`, and the card of somebody else.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        assert!(desk.run(&["id"]).status.success());
        let bob = Identity::from_seed(&[2; 32]);
        let card = Card {
            node: bob.node_id(),
            name: "bob".into(),
            sealing_key: bob.sealing_key(),
            prekeys: vec![],
            addresses: vec![],
            services: vec![],
            counter: 1,
        };
        desk.write("bob.card", card.sign(&bob).unwrap().to_text().as_bytes());
        desk.write("note.txt", b"Bridge is out, take the ridge.");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn decode(&self, name: &str) -> Bundle {
        Bundle::decode(&self.read(name), &Limits::default()).unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cairn"))
            .args(["--home", "home"])
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts")
    }

    /// Runs what has to succeed, and gives its stdout.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["--json"]].concat())).unwrap()
    }

    /// Runs what has to fail with an explanation, and gives that.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let told = text(&output.stderr);
        assert!(told.contains("error: ") && told.contains("hint: "), "{args:?}: {told}");
        told
    }

    fn me(&self) -> String {
        self.ok(&["id"]).trim().to_owned()
    }

    fn note(&self) {
        self.ok(&["bundle", "create", "note.txt", "--card", "bob.card", "--out", "note.bundle"]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_sealed_bundle_says_who_made_it_and_nothing_of_its_contents() {
    let desk = Desk::new();
    desk.note();
    let bundle = desk.read("note.bundle");
    assert!(!bundle.windows(6).any(|bytes| bytes == b"Bridge"));
    let verified = desk.ok(&["bundle", "verify", "--from", &desk.me(), "note.bundle"]);
    assert!(verified.contains(&format!("signed by {}", desk.me())), "{verified}");
    let inspected = desk.json(&["bundle", "inspect", "note.bundle"]);
    assert_eq!(inspected["holds"], true);
    assert_eq!(inspected["bytes"], bundle.len());
    let (_, blocks) = inspected["blocks"].as_array().unwrap().split_first().unwrap();
    for block in blocks {
        let number = &block["fields"][1];
        let at = usize::try_from(number["offset"].as_u64().unwrap()).unwrap();
        assert_eq!(number["value"], bundle[at].to_string(), "the offset is that of the number");
    }
    let shown = desk.ok(&["bundle", "inspect", "--hex", "note.bundle"]);
    assert!(shown.contains("integrity of the primary block, COSE") && shown.contains(": holds"), "{shown}");
}

#[test]
fn every_changed_byte_of_a_sealed_bundle_is_noticed() {
    let desk = Desk::new();
    desk.note();
    let bundle = desk.read("note.bundle");
    // Age and hop count change on the way and are nobody's word; the files go into one run to save time.
    let files: Vec<String> = (0..bundle.len())
        .map(|at| {
            let mut changed = bundle.clone();
            changed[at] ^= 0x5a;
            let name = format!("changed.{at:04}");
            desk.write(&name, &changed);
            name
        })
        .collect();
    let me = desk.me();
    let mut args = vec!["bundle", "verify", "--json", "--from", &me];
    args.extend(files.iter().map(String::as_str));
    let output = desk.run(&args);
    assert_eq!(output.status.code(), Some(1));
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let held: Vec<&Value> = checked.as_array().unwrap().iter().filter(|file| file["holds"] == true).collect();
    assert_eq!(checked.as_array().unwrap().len(), bundle.len());
    assert!(held.is_empty(), "{held:?}");
}

#[test]
fn who_did_not_sign_is_not_believed() {
    let desk = Desk::new();
    desk.note();
    let stranger = Identity::from_seed(&[9; 32]).node_id().to_string();
    let output = desk.run(&["bundle", "verify", "--from", &stranger, "note.bundle"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("another node signed it"));
    let to = "dtn://relief/~alerts";
    desk.ok(&["bundle", "create", "note.txt", "--to", to, "--plain", "--out", "plain.bundle"]);
    assert!(desk.ok(&["bundle", "verify", "plain.bundle"]).contains("nobody proves who made it"));
    let output = desk.run(&["bundle", "verify", "--from", &desk.me(), "plain.bundle"]);
    assert_eq!(output.status.code(), Some(1));
    desk.ok(&["bundle", "create", "note.txt", "--to", to, "--sign", "--out", "signed.bundle"]);
    desk.ok(&["bundle", "verify", "--from", &desk.me(), "signed.bundle"]);
}

#[test]
fn nothing_is_unsealed_or_overwritten_by_accident() {
    let desk = Desk::new();
    let told = desk.refused(&["bundle", "create", "note.txt", "--to", "ipn:7.1", "--out", "x.bundle"]);
    assert!(told.contains("cannot be sealed"), "{told}");
    assert!(!desk.path("x.bundle").exists());
    desk.note();
    let before = desk.read("note.bundle");
    let told = desk.refused(&["bundle", "create", "note.txt", "--card", "bob.card", "--out", "note.bundle"]);
    assert!(told.contains("name another file"), "{told}");
    assert_eq!(desk.read("note.bundle"), before);
    for wrong in [
        &["bundle", "create", "note.txt", "--card", "note.txt", "--out", "y"][..],
        &["bundle", "create", "nothing.txt", "--card", "bob.card", "--out", "y"],
        &["bundle", "create", "note.txt", "--card", "bob.card", "--service", "a b", "--out", "y"],
        &["bundle", "create", "-", "--card", "-", "--out", "y"],
        &["bundle", "inspect", "nothing"],
        &["bundle", "fragment", "note.txt", "--payload-bytes", "1"],
    ] {
        desk.refused(wrong);
        assert!(!desk.path("y").exists(), "{wrong:?}");
    }
    fs::rename(desk.path("home"), desk.path("away")).unwrap();
    let told = desk.refused(&["bundle", "create", "note.txt", "--card", "bob.card", "--out", "y"]);
    assert!(told.contains("cairn id"), "{told}");
}

#[test]
fn what_is_no_bundle_is_shown_up_to_its_fault() {
    let desk = Desk::new();
    desk.note();
    let whole = desk.read("note.bundle");
    for cut in [0, 1, 2, 50, whole.len() / 2, whole.len() - 1] {
        let end = u64::try_from(cut).unwrap();
        desk.write("cut.bundle", &whole[..cut]);
        let output = desk.run(&["bundle", "inspect", "cut.bundle", "--json"]);
        assert_eq!(output.status.code(), Some(1));
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["holds"], false);
        assert!(shown["stop"]["offset"].as_u64().unwrap() <= end);
    }
    desk.write("long.bundle", &[&whole[..], b"!"].concat());
    let output = desk.run(&["bundle", "inspect", "long.bundle"]);
    assert!(text(&output.stdout).contains(&format!("{:06x}: bytes follow", whole.len())));
}

#[test]
fn fragments_come_together_in_any_order_and_say_what_is_missing() {
    let desk = Desk::new();
    desk.write("map.png", &[0xca; 20_000]);
    desk.ok(&["bundle", "create", "map.png", "--card", "bob.card", "--may-fragment", "--out", "map.bundle"]);
    fs::create_dir(desk.path("pieces")).unwrap();
    let cut = desk.json(&["bundle", "fragment", "map.bundle", "--encoded-bytes", "3000", "--out", "pieces"]);
    let pieces = cut["fragments"].as_array().unwrap();
    assert!(pieces.len() > 7 && pieces.iter().all(|piece| piece["bytes"].as_u64().unwrap() <= 3000));
    let mut files = names(&desk.path("pieces"));
    files.reverse();
    let all: Vec<&str> = files.iter().map(String::as_str).collect();
    desk.ok(&[&["bundle", "reassemble", "--out", "whole.bundle"], &all[..], &all[..2]].concat());
    assert_eq!(desk.read("whole.bundle"), desk.read("map.bundle"));
    let told = desk.refused(&[&["bundle", "reassemble", "--out", "less.bundle"], &all[1..]].concat());
    assert!(told.contains("are missing"), "{told}");
    assert!(!desk.path("less.bundle").exists());

    // A lie that arrives first does not keep the truth out.
    let mut lie = fs::read(all[2]).unwrap();
    let middle = lie.len() / 2;
    lie[middle] ^= 1;
    desk.write("lie.fragment", &lie);
    let output =
        desk.run(&[&["bundle", "reassemble", "--out", "true.bundle", "lie.fragment"], &all[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(desk.read("true.bundle"), desk.read("map.bundle"));

    // Nor does one that took the signature off.
    let whole = desk.decode("map.bundle");
    let (primary, blocks) =
        Bundle::decode(&fs::read(all[all.len() - 1]).unwrap(), &Limits::default()).unwrap().into_parts();
    assert_eq!(blocks.len(), whole.blocks().len(), "the first fragment has all blocks");
    let bare = blocks.into_iter().filter(|block| block.kind != BlockKind::Integrity).collect();
    desk.write("bare.fragment", &Bundle::new(primary, bare).unwrap().encode());
    let reassemble = ["bundle", "reassemble", "bare.fragment", "--out"];
    desk.ok(&[&reassemble[..], &["signed.bundle"], &all[..]].concat());
    assert_eq!(desk.read("signed.bundle"), desk.read("map.bundle"));
    // Where no signature decides, nobody does.
    let others = &all[..all.len() - 1];
    desk.ok(&[&reassemble[..], &["unsigned.bundle"], others].concat());
    assert!(desk.ok(&["bundle", "verify", "unsigned.bundle"]).contains("nobody proves who made it"));
    let told = desk.refused(&[&reassemble[..], &["z", "lie.fragment"], others].concat());
    assert!(told.contains("no signature tells"), "{told}");

    desk.note();
    let told = desk.refused(&["bundle", "fragment", "note.bundle", "--payload-bytes", "10"]);
    assert!(told.contains("--may-fragment"), "{told}");
    let told = desk.refused(&["bundle", "fragment", "map.bundle", "--payload-bytes", "99999"]);
    assert!(told.contains("needs no cut"), "{told}");

    // An old set of fragments is not mixed with a new one.
    let cut = ["bundle", "fragment", "map.bundle", "--payload-bytes", "9000", "--out", "again"];
    fs::create_dir(desk.path("again")).unwrap();
    desk.write("again/map.0000009000.fragment", b"old");
    desk.refused(&cut);
    assert_eq!(names(&desk.path("again")).len(), 1);
    let told = desk.refused(&["bundle", "reassemble", "note.bundle", "--out", "z"]);
    assert!(told.contains("not a fragment"), "{told}");
}

#[test]
fn a_signature_or_a_security_block_that_is_damaged_is_no_bundle_that_holds() {
    let desk = Desk::new();
    desk.ok(&[
        "bundle",
        "create",
        "note.txt",
        "--to",
        "dtn://relief/~alerts",
        "--sign",
        "--out",
        "signed.bundle",
    ]);
    let signed = desk.decode("signed.bundle");
    for (kind, at) in [(BlockKind::Payload, 0), (BlockKind::Integrity, 2)] {
        let (primary, mut blocks) = signed.clone().into_parts();
        let block = blocks.iter_mut().find(|block| block.kind == kind).unwrap();
        // Behind the list of targets stands a number; this is a map.
        block.data[at] = 0xa0;
        desk.write("damaged.bundle", &Bundle::new(primary, blocks).unwrap().encode());
        let inspected = desk.run(&["bundle", "inspect", "damaged.bundle"]);
        assert_eq!(inspected.status.code(), Some(1), "{kind:?}");
        let shown = text(&inspected.stdout);
        assert!(shown.contains("FAILS") && !shown.contains("holds  "), "{shown}");
        let verified = desk.run(&["bundle", "verify", "damaged.bundle"]);
        assert_eq!(verified.status.code(), Some(1), "{kind:?}");
    }
}

/// The commands of the how-to, in their order, as a reader would type them.
const HOW_TO: &str = include_str!("../../../docs/bundle-files.md");

#[test]
fn the_how_to_works_as_it_is_printed() {
    let desk = Desk::new();
    desk.write("map.png", &[0xca; 20_000]);
    let blocks = HOW_TO.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: Vec<&str> = blocks.flat_map(str::lines).collect();
    assert!(lines.len() > 8, "the page prints commands");
    for line in lines {
        let status = Command::new("sh")
            .args(["-euc", line])
            .env("CAIRN_HOME", desk.path("home"))
            .env("PATH", path_with_cairn())
            .current_dir(desk.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("a shell starts");
        assert!(status.status.success(), "{line}: {}", text(&status.stderr));
    }
}

fn path_with_cairn() -> std::ffi::OsString {
    let binary = Path::new(env!("CARGO_BIN_EXE_cairn"));
    let mut folders = vec![binary.parent().unwrap().to_owned()];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    std::env::join_paths(folders).unwrap()
}

#[test]
fn a_status_report_is_told_in_words() {
    let desk = Desk::new();
    let bob = Identity::from_seed(&[2; 32]);
    let (source, reporter) = ("ipn:2.1".parse().unwrap(), Eid::node(&bob.node_id(), "").unwrap());
    let nothing = StatusItem::default();
    let report = StatusReport {
        received: nothing,
        forwarded: nothing,
        delivered: StatusItem { asserted: true, time_ms: Some(812_345_678_901) },
        deleted: nothing,
        reason: ReasonCode::NoInformation,
        source,
        created: CreationTimestamp { time_ms: 0, seq: 7 },
        fragment: None,
    };
    let draft = Draft {
        destination: reporter,
        source_service: "status",
        creation: CreationTimestamp { time_ms: 812_345_700_000, seq: 1 },
        lifetime_ms: 1000,
        hop_limit: 1,
        class: Class::Normal,
        age_ms: None,
        may_fragment: false,
        admin_record: true,
        payload: &AdminRecord::StatusReport(report).encode(),
    };
    desk.write("report.bundle", &cairn_bundle::sign(&draft, &bob).unwrap().encode());
    let shown = desk.ok(&["bundle", "inspect", "report.bundle"]);
    let told = "the bundle of ipn:2.1 made without a clock, number 7: delivered at 2025-09-28";
    assert!(shown.contains(told) && shown.contains("an administrative record"), "{shown}");
}

/// RFC 9173 appendix A.3.4, and its keys (A.3.3.1 and A.3.3.2).
const FOREIGN: &str = "9f88070000820282010282028202018202820201820018281a000f4240850b03000058\
5c8200020101820282030082820105820300828182015820cac6ce8e4c5dae57988b757e49a6dd1431dc04763541b28\
45098265bc817241b81820158203ed614c0d97f49b3633627779aa18a338d212bf3c92b97759d9739cd50725596850c\
04010058348101020182028202018382014c5477656c76653132313231328202018204008181820150efa4b5ac0108e3\
816c5606479801bc0485070200004319012c850101000058233a09c1e63fe23a7f66a59c7303837241e070b02619fc59\
c5214a22f08cd70795e73e9aff";

#[test]
fn a_bundle_of_another_stack_is_checked_with_its_keys() {
    let desk = Desk::new();
    let bytes: Vec<u8> =
        FOREIGN.as_bytes().chunks(2).map(|pair| u8::from_str_radix(&text(pair), 16).unwrap()).collect();
    desk.write("foreign.bundle", &bytes);
    assert!(desk.ok(&["bundle", "verify", "foreign.bundle"]).contains("this node has no key for it"));
    let key = |source: &str, purpose: &str, hex: &str| {
        format!("[[key]]\nsource = \"{source}\"\npurpose = \"{purpose}\"\nhex = \"{hex}\"\n")
    };
    let hmac = key("ipn:3.0", "integrity", "1a2b1a2b1a2b1a2b1a2b1a2b1a2b1a2b");
    let aes = key("ipn:2.1", "confidentiality", "71776572747975696f70617364666768");
    desk.write("keys.toml", (hmac + &aes).as_bytes());
    fs::set_permissions(desk.path("keys.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let verified = desk.ok(&["bundle", "verify", "--keys", "keys.toml", "foreign.bundle"]);
    assert_eq!(verified.matches(": holds").count(), 4, "the file and three operations: {verified}");
    fs::set_permissions(desk.path("keys.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let told = desk.refused(&["bundle", "verify", "--keys", "keys.toml", "foreign.bundle"]);
    assert!(told.contains("chmod 600"), "{told}");
}

#[test]
fn a_signature_over_what_stays_encrypted_is_not_called_wrong() {
    let desk = Desk::new();
    let node: Eid = "ipn:2.1".parse().unwrap();
    let rng = &mut SeedRng::new(&[7; 32]);
    let secret = SymmetricKey::new(&[0xab; 32]).unwrap();
    desk.ok(&["bundle", "create", "note.txt", "--to", "ipn:7.1", "--plain", "--out", "plain.bundle"]);
    let mut raw = RawBundle::from(desk.decode("plain.bundle"));
    let (header, key) = (Header::default(), SourceKey::Shared(&secret));
    let variant = ShaVariant::Sha256;
    let (scope, key_lengths) = (Scope::ALL, KeyLengths::Exact);
    let signing = Signing { source: &node, header, variant, scope, key, key_lengths };
    add_integrity(&mut raw, &[1], &signing, rng).unwrap();
    let variant = AesVariant::Aes256;
    let encryption = Encryption { source: &node, header, variant, scope, key, tag: TagPlace::Result };
    add_confidentiality(&mut raw, &[1], &encryption, rng).unwrap();
    // The signature can be opened; the payload is for whoever shares a key with another node.
    for block in raw.blocks.iter_mut().filter(|block| block.kind == BlockKind::Confidentiality) {
        let mut asb = SecurityBlock::decode(&block.data).unwrap();
        if asb.targets == [1] {
            asb.source = "ipn:9.1".parse().unwrap();
            block.data = asb.encode();
        }
    }
    desk.write("hidden.bundle", &Bundle::try_from(raw).unwrap().encode());
    let keys = ["integrity", "confidentiality"].map(|purpose| {
        format!("[[key]]\nsource = \"ipn:2.1\"\npurpose = \"{purpose}\"\nhex = \"{}\"\n", "ab".repeat(32))
    });
    desk.write("keys.toml", keys.concat().as_bytes());
    fs::set_permissions(desk.path("keys.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let verified = desk.ok(&["bundle", "verify", "--keys", "keys.toml", "hidden.bundle"]);
    assert!(verified.contains("not checked: what it covers is encrypted"), "{verified}");
    assert!(!verified.contains("FAILS"), "{verified}");
}
