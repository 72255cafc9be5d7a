//! What may be asked of a running node over its control socket, and what it answers.
//!
//! One request and one answer per line, both JSON. Ids are in text form (52 characters of
//! base32), amounts are micro-credits, sizes are bytes, times are milliseconds where a name
//! ends in `_ms` and seconds since 2020-01-01 UTC otherwise.

use std::path::PathBuf;

use cairn_bundle::SealedTo;
use serde::{Deserialize, Serialize};

mod routes;

pub use routes::{CarriedInfo, ForecastInfo, NextHopInfo, RouteInfo, Urgency};

/// A question or an order to a node.
///
/// Orders that create something carry a `key` chosen by the caller: repeating an order with the
/// same key, after a lost answer or a crash, has no second effect and gives the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Request {
    /// How the node is: links, store, counters, warnings.
    Status,
    /// This node's own signed card as text.
    CardExport,
    /// Takes a card text that somebody handed over; the highest counter wins.
    CardImport {
        /// The `cairn:` text of a signed card.
        card: String,
    },
    /// Everybody whose card is known.
    CardList,
    /// Makes a known contact a peer: one this node may meet.
    PeerAdd {
        /// Node id or an unambiguous name from a card.
        node: String,
        /// Direct addresses `ip:port`; empty when the peer is met by a drop, LAN discovery, or dials itself.
        addresses: Vec<String>,
    },
    /// Stops meeting a peer; what was agreed with it stays.
    PeerRemove {
        /// Node id or name.
        node: String,
    },
    /// Sends a sealed message or file.
    Send {
        /// Node id or name of the recipient.
        to: String,
        /// Text of the message, or a remark to the file.
        text: String,
        /// A file to send along.
        file: Option<PathBuf>,
        /// Idempotency key, 1 to 64 characters.
        key: String,
        /// How urgent it is.
        #[serde(default)]
        class: Urgency,
    },
    /// The bundles that this node carries, in the order of their ids.
    RouteList {
        /// At most so many.
        max: u32,
    },
    /// Why a carried bundle is held or sent, and where it would go.
    RouteExplain {
        /// Content id, or its unambiguous beginning of at least 6 characters.
        bundle: String,
    },
    /// The contact plan of this node as text.
    RoutePlan,
    /// Replaces the contact plan; an empty text clears it.
    RoutePlanSet {
        /// One contact a line; see `docs/design/routing.md`.
        text: String,
    },
    /// The messages that arrived.
    Inbox,
    /// Writes the file of a message to a path.
    InboxSave {
        /// Number of the message.
        number: u64,
        /// Where to write it; must not exist.
        path: PathBuf,
    },
    /// Removes a message and its file.
    InboxRemove {
        /// Number of the message.
        number: u64,
    },
    /// Starts a board and joins it.
    BoardCreate {
        /// Name, 1 to 64 bytes, unique on this node.
        name: String,
    },
    /// Records a contact as member of a board and gives the invitation text.
    BoardInvite {
        /// Name of the board.
        board: String,
        /// Node id or name of the new member.
        node: String,
    },
    /// Joins a board by its invitation text.
    BoardJoin {
        /// The `cairn-board:` text.
        invitation: String,
    },
    /// The boards that this node follows.
    BoardList,
    /// Members and jobs of one board.
    BoardShow {
        /// Name of the board.
        board: String,
    },
    /// Posts a job file with its input and modules.
    JobPost {
        /// Name of the board.
        board: String,
        /// The job file (TOML), absolute.
        file: PathBuf,
        /// Idempotency key, 1 to 64 characters.
        key: String,
    },
    /// All jobs on all boards.
    JobList,
    /// One job with its results, reasons and receipts.
    JobShow {
        /// Job id, or its unambiguous beginning of at least 6 characters.
        job: String,
    },
    /// Writes the output of the best result of a job to a path, or returns it when it is text of at most 64 KiB.
    JobResult {
        /// Job id or its beginning.
        job: String,
        /// The rung; the best one there is if not given.
        rung: Option<u8>,
        /// Where to write it; must not exist.
        path: Option<PathBuf>,
    },
    /// Closes a job of this node, so that unused locks are released.
    JobClose {
        /// Job id or its beginning.
        job: String,
    },
    /// Every edge: lines, debts, locks.
    Credit,
    /// Grants a contact a line (0 takes it back); never touches what was accepted already.
    CreditGrant {
        /// Node id or name.
        node: String,
        /// Limit in micro-credits.
        limit: u64,
    },
    /// Writes the portable receipt of a result to a file.
    ReceiptExport {
        /// Job id or its beginning.
        job: String,
        /// The rung.
        rung: u8,
        /// Where to write it; must not exist.
        path: PathBuf,
    },
    /// Writes what peers lack into a drop directory.
    CarryExport {
        /// The directory.
        directory: PathBuf,
        /// Node ids or names; all peers if empty.
        to: Vec<String>,
    },
    /// Takes in what a drop directory holds for this node.
    CarryImport {
        /// The directory.
        directory: PathBuf,
    },
    /// Ends the node after everything acknowledged is durable.
    Shutdown,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Response {
    /// Done, nothing more to tell.
    Done,
    /// It was refused or failed; nothing changed.
    Error {
        /// What is wrong, in one sentence.
        message: String,
        /// What the person can do.
        hint: Option<String>,
    },
    /// A text: a card, an invitation, an output.
    Text {
        /// The text.
        text: String,
    },
    /// Something was created or found; its id in text form.
    Id {
        /// The id.
        id: String,
    },
    /// See [`Request::Send`].
    Sent {
        /// The content id of the bundle.
        id: String,
        /// Which of the recipient's keys it is sealed to.
        sealed_to: KeyKind,
        /// Why it is not a prekey.
        because: Option<String>,
    },
    /// See [`Request::RouteList`].
    Carrying {
        /// In the order of ids.
        bundles: Vec<CarriedInfo>,
    },
    /// See [`Request::RouteExplain`].
    Route(RouteInfo),
    /// See [`Request::Status`].
    Status(Status),
    /// See [`Request::CardList`].
    Contacts {
        /// In the order of node ids.
        contacts: Vec<ContactInfo>,
    },
    /// See [`Request::Inbox`].
    Inbox {
        /// Oldest first.
        messages: Vec<MessageInfo>,
    },
    /// See [`Request::BoardList`].
    Boards {
        /// In the order of names.
        boards: Vec<BoardInfo>,
    },
    /// See [`Request::JobList`] and [`Request::BoardShow`].
    Jobs {
        /// Oldest first.
        jobs: Vec<JobInfo>,
        /// Members of the board; empty for all jobs of all boards.
        members: Vec<ContactInfo>,
    },
    /// See [`Request::JobShow`].
    Job(JobInfo),
    /// See [`Request::Credit`].
    Credit {
        /// In the order of peers.
        edges: Vec<EdgeInfo>,
    },
    /// See [`Request::CarryExport`] and [`Request::CarryImport`].
    Carried(CarryInfo),
}

