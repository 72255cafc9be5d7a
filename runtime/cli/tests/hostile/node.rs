//! One real node as a process: started, asked, killed, started again.

use core::cell::RefCell;
use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use cairn_node::config::CONFIG_FILE;
use cairn_node::control::api::{CarryInfo, LinkInfo, MessageInfo, Request, Response, Status, Urgency};
use cairn_node::control::client::{Client, ClientError};

/// What has not happened by then will not happen.
const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A node that listens on loopback.
pub(crate) const ON_LOOPBACK: &str = "listen = [\"127.0.0.1:0\"]\ndiscovery = false\n";
/// A node that is met by drops only.
pub(crate) const OFFLINE: &str = "listen = []\ndiscovery = false\n";

/// Polls until there is an answer; the last reason is told if there is none in time.
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(reason) => assert!(Instant::now() < deadline, "{what}: not in time; last: {reason}"),
        }
        std::thread::sleep(POLL);
    }
}

/// Orders a node to send a text; its beginning is the key.
pub(crate) fn send(home: &Path, to: &str, text: &str) -> Result<(), String> {
    let key = text.chars().take(60).collect();
    let request =
        Request::Send { to: to.to_owned(), text: text.to_owned(), file: None, key, class: Urgency::Normal };
    let client = Client::connect(home).and_then(|client| client.answers_within(DEADLINE));
    client.and_then(|mut client| client.ask(&request)).map(drop).map_err(|error| error.to_string())
}

/// A data directory, and the process that runs in it.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) home: PathBuf,
    log: PathBuf,
    /// Words before the program: another namespace, for one.
    before: Vec<String>,
    /// Where the control socket is seen from here, if not in `home`.
    seen_at: Option<PathBuf>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// The address of the first start, taken again after each restart.
    listen: Option<String>,
}

impl Node {
    /// Makes the data directory; starts nothing.
    pub(crate) fn new(root: &Path, name: &'static str, settings: &str) -> Self {
        let home = root.join(name);
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let node = Self::at(home, root, name);
        node.configure(settings);
        node
    }

    /// A node in a directory that is there.
    pub(crate) fn at(home: PathBuf, root: &Path, name: &'static str) -> Self {
        let log = root.join(format!("{name}.log"));
        Self { name, home, log, before: Vec::new(), seen_at: None, state: RefCell::default() }
    }

    /// Runs in another namespace: `before` is the command that enters it, `seen_at` is `home` as seen from here.
    pub(crate) fn inside(mut self, before: &[&str], seen_at: Option<PathBuf>) -> Self {
        self.before = before.iter().map(|word| (*word).to_owned()).collect();
        self.seen_at = seen_at;
        self
    }

    /// Replaces the settings.
    pub(crate) fn configure(&self, settings: &str) {
        let text = format!("name = \"{}\"\n{settings}", self.name);
        fs::write(self.seen_home().join(CONFIG_FILE), text).unwrap();
    }

    fn seen_home(&self) -> &Path {
        self.seen_at.as_ref().unwrap_or(&self.home)
    }

