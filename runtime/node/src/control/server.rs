//! The node's end of the control socket: takes requests in, hands them to the driver, writes the answers.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};

use super::api::{Request, Response};
use super::socket::{REQUEST_BYTES_MAX, SOCKET_FILE, ShortPath};

/// Connections at the same time; one more is told so and closed.
const CONNECTIONS_MAX: usize = 32;

/// A connection that asks nothing for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A line that has begun has to be complete within this time.
const LINE_TIME_MAX: Duration = Duration::from_secs(10);

/// A client that does not take its answer for so long is given up.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);

/// After the order to stop, answers under way get this long.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the driver receives: a request, and where its answer goes.
pub type Asked = (Request, oneshot::Sender<Response>);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Somebody answers there.
    #[error("a node already answers at {}", path.display())]
    Live {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has the name of the socket.
    #[error("{} is in the way: it is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot open the control socket {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ControlError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Live { .. } => {
                "stop the other node first, or give this one its own directory: cairn --home DIR node"
            }
            Self::NotASocket { .. } => "move that file away",
            Self::Io { .. } => "check the data directory: cairn doctor",
        }
    }
}

/// A bound control socket; the file goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

impl ControlSocket {
    /// Binds `<home>/control.sock` with mode 0600, in place of the socket of a node that died.
    ///
    /// The socket is made under another name in a private directory and moved into place when its mode is
    /// right, so that no umask leaves it open for a moment. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ControlError::Live`] if another node answers there.
    pub fn bind(home: &Path) -> Result<Self, ControlError> {
        let path = home.join(SOCKET_FILE);
        let failed = |source| ControlError::Io { path: path.clone(), source };
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(meta) if !meta.file_type().is_socket() => return Err(ControlError::NotASocket { path }),
            Ok(_) => {
                let short = ShortPath::new(home, SOCKET_FILE).map_err(failed)?;
                if std::os::unix::net::UnixStream::connect(short.as_path()).is_ok() {
                    return Err(ControlError::Live { path });
                }
            }
        }
        let (listener, inode) = bind_private(home, &path).map_err(failed)?;
        Ok(Self { listener, path, inode })
    }

    /// Serves until `stop` becomes true or its sender is gone; answers that are under way are still written.
    pub async fn serve(self, asks: mpsc::Sender<Asked>, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, most likely: wait instead of spinning.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            if !same_user(&stream) {
                continue;
            }
            match Arc::clone(&free).try_acquire_owned() {
                Ok(permit) => {
                    let (asks, stop) = (asks.clone(), stop.clone());
                    connections.spawn(async move {
                        converse(stream, asks, stop).await;
                        drop(permit);
                    });
                }
                Err(_) => refuse_one_too_many(stream),
            }
        }
        let _ = timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Only the own socket: another node may have taken the place of one that hung.
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn bind_private(home: &Path, path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let private = home.join(".control");
    match fs::remove_dir_all(&private) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(&private)?;
    let short = ShortPath::new(&private, "s")?;
    let listener = UnixListener::bind(short.as_path())?;
    let made = private.join("s");
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
    let meta = fs::symlink_metadata(&made)?;
    fs::rename(&made, path)?;
    fs::remove_dir(&private)?;
    Ok((listener, (meta.dev(), meta.ino())))
}

fn same_user(stream: &UnixStream) -> bool {
    let me = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == me || peer.uid() == 0)
}

/// Says so without waiting: a fresh socket has room for one line.
fn refuse_one_too_many(stream: UnixStream) {
    let text =
        line(&error("the node already has too many control connections", "end the other commands first"));
    if let Ok(stream) = stream.into_std() {
        let _ = io::Write::write(&mut &stream, text.as_bytes());
    }
}

fn error(message: impl Into<String>, hint: &str) -> Response {
    Response::Error { message: message.into(), hint: Some(hint.into()) }
}

fn line(response: &Response) -> String {
    let mut text = serde_json::to_string(response).unwrap_or_else(|_| {
        r#"{"answer":"error","message":"the answer could not be written as JSON","hint":null}"#.into()
    });
    text.push('\n');
    text
}

/// What came of reading one line.
enum Line {
    Whole,
    End,
    TooLong,
}

async fn converse(stream: UnixStream, asks: mpsc::Sender<Asked>, mut stop: watch::Receiver<bool>) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let got = tokio::select! {
            got = read_line(&mut read, &mut bytes) => got,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let response = match got {
            Ok(Line::Whole) => match serde_json::from_slice(&bytes) {
                Ok(request) => ask(&asks, request).await,
                Err(reason) => error(
                    format!("this request is not understood: {reason}"),
                    "use the command cairn of the same version",
                ),
            },
            Ok(Line::TooLong) => {
                let text = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
                let _ = answer(&mut write, &error(text, "send large content as a file")).await;
                return;
            }
            Ok(Line::End) | Err(_) => return,
        };
        if answer(&mut write, &response).await.is_err() {
            return;
        }
    }
}

async fn ask(asks: &mpsc::Sender<Asked>, request: Request) -> Response {
    let ended = || error("the node is ending", "start it again: cairn node");
    let (sender, receiver) = oneshot::channel();
    if asks.send((request, sender)).await.is_err() {
        return ended();
    }
    receiver.await.unwrap_or_else(|_| ended())
}

async fn answer(write: &mut OwnedWriteHalf, response: &Response) -> io::Result<()> {
    timeout(WRITE_TIME_MAX, write.write_all(line(response).as_bytes())).await?
}

/// Reads up to the line feed, never more than the limit, and in bounded time.
async fn read_line(read: &mut BufReader<OwnedReadHalf>, bytes: &mut Vec<u8>) -> io::Result<Line> {
    if timeout(IDLE_MAX, read.fill_buf()).await??.is_empty() {
        return Ok(Line::End);
    }
    timeout(LINE_TIME_MAX, read_rest(read, bytes)).await?
}

async fn read_rest(read: &mut BufReader<OwnedReadHalf>, bytes: &mut Vec<u8>) -> io::Result<Line> {
    loop {
        let chunk = read.fill_buf().await?;
        if chunk.is_empty() {
            // A request without its line feed was cut off, and is not one.
            return Ok(Line::End);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let (part, _) = chunk.split_at_checked(end.unwrap_or(chunk.len())).unwrap_or((chunk, &[]));
        let used = part.len() + usize::from(end.is_some());
        if bytes.len() + used > REQUEST_BYTES_MAX {
            return Ok(Line::TooLong);
        }
        bytes.extend_from_slice(part);
        read.consume(used);
        if end.is_some() {
            return Ok(Line::Whole);
        }
    }
}
