//! The rim: sockets, files, clocks and threads around the pure [`Core`].
//!
//! One loop owns the core. Everything else is a small task that sends it events.

mod answers;
mod checks;
mod committing;
mod discovery;
mod drops;
mod links;
mod peers;
mod scrub;
#[cfg(test)]
mod tests;
mod work;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cairn_bundle::{Identity, NodeId};
use cairn_engine::LinkId;
use cairn_store::{Priority, Store, Table};
use iroh::Endpoint;
use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio::sync::{mpsc, oneshot, watch};
use zeroize::Zeroizing;

use crate::config::NodeConfig;
use crate::control::api::Response;
use crate::control::server::{Asked, ControlError, ControlSocket};
use crate::core::{
    Clock, CommitId, Core, Input, Output, RequestId, RestoreError, Secrets, Settings, TaskId, TaskOutcome,
    UpgradeError, upgrade,
};
use crate::identity_file::IdentityError;
use crate::prekeys_file::PrekeysFile;
use links::{Dialler, End, OpenLink};
use peers::Dials;

/// The format in which rows of bundles have records of their own.
const ROWS_FORMAT: u32 = 2;
/// Seconds from the Unix epoch to 2020-01-01, where Cairn's wire time begins.
const UNIX_TO_2020: u64 = 1_577_836_800;
/// A wall clock before 2024 was never set: a Raspberry Pi without a network wakes up in 1970.
const WALL_PLAUSIBLE: u64 = 4 * 365 * 24 * 3_600;
/// How often the loop looks after peers and resources when nothing happens.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Events that may wait for the loop; whoever sends more waits.
const EVENTS_WAITING_MAX: usize = 256;
/// What has arrived in the meantime is taken together, so much of a kind, before the links and the store get what
/// follows from it.
const TOGETHER_MAX: usize = 64;
/// Frames for a link are handed over together until they have so many bytes.
const WRITE_BYTES: usize = 32 * 1024;
/// How long a node that was told to end waits for its store and its links.
const FAREWELL: Duration = Duration::from_secs(10);

/// The store's folder in the data directory.
pub const STORE_DIR: &str = "store";

/// What the loop receives from the tasks around it.
#[derive(Debug)]
pub(crate) enum DriverEvent {
    /// Somebody connects: may it?
    MayMeet { peer: NodeId, answer: oneshot::Sender<bool> },
    /// A connection has its stream.
    Connected { peer: NodeId, dialler: Dialler, connection: Connection, send: SendStream, recv: RecvStream },
    /// A dial came to nothing.
    DialFailed { peer: NodeId },
    /// A peer was found on the local network.
    Found { peer: NodeId, addresses: Vec<SocketAddr> },
    /// Bytes arrived.
    Bytes { link: LinkId, bytes: Vec<u8> },
    /// A link can take more.
    Ready,
    /// A link is gone.
    Lost { link: LinkId, end: End },
}

/// What comes back from the store and the executors; never waits, so that nothing can wait in a circle.
#[derive(Debug)]
pub(crate) enum Done {
    Commit { commit: CommitId, durable: bool },
    Task { task: TaskId, outcome: TaskOutcome },
    Answer { request: RequestId, response: Box<Response> },
    Dropped(drops::Step),
    Prekeys { durable: bool },
    Scrubbed { damaged: Vec<(Table, Vec<u8>)>, whole: bool },
    Checked { checked: Vec<checks::Checked>, bytes: u64 },
}

/// Told once, when the node is up.
#[derive(Debug, Clone)]
pub struct ReadyInfo {
    /// The node id.
    pub node: NodeId,
    /// Where peers can dial.
    pub addresses: Vec<SocketAddr>,
}

/// Why a node cannot run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    Store(#[from] cairn_store::StoreError),
    /// What is in the store cannot be used.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The store is of an earlier format and cannot be brought to the present one.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// The prekeys cannot be used.
    #[error(transparent)]
    Prekeys(#[from] IdentityError),
    /// The control socket is taken or cannot be made.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The QUIC sockets cannot be opened.
    #[error("cannot listen for peers: {0}")]
    Listen(String),
    /// No randomness from the system.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The asynchronous runtime cannot start.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
}

impl NodeError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Store(_) => "see what is wrong with: cairn doctor",
            Self::Restore(RestoreError::Card(_)) => "choose a shorter name: cairn node --name NAME",
            Self::Restore(RestoreError::Read(_)) | Self::Upgrade(_) => "check the disk, then: cairn doctor",
            Self::Prekeys(_) => "if nobody else has read it: chmod 600 prekeys.key in the data directory",
            Self::Control(error) => error.hint(),
            Self::Listen(_) => {
                "is the port taken or the address not of this machine? cairn node --listen IP:PORT"
            }
            Self::Random(_) | Self::Runtime(_) => {
                "the system is short of something: check its limits and its log"
            }
        }
    }
}

