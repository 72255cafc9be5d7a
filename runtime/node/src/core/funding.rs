//! The payer's promises: locks to neighbours, and orders to the members of the board.

use std::collections::BTreeMap;

use cairn_board::{Fact, Funding, Job};
use cairn_bundle::{Digest, NodeId};
use cairn_ledger::{Contract, Kid, Promise, VerifiedEntry, pay_id};

use super::Core;
use super::boards::JobExt;
use super::commit::Tx;

/// One rung of one job that is to be funded through one neighbour.
struct Gap {
    group: u32,
    job: Digest,
    rung: u8,
    price: u64,
    fee: u64,
    first_hop: NodeId,
}

/// The nonce of the attempt that goes through this neighbour: one attempt per rung and first hop.
fn attempt_nonce(job: &Digest, rung: u8, first_hop: &NodeId) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("cairn 2026-11 attempt nonce");
    hasher.update(job.as_bytes()).update(&[rung]).update(first_hop.as_bytes());
    let mut nonce = [0; 16];
    hasher.finalize_xof().fill(&mut nonce);
    nonce
}

/// The rungs of a job with their numbers.
pub(super) fn numbered(job: &Job) -> impl DoubleEndedIterator<Item = (u8, &cairn_board::Rung)> {
    (0..=u8::MAX).zip(&job.rungs).collect::<Vec<_>>().into_iter()
}

impl Core {
    /// Promises every neighbour that grants a line the price of each rung and the fee of one hop.
    pub(super) fn fund_jobs(&mut self, tx: &mut Tx) {
        let mut orders: BTreeMap<NodeId, Vec<VerifiedEntry>> = BTreeMap::new();
        for gap in self.funding_gaps() {
            self.fund(tx, &gap, &mut orders);
        }
        for (executor, contracts) in orders {
            self.mail_entries(tx, &executor, &contracts);
        }
    }

    fn funding_gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for slot in self.boards.iter() {
            let members =
                |node: &&NodeId| slot.view.members.contains_key(*node) || slot.proven.contains(*node);
            let creditor = |node: &&NodeId| self.ledger.available(&self.me, node) > 0;
            let hops: Vec<NodeId> = self
                .contacts
                .peers()
                .map(|(node, _)| node)
                .filter(members)
                .filter(creditor)
                .copied()
                .collect();
            let mine =
                slot.view.jobs.iter().filter(|(_, job)| job.job.payer == self.me && job.state.is_open());
            for (id, job) in mine {
                for (rung, terms) in numbered(&job.job).filter(|(_, rung)| rung.price > 0) {
                    let funded = |hop: &NodeId| {
                        job.fundings.iter().any(|f| f.funding.rung == rung && f.funding.first_hop == *hop)
                    };
                    if job.accepted(rung).is_some() {
                        continue;
                    }
                    gaps.extend(hops.iter().filter(|hop| !funded(hop)).map(|hop| Gap {
                        group: slot.group,
                        job: *id,
                        rung,
                        price: terms.price,
                        fee: job.job.fee,
                        first_hop: *hop,
                    }));
                }
            }
        }
        gaps
    }

    fn fund(&mut self, tx: &mut Tx, gap: &Gap, orders: &mut BTreeMap<NodeId, Vec<VerifiedEntry>>) {
        let Some(amount) = gap.price.checked_add(gap.fee) else { return };
        let nonce = attempt_nonce(&gap.job, gap.rung, &gap.first_hop);
        let payment = pay_id(&gap.job, &self.me, &nonce);
        let promise = Promise { pay_id: payment, amount, verifiers: [0; 8], hint_time: 0 };
        // A line that is too small leaves the rung unfunded until it grows.
        if self.write_entry(tx, gap.first_hop, |author| author.lock(&gap.first_hop, &promise)).is_err() {
            return;
        }
        let funding = Funding {
            job: gap.job,
            rung: gap.rung,
            pay_id: payment.0,
            nonce,
            first_hop: gap.first_hop,
            amount,
        };
        self.publish_fact(tx, gap.group, &Fact::Funding(funding));
        let members: Vec<NodeId> = self
            .boards
            .group(gap.group)
            .map(|slot| slot.view.members.keys().copied().collect())
            .unwrap_or_default();
        let me = self.me;
        for member in members.into_iter().filter(|member| *member != me) {
            let guarantor = if member == gap.first_hop { Kid::NOBODY } else { Kid::of(&gap.first_hop) };
            let contract = Contract {
                job: gap.job,
                price: gap.price,
                tier: gap.rung,
                hint_deadline: 0,
                verifiers: [0; 8],
                guarantor,
            };
            if let Ok(entry) = self.write_entry(tx, member, |author| author.contract(&member, contract)) {
                orders.entry(member).or_default().push(entry);
            }
        }
    }
}
