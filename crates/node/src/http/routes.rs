//! What is answered.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use swarmmq_protocol::{ErrorCode, native};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::info;

use super::access::{self, Grant, KeyCheck, Operation};
use super::health::{Health, HealthSource};
use super::services::{self, NoServices, ServiceSource};
use super::zeromq::{self, EndpointSource, NoEndpoints};
use crate::config::Config;
use crate::telemetry::metrics::{Exposition, Metrics, NodeSample, names};
use crate::telemetry::{LogLevel, OperatorCode};

/// A request that takes longer is answered with 503.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// The page of metrics goes without what a sample takes longer to say.
const SAMPLE_TIME_MAX: Duration = Duration::from_secs(5);
/// Pages of metrics made at once; the next ones wait. A sample of many destinations takes memory.
const PAGES_AT_ONCE: usize = 2;

/// Something that looks up what the page of metrics shows and nobody counts all the time.
pub trait SampleSource: Send + Sync + 'static {
    /// A sample, at most 5 seconds later.
    fn sample(&self) -> Pin<Box<dyn Future<Output = NodeSample> + Send + '_>>;
}

/// What the routes answer from. Clones share it.
#[derive(Clone)]
pub struct Http {
    pub(super) metrics: Arc<Metrics>,
    pub(super) config: Arc<Config>,
    health: Arc<dyn HealthSource>,
    samples: Arc<dyn SampleSource>,
    log_level: LogLevel,
    keys: Arc<dyn KeyCheck>,
    pages: Arc<Semaphore>,
    pub(super) endpoints: Arc<dyn EndpointSource>,
    pub(super) services: Arc<dyn ServiceSource>,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct From(pub(super) SocketAddr);

impl Http {
    /// Routes over a node's parts.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        metrics: Arc<Metrics>,
        log_level: LogLevel,
        health: Arc<dyn HealthSource>,
        samples: Arc<dyn SampleSource>,
        keys: Arc<dyn KeyCheck>,
    ) -> Self {
        let pages = Arc::new(Semaphore::new(PAGES_AT_ONCE));
        let (endpoints, services) = (Arc::new(NoEndpoints), Arc::new(NoServices));
        Self { metrics, config, health, samples, log_level, keys, pages, endpoints, services }
    }

    /// Sets who knows the ZeroMQ endpoints. Default: there are none.
    #[must_use]
    pub fn endpoints(mut self, endpoints: Arc<dyn EndpointSource>) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// Sets who knows the services. Default: there are none.
    #[must_use]
    pub fn services(mut self, services: Arc<dyn ServiceSource>) -> Self {
        self.services = services;
        self
    }

    /// The routes. The server adds to each request where it comes from.
    pub(super) fn router(&self) -> Router {
        let body_bytes_max = self.config.limits.max_http_request_size.as_usize();
        Router::new()
            .route("/health", get(health))
            .route("/health/live", get(live))
            .route("/health/ready", get(ready))
            .route("/metrics", get(metrics))
            .route("/version", get(version))
            .route("/zeromq", get(zeromq::endpoints))
            .route("/zeromq/{endpoint}/peers", get(zeromq::peers))
            .route("/services", get(services::services))
            .route("/log-level", get(log_level).put(set_log_level))
            .fallback(unknown)
            .layer(DefaultBodyLimit::max(body_bytes_max))
            .layer(middleware::from_fn_with_state(self.clone(), admit))
            .with_state(self.clone())
    }
}

