//! From a file, the command line and the environment to a configuration that holds.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::address::Listen;
use super::digest::MasterKey;
use super::fields::{Report, read_section};
use super::problem::{ConfigError, Place, Problem, ProblemKind, shown};
use super::root::Config;
use super::scalar::Label;
use super::telemetry::LogFormat;
use super::tree::Node;

/// Most bytes of a configuration file.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the command line says. It goes before the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--node-id`: which node of the cluster this is.
    pub node_id: Option<String>,
    /// `--port`: port of the native listener.
    pub port: Option<u16>,
    /// `--http-port`: port of the HTTP listener.
    pub http_port: Option<u16>,
    /// `--bind`: the IP address everything listens on.
    pub bind: Option<IpAddr>,
    /// `--data-dir`: where the data is.
    pub data_dir: Option<PathBuf>,
    /// `--log-level`: as `telemetry.log_level`.
    pub log_level: Option<String>,
    /// `--log-format`: as `telemetry.log_format`.
    pub log_format: Option<LogFormat>,
    /// `--ALLOW-UNAUTHENTICATED`: as `security.ALLOW_UNAUTHENTICATED`.
    pub allow_unauthenticated: bool,
    /// `--ALLOW-PLAINTEXT`: as `security.ALLOW_PLAINTEXT`.
    pub allow_plaintext: bool,
    /// The secrets that the environment holds.
    pub environment: Environment,
}

/// The secrets that the environment may hold; nothing else is read from it. `Debug` does not show them.
#[derive(Clone, Default)]
pub struct Environment {
    /// `SWARMMQ_MASTER_KEY`: 64 hexadecimal digits.
    pub master_key: Option<String>,
    /// `SWARMMQ_MASTER_KEY_FILE`: a file that holds them.
    pub master_key_file: Option<PathBuf>,
}

impl Environment {
    /// Reads the two variables of the process. An empty one counts as not set.
    #[must_use]
    pub fn of_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            // What is not text is not a key either, and must not count as not set.
            master_key: variable("SWARMMQ_MASTER_KEY").map(|key| key.to_string_lossy().into_owned()),
            master_key_file: variable("SWARMMQ_MASTER_KEY_FILE").map(PathBuf::from),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let master_key = self.master_key.as_ref().map(|_| "redacted");
        f.debug_struct("Environment")
            .field("master_key", &master_key)
            .field("master_key_file", &self.master_key_file)
            .finish()
    }
}

/// A configuration that was checked, with what came from outside the file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The key that turns encryption at rest on, if there is one.
    pub master_key: Option<MasterKey>,
    /// What the operator must hear of, loudly, although the node starts.
    pub warnings: Vec<Warning>,
}

/// Something that is allowed and dangerous. Stable code SWMQ0102.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The TLS files do not exist. On loopback the node starts without TLS.
    #[error("TLS IS OFF: {file} does not exist, and the node listens on loopback only; make the file, or remove security.tls_cert and tls_key", file = .0.display())]
    TlsOff(PathBuf),
    /// Others on this machine can read a secret.
    #[error("the secret in {file} can be read by others: chmod 600 {file}", file = .0.display())]
    ReadableByOthers(PathBuf),
    /// Peers need not say who they are.
    #[error(
        "PEERS ARE NOT AUTHENTICATED: security.ALLOW_UNAUTHENTICATED is set, and whoever reaches a port reads and writes everything"
    )]
    Unauthenticated,
    /// Keys and messages are readable on the wire.
    #[error("TRAFFIC IS NOT ENCRYPTED: security.ALLOW_PLAINTEXT is set, and there is no certificate")]
    Plaintext,
}

/// Reads a configuration from `text` and checks it, without looking at any file that it names.
///
/// Any text gives `Ok` or `Err`: it never panics, and takes memory and time in proportion to the text.
///
/// # Errors
/// Every problem with its line and column.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    if text.len() as u64 > FILE_BYTES_MAX {
        let kind = ProblemKind::FileTooLarge { actual: text.len() as u64, limit: FILE_BYTES_MAX };
        return Err(ConfigError::one(kind));
    }
    let (config, places) = read(text)?;
    config.validate().map_err(|error| placed(error, &places))?;
    Ok(config)
}

