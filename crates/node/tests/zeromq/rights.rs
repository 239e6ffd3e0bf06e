//! What peers may do, none of whom can say who it is.

use std::net::SocketAddr;
use std::sync::Arc;

use swarmmq_node::config::parse;
use swarmmq_node::security::Gate;
use swarmmq_node::shards::Shards;
use swarmmq_node::telemetry::metrics::Metrics;
use swarmmq_node::zeromq::{
    Acknowledge, Bind, EndpointKind, EndpointOptions, Multipart, Reason, StartError, start,
};
use swarmmq_protocol::DestinationName;
use tokio_util::sync::CancellationToken;

use crate::model::Model;
use crate::raw::Endpoint;

fn options(kind: EndpointKind) -> EndpointOptions {
    EndpointOptions::new("test", kind, Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))))
}

fn ingest() -> EndpointOptions {
    let queue = DestinationName::new("orders").unwrap();
    options(EndpointKind::Ingest { queue, multipart: Multipart::Keep })
}

/// A gate with an API key, and these permissions.
fn gate(permissions: &str) -> Arc<Gate> {
    let digest = "ab".repeat(32);
    let text = format!(
        "security: {{ api_keys: [{{ name: ada, sha256: {digest} }}], permissions: [{permissions}] }}"
    );
    Arc::new(Gate::new(parse(&text).unwrap().security))
}

#[tokio::test]
async fn where_an_api_key_is_asked_for_a_dealer_may_do_nothing() {
    let endpoint = Endpoint::guarded(options(EndpointKind::Durable), &gate(""));
    let mut peer = endpoint.peer("DEALER").await;
    let requests: [&[&str]; 5] = [
        &["SWMQ1", "1", "PUT", "orders", "hello"],
        &["SWMQ1", "2", "PULL", "orders"],
        &["SWMQ1", "3", "ACK", "orders", "1-1"],
        &["SWMQ1", "4", "NACK", "orders", "1-1"],
        &["SWMQ1", "5", "SUBSCRIBE", "orders"],
    ];
    for request in requests {
        let answer = peer.ask(request).await;
        assert_eq!(answer[2..4], ["ERROR", "FORBIDDEN"], "{request:?}: {answer:?}");
    }
    assert_eq!(peer.ask(&["SWMQ1", "6", "PING"]).await[2], "OK", "the session stays");
    assert_eq!(endpoint.model.with(|state| state.submitted), 0);
    assert_eq!(endpoint.listening.drops.of(Reason::Forbidden), 5);
}

#[tokio::test]
async fn what_is_allowed_to_anybody_is_done() {
    let gate = gate("{ who: anybody, destinations: 'open.*', allow: [produce] }");
    let endpoint = Endpoint::guarded(options(EndpointKind::Durable), &gate);
    let mut peer = endpoint.peer("DEALER").await;
    assert_eq!(peer.ask(&["SWMQ1", "1", "PUT", "open.a", "hello"]).await[2], "OK");
    assert_eq!(peer.ask(&["SWMQ1", "2", "PULL", "open.a"]).await[2..4], ["ERROR", "FORBIDDEN"]);
    assert_eq!(peer.ask(&["SWMQ1", "3", "PUT", "orders", "hello"]).await[2..4], ["ERROR", "FORBIDDEN"]);
}

#[tokio::test]
async fn an_ingest_endpoint_that_nobody_may_send_to_does_not_start() {
    let shards: Arc<dyn Shards> = Arc::new(Model::default());
    let started = |gate: &Arc<Gate>| {
        start(vec![ingest()], &shards, gate, &Metrics::new(0), &CancellationToken::new()).map(|_| ())
    };
    for refused in [gate(""), gate("{ who: anybody, destinations: orders, allow: [consume] }")] {
        assert!(matches!(started(&refused), Err(StartError::Forbidden { .. })));
    }
    started(&gate("{ who: anybody, destinations: orders, allow: [produce] }")).unwrap();
}

#[tokio::test]
async fn an_egress_endpoint_that_nobody_may_consume_from_does_not_start() {
    let shards: Arc<dyn Shards> = Arc::new(Model::default());
    let started = |gate: &Arc<Gate>| {
        let queue = DestinationName::new("orders").unwrap();
        let kind = EndpointKind::Egress { queue, acknowledge: Acknowledge::OnWrite, prefetch: 10 };
        start(vec![options(kind)], &shards, gate, &Metrics::new(0), &CancellationToken::new()).map(|_| ())
    };
    for refused in [gate(""), gate("{ who: anybody, destinations: orders, allow: [produce] }")] {
        let error = started(&refused).unwrap_err();
        assert!(error.to_string().contains("allow `anybody` to consume from orders"), "{error}");
    }
    started(&gate("{ who: anybody, destinations: orders, allow: [consume] }")).unwrap();
}
