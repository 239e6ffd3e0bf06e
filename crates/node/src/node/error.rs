//! Why a node did not start.

use std::io;
use std::net::SocketAddr;

use swarmmq_cluster::Health;
use swarmmq_journal::OpenError;

use crate::config::ConfigError;
use crate::native::ListenError;
use crate::node::directory::DirectoryError;
use crate::security::KeyFileError;
use crate::security::TlsError;
use crate::telemetry::OperatorCode;
use crate::zeromq;

/// Why a node did not start. Each says what to do; [`code`](Self::code) has a page in `docs/errors.md`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration does not hold.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The native listener cannot listen.
    #[error(transparent)]
    Native(#[from] ListenError),
    /// The HTTP listener cannot listen.
    #[error("HTTP: {error}")]
    Http {
        /// Why not.
        error: ListenError,
    },
    /// A ZeroMQ endpoint cannot listen.
    #[error(transparent)]
    Zeromq(#[from] zeromq::StartError),
    /// The secret key of a ZeroMQ endpoint cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The journal cannot be opened.
    #[error("the journal in {path}: {error}", path = .path.display())]
    Journal {
        /// Where it is.
        path: std::path::PathBuf,
        /// Why not.
        error: Box<OpenError>,
    },
    /// The journal's thread cannot be started.
    #[error("the journal's thread cannot be started: {0}")]
    Thread(io::Error),
    /// The shards cannot be started.
    #[error(transparent)]
    Cluster(#[from] swarmmq_cluster::StartError),
    /// There cannot be so many shards.
    #[error("cluster.shards is {0}, it has to be 1 to {max}", max = swarmmq_cluster::ShardCount::MAX)]
    ShardCount(u32),
    /// Shards that were started serve nobody.
    #[error("{unavailable} of {shards} shards do not serve after {waited_s} s; the first: {first}", unavailable = .0.unavailable.len(), shards = .0.shards, waited_s = super::front::AVAILABLE.as_secs(), first = first(.0))]
    Unavailable(Health),
}

fn first(health: &Health) -> String {
    health.unavailable.first().map_or_else(String::new, |(shard, why)| format!("shard {shard}: {why}"))
}

impl StartError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> OperatorCode {
        match self {
            Self::Config(_) | Self::Key(_) | Self::ShardCount(_) => OperatorCode::ConfigurationWrong,
            Self::Tls(_) => OperatorCode::TlsUnusable,
            Self::Native(error) | Self::Http { error } => listen_code(error),
            Self::Zeromq(zeromq::StartError::Bind { source, .. }) => match source.kind() {
                io::ErrorKind::AddrInUse => OperatorCode::PortInUse,
                _ => OperatorCode::AddressUnusable,
            },
            Self::Zeromq(zeromq::StartError::Forbidden { .. }) => OperatorCode::ConfigurationWrong,
            Self::Zeromq(_) => OperatorCode::AddressUnusable,
            Self::Directory(error) => error.code(),
            Self::Journal { error, .. } => journal_code(error),
            Self::Thread(_) => OperatorCode::JournalFailed,
            Self::Cluster(_) => OperatorCode::DataDirectoryDiffers,
            Self::Unavailable(_) => OperatorCode::ShardWithoutLeader,
        }
    }

    /// Where somebody else listens, if that is the reason.
    #[must_use]
    pub fn address_in_use(&self) -> Option<SocketAddr> {
        match self {
            Self::Native(ListenError::InUse { address })
            | Self::Http { error: ListenError::InUse { address } } => Some(*address),
            _ => None,
        }
    }
}

fn listen_code(error: &ListenError) -> OperatorCode {
    match error {
        ListenError::InUse { .. } => OperatorCode::PortInUse,
        _ => OperatorCode::AddressUnusable,
    }
}

fn journal_code(error: &OpenError) -> OperatorCode {
    match error {
        OpenError::Locked { .. } => OperatorCode::DataDirectoryLocked,
        OpenError::WrongKey { .. } | OpenError::KeyMissing { .. } | OpenError::NotEncrypted { .. } => {
            OperatorCode::MasterKeyWrong
        }
        OpenError::Damaged(_) | OpenError::Missing { .. } => OperatorCode::JournalDamaged,
        OpenError::NoSpace { .. } => OperatorCode::DiskFull,
        OpenError::NotAJournal { .. } | OpenError::NewerVersion { .. } => OperatorCode::DataDirectoryDiffers,
        _ => OperatorCode::DataDirectoryUnusable,
    }
}
