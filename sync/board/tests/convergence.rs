//! Replicas that hold the same changes show the same board, whatever the order.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "helper functions of tests; the exception for tests does not reach them"
)]

use cairn_board::{
    AddError, Applied, Board, BoardSecret, BoardView, Fact, JobResult, Member, SignedDoc, Status, Verdict,
};
use cairn_board::{BlobRef, Bounds, Class, Engine, Items, Job, Postprocess, Preprocess, Rung, Verify};
use cairn_bundle::{Digest, Identity};
use proptest::prelude::*;

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

fn board(seed: u8, incarnation: u16) -> Board {
    Board::new(BoardSecret::new([7; 32]), "relief", identity(seed).node_id(), incarnation).unwrap()
}

fn take(board: &mut Board, envelope: &[u8]) -> Applied {
    let checked = board.check(envelope).unwrap();
    board.apply(checked).unwrap()
}

fn member(seed: u8, step: u64) -> Fact {
    let card = [&[seed; 200][..], &step.to_be_bytes()].concat();
    Fact::Member(Member { node: identity(seed).node_id(), card })
}

fn job(seed: u8, nonce: u64) -> Job {
    let rung = |name: &str, price| Rung {
        name: name.to_owned(),
        engine: Engine::Wasm,
        module: BlobRef::of(name.as_bytes()),
        quality_ppm: 900_000,
        price,
        bounds: Bounds { fuel: 1 << 30, memory_bytes: 1 << 26, wall_ms: 10_000, output_bytes: 1 << 16 },
        pre: Preprocess::None,
        post: Postprocess::None,
    };
    Job {
        title: "Read the digits".to_owned(),
        payer: identity(seed).node_id(),
        nonce: u128::from(nonce).to_be_bytes(),
        input: BlobRef::of(b"pictures"),
        items: Items::Idx,
        rungs: vec![rung("coarse", 1_000), rung("better", 5_000), rung("best", 20_000)],
        class: Class::Exact,
        verify: Verify::Spot { items: 8 },
        fee: 100,
        useful_until: None,
    }
}

fn result(job: Digest, rung: u8, output: &[u8]) -> Fact {
    Fact::Result(JobResult {
        job,
        rung,
        output: BlobRef::of(output),
        fuel: 1_000_000,
        wall_ms: 12,
        engine: "wasmtime".to_owned(),
        fell_from: vec![(2, "no accelerator".to_owned())],
        result_entry: Digest([0; 32]),
    })
}

