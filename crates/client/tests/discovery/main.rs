//! Service discovery against the real thing: a node, and etcd.
//!
//! What needs etcd runs with `cargo xtask etcd`, and fails where there is none: `ETCD_BIN`, or the `etcd` on `PATH` (Debian:
//! `etcd-server`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test program a broken expectation is a failure"
)]

mod authenticated;
mod conformance;
#[cfg(feature = "real-etcd")]
mod etcd;
#[cfg(feature = "real-etcd")]
mod line;
mod node;
mod outage;
mod silent;

use std::sync::Arc;
use std::time::Duration;

use swarmmq::discovery::{Discovery, Instance, View};

/// How long anything may take that happens at all.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, happens).await {
        Ok(done) => done,
        Err(_) => panic!("it never came to: {what}"),
    }
}

/// An instance whose lease outlives a test.
fn lasting(key: &str) -> Instance {
    Instance::new(key.parse().unwrap(), format!("tcp://{}:5555", key.replace('/', ".")))
}

/// An instance whose lease runs out if it is not renewed.
fn instance(key: &str) -> Instance {
    let mut instance = lasting(key);
    instance.ttl_ms = 2_000;
    instance
}

fn view(discovery: &Arc<dyn Discovery>, service: &str) -> View {
    View::start(discovery.clone(), service.parse().unwrap())
}

/// The ids of the instances in a view.
async fn until_ids(view: &View, ids: &[&str]) {
    let found = |snapshot: &swarmmq::discovery::Snapshot| {
        let found: Vec<&str> = snapshot.instances().keys().map(|key| key.id.as_str()).collect();
        found == ids
    };
    within(&format!("the view has {ids:?}"), view.until(found)).await;
}
