//! What people and programs ask of the node over the control socket.

use core::fmt;
use std::path::PathBuf;

use cairn_bundle::card::SignedCard;
use cairn_bundle::{Class, Digest, NodeId};
use cairn_ledger::Line;
use cairn_store::{Read, Table};
use cairn_task::LoadedJob;

use super::commit::{After, RequestId, Tx};
use super::outbound::CannotSend;
use super::wire::{FILE_NAME_BYTES_MAX, Message, SERVICE_INBOX, TEXT_BYTES_MAX, is_plain_file_name};
use super::{Core, Output};
use crate::control::api::{KeyKind, Request, Response};

/// Characters of an idempotency key at the most.
const KEY_CHARS_MAX: usize = 64;
/// Orders that are remembered; the check is against a caller that never ends.
const ORDERS_MAX: usize = 100_000;

/// An order that was carried out under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderRecord {
    content: Digest,
    id: String,
    /// What a message was sealed to, so that the answer to a repetition is the same.
    sealed: Option<(KeyKind, Option<String>)>,
}

impl OrderRecord {
    pub(crate) fn new(content: Digest, id: &Digest) -> Self {
        Self { content, id: id.to_string(), sealed: None }
    }

    /// The answer that the order got.
    pub(crate) fn response(&self) -> Response {
        let id = self.id.clone();
        match self.sealed.clone() {
            Some((sealed_to, because)) => Response::Sent { id, sealed_to, because },
            None => Response::Id { id },
        }
    }

    fn encode(&self) -> Vec<u8> {
        let sealed = self.sealed.as_ref().map(|(kind, because)| {
            let because = because.as_deref().unwrap_or_default();
            format!("\n{}\n{because}", kind.as_str())
        });
        [self.content.as_bytes(), self.id.as_bytes(), sealed.unwrap_or_default().as_bytes()].concat()
    }

    /// Reads back what this node stored; `None` if it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, id) = bytes.split_first_chunk::<32>()?;
        let mut lines = core::str::from_utf8(id).ok()?.splitn(3, '\n');
        let id = lines.next()?.to_owned();
        let kind = lines.next().and_then(KeyKind::parse);
        let because = lines.next().filter(|because| !because.is_empty()).map(str::to_owned);
        Some(Self { content: Digest(*content), id, sealed: kind.map(|kind| (kind, because)) })
    }
}

/// Files that a request names, read by the driver beforehand.
#[derive(Debug, Default)]
pub enum Attachment {
    /// None.
    #[default]
    None,
    /// A file to be sent.
    File {
        /// Its name without directories.
        name: String,
        /// Its contents.
        bytes: Vec<u8>,
    },
    /// A job file with everything it names.
    Job(Box<LoadedJob>),
}

/// An answer, and what the driver has to write to a file before it gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer.
    pub response: Response,
    /// Path and contents of a new file.
    pub file: Option<(PathBuf, Vec<u8>)>,
}

/// Why a request is refused, and a way out.
#[derive(Debug)]
pub(crate) struct No {
    pub(crate) message: String,
    pub(crate) hint: Option<&'static str>,
}

impl No {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: format!("{message}"), hint: None }
    }

    pub(crate) fn or(message: impl fmt::Display, hint: &'static str) -> Self {
        Self { message: format!("{message}"), hint: Some(hint) }
    }
}

/// An answer now, or later when something is durable.
pub(crate) enum Reply {
    Now(Box<Answer>),
    Later,
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Now(Box::new(Answer { response, file: None }))
    }
}

impl Core {
    pub(super) fn reply(&mut self, request: RequestId, response: Response) {
        self.outputs.push_back(Output::Reply { request, answer: Answer { response, file: None } });
    }

    pub(super) fn reply_error(&mut self, request: RequestId, message: &str, hint: Option<&str>) {
        let response = Response::Error { message: message.to_owned(), hint: hint.map(str::to_owned) };
        self.reply(request, response);
    }

    pub(super) fn ask(&mut self, request: RequestId, ask: Request, attachment: Attachment, disk: &dyn Read) {
        match self.answer(request, ask, attachment, disk) {
            Ok(Reply::Now(answer)) => self.outputs.push_back(Output::Reply { request, answer: *answer }),
            Ok(Reply::Later) => {}
            Err(no) => self.reply_error(request, &no.message, no.hint),
        }
    }