/// Somebody does something that makes sense on the board as that node sees it.
fn act(board: &mut Board, seed: u8, what: u8, step: u64) -> Option<Vec<u8>> {
    let view = board.view();
    let open = view.open_jobs().next();
    let fact = match (what, open) {
        (0, _) | (_, None) => Fact::Job(Box::new(job(seed, step))),
        (1, _) => member(seed, step),
        (2, Some(open)) => result(open.id, (step % 3) as u8, &step.to_be_bytes()),
        (_, Some(open)) => {
            let verdict = match (what, open.best_result()) {
                (3, Some(best)) => {
                    Verdict::Accepted { rung: best.result.rung, result: best.id, receipt: Digest([1; 32]) }
                }
                (4, Some(best)) => {
                    let reason = "differs".to_owned();
                    Verdict::Rejected { rung: best.result.rung, result: best.id, reason }
                }
                (5, _) => Verdict::Closed,
                _ => Verdict::Cancelled,
            };
            Fact::Status(Status { job: open.id, verdict })
        }
    };
    let doc = board.sign(&fact, step, &identity(seed)).unwrap();
    match board.add(&[doc], &identity(seed)) {
        Ok(envelope) => envelope,
        // A node with two lives at once finds out.
        Err(AddError::Incarnation) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Four replicas, of which two are one node twice, act and hear of each other by chance.
fn story(script: &[(u8, u8, Vec<prop::sample::Index>)]) -> (Vec<Vec<u8>>, Vec<Board>) {
    let seeds = [1, 2, 3, 3];
    let mut boards: Vec<Board> = seeds.iter().map(|seed| board(*seed, 0)).collect();
    let mut pool: Vec<Vec<u8>> = Vec::new();
    for (step, (who, what, heard)) in script.iter().enumerate() {
        let who = usize::from(*who) % boards.len();
        for index in heard.iter().filter(|_| !pool.is_empty()) {
            take(&mut boards[who], &pool[index.index(pool.len())]);
        }
        pool.extend(act(&mut boards[who], seeds[who], what % 7, step as u64));
    }
    (pool, boards)
}

fn heard_all(pool: &[Vec<u8>]) -> BoardView {
    let mut board = board(9, 0);
    for envelope in pool {
        take(&mut board, envelope);
    }
    assert_eq!((board.stats().waiting, board.stats().merge_faults), (0, 0));
    board.view()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_order_repetition_and_partition_gives_the_same_view(
        script in prop::collection::vec((any::<u8>(), any::<u8>(), prop::collection::vec(any::<prop::sample::Index>(), 0..6)), 1..40),
        order in prop::collection::vec(any::<u64>(), 1..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let (pool, mut boards) = story(&script);
        let expected = heard_all(&pool);

        // Another order, everything twice.
        let mut shuffled: Vec<(u64, &Vec<u8>)> =
            pool.iter().chain(&pool).enumerate().map(|(i, e)| (order[i % order.len()].rotate_left(i as u32), e)).collect();
        shuffled.sort();
        let shuffled: Vec<Vec<u8>> = shuffled.into_iter().map(|(_, e)| e.clone()).collect();
        prop_assert_eq!(&heard_all(&shuffled), &expected);

        // Those who were there come to the same in the end.
        for board in &mut boards {
            pool.iter().for_each(|envelope| { take(board, envelope); });
            prop_assert_eq!(&board.view(), &expected);
            prop_assert_eq!(board.view().digest(), expected.digest());
            prop_assert_eq!(board.stats().merge_faults, 0);
        }

        // A restart in the middle of it loses nothing.
        let cut = cut.index(shuffled.len().max(1));
        let (before, after) = shuffled.split_at(cut.min(shuffled.len()));
        let mut restarted = board(9, 0);
        prop_assert_eq!(restarted.restore(before).refused, vec![]);
        after.iter().for_each(|envelope| { take(&mut restarted, envelope); });
        prop_assert_eq!(&restarted.view(), &expected);
    }
}

#[test]
fn different_boards_have_different_digests() {
    let mut here = board(1, 0);
    let mut digests = vec![here.view().digest()];
    for step in 0..5 {
        act(&mut here, 1, 0, step);
        digests.push(here.view().digest());
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 6);
}

#[test]
fn a_restart_goes_on_with_the_own_sequence() {
    let mut here = board(1, 0);
    let mut there = board(2, 0);
    let mut stored: Vec<Vec<u8>> = Vec::new();
    for step in 0..6 {
        let envelope = act(&mut here, 1, 0, step).unwrap();
        assert_eq!(take(&mut there, &envelope), Applied::New);
        stored.push(envelope);
        here = board(1, 0);
        let restored = here.restore(stored.iter().rev().chain(&stored));
        assert_eq!((restored.held, restored.waiting, restored.refused), (stored.len(), 0, vec![]));
    }
    assert_eq!((here.view(), there.stats().aside), (there.view(), 0));
    assert_eq!(here.view().jobs.len(), 6);
}

#[test]
fn a_change_has_a_place_that_all_members_call_by_the_same_name() {
    let (mut writer, reader) = (board(1, 1), board(2, 1));
    let mut write = |step| act(&mut writer, 1, 0, step).unwrap();
    let (first, second) = (write(1), write(2));
    let (stream, number) = reader.place_of(&first).unwrap();
    assert_eq!((number, reader.place_of(&second)), (1, Some((stream, 2))));
    assert_eq!(writer.place_of(&first), Some((stream, 1)));
    // Another author, another life of the same one, and another board are other sequences.
    let mut other_life = board(1, 2);
    for (envelope, at) in [
        (act(&mut board(2, 1), 2, 0, 1).unwrap(), &reader),
        (act(&mut other_life, 1, 0, 1).unwrap(), &reader),
        (first.clone(), &Board::new(BoardSecret::new([8; 32]), "relief", identity(2).node_id(), 1).unwrap()),
    ] {
        let (other, number) = at.place_of(&envelope).unwrap();
        assert!(other != stream && number == 1);
    }
    for end in 0..first.len() {
        assert_eq!(reader.place_of(&first[..end]), None);
    }
}

#[test]
fn a_damaged_store_is_reported_by_position() {
    let mut here = board(1, 0);
    let mut stored: Vec<Vec<u8>> = (0..3).filter_map(|step| act(&mut here, 1, 0, step)).collect();
    stored[1].pop();
    let restored = board(1, 0).restore(&stored);
    assert_eq!((restored.held, restored.waiting), (1, 1));
    assert_eq!(restored.refused.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_node_restored_from_a_backup_notices_and_takes_a_new_incarnation() {
    let mut here = board(1, 0);
    let stored: Vec<Vec<u8>> = (0..3).filter_map(|step| act(&mut here, 1, 0, step)).collect();
    let doc = here.sign(&member(1, 1), 0, &identity(1)).unwrap();

    // Told of what it forgot before it writes, it goes on behind that.
    let mut told = board(1, 0);
    told.restore(&stored[..1]);
    assert_eq!(take(&mut told, &stored[2]), Applied::Waiting);
    assert_eq!(told.add(core::slice::from_ref(&doc), &identity(1)), Err(AddError::Incarnation));
    assert_eq!(take(&mut told, &stored[1]), Applied::New);
    assert!(told.add(core::slice::from_ref(&doc), &identity(1)).unwrap().is_some());
    assert_eq!(told.stats().aside, 0);

    // Told too late, it may not go on under this incarnation.
    let mut late = board(1, 0);
    late.restore(&stored[..1]);
    let fork = late.add(&[doc], &identity(1)).unwrap().unwrap();
    assert_eq!(take(&mut late, &stored[1]), Applied::Forked);
    let another = late.sign(&member(1, 2), 0, &identity(1)).unwrap();
    assert_eq!(late.add(core::slice::from_ref(&another), &identity(1)), Err(AddError::Incarnation));
    let mut anew = board(1, 1);
    anew.restore([&stored[0], &stored[1], &fork]);
    assert!(anew.add(&[another], &identity(1)).unwrap().is_some());
}

#[test]
fn what_is_added_has_its_limits() {
    let mut here = board(1, 0);
    let mine = identity(1);
    let docs = |range: core::ops::Range<u64>| -> Vec<SignedDoc> {
        range.map(|n| board(1, 0).sign(&Fact::Job(Box::new(job(1, n))), 0, &mine).unwrap()).collect()
    };
    assert_eq!(here.add(&[], &mine), Ok(None));
    assert_eq!(here.add(&docs(0..1), &identity(2)), Err(AddError::Identity));
    assert_eq!(here.add(&docs(0..257), &mine), Err(AddError::TooLarge));
    assert_eq!(here.stats().changes, 0);
    let envelope = here.add(&docs(0..256), &mine).unwrap().unwrap();
    assert_eq!(here.add(&docs(3..9), &mine), Ok(None));
    assert_eq!(take(&mut board(2, 0), &envelope), Applied::New);
    let big: Vec<SignedDoc> = (0..200)
        .map(|n| {
            let mut big = job(1, n);
            big.rungs = (0..16).map(|r| Rung { name: format!("{r:064}"), ..big.rungs[0].clone() }).collect();
            here.sign(&Fact::Job(Box::new(big)), 0, &mine).unwrap()
        })
        .collect();
    assert!(here.add(&big, &mine).is_err_and(|error| error == AddError::TooLarge));
    assert_eq!(here.stats().changes, 1);
    assert!(here.add(&big[..50], &mine).unwrap().is_some());
}

#[test]
fn the_best_result_rises_and_falls_with_the_payers_word() {
    use cairn_board::{JobState, Judgement};
    let (payer, worker) = (identity(1), identity(2));
    let mut here = board(1, 0);
    let mut put = |by: &Identity, fact: Fact| {
        let secret = BoardSecret::new([7; 32]);
        let doc = SignedDoc::sign(&fact, 0, by, &secret).unwrap();
        here.add(core::slice::from_ref(&doc), &identity(1)).unwrap();
        (doc.id(), here.view())
    };
    let (id, view) = put(&payer, Fact::Job(Box::new(job(1, 0))));
    assert_eq!(view.jobs[&id].state, JobState::Posted);
    let (_, view) = put(&worker, result(id, 3, b"no such rung"));
    assert_eq!(view.jobs[&id].results.len(), 0);
    let (_, view) = put(&worker, result(id, 0, &[0; (1 << 16) + 1]));
    assert_eq!(view.jobs[&id].results.len(), 0);
    let (coarse, view) = put(&worker, result(id, 0, b"coarse"));
    assert_eq!((view.jobs[&id].state, view.jobs[&id].best), (JobState::Answered, Some(coarse)));
    let (best, view) = put(&worker, result(id, 2, b"best"));
    assert_eq!(view.jobs[&id].best, Some(best));
    let status = |verdict| Fact::Status(Status { job: id, verdict });
    let rejected = |rung, result| Verdict::Rejected { rung, result, reason: "differs".to_owned() };
    let (_, view) = put(&payer, status(rejected(1, best)));
    assert_eq!(view.jobs[&id].best, Some(best), "a verdict that names another rung is not heard");
    let (_, view) = put(&payer, status(rejected(2, best)));
    assert_eq!((view.jobs[&id].state, view.jobs[&id].best), (JobState::Answered, Some(coarse)));
    let (_, view) = put(&payer, status(rejected(0, coarse)));
    assert_eq!((view.jobs[&id].state, view.jobs[&id].best), (JobState::Rejected, None));
    let receipt = Digest([5; 32]);
    let (_, view) = put(&payer, status(Verdict::Accepted { rung: 2, result: best, receipt }));
    assert_eq!((view.jobs[&id].state, view.jobs[&id].best), (JobState::Accepted, Some(best)));
    assert_eq!(view.jobs[&id].best_result().unwrap().judgement, Judgement::Accepted { receipt });
    let (_, view) = put(&payer, status(Verdict::Cancelled));
    assert_eq!((view.jobs[&id].state, view.open_jobs().count()), (JobState::Cancelled, 0));
    let (_, view) = put(&payer, status(Verdict::Closed));
    assert_eq!((view.jobs[&id].state, view.jobs[&id].verdicts.len()), (JobState::Closed, 5));
}

#[test]
fn one_author_cannot_bury_a_job_under_results() {
    let mut here = board(1, 0);
    let posted = here.sign(&Fact::Job(Box::new(job(1, 0))), 0, &identity(1)).unwrap();
    let mut docs = vec![posted.clone()];
    for n in 0..20_u8 {
        docs.push(here.sign(&result(posted.id(), 0, &[n]), 0, &identity(1)).unwrap());
    }
    here.add(&docs, &identity(1)).unwrap();
    let kept = here.view().jobs[&posted.id()].results.clone();
    assert_eq!(kept.len(), cairn_board::projection::RESULTS_PER_AUTHOR_MAX);
    // One that the payer has judged counts, whichever it is.
    let hidden = docs[1..].iter().map(SignedDoc::id).find(|id| kept.iter().all(|k| k.id != *id)).unwrap();
    let verdict = Verdict::Accepted { rung: 0, result: hidden, receipt: Digest([0; 32]) };
    let doc = here.sign(&Fact::Status(Status { job: posted.id(), verdict }), 0, &identity(1)).unwrap();
    here.add(&[doc], &identity(1)).unwrap();
    assert_eq!(here.view().jobs[&posted.id()].best, Some(hidden));
}

/// The figures in docs/design/board.md.
#[test]
fn a_job_costs_so_many_bytes() {
    let mine = identity(1);
    let measure = |per_change: u64| {
        let mut here = board(1, 0);
        let mut wire = 0;
        for first in (0..100).step_by(per_change as usize) {
            let docs: Vec<SignedDoc> = (first..first + per_change)
                .map(|n| here.sign(&Fact::Job(Box::new(job(1, n))), 0, &mine).unwrap())
                .collect();
            wire += here.add(&docs, &mine).unwrap().unwrap().len();
        }
        wire / 100
    };
    let doc = board(1, 0).sign(&Fact::Job(Box::new(job(1, 99))), 0, &mine).unwrap();
    let figures = (doc.to_bytes().len(), measure(1), measure(10), measure(100));
    assert_eq!(figures.0, FIGURES.0);
    assert_eq!([figures.1, figures.2, figures.3], FIGURES.1);
}

/// Bytes of a job's document, and per job in an envelope of 1, 10 and 100.
const FIGURES: (usize, [usize; 3]) = (460, [741, 535, 515]);
