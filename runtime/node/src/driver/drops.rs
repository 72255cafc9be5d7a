//! Drop directories: files in, files out, each of them durable or not there.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use cairn_bundle::{Digest, NodeId};
use cairn_engine::LinkId;
use cairn_link::{Item, parcel};

use super::answers::{error, read_file};
use super::{Done, Driver, clock};
use crate::control::api::{CarryInfo, Response};
use crate::core::{Exported, Parcel, ParcelFile, RequestId};

/// The directory inside a drop that belongs to Cairn.
const FOLDER: &str = "cairn-drop";
/// Files of one drop that are looked at; a stick with more has to be emptied.
const FILES_MAX: usize = 100_000;
/// Pairs of directory and peer whose last export is remembered.
const PLACES_MAX: usize = 1_000;
/// Afterwards the same is written anew: what lies there is sealed to a prekey that the peer will erase.
const WRITTEN_GOOD_FOR: Duration = Duration::from_secs(4 * 24 * 3_600);
/// Refusals that are told one by one.
const REFUSALS_TOLD_MAX: usize = 100;
/// Name of the counter of files that could not be used.
const REFUSED: &str = "drop files refused";
/// Ending of the name of a file that is being written.
const UNFINISHED: &str = ".part";
/// Nobody writes one file for longer than this.
const UNFINISHED_FOR: Duration = Duration::from_secs(3_600);

/// What a blocking thread has found or done.
#[derive(Debug)]
pub(crate) enum Step {
    /// The files of a drop, to be imported.
    Listed { request: RequestId, files: io::Result<Vec<PathBuf>> },
    /// One file, read and checked against its name.
    Read { request: RequestId, path: PathBuf, bytes: Result<Vec<u8>, String> },
}

/// An import under way.
#[derive(Debug)]
struct Import {
    request: RequestId,
    files: VecDeque<PathBuf>,
    /// The file that is being taken in.
    current: Option<(LinkId, PathBuf)>,
    reading: bool,
    items_before: u64,
    /// Files with items that were not wanted when they came: tried once more after all others, since a
    /// file that came later may name them.
    again: VecDeque<PathBuf>,
    second_round: bool,
    info: CarryInfo,
}

/// What was written last into one directory for one peer.
#[derive(Debug)]
struct Written {
    contents: BTreeSet<(bool, Item)>,
    names: Vec<String>,
    at: Instant,
}

/// Imports under way, and what was exported before.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    imports: Vec<Import>,
    written: BTreeMap<(PathBuf, NodeId), Written>,
}

impl Drops {
    /// The files that have to be written: none if what lies there already has it all, so that exporting
    /// again and again does not fill a stick.
    fn news(&mut self, directory: &Path, peer: NodeId, exported: Exported) -> Vec<ParcelFile> {
        let place = (directory.to_owned(), peer);
        if let Some(before) = self.written.get(&place) {
            let folder = directory.join(FOLDER);
            let there = before.names.iter().all(|name| folder.join(name).is_file());
            if there
                && before.at.elapsed() < WRITTEN_GOOD_FOR
                && exported.contents.is_subset(&before.contents)
            {
                return Vec::new();
            }
        }
        if self.written.len() >= PLACES_MAX {
            self.written.clear();
        }
        let names = exported.files.iter().map(|file| file.name.clone()).collect();
        self.written.insert(place, Written { contents: exported.contents, names, at: Instant::now() });
        exported.files
    }
}

impl Driver {
    pub(super) fn export_drop(&mut self, request: RequestId, directory: PathBuf, to: &[String]) {
        let mut peers = Vec::new();
        for name in to {
            match self.core.find_contact(name) {
                Ok(node) => peers.push(node),
                Err(problem) => {
                    let hint = "import the card first: cairn card import FILE";
                    return self.finish_answer(request, error(problem, Some(hint)));
                }
            }
        }
        if to.is_empty() {
            peers.extend(self.core.contacts().peers().map(|(node, _)| *node));
        }
        if peers.is_empty() {
            let hint = "name one with --to, or add one: cairn peer add NODE";
            return self.finish_answer(request, error("there is no peer to export for", Some(hint)));
        }
        let mut files = Vec::new();
        let mut items = 0;
        for peer in peers {
            match self.core.export_parcels(clock(self.started), &peer, &*self.store) {
                Ok(exported) => {
                    items += exported.contents.iter().filter(|(item, _)| *item).count();
                    files.extend(self.drops.news(&directory, peer, exported));
                }
                Err(problem) => return self.finish_answer(request, error(problem, None)),
            }
        }
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        let done = self.done.clone();
        tokio::task::spawn_blocking(move || {
            let response = match write_parcels(&directory, &files) {
                Ok(bytes) => {
                    let files = u64::try_from(files.len()).unwrap_or(u64::MAX);
                    Response::Carried(CarryInfo { files, bytes, items, ..CarryInfo::default() })
                }
                Err(problem) => error(
                    format!("cannot write to {}: {problem}", directory.display()),
                    Some("is it mounted, writable and not full? Exporting again is safe"),
                ),
            };
            let _ = done.send(Done::Answer { request, response: Box::new(response) });
        });
    }

    pub(super) fn import_drop(&self, request: RequestId, directory: PathBuf) {
        let done = self.done.clone();
        tokio::task::spawn_blocking(move || {
            let files = list_parcels(&directory);
            let _ = done.send(Done::Dropped(Step::Listed { request, files }));
        });
    }

