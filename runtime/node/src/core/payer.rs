//! The payer's side: checking results, accepting each rung once, closing a job.

use std::collections::{BTreeMap, BTreeSet};

use cairn_board::{Fact, JobView, ResultView, Status, Verdict};
use cairn_bundle::Digest;
use cairn_ledger::{Order, PayId};

use super::Core;
use super::boards::{JobExt, ResultExt};
use super::commit::Tx;
use super::executor::{TaskOutcome, TaskPurpose};
use super::funding::numbered;

/// Code of an ACCEPT that is given without reservation.
const ACCEPT_FULL: u8 = 0;

/// Results under examination, and those that cannot be examined here.
#[derive(Debug, Default)]
pub(crate) struct Payments {
    checking: BTreeSet<Digest>,
    unable: BTreeMap<Digest, String>,
}

impl Payments {
    /// Why a result was neither accepted nor rejected yet.
    pub(crate) fn why_not(&self, result: &Digest) -> Option<String> {
        if self.checking.contains(result) {
            return Some("being checked".to_owned());
        }
        self.unable.get(result).map(|reason| format!("could not be checked here: {reason}"))
    }
}

impl Core {
    /// The RESULT entry behind a result document: by the same executor, for one of this node's payments.
    fn result_entry(&self, id: &Digest, job: &JobView, result: &ResultView) -> Option<Digest> {
        let fundings = job.fundings.iter().map(|view| &view.funding).filter(|f| f.rung == result.result.rung);
        let mut entries = fundings.flat_map(|funding| self.ledger.results(&PayId(funding.pay_id)));
        let same = |entry: &&cairn_ledger::VerifiedEntry| {
            entry.author() == result.author
                && matches!(entry.record(), cairn_ledger::Record::Result(stated)
                    if stated.output == result.result.output.id && stated.tier == result.result.rung)
        };
        debug_assert!(self.boards.job(id).is_some());
        entries.find(same).map(cairn_ledger::VerifiedEntry::id)
    }

    /// Whether everything that an acceptance needs is here: the output, and the signed RESULT if it is paid.
    fn is_ready(&self, id: &Digest, job: &JobView, result: &ResultView) -> bool {
        let paid = job.job.rungs.get(usize::from(result.result.rung)).is_some_and(|rung| rung.price > 0);
        let own = result.author == self.me;
        self.blobs.contains_key(&result.result.output.id)
            && (own || !paid || self.result_entry(id, job, result).is_some())
    }

    /// Starts checks of results that arrived for this node's jobs.
    pub(super) fn start_checks(&mut self) {
        let mut starts = Vec::new();
        for slot in self.boards.iter() {
            for (id, job) in
                slot.view.jobs.iter().filter(|(_, job)| job.job.payer == self.me && job.state.is_open())
            {
                for result in &job.results {
                    let doc = &result.id;
                    let judged = !result.is_unjudged() || job.accepted(result.result.rung).is_some();
                    let known =
                        self.payments.checking.contains(doc) || self.payments.unable.contains_key(doc);
                    // One check per rung at a time: the next result is looked at if this one is not good.
                    let busy = job.results.iter().any(|other| {
                        other.result.rung == result.result.rung && self.payments.checking.contains(&other.id)
                    });
                    if !judged && !known && !busy && self.is_ready(id, job, result) {
                        self.payments.checking.insert(*doc);
                        starts.push((*id, result.result.rung, job.job.clone(), *doc, result.result.output));
                    }
                }
            }
        }
        for (id, rung, job, result, output) in starts {
            let seed = self.rng.bytes();
            self.start_check(id, rung, job, TaskPurpose::Verify { result, output, seed });
        }
    }

    /// A check came to an end: accept, reject, or say why neither.
    pub(super) fn checked(&mut self, job: Digest, rung: u8, result: Digest, outcome: TaskOutcome) {
        self.payments.checking.remove(&result);
        match outcome {
            TaskOutcome::Valid => self.accept(job, rung, result),
            TaskOutcome::Invalid(reason) => {
                let Some(group) = self.group_of_job(&job) else { return };
                self.say(format!("rejected a result of job {}: {reason}", job.short()));
                let reason = cairn_board::plain_text(&reason, cairn_board::fact::REASON_BYTES_MAX);
                let mut tx = Tx::default();
                let verdict = Verdict::Rejected { rung, result, reason };
                self.publish_fact(&mut tx, group, &Fact::Status(Status { job, verdict }));
                self.commits.own(tx);
            }
            TaskOutcome::Failed(reason) => {
                self.say(format!("a result of job {} could not be checked: {reason}", job.short()));
                self.payments.unable.insert(result, reason);
            }
            TaskOutcome::Ran(_) => {}
        }
    }

    fn accept(&mut self, id: Digest, rung: u8, result: Digest) {
        let Some((slot, job)) = self.boards.job(&id) else { return };
        let (group, price) =
            (slot.group, job.job.rungs.get(usize::from(rung)).map_or(0, |terms| terms.price));
        let Some(view) = job.result(&result).filter(|_| job.accepted(rung).is_none()) else { return };
        let executor = view.author;
        let fundings = job.fundings.iter().map(|view| &view.funding).filter(|funding| funding.rung == rung);
        let nonces: Vec<[u8; 16]> = fundings.map(|funding| funding.nonce).collect();
        let paid = self.result_entry(&id, job, view).filter(|_| price > 0 && executor != self.me);
        let mut tx = Tx::default();
        let mut receipt = Digest([0; 32]);
        if let Some(entry) = paid {
            let order = Order { job: id, tier: rung, nonces: &nonces };
            match self
                .write_entry(&mut tx, executor, |author| author.accept(&order, &entry, price, ACCEPT_FULL))
            {
                Ok(accept) => {
                    receipt = accept.id();
                    self.mail_entries(&mut tx, &executor, &[accept]);
                }
                Err(error) => {
                    self.say(format!(
                        "a result of job {} is good but cannot be accepted: {error}",
                        id.short()
                    ));
                    self.payments.unable.insert(result, error.to_string());
                    return;
                }
            }
        }
        let verdict = Verdict::Accepted { rung, result, receipt };
        self.publish_fact(&mut tx, group, &Fact::Status(Status { job: id, verdict }));
        let who = self.contacts.name(&executor);
        self.say(format!("accepted rung {rung} of job {} from {who}", id.short()));
        self.commits.own(tx);
    }

    /// Closes own jobs whose best rung was accepted and whose other results are judged.
    pub(super) fn close_jobs(&mut self, tx: &mut Tx) {
        let mut done = Vec::new();
        for slot in self.boards.iter() {
            for (id, job) in
                slot.view.jobs.iter().filter(|(_, job)| job.job.payer == self.me && job.state.is_open())
            {
                let best = numbered(&job.job).next_back().map(|(rung, _)| rung);
                let waiting = job.results.iter().any(|result| {
                    result.is_unjudged()
                        && job.accepted(result.result.rung).is_none()
                        && !self.payments.unable.contains_key(&result.id)
                });
                if best.is_some_and(|best| job.accepted(best).is_some()) && !waiting {
                    done.push((slot.group, *id));
                }
            }
        }
        for (group, job) in done {
            self.publish_fact(tx, group, &Fact::Status(Status { job, verdict: Verdict::Closed }));
            self.say(format!("job {} is complete and closed", job.short()));
        }
    }
}
