//! etcd v3 as a registry, over its JSON gateway.
//!
//! An instance is the key `/services/{service}/{id}`, under a lease of its own; the value is a JSON object with
//! `endpoint`, `health`, `last_heartbeat`, `ttl_seconds` and `metadata`. The gateway is spoken to by HTTP/1.1, so that no
//! Protocol Buffers are needed to build this: `http` makes requests, `gateway` finds a member that answers and
//! shows who we are, `messages` is the JSON, `record` the keys and values, `registry` and `watch` what [`Discovery`]
//! promises.
//!
//! [`Discovery`]: super::Discovery

mod gateway;
mod http;
mod messages;
mod options;
mod record;
mod registry;
mod target;
mod watch;

pub use options::EtcdOptions;
pub use registry::EtcdDiscovery;