/// Runs a node until it is told to end. `say` gets lines for people as things happen.
///
/// # Errors
/// [`NodeError`] if it cannot start.
pub fn run(
    home: &Path,
    config: &NodeConfig,
    identity: Identity,
    ready: impl FnOnce(&ReadyInfo),
    say: impl FnMut(&str),
) -> Result<(), NodeError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // Two workers move bytes; executors and the store have threads of their own.
    builder.worker_threads(2).enable_all();
    let runtime = builder.build().map_err(NodeError::Runtime)?;
    runtime.block_on(async { Driver::start(home, config, identity).await?.run(ready, say).await })
}

struct Driver {
    core: Core,
    store: Arc<Store>,
    endpoint: Option<Endpoint>,
    links: BTreeMap<LinkId, OpenLink>,
    next_link: LinkId,
    dials: Dials,
    started: Instant,
    scrub: scrub::Scrub,
    store_size_max: u64,
    prekeys: PrekeysFile,
    work: work::Bench,
    drops: drops::Drops,
    requests: answers::Requests,
    committing: committing::Committing,
    checks: checks::Checks,
    events: mpsc::Sender<DriverEvent>,
    events_in: mpsc::Receiver<DriverEvent>,
    done: mpsc::UnboundedSender<Done>,
    done_in: mpsc::UnboundedReceiver<Done>,
    asks: mpsc::Receiver<Asked>,
    stop_control: watch::Sender<bool>,
    control: tokio::task::JoinHandle<()>,
    discovery: Option<discovery::Discovery>,
    ended: bool,
}

impl Driver {
    async fn start(home: &Path, config: &NodeConfig, identity: Identity) -> Result<Self, NodeError> {
        let started = Instant::now();
        let store = Arc::new(Store::open(home.join(STORE_DIR), store_options(config))?);
        let control = ControlSocket::bind(home)?;
        let endpoint = links::bind(&identity, &config.listen).await?;
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(NodeError::Random)?;
        let settings = settings(config, &identity);
        if store.format_found() < ROWS_FORMAT {
            let mut commit = |batch| store.commit_with(batch, Priority::High);
            upgrade(&*store, &identity.node_id(), &settings.engine.bundle, &mut commit)?;
            store.rows_upgraded()?;
        }
        let prekeys = PrekeysFile::new(home);
        let loaded = prekeys.load()?;
        let secrets = Secrets { identity, prekeys: loaded.prekeys };
        let mut core = Core::restore(secrets, settings, &seed, clock(started), &*store)?;
        if loaded.lost {
            core.note_lost_prekeys();
        }
        let (events, events_in) = mpsc::channel(EVENTS_WAITING_MAX);
        let (done, done_in) = mpsc::unbounded_channel();
        let (asks_out, asks) = mpsc::channel(EVENTS_WAITING_MAX);
        let (stop_control, stopped) = watch::channel(false);
        let control = tokio::spawn(control.serve(asks_out, stopped));
        if let Some(endpoint) = &endpoint {
            tokio::spawn(links::accept(endpoint.clone(), events.clone()));
        }
        let scrub = scrub::Scrub::new(&store);
        let work = work::Bench::new(config, Arc::clone(&store), done.clone());
        let mut driver = Self {
            core,
            store,
            endpoint,
            links: BTreeMap::new(),
            next_link: 0,
            dials: Dials::default(),
            started,
            scrub,
            store_size_max: config.store.size_max,
            prekeys,
            work,
            drops: drops::Drops::default(),
            requests: answers::Requests::default(),
            committing: committing::Committing::default(),
            events,
            events_in,
            checks: checks::Checks::new(done.clone()),
            done,
            done_in,
            asks,
            stop_control,
            control,
            discovery: None,
            ended: false,
        };
        let damaged = driver.store.damaged()?;
        if !damaged.is_empty() {
            driver.input(Input::Damaged { found: damaged });
        }
        if config.discovery {
            driver.discover();
        }
        Ok(driver)
    }

    fn discover(&mut self) {
        let Some(endpoint) = &self.endpoint else { return };
        let ports: BTreeSet<u16> = endpoint.bound_sockets().iter().map(SocketAddr::port).collect();
        // Without discovery everything else works: addresses can be given by hand.
        self.discovery = discovery::start(self.core.node_id(), &ports, self.events.clone()).ok();
    }

