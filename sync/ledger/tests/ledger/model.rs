//! The rules of the ledger in the plainest words, to compare the crate with.

use cairn_bundle::{Digest, NodeId};
use cairn_ledger::{Kid, LockId, Record, StreamId, VerifiedEntry};

/// What `debtor` owes and has promised `beneficiary`, from nothing but the list of facts.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) struct Balance {
    pub(crate) owed: u128,
    pub(crate) held: u128,
}

pub(crate) fn balance(facts: &[VerifiedEntry], debtor: &NodeId, beneficiary: &NodeId) -> Balance {
    let from = |author: &NodeId, peer: &NodeId| {
        let (author, stream) = (*author, StreamId::edge(author, peer));
        facts.iter().filter(move |fact| fact.author() == author && fact.place().stream == stream)
    };
    let cum = from(debtor, beneficiary).filter_map(|fact| match fact.record() {
        Record::Pay(pay) => Some(pay.cum),
        _ => None,
    });
    let mut balance = Balance { owed: u128::from(cum.max().unwrap_or(0)), held: 0 };
    let mut seen: Vec<Digest> = Vec::new();
    for fact in from(debtor, beneficiary) {
        let Record::Lock(lock) = fact.record() else { continue };
        if seen.contains(&fact.id()) {
            continue;
        }
        seen.push(fact.id());
        let name = LockId::of(&fact.id());
        let settled = from(debtor, beneficiary)
            .any(|fact| matches!(fact.record(), Record::Pay(pay) if pay.settles.contains(&name)));
        let released = from(beneficiary, debtor)
            .any(|fact| matches!(fact.record(), Record::Release(release) if release.locks.contains(&name)));
        let accepted = facts.iter().any(|fact| {
            matches!(fact.record(), Record::Accept(accept) if accept.pay_id == lock.pay_id)
                && Kid::of(&fact.author()) == lock.payer
        });
        if settled || (!released && accepted) {
            balance.owed += u128::from(lock.amount);
        } else if !released {
            balance.held += u128::from(lock.amount);
        }
    }
    balance
}
