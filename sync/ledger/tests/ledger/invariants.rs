//! I1 to I4 and I6 to I8 of the design, over facts that liars sign, fork, repeat and reorder.

use crate::model;
use crate::world::{accept, line, lock, pay, release, sign, task_result};
use cairn_bundle::{Identity, NodeId};
use cairn_ledger::{Author, Forward, Ledger, Limits, LockId, LockStatus, PayId, Record, VerifiedEntry};
use proptest::prelude::*;

const NODES: u8 = 3;

fn identity(index: u8) -> Identity {
    Identity::from_seed(&[index + 1; 32])
}

fn nodes() -> Vec<NodeId> {
    (0..NODES).map(|index| identity(index).node_id()).collect()
}

/// One fact of a liar: who, to whom, at which place of the log, and what.
#[derive(Debug, Clone)]
struct Say {
    author: u8,
    peer: u8,
    seq: u32,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Line(u64),
    Pay(u64, Vec<prop::sample::Index>),
    Lock { payment: u8, payer: u8, amount: u64 },
    Release(Vec<prop::sample::Index>),
    Accept(u8),
    Result(u8),
}

fn say() -> impl Strategy<Value = Say> {
    let amount = || prop_oneof![0..100_u64, Just(u64::MAX), any::<u64>()];
    let picks = || prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    let what = prop_oneof![
        1 => amount().prop_map(What::Line),
        2 => (amount(), picks()).prop_map(|(cum, settles)| What::Pay(cum, settles)),
        6 => (0..3_u8, 0..NODES, amount())
            .prop_map(|(payment, payer, amount)| What::Lock { payment, payer, amount }),
        3 => picks().prop_map(What::Release),
        3 => (0..3_u8).prop_map(What::Accept),
        1 => (0..3_u8).prop_map(What::Result),
    ];
    (0..NODES, 1..NODES, 0..6_u32, what).prop_map(|(author, step, seq, what)| Say {
        author,
        peer: (author + step) % NODES,
        seq,
        what,
    })
}

/// Signs one fact more; locks are picked among those signed before, whoever signed them.
fn push(facts: &mut Vec<VerifiedEntry>, say: &Say) {
    let locks: Vec<&VerifiedEntry> =
        facts.iter().filter(|fact| matches!(fact.record(), Record::Lock(_))).collect();
    let pick = |picks: &[prop::sample::Index]| {
        let picks = picks.iter().filter(|_| !locks.is_empty());
        picks.map(|pick| locks[pick.index(locks.len())]).collect::<Vec<_>>()
    };
    let payment = |payment: u8| PayId([payment; 16]);
    let record = match &say.what {
        What::Line(limit) => Record::Line(line(*limit)),
        What::Pay(cum, settles) => pay(*cum, &pick(settles)),
        What::Lock { payment: p, payer, amount } => lock(payment(*p), *amount, &identity(*payer).node_id()),
        What::Release(waived) => release(&pick(waived)),
        What::Accept(p) => accept(payment(*p)),
        What::Result(p) => Record::Result(task_result(payment(*p), 0)),
    };
    let peer = identity(say.peer).node_id();
    facts.push(sign(&identity(say.author), &peer, say.seq, 1000, &record));
}

fn facts(says: &[Say]) -> Vec<VerifiedEntry> {
    let mut facts = Vec::new();
    says.iter().for_each(|say| push(&mut facts, say));
    facts
}

/// A ledger of node 0 with the facts; `admit` says after how many facts the others are admitted.
fn ledger<'a, I: IntoIterator<Item = &'a VerifiedEntry>>(facts: I, admit_after: usize) -> Ledger {
    let mut ledger = Ledger::new(nodes()[0], Limits::default());
    let admit = |ledger: &mut Ledger| nodes().iter().for_each(|node| ledger.admit(node).unwrap());
    for (count, fact) in facts.into_iter().enumerate() {
        if count == admit_after {
            admit(&mut ledger);
        }
        ledger.insert(fact.clone()).unwrap();
    }
    admit(&mut ledger);
    ledger
}

fn pairs() -> Vec<(NodeId, NodeId)> {
    let nodes = nodes();
    let all = nodes.iter().flat_map(|one| nodes.iter().map(move |other| (*one, *other)));
    all.filter(|(one, other)| one != other).collect()
}