    fn answer(
        &mut self,
        request: RequestId,
        ask: Request,
        attachment: Attachment,
        disk: &dyn Read,
    ) -> Result<Reply, No> {
        match ask {
            Request::Status => Ok(Response::Status(self.status()).into()),
            Request::CardExport => {
                self.export_card(request);
                Ok(Reply::Later)
            }
            Request::CardImport { card } => self.import_card(request, &card),
            Request::CardList => Ok(Response::Contacts { contacts: self.contact_infos() }.into()),
            Request::PeerAdd { node, addresses } => self.set_peer(request, &node, true, addresses),
            Request::PeerRemove { node } => self.set_peer(request, &node, false, Vec::new()),
            Request::Send { to, text, key, class, .. } => {
                self.send_message(request, &to, text, attachment, &key, class.into())
            }
            Request::RouteList { max } => Ok(self.list_carried(max, disk).into()),
            Request::RouteExplain { bundle } => self.explain_route(&bundle, disk),
            Request::RoutePlan => Ok(Response::Text { text: self.plan_text.clone() }.into()),
            Request::RoutePlanSet { text } => self.set_plan(request, text),
            Request::Inbox => Ok(Response::Inbox { messages: self.messages() }.into()),
            Request::InboxSave { number, path } => Self::save_message(number, path, disk),
            Request::InboxRemove { number } => {
                let mut tx = Tx::default();
                if !self.remove_message(&mut tx, number) {
                    return Err(No::or("no such message", "see: cairn inbox"));
                }
                Ok(self.when_durable(tx, request, Response::Done))
            }
            Request::BoardCreate { name } => self.create_board(request, &name),
            Request::BoardInvite { board, node } => self.invite(request, &board, &node),
            Request::BoardJoin { invitation } => self.join_board(request, &invitation),
            Request::BoardList => Ok(Response::Boards { boards: self.board_infos() }.into()),
            Request::BoardShow { board } => self.show_board(&board),
            Request::JobPost { board, key, .. } => self.post_job(request, &board, attachment, &key),
            Request::JobList => {
                let jobs = self.boards.iter().flat_map(|slot| self.job_infos(slot)).collect();
                Ok(Response::Jobs { jobs, members: Vec::new() }.into())
            }
            Request::JobShow { job } => {
                let id = self.find_job(&job)?;
                let found = self.boards.job(&id).ok_or_else(|| No::new("no such job"))?;
                Ok(Response::Job(self.job_info(found.0, &id, found.1)).into())
            }
            Request::JobResult { job, rung, path } => self.job_result(&job, rung, path, disk),
            Request::JobClose { job } => self.close_job(request, &job),
            Request::Credit => Ok(Response::Credit { edges: self.edge_infos() }.into()),
            Request::CreditGrant { node, limit } => self.grant(request, &node, limit),
            Request::ReceiptExport { job, rung, path } => self.export_receipt(&job, rung, path),
            Request::CarryExport { .. } | Request::CarryImport { .. } => {
                Err(No::new("drops are read and written by the driver"))
            }
            Request::Shutdown => {
                self.begin_to_stop();
                Ok(Response::Done.into())
            }
        }
    }

    /// Answers once everything that was decided so far is durable.
    pub(super) fn when_durable(&mut self, mut tx: Tx, request: RequestId, response: Response) -> Reply {
        tx.then(After::Reply { request, response });
        self.commits.own(tx);
        Reply::Later
    }

    pub(super) fn contact(&self, text: &str) -> Result<NodeId, No> {
        self.contacts
            .find(text)
            .map_err(|unknown| No::or(unknown, "import the card first: cairn card import FILE"))
    }

    fn import_card(&mut self, request: RequestId, text: &str) -> Result<Reply, No> {
        let card = SignedCard::from_text(text.trim())
            .map_err(|error| No::or(error, "a card is the text that `cairn card export` prints"))?;
        let node = card.card().node;
        if node == self.me {
            return Err(No::new("this is the node's own card"));
        }
        if self.contacts.get(&node).is_none() && self.contacts.len() >= super::contacts::CONTACTS_MAX {
            return Err(No::new("too many contacts"));
        }
        self.learn_card(card, None);
        Ok(self.when_durable(Tx::default(), request, Response::Id { id: node.to_string() }))
    }

    fn set_peer(
        &mut self,
        request: RequestId,
        node: &str,
        peer: bool,
        addresses: Vec<String>,
    ) -> Result<Reply, No> {
        let node = self.contact(node)?;
        if addresses.len() > super::contacts::ADDRESSES_MAX {
            return Err(No::new("too many addresses for one peer"));
        }
        for address in &addresses {
            address.parse::<core::net::SocketAddr>().map_err(|_| {
                No::or(
                    format!("“{address}” is no address"),
                    "write it as IP:PORT, for example 192.168.1.7:4433",
                )
            })?;
        }
        let known = self.contacts.get(&node).ok_or_else(|| No::new("no such contact"))?;
        let contact = super::Contact { peer, addresses, ..known.clone() };
        self.store_contact(contact);
        if self.ledger.admit(&node).is_err() {
            return Err(No::new("the ledger has no room for another peer"));
        }
        Ok(self.when_durable(Tx::default(), request, Response::Id { id: node.to_string() }))
    }

