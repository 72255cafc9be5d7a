//! The world: a queue of events in virtual time, and what each of them does to a node.

use std::collections::BTreeMap;

use cairn_bundle::{Digest, Identity, OpenError, verify_source};
use cairn_engine::{LinkId, Ticket};
use cairn_node::core::{Attachment, CommitId, Core, Input, Output, Secrets, Settings, TaskId, TaskOutcome};
use cairn_store::{Limits, Priority};

use crate::contact::{Contact, End, WINDOW};
use crate::dice::Dice;
use crate::faults::Faults;
use crate::machine;
use crate::node::{AskId, SimNode};
use crate::trace::Trace;
use crate::violation::Violation;
use crate::witness::Witness;

/// The check of a bundle's source takes less than so long.
const CHECK_MS_MAX: u64 = 20;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// The oldest batch of a node reaches its disk.
    Synced { node: usize, life: u64 },
    /// A node hears what became of a batch: after the disk shows it, or before if the node lies to itself (negative
    /// control).
    Told { node: usize, life: u64, commit: CommitId, durable: bool },
    /// Bytes come out of a stream; `last` frees a place in the sender's window.
    Bytes { contact: u64, to: usize, bytes: Vec<u8>, last: bool },
    /// The prekeys of a node reach its disk.
    PrekeysKept { node: usize, life: u64, ring: Vec<u8> },
    /// The source of a bundle was checked.
    Checked { node: usize, life: u64, ticket: Ticket, outcome: Result<(), OpenError> },
    /// A contact is over.
    Cut { contact: u64 },
    /// One end notices that its link is gone.
    LinkDown { node: usize, life: u64, link: LinkId },
    /// A task ends.
    TaskDone { node: usize, life: u64, task: TaskId, outcome: TaskOutcome },
    /// The time that a core asked for.
    Tick { node: usize, life: u64 },
    /// A node starts from its disk.
    Start { node: usize },
    /// A person asks (again).
    Ask { node: usize, ask: AskId },
    /// A drop is read by its recipient.
    Arrive { node: usize, files: Vec<Vec<u8>> },
    /// A chance of the plan; void once the faults are over.
    Fault(Fault),
}

/// What the plan of a run has in store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Power is cut.
    Crash { node: usize },
    /// The disk of a node has so many bytes left, or as many as it wants again.
    Disk { node: usize, room: Option<u64> },
    /// The wall clock of a node jumps, or is lost.
    Clock { node: usize, wall: Option<u64> },
    /// Two nodes come into range.
    Meet { a: usize, b: usize, budget: usize },
    /// Somebody carries a drop.
    Courier { from: usize, to: usize },
}

/// Many nodes under one virtual clock.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) witness: Witness,
    /// Executions that failed.
    pub(crate) tasks_failed: u64,
    /// Power cuts.
    pub(crate) crashes: u64,
    queue: BTreeMap<(u64, u64), Event>,
    pub(crate) contacts: BTreeMap<u64, Contact>,
    next: u64,
}

impl World {
    /// An empty world. `readable` keeps a log for people.
    pub(crate) fn new(seed: u64, faults: Faults, readable: bool) -> Self {
        Self {
            now: 0,
            dice: Dice::new(seed),
            faults,
            trace: Trace::new(readable),
            nodes: Vec::new(),
            witness: Witness::default(),
            tasks_failed: 0,
            crashes: 0,
            queue: BTreeMap::new(),
            contacts: BTreeMap::new(),
            next: 0,
        }
    }

    /// The log of the run so far.
    pub(crate) fn log(&self) -> impl Iterator<Item = &str> {
        self.trace.lines()
    }

    /// Everything that happened so far, as one digest.
    pub(crate) const fn trace(&self) -> Digest {
        self.trace.digest()
    }

    /// A number that was never given before.
    pub(crate) const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn node(&self, node: usize) -> &SimNode {
        self.nodes.get(node).expect("an index comes from add_node, and no node is ever removed")
    }

    pub(crate) fn node_mut(&mut self, node: usize) -> &mut SimNode {
        self.nodes.get_mut(node).expect("an index comes from add_node, and no node is ever removed")
    }

