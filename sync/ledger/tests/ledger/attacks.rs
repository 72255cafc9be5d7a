//! The attacks of the design that this part of the ledger has to stand.

use crate::world::{Node, accept, bring, line, lock, meet, pay, release, sign, task_result};
use cairn_bundle::{Digest, Identity};
use cairn_ledger::{
    AuthorError, EquivProof, Forward, Inserted, LockId, LockStatus, Order, PayId, Promise, Record, Refusal,
    VerifiedEntry, pay_id,
};

const PAYMENT: PayId = PayId([4; 16]);

fn name(lock: &VerifiedEntry) -> LockId {
    LockId::of(&lock.id())
}

/// B grants A a line of 200; C grants B one of 200.
fn neighbours() -> (Node, Node, Node) {
    let (a, mut b, mut c) = (Node::new(1), Node::new(2), Node::new(3));
    b.author().grant_line(&a.id(), line(200)).unwrap();
    c.author().grant_line(&b.id(), line(200)).unwrap();
    meet(&mut b, &mut c);
    (a, b, c)
}

#[test]
fn a2_a_fork_counts_on_both_branches_and_proves_itself() {
    let (a, mut b, _) = neighbours();
    let one = sign(&a.identity, &b.id(), 0, 1, &lock(PAYMENT, 60, &a.id()));
    let two = sign(&a.identity, &b.id(), 0, 2, &lock(PAYMENT, 70, &a.id()));
    assert_eq!(b.ledger.insert(one.clone()), Ok(Inserted::New));
    let Ok(Inserted::Fork(proof)) = b.ledger.insert(two) else { panic!("a fork") };
    assert!(EquivProof::verify(&proof.encode(), &a.id()).is_ok());
    assert_eq!(b.ledger.held(&a.id(), &b.id()), 130);
    assert_eq!(b.ledger.insert(one.clone()), Ok(Inserted::Known));
    assert_eq!(b.ledger.equivocators().collect::<Vec<_>>(), [&a.id()]);
    assert_eq!(b.ledger.may_act_on(&name(&one)), Err(Refusal::Equivocated));
    assert_eq!(b.ledger.equivocation(&b.id()), None);
}

#[test]
fn a4_what_is_over_the_line_is_a_debt_but_no_reason_to_work() {
    let (a, mut b, _) = neighbours();
    let promise = sign(&a.identity, &b.id(), 0, 1, &lock(PAYMENT, 200, &a.id()));
    bring(&promise, &mut b);
    assert!(b.ledger.may_act_on(&name(&promise)).is_ok());
    let debt = sign(&a.identity, &b.id(), 1, 1, &pay(1, &[]));
    bring(&debt, &mut b);
    let refused = b.ledger.may_act_on(&name(&promise));
    assert_eq!(refused, Err(Refusal::OverLine { exposure: 201, limit: 200 }));
    assert_eq!(b.ledger.available(&a.id(), &b.id()), 0);
    b.author().release(&a.id(), &[name(&promise)]).unwrap();
    assert_eq!(b.ledger.exposure(&a.id(), &b.id()), 1);
}

#[test]
fn a6_two_paths_for_one_rung_are_not_both_paid() {
    let (mut a, b, mut c) = neighbours();
    let job = Digest([9; 32]);
    let nonces = [[1; 16], [2; 16]];
    let payments = nonces.map(|nonce| pay_id(&job, &a.id(), &nonce));
    let first = sign(&b.identity, &a.id(), 0, 1, &Record::Result(task_result(payments[0], 2)));
    let second = c.author().result(&a.id(), task_result(payments[1], 2)).unwrap();
    let cheap = c.author().result(&a.id(), task_result(PAYMENT, 0)).unwrap();
    for entry in [&first, &second, &cheap] {
        bring(entry, &mut a);
    }
    let order = Order { job, tier: 2, nonces: &nonces };
    // A result of another rung or payment is not what was ordered.
    assert_eq!(a.author().accept(&order, &cheap.id(), 1, 0), Err(AuthorError::NoSuchResult));
    let other_rung = Order { tier: 1, ..order };
    assert_eq!(a.author().accept(&other_rung, &first.id(), 1, 0), Err(AuthorError::NoSuchResult));
    assert_eq!(a.author().accept(&order, &Digest([0; 32]), 1, 0), Err(AuthorError::NoSuchResult));
    a.author().accept(&order, &first.id(), 1, 0).unwrap();
    for result in [&first, &second] {
        let again = a.author().accept(&order, &result.id(), 1, 0);
        assert_eq!(again, Err(AuthorError::AlreadyAccepted(payments[0])));
    }
    assert!(a.ledger.accepted(&a.id(), &payments[1]).is_none());
}

