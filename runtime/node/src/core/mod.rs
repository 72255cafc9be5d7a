//! The node as a state machine: everything that a node decides, without any I/O.
//!
//! The driver and the simulator feed [`Input`]s to [`Core::handle`] and drain [`Core::poll`] and
//! [`Core::poll_transmit`]. Reading what is durable is the one thing the core does by itself, through
//! the [`Read`] that it is handed; writing is asked for with [`Output::Commit`] and has no effect that
//! others can see before [`Input::Committed`] comes back.

mod boards;
mod carrying;
mod catalogue;
mod clock;
mod commit;
mod contacts;
mod damage;
mod drop;
mod executor;
mod funding;
mod inbox;
mod intake;
mod keys;
mod market;
mod money;
mod notices;
mod outbound;
mod past;
mod payer;
mod pieces;
mod relay;
mod report;
mod requests;
mod requests_board;
mod restore;
mod rng;
mod routes;
mod scope;
mod upgrade;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cairn_bundle::{Bundle, Digest, Identity, NodeId, OpenError};
use cairn_engine::quota::Amount;
use cairn_engine::{Action, BundleRecord, CloseReason, Engine, Event, Instant, LinkId, Overlay, Ticket};
use cairn_ledger::Ledger;
use cairn_link::{Item, Mode, Transmit, append_chunk};
use cairn_store::{Batch, Read, Table};
use cairn_task::NodeLimits;

pub use clock::Clock;
pub use commit::{CommitId, RequestId};
pub use contacts::{Contact, Contacts};
pub use drop::{Exported, Imported, Parcel, ParcelFile};
pub use executor::{TaskId, TaskOrder, TaskOutcome, TaskPurpose};
pub use keys::Secrets;
pub use outbound::CannotSend;
pub use requests::{Answer, Attachment};
pub use restore::RestoreError;
pub use rng::SeedRng;
pub use upgrade::{UpgradeError, upgrade};

use boards::Boards;
use commit::{Commits, Finished, Tx};
use executor::Tasks;
use inbox::Inbox;
use past::Past;
use payer::Payments;
use pieces::Pieces;

use crate::control::api::Request;

/// How long a node waits before it tries again to store what the disk refused.
const RETRY_MS: u64 = 1_000;

/// What a person chose for this node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Display name, part of the card.
    pub name: String,
    /// Whether this node runs tasks for others.
    pub tasks_enabled: bool,
    /// Tasks at a time.
    pub tasks_concurrent: usize,
    /// What a task may cost here.
    pub task_limits: NodeLimits,
    /// Limits of the engine.
    pub engine: cairn_engine::Limits,
    /// Most that others together may owe this node.
    pub own_cap: u64,
}

