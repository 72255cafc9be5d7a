//! `cairn bundle verify`: does a bundle hold, and who says so?

use std::path::{Path, PathBuf};

use cairn_bundle::bpsec::asb::SecurityBlock;
use cairn_bundle::bpsec::context::{Operation, OperationError, SecurityContext};
use cairn_bundle::bpsec::default::{DefaultContexts, KeyLengths};
use cairn_bundle::bpsec::key::KeyRing;
use cairn_bundle::{Block, BlockKind, Bundle, NodeId, RawBundle, verify_source};
use clap::Args;
use serde::Serialize;

use super::{files, keys};
use crate::context::Context;
use crate::failure::Failure;
use crate::out;

/// What to check, and with which keys.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The bundle files; `-` for stdin
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The node that must have signed them
    #[arg(long, value_name = "NODE ID")]
    from: Option<NodeId>,
    /// Keys for bundles of other stacks, in a file that only you can read
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

/// What is known of one file.
#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    /// Whether nothing is wrong, and the demanded signature is there.
    holds: bool,
    error: Option<String>,
    /// The node that signed it, proven.
    signer: Option<String>,
    operations: Vec<Verdict>,
}

/// What one security operation says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// The security block.
    block: u64,
    service: &'static str,
    /// The block that it covers; `None` if the security block cannot be read.
    target: Option<u64>,
    context: &'static str,
    source: Option<String>,
    verdict: Outcome,
    reason: Option<String>,
}

/// Whether an operation holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Holds,
    Fails,
    /// Without a key, or of an unknown kind: nobody here can tell.
    Unknown,
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<(), Failure> {
    let ring = args.keys.as_deref().map(keys::read).transpose()?.unwrap_or_default();
    let mut all = Vec::new();
    for file in &args.files {
        all.push(Checked::of(file, &files::read(file)?, args.from, &ring));
    }
    if context.json() {
        out::json(&all)?;
    } else {
        out::text(&all.iter().map(Checked::to_text).collect::<String>())?;
    }
    if all.iter().all(|checked| checked.holds) { Ok(()) } else { Err(Failure::Said) }
}

impl Checked {
    fn of(file: &Path, bytes: &[u8], from: Option<NodeId>, ring: &KeyRing) -> Self {
        let mut checked =
            Self { file: files::name(file), holds: false, error: None, signer: None, operations: Vec::new() };
        let bundle = match Bundle::decode(bytes, &files::LIMITS) {
            Ok(bundle) => bundle,
            Err(error) => {
                checked.error = Some(error.to_string());
                return checked;
            }
        };
        let signer = verify_source(&bundle).map(|verified| verified.source());
        checked.signer = signer.ok().map(|signer| signer.to_string());
        checked.operations = operations(&bundle, ring);
        let broken = checked.operations.iter().any(Verdict::fails);
        checked.error = match (from, signer) {
            _ if broken => Some(BROKEN.to_owned()),
            (Some(from), Ok(signer)) if from != signer => Some("another node signed it".to_owned()),
            (Some(_), Err(error)) => Some(error.to_string()),
            _ => None,
        };
        checked.holds = checked.error.is_none();
        checked
    }

    fn to_text(&self) -> String {
        let mut lines = vec![match &self.error {
            None => format!("{}: holds", self.file),
            Some(error) => format!("{}: refused, {error}", self.file),
        }];
        if self.error.is_none() {
            lines.push(match &self.signer {
                Some(signer) => format!("  signed by {signer}"),
                None => "  nobody proves who made it".to_owned(),
            });
        }
        lines.extend(self.operations.iter().map(|operation| format!("  {}", operation.to_text())));
        lines.into_iter().map(|line| format!("{}\n", out::clean_line(&line))).collect()
    }
}

/// The verdict on every operation of every security block. What keys open is decrypted first, because a
/// signature may be inside.
pub(super) fn operations(bundle: &Bundle, ring: &KeyRing) -> Vec<Verdict> {
    let mut opened = RawBundle::from(bundle.clone());
    let mut verdicts = Vec::new();
    for kind in [BlockKind::Confidentiality, BlockKind::Integrity] {
        let numbers: Vec<u64> =
            bundle.blocks().iter().filter(|block| block.kind == kind).map(|block| block.number).collect();
        for number in numbers {
            of_block(&mut opened, bundle, number, ring, &mut verdicts);
        }
    }
    verdicts
}

