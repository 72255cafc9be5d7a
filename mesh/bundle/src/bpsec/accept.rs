//! The security verifier and acceptor: what a node does with the security of a bundle it received.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::block::BlockKind;
use crate::bpsec::asb::SecurityBlock;
use crate::bpsec::context::{Operation, OperationError, SecurityContext};
use crate::bpsec::policy::{OnFailure, OnUnknown, Reason, Refusal, SecurityPolicy, Service, same_node};
use crate::bpsec::rules::Coverage;
use crate::crc::CrcType;
use crate::eid::Eid;
use crate::raw::RawBundle;

/// Where a bundle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where it goes: all operations end here.
    Destination,
    /// On its way: signatures are checked if that is possible, and stay.
    Waypoint,
}

/// What became of one security operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its service.
    pub service: Service,
    /// The security block's number.
    pub block: u64,
    /// The target's number; 0 is the primary block.
    pub target: u64,
    /// The node that added the operation.
    pub source: Eid,
    /// What became of it.
    pub fate: Fate,
}

/// What became of one security operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It succeeded and was removed.
    Accepted,
    /// It succeeded and stays for the next node.
    Verified,
    /// It is not for this node.
    Passed,
    /// This node cannot check it; it stays.
    NotChecked(OperationError),
    /// It failed, and its target was removed with everything that covered it.
    TargetDropped(OperationError),
}

/// A bundle that a node may use, deliver or forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processed {
    /// The bundle, without the operations that were accepted.
    pub bundle: RawBundle,
    /// What became of each operation: first confidentiality, then integrity.
    pub outcomes: Vec<Outcome>,
}

/// How often what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SecurityCounts {
    /// Operations that succeeded and were removed.
    pub accepted: u64,
    /// Operations that succeeded and stayed.
    pub verified: u64,
    /// Operations that were not for this node.
    pub passed: u64,
    /// Operations that this node could not check.
    pub not_checked: u64,
    /// Blocks that were removed because their check failed.
    pub targets_dropped: u64,
    /// Bundles refused because an operation was missing.
    pub refused_missing: u64,
    /// Bundles refused because an operation was not understood.
    pub refused_unknown: u64,
    /// Bundles refused because an operation failed.
    pub refused_failed: u64,
    /// Bundles refused because their security blocks break RFC 9172.
    pub refused_conflicting: u64,
    /// Bundles refused for another reason, such as a fragment that should have been put together.
    pub refused_other: u64,
}

/// Processes the security of a received bundle: confidentiality first, then integrity, then what
/// the policy asks for.
///
/// A bundle goes in and comes out, or is gone: none is half processed. A fragment passes waypoints
/// untouched. At its destination it has to be put together first, and is refused if it is secured or
/// the policy asks for security.
///
/// # Errors
/// If the bundle must not be used; [`Refusal::reason`] is what a status report may say.
pub fn process(
    bundle: RawBundle,
    place: Place,
    policy: &SecurityPolicy,
    contexts: &[&dyn SecurityContext],
) -> Result<Processed, Refusal> {
    let payload = bundle.payload().ok_or(Refusal::NoPayload)?.number;
    if bundle.primary.fragment.is_some() {
        let secured = bundle.blocks.iter().any(|block| block.kind.is_security());
        // Who takes the security off and calls the rest a fragment has not done what the policy asks for.
        return if place == Place::Destination && (secured || policy.asks(&bundle.primary)) {
            Err(Refusal::Fragment)
        } else {
            Ok(Processed { bundle, outcomes: Vec::new() })
        };
    }
    let mut work = Work {
        bundle,
        place,
        policy,
        contexts,
        payload,
        outcomes: Vec::new(),
        signers: BTreeMap::new(),
        sealed: false,
    };
    work.decrypt_all()?;
    work.verify_all()?;
    work.check_policy()?;
    work.restore_checksums()?;
    Ok(Processed { bundle: work.bundle, outcomes: work.outcomes })
}

