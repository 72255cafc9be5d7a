//! Which open jobs this node runs, and what it publishes of them.

use std::collections::BTreeMap;

use cairn_board::{BlobRef, Fact, Job, JobResult};
use cairn_bundle::{Digest, NodeId};
use cairn_engine::Instant;
use cairn_ledger::{PayId, TaskResult};
use cairn_store::{Read, Table};
use cairn_task::Resources;
use cairn_task::ladder::{Failed, choose};

use super::boards::{JobExt, ResultExt};
use super::commit::{After, Tx};
use super::funding::numbered;
use super::{Core, Output};

/// How long a node waits for news that are on their way before it starts a task: what arrives together (a
/// job, its blobs, the locks that pay for its rungs) shall be looked at together.
const PATIENCE_MS: u64 = 2_000;

/// Names one task while the process lives.
pub type TaskId = u64;

/// What a task is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskPurpose {
    /// Run the rung.
    Execute,
    /// Check a result of somebody else for the payer.
    Verify {
        /// The result document.
        result: Digest,
        /// The output to be checked.
        output: BlobRef,
        /// Randomness for the choice of items.
        seed: [u8; 32],
    },
}

/// Work for an executor. Blobs are handles: the driver reads them from the store.
#[derive(Debug, Clone)]
pub struct TaskOrder {
    /// To be named in the outcome.
    pub task: TaskId,
    /// The job.
    pub job: Job,
    /// The rung, an index into `job.rungs`.
    pub rung: u8,
    /// What for.
    pub purpose: TaskPurpose,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskOutcome {
    /// It ran.
    Ran(cairn_task::TaskReport),
    /// It failed, or could not be run here; the reason is for people.
    Failed(String),
    /// A check found the result good.
    Valid,
    /// A check found the result wrong, for this reason.
    Invalid(String),
}

/// The rung to run, and every better one with the reason in plain words.
#[derive(Debug)]
pub(crate) struct RungChoice {
    pub(crate) rung: Option<usize>,
    pub(crate) skipped: Vec<(usize, String)>,
}

#[derive(Debug)]
struct Running {
    job: Digest,
    rung: u8,
    payment: Option<PayId>,
    purpose: TaskPurpose,
    fell_from: Vec<(u8, String)>,
}

/// Tasks that run, and rungs that failed here.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    next: TaskId,
    running: BTreeMap<TaskId, Running>,
    failed: BTreeMap<(Digest, u8), String>,
    resources: Option<Resources>,
    patient_until: Option<Instant>,
}

impl Tasks {
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    fn runs(&self, job: &Digest) -> bool {
        self.running.values().any(|running| running.job == *job && running.purpose == TaskPurpose::Execute)
    }

    /// Reads back a failed attempt of an earlier run of the program.
    pub(crate) fn restore_failure(&mut self, key: &[u8], value: &[u8]) {
        if let Some((job, [rung])) = key.split_first_chunk::<32>()
            && let Ok(reason) = core::str::from_utf8(value)
        {
            self.failed.insert((Digest(*job), *rung), reason.to_owned());
        }
    }
}

impl Core {
    /// Takes note of what the machine has to give.
    pub fn set_resources(&mut self, resources: Resources) {
        if self.tasks.resources.as_ref() != Some(&resources) {
            self.tasks.resources = Some(resources);
            self.dirty = true;
        }
    }

    /// Whether this node will not run a rung, however long one waits.
    pub(super) fn cannot_run(&self, id: &Digest, job: &Job, rung: u8) -> bool {
        !self.settings.tasks_enabled
            || self.tasks.failed.contains_key(&(*id, rung))
            || !self.owner_allows(job, usize::from(rung))
    }

    /// Whether the owner's limits allow a rung, whatever the machine has free at the moment.
    fn owner_allows(&self, job: &Job, rung: usize) -> bool {
        let mut ladder = job.clone();
        ladder.rungs.truncate(rung.saturating_add(1));
        let unbounded = Resources::default();
        let choice =
            choose(&ladder, &self.settings.task_limits, &unbounded, &|_| true, &[], rung.checked_sub(1));
        choice.rung == Some(rung)
    }

