//! Keys that a person has for bundles of other stacks: a TOML file that nobody else may read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cairn_bundle::Eid;
use cairn_bundle::bpsec::key::{KeyRing, Purpose, SymmetricKey};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Room for thousands of keys.
const FILE_BYTES_MAX: u64 = 1 << 20;

const HINT: &str = "write [[key]] with source = \"ipn:2.1\", purpose = \"integrity\", \"confidentiality\", \
\"wrap-integrity\" or \"wrap-confidentiality\", and hex = \"...\"";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default)]
    key: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The security source that the key is shared with.
    source: String,
    purpose: Use,
    hex: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Use {
    Integrity,
    Confidentiality,
    WrapIntegrity,
    WrapConfidentiality,
}

/// Reads the keys of a file.
pub(super) fn read(path: &Path) -> Result<KeyRing, Failure> {
    let failed = |error: &dyn core::fmt::Display| {
        Failure::new(format!("cannot read the keys in {}: {error}", path.display()), HINT)
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mode = file.metadata().map_err(|error| failed(&error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Failure::new(
            format!("others on this machine may read the keys in {}", path.display()),
            format!("make the file private: chmod 600 {}", path.display()),
        ));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if u64::try_from(read).is_ok_and(|bytes| bytes > FILE_BYTES_MAX) {
        return Err(failed(&"it is larger than 1 MiB"));
    }
    // The message of the parser would show the line, and with it a key.
    let parsed: KeyFile =
        toml::from_str(&text).map_err(|_| failed(&"it is not in the form of a key file"))?;
    let mut ring = KeyRing::new();
    for (index, entry) in parsed.key.into_iter().enumerate() {
        let at = |error: &dyn core::fmt::Display| failed(&format!("key {}: {error}", index + 1));
        let hex = Zeroizing::new(entry.hex);
        let source: Eid = entry.source.parse().map_err(|error| at(&error))?;
        let bytes = unhex(&hex).ok_or_else(|| at(&"hex is not an even number of hexadecimal digits"))?;
        let key = SymmetricKey::new(&bytes).map_err(|error| at(&error))?;
        ring.insert(source, entry.purpose.into(), key);
    }
    Ok(ring)
}

impl From<Use> for Purpose {
    fn from(purpose: Use) -> Self {
        match purpose {
            Use::Integrity => Self::Integrity,
            Use::Confidentiality => Self::Confidentiality,
            Use::WrapIntegrity => Self::WrapIntegrity,
            Use::WrapConfidentiality => Self::WrapConfidentiality,
        }
    }
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pairs = digits.chunks(2).map(|pair| core::str::from_utf8(pair).ok());
    let bytes: Option<Vec<u8>> = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
    bytes.map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_bundle::bpsec::key::Keys;
    use std::fs;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    const GOOD: &str = "[[key]]\nsource = \"ipn:2.1\"\npurpose = \"wrap-integrity\"\nhex = \"000102030405060708090a0b0c0d0e0f\"\n";

    #[test]
    fn keys_are_read_and_found_by_source_and_purpose() {
        let (_folder, path) = file(GOOD, 0o600);
        let ring = read(&path).unwrap();
        let source: Eid = "ipn:2.1".parse().unwrap();
        assert!(ring.key(&source, Purpose::WrapIntegrity).is_some());
        assert!(ring.key(&source, Purpose::Integrity).is_none());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o620] {
            let (_folder, path) = file(GOOD, mode);
            assert!(read(&path).is_err());
        }
    }

    #[test]
    fn no_message_shows_a_key() {
        for (good, bad) in [
            ("hex", "hexx"),
            ("wrap-integrity", "sign"),
            ("000102", "0001zz"),
            ("0d0e0f", "0d"),
            ("ipn:2.1", "x"),
        ] {
            let (_folder, path) = file(&GOOD.replace(good, bad), 0o600);
            let message = format!("{:?}", read(&path).unwrap_err());
            assert!(!message.contains("0405060708"), "{message}");
        }
    }
}
