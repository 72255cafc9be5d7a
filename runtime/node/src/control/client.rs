//! The command's end of the control socket: blocking, one question at a time.

use core::time::Duration;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::api::{Request, Response};
use super::socket::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX, SOCKET_FILE, ShortPath};

/// A node that takes no request for so long is given up.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers at the socket.
    #[error("no node answers at {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is somebody else's.
    #[error("the node at {} belongs to another user", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke, or the answer took longer than allowed.
    #[error("the node went away before it answered: {0}")]
    Broken(#[source] io::Error),
    /// The request does not fit a line.
    #[error("the request is longer than {REQUEST_BYTES_MAX} bytes")]
    TooLong,
    /// The answer is not understood.
    #[error("the node's answer is not understood: {0}")]
    Garbled(String),
    /// The node said no, and nothing changed.
    #[error("{message}")]
    Refused {
        /// What is wrong.
        message: String,
        /// What a person can do.
        hint: Option<String>,
    },
}

impl ClientError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotRunning { .. } => "is the node running? start it with: cairn node",
            Self::Forbidden { .. } => "run cairn as the user that runs the node",
            Self::Broken(_) => {
                "see what the node said where it runs; an order with the same --key can be repeated safely"
            }
            Self::TooLong => "send large content as a file",
            Self::Garbled(_) => "use the command cairn of the version that runs as node",
            Self::Refused { hint, .. } => return hint.clone(),
        };
        Some(text.into())
    }

    /// Whether the same request may succeed a moment later: nobody refused it.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Broken(_))
    }
}

/// A connection to the node of a data directory.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the node that runs with this data directory.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`], [`ClientError::Forbidden`].
    pub fn connect(home: &Path) -> Result<Self, ClientError> {
        let path = home.join(SOCKET_FILE);
        let connected =
            ShortPath::new(home, SOCKET_FILE).and_then(|short| UnixStream::connect(short.as_path()));
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(ClientError::Forbidden { path });
            }
            Err(_) => return Err(ClientError::NotRunning { path }),
        };
        stream.set_write_timeout(Some(WRITE_TIME_MAX)).map_err(ClientError::Broken)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Gives up waiting for answers after this time; without it, waits as long as the node lives.
    ///
    /// # Errors
    /// [`ClientError::Broken`] if the system refuses, as it does a time of zero.
    pub fn answers_within(self, time: Duration) -> Result<Self, ClientError> {
        self.stream.get_ref().set_read_timeout(Some(time)).map_err(ClientError::Broken)?;
        Ok(self)
    }

    /// Asks, and waits for the answer. [`Response::Error`] comes back as [`ClientError::Refused`].
    ///
    /// # Errors
    /// [`ClientError`]; after anything but `Refused`, the connection is of no more use.
    pub fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        let mut line =
            serde_json::to_vec(request).map_err(|reason| ClientError::Garbled(reason.to_string()))?;
        line.push(b'\n');
        if line.len() > REQUEST_BYTES_MAX {
            return Err(ClientError::TooLong);
        }
        // A node that refuses the connection says why and closes it: read before giving up.
        let written = self.stream.get_ref().write_all(&line);
        match (self.read_answer(), written) {
            (Ok(Response::Error { message, hint }), _) => Err(ClientError::Refused { message, hint }),
            (Ok(response), _) => Ok(response),
            (Err(_), Err(broken)) => Err(ClientError::Broken(broken)),
            (Err(error), Ok(())) => Err(error),
        }
    }

    fn read_answer(&mut self) -> Result<Response, ClientError> {
        let mut answer = Vec::new();
        let limit = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
        self.stream.by_ref().take(limit).read_until(b'\n', &mut answer).map_err(ClientError::Broken)?;
        if answer.pop() != Some(b'\n') {
            return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_slice(&answer).map_err(|reason| ClientError::Garbled(reason.to_string()))
    }
}