impl Config {
    /// Reads `path` (none: the defaults), applies `overrides`, checks everything, and looks at the files named.
    ///
    /// # Errors
    /// Every problem with file, line, column and path.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Loaded, ConfigError> {
        let in_file = |error: ConfigError| match path {
            Some(path) => error.in_file(path),
            None => error,
        };
        let (mut config, places) = match path {
            Some(path) => {
                read(&text_of(path).map_err(ConfigError::one).map_err(in_file)?).map_err(in_file)?
            }
            None => (Self::default(), BTreeMap::new()),
        };
        config.apply(overrides)?;
        config.validate().map_err(|error| in_file(placed(error, &places)))?;
        let mut warnings: Vec<Warning> = Vec::new();
        config.check_tls(&mut warnings).map_err(|error| in_file(placed(error, &places)))?;
        config.check_curve(&mut warnings).map_err(|error| in_file(placed(error, &places)))?;
        let master_key = config
            .master_key(&overrides.environment, &mut warnings)
            .map_err(|error| in_file(placed(error, &places)))?;
        if config.security.allow_unauthenticated {
            warnings.push(Warning::Unauthenticated);
        }
        if config.security.allow_plaintext && !config.security.has_tls() {
            warnings.push(Warning::Plaintext);
        }
        Ok(Loaded { config, master_key, warnings })
    }

    fn apply(&mut self, overrides: &Overrides) -> Result<(), ConfigError> {
        if let Some(text) = &overrides.node_id {
            let id = Label::new(text).map_err(|error| {
                let kind = ProblemKind::Name { text: shown(text), error };
                ConfigError::new(vec![Problem::new("--node-id", kind)])
            })?;
            self.node.id = Some(id);
        }
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        if let Some(port) = overrides.port {
            let mut address = self.native_address().unwrap_or_else(|| loopback(port));
            address.set_port(port);
            self.listen.native = Some(Listen::At(address));
        }
        if let Some(port) = overrides.http_port {
            let mut address = self.http_address().unwrap_or_else(|| loopback(port));
            address.set_port(port);
            self.listen.http = Listen::At(address);
        }
        if let Some(ip) = overrides.bind {
            self.bind_all(ip);
        }
        if let Some(data_dir) = &overrides.data_dir {
            self.node.data_dir.clone_from(data_dir);
        }
        if let Some(log_level) = &overrides.log_level {
            self.telemetry.log_level.clone_from(log_level);
        }
        if let Some(log_format) = overrides.log_format {
            self.telemetry.log_format = log_format;
        }
        self.security.allow_unauthenticated |= overrides.allow_unauthenticated;
        self.security.allow_plaintext |= overrides.allow_plaintext;
        Ok(())
    }

    /// On loopback, files that do not exist turn TLS off; whatever else is wrong with them is an error.
    fn check_tls(&mut self, warnings: &mut Vec<Warning>) -> Result<(), ConfigError> {
        let security = &self.security;
        let files = [
            ("security.tls_cert", security.tls_cert.clone()),
            ("security.tls_key", security.tls_key.clone()),
            ("security.client_ca", security.client_ca.clone()),
        ];
        for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file?))) {
            match File::open(&file) {
                Ok(_) if key == "security.tls_key" => look_at_mode(&file, warnings),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.is_on_loopback() => {
                    warnings.push(Warning::TlsOff(file));
                    self.security.tls_cert = None;
                    self.security.tls_key = None;
                    self.security.client_ca = None;
                    return Ok(());
                }
                Err(error) => return Err(unusable(key, file, &error)),
            }
        }
        Ok(())
    }

    fn check_curve(&self, warnings: &mut Vec<Warning>) -> Result<(), ConfigError> {
        for (index, endpoint) in self.zeromq.endpoints.iter().enumerate() {
            let Some(file) = &endpoint.curve_secret_key_file else { continue };
            File::open(file).map_err(|error| {
                unusable(&format!("zeromq.endpoints[{index}].curve_secret_key_file"), file.clone(), &error)
            })?;
            look_at_mode(file, warnings);
        }
        Ok(())
    }

    fn master_key(
        &self,
        environment: &Environment,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<MasterKey>, ConfigError> {
        let wrong = |path: &str, source_name: String| {
            ConfigError::new(vec![Problem::new(path, ProblemKind::MasterKey { source_name })])
        };
        if let Some(text) = &environment.master_key {
            let key = MasterKey::from_hexadecimal(text);
            return key.map(Some).ok_or_else(|| wrong("SWARMMQ_MASTER_KEY", "the environment".into()));
        }
        let (path, file) = match (&environment.master_key_file, &self.journal.encryption_key_file) {
            (Some(file), _) => ("SWARMMQ_MASTER_KEY_FILE", file),
            (None, Some(file)) => ("journal.encryption_key_file", file),
            (None, None) => return Ok(None),
        };
        let bytes = bytes_of(file).map_err(|kind| ConfigError::new(vec![Problem::new(path, kind)]))?;
        look_at_mode(file, warnings);
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let key = MasterKey::from_hexadecimal(text);
        key.map(Some).ok_or_else(|| wrong(path, file.display().to_string()))
    }
}

