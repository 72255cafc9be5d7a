//! The job of the demo: `examples/digits`, built in so that the binary needs nothing beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

macro_rules! digits {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../../../examples/digits/", $name)).as_slice())
    };
}

/// Name and contents of each file of the job.
const FILES: [(&str, &[u8]); 5] = [
    digits!("digits.toml"),
    digits!("held-out.idx"),
    digits!("linear.wasm"),
    digits!("small.onnx"),
    digits!("large.onnx"),
];

/// What really is on each picture, one digit per line. No node ever sees this.
const LABELS: &str = include_str!("../../../../examples/digits/held-out.labels");

/// Writes the job into a directory; gives the path of the job file.
pub(super) fn write_job(directory: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    for (name, bytes) in FILES {
        fs::write(directory.join(name), bytes)?;
    }
    Ok(directory.join("digits.toml"))
}

/// What the job offers to each node that passes its payment on.
pub(super) fn fee() -> Result<u64, String> {
    let text = FILES.iter().find(|(name, _)| *name == "digits.toml").map_or(&[][..], |(_, bytes)| bytes);
    let text = core::str::from_utf8(text).map_err(|error| error.to_string())?;
    let job: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    let fee = job.get("fee").and_then(toml::Value::as_integer).unwrap_or(0);
    u64::try_from(fee).map_err(|error| error.to_string())
}

/// How many lines of an output are right, in parts per million, rounded.
pub(super) fn accuracy_ppm(output: &str) -> Result<u32, String> {
    let (right, all) = (output.lines().count(), LABELS.lines().count());
    if right != all {
        return Err(format!("the output has {right} lines for {all} pictures"));
    }
    let hits = output.lines().zip(LABELS.lines()).filter(|(said, is)| said.trim() == is.trim()).count();
    let ppm = (hits * 1_000_000 + all / 2) / all;
    u32::try_from(ppm).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_agree_with_themselves_only() {
        assert_eq!(accuracy_ppm(LABELS), Ok(1_000_000));
        let all_zero = "0\n".repeat(LABELS.lines().count());
        let ppm = accuracy_ppm(&all_zero).unwrap();
        assert!((50_000..150_000).contains(&ppm), "about a tenth are zeros: {ppm}");
        assert!(accuracy_ppm("7\n").is_err());
        assert!(accuracy_ppm("").is_err());
    }

    #[test]
    fn the_job_is_complete_on_disk_and_has_a_fee() {
        let dir = tempfile::tempdir().unwrap();
        let job = write_job(dir.path()).unwrap();
        assert!(job.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), FILES.len());
        assert!(fee().unwrap() > 0);
    }
}