/// Which of its recipient's keys something is sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// A key that the recipient erases: afterwards nobody can open it again.
    Prekey,
    /// The long-term key: whoever ever gets hold of the recipient's identity can open it.
    LongTerm,
}

impl KeyKind {
    /// The word in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prekey => "prekey",
            Self::LongTerm => "long-term",
        }
    }

    /// The inverse of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Prekey, Self::LongTerm].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl From<SealedTo> for KeyKind {
    fn from(kind: SealedTo) -> Self {
        match kind {
            SealedTo::Prekey => Self::Prekey,
            SealedTo::LongTerm => Self::LongTerm,
        }
    }
}

/// The prekeys of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrekeyInfo {
    /// Whether the card that is given out announces one.
    pub announced: bool,
    /// Until when others may seal to it, by this node's clock; `None` without a date.
    pub valid_until: Option<u64>,
    /// Running time until the next one is due.
    pub next_in_s: u64,
    /// How many secrets are held, those in their grace included.
    pub held: u64,
    /// This node's wall clock, if it has one.
    pub clock: Option<u64>,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Node id.
    pub node: String,
    /// Display name.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Since start.
    pub uptime_ms: u64,
    /// Own socket addresses where peers can dial.
    pub addresses: Vec<String>,
    /// Peers with an open link right now.
    pub links: Vec<LinkInfo>,
    /// Bundles carried for others or waiting to leave.
    pub bundles: u64,
    /// Bytes used in the store.
    pub store_bytes: u64,
    /// Bytes the store may use.
    pub store_bytes_max: u64,
    /// Unread and read messages in the inbox.
    pub messages: u64,
    /// Tasks running now.
    pub tasks_running: u64,
    /// Items that peers have not acknowledged yet, over all open links.
    pub unacknowledged: u64,
    /// Refusals and other counted events, by name.
    pub counters: std::collections::BTreeMap<String, u64>,
    /// Keys that mail to this node is sealed to.
    #[serde(default)]
    pub prekeys: PrekeyInfo,
    /// What a person should know: full store, same identity elsewhere, failed links.
    pub warnings: Vec<String>,
}

