//! A pays C for a job through B, with whom alone both share an edge.

use crate::world::{Node, bring, line, meet, task_result};
use cairn_bundle::{Digest, NodeId};
use cairn_ledger::{
    AuthorError, Contract, Forward, Kid, Ledger, LockId, LockStatus, Order, PayId, Promise, Receipt, Refusal,
    VerifiedEntry, pay_id,
};

const JOB: Digest = Digest([9; 32]);
const NONCE: [u8; 16] = [1; 16];
const PRICE: u64 = 100;
const FEE: u64 = 5;

struct Path {
    a: Node,
    b: Node,
    c: Node,
    payment: PayId,
    up: LockId,
    down: LockId,
    contract: VerifiedEntry,
}

fn name(lock: &VerifiedEntry) -> LockId {
    LockId::of(&lock.id())
}

/// Lines, both locks and the contract are in place.
fn locked_path() -> Path {
    let (mut a, mut b, mut c) = (Node::new(1), Node::new(2), Node::new(3));
    b.author().grant_line(&a.id(), line(200)).unwrap();
    c.author().grant_line(&b.id(), line(150)).unwrap();
    meet(&mut a, &mut b);
    meet(&mut b, &mut c);

    let payment = pay_id(&JOB, &a.id(), &NONCE);
    let promise = Promise { pay_id: payment, amount: PRICE + FEE, verifiers: [0; 8], hint_time: 5000 };
    let up = name(&a.author().lock(&b.id(), &promise).unwrap());
    let contract = Contract {
        job: JOB,
        price: PRICE,
        tier: 2,
        hint_deadline: 0,
        verifiers: [0; 8],
        guarantor: Kid::of(&b.id()),
    };
    let contract = a.author().contract(&c.id(), contract).unwrap();
    meet(&mut a, &mut b);

    let forward = Forward { lock_up: up, next: c.id(), amount_down: PRICE, fee: FEE };
    let down = name(&b.author().forward(&forward).unwrap());
    meet(&mut b, &mut c);
    bring(&contract, &mut c);
    assert!(c.ledger.may_run(&down).is_ok());
    Path { a, b, c, payment, up, down, contract }
}

fn owed(ledger: &Ledger, debtor: &NodeId, beneficiary: &NodeId) -> (u128, u128) {
    (ledger.owed(debtor, beneficiary), ledger.held(debtor, beneficiary))
}

#[test]
fn a_job_over_two_hops_is_paid_once_and_all_views_agree() {
    let Path { mut a, mut b, mut c, payment, up, down, contract } = locked_path();
    assert_eq!(owed(&a.ledger, &a.id(), &b.id()), (0, 105));
    assert_eq!(owed(&c.ledger, &b.id(), &c.id()), (0, 100));

    let result = c.author().result(&a.id(), task_result(payment, 2)).unwrap();
    bring(&result, &mut a);
    let order = Order { job: JOB, tier: 2, nonces: &[NONCE] };
    let accept = a.author().accept(&order, &result.id(), PRICE, 0).unwrap();
    bring(&accept, &mut c);
    for _ in 0..2 {
        meet(&mut a, &mut b);
        meet(&mut b, &mut c);
    }
    let (a_id, b_id, c_id) = (a.id(), b.id(), c.id());
    for ledger in [&a.ledger, &b.ledger] {
        assert_eq!(owed(ledger, &a_id, &b_id), (105, 0));
    }
    for ledger in [&b.ledger, &c.ledger] {
        assert_eq!(owed(ledger, &b_id, &c_id), (100, 0));
    }
    assert_eq!(b.ledger.status(&up), Some(LockStatus::Settled));
    assert_eq!(c.ledger.status(&down), Some(LockStatus::Settled));
    assert_eq!(b.ledger.net(&b_id, &a_id) + b.ledger.net(&b_id, &c_id), 5);
    // Nothing is left to say.
    assert_eq!(meet(&mut a, &mut b) + meet(&mut b, &mut c), 0);

    let receipt = Receipt::new(result, accept, Some((contract, NONCE))).unwrap();
    assert_eq!(Receipt::verify(&receipt.encode()).as_ref(), Ok(receipt.view()));
}

#[test]
fn b_is_paid_although_only_c_brings_the_evidence() {
    let Path { mut a, mut b, mut c, payment, up, .. } = locked_path();
    let result = c.author().result(&a.id(), task_result(payment, 2)).unwrap();
    bring(&result, &mut a);
    let order = Order { job: JOB, tier: 2, nonces: &[NONCE] };
    let accept = a.author().accept(&order, &result.id(), PRICE, 0).unwrap();
    // A never speaks to B again (attack A5).
    bring(&accept, &mut c);
    meet(&mut b, &mut c);
    assert_eq!(b.ledger.status(&up), Some(LockStatus::Settled));
    assert_eq!(b.ledger.owed(&a.id(), &b.id()), 105);
    // And a PAY that says the same changes nothing.
    a.author().pay(&b.id(), 0, &[up]).unwrap();
    meet(&mut a, &mut b);
    assert_eq!(b.ledger.owed(&a.id(), &b.id()), 105);
}