struct Work<'a> {
    bundle: RawBundle,
    place: Place,
    policy: &'a SecurityPolicy,
    contexts: &'a [&'a dyn SecurityContext],
    /// The payload's number.
    payload: u64,
    outcomes: Vec<Outcome>,
    /// Who signed what, as far as it was verified.
    signers: BTreeMap<u64, Eid>,
    /// Whether the payload was decrypted here.
    sealed: bool,
}

impl Work<'_> {
    /// Signatures come after what they cover: on the way one whose targets stay encrypted has to
    /// stay so as well (RFC 9172 section 3.9).
    fn decrypt_all(&mut self) -> Result<(), Refusal> {
        let coverage = Coverage::read(&self.bundle)?;
        self.sealed = coverage.is_encrypted(self.payload);
        let mut dropped = Vec::new();
        for signatures in [false, true] {
            for (number, asb) in &coverage.confidentiality {
                self.decrypt_block(*number, asb, signatures, &mut dropped)?;
            }
        }
        self.forget_targets(&dropped);
        Ok(())
    }

    fn decrypt_block(
        &mut self,
        number: u64,
        asb: &SecurityBlock,
        signatures: bool,
        dropped: &mut Vec<u64>,
    ) -> Result<(), Refusal> {
        let kind = |bundle: &RawBundle, target| bundle.block(target).map(|block| block.kind);
        let mut done = Vec::new();
        for target in &asb.targets {
            if (kind(&self.bundle, *target) == Some(BlockKind::Integrity)) != signatures {
                continue;
            }
            let fate = if self.accepts(&asb.source) {
                self.decrypt_one(number, asb, *target)?
            } else {
                Fate::Passed
            };
            match fate {
                Fate::Accepted => done.push(*target),
                Fate::TargetDropped(_) => {
                    done.push(*target);
                    dropped.push(*target);
                }
                Fate::Verified | Fate::Passed | Fate::NotChecked(_) => {}
            }
            self.note(Service::Confidentiality, number, *target, &asb.source, fate);
        }
        let block = self.bundle.block(number).map(|block| SecurityBlock::decode(&block.data));
        if let Some(Ok(mut rest)) = block.filter(|_| !done.is_empty()) {
            for target in done {
                rest.remove(target);
            }
            self.write_back(number, &rest);
        }
        Ok(())
    }

    fn decrypt_one(&mut self, number: u64, asb: &SecurityBlock, target: u64) -> Result<Fate, Refusal> {
        let result = self.operation(number, asb, target, |context, operation| context.decrypt(operation));
        match result {
            Ok(data) if self.place == Place::Waypoint && self.covers_encrypted(target, &data) => {
                Ok(Fate::Passed)
            }
            Ok(mut data) => {
                if let Some(block) = self.bundle.block_mut(target) {
                    block.data = core::mem::take(&mut *data);
                }
                Ok(Fate::Accepted)
            }
            Err(error) if self.place == Place::Waypoint && error.is_unknown() => Ok(Fate::NotChecked(error)),
            Err(error) => self.fail(Service::Confidentiality, number, target, error),
        }
    }

    /// Whether a block is an integrity block, decrypted to `data`, over something that is encrypted.
    fn covers_encrypted(&self, number: u64, data: &[u8]) -> bool {
        let integrity = self.bundle.block(number).is_some_and(|block| block.kind == BlockKind::Integrity);
        let encrypted = encrypted(&self.bundle);
        integrity
            && SecurityBlock::decode(data)
                .is_ok_and(|asb| asb.targets.iter().any(|target| encrypted.contains(target)))
    }

    fn verify_all(&mut self) -> Result<(), Refusal> {
        // Signatures that were encrypted are readable now, and have to fit the bundle as well.
        let coverage = Coverage::read(&self.bundle)?;
        let mut dropped = Vec::new();
        for (number, asb) in coverage.integrity {
            let mut rest = asb.clone();
            for target in &asb.targets {
                let fate = self.verify_one(number, &asb, *target)?;
                if fate == Fate::Accepted || matches!(fate, Fate::TargetDropped(_)) {
                    rest.remove(*target);
                }
                if matches!(fate, Fate::TargetDropped(_)) {
                    dropped.push(*target);
                }
                self.note(Service::Integrity, number, *target, &asb.source, fate);
            }
            if rest != asb {
                self.write_back(number, &rest);
            }
        }
        self.forget_targets(&dropped);
        Ok(())
    }

    fn verify_one(&mut self, number: u64, asb: &SecurityBlock, target: u64) -> Result<Fate, Refusal> {
        let result = self.operation(number, asb, target, |context, operation| context.verify(operation));
        let keep = self.place == Place::Waypoint || self.policy.on_unknown == OnUnknown::Keep;
        match result {
            Ok(()) => {
                self.signers.insert(target, asb.source.clone());
                Ok(if self.may_remove(number, asb, target) { Fate::Accepted } else { Fate::Verified })
            }
            Err(error) if keep && error.is_unknown() => Ok(Fate::NotChecked(error)),
            Err(error) => self.fail(Service::Integrity, number, target, error),
        }
    }

    /// Whether an operation that succeeded ends here.
    ///
    /// Without its signature the primary block gets a checksum, and other security blocks that
    /// cover it would not hold any more. So on the way it keeps the signature while there are others.
    fn may_remove(&self, number: u64, asb: &SecurityBlock, target: u64) -> bool {
        let alone = || {
            let mut others = self.bundle.blocks.iter().filter(|block| block.number != number);
            asb.targets.len() == 1 && !others.any(|block| block.kind.is_security())
        };
        self.accepts(&asb.source) && (target != 0 || self.place == Place::Destination || alone())
    }

    fn operation<T>(
        &self,
        number: u64,
        asb: &SecurityBlock,
        target: u64,
        run: impl FnOnce(&dyn SecurityContext, &Operation<'_>) -> Result<T, OperationError>,
    ) -> Result<T, OperationError> {
        let block = self.bundle.block(number).ok_or(OperationError::NoTarget)?;
        let mut contexts = self.contexts.iter();
        let context = contexts
            .find(|context| context.knows(block.kind, asb.context))
            .ok_or(OperationError::UnknownContext(asb.context))?;
        run(*context, &Operation { bundle: &self.bundle, block, asb, target })
    }

    fn accepts(&self, source: &Eid) -> bool {
        self.place == Place::Destination || self.policy.accepts.iter().any(|who| who.includes(source))
    }

    /// An operation failed: the bundle goes, or only its target.
    fn fail(
        &self,
        service: Service,
        block: u64,
        target: u64,
        error: OperationError,
    ) -> Result<Fate, Refusal> {
        let vital = target == 0 || target == self.payload;
        if vital || self.policy.on_failure == OnFailure::DropBundle {
            return Err(Refusal::Operation { service, block, target, error });
        }
        Ok(Fate::TargetDropped(error))
    }

    fn note(&mut self, service: Service, block: u64, target: u64, source: &Eid, fate: Fate) {
        self.outcomes.push(Outcome { service, block, target, source: source.clone(), fate });
    }

    /// Writes what is left of a security block; an empty one goes.
    fn write_back(&mut self, number: u64, rest: &SecurityBlock) {
        if rest.targets.is_empty() {
            self.bundle.blocks.retain(|block| block.number != number);
        } else if let Some(block) = self.bundle.block_mut(number) {
            block.data = rest.encode();
        }
    }

    /// Removes blocks, and the readable signatures over them.
    fn forget_targets(&mut self, dropped: &[u64]) {
        if dropped.is_empty() {
            return;
        }
        self.bundle.blocks.retain(|block| !dropped.contains(&block.number));
        let encrypted = encrypted(&self.bundle);
        for block in &mut self.bundle.blocks {
            if block.kind != BlockKind::Integrity || encrypted.contains(&block.number) {
                continue;
            }
            let Ok(mut asb) = SecurityBlock::decode(&block.data) else { continue };
            let before = asb.targets.len();
            for target in dropped {
                asb.remove(*target);
            }
            if asb.targets.len() != before {
                block.data = if asb.targets.is_empty() { Vec::new() } else { asb.encode() };
            }
        }
        self.bundle.blocks.retain(|block| block.kind != BlockKind::Integrity || !block.data.is_empty());
    }

    fn check_policy(&self) -> Result<(), Refusal> {
        let source = &self.bundle.primary.source;
        let coverage = Coverage::read(&self.bundle)?;
        for rule in self.policy.signed.iter().filter(|rule| rule.source.includes(source)) {
            let wanted = [(rule.primary, 0), (rule.payload, self.payload)];
            for (_, target) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
                let signed = match self.signers.get(&target) {
                    Some(signer) => same_node(signer, source),
                    // On the way a signature may be hidden, or made with a key that is not here.
                    None => {
                        self.place == Place::Waypoint
                            && (coverage.is_encrypted(target) || coverage.signed_by(target).is_some())
                    }
                };
                if !signed {
                    return Err(Refusal::Unsigned { target });
                }
            }
        }
        let destination = &self.bundle.primary.destination;
        if !self.sealed && self.policy.sealed.iter().any(|who| who.includes(destination)) {
            return Err(Refusal::Unsealed);
        }
        Ok(())
    }

    /// Blocks that nothing protects any more get a checksum (RFC 9173 sections 3.8.2 and 4.8.2).
    fn restore_checksums(&mut self) -> Result<(), Refusal> {
        let coverage = Coverage::read(&self.bundle)?;
        for outcome in self.outcomes.iter().filter(|outcome| outcome.fate == Fate::Accepted) {
            let target = outcome.target;
            if coverage.is_encrypted(target) || coverage.signed_by(target).is_some() {
                continue;
            }
            if target == 0 {
                // RFC 9171 section 4.3.1: the primary block is never without protection.
                let none = self.policy.crc == CrcType::None;
                self.bundle.primary.crc = if none { CrcType::Crc32 } else { self.policy.crc };
            } else if let Some(block) = self.bundle.block_mut(target) {
                block.crc = self.policy.crc;
            }
        }
        Ok(())
    }
}

