//! Requests on their way to the core and answers on their way back, with the files they name.

use core::fmt;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use super::{Done, Driver, Input};
use crate::control::api::{Request, Response};
use crate::core::{Answer, Attachment, RequestId};

/// Who waits for which answer.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    next: RequestId,
    waiting: BTreeMap<RequestId, oneshot::Sender<Response>>,
}

pub(crate) fn error(message: impl fmt::Display, hint: Option<&str>) -> Response {
    Response::Error { message: format!("{message}"), hint: hint.map(str::to_owned) }
}

impl Driver {
    pub(super) fn handle_ask(&mut self, ask: Request, answer: oneshot::Sender<Response>) {
        self.requests.next += 1;
        let request = self.requests.next;
        self.requests.waiting.insert(request, answer);
        match ask {
            Request::CarryExport { directory, to } => self.export_drop(request, directory, &to),
            Request::CarryImport { directory } => self.import_drop(request, directory),
            ask => match self.attachment(&ask) {
                Ok(attachment) => self.input(Input::Request { request, ask, attachment }),
                Err(response) => self.finish_answer(request, *response),
            },
        }
    }

    /// Reads the files that a request names.
    fn attachment(&self, ask: &Request) -> Result<Attachment, Box<Response>> {
        match ask {
            Request::Send { file: Some(path), .. } => {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
                let bytes = read_file(path, self.work.item_bytes_max()).map_err(|problem| {
                    Box::new(error(format!("cannot read {}: {problem}", path.display()), None))
                })?;
                Ok(Attachment::File { name, bytes })
            }
            Request::JobPost { file, .. } => match cairn_task::JobFile::load(file) {
                Ok(loaded) => Ok(Attachment::Job(Box::new(loaded))),
                Err(problem) => Err(Box::new(error(problem, Some("check the job file")))),
            },
            _ => Ok(Attachment::None),
        }
    }

    /// Gives an answer, after writing its file if it has one.
    pub(super) fn answer(&mut self, request: RequestId, answer: Answer) {
        let Answer { mut response, file } = answer;
        if let Response::Status(status) = &mut response {
            status.pid = std::process::id();
            status.store_bytes = self.store.usage().bytes();
            status.store_bytes_max = self.store_size_max;
            for open in self.links.values() {
                let peer = open.peer.to_string();
                if let Some(link) = status.links.iter_mut().find(|link| link.node == peer) {
                    (link.sent_bytes, link.received_bytes) = (open.sent_bytes, open.received_bytes);
                }
            }
        }
        let Some((path, bytes)) = file else {
            self.finish_answer(request, response);
            return;
        };
        let done = self.done.clone();
        tokio::task::spawn_blocking(move || {
            let response = match write_new_file(&path, &bytes) {
                Ok(()) => response,
                Err(problem) => {
                    error(format!("cannot write {}: {problem}", path.display()), hint_for(&problem))
                }
            };
            let _ = done.send(Done::Answer { request, response: Box::new(response) });
        });
    }

    pub(super) fn finish_answer(&mut self, request: RequestId, response: Response) {
        if let Some(waiting) = self.requests.waiting.remove(&request) {
            // Whoever asked may be gone; what was done stays done.
            let _ = waiting.send(response);
        }
    }
}

fn hint_for(problem: &io::Error) -> Option<&'static str> {
    (problem.kind() == io::ErrorKind::AlreadyExists).then_some("nothing is overwritten: choose another path")
}

/// Reads a regular file of at most `bytes_max` bytes.
pub(crate) fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?;
    if !length.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if length.len() > bytes_max {
        return Err(io::Error::other(format!("it has {} bytes, {bytes_max} are allowed", length.len())));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, bytes_max), &mut bytes)?;
    Ok(bytes)
}

/// Writes a file that must not exist, readable by its owner only, and makes it durable.
pub(crate) fn write_new_file(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