    /// What an order with this key led to before, or `None` if it is new. `content` is a digest of
    /// everything that was ordered: one key stands for one order.
    pub(super) fn earlier_order(&self, key: &str, content: &Digest) -> Result<Option<&OrderRecord>, No> {
        if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
            return Err(No::or(format!("a key has 1 to {KEY_CHARS_MAX} characters"), "choose another key"));
        }
        match self.orders.get(key) {
            None if self.orders.len() >= ORDERS_MAX => Err(No::new("too many orders are remembered")),
            None => Ok(None),
            Some(earlier) if earlier.content == *content => Ok(Some(earlier)),
            Some(_) => Err(No::or(
                "this key was used for another order",
                "choose another key; the same key is for repeating the same order",
            )),
        }
    }

    pub(super) fn remember_order(&mut self, tx: &mut Tx, key: &str, order: OrderRecord) {
        tx.put(Table::Meta, super::restore::order_key(key), order.encode());
        self.orders.insert(key.to_owned(), order);
    }

    fn send_message(
        &mut self,
        request: RequestId,
        to: &str,
        text: String,
        attachment: Attachment,
        key: &str,
        class: Class,
    ) -> Result<Reply, No> {
        let to = self.contact(to)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(No::or(format!("a text has at most {TEXT_BYTES_MAX} bytes"), "send it as a file"));
        }
        let file = match attachment {
            Attachment::File { name, bytes } => {
                if !is_plain_file_name(&name) {
                    let most = format!(
                        "a file name has at most {FILE_NAME_BYTES_MAX} bytes and does not begin with a dot"
                    );
                    return Err(No::new(most));
                }
                Some((name, bytes))
            }
            Attachment::None | Attachment::Job(_) => None,
        };
        let mut message = Message { written: 0, text, file };
        let content = Digest::of(&[to.as_bytes(), message.encode().as_slice()].concat());
        if let Some(earlier) = self.earlier_order(key, &content)? {
            let response = earlier.response();
            return Ok(self.when_durable(Tx::default(), request, response));
        }
        message.written = self.clock.claim();
        let payload = message.encode();
        self.check_item_size(payload.len())?;
        let mut tx = Tx::default();
        let sent = self.send_bundle(&mut tx, &to, SERVICE_INBOX, class, &payload);
        let (id, sealed) = sent.map_err(|error| match error {
            CannotSend::Full { .. } => {
                No::or(error, "meet somebody who carries some of them on, or raise store.size_max")
            }
            CannotSend::NoCard | CannotSend::Seal(_) => No::new(error),
        })?;
        let because = sealed.fallback.map(|fallback| fallback.to_string());
        let order =
            OrderRecord { sealed: Some((sealed.kind.into(), because)), ..OrderRecord::new(content, &id) };
        let response = order.response();
        self.remember_order(&mut tx, key, order);
        Ok(self.when_durable(tx, request, response))
    }

    /// Refuses what no meet would carry; a sealed bundle adds some padding to its payload.
    pub(super) fn check_item_size(&self, bytes: usize) -> Result<(), No> {
        let most = self.settings.engine.meet.item_bytes_max;
        let padded = u64::try_from(bytes).unwrap_or(u64::MAX);
        if padded.saturating_add(padded / 8).saturating_add(4096) > most {
            return Err(No::or(
                format!("{bytes} bytes are more than one item may have ({most} bytes with its envelope)"),
                "send it in parts",
            ));
        }
        Ok(())
    }

    fn save_message(number: u64, path: PathBuf, disk: &dyn Read) -> Result<Reply, No> {
        let file = Self::message_file(number, disk).map_err(No::new)?;
        let bytes = file.ok_or_else(|| No::or("no such message, or it has no file", "see: cairn inbox"))?;
        Ok(Reply::Now(Box::new(Answer { response: Response::Done, file: Some((path, bytes)) })))
    }

    fn grant(&mut self, request: RequestId, node: &str, limit: u64) -> Result<Reply, No> {
        let node = self.contact(node)?;
        let mut tx = Tx::default();
        let line = Line { limit, hold_max: limit, unit: 0, charter: [0; 8], flags: 0 };
        // Said once: somebody who repeats an order while the disk is full does not make the history longer.
        if self.ledger.line(&self.me, &node) != Some(line) {
            self.write_entry(&mut tx, node, |author| author.grant_line(&node, line)).map_err(No::new)?;
        }
        Ok(self.when_durable(tx, request, Response::Done))
    }

    pub(super) fn find_job(&self, text: &str) -> Result<Digest, No> {
        if text.chars().count() < 6 {
            return Err(No::or("a job is named by at least 6 characters of its id", "see: cairn job list"));
        }
        let ids = self.boards.iter().flat_map(|slot| slot.view.jobs.keys());
        let mut found = ids.filter(|id| id.to_string().starts_with(text));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(*id),
            (None, _) => Err(No::or(format!("no job begins with “{text}”"), "see: cairn job list")),
            (Some(_), Some(_)) => Err(No::new(format!("more than one job begins with “{text}”"))),
        }
    }
}
