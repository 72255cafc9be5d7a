//! A node with a data directory, and contacts of two of them.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use cairn_bundle::{Card, Identity, NodeId, verify_source};
use cairn_engine::Instant;
use cairn_node::control::api::{KeyKind, MessageInfo, Request, Response, Status, Urgency};
use cairn_node::core::{Attachment, Clock, Core, Input, Output, Secrets, Settings};
use cairn_node::prekeys_file::PrekeysFile;
use cairn_store::{Options, Store};
use cairn_task::NodeLimits;

pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 24 * HOUR;
/// A day in 2026, in seconds since 2020.
pub(crate) const TODAY: u64 = 2_500 * DAY;

/// A node with a data directory, whose disk answers at once.
pub(crate) struct Node {
    pub(crate) home: tempfile::TempDir,
    pub(crate) seed: u8,
    pub(crate) store: Store,
    pub(crate) core: Core,
    pub(crate) clock: Clock,
    /// The newest secret of every ring that was written.
    pub(crate) secrets: Vec<Vec<u8>>,
    pub(crate) answers: BTreeMap<u64, Response>,
    pub(crate) said: VecDeque<String>,
    pub(crate) asked: u64,
    /// Whether the file of prekeys takes anything.
    pub(crate) file_works: bool,
}

pub(crate) fn settings(name: &str) -> Settings {
    Settings {
        name: name.to_owned(),
        tasks_enabled: false,
        tasks_concurrent: 1,
        task_limits: NodeLimits::default(),
        engine: cairn_engine::Limits::default(),
        own_cap: u64::MAX,
    }
}

pub(crate) fn start(home: &Path, seed: u8, clock: Clock) -> (Store, Core) {
    start_with(home, seed, clock, settings(&format!("node {seed}")))
}

pub(crate) fn start_with(home: &Path, seed: u8, clock: Clock, settings: Settings) -> (Store, Core) {
    let store = Store::open(home.join("store"), Options::default()).unwrap();
    let prekeys = PrekeysFile::new(home).load().unwrap().prekeys;
    let secrets = Secrets { identity: Identity::from_seed(&[seed; 32]), prekeys };
    let mut random = [seed; 32];
    random[1..9].copy_from_slice(&clock.wall.unwrap_or(1).to_be_bytes());
    let core = Core::restore(secrets, settings, &random, clock, &store).unwrap();
    (store, core)
}

impl Node {
    pub(crate) fn new(seed: u8, wall: Option<u64>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock { now: Instant::ZERO, wall };
        let (store, core) = start(home.path(), seed, clock);
        let mut node = Self {
            home,
            seed,
            store,
            core,
            clock,
            secrets: Vec::new(),
            answers: BTreeMap::new(),
            said: VecDeque::new(),
            asked: 0,
            file_works: true,
        };
        node.drain();
        node
    }

    /// Ends the process and starts another one; its monotonic clock begins anew.
    pub(crate) fn restart(self, off_s: u64) -> Self {
        let Self { home, seed, store, mut clock, .. } = self;
        store.close();
        clock = Clock { now: Instant::ZERO, wall: clock.wall.map(|wall| wall + off_s) };
        let (store, core) = start(home.path(), seed, clock);
        let mut node = Self { home, store, core, clock, ..Self::new(seed, None) };
        node.secrets.clear();
        node.drain();
        node
    }

    pub(crate) fn id(&self) -> NodeId {
        self.core.node_id()
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.core.handle(self.clock, input, &self.store);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.core.poll() {
            let input = match output {
                Output::Commit { commit, batch, .. } => {
                    Input::Committed { commit, durable: self.store.commit(batch).is_ok() }
                }
                Output::Check { ticket, bundle } => {
                    Input::Checked { ticket, outcome: verify_source(&bundle).map(|_| ()) }
                }
                Output::KeepPrekeys { ring } => {
                    let at = ring.windows(2).position(|head| head == [0x58, 32]).unwrap() + 2;
                    self.secrets.push(ring[at..at + 32].to_vec());
                    let durable = self.file_works && PrekeysFile::new(self.home.path()).keep(&ring).is_ok();
                    Input::PrekeysKept { durable }
                }
                Output::Reply { request, answer } => {
                    self.answers.insert(request, answer.response);
                    continue;
                }
                Output::Say(text) => {
                    self.said.push_back(text);
                    continue;
                }
                Output::Run(_) | Output::Close { .. } | Output::Shutdown => continue,
            };
            self.core.handle(self.clock, input, &self.store);
        }
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.clock.now = self.clock.now.plus_ms(seconds * 1_000);
        self.clock.wall = self.clock.wall.map(|wall| wall + seconds);
        self.input(Input::Tick);
    }

    pub(crate) fn ask(&mut self, ask: Request) -> Response {
        self.asked += 1;
        let request = self.asked;
        self.input(Input::Request { request, ask, attachment: Attachment::None });
        self.answers.remove(&request).unwrap()
    }

    pub(crate) fn card(&self) -> Card {
        self.core.own_card().card().clone()
    }

    pub(crate) fn status(&mut self) -> Status {
        let Response::Status(status) = self.ask(Request::Status) else { panic!("no status") };
        status
    }

    pub(crate) fn inbox(&mut self) -> Vec<MessageInfo> {
        let Response::Inbox { messages } = self.ask(Request::Inbox) else { panic!("no inbox") };
        messages
    }

    pub(crate) fn send(&mut self, to: &Self, text: &str) -> (KeyKind, Option<String>) {
        let (to, key) = (to.id().to_string(), text.to_owned());
        let request = Request::Send { to, text: text.to_owned(), file: None, key, class: Urgency::Normal };
        let (first, again) = (self.ask(request.clone()), self.ask(request));
        assert_eq!(first, again, "the answer to a repetition is the same");
        let Response::Sent { sealed_to, because, .. } = first else { panic!("{first:?}") };
        (sealed_to, because)
    }

    /// Takes the card of another node as text, and makes it a peer.
    pub(crate) fn acquaint(&mut self, other: &mut Self) {
        let Response::Text { text } = other.ask(Request::CardExport) else { panic!("no card") };
        self.ask(Request::CardImport { card: text });
        self.ask(Request::PeerAdd { node: other.id().to_string(), addresses: Vec::new() });
    }
}

/// One contact of two nodes, until both have nothing to say; what went over it.
pub(crate) fn meet(a: &mut Node, b: &mut Node, link: u64) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    let (of_a, of_b) = (a.id(), b.id());
    a.input(Input::LinkUp { link, peer: of_b });
    b.input(Input::LinkUp { link, peer: of_a });
    loop {
        let mut quiet = true;
        for (from, to) in [(0, 1), (1, 0)] {
            let ends = [&mut *a, &mut *b];
            let frame = ends[from].core.poll_transmit(link, &ends[from].store);
            if let Some(bytes) = frame {
                quiet = false;
                said.push(bytes.clone());
                ends[to].core.handle(ends[to].clock, Input::Bytes { link, bytes }, &ends[to].store);
            }
            a.drain();
            b.drain();
        }
        if quiet {
            break;
        }
    }
    a.input(Input::LinkDown { link });
    b.input(Input::LinkDown { link });
    said
}