fn assert_same_views(one: &Ledger, other: &Ledger) {
    assert_eq!(one.len(), other.len());
    for (debtor, beneficiary) in pairs() {
        assert_eq!(one.edge(&debtor, &beneficiary), other.edge(&debtor, &beneficiary));
        assert_eq!(one.line(&debtor, &beneficiary), other.line(&debtor, &beneficiary));
        assert_eq!(one.available(&debtor, &beneficiary), other.available(&debtor, &beneficiary));
        assert_eq!(
            one.missing_predecessors(&debtor, &beneficiary),
            other.missing_predecessors(&debtor, &beneficiary)
        );
    }
    assert_eq!(one.exposure_total(), other.exposure_total());
    assert_eq!(one.equivocators().collect::<Vec<_>>(), other.equivocators().collect::<Vec<_>>());
    for node in nodes() {
        assert_eq!(one.equivocation(&node), other.equivocation(&node));
    }
}

/// Claims, less debts, less own promises that are still open.
fn worth(ledger: &Ledger, node: &NodeId) -> i128 {
    let others = nodes().into_iter().filter(|peer| peer != node);
    others.map(|peer| ledger.net(node, &peer) - i128::try_from(ledger.held(node, &peer)).unwrap()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_fold_says_what_the_rules_say(says in prop::collection::vec(say(), 0..30), at in 0..30_usize) {
        let facts = facts(&says);
        let ledger = ledger(&facts, at);
        for (debtor, beneficiary) in pairs() {
            let view = ledger.edge(&debtor, &beneficiary);
            let expected = model::balance(&facts, &debtor, &beneficiary);
            prop_assert_eq!(model::Balance { owed: view.owed, held: view.held }, expected);
            // I7: every lock counts once, whatever names it and however often.
            let sum = |status| -> u128 {
                let locks = view.locks.iter().filter(|lock| lock.status == status);
                locks.map(|lock| u128::from(lock.terms.amount)).sum()
            };
            prop_assert_eq!(view.settled, sum(LockStatus::Settled));
            prop_assert_eq!(view.held, sum(LockStatus::Held));
            prop_assert_eq!(view.owed, u128::from(view.cum) + view.settled);
            // I1: what one is owed, the other owes.
            prop_assert_eq!(ledger.net(&debtor, &beneficiary), -ledger.net(&beneficiary, &debtor));
        }
        let all: i128 = nodes().iter().flat_map(|one| nodes().into_iter().map(move |other| (*one, other)))
            .map(|(one, other)| ledger.net(&one, &other)).sum();
        prop_assert_eq!(all, 0);
    }

    #[test]
    fn order_repetition_and_the_time_of_admission_make_no_difference(
        says in prop::collection::vec(say(), 0..30),
        order in any::<u64>(),
        at in (0..30_usize, 0..60_usize),
        cut in any::<prop::sample::Index>(),
    ) {
        let facts = facts(&says);
        let whole = ledger(&facts, at.0);
        let mut shuffled: Vec<&VerifiedEntry> = facts.iter().chain(&facts).collect();
        shuffled.sort_by_key(|fact| {
            cairn_bundle::Digest::of(&[fact.id().as_bytes(), &order.to_be_bytes()[..]].concat())
        });
        assert_same_views(&whole, &ledger(shuffled, at.1));
        // I2: split, then merged the other way round.
        let (first, second) = facts.split_at(cut.index(facts.len() + 1));
        let mut merged = ledger(second, 0);
        for fact in ledger(first, 0).entries() {
            merged.insert(fact.clone()).unwrap();
        }
        assert_same_views(&whole, &merged);
    }

    #[test]
    fn signing_never_makes_richer_and_only_waivers_free_credit(says in prop::collection::vec(say(), 1..25)) {
        let facts = facts(&says);
        let mut so_far = ledger(&[], 0);
        for fact in &facts {
            let (before, signer) = (so_far.clone(), fact.author());
            so_far.insert(fact.clone()).unwrap();
            // I3, and its exception: an ACCEPT also binds those who promised under it.
            if !matches!(fact.record(), Record::Accept(_)) {
                prop_assert!(worth(&so_far, &signer) <= worth(&before, &signer));
            }
            // I8: what is owed and held falls only by the word of the beneficiary.
            for (debtor, beneficiary) in pairs() {
                let left = |ledger: &Ledger| ledger.owed(&debtor, &beneficiary) + ledger.held(&debtor, &beneficiary);
                if left(&so_far) < left(&before) {
                    prop_assert_eq!(signer, beneficiary);
                    prop_assert!(matches!(fact.record(), Record::Release(_)));
                }
            }
        }
    }

    #[test]
    fn a_partition_hides_income_but_never_losses(
        says in prop::collection::vec(say(), 0..30),
        hidden in prop::collection::vec(any::<bool>(), 30),
    ) {
        let facts = facts(&says);
        let whole = ledger(&facts, 0);
        for node in nodes() {
            let known = facts.iter().zip(&hidden).filter(|(fact, hidden)| fact.author() == node || !**hidden);
            let view = ledger(known.map(|(fact, _)| fact), 0);
            prop_assert!(worth(&view, &node) <= worth(&whole, &node));
        }
    }
}

/// What happens around an honest B between two liars.
#[derive(Debug, Clone)]
enum Step {
    /// A or C signs something.
    Say(Say),
    /// One of the facts signed so far reaches B.
    Deliver(prop::sample::Index),
    /// B considers forwarding one of the locks it knows.
    Forward(prop::sample::Index, u64),
    /// B considers releasing one of the locks it knows.
    Release(prop::sample::Index),
    /// B considers doing the work itself.
    Run(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let lock_of_a = (0..3_u8, 0..NODES, 0..100_u64, 0..40_u32).prop_map(|(payment, payer, amount, seq)| {
        Say { author: 0, peer: 1, seq, what: What::Lock { payment, payer, amount } }
    });
    let liar = say().prop_filter("B does not lie", |say| say.author != 1);
    prop_oneof![
        2 => liar.prop_map(Step::Say),
        3 => lock_of_a.prop_map(Step::Say),
        6 => any::<prop::sample::Index>().prop_map(Step::Deliver),
        4 => (any::<prop::sample::Index>(), 0..100_u64).prop_map(|(up, amount)| Step::Forward(up, amount)),
        2 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => (0..3_u8).prop_map(Step::Run),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// I5 and I6 on every merged set: B owes C nothing that A does not owe B, and never beyond its lines.
    #[test]
    fn an_honest_node_between_two_liars_never_loses(steps in prop::collection::vec(step(), 0..80)) {
        let me = identity(1);
        let (a, b, c) = (nodes()[0], nodes()[1], nodes()[2]);
        let mut ledger = Ledger::new(b, Limits::default());
        let mut signed = Vec::new();
        Author::new(&me, &mut ledger, 0).unwrap().grant_line(&a, line(150)).unwrap();
        ledger.insert(sign(&identity(2), &b, 1000, 0, &Record::Line(line(120)))).unwrap();
        for step in steps {
            let locks: Vec<LockId> = ledger.locks_between(&a, &b).map(|lock| lock.id).collect();
            match step {
                Step::Say(say) => push(&mut signed, &say),
                Step::Deliver(pick) if !signed.is_empty() => {
                    ledger.insert(signed[pick.index(signed.len())].clone()).unwrap();
                }
                Step::Forward(pick, amount_down) if !locks.is_empty() => {
                    let lock_up = locks[pick.index(locks.len())];
                    let forward = Forward { lock_up, next: c, amount_down, fee: 1 };
                    if Author::new(&me, &mut ledger, 0).unwrap().forward(&forward).is_ok() {
                        prop_assert!(ledger.exposure(&a, &b) <= 150);
                        prop_assert!(ledger.held(&b, &c) <= 120);
                    }
                }
                Step::Release(pick) if !locks.is_empty() => {
                    let lock = locks[pick.index(locks.len())];
                    let _ = Author::new(&me, &mut ledger, 0).unwrap().release(&a, &[lock]);
                }
                Step::Run(payment) => {
                    let result = task_result(PayId([payment; 16]), 0);
                    let _ = Author::new(&me, &mut ledger, 0).unwrap().result(&a, result);
                }
                Step::Deliver(_) | Step::Forward(..) | Step::Release(_) => {}
            }
        }
        for fact in signed {
            ledger.insert(fact).unwrap();
        }
        prop_assert!(ledger.owed(&b, &c) <= ledger.owed(&a, &b));
        let promised = ledger.owed(&b, &c) + ledger.held(&b, &c);
        prop_assert!(promised <= ledger.owed(&a, &b) + ledger.held(&a, &b));
    }
}