/// What the core is told.
#[derive(Debug)]
pub enum Input {
    /// Time passed.
    Tick,
    /// A link to an authenticated peer came up.
    LinkUp {
        /// New, never used before.
        link: LinkId,
        /// The peer, proven by the link.
        peer: NodeId,
    },
    /// A link went down.
    LinkDown {
        /// The link.
        link: LinkId,
    },
    /// Bytes arrived on a link.
    Bytes {
        /// The link.
        link: LinkId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The store has finished a batch.
    Committed {
        /// Which.
        commit: CommitId,
        /// Whether it is durable; if not, nothing of it was stored.
        durable: bool,
    },
    /// The source of a bundle was checked.
    Checked {
        /// As in [`Output::Check`].
        ticket: Ticket,
        /// What [`verify_source`](cairn_bundle::verify_source) said.
        outcome: Result<(), OpenError>,
    },
    /// The ring of prekeys was written, or could not be.
    PrekeysKept {
        /// Whether it is durable.
        durable: bool,
    },
    /// The store found damaged values, or knew of them when it was opened.
    Damaged {
        /// By table and key.
        found: Vec<(Table, Vec<u8>)>,
    },
    /// A task ended.
    TaskDone {
        /// Which.
        task: TaskId,
        /// How.
        outcome: TaskOutcome,
    },
    /// Somebody asks over the control socket.
    Request {
        /// To be named in the answer.
        request: RequestId,
        /// What is asked.
        ask: Request,
        /// Files that the request names, read by the driver.
        attachment: Attachment,
    },
    /// Addresses where this node can be dialled changed.
    Addresses {
        /// All of them.
        addresses: Vec<String>,
    },
}

/// What the core asks for.
#[derive(Debug)]
pub enum Output {
    /// Make a batch durable, then say so with [`Input::Committed`].
    Commit {
        /// To be named in the answer.
        commit: CommitId,
        /// All of it or nothing.
        batch: Batch,
        /// Whether it may use the reserve of a full store: facts of this node, and deletions.
        own: bool,
    },
    /// Check the source of a bundle with [`verify_source`](cairn_bundle::verify_source), then say so with
    /// [`Input::Checked`]. It is most of what a carried bundle costs, and needs nothing of this node: other threads can do it.
    Check {
        /// To be named in the answer.
        ticket: Ticket,
        /// The bundle.
        bundle: Box<Bundle>,
    },
    /// Overwrite the ring of prekeys where nothing of the one before is left, then say so with
    /// [`Input::PrekeysKept`]. The store is not such a place.
    KeepPrekeys {
        /// The ring with its secrets.
        ring: zeroize::Zeroizing<Vec<u8>>,
    },
    /// Run a task, then say so with [`Input::TaskDone`].
    Run(TaskOrder),
    /// Answer a request.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer, and a file to be written first.
        answer: Answer,
    },
    /// Close a link.
    Close {
        /// Which.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// Something a person may want to read in the log.
    Say(String),
    /// End the process after everything is durable.
    Shutdown,
}

/// One node.
#[derive(Debug)]
pub struct Core {
    identity: Identity,
    me: NodeId,
    settings: Settings,
    clock: Clock,
    rng: SeedRng,
    engine: Engine,
    /// What the engine is going to be told, each with the bundle whose row it sees from then on.
    to_engine: VecDeque<(Option<Digest>, Event)>,
    /// Records that the disk does not show as the engine knows them: new ones that it was not told of, changed and deleted
    /// ones that are not durable yet.
    unwritten: Overlay,
    next_place: u64,
    past: Past,
    pieces: Pieces,
    notices: notices::Notices,
    cutting: Vec<(Digest, u64)>,
    /// Own bundles that are on their way to the disk, and so not in the engine's books yet.
    own_waiting: Amount,
    unchecked: BTreeMap<Ticket, Unchecked>,
    /// Node time at which this life began: it goes on over restarts.
    began_ms: u64,
    /// Node time as it was written down last.
    time_kept: Instant,
    plan_text: String,
    /// Contacts or what they earned changed.
    standing_due: bool,
    ledger: Ledger,
    boards: Boards,
    contacts: Contacts,
    inbox: Inbox,
    blobs: BTreeMap<Digest, u64>,
    wanted_blobs: BTreeSet<Digest>,
    orders: BTreeMap<String, requests::OrderRecord>,
    card: cairn_bundle::card::SignedCard,
    keys: keys::Keys,
    addresses: Vec<String>,
    commits: Commits,
    retry_at: Option<Instant>,
    tasks: Tasks,
    payments: Payments,
    delivering: BTreeMap<Ticket, [u8; 32]>,
    owed_acks: BTreeMap<NodeId, BTreeSet<Item>>,
    /// Bundles that are being sent, with their age as of the contact; the latest first.
    aged: VecDeque<AgedBundle>,
    items_taken: u64,
    early_blobs: Vec<intake::EarlyBlob>,
    imports: BTreeMap<LinkId, Imported>,
    next_link: LinkId,
    dirty: bool,
    outputs: VecDeque<Output>,
    counters: BTreeMap<&'static str, u64>,
    warnings: BTreeSet<String>,
    stopping: bool,
}

/// A bundle to be carried whose source is being checked.
#[derive(Debug)]
struct Unchecked {
    id: Digest,
    record: BundleRecord,
    bytes: Vec<u8>,
}

/// A carried bundle with its age brought up to date for one contact.
#[derive(Debug)]
struct AgedBundle {
    link: LinkId,
    id: Digest,
    bytes: Vec<u8>,
}

/// Links that the core makes for itself while it reads and writes drops; a driver's own links are below.
const DROP_LINKS: LinkId = 1 << 62;

impl Core {
    /// This node's id.
    #[must_use]
    pub const fn node_id(&self) -> NodeId {
        self.me
    }