    async fn run(
        mut self,
        ready: impl FnOnce(&ReadyInfo),
        mut say: impl FnMut(&str),
    ) -> Result<(), NodeError> {
        let addresses = self.own_addresses();
        self.announce(&addresses);
        ready(&ReadyInfo { node: self.core.node_id(), addresses });
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(NodeError::Runtime)?;
        let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
            .map_err(NodeError::Runtime)?;
        let mut last_look = None;
        while !self.ended {
            self.drain(&mut say);
            if self.ended {
                break;
            }
            if last_look.is_none_or(|at: Instant| at.elapsed() >= HOUSEKEEPING) {
                last_look = Some(Instant::now());
                self.housekeep();
                self.drain(&mut say);
            }
            let nap = self.nap();
            tokio::select! {
                // Finished work first: it frees what the rest waits for.
                biased;
                Some(done) = self.done_in.recv() => {
                    self.handle_done(done);
                    self.handle_waiting();
                }
                Some((ask, answer)) = self.asks.recv() => {
                    self.handle_ask(ask, answer);
                    self.handle_waiting();
                }
                Some(event) = self.events_in.recv(), if self.may_read() => {
                    self.handle_event(event);
                    self.handle_waiting();
                }
                _ = terminate.recv() => self.shutdown(),
                _ = interrupt.recv() => self.shutdown(),
                () = tokio::time::sleep(nap) => self.input(Input::Tick),
            }
        }
        self.farewell().await;
        Ok(())
    }

    /// Takes what waits already, finished work first.
    fn handle_waiting(&mut self) {
        for _ in 0..TOGETHER_MAX {
            let Ok(done) = self.done_in.try_recv() else { break };
            self.handle_done(done);
        }
        for _ in 0..TOGETHER_MAX {
            let Ok((ask, answer)) = self.asks.try_recv() else { break };
            self.handle_ask(ask, answer);
        }
        // Fewer of these: each may bring many bundles, whose batches the store should get soon.
        for _ in 0..TOGETHER_MAX / 16 {
            if !self.may_read() {
                break;
            }
            let Ok(event) = self.events_in.try_recv() else { break };
            self.handle_event(event);
        }
    }

    /// Whether what came over links finds its way to the disk soon enough.
    const fn may_read(&self) -> bool {
        self.committing.has_room_beside(self.checks.bytes())
    }

    fn nap(&self) -> Duration {
        let now = clock(self.started).now;
        let due = self.core.poll_timeout().map_or(HOUSEKEEPING, |at| Duration::from_millis(at - now));
        due.min(HOUSEKEEPING)
    }

    fn shutdown(&mut self) {
        self.core.stop(&*self.store);
    }

    async fn farewell(mut self) {
        let _ = self.stop_control.send(true);
        for link in self.links.values() {
            link.close();
        }
        drop(self.discovery.take());
        if let Some(endpoint) = &self.endpoint {
            let _ = tokio::time::timeout(FAREWELL, endpoint.close()).await;
        }
        let _ = tokio::time::timeout(FAREWELL, self.control).await;
    }

    fn input(&mut self, input: Input) {
        self.core.handle(clock(self.started), input, &*self.store);
    }

    /// Does everything that the core asks for, and fills every link that can take more.
    fn drain(&mut self, say: &mut impl FnMut(&str)) {
        loop {
            while let Some(output) = self.core.poll() {
                self.act(output, say);
            }
            let checked = self.checks.start();
            if !checked.is_empty() {
                self.checked(checked);
                continue;
            }
            self.pump_links();
            if !self.step_drops() {
                return;
            }
        }
    }

    fn act(&mut self, output: Output, say: &mut impl FnMut(&str)) {
        match output {
            Output::Commit { commit, batch, own } => {
                self.committing.begin(commit, &batch);
                let done = self.done.clone();
                let priority = if own { Priority::High } else { Priority::Normal };
                let reply = move |result: Result<(), cairn_store::CommitError>| {
                    let _ = done.send(Done::Commit { commit, durable: result.is_ok() });
                };
                self.store.submit_with(batch, priority, Box::new(reply));
            }
            Output::Check { ticket, bundle } => self.checks.add(ticket, bundle),
            Output::KeepPrekeys { ring } => {
                let (file, done) = (self.prekeys.clone(), self.done.clone());
                tokio::task::spawn_blocking(move || {
                    let _ = done.send(Done::Prekeys { durable: file.keep(&ring).is_ok() });
                });
            }
            Output::Run(order) => self.work.start(order),
            Output::Reply { request, answer } => self.answer(request, answer),
            Output::Close { link, reason } => {
                say(&format!("closed a link: {reason}"));
                self.drop_link(link);
            }
            Output::Say(text) => say(&text),
            Output::Shutdown => self.ended = true,
        }
    }