    /// The payment that pays this node for a rung, if its lock may be acted on.
    fn payment_for(&self, job: &cairn_board::JobView, rung: u8) -> Result<PayId, String> {
        let mut reason = "no lock for this rung has arrived here".to_owned();
        for funding in job.fundings.iter().map(|view| &view.funding).filter(|funding| funding.rung == rung) {
            let payment = PayId(funding.pay_id);
            let Some(lock) = self.lock_to_me(&job.job.payer, &payment) else { continue };
            let price = job.job.rungs.get(usize::from(rung)).map_or(0, |terms| terms.price);
            if self.has_forwarded(&job.job.payer, &payment) {
                reason = "its lock was passed on".to_owned();
            } else if lock.terms.amount < price {
                reason = "the lock is below the price".to_owned();
            } else if let Err(refusal) = self.ledger.may_run(&lock.id) {
                reason = refusal.to_string();
            } else {
                return Ok(payment);
            }
        }
        Err(reason)
    }

    /// Why the payer did not want this node's result of a rung. The same again would be no better.
    fn rejected_from_here(&self, job: &cairn_board::JobView, rung: u8) -> Option<String> {
        let mut own =
            job.results.iter().filter(|result| result.author == self.me && result.result.rung == rung);
        own.find_map(|result| result.rejected().map(str::to_owned))
    }

    /// The ladder's choice for one job, with the reasons for every rung that was passed over.
    pub(super) fn choose_rung(&self, id: &Digest, job: &cairn_board::JobView) -> RungChoice {
        let mut failed = Vec::new();
        let mut unpaid: BTreeMap<usize, String> = BTreeMap::new();
        for (number, terms) in numbered(&job.job) {
            let rung = usize::from(number);
            if let Some(why) = self.tasks.failed.get(&(*id, number)) {
                failed.push(Failed { rung, why: why.clone() });
            } else if let Some(why) = self.rejected_from_here(job, number) {
                failed.push(Failed { rung, why: format!("the payer rejected its result: {why}") });
            } else if job.job.payer != self.me
                && terms.price > 0
                && let Err(why) = self.payment_for(job, number)
            {
                // The ladder knows nothing of money: to it an unpaid rung is one that does not work.
                failed.push(Failed { rung, why: why.clone() });
                unpaid.insert(rung, why);
            }
        }
        let present = |blob: &Digest| self.blobs.contains_key(blob);
        let done = job.best_rung().map(usize::from);
        let measured = self.tasks.resources.clone().unwrap_or_default();
        let choice = choose(&job.job, &self.settings.task_limits, &measured, &present, &failed, done);
        let told = |(rung, reason): (usize, cairn_task::ladder::Reason)| {
            let text = match (reason, unpaid.get(&rung)) {
                (cairn_task::ladder::Reason::Failed(_), Some(unpaid)) => unpaid.clone(),
                (reason, _) => reason.to_string(),
            };
            (rung, text)
        };
        RungChoice { rung: choice.rung, skipped: choice.skipped.into_iter().map(told).collect() }
    }

    /// When a postponed start of tasks is due.
    pub(super) const fn tasks_due(&self) -> Option<Instant> {
        self.tasks.patient_until
    }

    /// Whether a meet is bringing news right now.
    fn news_are_coming(&self) -> bool {
        !self.imports.is_empty()
            || !self.commits.foreign_is_empty()
            || self.engine.links().any(|(link, ..)| !self.engine.is_idle(link))
    }

    /// Starts what may be started: checks of results first, then jobs.
    pub(super) fn start_tasks(&mut self) {
        self.start_checks();
        if !self.settings.tasks_enabled {
            return;
        }
        if self.news_are_coming() {
            let until = *self.tasks.patient_until.get_or_insert_with(|| self.clock.now.plus_ms(PATIENCE_MS));
            if self.clock.now < until {
                return;
            }
        }
        self.tasks.patient_until = None;
        self.start_jobs();
    }

    fn start_jobs(&mut self) {
        let mut starts = Vec::new();
        for slot in self.boards.iter() {
            for (id, job) in slot.view.jobs.iter().filter(|(_, job)| job.state.is_open()) {
                if self.tasks.len() + starts.len() >= self.settings.tasks_concurrent {
                    break;
                }
                if self.tasks.runs(id) {
                    continue;
                }
                let choice = self.choose_rung(id, job);
                let Some(rung) = choice.rung.and_then(|rung| u8::try_from(rung).ok()) else { continue };
                let better = choice.skipped.iter().filter_map(|(skipped, reason)| {
                    let skipped = u8::try_from(*skipped).ok()?;
                    (skipped > rung).then(|| (skipped, reason.clone()))
                });
                let payment = self.payment_for(job, rung).ok();
                let running = Running {
                    job: *id,
                    rung,
                    payment,
                    purpose: TaskPurpose::Execute,
                    fell_from: better.collect(),
                };
                starts.push((running, job.job.clone()));
            }
        }
        for (running, job) in starts {
            self.start(running, job);
        }
    }