    /// Whose cards are known.
    #[must_use]
    pub const fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// Takes note of one input. `disk` shows what is durable.
    pub fn handle(&mut self, clock: Clock, input: Input, disk: &dyn Read) {
        self.set_clock(clock);
        match input {
            Input::Tick => {
                self.engine(Event::Clock { wall_s: self.clock.wall });
                self.refresh_standing();
                self.expire_pieces();
                self.engine(Event::Tick);
            }
            Input::LinkUp { link, peer } => self.link_up(link, peer, Mode::Live),
            Input::LinkDown { link } => self.engine(Event::LinkDown { link }),
            Input::Bytes { link, bytes } => self.engine(Event::Bytes { link, bytes }),
            Input::Committed { commit, durable } => self.committed(commit, durable),
            Input::Checked { ticket, outcome } => self.keep(ticket, outcome),
            Input::PrekeysKept { durable } => self.prekeys_kept(durable),
            Input::Damaged { found } => self.mend(&found, disk),
            Input::TaskDone { task, outcome } => self.task_done(task, outcome, disk),
            Input::Request { request, ask, attachment } => self.ask(request, ask, attachment, disk),
            Input::Addresses { addresses } => self.set_addresses(addresses),
        }
        self.after_input(disk);
    }

    /// The next thing to do; drain to `None` after every [`Core::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next bytes to send on a link that can send now.
    pub fn poll_transmit(&mut self, link: LinkId, disk: &dyn Read) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.append_transmit(link, disk, &mut out).then_some(out)
    }

    /// As [`Core::poll_transmit`], behind what is in `out` already; says whether there was something.
    pub fn append_transmit(&mut self, link: LinkId, disk: &dyn Read, out: &mut Vec<u8>) -> bool {
        while let Some(transmit) = self.engine_transmit(link, disk) {
            match transmit {
                Transmit::Frame(bytes) => {
                    out.extend_from_slice(&bytes);
                    return true;
                }
                Transmit::Chunk { item, total, offset, len } => {
                    if let Some(bytes) = self.read_item(link, item, offset, len, disk) {
                        append_chunk(out, item, total, offset, &bytes);
                        return true;
                    }
                    self.count("items that could not be read back");
                    self.engine(Event::Withdraw { link, item });
                    self.run_engine(disk);
                }
            }
        }
        false
    }

