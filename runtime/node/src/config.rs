//! What a person may set: `cairn.toml` in the data directory, and where that directory is.

use core::net::SocketAddr;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

/// Name of the configuration file in the data directory.
pub const CONFIG_FILE: &str = "cairn.toml";

/// A configuration file larger than this is not read.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// Longest display name, in bytes: it has to fit a card and a terminal line.
const NAME_BYTES_MAX: usize = 64;

/// Tasks that may run at the same time, at most.
const CONCURRENT_MAX: u32 = 64;

const MIB: u64 = 1024 * 1024;

/// Bounds of the largest item: an item travels in one sealed bundle when it is carried in a drop.
const ITEM_SIZE_MIN: u64 = 64 * 1024;
const ITEM_SIZE_MAX: u64 = 12 * MIB;

/// Settings of a node; [`NodeConfig::default`] is what an empty file means.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Display name on the card; the host name if not given.
    pub name: Option<String>,
    /// UDP addresses that QUIC listens on; port 0 takes any free one. Empty: no network at all, drops only.
    pub listen: Vec<SocketAddr>,
    /// Whether neighbours are looked for on the local network.
    pub discovery: bool,
    /// Largest single item (bundle, module, model, picture set) that is taken in.
    #[serde(deserialize_with = "bytes")]
    pub item_size_max: u64,
    /// The store on disk.
    pub store: StoreConfig,
    /// What this node computes for others.
    pub tasks: TasksConfig,
}

/// Section `[store]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Bytes that the store may use.
    #[serde(deserialize_with = "bytes")]
    pub size_max: u64,
    /// Bytes of the disk that are left free for everybody else.
    #[serde(deserialize_with = "bytes")]
    pub reserve: u64,
}

/// Section `[tasks]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TasksConfig {
    /// Whether this node runs tasks at all.
    pub enabled: bool,
    /// Engines that may run.
    pub engines: Vec<EngineName>,
    /// Memory that one task may use.
    #[serde(deserialize_with = "bytes")]
    pub memory_max: u64,
    /// Wall time that one task may use, in milliseconds.
    #[serde(rename = "wall_max", deserialize_with = "milliseconds")]
    pub wall_max_ms: u64,
    /// Tasks at the same time.
    pub concurrent: u32,
    /// The ONNX Runtime library; looked for in the usual places if not given.
    pub onnxruntime: Option<PathBuf>,
}

/// An engine, as it is written in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// WASM modules.
    Wasm,
    /// ONNX models.
    Onnx,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: None,
            listen: vec![
                SocketAddr::from(([0, 0, 0, 0], 0)),
                SocketAddr::from((core::net::Ipv6Addr::UNSPECIFIED, 0)),
            ],
            discovery: true,
            item_size_max: 8 * MIB,
            store: StoreConfig::default(),
            tasks: TasksConfig::default(),
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { size_max: 4096 * MIB, reserve: 256 * MIB }
    }
}

impl Default for TasksConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            engines: vec![EngineName::Wasm, EngineName::Onnx],
            memory_max: 512 * MIB,
            wall_max_ms: 10 * 60 * 1000,
            concurrent: 1,
            onnxruntime: None,
        }
    }
}

/// Why the settings or the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The configuration file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no valid configuration.
    #[error("{} is not valid: {message}", path.display())]
    Invalid {
        /// The configuration file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// No place for data is known.
    #[error("neither CAIRN_HOME nor HOME is set, so there is no place for the data")]
    NoHome,
    /// The data directory cannot be made or looked at.
    #[error("cannot use the data directory {}: {source}", path.display())]
    Home {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can write in the data directory, so they could put their own key there.
    #[error("others may write in the data directory {} (mode {mode:03o})", path.display())]
    HomeOpen {
        /// The data directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The data directory is another user's.
    #[error("the data directory {} belongs to another user", path.display())]
    HomeForeign {
        /// The data directory.
        path: PathBuf,
    },
}

impl ConfigError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Read { path, .. } => {
                format!("make {} a readable file, or take it away to use the defaults", path.display())
            }
            Self::Invalid { .. } => {
                "correct the line named above; every key is optional, and docs of the keys are in `cairn node --help`"
                    .into()
            }
            Self::NoHome => "name a directory: cairn --home DIR ...".into(),
            Self::Home { .. } => {
                "choose a directory that you may write to: cairn --home DIR ..., or set CAIRN_HOME".into()
            }
            Self::HomeOpen { path, .. } => format!("chmod 700 {}", path.display()),
            Self::HomeForeign { .. } => {
                "run cairn as the owner of the directory, or choose another one with --home DIR".into()
            }
        }
    }
}