#[test]
fn an_unused_lock_is_released_downstream_first() {
    let Path { mut a, mut b, mut c, up, down, .. } = locked_path();
    let refused = b.author().release(&a.id(), &[up]);
    assert_eq!(refused, Err(AuthorError::Refused(Refusal::DownstreamOpen)));
    assert!(b.ledger.due_for_release(100_000, 10).is_empty());

    // C's clock says that the wish is over: it waives, and only then may B.
    assert!(c.ledger.due_for_release(5010, 10).is_empty());
    let due: Vec<LockId> = c.ledger.due_for_release(5011, 10).iter().map(|lock| lock.id).collect();
    assert_eq!(due, [down]);
    c.author().release(&b.id(), &due).unwrap();
    meet(&mut b, &mut c);
    assert_eq!(b.ledger.due_for_release(5011, 10).len(), 1);
    b.author().release(&a.id(), &[up]).unwrap();
    meet(&mut a, &mut b);
    for (ledger, debtor, beneficiary) in [(&a.ledger, a.id(), b.id()), (&c.ledger, b.id(), c.id())] {
        assert_eq!(owed(ledger, &debtor, &beneficiary), (0, 0));
    }
    assert_eq!(a.ledger.available(&a.id(), &b.id()), 200);
    // Twice is once too many.
    assert_eq!(b.author().release(&a.id(), &[up]), Err(AuthorError::Refused(Refusal::NotHeld)));
    let forward = Forward { lock_up: up, next: c.id(), amount_down: 1, fee: 0 };
    assert_eq!(b.author().forward(&forward), Err(AuthorError::Refused(Refusal::NotHeld)));
}

#[test]
fn who_has_done_the_work_keeps_the_lock_whatever_the_clock_says() {
    let Path { a, mut c, payment, .. } = locked_path();
    c.author().result(&a.id(), task_result(payment, 2)).unwrap();
    assert!(c.ledger.due_for_release(u32::MAX, 0).is_empty());
    let again = c.author().result(&a.id(), task_result(payment, 2));
    assert_eq!(again, Err(AuthorError::AlreadyDelivered(payment)));
}

#[test]
fn what_is_passed_on_is_not_run_and_what_is_run_is_not_passed_on() {
    let Path { mut a, mut b, mut c, payment, up, .. } = locked_path();
    assert_eq!(b.ledger.may_run(&up), Err(Refusal::AlreadyForwarded));
    let result = b.author().result(&a.id(), task_result(payment, 2));
    assert_eq!(result, Err(AuthorError::Refused(Refusal::AlreadyForwarded)));

    let second = pay_id(&JOB, &a.id(), &[2; 16]);
    let promise = Promise { pay_id: second, amount: 20, verifiers: [0; 8], hint_time: 0 };
    let up = name(&a.author().lock(&b.id(), &promise).unwrap());
    meet(&mut a, &mut b);
    b.author().result(&a.id(), task_result(second, 0)).unwrap();
    let forward = Forward { lock_up: up, next: c.id(), amount_down: 10, fee: 0 };
    assert_eq!(b.author().forward(&forward), Err(AuthorError::Refused(Refusal::AlreadyRun)));
    assert_eq!(meet(&mut b, &mut c), 0);
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let granted = b.author().grant_line(&a.id(), line(200)).unwrap();
    assert!(!b.ledger.is_durable(&granted.id()));
    assert_eq!(a.take_from(&b), 0);
    b.ledger.mark_durable(&granted.id());
    assert_eq!(a.take_from(&b), 1);
    // What is read back at the start is durable.
    let mut restarted = Node::new(2);
    restarted.ledger.admit(&a.id()).unwrap();
    restarted.ledger.insert(granted).unwrap();
    assert_eq!(restarted.ledger.relevant_to(&a.id()).count(), 1);
    let next = restarted.author().grant_line(&a.id(), line(100)).unwrap();
    assert_eq!((next.place().seq, restarted.ledger.missing_predecessors(&b.id(), &a.id())), (1, 0));
}

#[test]
fn the_same_facts_and_the_same_key_sign_the_same_bytes() {
    let grant = || {
        let mut b = Node::new(2);
        b.author().grant_line(&Node::new(1).id(), line(200)).unwrap().encode()
    };
    assert_eq!(grant(), grant());
}
