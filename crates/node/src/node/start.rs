//! Starting a node.

use std::sync::Arc;

use swarmmq_broker::AutoCreate;
use swarmmq_cluster::{Cluster, ClusterOptions, ShardCount, SystemWorld};
use swarmmq_journal::{FatalHook, JournalError};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, Loaded, MasterKey};
use crate::http::{self, Http};
use crate::native::{Greeting, Listener};
use crate::node::base::{Base, Halt, ServedHttp};
use crate::node::directory::DataDirectory;
use crate::node::error::StartError;
use crate::node::front::Front;
use crate::node::journal::Open;
use crate::node::running::{Parts, Running};
use crate::node::sources::{HttpKeys, ShardMetrics, Status};
use crate::node::{endpoints, limits, signals};
use crate::security::{Gate, Tls, TlsFiles};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{LogLevel, OperatorCode};

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
    /// [`StartError`] says what to do. Nothing is left running, and the data directory and the ports are free again.
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
        let halt = Halt::default();
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
        // Whatever fails from here on ends what was started before it.
        let mut base = Base { directory, status, http, http_stop, halt };
        let open = match open_journal(&base.directory, &options, &base.status).await {
            Ok(open) => open,
            Err(error) => {
                base.end(None, None).await;
                return Err(error);
            }
        };
        open.journal.set_observer(metrics.journal.clone());
        let cluster = match start_cluster(&config, &cluster_name, &open, &metrics).await {
            Ok(cluster) => cluster,
            Err(error) => {
                base.end(Some(open), None).await;
                return Err(error);
            }
        };
        base.status.has(cluster.clone(), open.journal.clone());
        let greeting = Greeting { node: node.as_str().to_owned(), cluster: cluster_name };
        let front = Front { config, greeting, native, endpoints, gate, tls, metrics };
        let serving = match front.serve(&cluster, &mut base).await {
            Ok(serving) => serving,
            Err(error) => {
                base.end(Some(open), Some(cluster)).await;
                return Err(error);
            }
        };
        base.status.ready();
        tracing::info!(code = %OperatorCode::Started, node = node.as_str(), "the node serves");
        let config_source = options.config_source;
        Ok(Running::new(Parts { base, open, cluster, serving, config_source, reloading: Mutex::default() }))
    }
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