impl NodeConfig {
    /// Reads `cairn.toml` of a data directory; a missing file means the defaults.
    ///
    /// # Errors
    /// [`ConfigError::Read`] and [`ConfigError::Invalid`].
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(CONFIG_FILE);
        let read = |source| ConfigError::Read { path: path.clone(), source };
        let length = match fs::metadata(&path) {
            Ok(meta) => meta.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(read(error)),
        };
        let invalid = |message| ConfigError::Invalid { path: path.clone(), message };
        if length > CONFIG_BYTES_MAX {
            return Err(invalid(format!("it is larger than {CONFIG_BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(&path).map_err(read)?;
        Self::parse(&text).map_err(invalid)
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// Where and why the text is not valid, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        if !(ITEM_SIZE_MIN..=ITEM_SIZE_MAX).contains(&self.item_size_max) {
            return Err("item_size_max: from \"64 KiB\" to \"12 MiB\", what fits one sealed bundle".into());
        }
        if self.tasks.concurrent == 0 || self.tasks.concurrent > CONCURRENT_MAX {
            return Err(format!(
                "tasks.concurrent: 1 to {CONCURRENT_MAX}; to run none set tasks.enabled = false"
            ));
        }
        Ok(())
    }
}

/// Whether a display name can go on a card: 1 to 64 bytes, no control characters.
///
/// # Errors
/// The reason, for a person.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("name: 1 to {NAME_BYTES_MAX} bytes"));
    }
    if name.chars().any(char::is_control) || name.trim() != name {
        return Err("name: no control characters, and no space at its ends".into());
    }
    Ok(())
}

/// The data directory if none is named: `$CAIRN_HOME`, `$XDG_DATA_HOME/cairn` or `~/.local/share/cairn`.
///
/// # Errors
/// [`ConfigError::NoHome`] if none of the variables is set.
pub fn default_home() -> Result<PathBuf, ConfigError> {
    home_from(|name| std::env::var_os(name))
}

fn home_from(var: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, ConfigError> {
    let path = |name| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(home) = path("CAIRN_HOME") {
        return Ok(home);
    }
    // The XDG specification says that relative paths are to be ignored.
    if let Some(data) = path("XDG_DATA_HOME").filter(|data| data.is_absolute()) {
        return Ok(data.join("cairn"));
    }
    path("HOME").map(|home| home.join(".local/share/cairn")).ok_or(ConfigError::NoHome)
}

/// Makes the data directory (mode 0700) if it is missing, and checks that nobody else can write in it.
///
/// # Errors
/// [`ConfigError::Home`], [`ConfigError::HomeOpen`] and [`ConfigError::HomeForeign`].
pub fn prepare_home(home: &Path) -> Result<(), ConfigError> {
    let failed = |source| ConfigError::Home { path: home.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(failed)?;
    let meta = fs::metadata(home).map_err(failed)?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(ConfigError::HomeForeign { path: home.to_owned() });
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(ConfigError::HomeOpen { path: home.to_owned(), mode });
    }
    Ok(())
}

/// A number, or a number with its unit as text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a whole number, or a text such as \"512 MiB\" or \"90 s\"")]
enum Amount {
    Plain(u64),
    Text(String),
}

/// Splits `"512 MiB"` into 512 and `MiB`.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim()))
}

