//! Where endpoints bind.

use std::net::SocketAddr;
use std::sync::Arc;

use swarmmq_node::shards::Shards;
use swarmmq_node::telemetry::metrics::Metrics;
use swarmmq_node::zeromq::{Bind, EndpointKind, EndpointOptions, Security, StartError, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::model::Model;
use crate::raw::{Endpoint, greeting};

fn start_one(options: EndpointOptions) -> Result<(), StartError> {
    let shards: Arc<dyn Shards> = Arc::new(Model::default());
    start(vec![options], &shards, &Arc::default(), &Metrics::new(0), &CancellationToken::new()).map(|_| ())
}

#[tokio::test]
async fn other_machines_are_let_in_without_a_name_only_where_that_is_allowed() {
    let anywhere = Bind::Tcp(SocketAddr::from(([0, 0, 0, 0], 0)));
    let options = EndpointOptions::new("open", EndpointKind::Durable, anywhere);
    assert!(matches!(start_one(options.clone()), Err(StartError::Exposed { .. })));
    start_one(options.security(Security { null_off_loopback: true, ..Security::default() })).unwrap();
}

#[tokio::test]
async fn a_unix_socket_is_served_and_one_that_a_dead_node_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("durable");
    let options = EndpointOptions::new("ipc", EndpointKind::Durable, Bind::Ipc(path.clone()));
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let endpoint = Endpoint::start_with(options.clone());
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    stream.write_all(&greeting("NULL")).await.unwrap();
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs).await.unwrap();
    assert_eq!(theirs[10..], greeting("NULL")[10..]);
    assert!(
        matches!(start_one(options), Err(StartError::Bind { .. })),
        "one that is served is not taken away"
    );
    drop(stream);
    endpoint.stop.cancel();
    endpoint.listening.stopped().await;
    assert!(!path.exists());
}
