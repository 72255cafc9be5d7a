//! What follows from the documents on a board: a pure function of their set.

use std::collections::BTreeMap;

use cairn_bundle::{Digest, NodeId};

use crate::doc::{DocId, Verified};
use crate::fact::{Fact, Funding, JobResult, Verdict};
use crate::job::Job;

/// Most results of one author for one rung that count, unless the payer has judged them.
pub const RESULTS_PER_AUTHOR_MAX: usize = 4;
/// Most fundings of one rung that count.
pub const FUNDINGS_PER_RUNG_MAX: usize = 64;

/// What a board says. Nodes that hold the same documents see equal views.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoardView {
    /// The members: those who have introduced themselves, and those who were invited.
    pub members: BTreeMap<NodeId, MemberView>,
    /// The jobs by their ids.
    pub jobs: BTreeMap<DocId, JobView>,
}

/// A member that has introduced itself or was invited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// The document.
    pub id: DocId,
    /// When, by its own clock: advisory.
    pub time: u64,
    /// Its card, which the board has not read: the latest one that it gave itself, or else the latest one
    /// that somebody gave who invited it.
    pub card: Vec<u8>,
    /// Whether it has introduced itself; otherwise somebody else has named it.
    pub introduced: bool,
}

/// A job and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// Its id: that of its document.
    pub id: DocId,
    /// When it was posted, by the payer's clock: advisory.
    pub time: u64,
    /// The job.
    pub job: Job,
    /// Where it stands.
    pub state: JobState,
    /// What the payer has locked, by rung and then document id.
    pub fundings: Vec<FundingView>,
    /// What members have computed, by rung and then document id.
    pub results: Vec<ResultView>,
    /// The document of the best result: the best rung that is not rejected, accepted before unjudged.
    pub best: Option<DocId>,
    /// The payer's documents that this rests on, ascending.
    pub verdicts: Vec<DocId>,
}

/// A lock that the payer has announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundingView {
    /// The document.
    pub id: DocId,
    /// What it says.
    pub funding: Funding,
}

/// A result that a member has published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultView {
    /// The document.
    pub id: DocId,
    /// Who computed it.
    pub author: NodeId,
    /// When, by the author's clock: advisory.
    pub time: u64,
    /// What it says.
    pub result: JobResult,
    /// What the payer says of it.
    pub judgement: Judgement,
}

/// What the payer says of a result. Where it says both, acceptance holds, because it has paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing yet.
    None,
    /// It is not good.
    Rejected {
        /// Why.
        reason: String,
    },
    /// It is good.
    Accepted {
        /// The ledger's ACCEPT entry; all zero if the work was not paid.
        receipt: Digest,
    },
}

/// Where a job stands: a lattice, in which more documents only ever lead upwards
/// (a result rejected and later another one published count as answered).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// It waits for a result.
    Posted,
    /// All results so far are rejected.
    Rejected,
    /// A result waits for the payer's word.
    Answered,
    /// A result is accepted; a better one may follow.
    Accepted,
    /// The payer wants nothing any more and may have accepted nothing.
    Cancelled,
    /// The payer has enough. Stronger than cancelled, where both were said.
    Closed,
}

impl JobState {
    /// Whether a further result may still be wanted.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Posted | Self::Rejected | Self::Answered | Self::Accepted)
    }
}

impl BoardView {
    /// Equal for equal views: two nodes can compare theirs without sending them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut ids: Vec<DocId> = self.members.values().map(|member| member.id).collect();
        for job in self.jobs.values() {
            ids.push(job.id);
            ids.extend(job.fundings.iter().map(|funding| funding.id));
            ids.extend(job.results.iter().map(|result| result.id));
            ids.extend(&job.verdicts);
        }
        // Documents are named by their content, and all else in a view follows from them.
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.as_bytes()).copied().collect();
        Digest::of(&bytes)
    }

    /// The jobs for which a further result may still be wanted.
    pub fn open_jobs(&self) -> impl Iterator<Item = &JobView> {
        self.jobs.values().filter(|job| job.state.is_open())
    }
}

impl JobView {
    /// The result with this document id.
    #[must_use]
    pub fn result(&self, id: &DocId) -> Option<&ResultView> {
        self.results.iter().find(|result| result.id == *id)
    }

    /// The best result so far.
    #[must_use]
    pub fn best_result(&self) -> Option<&ResultView> {
        self.best.as_ref().and_then(|id| self.result(id))
    }
}

/// Computes the view.
pub(crate) fn project(docs: &BTreeMap<DocId, Verified>) -> BoardView {
    let mut view = BoardView::default();
    // 1. Who is there and what is to be done.
    for doc in docs.values() {
        match doc.fact() {
            Fact::Member(member) => {
                let introduced = doc.author() == member.node;
                let new =
                    MemberView { id: doc.id(), time: doc.time(), card: member.card.clone(), introduced };
                let old = view.members.entry(member.node).or_insert_with(|| new.clone());
                if (new.introduced, new.time, new.id) > (old.introduced, old.time, old.id) {
                    *old = new;
                }
            }
            Fact::Job(job) => {
                view.jobs.insert(doc.id(), JobView::new(doc, job));
            }
            Fact::Funding(_) | Fact::Result(_) | Fact::Status(_) | Fact::Unknown { .. } => {}
        }
    }
    // 2. What is locked and computed for these jobs.
    for doc in docs.values() {
        match doc.fact() {
            Fact::Funding(funding) => {
                if let Some(job) = view.jobs.get_mut(&funding.job) {
                    job.take_funding(doc, funding);
                }
            }
            Fact::Result(result) => {
                if let Some(job) = view.jobs.get_mut(&result.job) {
                    job.take_result(doc, result);
                }
            }
            Fact::Member(_) | Fact::Job(_) | Fact::Status(_) | Fact::Unknown { .. } => {}
        }
    }
    // 3. What their payers say of that.
    for doc in docs.values() {
        if let Fact::Status(status) = doc.fact()
            && let Some(job) = view.jobs.get_mut(&status.job)
        {
            job.take_verdict(doc, &status.verdict);
        }
    }
    for job in view.jobs.values_mut() {
        job.finish();
    }
    view
}