#[test]
fn a6_one_payment_is_locked_on_one_path_only() {
    let (mut a, mut b, mut c) = neighbours();
    c.author().grant_line(&a.id(), line(50)).unwrap();
    meet(&mut a, &mut b);
    meet(&mut a, &mut c);
    let promise = Promise { pay_id: PAYMENT, amount: 50, verifiers: [0; 8], hint_time: 0 };
    a.author().lock(&b.id(), &promise).unwrap();
    for peer in [b.id(), c.id()] {
        assert_eq!(a.author().lock(&peer, &promise), Err(AuthorError::PaymentUsed(PAYMENT)));
    }
    let next = Promise { pay_id: PayId([5; 16]), amount: 51, ..promise };
    let refused = Err(AuthorError::Refused(Refusal::BeyondTheirLine { available: 50 }));
    assert_eq!(a.author().lock(&c.id(), &next), refused);
}

#[test]
fn a11_an_acceptance_after_the_waiver_settles_nothing() {
    let (a, mut b, _) = neighbours();
    let promise = sign(&a.identity, &b.id(), 0, 1, &lock(PAYMENT, 60, &a.id()));
    bring(&promise, &mut b);
    b.author().release(&a.id(), &[name(&promise)]).unwrap();
    bring(&sign(&a.identity, &Node::new(3).id(), 0, 1, &accept(PAYMENT)), &mut b);
    assert_eq!(b.ledger.status(&name(&promise)), Some(LockStatus::Released));
    // Only the debtor itself can bring the debt back.
    bring(&sign(&a.identity, &b.id(), 1, 1, &pay(0, &[&promise])), &mut b);
    assert_eq!(b.ledger.status(&name(&promise)), Some(LockStatus::Settled));
}

#[test]
fn a12_an_old_waiver_does_not_hit_a_new_lock() {
    let (a, mut b, _) = neighbours();
    let old = sign(&a.identity, &b.id(), 0, 1, &lock(PAYMENT, 60, &a.id()));
    bring(&old, &mut b);
    let waiver = b.author().release(&a.id(), &[name(&old)]).unwrap();
    // The same promise again, and the waiver again; it does not count in the other direction either.
    let new = sign(&a.identity, &b.id(), 1, 1, &lock(PAYMENT, 60, &a.id()));
    bring(&new, &mut b);
    assert_eq!(b.ledger.insert(waiver), Ok(Inserted::Known));
    let forged = sign(&a.identity, &b.id(), 2, 1, &release(&[&new]));
    bring(&forged, &mut b);
    assert_eq!(b.ledger.status(&name(&new)), Some(LockStatus::Held));
}

#[test]
fn only_the_payer_of_a_lock_can_settle_it() {
    let (a, mut b, c) = neighbours();
    let promise = sign(&a.identity, &b.id(), 0, 1, &lock(PAYMENT, 60, &a.id()));
    bring(&promise, &mut b);
    for seed in [2, 3, 66] {
        let liar = Identity::from_seed(&[seed; 32]);
        bring(&sign(&liar, &a.id(), 7, 1, &accept(PAYMENT)), &mut b);
    }
    bring(&sign(&a.identity, &c.id(), 0, 1, &accept(PayId([5; 16]))), &mut b);
    assert_eq!(b.ledger.status(&name(&promise)), Some(LockStatus::Held));
    bring(&sign(&a.identity, &c.id(), 1, 1, &accept(PAYMENT)), &mut b);
    assert_eq!(b.ledger.status(&name(&promise)), Some(LockStatus::Settled));
}

