//! Bundle files: read with a limit, written only where nothing is lost.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use cairn_bundle::{BLOCKS_MAX, Bundle, Limits};

use crate::failure::Failure;
use crate::out;

/// Largest file that is read: it is held in memory once or twice.
const FILE_BYTES_MAX: usize = 1 << 30;

/// What these commands take: a person looks at a bundle that a node might refuse for its size.
pub(super) const LIMITS: Limits = Limits { bundle_bytes_max: FILE_BYTES_MAX, blocks_max: BLOCKS_MAX };

/// Reads a file, or stdin for `-`.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = if is_stdio(file) {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Failure::new(format!("cannot read {}: {error}", name(file)), "name a file, or `-` for stdin")
    })?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Failure::new(
            format!("{} is larger than {} MiB", name(file), FILE_BYTES_MAX >> 20),
            "a file this large is not read into memory: cut it into fragments where it was made",
        ));
    }
    Ok(bytes)
}

/// Reads a file that has to be a bundle.
pub(super) fn read_bundle(file: &Path) -> Result<Bundle, Failure> {
    Bundle::decode(&read(file)?, &LIMITS).map_err(|error| {
        Failure::new(
            format!("{} is not a bundle that can be used: {error}", name(file)),
            format!("see where and why: cairn bundle inspect {}", name(file)),
        )
    })
}

/// Writes a new file durably, or stdout for `-`. A file that exists is left alone.
pub(super) fn write_new(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if is_stdio(file) {
        return out::raw(bytes);
    }
    let written = File::options().write(true).create_new(true).open(file).and_then(|mut target| {
        let done = target.write_all(bytes).and_then(|()| target.sync_all());
        if done.is_err() {
            // Half a bundle under the name of a whole one would only mislead.
            let _ = fs::remove_file(file);
        }
        done
    });
    written.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::AlreadyExists => "name another file, or remove that one first",
            ErrorKind::NotFound => "make the directory first",
            _ => "is there room, and may you write there?",
        };
        Failure::new(format!("cannot write {}: {error}", name(file)), hint)
    })
}

pub(super) fn is_stdio(file: &Path) -> bool {
    file == Path::new("-")
}

/// How a file is called in messages: on one line, so that no name can pretend to be a line of ours.
pub(super) fn name(file: &Path) -> String {
    if is_stdio(file) { "stdin".to_owned() } else { out::clean_line(&file.display().to_string()) }
}