    fn start(&mut self, running: Running, job: Job) {
        self.tasks.next = self.tasks.next.wrapping_add(1);
        let task = self.tasks.next;
        if running.purpose == TaskPurpose::Execute {
            self.say(format!("running rung {} of job {}", running.rung, running.job.short()));
        }
        let order = TaskOrder { task, job, rung: running.rung, purpose: running.purpose.clone() };
        self.tasks.running.insert(task, running);
        self.outputs.push_back(Output::Run(order));
    }

    /// Has a result checked for the payer, which is this node.
    pub(super) fn start_check(&mut self, id: Digest, rung: u8, job: Job, purpose: TaskPurpose) {
        self.start(Running { job: id, rung, payment: None, purpose, fell_from: Vec::new() }, job);
    }

    pub(super) fn task_done(&mut self, task: TaskId, outcome: TaskOutcome, _disk: &dyn Read) {
        let Some(running) = self.tasks.running.remove(&task) else { return };
        self.dirty = true;
        match (outcome, &running.purpose) {
            (TaskOutcome::Ran(report), TaskPurpose::Execute) => self.publish_result(&running, report),
            (TaskOutcome::Failed(reason), TaskPurpose::Execute) => self.rung_failed(&running, reason),
            (outcome, TaskPurpose::Verify { result, .. }) => {
                let result = *result;
                self.checked(running.job, running.rung, result, outcome);
            }
            (TaskOutcome::Valid | TaskOutcome::Invalid(_), TaskPurpose::Execute) => {}
        }
    }

    fn rung_failed(&mut self, running: &Running, reason: String) {
        self.say(format!("rung {} of job {} failed: {reason}", running.rung, running.job.short()));
        self.count("tasks failed");
        let mut key = running.job.as_bytes().to_vec();
        key.push(running.rung);
        let mut tx = Tx::default();
        tx.put(Table::Attempts, key, reason.as_bytes());
        self.commits.own(tx);
        self.tasks.failed.insert((running.job, running.rung), reason);
    }

    /// Output, RESULT and result document become durable together, and only then leave.
    fn publish_result(&mut self, running: &Running, report: cairn_task::TaskReport) {
        let Some((group, payer)) =
            self.boards.job(&running.job).map(|(slot, job)| (slot.group, job.job.payer))
        else {
            return;
        };
        let output = BlobRef::of(&report.output);
        let mut tx = Tx::default();
        let mut result_entry = Digest([0; 32]);
        if let Some(payment) = running.payment.filter(|_| payer != self.me) {
            let Some(entry) = self.sign_result(&mut tx, &payer, payment, running.rung, &output, &report)
            else {
                return self.rung_failed(running, "its result could not be signed".to_owned());
            };
            result_entry = entry;
        }
        tx.put(Table::Blobs, *output.id.as_bytes(), report.output);
        tx.then(After::OwnBlob { id: output.id, bytes: output.bytes });
        let doc = JobResult {
            job: running.job,
            rung: running.rung,
            output,
            fuel: report.fuel,
            wall_ms: report.wall_ms,
            engine: cairn_board::plain_text(&report.engine, cairn_board::job::NAME_BYTES_MAX),
            fell_from: running
                .fell_from
                .iter()
                .map(|(rung, reason)| {
                    (*rung, cairn_board::plain_text(reason, cairn_board::fact::REASON_BYTES_MAX))
                })
                .collect(),
            result_entry,
        };
        self.publish_fact(&mut tx, group, &Fact::Result(doc));
        self.say(format!("published rung {} of job {}", running.rung, running.job.short()));
        self.commits.own(tx);
    }

    fn sign_result(
        &mut self,
        tx: &mut Tx,
        payer: &NodeId,
        payment: PayId,
        rung: u8,
        output: &BlobRef,
        report: &cairn_task::TaskReport,
    ) -> Option<Digest> {
        let result = TaskResult {
            pay_id: payment,
            output: output.id,
            fuel: report.fuel,
            energy_mj: 0,
            wall_ms: report.wall_ms,
            tier: rung,
            trace: None,
        };
        match self.write_entry(tx, *payer, |author| author.result(payer, result)) {
            Ok(entry) => {
                let id = entry.id();
                self.mail_entries(tx, payer, &[entry]);
                Some(id)
            }
            Err(error) => {
                self.say(format!("a result could not be signed: {error}"));
                None
            }
        }
    }
}
