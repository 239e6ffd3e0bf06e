//! The configuration of a node: defaults, YAML, validation.
//!
//! [`Config`] is plain structs with defaults that are a node alone on loopback. [`Config::load`] reads a file over
//! them, then the command line's [`Overrides`], then checks everything, and says *all* that is wrong at
//! once, each with file, line, column, path and what to write instead. [`parse`] is the same for a text.
//!
//! Each section names its keys in one place (`Section::fields`). Reading, the suggestion for a misspelt key, and the test
//! that compares `docs/configuration.md` with the structs walk that list, so they cannot drift apart.
//!
//! ```text
//! text ─ tree (YAML, bounded, with places) ─ fields (keys) ─ Config ─ overrides ─ validation ─ files, environment
//! ```
//!
//! Secrets do not stand in the file: it names files that hold them, and digests. The one secret that the environment
//! may hold is the journal's master key. No `Debug` here shows a secret.

mod address;
mod cluster;
mod destinations;
mod digest;
mod egress;
mod endpoints;
mod exposure;
mod fields;
mod journal;
mod limits;
mod listen;
mod loading;
mod performance;
mod pool;
mod problem;
mod pub_sub;
mod quantity;
mod root;
mod scalar;
mod security;
mod tap;
mod telemetry;
mod titanic;
mod tree;
mod validation;
mod zeromq;

pub use address::{Bind, Listen, socket_address};
pub use cluster::{ClusterConfig, ClusterNode, NodeConfig, Role};
pub use destinations::{DestinationsConfig, Kind, OverflowRule};
pub use digest::{CurvePublicKey, CurveSecretKey, Digest, MasterKey};
pub use egress::{Acknowledge, EgressConfig};
pub use fields::Key;
pub use journal::JournalConfig;
pub use limits::LimitsConfig;
pub use listen::{HTTP_PORT, ListenConfig, NATIVE_PORT};
pub use loading::{Environment, FILE_BYTES_MAX, Loaded, Overrides, Warning, parse};
pub use performance::PerformanceConfig;
pub use pool::PoolConfig;
pub use problem::{ConfigError, PROBLEMS_MAX, Place, Problem, ProblemKind};
pub use pub_sub::PubSubConfig;
pub use quantity::{Size, parse_duration, show_duration};
pub use root::Config;
pub use scalar::Label;
pub use security::{
    Action, ApiKeyConfig, Pattern, PermissionConfig, SecurityConfig, TextPattern, UserConfig,
};
pub use tap::TapConfig;
pub use telemetry::{LogFormat, TelemetryConfig};
pub use titanic::{TitanicConfig, queue_of};
pub use zeromq::{EndpointConfig, EndpointKind, Mechanism, ZeromqConfig};

#[cfg(test)]
mod damage;
#[cfg(test)]
mod documentation;
#[cfg(test)]
mod tests;
