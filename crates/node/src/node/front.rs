//! What clients connect to: the native listener and the ZeroMQ endpoints, before the shards and the registry of services.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarmmq_cluster::{Cluster, SystemWorld, World};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::native::{Greeting, Listener, NativeOptions, Shared};
use crate::node::base::{Base, LAST_WORDS};
use crate::node::error::StartError;
use crate::security::{Gate, Tls};
use crate::services::{Services, WithServices};
use crate::shards::Shards;
use crate::telemetry::metrics::Metrics;
use crate::zeromq::{EndpointOptions, Registry};

/// How long shards have to serve after they were started.
pub(super) const AVAILABLE: Duration = Duration::from_secs(60);

/// What clients are to connect to.
pub(super) struct Front {
    pub(super) config: Arc<Config>,
    pub(super) greeting: Greeting,
    pub(super) native: Option<Listener>,
    pub(super) endpoints: Vec<EndpointOptions>,
    pub(super) gate: Arc<Gate>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) metrics: Arc<Metrics>,
}

/// What clients connect to.
pub(super) struct Serving {
    pub(super) config: Arc<Config>,
    pub(super) native_address: Option<SocketAddr>,
    pub(super) shared: Arc<Shared>,
    pub(super) zeromq: Arc<Registry>,
    pub(super) zeromq_stop: CancellationToken,
    pub(super) gate: Arc<Gate>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) metrics: Arc<Metrics>,
}

impl Front {
    /// Listens as soon as the shards serve. Where something cannot listen, nothing does.
    pub(super) async fn serve(self, cluster: &Cluster, base: &mut Base) -> Result<Serving, StartError> {
        cluster.wait_until_available(AVAILABLE).await.map_err(StartError::Unavailable)?;
        let Self { config, greeting, native, endpoints, gate, tls, metrics } = self;
        let (halt, status) = (&mut base.halt, &base.status);
        let services = Services::start(SystemWorld.random(), halt.stop.child_token());
        status.has_services(&services);
        let shards: Arc<dyn Shards> = Arc::new(WithServices::new(Arc::new(cluster.clone()), services));
        let shared = Shared::new(
            NativeOptions::of(&config),
            greeting,
            shards.clone(),
            gate.clone(),
            tls.clone(),
            metrics.clone(),
        );
        halt.sessions = Some(shared.clone());
        let zeromq_stop = halt.stop.child_token();
        let zeromq = Arc::new(Registry::new(shards, gate.clone(), metrics.clone(), zeromq_stop.clone()));
        let listening = async {
            zeromq.reconcile(endpoints).await?;
            status.has_endpoints(&zeromq);
            Ok(native.map(Listener::listen).transpose()?)
        };
        let native_address = match listening.await {
            Ok(None) => None,
            Ok(Some(listening)) => {
                let address = listening.address();
                tokio::spawn(listening.run(shared.clone()));
                Some(address)
            }
            Err(error) => {
                zeromq_stop.cancel();
                let _stopped = timeout(LAST_WORDS, zeromq.stopped()).await;
                return Err(error);
            }
        };
        Ok(Serving { config, native_address, shared, zeromq, zeromq_stop, gate, tls, metrics })
    }
}
