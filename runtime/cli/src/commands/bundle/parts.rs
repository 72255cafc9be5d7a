//! `cairn bundle fragment` and `reassemble`: a bundle in pieces, and whole again.

use std::path::{Path, PathBuf};

use cairn_bundle::{
    BlockKind, Bundle, Conflict, FRAGMENTS_MAX, Inserted, Now, Origin, Reassembly, ReassemblyError,
    ReassemblyLimits, WholeId, verify_source,
};
use clap::Args;
use serde::Serialize;

use super::files;
use crate::context::Context;
use crate::failure::Failure;
use crate::out;

/// Most combinations of contradicting fragments that are tried.
const OFFERS_MAX: usize = 1024;

/// What to cut, and how.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("size").required(true).args(["payload_bytes", "encoded_bytes"]))]
pub(crate) struct FragmentArgs {
    /// The bundle file; `-` for stdin
    file: PathBuf,
    /// Most bytes of payload in a fragment
    #[arg(long, value_name = "BYTES")]
    payload_bytes: Option<usize>,
    /// Most bytes of a whole fragment file, as a frame or a medium holds them
    #[arg(long, value_name = "BYTES")]
    encoded_bytes: Option<usize>,
    /// Directory for the fragments, named by their offset; must exist
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// What to put together.
#[derive(Debug, Args)]
pub(crate) struct ReassembleArgs {
    /// The fragment files, in any order; more than are needed do no harm
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where to write the whole bundle, must not exist; `-` for stdout
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Serialize)]
struct Cut {
    fragments: Vec<Piece>,
}

#[derive(Debug, Serialize)]
struct Piece {
    file: String,
    offset: u64,
    payload_bytes: usize,
    bytes: usize,
}

#[derive(Debug, Serialize)]
struct Joined {
    file: String,
    bytes: usize,
    content_id: String,
}

pub(super) fn fragment(context: &Context, args: &FragmentArgs) -> Result<(), Failure> {
    let bundle = files::read_bundle(&args.file)?;
    let pieces = match (args.payload_bytes, args.encoded_bytes) {
        (Some(bytes), _) => bundle.fragment(bytes),
        (None, bytes) => bundle.fragment_to_fit(bytes.unwrap_or_default()),
    };
    let pieces = pieces.map_err(|error| {
        Failure::new(
            format!("cannot cut {}: {error}", files::name(&args.file)),
            "a bundle may be cut if its source allows it: `cairn bundle create --may-fragment`",
        )
    })?;
    if pieces.iter().any(|piece| piece.primary().fragment.is_none()) {
        return Err(Failure::new(
            format!("{} is small enough: it needs no cut", files::name(&args.file)),
            "hand it over as it is, or ask for smaller fragments",
        ));
    }
    let mut cut = Cut { fragments: Vec::new() };
    let stem = stem(&args.file);
    let place = |piece: &Bundle| {
        let offset = piece.primary().fragment.map_or(0, |fragment| fragment.offset);
        (offset, args.out.join(format!("{stem}.{offset:010}.fragment")))
    };
    // Looked for before the first one is written, so that an old set and a new one do not mix.
    if let Some((_, file)) = pieces.iter().map(place).find(|(_, file)| file.exists()) {
        return Err(Failure::new(
            format!("{} exists", files::name(&file)),
            "name an empty directory with --out, or remove the old fragments first",
        ));
    }
    for piece in &pieces {
        let (offset, file) = place(piece);
        let bytes = piece.encode();
        files::write_new(&file, &bytes)?;
        let (file, payload_bytes) = (files::name(&file), piece.payload().len());
        cut.fragments.push(Piece { file, offset, payload_bytes, bytes: bytes.len() });
    }
    if context.json() {
        return out::json(&cut);
    }
    out::text(
        &cut.fragments.iter().map(|piece| format!("{}\n", out::clean_line(&piece.file))).collect::<String>(),
    )
}