fn amount<'de, D: Deserializer<'de>>(
    from: D,
    factor: impl Fn(&str) -> Option<u64>,
    example: &str,
) -> Result<u64, D::Error> {
    let text = match Amount::deserialize(from)? {
        Amount::Plain(value) => return Ok(value),
        Amount::Text(text) => text,
    };
    split_unit(&text).and_then(|(number, unit)| number.checked_mul(factor(unit)?)).ok_or_else(|| {
        serde::de::Error::custom(format!("`{text}` is not understood; write it like {example}"))
    })
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let factor = |unit: &str| match unit {
        "" | "B" => Some(1),
        "KiB" => Some(1024),
        "MiB" => Some(MIB),
        "GiB" => Some(1024 * MIB),
        "kB" => Some(1000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        _ => None,
    };
    amount(from, factor, "\"512 MiB\"")
}

fn milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let factor = |unit: &str| match unit {
        "" | "ms" => Some(1),
        "s" => Some(1000),
        "min" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    amount(from, factor, "\"90 s\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_empty_or_missing_file_means_the_defaults() {
        assert_eq!(NodeConfig::parse("").unwrap(), NodeConfig::default());
        let home = tempfile::tempdir().unwrap();
        assert_eq!(NodeConfig::load(home.path()).unwrap(), NodeConfig::default());
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            name = "depot"
            listen = ["127.0.0.1:4433"]
            discovery = false
            item_size_max = "1 MiB"
            [store]
            size_max = "2 GiB"
            reserve = 4096
            [tasks]
            enabled = false
            engines = ["wasm"]
            memory_max = "64 MiB"
            wall_max = "90 s"
            concurrent = 2
            onnxruntime = "/opt/libonnxruntime.so"
        "#;
        let config = NodeConfig::parse(text).unwrap();
        assert_eq!(config.name.as_deref(), Some("depot"));
        assert_eq!(config.listen, ["127.0.0.1:4433".parse().unwrap()]);
        assert!(!config.discovery);
        assert_eq!(config.item_size_max, MIB);
        assert_eq!(config.store, StoreConfig { size_max: 2048 * MIB, reserve: 4096 });
        assert_eq!(config.tasks.engines, [EngineName::Wasm]);
        assert_eq!(config.tasks.memory_max, 64 * MIB);
        assert_eq!(config.tasks.wall_max_ms, 90_000);
        assert_eq!(config.tasks.concurrent, 2);
        assert_eq!(config.tasks.onnxruntime, Some("/opt/libonnxruntime.so".into()));
    }

    #[test]
    fn an_unknown_key_is_named_together_with_the_known_ones() {
        let message = NodeConfig::parse("[store]\nsizemax = 1\n").unwrap_err();
        assert!(message.contains("sizemax"), "{message}");
        assert!(message.contains("size_max"), "{message}");
        assert!(message.contains("line 2"), "{message}");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for text in [
            "item_size_max = \"13 MiB\"",
            "item_size_max = \"1 KiB\"",
            "listen = [\"nowhere\"]",
            "name = \"\"",
            "name = \"a\\u001bb\"",
            "[tasks]\nconcurrent = 0",
            "[tasks]\nconcurrent = 65",
            "[tasks]\nengines = [\"gpu\"]",
            "[store]\nsize_max = \"12 parsecs\"",
            "[store]\nsize_max = \"99999999999 GiB\"",
            "[store]\nsize_max = -1",
            "[tasks]\nwall_max = \"s\"",
        ] {
            assert!(NodeConfig::parse(text).is_err(), "{text}");
        }
        assert!(check_name(&"n".repeat(NAME_BYTES_MAX)).is_ok());
        assert!(check_name(&"n".repeat(NAME_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(CONFIG_FILE), "#".repeat(64 * 1024 + 1)).unwrap();
        assert!(matches!(NodeConfig::load(home.path()), Err(ConfigError::Invalid { .. })));
    }

    #[test]
    fn the_data_directory_follows_the_variables_in_order() {
        let with = |set: &'static [(&str, &str)]| {
            home_from(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v)))
        };
        let all = with(&[("CAIRN_HOME", "/c"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")]);
        assert_eq!(all.unwrap(), Path::new("/c"));
        assert_eq!(with(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]).unwrap(), Path::new("/x/cairn"));
        let relative = with(&[("CAIRN_HOME", ""), ("XDG_DATA_HOME", "x"), ("HOME", "/h")]);
        assert_eq!(relative.unwrap(), Path::new("/h/.local/share/cairn"));
        assert!(matches!(with(&[]), Err(ConfigError::NoHome)));
    }

    #[test]
    fn a_new_data_directory_is_private_and_an_open_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("a/b");
        prepare_home(&home).unwrap();
        assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&home, fs::Permissions::from_mode(0o770)).unwrap();
        let error = prepare_home(&home).unwrap_err();
        assert!(matches!(error, ConfigError::HomeOpen { mode: 0o770, .. }));
        assert!(error.hint().starts_with("chmod 700"));
    }
}