    pub(crate) fn name(&self, node: usize) -> String {
        self.node(node).name.clone()
    }

    /// Adds a node and starts it; `seed` is its identity.
    pub(crate) fn add_node(
        &mut self,
        name: &str,
        seed: [u8; 32],
        settings: Settings,
    ) -> Result<usize, Violation> {
        let wall = self.dice.percent(80).then(|| self.dice.pick(0..400_000_000));
        self.nodes.push(SimNode::new(name, seed, settings, wall));
        let node = self.nodes.len() - 1;
        self.start(node)?;
        Ok(node)
    }

    pub(crate) fn at(&mut self, when: u64, event: Event) {
        let number = self.number();
        self.queue.insert((when.max(self.now), number), event);
    }

    pub(crate) fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now.saturating_add(delay), event);
    }

    /// Drops the rest of the plan: from now on nothing goes wrong.
    pub(crate) fn end_faults(&mut self) {
        self.faults = Faults::none(&self.faults);
        self.queue.retain(|_, event| !matches!(event, Event::Fault(_)));
        for node in &mut self.nodes {
            node.disk.set_limits(Limits::NONE);
        }
    }

    /// Whether anything but the passing of time lies ahead.
    pub(crate) fn is_still(&self) -> bool {
        self.queue.values().all(|event| matches!(event, Event::Tick { .. }))
            && self
                .nodes
                .iter()
                .all(|node| node.imports.is_empty() && node.core.as_ref().is_some_and(Core::is_quiet))
    }

    /// What keeps the world from being still, for people.
    pub(crate) fn restless(&self) -> String {
        let ahead = self.queue.values().find(|event| !matches!(event, Event::Tick { .. }));
        let busy =
            |node: &&SimNode| !node.imports.is_empty() || !node.core.as_ref().is_some_and(Core::is_quiet);
        let busy: Vec<&str> = self.nodes.iter().filter(busy).map(|node| node.name.as_str()).collect();
        format!("ahead: {ahead:?}, busy: {busy:?}")
    }

    /// Lets the next event happen if it is due by `until`; says whether there was one.
    pub(crate) fn step(&mut self, until: u64) -> Result<bool, Violation> {
        let due = self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= until);
        let Some(((at, _), event)) = due.then(|| self.queue.pop_first()).flatten() else { return Ok(false) };
        self.now = at;
        self.happen(event)?;
        Ok(true)
    }

    /// Lets time pass.
    pub(crate) fn run_until(&mut self, until: u64) -> Result<(), Violation> {
        while self.step(until)? {}
        self.now = self.now.max(until);
        Ok(())
    }

    /// Lets time pass until nothing is under way, at most `limit_ms`.
    pub(crate) fn run_until_still(&mut self, limit_ms: u64) -> Result<(), Violation> {
        let limit = self.now.saturating_add(limit_ms);
        while !self.is_still() && self.step(limit)? {}
        Ok(())
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.node(node).life == life && self.node(node).core.is_some()
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Synced { node, life } if self.lives(node, life) => self.synced(node),
            Event::Told { node, life, commit, durable } if self.lives(node, life) => {
                self.input(node, Input::Committed { commit, durable });
            }
            Event::Bytes { contact, to, bytes, last } => self.arrive(contact, to, bytes, last),
            Event::Cut { contact } => self.cut(contact),
            Event::LinkDown { node, life, link } if self.lives(node, life) => {
                if self.node_mut(node).links.remove(&link).is_some() {
                    self.input(node, Input::LinkDown { link });
                }
            }
            Event::TaskDone { node, life, task, outcome } if self.lives(node, life) => {
                self.input(node, Input::TaskDone { task, outcome });
            }
            Event::Tick { node, life } if self.lives(node, life) => {
                self.node_mut(node).tick_at = None;
                self.input(node, Input::Tick);
            }
            Event::PrekeysKept { node, life, ring } if self.lives(node, life) => {
                self.node_mut(node).prekeys = ring;
                self.input(node, Input::PrekeysKept { durable: true });
            }
            Event::Checked { node, life, ticket, outcome } if self.lives(node, life) => {
                self.input(node, Input::Checked { ticket, outcome });
            }
            Event::Start { node } => self.start(node)?,
            Event::Ask { node, ask } => self.ask_again(node, ask),
            Event::Arrive { node, files } => self.import(node, files),
            Event::Fault(fault) => self.fault(fault),
            // What was meant for an earlier life.
            Event::Synced { .. }
            | Event::Told { .. }
            | Event::PrekeysKept { .. }
            | Event::Checked { .. }
            | Event::LinkDown { .. }
            | Event::TaskDone { .. }
            | Event::Tick { .. } => {}
        }
        Ok(())
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { node } => self.crash(node),
            Fault::Disk { node, room } => {
                let (now, name) = (self.now, self.name(node));
                self.trace.say(now, &name, || format!("room on its disk: {room:?}"));
                let disk = &mut self.node_mut(node).disk;
                let used = disk.usage().bytes();
                let limits = |room: u64| Limits { size_max: used.saturating_add(room), reserve: room / 2 };
                disk.set_limits(room.map_or(Limits::NONE, limits));
            }
            Fault::Clock { node, wall } => self.node_mut(node).wall = wall,
            Fault::Meet { a, b, budget } => {
                self.meet(a, b, budget);
            }
            Fault::Courier { from, to } => self.courier(from, to),
        }
    }

    /// Cuts the power of a node; it starts again after a while.
    pub(crate) fn crash(&mut self, node: usize) {
        if self.node(node).core.is_none() {
            return;
        }
        let (now, name) = (self.now, self.name(node));
        self.trace.add(now, node, "crash", &[]);
        let lost = self.node(node).disk.waiting();
        self.trace.say(now, &name, || format!("loses power, and {lost} batches with it"));
        let contacts: Vec<u64> = self.node(node).links.values().map(|(contact, _)| *contact).collect();
        self.node_mut(node).die();
        self.crashes += 1;
        for contact in contacts {
            self.cut(contact);
        }
        let off_ms = self.dice.pick(1..60_000);
        self.after(off_ms, Event::Start { node });
    }

    fn start(&mut self, node: usize) -> Result<(), Violation> {
        if self.node(node).core.is_some() {
            return Ok(());
        }
        let (now, seed) = (self.now, self.dice.seed());
        let name = self.name(node);
        self.trace.add(now, node, "start", &[]);
        if let Some(item) = self.witness.missing(node, &self.node(node).disk) {
            return Err(Violation::AcknowledgedLost { node: name, item });
        }
        let here = self.node_mut(node);
        here.born_at = now;
        (here.synced_until, here.told_until) = (now, now);
        let clock = here.clock(now);
        let secrets = Secrets { identity: Identity::from_seed(&here.seed), prekeys: here.prekeys() };
        let core = Core::restore(secrets, here.settings.clone(), &seed, clock, &here.disk);
        here.core =
            Some(core.map_err(|error| Violation::NoStart { node: name.clone(), reason: error.to_string() })?);
        self.trace.say(now, &name, || "starts".to_owned());
        self.drain(node);
        let open: Vec<AskId> =
            self.node(node).asks.iter().filter(|(_, ask)| ask.answer.is_none()).map(|(id, _)| *id).collect();
        for ask in open {
            self.ask_again(node, ask);
        }
        Ok(())
    }

    /// Feeds a core and does what it asks for.
    pub(crate) fn input(&mut self, node: usize, input: Input) {
        let now = self.now;
        match &input {
            Input::Bytes { bytes, .. } => self.trace.add(now, node, "bytes", bytes),
            other => self.trace.add(now, node, kind(other), &[]),
        }
        let here = self.node_mut(node);
        let clock = here.clock(now);
        let Some(core) = &mut here.core else { return };
        core.handle(clock, input, &here.disk);
        self.drain(node);
    }

    /// Does everything that a core asks for, as the daemon's loop does.
    pub(crate) fn drain(&mut self, node: usize) {
        loop {
            while let Some(output) = self.node_mut(node).core.as_mut().and_then(Core::poll) {
                self.act(node, output);
            }
            self.pump(node);
            if !self.step_import(node) {
                break;
            }
        }
        self.schedule_tick(node);
    }

    fn schedule_tick(&mut self, node: usize) {
        let here = self.node(node);
        let (life, born_at, planned) = (here.life, here.born_at, here.tick_at);
        let Some(due) = here.core.as_ref().and_then(Core::poll_timeout) else { return };
        let due = born_at.saturating_add(due.as_ms()).max(self.now.saturating_add(1));
        if planned.is_none_or(|at| at > due) {
            self.node_mut(node).tick_at = Some(due);
            self.at(due, Event::Tick { node, life });
        }
    }

    fn act(&mut self, node: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Commit { commit, batch, own } => self.commit(node, commit, batch, own),
            Output::Check { ticket, bundle } => {
                let (life, delay) = (self.node(node).life, self.dice.pick(0..CHECK_MS_MAX));
                let outcome = verify_source(&bundle).map(|_| ());
                self.after(delay, Event::Checked { node, life, ticket, outcome });
            }
            Output::KeepPrekeys { ring } => {
                let (life, delay) = (self.node(node).life, self.dice.pick(0..self.faults.sync_ms_max.max(1)));
                self.after(delay, Event::PrekeysKept { node, life, ring: ring.to_vec() });
            }
            Output::Run(order) => {
                let fail = self.faults.task_fail_percent;
                let (ms, outcome) = {
                    let here = self.nodes.get(node).expect("an index comes from add_node");
                    machine::perform(&order, &here.disk, &mut self.dice, fail)
                };
                let life = self.node(node).life;
                self.tasks_failed += u64::from(matches!(outcome, TaskOutcome::Failed(_)));
                self.after(ms, Event::TaskDone { node, life, task: order.task, outcome });
            }
            Output::Reply { request, answer } => self.answered(node, request, answer),
            Output::Close { link, reason } => {
                let name = self.name(node);
                self.trace.say(now, &name, || format!("closes a link: {reason}"));
                if let Some((contact, _)) = self.node_mut(node).links.remove(&link) {
                    self.cut(contact);
                }
            }
            Output::Say(text) => {
                self.trace.add(now, node, "say", text.as_bytes());
                let name = self.name(node);
                self.trace.say(now, &name, || text);
            }
            Output::Shutdown => {}
        }
    }

    fn commit(&mut self, node: usize, commit: CommitId, batch: cairn_store::Batch, own: bool) {
        let delay = self.dice.pick(0..self.faults.sync_ms_max.max(1));
        let (now, early) = (self.now, self.faults.believes_too_early);
        let here = self.node_mut(node);
        let priority = if own { Priority::High } else { Priority::Normal };
        here.disk.commit_with(batch, priority);
        here.commits.push_back(commit);
        here.synced_until = here.synced_until.max(now.saturating_add(delay));
        let (life, when) = (here.life, here.synced_until);
        if early {
            self.at(now, Event::Told { node, life, commit, durable: true });
        }
        self.at(when, Event::Synced { node, life });
    }

    /// The disk shows a batch from now on; the node hears of it later, as from a thread that writes.
    fn synced(&mut self, node: usize) {
        let delay = self.dice.pick(0..self.faults.sync_ms_max.max(1));
        let (now, early) = (self.now, self.faults.believes_too_early);
        let here = self.node_mut(node);
        let (Some(result), Some(commit)) = (here.disk.sync_one(), here.commits.pop_front()) else { return };
        here.told_until = here.told_until.max(now.saturating_add(delay));
        let (life, when) = (here.life, here.told_until);
        if !early {
            self.at(when, Event::Told { node, life, commit, durable: result.is_ok() });
        }
    }

    /// Brings two nodes together if both are up; the contact lasts for `budget` bytes.
    pub(crate) fn meet(&mut self, a: usize, b: usize, budget: usize) -> Option<u64> {
        if self.node(a).core.is_none() || self.node(b).core.is_none() {
            return None;
        }
        let (contact, links) = (self.number(), [self.number(), self.number()]);
        let [first, second] = links;
        let end = |world: &Self, node: usize, link| End {
            node,
            life: world.node(node).life,
            link,
            in_flight: 0,
            arrives: 0,
        };
        let ends = [end(self, a, first), end(self, b, second)];
        let latency_ms = self.dice.pick(1..2_000);
        let (now, names) = (self.now, (self.name(a), self.name(b)));
        self.trace.say(now, &names.0, || format!("meets {} for {budget} bytes", names.1));
        self.contacts.insert(contact, Contact { ends, budget, alive: true, latency_ms });
        for (side, (node, peer, link)) in [(a, b, first), (b, a, second)].into_iter().enumerate() {
            self.node_mut(node).links.insert(link, (contact, side));
            let peer = self.node(peer).me;
            self.input(node, Input::LinkUp { link, peer });
        }
        Some(contact)
    }

    /// Ends a contact; each end notices in its own time.
    pub(crate) fn cut(&mut self, contact: u64) {
        let Some(Contact { ends, .. }) = self.contacts.remove(&contact) else { return };
        for End { node, life, link, .. } in ends {
            let late = self.dice.pick(0..self.faults.notice_ms_max.max(1));
            self.after(late, Event::LinkDown { node, life, link });
        }
    }

    /// Fills every stream of a node that has room.
    fn pump(&mut self, node: usize) {
        let links: Vec<(LinkId, (u64, usize))> =
            self.node(node).links.iter().map(|(link, place)| (*link, *place)).collect();
        for (link, (contact, side)) in links {
            while self.contacts.get(&contact).is_none_or(|c| c.end(side).in_flight < WINDOW) {
                let here = self.node_mut(node);
                let Some(frame) = here.core.as_mut().and_then(|core| core.poll_transmit(link, &here.disk))
                else {
                    break;
                };
                // The promise is made when it leaves, whether it arrives or not.
                self.witness.hear(node, &frame);
                self.transmit(contact, side, frame);
            }
        }
    }

    fn transmit(&mut self, contact: u64, side: usize, frame: Vec<u8>) {
        let now = self.now;
        // A link that is gone swallows what is sent until somebody notices.
        let Some(line) = self.contacts.get_mut(&contact).filter(|line| line.alive) else { return };
        let (bytes, fits) = line.admit(frame);
        let when = line.end(side).arrives.max(now.saturating_add(line.latency_ms));
        line.end_mut(side).arrives = when;
        line.end_mut(side).in_flight += 1;
        line.alive = fits;
        let split = self.dice.index(bytes.len().saturating_add(1));
        let (first, second) = bytes.split_at_checked(split).unwrap_or((&bytes, &[]));
        let to = 1 - side;
        for (bytes, last) in [(first.to_vec(), false), (second.to_vec(), true)] {
            self.at(when, Event::Bytes { contact, to, bytes, last });
        }
        if !fits {
            self.at(when, Event::Cut { contact });
        }
    }

    fn arrive(&mut self, contact: u64, to: usize, bytes: Vec<u8>, last: bool) {
        let Some(line) = self.contacts.get_mut(&contact) else { return };
        let (there, back) = (line.end(to).clone(), line.end(1 - to).clone());
        if last {
            let sender = line.end_mut(1 - to);
            sender.in_flight = sender.in_flight.saturating_sub(1);
        }
        if !bytes.is_empty()
            && self.lives(there.node, there.life)
            && self.node(there.node).links.contains_key(&there.link)
        {
            self.input(there.node, Input::Bytes { link: there.link, bytes });
        }
        if last && self.lives(back.node, back.life) {
            self.drain(back.node);
        }
    }

    /// The attachment of a request.
    pub(crate) fn attachment(job: Option<&cairn_task::LoadedJob>) -> Attachment {
        job.map_or(Attachment::None, |job| Attachment::Job(Box::new(job.clone())))
    }
}

const fn kind(input: &Input) -> &'static str {
    match input {
        Input::Tick => "tick",
        Input::LinkUp { .. } => "link up",
        Input::LinkDown { .. } => "link down",
        Input::Bytes { .. } => "bytes",
        Input::PrekeysKept { .. } => "prekeys kept",
        Input::Checked { .. } => "checked",
        Input::Committed { durable: true, .. } => "durable",
        Input::Committed { durable: false, .. } => "not durable",
        Input::TaskDone { .. } => "task done",
        Input::Damaged { .. } => "damaged",
        Input::Request { .. } => "request",
        Input::Addresses { .. } => "addresses",
    }
}