    /// When [`Input::Tick`] is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = [self.engine.poll_timeout(), self.retry_at, self.tasks_due(), self.keys.due()];
        // The caller's clock begins with this life of the node.
        due.into_iter().flatten().min().map(|at| Instant::from_ms(at.as_ms().saturating_sub(self.began_ms)))
    }

    /// Whether everything that was decided is durable and nothing runs.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.commits.is_empty() && self.tasks.is_empty() && self.unchecked.is_empty() && !self.keys.writing
    }

    /// Items of peers that became durable since start.
    #[must_use]
    pub const fn items_taken(&self) -> u64 {
        self.items_taken
    }

    /// Finds a contact by node id or name.
    ///
    /// # Errors
    /// A sentence for people if there is none, or more than one.
    pub fn find_contact(&self, text: &str) -> Result<NodeId, String> {
        self.contacts.find(text).map_err(|unknown| unknown.to_string())
    }

    /// Ends the node once everything that was decided is durable: [`Output::Shutdown`] will come.
    pub fn stop(&mut self, disk: &dyn Read) {
        self.begin_to_stop();
        self.after_input(disk);
    }

    fn begin_to_stop(&mut self) {
        self.stopping = true;
        self.keep_age();
        self.keep_time(true);
        self.keep_routing();
    }

    /// Counts a refusal or another event, for the status.
    pub fn count(&mut self, name: &'static str) {
        let counter = self.counters.entry(name).or_default();
        *counter = counter.saturating_add(1);
    }

    fn say(&mut self, text: impl Into<String>) {
        self.outputs.push_back(Output::Say(text.into()));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Hello { link, peer, hello } => self.heard_hello(link, peer, &hello),
            Action::Take { ticket, peer, item, bytes } => self.take(ticket, peer, item, bytes),
            Action::Keep { ticket, id, record, bytes, bundle } => {
                self.check(ticket, Unchecked { id, record, bytes }, bundle);
            }
            Action::Deliver { ticket, peer, id, bundle } => self.deliver(ticket, peer, id, &bundle),
            Action::Update { id, record } => self.update_record(id, record),
            Action::Forget { id, record, why } => self.forget_bundle(id, &record, why),
            Action::Fragment { id, piece_bytes } => self.cutting.push((id, piece_bytes)),
            Action::PeerHas { peer, item } => self.note_peer_item(peer, item, false),
            Action::OweAck { peer, item } => {
                self.owed_acks.entry(peer).or_default().insert(item);
                self.note_peer_item(peer, item, true);
            }
            Action::Close { link, reason } => self.closed(link, reason),
        }
    }

    fn closed(&mut self, link: LinkId, reason: CloseReason) {
        match reason {
            CloseReason::OwnIdentity => self.note_twin(),
            CloseReason::WrongNode => self.count("links closed: the peer claimed to be another node"),
            // The engine counts broken protocols itself.
            CloseReason::Protocol(_) | CloseReason::Bye | CloseReason::Renewed => {}
        }
        if let Some(import) = self.imports.get_mut(&link) {
            import.broken = Some(reason);
        } else {
            self.outputs.push_back(Output::Close { link, reason });
        }
    }

    /// Somebody else speaks with this node's identity.
    pub fn note_twin(&mut self) {
        self.count("meets of another node with this identity");
        self.warnings.insert(OWN_IDENTITY.to_owned());
    }

    fn note_peer_item(&mut self, peer: NodeId, item: Item, owed: bool) {
        let mut tx = Tx::default();
        tx.put(Table::PeerHas, commit::peer_item_key(&peer, &item), [u8::from(owed)]);
        self.commits.own(tx);
    }

    fn committed(&mut self, commit: CommitId, durable: bool) {
        match self.commits.finish(commit, durable) {
            Finished::Done(after) => {
                for after in after {
                    self.items_taken += u64::from(after.ticket().is_some());
                    self.happen(after);
                }
            }
            Finished::Refused(after) => {
                for id in after.iter().filter_map(commit::After::row_of_peer) {
                    self.unwritten.shown(id);
                }
                for ticket in after.iter().filter_map(commit::After::ticket) {
                    self.count("items refused: the store could not take them");
                    self.undeliver(ticket);
                    let outcome = Err(cairn_link::RefuseReason::Full);
                    self.engine(Event::Taken { ticket, outcome });
                }
            }
            Finished::Retry => self.stall(),
        }
    }

    fn stall(&mut self) {
        self.count("own facts held back: the store could not take them");
        self.warnings.insert(STORE_REFUSES.to_owned());
        self.retry_at = Some(self.clock.now.plus_ms(RETRY_MS));
        self.hand_out_card();
        for request in self.commits.drain_replies() {
            self.reply_error(
                request,
                "the store cannot take this now: it is full or the disk fails",
                Some("free some space; the node keeps trying, and the same order with the same key is safe"),
            );
        }
    }

    fn after_input(&mut self, disk: &dyn Read) {
        if self.retry_at.is_some_and(|at| at <= self.clock.now) {
            self.retry_at = None;
            self.warnings.remove(STORE_REFUSES);
            self.commits.retry();
        }
        self.tend_keys();
        loop {
            self.run_engine(disk);
            self.cut_bundles(disk);
            self.deliver_wholes();
            self.early_blobs_again();
            if !self.commits.is_stalled() {
                self.settle();
                if self.tasks_due().is_some() {
                    self.start_tasks();
                }
            }
            // Each of these may give the engine something to do, which ends when nothing is news any more.
            if self.to_engine.is_empty() {
                break;
            }
        }
        if self.commits.has_own_waiting() {
            self.keep_time(false);
        }
        if let Some((commit, batch)) = self.commits.poll_own() {
            self.outputs.push_back(Output::Commit { commit, batch, own: true });
        }
        // What the store refuses was never acknowledged to anybody: it need not be waited for.
        let stored = self.commits.is_empty() || self.commits.is_stalled();
        if self.stopping && stored && !self.keys.writing {
            self.stopping = false;
            self.outputs.push_back(Output::Shutdown);
        }
    }
}

const OWN_IDENTITY: &str =
    "another node uses this node's identity: stop one of the two; hint: one data directory, one node";
const STORE_REFUSES: &str =
    "the store does not take this node's own facts: free disk space or raise store.size_max";
