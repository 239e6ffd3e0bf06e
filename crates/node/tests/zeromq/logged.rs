//! What the log says of peers and messages that are refused.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarmmq_broker::exchange::{PoolLimits, RepeatLimits};
use swarmmq_node::zeromq::{EndpointKind, Limits, Reason};
use swarmmq_protocol::ErrorCode;
use tracing::subscriber::DefaultGuard;

use crate::attacks::send_and_be_closed;
use crate::raw::{Endpoint, greeting};

/// The warnings of this thread, as long as it lives.
struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn capture() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// How many lines say this reason.
    fn lines_of(&self, reason: Reason) -> usize {
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(&format!("reason=\"{}\"", reason.as_str()))).count()
    }
}

#[tokio::test]
async fn a_connection_beyond_a_limit_is_logged_and_a_flood_of_them_is_not_one_of_lines() {
    for reason in [Reason::ConnectionsMax, Reason::ConnectionsPerAddressMax, Reason::HandshakesMax] {
        let log = Log::capture();
        let mut limits = Limits::default();
        match reason {
            Reason::ConnectionsMax => limits.connections_max = 1,
            Reason::ConnectionsPerAddressMax => limits.connections_per_address_max = 1,
            _ => limits.handshakes_max = 1,
        }
        let endpoint = Endpoint::start(EndpointKind::Durable, limits);
        let _first = endpoint.tcp().await;
        for _ in 0..20 {
            send_and_be_closed(&endpoint, &greeting("NULL")).await;
        }
        endpoint.dropped(reason, 20).await;
        assert!((1..20).contains(&log.lines_of(reason)), "{}", reason.as_str());
    }
}

#[tokio::test]
async fn a_handshake_that_fails_is_logged_with_its_reason() {
    let log = Log::capture();
    let mut limits = Limits::default();
    limits.handshake_timeout = Duration::from_millis(100);
    let endpoint = Endpoint::start(EndpointKind::Durable, limits);
    send_and_be_closed(&endpoint, b"GET / HTTP/1.1\r\n\r\n").await;
    endpoint.dropped(Reason::NotZmtp, 1).await;
    let _silent = endpoint.tcp().await;
    endpoint.dropped(Reason::HandshakeTimeout, 1).await;
    for reason in [Reason::NotZmtp, Reason::HandshakeTimeout] {
        assert_eq!(log.lines_of(reason), 1, "{}", reason.as_str());
    }
}

#[tokio::test]
async fn what_an_exchange_refuses_by_a_limit_is_logged() {
    let log = Log::capture();
    let pool = PoolLimits { services_max: 1, ..PoolLimits::default() };
    let kind = EndpointKind::Service { limits: pool, repeats: RepeatLimits::default() };
    let endpoint = Endpoint::start(kind, Limits::default());
    let mut client = endpoint.peer("DEALER").await;
    client.send(&["", "MDPC01", "echo", "hello"]).await;
    for _ in 0..20 {
        client.send(&["", "MDPC01", "another", "hello"]).await;
    }
    endpoint.dropped(Reason::LimitReached, 20).await;
    assert!((1..20).contains(&log.lines_of(Reason::LimitReached)));
    client.send(&["garbage"]).await;
    endpoint.dropped(Reason::Malformed, 1).await;
    assert_eq!(log.lines_of(Reason::Malformed), 0, "it is no limit that is to be raised");
}

#[tokio::test]
async fn a_durable_endpoint_counts_and_logs_what_it_refuses_by_a_limit() {
    let log = Log::capture();
    let mut limits = Limits::default();
    limits.pulls_waiting_max = 1;
    let endpoint = Endpoint::start(EndpointKind::Durable, limits);
    let mut peer = endpoint.peer("DEALER").await;
    peer.send(&["SWMQ1", "1", "PULL", "orders", "wait-ms=5000"]).await;
    let answer = peer.ask(&["SWMQ1", "2", "PULL", "orders", "wait-ms=5000"]).await;
    assert_eq!(answer[2..4], ["ERROR", "OVERLOADED"]);
    endpoint.dropped(Reason::LimitReached, 1).await;
    endpoint.model.with(|state| state.refuses = Some(ErrorCode::LimitReached));
    assert_eq!(peer.ask(&["SWMQ1", "3", "SUBSCRIBE", "orders"]).await[2..4], ["ERROR", "LIMIT-REACHED"]);
    endpoint.dropped(Reason::LimitReached, 2).await;
    assert_eq!(log.lines_of(Reason::LimitReached), 2);
}
