//! What the node tells of itself, in the words of the control protocol.

use cairn_board::{JobView, ResultView};
use cairn_bundle::{Digest, NodeId};
use cairn_link::Mode;

use super::Core;
use super::boards::{JobExt, ResultExt, Slot};
use super::funding::numbered;
use crate::control::api::{
    BoardInfo, ContactInfo, EdgeInfo, JobInfo, LinkInfo, ResultInfo, RungInfo, Status,
};

impl Core {
    /// How the node is. The driver adds what only it knows: process, store and time.
    pub(super) fn status(&self) -> Status {
        let links = self.engine.links().map(|(link, node, mode)| LinkInfo {
            node: node.to_string(),
            name: self.contacts.name(&node),
            kind: match mode {
                Mode::Live => "iroh".to_owned(),
                Mode::Carried => "drop".to_owned(),
            },
            idle: self.engine.is_idle(link),
            sent_bytes: 0,
            received_bytes: 0,
        });
        let links: Vec<LinkInfo> = links.collect();
        let counters = self.counters.iter().chain(self.engine.counters());
        Status {
            node: self.me.to_string(),
            name: self.settings.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: 0,
            uptime_ms: self.clock.now.as_ms().saturating_sub(self.began_ms),
            addresses: self.addresses.clone(),
            unacknowledged: count(links.iter().filter(|link| !link.idle).count()),
            links,
            bundles: self.engine.bundles_carried(),
            store_bytes: 0,
            store_bytes_max: 0,
            messages: count(self.inbox.len()),
            tasks_running: count(self.tasks.len()),
            counters: counters.map(|(name, n)| ((*name).to_owned(), *n)).collect(),
            prekeys: self.prekey_info(),
            warnings: self.warnings.iter().cloned().collect(),
        }
    }

    pub(super) fn contact_infos(&self) -> Vec<ContactInfo> {
        self.contacts.iter().map(|(node, _)| self.contact_info(node)).collect()
    }

    fn contact_info(&self, node: &NodeId) -> ContactInfo {
        let contact = self.contacts.get(node);
        let sealed = contact.map(|contact| self.sealing_target(contact).1);
        let own = (*node == self.me).then(|| self.settings.name.clone());
        ContactInfo {
            node: node.to_string(),
            name: own.unwrap_or_else(|| self.contacts.name(node)),
            peer: contact.is_some_and(|contact| contact.peer),
            sealed_to: sealed.map(|sealed| sealed.kind.into()),
            because: sealed.and_then(|sealed| sealed.fallback).map(|fallback| fallback.to_string()),
            addresses: contact.map(|c| c.dial_addresses().map(str::to_owned).collect()).unwrap_or_default(),
        }
    }

    pub(super) fn members(&self, slot: &Slot) -> Vec<ContactInfo> {
        slot.view.members.keys().map(|node| self.contact_info(node)).collect()
    }

    pub(super) fn board_infos(&self) -> Vec<BoardInfo> {
        let mut infos: Vec<BoardInfo> = self
            .boards
            .iter()
            .map(|slot| BoardInfo {
                name: slot.name.clone(),
                members: count(slot.view.members.len()),
                jobs: count(slot.view.jobs.len()),
                view: slot.view.digest().to_string(),
            })
            .collect();
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        infos
    }

    pub(super) fn job_infos(&self, slot: &Slot) -> Vec<JobInfo> {
        let mut jobs: Vec<(&Digest, &JobView)> = slot.view.jobs.iter().collect();
        jobs.sort_by_key(|(id, job)| (job.time, **id));
        jobs.into_iter().map(|(id, job)| self.job_info(slot, id, job)).collect()
    }

    pub(super) fn job_info(&self, slot: &Slot, id: &Digest, job: &JobView) -> JobInfo {
        let rungs = numbered(&job.job).map(|(rung, terms)| RungInfo {
            rung,
            name: terms.name.clone(),
            engine: match terms.engine {
                cairn_board::Engine::Wasm => "wasm".to_owned(),
                cairn_board::Engine::Onnx => "onnx".to_owned(),
            },
            quality_ppm: terms.quality_ppm,
            price: terms.price,
            results: job
                .results
                .iter()
                .filter(|result| result.result.rung == rung)
                .map(|result| self.result_info(result, job))
                .collect(),
        });
        JobInfo {
            id: id.to_string(),
            board: slot.name.clone(),
            title: job.job.title.clone(),
            payer: job.job.payer.to_string(),
            state: job.state_word().to_owned(),
            rungs: rungs.collect(),
            here: self.here(id, job),
        }
    }

    fn result_info(&self, result: &ResultView, job: &JobView) -> ResultInfo {
        let state = match (result.rejected(), result.is_accepted()) {
            (_, true) => "accepted".to_owned(),
            (Some(reason), false) => format!("rejected: {reason}"),
            (None, false) => match self.payments.why_not(&result.id) {
                Some(reason) => format!("published; {reason}"),
                None => "published".to_owned(),
            },
        };
        ResultInfo {
            executor: result.author.to_string(),
            executor_name: self.contact_info(&result.author).name,
            fuel: result.result.fuel,
            wall_ms: result.result.wall_ms,
            engine: result.result.engine.clone(),
            output: result.result.output.id.to_string(),
            output_bytes: result.result.output.bytes,
            here: self.blobs.contains_key(&result.result.output.id),
            state,
            fell_from: result.result.fell_from.clone(),
            receipt: self.receipt(job, result.result.rung).is_ok(),
        }
    }

    /// What this node does with a job, in plain words.
    fn here(&self, id: &Digest, job: &JobView) -> String {
        if !job.state.is_open() {
            return "it is over".to_owned();
        }
        if job.job.payer == self.me && !self.settings.tasks_enabled {
            return "posted by this node, which runs no tasks".to_owned();
        }
        if !self.settings.tasks_enabled {
            return "this node runs no tasks".to_owned();
        }
        let choice = self.choose_rung(id, job);
        let skipped = choice.skipped.iter().map(|(rung, reason)| format!("rung {rung}: {reason}"));
        let skipped = skipped.collect::<Vec<_>>().join("; ");
        match choice.rung {
            Some(rung) if skipped.is_empty() => format!("would run rung {rung}"),
            Some(rung) => format!("would run rung {rung} ({skipped})"),
            None if skipped.is_empty() => "nothing to do".to_owned(),
            None => format!("not run here: {skipped}"),
        }
    }

    pub(super) fn edge_infos(&self) -> Vec<EdgeInfo> {
        let ledger = &self.ledger;
        let edge = |node: &NodeId| {
            let narrow = |wide: u128| u64::try_from(wide).unwrap_or(u64::MAX);
            let info = EdgeInfo {
                node: node.to_string(),
                name: self.contacts.name(node),
                line_given: ledger.line(&self.me, node).map_or(0, |line| line.limit),
                line_received: ledger.line(node, &self.me).map_or(0, |line| line.limit),
                owed_by_me: narrow(ledger.owed(&self.me, node)),
                owed_to_me: narrow(ledger.owed(node, &self.me)),
                held_by_me: narrow(ledger.held(&self.me, node)),
                held_to_me: narrow(ledger.held(node, &self.me)),
                net: i64::try_from(ledger.net(&self.me, node)).unwrap_or(i64::MAX),
            };
            let used = [info.line_given, info.line_received, info.owed_by_me, info.owed_to_me];
            let held = [info.held_by_me, info.held_to_me];
            used.iter().chain(&held).any(|amount| *amount > 0).then_some(info)
        };
        ledger.admitted().filter_map(edge).collect()
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