impl JobView {
    fn new(doc: &Verified, job: &Job) -> Self {
        Self {
            id: doc.id(),
            time: doc.time(),
            job: job.clone(),
            state: JobState::Posted,
            fundings: Vec::new(),
            results: Vec::new(),
            best: None,
            verdicts: Vec::new(),
        }
    }

    fn take_funding(&mut self, doc: &Verified, funding: &Funding) {
        let has_rung = usize::from(funding.rung) < self.job.rungs.len();
        if has_rung && doc.author() == self.job.payer {
            self.fundings.push(FundingView { id: doc.id(), funding: funding.clone() });
        }
    }

    fn take_result(&mut self, doc: &Verified, result: &JobResult) {
        let Some(rung) = self.job.rungs.get(usize::from(result.rung)) else { return };
        if result.output.bytes <= rung.bounds.output_bytes {
            self.results.push(ResultView {
                id: doc.id(),
                author: doc.author(),
                time: doc.time(),
                result: result.clone(),
                judgement: Judgement::None,
            });
        }
    }

    /// Only the payer's word counts, and only on results that are there.
    fn take_verdict(&mut self, doc: &Verified, verdict: &Verdict) {
        if doc.author() != self.job.payer {
            return;
        }
        let counts = match verdict {
            Verdict::Accepted { rung, result, receipt } => {
                self.judge(*rung, result, &Judgement::Accepted { receipt: *receipt })
            }
            Verdict::Rejected { rung, result, reason } => {
                self.judge(*rung, result, &Judgement::Rejected { reason: reason.clone() })
            }
            Verdict::Closed => self.raise(JobState::Closed),
            Verdict::Cancelled => self.raise(JobState::Cancelled),
        };
        if counts {
            self.verdicts.push(doc.id());
        }
    }

    fn raise(&mut self, state: JobState) -> bool {
        self.state = self.state.max(state);
        true
    }

    /// Of several judgements of one kind the one with the lowest document id holds: documents come in that order.
    fn judge(&mut self, rung: u8, result: &DocId, judgement: &Judgement) -> bool {
        let judged = self.results.iter_mut().find(|view| view.id == *result && view.result.rung == rung);
        let Some(view) = judged else { return false };
        let stronger = match (&view.judgement, judgement) {
            (Judgement::None, _) => true,
            (Judgement::Rejected { .. }, Judgement::Accepted { .. }) => true,
            (Judgement::Rejected { .. } | Judgement::Accepted { .. }, _) => false,
        };
        if stronger {
            view.judgement = judgement.clone();
        }
        true
    }

    /// Applies the limits, which depend on the set of documents only, and draws the conclusions.
    fn finish(&mut self) {
        let mut counts: BTreeMap<(NodeId, u8), usize> = BTreeMap::new();
        self.results.sort_by_key(|view| (view.result.rung, view.id));
        self.results.retain(|view| {
            if view.judgement != Judgement::None {
                return true;
            }
            let count = counts.entry((view.author, view.result.rung)).or_default();
            *count = count.saturating_add(1);
            *count <= RESULTS_PER_AUTHOR_MAX
        });
        let mut fundings: BTreeMap<u8, usize> = BTreeMap::new();
        self.fundings.sort_by_key(|view| (view.funding.rung, view.id));
        self.fundings.retain(|view| {
            let count = fundings.entry(view.funding.rung).or_default();
            *count = count.saturating_add(1);
            *count <= FUNDINGS_PER_RUNG_MAX
        });
        for view in &self.results {
            self.state = self.state.max(match view.judgement {
                Judgement::None => JobState::Answered,
                Judgement::Rejected { .. } => JobState::Rejected,
                Judgement::Accepted { .. } => JobState::Accepted,
            });
        }
        self.best = self
            .results
            .iter()
            .filter(|view| !matches!(view.judgement, Judgement::Rejected { .. }))
            .max_by_key(|view| {
                let accepted = matches!(view.judgement, Judgement::Accepted { .. });
                (view.result.rung, accepted, core::cmp::Reverse(view.id))
            })
            .map(|view| view.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doc::SignedDoc;
    use crate::fact::Member;
    use crate::secret::BoardSecret;
    use cairn_bundle::Identity;

    #[test]
    fn an_invited_member_is_one_and_its_own_card_goes_before_what_others_say() {
        let secret = BoardSecret::new([7; 32]);
        let (host, guest) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
        let say = |by: &Identity, card: &[u8], time| {
            let fact = Fact::Member(Member { node: guest.node_id(), card: card.to_vec() });
            SignedDoc::sign(&fact, time, by, &secret).unwrap().verify(&secret).unwrap()
        };
        let invited = say(&host, b"old", 90);
        let view = project(&BTreeMap::from([(invited.id(), invited.clone())]));
        assert_eq!(view.members.get(&guest.node_id()).map(|member| member.introduced), Some(false));
        let introduced = say(&guest, b"own", 1);
        let later = say(&host, b"forged", 99);
        let docs = [invited, introduced, later].map(|doc| (doc.id(), doc));
        let view = project(&BTreeMap::from(docs));
        assert_eq!(view.members.get(&guest.node_id()).map(|member| &member.card[..]), Some(&b"own"[..]));
    }
}
