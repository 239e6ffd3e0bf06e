//! What curl, a supervisor, Prometheus and an attacker get.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use swarmmq_protocol::DestinationName;
use swarmmq_protocol::info::DestinationInfo;
use swarmmq_protocol::settings::DestinationSettings;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::server::Connection;
use super::*;
use crate::config::Config;
use crate::telemetry::metrics::{Metrics, NodeSample, strict};
use crate::telemetry::{LogLevel, level};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Node(Mutex<Health>);

impl HealthSource for Node {
    fn health(&self) -> Health {
        self.0.lock().unwrap().clone()
    }
}

impl SampleSource for Node {
    fn sample(&self) -> Pin<Box<dyn Future<Output = NodeSample> + Send + '_>> {
        let name = DestinationName::new("orders.eu").unwrap();
        let info = DestinationInfo::new(name, DestinationSettings::queue(), 3);
        Box::pin(async { NodeSample::new(vec![info], None) })
    }
}

/// A level that remembers what it was set to; whether lines then appear is tested beside the log.
fn remembered() -> LogLevel {
    LogLevel::new("info", |_| Ok::<(), level::LevelError>(()))
}

struct Server {
    node: Arc<Node>,
    http: Http,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let node = Arc::new(Node::default());
        node.0.lock().unwrap().shards = 16;
        let http = Http::new(
            Arc::new(config),
            Metrics::new(10),
            remembered(),
            Arc::clone(&node) as Arc<dyn HealthSource>,
            Arc::clone(&node) as Arc<dyn SampleSource>,
            Arc::new(NoKeys),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, http.clone(), None, stop.clone()));
        Self { node, http, address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
        exchange(self.connect().await, &format!("{head}Connection: close\r\n\r\n{body}")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// Asks as somebody who is not on this machine.
    async fn ask_from_afar(&self, method: &str, path: &str) -> Answer {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let connection = Connection {
            http: self.http.clone(),
            peer: "192.0.2.1:4000".parse().unwrap(),
            tls: None,
            metrics: self.http.metrics.listener("http"),
            stop: self.stop.clone(),
        };
        tokio::spawn(async move { connection.talk(theirs).await });
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        exchange(ours, &request).await
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("an answer in time").unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

#[tokio::test]
async fn a_node_that_is_well_is_live_and_ready() {
    let server = Server::start().await;
    let answer = server.get("/health").await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!((&body["status"], &body["live"], &body["ready"]), (&"ok".into(), &true.into(), &true.into()));
    assert_eq!(body["node"], "node-1");
    assert_eq!(body["reasons"], Value::Array(Vec::new()));
    assert_eq!(body["degraded"], Value::Array(Vec::new()));
    assert_eq!(server.get("/health/live").await.status, 200);
    assert_eq!(server.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn health_follows_the_node_and_says_why() {
    type Change = fn(&mut Health);
    let cases: [(Change, &str, bool, &str); 5] = [
        (|health| health.is_starting = true, "STARTING", true, "journal"),
        (|health| health.is_stopping = true, "SHUTTING-DOWN", true, "stopping"),
        (|health| health.journal_failure = Some("EIO".into()), "JOURNAL-FAILED", false, "EIO"),
        (
            |health| health.shards_without_leader = vec![1, 7],
            "SHARDS-WITHOUT-LEADER",
            true,
            "2 of 16 shards have no leader: 1, 7",
        ),
        (|health| health.shards_failed = (0..12).collect(), "SHARDS-FAILED", true, "8, 9, …"),
    ];
    let server = Server::start().await;
    for (change, code, is_live, explanation) in cases {
        let well = server.node.health();
        change(&mut server.node.0.lock().unwrap());
        let answer = server.get("/health").await;
        let reason = &answer.json()["reasons"][0];
        assert_eq!((answer.status, reason["code"].as_str()), (503, Some(code)));
        assert!(reason["explanation"].as_str().unwrap().contains(explanation), "{reason}");
        assert_eq!(answer.json()["live"], is_live);
        assert_eq!(server.get("/health/live").await.status, if is_live { 200 } else { 503 });
        assert_eq!(server.get("/health/ready").await.status, 503);
        *server.node.0.lock().unwrap() = well;
        assert_eq!(server.get("/health").await.status, 200, "after {code}");
    }
}

#[tokio::test]
async fn a_node_with_a_full_disk_stays_ready_for_its_consumers_and_says_so() {
    let server = Server::start().await;
    server.node.0.lock().unwrap().is_disk_full = true;
    for path in ["/health", "/health/ready"] {
        let answer = server.get(path).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["ready"]), (200, &true.into()), "{path}");
        assert_eq!(body["reasons"], Value::Array(Vec::new()));
        assert_eq!(body["degraded"][0]["code"], "DISK-FULL");
        assert!(body["degraded"][0]["explanation"].as_str().unwrap().contains("puts are refused"), "{body}");
    }
    assert_eq!(server.get("/health").await.json()["status"], "degraded");
    let families = strict::read(&server.get("/metrics").await.body).unwrap();
    assert_eq!(families["swarmmq_ready"].value(&[]), Some(1.0));
    assert_eq!(families["swarmmq_disk_full"].value(&[]), Some(1.0));
    // Others learn no more than before.
    let answer = server.ask_from_afar("GET", "/health").await;
    assert_eq!(answer.json(), serde_json::json!({ "status": "ok", "live": true, "ready": true }));
    // What makes it not ready goes first.
    server.node.0.lock().unwrap().is_stopping = true;
    let answer = server.get("/health").await;
    assert_eq!((answer.status, &answer.json()["status"]), (503, &"not ready".into()));
    assert_eq!(answer.json()["degraded"][0]["code"], "DISK-FULL");
}

#[tokio::test]
async fn metrics_are_a_page_that_a_strict_reader_takes() {
    let server = Server::start().await;
    server.http.metrics.puts.stored(2, 20, 0, Duration::from_millis(1));
    server.node.0.lock().unwrap().shards_without_leader = vec![4];
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        answer.head
    );
    let families = strict::read(&answer.body).unwrap();
    let value = |name: &str, labels: &[(&str, &str)]| families[name].value(labels);
    assert_eq!(value("swarmmq_puts_total", &[]), Some(2.0));
    assert_eq!(value("swarmmq_ready", &[]), Some(0.0));
    assert_eq!(value("swarmmq_shards_without_leader", &[]), Some(1.0));
    assert_eq!(value("swarmmq_destination_messages", &[("destination", "orders.eu")]), Some(0.0));
    assert_eq!(value("swarmmq_connections", &[("listener", "http")]), Some(1.0));
}

#[tokio::test]
async fn the_log_level_is_read_and_changed() {
    let server = Server::start().await;
    assert_eq!(server.get("/log-level").await.json()["level"], "info");
    assert_eq!(server.ask("PUT", "/log-level", "info,swarmmq_node=debug\n").await.status, 200);
    assert_eq!(server.get("/log-level").await.json()["level"], "info,swarmmq_node=debug");
    assert_eq!(server.ask("PUT", "/log-level", "{\"level\": \"warn\"}").await.json()["level"], "warn");
    for bad in ["inof", "", "{\"levl\": \"warn\"}", "{"] {
        let answer = server.ask("PUT", "/log-level", bad).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (400, Some("MALFORMED")),
            "{bad}"
        );
    }
    assert_eq!(server.get("/log-level").await.json()["level"], "warn");
}

#[tokio::test]
async fn others_get_yes_or_no_and_nothing_else() {
    let server = Server::start().await;
    let answer = server.ask_from_afar("GET", "/health").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), serde_json::json!({ "status": "ok", "live": true, "ready": true }));
    for path in ["/metrics", "/version", "/log-level", "/anything"] {
        let answer = server.ask_from_afar("GET", path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
    }
    assert_eq!(server.ask_from_afar("PUT", "/log-level").await.status, 401);
    assert_eq!(server.get("/log-level").await.json()["level"], "info");
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_not_there() {
    let server = Server::start().await;
    let answer = server.get("/metrics/../../etc/passwd").await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (404, Some("UNSUPPORTED")));
    assert_eq!(server.ask("DELETE", "/log-level", "").await.status, 405);
    let version = server.get("/version").await;
    assert_eq!(version.json()["version"], env!("CARGO_PKG_VERSION"));
    assert!(version.head.contains("cache-control: no-store"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let mut config = Config::default();
    config.limits.max_http_request_size = crate::config::Size(1_024);
    let server = Server::with(config).await;
    assert_eq!(server.ask("PUT", "/log-level", &"x".repeat(1_025)).await.status, 413);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_closed_and_so_is_one_that_is_too_long() {
    let mut config = Config::default();
    config.limits.http_header_timeout = Duration::from_millis(200);
    let server = Server::with(config).await;
    let began = Instant::now();
    let mut slow = server.connect().await;
    slow.write_all(b"GET /health HTTP/1.1\r\nHost: l").await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, slow.read_to_end(&mut rest)).await.expect("closed");
    assert!(began.elapsed() >= Duration::from_millis(150), "not at once");
    let mut silent = server.connect().await;
    let _ = timeout(PATIENCE, silent.read_to_end(&mut rest))
        .await
        .expect("a connection that says nothing is closed");

    // The node may hang up while we still write, so the answer may be lost; it is never a good one.
    let mut long = server.connect().await;
    let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    let _ = long.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, long.read_to_end(&mut answer)).await.expect("closed");
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn over_tls_a_client_that_asks_for_http_gets_it() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    // As the native listener would have it.
    config.alpn_protocols = vec![b"swarmmq".to_vec()];
    let config = Arc::new(config);
    let source: TlsSource = Arc::new(move || Arc::clone(&config));
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, server.http.clone(), Some(source), server.stop.clone()));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(stream, request).await.status, 200);

    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("closed");
    assert!(!answer.starts_with(b"HTTP"), "no HTTP without TLS");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let mut config = Config::default();
    config.limits.max_http_connections = 1;
    let server = Server::with(config).await;
    let first = server.connect().await;
    let connections = || async {
        let page = server.http.metrics.render(None).finish();
        strict::read(&page).unwrap()["swarmmq_connections"].value(&[("listener", "http")])
    };
    while connections().await != Some(1.0) {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn({
        let stream = server.connect().await;
        exchange(stream, "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    });
    // sleep: shows that something does not happen; a run that is too slow passes, and never fails.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!second.is_finished(), "answered beside the first");
    assert_eq!(connections().await, Some(1.0));
    drop(first);
    assert_eq!(second.await.unwrap().status, 200);
}

#[tokio::test]
async fn stopping_ends_idle_connections() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut some = [0; 16];
    idle.read_exact(&mut some).await.unwrap();
    server.stop.cancel();
    timeout(PATIENCE, server.task).await.expect("the server ends").unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, idle.read_to_end(&mut rest)).await.expect("the connection ends").unwrap();
}