async fn admit(State(http): State<Http>, mut request: Request, next: Next) -> Response {
    let operation = match (request.uri().path(), request.method()) {
        ("/health" | "/health/live" | "/health/ready", _) => Operation::Probe,
        (_, &Method::GET | &Method::HEAD) => Operation::Read,
        _ => Operation::Manage,
    };
    // Without knowing from where, nothing is allowed.
    let from = request.extensions().get::<From>().map_or(SocketAddr::from(([0; 4], 0)), |from| from.0);
    let (open, trusts_loopback) = http.keys.lets_in().unwrap_or_else(|| {
        let security = &http.config.security;
        (security.allow_unauthenticated, !security.requires_authentication(true))
    });
    let grant = access::decide(from, request.headers(), operation, open, trusts_loopback, http.keys.as_ref());
    request.extensions_mut().insert(grant);
    let mut response = match grant {
        Grant::Unauthenticated => {
            let explanation = if trusts_loopback || operation != Operation::Manage {
                "show an API key as `Authorization: Bearer KEY`, or ask from this machine"
            } else {
                "show an API key as `Authorization: Bearer KEY`"
            };
            let mut response = refuse(StatusCode::UNAUTHORIZED, ErrorCode::Unauthenticated, explanation);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        Grant::Forbidden => {
            refuse(StatusCode::FORBIDDEN, ErrorCode::Forbidden, "the key's owner may not do this")
        }
        Grant::Full | Grant::Bare => {
            timeout(REQUEST_TIME_MAX, next.run(request)).await.unwrap_or_else(|_| {
                refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Timeout, "the node did not answer in time")
            })
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(super) fn refuse(status: StatusCode, code: ErrorCode, explanation: &str) -> Response {
    let body = json!({ "error": { "code": code.as_str(), "explanation": explanation } });
    (status, Json(body)).into_response()
}

async fn unknown() -> Response {
    const EXPLANATION: &str = "there are /health, /health/live, /health/ready, /metrics, /version, /zeromq, /zeromq/NAME/peers, /services and /log-level";
    refuse(StatusCode::NOT_FOUND, ErrorCode::Unsupported, EXPLANATION)
}

fn status(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn health(State(http): State<Http>, Extension(grant): Extension<Grant>) -> Response {
    let health = http.health.health();
    let mut body = brief(&health);
    if grant == Grant::Full
        && let Some(fields) = body.as_object_mut()
    {
        let degraded = health.degraded();
        if health.is_ready() && !degraded.is_empty() {
            fields.insert("status".into(), json!("degraded"));
        }
        fields.insert("reasons".into(), json!(health.reasons()));
        fields.insert("degraded".into(), json!(degraded));
        fields.insert("node".into(), json!(http.config.node_id().as_str()));
        fields.insert("cluster".into(), json!(http.config.cluster.name.as_str()));
        fields.insert("version".into(), json!(env!("CARGO_PKG_VERSION")));
        fields.insert("shards".into(), json!(health.shards));
        fields.insert("uptime_seconds".into(), json!(http.metrics.uptime().as_secs()));
    }
    (status(health.is_ready()), Json(body)).into_response()
}

fn brief(health: &Health) -> Value {
    let (live, ready) = (health.is_live(), health.is_ready());
    let status = match (live, ready) {
        (true, true) => "ok",
        (true, false) => "not ready",
        (false, _) => "failed",
    };
    json!({ "status": status, "live": live, "ready": ready })
}

async fn live(State(http): State<Http>) -> Response {
    let live = http.health.health().is_live();
    (status(live), Json(json!({ "live": live }))).into_response()
}

async fn ready(State(http): State<Http>, Extension(grant): Extension<Grant>) -> Response {
    let health = http.health.health();
    let ready = health.is_ready();
    let body = match grant {
        Grant::Full => {
            json!({ "ready": ready, "reasons": health.reasons(), "degraded": health.degraded() })
        }
        _ => json!({ "ready": ready }),
    };
    (status(ready), Json(body)).into_response()
}

async fn metrics(State(http): State<Http>) -> Response {
    let Ok(_one_of_few) = http.pages.acquire().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::ShuttingDown, "the node is stopping");
    };
    let sample = timeout(SAMPLE_TIME_MAX, http.samples.sample()).await.ok();
    let mut page = http.metrics.render(sample.as_ref());
    zeromq::metrics(&mut page, &http.endpoints.endpoints());
    let health = http.health.health();
    page.value(&names::READY, f64::from(u8::from(health.is_ready())));
    page.value(&names::SHARDS, f64::from(health.shards));
    page.value(&names::SHARDS_WITHOUT_LEADER, health.shards_without_leader.len() as f64);
    page.value(&names::DISK_FULL, f64::from(u8::from(health.is_disk_full)));
    ([(header::CONTENT_TYPE, Exposition::CONTENT_TYPE)], page.finish()).into_response()
}

async fn version(State(http): State<Http>) -> Json<Value> {
    Json(json!({
        "name": "swarmmq",
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": native::VERSION,
        "node": http.config.node_id().as_str(),
        "cluster": http.config.cluster.name.as_str(),
    }))
}

async fn log_level(State(http): State<Http>) -> Json<Value> {
    Json(json!({ "level": http.log_level.current() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    level: String,
}

async fn set_log_level(
    State(http): State<Http>,
    Extension(from): Extension<From>,
    body: Bytes,
) -> Result<Json<Value>, Response> {
    let refuse = |explanation: &str| refuse(StatusCode::BAD_REQUEST, ErrorCode::Malformed, explanation);
    let text = std::str::from_utf8(&body).map_err(|_| refuse("the body is not UTF-8 text"))?.trim();
    let level = if text.starts_with('{') {
        let wanted: Result<Wanted, _> = serde_json::from_str(text);
        wanted.map_err(|error| refuse(&format!("expected {{\"level\": \"debug\"}}: {error}")))?.level
    } else {
        text.to_owned()
    };
    let before = http.log_level.current();
    http.log_level.set(&level).map_err(|error| refuse(&error.to_string()))?;
    info!(code = %OperatorCode::LogLevelChanged, peer = %from.0, before, after = level, "log level changed");
    Ok(Json(json!({ "level": http.log_level.current() })))
}