    fn pump_links(&mut self) {
        for (link, open) in &mut self.links {
            while let Ok(permit) = open.frames.try_reserve() {
                let mut frames = Vec::new();
                while frames.len() < WRITE_BYTES
                    && self.core.append_transmit(*link, &*self.store, &mut frames)
                {}
                if frames.is_empty() {
                    break;
                }
                open.sent_bytes = open.sent_bytes.saturating_add(count(frames.len()));
                permit.send(frames);
            }
        }
    }

    fn handle_done(&mut self, done: Done) {
        match done {
            Done::Commit { commit, durable } => {
                self.committing.end(commit);
                self.input(Input::Committed { commit, durable });
            }
            Done::Task { task, outcome } => self.input(Input::TaskDone { task, outcome }),
            Done::Answer { request, response } => self.finish_answer(request, *response),
            Done::Prekeys { durable } => self.input(Input::PrekeysKept { durable }),
            Done::Dropped(step) => self.dropped(step),
            Done::Checked { checked, bytes } => {
                self.checks.finished(bytes);
                self.checked(checked);
            }
            Done::Scrubbed { damaged, whole } => {
                self.scrub.note_done(whole);
                if !damaged.is_empty() {
                    self.input(Input::Damaged { found: damaged });
                }
            }
        }
    }

    fn checked(&mut self, checked: Vec<checks::Checked>) {
        for (ticket, outcome) in checked {
            self.input(Input::Checked { ticket, outcome });
        }
    }

    fn handle_event(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::MayMeet { peer, answer } => {
                let is_peer = self.core.contacts().is_peer(&peer);
                if !is_peer {
                    self.core.count("strangers turned away");
                }
                let _ = answer.send(is_peer);
            }
            DriverEvent::Connected { peer, dialler, connection, send, recv } => {
                self.connected(peer, dialler, connection, send, recv);
            }
            DriverEvent::DialFailed { peer } => self.dials.failed(peer, Instant::now()),
            DriverEvent::Found { peer, addresses } => self.dials.found(peer, addresses),
            DriverEvent::Bytes { link, bytes } => {
                if let Some(open) = self.links.get_mut(&link) {
                    open.received_bytes = open.received_bytes.saturating_add(count(bytes.len()));
                    self.input(Input::Bytes { link, bytes });
                }
            }
            DriverEvent::Ready => {}
            DriverEvent::Lost { link, end } => {
                if end == End::Replaced && self.links.contains_key(&link) {
                    self.core.note_twin();
                }
                self.drop_link(link);
            }
        }
    }

    fn housekeep(&mut self) {
        self.core.set_resources(work::Bench::measure());
        let addresses = self.own_addresses();
        self.announce(&addresses);
        self.dial_peers();
        self.scrub.go_on(&self.store, &self.done);
        self.input(Input::Tick);
    }

    fn announce(&mut self, addresses: &[SocketAddr]) {
        let texts = addresses.iter().map(SocketAddr::to_string).collect();
        self.input(Input::Addresses { addresses: texts });
    }

    /// Where peers can dial: what is bound, with wildcards replaced by the addresses of the interfaces.
    fn own_addresses(&self) -> Vec<SocketAddr> {
        let Some(endpoint) = &self.endpoint else { return Vec::new() };
        let bound = endpoint.bound_sockets();
        let fixed = bound.iter().filter(|address| !address.ip().is_unspecified()).copied();
        let addr = endpoint.addr();
        let mut addresses: BTreeSet<SocketAddr> = fixed.chain(addr.ip_addrs().copied()).collect();
        addresses.retain(|address| address.port() != 0);
        addresses.into_iter().collect()
    }
}

/// How the store of a node with these settings is opened.
#[must_use]
pub fn store_options(config: &NodeConfig) -> cairn_store::Options {
    cairn_store::Options {
        size_max: config.store.size_max,
        reserve: config.store.reserve.min(config.store.size_max / 4),
        ..cairn_store::Options::default()
    }
}

fn settings(config: &NodeConfig, identity: &Identity) -> Settings {
    let mut engine = cairn_engine::Limits::for_store(config.store.size_max / 2);
    engine.meet.item_bytes_max = config.item_size_max;
    engine.meet.partial_bytes_max = config.item_size_max.saturating_mul(6);
    Settings {
        name: config.name.clone().unwrap_or_else(|| identity.node_id().short()),
        tasks_enabled: config.tasks.enabled,
        tasks_concurrent: usize::try_from(config.tasks.concurrent).unwrap_or(1),
        task_limits: work::limits(config),
        engine,
        own_cap: u64::MAX,
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The clocks at this moment. A wall clock that was never set is no clock.
fn clock(started: Instant) -> Clock {
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let wall = unix.checked_sub(UNIX_TO_2020).filter(|wall| *wall >= WALL_PLAUSIBLE);
    Clock { now: cairn_engine::Instant::from_ms(ms), wall }
}
