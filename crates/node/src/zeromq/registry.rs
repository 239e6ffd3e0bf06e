//! The endpoints of a node, while it runs: which there are, and which there are to be.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::listener::{Listening, StartError, check, start_tapped};
use super::options::EndpointOptions;
use super::tap::Points;
use crate::security::Gate;
use crate::shards::Shards;
use crate::telemetry::metrics::Metrics;

/// The endpoints of a node.
pub struct Registry {
    shards: Arc<dyn Shards>,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    points: Points,
    stop: CancellationToken,
    running: Mutex<Vec<(EndpointOptions, Arc<Listening>)>>,
}

/// What became of the endpoints when others were asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Endpoints that were started, or started anew with other options.
    pub started: Vec<String>,
    /// Endpoints that were stopped, and not started anew.
    pub stopped: Vec<String>,
}

impl Registry {
    /// A registry without endpoints. All stop when `stop` is cancelled.
    #[must_use]
    pub fn new(
        shards: Arc<dyn Shards>,
        gate: Arc<Gate>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        Self { shards, gate, metrics, points: Points::default(), stop, running: Mutex::default() }
    }

    /// The endpoints that run.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Listening>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().map(|(_, listening)| listening.clone()).collect()
    }

    /// Waits until every endpoint has [stopped](Listening::stopped).
    pub(crate) async fn stopped(&self) {
        for listening in self.list() {
            listening.stopped().await;
        }
    }

    /// Has these endpoints run and no others: those that run already with the same options go on, with all their peers.
    ///
    /// # Errors
    /// [`StartError`] of the first that is wrong, and then nothing was changed; or of the first that cannot bind, and then
    /// all others run.
    pub async fn reconcile(&self, wanted: Vec<EndpointOptions>) -> Result<Reconciled, StartError> {
        for endpoint in &wanted {
            check(endpoint, &self.gate)?;
        }
        let mut done = Reconciled::default();
        let mut failure = None;
        let leaving: Vec<Arc<Listening>> = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let leaving = running.extract_if(.., |(options, _)| !wanted.contains(options));
            leaving.map(|(_, listening)| listening).collect()
        };
        leaving.iter().for_each(|listening| listening.stop());
        for listening in leaving {
            // Its port may be wanted again, and its peers have what they are owed.
            listening.stopped().await;
            info!(endpoint = listening.name, "a ZeroMQ endpoint is closed");
            if !wanted.iter().any(|one| one.name == listening.name) {
                done.stopped.push(listening.name.clone());
            }
        }
        for options in wanted {
            let is_running = {
                let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                running.iter().any(|(known, _)| *known == options)
            };
            if is_running {
                continue;
            }
            let stop = self.stop.child_token();
            let wanted = vec![options.clone()];
            let started = start_tapped(wanted, &self.shards, &self.gate, &self.metrics, &self.points, &stop);
            let started = match started {
                Ok(started) => started,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            done.started.push(options.name.clone());
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.extend(started.into_iter().map(|listening| (options.clone(), Arc::new(listening))));
        }
        failure.map_or(Ok(done), Err)
    }
}