#[test]
fn a_stranger_who_knows_the_payment_cannot_block_it() {
    let (a, mut b, c) = neighbours();
    let x = Node::new(4);
    b.author().grant_line(&x.id(), line(10)).unwrap();
    bring(&sign(&x.identity, &b.id(), 0, 1, &lock(PAYMENT, 1, &a.id())), &mut b);
    let promise = sign(&a.identity, &b.id(), 0, 1, &lock(PAYMENT, 60, &a.id()));
    bring(&promise, &mut b);
    let forward = Forward { lock_up: name(&promise), next: c.id(), amount_down: 55, fee: 5 };
    b.author().forward(&forward).unwrap();
    let again = b.author().forward(&forward);
    assert_eq!(again, Err(AuthorError::Refused(Refusal::AlreadyForwarded)));
}

#[test]
fn forwarding_has_its_conditions() {
    let (a, mut b, c) = neighbours();
    let promise = sign(&a.identity, &b.id(), 0, 1, &lock(PAYMENT, 60, &a.id()));
    let foreign = sign(&a.identity, &c.id(), 0, 1, &lock(PAYMENT, 60, &a.id()));
    bring(&promise, &mut b);
    bring(&foreign, &mut b);
    let good = Forward { lock_up: name(&promise), next: c.id(), amount_down: 55, fee: 5 };
    let stranger = Node::new(9).id();
    let over = Refusal::TooLittle { amount_up: 60, amount_down: 56, fee: 5 };
    let endless = Refusal::TooLittle { amount_up: 60, amount_down: 55, fee: u64::MAX };
    for (forward, refusal) in [
        (Forward { lock_up: LockId([0; 16]), ..good }, Refusal::UnknownLock),
        (Forward { lock_up: name(&foreign), ..good }, Refusal::UnknownLock),
        (Forward { next: a.id(), ..good }, Refusal::Loop),
        (Forward { next: b.id(), ..good }, Refusal::Loop),
        (Forward { next: stranger, ..good }, Refusal::BeyondTheirLine { available: 0 }),
        (Forward { amount_down: 56, ..good }, over),
        (Forward { fee: u64::MAX, ..good }, endless),
    ] {
        assert_eq!(b.ledger.may_forward(&forward), Err(refusal), "{forward:?}");
    }
    assert!(b.ledger.may_forward(&good).is_ok());
    let down = name(&b.author().forward(&good).unwrap());
    assert_eq!(b.ledger.may_act_on(&down), Err(Refusal::NotToMe));
    assert_eq!(b.author().pay(&a.id(), 0, &[down]), Err(AuthorError::Refused(Refusal::UnknownLock)));
}

#[test]
fn without_a_line_or_within_a_hold_limit_nothing_is_done() {
    let (a, mut b, c) = neighbours();
    let promise = sign(&c.identity, &b.id(), 5, 1, &lock(PAYMENT, 60, &c.id()));
    bring(&promise, &mut b);
    assert_eq!(b.ledger.may_act_on(&name(&promise)), Err(Refusal::NoLine));
    let mut narrow = line(200);
    narrow.hold_max = 59;
    b.author().grant_line(&a.id(), narrow).unwrap();
    let promise = sign(&a.identity, &b.id(), 0, 1, &lock(PAYMENT, 60, &a.id()));
    bring(&promise, &mut b);
    let refused = b.ledger.may_act_on(&name(&promise));
    assert_eq!(refused, Err(Refusal::OverHold { held: 60, hold_max: 59 }));
}
