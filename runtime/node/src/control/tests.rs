//! Both ends of the control socket against each other, and the server against rude clients.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};

use super::api::{Request, Response};
use super::client::{Client, ClientError};
use super::server::{ControlError, ControlSocket};
use super::socket::{REQUEST_BYTES_MAX, SOCKET_FILE};

/// A server whose driver answers `Status` with an error, `Shutdown` with `Done` and then stops, and
/// everything else with a text.
struct Fixture {
    dir: tempfile::TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Fixture {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_owned();
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let socket = ControlSocket::bind(&home).unwrap();
                ready.send(()).unwrap();
                let (asks, mut asked) = mpsc::channel(4);
                let (stop, stopped) = watch::channel(false);
                let serve = tokio::spawn(socket.serve(asks, stopped));
                while let Some((request, answer)) = asked.recv().await {
                    let end = request == Request::Shutdown;
                    let _ = answer.send(match request {
                        Request::Status => Response::Error { message: "no".into(), hint: Some("ask".into()) },
                        Request::Shutdown => Response::Done,
                        _ => Response::Text { text: "yes".into() },
                    });
                    if end {
                        break;
                    }
                }
                stop.send(true).unwrap();
                serve.await.unwrap();
            });
        });
        started.recv().unwrap();
        Self { dir, thread: Some(thread) }
    }

    fn home(&self) -> &Path {
        self.dir.path()
    }

    fn raw(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.home().join(SOCKET_FILE)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        assert_eq!(
            Client::connect(self.dir.path()).unwrap().ask(&Request::Shutdown).unwrap(),
            Response::Done
        );
        self.thread.take().unwrap().join().unwrap();
        assert!(!self.socket().exists(), "the socket file goes with the node");
    }
}

fn bind(home: &Path) -> Result<(), ControlError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { ControlSocket::bind(home).map(drop) })
}

#[test]
fn a_question_is_answered_again_and_again_on_one_connection() {
    let node = Fixture::start();
    let mut client = Client::connect(node.home()).unwrap();
    for _ in 0..3 {
        assert_eq!(client.ask(&Request::Inbox).unwrap(), Response::Text { text: "yes".into() });
        let Err(ClientError::Refused { message, hint }) = client.ask(&Request::Status) else { panic!() };
        assert_eq!((message.as_str(), hint.as_deref()), ("no", Some("ask")));
    }
}

#[test]
fn only_the_owner_can_open_the_socket() {
    let node = Fixture::start();
    let mode = fs::metadata(node.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!node.home().join(".control").exists());
}

#[test]
fn a_second_node_is_refused_and_the_first_stays() {
    let node = Fixture::start();
    assert!(matches!(bind(node.home()), Err(ControlError::Live { .. })));
    assert!(Client::connect(node.home()).unwrap().ask(&Request::Inbox).is_ok());
}

#[test]
fn the_socket_of_a_dead_node_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(dir.path().join(SOCKET_FILE)).unwrap());
    assert!(matches!(Client::connect(dir.path()), Err(ClientError::NotRunning { .. })));
    bind(dir.path()).unwrap();
}

#[test]
fn a_file_in_the_way_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(SOCKET_FILE), "mine").unwrap();
    assert!(matches!(bind(dir.path()), Err(ControlError::NotASocket { .. })));
    assert_eq!(fs::read(dir.path().join(SOCKET_FILE)).unwrap(), b"mine");
}

#[test]
fn no_node_means_a_hint_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = Client::connect(dir.path()).unwrap_err();
    assert!(error.is_passing());
    assert!(error.hint().unwrap().contains("cairn node"));
    assert!(Client::connect(&dir.path().join("nowhere")).is_err());
}

#[test]
fn garbage_gets_an_error_and_the_connection_goes_on() {
    let node = Fixture::start();
    let stream = node.raw();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for garbage in ["\n", "{}\n", "\u{fffd}\n", "{\"ask\":\"no-such-thing\"}\n", "[[[[\n", "null\n"] {
        (&stream).write_all(garbage.as_bytes()).unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert!(line.contains("\"answer\":\"error\""), "{garbage:?}: {line}");
    }
    (&stream).write_all(b"\xff\xfe\x00\n{\"ask\":\"inbox\"}\n").unwrap();
    let lines: Vec<String> = answers.lines().take(2).map(Result::unwrap).collect();
    assert!(lines[0].contains("error") && lines[1].contains("yes"), "{lines:?}");
}

#[test]
fn a_line_at_the_limit_is_read_and_one_byte_more_ends_the_connection() {
    let node = Fixture::start();
    let head = "{\"ask\":\"card-import\",\"card\":\"";
    let fill = REQUEST_BYTES_MAX - head.len() - "\"}\n".len();
    for (extra, word) in [(0, "yes"), (1, "at most")] {
        let stream = node.raw();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        // The server may close before it has read all of a line that is too long.
        let _ = (&stream).write_all(format!("{head}{}\"}}\n", "x".repeat(fill + extra)).as_bytes());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert!(line.contains(word), "{extra}: {line}");
    }
    let stream = node.raw();
    let _ = (&stream).write_all(&vec![b'x'; 2 * REQUEST_BYTES_MAX]);
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.contains("at most"), "a line without end: {line}");
}

#[test]
fn a_request_that_was_cut_off_is_not_carried_out() {
    let node = Fixture::start();
    let mut stream = node.raw();
    stream.write_all(b"{\"ask\":\"inbox\"}").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"");
}

#[test]
fn one_connection_too_many_is_told_so() {
    let node = Fixture::start();
    let mut clients: Vec<Client> = (0..32).map(|_| Client::connect(node.home()).unwrap()).collect();
    for client in &mut clients {
        client.ask(&Request::Inbox).unwrap();
    }
    let Err(ClientError::Refused { message, .. }) =
        Client::connect(node.home()).unwrap().ask(&Request::Inbox)
    else {
        panic!("the 33rd connection was served");
    };
    assert!(message.contains("too many"), "{message}");
    clients.truncate(16);
    while Client::connect(node.home()).unwrap().ask(&Request::Inbox).is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn a_long_path_works_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("d".repeat(120));
    fs::create_dir(&home).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = ControlSocket::bind(&home).unwrap();
        assert!(matches!(bind_again(&home), Err(ControlError::Live { .. })));
        assert!(Client::connect(&home).is_ok());
        drop(socket);
        assert!(!home.join(SOCKET_FILE).exists());
    });
}

fn bind_again(home: &Path) -> Result<(), ControlError> {
    ControlSocket::bind(home).map(drop)
}