    pub(super) fn dropped(&mut self, step: Step) {
        match step {
            Step::Listed { request, files: Ok(files) } => self.drops.imports.push(Import {
                request,
                files: files.into(),
                current: None,
                reading: false,
                items_before: self.core.items_taken(),
                again: VecDeque::new(),
                second_round: false,
                info: CarryInfo::default(),
            }),
            Step::Listed { request, files: Err(problem) } => {
                let hint = "give the directory that `cairn carry export` wrote to";
                self.finish_answer(request, error(format!("cannot read the drop: {problem}"), Some(hint)));
            }
            Step::Read { request, path, bytes } => {
                let Some(index) = self.drops.imports.iter().position(|import| import.request == request)
                else {
                    return;
                };
                let parcel = match &bytes {
                    Ok(bytes) => self.core.import_parcel(clock(self.started), bytes, &*self.store),
                    Err(problem) => Parcel::Refused(problem.clone()),
                };
                let Some(import) = self.drops.imports.get_mut(index) else { return };
                import.reading = false;
                if !import.second_round {
                    import.info.files += 1;
                    import.info.bytes += bytes.map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(0));
                }
                match parcel {
                    Parcel::Mine(link) => import.current = Some((link, path)),
                    Parcel::Known => {}
                    Parcel::ForOthers => import.info.for_others += 1,
                    Parcel::Refused(reason) => {
                        import.refuse(&path, reason);
                        self.core.count(REFUSED);
                    }
                }
            }
        }
    }

    /// Takes every import one step further if it can; says whether anything happened.
    pub(super) fn step_drops(&mut self) -> bool {
        let mut moved = false;
        let mut imports = core::mem::take(&mut self.drops.imports);
        imports.retain_mut(|import| {
            if let Some((link, path)) = &import.current {
                let Some(state) = self.core.import_state(*link, &*self.store) else { return true };
                if let Some(broken) = state.broken {
                    import.refuse(&path.clone(), broken.to_string());
                    self.core.count(REFUSED);
                } else if state.refused > 0 && !import.second_round {
                    import.again.push_back(path.clone());
                }
                import.current = None;
                moved = true;
            }
            if import.reading {
                return true;
            }
            if let Some(path) = import.files.pop_front() {
                import.reading = true;
                self.read_parcel(import.request, path);
                return true;
            }
            if !import.second_round && !import.again.is_empty() {
                import.second_round = true;
                import.files = core::mem::take(&mut import.again);
                moved = true;
                return true;
            }
            let mut info = core::mem::take(&mut import.info);
            info.items = self.core.items_taken().saturating_sub(import.items_before);
            self.finish_answer(import.request, Response::Carried(info));
            moved = true;
            false
        });
        self.drops.imports = imports;
        moved
    }

    fn read_parcel(&self, request: RequestId, path: PathBuf) {
        let done = self.done.clone();
        let bytes_max = parcel::bytes_hard_max(self.work.item_bytes_max()).saturating_mul(2);
        tokio::task::spawn_blocking(move || {
            let bytes = read_checked(&path, bytes_max);
            let _ = done.send(Done::Dropped(Step::Read { request, path, bytes }));
        });
    }
}

impl Import {
    fn refuse(&mut self, path: &Path, reason: String) {
        self.info.refused_files += 1;
        if self.info.refused.len() < REFUSALS_TOLD_MAX {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            self.info.refused.push((name, reason));
        }
    }
}

/// Reads a file and compares it with the digest that is its name: a cut or damaged file shows.
fn read_checked(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let bytes = read_file(path, bytes_max).map_err(|problem| problem.to_string())?;
    let promised = path.file_name().and_then(|name| name.to_str()).and_then(parcel::parse_file_name);
    if promised == Some(Digest::of(&bytes)) {
        Ok(bytes)
    } else {
        Err("the file is damaged, cut off or renamed".to_owned())
    }
}

/// What looks like a parcel, in the order of names; everything else is left alone.
fn list_parcels(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = directory.join(FOLDER);
    let folder = if folder.is_dir() { folder } else { directory.to_owned() };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.ends_with(parcel::FILE_SUFFIX) && !name.starts_with('.')) {
            if files.len() >= FILES_MAX {
                return Err(io::Error::other(format!("more than {FILES_MAX} files; remove the oldest")));
            }
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Writes parcels so that each is there as a whole or not at all, even if the stick is pulled out.
fn write_parcels(directory: &Path, files: &[ParcelFile]) -> io::Result<u64> {
    if !directory.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no such directory"));
    }
    let folder = directory.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let mut bytes: u64 = 0;
    for file in files {
        let path = folder.join(&file.name);
        let unfinished = folder.join(format!(".{}{UNFINISHED}", file.name));
        let mut out = File::create(&unfinished)?;
        out.write_all(&file.bytes)?;
        out.sync_all()?;
        fs::rename(&unfinished, &path)?;
        bytes += u64::try_from(file.bytes.len()).unwrap_or(0);
    }
    if let Some(fresh) = files.last() {
        remove_left_behind(&folder, &folder.join(&fresh.name));
    }
    File::open(&folder)?.sync_all()?;
    File::open(directory)?.sync_all()?;
    Ok(bytes)
}

/// Removes what exports left unfinished long before `fresh` was written, by the clock of the drop itself: a
/// younger one may be another node's that writes right now. What cannot be removed does no harm.
fn remove_left_behind(folder: &Path, fresh: &Path) {
    let written = |path: &Path| fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok();
    let (Some(now), Ok(entries)) = (written(fresh), fs::read_dir(folder)) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let parcel = name.strip_prefix('.').and_then(|name| name.strip_suffix(UNFINISHED));
        let is_old = |at| now.duration_since(at).is_ok_and(|age| age > UNFINISHED_FOR);
        if parcel.and_then(parcel::parse_file_name).is_some() && written(&path).is_some_and(is_old) {
            let _ = fs::remove_file(&path);
        }
    }
}