/// One open link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkInfo {
    /// Node id of the peer.
    pub node: String,
    /// Name from its card.
    pub name: String,
    /// `iroh` or `drop`.
    pub kind: String,
    /// Nothing left to send and nothing to wait for.
    pub idle: bool,
    /// Bytes of frames that were handed to the link since it came up.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Bytes of frames that came over it.
    #[serde(default)]
    pub received_bytes: u64,
}

/// Somebody whose card is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactInfo {
    /// Node id.
    pub node: String,
    /// Name from the card.
    pub name: String,
    /// Whether this node may meet it.
    pub peer: bool,
    /// Addresses from the card and from `peer add`.
    pub addresses: Vec<String>,
    /// Which key mail to it would be sealed to now; `None` for this node itself and for unknown cards.
    #[serde(default)]
    pub sealed_to: Option<KeyKind>,
    /// Why that is not a prekey.
    #[serde(default)]
    pub because: Option<String>,
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageInfo {
    /// Number in this inbox, from 1.
    pub number: u64,
    /// Node id of the sender, proven by its signature.
    pub from: String,
    /// Name of the sender if its card is known.
    pub from_name: String,
    /// Which of this node's keys it was sealed to, if that is known.
    #[serde(default)]
    pub sealed_to: Option<KeyKind>,
    /// When the sender says it was written, if its clock knew.
    pub written: Option<u64>,
    /// The text.
    pub text: String,
    /// Name and size of the file.
    pub file: Option<(String, u64)>,
}

/// A board that this node follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardInfo {
    /// Name on this node.
    pub name: String,
    /// Number of members.
    pub members: u64,
    /// Number of jobs.
    pub jobs: u64,
    /// Digest of the projected view: equal on nodes that hold the same facts.
    pub view: String,
}

/// A job and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobInfo {
    /// Job id.
    pub id: String,
    /// Board it is on.
    pub board: String,
    /// Title.
    pub title: String,
    /// Node id of who pays.
    pub payer: String,
    /// `posted`, `answered`, `accepted`, `closed` or `cancelled`.
    pub state: String,
    /// Worst to best.
    pub rungs: Vec<RungInfo>,
    /// Why this node does not run it now, or what it does with it, in plain words.
    pub here: String,
}

/// One rung of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungInfo {
    /// Position, 0 is the worst.
    pub rung: u8,
    /// Name.
    pub name: String,
    /// `wasm` or `onnx`.
    pub engine: String,
    /// Measured quality in parts per million.
    pub quality_ppm: u32,
    /// Price in micro-credits.
    pub price: u64,
    /// Results that arrived here.
    pub results: Vec<ResultInfo>,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultInfo {
    /// Node id of the executor.
    pub executor: String,
    /// Name of the executor if known.
    pub executor_name: String,
    /// Fuel used; 0 where the engine has no meter.
    pub fuel: u64,
    /// Wall time.
    pub wall_ms: u64,
    /// Which engine and version ran it.
    pub engine: String,
    /// Digest of the output.
    pub output: String,
    /// Size of the output.
    pub output_bytes: u64,
    /// Whether the output itself is here.
    pub here: bool,
    /// `published`, `accepted` or `rejected: why`.
    pub state: String,
    /// Better rungs that were passed over or failed, with the reason.
    pub fell_from: Vec<(u8, String)>,
    /// Whether this node holds RESULT and ACCEPT, so that a receipt can be exported.
    pub receipt: bool,
}

/// Money between this node and one other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeInfo {
    /// Node id of the other.
    pub node: String,
    /// Its name.
    pub name: String,
    /// What it may owe this node.
    pub line_given: u64,
    /// What this node may owe it, as far as known.
    pub line_received: u64,
    /// What this node owes it.
    pub owed_by_me: u64,
    /// What it owes this node.
    pub owed_to_me: u64,
    /// Promised by this node under open locks.
    pub held_by_me: u64,
    /// Promised to this node under open locks.
    pub held_to_me: u64,
    /// `owed_to_me` minus `owed_by_me`.
    pub net: i64,
}

/// What went into a drop directory or came out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarryInfo {
    /// Bundle files written or read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Items in them that were new here, or were written.
    pub items: u64,
    /// Files for others that were left where they are.
    pub for_others: u64,
    /// How many files were damaged, forged or foreign; they are left where they are.
    #[serde(default)]
    pub refused_files: u64,
    /// The first of them, each with the reason.
    pub refused: Vec<(String, String)>,
}
