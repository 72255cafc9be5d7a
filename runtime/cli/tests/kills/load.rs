//! Mail under way: somebody who writes without pause, now and then with a file so large that it has one of its own in the
//! store and is cut for contacts that break, and somebody who reads and removes what arrived.

use core::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cairn_node::control::api::{MessageInfo, Request, Response, Urgency};
use cairn_node::control::client::{Client, ClientError};

use super::node::Node;
use super::person::Dice;

/// The longest pause between two messages of one writer.
const PAUSE_MS_MAX: u64 = 4;
/// Messages of one direction that may be acknowledged and not yet read: a relay that is full would only refuse more.
const UNDER_WAY_MAX: i64 = 300;
const POLL: Duration = Duration::from_millis(5);
/// One message in so many has a file.
const FILE_EVERY: usize = 40;
const FILE_BYTES_MIN: usize = 100_000;
const FILE_BYTES_MORE: usize = 200_000;
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What one writer ordered.
pub(crate) struct Written {
    /// Every message that the node has taken.
    pub(crate) acknowledged: Vec<String>,
    /// The order that was under way at the end; it may arrive, once.
    pub(crate) open: Option<String>,
}

/// One direction: who writes, to whom, and how much is under way.
pub(crate) struct Way {
    pub(crate) from: PathBuf,
    pub(crate) to: Address,
    pub(crate) mark: char,
    /// Where files lie that are sent.
    files: PathBuf,
    under_way: AtomicI64,
}

/// A name for the sender, a data directory for the reader.
pub(crate) struct Address {
    pub(crate) name: &'static str,
    pub(crate) home: PathBuf,
}

impl Way {
    pub(crate) fn new(from: &Node, to: &Node, mark: char) -> Self {
        let to = Address { name: to.name, home: to.home.clone() };
        let files = from.home.with_file_name(format!("files of {mark}"));
        fs::create_dir(&files).unwrap();
        Self { from: from.home.clone(), to, mark, files, under_way: AtomicI64::new(0) }
    }
}

/// What the file of a message holds: the same whenever somebody asks.
fn contents(text: &str) -> Vec<u8> {
    let seed = text.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut dice = Dice::new(seed);
    let count = FILE_BYTES_MIN + dice.below(FILE_BYTES_MORE);
    dice.bytes(count)
}

/// Orders a message; its text is the key.
fn send(way: &Way, text: &str, file: Option<&Path>) -> Result<(), ClientError> {
    let request = Request::Send {
        to: way.to.name.to_owned(),
        text: text.to_owned(),
        file: file.map(Path::to_owned),
        key: text.to_owned(),
        class: Urgency::Normal,
    };
    Client::connect(&way.from)?.answers_within(ANSWER_MAX)?.ask(&request).map(drop)
}

/// Orders one message after the other, each repeated with its key until it is acknowledged.
pub(crate) fn write(way: &Way, number: u64, seed: u64, stop: &AtomicBool) -> Written {
    let mut dice = Dice::new(seed ^ number);
    let mark = format!("{}{number}", way.mark);
    let mut written = Written { acknowledged: Vec::new(), open: None };
    loop {
        while way.under_way.load(Ordering::Relaxed) >= UNDER_WAY_MAX && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(POLL);
        }
        let text = format!("{mark} {:06}", written.acknowledged.len());
        let file = (written.acknowledged.len() % FILE_EVERY == FILE_EVERY / 2).then(|| {
            let path = way.files.join(&mark);
            fs::write(&path, contents(&text)).unwrap();
            path
        });
        while send(way, &text, file.as_deref()).is_err() {
            if stop.load(Ordering::Relaxed) {
                written.open = Some(text);
                return written;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        written.acknowledged.push(text);
        way.under_way.fetch_add(1, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            return written;
        }
        std::thread::sleep(Duration::from_millis(dice.roll() % (PAUSE_MS_MAX + 1)));
    }
}

/// Everything that was ever seen in one inbox.
#[derive(Default)]
pub(crate) struct Arrived {
    /// How often each text was delivered.
    pub(crate) times: BTreeMap<String, u32>,
    /// What was seen, and whose removal is not confirmed yet: seeing it again is no second delivery.
    removing: BTreeMap<(u64, String), ()>,
}

impl Arrived {
    /// Looks once and removes what is there; an error if the node does not answer.
    pub(crate) fn look(&mut self, home: &Path) -> Result<(), ClientError> {
        let mut client = Client::connect(home)?.answers_within(ANSWER_MAX)?;
        let Response::Inbox { messages } = client.ask(&Request::Inbox)? else { panic!("no inbox") };
        self.see(&messages);
        for MessageInfo { number, text, file, .. } in messages {
            if file.is_some() {
                let path = home.with_file_name(format!("file of {text}"));
                let _ = fs::remove_file(&path);
                client.ask(&Request::InboxSave { number, path: path.clone() })?;
                assert_eq!(fs::read(&path).unwrap(), contents(&text), "the file of {text}");
                fs::remove_file(&path).unwrap();
            }
            match client.ask(&Request::InboxRemove { number }) {
                Ok(_) | Err(ClientError::Refused { .. }) => self.removing.remove(&(number, text)),
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    fn see(&mut self, messages: &[MessageInfo]) {
        let mut here = BTreeMap::new();
        for message in messages {
            let sight = (message.number, message.text.clone());
            if !self.removing.contains_key(&sight) {
                *self.times.entry(message.text.clone()).or_default() += 1;
            }
            here.insert(sight, ());
        }
        self.removing = here;
    }

    /// Reads until it is told to stop.
    pub(crate) fn read(mut self, way: &Way, stop: &AtomicBool) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let before = self.times.len();
            // A node that does not answer is asked again.
            let _ = self.look(&way.to.home);
            let new = i64::try_from(self.times.len() - before).unwrap();
            way.under_way.fetch_sub(new, Ordering::Relaxed);
            std::thread::sleep(POLL);
        }
        self
    }

    /// Texts of this list that never came.
    pub(crate) fn lost<'a>(&self, acknowledged: &'a [String]) -> Vec<&'a str> {
        let lost = acknowledged.iter().filter(|text| !self.times.contains_key(*text));
        lost.map(String::as_str).collect()
    }

    /// Texts that came more than once.
    pub(crate) fn twice(&self) -> Vec<&str> {
        self.times.iter().filter(|(_, times)| **times > 1).map(|(text, _)| text.as_str()).collect()
    }
}