/// How the fragments of a file are called: as the file, without its ending.
fn stem(file: &Path) -> String {
    let stem = if files::is_stdio(file) { None } else { file.file_stem() };
    stem.map_or_else(|| "bundle".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

pub(super) fn reassemble(context: &Context, args: &ReassembleArgs) -> Result<(), Failure> {
    let whole = join(&args.files)?;
    let bytes = whole.encode();
    files::write_new(&args.out, &bytes)?;
    let joined = Joined {
        file: files::name(&args.out),
        bytes: bytes.len(),
        content_id: whole.content_id().to_string(),
    };
    if context.json() && !files::is_stdio(&args.out) {
        return out::json(&joined);
    }
    out::say(&out::clean(&format!("{} bytes, content {}", joined.bytes, joined.content_id)));
    Ok(())
}

/// Puts the fragments together, or says what is missing.
fn join(paths: &[PathBuf]) -> Result<Bundle, Failure> {
    let mut reassembly = Reassembly::new(limits());
    // Nobody waits for anything here: the files lie there, whatever the clock says.
    let now = Now { monotonic_ms: 0, wall_ms: None };
    let mut seen: Option<WholeId> = None;
    let mut unproven: Option<Bundle> = None;
    let mut disputed = false;
    for path in paths {
        let fragment = files::read_bundle(path)?;
        let inserted = reassembly.insert(fragment, Origin(0), now).map_err(|error| refused(path, &error))?;
        let Inserted::Stored(progress) = inserted else { continue };
        if let Some(conflict) = &progress.conflict {
            let what = match conflict {
                Conflict::Primary => "belongs to another bundle that claims the same name".to_owned(),
                Conflict::Bytes(range) => {
                    format!("contradicts another fragment at bytes {} to {}", range.start, range.end)
                }
            };
            out::say(&out::clean(&format!("{} {what}", files::name(path))));
        }
        if seen.as_ref().is_some_and(|seen| *seen != progress.id) && progress.conflict.is_none() {
            return Err(Failure::new(
                format!("{} is a fragment of another bundle than the files before it", files::name(path)),
                "name the fragments of one bundle only",
            ));
        }
        seen = Some(progress.id.clone());
        disputed |= progress.conflict.is_some();
        let mut offered = progress.whole;
        while let Some(whole) = offered {
            if verify_source(&whole.bundle).is_ok() {
                return Ok(whole.bundle);
            }
            offered = reassembly.refuse(&whole.id, now.monotonic_ms);
            // A liar takes the signature off, so what has none waits for what all files give.
            if unproven.is_none() && !is_broken(&whole.bundle) {
                unproven = Some(whole.bundle);
            }
        }
    }
    match unproven {
        Some(whole) if !disputed => Ok(whole),
        Some(_) => Err(Failure::new(
            "these fragments contradict each other, and no signature tells which ones are true",
            "leave out those that you do not trust, or get the missing ones of the others",
        )),
        None => Err(incomplete(&reassembly, seen.as_ref())),
    }
}

/// Whether a bundle has a signature of a node that does not hold.
fn is_broken(bundle: &Bundle) -> bool {
    let ours = bundle.source().node_id().is_some();
    ours && bundle.blocks().iter().any(|block| block.kind == BlockKind::Integrity)
}

fn incomplete(reassembly: &Reassembly, id: Option<&WholeId>) -> Failure {
    let missing: Vec<String> = id
        .map(|id| reassembly.missing(id).map(|range| format!("{} to {}", range.start, range.end)).collect())
        .unwrap_or_default();
    if missing.is_empty() {
        return Failure::new(
            "no combination of these fragments has a signature that holds",
            "a fragment was changed: get it again from somebody else and add it to the files",
        );
    }
    Failure::new(
        format!("the bundle is not whole: bytes {} of its payload are missing", missing.join(", ")),
        "add the fragments that hold these bytes",
    )
}

fn refused(path: &Path, error: &ReassemblyError) -> Failure {
    let hint = match error {
        ReassemblyError::NotAFragment => "a whole bundle needs nothing put together",
        _ => "name the fragments of one bundle only",
    };
    Failure::new(format!("{}: {error}", files::name(path)), hint)
}

/// Files that a person names are no flood: only what is held in memory is limited.
fn limits() -> ReassemblyLimits {
    let bytes_max = files::LIMITS.bundle_bytes_max;
    ReassemblyLimits {
        bytes_max,
        origin_bytes_max: bytes_max,
        payload_bytes_max: u64::try_from(bytes_max).unwrap_or(u64::MAX),
        fragments_max: FRAGMENTS_MAX,
        origin_fragments_max: FRAGMENTS_MAX,
        waiting_ms_max: u64::MAX,
        // A lie in each of many files is not to keep the truth from being tried.
        offers_max: OFFERS_MAX,
        ..ReassemblyLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_called_as_their_bundle() {
        assert_eq!(stem(Path::new("/a/note.bundle")), "note");
        assert_eq!(stem(Path::new("note")), "note");
        assert_eq!(stem(Path::new("-")), "bundle");
    }
}
