//! Requests about boards, jobs and receipts.

use std::path::PathBuf;

use cairn_board::{Board, BoardSecret, Fact, Invite, JobView, Member, Status, Verdict};
use cairn_bundle::{Digest, NodeId};
use cairn_ledger::{Contract, PayId, Receipt, Record, VerifiedEntry, pay_id};
use cairn_store::{Read, Table};

use super::Core;
use super::boards::{BOARDS_MAX, ResultExt};
use super::commit::{After, RequestId, Tx};
use super::requests::{Answer, Attachment, No, OrderRecord, Reply};
use super::restore::encode_board;
use crate::control::api::Response;

/// Output that is returned as text in an answer, in bytes at the most.
const TEXT_OUTPUT_MAX: usize = 65_536;

impl Core {
    fn add_board(&mut self, tx: &mut Tx, name: &str, board: Board, incarnation: u16) -> u32 {
        tx.put(Table::Boards, *board.id().0.as_bytes(), encode_board(name, board.secret(), incarnation));
        let group = self.boards.push(name.to_owned(), board);
        self.publish_own_card(tx, group);
        tx.then(After::Renew);
        group
    }

    /// Random, so that a node that lost its store does not write a second history under its old actor.
    fn new_incarnation(&mut self) -> u16 {
        u16::from_be_bytes(self.rng.bytes())
    }

