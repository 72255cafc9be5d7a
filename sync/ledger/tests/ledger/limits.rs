//! Every limit has a name and is hit here; and amounts at the end of their range.

use crate::world::{Node, accept, line, lock, pay, sign};
use cairn_bundle::Identity;
use cairn_ledger::{
    Author, AuthorError, AuthorsFull, InsertError, Inserted, Ledger, Limits, LockId, PayId, Record, Refusal,
    VerifiedEntry,
};
use proptest::prelude::*;

const PAYMENT: PayId = PayId([4; 16]);

fn small() -> Limits {
    Limits {
        exposure_max: 100,
        authors_max: 2,
        entries_per_stream_max: 3,
        entries_per_author_max: 4,
        foreign_entries_max: 2,
    }
}

fn someone(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

fn fact(author: &Identity, peer: &Identity, seq: u32) -> VerifiedEntry {
    sign(author, &peer.node_id(), seq, 1, &Record::Line(line(1)))
}

#[test]
fn a_full_stream_and_a_full_author_are_refused_and_nothing_changes() {
    let (me, a) = (someone(1), someone(2));
    let mut ledger = Ledger::new(me.node_id(), small());
    ledger.admit(&a.node_id()).unwrap();
    for seq in 0..3 {
        assert_eq!(ledger.insert(fact(&a, &me, seq)), Ok(Inserted::New));
    }
    let debt = sign(&a, &me.node_id(), 3, 1, &pay(9, &[]));
    assert_eq!(ledger.insert(debt), Err(InsertError::StreamFull { entries_max: 3 }));
    assert_eq!((ledger.len(), ledger.owed(&a.node_id(), &me.node_id())), (3, 0));
    assert_eq!(ledger.insert(fact(&a, &me, 2)), Ok(Inserted::Known));
    assert_eq!(ledger.insert(fact(&a, &someone(3), 0)), Ok(Inserted::New));
    let fifth = ledger.insert(fact(&a, &someone(3), 1));
    assert_eq!(fifth, Err(InsertError::AuthorFull { entries_max: 4 }));
    for _ in 0..3 {
        Author::new(&me, &mut ledger, 0).unwrap().grant_line(&a.node_id(), line(1)).unwrap();
    }
    let mut author = Author::new(&me, &mut ledger, 0).unwrap();
    let fourth = author.grant_line(&a.node_id(), line(1));
    assert_eq!(fourth, Err(AuthorError::Full(InsertError::StreamFull { entries_max: 3 })));
}

#[test]
fn strangers_have_a_common_share_and_admission_frees_it() {
    let (me, a) = (someone(1), someone(2));
    let mut ledger = Ledger::new(me.node_id(), small());
    for seed in [10, 11] {
        ledger.insert(fact(&someone(seed), &me, 0)).unwrap();
    }
    let third = ledger.insert(fact(&a, &me, 0));
    assert_eq!(third, Err(InsertError::ForeignFull { entries_max: 2 }));
    ledger.admit(&someone(10).node_id()).unwrap();
    ledger.admit(&someone(10).node_id()).unwrap();
    assert_eq!(ledger.insert(fact(&a, &me, 0)), Ok(Inserted::New));
    ledger.admit(&a.node_id()).unwrap();
    ledger.admit(&me.node_id()).unwrap();
    assert_eq!(ledger.admit(&someone(12).node_id()), Err(AuthorsFull { authors_max: 2 }));
    let mut author = Author::new(&me, &mut ledger, 0).unwrap();
    let refused = author.grant_line(&someone(12).node_id(), line(1));
    assert_eq!(refused, Err(AuthorError::AuthorsFull(AuthorsFull { authors_max: 2 })));
}

#[test]
fn strangers_cannot_keep_the_evidence_for_a_known_lock_out() {
    let (me, a, payer) = (someone(1), someone(2), someone(3));
    let mut ledger = Ledger::new(me.node_id(), small());
    ledger.admit(&a.node_id()).unwrap();
    let promise = sign(&a, &me.node_id(), 0, 1, &lock(PAYMENT, 7, &payer.node_id()));
    ledger.insert(promise).unwrap();
    for seed in [10, 11] {
        ledger.insert(fact(&someone(seed), &me, 0)).unwrap();
    }
    let other = sign(&payer, &me.node_id(), 0, 1, &accept(PayId([5; 16])));
    assert_eq!(ledger.insert(other), Err(InsertError::ForeignFull { entries_max: 2 }));
    assert_eq!(ledger.insert(sign(&payer, &me.node_id(), 0, 1, &accept(PAYMENT))), Ok(Inserted::New));
    assert_eq!(ledger.owed(&a.node_id(), &me.node_id()), 7);
    let again = ledger.insert(sign(&payer, &me.node_id(), 1, 1, &accept(PAYMENT)));
    assert_eq!(again, Err(InsertError::ForeignFull { entries_max: 2 }));
}

#[test]
fn all_debtors_together_stay_below_the_own_cap() {
    let me = someone(1);
    let mut ledger = Ledger::new(me.node_id(), small());
    let mut locks = Vec::new();
    for seed in [2, 3] {
        let debtor = someone(seed);
        Author::new(&me, &mut ledger, 0).unwrap().grant_line(&debtor.node_id(), line(60)).unwrap();
        let promise = sign(&debtor, &me.node_id(), 0, 1, &lock(PayId([seed; 16]), 60, &debtor.node_id()));
        locks.push(LockId::of(&promise.id()));
        ledger.insert(promise).unwrap();
        if seed == 2 {
            assert!(ledger.may_act_on(&locks[0]).is_ok());
        }
    }
    for lock in &locks {
        let refused = ledger.may_act_on(lock);
        assert_eq!(refused, Err(Refusal::OverCap { exposure: 120, exposure_max: 100 }));
    }
}

#[test]
fn the_largest_amounts_add_up_without_wrapping() {
    let (me, a) = (someone(1), someone(2));
    let mut ledger = Ledger::new(me.node_id(), Limits::default());
    ledger.admit(&a.node_id()).unwrap();
    let promises: Vec<VerifiedEntry> =
        (0..4).map(|seq| sign(&a, &me.node_id(), seq, 1, &lock(PAYMENT, u64::MAX, &a.node_id()))).collect();
    promises.iter().for_each(|promise| assert_eq!(ledger.insert(promise.clone()), Ok(Inserted::New)));
    ledger.insert(sign(&a, &me.node_id(), 4, 1, &pay(u64::MAX, &[&promises[0]]))).unwrap();
    let max = u128::from(u64::MAX);
    assert_eq!(ledger.owed(&a.node_id(), &me.node_id()), 2 * max);
    assert_eq!(ledger.held(&a.node_id(), &me.node_id()), 3 * max);
    assert_eq!(ledger.exposure(&a.node_id(), &me.node_id()), i128::try_from(5 * max).unwrap());
    assert_eq!(ledger.available(&a.node_id(), &me.node_id()), 0);

    let mut author = Author::new(&me, &mut ledger, 0).unwrap();
    author.grant_line(&a.node_id(), line(u64::MAX)).unwrap();
    author.pay(&a.node_id(), u64::MAX, &[]).unwrap();
    assert_eq!(author.pay(&a.node_id(), 1, &[]), Err(AuthorError::Overflow));
    assert_eq!(author.pay(&a.node_id(), 0, &[LockId([0; 16]); 17]), Err(AuthorError::LockCount));
    assert_eq!(author.release(&a.node_id(), &[]), Err(AuthorError::LockCount));
    assert_eq!(author.grant_line(&me.node_id(), line(1)), Err(AuthorError::Myself));
}

#[test]
fn the_last_sequence_number_is_the_last_and_time_never_runs_back() {
    let (mut me, a) = (Node::new(1), someone(2));
    let late = sign(&me.identity, &a.node_id(), u32::MAX - 1, 5000, &Record::Line(line(1)));
    me.ledger.insert(late).unwrap();
    assert_eq!(me.ledger.missing_predecessors(&me.id(), &a.node_id()), 1);
    let last = me.author().grant_line(&a.node_id(), line(2)).unwrap();
    assert_eq!((last.place().seq, last.time()), (u32::MAX, 5000));
    assert_eq!(me.author().grant_line(&a.node_id(), line(3)), Err(AuthorError::SeqUsedUp));
    let other = someone(7);
    assert!(matches!(Author::new(&other, &mut me.ledger, 0), Err(AuthorError::OtherIdentity)));
}

proptest! {
    #[test]
    fn no_bytes_whatever_make_the_decoders_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = VerifiedEntry::decode(&bytes);
        let _ = cairn_ledger::Receipt::verify(&bytes);
        let _ = cairn_ledger::EquivProof::verify_alone(&bytes);
    }

    #[test]
    fn nearly_right_bytes_do_not_pass_either(
        at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let entry = fact(&someone(1), &someone(2), 300);
        let mut bytes = entry.encode();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != value);
        bytes[at] = value;
        prop_assert!(VerifiedEntry::decode(&bytes).is_err());
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(VerifiedEntry::decode(&bytes).is_err());
    }
}