/// The targets of all confidentiality blocks. What looks like a security block there is ciphertext.
fn encrypted(bundle: &RawBundle) -> BTreeSet<u64> {
    let blocks = bundle.blocks.iter().filter(|block| block.kind == BlockKind::Confidentiality);
    blocks.filter_map(|block| SecurityBlock::decode(&block.data).ok()).flat_map(|asb| asb.targets).collect()
}

impl Outcome {
    /// The reason code that a status report may give for it; `None` if all went well.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self.fate {
            Fate::Accepted | Fate::Verified => None,
            Fate::Passed => Some(Reason::Unexpected),
            Fate::NotChecked(error) | Fate::TargetDropped(error) => Some(Reason::of(error)),
        }
    }
}

impl SecurityCounts {
    /// Counts what happened to a bundle.
    pub fn count(&mut self, result: &Result<Processed, Refusal>) {
        let add = |count: &mut u64| *count = count.saturating_add(1);
        match result {
            Ok(processed) => {
                for outcome in &processed.outcomes {
                    add(match outcome.fate {
                        Fate::Accepted => &mut self.accepted,
                        Fate::Verified => &mut self.verified,
                        Fate::Passed => &mut self.passed,
                        Fate::NotChecked(_) => &mut self.not_checked,
                        Fate::TargetDropped(_) => &mut self.targets_dropped,
                    });
                }
            }
            Err(refusal) => add(match refusal.reason() {
                Some(Reason::Missing) => &mut self.refused_missing,
                Some(Reason::Unknown) => &mut self.refused_unknown,
                Some(Reason::Failed) => &mut self.refused_failed,
                Some(Reason::Conflicting) => &mut self.refused_conflicting,
                Some(Reason::Unexpected) | None => &mut self.refused_other,
            }),
        }
    }
}
