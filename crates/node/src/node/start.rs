//! Starting a node.

use std::sync::Arc;
use std::time::Duration;

use swarmmq_broker::AutoCreate;
use swarmmq_cluster::{Cluster, ClusterOptions, ShardCount, SystemWorld, World};
use swarmmq_journal::{FatalHook, JournalError};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, Loaded, MasterKey};
use crate::http::{self, Http};
use crate::native::{Greeting, Listener, NativeOptions, Shared};
use crate::node::directory::DataDirectory;
use crate::node::error::StartError;
use crate::node::journal::Open;
use crate::node::running::{Halt, Parts, Running};
use crate::node::sources::{HttpKeys, ShardMetrics, Status};
use crate::node::{endpoints, limits, signals};
use crate::security::{Gate, Tls, TlsFiles};
use crate::services::{Services, WithServices};
use crate::shards::Shards;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{LogLevel, OperatorCode};
use crate::zeromq::Registry;

/// How long shards have to serve after they were started.
pub(super) const AVAILABLE: Duration = Duration::from_secs(60);

/// What is called when the journal can never write again.
pub type OnJournalFailure = Arc<dyn Fn(&JournalError) + Send + Sync>;

/// Reads the configuration as it is now.
pub type ConfigSource = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// What a node is started with.
#[derive(Clone)]
pub struct NodeOptions {
    /// The configuration.
    pub config: Arc<Config>,
    /// The key of encryption at rest. Default none: nothing is encrypted.
    pub master_key: Option<MasterKey>,
    /// The handle on the log's level, for HTTP. Default none: it cannot be changed.
    pub log_level: Option<LogLevel>,
    /// Reads the configuration again. Default none: it cannot be read again while the node runs.
    pub config_source: Option<ConfigSource>,
    /// What is called when the journal can never write again. Default: the process ends with
    /// [`EXIT_JOURNAL_FAILED`](crate::node::EXIT_JOURNAL_FAILED), as nothing it would say from then on
    /// could be relied on. Tests that want to live on give another.
    pub on_journal_failure: OnJournalFailure,
}

impl NodeOptions {
    /// A node as configured, without encryption at rest.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            master_key: None,
            log_level: None,
            config_source: None,
            on_journal_failure: Arc::new(|_| signals::end_journal_failed()),
        }
    }

    /// A node as loaded, with its key.
    #[must_use]
    pub fn of(loaded: Loaded) -> Self {
        Self { master_key: loaded.master_key, ..Self::new(loaded.config) }
    }

    /// Sets how the configuration is read again.
    #[must_use]
    pub fn config_source(mut self, source: ConfigSource) -> Self {
        self.config_source = Some(source);
        self
    }

    /// Sets the handle on the log's level.
    #[must_use]
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log_level = Some(level);
        self
    }
}

