//! The people: they ask until they get an answer, and remember what they were told.

use cairn_node::control::api::{EdgeInfo, Request, Response, Status};
use cairn_node::core::{Answer, Input, RequestId};
use cairn_task::LoadedJob;

use crate::node::{Ask, AskId};
use crate::violation::Violation;
use crate::world::{Event, World};

/// How long a person waits for one answer, in virtual milliseconds.
const PATIENCE_MS: u64 = 24 * 3_600_000;
/// How long before somebody asks again whose node had no room.
const AGAIN_MS: u64 = 3_000;
/// What a full disk makes a node say.
const NO_ROOM: &str = "the store cannot take this now";

impl World {
    /// A person begins to ask, and does not stop before the answer.
    pub(crate) fn ask(&mut self, node: usize, request: Request, job: Option<LoadedJob>) -> AskId {
        let ask = self.wish(self.now, node, request, job);
        self.ask_again(node, ask);
        ask
    }

    /// The same at a later time.
    pub(crate) fn ask_at(
        &mut self,
        when: u64,
        node: usize,
        request: Request,
        job: Option<LoadedJob>,
    ) -> AskId {
        let ask = self.wish(when, node, request, job);
        self.at(when, Event::Ask { node, ask });
        ask
    }

    /// Makes an ask wait for the answer to another.
    pub(crate) fn hold_back(&mut self, node: usize, ask: AskId, first: AskId) {
        if let Some(asked) = self.node_mut(node).asks.get_mut(&ask) {
            asked.behind = Some(first);
        }
    }

    fn wish(&mut self, due: u64, node: usize, request: Request, job: Option<LoadedJob>) -> AskId {
        let ask = self.number();
        let asked = Ask { due, behind: None, request, job, current: None, answer: None, file: None };
        self.node_mut(node).asks.insert(ask, asked);
        ask
    }

    pub(crate) fn ask_again(&mut self, node: usize, ask: AskId) {
        let (now, request) = (self.now, self.number());
        let here = self.node_mut(node);
        let up = here.core.is_some();
        let behind = here.asks.get(&ask).and_then(|asked| asked.behind);
        if behind.and_then(|first| here.asks.get(&first)).is_some_and(|first| first.answer.is_none()) {
            return;
        }
        let Some(asked) = here
            .asks
            .get_mut(&ask)
            .filter(|asked| up && asked.answer.is_none() && asked.current.is_none() && asked.due <= now)
        else {
            return;
        };
        asked.current = Some(request);
        let (what, attachment) = (asked.request.clone(), Self::attachment(asked.job.as_ref()));
        self.input(node, Input::Request { request, ask: what, attachment });
    }

    pub(crate) fn answered(&mut self, node: usize, request: RequestId, answer: Answer) {
        let here = self.node_mut(node);
        let Some((ask, asked)) = here.asks.iter_mut().find(|(_, asked)| asked.current == Some(request))
        else {
            return;
        };
        let (ask, what) = (*ask, format!("{:?}", asked.request));
        asked.current = None;
        let no_room =
            matches!(&answer.response, Response::Error { message, .. } if message.starts_with(NO_ROOM));
        let said = format!("{:?}", answer.response);
        if !no_room {
            asked.answer = Some(answer.response);
            asked.file = answer.file.map(|(_, bytes)| bytes);
        }
        let (now, name) = (self.now, self.name(node));
        self.trace.add(now, node, "answer", said.as_bytes());
        self.trace.say(now, &name, || format!("{what} -> {said}").chars().take(300).collect());
        if no_room {
            self.after(AGAIN_MS, Event::Ask { node, ask });
            return;
        }
        let waiting = self.node(node).asks.iter().filter(|(_, asked)| asked.behind == Some(ask));
        for next in waiting.map(|(next, _)| *next).collect::<Vec<_>>() {
            self.after(AGAIN_MS, Event::Ask { node, ask: next });
        }
    }

    /// Asks and lets time pass until there is an answer.
    pub(crate) fn ask_and_wait(&mut self, node: usize, request: Request) -> Result<Response, Violation> {
        let ask = self.ask(node, request, None);
        let limit = self.now.saturating_add(PATIENCE_MS);
        while self.answer(node, ask).is_none() && self.step(limit)? {}
        let answer = self.answer(node, ask).cloned();
        self.node_mut(node).asks.remove(&ask);
        answer.ok_or_else(|| self.unexpected(node, "nothing at all".to_owned()))
    }

    /// What a person was told.
    pub(crate) fn answer(&self, node: usize, ask: AskId) -> Option<&Response> {
        self.node(node).asks.get(&ask)?.answer.as_ref()
    }

    pub(crate) fn unexpected(&self, node: usize, answer: String) -> Violation {
        Violation::Unexpected { node: self.name(node), answer }
    }

    /// A text out of a node: its card, an invitation.
    pub(crate) fn text_of(&mut self, node: usize, request: Request) -> Result<String, Violation> {
        match self.ask_and_wait(node, request)? {
            Response::Text { text } => Ok(text),
            other => Err(self.unexpected(node, format!("{other:?}"))),
        }
    }

    /// An order that must not be refused; what was done before a crash may be there already.
    pub(crate) fn order(&mut self, node: usize, request: Request) -> Result<(), Violation> {
        match self.ask_and_wait(node, request)? {
            Response::Error { message, .. } if !message.contains("is followed already") => {
                Err(self.unexpected(node, message))
            }
            _ => Ok(()),
        }
    }

    /// How a node is.
    pub(crate) fn status(&mut self, node: usize) -> Result<Status, Violation> {
        match self.ask_and_wait(node, Request::Status)? {
            Response::Status(status) => Ok(status),
            other => Err(self.unexpected(node, format!("{other:?}"))),
        }
    }

    /// All edges of a node.
    pub(crate) fn edges(&mut self, node: usize) -> Result<Vec<EdgeInfo>, Violation> {
        match self.ask_and_wait(node, Request::Credit)? {
            Response::Credit { edges } => Ok(edges),
            other => Err(self.unexpected(node, format!("{other:?}"))),
        }
    }

    /// The texts in an inbox.
    pub(crate) fn inbox(&mut self, node: usize) -> Result<Vec<String>, Violation> {
        match self.ask_and_wait(node, Request::Inbox)? {
            Response::Inbox { messages } => Ok(messages.into_iter().map(|message| message.text).collect()),
            other => Err(self.unexpected(node, format!("{other:?}"))),
        }
    }
}
