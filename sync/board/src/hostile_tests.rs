//! What a member who lies can send, and that it gets nowhere.

use cairn_bundle::{Digest, Identity};

use crate::board::Limits;
use crate::change::{Actor, Change, ChangeHash, ShapeError};
use crate::envelope::{ENVELOPE_BYTES_MAX, seal};
use crate::{AddError, Applied, Board, BoardSecret, ChangeError, DocError, Fact, Member, SignedDoc, Verdict};

fn secret() -> BoardSecret {
    BoardSecret::new([7; 32])
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

fn board(seed: u8) -> Board {
    Board::new(secret(), "relief", identity(seed).node_id(), 0).unwrap()
}

fn card(seed: u8, time: u64) -> SignedDoc {
    let identity = identity(seed);
    let fact = Fact::Member(Member { node: identity.node_id(), card: vec![seed; 30] });
    SignedDoc::sign(&fact, time, &identity, &secret()).unwrap()
}

/// A change as a liar makes it: anything that the shape allows.
fn change(seed: u8, seq: u64, start_op: u64, deps: &[ChangeHash], docs: &[SignedDoc]) -> Change {
    let actor = Actor { node: identity(seed).node_id(), incarnation: 0 };
    let mut docs: Vec<_> = docs.iter().map(|doc| (doc.id(), doc.to_bytes())).collect();
    docs.sort();
    let mut deps = deps.to_vec();
    deps.sort_unstable();
    Change { actor, seq, start_op, deps, docs }
}

fn sealed(seed: u8, change: &Change) -> Vec<u8> {
    seal(&change.encode().0, &identity(seed), &secret())
}

fn take(board: &mut Board, envelope: &[u8]) -> Result<Applied, ChangeError> {
    let checked = board.check(envelope)?;
    board.apply(checked)
}

/// The automerge document holds exactly the documents of the board.
fn assert_merged(board: &Board) {
    use automerge::{Automerge, ROOT, ReadDoc};
    let document = Automerge::load(&board.to_automerge()).unwrap();
    let keys: Vec<String> = document.keys(ROOT).collect();
    let mut ids: Vec<String> = board.docs().map(|doc| doc.id().to_string()).collect();
    ids.sort();
    assert_eq!(keys, ids);
    for key in keys {
        for (value, _) in document.get_all(ROOT, &*key).unwrap() {
            assert_eq!(Digest::of(value.as_bytes().unwrap()).to_string(), key);
        }
    }
    assert_eq!(board.stats().merge_faults, 0);
}

#[test]
fn an_envelope_changed_anywhere_is_refused() {
    let good = board(1).add(&[card(1, 1)], &identity(1)).unwrap().unwrap();
    let there = board(2);
    for len in 0..good.len() {
        assert_eq!(there.check(&good[..len]).unwrap_err(), ChangeError::Malformed);
    }
    for at in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        let error = there.check(&bytes).unwrap_err();
        assert!(!error.is_misbehaviour(), "bit {at}: {error}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(there.check(&longer).unwrap_err(), ChangeError::Malformed);
    assert!(there.check(&good).is_ok());
}

#[test]
fn an_envelope_too_large_is_refused_unread() {
    let there = board(2);
    assert_eq!(there.check(&vec![0x85; ENVELOPE_BYTES_MAX + 1]).unwrap_err(), ChangeError::TooLarge);
    assert_eq!(there.check(&vec![0x85; ENVELOPE_BYTES_MAX]).unwrap_err(), ChangeError::Malformed);
}

#[test]
fn a_change_of_another_board_is_refused() {
    let mut elsewhere = Board::new(BoardSecret::new([8; 32]), "relief", identity(1).node_id(), 0).unwrap();
    let fact = Fact::Member(Member { node: identity(1).node_id(), card: Vec::new() });
    let doc = elsewhere.sign(&fact, 0, &identity(1)).unwrap();
    assert_eq!(
        board(1).add(core::slice::from_ref(&doc), &identity(1)),
        Err(AddError::Document(DocError::Foreign))
    );
    let envelope = elsewhere.add(core::slice::from_ref(&doc), &identity(1)).unwrap().unwrap();
    assert_eq!(board(2).check(&envelope).unwrap_err(), ChangeError::Foreign);
    let checked = elsewhere.check(&envelope).unwrap();
    assert_eq!(board(2).apply(checked).unwrap_err(), ChangeError::Foreign);
    // A member of both cannot carry the document over either.
    let smuggled = sealed(1, &change(1, 1, 1, &[], &[doc]));
    let error = board(2).check(&smuggled).unwrap_err();
    assert_eq!(error, ChangeError::Document(DocError::Foreign));
    assert!(error.is_misbehaviour());
}

#[test]
fn a_member_cannot_write_a_change_for_another() {
    let borrowed = change(2, 1, 1, &[], &[card(2, 1)]);
    assert_eq!(board(3).check(&sealed(1, &borrowed)).unwrap_err(), ChangeError::Actor);
}

#[test]
fn a_signed_compressed_change_is_refused_unread() {
    // Chunk type 2: were it inflated, it could become any size.
    let chunk = [&[0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 2, 100][..], &[0; 100]].concat();
    let error = board(2).check(&seal(&chunk, &identity(1), &secret())).unwrap_err();
    assert_eq!(error, ChangeError::Shape(ShapeError::Compressed));
    assert!(error.is_misbehaviour());
}

#[test]
fn what_automerge_writes_beside_documents_is_refused_and_hides_nothing() {
    use automerge::transaction::{CommitOptions, Transactable};
    use automerge::{ActorId, Automerge, ROOT};
    let mut here = board(1);
    here.add(&[card(1, 1)], &identity(1)).unwrap().unwrap();
    let liar = Actor { node: identity(9).node_id(), incarnation: 0 };
    for delete in [true, false] {
        let mut document = Automerge::load(&here.to_automerge()).unwrap();
        document.set_actor(ActorId::from(&liar.to_bytes()[..]));
        let mut transaction = document.transaction();
        let key = card(1, 1).id().to_string();
        if delete {
            transaction.delete(ROOT, key).unwrap();
        } else {
            transaction.put(ROOT, key, "garbage").unwrap();
        }
        transaction.commit_with(CommitOptions::default().with_time(0));
        let chunk = document.get_last_local_change().unwrap().raw_bytes().to_vec();
        let error = here.check(&seal(&chunk, &identity(9), &secret())).unwrap_err();
        assert!(matches!(error, ChangeError::Shape(_)), "{error}");
    }
    assert_eq!(here.view().members.len(), 1);
}

#[test]
fn a_document_that_is_already_there_may_come_again() {
    let mut here = board(1);
    here.add(&[card(1, 1)], &identity(1)).unwrap().unwrap();
    let view = here.view();
    let first = change(2, 1, 1, &[], &[card(1, 1)]);
    let hash = first.encode().1;
    assert_eq!(take(&mut here, &sealed(2, &first)), Ok(Applied::New));
    // And twice by the same author, one after the other.
    let second = change(2, 2, 2, &[hash], &[card(1, 1)]);
    assert_eq!(take(&mut here, &sealed(2, &second)), Ok(Applied::New));
    assert_eq!(here.view(), view);
    assert_merged(&here);
}

#[test]
fn needless_predecessors_do_no_harm() {
    let mut here = board(1);
    let one = change(2, 1, 1, &[], &[card(2, 1)]);
    let two = change(2, 2, 2, &[one.encode().1], &[card(2, 2)]);
    let three = change(3, 1, 3, &[one.encode().1, two.encode().1], &[card(3, 1)]);
    for (seed, change) in [(2, &one), (2, &two), (3, &three)] {
        assert_eq!(take(&mut here, &sealed(seed, change)), Ok(Applied::New));
    }
    here.add(&[card(1, 1)], &identity(1)).unwrap().unwrap();
    assert_merged(&here);
}

#[test]
fn a_change_that_does_not_follow_on_its_past_is_refused_at_once_or_late() {
    let one = change(2, 1, 1, &[], &[card(2, 1)]);
    let hash = one.encode().1;
    let wrong = [
        change(2, 2, 1, &[hash], &[card(2, 2)]), // counts operations again
        change(2, 2, 3, &[hash], &[card(2, 2)]), // leaves one out
        change(2, 2, 4_000_000_000, &[hash], &[card(2, 2)]), // uses them up
        change(2, 3, 2, &[hash], &[card(2, 2)]), // leaves a number out
        change(3, 2, 2, &[hash], &[card(3, 2)]), // follows on somebody else's
    ];
    for wrong in &wrong {
        let seed = if wrong.actor.node == identity(2).node_id() { 2 } else { 3 };
        let mut here = board(1);
        assert_eq!(take(&mut here, &sealed(2, &one)), Ok(Applied::New));
        assert_eq!(take(&mut here, &sealed(seed, wrong)), Err(ChangeError::Order));
        let mut late = board(1);
        assert_eq!(take(&mut late, &sealed(seed, wrong)), Ok(Applied::Waiting));
        assert_eq!(take(&mut late, &sealed(2, &one)), Ok(Applied::New));
        assert_eq!((late.stats().late_refusals, late.stats().waiting), (1, 0));
        assert_eq!(late.view(), here.view());
        let mut again = board(1);
        let restored = again.restore([sealed(seed, wrong), sealed(2, &one)]);
        assert_eq!(restored.refused, [(0, ChangeError::Order)]);
    }
    assert_eq!(
        take(&mut board(1), &sealed(2, &change(2, 2, 1, &[], &[card(2, 2)]))),
        Err(ChangeError::Order)
    );
}

#[test]
fn two_changes_of_one_number_are_a_fork_and_all_nodes_still_see_the_same() {
    let (one, other) = (change(2, 1, 1, &[], &[card(2, 1)]), change(2, 1, 1, &[], &[card(2, 2)]));
    let mut here = board(1);
    let mut there = board(3);
    assert_eq!(take(&mut here, &sealed(2, &one)), Ok(Applied::New));
    assert_eq!(take(&mut there, &sealed(2, &other)), Ok(Applied::New));
    // Each goes on from the branch that it saw first.
    let from_here = here.add(&[card(1, 1)], &identity(1)).unwrap().unwrap();
    let from_there = there.add(&[card(3, 1)], &identity(3)).unwrap().unwrap();
    assert_eq!(take(&mut here, &from_there), Ok(Applied::Waiting));
    assert_eq!(take(&mut here, &sealed(2, &other)), Ok(Applied::Forked));
    assert_eq!(take(&mut here, &sealed(2, &other)), Ok(Applied::Known));
    assert_eq!(take(&mut there, &sealed(2, &one)), Ok(Applied::Forked));
    assert_eq!(take(&mut there, &from_here), Ok(Applied::New));
    assert_eq!(here.view(), there.view());
    assert_eq!(here.view().members.len(), 3);
    assert_eq!((here.stats().aside, here.stats().merge_faults), (2, 0));
    // Both go on, and still agree.
    let more = here.add(&[card(1, 2)], &identity(1)).unwrap().unwrap();
    assert_eq!(take(&mut there, &more), Ok(Applied::New));
    let more = there.add(&[card(3, 2)], &identity(3)).unwrap().unwrap();
    assert_eq!(take(&mut here, &more), Ok(Applied::New));
    assert_eq!(here.view(), there.view());
}

#[test]
fn changes_that_wait_for_ever_fill_the_queue_and_no_more() {
    let limits = Limits { waiting_changes_max: 3, ..Limits::default() };
    let mut here = board(1).with_limits(limits);
    for n in 0..3 {
        let orphan = change(2, 2, 2, &[[n; 32]], &[card(2, 1)]);
        assert_eq!(take(&mut here, &sealed(2, &orphan)), Ok(Applied::Waiting));
        assert_eq!(take(&mut here, &sealed(2, &orphan)), Ok(Applied::Known));
    }
    let one_too_many = change(2, 2, 2, &[[3; 32]], &[card(2, 1)]);
    assert_eq!(take(&mut here, &sealed(2, &one_too_many)), Err(ChangeError::WaitingFull));
    // What has its predecessors is taken all the same.
    assert_eq!(take(&mut here, &sealed(3, &change(3, 1, 1, &[], &[card(3, 1)]))), Ok(Applied::New));
    assert_eq!((here.stats().waiting, here.view().members.len()), (3, 1));

    let one = sealed(2, &change(2, 2, 2, &[[0; 32]], &[card(2, 1)]));
    let bytes = u64::try_from(one.len()).unwrap();
    let limits = Limits { waiting_bytes_max: bytes, ..Limits::default() };
    let mut here = board(1).with_limits(limits);
    assert_eq!(take(&mut here, &one), Ok(Applied::Waiting));
    assert_eq!(take(&mut here, &sealed(2, &one_too_many)), Err(ChangeError::WaitingFull));
    assert_eq!(here.stats().waiting_bytes, bytes);
    // A queue that stood there before the limit was met is restored in full.
    assert_eq!(board(1).with_limits(limits).restore([one, sealed(2, &one_too_many)]).waiting, 2);
}

#[test]
fn an_author_and_a_board_are_full_at_their_limits() {
    let first = board(2).add(&[card(2, 1)], &identity(2)).unwrap().unwrap();
    let room = u64::try_from(first.len()).unwrap();
    let full_author = Limits { author_bytes_max: room + 10, ..Limits::default() };
    let full_board = Limits { board_bytes_max: room + 10, ..Limits::default() };
    for (limits, error) in [(full_author, ChangeError::AuthorFull), (full_board, ChangeError::BoardFull)] {
        let mut here = board(1).with_limits(limits);
        let mut there = board(2);
        there.restore([&first]);
        assert_eq!(take(&mut here, &first), Ok(Applied::New));
        let view = here.view();
        let second = there.add(&[card(2, 2)], &identity(2)).unwrap().unwrap();
        assert_eq!(take(&mut here, &second), Err(error));
        assert_eq!((here.view(), here.stats().changes), (view, 1));
        let mut mine = board(2).with_limits(limits);
        mine.restore([&first]);
        assert_eq!(mine.add(&[card(2, 2)], &identity(2)), Err(AddError::Full));
        assert_eq!(mine.stats().changes, 1);
    }
}

#[test]
fn only_the_payer_and_only_about_what_is_there_is_heard() {
    use crate::{JobState, Judgement};
    let mut job = crate::job::tests::job(1);
    job.payer = identity(1).node_id();
    let posted = SignedDoc::sign(&Fact::Job(Box::new(job)), 0, &identity(1), &secret()).unwrap();
    let id = posted.id();
    let say = |seed, verdict| {
        let fact = Fact::Status(crate::Status { job: id, verdict });
        SignedDoc::sign(&fact, 0, &identity(seed), &secret()).unwrap()
    };
    let mut here = board(1);
    let accept = Verdict::Accepted { rung: 0, result: Digest([3; 32]), receipt: Digest([0; 32]) };
    let liars = [say(2, Verdict::Closed), say(2, Verdict::Cancelled), say(2, accept.clone()), say(1, accept)];
    here.add(&[&[posted][..], &liars].concat(), &identity(1)).unwrap().unwrap();
    let view = here.view();
    let job = &view.jobs[&id];
    assert_eq!((job.state, job.verdicts.len(), job.best), (JobState::Posted, 0, None));
    assert!(job.results.iter().all(|result| result.judgement == Judgement::None));
}