    fn may_add_board(&self, name: &str) -> Result<(), No> {
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err(No::new("a board's name has 1 to 64 bytes and no control characters"));
        }
        if self.boards.named(name).is_some() {
            return Err(No::or(format!("a board “{name}” is followed already"), "see: cairn board list"));
        }
        if self.boards.len() >= BOARDS_MAX {
            return Err(No::new(format!("a node follows at most {BOARDS_MAX} boards")));
        }
        Ok(())
    }

    pub(super) fn create_board(&mut self, request: RequestId, name: &str) -> Result<Reply, No> {
        self.may_add_board(name)?;
        let secret = BoardSecret::new(self.rng.bytes());
        let incarnation = self.new_incarnation();
        let board = Board::new(secret, name, self.me, incarnation).map_err(No::new)?;
        let id = board.id().0.to_string();
        let mut tx = Tx::default();
        self.add_board(&mut tx, name, board, incarnation);
        Ok(self.when_durable(tx, request, Response::Id { id }))
    }

    pub(super) fn join_board(&mut self, request: RequestId, text: &str) -> Result<Reply, No> {
        let Invite { secret, name } = text
            .trim()
            .parse::<Invite>()
            .map_err(|error| No::or(error, "an invitation is the text that `cairn board invite` prints"))?;
        let incarnation = self.new_incarnation();
        let board = Board::new(secret, &name, self.me, incarnation).map_err(No::new)?;
        let id = board.id().0.to_string();
        if self.boards.iter().any(|slot| slot.board.id() == board.id()) {
            return Ok(self.when_durable(Tx::default(), request, Response::Id { id }));
        }
        self.may_add_board(&name)?;
        let mut tx = Tx::default();
        self.add_board(&mut tx, &name, board, incarnation);
        Ok(self.when_durable(tx, request, Response::Id { id }))
    }

    pub(super) fn invite(&mut self, request: RequestId, board: &str, node: &str) -> Result<Reply, No> {
        let node = self.contact(node)?;
        let slot = self.boards.named(board).ok_or_else(|| no_board(board))?;
        let text = slot.board.invite().to_text().to_string();
        let (group, known) = (slot.group, slot.view.members.contains_key(&node));
        let mut tx = Tx::default();
        if !known {
            let card = self.contacts.get(&node).map(|c| c.card.as_bytes().to_vec()).unwrap_or_default();
            self.publish_fact(&mut tx, group, &Fact::Member(Member { node, card }));
        }
        Ok(self.when_durable(tx, request, Response::Text { text }))
    }

    pub(super) fn show_board(&self, name: &str) -> Result<Reply, No> {
        let slot = self.boards.named(name).ok_or_else(|| no_board(name))?;
        Ok(Response::Jobs { jobs: self.job_infos(slot), members: self.members(slot) }.into())
    }

    pub(super) fn post_job(
        &mut self,
        request: RequestId,
        board: &str,
        attachment: Attachment,
        key: &str,
    ) -> Result<Reply, No> {
        let Attachment::Job(loaded) = attachment else {
            return Err(No::new("no job file came with the order"));
        };
        let ordered = loaded.job(self.me, [0; 16]).to_bytes().map_err(No::new)?;
        let content = Digest::of(&[board.as_bytes(), &[0], &ordered].concat());
        if let Some(earlier) = self.earlier_order(key, &content)? {
            let response = earlier.response();
            return Ok(self.when_durable(Tx::default(), request, response));
        }
        let group = self.boards.named(board).ok_or_else(|| no_board(board))?.group;
        let job = loaded.job(self.me, self.rng.bytes());
        for (_, blob) in loaded.blobs() {
            self.check_item_size(blob.len())?;
        }
        let slot = self.boards.group(group).ok_or_else(|| no_board(board))?;
        let doc = slot
            .board
            .sign(&Fact::Job(Box::new(job)), self.clock.claim(), &self.identity)
            .map_err(No::new)?;
        let order = OrderRecord::new(content, &doc.id());
        let mut tx = Tx::default();
        for (digest, blob) in loaded.into_blobs() {
            let bytes = u64::try_from(blob.len()).unwrap_or(u64::MAX);
            tx.put(Table::Blobs, *digest.as_bytes(), blob);
            tx.then(After::OwnBlob { id: digest, bytes });
        }
        self.publish(&mut tx, group, &[doc]);
        let response = order.response();
        self.remember_order(&mut tx, key, order);
        Ok(self.when_durable(tx, request, response))
    }

    pub(super) fn close_job(&mut self, request: RequestId, job: &str) -> Result<Reply, No> {
        let id = self.find_job(job)?;
        let (slot, view) = self.boards.job(&id).ok_or_else(|| No::new("no such job"))?;
        if view.job.payer != self.me {
            return Err(No::new("only the node that posted a job may close it"));
        }
        let (group, open) = (slot.group, view.state.is_open());
        let mut tx = Tx::default();
        if open {
            self.publish_fact(&mut tx, group, &Fact::Status(Status { job: id, verdict: Verdict::Closed }));
        }
        Ok(self.when_durable(tx, request, Response::Done))
    }

    pub(super) fn job_result(
        &self,
        job: &str,
        rung: Option<u8>,
        path: Option<PathBuf>,
        disk: &dyn Read,
    ) -> Result<Reply, No> {
        let id = self.find_job(job)?;
        let (_, view) = self.boards.job(&id).ok_or_else(|| No::new("no such job"))?;
        let wanted = |result: &&cairn_board::ResultView| {
            rung.is_none_or(|rung| rung == result.result.rung)
                && result.rejected().is_none()
                && self.blobs.contains_key(&result.result.output.id)
        };
        let best = view
            .results
            .iter()
            .filter(wanted)
            .max_by_key(|result| (result.result.rung, result.is_accepted()));
        let best = best.ok_or_else(|| No::or("no such result is here yet", "see: cairn job show JOB"))?;
        let output = disk.get(Table::Blobs, best.result.output.id.as_bytes()).map_err(No::new)?;
        let output =
            output.ok_or_else(|| No::or("the output is missing from the store", "run: cairn doctor"))?;
        if let Some(path) = path {
            return Ok(Reply::Now(Box::new(Answer { response: Response::Done, file: Some((path, output)) })));
        }
        if output.len() > TEXT_OUTPUT_MAX {
            return Err(No::or("the output is too long to be shown", "give a path with --output FILE"));
        }
        let text = String::from_utf8(output)
            .map_err(|_| No::or("the output is not text", "give a path with --output FILE"))?;
        Ok(Response::Text { text }.into())
    }

    pub(super) fn export_receipt(&self, job: &str, rung: u8, path: PathBuf) -> Result<Reply, No> {
        let id = self.find_job(job)?;
        let (_, view) = self.boards.job(&id).ok_or_else(|| No::new("no such job"))?;
        let receipt = self.receipt(view, rung)?;
        Ok(Reply::Now(Box::new(Answer { response: Response::Done, file: Some((path, receipt.encode())) })))
    }

    /// The portable receipt of an accepted rung, if RESULT and ACCEPT are both here.
    pub(super) fn receipt(&self, job: &JobView, rung: u8) -> Result<Receipt, No> {
        let payer = job.job.payer;
        for funding in job.fundings.iter().map(|view| &view.funding).filter(|funding| funding.rung == rung) {
            let payment = PayId(funding.pay_id);
            let Some(accept) = self.ledger.accepted(&payer, &payment) else { continue };
            let Record::Accept(body) = accept.record() else { continue };
            let names = |entry: &&VerifiedEntry| cairn_ledger::Accept::name_of(&entry.id()) == body.result;
            let Some(result) = self.ledger.results(&payment).find(names) else { continue };
            let contract = self.contract(&funding.job, &payer, &result.author(), rung, funding.first_hop);
            let contract = contract
                .filter(|_| pay_id(&funding.job, &payer, &funding.nonce) == payment)
                .map(|entry| (entry, funding.nonce));
            return Receipt::new(result.clone(), accept.clone(), contract).map_err(No::new);
        }
        Err(No::or(
            "this rung has no receipt here",
            "a receipt exists once the payer has accepted: cairn job show JOB",
        ))
    }

    fn contract(
        &self,
        job: &Digest,
        payer: &NodeId,
        executor: &NodeId,
        rung: u8,
        first_hop: NodeId,
    ) -> Option<VerifiedEntry> {
        let guarantor = if *executor == first_hop {
            cairn_ledger::Kid::NOBODY
        } else {
            cairn_ledger::Kid::of(&first_hop)
        };
        let matches = |contract: &Contract| {
            contract.job == *job && contract.tier == rung && contract.guarantor == guarantor
        };
        let mut statements = self.ledger.statements(payer, executor);
        statements
            .find(|entry| matches!(entry.record(), Record::Contract(contract) if matches(contract)))
            .cloned()
    }
}

fn no_board(name: &str) -> No {
    No::or(format!("no board is called “{name}”"), "see: cairn board list")
}
