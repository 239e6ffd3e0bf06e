//! What is said of the ZeroMQ endpoints and their peers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use swarmmq_broker::exchange::Side;
use swarmmq_protocol::ErrorCode;

use super::routes::{Http, refuse};
use crate::telemetry::metrics::{Definition, Exposition, names};
use crate::zeromq::{Listening, PeerRecord, Traffic};

/// Peers in one answer: those that have been connected longest.
const PEERS_MAX: usize = 10_000;

/// Something that knows the ZeroMQ endpoints.
pub trait EndpointSource: Send + Sync + 'static {
    /// Those that listen now.
    fn endpoints(&self) -> Vec<Arc<Listening>>;
}

/// No endpoints.
pub(super) struct NoEndpoints;

impl EndpointSource for NoEndpoints {
    fn endpoints(&self) -> Vec<Arc<Listening>> {
        Vec::new()
    }
}

pub(super) async fn endpoints(State(http): State<Http>) -> Json<Value> {
    let endpoints: Vec<Value> = http.endpoints.endpoints().iter().map(|one| endpoint(one)).collect();
    Json(json!({ "endpoints": endpoints }))
}

fn endpoint(one: &Listening) -> Value {
    let drops = one.drops.snapshot().into_iter();
    let drops: Map<String, Value> =
        drops.map(|(reason, count)| (reason.as_str().to_owned(), json!(count))).collect();
    json!({
        "name": one.name,
        "kind": one.kind,
        "bind": one.addr.as_ref().map(ToString::to_string),
        "backend": one.backend.as_ref().map(ToString::to_string),
        "peers": one.peers.count(),
        "state": one.figures().into_iter().map(|(figure, count)| (figure.as_str().to_owned(), json!(count))).collect::<Map<_, _>>(),
        "drops": drops,
    })
}

type Column = fn(&Traffic) -> u64;

/// What the metrics say of the endpoints that listen now. An endpoint that is started anew begins at zero.
pub(super) fn metrics(page: &mut Exposition, endpoints: &[Arc<Listening>]) {
    let traffic: Vec<_> = endpoints.iter().map(|one| (one.name.as_str(), one.peers.traffic())).collect();
    let columns: [(&Definition, Column); 3] = [
        (&names::ZEROMQ_PEERS, |of_type| of_type.peers),
        (&names::ZEROMQ_RECEIVED, |of_type| of_type.received),
        (&names::ZEROMQ_SENT, |of_type| of_type.sent),
    ];
    for (definition, column) in columns {
        let rows = traffic.iter().flat_map(|(name, of_types)| {
            of_types.iter().map(move |(socket_type, of_type)| (*name, *socket_type, column(of_type) as f64))
        });
        page.table(definition, rows);
    }
    let states: Vec<_> = endpoints.iter().map(|one| (one.name.as_str(), one.figures())).collect();
    let rows = states.iter().flat_map(|(name, figures)| {
        figures.iter().map(move |(figure, count)| (*name, figure.as_str(), *count as f64))
    });
    page.table(&names::ZEROMQ_STATE, rows);
}

pub(super) async fn peers(State(http): State<Http>, Path(name): Path<String>) -> Response {
    let endpoints = http.endpoints.endpoints();
    let Some(found) = endpoints.iter().find(|one| one.name == name) else {
        let names: Vec<&str> = endpoints.iter().map(|one| one.name.as_str()).collect();
        let text = format!("there is no ZeroMQ endpoint of this name; there are: {}", names.join(", "));
        return refuse(StatusCode::NOT_FOUND, ErrorCode::Unsupported, &text);
    };
    let peers: Vec<Value> = found.peers.first(PEERS_MAX).iter().map(|one| peer(one)).collect();
    Json(json!({ "endpoint": name, "count": found.peers.count(), "peers": peers })).into_response()
}

fn peer(one: &PeerRecord) -> Value {
    json!({
        "side": match one.side { Side::Front => "bind", Side::Back => "backend" },
        "address": one.address.map(|address| address.to_string()),
        "socket_type": one.socket_type,
        "routing_id": one.routing_id.escape_ascii().to_string(),
        "user": &*one.user,
        "connected_seconds": one.age().as_secs(),
        "received": one.received(),
        "sent": one.sent(),
    })
}