    fn command(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_cairn");
        let mut words = self.before.iter().map(String::as_str).chain([program]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg("--home").arg(&self.home).args(args);
        command
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&self) {
        self.spawn();
        let status = until(&format!("{} starts", self.name), || {
            self.must_be_alive();
            self.try_ask(&Request::Status).map_err(|error| error.to_string())
        });
        let Response::Status(status) = status else { panic!("no status") };
        let local = status.addresses.into_iter().find(|address| address.starts_with("127.0.0.1:"));
        let listen = &mut self.state.borrow_mut().listen;
        *listen = listen.take().or(local);
    }

    /// Starts it without waiting.
    pub(crate) fn spawn(&self) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = self.command(&["node", "--leash"]);
        let mut state = self.state.borrow_mut();
        if let Some(listen) = &state.listen {
            command.args(["--listen", listen]);
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        state.child = Some(child);
    }

    /// Runs `cairn` with this data directory and waits for its end.
    pub(crate) fn cairn(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// A start that must fail, with what it said: an error with a hint.
    pub(crate) fn must_not_start(&self) -> String {
        let mut command = self.command(&["node", "--leash"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + DEADLINE;
        let answers =
            |pid| matches!(self.try_ask(&Request::Status), Ok(Response::Status(status)) if status.pid == pid);
        while child.try_wait().unwrap().is_none() && !answers(child.id()) {
            assert!(Instant::now() < deadline, "{} neither starts nor ends", self.name);
            std::thread::sleep(POLL);
        }
        let ended = child.try_wait().unwrap();
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(ended.and_then(|status| status.code()), Some(1), "{} must not start: {talk}", self.name);
        assert!(talk.contains("error: ") && talk.contains("hint: "), "{talk}");
        assert!(!talk.contains("panicked"), "{talk}");
        talk
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.state.borrow_mut().child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends it in order.
    pub(crate) fn stop(&self) {
        self.ask(&Request::Shutdown);
        let mut child = self.state.borrow_mut().child.take().unwrap();
        until(&format!("{} ends", self.name), || {
            child.try_wait().unwrap().map(drop).ok_or_else(|| "it runs".to_owned())
        });
    }

    /// Fails the test if the process ended by itself.
    pub(crate) fn must_be_alive(&self) {
        if let Some(child) = &mut self.state.borrow_mut().child
            && let Some(status) = child.try_wait().unwrap()
        {
            panic!("{} ended by itself ({status}):\n{}", self.name, self.log());
        }
    }

    /// Everything it said.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn try_ask(&self, request: &Request) -> Result<Response, ClientError> {
        Client::connect(self.seen_home())?.answers_within(DEADLINE)?.ask(request)
    }

    /// Asks; an error fails the test.
    pub(crate) fn ask(&self, request: &Request) -> Response {
        match self.try_ask(request) {
            Ok(response) => response,
            Err(error) => panic!("{}: {request:?}: {error}\n{}", self.name, self.log()),
        }
    }

    /// Asks for what must be refused; gives the message and the hint.
    pub(crate) fn refuses(&self, request: &Request) -> (String, Option<String>) {
        match self.try_ask(request) {
            Err(ClientError::Refused { message, hint }) => (message, hint),
            other => panic!("{}: {request:?} was not refused: {other:?}", self.name),
        }
    }

    pub(crate) fn status(&self) -> Status {
        let Response::Status(status) = self.ask(&Request::Status) else { panic!("no status") };
        status
    }

    pub(crate) fn id(&self) -> String {
        self.status().node
    }

    /// The address on loopback where it can be dialled.
    pub(crate) fn address(&self) -> String {
        self.state.borrow().listen.clone().unwrap()
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.status().counters.get(name).copied().unwrap_or(0)
    }

    /// By identity: a name is only what the newest card says, and a twin can have written that.
    pub(crate) fn link_to(&self, peer: &Self) -> Option<LinkInfo> {
        let id = peer.id();
        self.status().links.into_iter().find(|link| link.node == id)
    }

    pub(crate) fn card(&self) -> String {
        let Response::Text { text } = self.ask(&Request::CardExport) else { panic!("no card") };
        text
    }

    /// Takes a card, and meets its owner from now on.
    pub(crate) fn befriend(&self, card: &str, id: &str, addresses: Vec<String>) {
        self.ask(&Request::CardImport { card: card.to_owned() });
        self.ask(&Request::PeerAdd { node: id.to_owned(), addresses });
    }

    pub(crate) fn send(&self, to: &Self, text: &str) -> Result<(), String> {
        send(self.seen_home(), to.name, text)
    }

    pub(crate) fn inbox(&self) -> Vec<MessageInfo> {
        let Response::Inbox { messages } = self.ask(&Request::Inbox) else { panic!("no inbox") };
        messages
    }

    /// The inbox, or nothing if the node does not answer.
    pub(crate) fn try_inbox(&self) -> Vec<MessageInfo> {
        match self.try_ask(&Request::Inbox) {
            Ok(Response::Inbox { messages }) => messages,
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    /// Waits until it either answers or has ended.
    pub(crate) fn settles(&self) {
        until("the node answers or ends", || {
            let ended = self
                .state
                .borrow_mut()
                .child
                .as_mut()
                .is_none_or(|child| child.try_wait().unwrap().is_some());
            if ended || self.try_ask(&Request::Status).is_ok() { Ok(()) } else { Err("neither".to_owned()) }
        });
    }

    /// The texts in the inbox, in order of the alphabet: a text that came twice is there twice.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.inbox().into_iter().map(|message| message.text).collect();
        texts.sort();
        texts
    }

    /// Waits until exactly these texts are in the inbox.
    pub(crate) fn receives(&self, texts: &[&str]) {
        until(&format!("{} receives {texts:?}", self.name), || {
            let here = self.texts();
            if here == texts { Ok(()) } else { Err(format!("it has {here:?}")) }
        });
    }

    pub(crate) fn export(&self, directory: &Path, to: &Self) -> CarryInfo {
        let request = Request::CarryExport { directory: directory.to_owned(), to: vec![to.name.to_owned()] };
        let Response::Carried(info) = self.ask(&request) else { panic!("no report") };
        info
    }

    pub(crate) fn import(&self, directory: &Path) -> CarryInfo {
        let request = Request::CarryImport { directory: directory.to_owned() };
        let Response::Carried(info) = self.ask(&request) else { panic!("no report") };
        info
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.state.borrow_mut().child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // A worker thread can panic without the process ending.
        if !std::thread::panicking() {
            assert!(!self.log().contains("panicked at"), "{} panicked:\n{}", self.name, self.log());
        }
    }
}

/// Exchanges cards; each may meet the other, and the first one dials.
pub(crate) fn acquaint(one: &Node, two: &Node) {
    let address = two.state.borrow().listen.clone();
    one.befriend(&two.card(), &two.id(), address.into_iter().collect());
    two.befriend(&one.card(), &one.id(), Vec::new());
}

/// Waits until both have a link to the other.
pub(crate) fn meet(one: &Node, two: &Node) {
    until(&format!("{} and {} meet", one.name, two.name), || match (one.link_to(two), two.link_to(one)) {
        (Some(_), Some(_)) => Ok(()),
        (here, there) => Err(format!("{here:?}, {there:?}\n{}\n{}", one.log(), two.log())),
    });
}