/// A node that is not started.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Starts a node: when this returns, it serves.
    ///
    /// # Errors
    /// [`StartError`] says what to do. Nothing is left running.
    pub async fn start(options: NodeOptions) -> Result<Running, StartError> {
        let config = options.config.clone();
        config.validate()?;
        limits::raise_file_descriptors(&config);
        let tls = TlsFiles::of(&config.security).map(Tls::load).transpose()?.map(Arc::new);
        let gate = Arc::new(Gate::new(config.security.clone()));
        let endpoints = endpoints::of(&config, &gate)?;
        let native = config.native_address().map(Listener::bind).transpose()?;
        let http_listener = match config.http_address() {
            Some(address) => Some(Listener::bind(address).map_err(|error| StartError::Http { error })?),
            None => None,
        };
        let (node, cluster_name) = (config.node_id(), config.cluster.name.as_str().to_owned());
        let directory = DataDirectory::open(&config.node.data_dir, node.as_str(), &cluster_name)?;
        let metrics = Metrics::new(config.telemetry.max_destinations);
        let status = Status::new(config.cluster.shards);
        // Whatever fails from here on stops what was started before it.
        let mut halt = Halt::default();
        let http_stop = halt.stop.child_token();
        let http = match http_listener {
            Some(listener) => {
                let level = options.log_level.clone().unwrap_or_else(LogLevel::detached);
                let keys = Arc::new(HttpKeys(gate.clone()));
                let routes =
                    Http::new(config.clone(), metrics.clone(), level, status.clone(), status.clone(), keys)
                        .endpoints(status.clone())
                        .services(status.clone());
                Some(serve_http(listener, routes, &config, tls.clone(), http_stop.clone())?)
            }
            None => None,
        };
        let open = open_journal(&directory, &options, &status).await?;
        open.journal.set_observer(metrics.journal.clone());
        let cluster = start_cluster(&config, &cluster_name, &open, &metrics).await?;
        status.has(cluster.clone(), open.journal.clone());
        cluster.wait_until_available(AVAILABLE).await.map_err(StartError::Unavailable)?;

        let services = Services::start(SystemWorld.random(), halt.stop.child_token());
        status.has_services(&services);
        let shards: Arc<dyn Shards> = Arc::new(WithServices::new(Arc::new(cluster.clone()), services));
        let greeting = Greeting { node: node.as_str().to_owned(), cluster: cluster_name };
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
        let registry = Registry::new(shards.clone(), gate.clone(), metrics.clone(), zeromq_stop.clone());
        let zeromq = Arc::new(registry);
        zeromq.reconcile(endpoints).await?;
        status.has_endpoints(&zeromq);
        let native_address = match native {
            Some(listener) => {
                let listening = listener.listen()?;
                let address = listening.address();
                tokio::spawn(listening.run(shared.clone()));
                Some(address)
            }
            None => None,
        };
        status.ready();
        tracing::info!(code = %OperatorCode::Started, node = node.as_str(), "the node serves");
        Ok(Running::new(Parts {
            config,
            native_address,
            http,
            http_stop,
            gate,
            config_source: options.config_source,
            reloading: tokio::sync::Mutex::default(),
            zeromq,
            zeromq_stop,
            shared,
            cluster,
            open,
            directory,
            status,
            tls,
            metrics,
            halt,
        }))
    }
}

/// A listener that is served by a task.
pub(super) struct ServedHttp {
    pub(super) address: std::net::SocketAddr,
    pub(super) has_tls: bool,
    pub(super) task: tokio::task::JoinHandle<()>,
}

fn serve_http(
    listener: Listener,
    routes: Http,
    config: &Config,
    tls: Option<Arc<Tls>>,
    stop: CancellationToken,
) -> Result<ServedHttp, StartError> {
    let listening = listener.listen().map_err(|error| StartError::Http { error })?;
    let address = listening.address();
    let tls = tls.filter(|_| config.http_has_tls());
    let has_tls = tls.is_some();
    let tls = tls.map(|tls| -> http::TlsSource { Arc::new(move || tls.config()) });
    let task = tokio::spawn(http::serve(listening.into_inner(), routes, tls, stop));
    Ok(ServedHttp { address, has_tls, task })
}

async fn open_journal(
    directory: &DataDirectory,
    options: &NodeOptions,
    status: &Arc<Status>,
) -> Result<Open, StartError> {
    let (path, config, key) = (directory.journal(), options.config.clone(), options.master_key.clone());
    let fatal: FatalHook = {
        let (on_failure, status) = (options.on_journal_failure.clone(), status.clone());
        Arc::new(move |error| {
            status.failed(error.to_string());
            tracing::error!(code = %OperatorCode::JournalFailed, "the journal can never write again: {error}");
            on_failure(error);
        })
    };
    let opened = tokio::task::spawn_blocking(move || Open::at(&path, &config, key.as_ref(), fatal)).await;
    match opened {
        Ok(opened) => opened,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn start_cluster(
    config: &Config,
    name: &str,
    open: &Open,
    metrics: &Arc<Metrics>,
) -> Result<Cluster, StartError> {
    let address = config.native_address().map(|address| address.to_string()).unwrap_or_default();
    let options = ClusterOptions {
        name: name.to_owned(),
        address,
        shards: ShardCount::new(config.cluster.shards)
            .ok_or(StartError::ShardCount(config.cluster.shards))?,
        auto_create: config.destinations.auto_create.then(|| AutoCreate {
            destination: config.destination_settings(),
            group: config.group_settings(),
        }),
        queue_group: config.queue_group_settings(),
        destinations_max: config.limits.max_destinations,
    };
    let observer = Arc::new(ShardMetrics(metrics.clone()));
    Ok(Cluster::start(options, open.journal.clone(), Arc::new(SystemWorld), observer).await?)
}