fn unusable(key: &str, file: PathBuf, error: &std::io::Error) -> ConfigError {
    ConfigError::new(vec![Problem::new(key, ProblemKind::File { file, reason: error.to_string() })])
}

#[cfg(unix)]
fn look_at_mode(file: &Path, warnings: &mut Vec<Warning>) {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS: u32 = 0o077;
    if std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0) {
        warnings.push(Warning::ReadableByOthers(file.to_owned()));
    }
}

#[cfg(not(unix))]
fn look_at_mode(_file: &Path, _warnings: &mut Vec<Warning>) {}

/// Reads a text over the defaults.
fn read(text: &str) -> Result<(Config, BTreeMap<String, Place>), ConfigError> {
    let tree = Node::parse(text)?;
    let mut config = Config::default();
    let mut report = Report::default();
    read_section(&mut config, &tree, "", &mut report);
    if report.problems.is_empty() {
        return Ok((config, report.places));
    }
    report.problems.sort_by_key(|problem| problem.place);
    suggest_elsewhere(&mut report.problems);
    Err(ConfigError::new(report.problems))
}

/// A key may be right and only stand in the wrong section.
fn suggest_elsewhere(problems: &mut [Problem]) {
    let mut keys = None;
    for problem in problems {
        if let ProblemKind::UnknownKey { key, suggestion: suggestion @ None, .. } = &mut problem.kind {
            let keys = keys.get_or_insert_with(Config::keys);
            let same = keys.iter().filter(|known| known.path.rsplit('.').next() == Some(key.as_str()));
            // Of several, the one that is not in a list: it is the more general.
            let elsewhere = same.min_by_key(|known| (known.path.contains("[]"), known.path.len()));
            *suggestion = elsewhere.map(|known| known.path.clone());
        }
    }
}

/// Gives each problem the place of its key, or of the nearest section around it.
fn placed(mut error: ConfigError, places: &BTreeMap<String, Place>) -> ConfigError {
    for problem in &mut error.problems {
        let mut path = problem.path.as_str();
        problem.place = loop {
            match (places.get(path), path.rfind(['.', '['])) {
                (Some(place), _) => break Some(*place),
                (None, Some(end)) => path = path.get(..end).unwrap_or_default(),
                (None, None) => break None,
            }
        };
    }
    error
}

fn text_of(path: &Path) -> Result<String, ProblemKind> {
    String::from_utf8(bytes_of(path)?).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let byte = error.as_bytes().get(offset).copied().unwrap_or_default();
        ProblemKind::NotUtf8 { offset, byte }
    })
}

/// Reads a file that cannot be larger than a configuration, whatever it is: also a pipe or a device.
fn bytes_of(path: &Path) -> Result<Vec<u8>, ProblemKind> {
    let unreadable =
        |error: std::io::Error| ProblemKind::Unreadable { file: path.to_owned(), reason: error.to_string() };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ProblemKind::FileTooLarge {
            actual: size.max(bytes.len() as u64),
            limit: FILE_BYTES_MAX,
        });
    }
    Ok(bytes)
}
