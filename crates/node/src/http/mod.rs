//! Health, readiness, metrics and the log level over HTTP.
//!
//! | path | what | who |
//! |---|---|---|
//! | `GET /health` | live, ready and why not: 200 or 503 | all; details as for `/metrics` |
//! | `GET /health/live` | 200, or 503 if the process must be restarted | all |
//! | `GET /health/ready` | 200, or 503 if the node takes no requests now | all |
//! | `GET /metrics` | Prometheus text | loopback, a key, or anybody if that is allowed in capitals |
//! | `GET /version` | versions and names | the same |
//! | `GET /services` | the instances that are registered at this node | the same |
//! | `GET /log-level` | the level | the same |
//! | `PUT /log-level` | changes it: `debug`, `info,swarmmq_node=debug` | a key that may manage; loopback, unless there is an API key or an authority |
//!
//! A request from loopback is trusted only if it was meant for loopback and comes from there: a browser that was led
//! here by a name of somebody else's (DNS rebinding) shows that name as `Host`, and a proxy on this machine says whom
//! it speaks for.
//!
//! The routes know nothing of the node but the traits [`HealthSource`], [`SampleSource`], [`KeyCheck`],
//! [`EndpointSource`] and [`ServiceSource`].

mod access;
mod health;
mod routes;
mod server;
mod services;
mod zeromq;

pub use access::{KeyCheck, KeyVerdict, NoKeys, Operation};
pub use health::{Health, HealthSource, Reason};
pub use routes::{Http, SampleSource};
pub use server::{TlsSource, serve};
pub use services::{ServiceSource, instance_json};
pub use zeromq::EndpointSource;

#[cfg(test)]
mod tests;