fn of_block(
    opened: &mut RawBundle,
    bundle: &Bundle,
    number: u64,
    ring: &KeyRing,
    verdicts: &mut Vec<Verdict>,
) {
    let Some(block) = opened.block(number).cloned() else { return };
    let service = if block.kind == BlockKind::Integrity { "integrity" } else { "confidentiality" };
    let asb = match SecurityBlock::decode(&block.data) {
        Ok(asb) => asb,
        Err(error) => {
            let (verdict, reason) = if is_encrypted(opened, bundle, &block) {
                (Outcome::Unknown, "it is encrypted".to_owned())
            } else {
                (Outcome::Fails, error.to_string())
            };
            verdicts.push(Verdict {
                block: number,
                service,
                target: None,
                context: "unreadable",
                source: None,
                verdict,
                reason: Some(reason),
            });
            return;
        }
    };
    for &target in &asb.targets {
        let checked = check(opened, bundle, &block, &asb, target, ring);
        let (verdict, reason) = match checked {
            Ok(()) => (Outcome::Holds, None),
            Err((verdict, reason)) => (verdict, Some(reason)),
        };
        verdicts.push(Verdict {
            block: number,
            service,
            target: Some(target),
            context: context_name(asb.context),
            source: Some(asb.source.to_string()),
            verdict,
            reason,
        });
    }
}

/// Whether some confidentiality block covers this one and no key at hand has opened it.
fn is_encrypted(opened: &RawBundle, bundle: &Bundle, block: &Block) -> bool {
    let as_it_came = bundle.blocks().iter().any(|other| other == block);
    let mut covers = opened.blocks.iter().filter(|other| other.kind == BlockKind::Confidentiality);
    let covered = covers
        .any(|other| SecurityBlock::decode(&other.data).is_ok_and(|asb| asb.targets.contains(&block.number)));
    as_it_came && covered
}

type Checkup = Result<(), (Outcome, String)>;

fn check(
    opened: &mut RawBundle,
    bundle: &Bundle,
    block: &Block,
    asb: &SecurityBlock,
    target: u64,
    ring: &KeyRing,
) -> Checkup {
    let hidden = || opened.block(target).is_some_and(|target| is_encrypted(opened, bundle, target));
    if block.kind == BlockKind::Integrity && hidden() {
        // RFC 9172 section 3.9: what is compared would be ciphertext.
        return Err((Outcome::Unknown, "what it covers is encrypted".to_owned()));
    }
    if asb.context == COSE {
        return check_profile(bundle, block);
    }
    let contexts = DefaultContexts::with_key_lengths(ring, KeyLengths::Any);
    let operation = Operation { bundle: opened, block, asb, target };
    let outcome = if block.kind == BlockKind::Integrity {
        contexts.verify(&operation).map(|()| None)
    } else {
        contexts.decrypt(&operation).map(Some)
    };
    match outcome {
        Ok(plaintext) => {
            let place = opened.blocks.iter_mut().find(|block| block.number == target);
            if let (Some(plaintext), Some(place)) = (plaintext, place) {
                place.data = plaintext.to_vec();
            }
            Ok(())
        }
        Err(error) => Err((outcome_of(error), error.to_string())),
    }
}

fn outcome_of(error: OperationError) -> Outcome {
    if error.is_unknown() { Outcome::Unknown } else { Outcome::Fails }
}

/// Context 3 as Cairn uses it: anybody can check the signature, only the recipient can decrypt.
fn check_profile(bundle: &Bundle, block: &Block) -> Checkup {
    if block.kind == BlockKind::Confidentiality {
        return Err((Outcome::Unknown, "only its recipient can open it".to_owned()));
    }
    match verify_source(bundle) {
        Ok(_) => Ok(()),
        Err(error @ cairn_bundle::OpenError::Signature) => Err((Outcome::Fails, error.to_string())),
        Err(error) => Err((Outcome::Unknown, error.to_string())),
    }
}

/// What is wrong with a bundle if one of its operations fails.
pub(super) const BROKEN: &str = "a security block does not hold";

const COSE: i64 = 3;

pub(super) const fn context_name(context: i64) -> &'static str {
    match context {
        1 => "BIB-HMAC-SHA2",
        2 => "BCB-AES-GCM",
        COSE => "COSE",
        _ => "an unknown context",
    }
}

impl Verdict {
    /// Whether the operation does not hold, whoever looks at it.
    pub(super) fn fails(&self) -> bool {
        self.verdict == Outcome::Fails
    }

    pub(super) fn to_text(&self) -> String {
        let Self { block, service, context, .. } = self;
        let target = match self.target {
            Some(0) => " of the primary block".to_owned(),
            Some(target) => format!(" of block {target}"),
            None => String::new(),
        };
        let by = self.source.as_deref().map_or_else(String::new, |source| format!(" by {source}"));
        let verdict = match self.verdict {
            Outcome::Holds => "holds",
            Outcome::Fails => "FAILS",
            Outcome::Unknown => "not checked",
        };
        let reason = self.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
        out::clean_line(&format!("block {block}, {service}{target}, {context}{by}: {verdict}{reason}"))
    }
}
